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
"""What is compared."""
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
class Training(Result):
    """One run of one model.

    Attributes
    ----------
    seed : int
        Of parameters, signs and order.
    accuracy, cost : float
        On the samples it is judged by, at the end; the cost is C/n_out.
    seconds : float
        It took.
    evaluations, writes : int
        Samples propagated forward; parameters written.
    saturations : dict of str to int
        Fixed model only, by kind of cast.
    curve : dict of str to array
        ``evaluations``, ``accuracy`` and ``cost`` (C/n_out) on the way, and ``steps`` for MGD.
    parameters : array of float64, shape (P,)
        At the end, real, in canonical order.
    """

    seed: int
    accuracy: float
    cost: float
    seconds: float
    evaluations: int
    writes: int
    saturations: dict[str, int] = field(default_factory=dict)
    curve: dict[str, np.ndarray] = field(default_factory=dict)
    parameters: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False, compare=False)


@dataclass(frozen=True)
class Model(Result):
    """All runs of one model.

    Attributes
    ----------
    runs : tuple of Training
        By seed.
    note : str
        Why there are none, if there are none.
    costs : Costs or None
        Of one run; None if there are none.
    """

    runs: tuple[Training, ...]
    note: str = ""
    costs: Costs | None = None

    ALSO = (
        "accuracy_mean",
        "accuracy_std",
        "accuracy_interval",
        "cost_mean",
        "cost_std",
        "evaluations_mean",
        "writes_mean",
        "seconds",
        "saturations",
    )

    def _of(self, name: str) -> np.ndarray:
        return np.array([getattr(run, name) for run in self.runs], dtype=np.float64)

    def _mean(self, name: str) -> float:
        return float(self._of(name).mean()) if self.runs else math.nan

    def _std(self, name: str) -> float:
        return float(self._of(name).std(ddof=1)) if len(self.runs) > 1 else 0.0 if self.runs else math.nan

    @property
    def accuracy_mean(self) -> float:
        """Mean accuracy over seeds."""
        return self._mean("accuracy")

    @property
    def accuracy_std(self) -> float:
        """Standard deviation of the accuracy over seeds (n − 1); 0 for one seed."""
        return self._std("accuracy")

    @property
    def accuracy_interval(self) -> float:
        """Half the width of the 95 % interval of the mean."""
        return interval(self._of("accuracy"))

    @property
    def cost_mean(self) -> float:
        """Mean of C/n_out on the samples it is judged by."""
        return self._mean("cost")

    @property
    def cost_std(self) -> float:
        """Its standard deviation."""
        return self._std("cost")

    @property
    def evaluations_mean(self) -> float:
        """Samples propagated forward, per run."""
        return self._mean("evaluations")

    @property
    def writes_mean(self) -> float:
        """Parameters written, per run."""
        return self._mean("writes")

    @property
    def seconds(self) -> float:
        """Of all runs together."""
        return float(self._of("seconds").sum())

    @property
    def saturations(self) -> dict[str, int]:
        """By kind of cast, of all runs together; empty but for the fixed model."""
        kinds = [kind for kind in SATURATION_KINDS if any(kind in run.saturations for run in self.runs)]
        return {kind: sum(run.saturations[kind] for run in self.runs) for kind in kinds}


@dataclass(frozen=True)
class Paired(Result):
    """Accuracy of one model less that of another, seed by seed.

    Attributes
    ----------
    mean : float
        Of the differences.
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
        The samples that accuracies and costs are of: "test" or "validation".
    steps, seeds : int
        Steps of MGD; runs finished by all models.
    float, fixed, backprop : Model
        Results.
    fixed_less_float, float_less_backprop : Paired
        Differences of accuracy, seed by seed.
    agreement : Agreement or None
        Of the gradient; None where there is none.
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
    interrupted: bool = False

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
                keys = ("accuracy", "cost", "evaluations", "writes", "seconds")
                runs.append({**of_run, **{key: plain(getattr(run, key)) for key in keys}, "saturations": saturations})
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
    found = {name: _model(design, runs[name], name, steps, note if name == "backprop" else "", board) for name in MODELS}
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
                    listener.progress(f"{_TITLES[name]}, seed {number + 1} of {seeds}", fraction, 1.0, note)

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
    found = {name: _model(design, runs[name], name, steps, notes.get(name, "")) for name in MODELS}
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
        interrupted,
    )


def _model(design: Design, runs: list[Training], name: str, steps: int, note: str, board: Board | None = None) -> Model:
    """All runs of a model, and what one of them costs."""
    if not runs:
        return Model((), note)
    evaluations, writes = (round(np.mean([getattr(run, what) for run in runs])) for what in ("evaluations", "writes"))
    if name == "backprop":
        return Model(tuple(runs), note, costs_of_backprop(design, evaluations, writes))
    saturations = float(np.mean([sum(run.saturations.values()) for run in runs])) if name == "fixed" else math.nan
    fixed = name == "fixed"
    costs = costs_of_mgd(
        design, steps, fixed=fixed, evaluations=evaluations, writes=writes, saturations=saturations, board=board if fixed else None
    )
    return Model(tuple(runs), note, costs)


_TITLES = {"float": "float MGD", "fixed": "fixed MGD", "backprop": "back-propagation"}


def _paired(left: Model, right: Model) -> Paired:
    differences = np.array([a.accuracy - b.accuracy for a, b in zip(left.runs, right.runs, strict=False)])
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


def _curve(found: Curve, n_out: int) -> dict[str, np.ndarray]:
    return {"steps": found.steps, "evaluations": found.evaluations, "accuracy": found.accuracy, "cost": found.cost / n_out}


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
    curve = _curve(result.curve, task.spec.network.n_out)
    accuracy, cost = float(curve["accuracy"][-1]), float(curve["cost"][-1])
    return Training(task.seed, accuracy, cost, seconds, result.evaluations, result.writes, {}, curve, result.parameters)


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
    n_out = task.spec.network.n_out
    kept = np.unique(np.linspace(0, epochs - 1, min(epochs, RECORDS)).astype(int))
    curve = {name: result.curve[name][kept] for name in ("evaluations", "accuracy")} | {"cost": result.curve["cost"][kept] / n_out}
    accuracy, cost = float(curve["accuracy"][-1]), float(curve["cost"][-1])
    return Training(task.seed, accuracy, cost, seconds, result.evaluations, result.writes, {}, curve, result.parameters)


def _train_fixed(task: _Task, progress: Progress) -> Training:
    from python_ref.fast import train
    from python_ref.machine import initial_state

    spec = task.spec
    inputs, targets = quantise(spec, task.data.train)
    test = quantise(spec, task.data.test)
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
    curve = _curve(result.curve, spec.network.n_out)
    counters = dict(zip(COUNTERS, result.state.counters.tolist(), strict=True))
    saturations = {kind: counters[f"saturated_{kind}"] for kind in SATURATION_KINDS}
    accuracy, cost = float(curve["accuracy"][-1]), float(curve["cost"][-1])
    parameters = spec.formats.weight.to_real(result.state.parameters)
    return Training(task.seed, accuracy, cost, seconds, result.evaluations, counters["writes"], saturations, curve, parameters)


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
        return {name: partial(_TRAINERS[name], task) for name in names}
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
