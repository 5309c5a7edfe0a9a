"""Samples that are series of frames: files of the time-series archive, and tables with a row for each frame.

A series of at most T frames of n_in channels becomes a row of T·n_in inputs, frame by frame, 0 behind its last frame, and its length.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mgd_hw.data.raw import Guess, RawSamples
from mgd_hw.data.tasks import LARGEST_DATA, DataSpec
from python_ref.spec.error import Refusal, ToolError

__all__ = ["packed", "read_ts", "read_vowels", "rows_to_series"]

_TRAIN, _TEST = "_TRAIN.ts", "_TEST.ts"
_VOWELS = "datasets/data/JapaneseVowels/JapaneseVowels" + _TRAIN
"""Path of the Japanese Vowels within the package aeon."""


@dataclass(frozen=True)
class _File:
    """Content of a file of the time-series archive.

    Attributes
    ----------
    path : Path
        Path of the file that was read.
    series : list of array of float64, shape (frames, channels)
        Values of each series.
    answers : list of str
        Label of each series, or its target as text.
    lines : list of int
        Line of each series in the file, from 1.
    classes : tuple of str or None
        Names of the classes that the header declares; None if the answers are real numbers.
    """

    path: Path
    series: list[np.ndarray]
    answers: list[str]
    lines: list[int]
    classes: tuple[str, ...] | None


def packed(series: Sequence[np.ndarray], frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Return series, of at most ``frames`` frames each, as rows of inputs (float64, shape (n, frames·channels)) and lengths (int64)."""
    channels = series[0].shape[1]
    rows = np.zeros((len(series), frames * channels))
    for row, values in zip(rows, series, strict=True):
        row[: values.size] = values.ravel()
    return rows, np.array([len(values) for values in series], dtype=np.int64)


def read_ts(spec: DataSpec) -> RawSamples:
    """Return the samples of a file of the time-series archive (``.ts``), or of its training file and the test file beside it.

    Raises
    ------
    Refusal
        If a file cannot be read, is no such file, or has series that do not fit the network.
    """
    assert spec.path is not None
    return _of_files(spec, spec.path)


def read_vowels(spec: DataSpec) -> RawSamples:
    """Return the Japanese Vowels, from the user's file or from the package aeon.

    Raises
    ------
    ToolError
        If no file is given, and the package is not installed.
    Refusal
        If the file cannot be read, or does not fit the network.
    """
    if spec.path is not None:
        return _of_files(spec, spec.path)
    found = importlib.util.find_spec("aeon")
    places = list(found.submodule_search_locations or ()) if found is not None else []
    path = next((Path(place) / _VOWELS for place in places if (Path(place) / _VOWELS).is_file()), None)
    if path is None:
        reason = "the package aeon, which has the Japanese Vowels, is not installed"
        remedy = 'Run `pip install "mgd-hw[vowels]"`, or give the archive\'s JapaneseVowels_TRAIN.ts as data.path.'
        raise ToolError(reason, remedy, file=spec.design_file)
    return _of_files(spec, path)


def rows_to_series(spec: DataSpec, inputs: np.ndarray, names: np.ndarray, answers: np.ndarray, lines: np.ndarray, path: Path) -> RawSamples:
    """Return the series that consecutive rows of a table form.

    Parameters
    ----------
    spec : DataSpec
        Section [data] of the design file.
    inputs : array of float64, shape (rows, channels)
        Values of each row, which is a frame.
    names : array, shape (rows,)
        Name of the series that each row belongs to.
    answers : array, shape (rows,) or (rows, k)
        Answer of each row, which must be the same for all rows of a series.
    lines : array of int64, shape (rows,)
        Line of each row in the file, for messages.
    path : Path
        Path of the file, for messages.

    Raises
    ------
    Refusal
        If the rows of a series do not stand together, if their answers differ, or if a series has more frames than the network.
    """
    starts = np.concatenate(([0], np.flatnonzero(names[1:] != names[:-1]) + 1))
    distinct, seen = set(), spec.series
    for start in starts:
        if names[start] in distinct:
            reason = f"series {_name(names[start])} goes on in line {lines[start]} of {path.name}, after another series"
            raise spec.refuse(reason, "Write the rows of a series below each other.", "data.series", seen)
        distinct.add(names[start])
    ends = np.append(starts[1:], len(names))
    for start, end in zip(starts, ends, strict=True):
        other = np.flatnonzero((answers[start:end] != answers[start]).reshape(end - start, -1).any(axis=1))
        if other.size:
            reason = f"series {_name(names[start])} has two answers: that of line {lines[start + other[0]]} of {path.name} is another one"
            raise spec.refuse(reason, "Give all rows of a series the same answer.", "data.series", seen)
    series = [inputs[start:end] for start, end in zip(starts, ends, strict=True)]
    _check_lengths(spec, series, lines[starts].tolist(), path)
    rows, lengths = packed(series, _frames(spec))
    source = f"{path.name}, {len(series):,} series of {lengths.min()} to {lengths.max()} frames"
    return RawSamples(rows, answers[starts], source, str(path), lines=lines[starts], lengths=lengths)


def _name(name: object) -> str:
    return f"{name:g}" if isinstance(name, (float, np.floating)) else repr(str(name))


def _frames(spec: DataSpec) -> int:
    assert spec.frames is not None, "combinations.check_frames lets only a network with frames have series"
    return spec.frames


def _of_files(spec: DataSpec, path: Path) -> RawSamples:
    """Return the samples of a file, and those of the test file beside a training file."""
    if path.is_dir():
        found = sorted(path.glob("*" + _TRAIN))
        if len(found) != 1:
            reason = f"it is a folder with {len(found) or 'no'} files *{_TRAIN}"
            raise spec.refuse(reason, "Give the path of one file.", value=str(path))
        path = found[0]
    files, n_train = [_read(spec, path)], None
    beside = path.with_name(path.name.removesuffix(_TRAIN) + _TEST)
    if path.name.endswith(_TRAIN) and beside.is_file():
        n_train = len(files[0].series)
        files.append(_read(spec, beside))
    for each in files:
        _check_lengths(spec, each.series, each.lines, each.path)
    first = files[0]
    rows, lengths = packed([series for each in files for series in each.series], _frames(spec))
    guesses = () if n_train is None else (Guess("split", f"{beside.name} to test", f"it stands beside {path.name}", "data.test_fraction"),)
    named = tuple(first.classes or ())
    answers = _targets(files) if first.classes is None else _numbered(spec, files, named)
    source = f"{path.name}, {len(lengths):,} series of {lengths.min()} to {lengths.max()} frames"
    lines = None if len(files) > 1 else np.array(first.lines)
    return RawSamples(rows, answers, source, str(path), n_train, class_names=named, guesses=guesses, lines=lines, lengths=lengths)


def _targets(files: list[_File]) -> np.ndarray:
    """Return the target of each series of a regression (float64)."""
    found = []
    for each in files:
        for answer, line in zip(each.answers, each.lines, strict=True):
            try:
                found.append(float(answer))
            except ValueError:
                raise _wrong(each.path, line, f"the target {answer!r} is not a number", "Give a number for each series.") from None
    return np.array(found)


def _numbered(spec: DataSpec, files: list[_File], names: tuple[str, ...]) -> np.ndarray:
    """Return the class of each series (int64), as the header of the first file numbers them."""
    for each in files:
        for answer, line in zip(each.answers, each.lines, strict=True):
            if answer not in names:
                raise _wrong(each.path, line, f"the class {answer!r} is not among those of the header", "Add it to @classLabel.")
    empty = [name for name in names if name not in files[0].answers]
    if empty:
        reason = f"class {empty[0]!r} of its header has no series"
        raise Refusal(reason, "Remove it from @classLabel, or add series of it.", file=files[0].path)
    if len(names) > max(2, spec.n_out):
        reason = f"{files[0].path.name} has {len(names)} classes, the network tells apart {max(2, spec.n_out)}"
        raise spec.refuse(reason, f"End network.layers with {len(names)}.", "network.layers")
    return np.array([names.index(answer) for each in files for answer in each.answers], dtype=np.int64)


def _check_lengths(spec: DataSpec, series: Sequence[np.ndarray], lines: Sequence[int], path: Path) -> None:
    """Refuse series with other channels than the network, or with more frames."""
    frames, longest = _frames(spec), max(map(len, series), default=0)
    for values, line in zip(series, lines, strict=True):
        if values.shape[1] != spec.n_in:
            reason = f"the series in line {line} of {path.name} has {values.shape[1]} channels, the network {spec.n_in} inputs"
            raise spec.refuse(reason, f"Begin network.layers with {values.shape[1]}.", "network.layers")
        if len(values) > frames:
            reason = f"the series in line {line} of {path.name} has {len(values)} frames"
            raise spec.refuse(reason, f"Take {longest}, for the longest one.", "network.frames", frames)


# -- The format of the archive ----------------------------------------------------------------------------------------


def _wrong(path: Path, line: int, reason: str, remedy: str) -> Refusal:
    return Refusal(f"line {line}: {reason}", remedy, file=path)


def _read(spec: DataSpec, path: Path) -> _File:
    """Read a file of the time-series archive."""
    try:
        if not path.is_file():
            raise spec.refuse("there is no such file", "Paths begin at the folder of the design file.", value=str(path))
        if path.stat().st_size > LARGEST_DATA:
            raise spec.refuse(f"it has more than {LARGEST_DATA:,} bytes", "Give a smaller file.", value=str(path))
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise spec.refuse(f"it cannot be read ({error.strerror})", "Check the path and its permissions.", value=str(path)) from None
    except ValueError:
        raise Refusal("it is not UTF-8 text", "Give a file of the time-series archive, such as NAME_TRAIN.ts.", file=path) from None
    lines = text.splitlines()
    header, begin = _header(path, lines)
    label = header.get("classlabel", ["false"])
    classes = tuple(label[1:]) if label[0].lower() == "true" else None
    if classes is None and header.get("targetlabel", ["false"])[0].lower() != "true":
        raise Refusal("its header declares neither classes nor targets", "Add @classLabel true and the classes.", file=path)
    if header.get("timestamps", ["false"])[0].lower() == "true":
        raise Refusal("its values have time stamps, which are not read", "Give a file with @timeStamps false.", file=path)
    series, answers, numbers = [], [], []
    for number, line in enumerate(lines[begin:], begin + 1):
        if line.strip() and not line.startswith("#"):
            values, answer = _series(path, number, line.strip())
            series.append(values)
            answers.append(answer)
            numbers.append(number)
    if not series:
        raise Refusal("it has no series behind @data", "Give a file with series.", file=path)
    return _File(path, series, answers, numbers, classes)


def _header(path: Path, lines: list[str]) -> tuple[dict[str, list[str]], int]:
    """Return the entries of the header by name, in lower case, and the number of its lines."""
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if not line.startswith("@"):
            raise _wrong(path, number, "the header ends without @data", "Give a file of the time-series archive, such as NAME_TRAIN.ts.")
        if words[0].lower() == "@data":
            return found, number
        found[words[0][1:].lower()] = words[1:] or ["false"]
    raise Refusal("it has no line @data", "Give a file of the time-series archive, such as NAME_TRAIN.ts.", file=path)


def _series(path: Path, number: int, line: str) -> tuple[np.ndarray, str]:
    """Return the values (float64, shape (frames, channels)) and the answer of the series in a line."""
    *channels, answer = line.split(":")
    if not channels:
        raise _wrong(path, number, "it has no colon, which stands behind each channel", "Write the channels, then the answer.")
    rows = [channel.split(",") for channel in channels]
    if len(set(map(len, rows))) > 1:
        counts = ", ".join(str(len(row)) for row in rows)
        raise _wrong(path, number, f"its channels have different numbers of values: {counts}", "Give each channel a value for each frame.")
    values = [[_value(path, text, number) for text in row] for row in rows]
    return np.array(values).T, answer.strip()


def _value(path: Path, text: str, number: int) -> float:
    """Return a value of a series."""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        shown = text.strip()[:40]
        reason = "a value is missing" if shown in ("?", "", "NaN", "nan") else f"{shown!r} is not a finite number"
        raise _wrong(path, number, reason, "Fill it in, or remove the series.")
    return value
