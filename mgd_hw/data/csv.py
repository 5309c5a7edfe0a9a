"""Read a table of samples from a text file: csv and its many relatives.

:func:`read_csv` finds out what the design file does not say (delimiter, decimal mark, header, label column), reports each
decision as a :class:`Guess`, and refuses with file and line what it cannot read with certainty. Columns and their numbers
count from 0, as in the keys ``data.label`` and ``data.drop``; lines count from 1, as in an editor.

The standard library's csv reader finds rows, their lines and their numbers of cells; pandas converts the cells.
"""

from __future__ import annotations

import contextlib
import difflib
import enum
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from csv import Error, reader
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mgd_hw.data.raw import Guess
from mgd_hw.errors import UserError, shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LABEL_NAMES", "Guess", "Table", "read_csv"]

LARGEST_FILE = 4 << 30
"""Size limit of a file, in bytes."""
LONGEST_LABEL = 256
"""Length limit of a label that is a word, in characters."""
LABEL_NAMES = frozenset(
    {"label", "labels", "class", "classes", "class_label", "class label", "target", "targets", "y"}
    | {"category", "species", "variety", "outcome", "diagnosis"}
)
"""Column names that mark the label, in lower case."""
INDEX_NAMES = frozenset(["", "id", "index", "idx", "row", "no", "no.", "#", "rowid", "row_id", "unnamed: 0"])
"""Column names that are usual for an index, in lower case."""

_SAMPLE_ROWS = 1000
"""Lines that delimiter and header are decided from."""
_SAMPLE_CHARACTERS = 1 << 20
"""Characters that end the sample early, though not before its 20th line."""
_INDEX_ROWS = 10
"""Fewest rows in which numbers that count up are taken for an index."""
_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar", " ": "spaces"}
"""Delimiters that are tried, in order of preference, and their names; a space stands for any run of spaces and tabs."""
_NUMBER = {
    ".": re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
    ",": re.compile(r"[+-]?(?:[0-9]+,?[0-9]*|,[0-9]+)(?:[eE][+-]?[0-9]+)?"),
}
"""The form of a number for each decimal mark."""
_MISSING = frozenset(["", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nil", "?", "-", "--", "."])
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
_BINARY = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"PAR1": "a Parquet file",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"%PDF": "a PDF document",
    b"SQLite format": "an SQLite database",
}
"""First bytes of files that are often taken for a table, and what they are."""


@dataclass(frozen=True)
class Table:
    """The samples of a file.

    Attributes
    ----------
    path : Path
        The file.
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
        booleans, else str of fixed width, stripped of surrounding white space.
    lines : ndarray
        1-based line in the file at which each row begins, shape (n,), int64.
    guesses : tuple of Guess
        Decisions of the reader.
    warnings : tuple of str
        Whole sentences for the user.
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
        Label column, or several, by name or by number from 0, negative from the end; None takes the one column with a
        usual name (:data:`LABEL_NAMES`), or else the last.
    drop : tuple of str or int
        Columns to leave out.
    header : bool or None
        Whether the first line holds the names of the columns; None decides by the cells.
    delimiter : str or None
        Delimiter, one ASCII character; a space stands for any run of spaces and tabs; None decides by the cells.
    decimal : str or None
        Decimal mark, "." or ","; None decides by the cells.
    design_file : Path or None
        Design file that errors about the five parameters above name.

    Raises
    ------
    UserError
        If the file cannot be read, is not a table of numbers with labels, or does not fit the parameters.
    """
    request = _Request(path, label, drop, header, delimiter, decimal, design_file)
    request.check()
    notes = _Notes()
    data = _utf8(path)
    sample = _sample(request, data, notes)
    scan = _scan(path, data, sample)
    columns = _columns(request, sample, scan, notes)
    labels, features = _choose(request, columns, notes)
    cells = _cells(request, data, sample, scan, columns, labels, features, notes)
    inputs = _inputs(request, cells, columns, notes)
    answers = _answers(request, cells, columns, notes)
    indices = _index_columns(request, columns, features, inputs, notes)
    return Table(
        path=path,
        names=tuple(columns.name(column) for column in features),
        inputs=inputs,
        index_columns=tuple(columns.address(column) for column in indices),
        answer_names=tuple(columns.name(column) for column in labels),
        answer_columns=tuple(columns.address(column) for column in labels),
        answers=answers,
        lines=cells.lines,
        guesses=tuple(notes.guesses),
        warnings=tuple(notes.warnings),
    )


@dataclass(frozen=True)
class _Request:
    """Parameters of :func:`read_csv`."""

    path: Path
    label: str | int | tuple[str | int, ...] | None
    drop: tuple[str | int, ...]
    header: bool | None
    delimiter: str | None
    decimal: str | None
    design_file: Path | None

    def wrong(self, key: str, reason: str, remedy: str, value: object = None) -> UserError:
        """Return the error about a key of the section [data]."""
        return UserError(reason, remedy, file=self.design_file, key=f"data.{key}", value=value)

    def check(self) -> None:
        """Refuse values that no file can satisfy."""
        if self.delimiter is not None and (
            len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter.isalnum() or self.delimiter in '"\r\n\0.+-'
        ):
            remedy = 'Write ",", ";", "\\t", "|" or " " (any run of spaces), for example.'
            raise self.wrong("delimiter", "it is not a character that can stand between cells", remedy, self.delimiter)
        if self.decimal not in (None, ".", ","):
            raise self.wrong("decimal", "it is neither a point nor a comma", 'Write "." or ",".', self.decimal)
        if self.decimal == "," == self.delimiter:
            raise self.wrong("decimal", "the comma is the delimiter as well", "Separate the cells with semicolons or tabs.", self.decimal)


@dataclass
class _Notes:
    """Guesses and warnings collected so far."""

    guesses: list[Guess] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def guess(self, what: str, value: str, why: str) -> None:
        """Add a guess that the key of the same name decides otherwise."""
        self.guesses.append(Guess(what, value, why, "data." + {"decimal mark": "decimal"}.get(what, what)))

    def warn(self, sentence: str) -> None:
        """Add a warning."""
        self.warnings.append(sentence)


# -- Bytes and text ---------------------------------------------------------------------------------------------------


def _utf8(path: Path) -> bytes:
    """Return the text of a file in UTF-8, without a byte order mark, its lines ended by LF."""
    data = _bytes(path)
    for magic, what in _BINARY.items():
        if data.startswith(magic):
            raise UserError(f"it is {what}, not a text file", "Save or export the table as csv.", file=path)
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        raise UserError("it is UTF-32 text", "Save the file as UTF-8.", file=path)
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        start = data[: error.start]
        line = _newlines(start) if encoding == "utf-8" else _newlines(start[: len(start) // 2 * 2].decode(encoding, "replace").encode())
        shown_as = encoding.upper()
        raise UserError(f"line {line + 1} is not {shown_as} text", "Save the file as UTF-8.", file=path) from None
    if encoding == "utf-16":
        data = text.encode("utf-8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    zero = data.find(b"\0")
    if zero >= 0:
        reason = f"line {_newlines(data[:zero]) + 1} holds a NUL byte, so it is not a text file"
        raise UserError(reason, "Save the table as csv, in UTF-8.", file=path)
    # After an empty line that CR ends, pandas loses a cell that is empty and the first of its line.
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


def _bytes(path: Path) -> bytes:
    """Return the contents of a regular file of limited size."""
    try:
        if path.is_dir():
            raise UserError("it is a directory", "Give the path of a file.", file=path)
        if not path.exists():
            raise UserError("there is no such file", "Paths begin at the folder of the design file.", file=path)
        if not path.is_file():
            raise UserError("it is not a regular file", "Give the path of a file.", file=path)
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise UserError(f"it has {size:,} bytes, more than {LARGEST_FILE:,}", "Give a smaller file.", file=path)
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"it cannot be read ({error.strerror})", "Check the path and its permissions.", file=path) from None


def _newlines(data: bytes) -> int:
    """Return the number of line ends, each of them LF, CR LF or CR."""
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")


def _physical_lines(data: bytes, offset: int = 0) -> Iterator[str]:
    """Yield the lines of UTF-8 text with their ends, from a byte offset on."""
    stream = io.BytesIO(data)
    stream.seek(offset)
    return iter(io.TextIOWrapper(stream, "utf-8", newline=""))


def _table_rows(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, int, list[str]]]:
    """Yield each row that is not blank: its first line and its last line, counted from 0, and its cells."""
    last = ""

    def fed() -> Iterator[str]:
        nonlocal last
        for line in lines:
            # The reader ends a cell at every single space: tabs become spaces, and none is left before the line's end.
            last = line.replace("\t", " ").rstrip(" \n") + "\n" if delimiter == " " else line
            yield last

    rows = reader(fed(), delimiter=delimiter, skipinitialspace=True)
    start = 0
    for cells in rows:
        if len(cells) > 1 or (cells and last.strip()):
            yield start, rows.line_num - 1, cells
        start = rows.line_num


# -- The first lines: comments and delimiter --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sample:
    """The beginning of the table.

    Attributes
    ----------
    delimiter : str
        Delimiter; a space stands for any run of spaces and tabs.
    offset, line : int
        Byte and 0-based line at which the table begins, after comments and ``sep=``.
    rows : list of list of str
        First rows, stripped of white space around the cells.
    width : int
        Cells in most rows after the first.
    """

    delimiter: str
    offset: int
    line: int
    rows: list[list[str]]
    width: int


def _sample(request: _Request, data: bytes, notes: _Notes) -> _Sample:
    """Find where the table begins and which delimiter it has."""
    lines = _physical_lines(data)
    lead: list[str] = []
    first = None
    said = None
    for line in lines:
        found = re.fullmatch(r'"?sep=(.)"?\s*', line, re.IGNORECASE) if not lead else None
        if found:
            said = found[1]
        elif line.strip() and not line.startswith(("#", "%")):
            first = line
            break
        lead.append(line)
    _refuse_other_formats(request.path, first or "")
    if first is None:
        body = [line for line in lead if line.strip()]
        body = body[1:] if said else body
        if not body:
            raise UserError("it holds no samples", "Give one line per sample: its inputs and its label.", file=request.path)
        lead = lead[: lead.index(body[0])]
    else:
        body = [first, *_limited(lines, len(first))]
    delimiter = request.delimiter or said or _delimiter(request, body, notes)
    rows = _sample_rows(body, delimiter) or [[]]
    start = _table_start(lead, delimiter, len(rows[0]), said is not None)
    _warn_of_comments(lead[:start], notes)
    rows = [*_sample_rows(lead[start:], delimiter), *rows]
    return _Sample(delimiter, sum(len(line.encode()) for line in lead[:start]), start, rows, _usual_width(rows))


def _limited(lines: Iterator[str], characters: int) -> Iterator[str]:
    """Yield the lines that decisions are made from."""
    for number, line in enumerate(islice(lines, _SAMPLE_ROWS)):
        yield line
        characters += len(line)
        if number >= 20 and characters > _SAMPLE_CHARACTERS:
            return


def _sample_rows(lines: list[str], delimiter: str) -> list[list[str]]:
    """Return the rows of some lines, up to one that cannot be read; lines that end within a quoted cell end the cell."""
    rows = []
    with contextlib.suppress(Error):
        for _, _, cells in _table_rows(lines, delimiter):
            rows.append([cell.strip() for cell in cells])
    return rows


def _usual_width(rows: list[list[str]]) -> int:
    """Return the number of cells of most rows after the first; that of the first where an open quote swallows the others."""
    body = rows[1:] or rows
    width = Counter(map(len, body)).most_common(1)[0][0]
    return len(rows[0]) if width == 1 and any("\n" in row[0] for row in body if row) else width


def _refuse_other_formats(path: Path, line: str) -> None:
    """Refuse text that is known not to be a table by its first line."""
    relation = re.match(r"\s*@relation\s+(.*)", line, re.IGNORECASE)
    if relation:
        reason = f"it is an ARFF file (@relation {relation[1].strip()[:60]})"
        raise UserError(reason, "Save it as csv, in Weka by the file type “CSV data files”.", file=path)
    if re.match(r"\s*<(!doctype|html|\?xml|svg)", line, re.IGNORECASE):
        raise UserError(
            "it is a page in HTML or XML, not a table", "Download the file itself rather than the page that shows it.", file=path
        )
    if re.match(r"\s*(\{|\[\s*[\[{])", line):
        raise UserError("it is JSON, not a table", "Save it as csv.", file=path)


def _delimiter(request: _Request, lines: list[str], notes: _Notes) -> str:
    """Choose the delimiter that gives rows of the same length with the most numbers in them."""
    scores = {}
    for delimiter in _DELIMITERS:
        if delimiter == "," == request.decimal:
            continue
        rows = _sample_rows(lines, delimiter) or [[]]
        scores[delimiter] = _score(rows, delimiter, request.decimal)
    best = max(scores, key=lambda delimiter: scores[delimiter])
    if scores[best] == 0:
        remedy = "Give the inputs and the label of a sample in one line, with commas between, or name the delimiter (data.delimiter)."
        raise UserError("it has one column", remedy, file=request.path)
    if best != "," or max(score for each, score in scores.items() if each != best) > 0.9:
        notes.guess("delimiter", _DELIMITERS[best], "of the usual ones it gives the most even rows and the most numbers")
    return best


def _score(rows: list[list[str]], delimiter: str, decimal: str | None) -> float:
    """Return how well a delimiter cuts rows, from 0 to 2: even rows, cells that are numbers, no other delimiters left."""
    body = rows[1:] or rows
    width = _usual_width(rows)
    if width < 2:
        return 0.0
    even = sum(len(row) == width for row in body)
    even += len(rows) > 1 < len(rows[0]) and abs(len(rows[0]) - width) < 2  # a header may lack a cell, or have an empty one more
    marks = _marks(delimiter, decimal)
    cells = [cell for row in body for cell in row if cell]
    numbers = uncut = 0
    for cell in cells:
        if _kind(cell, marks) is _Kind.NUMBER:
            numbers += 1
        elif any(other in cell for other in ",;\t|" if other != delimiter) and not _NUMBER[","].fullmatch(cell):
            uncut += 1
    return even / len(rows) * (1 + (numbers - uncut) / max(1, len(cells)))


def _table_start(lead: list[str], delimiter: str, width: int, said: bool) -> int:
    """Return which of the leading lines begins the table: those with as many cells as the table are not comments.

    Between spaces, every word of a comment is a cell, so there the line has to hold a number as well.
    """
    start = len(lead)
    for number in range(len(lead) - 1, int(said) - 1, -1):
        if lead[number].strip():
            cells = [cell for row in _sample_rows([lead[number]], delimiter) for cell in row]
            prose = delimiter == " " and all(_kind(cell, ".,") is not _Kind.NUMBER for cell in cells)
            if len(cells) != width or width < 2 or prose:
                break
            start = number
    return start


def _warn_of_comments(lead: list[str], notes: _Notes) -> None:
    """Warn of lines that are skipped."""
    skipped = [number + 1 for number, line in enumerate(lead) if line.startswith(("#", "%"))]
    if len(skipped) == 1:
        notes.warn(f"Line {skipped[0]} begins with {lead[skipped[0] - 1][0]} and is skipped as a comment.")
    elif skipped:
        notes.warn(f"{len(skipped)} lines, {skipped[0]} to {skipped[-1]}, begin with # or % and are skipped as comments.")


# -- Kinds of cells ---------------------------------------------------------------------------------------------------


class _Kind(enum.Enum):
    """What a cell holds."""

    NUMBER = enum.auto()
    BOOLEAN = enum.auto()
    MISSING = enum.auto()
    INFINITE = enum.auto()
    WORD = enum.auto()


def _kind(cell: str, marks: str) -> _Kind:
    """Return the kind of a stripped cell, given the decimal marks that a number may have."""
    if any(_NUMBER[mark].fullmatch(cell) for mark in marks):
        return _Kind.NUMBER
    lower = cell.lower()
    if lower in ("true", "false"):
        return _Kind.BOOLEAN
    if lower in _MISSING:
        return _Kind.MISSING
    return _Kind.INFINITE if _INFINITE.fullmatch(cell) else _Kind.WORD


def _marks(delimiter: str, decimal: str | None) -> str:
    """Return the decimal marks that are possible."""
    return decimal or ("." if delimiter == "," else ".,")


def _value(cell: str, decimal: str) -> float:
    """Return the value of a cell that is a number."""
    return float(cell.replace(decimal, "."))


# -- Rows and their lines ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scan:
    """Result of a pass over the whole table.

    Attributes
    ----------
    lines : ndarray
        1-based first line of each row, the first row included, int64.
    second : int
        Byte after the first row.
    trailing : int
        Number of last columns that are empty in every row after the first (in the first, if there is no other).
    """

    lines: np.ndarray
    second: int
    trailing: int


def _scan(path: Path, data: bytes, sample: _Sample) -> _Scan:
    """Find the lines of all rows; refuse rows that are longer or shorter than the others."""
    consumed = sample.offset

    def counted() -> Iterator[str]:
        nonlocal consumed
        for line in _physical_lines(data, sample.offset):
            consumed += len(line.encode())
            yield line

    lines: list[int] = []
    second = 0
    trailing = sample.width
    try:
        for start, end, cells in _table_rows(counted(), sample.delimiter):
            if not lines:
                second = consumed
                if len(sample.rows) == 1:
                    trailing = _empty_at_end(cells, trailing)
            else:
                if len(cells) != sample.width:
                    raise _uneven(path, sample.line + start + 1, sample.line + end + 1, len(cells), sample.width)
                if trailing:
                    trailing = _empty_at_end(cells, trailing)
            lines.append(sample.line + start + 1)
    except Error as error:
        place = f"the row after the one at line {lines[-1]}" if lines else "the first row"
        raise UserError(f"{place} cannot be read ({error})", "Close its quotes.", file=path) from None
    return _Scan(np.array(lines, np.int64), second, trailing)


def _empty_at_end(cells: list[str], limit: int) -> int:
    """Return how many of the last cells are empty, up to a limit."""
    count = 0
    while count < min(limit, len(cells)) and not cells[-1 - count].strip():
        count += 1
    return count


def _uneven(path: Path, start: int, end: int, cells: int, width: int) -> UserError:
    """Return the error about a row that has another length than most."""
    place = f"line {start} has" if start == end else f"lines {start} to {end}, which quotes make one row, have"
    reason = f"{place} {cells} cell{'s' * (cells != 1)}, the other lines {width}"
    return UserError(reason, "Give every line the same number of cells, and close all quotes.", file=path)


# -- Header and columns -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Columns:
    """The columns of the table, without empty ones at the end.

    Attributes
    ----------
    count : int
        How many there are.
    header : list of str or None
        Their names, if the file has a header.
    row_names : bool
        Whether column 0 holds row names, for which the header has no cell.
    width : int
        Cells of a row in the file.
    """

    count: int
    header: list[str] | None
    row_names: bool
    width: int

    def name(self, column: int) -> str:
        """Return the name of a column, or "column 3" in a file without a header."""
        return f"column {column}" if self.header is None else self.header[column]

    def describe(self, column: int) -> str:
        """Return a column as messages show it: its number, and its name if it has one."""
        name = self.header[column] if self.header else ""
        return f"column {column} ({shown(name)})" if name else f"column {column}"

    def address(self, column: int) -> str | int:
        """Return what selects a column in the design file: its name, or its number where no unique name exists."""
        name = self.header[column] if self.header else ""
        return name if name and self.header and self.header.count(name) == 1 else column

    def find(self, request: _Request, key: str, wanted: str | int) -> int:
        """Return the number of a column given by name or number."""
        if isinstance(wanted, bool) or not isinstance(wanted, (int, str)):
            raise request.wrong(key, "a column is neither a name nor a number", "Give its name in quotes, or its number from 0.", wanted)
        if isinstance(wanted, int):
            if not -self.count <= wanted < self.count:
                remedy = f"Columns count from 0 to {self.count - 1}; -1 is the last."
                raise request.wrong(key, f"{request.path} has {self.count} columns", remedy, wanted)
            return wanted % self.count
        if self.header is None:
            raise request.wrong(key, f"{request.path} has no header line", "Give the number of the column, from 0.", wanted)
        found = [number for number, name in enumerate(self.header) if name == wanted.strip()]
        if len(found) > 1:
            numbers = ", ".join(map(str, found))
            raise request.wrong(key, f"{request.path} has several columns of this name", f"Give one by its number: {numbers}.", wanted)
        if not found:
            raise request.wrong(key, f"{request.path} has no column of this name", self._similar(wanted), wanted)
        return found[0]

    def _similar(self, wanted: str) -> str:
        """Return the sentence that names the column that was meant, or all columns."""
        assert self.header is not None
        lower = {name.lower(): name for name in self.header if name}
        near = difflib.get_close_matches(wanted.strip().lower(), list(lower), 1)
        if near:
            return f"Did you mean {shown(lower[near[0]])}?"
        return f"Its columns are {', '.join(self.header[:12])}{', …' * (len(self.header) > 12)}."


def _columns(request: _Request, sample: _Sample, scan: _Scan, notes: _Notes) -> _Columns:
    """Decide whether the first row is a header, and name the columns."""
    first, row_names = _aligned(request, sample, scan)
    trailing = scan.trailing
    is_header = _decide_header(request, sample, first, int(scan.lines[0]), notes)
    if not is_header and len(sample.rows[0]) != sample.width:
        raise _uneven(request.path, int(scan.lines[0]), int(scan.lines[0]), len(sample.rows[0]), sample.width)
    if len(scan.lines) == int(is_header):
        reason = "it holds a header and no samples" if is_header else "it holds no samples"
        raise UserError(reason, "Give one line per sample: its inputs and its label.", file=request.path)
    trailing = min(trailing, _empty_at_end(first, trailing))
    count = sample.width - trailing
    if count < 2:
        remedy = "Give the inputs and the label of a sample in one line, with commas between, or name the delimiter (data.delimiter)."
        raise UserError("it has one column", remedy, file=request.path)
    if trailing or len(sample.rows[0]) > sample.width:
        lines = "The header ends" if not trailing else "Lines end" if len(sample.rows[0]) >= sample.width else "Lines below the header end"
        notes.warn(f"{lines} with a delimiter, after which no cell follows; no column is made of it.")
    if row_names:
        notes.warn(
            "The header has one cell fewer than the lines below, so that column 0 holds row names, and is a feature here. "
            f"Leave it out with {_drop_line(request, 0)} in [data]."
        )
    return _Columns(count, _names(first[:count]) if is_header else None, row_names, sample.width)


def _names(cells: list[str]) -> list[str]:
    """Return the names in a header, without the comment mark that numpy.savetxt puts in front."""
    return [re.sub(r"^[#%]\s+(?=\S)", "", cells[0]), *cells[1:]]


def _aligned(request: _Request, sample: _Sample, scan: _Scan) -> tuple[list[str], bool]:
    """Return the first row, made as wide as the others, and whether it lacks a cell above row names."""
    first, width = sample.rows[0], sample.width
    missing = width - len(first)
    if missing == 0:
        return first, False
    if missing < 0 and not any(first[width:]):
        return first[:width], False
    if 0 < missing <= scan.trailing:
        return first + [""] * missing, False
    if missing == 1 and len(first) > 1 and request.header is not False:
        marks = _marks(sample.delimiter, request.decimal)
        kinds = {_kind(cell, marks) for cell in first}
        words = _Kind.WORD in kinds <= {_Kind.WORD, _Kind.MISSING}  # sodium is called Na
        if request.header or words or (_counts_up(first) and _counts_up([row[0] for row in sample.rows[1:]])):
            return ["", *first], True
    line = int(scan.lines[0])
    raise _uneven(request.path, line, line, len(first), width)


def _decide_header(request: _Request, sample: _Sample, first: list[str], line: int, notes: _Notes) -> bool:
    """Return whether the first row is a header: as the design file says, or else by its cells."""
    marks = _marks(sample.delimiter, request.decimal)
    numbers = [cell for cell in first if _kind(cell, marks) is _Kind.NUMBER]
    if request.header is not None:
        if request.header and len(numbers) == len(first) and not _counts_up(numbers):
            notes.warn(f"Line {line}, which data.header makes the header, holds numbers alone.")
        if not request.header and len(numbers) == len(first) > 2 and _counts_up(numbers):
            notes.warn(f"Line {line} counts {_first_few(numbers)} like a header of numbers; data.header = false makes it a sample.")
        return request.header
    body = [row for row in sample.rows[1:] if len(row) == sample.width]
    why = _header_evidence(request, first, body, marks, line)
    if why is None:
        same = f"line {line} has cells of the same kinds as the lines below"
        notes.guess("header", "none", same if body else "its only line has numbers")
        return False
    notes.guess("header", f"line {line} ({_first_few([shown(cell) for cell in first])})", why)
    if numbers and len(numbers) < len(first) and not _counts_up(numbers):
        notes.warn(f"Line {line} is taken for the header, though it holds numbers ({_first_few(numbers)}).")
    return True


def _header_evidence(request: _Request, first: list[str], body: list[list[str]], marks: str, line: int) -> str | None:
    """Return why the first row is a header, as a clause, or None if it is not."""
    kinds = [_kind(cell, marks) for cell in first]
    below = [[row[column] for row in body] for column in range(len(first))]
    if not body:
        return None if _Kind.NUMBER in kinds or _Kind.BOOLEAN in kinds else "it holds no numbers"
    for cell, kind, cells in zip(first, kinds, below, strict=True):
        found = {_kind(each, marks) for each in set(cells)}
        if kind is _Kind.WORD and _Kind.WORD not in found and found & {_Kind.NUMBER, _Kind.BOOLEAN}:
            return f"{shown(cell)} stands above {'numbers' if _Kind.NUMBER in found else 'booleans'}"
    fresh = [cell not in cells for cell, cells in zip(first, below, strict=True)]
    for cell, new in zip(first, fresh, strict=True):
        if new and cell.lower() in LABEL_NAMES:
            return f"{shown(cell)} is a usual name of a label, and does not occur below"
    if all(fresh) and all(kind in (_Kind.WORD, _Kind.MISSING) for kind in kinds):
        return "it holds words alone, none of which occurs below"
    return _counting_evidence(request, first, below, kinds, line)


def _counting_evidence(request: _Request, first: list[str], below: list[list[str]], kinds: list[_Kind], line: int) -> str | None:
    """Return why a first row that counts 0, 1, 2 … is a header, or None if it is not one; refuse what may be both."""
    numbers = [cell for cell, kind in zip(first, kinds, strict=True) if kind is _Kind.NUMBER]
    if len(numbers) < 2 or not _counts_up(numbers):
        return None
    clause = f"it counts {_first_few(numbers)} like the columns of a data frame"
    others = [column for column, kind in enumerate(kinds) if kind is not _Kind.NUMBER]
    if others == [0] and not first[0] and _counts_up(below[0]):
        return clause
    if others:
        column = others[0]
        repeats = len(set(below[column])) * 2 <= len(below[column])
        named = kinds[column] is _Kind.WORD and first[column] not in below[column] and repeats
        return clause if len(others) == 1 and len(numbers) > 2 and named else None
    fractions = any(re.search("[.,eE]", cell) for cells in below for cell in cells)
    plausible = all(cell in cells for cell, cells in zip(first, below, strict=True))
    if plausible or (len(numbers) == 2 and not fractions):
        reason = f"line {line} of {request.path} may be a header that counts {_first_few(numbers)}, or a sample"
        raise request.wrong("header", reason, "Write header = true or header = false in [data].")
    return clause


def _counts_up(cells: list[str]) -> bool:
    """Return whether cells are the whole numbers 0, 1, 2 … or 1, 2, 3 …, written plainly."""
    return bool(cells) and cells[0] in ("0", "1") and cells == [str(int(cells[0]) + number) for number in range(len(cells))]


def _sentence(text: str) -> str:
    """Return a text that begins with a capital letter."""
    return text[:1].upper() + text[1:]


def _first_few(cells: Sequence[str]) -> str:
    """Return up to four cells, separated by commas."""
    return ", ".join(cells[:4]) + ", …" * (len(cells) > 4)


def _choose(request: _Request, columns: _Columns, notes: _Notes) -> tuple[list[int], list[int]]:
    """Return the label columns and the feature columns."""
    dropped = {columns.find(request, "drop", wanted) for wanted in request.drop}
    named = [
        column
        for column in range(columns.count)
        if columns.header and columns.header[column].lower() in LABEL_NAMES and column not in dropped
    ]
    if len(dropped) == columns.count:
        raise request.wrong("drop", f"no column of {request.path} is left", "Drop fewer columns.", list(request.drop))
    if request.label is None:
        labels = [_guessed_label(columns, named, dropped, notes)]
    else:
        wanted = request.label if isinstance(request.label, tuple) else (request.label,)
        labels = [columns.find(request, "label", each) for each in wanted]
        if not labels or len(set(labels)) < len(labels):
            reason = "it names a column twice" if labels else "it names no column"
            raise request.wrong("label", reason, "Name each label column once.", list(wanted))
        both = [column for column in labels if column in dropped]
        if both:
            reason = f"it holds {columns.describe(both[0])}, which is the label"
            raise request.wrong("drop", reason, "Take it out of data.drop, or name another label.", list(request.drop))
    features = [column for column in range(columns.count) if column not in dropped and column not in labels]
    if not features:
        raise request.wrong("drop", f"no column of {request.path} is left as an input", "Drop fewer columns.", list(request.drop))
    if request.label is not None:
        for column in sorted(set(named) & set(features)):
            notes.warn(f"{_sentence(columns.describe(column))} has a usual name of a label, and is a feature here.")
    return labels, features


def _guessed_label(columns: _Columns, named: list[int], dropped: set[int], notes: _Notes) -> int:
    """Return the column with a usual name of a label, or else the last."""
    if len(named) == 1:
        notes.guess("label", columns.describe(named[0]), "its name is a usual one of a label, and no other column has such a name")
        return named[0]
    last = max(set(range(columns.count)) - dropped)
    several = f"several columns have a usual name of a label ({_first_few([columns.name(each) for each in named])})"
    notes.guess("label", columns.describe(last), f"it is the last, and {several if named else 'no column has a usual name of a label'}")
    return last


# -- Cells ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cells:
    """The cells of the columns in use.

    Attributes
    ----------
    frame : pandas.DataFrame
        Feature columns as pandas reads them, label columns as text; named by their numbers.
    labels, features : list of int
        Columns.
    lines : ndarray
        1-based first line of each row, int64.
    decimal : str
        Decimal mark.
    """

    frame: pd.DataFrame
    labels: list[int]
    features: list[int]
    lines: np.ndarray
    decimal: str

    def texts(self, column: int) -> list[str] | None:
        """Return the stripped cells of a column that did not become numbers or booleans, else None."""
        series = self.frame[column]
        return None if series.dtype.kind in "iufb" else [str(cell).strip() for cell in series.tolist()]


def _cells(
    request: _Request, data: bytes, sample: _Sample, scan: _Scan, columns: _Columns, labels: list[int], features: list[int], notes: _Notes
) -> _Cells:
    """Parse the columns in use, and decide on the decimal mark."""
    offset, first = (sample.offset, 0) if columns.header is None else (scan.second, 1)
    lines = scan.lines[first:]

    def parsed(decimal: str) -> _Cells:
        frame = _parsed(request.path, data[offset:], sample.delimiter, decimal, columns.width, labels, features, lines)
        return _Cells(frame, labels, features, lines, decimal)

    cells = parsed(request.decimal or ".")
    if request.decimal is not None or sample.delimiter == ",":
        return cells
    comma = _first_with(cells, ",")
    if comma is None:
        return cells
    cells = parsed(",")
    point = _first_with(cells, ".")
    if point is not None:
        reason = f"line {comma[0]} has a decimal comma ({comma[1]}), line {point[0]} a decimal point ({point[1]})"
        raise UserError(reason, "Write all numbers with the same decimal mark, and none for thousands.", file=request.path)
    notes.guess("decimal mark", "comma", f"line {comma[0]} holds {comma[1]}")
    return cells


def _parsed(
    path: Path, data: bytes, delimiter: str, decimal: str, width: int, labels: list[int], features: list[int], lines: np.ndarray
) -> pd.DataFrame:
    """Let pandas parse the rows."""
    import pandas

    # From 3.1 on, pandas rounds correctly unless told otherwise; before, only with this option.
    exact = {} if tuple(map(int, pandas.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
    try:
        frame = pandas.read_csv(
            io.BytesIO(data),
            sep=r"\s+" if delimiter == " " else delimiter,
            decimal=decimal,
            header=None,
            names=range(width),
            usecols=sorted(labels + features),
            index_col=False,
            dtype=dict.fromkeys(labels, str),
            na_filter=False,
            skipinitialspace=True,
            low_memory=False,
            encoding="utf-8",
            **exact,
        )
    except pandas.errors.ParserError as error:
        if "EOF inside string" not in str(error):
            raise UserError(f"it cannot be parsed ({error})", "Check its quotes.", file=path) from None
        raise UserError(f"the row at line {lines[-1]} has a quoted cell that does not end", "Close the quotes.", file=path) from None
    if len(frame) != len(lines):
        raise UserError(f"its quotes can be read as {len(lines)} or as {len(frame)} rows", "Check its quotes.", file=path)
    return frame


def _first_with(cells: _Cells, mark: str) -> tuple[int, str] | None:
    """Return the first number that is written with a decimal mark, and its line; labels that are words are none."""
    found = []
    for column in cells.labels + cells.features:
        texts = cells.texts(column)
        if texts is None or (column in cells.labels and any(_kind(text, ".,") is not _Kind.NUMBER for text in texts)):
            continue
        row = next((row for row, text in enumerate(texts) if mark in text and _NUMBER[mark].fullmatch(text)), None)
        if row is not None:
            found.append((int(cells.lines[row]), texts[row]))
    return min(found, default=None)


@dataclass(frozen=True)
class _Fault:
    """A feature cell that is no finite number: its column, row, kind and text, and whether most of the column are words."""

    column: int
    row: int
    kind: _Kind
    text: str
    wordy: bool = False


def _inputs(request: _Request, cells: _Cells, columns: _Columns, notes: _Notes) -> np.ndarray:
    """Return the feature values, shape (n, features), float64; refuse what is no finite number."""
    values = np.empty((len(cells.lines), len(cells.features)))
    booleans: list[int] = []
    faults: list[_Fault] = []
    for position, column in enumerate(cells.features):
        texts = cells.texts(column)
        if texts is None:
            series = cells.frame[column]
            values[:, position] = series.to_numpy(np.float64)
            if series.dtype.kind == "b":
                booleans.append(column)
            continue
        kinds = [_kind(text, cells.decimal) for text in texts]
        if all(kind is _Kind.NUMBER for kind in kinds):
            values[:, position] = [_value(text, cells.decimal) for text in texts]
        elif all(kind is _Kind.BOOLEAN for kind in kinds):
            values[:, position] = [text.lower() == "true" for text in texts]
            booleans.append(column)
        else:
            faults.append(_fault(column, texts, kinds))
            values[:, position] = 0
    for row, position in np.argwhere(~np.isfinite(values))[:1]:
        kind = _Kind.MISSING if np.isnan(values[row, position]) else _Kind.INFINITE
        faults.append(_Fault(cells.features[position], int(row), kind, str(values[row, position])))
    if faults:
        raise _refusal(request, cells, columns, faults)
    if booleans:
        listed = _first_few([columns.describe(column) for column in booleans])
        several = len(booleans) > 1
        notes.warn(_sentence(f"{listed} {'hold' if several else 'holds'} booleans, read as 1 for true and 0 for false."))
    return values


def _fault(column: int, texts: list[str], kinds: list[_Kind]) -> _Fault:
    """Return what is wrong with a column that does not hold numbers alone."""
    words = [row for row, kind in enumerate(kinds) if kind is _Kind.WORD]
    if 2 * len(words) > sum(kind is not _Kind.MISSING for kind in kinds):
        return _Fault(column, words[0], _Kind.WORD, texts[words[0]], True)
    expected = _Kind.NUMBER if _Kind.NUMBER in kinds or _Kind.BOOLEAN not in kinds else _Kind.BOOLEAN
    row = next(row for row, kind in enumerate(kinds) if kind is not expected)
    return _Fault(column, row, kinds[row], texts[row])


def _refusal(request: _Request, cells: _Cells, columns: _Columns, faults: list[_Fault]) -> UserError:
    """Return the error about feature cells: a single cell by its line, columns of words all together."""
    wordy = [fault for fault in faults if fault.wordy]
    fault = wordy[0] if wordy else min(faults, key=lambda fault: (fault.row, fault.column))
    line, name = cells.lines[fault.row], columns.describe(fault.column)
    left_out = _drop_line(request, *(columns.address(each.column) for each in wordy or [fault]))
    if fault.wordy:
        more = f", and so {'does' if len(wordy) == 2 else 'do'} {_first_few([columns.describe(each.column) for each in wordy[1:]])}"
        reason = f"{name} holds words, such as {shown(fault.text)} in line {line}{more if wordy[1:] else ''}"
        return UserError(reason, f"Leave out columns of words with {left_out} in [data], or encode them as numbers.", file=request.path)
    place = f"line {line}, {name}"
    if fault.kind is _Kind.MISSING:
        reason = "the value is missing" + (f" ({shown(fault.text)})" if fault.text else "")
        remedy = f"Fill it in, remove the line, or leave the column out with {left_out} in [data]."
    elif fault.kind is _Kind.INFINITE or _NUMBER[cells.decimal].fullmatch(fault.text):
        reason, remedy = f"the value is infinite or too large for float64 ({fault.text})", "Replace it, or remove the line."
    else:
        reason = f"the value is not a number: {shown(fault.text)}"
        mark = "point" if cells.decimal == "." else "comma"
        remedy = f"Write numbers with a decimal {mark}, without units and without thousands separators."
    return UserError(f"{place}: {reason}", remedy, file=request.path)


def _drop_line(request: _Request, *more: str | int) -> str:
    """Return the assignment to ``drop`` that leaves out further columns, ready to paste."""
    return f"drop = {json.dumps([*request.drop, *more], ensure_ascii=False)}"


# -- Labels -----------------------------------------------------------------------------------------------------------


def _answers(request: _Request, cells: _Cells, columns: _Columns, notes: _Notes) -> np.ndarray:
    """Return the labels, shape (n,) or (n, k): numbers, booleans or words."""
    table = [cells.texts(column) for column in cells.labels]
    kinds: set[_Kind] = set()
    for column, texts in zip(cells.labels, table, strict=True):
        assert texts is not None
        kinds |= _label_kinds(request, cells, columns, column, texts, notes)
    rows = [texts for texts in table if texts is not None]
    if kinds == {_Kind.NUMBER}:
        answers = np.array([[_value(text, cells.decimal) for text in texts] for texts in rows])
        _refuse_infinite(request, cells, columns, answers, rows)
    elif kinds == {_Kind.BOOLEAN}:
        answers = np.array([[text.lower() == "true" for text in texts] for texts in rows])
    else:
        answers = np.array(rows, dtype=np.str_)
    return answers[0] if len(rows) == 1 else np.ascontiguousarray(answers.T)


def _label_kinds(request: _Request, cells: _Cells, columns: _Columns, column: int, texts: list[str], notes: _Notes) -> set[_Kind]:
    """Return the kinds of the cells of a label column; refuse missing ones, warn of suspicious ones."""
    kinds = {text: _kind(text, cells.decimal) for text in set(texts)}
    words = _Kind.WORD in kinds.values()
    for row, text in enumerate(texts):
        place = f"line {cells.lines[row]}, {columns.describe(column)}"
        if not text or (kinds[text] is _Kind.MISSING and not words):
            reason = f"{place}: the label is missing" + (f" ({shown(text)})" if text else "")
            raise UserError(reason, "Fill it in, or remove the line.", file=request.path)
        if kinds[text] is _Kind.INFINITE and not words:
            raise UserError(f"{place}: the label is infinite ({text})", "Replace it, or remove the line.", file=request.path)
        if len(text) > LONGEST_LABEL:
            reason = f"{place}: the label has {len(text):,} characters, more than {LONGEST_LABEL}"
            raise UserError(reason, "Name the label column (data.label), or shorten the classes.", file=request.path)
    name = columns.describe(column)
    missing = sorted(text for text, kind in kinds.items() if kind is _Kind.MISSING)
    if missing:
        count = sum(text in missing for text in texts)
        listed = _first_few([shown(text) for text in missing])
        notes.warn(f"The label {listed} in {name} is taken for a class ({count} sample{'s' * (count != 1)}).")
    if len(set(kinds.values()) - {_Kind.MISSING}) > 1:
        notes.warn(f"The labels in {name} are of several kinds, such as numbers and words; all are taken for words.")
    return set(kinds.values())


def _refuse_infinite(request: _Request, cells: _Cells, columns: _Columns, answers: np.ndarray, texts: list[list[str]]) -> None:
    """Refuse labels too large for float64."""
    for which, row in np.argwhere(~np.isfinite(answers))[:1]:
        place = f"line {cells.lines[row]}, {columns.describe(cells.labels[which])}"
        raise UserError(f"{place}: the label is too large for float64 ({texts[which][row][:40]})", "Replace it.", file=request.path)


# -- Warnings ---------------------------------------------------------------------------------------------------------


def _index_columns(request: _Request, columns: _Columns, features: list[int], inputs: np.ndarray, notes: _Notes) -> list[int]:
    """The feature columns that number the samples; each is warned of."""
    found = []
    for position, column in enumerate(features):
        if columns.row_names and column == 0:
            found.append(column)  # warned of where the header was read
            continue
        values = inputs[:, position]
        if len(values) < _INDEX_ROWS:
            continue
        if values[0] in (0, 1) and np.array_equal(values, np.arange(len(values)) + values[0]):
            how = f"counts up from {values[0]:g}"
        elif (
            columns.header
            and columns.header[column].lower() in INDEX_NAMES
            and np.array_equal(values, np.floor(values))
            and len(np.unique(values)) == len(values)
        ):
            how = "holds another whole number in every line"
        else:
            continue
        found.append(column)
        name = _sentence(columns.describe(column)) if columns.name(column) else f"Column {column}, which has no name,"
        line = _drop_line(request, columns.address(column))
        notes.warn(f"{name} {how} like an index, and is a feature here. If it is one, write {line} in [data].")
    return found
