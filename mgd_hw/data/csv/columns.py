"""Name and find the columns of the table, and choose which are labels and which are features."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from mgd_hw.data.csv.notes import Notes, capitalized, first_few
from mgd_hw.data.csv.request import Request
from mgd_hw.errors import shown

__all__ = ["LABEL_NAMES", "Columns", "Selection", "choose_columns"]

LABEL_NAMES = frozenset(
    {"label", "labels", "class", "classes", "class_label", "class label", "target", "targets", "y"}
    | {"category", "species", "variety", "outcome", "diagnosis"}
)
"""Column names that mark the label, in lower case."""


@dataclass(frozen=True)
class Columns:
    """The columns of the table, without empty ones at the end.

    Attributes
    ----------
    count : int
        Number of columns.
    header : list of str or None
        Names of the columns; None if the file has no header.
    row_names : bool
        Whether column 0 holds row names, for which the header has no cell.
    width : int
        Number of cells of a row in the file, empty ones at the end included.
    """

    count: int
    header: list[str] | None
    row_names: bool
    width: int

    def name(self, column: int) -> str:
        """Return the name of a column, or "column 3" in a file without a header."""
        return f"column {column}" if self.header is None else self.header[column]

    def describe(self, column: int) -> str:
        """Return a column as messages show it, such as 'column 3 ("sex")': its number, and its name if it has one."""
        name = self.header[column] if self.header else ""
        return f"column {column} ({shown(name)})" if name else f"column {column}"

    def address(self, column: int) -> str | int:
        """Return what selects a column in the design file: its name, or its number if it has no unique name."""
        name = self.header[column] if self.header else ""
        return name if name and self.header and self.header.count(name) == 1 else column

    def find(self, request: Request, key: str, wanted: str | int) -> int:
        """Return the number of a column that a key of the design file selects.

        Parameters
        ----------
        request : Request
            Parameters of the reader, for errors.
        key : str
            Key within [data], for errors: "label" or "drop".
        wanted : str or int
            Name, or number from 0, negative from the end.

        Raises
        ------
        UserError
            If no column, or more than one, fits.
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
    """The columns in use.

    Attributes
    ----------
    columns : Columns
        All columns of the table.
    labels : list of int
        Numbers of the label columns, in the order of ``data.label``.
    features : list of int
        Numbers of the feature columns, in the order of the file.
    """

    columns: Columns
    labels: list[int]
    features: list[int]


def choose_columns(request: Request, columns: Columns, notes: Notes) -> Selection:
    """Choose the label columns and the feature columns.

    Raises
    ------
    UserError
        If a key selects a column that does not exist, or no label or no feature is left.
    """
    dropped = {columns.find(request, "drop", wanted) for wanted in request.drop}
    named = [
        column
        for column in range(columns.count)
        if columns.header and columns.header[column].lower() in LABEL_NAMES and column not in dropped
    ]
    if len(dropped) == columns.count:
        raise request.refuse("drop", f"no column of {request.path} is left", "Drop fewer columns.", list(request.drop))
    if request.label is None:
        labels = [_guessed_label(columns, named, dropped, notes)]
    else:
        wanted = request.label if isinstance(request.label, tuple) else (request.label,)
        labels = [columns.find(request, "label", each) for each in wanted]
        if not labels or len(set(labels)) < len(labels):
            reason = "it names a column twice" if labels else "it names no column"
            raise request.refuse("label", reason, "Name each label column once.", list(wanted))
        both = [column for column in labels if column in dropped]
        if both:
            reason = f"it holds {columns.describe(both[0])}, which is the label"
            raise request.refuse("drop", reason, "Take it out of data.drop, or name another label.", list(request.drop))
    features = [column for column in range(columns.count) if column not in dropped and column not in labels]
    if not features:
        raise request.refuse("drop", f"no column of {request.path} is left as an input", "Drop fewer columns.", list(request.drop))
    if request.label is not None:
        for column in sorted(set(named) & set(features)):
            notes.warn(f"{capitalized(columns.describe(column))} has a usual name of a label, and is a feature here.")
    return Selection(columns, labels, features)


def _guessed_label(columns: Columns, named: list[int], dropped: set[int], notes: Notes) -> int:
    """Return the only column with a usual name of a label, or else the last that is not dropped."""
    if len(named) == 1:
        notes.guess("label", columns.describe(named[0]), "its name is a usual one of a label, and no other column has such a name")
        return named[0]
    last = max(set(range(columns.count)) - dropped)
    several = f"several columns have a usual name of a label ({first_few([columns.name(each) for each in named])})"
    notes.guess("label", columns.describe(last), f"it is the last, and {several if named else 'no column has a usual name of a label'}")
    return last
