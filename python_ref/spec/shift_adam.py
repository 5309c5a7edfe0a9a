"""Adam for hardware, with shifts in place of its division and its square root, taken from the position of the leading one of v.

With the accumulated gradient G and the memories m and v, all raw integers in formats of their own:

1. m ← cast_m(m − m·2^−k₁ + G·2^−k₁) and v ← cast_v(v − v·2^−k₂ + G²·2^−k₂), so β₁ = 1 − 2^−k₁ and β₂ = 1 − 2^−k₂.
2. E = ⌊log₂ v⌋, the place of the leading one; for v = 0, the last place of v, which takes the role of Adam's ε.
3. h = ⌊(E + 1)/2⌋, so that √v/2ʰ lies in [√½, √2).
4. c = 1. If ``refined``, c depends on √v/2ʰ, as far as h and the bit behind the leading one determine it: 1¼ below √0.75, 1⅛ from
   there to 1, ⅞ from 1 to √1.5, ¾ from there on. c·2^−h is then within 12.5 % of 1/√v instead of 41.4 %, at the cost of one addition.
5. d = m·c·2^(r − h + b), r = log₂ η, rounded down to :data:`REST_BITS` fraction bits more than θ has, and kept within twice the range of
   θ; u = cast_weight(d); θ ← saturate(θ − u).

The bias correction b is the same for all parameters and depends only on the number of the update: it is the integer nearest to
log₂(√(1 − β₂ᵗ)/(1 − β₁ᵗ)), t counted from 1; without bias correction, b = 0. The host adds it to r, as a rate that changes over the steps.

The algorithm is that of Kingma & Ba, ICLR 2015, algorithm 1, except for steps 2 to 5. The only multiplication left is the square of
G; all other operations are shifts and additions. Step 5 rounds down so that no random word has to be as long as the longest shift.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np

__all__ = ["REST_BITS", "bias_changes", "bias_shift", "leading_one", "moved"]

REST_BITS = 12
"""Number of fraction bits of an update before its last cast, beyond those of a parameter: rounding down moves a parameter by less than
2⁻¹² of its last place."""


@lru_cache(maxsize=4096)
def bias_shift(k1: int, k2: int, update: int) -> int:
    """Return the integer nearest to log₂ x with x = √(1 − β₂ᵗ)/(1 − β₁ᵗ), that is, b with 2^(2b − 1) ≤ x² < 2^(2b + 1).

    Updates are counted from 0, so t = update + 1.
    """
    t = update + 1
    if t >= 64 << max(k1, k2):  # both powers are below 2⁻⁶⁴, and x² is nearer to 1 than to a boundary
        return 0
    bits = 256 + t.bit_length()  # powers are multiples of 2^−bits, too small by at most t of these, which does not affect b
    powers = []
    for k in (k1, k2):
        power, base, rest = 1 << bits, (1 << bits) - (1 << (bits - k)), t
        while rest:
            power = power * base >> bits if rest & 1 else power
            base, rest = base * base >> bits, rest >> 1
        powers.append(power)
    square = Fraction(((1 << bits) - powers[1]) << bits, ((1 << bits) - powers[0]) ** 2)
    b = 0
    while square < Fraction(2) ** (2 * b - 1):
        b -= 1
    while square >= Fraction(2) ** (2 * b + 1):
        b += 1
    return b


@lru_cache(maxsize=64)
def bias_changes(k1: int, k2: int) -> tuple[tuple[int, int], ...]:
    """Return pairs (update, b): from that update on, counted from 0, b is the bias correction. The first pair is that of update 0."""
    t = np.arange(1, (64 << max(k1, k2)) + 2, dtype=np.float64)
    with np.errstate(divide="ignore"):
        ones = [-np.expm1(t * np.log1p(-(2.0**-k))) if k else np.ones_like(t) for k in (k1, k2)]
    above = 0.5 * np.log2(ones[1]) - np.log2(ones[0]) + 0.5
    b = np.floor(above).astype(np.int64)
    for update in np.flatnonzero(np.abs(above - np.rint(above)) < 1e-9).tolist():  # too near to a boundary for real numbers
        b[update] = bias_shift(k1, k2, update)
    places = [0, *(np.flatnonzero(np.diff(b)) + 1).tolist()]
    return tuple((place, int(b[place])) for place in places)


def leading_one(raw: np.ndarray) -> np.ndarray:
    """Return the position of the highest set bit (int64), counted from 0; 0 for a zero. ``raw`` must not be negative."""
    rest, place = np.array(raw, dtype=np.int64), np.zeros(np.shape(raw), dtype=np.int64)
    for bits in (32, 16, 8, 4, 2, 1):
        high = rest >> np.int64(bits) > 0
        place += np.where(high, bits, 0)
        rest = np.where(high, rest >> np.int64(bits), rest)
    return place


def moved(m: np.ndarray, v: np.ndarray, fraction_bits: int, left: int, *, refined: bool) -> np.ndarray:
    """Return ⌊m·c·2^(left − h)⌋ for raw m and v (int64), v with ``fraction_bits``; c in eighths, so times 8, if ``refined``."""
    place = leading_one(v)
    exponent = place - np.int64(fraction_bits)
    if refined:
        second = np.where(place > 0, (v >> np.maximum(place - 1, 0)) & 1, 0) > 0  # the bit behind the leading one
        eighths = np.where(exponent & 1, np.where(second, 1, 2), np.where(second, -2, -1))
        m = (m << np.int64(3)) + eighths * m
    places = np.int64(left) - ((exponent + 1) >> np.int64(1))
    return np.where(places >= 0, m << np.maximum(places, 0), m >> np.clip(-places, 0, 63))
