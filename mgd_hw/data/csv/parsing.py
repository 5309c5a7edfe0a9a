"""Parse the cells of the label and feature columns with pandas, and determine the decimal mark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mgd_hw.data.csv.cells import NUMBER, Kind, kind_of
from mgd_hw.data.csv.columns import Columns, Selection
from mgd_hw.data.csv.layout import Layout
from mgd_hw.data.csv.notes import Notes
from mgd_hw.data.csv.request import Request
from mgd_hw.data.csv.rows import Scan
from python_ref.spec.error import Refusal

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ParsedTable", "parse_cells"]

_LIKE_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
"""Pattern of a number whose comma may be a decimal mark or separate thousands."""


@dataclass(frozen=True)
class ParsedTable:
    """Parsed cells of the label and feature columns.

    Attributes
    ----------
    path : Path
        Path of the csv file, used in error messages.
    selection : Selection
        Choice of the label columns and the feature columns.
    frame : pandas.DataFrame
        Feature columns as pandas parses them, and label columns as text; a column's name is its number in the file.
    lines : ndarray
        1-based line in the file at which each row begins, shape (n,), int64.
    decimal : str
        Decimal mark of the numbers in the file, "." or ",".
    """

    path: Path
    selection: Selection
    frame: pd.DataFrame
    lines: np.ndarray
    decimal: str

    @property
    def columns(self) -> Columns:
        """All columns of the table."""
        return self.selection.columns

    def place(self, row: int, column: int) -> str:
        """Return the place of a cell for messages, such as 'line 3, column 1 ("width")'; ``row`` counts from 0."""
        return f"line {self.lines[row]}, {self.columns.describe(column)}"

    def texts(self, column: int) -> list[str] | None:
        """Return the cells of a column without surrounding white space, or None if pandas parsed them as numbers or booleans."""
        series = self.frame[column]
        return None if series.dtype.kind in "iufb" else [str(cell).strip() for cell in series.tolist()]


def parse_cells(request: Request, data: bytes, layout: Layout, scan: Scan, selection: Selection, notes: Notes) -> ParsedTable:
    """Parse the label and feature columns, and determine the decimal mark.

    Raises
    ------
    Refusal
        If pandas cannot parse the table, or numbers have different decimal marks.
    """
    offset, first = (layout.offset, 0) if selection.columns.header is None else (scan.second, 1)
    lines = scan.lines[first:]

    def parsed(decimal: str) -> ParsedTable:
        frame = _parsed(request.path, data[offset:], layout.delimiter, decimal, selection, lines)
        return ParsedTable(request.path, selection, frame, lines, decimal)

    table = parsed(request.decimal or ".")
    if request.decimal is not None or layout.delimiter == ",":
        return table
    comma = _first_with(table, ",")
    if comma is None:
        return table
    thousands = all(_LIKE_THOUSANDS.fullmatch(text) for texts in _text_columns(table) for text in texts if _has_mark(text, ","))
    table = parsed(",")
    point = _first_with(table, ".")
    if point is not None:
        reason = f"line {comma[0]} has a decimal comma ({comma[1]}), line {point[0]} a decimal point ({point[1]})"
        raise Refusal(reason, "Write all numbers with the same decimal mark, and none for thousands.", file=request.path)
    notes.guess("decimal mark", "comma", f"line {comma[0]} holds {comma[1]}")
    if thousands:
        notes.warn(
            f"All numbers with a comma have three digits after it, such as {comma[1]} in line {comma[0]}, which is read as "
            f'{comma[1].replace(",", ".")}. If the commas separate thousands, remove them from the file, and write decimal = "." '
            'in [data]; if they are decimal marks, write decimal = ",".'
        )
    return table


def _parsed(path: Path, data: bytes, delimiter: str, decimal: str, selection: Selection, lines: np.ndarray) -> pd.DataFrame:
    """Parse the label and feature columns with pandas; refuse a table in which pandas and the standard library find different rows."""
    import pandas

    # pandas rounds correctly by default from 3.1 on; earlier versions need this option.
    exact = {} if tuple(map(int, pandas.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
    try:
        frame = pandas.read_csv(
            io.BytesIO(data),
            sep=r"\s+" if delimiter == " " else delimiter,
            decimal=decimal,
            header=None,
            names=range(selection.columns.width),
            usecols=sorted(selection.labels + selection.features),
            index_col=False,
            dtype=dict.fromkeys(selection.labels, str),
            na_filter=False,
            skipinitialspace=True,
            low_memory=False,
            encoding="utf-8",
            **exact,
        )
    except pandas.errors.ParserError as error:
        if "EOF inside string" not in str(error):
            raise Refusal(f"it cannot be parsed ({error})", "Check its quotes.", file=path) from None
        raise Refusal(f"the row at line {lines[-1]} has a quoted cell that does not end", "Close the quotes.", file=path) from None
    if len(frame) != len(lines):
        raise Refusal(f"its quotes can be read as {len(lines)} or as {len(frame)} rows", "Check its quotes.", file=path)
    return frame


def _first_with(table: ParsedTable, mark: str) -> tuple[int, str] | None:
    """Return the line and the text of the first number with this decimal mark, or None if there is none."""
    found = []
    for texts in _text_columns(table):
        row = next((row for row, text in enumerate(texts) if _has_mark(text, mark)), None)
        if row is not None:
            found.append((int(table.lines[row]), texts[row]))
    return min(found, default=None)


def _text_columns(table: ParsedTable) -> Iterator[list[str]]:
    """Yield the cells of each column that pandas leaves as text, except label columns that contain words."""
    labels = table.selection.labels
    for column in labels + table.selection.features:
        texts = table.texts(column)
        if texts is not None and (column not in labels or all(kind_of(text, ".,") is Kind.NUMBER for text in texts)):
            yield texts


def _has_mark(text: str, mark: str) -> bool:
    """Return whether a cell is a number that contains this decimal mark."""
    return mark in text and NUMBER[mark].fullmatch(text) is not None
