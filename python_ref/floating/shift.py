"""Adam with shifts as an optimiser of the float model, to measure the effect of its shifts and formats.

It is the only module of the package that computes with integers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log2
from typing import ClassVar

import numpy as np

from python_ref.fixed import shift_adam
from python_ref.fixed.perturbation import BitStream
from python_ref.floating.optimizers import Memory
from python_ref.spec.number import Rounding
from python_ref.spec.perturbation import stochastic_generator
from python_ref.spec.shift_adam import ShiftAdam

__all__ = ["ShiftedAdam"]


@dataclass(frozen=True)
class ShiftedAdam:
    """Shift-Adam on real numbers: G is quantised to the format of a gradient, and θ moves by multiples of a parameter's last place.

    Parameters
    ----------
    spec : ShiftAdam
        Formats and decays; an update uses the power of two nearest to the requested rate.
    seed : int
        Seed of stochastic rounding, in which each parameter draws a word of its own.
    """

    spec: ShiftAdam
    seed: int = 1

    name: ClassVar[str] = "shift-adam"

    @property
    def rate(self) -> float:
        """Learning rate η, a power of two."""
        return 2.0**self.spec.rate_log2

    def initial(self, theta: np.ndarray) -> Memory:
        """Return m = v = 0, raw."""
        return np.zeros(theta.shape, np.int64), np.zeros(theta.shape, np.int64)

    def step(self, memory: Memory, gradient: np.ndarray, update: int, rate: float) -> tuple[np.ndarray, Memory]:
        """Return u as real numbers, and m and v as raw integers."""
        spec = replace(self.spec, rate_log2=round(log2(rate))) if rate != self.rate else self.spec
        raw = spec.gradient.to_raw(gradient)
        moved = shift_adam.step(spec, memory[0], memory[1], raw, update, self._words(spec, update, gradient.size))
        return spec.weight.to_real(moved.update).astype(gradient.dtype), (moved.m, moved.v)

    def _words(self, spec: ShiftAdam, update: int, count: int) -> np.ndarray | int:
        bits = min(62, spec.move.fraction_bits + 8 - spec.weight.fraction_bits)
        if spec.rounding is not Rounding.STOCHASTIC or bits <= 0:
            return 0
        drawn = BitStream(stochastic_generator(bits), self.seed).words(update * count, count)
        return drawn.astype(np.int64) @ (np.int64(1) << np.arange(bits, dtype=np.int64))
