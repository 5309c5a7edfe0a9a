"""An analogue chip in numpy, whose insides its learner does not know: gains, offsets, converters with steps, noise, drift, and silence."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np

from python_ref.spec.learner import LearnerSpec
from python_ref.spec.perturbation import Kind

__all__ = ["VirtualChip"]


@dataclass
class VirtualChip:
    """A chip with a few units, each of which is the tanh of a sum of all quantities as the chip has them, weighted by the sample.

    Where the quantities are the currents of nodes, the chip adds two inputs of each sample to each of them, with weights of its own, which
    begin with 0 and change by the errors that it is sent.

    The same seed gives the same chip, and the same calls the same costs, noise and drift included.

    Parameters
    ----------
    spec : LearnerSpec
        Learner whose words and cost words the chip takes and gives.
    seed : int
        Seed of the chip's own figures, and of its noise.
    gain, offset : float
        Spread of the factors and of the offsets between the quantities that are sent and those that the chip has.
    noise, drift : float
        Standard deviation of a cost word, and of the step of the offset from one measurement to the next.
    dac_step : float
        Step of the chip's converters; 0 for none.
    shown : int
        Index of the sample that was measured last.
    silent : set of int
        Numbers of the measurements in which the chip stops to answer: after the first word where several are asked for.
    """

    spec: LearnerSpec
    seed: int
    gain: float = 0.0
    offset: float = 0.0
    noise: float = 0.0
    drift: float = 0.0
    dac_step: float = 0.0
    silent: set[int] = field(default_factory=set)
    units: int = 3
    shown: int = 0

    def __post_init__(self) -> None:
        rng, n = np.random.default_rng(self.seed), self.spec.quantities
        self.gains = 1 + self.gain * rng.standard_normal(n)
        self.offsets = self.offset * rng.standard_normal(n)
        self.mixing = rng.standard_normal((1 << 6, self.units, n)) / np.sqrt(n)
        self.targets = 0.8 * rng.uniform(-1, 1, (1 << 6, self.units))
        self.inputs, self.weights = rng.uniform(-1, 1, (1 << 6, 2)), np.zeros((n, 2))
        self.random, self.walk, self.calls = np.random.default_rng(self.seed + 1), 0.0, 0

    def mean_cost(self, words: np.ndarray, sample: int) -> float:
        """Return the cost of a sample without noise, drift and the limits of its format."""
        theta = np.asarray(words) / 2.0**self.spec.formats.weight.fraction_bits
        if self.dac_step:
            theta = np.floor(theta / self.dac_step) * self.dac_step
        currents = self.gains * theta + self.offsets
        if self.spec.perturbation.kind is Kind.NODE:
            currents = currents + self.weights @ self.inputs[sample % len(self.inputs)]
        hidden = np.tanh(self.mixing[sample % len(self.mixing)] @ currents)
        return float(np.sum((hidden - self.targets[sample % len(self.targets)]) ** 2))

    def apply(self, errors: np.ndarray) -> None:
        """Subtract err_j·x_i from the weight of each current j and input i, x of the sample that was measured last."""
        real = np.asarray(errors) * 2.0**-self.spec.formats.weight.fraction_bits
        self.weights = self.weights - np.outer(real, self.inputs[self.shown % len(self.inputs)])

    def keep(self, words: np.ndarray) -> str:
        """Return the weights as JSON."""
        return json.dumps(self.weights.tolist())

    def restore(self, weights: str) -> None:
        """Set weights that were kept."""
        self.weights = np.array(json.loads(weights))

    def __call__(self, words: np.ndarray, sample: int, count: int) -> list[int]:
        """Return the raw cost words of a measurement."""
        cost, self.shown = self.spec.formats.cost, sample
        self.walk += self.drift * self.random.standard_normal()
        values = self.mean_cost(words, sample) + self.walk + self.noise * self.random.standard_normal(count)
        found = np.clip(np.rint(values * 2.0**cost.fraction_bits), cost.min, cost.max).astype(np.int64).tolist()
        silent, self.calls = self.calls in self.silent, self.calls + 1
        return found[: min(1, count - 1)] if silent else found
