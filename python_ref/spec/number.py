"""Fixed-point formats, the exact growth of their arithmetic, and the single narrowing operation.

The machine represents a number as a raw integer with a :class:`Fixed` format. The formats of sums and products grow, so that these
are exact; only :func:`cast_raw` narrows, and its caller names both of its modes.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

import numpy as np

from python_ref.spec.error import unknown

__all__ = ["MAX_BITS", "Fixed", "Overflow", "Rounding", "cast_raw", "out_of_range", "round_raw"]

MAX_BITS = 63
"""Maximum width in bits of every intermediate result, so that int64 holds it exactly."""

_NOTATION = re.compile(r"(S|U)Q(-?\d+)\.(\d+)")


class Rounding(enum.Enum):
    """Rounding of a cast that drops bits; x is the value in units of the target's last place."""

    FLOOR = "floor"
    """⌊x⌋"""
    HALF_UP = "half-up"
    """⌊x + ½⌋"""
    HALF_EVEN = "half-even"
    """The nearest integer to x; a tie goes to the even neighbour."""
    STOCHASTIC = "stochastic"
    """⌊x + r⌋ with r uniform in [0, 1), as many random bits of the stochastic stream as the cast drops."""


class Overflow(enum.Enum):
    """Treatment of a rounded value that is out of the target's range."""

    SATURATE = "saturate"
    """Replace the value by the nearest end of the full two's-complement range."""
    WRAP = "wrap"
    """Keep the low bits."""


@dataclass(frozen=True)
class Fixed:
    """Fixed-point format, in which the raw integer r represents r · 2^(−fraction_bits).

    Parameters
    ----------
    signed : bool
        Whether raw integers are in two's complement.
    integer_bits : int
        Bits before the point, the sign included. Negative for formats whose most significant bit lies behind the
        point; only the sum with ``fraction_bits`` must be positive.
    fraction_bits : int
        Bits behind the point. Negative for multiples of a power of two.

    Raises
    ------
    TypeError
        If a field does not have its type.
    ValueError
        If the format has no bit, or more than 63.
    """

    signed: bool
    integer_bits: int
    fraction_bits: int

    def __post_init__(self) -> None:
        if not isinstance(self.signed, bool):
            raise TypeError(f"Signedness must be a bool, not {self.signed!r}")
        for name in ("integer_bits", "fraction_bits"):
            if not isinstance(getattr(self, name), int) or isinstance(getattr(self, name), bool):
                raise TypeError(f"Number of {name.replace('_', ' ')} must be an int, not {getattr(self, name)!r}")
        if not 1 <= self.width <= MAX_BITS:
            raise ValueError(f"Format must have 1 to {MAX_BITS} bits, not {self.width}: {self}")

    @classmethod
    def parse(cls, text: str) -> Fixed:
        """Read a format from the notation ``SQ4.12`` (signed, 4 integer bits with the sign, 12 fraction bits) or ``UQ0.8``.

        A number of integer bits may be negative: ``SQ-3.19`` has 16 bits, and holds numbers below 2⁻⁴.

        Raises
        ------
        TypeError
            If ``text`` is not a string.
        ValueError
            If ``text`` is not in this notation, or describes an impossible format.
        """
        if not isinstance(text, str):
            raise TypeError(f"Format must be a string such as 'SQ4.12', not {text!r}")
        match = _NOTATION.fullmatch(text)
        if match is None or len(text) > 12:
            raise ValueError(f"Format must look like 'SQ4.12' or 'UQ0.8', not {text!r}")
        return cls(match[1] == "S", int(match[2]), int(match[3]))

    @classmethod
    def covering(cls, low: int, high: int, fraction_bits: int) -> Fixed:
        """Return the narrowest format with ``fraction_bits`` that holds the raw integers ``low`` to ``high``."""
        if low > high:
            raise ValueError(f"Range must not be empty, not {low} to {high}")
        signed = low < 0
        width = max(1, max(high, 0).bit_length() + signed, (~low).bit_length() + 1 if signed else 0)
        return cls(signed, width - fraction_bits, fraction_bits)

    def __str__(self) -> str:
        return f"{'S' if self.signed else 'U'}Q{self.integer_bits}.{self.fraction_bits}"

    @property
    def width(self) -> int:
        """Total number of bits."""
        return self.integer_bits + self.fraction_bits

    @property
    def min(self) -> int:
        """Smallest raw integer."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        """Largest raw integer."""
        return (1 << (self.width - self.signed)) - 1

    def __add__(self, other: Fixed) -> Fixed:
        """Return the format that holds every sum exactly."""
        fraction = max(self.fraction_bits, other.fraction_bits)
        mine, theirs = fraction - self.fraction_bits, fraction - other.fraction_bits
        return self.covering((self.min << mine) + (other.min << theirs), (self.max << mine) + (other.max << theirs), fraction)

    def __sub__(self, other: Fixed) -> Fixed:
        """Return the format that holds every difference exactly."""
        fraction = max(self.fraction_bits, other.fraction_bits)
        mine, theirs = fraction - self.fraction_bits, fraction - other.fraction_bits
        return self.covering((self.min << mine) - (other.max << theirs), (self.max << mine) - (other.min << theirs), fraction)

    def __mul__(self, other: Fixed) -> Fixed:
        """Return the format that holds every product exactly."""
        ends = [a * b for a in (self.min, self.max) for b in (other.min, other.max)]
        return self.covering(min(ends), max(ends), self.fraction_bits + other.fraction_bits)

    def scaled(self, exponent: int) -> Fixed:
        """Return the format in which the same raw integer represents 2^``exponent`` times the value, without shifting a bit."""
        return Fixed(self.signed, self.integer_bits + exponent, self.fraction_bits - exponent)

    def to_raw(self, value: np.ndarray | float, rounding: Rounding = Rounding.HALF_EVEN) -> np.ndarray:
        """Quantise real numbers (float64, any shape) to raw integers (int64) by the given rounding, with saturation.

        Raises
        ------
        ValueError
            If a value is NaN, or ``rounding`` is not FLOOR, HALF_UP or HALF_EVEN.
        """
        scaled = np.ldexp(np.asarray(value, dtype=np.float64), self.fraction_bits)
        if np.isnan(scaled).any():
            raise ValueError("Values must be numbers, not NaN")
        if rounding is Rounding.HALF_EVEN:
            scaled = np.rint(scaled)
        elif rounding in (Rounding.FLOOR, Rounding.HALF_UP):
            scaled = np.floor(scaled + 0.5 * (rounding is Rounding.HALF_UP))
        else:
            raise ValueError(f"Rounding of real numbers must be FLOOR, HALF_UP or HALF_EVEN, not {rounding!r}")
        inside = np.clip(scaled, -(2.0**62), 2.0**62).astype(np.int64)
        return np.clip(inside, self.min, self.max)

    def to_real(self, raw: np.ndarray | int) -> np.ndarray:
        """Return the real values (float64) of raw integers, exact up to 53 bits."""
        return np.ldexp(np.asarray(raw, dtype=np.float64), -self.fraction_bits)


def round_raw(raw: np.ndarray | int, dropped: int, rounding: Rounding, word: np.ndarray | int = 0) -> np.ndarray:
    """Drop the ``dropped`` low bits of raw integers and round the rest.

    Parameters
    ----------
    raw : array of int64
        Integers to round, of any shape.
    dropped : int
        Number of bits to drop; a negative number shifts left instead, which is exact in every mode.
    rounding : Rounding
        Rounding mode: how the dropped bits affect the result.
    word : array of int64
        Random words, broadcast against ``raw``; STOCHASTIC uses their low ``dropped`` bits.
    """
    raw = np.asarray(raw, dtype=np.int64)
    if dropped <= 0:
        return raw << np.int64(-dropped)
    shift = np.int64(min(dropped, MAX_BITS))
    low_bits = (np.int64(1) << shift) - 1 if shift < MAX_BITS else np.int64(2**63 - 1)
    half = np.int64(1) << (shift - 1)
    kept, rest = raw >> shift, raw & low_bits
    match rounding:
        case Rounding.FLOOR:
            return kept
        case Rounding.HALF_UP:
            return kept + (rest >= half)
        case Rounding.HALF_EVEN:
            return kept + ((rest > half) | ((rest == half) & ((kept & 1) == 1)))
        case Rounding.STOCHASTIC:
            return kept + (rest + (np.asarray(word, dtype=np.int64) & low_bits) >> shift)
        case _:
            raise unknown("Rounding", rounding, "python_ref.spec.number.round_raw")


def out_of_range(raw: np.ndarray, target: Fixed) -> np.ndarray:
    """Return where raw integers do not fit ``target`` (bool, the shape of ``raw``); saturation counters count these."""
    return (raw < target.min) | (raw > target.max)


def cast_raw(
    raw: np.ndarray | int,
    source: Fixed,
    target: Fixed,
    rounding: Rounding,
    overflow: Overflow,
    word: np.ndarray | int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Narrow raw integers from one format to another; no other function narrows.

    Parameters
    ----------
    raw : array of int64
        Values in the format ``source``, of any shape.
    source, target : Fixed
        Formats before and after the cast. Widening the fraction is exact.
    rounding, overflow : Rounding, Overflow
        Modes of the cast, applied in this order.
    word : array of int64
        Random words for STOCHASTIC, broadcast against ``raw``.

    Returns
    -------
    (array of int64, array of bool)
        The values in the format ``target``, and where the rounded value was out of its range.
    """
    rounded = round_raw(raw, source.fraction_bits - target.fraction_bits, rounding, word)
    outside = out_of_range(rounded, target)
    match overflow:
        case Overflow.SATURATE:
            return np.clip(rounded, target.min, target.max), outside
        case Overflow.WRAP:
            return _wrapped(rounded, target), outside
        case _:
            raise unknown("Overflow", overflow, "python_ref.spec.number.cast_raw")


def _wrapped(raw: np.ndarray, target: Fixed) -> np.ndarray:
    """Return the low bits of raw integers as raw integers of ``target``."""
    if not target.signed:
        return raw & np.int64((1 << target.width) - 1)
    above = np.int64(64 - target.width)
    return raw << above >> above
