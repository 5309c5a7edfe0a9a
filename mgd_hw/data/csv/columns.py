"""Describe and look up the columns of the table, and choose the label columns and the feature columns."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

import numpy as np

from mgd_hw.data.csv.cells import NUMBER
from mgd_hw.data.csv.index import index_evidence
from mgd_hw.data.csv.layout import Layout
from mgd_hw.data.csv.notes import Notes, capitalized, first_few
from mgd_hw.data.csv.request import Request
from python_ref.spec.error import shown

__all__ = ["LABEL_NAMES", "Columns", "Selection", "choose_columns"]

LABEL_NAMES = frozenset(
    {"label", "labels", "class", "classes", "class_label", "class label", "target", "targets", "target_class", "y"}
    | {"output", "outputs", "ground_truth", "ground truth", "y_true", "category", "cluster", "species", "variety"}
    | {"outcome", "diagnosis", "quality", "survived", "death_event", "heartdisease", "churn", "exited", "attrition"}
    | {"loan_status", "default payment next month", "default.payment.next.month", "is_fraud"}
    | {"mpg", "medv", "medhouseval", "median_house_value", "saleprice"}
)
"""Usual column names of a label, in lower case; "y" is one only if no column "x" makes it a coordinate."""


@dataclass(frozen=True)
class Columns:
    """Columns of the table, without empty columns at the end.

    Attributes
    ----------
    count : int
        Number of columns in the table.
    header : list of str or None
        Names of the columns; None if the file has no header.
    row_names : bool
        Whether column 0 holds row names, for which the header has no cell.
    width : int
        Number of cells per row in the file, including empty cells at the end.
    """

    count: int
    header: list[str] | None
    row_names: bool
    width: int

    def name(self, column: int) -> str:
        """Return the name of a column, or "column 3" in a file without a header."""
        return f"column {column}" if self.header is None else self.header[column]

    def describe(self, column: int) -> str:
        """Return the designation of a column in messages, such as 'column 3 ("sex")': its number, and its name if it has one."""
        name = self.header[column] if self.header else ""
        return f"column {column} ({shown(name)})" if name else f"column {column}"

    def address(self, column: int) -> str | int:
        """Return the value that selects a column in the design file: its name, or its number if it has no unique name."""
        name = self.header[column] if self.header else ""
        return name if name and self.header and self.header.count(name) == 1 else column

    def label_lines(self, candidates: list[int]) -> str:
        """Return the lines of a design file that make the label one of the first few candidates: ``label = "a" or label = "b"``."""
        return " or ".join(f"label = {shown(self.address(column))}" for column in candidates[:4])

    def find(self, request: Request, key: str, wanted: str | int) -> int:
        """Return the number of the column that a key of the design file selects.

        Parameters
        ----------
        request : Request
            Parameters of the reader, used in error messages.
        key : str
            Key within [data], for errors: "label" or "drop".
        wanted : str or int
            Name of the column, or its number from 0; a negative number counts from the end.

        Raises
        ------
        Refusal
            If no column matches, or more than one does.
        """
        if isinstance(wanted, bool) or not isinstance(wanted, (int, str)):
            raise request.refuse(key, "a column is neither a name nor a number", "Give its name in quotes, or its number from 0.", wanted)
        if isinstance(wanted, int):
            if not -self.count <= wanted < self.count:
                remedy = f"Columns count from 0 to {self.count - 1}; -1 is the last."
                raise request.refuse(key, f"{request.path} has {self.count} columns", remedy, wanted)
            return wanted % self.count
        if self.header is None:
            raise request.refuse(key, f"{request.path} has no header line", "Give the number of the column, from 0.", wanted)
        found = [number for number, name in enumerate(self.header) if name == wanted.strip()]
        if len(found) > 1:
            numbers = ", ".join(map(str, found))
            raise request.refuse(key, f"{request.path} has several columns of this name", f"Give one by its number: {numbers}.", wanted)
        if not found:
            raise request.refuse(key, f"{request.path} has no column of this name", self._similar(wanted), wanted)
        return found[0]

    def _similar(self, wanted: str) -> str:
        """Return the sentence that names the column most like ``wanted``, or else the first columns."""
        assert self.header is not None
        lower = {name.lower(): name for name in self.header if name}
        near = difflib.get_close_matches(wanted.strip().lower(), list(lower), 1)
        if near:
            return f"Did you mean {shown(lower[near[0]])}?"
        return f"Its columns are {', '.join(self.header[:12])}{', …' * (len(self.header) > 12)}."


@dataclass(frozen=True)
class Selection:
    """Choice of the columns that are read.

    Attributes
    ----------
    columns : Columns
        All columns of the table.
    labels : list of int
        Numbers of the label columns, in the order of ``data.label``.
    features : list of int
        Numbers of the feature columns, in the order of the file.
    by_place : bool
        Whether the label is chosen by its position, because neither the design file nor a usual name identifies it.
    """

    columns: Columns
    labels: list[int]
    features: list[int]
    by_place: bool


def choose_columns(request: Request, layout: Layout, columns: Columns, notes: Notes) -> Selection:
    """Choose the label columns and the feature columns.

    Raises
    ------
    Refusal
        If a key selects a column that does not exist, if several columns have a usual name of a label and the design file
        names none, or if no label or no feature is left.
    """
    dropped = {columns.find(request, "drop", wanted) for wanted in request.drop}
    if len(dropped) == columns.count:
        raise request.refuse("drop", f"no column of {request.path} is left", "Drop fewer columns.", list(request.drop))
    kept = [column for column in range(columns.count) if column not in dropped]
    named = _usual_labels(columns, kept)
    if request.label is not None:
        labels = _wanted_labels(request, columns, request.label, dropped)
    elif named:
        labels = [_named_label(request, columns, named, notes)]
    else:
        labels = [_last_label(layout, columns, kept, notes)]
    features = [column for column in kept if column not in labels]
    if not features:
        raise request.refuse("drop", f"no column of {request.path} is left as an input", "Drop fewer columns.", list(request.drop))
    if request.label is not None:
        for column in sorted(set(named) & set(features)):
            notes.warn(f"{capitalized(columns.describe(column))} has a usual name of a label, and is a feature here.")
    if columns.row_names and 0 in features:
        notes.warn(
            "The header has one cell fewer than the lines below, so that column 0 holds row names, and is a feature here. "
            f"Leave it out with {request.drop_line(0)} in [data]."
        )
    return Selection(columns, labels, features, request.label is None and not named)


def _usual_labels(columns: Columns, kept: list[int]) -> list[int]:
    """Return the kept columns that have a usual name of a label.

    A column "y" is a coordinate in a table with a column "x", or with columns such as "x1" and "y1", unless "x" and "y" are the
    only columns kept.
    """
    if columns.header is None:
        return []
    names = [name.lower() for name in columns.header]
    numbered = [{name[1:] for name in names if re.fullmatch(f"{letter}[0-9]+", name)} for letter in "xy"]
    coordinates = "x" in names or bool(numbered[0] & numbered[1])
    pair = sorted(names[column] for column in kept) == ["x", "y"]
    return [column for column in kept if names[column] in LABEL_NAMES and (names[column] != "y" or pair or not coordinates)]


def _wanted_labels(request: Request, columns: Columns, label: str | int | tuple[str | int, ...], dropped: set[int]) -> list[int]:
    """Return the columns that ``data.label`` names; refuse an empty list, duplicates, and dropped columns."""
    wanted = label if isinstance(label, tuple) else (label,)
    labels = [columns.find(request, "label", each) for each in wanted]
    if not labels or len(set(labels)) < len(labels):
        reason = "it names a column twice" if labels else "it names no column"
        raise request.refuse("label", reason, "Name each label column once.", list(wanted))
    both = [column for column in labels if column in dropped]
    if both:
        reason = f"it holds {columns.describe(both[0])}, which is the label"
        raise request.refuse("drop", reason, "Take it out of data.drop, or name another label.", list(request.drop))
    return labels


def _named_label(request: Request, columns: Columns, named: list[int], notes: Notes) -> int:
    """Return the column with a usual name of a label; refuse several such columns."""
    if len(named) > 1:
        listed = first_few([columns.describe(column) for column in named])
        reason = f"several columns of {request.path} have a usual name of a label: {listed}"
        raise request.refuse("label", reason, f"Write {columns.label_lines(named)} in [data].")
    notes.guess("label", columns.describe(named[0]), "its name is a usual one of a label, and no other column has such a name")
    return named[0]


def _last_label(layout: Layout, columns: Columns, kept: list[int], notes: Notes) -> int:
    """Return the last kept column that does not look like an index, or the last one if all of them do."""
    last = max(kept)
    label = next((column for column in sorted(kept, reverse=True) if _sampled_evidence(layout, columns, column) is None), last)
    which = "it is the last" if label == last else "it is the last that does not look like an index"
    notes.guess("label", columns.describe(label), f"{which}, and no column has a usual name of a label")
    how = _sampled_evidence(layout, columns, last)
    if how is not None:
        name = capitalized(columns.describe(last))
        fate = "is taken for the label all the same" if label == last else f"is not taken for the label; {columns.describe(label)} is"
        remedy = (
            "Name another column with data.label."
            if label == last
            else f"If it is the label, write {columns.label_lines([last])} in [data]."
        )
        notes.warn(f"{name}, the last, {how} like an index, and {fate}. {remedy}")
    return label


def _sampled_evidence(layout: Layout, columns: Columns, column: int) -> str | None:
    """Return the evidence in the first rows that a column is an index, as a predicate, or None if there is none."""
    if columns.row_names and column == 0:
        return "holds row names"
    rows = layout.rows[1:] if columns.header else layout.rows
    cells = [row[column] for row in rows if len(row) == layout.width]
    if not all(NUMBER["."].fullmatch(cell) for cell in cells):
        return None
    return index_evidence(columns.header[column] if columns.header else None, np.array(list(map(float, cells))))
