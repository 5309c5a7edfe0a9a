"""Read and check the labels, which are numbers, booleans or words."""

from __future__ import annotations

import numpy as np

from mgd_hw.data.csv.cells import Kind, foreign_form, kind_of, to_float
from mgd_hw.data.csv.notes import Notes, first_few
from mgd_hw.data.csv.parsing import ParsedTable
from python_ref.spec.error import Refusal, shown

__all__ = ["LONGEST_LABEL", "read_answers"]

LONGEST_LABEL = 256
"""Length limit of a label, in characters."""
_PUNCTUATION = " .,;:?_'\"`´‘’“”«»()[]{}"
"""Characters that seldom distinguish two classes when they surround the name, unlike the signs in "<=50K", "A+" and "C#"."""


def read_answers(table: ParsedTable, notes: Notes) -> np.ndarray:
    """Return the labels, shape (n,), or (n, k) for k > 1 label columns.

    The dtype is float64 if all labels are numbers, bool if all are booleans, and str of fixed width otherwise.

    Raises
    ------
    Refusal
        If a label is missing, infinite or too long.
    """
    cells: list[list[str]] = []
    kinds: set[Kind] = set()
    for column in table.selection.labels:
        texts = table.texts(column)
        assert texts is not None, "pandas parses label columns as text"
        kinds |= _label_kinds(table, column, texts, notes)
        cells.append(texts)
    if kinds == {Kind.NUMBER}:
        answers = np.array([[to_float(text, table.decimal) for text in texts] for texts in cells])
        _refuse_infinite(table, answers, cells)
    elif kinds == {Kind.BOOLEAN}:
        answers = np.array([[text.lower() == "true" for text in texts] for texts in cells])
    else:
        answers = np.array(cells, dtype=np.str_)
    return answers[0] if len(cells) == 1 else np.ascontiguousarray(answers.T)


def _label_kinds(table: ParsedTable, column: int, texts: list[str], notes: Notes) -> set[Kind]:
    """Return the kinds that occur in a label column; refuse invalid labels, and warn of suspicious ones."""
    kinds = {text: kind_of(text, table.decimal) for text in set(texts)}
    words = Kind.WORD in kinds.values()
    wrong = {text: fault for text, kind in kinds.items() if (fault := _fault(text, kind, words))}
    if wrong:
        row = next(row for row, text in enumerate(texts) if text in wrong)
        reason, remedy = wrong[texts[row]]
        raise Refusal(f"{table.place(row, column)}: {reason}", remedy, file=table.path)
    name = table.columns.describe(column)
    missing = sorted(text for text, kind in kinds.items() if kind is Kind.MISSING)
    if missing:
        count = sum(text in missing for text in texts)
        listed = first_few([shown(text) for text in missing])
        notes.warn(f"The label {listed} in {name} is taken for a class ({count} sample{'s' * (count != 1)}).")
    foreign = {text: foreign_form(text, table.decimal) for text, kind in kinds.items() if kind is Kind.WORD}
    first = next((text for text in texts if text in foreign), "")
    if (form := foreign.get(first)) and all(foreign.values()):
        notes.warn(
            f"The labels in {name} look like numbers with {' and '.join(form[0])}, such as {shown(first)}, and are taken for classes. "
            f"If they are numbers, write {form[1]} rather than {shown(first)}, and all others alike."
        )
    elif len(set(kinds.values()) - {Kind.MISSING}) > 1:
        notes.warn(f"The labels in {name} are of several kinds, such as numbers and words; all are taken for words.")
    if not set(kinds.values()) <= {Kind.NUMBER} and not set(kinds.values()) <= {Kind.BOOLEAN}:
        _warn_of_spellings(name, sorted(kinds), notes)
    return set(kinds.values())


def _warn_of_spellings(name: str, classes: list[str], notes: Notes) -> None:
    """Warn of classes in a column that differ only in case, white space or surrounding punctuation."""
    spellings: dict[str, list[str]] = {}
    for each in classes:
        plain = " ".join(each.casefold().strip(_PUNCTUATION).split())
        spellings.setdefault(plain or each, []).append(each)
    groups = [" and ".join(map(shown, group)) for group in spellings.values() if len(group) > 1]
    if groups:
        listed = "; ".join(groups[:4]) + "; …" * (len(groups) > 4)
        notes.warn(
            f"Classes in {name} differ only in case, white space or surrounding punctuation: {listed}. "
            "Spell them alike if they are the same."
        )


def _fault(text: str, kind: Kind, words: bool) -> tuple[str, str] | None:
    """Return the reason and the remedy for an invalid label, or None; ``words`` states whether the column contains words."""
    if not text or (kind is Kind.MISSING and not words):
        return "the label is missing" + (f" ({shown(text)})" if text else ""), "Fill it in, or remove the line."
    if kind is Kind.INFINITE and not words:
        return f"the label is infinite ({text})", "Replace it, or remove the line."
    if len(text) > LONGEST_LABEL:
        reason = f"the label has {len(text):,} characters, more than {LONGEST_LABEL}"
        return reason, "Name the label column (data.label), or shorten the classes."
    return None


def _refuse_infinite(table: ParsedTable, answers: np.ndarray, cells: list[list[str]]) -> None:
    """Refuse labels that are too large for float64; ``answers`` and ``cells`` have one row per label column."""
    for which, row in np.argwhere(~np.isfinite(answers))[:1]:
        reason = f"the label is too large for float64 ({cells[which][row][:40]})"
        raise Refusal(f"{table.place(row, table.selection.labels[which])}: {reason}", "Replace it.", file=table.path)
