"""Perturbation codes s as rows of an infinite table: row p has one entry per perturbed quantity. Any part of it can be regenerated, so
that none is stored.

E(sᵢ·sⱼ) over the rows is 0 for i ≠ j. E(sᵢ²) is 1, except for the sequential code, in which each quantity is perturbed in one of D
rows. C̃·s/Δ is thus on average the gradient times E(sᵢ²); *summed* over D sequential rows it is the gradient, as everywhere in this
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
        """Return the number of rows after which the code repeats; None if it is not meant to repeat."""
        ...

    def rows(self, first: int, count: int, quantities: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return s in rows ``first`` … ``first + count − 1``, for quantities ``start`` … ``stop − 1`` out of ``quantities``.

        The result is int8 or float64, of shape (count, stop − start).
        """
        ...

    def add(self, row: int, quantities: int, start: int, value: float, source: np.ndarray, out: np.ndarray) -> None:
        """Compute out = source + value·s for the quantities from ``start`` on.

        ``source`` and ``out`` have the shape (n,) and one type; they may be the same array.
        """
        ...

    def spread(self, row: int, quantities: int, start: int, values: np.ndarray, out: np.ndarray) -> None:
        """Compute out[i, b] += values[b]·s of quantity ``start + i`` in row ``row + b`` (shapes (n, B) and (B,), one type)."""
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
        """Return None, since the period of the generator is 2¹²⁷ − 1 bits."""

    def rows(self, first: int, count: int, quantities: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return signs ±1 (int8); see :class:`Code`."""
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
        """Compute out = source + value·s; see :class:`Code`. A compiled loop generates the signs from 127 words at a time."""
        from python_ref.floating.signs import sign_stream

        sign_stream(self.seed).add(row * quantities + start, -value if row & 1 else value, source, out)

    def spread(self, row: int, quantities: int, start: int, values: np.ndarray, out: np.ndarray) -> None:
        """Compute out[i, b] += values[b]·s; see :class:`Code`. The loop is compiled."""
        from python_ref.floating.signs import sign_stream

        turned = values * (1 - 2 * (np.arange(row, row + len(values)) & 1)).astype(values.dtype)
        sign_stream(self.seed).spread(row * quantities + start, quantities, turned, out)


class _ByRows:
    """Base of codes that compute whole rows, all that a call requires at once."""

    def add(self, row: int, quantities: int, start: int, value: float, source: np.ndarray, out: np.ndarray) -> None:
        """Compute out = source + value·s; see :class:`Code`."""
        s = self.rows(row, 1, quantities, start, start + len(out))[0]  # type: ignore[attr-defined]
        out[:] = source + s * out.dtype.type(value)

    def spread(self, row: int, quantities: int, start: int, values: np.ndarray, out: np.ndarray) -> None:
        """Compute out[i, b] += values[b]·s; see :class:`Code`."""
        s = self.rows(row, len(values), quantities, start, start + len(out))  # type: ignore[attr-defined]
        out += s.T.astype(out.dtype) * values


@dataclass(frozen=True, eq=False)
class DesignCode(_ByRows):
    """A code of the hardware, whose signs its class in :mod:`python_ref.spec.perturbation` computes.

    Parameters
    ----------
    code : python_ref.spec.perturbation.Code
        Code that computes the signs. If it draws bits, quantity i takes bit p·D + i of the stream of :class:`RandomCode` in row p.
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
        """Return the number of phases, or None if bits are drawn."""
        return None if self.code.generators(1) else self.code.period(quantities)

    def rows(self, first: int, count: int, quantities: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return signs −1, 0 or 1 (int8); see :class:`Code`.

        Whole rows are computed, since the signs may depend on the number of quantities.
        """
        index = np.arange(quantities) if self.order is None else self.order
        phase = self.code.phase(np.arange(first, first + count, dtype=np.int64)[:, None], quantities)
        if self.code.generators(1):
            drawn = _stream(self.seed).bits(first * quantities, count * quantities).reshape(count, quantities)
        else:
            drawn = np.broadcast_to(np.uint8(0), (count, quantities))
        return self.code.signs(index, phase, drawn)[:, start:stop]


@dataclass(frozen=True)
class SinusoidalCode(_ByRows):
    """s = √2·sin(2π·(i + 1)·p/T) with T = 2·(D + 1).

    The sinusoids are orthogonal over a period, have mean square 1, and are odd in p, so that the product of any three sums to zero over a
    period, and a one-sided difference accumulates no curvature.
    """

    def period(self, quantities: int) -> int:
        """Return T."""
        return 2 * (quantities + 1)

    def rows(self, first: int, count: int, quantities: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return values from −√2 to √2 (float64); see :class:`Code`."""
        turns = self.period(quantities)
        p = np.arange(first, first + count, dtype=np.int64)[:, None] % turns
        index = np.arange(start + 1, (quantities if stop is None else stop) + 1, dtype=np.int64)
        return np.sqrt(2.0) * np.sin(2 * np.pi * (index * p % turns) / turns)


FLOAT_CODES: dict[str, type[Code]] = {"sinusoidal": SinusoidalCode}
"""Codes that exist in the float model only, by their names in a design file."""
