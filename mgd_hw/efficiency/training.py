"""Runs of one variant from one seed, with the counts at every record; as jobs, which the workers of a sweep run too."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from mgd_hw.common.results import plain
from mgd_hw.data import Data, DataSpec, load
from mgd_hw.design.description import Design
from mgd_hw.design.float_model import network, objective, start
from mgd_hw.efficiency.variants import BACKPROP_ADAM, BACKPROP_PLAIN, FIXED, FLOAT
from mgd_hw.learn.divergence import failure, saturation_shares
from mgd_hw.learn.judging import judge_fixed
from mgd_hw.learn.learners import baseline_options, reported, train_mgd
from mgd_hw.learn.trainers import start_of
from mgd_hw.sweeps.jobs import Job, register
from python_ref.datasets import SampleOrder, quantise
from python_ref.fixed.tally import GRADIENT, REASONS, ROUNDED, Tally
from python_ref.spec.number import Rounding
from python_ref.spec.probes import COUNTERS

__all__ = ["COLUMNS", "KIND", "RECORDS", "Task", "record_steps", "run_task"]

KIND = "efficiency"
"""Kind of the jobs that this module registers."""
RECORDS = 120
"""Largest number of records of a run."""
SPAN = 2_000
"""Ratio of the last record to the first, at most: records lie at even ratios, so that each is late by the same share."""

COLUMNS = ("steps", "updates", "evaluations", "writes", "changed", "most_changed", *(f"unchanged_{reason}" for reason in REASONS))
"""Counts of a run at each record, from its beginning on: steps and updates; samples propagated forward; parameter values written, and those
of them that changed; most changes of any one parameter; and values that an update left as they were, by reason. Those that are not known
are None."""


@dataclass(frozen=True)
class Task:
    """What a job trains.

    Attributes
    ----------
    model : str
        How it is trained, as in :class:`~mgd_hw.efficiency.variants.Variant`.
    design : Design
        Network, samples and schedule of the run, with the seeds of number 0.
    number : int
        Number of the seed: the seeds of the run are the design's own plus this number.
    steps : int
        Number of steps of MGD, or of updates of back-propagation.
    validate : bool
        Whether the validation samples judge the run.
    start : array of float64, shape (P,), or None
        Initial parameters; None draws them from the seed.
    """

    model: str
    design: Design
    number: int
    steps: int
    validate: bool = False
    start: np.ndarray | None = None

    @property
    def own(self) -> Design:
        """The design with the seeds of the run."""
        return self.design.with_seed(self.design.spec.network.initial.seed + self.number) if self.number else self.design

    def order(self, data: Data) -> SampleOrder:
        """Return the order in which the run takes the training samples."""
        return replace(data.order, seed=data.order.seed + self.number)


def record_steps(steps: int, unit: int) -> list[int]:
    """Return the steps after which a run is recorded: multiples of ``unit`` at even ratios, and the last step."""
    first = max(unit, steps / SPAN)
    points = np.geomspace(first, max(first, steps), RECORDS) / unit
    return sorted({unit * round(point) for point in points if unit * round(point) < steps} | {steps})


def run_task(task: Task) -> dict[str, Any]:
    """Train a task, and return the counts, accuracies and costs at its records, its scores at the end, and the reason if it failed.

    Returns
    -------
    dict
        ``seed``; ``scores``, by measure; ``failure``; ``curve``, lists by column: :data:`COLUMNS`, ``accuracy`` (None where there are no
        classes) and ``cost``.
    """
    return _TRAINERS[task.model](task, _data(task.design.data, task.validate))


@lru_cache(maxsize=2)
def _data(spec: DataSpec, validate: bool) -> Data:
    return load(spec, validate=validate)


class _Recorder:
    """Rows of counts of a run, whose parameters each record judges."""

    def __init__(self, task: Task, data: Data) -> None:
        self.task, self.data, self.rows = task, data, list[tuple[Any, ...]]()

    def record(self, counts: tuple[Any, ...], accuracy: float, cost: float) -> None:
        """Add a record: the counts of :data:`COLUMNS`, the accuracy, and the mean of C/n_out."""
        self.rows.append((*counts, accuracy if self.data.kind.classes else math.nan, cost))

    def result(self, scores: dict[str, float], reason: str) -> dict[str, Any]:
        """Return the run as :func:`run_task` does."""
        columns = dict(zip((*COLUMNS, "accuracy", "cost"), map(list, zip(*self.rows, strict=True)), strict=True))
        return {"seed": self.task.own.spec.network.initial.seed, "scores": plain(scores), "failure": reason, "curve": plain(columns)}


# -- MGD --------------------------------------------------------------------------------------------------------------


def _train_fixed(task: Task, data: Data) -> dict[str, Any]:
    """Train the fixed model, from record to record, with a tally of its writes."""
    from python_ref.fixed.fast import train
    from python_ref.fixed.machine import initial_state

    spec, recorder = task.own.spec, _Recorder(task, data)
    raw = start_of(spec, spec.network.initial.seed, task.start)
    (inputs, targets), test = quantise(spec, data.train), quantise(spec, data.test)
    state, tally, evaluations, begun = initial_state(spec, raw), Tally.begun(spec, raw), 0, judge_fixed(spec, raw, data)
    unit = math.lcm(spec.schedule.sample_period, spec.schedule.update_period)
    for stop in record_steps(task.steps, unit if unit <= task.steps else 1):
        todo = stop - state.steps
        found = train(spec, state, inputs, targets, task.order(data), todo, evaluation=test, record_every=stop + 1, tally=tally)
        state, evaluations = found.state, evaluations + found.evaluations
        most, unchanged = int(tally.changes.max()), tally.unchanged.tolist()
        writes = state.updates * spec.network.n_parameters
        counts = (stop, state.updates, evaluations, writes, int(tally.changes.sum()), most, *unchanged)
        recorder.record(counts, float(found.curve.accuracy[-1]), float(found.curve.cost[-1]) / spec.network.n_out)
    counters, final = dict(zip(COUNTERS, state.counters.tolist(), strict=True)), judge_fixed(spec, state.parameters, data)
    shares = saturation_shares(spec, counters, evaluations) | final.saturated
    return recorder.result(data.kind.scores(final.answers), failure(data, final.cost, begun.cost, shares))


def _train_float(task: Task, data: Data) -> dict[str, Any]:
    """Train the float model of a design that has no hardware, whose changes of parameters are not counted."""
    own, recorder = task.own, _Recorder(task, data)
    raw = start_of(own.spec, own.spec.network.initial.seed, task.start) if own.float_only.architecture == "dense" else None
    found = train_mgd(own, data, own.spec.perturbation.seed, task.order(data), task.steps, raw, lambda _: None)
    curve, unknown = found.curve, (None,) * (2 + len(REASONS))
    accuracy = curve.get("accuracy", np.full(len(curve["steps"]), math.nan))
    for number, steps in enumerate(curve["steps"].tolist()):
        updates = steps // own.spec.schedule.update_period
        counts = (steps, updates, int(curve["evaluations"][number]), updates * len(found.parameters), *unknown)
        recorder.record(counts, float(accuracy[number]), float(curve["cost"][number]))
    return recorder.result(found.scores, found.failure)


# -- Back-propagation -------------------------------------------------------------------------------------------------


class _Changes:
    """Count of the changes of each parameter, and of the values that stay.

    Parameters
    ----------
    theta : array, shape (P,)
        Parameters at the start.
    """

    def __init__(self, theta: np.ndarray) -> None:
        self.before, self.changes = theta.copy(), np.zeros(theta.size, np.int64)
        self.unchanged = np.zeros(len(REASONS), np.int64)

    def update(self, theta: np.ndarray, gradient: np.ndarray | None = None) -> None:
        """Count an update; of a parameter that stays, the gradient is 0 unless ``gradient`` is given and says otherwise."""
        changed = theta != self.before
        self.changes += changed
        rounded = 0 if gradient is None else int(np.count_nonzero(~changed & (gradient != 0)))
        self.unchanged[ROUNDED] += rounded
        self.unchanged[GRADIENT] += theta.size - int(np.count_nonzero(changed)) - rounded
        self.before = theta.copy()

    def counts(self, updates: int, evaluations: int) -> tuple[Any, ...]:
        """Return the counts of :data:`COLUMNS` after an update."""
        of_changes = int(self.changes.sum()), int(self.changes.max()), *self.unchanged.tolist()
        return updates, updates, evaluations, updates * self.before.size, *of_changes


def _prepared(task: Task) -> tuple[Design, Any, Any, np.ndarray]:
    """Return the design with the seeds of the run, its network and cost, and the parameters at the start."""
    own = task.own
    raw = start_of(own.spec, own.spec.network.initial.seed, task.start) if own.float_only.architecture == "dense" else None
    return own, network(own), objective(own), start(own, own.spec.network.initial.seed, raw)


def _backprop_result(own: Design, net: Any, cost: Any, recorder: _Recorder, theta: np.ndarray, begun: np.ndarray) -> dict[str, Any]:
    """Judge the parameters at the end of back-propagation, and return the run."""
    from python_ref.floating.learner import outputs

    data = recorder.data
    reason = failure(data, _judge(own, net, cost, theta, data)[1], _judge(own, net, cost, begun, data)[1])
    return recorder.result(data.kind.scores(outputs(net, theta, data.test.records)), reason)


def _judge(own: Design, net: Any, cost: Any, theta: np.ndarray, data: Data) -> tuple[float, float]:
    """Return the accuracy and the mean of C/n_out over the judged samples."""
    from python_ref.floating.learner import evaluate

    with np.errstate(all="ignore"):  # a run that diverges is recognised by its cost
        accuracy, found = evaluate(net, theta, data.test.records, data.test.targets, cost.costs)
    return accuracy, reported(own, found)


def _train_adam(task: Task, data: Data) -> dict[str, Any]:
    """Train by back-propagation in batches, with Adam in real numbers, as `mgd-hw compare` does."""
    from python_ref.floating.backpropagation import train

    own, net, cost, theta = _prepared(task)
    recorder, changes = _Recorder(task, data), _Changes(theta)
    options, done = baseline_options(own), 0

    def evaluation(parameters: np.ndarray) -> tuple[float, float]:
        updates = options.updates_per_epoch(len(data.train))
        epochs, batches = divmod(done, updates)
        judged = _judge(own, net, cost, parameters, data)
        evaluations = epochs * len(data.train) + min(batches * options.batch, len(data.train))
        recorder.record(changes.counts(done, evaluations), *judged)
        return judged

    def watch(parameters: np.ndarray) -> None:
        nonlocal done
        done += 1
        changes.update(parameters)

    more: dict[str, Any] = {"evaluation": evaluation, "record_at": set(record_steps(task.steps, 1)), "watch": watch}
    found = train(net, cost, theta, data.train.records, data.train.targets, own.spec.network.initial.seed, options, **more)
    return _backprop_result(own, net, cost, recorder, found.parameters, theta)


def _train_plain(task: Task, data: Data) -> dict[str, Any]:
    """Train by back-propagation, one sample an update in the order of MGD, and round the parameters to their format at every update."""
    from python_ref.floating import of_design
    from python_ref.floating.devices import Quantisation
    from python_ref.floating.estimators import Exact
    from python_ref.floating.learner import Learner, initial_state, step
    from python_ref.floating.optimizers import Plain

    own, net, cost, theta = _prepared(task)
    weight, stochastic = own.spec.formats.weight, own.spec.formats.weight_cast.rounding is Rounding.STOCHASTIC
    last = 2.0**-weight.fraction_bits
    grid = Quantisation(last, weight.max * last, stochastic, own.spec.perturbation.seed)
    rate = 2.0 ** own.spec.schedule.rate_at(0)
    learner = Learner(Exact(net, cost), Plain(rate), devices=(grid,), decay=of_design.decay(own.spec))
    state, changes, recorder, done = initial_state(learner, theta), _Changes(theta), _Recorder(task, data), 0
    inputs, targets = (table.astype(theta.dtype) for table in (data.train.records, data.train.targets))
    with np.errstate(all="ignore"):  # a run that diverges is recognised by its cost
        for stop in record_steps(task.steps, 1):
            for sample in task.order(data).indices(done, stop - done):
                state, found = step(learner, state, inputs[sample : sample + 1], targets[sample : sample + 1])
                changes.update(state.theta, found.gradient)
            done = stop
            recorder.record(changes.counts(state.updates, state.evaluations), *_judge(own, net, cost, state.theta, data))
    return _backprop_result(own, net, cost, recorder, state.theta, theta)


_TRAINERS: dict[str, Callable[[Task, Data], dict[str, Any]]] = {
    FIXED: _train_fixed,
    FLOAT: _train_float,
    BACKPROP_ADAM: _train_adam,
    BACKPROP_PLAIN: _train_plain,
}
"""What trains each model."""


def _run(job: Job) -> dict[str, Any]:
    return run_task(pickle.loads(job.design))


register(KIND, _run)
