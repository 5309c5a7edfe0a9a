"""Read the labels: numbers, booleans or words."""

from __future__ import annotations

import numpy as np

from mgd_hw.data.csv.cells import Kind, kind_of, to_float
from mgd_hw.data.csv.columns import Columns
from mgd_hw.data.csv.notes import Notes, first_few
from mgd_hw.data.csv.parsing import ParsedTable
from mgd_hw.data.csv.request import Request
from mgd_hw.errors import UserError, shown

__all__ = ["LONGEST_LABEL", "read_answers"]

LONGEST_LABEL = 256
"""Length limit of a label that is a word, in characters."""


def read_answers(request: Request, cells: ParsedTable, columns: Columns, notes: Notes) -> np.ndarray:
    """Return the labels, shape (n,), or (n, k) for k > 1 label columns.

    They are float64 if all are numbers, bool if all are booleans, and else str of fixed width.

    Raises
    ------
    UserError
        If a label is missing, infinite or too long.
    """
    table = [cells.texts(column) for column in cells.labels]
    kinds: set[Kind] = set()
    for column, texts in zip(cells.labels, table, strict=True):
        assert texts is not None
        kinds |= _label_kinds(request, cells, columns, column, texts, notes)
    rows = [texts for texts in table if texts is not None]
    if kinds == {Kind.NUMBER}:
        answers = np.array([[to_float(text, cells.decimal) for text in texts] for texts in rows])
        _refuse_infinite(request, cells, columns, answers, rows)
    elif kinds == {Kind.BOOLEAN}:
        answers = np.array([[text.lower() == "true" for text in texts] for texts in rows])
    else:
        answers = np.array(rows, dtype=np.str_)
    return answers[0] if len(rows) == 1 else np.ascontiguousarray(answers.T)


def _label_kinds(request: Request, cells: ParsedTable, columns: Columns, column: int, texts: list[str], notes: Notes) -> set[Kind]:
    """Return the kinds of the cells of a label column; refuse missing labels, and warn of suspicious ones."""
    kinds = {text: kind_of(text, cells.decimal) for text in set(texts)}
    words = Kind.WORD in kinds.values()
    for row, text in enumerate(texts):
        place = f"line {cells.lines[row]}, {columns.describe(column)}"
        if not text or (kinds[text] is Kind.MISSING and not words):
            reason = f"{place}: the label is missing" + (f" ({shown(text)})" if text else "")
            raise UserError(reason, "Fill it in, or remove the line.", file=request.path)
        if kinds[text] is Kind.INFINITE and not words:
            raise UserError(f"{place}: the label is infinite ({text})", "Replace it, or remove the line.", file=request.path)
        if len(text) > LONGEST_LABEL:
            reason = f"{place}: the label has {len(text):,} characters, more than {LONGEST_LABEL}"
            raise UserError(reason, "Name the label column (data.label), or shorten the classes.", file=request.path)
    name = columns.describe(column)
    missing = sorted(text for text, kind in kinds.items() if kind is Kind.MISSING)
    if missing:
        count = sum(text in missing for text in texts)
        listed = first_few([shown(text) for text in missing])
        notes.warn(f"The label {listed} in {name} is taken for a class ({count} sample{'s' * (count != 1)}).")
    if len(set(kinds.values()) - {Kind.MISSING}) > 1:
        notes.warn(f"The labels in {name} are of several kinds, such as numbers and words; all are taken for words.")
    return set(kinds.values())


def _refuse_infinite(request: Request, cells: ParsedTable, columns: Columns, answers: np.ndarray, texts: list[list[str]]) -> None:
    """Refuse labels too large for float64."""
    for which, row in np.argwhere(~np.isfinite(answers))[:1]:
        place = f"line {cells.lines[row]}, {columns.describe(cells.labels[which])}"
        raise UserError(f"{place}: the label is too large for float64 ({texts[which][row][:40]})", "Replace it.", file=request.path)
