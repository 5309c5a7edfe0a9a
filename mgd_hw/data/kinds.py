"""The kinds of task, and how each of them judges a network: classification by its classes, regression by its errors."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypedDict

import numpy as np

__all__ = ["KINDS", "MEASURES", "Classification", "Judged", "Kind", "Measure", "Regression", "Verdict"]

LARGEST_CONFUSION = 64
"""Largest number of classes of which a confusion matrix is kept."""
UNEVEN = 1.5
"""Ratio of the largest class to an even share from which classes count as uneven."""


@dataclass(frozen=True)
class Measure:
    """A figure that tells how well a network answers.

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
        """A value as a person reads it; a dash where there is none."""
        if value is None or math.isnan(value):
            return "–"
        return f"{100 * value:.2f} %" if self.share else f"{value:.4g}"

    def difference(self, value: float, interval: float) -> str:
        """A difference of two values, with half the width of its interval unless that is NaN."""
        scale, unit = (100.0, " points") if self.share else (1.0, "")
        form = "+.2f" if self.share else "+.4g"
        spread = "" if math.isnan(interval) else f" ± {scale * interval:{form[1:]}}"
        return f"{scale * value:{form}}{spread}{unit}"


ACCURACY = Measure("accuracy", "accuracy", larger_is_better=True, share=True)
BALANCED_ACCURACY = Measure("balanced_accuracy", "balanced", larger_is_better=True, share=True)
RMSE = Measure("rmse", "RMSE", larger_is_better=False, share=False)
R2 = Measure("r2", "R²", larger_is_better=True, share=False)
MEASURES = {measure.name: measure for measure in (ACCURACY, BALANCED_ACCURACY, RMSE, R2)}
"""The measures of all kinds, by name."""


class Verdict(TypedDict):
    """What a kind of task says of a network: see the methods of :class:`Kind` of these names."""

    scores: dict[str, float]
    confusion: np.ndarray | None
    constant: str


class Judged:
    """A result of training that is judged by a kind of task: what follows from ``scores`` and ``failure``."""

    scores: dict[str, float]
    failure: str

    @property
    def accuracy(self) -> float:
        """Share of right answers; NaN where there are no classes."""
        return self.scores.get("accuracy", math.nan)

    @property
    def diverged(self) -> bool:
        """Whether the run diverged, or saturated throughout."""
        return bool(self.failure)


class Kind(ABC):
    """How the answers of a network are judged, and by which samples; a subclass is a frozen dataclass.

    Attributes
    ----------
    name : str
        What ``data.kind`` calls it.
    measures : tuple of Measure
        The measures that :meth:`scores` gives; the first is the one that models are compared by.
    baseline : dict of str to float
        The same measures of an answer that takes no notice of the inputs: of a classification the best constant one, of a
        regression the mean of the training samples.
    baseline_title : str
        What that answer is, as a phrase.
    classes : tuple of str
        Names of the classes, in the order of the outputs; empty where there are none.
    """

    name: ClassVar[str]
    measures: ClassVar[tuple[Measure, ...]]
    baseline: dict[str, float]
    baseline_title: str
    classes: tuple[str, ...]

    @property
    def shown_measures(self) -> tuple[Measure, ...]:
        """The measures that a table shows."""
        return self.measures

    def told(self, scores: dict[str, float]) -> tuple[str, str]:
        """The measures that a table shows, and the baseline of the first, each as a phrase."""
        shown = self.shown_measures
        values = ", ".join(f"{measure.title} {measure.text(scores[measure.name])}" for measure in shown)
        return values, f"{self.baseline_title}: {shown[0].text(self.baseline[shown[0].name])}"

    def verdict(self, outputs: np.ndarray) -> Verdict:
        """All that is said of a network.

        Parameters
        ----------
        outputs : array of float, shape (n, n_out)
            Its outputs to the samples that it is judged by, in their order.
        """
        return {"scores": self.scores(outputs), "confusion": self.confusion(outputs), "constant": self.constant(outputs)}

    @abstractmethod
    def scores(self, outputs: np.ndarray) -> dict[str, float]:
        """The measures of a network, by name; see :meth:`verdict`."""

    def confusion(self, outputs: np.ndarray) -> np.ndarray | None:
        """Samples by their class (rows) and by the network's answer (columns), int64; None where there are no classes, or too many."""
        return None

    @abstractmethod
    def constant(self, outputs: np.ndarray) -> str:
        """What a network answers to every sample, as a person reads it; "" where its answers differ."""


@dataclass(frozen=True, eq=False)
class Classification(Kind):
    """Each sample belongs to one class; the answer is the class with the largest output.

    A network with one output tells two classes apart: it answers the second where y ≥ ½.

    Parameters
    ----------
    classes : tuple of str
        Names of the classes, in the order of the outputs.
    truth : array of int64, shape (n,)
        Classes of the samples that networks are judged by.
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
        """Whether one class has so many of the judged or of the training samples that plain accuracy misleads."""
        parts = [np.bincount(labels) for labels in (self.truth, self.training)]
        return any(counts.max() * np.count_nonzero(counts) > UNEVEN * counts.sum() for counts in parts)

    @property
    def shown_measures(self) -> tuple[Measure, ...]:
        """The measures that a table shows: the balanced accuracy only where classes are uneven."""
        return self.measures if self.uneven else self.measures[:1]

    def answers(self, outputs: np.ndarray) -> np.ndarray:
        """The class that a network answers (int64, shape (n,)), the lowest of several with equal outputs."""
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
    """Each sample has real targets; the answer is judged by its distance from them, in their own unit.

    Of several targets the measures are taken one by one, and their mean is told.

    Parameters
    ----------
    truth : array of float64, shape (n, n_out)
        Targets of the samples that networks are judged by, as in the user's file.
    training : array of float64, shape (m, n_out)
        Targets of the training samples.
    offset, factor : arrays of float64, shape (n_out,)
        The scaling of the targets: the file's value is offset + factor · the network's.
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
        """The measures that a table shows; their titles say of how many targets they are the mean."""
        count = self.truth.shape[1]
        if count == 1:
            return self.measures
        return tuple(replace(measure, title=f"{measure.title}, mean of {count}") for measure in self.measures)

    def constant(self, outputs: np.ndarray) -> str:
        spread = np.ptp(outputs, axis=0) if len(outputs) > 1 else np.ones(1)
        return "" if spread.any() else "the same numbers"  # the spread of infinite answers is NaN, which counts as any

    def scores(self, outputs: np.ndarray) -> dict[str, float]:
        with np.errstate(all="ignore"):  # a network that diverged has no finite answers
            return self._scores(self.offset + self.factor * outputs.astype(np.float64))

    def _scores(self, answers: np.ndarray) -> dict[str, float]:
        from sklearn.metrics import r2_score, root_mean_squared_error

        largest = float(np.abs(answers).max())
        if not largest < 1e150:  # the square of an error has to be finite
            return {"rmse": math.inf, "r2": -math.inf}
        rmse = root_mean_squared_error(self.truth, answers)
        r2 = r2_score(self.truth, answers) if len(self.truth) > 1 else math.nan
        return {"rmse": float(rmse), "r2": float(r2)}


KINDS: dict[str, type[Any]] = {kind.name: kind for kind in (Classification, Regression)}
"""The kinds of task, by name."""
