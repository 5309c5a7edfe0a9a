"""Convert the answers in a file to targets: choose the kind of task, number the classes, and scale real targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mgd_hw.data.kinds import Classification, Kind, Regression
from mgd_hw.data.raw import Guess, RawSamples
from mgd_hw.data.tasks import MAX_CLASSES, TASKS, DataSpec, Scaling
from python_ref.spec.error import Refusal

__all__ = ["Classes", "Values", "guess_kind", "resolve"]

FEW = 20
"""Largest number of distinct whole numbers that :func:`guess_kind` takes for classes if they do not count up from 0 or 1."""


@dataclass(frozen=True, eq=False)
class Classes:
    """The answers of a classification.

    Attributes
    ----------
    labels : array of int64, shape (n,)
        Class of each sample, counted from 0.
    names : tuple of str
        Names of the classes, in the order of their numbers.
    guess : Guess
        Decision that the task is a classification, and its reason.
    soft : array of float64, shape (n, n_out), or None
        Soft targets from the file, one share per class; None derives the targets from ``data.target_values``.
    """

    labels: np.ndarray
    names: tuple[str, ...]
    guess: Guess
    soft: np.ndarray | None = None

    def targets(self, spec: DataSpec, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, Kind]:
        """Return the targets of all samples, and the kind of task that scores outputs.

        Parameters
        ----------
        spec : DataSpec
            Section [data] of the design file, which sets the target values.
        train, test : arrays of int64
            Indices of the training samples, and of the samples for evaluation.

        Returns
        -------
        (array of float64, shape (n, n_out); Kind)
            Targets of all samples, one column per output, and the kind of task that scores a network's outputs.

        Raises
        ------
        Refusal
            If the target values do not lie on both sides of the threshold of a single output.
        """
        kind = Classification(self.names, self.labels[test], self.labels[train])
        if self.soft is not None:
            return self.soft, kind
        low, high = spec.target_values
        if spec.n_out == 1 and not low < 0.5 <= high:
            reason = (
                "a network with one output answers the second class where its output is at least ½, and both targets lie on one side of it"
            )
            raise spec.refuse(reason, "Write target_values = [0, 1], or give the network two outputs.", "data.target_values", [low, high])
        hot = self.labels[:, None].astype(np.float64) if spec.n_out == 1 else np.eye(spec.n_out)[self.labels]
        return low + (high - low) * hot, kind


@dataclass(frozen=True, eq=False)
class Values:
    """The answers of a regression.

    Attributes
    ----------
    values : array of float64, shape (n, n_out)
        Targets in the unit of the file, not yet scaled.
    guess : Guess
        Decision that the task is a regression, and its reason.
    """

    values: np.ndarray
    guess: Guess
    labels: None = None

    def targets(self, spec: DataSpec, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, Kind]:
        """Return the targets of all samples, scaled by the range of the training samples, and the kind; see :meth:`Classes.targets`."""
        offset, factor = self._scale(spec, self.values[train])
        kind = Regression(self.values[test], self.values[train], offset, factor)
        return (self.values - offset) / factor, kind

    def _scale(self, spec: DataSpec, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the offset and the factor of each target, shape (n_out,): file value = offset + factor · scaled target."""
        n_out = training.shape[1]
        if spec.target_scaling is Scaling.NONE:
            return np.zeros(n_out), np.ones(n_out)
        if spec.target_scaling is Scaling.COLUMN:
            least, greatest = training.min(axis=0), training.max(axis=0)
        elif spec.target_scaling is Scaling.RANGE:
            least, greatest = np.full(n_out, training.min()), np.full(n_out, training.max())
        else:
            raise TypeError(f"Scaling of targets must be one of {list(Scaling)}, not {spec.target_scaling!r}")
        low, high = spec.target_values
        factor = np.where(greatest > least, greatest - least, 1.0) / (high - low)
        return least - low * factor, factor


def resolve(spec: DataSpec, raw: RawSamples) -> Classes | Values:
    """Interpret the answers of samples as classes or as real targets.

    Raises
    ------
    Refusal
        If the answers are neither, or do not fit the network's outputs.
    """
    answers = raw.answers[:, 0] if raw.answers.ndim == 2 and raw.answers.shape[1] == 1 else raw.answers
    name, why = _kind(spec, raw, answers)
    guess = Guess("kind", name, why or "set by data.kind", "data.kind" if why and TASKS[spec.task].any_answers else "")
    if name == Regression.name:
        return Values(_real_targets(spec, raw, answers, why), guess)
    if name != Classification.name:
        raise TypeError(f"Kind of task must be classification or regression, not {name!r}")
    if answers.ndim == 2:
        return _from_table(spec, raw, answers.astype(np.float64), guess)
    labels, names = _from_column(spec, raw, answers)
    return Classes(labels, names, guess)


def guess_kind(answers: np.ndarray) -> tuple[str, str]:
    """Guess the kind of task from the answers alone, without a network.

    Parameters
    ----------
    answers : array, shape (n,) or (n, k)
        Numbers, booleans or text, one answer or k answers per sample.

    Returns
    -------
    (str, str)
        Name of the kind, and the reason for the guess as a clause.
    """
    if answers.ndim == 2 and answers.shape[1] > 1:
        if _one_hot(answers):
            return "classification", "the answers are one-hot"
        marks = bool(np.isin(answers, (0, 1)).all())
        return "regression", "a sample has several answers" + (", of which several may be 1: each is judged as a number" if marks else "")
    answers = answers.reshape(-1)
    if answers.dtype.kind not in "iuf":
        return "classification", "the answers are words" if answers.dtype.kind in "US" else "the answers are true and false"
    if not _whole(answers):
        return "regression", "the answers are not whole numbers"
    distinct = np.unique(answers)
    counted = distinct[0] in (0, 1) and len(distinct) == distinct[-1] - distinct[0] + 1
    if len(distinct) <= FEW and (3 * len(distinct) <= len(answers) or (counted and len(distinct) <= FEW // 2)):
        return "classification", f"the answers are {len(distinct)} different whole numbers"
    if counted and len(distinct) <= MAX_CLASSES and 5 * len(distinct) <= len(answers):
        return "classification", f"the answers count from {distinct[0]:g} to {distinct[-1]:g}"
    if len(distinct) <= 2:
        return "classification", f"there are {len(distinct)} different answers"
    return "regression", f"the answers are {len(distinct):,} different numbers"


def _kind(spec: DataSpec, raw: RawSamples, answers: np.ndarray) -> tuple[str, str]:
    """Return the name of the kind of task and the reason for it, which is "" if the design file sets ``data.kind``."""
    if spec.kind is not None:
        return spec.kind, ""
    if not TASKS[spec.task].any_answers:
        return Regression.name if TASKS[spec.task].regression else Classification.name, "given by the task"
    if answers.ndim == 2 or answers.dtype.kind not in "iuf" or not _whole(answers):
        return guess_kind(answers)
    distinct = len(np.unique(answers))
    if spec.n_out == 1 and distinct > 2:
        return Regression.name, f"the network has one output, and the answers are {distinct:,} different numbers"
    return Classification.name, f"the answers are {distinct:,} different whole numbers, and the network has {_outputs(spec.n_out)}"


def _outputs(count: int) -> str:
    return "1 output" if count == 1 else f"{count} outputs"


def _whole(answers: np.ndarray) -> bool:
    return bool((answers == np.floor(answers)).all())


def _one_hot(answers: np.ndarray) -> bool:
    return answers.dtype.kind in "biuf" and bool(((answers == 0) | (answers == 1)).all() and (answers.sum(axis=1) == 1).all())


def _real_targets(spec: DataSpec, raw: RawSamples, answers: np.ndarray, why: str) -> np.ndarray:
    """Return the targets of a regression, float64, shape (n, n_out); error messages quote ``why``, the reason from :func:`_kind`."""
    if answers.dtype.kind not in "biuf":
        number = int(np.flatnonzero([not _is_number(answer) for answer in answers.reshape(-1)])[0]) // max(1, answers[0].size)
        message = f"the answer of {raw.sample(number)} is {str(answers[number])!r}, and a regression needs numbers"
        raise Refusal(message, 'Write kind = "classification" in [data], or name another column as data.label.', file=raw.where or None)
    values = answers.reshape(len(answers), -1).astype(np.float64)
    if values.shape[1] != spec.n_out:
        targets = "1 target" if values.shape[1] == 1 else f"{values.shape[1]} targets"
        since = f" (a regression, since {why})" if why else ""
        reason = f"{raw.where} has {targets} per sample{since}, the network {_outputs(spec.n_out)}"
        raise spec.refuse(reason, f"End network.layers with {values.shape[1]}.", key="network.layers")
    return values


def _is_number(text: object) -> bool:
    try:
        float(str(text))
    except ValueError:
        return False
    return True


def _from_table(spec: DataSpec, raw: RawSamples, answers: np.ndarray, guess: Guess) -> Classes:
    """Return the classes of answers with one column per class: one-hot, or shares that add up to 1."""
    count = answers.shape[1]
    if count != max(2, spec.n_out):
        reason = f"{raw.where} has {count} targets per sample, the network {_outputs(spec.n_out)}"
        raise spec.refuse(reason, f"End network.layers with {count}.", key="network.layers")
    soft = None if _one_hot(answers) else answers
    if soft is not None and spec.n_out == 1:
        raise spec.refuse(f"{raw.where} has 2 targets per sample, the network 1 output", "End network.layers with 2.", "network.layers")
    if soft is not None and not ((answers >= 0).all() and np.allclose(answers.sum(axis=1), 1.0, atol=1e-3)):
        number = int(np.flatnonzero((answers < 0).any(axis=1) | (np.abs(answers.sum(axis=1) - 1.0) > 1e-3))[0])
        reason = f"the answers of {raw.sample(number)} are neither one-hot nor shares that add up to 1"
        raise spec.refuse(reason, 'Write kind = "regression": each answer is then judged as a number.', "data.kind", "classification")
    names = raw.class_names or raw.answer_names or tuple(map(str, range(count)))
    return Classes(answers.argmax(axis=1), names, guess, soft)


def _from_column(spec: DataSpec, raw: RawSamples, answers: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the classes (int64, shape (n,)) and their names for answers with one value per sample.

    Whole numbers from 0 to n_out − 1 (0 or 1 for one output) are the classes themselves; other answers are numbered in sorted order.
    """
    most = max(2, spec.n_out)
    if answers.dtype.kind in "iuf" and _whole(answers) and answers.min() >= 0 and answers.max() < most:
        return answers.astype(np.int64), raw.class_names or tuple(map(str, range(most)))
    if raw.class_names or not TASKS[spec.task].any_answers:
        number = int(np.flatnonzero((answers < 0) | (answers >= most))[0])
        reason = f"{raw.where}: the label of {raw.sample(number)} is {answers[number]:g}, the network tells apart 0 to {most - 1}"
        needed = max(2, int(min(answers.max(), 2.0**31)) + 1)
        raise spec.refuse(reason, f"Count labels from 0, or end network.layers with at least {needed}.")
    distinct, labels = np.unique(answers, return_inverse=True)
    names = tuple(_class_name(value) for value in distinct)
    if len(distinct) > most:
        listed = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
        reason = f"{raw.where} has {len(distinct):,} classes ({listed}), the network tells apart {most}"
        remedy = (
            f"End network.layers with {len(distinct)}." if len(distinct) <= MAX_CLASSES else f"There are at most {MAX_CLASSES} classes."
        )
        if answers.dtype.kind in "iuf":
            remedy += ' For a regression end it with 1, and write kind = "regression" in [data].'
        raise spec.refuse(reason, remedy, key="network.layers")
    return labels.astype(np.int64), names + tuple(f"(output {number})" for number in range(len(names), most))


def _class_name(value: object) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:g}" if float(f"{value:g}") == value else repr(float(value))
    return str(value)
