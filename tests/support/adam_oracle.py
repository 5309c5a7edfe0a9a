"""Adam by shifts once more, in exact fractions, from the equations of docs/design/machine.md: a loop finds the leading one of v.

It shares no arithmetic with ``python_ref``; what it takes from a design is what the design file says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from python_ref.spec.number import Fixed
from tests.support.narrowing import narrow

__all__ = ["AdamOracle", "Moved", "scale_of"]

REST = 12
"""Fraction bits of d beyond those of a parameter."""


class Moved(NamedTuple):
    """d, the new m and v, and whether these were out of range."""

    source: Fraction
    m: Fraction
    v: Fraction
    outside: dict[str, bool]


def scale_of(gradient: Fixed, *counts: tuple[int, bool]) -> Fraction:
    """What a gradient is multiplied by in G: the largest power of two so that 4, times each count or its root, stays within ``gradient``.

    Each count comes with whether it counts as its root; each factor is rounded up to a power of two.
    """
    scale = Fraction(2) ** (gradient.integer_bits - 1) / 4
    for count, as_root in counts:
        factor = 1
        while factor ** (2 if as_root else 1) < count:
            factor *= 2
        scale /= factor
    return scale


class AdamOracle:
    """The optimiser of a design.

    Parameters
    ----------
    optimizer : ShiftAdam
        Its keys.
    gradient, weight : Fixed
        Formats of G and of a parameter.
    """

    def __init__(self, optimizer: Any, gradient: Fixed, weight: Fixed) -> None:
        self.optimizer, self.weight = optimizer, weight
        k1, k2 = optimizer.k1, optimizer.k2
        whole, fraction = gradient.integer_bits, gradient.fraction_bits
        self.m_format = optimizer.format or Fixed(True, whole, min(fraction + k1, 32 - whole))
        if k1 == 0:
            self.m_format = gradient
        whole = 2 * whole - 1  # (−2ⁿ)² = 2²ⁿ has to fit
        self.v_format = optimizer.square_format or Fixed(False, whole, min(2 * fraction + k2, 32 - whole))
        self.source_fraction = weight.fraction_bits + REST
        m, v = self.m_format.fraction_bits, self.v_format.fraction_bits
        self.decay_drops = {"momentum": max(m + k1, fraction + k1) - m, "square": max(v + k2, 2 * fraction + k2) - v}
        if k1 == 0:
            del self.decay_drops["momentum"]

    def drops(self, weight_is_stochastic: bool) -> dict[str, int]:
        """Bits that the stochastic casts of an update drop, by kind."""
        found = dict(self.decay_drops) if self.optimizer.rounding.value == "stochastic" else {}
        return found | ({"update": REST} if weight_is_stochastic else {})

    def bias(self, update: int) -> int:
        """b, the integer nearest to log₂(√(1 − β₂ᵗ)/(1 − β₁ᵗ)); updates count from 0."""
        if not self.optimizer.corrected:
            return 0
        left = [1 - (1 - Fraction(1, 2**k)) ** (update + 1) for k in (self.optimizer.k1, self.optimizer.k2)]
        b, square = 0, left[1] / left[0] ** 2
        while square < Fraction(2) ** (2 * b - 1):
            b -= 1
        while square >= Fraction(2) ** (2 * b + 1):
            b += 1
        return b

    def move(self, m: Fraction, v: Fraction, g: Fraction, rate: int, update: int, random: Callable[[str], Fraction]) -> Moved:
        """An update of one parameter by G at the rate 2^rate; ``random`` gives r of a cast by its kind."""
        optimizer, outside = self.optimizer, {}
        modes = optimizer.rounding.value, "saturate"
        if optimizer.k1:
            m, outside["momentum"] = narrow(m + (g - m) / 2**optimizer.k1, self.m_format, *modes, random("momentum"))
        else:
            m = g
        v, outside["square"] = narrow(v + (g * g - v) / 2**optimizer.k2, self.v_format, *modes, random("square"))
        seen = v or Fraction(2) ** -self.v_format.fraction_bits
        h = -64
        while seen >= Fraction(2) ** (2 * h + 1):  # until √seen < 2ʰ·√2
            h += 1
        ratio, c = seen / Fraction(4) ** h, Fraction(1)
        assert Fraction(1, 2) <= ratio < 2
        if optimizer.refined:
            bounds = ((Fraction(3, 4), 10), (Fraction(1), 9), (Fraction(3, 2), 7), (Fraction(2), 6))
            c = Fraction(next(eighths for bound, eighths in bounds if ratio < bound), 8)
        d = m * c * Fraction(2) ** (rate + self.bias(update) - h)
        unit, reach = Fraction(2) ** -self.source_fraction, Fraction(2) ** self.weight.integer_bits
        d = min(max(math.floor(d / unit) * unit, -reach), reach - unit)
        return Moved(d, m, v, outside)
