"""Adam with shifts in raw integers: :class:`~python_ref.spec.shift_adam.ShiftAdam`, bit for bit what hardware would compute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from python_ref.spec.number import Fixed, Overflow, Rounding, cast_raw
from python_ref.spec.shift_adam import ShiftAdam

__all__ = ["Moved", "leading_one", "step"]


def leading_one(raw: np.ndarray) -> np.ndarray:
    """Return the position of the highest set bit (int64), counted from 0; 0 for a zero. ``raw`` must not be negative."""
    rest, place = np.array(raw, dtype=np.int64), np.zeros(np.shape(raw), dtype=np.int64)
    for bits in (32, 16, 8, 4, 2, 1):
        high = rest >> np.int64(bits) > 0
        place += np.where(high, bits, 0)
        rest = np.where(high, rest >> np.int64(bits), rest)
    return place


@dataclass(frozen=True, eq=False)
class Moved:
    """Result of an update: u, m and v (int64, shape (P,)), and the numbers of saturated values, by kind."""

    update: np.ndarray
    m: np.ndarray
    v: np.ndarray
    saturated: dict[str, int]


def step(spec: ShiftAdam, m: np.ndarray, v: np.ndarray, gradient: np.ndarray, update: int, word: np.ndarray | int = 0) -> Moved:
    """Compute one update.

    Parameters
    ----------
    spec : ShiftAdam
        Optimizer settings: the formats, the decays and the learning rate.
    m, v, gradient : arrays of int64, shape (P,)
        Raw values of m and v before the update, and of G.
    update : int
        Number of the update, counted from 0.
    word : array of int64
        Random words of a stochastic cast.
    """
    g = np.asarray(gradient, dtype=np.int64)
    m, m_outside = _mean(m, spec.m, g, spec.gradient, spec.k1, spec.m_sum)
    square = Fixed.covering(0, spec.gradient.min**2, 2 * spec.gradient.fraction_bits)
    v, v_outside = _mean(v, spec.v, g * g, square, spec.k2, spec.v_sum)

    place = leading_one(v)
    exponent = place - np.int64(spec.v.fraction_bits)
    h = (exponent + 1) >> np.int64(1)
    moved = m << (np.int64(spec.roots[1]) - h)
    if spec.refined:
        second = np.where(place > 0, (v >> np.maximum(place - 1, 0)) & 1, 0) > 0  # the bit behind the leading one
        eighths = np.where(exponent & 1, np.where(second, 1, 2), np.where(second, -2, -1))
        moved = (moved << np.int64(3)) + eighths * moved
    source = spec.move.scaled(spec.bias_shift(update))
    u, u_outside = cast_raw(moved, source, spec.weight, spec.rounding, spec.overflow, word)
    counted = {"momentum": m_outside, "square": v_outside, "update": u_outside}
    return Moved(u, m, v, {kind: int(np.count_nonzero(outside)) for kind, outside in counted.items()})


def _mean(mean: np.ndarray, kept: Fixed, new: np.ndarray, form: Fixed, k: int, exact: Fixed) -> tuple[np.ndarray, np.ndarray]:
    """Return cast(mean − mean·2⁻ᵏ + new·2⁻ᵏ), rounded to the nearest, and where it was out of range."""
    aligned = np.asarray(mean, dtype=np.int64) << np.int64(exact.fraction_bits - kept.fraction_bits)
    total = aligned - (aligned >> np.int64(k)) + (new << np.int64(exact.fraction_bits - form.scaled(-k).fraction_bits))
    return cast_raw(total, exact, kept, Rounding.HALF_EVEN, Overflow.SATURATE)
