"""A virtual analogue chip in numpy, and the program that runs it as the outside of a learner: ``python -m mgd_hw.chip``.

The chip is a network of two layers of tanh neurons. With ``--nodes`` it keeps its weights itself, and the learner has the currents of its
neurons. Nothing in it is exact: each neuron has a gain and an offset of its own, the
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
    nodes : bool
        Whether the weights are the chip's own: the parameters are the biases alone, those of the hidden neurons before the output's, and
        the weights change by the errors of the neurons.
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
    nodes: bool = False

    def __post_init__(self) -> None:
        drawn = np.random.default_rng(self.seed)
        neurons = self.hidden + 1
        self.gains = 1 + self.gain * drawn.standard_normal(neurons)
        self.offsets = self.offset * drawn.standard_normal(neurons)
        self._random = np.random.default_rng(self.seed + 1)
        self._last = 0.0
        self.weights = np.zeros(self.hidden * (self.inputs + 2) + 1)
        biases = np.arange(self.hidden) * (self.inputs + 1), [self.hidden * (self.inputs + 1)]
        self._biases = np.concatenate(biases).astype(np.int64)
        self._shown, self._inputs = 0, np.zeros(self.hidden)
        if self.nodes:
            self.weights = drawn.uniform(-0.5, 0.5, len(self.weights))

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return self.hidden + 1 if self.nodes else self.hidden * (self.inputs + 2) + 1

    @property
    def samples(self) -> int:
        """Number of samples."""
        return 1 << self.inputs

    def output(self, parameters: np.ndarray, sample: int) -> float:
        """Return the settled output of the chip, without noise, for a sample."""
        theta = self._converted(parameters)
        last = self._all(theta)[-self.hidden - 1 :]
        return float(np.tanh(self.gains[-1] * (last[1:] @ self._hidden(theta, sample) + last[0]) + self.offsets[-1]))

    def _converted(self, parameters: np.ndarray) -> np.ndarray:
        """What the converters make of parameters."""
        theta = np.asarray(parameters, dtype=np.float64)
        return np.floor(theta / self.dac_step + 0.5) * self.dac_step if self.dac_step else theta

    def _all(self, theta: np.ndarray) -> np.ndarray:
        """Biases and weights of all neurons: the parameters, or with weights of its own these and the biases."""
        if not self.nodes:
            return theta
        whole = self.weights.copy()
        whole[self._biases] = theta
        return whole

    def _bits(self, sample: int) -> np.ndarray:
        return 2.0 * (sample >> np.arange(self.inputs) & 1) - 1

    def _hidden(self, theta: np.ndarray, sample: int) -> np.ndarray:
        """Outputs of the hidden neurons."""
        hidden = self._all(theta)[: -self.hidden - 1].reshape(self.hidden, self.inputs + 1)
        return np.tanh(self.gains[:-1] * (hidden[:, 1:] @ self._bits(sample) + hidden[:, 0]) + self.offsets[:-1])

    def apply(self, errors: np.ndarray) -> None:
        """Subtract the error of each neuron times its inputs from its weights, those of the sample that was measured last."""
        hidden = self.weights[: -self.hidden - 1].reshape(self.hidden, self.inputs + 1)
        hidden[:, 1:] -= np.outer(errors[:-1], self._bits(self._shown))
        self.weights[-self.hidden :] -= errors[-1] * self._inputs

    def restore(self, weights: object) -> str:
        """Set the weights to a list of numbers; return what is wrong with it, or ""."""
        try:
            found = np.asarray(weights, dtype=np.float64)
        except (TypeError, ValueError):
            return "weights that are to be set must be numbers"
        if found.shape != self.weights.shape or not np.isfinite(found).all():
            return f"the chip has {len(self.weights)} weights and biases, not {str(weights)[:80]}"
        self.weights = found
        return ""

    def costs(self, parameters: np.ndarray, sample: int, count: int = 1) -> np.ndarray:
        """Measure the cost of a sample several times (float64, shape (count,)); the chip drifts once."""
        if self.drift:
            self.offsets = self.offsets + self.drift * self._random.standard_normal(len(self.offsets))
        sample %= self.samples
        if self.nodes:
            self._shown, self._inputs = sample, self._hidden(self._converted(parameters), sample)
        target = 1.0 if sample.bit_count() % 2 else -1.0
        self._last += (1 - self.lag) * (self.output(parameters, sample) - self._last)
        return (self._last - target) ** 2 + self.noise * self._random.standard_normal(count)


def main(arguments: list[str] | None = None) -> int:
    """Answer measurements, one line of JSON each, until standard input ends; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mgd_hw.chip", description="A virtual analogue chip, as the outside of a learner.")
    for option in fields(AnalogChip):
        flag, kind = f"--{option.name.replace('_', '-')}", int if option.type == "int" else float
        if option.type == "bool":
            parser.add_argument(flag, action="store_true", help="the weights are the chip's own")
        else:
            parser.add_argument(flag, type=kind, default=option.default, help=f"default {option.default}")
    chip = AnalogChip(**vars(parser.parse_args(arguments)))
    for line in sys.stdin:
        asked = json.loads(line)
        parameters, samples = np.array(asked["parameters"]), [round(row[0]) for row in asked["inputs"]]
        if len(parameters) != chip.parameters:
            answer: dict = {"error": f"the chip has {chip.parameters} parameters, not {len(parameters)}"}
        elif {"errors", "weights"} & asked.keys() and not chip.nodes:
            answer = {"error": "the chip has no weights of its own to which errors would apply: give --nodes"}
        elif wrong := chip.restore(asked["weights"]) if "weights" in asked else "":
            answer = {"error": wrong}
        else:
            if "errors" in asked:
                chip.apply(np.array(asked["errors"]))
            answer = {"costs": chip.costs(parameters, samples[0], len(samples)).tolist()}
            if "keep" in asked and chip.nodes:
                answer["weights"] = chip.weights.tolist()
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
