"""The two ways in which a step narrows raw integers: a cast with the modes of the design, and saturation of a sum."""

from __future__ import annotations

import numpy as np

from python_ref.spec.formats import Cast
from python_ref.spec.number import Fixed, cast_raw

__all__ = ["narrow", "saturate"]


def narrow(raw: np.ndarray | int, source: Fixed, target: Fixed, cast: Cast, word: np.ndarray | int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return values (int64) cast from one format to another with the modes of ``cast``, and where they were out of range (bool)."""
    return cast_raw(raw, source, target, cast.rounding, cast.overflow, word)


def saturate(raw: np.ndarray, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """Return values (int64) clipped to low … high, and where they were outside (bool)."""
    kept = np.clip(raw, low, high)
    return kept, kept != raw
