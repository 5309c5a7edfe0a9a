"""Compilation of hot loops by numba; import this module only where it is used, since it imports numba."""

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
    """Return a digest of this package's sources."""
    sha = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        sha.update(path.read_bytes())
    return sha.hexdigest()


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that compiles a function and caches the result on disk if possible.

    The cache is valid only for the sources of this whole package; numba itself checks the file of a function, but not the files of the
    functions that it calls.

    Parameters
    ----------
    **options
        Keyword arguments of :func:`numba.njit`.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            found = numba.njit(cache=True, **options)(function)
            kept = found._cache._cache_file
            kept._source_stamp = (kept._source_stamp, _sources())
        except (RuntimeError, AttributeError):  # numba finds no writable directory, or has a different cache
            return numba.njit(**options)(function)
        return found

    return decorate
