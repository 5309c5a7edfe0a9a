"""The design argument of the verbs: the path of a design file, the name of a shipped design, or a ``Design``."""

from __future__ import annotations

from pathlib import Path

from mgd_hw.design.description import Design, check_hardware
from mgd_hw.design.external import ExternalDesign, not_served
from mgd_hw.design.reader import load, load_any

__all__ = ["built", "read", "read_any"]


def read(design: str | Path | Design) -> Design:
    """Read the design file with this path, or the shipped design with this name; return a ``Design`` unchanged.

    Raises
    ------
    Refusal
        If it does not describe a valid design, or if its network is outside.
    """
    if isinstance(design, ExternalDesign):
        raise not_served(design)
    return design if isinstance(design, Design) else load(design)


def read_any(design: str | Path | Design | ExternalDesign) -> Design | ExternalDesign:
    """Read a design as :func:`read` does; its network may be outside."""
    return design if isinstance(design, (Design, ExternalDesign)) else load_any(design)


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
