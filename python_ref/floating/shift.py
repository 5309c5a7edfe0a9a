"""Adam with shifts as an optimiser of the float model, to measure the effect of its shifts and formats.

It is the only module of the package that computes with integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from typing import ClassVar

import numpy as np

from python_ref.fixed.perturbation import BitStream
from python_ref.floating.optimizers import Memory
from python_ref.spec.number import Fixed, Overflow, Rounding, cast_raw
from python_ref.spec.optimizer import ShiftAdam
from python_ref.spec.perturbation import stochastic_generator
from python_ref.spec.shift_adam import REST_BITS

__all__ = ["ShiftedAdam"]


@dataclass(frozen=True)
class ShiftedAdam:
    """Shift-Adam on real numbers: G is quantised to its format, and θ moves by multiples of a parameter's last place.

    Parameters
    ----------
    optimizer : ShiftAdam
        The optimiser, which gives the decays β and the formats of m and v.
    forms : (Fixed, Fixed)
        Formats of G and of a parameter.
    rate_log2 : int
        Binary logarithm of the learning rate; an update uses the power of two nearest to the requested rate.
    scale : int
        Binary logarithm of what a gradient is multiplied by before it is quantised (``LearningSpec.gradient_scale``).
    rounding : Rounding
        Rounding of the cast into u.
    seed : int
        Seed of stochastic rounding, in which each parameter draws a word of its own.
    """

    optimizer: ShiftAdam
    forms: tuple[Fixed, Fixed]
    rate_log2: int
    scale: int = 0
    rounding: Rounding = Rounding.STOCHASTIC
    seed: int = 1

    name: ClassVar[str] = "shift-adam"

    @property
    def rate(self) -> float:
        """Learning rate η, a power of two."""
        return 2.0**self.rate_log2

    def initial(self, theta: np.ndarray) -> Memory:
        """Return m = v = 0, raw."""
        return np.zeros(theta.shape, np.int64), np.zeros(theta.shape, np.int64)

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """Return u as real numbers, and m and v as raw integers; m stays 0 if the optimiser has none."""
        form, weight = self.forms
        b = next(b for first, b in reversed(self.optimizer.exponent_changes) if first <= update)
        word = self._words(update, gradient.size)
        state = {"momentum": memory[0], "square": memory[1]}
        moved = self.optimizer.step(self.forms, state, form.to_raw(np.ldexp(gradient, self.scale)), word, round(log2(rate)) + b)
        source = self.optimizer.source(*self.forms)
        u, _ = cast_raw(moved.source, source, weight, self.rounding, Overflow.SATURATE, word)
        return weight.to_real(u).astype(gradient.dtype), (moved.state.get("momentum", memory[0]), moved.state["square"])

    def _words(self, update: int, count: int) -> np.ndarray:
        casts = [each.exact.fraction_bits - each.format.fraction_bits for each in self.optimizer.state(self.forms[0])]
        bits = max(REST_BITS, *casts)
        drawn = BitStream(stochastic_generator(bits), self.seed).words(update * count, count)
        return drawn.astype(np.int64) @ (np.int64(1) << np.arange(bits, dtype=np.int64))
