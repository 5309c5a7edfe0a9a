"""A virtual analogue chip in numpy, and the program that runs it as the outside of a learner: ``python -m mgd_hw.chip``.

The chip is a network of two layers of tanh neurons. Nothing in it is exact: each neuron has a gain and an offset of its own, the
parameters pass through converters with steps, offsets drift, an output still carries part of the last one, and readout adds noise.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, fields

import numpy as np

__all__ = ["AnalogChip", "main"]


@dataclass
class AnalogChip:
    """A chip that computes the parity of its input bits, once it is trained. The same seed gives the same chip and the same noise.

    Sample number k shows the bits of k as −1 and 1, the lowest first; its target is 1 for an odd number of ones, and −1 otherwise. The
    cost is (y − target)²; the answer is right where it is below 1. The parameters are the bias and the weights of each hidden neuron in
    turn, and then those of the output: hidden·(inputs + 2) + 1 numbers.

    Parameters
    ----------
    inputs, hidden : int
        Number of input bits, and of hidden neurons.
    seed : int
        Seed of the chip's own gains and offsets, and of its noise and drift.
    gain, offset : float
        Standard deviation of the gains of the neurons from 1, and of their offsets from 0.
    dac_step : float
        Step of the converters of the parameters; 0 for none.
    noise : float
        Standard deviation of the noise on a cost.
    drift : float
        Standard deviation of the step of each offset from one measurement to the next.
    lag : float
        Fraction of the last measurement's output that a measurement still carries, 0 to below 1: the chip had not settled.
    """

    inputs: int = 2
    hidden: int = 4
    seed: int = 1
    gain: float = 0.0
    offset: float = 0.0
    dac_step: float = 0.0
    noise: float = 0.0
    drift: float = 0.0
    lag: float = 0.0

    def __post_init__(self) -> None:
        drawn = np.random.default_rng(self.seed)
        neurons = self.hidden + 1
        self.gains = 1 + self.gain * drawn.standard_normal(neurons)
        self.offsets = self.offset * drawn.standard_normal(neurons)
        self._random = np.random.default_rng(self.seed + 1)
        self._last = 0.0

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return self.hidden * (self.inputs + 2) + 1

    @property
    def samples(self) -> int:
        """Number of samples."""
        return 1 << self.inputs

    def output(self, parameters: np.ndarray, sample: int) -> float:
        """Return the settled output of the chip, without noise, for a sample."""
        theta = np.asarray(parameters, dtype=np.float64)
        if self.dac_step:
            theta = np.floor(theta / self.dac_step + 0.5) * self.dac_step
        hidden = theta[: -self.hidden - 1].reshape(self.hidden, self.inputs + 1)
        bits = 2.0 * (sample >> np.arange(self.inputs) & 1) - 1
        first = np.tanh(self.gains[:-1] * (hidden[:, 1:] @ bits + hidden[:, 0]) + self.offsets[:-1])
        last = theta[-self.hidden - 1 :]
        return float(np.tanh(self.gains[-1] * (last[1:] @ first + last[0]) + self.offsets[-1]))

    def costs(self, parameters: np.ndarray, sample: int, count: int = 1) -> np.ndarray:
        """Measure the cost of a sample several times (float64, shape (count,)); the chip drifts once."""
        if self.drift:
            self.offsets = self.offsets + self.drift * self._random.standard_normal(len(self.offsets))
        sample %= self.samples
        target = 1.0 if sample.bit_count() % 2 else -1.0
        self._last += (1 - self.lag) * (self.output(parameters, sample) - self._last)
        return (self._last - target) ** 2 + self.noise * self._random.standard_normal(count)


def main(arguments: list[str] | None = None) -> int:
    """Answer measurements, one line of JSON each, until standard input ends; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mgd_hw.chip", description="A virtual analogue chip, as the outside of a learner.")
    for option in fields(AnalogChip):
        flag, kind = f"--{option.name.replace('_', '-')}", int if option.type == "int" else float
        parser.add_argument(flag, type=kind, default=option.default, help=f"default {option.default}")
    chip = AnalogChip(**vars(parser.parse_args(arguments)))
    for line in sys.stdin:
        asked = json.loads(line)
        parameters, samples = np.array(asked["parameters"]), [round(row[0]) for row in asked["inputs"]]
        if len(parameters) != chip.parameters:
            answer: dict = {"error": f"the chip has {chip.parameters} parameters, not {len(parameters)}"}
        else:
            answer = {"costs": chip.costs(parameters, samples[0], len(samples)).tolist()}
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
