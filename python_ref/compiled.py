"""Compilation of hot loops, in one place: import this module where it is needed, since it imports numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["compiled"]


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that compiles, and keeps the result on disk where that is possible.

    Parameters
    ----------
    **options
        As :func:`numba.njit` takes them.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # numba finds no directory that it could write
            return numba.njit(**options)(function)

    return decorate
