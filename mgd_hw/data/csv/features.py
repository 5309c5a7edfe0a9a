"""Read the feature values, and find feature columns that look like an index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mgd_hw.data.csv.cells import NUMBER, Kind, foreign_form, kind_of, to_float
from mgd_hw.data.csv.columns import Selection
from mgd_hw.data.csv.index import index_evidence
from mgd_hw.data.csv.notes import Notes, capitalized, first_few
from mgd_hw.data.csv.parsing import ParsedTable
from mgd_hw.data.csv.request import Request
from python_ref.spec.error import Refusal, shown

__all__ = ["find_index_columns", "read_inputs"]


@dataclass(frozen=True)
class _Fault:
    """Feature cell that is not a finite number.

    Attributes
    ----------
    column, row : int
        Column and row of the cell, counted from 0; the header is not counted as a row.
    kind : Kind
        Kind of the contents of the cell.
    text : str
        Contents of the cell, as the error message quotes them.
    wordy : bool
        Whether most cells of the column are words.
    """

    column: int
    row: int
    kind: Kind
    text: str
    wordy: bool = False


def read_inputs(request: Request, table: ParsedTable, notes: Notes) -> np.ndarray:
    """Return the feature values, float64, shape (n, features), all finite; booleans are read as 1 and 0.

    Raises
    ------
    Refusal
        If a cell is missing, infinite, or not a number.
    """
    features = table.selection.features
    values = np.zeros((len(table.lines), len(features)))
    booleans: list[int] = []
    faults: list[_Fault] = []
    for position, column in enumerate(features):
        found = _column_values(table, column)
        if isinstance(found, _Fault):
            faults.append(found)
            continue
        values[:, position] = found
        if found.dtype.kind == "b":
            booleans.append(column)
    for row, position in np.argwhere(~np.isfinite(values))[:1]:
        kind = Kind.MISSING if np.isnan(values[row, position]) else Kind.INFINITE
        faults.append(_Fault(features[position], int(row), kind, str(values[row, position])))
    if faults:
        raise _refusal(request, table, faults)
    if booleans:
        listed = first_few([table.columns.describe(column) for column in booleans])
        several = len(booleans) > 1
        notes.warn(capitalized(f"{listed} {'hold' if several else 'holds'} booleans, read as 1 for true and 0 for false."))
    return values


def _column_values(table: ParsedTable, column: int) -> np.ndarray | _Fault:
    """Return the values of a feature column, shape (n,), or its first fault; the dtype is bool if all cells are booleans."""
    texts = table.texts(column)
    if texts is None:
        return table.frame[column].to_numpy()
    kinds = [kind_of(text, table.decimal) for text in texts]
    if all(kind is Kind.NUMBER for kind in kinds):
        return np.array([to_float(text, table.decimal) for text in texts])
    if all(kind is Kind.BOOLEAN for kind in kinds):
        return np.array([text.lower() == "true" for text in texts])
    return _fault(column, texts, kinds)


def _fault(column: int, texts: list[str], kinds: list[Kind]) -> _Fault:
    """Return the first faulty cell of a column of mixed kinds: a word if most are words, or else one of an unexpected kind."""
    words = [row for row, kind in enumerate(kinds) if kind is Kind.WORD]
    if 2 * len(words) > sum(kind is not Kind.MISSING for kind in kinds):
        return _Fault(column, words[0], Kind.WORD, texts[words[0]], True)
    expected = Kind.NUMBER if Kind.NUMBER in kinds or Kind.BOOLEAN not in kinds else Kind.BOOLEAN
    row = next(row for row, kind in enumerate(kinds) if kind is not expected)
    return _Fault(column, row, kinds[row], texts[row])


def _refusal(request: Request, table: ParsedTable, faults: list[_Fault]) -> Refusal:
    """Return the error about the columns of words if there are any, or else about the first faulty cell."""
    wordy = [fault for fault in faults if fault.wordy]
    if wordy:
        return _refused_columns(request, table, wordy)
    fault = min(faults, key=lambda fault: (fault.row, fault.column))
    form = foreign_form(fault.text, table.decimal)
    if fault.kind is Kind.MISSING:
        reason = "the value is missing" + (f" ({shown(fault.text)})" if fault.text else "")
        left_out = request.drop_line(table.columns.address(fault.column))
        remedy = f"Fill it in, remove the line, or leave the column out with {left_out} in [data]."
    elif fault.kind is Kind.INFINITE or NUMBER[table.decimal].fullmatch(fault.text):
        reason, remedy = f"the value is infinite or too large for float64 ({fault.text})", "Replace it, or remove the line."
    elif form is not None:
        reason, remedy = f"the value is not a number: {shown(fault.text)}", f"Write {form[1]} instead, without {' or '.join(form[0])}."
    else:
        reason = f"the value is not a number: {shown(fault.text)}"
        mark = "point" if table.decimal == "." else "comma"
        remedy = f"Write numbers with a decimal {mark}, without units and without thousands separators."
    return Refusal(f"{table.place(fault.row, fault.column)}: {reason}", remedy, file=table.path)


def _refused_columns(request: Request, table: ParsedTable, wordy: list[_Fault]) -> Refusal:
    """Return the error about the first column of words and all columns like it: columns of words, or of numbers in the same form."""
    columns = table.columns
    fault = wordy[0]
    form = _column_form(table, fault.column)
    alike = [each for each in wordy if _column_form(table, each.column) == form]
    more = f", and so {'does' if len(alike) == 2 else 'do'} {first_few([columns.describe(each.column) for each in alike[1:]])}"
    what = f"numbers with {' and '.join(form)}" if form else "words"
    reason = f"{columns.describe(fault.column)} holds {what}, such as {shown(fault.text)} in line {table.lines[fault.row]}"
    left_out = request.drop_line(*(columns.address(each.column) for each in alike))
    if form:
        found = foreign_form(fault.text, table.decimal)
        assert found is not None, "every word of the column has such a form"
        remedy = (
            f"Write {found[1]} rather than {shown(fault.text)}, and all others alike, or leave out the column with {left_out} in [data]."
        )
    else:
        remedy = f"Leave out columns of words with {left_out} in [data], or encode them as numbers."
        labels = [each.column for each in alike if _may_be_classes(table, each.column)]
        if labels and table.selection.by_place and _are_numbers(table, table.selection.labels[0]):
            label = columns.describe(table.selection.labels[0])
            remedy = f"If a column of words is the label, rather than {label}, write {columns.label_lines(labels)} in [data]. {remedy}"
    return Refusal(f"{reason}{more if alike[1:] else ''}", remedy, file=table.path)


def _column_form(table: ParsedTable, column: int) -> tuple[str, ...]:
    """Return how the first word of a column differs from a number; empty unless all words are numbers in another form."""
    words = [text for text in table.texts(column) or [] if kind_of(text, table.decimal) is Kind.WORD]
    forms = [foreign_form(text, table.decimal) for text in dict.fromkeys(words)]
    return forms[0][0] if forms and forms[0] and all(forms) else ()


def _may_be_classes(table: ParsedTable, column: int) -> bool:
    """Return whether a column contains the same text twice, as a column of classes does and a column of names does not."""
    texts = table.texts(column) or []
    return len(set(texts)) < len(texts)


def _are_numbers(table: ParsedTable, column: int) -> bool:
    """Return whether all cells of a column are numbers."""
    return all(kind_of(text, table.decimal) is Kind.NUMBER for text in table.texts(column) or [])


def find_index_columns(request: Request, selection: Selection, inputs: np.ndarray, notes: Notes) -> list[int]:
    """Return the feature columns that look like an index, and warn of each; choose_columns has already warned of row names.

    Parameters
    ----------
    request : Request
        Parameters of the reader, used in the warnings.
    selection : Selection
        Choice of the label columns and the feature columns.
    inputs : ndarray
        Feature values, shape (n, features), float64.
    notes : Notes
        Collects the warnings for the user.
    """
    found = []
    columns = selection.columns
    for column, values in zip(selection.features, inputs.T, strict=True):
        if columns.row_names and column == 0:
            found.append(column)
            continue
        how = index_evidence(columns.header[column] if columns.header else None, values)
        if how is None:
            continue
        found.append(column)
        name = capitalized(columns.describe(column)) if columns.name(column) else f"Column {column}, which has no name,"
        line = request.drop_line(columns.address(column))
        notes.warn(f"{name} {how} like an index, and is a feature here. If it is one, write {line} in [data].")
    return found
