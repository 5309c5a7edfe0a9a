"""The design argument of the verbs: the path of a design file, the name of a shipped design, or a ``Design``."""

from __future__ import annotations

from pathlib import Path

from mgd_hw.design.description import Design, check_hardware
from mgd_hw.design.reader import load

__all__ = ["built", "read"]


def read(design: str | Path | Design) -> Design:
    """Read the design file with this path, or the shipped design with this name; return a ``Design`` unchanged."""
    return design if isinstance(design, Design) else load(design)


def built(design: str | Path | Design) -> Design:
    """Read a design as :func:`read` does, and check that hardware can do everything that it requests.

    Raises
    ------
    Refusal
        If it requests something that only the float model can do.
    """
    found = read(design)
    check_hardware(found)
    return found
