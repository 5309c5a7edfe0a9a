"""Summary of loaded samples for the user: sample counts, classes, ranges, the reader's decisions, and warnings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mgd_hw.common import style
from mgd_hw.common.results import Result
from mgd_hw.data.answers import Classes, Values
from mgd_hw.data.kinds import Kind
from mgd_hw.data.raw import Guess, RawSamples
from mgd_hw.data.split import Split
from mgd_hw.data.tasks import TASKS, DataSpec, Scaling

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["ClassCount", "Summary", "column_name", "shown_or_missing", "summarise"]

MOST_LISTED = 12
"""Largest number of classes or columns that a line lists."""


@dataclass(frozen=True)
class ClassCount:
    """Number of samples of one class.

    Attributes
    ----------
    name : str
        Name of the class, as the data give it.
    train, test : int
        Number of training samples and of evaluation samples of the class.
    """

    name: str
    train: int
    test: int


@dataclass(frozen=True)
class Summary(Result):
    """Summary of the samples of a design.

    Attributes
    ----------
    source : str
        Description of the source of the samples, as a phrase.
    kind : str
        Kind of task: "classification" or "regression".
    train, test : int
        Number of training samples and of evaluation samples.
    judged_by : str
        Role of the evaluation samples: "test" or "validation".
    split : str
        Description of the split between the two parts, as a phrase.
    apart : bool
        Whether the two parts are disjoint.
    features : int
        Number of inputs of each sample.
    input_range : tuple of float
        Least and greatest input as in the file, before scaling.
    input_scaling : str
        Description of the scaling of the inputs, as a phrase.
    classes : tuple of ClassCount
        Number of samples of each class, in the order of the outputs; empty for a regression.
    target_range : tuple of float or None
        Least and greatest target as in the file, before scaling; None for a classification.
    target_scaling : str
        Description of the scaling of the targets, as a phrase.
    answers : tuple of str
        Names of the answer columns in the file, in quotes; empty if they have no names.
    left_out : tuple of str
        Columns that ``data.drop`` leaves out, as messages show them.
    guesses : tuple of Guess
        Kind of task and its reason, followed by the decisions of the reader that the design file leaves open.
    warnings : tuple of str
        Warnings for the user, in whole sentences.
    """

    source: str
    kind: str
    train: int
    test: int
    judged_by: str
    split: str
    apart: bool
    features: int
    input_range: tuple[float, float]
    input_scaling: str
    classes: tuple[ClassCount, ...]
    target_range: tuple[float, float] | None
    target_scaling: str
    answers: tuple[str, ...]
    left_out: tuple[str, ...]
    guesses: tuple[Guess, ...]
    warnings: tuple[str, ...]

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """Yield the rows of the summary table: the subject, its value, and the reason for it or the key that changes it."""
        kind, *guesses = self.guesses
        yield _row(kind)
        judge = {"test": "to test", "validation": "to validate"}[self.judged_by]
        yield "samples", f"{self.train:,} to train, {self.test:,} {judge}", self.split
        yield "inputs", f"{self.features:,}, from {self.input_range[0]:.6g} to {self.input_range[1]:.6g}", self.input_scaling
        if self.classes:
            counts = [f"{each.train:,} + {each.test:,}" if self.apart else f"{each.train:,}" for each in self.classes[:MOST_LISTED]]
            listed = ", ".join(f"{each.name} ({count})" for each, count in zip(self.classes, counts, strict=False))
            more = f", and {len(self.classes) - MOST_LISTED:,} more" if len(self.classes) > MOST_LISTED else ""
            numbers = f"(training + {self.judged_by} samples)" if self.apart else "(samples)"
            yield f"{len(self.classes):,} classes", listed + more, f"name {numbers}, in the order of the outputs"
        if self.target_range is not None:
            yield "targets", f"from {self.target_range[0]:.6g} to {self.target_range[1]:.6g}", self.target_scaling
        if self.answers:
            yield "answers", ", ".join(self.answers), "data.label"
        if self.left_out:
            yield "left out", ", ".join(self.left_out), "data.drop"
        yield from map(_row, guesses)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the table "summary", the rows of :meth:`lines`, and the table "classes", the number of samples of each class."""
        rows = [{"what": what, "value": value, "why": why} for what, value, why in self.lines()]
        return {"summary": rows, "classes": [{"class": each.name, "train": each.train, "test": each.test} for each in self.classes]}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = style.table("data", "", "", numbers=False)
        for what, value, why in self.lines():
            table.add_row(style.escape(what), style.escape(value), style.escape(why))
        yield table
        for warning in self.warnings:
            yield f"[bold]Warning:[/bold] {style.escape(warning)}"


def _row(guess: Guess) -> tuple[str, str, str]:
    """Return the table row of a decision: its subject, its value, and its reason with the key that overrides it."""
    return guess.what, guess.value, "; ".join(part for part in (guess.why, guess.key and f"{guess.key} overrides it") if part)


def column_name(names: tuple[str, ...], column: int) -> str:
    """Return the designation of an input in messages: its name in quotes, or its number counted from 0."""
    return f'"{names[column]}"' if names and names[column] else f"number {column}"


def summarise(
    spec: DataSpec, raw: RawSamples, answers: Classes | Values, parts: Split, kind: Kind, scaled: np.ndarray, *, judged_by: str
) -> Summary:
    """Summarise the samples of a design.

    Parameters
    ----------
    spec : DataSpec
        Section [data] of the design file.
    raw : RawSamples
        Samples as the source delivers them, not yet scaled.
    answers : Classes or Values
        Class labels or target values of the samples.
    parts : Split
        Split into training samples and evaluation samples.
    kind : Kind
        Kind of task, which scores outputs.
    scaled : array of float64, shape (n, n_in)
        Inputs after scaling, not clipped to the ``input_values``, also behind the end of a series.
    judged_by : str
        Role of the evaluation samples: "test" or "validation".
    """
    classes: tuple[ClassCount, ...] = ()
    target_range = None
    if isinstance(answers, Classes):
        train, test = (np.bincount(answers.labels[part], minlength=len(answers.names)) for part in (parts.train, parts.test))
        classes = tuple(ClassCount(*row) for row in zip(answers.names, train.tolist(), test.tolist(), strict=True))
    else:
        target_range = (float(answers.values.min()), float(answers.values.max()))
    given = raw.of_frames(raw.inputs, spec.n_in, np.arange(len(raw.inputs)))
    return Summary(
        source=raw.source,
        kind=kind.name,
        train=len(parts.train),
        test=len(parts.test),
        judged_by=judged_by,
        split=parts.how,
        apart=parts.apart,
        features=raw.inputs.shape[1],
        input_range=(float(given.min()), float(given.max())),
        input_scaling=_input_scaling(spec, raw),
        classes=classes,
        target_range=target_range,
        target_scaling=_target_scaling(spec),
        answers=tuple(f'"{name}"' for name in raw.answer_names),
        left_out=tuple(f"column {column}" if isinstance(column, int) else f'"{column}"' for column in spec.drop),
        guesses=(answers.guess, *raw.guesses),
        warnings=(*raw.warnings, *_warnings(spec, raw, answers, classes, parts, scaled)),
    )


def _input_scaling(spec: DataSpec, raw: RawSamples) -> str:
    if spec.scaling is Scaling.NONE:
        return "used as they are (data.scaling)"
    least, greatest = (f"{each:g}" for each in spec.input_values)
    if spec.scaling is Scaling.COLUMN:
        return f"scaled to [{least}, {greatest}], each by its own range (data.scaling)"
    if spec.scaling is not Scaling.RANGE:
        raise TypeError(f"Scaling of inputs must be one of {list(Scaling)}, not {spec.scaling!r}")
    if raw.full_scale == (0, 1) == spec.input_values:
        return "used as they are"
    if raw.full_scale is not None:
        return f"scaled to [{least}, {greatest}] from {raw.full_scale[0]:g} … {raw.full_scale[1]:g} (data.scaling)"
    return f"scaled to [{least}, {greatest}] by their common range (data.scaling)"


def _target_scaling(spec: DataSpec) -> str:
    low, high = spec.target_values
    if spec.target_scaling is Scaling.NONE:
        return "used as they are (data.target_scaling)"
    if spec.target_scaling not in (Scaling.COLUMN, Scaling.RANGE):
        raise TypeError(f"Scaling of targets must be one of {list(Scaling)}, not {spec.target_scaling!r}")
    each = "each by its own range" if spec.target_scaling is Scaling.COLUMN else "by their common range"
    return f"scaled to [{low:g}, {high:g}], {each} (data.target_scaling)"


def _warnings(
    spec: DataSpec, raw: RawSamples, answers: Classes | Values, classes: tuple[ClassCount, ...], parts: Split, scaled: np.ndarray
) -> Iterator[str]:
    yield from _class_warnings(classes, parts)
    yield from _target_warnings(spec, answers, parts)
    if TASKS[spec.task].any_answers and raw.full_scale is None:
        yield from _column_warnings(raw, parts) if spec.frames is None else _channel_warnings(spec, raw, parts)
    if parts.apart and spec.scaling is not Scaling.NONE:
        least, greatest = spec.input_values
        judged = raw.of_frames(scaled, spec.n_in, parts.test)
        outside = int(np.count_nonzero((judged < least) | (judged > greatest)))
        if outside:
            of, lie, verb = judged.size, *(("lies", "is") if outside == 1 else ("lie", "are"))
            yield f"{outside:,} of {of:,} inputs of the judged samples {lie} outside the range of training, and {verb} cut off there."
    if parts.apart and TASKS[spec.task].takes_path:
        count = _repeated(raw.inputs, parts)
        if count:
            yield f"{count:,} of {len(parts.test):,} judged samples {'has' if count == 1 else 'have'} the same inputs as a training sample."


def _class_warnings(classes: tuple[ClassCount, ...], parts: Split) -> Iterator[str]:
    for part, empty in (
        ("no sample at all", [each.name for each in classes if not each.train and not each.test]),
        ("no training sample", [each.name for each in classes if not each.train and each.test]),
        ("no sample that is judged", [each.name for each in classes if each.train and not each.test]),
    ):
        if empty:
            listed = ", ".join(empty[:MOST_LISTED]) + (", …" if len(empty) > MOST_LISTED else "")
            yield f"{'Class' if len(empty) == 1 else 'Classes'} {listed}: there is {part}."


def _target_warnings(spec: DataSpec, answers: Classes | Values, parts: Split) -> Iterator[str]:
    if isinstance(answers, Values):
        training = answers.values[parts.train]
        same = np.flatnonzero((training == training[0]).all(axis=0))
        if len(same) and len(training) > 1:
            yield (
                "Every training sample has the same target: there is nothing to learn."
                if training.shape[1] == 1
                else (f"Target number {', '.join(map(str, same[:MOST_LISTED]))}: the same in every training sample.")
            )
    elif spec.n_out == 1 and abs(sum(spec.target_values) - 1.0) > 1e-9:
        low, high = spec.target_values
        yield (
            f"One output answers the second class where it is at least ½, and the targets {low:g} and {high:g} do not lie evenly around "
            "that; two outputs, or target_values = [0, 1], do."
        )


def _column_warnings(raw: RawSamples, parts: Split) -> Iterator[str]:
    training = raw.inputs[parts.train]
    constant = np.flatnonzero((training == training[0]).all(axis=0))
    if len(constant) and len(training) > 1:
        listed = ", ".join(column_name(raw.names, column) for column in constant[:MOST_LISTED])
        more = ", …" if len(constant) > MOST_LISTED else ""
        what = "Input" if len(constant) == 1 else "Inputs"
        yield f"{what} {listed}{more}: the same in every training sample, so nothing can be learned from it."


def _channel_warnings(spec: DataSpec, raw: RawSamples, parts: Split) -> Iterator[str]:
    """Warn of the inputs of a frame that tell nothing of a series: those that are constant, and those that count the frames."""
    training = raw.inputs[parts.train].reshape(len(parts.train), -1, spec.n_in)
    lengths = np.full(len(training), training.shape[1]) if raw.lengths is None else raw.lengths[parts.train]
    exists = np.arange(training.shape[1]) < lengths[:, None]
    longest = training[lengths.argmax()]
    same = ((training == longest) | ~exists[:, :, None]).all(axis=(0, 1))
    for channel in np.flatnonzero(same)[:MOST_LISTED] if len(training) > 1 else ():
        name, course = column_name(raw.names, channel), longest[: lengths.max(), channel]
        if (course == course[0]).all():
            yield f"Input {name}: the same in every frame of every training series, so nothing can be learned from it."
        elif (np.diff(course) > 0).all():
            yield f"Input {name} counts the frames: it rises alike in every training series, and tells their lengths alone."


def _repeated(inputs: np.ndarray, parts: Split) -> int:
    """Return the number of evaluation samples whose inputs also occur among the training samples."""
    inputs = np.ascontiguousarray(inputs) + inputs.dtype.type(0)  # so that −0 and 0 have the same bytes
    known = {row.tobytes() for row in inputs[parts.train]}
    return sum(row.tobytes() in known for row in inputs[parts.test])


def shown_or_missing(data: Summary | None, missing: str) -> RenderResult:
    """Render a summary for the terminal, or else a note with the reason why the data could not be read."""
    if data is not None:
        yield data
    elif missing:
        yield f"Note: the data were not read. {style.escape(missing)}"
