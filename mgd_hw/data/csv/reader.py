"""Read the samples of a csv file, and record the decisions of the reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mgd_hw.data.csv.columns import choose_columns
from mgd_hw.data.csv.features import find_index_columns, read_inputs
from mgd_hw.data.csv.header import find_columns
from mgd_hw.data.csv.labels import read_answers
from mgd_hw.data.csv.layout import find_layout
from mgd_hw.data.csv.notes import Notes
from mgd_hw.data.csv.parsing import parse_cells
from mgd_hw.data.csv.request import Request
from mgd_hw.data.csv.rows import scan_rows
from mgd_hw.data.csv.text import read_utf8
from mgd_hw.data.raw import Guess

__all__ = ["Table", "read_csv"]


@dataclass(frozen=True)
class Table:
    """Samples of a csv file.

    Attributes
    ----------
    path : Path
        Path of the csv file that was read.
    names : tuple of str
        Names of the feature columns; "column 3" (counted from 0) in a file without a header.
    inputs : ndarray
        Feature values, shape (n, features), float64, all finite.
    index_columns : tuple of str or int
        Names, or numbers where they have no unique name, of feature columns that look like an index.
    answer_names : tuple of str
        Names of the label columns.
    answer_columns : tuple of str or int
        Names, or numbers where they have no unique name, of the label columns.
    answers : ndarray
        Labels, shape (n,), or (n, k) for k > 1 label columns: float64 if all cells are numbers, bool if all are
        booleans, and otherwise str of fixed width, without surrounding white space.
    lines : ndarray
        1-based line in the file at which each row begins, shape (n,), int64.
    guesses : tuple of Guess
        Decisions of the reader that the parameters leave open.
    warnings : tuple of str
        Warnings for the user, in whole sentences.
    """

    path: Path
    names: tuple[str, ...]
    inputs: np.ndarray
    index_columns: tuple[str | int, ...]
    answer_names: tuple[str, ...]
    answer_columns: tuple[str | int, ...]
    answers: np.ndarray
    lines: np.ndarray
    guesses: tuple[Guess, ...]
    warnings: tuple[str, ...]


def read_csv(
    path: Path,
    *,
    label: str | int | tuple[str | int, ...] | None = None,
    drop: tuple[str | int, ...] = (),
    header: bool | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    design_file: Path | None = None,
) -> Table:
    r"""Read a table of numeric features and labels of any kind.

    Parameters
    ----------
    path : Path
        A text file in UTF-8, or in UTF-16 with a byte order mark.
    label : str, int, tuple or None
        Label column or columns, by name or by number from 0 (negative from the end); None takes the column with a usual name
        of a label (:data:`LABEL_NAMES`), or else the last column that does not look like an index.
    drop : tuple of str or int
        Columns to leave out, by name or by number.
    header : bool or None
        Whether the first line holds the names of the columns; None decides by the cells.
    delimiter : str or None
        Delimiter, one ASCII character; a space stands for any run of spaces and tabs; None decides by the cells.
    decimal : str or None
        Decimal mark, "." or ","; None decides by the cells.
    design_file : Path or None
        Design file that sets the five parameters above, named in errors about them.

    Raises
    ------
    Refusal
        If the file cannot be read, is not a table of numbers with labels, or does not fit the parameters.
    """
    request = Request(path, label, drop, header, delimiter, decimal, design_file)
    request.check()
    notes = Notes()
    data = read_utf8(path)
    layout = find_layout(request, data, notes)
    scan = scan_rows(path, data, layout)
    columns = find_columns(request, layout, scan, notes)
    selection = choose_columns(request, layout, columns, notes)
    table = parse_cells(request, data, layout, scan, selection, notes)
    inputs = read_inputs(request, table, notes)
    answers = read_answers(table, notes)
    indices = find_index_columns(request, selection, inputs, notes)
    return Table(
        path=path,
        names=tuple(columns.name(column) for column in selection.features),
        inputs=inputs,
        index_columns=tuple(columns.address(column) for column in indices),
        answer_names=tuple(columns.name(column) for column in selection.labels),
        answer_columns=tuple(columns.address(column) for column in selection.labels),
        answers=answers,
        lines=table.lines,
        guesses=tuple(notes.guesses),
        warnings=tuple(notes.warnings),
    )
