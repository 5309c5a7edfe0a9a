"""Find the line of each row, and refuse rows of unequal length."""

from __future__ import annotations

from collections.abc import Iterator
from csv import Error
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mgd_hw.data.csv.layout import Layout
from mgd_hw.data.csv.text import split_rows, text_lines
from python_ref.spec.error import Refusal

__all__ = ["Scan", "empty_at_end", "scan_rows", "uneven_row"]


@dataclass(frozen=True)
class Scan:
    """Result of a pass over the whole table.

    Attributes
    ----------
    lines : ndarray
        1-based line at which each row begins, including the first row, int64.
    second : int
        Byte offset at which the second row begins.
    trailing : int
        Number of columns at the end that are empty in every row after the first (or in the first row if it is the only one).
    """

    lines: np.ndarray
    second: int
    trailing: int


def scan_rows(path: Path, data: bytes, layout: Layout) -> Scan:
    """Find the line of each row, and check that all rows after the first have the same number of cells.

    Raises
    ------
    Refusal
        If a row has more or fewer cells than most, or cannot be read.
    """
    lines: list[int] = []
    second = layout.offset
    trailing = layout.width

    def counted() -> Iterator[str]:
        nonlocal second
        for line in text_lines(data, layout.offset):
            if not lines:
                second += len(line.encode())
            yield line

    try:
        for start, end, cells in split_rows(counted(), layout.delimiter):
            if lines and len(cells) != layout.width:
                raise uneven_row(path, layout.line + start + 1, layout.line + end + 1, len(cells), layout.width)
            if trailing and (lines or len(layout.rows) == 1):
                trailing = empty_at_end(cells, trailing)
            lines.append(layout.line + start + 1)
    except Error as error:
        place = f"the row after the one at line {lines[-1]}" if lines else "the first row"
        raise Refusal(f"{place} cannot be read ({error})", "Close its quotes.", file=path) from None
    return Scan(np.array(lines, np.int64), second, trailing)


def empty_at_end(cells: list[str], limit: int) -> int:
    """Return the number of empty cells at the end of a row, at most ``limit``."""
    count = 0
    while count < min(limit, len(cells)) and not cells[-1 - count].strip():
        count += 1
    return count


def uneven_row(path: Path, start: int, end: int, cells: int, width: int) -> Refusal:
    """Return the error about a row that has more or fewer cells than most.

    Parameters
    ----------
    path : Path
        Path of the csv file, used in the error message.
    start, end : int
        1-based lines at which the row begins and ends.
    cells, width : int
        Number of cells in this row and in most others.
    """
    place = f"line {start} has" if start == end else f"lines {start} to {end}, which quotes make one row, have"
    reason = f"{place} {cells} cell{'s' * (cells != 1)}, the other lines {width}"
    return Refusal(reason, "Give every line the same number of cells, and close all quotes.", file=path)
