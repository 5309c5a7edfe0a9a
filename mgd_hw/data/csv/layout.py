"""Determine where the table begins, and its delimiter, from the first lines of the text."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator
from csv import Error
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mgd_hw.data.csv.cells import NUMBER, Kind, decimal_marks, kind_of
from mgd_hw.data.csv.notes import Notes
from mgd_hw.data.csv.request import Request, can_delimit
from mgd_hw.data.csv.text import refuse_other_formats, split_rows, text_lines
from python_ref.spec.error import Refusal, shown

__all__ = ["Layout", "find_layout", "no_samples", "one_column"]

_SAMPLE_ROWS = 1000
"""Largest number of lines from which the delimiter and the header are determined."""
_SAMPLE_CHARACTERS = 1 << 20
"""Number of characters after which no more of these lines are read, except for the first 20."""
_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar", " ": "spaces"}
"""Candidate delimiters in order of preference, with their names; a space stands for any run of spaces and tabs."""


@dataclass(frozen=True)
class Layout:
    """Beginning of the table, its delimiter, and its first rows.

    Attributes
    ----------
    delimiter : str
        Delimiter of the cells; a space stands for any run of spaces and tabs.
    offset, line : int
        Byte and line, both counted from 0, at which the table begins, after comments and ``sep=``.
    rows : list of list of str
        Cells of the first rows, without white space around them.
    width : int
        Number of cells in most rows after the first.
    """

    delimiter: str
    offset: int
    line: int
    rows: list[list[str]]
    width: int


def find_layout(request: Request, data: bytes, notes: Notes) -> Layout:
    """Determine where the table begins, and its delimiter.

    Parameters
    ----------
    request : Request
        Parameters of the reader, of which the delimiter and the decimal mark are used.
    data : bytes
        Text in UTF-8, each line ended by LF.
    notes : Notes
        Collects the guess of the delimiter and the warning of comments.

    Raises
    ------
    Refusal
        If the text holds no samples, has another format, has one column with each of the usual delimiters, or names a
        delimiter by ``sep=`` that cannot be one.
    """
    lines = text_lines(data)
    lead: list[str] = []
    first = None
    declared = None
    for line in lines:
        found = re.fullmatch(r'"?sep=(.)"?\s*', line, re.IGNORECASE) if not lead else None
        if found:
            declared = found[1]
        elif line.strip() and not line.startswith(("#", "%")):
            first = line
            break
        lead.append(line)
    refuse_other_formats(request.path, first or "")
    if first is None:
        body = [line for line in lead if line.strip()]
        body = body[1:] if declared else body
        if not body:
            raise no_samples(request.path, "it holds no samples")
        lead = lead[: lead.index(body[0])]
    else:
        body = [first, *_limited(lines, len(first))]
    if declared and not request.delimiter and not can_delimit(declared):
        reason = f"line 1 names the delimiter {shown(declared)}, which cannot stand between cells"
        raise Refusal(reason, "Write sep=; there, for example, or name the delimiter (data.delimiter).", file=request.path)
    delimiter = request.delimiter or declared or _delimiter(request, body, notes)
    rows = _sample_rows(body, delimiter) or [[]]
    start = _table_start(lead, delimiter, len(rows[0]), declared is not None)
    _warn_of_comments(lead[:start], notes)
    rows = [*_sample_rows(lead[start:], delimiter), *rows]
    return Layout(delimiter, sum(len(line.encode()) for line in lead[:start]), start, rows, _usual_width(rows))


def no_samples(path: Path, reason: str) -> Refusal:
    """Return the error about a file without samples; ``reason`` is a clause."""
    return Refusal(reason, "Give one line per sample: its inputs and its label.", file=path)


def one_column(path: Path) -> Refusal:
    """Return the error about a file whose lines have one cell, or whose other cells are all empty."""
    remedy = "Give the inputs and the label of a sample in one line, with commas between, or name the delimiter (data.delimiter)."
    return Refusal("it has one column", remedy, file=path)


def _limited(lines: Iterator[str], characters: int) -> Iterator[str]:
    """Yield the first lines up to the limits of the sample; ``characters`` is the number of characters already read."""
    for number, line in enumerate(islice(lines, _SAMPLE_ROWS)):
        yield line
        characters += len(line)
        if number >= 20 and characters > _SAMPLE_CHARACTERS:
            return


def _sample_rows(lines: list[str], delimiter: str) -> list[list[str]]:
    """Return the rows in some lines, up to the first that cannot be read; a quoted cell left open ends with the last line."""
    rows = []
    with contextlib.suppress(Error):
        for _, _, cells in split_rows(lines, delimiter):
            rows.append([cell.strip() for cell in cells])
    return rows


def _usual_width(rows: list[list[str]]) -> int:
    """Return the number of cells in most rows after the first, or in the first row if an open quote has joined the others."""
    body = rows[1:] or rows
    width = Counter(map(len, body)).most_common(1)[0][0]
    return len(rows[0]) if width == 1 and any("\n" in row[0] for row in body if row) else width


def _delimiter(request: Request, lines: list[str], notes: Notes) -> str:
    """Return the candidate delimiter with the best score: the most even rows with the most numbers."""
    scores = {}
    for delimiter in _DELIMITERS:
        if delimiter == "," == request.decimal:
            continue
        rows = _sample_rows(lines, delimiter) or [[]]
        scores[delimiter] = _score(rows, delimiter, request.decimal)
    best = max(scores, key=lambda delimiter: scores[delimiter])
    if scores[best] == 0:
        raise one_column(request.path)
    if best != "," or max(score for each, score in scores.items() if each != best) > 0.9:
        notes.guess("delimiter", _DELIMITERS[best], "of the usual ones it gives the most even rows and the most numbers")
    return best


def _score(rows: list[list[str]], delimiter: str, decimal: str | None) -> float:
    """Return a score from 0 to 2 for a delimiter: high for even rows, many numbers, and few cells with other delimiters in them."""
    body = rows[1:] or rows
    width = _usual_width(rows)
    if width < 2:
        return 0.0
    even = sum(len(row) == width for row in body)
    even += len(rows) > 1 < len(rows[0]) and abs(len(rows[0]) - width) < 2  # a header may lack a cell, or end with an extra empty one
    marks = decimal_marks(delimiter, decimal)
    cells = [cell for row in body for cell in row if cell]
    numbers = uncut = 0
    for cell in cells:
        if kind_of(cell, marks) is Kind.NUMBER:
            numbers += 1
        elif any(other in cell for other in ",;\t|" if other != delimiter) and not NUMBER[","].fullmatch(cell):
            uncut += 1
    return even / len(rows) * (1 + (numbers - uncut) / max(1, len(cells)))


def _table_start(lead: list[str], delimiter: str, width: int, declared: bool) -> int:
    """Return the index of the leading line at which the table begins.

    A line that looks like a comment belongs to the table if it has as many cells as the table. With spaces as the delimiter,
    every word of a comment is a cell, so such a line must contain a number as well.
    """
    start = len(lead)
    for number in range(len(lead) - 1, int(declared) - 1, -1):
        if lead[number].strip():
            cells = [cell for row in _sample_rows([lead[number]], delimiter) for cell in row]
            prose = delimiter == " " and all(kind_of(cell, ".,") is not Kind.NUMBER for cell in cells)
            if len(cells) != width or width < 2 or prose:
                break
            start = number
    return start


def _warn_of_comments(lead: list[str], notes: Notes) -> None:
    """Warn of comments among the lines before the table."""
    skipped = [number + 1 for number, line in enumerate(lead) if line.startswith(("#", "%"))]
    if len(skipped) == 1:
        notes.warn(f"Line {skipped[0]} begins with {lead[skipped[0] - 1][0]} and is skipped as a comment.")
    elif skipped:
        notes.warn(f"{len(skipped)} lines, {skipped[0]} to {skipped[-1]}, begin with # or % and are skipped as comments.")
