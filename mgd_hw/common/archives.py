"""Open npz files that users give."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

__all__ = ["UNREADABLE", "opened_archive"]

UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    SyntaxError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""Errors that numpy and zipfile raise for a file that is damaged, or that is no npz file."""


@contextmanager
def opened_archive(path: Path) -> Iterator[NpzFile]:
    """Open an npz file, without unpickling, and close it at the end of the block.

    Raises
    ------
    ValueError
        If the file is a single array; with the end of an archive behind it, zipfile takes it for one.
    Exception
        Another one of :data:`UNREADABLE`, here or where an array is read.
    """
    with zipfile.ZipFile(path):
        pass
    arrays = np.load(path, allow_pickle=False)
    if not isinstance(arrays, NpzFile):
        raise ValueError("it is a single array, not an archive of arrays")
    with arrays:
        yield arrays
