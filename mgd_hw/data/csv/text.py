"""Read a file into lines of text and rows of cells, and refuse files of other formats."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from csv import reader
from pathlib import Path

from mgd_hw.data.tasks import LARGEST_DATA
from python_ref.spec.error import Refusal

__all__ = ["LARGEST_FILE", "read_utf8", "refuse_other_formats", "split_rows", "text_lines"]

LARGEST_FILE = LARGEST_DATA
"""Size limit of a file, in bytes."""
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
"""First bytes of file formats that users mistake for csv, each with a description as a phrase."""


_LIBSVM = re.compile(r"\s*(?:[0-9.+-][0-9.eE+,-]*\s+)?(?:qid:[0-9]+\s+)?(?:[0-9]+:[0-9.eE+-]+\s+){2,}(?:#.*\s+)?")
"""Pattern of a line in libsvm format, including its LF: a label, and at least two pairs of index and value."""


def read_utf8(path: Path) -> bytes:
    """Return the text of a file in UTF-8, without a byte order mark, each line ended by LF.

    Raises
    ------
    Refusal
        If the file cannot be read, is too large, or is not text in UTF-8 or UTF-16.
    """
    data = _bytes(path)
    for magic, what in _BINARY.items():
        if data.startswith(magic):
            raise Refusal(f"it is {what}, not a text file", "Save or export the table as csv.", file=path)
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        raise Refusal("it is UTF-32 text", "Save the file as UTF-8.", file=path)
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = _line_after(data[: error.start].decode(encoding, "replace"))
        raise Refusal(f"line {line} is not {encoding.upper()} text", "Save the file as UTF-8.", file=path) from None
    before, zero, _ = text.partition("\0")
    if zero:
        reason = f"line {_line_after(before)} holds a NUL byte, so it is not a text file"
        raise Refusal(reason, "Save the table as csv, in UTF-8.", file=path)
    if encoding == "utf-16":
        data = text.encode("utf-8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    # pandas loses an empty first cell in a line that follows an empty line ended by CR.
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


def _bytes(path: Path) -> bytes:
    """Return the contents of a regular file of limited size."""
    try:
        if path.is_dir():
            raise Refusal("it is a directory", "Give the path of a file.", file=path)
        if not path.exists():
            raise Refusal("there is no such file", "Paths begin at the folder of the design file.", file=path)
        if not path.is_file():
            raise Refusal("it is not a regular file", "Give the path of a file.", file=path)
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise Refusal(f"it has {size:,} bytes, more than {LARGEST_FILE:,}", "Give a smaller file.", file=path)
        return path.read_bytes()
    except OSError as error:
        raise Refusal(f"it cannot be read ({error.strerror})", "Check the path and its permissions.", file=path) from None


def _line_after(text: str) -> int:
    """Return the 1-based number of the line in which a text ends; lines end with LF, CR LF or CR."""
    return 1 + text.count("\n") + text.count("\r") - text.count("\r\n")


def text_lines(data: bytes, offset: int = 0) -> Iterator[str]:
    """Return an iterator over the lines of UTF-8 text, each with its LF, from the line that begins at a byte offset."""
    stream = io.BytesIO(data)
    stream.seek(offset)
    return iter(io.TextIOWrapper(stream, "utf-8", newline=""))


def split_rows(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, int, list[str]]]:
    """Split lines into rows of cells; a quoted cell may extend over several lines.

    Parameters
    ----------
    lines : iterable of str
        Lines, each with its LF.
    delimiter : str
        Delimiter, one character; a space stands for any run of spaces and tabs.

    Yields
    ------
    first, last : int
        Lines at which the row begins and ends, counted from 0.
    cells : list of str
        Cells of the row, without quotes and without leading white space; blank rows are skipped.

    Raises
    ------
    csv.Error
        If a cell exceeds the standard library's length limit, as happens after a quote that is not closed.
    """
    last = ""

    def single_spaced() -> Iterator[str]:
        nonlocal last
        for line in lines:
            # The reader ends a cell at every single space, so tabs become spaces and trailing spaces are removed.
            last = line.replace("\t", " ").rstrip(" \n") + "\n" if delimiter == " " else line
            yield last

    rows = reader(single_spaced(), delimiter=delimiter, skipinitialspace=True)
    start = 0
    for cells in rows:
        # A row of several lines contains a quote, so it is not blank even if its last line is.
        if len(cells) > 1 or (cells and (last.strip() or rows.line_num - start > 1)):
            yield start, rows.line_num - 1, cells
        start = rows.line_num


def refuse_other_formats(path: Path, line: str) -> None:
    """Refuse text whose first line shows that it has another format than csv.

    Parameters
    ----------
    path : Path
        Path of the file, used in error messages.
    line : str
        First line that is neither blank nor a comment; "" if there is none.

    Raises
    ------
    Refusal
        If the line begins an ARFF file, a page in HTML or XML, JSON, or a file in libsvm format.
    """
    relation = re.match(r"\s*@relation\s+(.*)", line, re.IGNORECASE)
    if relation:
        reason = f"it is an ARFF file (@relation {relation[1].strip()[:60]})"
        raise Refusal(reason, "Save it as csv, in Weka by the file type “CSV data files”.", file=path)
    if re.match(r"\s*<(!doctype|html|\?xml|svg)", line, re.IGNORECASE):
        raise Refusal("it is a page in HTML or XML, not a table", "Download the file itself rather than the page that shows it.", file=path)
    if re.match(r"\s*(\{|\[\s*[\[{])", line):
        raise Refusal("it is JSON, not a table", "Save it as csv.", file=path)
    if _LIBSVM.fullmatch(f"{line}\n"):
        remedy = "Load it with sklearn.datasets.load_svmlight_file, and save it as csv or npz."
        raise Refusal("it is a file in libsvm format, with pairs of index and value", remedy, file=path)
