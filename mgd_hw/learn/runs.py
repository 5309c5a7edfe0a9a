"""Results of training runs: one run per seed of a model, their means and intervals, and differences between two models."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mgd_hw.common.results import Result, plain
from mgd_hw.data import Data
from mgd_hw.data.kinds import MEASURES, Judged, Kind
from mgd_hw.learn.costs import Costs
from mgd_hw.learn.until import Until
from python_ref.spec.design import SATURATION_KINDS

__all__ = ["MODELS", "RECORDS", "TITLES", "FractionCallback", "Model", "Paired", "Training", "interval", "paired", "with_accuracy"]

MODELS = ("float", "fixed", "backprop")
"""Names of the models that are compared."""
TITLES = {"float": "float MGD", "fixed": "fixed MGD", "backprop": "back-propagation"}
"""Titles of the models, as results show them."""
RECORDS = 50
"""Number of points of a learning curve."""

FractionCallback = Callable[[float], None]
"""Function that is called with the completed share of a run, from 0 to 1."""

_T_95 = (
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
    2.131,
    2.120,
    2.110,
    2.101,
    2.093,
)
"""Student's t for a two-sided interval of 95 %, for 1 to 19 degrees of freedom (NIST/SEMATECH e-Handbook, 1.3.6.7.2)."""


def interval(values: np.ndarray) -> float:
    """Return half the width of the 95 % confidence interval of a mean (Student's t); NaN for one value."""
    n = len(values)
    if n < 2:
        return math.nan
    t = _T_95[n - 2] if n - 2 < len(_T_95) else 1.960 + 2.42 / (n - 1)  # within 0.002 of the table from 20 on
    return t * float(np.std(values, ddof=1)) / math.sqrt(n)


@dataclass(frozen=True)
class Training(Judged, Result):
    """Result of one training run of one model.

    Attributes
    ----------
    seed : int
        Seed of the parameters, the signs and the order of samples.
    scores : dict of str to float
        Measures of the kind of task on the judged samples at the end, by name; empty for an external forward pass, which returns only
        the cost.
    cost : float
        Mean of C/n_out over the judged samples at the end.
    seconds : float
        Wall-clock time of the run, in seconds.
    evaluations, writes : int
        Number of samples propagated forward, and number of parameter values written.
    saturations : dict of str to int
        Number of saturated casts by kind; empty except for the fixed model.
    curve : dict of str to array
        Learning curve, one array per quantity: ``steps`` (updates, for back-propagation), ``evaluations`` and ``cost`` (C/n_out), and
        for a classification ``accuracy``.
    parameters : array of float64, shape (P,)
        Final parameters in canonical order, as real numbers.
    confusion : array of int64, shape (classes, classes), or None
        Number of samples by their class (rows) and the network's answer (columns); None for a regression.
    failure : str
        Reason why the run failed, as a clause: it diverged, or its numbers saturated throughout; "" if it did not.
    constant : str
        Text of the one answer that the network gives to every sample; "" if its answers differ.
    silent : tuple of int
        Numbers of the outputs of a spiking last layer that spike for no judged sample; empty if the last layer does not spike.
    """

    seed: int
    scores: dict[str, float]
    cost: float
    seconds: float
    evaluations: int
    writes: int
    saturations: dict[str, int] = field(default_factory=dict)
    curve: dict[str, np.ndarray] = field(default_factory=dict)
    parameters: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False, compare=False)
    confusion: np.ndarray | None = field(default=None, repr=False, compare=False)
    failure: str = ""
    constant: str = ""
    silent: tuple[int, ...] = ()

    def to_json(self) -> dict:
        """Return the fields as plain data, with each score under its own name."""
        found = super().to_json()
        scores = found.pop("scores")
        return {"seed": found.pop("seed"), **scores, **found, "diverged": self.diverged}


@dataclass(frozen=True)
class Model(Result):
    """All training runs of one model, with their statistics over the seeds.

    Attributes
    ----------
    runs : tuple of Training
        Finished training runs, one per seed; empty if there are none.
    note : str
        Reason why there are no runs, as a clause; "" if there are some.
    costs : Costs or None
        Costs of one run; None if there are no runs.
    kind : Kind or None
        Kind of task, which defines the measures; None if there are no runs.
    until : Until or None
        Steps, cycles and seconds that the runs took to the requested accuracy; None if none was requested, or if there are no runs.
    """

    runs: tuple[Training, ...]
    note: str = ""
    costs: Costs | None = None
    kind: Kind | None = field(default=None, repr=False, compare=False)
    until: Until | None = None

    ALSO = ("cost_mean", "cost_std", "evaluations_mean", "writes_mean", "seconds", "saturations", "diverged", "confusion")

    def _of(self, name: str) -> np.ndarray:
        """Return a measure or another number of each run (float64, shape (runs,)); NaN where a run has none."""
        return np.array([run.scores.get(name, math.nan) if name in MEASURES else getattr(run, name) for run in self.runs], dtype=np.float64)

    def mean(self, name: str) -> float:
        """Return the mean over seeds of a measure, or of another number of the runs; NaN without runs."""
        return float(self._of(name).mean()) if self.runs else math.nan

    def std(self, name: str) -> float:
        """Return the standard deviation over seeds (n − 1); 0 for one seed, NaN without runs."""
        values = self._of(name)
        if not np.isfinite(values).all() or not len(values):
            return math.nan
        with np.errstate(all="ignore"):  # a run that diverged has values whose squares are not finite
            return float(values.std(ddof=1)) if len(values) > 1 else 0.0

    def interval(self, name: str) -> float:
        """Return half the width of the 95 % confidence interval of the mean; NaN for one seed."""
        values = self._of(name)
        with np.errstate(all="ignore"):
            return interval(values) if np.isfinite(values).all() else math.nan

    @property
    def accuracy_mean(self) -> float:
        """Mean accuracy over seeds; NaN where there are no classes."""
        return self.mean("accuracy")

    @property
    def accuracy_std(self) -> float:
        """Standard deviation of the accuracy over seeds (n − 1); 0 for one seed."""
        return self.std("accuracy")

    @property
    def accuracy_interval(self) -> float:
        """Half the width of the 95 % confidence interval of the mean accuracy."""
        return self.interval("accuracy")

    @property
    def cost_mean(self) -> float:
        """Mean of C/n_out over the judged samples, and over seeds."""
        return self.mean("cost")

    @property
    def cost_std(self) -> float:
        """Standard deviation of the cost over seeds."""
        return self.std("cost")

    @property
    def evaluations_mean(self) -> float:
        """Mean number of samples that a run propagates forward."""
        return self.mean("evaluations")

    @property
    def writes_mean(self) -> float:
        """Mean number of parameter values that a run writes."""
        return self.mean("writes")

    @property
    def seconds(self) -> float:
        """Wall-clock time of all runs together, in seconds."""
        return float(self._of("seconds").sum())

    @property
    def saturations(self) -> dict[str, int]:
        """Number of saturated casts in all runs together, by kind; empty except for the fixed model."""
        kinds = [kind for kind in SATURATION_KINDS if any(kind in run.saturations for run in self.runs)]
        return {kind: sum(run.saturations[kind] for run in self.runs) for kind in kinds}

    @property
    def diverged(self) -> bool:
        """Whether any run diverged or saturated throughout."""
        return any(run.diverged for run in self.runs)

    @property
    def confusion(self) -> np.ndarray | None:
        """Number of samples of all runs together, by class (rows) and answer (columns); None where there are no classes."""
        found = [run.confusion for run in self.runs if run.confusion is not None]
        return np.sum(found, axis=0) if found else None

    def to_json(self) -> dict:
        """Return the fields as plain data, and the mean, standard deviation, interval and baseline of each measure."""
        found = super().to_json()
        found.pop("kind", None)
        figures: dict[str, object] = {}
        if self.kind is not None:
            for name in (measure.name for measure in self.kind.measures):
                figures |= {f"{name}_{what}": plain(getattr(self, what)(name)) for what in ("mean", "std", "interval")}
                figures[f"{name}_baseline"] = plain(self.kind.baseline[name])
        return {"runs": found.pop("runs"), "note": found.pop("note"), "costs": found.pop("costs"), **figures, **found}


@dataclass(frozen=True)
class Paired(Result):
    """Paired difference between two models: the first measure of one, less that of the other with the same seed.

    Attributes
    ----------
    mean : float
        Mean of the differences over seeds; NaN if a run diverged.
    interval : float
        Half the width of the 95 % confidence interval of the mean.
    """

    mean: float
    interval: float


def paired(left: Model, right: Model) -> Paired:
    """Return the paired difference of ``left`` less ``right``; NaN if a run of either diverged."""
    if left.kind is None or left.diverged or right.diverged:
        return Paired(math.nan, math.nan)
    name = left.kind.measures[0].name
    pairs = zip(left.runs, right.runs, strict=False)
    differences = np.array([a.scores.get(name, math.nan) - b.scores.get(name, math.nan) for a, b in pairs])
    return Paired(float(differences.mean()) if len(differences) else math.nan, interval(differences))


def with_accuracy(data: Data, accuracy: np.ndarray, curve: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a learning curve, with the accuracy added if the task is a classification."""
    return curve | ({"accuracy": accuracy} if data.kind.classes else {})
