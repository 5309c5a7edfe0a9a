"""The codes s as rows of a table without end: row p, one entry per perturbed quantity; any part of it, regenerated, never stored.

E(sᵢ·sⱼ) over the rows is 0 for i ≠ j. E(sᵢ²) is 1 but for the sequential code, in which each quantity has its turn in one row of D.
So C̃·s/Δ is on average the gradient times that power, and *summed* over D sequential rows it is the gradient, as everywhere in this
project.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from python_ref.fixed.perturbation import BitStream
from python_ref.spec import perturbation
from python_ref.spec.perturbation import Trinomial

__all__ = ["FLOAT_CODES", "Code", "DesignCode", "RandomCode", "SinusoidalCode"]


class Code(Protocol):
    """A perturbation code."""

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
        Seed that determines the starting state of the bit generator.
    """

    seed: int = 1

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
        from python_ref.floating.signs import sign_stream

        sign_stream(self.seed).add(row * quantities + start, -value if row & 1 else value, source, out)

    def spread(self, row: int, quantities: int, start: int, values: np.ndarray, out: np.ndarray) -> None:
        """See :class:`Code`; compiled."""
        from python_ref.floating.signs import sign_stream

        turned = values * (1 - 2 * (np.arange(row, row + len(values)) & 1)).astype(values.dtype)
        sign_stream(self.seed).spread(row * quantities + start, quantities, turned, out)


class _ByRows:
    """A code whose signs come by rows: all of them that a call needs, at once."""

    def add(self, row: int, quantities: int, start: int, value: float, source: np.ndarray, out: np.ndarray) -> None:
        """See :class:`Code`."""
        s = self.rows(row, 1, quantities, start, start + len(out))[0]  # type: ignore[attr-defined]
        out[:] = source + s * out.dtype.type(value)

    def spread(self, row: int, quantities: int, start: int, values: np.ndarray, out: np.ndarray) -> None:
        """See :class:`Code`."""
        s = self.rows(row, len(values), quantities, start, start + len(out))  # type: ignore[attr-defined]
        out += s.T.astype(out.dtype) * values


@dataclass(frozen=True, eq=False)
class DesignCode(_ByRows):
    """A code that the hardware has: the signs are those that its class in :mod:`python_ref.spec.perturbation` gives.

    Parameters
    ----------
    code : python_ref.spec.perturbation.Code
        The code. If it draws bits, quantity i takes bit p·D + i of the stream of :class:`RandomCode` in row p.
    order : array of int64, shape (D,), or None
        Index of each quantity, as the code counts them (:attr:`~python_ref.spec.layout.Layout.parameter_order` in weight perturbation);
        None if the index is the quantity's number.
    seed : int
        Seed of the bits that the code draws.
    """

    code: perturbation.Code
    order: np.ndarray | None = None
    seed: int = 1

    def period(self, quantities: int) -> int | None:
        """The number of phases; None if bits are drawn."""
        return None if self.code.generators(1) else self.code.period(quantities)

    def rows(self, first: int, count: int, quantities: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """int8, −1 to 1. A code is asked for whole rows, since its signs may depend on how many quantities there are."""
        index = np.arange(quantities) if self.order is None else self.order
        phase = self.code.phase(np.arange(first, first + count, dtype=np.int64)[:, None], quantities)
        if self.code.generators(1):
            drawn = _stream(self.seed).bits(first * quantities, count * quantities).reshape(count, quantities)
        else:
            drawn = np.broadcast_to(np.uint8(0), (count, quantities))
        return self.code.signs(index, phase, drawn)[:, start:stop]


@dataclass(frozen=True)
class SinusoidalCode(_ByRows):
    """s = √2·sin(2π·(i + 1)·p/T), T = 2·(D + 1): orthogonal over a period, mean square 1, and odd in p, so that the product of any
    three sums to zero over a period: a one-sided difference collects no curvature."""

    def period(self, quantities: int) -> int:
        """T"""
        return 2 * (quantities + 1)

    def rows(self, first: int, count: int, quantities: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """float64, −√2 to √2."""
        turns = self.period(quantities)
        p = np.arange(first, first + count, dtype=np.int64)[:, None] % turns
        index = np.arange(start + 1, (quantities if stop is None else stop) + 1, dtype=np.int64)
        return np.sqrt(2.0) * np.sin(2 * np.pi * (index * p % turns) / turns)


FLOAT_CODES: dict[str, type[Code]] = {"sinusoidal": SinusoidalCode}
"""The codes that no hardware has, by their names in a design file."""
