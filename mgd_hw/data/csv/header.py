"""Decide whether the first row is a header, and describe the columns."""

from __future__ import annotations

import re

import numpy as np

from mgd_hw.data.csv.cells import Kind, decimal_marks, kind_of
from mgd_hw.data.csv.columns import LABEL_NAMES, Columns
from mgd_hw.data.csv.layout import Layout, no_samples, one_column
from mgd_hw.data.csv.notes import Notes, first_few
from mgd_hw.data.csv.request import Request
from mgd_hw.data.csv.rows import Scan, empty_at_end, uneven_row
from python_ref.spec.error import shown

__all__ = ["find_columns"]

_LEAST_ROWS = 4
"""Smallest number of rows below the first with which its numbers are compared."""
_MOST_ROWS = 100
"""Largest number of rows below the first with which its numbers are compared."""


def find_columns(request: Request, layout: Layout, scan: Scan, notes: Notes) -> Columns:
    """Decide whether the first row is a header, and describe the columns.

    Raises
    ------
    Refusal
        If the table has no samples or only one column, if its first row differs in length from the others, or if the first
        row may be either a header or a sample.
    """
    first, row_names = _aligned(request, layout, scan)
    is_header = _decide_header(request, layout, first, int(scan.lines[0]), notes)
    if not is_header and len(layout.rows[0]) != layout.width:
        raise uneven_row(request.path, int(scan.lines[0]), int(scan.lines[0]), len(layout.rows[0]), layout.width)
    if is_header and len(scan.lines) == 1:
        raise no_samples(request.path, "it holds a header and no samples")
    trailing = empty_at_end(first, scan.trailing)
    count = layout.width - trailing
    if count < 2:
        raise one_column(request.path)
    if trailing or len(layout.rows[0]) > layout.width:
        lines = "The header ends" if not trailing else "Lines end" if len(layout.rows[0]) >= layout.width else "Lines below the header end"
        notes.warn(f"{lines} with a delimiter, after which no cell follows; no column is made of it.")
    return Columns(count, _names(first[:count]) if is_header else None, row_names, layout.width)


def _names(cells: list[str]) -> list[str]:
    """Return the names in a header, without the comment mark that numpy.savetxt writes before the first."""
    return [re.sub(r"^[#%]\s+(?=\S)", "", cells[0]), *cells[1:]]


def _aligned(request: Request, layout: Layout, scan: Scan) -> tuple[list[str], bool]:
    """Return the first row, padded or cut to the width of the others, and whether it lacks a cell above row names."""
    first, width = layout.rows[0], layout.width
    missing = width - len(first)
    if missing == 0:
        return first, False
    if missing < 0 and not any(first[width:]):
        return first[:width], False
    if 0 < missing <= scan.trailing:
        return first + [""] * missing, False
    if missing == 1 and len(first) > 1 and request.header is not False:
        marks = decimal_marks(layout.delimiter, request.decimal)
        kinds = {kind_of(cell, marks) for cell in first}
        words = Kind.WORD in kinds <= {Kind.WORD, Kind.MISSING}  # "Na" may be the name of a column, for sodium
        if request.header or words or (_counts_up(first) and _counts_up([row[0] for row in layout.rows[1:]])):
            return ["", *first], True
    line = int(scan.lines[0])
    raise uneven_row(request.path, line, line, len(first), width)


def _decide_header(request: Request, layout: Layout, first: list[str], line: int, notes: Notes) -> bool:
    """Return whether the first row is a header, as the design file specifies or else as the cells suggest."""
    marks = decimal_marks(layout.delimiter, request.decimal)
    numbers = [cell for cell in first if kind_of(cell, marks) is Kind.NUMBER]
    body = [row for row in layout.rows[1:] if len(row) == layout.width]
    different = _difference(first, body, marks)
    if request.header is not None:
        if request.header and len(numbers) == len(first) and not _counts_up(numbers) and different is None:
            notes.warn(f"Line {line}, which data.header makes the header, holds numbers alone.")
        if not request.header and len(numbers) == len(first) > 2 and _counts_up(numbers):
            notes.warn(f"Line {line} counts {first_few(numbers)} like a header of numbers; data.header = false makes it a sample.")
        return request.header
    why = _header_evidence(request, first, body, marks, line)
    if why is None:
        same = f"line {line} has cells of the same kinds as the lines below"
        notes.guess("header", "none", same if body else "its only line has numbers")
        if different is not None:
            listed = f"{first_few(numbers)} in line {line} {different}"
            notes.warn(f"The numbers {listed}, so that the line may be a header. If it is one, write header = true in [data].")
        return False
    notes.guess("header", f"line {line} ({first_few([shown(cell) for cell in first])})", why)
    if numbers and len(numbers) < len(first) and not _counts_up(numbers):
        notes.warn(f"Line {line} is taken for the header, though it holds numbers ({first_few(numbers)}).")
    return True


def _header_evidence(request: Request, first: list[str], body: list[list[str]], marks: str, line: int) -> str | None:
    """Return why the first row is a header, as a clause, or None if it is not."""
    kinds = [kind_of(cell, marks) for cell in first]
    below = [[row[column] for row in body] for column in range(len(first))]
    if not body:
        return None if Kind.NUMBER in kinds or Kind.BOOLEAN in kinds else "it holds no numbers"
    for cell, kind, cells in zip(first, kinds, below, strict=True):
        found = {kind_of(each, marks) for each in set(cells)}
        if kind is Kind.WORD and Kind.WORD not in found and found & {Kind.NUMBER, Kind.BOOLEAN}:
            return f"{shown(cell)} stands above {'numbers' if Kind.NUMBER in found else 'booleans'}"
    fresh = [cell not in cells for cell, cells in zip(first, below, strict=True)]
    for cell, new in zip(first, fresh, strict=True):
        if new and cell.lower() in LABEL_NAMES:
            return f"{shown(cell)} is a usual name of a label, and does not occur below"
    if all(fresh) and all(kind in (Kind.WORD, Kind.MISSING) for kind in kinds):
        return "it holds words alone, none of which occurs below"
    return _counting_evidence(request, first, below, kinds, line)


def _difference(first: list[str], body: list[list[str]], marks: str) -> str | None:
    """Return how the numbers in the first row differ from those below them in nearly all columns, as a predicate, or None."""
    columns = [column for column, cell in enumerate(first) if kind_of(cell, marks) is Kind.NUMBER]
    rows = body[:_MOST_ROWS]
    if len(columns) < 2 or len(rows) < _LEAST_ROWS:
        return None
    top = np.array([_value(first[column], marks) for column in columns])
    below = np.array([[_value(row[column], marks) for column in columns] for row in rows])
    with np.errstate(all="ignore"):  # the difference of two infinities is NaN, also in columns of words
        low = np.where(np.isnan(below), np.inf, below).min(0)
        high = np.where(np.isnan(below), -np.inf, below).max(0)
        span = np.where(high > low, high - low, np.maximum(abs(low), abs(high)))
        far = (top < low - span) | (top > high + span)
        even = _is_even(top) and not any(map(_is_even, below))
    if _nearly_all(far):
        return "lie far outside the numbers below them"
    if even and _nearly_all((below != top).all(0)):
        return f"{'rise' if top[1] > top[0] else 'fall'} evenly, unlike those of the lines below"
    return None


def _value(cell: str, marks: str) -> float:
    """Return the number in a cell, or NaN if it holds none."""
    return float(cell.replace(",", ".")) if kind_of(cell, marks) is Kind.NUMBER else np.nan


def _is_even(values: np.ndarray) -> bool:
    """Return whether three or more numbers rise or fall by the same step."""
    steps = np.diff(values)
    return len(steps) > 1 and steps[0] != 0 and bool(np.allclose(steps, steps[0], rtol=1e-6, atol=0))


def _nearly_all(found: np.ndarray) -> bool:
    """Return whether at least three quarters of a boolean array are true."""
    return bool(found.mean() >= 0.75)


def _counting_evidence(request: Request, first: list[str], below: list[list[str]], kinds: list[Kind], line: int) -> str | None:
    """Return why a first row that counts up is a header, as a clause, or None if it is not one; refuse an ambiguous row."""
    numbers = [cell for cell, kind in zip(first, kinds, strict=True) if kind is Kind.NUMBER]
    if len(numbers) < 2 or not _counts_up(numbers):
        return None
    clause = f"it counts {first_few(numbers)} like the columns of a data frame"
    others = [column for column, kind in enumerate(kinds) if kind is not Kind.NUMBER]
    if others == [0] and not first[0] and _counts_up(below[0]):
        return clause
    if others:
        column = others[0]
        repeats = len(set(below[column])) * 2 <= len(below[column])
        named = kinds[column] is Kind.WORD and first[column] not in below[column] and repeats
        return clause if len(others) == 1 and len(numbers) > 2 and named else None
    fractions = any(re.search("[.,eE]", cell) for cells in below for cell in cells)
    plausible = all(cell in cells for cell, cells in zip(first, below, strict=True))
    if plausible or (len(numbers) == 2 and not fractions):
        reason = f"line {line} of {request.path} may be a header that counts {first_few(numbers)}, or a sample"
        raise request.refuse("header", reason, "Write header = true or header = false in [data].")
    return clause


def _counts_up(cells: list[str]) -> bool:
    """Return whether the cells are 0, 1, 2 … or 1, 2, 3 …, without signs, leading zeros or decimal marks."""
    return bool(cells) and cells[0] in ("0", "1") and cells == [str(int(cells[0]) + number) for number in range(len(cells))]
