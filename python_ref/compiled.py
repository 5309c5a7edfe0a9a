"""Compilation of hot loops, in one place: import this module where it is needed, since it imports numba."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba

__all__ = ["compiled"]


@cache
def _sources() -> str:
    """Digest of this package's sources."""
    sha = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        sha.update(path.read_bytes())
    return sha.hexdigest()


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that compiles, and keeps the result on disk where that is possible.

    What is kept holds for the sources of this whole package: numba itself looks only at the file of a function, not at those of the
    functions that it calls.

    Parameters
    ----------
    **options
        As :func:`numba.njit` takes them.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            found = numba.njit(cache=True, **options)(function)
            kept = found._cache._cache_file
            kept._source_stamp = (kept._source_stamp, _sources())
        except (RuntimeError, AttributeError):  # numba finds no directory that it could write, or keeps its results otherwise
            return numba.njit(**options)(function)
        return found

    return decorate
