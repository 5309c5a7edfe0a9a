"""The cast of the oracles, by the words of its definition."""

from __future__ import annotations

import math
from fractions import Fraction

from python_ref.spec.number import Fixed

__all__ = ["narrow"]

HALF = Fraction(1, 2)


def narrow(value: Fraction, target: Fixed, rounding: str, overflow: str, random: Fraction = Fraction(0)) -> tuple[Fraction, bool]:
    """A value in a format, by the words of the definition; and whether the rounded value was out of its range."""
    x = value * Fraction(2) ** target.fraction_bits
    down = math.floor(x)
    if rounding == "floor":
        n = down
    elif rounding == "half-up":
        n = math.floor(x + HALF)
    elif rounding == "half-even":
        n = down + (x - down > HALF or (x - down == HALF and down % 2 == 1))
    else:
        n = math.floor(x + random)
    bits = target.integer_bits + target.fraction_bits
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if target.signed else (0, 2**bits - 1)
    outside = not low <= n <= high
    n = min(max(n, low), high) if overflow == "saturate" else (n - low) % 2**bits + low
    return n / Fraction(2) ** target.fraction_bits, outside
