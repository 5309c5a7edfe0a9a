"""Float MGD, fixed-point MGD and back-propagation on the same data, from the same parameters, in the same order of samples."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mgd_hw.config import Design
from mgd_hw.costs import Costs, costs_of_backprop, costs_of_mgd
from mgd_hw.data import Data
from mgd_hw.data.kinds import MEASURES, Judged, Kind, Measure
from mgd_hw.data.summary import Summary
from mgd_hw.divergence import failure, layer_shares, saturation_shares
from mgd_hw.listener import Listener, Silent
from mgd_hw.results import Result, plain
from python_ref import backprop
from python_ref.datasets import SampleOrder, quantise
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.design import SATURATION_KINDS, WORD_BITS, DesignSpec
from python_ref.spec.error import DesignError
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import Sgd
from python_ref.spec.probes import COUNTERS

if TYPE_CHECKING:
    from boards.board import Board
    from python_ref.fast_float import Curve

__all__ = ["MODELS", "Agreement", "Comparison", "Model", "Paired", "Training", "agreement", "compare", "trainers_of", "warm_up"]

MODELS = ("float", "fixed", "backprop")
"""The models that are compared."""
TITLES = {"float": "float MGD", "fixed": "fixed MGD", "backprop": "back-propagation"}
"""What a person reads of each model."""
RECORDS = 50
"""Points of a learning curve."""
AGREEMENT_STEPS = 20_000
"""Most steps over which a gradient is estimated."""

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
    """Half the width of the 95 % interval of a mean (Student's t); NaN for one value."""
    n = len(values)
    if n < 2:
        return math.nan
    t = _T_95[n - 2] if n - 2 < len(_T_95) else 1.960 + 2.42 / (n - 1)  # within 0.002 of the table from 20 on
    return t * float(np.std(values, ddof=1)) / math.sqrt(n)


@dataclass(frozen=True)
class Training(Judged, Result):
    """One run of one model.

    Attributes
    ----------
    seed : int
        Seed of parameters, signs and order.
    scores : dict of str to float
        The measures of the kind of task, by name, on the samples that it is judged by, at the end; empty for a forward pass
        outside, of which only the cost is known.
    cost : float
        Mean of C/n_out over these samples, at the end.
    seconds : float
        Wall-clock time, in seconds.
    evaluations, writes : int
        Samples propagated forward; parameters written.
    saturations : dict of str to int
        Saturated casts by their kind; fixed model only.
    curve : dict of str to array
        ``evaluations`` and ``cost`` (C/n_out) on the way, ``accuracy`` of a classification, and ``steps`` of MGD.
    parameters : array of float64, shape (P,)
        Parameters at the end, real, in canonical order.
    confusion : array of int64, shape (classes, classes), or None
        Samples by their class (rows) and the answer (columns); None for a regression.
    failure : str
        Why the run says nothing, as a clause: it diverged, or its numbers saturated throughout; "" where it does.
    constant : str
        What the network answers to every sample, as a person reads it; "" where its answers differ.
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

    def to_json(self) -> dict:
        """Its fields as plain data, the scores among them by their names."""
        found = super().to_json()
        scores = found.pop("scores")
        return {"seed": found.pop("seed"), **scores, **found, "diverged": self.diverged}


@dataclass(frozen=True)
class Model(Result):
    """All runs of one model.

    Attributes
    ----------
    runs : tuple of Training
        One per seed.
    note : str
        Why there are none, if there are none.
    costs : Costs or None
        Costs of one run; None if there are none.
    kind : Kind or None
        How it is judged; None if there are no runs.
    """

    runs: tuple[Training, ...]
    note: str = ""
    costs: Costs | None = None
    kind: Kind | None = field(default=None, repr=False, compare=False)

    ALSO = ("cost_mean", "cost_std", "evaluations_mean", "writes_mean", "seconds", "saturations", "diverged", "confusion")

    def _of(self, name: str) -> np.ndarray:
        """A figure of each run; NaN where a run has none."""
        return np.array([run.scores.get(name, math.nan) if name in MEASURES else getattr(run, name) for run in self.runs], dtype=np.float64)

    def mean(self, name: str) -> float:
        """Mean over seeds of a measure, or of another figure of the runs; NaN without runs."""
        return float(self._of(name).mean()) if self.runs else math.nan

    def std(self, name: str) -> float:
        """Standard deviation over seeds (n − 1); 0 for one seed, NaN without runs."""
        values = self._of(name)
        if not np.isfinite(values).all() or not len(values):
            return math.nan
        with np.errstate(all="ignore"):  # a run that diverged has values whose squares are not finite
            return float(values.std(ddof=1)) if len(values) > 1 else 0.0

    def interval(self, name: str) -> float:
        """Half the width of the 95 % interval of the mean; NaN for one seed."""
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
        """Half the width of the 95 % interval of the mean accuracy."""
        return self.interval("accuracy")

    @property
    def cost_mean(self) -> float:
        """Mean of C/n_out on the samples that it is judged by."""
        return self.mean("cost")

    @property
    def cost_std(self) -> float:
        """Standard deviation of the cost over seeds."""
        return self.std("cost")

    @property
    def evaluations_mean(self) -> float:
        """Samples propagated forward, per run."""
        return self.mean("evaluations")

    @property
    def writes_mean(self) -> float:
        """Parameters written, per run."""
        return self.mean("writes")

    @property
    def seconds(self) -> float:
        """Wall-clock time of all runs together, in seconds."""
        return float(self._of("seconds").sum())

    @property
    def saturations(self) -> dict[str, int]:
        """Saturated casts of all runs together, by their kind; empty but for the fixed model."""
        kinds = [kind for kind in SATURATION_KINDS if any(kind in run.saturations for run in self.runs)]
        return {kind: sum(run.saturations[kind] for run in self.runs) for kind in kinds}

    @property
    def diverged(self) -> bool:
        """Whether a run diverged, or saturated throughout."""
        return any(run.diverged for run in self.runs)

    @property
    def confusion(self) -> np.ndarray | None:
        """Samples of all runs together, by their class (rows) and the answer (columns); None where there are no classes."""
        found = [run.confusion for run in self.runs if run.confusion is not None]
        return np.sum(found, axis=0) if found else None

    def to_json(self) -> dict:
        """Its fields as plain data, and for each measure its mean, standard deviation, interval and baseline."""
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
    """The first measure of the kind of task, of one model less that of another, seed by seed.

    Attributes
    ----------
    mean : float
        Mean of the differences; NaN where a run diverged.
    interval : float
        Half the width of its 95 % interval.
    """

    mean: float
    interval: float


@dataclass(frozen=True)
class Agreement(Result):
    """How well the mean of MGD's gradient estimates points along the true gradient, at the initial parameters.

    Attributes
    ----------
    steps : int
        Estimates in the mean.
    quantities : int
        Perturbed quantities D.
    cosine_float, cosine_fixed : float
        Of each model, with the gradient of back-propagation over the same samples.
    single_sample : float
        √(steps/(steps + D − 1)): what random signs give on a single sample; with several samples the mean gradient is
        shorter than theirs, and the cosine lower.
    """

    steps: int
    quantities: int
    cosine_float: float
    cosine_fixed: float
    single_sample: float


@dataclass(frozen=True)
class Comparison(Result):
    """What a comparison found.

    Attributes
    ----------
    design, digest : str
        Name of the design, digest of its structure.
    source : str
        The data and their split.
    judged_by : str
        The samples that measures and costs are of: "test" or "validation".
    steps, seeds : int
        Steps of MGD; runs finished by all models.
    float, fixed, backprop : Model
        Results.
    fixed_less_float, float_less_backprop : Paired
        Differences of the first measure, seed by seed.
    agreement : Agreement or None
        Agreement of the gradient; None where there is none.
    data : Summary
        What was read.
    kind : Kind
        How answers are judged; in JSON its name.
    interrupted : bool
        Whether it was ended early.
    """

    design: str
    digest: str
    source: str
    judged_by: str
    steps: int
    seeds: int
    float: Model
    fixed: Model
    backprop: Model
    fixed_less_float: Paired
    float_less_backprop: Paired
    agreement: Agreement | None
    data: Summary
    kind: Kind
    interrupted: bool = False

    ALSO = ("diverged", "classes")

    @property
    def diverged(self) -> bool:
        """Whether a run diverged or saturated throughout, so that the comparison rests on nothing."""
        return any(getattr(self, name).diverged for name in MODELS)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the outputs; empty for a regression."""
        return self.kind.classes

    @property
    def measure(self) -> Measure:
        """The measure that models are compared by."""
        return self.kind.measures[0]

    def to_json(self) -> dict:
        """Its fields as plain data, the kind of task by its name."""
        return {**super().to_json(), "kind": self.kind.name}

    def notes(self) -> list[str]:
        """What a reader of the figures should know, in sentences: runs that say nothing, and answers no better than the baseline."""
        said = []
        for name in MODELS:
            model, title = getattr(self, name), TITLES[name]
            failed = [run for run in model.runs if run.failure]
            if failed:
                some = f"{len(failed)} of {len(model.runs)} runs" if len(model.runs) > 1 else "the run"
                said.append(f"{title}: {some} diverged; {failed[0].failure} (seed {failed[0].seed}). The figures say nothing.")
                continue
            constant = [run for run in model.runs if run.constant]
            if constant:
                some = f" in {len(constant)} of {len(model.runs)} runs" if len(model.runs) > 1 else ""
                said.append(f"{title} answers {constant[0].constant} to every sample{some}: it takes no notice of the inputs.")
                continue
            value, baseline = model.mean(self.measure.name), self.kind.baseline[self.measure.name]
            better = value > baseline if self.measure.larger_is_better else value < baseline
            if model.runs and not math.isnan(value) and not better:
                said.append(f"{title} answers no better than {self.kind.baseline_title}.")
        return said

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """ "runs", by model and seed; "costs", by model; "curve", by model, seed and point."""
        runs, costs, curve = list[dict[str, Any]](), list[dict[str, Any]](), list[dict[str, Any]]()
        for name in MODELS:
            model = getattr(self, name)
            if model.costs is not None:
                costs.append({"design": self.design, "model": name, **model.costs.rows()[0]})
            for run in model.runs:
                of_run = {"design": self.design, "model": name, "seed": run.seed}
                saturations = sum(run.saturations.values()) if name == "fixed" else None
                scores = {measure.name: plain(run.scores.get(measure.name)) for measure in self.kind.measures}
                keys = ("cost", "evaluations", "writes", "seconds")
                values = {key: plain(getattr(run, key)) for key in keys}
                runs.append({**of_run, **scores, **values, "saturations": saturations, "diverged": run.diverged})
                columns = {key: plain(values) for key, values in run.curve.items()}
                curve += [{**of_run, **dict(zip(columns, point, strict=True))} for point in zip(*columns.values(), strict=True)]
        return {"runs": runs, "costs": costs, "curve": curve}


class _Forecast:
    """The time that is left, from what was measured."""

    def __init__(self, seeds: int, models: tuple[str, ...]) -> None:
        self.left = dict.fromkeys(models, float(seeds))
        self.done = dict.fromkeys(models, 0.0)
        self.spent = dict.fromkeys(models, 0.0)

    def note(self, model: str, fraction: float, seconds: float) -> str:
        """What is left in all, when a run of ``model`` has come to ``fraction`` in ``seconds``."""
        total, measured = 0.0, True
        for name, left in self.left.items():
            running = name == model
            done = self.done[name] + fraction * running
            if done:
                total += (left - fraction * running) * (self.spent[name] + seconds * running) / done
            elif left:
                measured = False
        if total < 1.0 and not measured:
            return ""
        shown = f"{total / 60:.0f} min" if total >= 100 else f"{total:.0f} s"
        return f"about {shown} left" if measured else f"more than {shown} left"

    def finish(self, model: str, seconds: float) -> None:
        self.left[model] -= 1
        self.done[model] += 1
        self.spent[model] += seconds


def compare(
    design: Design,
    data: Data,
    *,
    seeds: int,
    steps: int,
    start: np.ndarray | None = None,
    judged_by: str = "test",
    board: Board | None = None,
    listener: Listener | None = None,
) -> Comparison:
    """Train all models from the same parameters, in the same order of samples, once per seed.

    Parameters
    ----------
    design : Design
        Design.
    data : Data
        Its samples.
    seeds : int
        Runs; seed number k is the design's own plus k.
    steps : int
        Of MGD.
    start : array of float64, shape (P,), or None
        Initial parameters of every run, in place of random ones.
    judged_by : str
        What the samples in ``data.test`` are: "test" or "validation".
    board : Board or None
        What the hardware's seconds are of.
    listener : Listener or None
        Told of progress.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted before one model finished a run; later, what there is is returned.
    """
    listener = listener or Silent()
    if design.software.asks:
        return _compare_software(design, data, seeds=seeds, steps=steps, start=start, judged_by=judged_by, listener=listener)
    spec = design.spec
    listener.say("Compiling the fast models; only the first run after an installation takes long.")
    warm_up(design, data)
    defined = backprop.defined(spec)
    models = MODELS if defined else MODELS[:2]
    runs, interrupted = _train_all(models, seeds, lambda number: trainers_of(design, data, number, steps, start), listener)
    note = "" if defined else "back-propagation is not defined for the activation sign, which has no slope"
    found = {name: _model(design, data, runs[name], name, steps, note if name == "backprop" else "", board) for name in MODELS}
    agreed = agreement(design, data, _start(spec, spec.network.initial.seed, start)) if defined and not interrupted else None
    return Comparison(
        spec.name,
        spec.digest,
        data.source,
        judged_by,
        steps,
        min(len(runs[name]) for name in models),
        found["float"],
        found["fixed"],
        found["backprop"],
        _paired(found["fixed"], found["float"]),
        _paired(found["float"], found["backprop"]),
        agreed,
        data.summary,
        data.kind,
        interrupted,
    )


def _train_all(
    models: tuple[str, ...], seeds: int, trainers: Callable[[int], dict[str, Callable[[Progress], Training]]], listener: Listener
) -> tuple[dict[str, list[Training]], bool]:
    """Runs of each model, seed by seed, and whether they were interrupted; ``trainers`` gives what trains each from a number of seed.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted before one model finished a run.
    """
    forecast, runs = _Forecast(seeds, models), {name: list[Training]() for name in MODELS}
    try:
        for number in range(seeds):
            train = trainers(number)
            for name in models:
                begun = time.perf_counter()

                def progress(fraction: float, name: str = name, begun: float = begun, number: int = number) -> None:
                    note = forecast.note(name, fraction, time.perf_counter() - begun)
                    listener.progress(f"{TITLES[name]}, seed {number + 1} of {seeds}", fraction, 1.0, note)

                progress(0.0)
                runs[name].append(train[name](progress))
                forecast.finish(name, time.perf_counter() - begun)
    except KeyboardInterrupt:
        if not any(runs.values()):
            raise
        return runs, True
    return runs, False


def _compare_software(
    design: Design, data: Data, *, seeds: int, steps: int, start: np.ndarray | None, judged_by: str, listener: Listener
) -> Comparison:
    """The same for a design that no hardware does: there is no fixed model of it."""
    from mgd_hw.software import ONLY_SOFTWARE, has_slopes
    from python_ref.spec.design import digest_of

    spec = design.spec
    models = ("float", "backprop") if has_slopes(design) else ("float",)
    runs, interrupted = _train_all(models, seeds, lambda number: trainers_of(design, data, number, steps, start), listener)
    key, value = design.software.asks[0]
    notes = {"fixed": f"no fixed model: {ONLY_SOFTWARE[key]} has no hardware yet ({key} = {value})"}
    if len(models) == 1:
        what = "the activation sign, which has no slope"
        if design.software.outside is not None:
            what = "a forward pass outside, of which nothing is known but its cost"
        notes["backprop"] = f"back-propagation is not defined for {what}"
    found = {name: _model(design, data, runs[name], name, steps, notes.get(name, "")) for name in MODELS}
    return Comparison(
        spec.name,
        digest_of({"spec": spec, "software": design.software}),
        data.source,
        judged_by,
        steps,
        min(len(runs[name]) for name in models),
        found["float"],
        found["fixed"],
        found["backprop"],
        _paired(found["fixed"], found["float"]),
        _paired(found["float"], found["backprop"]),
        None,
        data.summary,
        data.kind,
        interrupted,
    )


def _model(design: Design, data: Data, runs: list[Training], name: str, steps: int, note: str, board: Board | None = None) -> Model:
    """All runs of a model, and what one of them costs."""
    if not runs:
        return Model((), note, None, data.kind)
    evaluations, writes = (round(np.mean([getattr(run, what) for run in runs])) for what in ("evaluations", "writes"))
    if name == "backprop":
        return Model(tuple(runs), note, costs_of_backprop(design, evaluations, writes), data.kind)
    saturations = float(np.mean([sum(run.saturations.values()) for run in runs])) if name == "fixed" else math.nan
    fixed = name == "fixed"
    costs = costs_of_mgd(
        design, steps, fixed=fixed, evaluations=evaluations, writes=writes, saturations=saturations, board=board if fixed else None
    )
    return Model(tuple(runs), note, costs, data.kind)


def _paired(left: Model, right: Model) -> Paired:
    if left.kind is None or left.diverged or right.diverged:
        return Paired(math.nan, math.nan)
    name = left.kind.measures[0].name
    pairs = zip(left.runs, right.runs, strict=False)
    differences = np.array([a.scores.get(name, math.nan) - b.scores.get(name, math.nan) for a, b in pairs])
    return Paired(float(differences.mean()) if len(differences) else math.nan, interval(differences))


def _start(spec: DesignSpec, seed: int, start: np.ndarray | None) -> np.ndarray:
    """Raw parameters (int64, shape (P,)) that all models start from: the hardware's, so that no model starts elsewhere."""
    return quantise_parameters(spec, initial_parameters(spec, seed) if start is None else start)


# -- One run of each model --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Task:
    """What one seed trains."""

    design: Design
    spec: DesignSpec
    data: Data
    seed: int
    number: int
    steps: int
    raw: np.ndarray

    @property
    def parameters(self) -> np.ndarray:
        return self.spec.formats.weight.to_real(self.raw)

    @property
    def order(self) -> SampleOrder:
        return replace(self.data.order, seed=self.data.order.seed + self.number)

    @property
    def record_every(self) -> int:
        return max(1, self.steps // RECORDS)


Progress = Callable[[float], None]


def _curve(found: Curve, data: Data, n_out: int) -> dict[str, np.ndarray]:
    return with_accuracy(data, found.accuracy, {"steps": found.steps, "evaluations": found.evaluations, "cost": found.cost / n_out})


def with_accuracy(data: Data, accuracy: np.ndarray, curve: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A learning curve, with the accuracy where there are classes."""
    return curve | ({"accuracy": accuracy} if data.kind.classes else {})


def _train_float(task: _Task, progress: Progress) -> Training:
    from python_ref.fast_float import train

    train_part, test = task.data.train, task.data.test
    begun = time.perf_counter()
    result = train(
        task.spec,
        task.parameters,
        train_part.inputs,
        train_part.targets,
        task.order,
        task.steps,
        evaluation=(test.inputs, test.targets),
        record_every=task.record_every,
        progress=lambda done: progress(done / task.steps),
    )
    seconds = time.perf_counter() - begun
    curve = _curve(result.curve, task.data, task.spec.network.n_out)
    return _real_training(task, result.parameters, seconds, result.evaluations, result.writes, curve)


def _compiled_rule(spec: DesignSpec) -> bool:
    """Whether the compiled float model has the design's optimiser; the learners, some ninety times slower, have all of them."""
    return spec.optimizer.float_rule()[0] in ("plain", "momentum")


def _train_by_learner(task: _Task, progress: Progress) -> Training:
    from mgd_hw.software_runs import train_mgd

    own = replace(task.design, spec=task.spec)
    return train_mgd(own, task.data, own.spec.perturbation.seed, task.order, task.steps, task.raw, progress)


def _train_backprop(task: _Task, progress: Progress) -> Training:
    train_part, test = task.data.train, task.data.test
    settings = task.design.compare
    options = backprop.Options(epochs=settings.backprop_epochs, batch=settings.backprop_batch, rate=settings.backprop_rate)
    epochs = options.epochs_for(len(train_part))
    begun = time.perf_counter()
    result = backprop.train(
        task.spec,
        task.parameters,
        train_part.inputs,
        train_part.targets,
        task.seed,
        options,
        evaluation=(test.inputs, test.targets),
        progress=lambda done: progress(done / epochs),
    )
    seconds = time.perf_counter() - begun
    kept = np.unique(np.linspace(0, epochs - 1, min(epochs, RECORDS)).astype(int))
    curve = {"evaluations": result.curve["evaluations"][kept], "cost": result.curve["cost"][kept] / task.spec.network.n_out}
    curve = with_accuracy(task.data, result.curve["accuracy"][kept], curve)
    return _real_training(task, result.parameters, seconds, result.evaluations, result.writes, curve)


def _real_training(
    task: _Task, parameters: np.ndarray, seconds: float, evaluations: int, writes: int, curve: dict[str, np.ndarray]
) -> Training:
    """A finished run of a model in real numbers."""
    from python_ref.float_machine import evaluate, outputs

    data, n_out = task.data, task.spec.network.n_out
    with np.errstate(all="ignore"):  # a run that diverged is told by its cost
        answers = outputs(task.spec, parameters, data.test.inputs)
    start = evaluate(task.spec, task.parameters, data.test.inputs, data.test.targets)[1] / n_out
    cost = float(curve["cost"][-1])
    return Training(
        seed=task.seed,
        **data.kind.verdict(answers),
        cost=cost,
        seconds=seconds,
        evaluations=evaluations,
        writes=writes,
        curve=curve,
        parameters=parameters,
        failure=failure(data, cost, start),
    )


def _train_fixed(task: _Task, progress: Progress) -> Training:
    from python_ref.fast import evaluate, outputs, train
    from python_ref.machine import initial_state

    spec, data = task.spec, task.data
    inputs, targets = quantise(spec, data.train)
    test = quantise(spec, data.test)
    begun = time.perf_counter()
    result = train(
        spec,
        initial_state(spec, task.raw),
        inputs,
        targets,
        task.order,
        task.steps,
        evaluation=test,
        record_every=task.record_every,
        progress=lambda done: progress(done / task.steps),
    )
    seconds = time.perf_counter() - begun
    curve = _curve(result.curve, data, spec.network.n_out)
    counters = dict(zip(COUNTERS, result.state.counters.tolist(), strict=True))
    found, layers = outputs(spec, result.state.parameters, test[0])
    answers = spec.formats.activation.to_real(found)
    shares = saturation_shares(spec, counters, result.evaluations) | layer_shares(layers)
    start = evaluate(spec, task.raw, *test)[1] / spec.network.n_out
    cost = float(curve["cost"][-1])
    return Training(
        seed=task.seed,
        **data.kind.verdict(answers),
        cost=cost,
        seconds=seconds,
        evaluations=result.evaluations,
        writes=counters["writes"],
        saturations={kind: counters[f"saturated_{kind}"] for kind in SATURATION_KINDS},
        curve=curve,
        parameters=spec.formats.weight.to_real(result.state.parameters),
        failure=failure(data, cost, start, shares),
    )


_TRAINERS: dict[str, Callable[[_Task, Progress], Training]] = {"float": _train_float, "fixed": _train_fixed, "backprop": _train_backprop}


def trainers_of(
    design: Design, data: Data, number: int, steps: int, start: np.ndarray | None = None
) -> dict[str, Callable[[Progress], Training]]:
    """What trains each model that there is of a design, from its seed number ``number``.

    Parameters
    ----------
    design, data : Design, Data
        What learns what.
    number : int
        Seed number k is the design's own plus k; number 0 leaves everything as the design file says.
    steps : int
        Of MGD.
    start : array of float64, shape (P,), or None
        Initial parameters, in place of random ones.
    """
    spec, seed = design.spec, design.spec.network.initial.seed + number
    own = design.with_seed(seed) if number else design
    if not design.software.asks:
        task = _Task(design, own.spec, data, seed, number, steps, _start(own.spec, seed, start))
        names = MODELS if backprop.defined(spec) else MODELS[:2]
        trainers = _TRAINERS if _compiled_rule(spec) else _TRAINERS | {"float": _train_by_learner}
        return {name: partial(trainers[name], task) for name in names}
    from mgd_hw.software import has_slopes
    from mgd_hw.software_runs import train_backprop, train_mgd

    raw = _start(own.spec, seed, start) if design.software.architecture == "dense" else None
    order = replace(data.order, seed=data.order.seed + number)
    found: dict[str, Callable[[Progress], Training]] = {
        "float": partial(train_mgd, own, data, own.spec.perturbation.seed, order, steps, raw)
    }
    if has_slopes(design):
        found["backprop"] = partial(train_backprop, own, data, seed, raw)
    return found


def warm_up(design: Design, data: Data) -> None:
    """Compile what is compiled, so that no run's time includes it."""
    from python_ref import fast, fast_float
    from python_ref.machine import initial_state

    spec = design.spec
    raw = _start(spec, spec.network.initial.seed, None)
    one = data.train.take(np.arange(1))
    order = SampleOrder(1, False)
    if _compiled_rule(spec):
        fast_float.train(spec, spec.formats.weight.to_real(raw), one.inputs, one.targets, order, 1)
    fast.train(spec, initial_state(spec, raw), *quantise(spec, one), order, 1)


# -- The gradient -----------------------------------------------------------------------------------------------------


def agreement(design: Design, data: Data, raw: np.ndarray) -> Agreement | None:
    """Sum both models' estimates at the raw parameters ``raw``, and compare their direction with the true gradient's.

    A gradient memory and a period longer than the sum keep the parameters where they are. The formats are the design's, but that G has
    room above for as many steps as a word of the host allows; so many are taken at a time.
    """
    from python_ref import fast, fast_float
    from python_ref.machine import initial_state

    spec = design.spec
    steps = min(AGREEMENT_STEPS, max(200, 10 * spec.quantities))
    try:
        still = _frozen(spec, steps)
    except DesignError:  # no room for a sum
        return None
    start = spec.formats.weight.to_real(raw)
    train_part, order = data.train, data.order
    moved = fast_float.train(still, start, train_part.inputs, train_part.targets, order, steps).parameters
    summing = replace(still, schedule=replace(still.schedule, update_period=steps + 1))
    samples, state = quantise(summing, train_part), initial_state(summing, raw)
    total, at_once = np.zeros(len(raw)), 1 << max(0, summing.gradient_format.integer_bits - spec.gradient_format.integer_bits)
    while state.steps < steps:
        state = fast.train(summing, state, *samples, order, min(at_once, steps - state.steps)).state
        total += state.gradient
        state = replace(state, gradient=np.zeros_like(state.gradient))
    visited = order.indices(0, -(-steps // spec.schedule.sample_period))
    gradient = backprop.true_gradient(spec, start, train_part.inputs[visited], train_part.targets[visited])
    single = math.sqrt(steps / (steps + spec.quantities - 1))
    return Agreement(steps, spec.quantities, _cosine(start - moved, gradient), _cosine(total, gradient), single)


def _frozen(spec: DesignSpec, steps: int) -> DesignSpec:
    """The design with a gradient memory of whole words, and no update for ``steps`` steps, at its first learning rate."""
    gradient = spec.gradient_format
    fraction = min(gradient.fraction_bits, WORD_BITS - gradient.integer_bits)
    formats = replace(spec.formats, gradient=Fixed(True, min(gradient.integer_bits + 16, WORD_BITS - fraction), fraction))
    schedule = replace(spec.schedule, learning_rate=spec.schedule.learning_rate[:1], update_period=steps)
    return replace(spec, schedule=schedule, optimizer=Sgd(), formats=formats, hardware=replace(spec.hardware, gradient_memory=True))


def _cosine(left: np.ndarray, right: np.ndarray) -> float:
    norms = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / norms if norms else math.nan
