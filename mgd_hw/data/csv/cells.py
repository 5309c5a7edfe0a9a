"""Tell what a single cell holds: a number, a boolean, a missing value, an infinity or a word."""

from __future__ import annotations

import enum
import re

__all__ = ["NUMBER", "Kind", "decimal_marks", "kind_of", "to_float"]

NUMBER = {
    ".": re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
    ",": re.compile(r"[+-]?(?:[0-9]+,?[0-9]*|,[0-9]+)(?:[eE][+-]?[0-9]+)?"),
}
"""Pattern of a number with each decimal mark; thousands separators, digits beyond ASCII and infinities do not match."""
_MISSING = frozenset(["", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nil", "?", "-", "--", "."])
"""Cells that stand for a missing value, in lower case."""
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
"""Pattern of an infinity."""


class Kind(enum.Enum):
    """What a cell holds.

    An infinity is the word "inf" or "infinity" with or without a sign; what is none of the first four kinds is a word.
    """

    NUMBER = enum.auto()
    BOOLEAN = enum.auto()
    MISSING = enum.auto()
    INFINITE = enum.auto()
    WORD = enum.auto()


def kind_of(cell: str, marks: str) -> Kind:
    """Return the kind of a cell.

    Parameters
    ----------
    cell : str
        Cell, without white space around it.
    marks : str
        Decimal marks that a number may have: ".", ",", or ".,".
    """
    if any(NUMBER[mark].fullmatch(cell) for mark in marks):
        return Kind.NUMBER
    lower = cell.lower()
    if lower in ("true", "false"):
        return Kind.BOOLEAN
    if lower in _MISSING:
        return Kind.MISSING
    return Kind.INFINITE if _INFINITE.fullmatch(cell) else Kind.WORD


def decimal_marks(delimiter: str, decimal: str | None) -> str:
    """Return the decimal marks that a number may have, in one string, given the delimiter and the key ``data.decimal``."""
    return decimal or ("." if delimiter == "," else ".,")


def to_float(cell: str, decimal: str) -> float:
    """Return the float64 nearest to a cell that is a number with this decimal mark; beyond the range, an infinity."""
    return float(cell.replace(decimal, "."))
