"""A design as the verbs take it: the path of its file, the name of a shipped design, or a design that was read before."""

from __future__ import annotations

from pathlib import Path

from mgd_hw.design.description import Design, check_hardware
from mgd_hw.design.reader import load

__all__ = ["built", "read"]


def read(design: str | Path | Design) -> Design:
    """The design of a path or of the name of a shipped design; a design that was read before is returned as it is."""
    return design if isinstance(design, Design) else load(design)


def built(design: str | Path | Design) -> Design:
    """The same, checked to request nothing that only the float model does.

    Raises
    ------
    Refusal
        If it requests such a thing.
    """
    found = read(design)
    check_hardware(found)
    return found
