"""Classify single cells as numbers, booleans, missing values, infinities or words."""

from __future__ import annotations

import enum
import re

__all__ = ["NUMBER", "Kind", "decimal_marks", "foreign_form", "kind_of", "to_float"]

NUMBER = {
    ".": re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
    ",": re.compile(r"[+-]?(?:[0-9]+,?[0-9]*|,[0-9]+)(?:[eE][+-]?[0-9]+)?"),
}
"""Pattern of a number with each decimal mark; thousands separators, digits beyond ASCII and infinities do not match."""
_MISSING = frozenset(["", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nil", "?", "-", "--", "."])
"""Cells that stand for a missing value, in lower case."""
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
"""Pattern of an infinity."""
_MINUS = re.compile(r"^[\u2010-\u2013\u2212\uFE63\uFF0D]\s*")
"""Pattern of a dash or minus sign beyond ASCII in front of a cell."""
_CURRENCY = re.compile(r"(?<![^+-])[$€£¥₹]\s*|\s*[$€£¥₹]$")
"""Pattern of a currency sign after a number, or in front of it (behind its plus or minus sign)."""
_THOUSANDS = {
    mark: re.compile(rf"[+-]?[0-9]{{1,3}}(?:([.,_'’\s])[0-9]{{2,3}}(?=\1))*([.,_'’\s])[0-9]{{3}}(?:{re.escape(mark)}[0-9]*)?")
    for mark in NUMBER
}
"""Pattern of a number with thousands separators (in groups of two digits as well, as in India), for each decimal mark."""


class Kind(enum.Enum):
    """Kind of the contents of a cell.

    An infinity is "inf" or "infinity", with or without a sign. A cell of none of the first four kinds is a word.
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
    """Return the decimal marks that a number may have, in one string, for a delimiter and a value of the key ``data.decimal``."""
    return decimal or ("." if delimiter == "," else ".,")


def to_float(cell: str, decimal: str) -> float:
    """Return the float64 nearest to the number in a cell, or an infinity if the number is out of range."""
    return float(cell.replace(decimal, "."))


def foreign_form(cell: str, decimal: str) -> tuple[tuple[str, ...], str] | None:
    """Return how a word differs from a number and the corrected number, or None if the word is not a number in another form.

    Parameters
    ----------
    cell : str
        Cell that is a word.
    decimal : str
        Decimal mark of the file.

    Returns
    -------
    differences : tuple of str
        Features of the cell that numbers must not have, in the plural, such as "thousands separators".
    plain : str
        Number in the form that the reader accepts, such as "1000" for "1,000".
    """
    other = "," if decimal == "." else "."
    found = []
    plain = cell
    for what, pattern, instead in (
        ("Unicode minus signs", _MINUS, "-"),
        ("percent signs", re.compile(r"\s*%$"), ""),
        ("currency signs", _CURRENCY, ""),
    ):
        changed = pattern.sub(instead, plain)
        if changed != plain:
            found.append(what)
            plain = changed
    if not NUMBER[decimal].fullmatch(plain):
        if grouped := _THOUSANDS[decimal].fullmatch(plain):
            found.append("thousands separators")
            plain = plain.replace(grouped[2], "")
        elif NUMBER[other].fullmatch(plain):
            found.append("decimal commas" if other == "," else "decimal points")
            plain = plain.replace(other, decimal)
    return (tuple(found), plain) if found and NUMBER[decimal].fullmatch(plain) else None
