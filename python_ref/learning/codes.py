"""The codes s as rows of a table without end: row p, one entry per perturbed quantity; any part of it, regenerated, never stored.

E(sᵢ·sⱼ) over the rows is 0 for i ≠ j. E(sᵢ²) is :attr:`Code.power`: 1 but for the sequential code, in which each quantity has its
turn in one row of D. So C̃·s/Δ is on average the gradient times that power, and *summed* over D sequential rows it is the gradient,
as everywhere in this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Protocol, Self

import numpy as np

from python_ref.perturbation import BitStream
from python_ref.spec.perturbation import Trinomial

__all__ = ["CODES", "Code", "RandomCode", "SequentialCode", "SinusoidalCode", "WalshCode", "WalshGrayCode"]

BLOCK_SIGNS = 1 << 16
"""Signs of parameters that are held at once where they come by rows."""


class Code(Protocol):
    """A perturbation code.

    Attributes
    ----------
    name : str
        In a design file.
    """

    name: ClassVar[str]

    @classmethod
    def seeded(cls, seed: int) -> Code:
        """The code with this seed, if it has one."""
        ...

    def power(self, quantities: int) -> float:
        """Mean of sᵢ² over the rows."""
        ...

    def period(self, quantities: int) -> int | None:
        """Rows after which it repeats; None if it is not meant to."""
        ...

    def rows(self, first: int, count: int, quantities: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """s of rows ``first`` … ``first + count − 1``, quantities ``start`` … ``stop − 1`` of all (int8 or float64, shape (count,
        stop − start))."""
        ...

    def add(self, row: int, quantities: int, start: int, value: float, source: np.ndarray, out: np.ndarray) -> None:
        """out = source + value·s, of the quantities from ``start`` on (both of shape (n,) and one type; they may be the same array)."""
        ...

    def spread(self, row: int, quantities: int, start: int, values: np.ndarray, out: np.ndarray) -> None:
        """out[i, b] += values[b]·s of quantity ``start + i`` in row ``row + b`` (shapes (n, B) and (B,), one type)."""
        ...


class _ByRows:
    """A code without a seed. It spends signs row by row, a block at a time, so that their memory does not depend on the network."""

    @classmethod
    def seeded(cls, seed: int) -> Self:
        """The code, which has no seed."""
        return cls()

    def add(self, row: int, quantities: int, start: int, value: float, source: np.ndarray, out: np.ndarray) -> None:
        """See :class:`Code`."""
        for first in range(0, len(out), BLOCK_SIGNS):
            part = slice(first, min(first + BLOCK_SIGNS, len(out)))
            s = self.rows(row, 1, quantities, start + part.start, start + part.stop)[0]  # type: ignore[attr-defined]
            out[part] = source[part] + s * out.dtype.type(value)

    def spread(self, row: int, quantities: int, start: int, values: np.ndarray, out: np.ndarray) -> None:
        """See :class:`Code`."""
        s = self.rows(row, len(values), quantities, start, start + len(out))  # type: ignore[attr-defined]
        out += s.T.astype(out.dtype) * values


@lru_cache(maxsize=32)
def _stream(seed: int) -> BitStream:
    return BitStream(Trinomial(127, 64, "signs"), seed)


@dataclass(frozen=True)
class RandomCode:
    """Signs ±1 from the hardware's generator, x¹²⁷ + x + 1: bit p·D + i is that of quantity i in row p; 1 means −1, and odd rows
    are inverted.

    The inversion makes the recurrence's own correlation of three signs alternate, so that a one-sided difference averages it out.

    Parameters
    ----------
    seed : int
        Of the generator.
    """

    seed: int = 1

    name: ClassVar[str] = "lfsr"

    @classmethod
    def seeded(cls, seed: int) -> RandomCode:
        """The code with this seed."""
        return cls(seed)

    def power(self, quantities: int) -> float:
        """1"""
        return 1.0

    def period(self, quantities: int) -> None:
        """None: 2¹²⁷ bits."""

    def rows(self, first: int, count: int, quantities: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """int8, ±1."""
        stop, stream = quantities if stop is None else stop, _stream(self.seed)
        width, signs = stop - start, np.empty((count, stop - start), np.int8)
        if width == quantities:
            np.copyto(signs, stream.bits(first * quantities, count * quantities).reshape(count, quantities), casting="unsafe")
        else:
            for row in range(count):
                np.copyto(signs[row], stream.bits((first + row) * quantities + start, width), casting="unsafe")
        turned = 1 - 2 * (np.arange(first, first + count) & 1).astype(np.int8)[:, None]  # +1 in even rows, −1 in odd ones
        signs *= -2 * turned
        signs += turned
        return signs

    def add(self, row: int, quantities: int, start: int, value: float, source: np.ndarray, out: np.ndarray) -> None:
        """See :class:`Code`; compiled, from 127 words at a time."""
        from python_ref.learning.signs import sign_stream

        sign_stream(self.seed).add(row * quantities + start, -value if row & 1 else value, source, out)

    def spread(self, row: int, quantities: int, start: int, values: np.ndarray, out: np.ndarray) -> None:
        """See :class:`Code`; compiled."""
        from python_ref.learning.signs import sign_stream

        turned = values * (1 - 2 * (np.arange(row, row + len(values)) & 1)).astype(values.dtype)
        sign_stream(self.seed).spread(row * quantities + start, quantities, turned, out)


def _walsh_rows(numbers: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Rows of the Walsh code, by their numbers (int64, shape (count,)), of quantities ``start`` … ``stop − 1`` (int8, ±1)."""
    odd = np.arange(start + 1, stop + 1, dtype=np.int64) & numbers[:, None]
    for shift in (32, 16, 8, 4, 2, 1):
        odd ^= odd >> shift
    return (1 - 2 * (odd & 1)).astype(np.int8)


@dataclass(frozen=True)
class WalshCode(_ByRows):
    """Signs ±1: −1 where the parity of ((i + 1) AND (p mod 2ᵐ)) is odd, 2ᵐ the smallest power of two above D. Row 0 of the matrix
    is not used."""

    name: ClassVar[str] = "walsh"

    def power(self, quantities: int) -> float:
        """1"""
        return 1.0

    def period(self, quantities: int) -> int:
        """2ᵐ"""
        return 1 << quantities.bit_length()

    def rows(self, first: int, count: int, quantities: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """int8, ±1."""
        p = np.arange(first, first + count, dtype=np.int64) % self.period(quantities)
        return _walsh_rows(p, start, quantities if stop is None else stop)


@dataclass(frozen=True)
class WalshGrayCode(WalshCode):
    """The rows of the Walsh code in Gray-code order: row p is its row p ⊕ ⌊p/2⌋, p being counted modulo 2ᵐ."""

    name: ClassVar[str] = "walsh-gray"

    def rows(self, first: int, count: int, quantities: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """int8, ±1."""
        p = np.arange(first, first + count, dtype=np.int64) % self.period(quantities)
        return _walsh_rows(p ^ (p >> 1), start, quantities if stop is None else stop)


@dataclass(frozen=True)
class SequentialCode(_ByRows):
    """One quantity at a time: +1 for number p mod D, 0 for the others."""

    name: ClassVar[str] = "sequential"

    def power(self, quantities: int) -> float:
        """1/D"""
        return 1.0 / quantities

    def period(self, quantities: int) -> int:
        """D"""
        return quantities

    def rows(self, first: int, count: int, quantities: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """int8, 0 or 1."""
        turn = np.arange(first, first + count, dtype=np.int64)[:, None] % quantities
        return (np.arange(start, quantities if stop is None else stop) == turn).astype(np.int8)


@dataclass(frozen=True)
class SinusoidalCode(_ByRows):
    """s = √2·sin(2π·(i + 1)·p/T), T = 2·(D + 1): orthogonal over a period, mean square 1, and odd in p, so that it collects no
    curvature."""

    name: ClassVar[str] = "sinusoidal"

    def power(self, quantities: int) -> float:
        """1"""
        return 1.0

    def period(self, quantities: int) -> int:
        """T"""
        return 2 * (quantities + 1)

    def rows(self, first: int, count: int, quantities: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """float64, −√2 to √2."""
        turns = self.period(quantities)
        p = np.arange(first, first + count, dtype=np.int64)[:, None] % turns
        index = np.arange(start + 1, (quantities if stop is None else stop) + 1, dtype=np.int64)
        return np.sqrt(2.0) * np.sin(2 * np.pi * (index * p % turns) / turns)


CODES: dict[str, type[Code]] = {code.name: code for code in (RandomCode, WalshCode, WalshGrayCode, SequentialCode, SinusoidalCode)}
"""The codes by their names in a design file."""
