"""Kinds of task, which score the outputs of a network: classification by its accuracy, regression by its errors."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypedDict

import numpy as np

__all__ = ["KINDS", "MEASURES", "Classification", "Judged", "Kind", "Measure", "Regression", "Verdict"]

LARGEST_CONFUSION = 64
"""Largest number of classes for which a confusion matrix is computed."""
UNEVEN = 1.5
"""Ratio of the largest class to an even share above which classes count as uneven."""


@dataclass(frozen=True)
class Measure:
    """Measure of how well a network performs.

    Attributes
    ----------
    name : str
        Name in Python, in JSON and in the columns of a sweep.
    title : str
        Heading of a table's column, and label of an axis.
    larger_is_better : bool
        Whether a larger value is better.
    share : bool
        Whether the value is a share, shown in percent.
    """

    name: str
    title: str
    larger_is_better: bool
    share: bool

    def text(self, value: float | None) -> str:
        """Format a value for display; None and NaN give a dash."""
        if value is None or math.isnan(value):
            return "–"
        return f"{100 * value:.2f} %" if self.share else f"{value:.4g}"

    def difference(self, value: float, interval: float) -> str:
        """Format the difference of two values, with ± half the width of its confidence interval unless that is NaN."""
        scale, unit = (100.0, " points") if self.share else (1.0, "")
        form = "+.2f" if self.share else "+.4g"
        spread = "" if math.isnan(interval) else f" ± {scale * interval:{form[1:]}}"
        return f"{scale * value:{form}}{spread}{unit}"


ACCURACY = Measure("accuracy", "accuracy", larger_is_better=True, share=True)
BALANCED_ACCURACY = Measure("balanced_accuracy", "balanced", larger_is_better=True, share=True)
RMSE = Measure("rmse", "RMSE", larger_is_better=False, share=False)
R2 = Measure("r2", "R²", larger_is_better=True, share=False)
MEASURES = {measure.name: measure for measure in (ACCURACY, BALANCED_ACCURACY, RMSE, R2)}
"""Measures of all kinds of task, by name."""


class Verdict(TypedDict):
    """Evaluation of a network; each item holds the result of the method of :class:`Kind` with the same name."""

    scores: dict[str, float]
    confusion: np.ndarray | None
    constant: str


class Judged:
    """Mixin of training results that a :class:`Kind` has scored: properties derived from ``scores`` and ``failure``."""

    scores: dict[str, float]
    failure: str

    @property
    def accuracy(self) -> float:
        """Share of correct answers; NaN for a regression."""
        return self.scores.get("accuracy", math.nan)

    @property
    def diverged(self) -> bool:
        """Whether the run failed: it diverged, or was saturated throughout."""
        return bool(self.failure)


class Kind(ABC):
    """Base class of the kinds of task. An instance holds the evaluation samples and scores a network's outputs on them.

    A subclass is a frozen dataclass.

    Attributes
    ----------
    name : str
        Value of ``data.kind`` that selects this kind.
    measures : tuple of Measure
        Measures that :meth:`scores` returns; models are compared by the first.
    baseline : dict of str to float
        Scores of a constant answer that ignores the inputs: the most frequent class of the evaluation samples in a
        classification, the mean target of the training samples in a regression.
    baseline_title : str
        Description of the constant answer, as a phrase.
    classes : tuple of str
        Names of the classes, in the order of the outputs; empty for a regression.
    """

    name: ClassVar[str]
    measures: ClassVar[tuple[Measure, ...]]
    baseline: dict[str, float]
    baseline_title: str
    classes: tuple[str, ...]

    @property
    def shown_measures(self) -> tuple[Measure, ...]:
        """Measures that tables show."""
        return self.measures

    def describe(self, scores: dict[str, float]) -> tuple[str, str]:
        """Return the shown measures, and the baseline of the first of them, each as a phrase."""
        shown = self.shown_measures
        values = ", ".join(f"{measure.title} {measure.text(scores[measure.name])}" for measure in shown)
        return values, f"{self.baseline_title}: {shown[0].text(self.baseline[shown[0].name])}"

    def verdict(self, outputs: np.ndarray) -> Verdict:
        """Evaluate a network by all methods of this class.

        Parameters
        ----------
        outputs : array of float, shape (n, n_out)
            Outputs of the network for the evaluation samples, in their order.
        """
        return {"scores": self.scores(outputs), "confusion": self.confusion(outputs), "constant": self.constant(outputs)}

    @abstractmethod
    def scores(self, outputs: np.ndarray) -> dict[str, float]:
        """Return the value of each measure by name; for the outputs see :meth:`verdict`."""

    def confusion(self, outputs: np.ndarray) -> np.ndarray | None:
        """Return the confusion matrix, int64: true classes in rows, answers in columns; None for a regression or too many classes."""
        return None

    @abstractmethod
    def constant(self, outputs: np.ndarray) -> str:
        """Return the answer that a network gives to every sample, for display; "" if its answers differ."""


@dataclass(frozen=True, eq=False)
class Classification(Kind):
    """Kind of task in which each sample belongs to one class, and the network answers the class with the largest output.

    A network with one output y distinguishes two classes: it answers the second if y ≥ ½.

    Parameters
    ----------
    classes : tuple of str
        Names of the classes, in the order of the outputs.
    truth : array of int64, shape (n,)
        True classes of the evaluation samples.
    training : array of int64, shape (m,)
        Classes of the training samples.
    """

    classes: tuple[str, ...]
    truth: np.ndarray
    training: np.ndarray
    baseline: dict[str, float] = field(init=False)
    baseline_title: str = field(init=False)

    name: ClassVar[str] = "classification"
    measures: ClassVar[tuple[Measure, ...]] = (ACCURACY, BALANCED_ACCURACY)

    def __post_init__(self) -> None:
        largest = int(np.bincount(self.truth, minlength=len(self.classes)).argmax())
        object.__setattr__(self, "baseline", self._scores(np.full_like(self.truth, largest)))
        object.__setattr__(self, "baseline_title", f'always "{self.classes[largest]}"')

    @property
    def uneven(self) -> bool:
        """Whether one class is so frequent among the evaluation samples or the training samples that plain accuracy misleads."""
        parts = [np.bincount(labels) for labels in (self.truth, self.training)]
        return any(counts.max() * np.count_nonzero(counts) > UNEVEN * counts.sum() for counts in parts)

    @property
    def shown_measures(self) -> tuple[Measure, ...]:
        """Measures that tables show; the balanced accuracy is among them only if the classes are uneven."""
        return self.measures if self.uneven else self.measures[:1]

    def answers(self, outputs: np.ndarray) -> np.ndarray:
        """Return the class that a network answers for each sample, int64, shape (n,); of equal outputs the lowest class wins."""
        return (outputs[:, 0] >= 0.5).astype(np.int64) if outputs.shape[1] == 1 else outputs.argmax(axis=1)

    def scores(self, outputs: np.ndarray) -> dict[str, float]:
        return self._scores(self.answers(outputs))

    def _scores(self, answers: np.ndarray) -> dict[str, float]:
        from sklearn.metrics import accuracy_score, recall_score  # type: ignore[import-untyped]

        present = np.unique(self.truth)  # a class without samples has no recall
        recall = recall_score(self.truth, answers, labels=present, average="macro", zero_division=0.0)
        return {"accuracy": float(accuracy_score(self.truth, answers)), "balanced_accuracy": float(recall)}

    def confusion(self, outputs: np.ndarray) -> np.ndarray | None:
        from sklearn.metrics import confusion_matrix

        if len(self.classes) > LARGEST_CONFUSION:
            return None
        return confusion_matrix(self.truth, self.answers(outputs), labels=np.arange(len(self.classes))).astype(np.int64)

    def constant(self, outputs: np.ndarray) -> str:
        given = np.unique(self.answers(outputs))
        several = len(np.unique(self.truth)) > 1
        return f'"{self.classes[given[0]]}"' if len(given) == 1 and several else ""


@dataclass(frozen=True, eq=False)
class Regression(Kind):
    """Kind of task in which each sample has real targets, and the network is scored by its errors in the unit of the targets.

    With several targets, each measure is the mean over the targets.

    Parameters
    ----------
    truth : array of float64, shape (n, n_out)
        Targets of the evaluation samples, in the unit of the user's file.
    training : array of float64, shape (m, n_out)
        Targets of the training samples, in the same unit.
    offset, factor : arrays of float64, shape (n_out,)
        Scaling of the targets: file value = offset + factor · output of the network.
    """

    truth: np.ndarray
    training: np.ndarray
    offset: np.ndarray
    factor: np.ndarray
    baseline: dict[str, float] = field(init=False)
    baseline_title: str = field(init=False, default="always the mean")

    name: ClassVar[str] = "regression"
    classes = ()
    measures: ClassVar[tuple[Measure, ...]] = (RMSE, R2)

    def __post_init__(self) -> None:
        mean = np.broadcast_to(self.training.mean(axis=0), self.truth.shape)
        object.__setattr__(self, "baseline", self._scores(mean))

    @property
    def shown_measures(self) -> tuple[Measure, ...]:
        """Measures that tables show; with several targets, their titles state the number that the mean is taken over."""
        count = self.truth.shape[1]
        if count == 1:
            return self.measures
        return tuple(replace(measure, title=f"{measure.title}, mean of {count}") for measure in self.measures)

    def constant(self, outputs: np.ndarray) -> str:
        spread = np.ptp(outputs, axis=0) if len(outputs) > 1 else np.ones(1)
        return "" if spread.any() else "the same numbers"  # infinite answers have a spread of NaN, which counts as true

    def scores(self, outputs: np.ndarray) -> dict[str, float]:
        with np.errstate(all="ignore"):  # a network that diverged has no finite answers
            return self._scores(self.offset + self.factor * outputs.astype(np.float64))

    def _scores(self, answers: np.ndarray) -> dict[str, float]:
        from sklearn.metrics import r2_score, root_mean_squared_error

        largest = float(np.abs(answers).max())
        if not largest < 1e150:  # beyond this, or with NaN, the square of an error is not finite
            return {"rmse": math.inf, "r2": -math.inf}
        rmse = root_mean_squared_error(self.truth, answers)
        r2 = r2_score(self.truth, answers) if len(self.truth) > 1 else math.nan
        return {"rmse": float(rmse), "r2": float(r2)}


KINDS: dict[str, type[Any]] = {kind.name: kind for kind in (Classification, Regression)}
"""Kinds of task, by name."""
