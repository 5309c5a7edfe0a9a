"""Training runs of the float model: MGD of designs that have no hardware, and back-propagation of any design's network and cost."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mgd_hw.data import Data
from mgd_hw.data.kinds import Verdict
from mgd_hw.design.description import Design
from mgd_hw.design.float_model import analog_learner, learner, network, objective, opened, start
from mgd_hw.learn.divergence import failure
from mgd_hw.learn.runs import RECORDS, FractionCallback, Training, with_accuracy
from python_ref.datasets import SampleOrder, Samples
from python_ref.floating.passes import Measurable
from python_ref.spec.error import unknown

if TYPE_CHECKING:
    from python_ref.floating.backpropagation import Options

__all__ = ["Machine", "baseline_options", "fresh_machine", "reported", "train_backprop", "train_mgd"]

JUDGED = 250
"""Largest number of samples in one request for costs to an external forward pass."""

FEWEST = 10
"""Least number of records of a run, even if judging then takes longer than learning."""


def _judge(design: Design, problem: Measurable, theta: np.ndarray, samples: Samples) -> tuple[float, float]:
    """Return the accuracy, which is NaN for an external forward pass, and the mean cost over the samples."""
    from python_ref.floating.learner import evaluate

    if design.float_only.external is None:
        return evaluate(network(design), theta, samples.records, samples.targets, objective(design).costs)
    parts = [slice(first, first + JUDGED) for first in range(0, len(samples), JUDGED)]
    costs = [problem.costs(theta, samples.records[part], samples.targets[part]) for part in parts]
    return math.nan, float(np.concatenate(costs).mean(dtype=np.float64))


def _finished(
    design: Design,
    data: Data,
    theta: np.ndarray,
    start: float,
    seed: int,
    seconds: float,
    counts: tuple[int, int],
    curve: dict[str, np.ndarray],
) -> Training:
    """Judge a finished run, and return its result.

    Parameters
    ----------
    design, data : Design, Data
        The design, and the samples that the run was trained on and is judged by.
    theta : array, shape (P,)
        Final parameters in canonical order.
    start : float
        Mean of C/n_out before the run, by which a divergence is recognised.
    seed : int
        Seed of the run, which the result names.
    seconds : float
        Wall-clock time of the run, in seconds.
    counts : (int, int)
        Number of samples propagated forward, and number of parameter values written.
    curve : dict of str to array
        Learning curve; its last cost is that of the result.
    """
    verdict: Verdict = {"scores": {}, "confusion": None, "constant": ""}
    if design.float_only.external is None:
        from python_ref.floating.learner import outputs

        with np.errstate(all="ignore"):  # a run that diverged is recognised by its cost
            verdict = data.kind.verdict(outputs(network(design), theta, data.test.records))
    cost, (evaluations, writes) = float(curve["cost"][-1]), counts
    return Training(
        seed=seed,
        cost=cost,
        seconds=seconds,
        evaluations=evaluations,
        writes=writes,
        curve=curve,
        parameters=theta.astype(np.float64),
        failure=failure(data, cost, start),
        **verdict,
    )


def reported(design: Design, cost: float) -> float:
    """Return the cost as results report it: a squared error divided by the number of outputs, any other cost unchanged."""
    squared = design.float_only.cost == "squared-error" and design.float_only.external is None
    return cost / design.spec.network.n_out if squared else cost


def train_mgd(
    design: Design, data: Data, seed: int, order: SampleOrder, steps: int, raw: np.ndarray | None, progress: FractionCallback
) -> Training:
    """Train a design's float model by MGD, and judge it repeatedly during the run.

    Parameters
    ----------
    design, data : Design, Data
        Design to train, and the samples that it is trained on and judged by.
    seed : int
        Seed of the parameters and the signs.
    order : SampleOrder
        Order in which the training samples are used.
    steps : int
        Number of training steps, each on ``learning.batch`` samples.
    raw : array of int64, shape (P,), or None
        Initial parameters of a dense network as raw integers; None draws them from the seed, as
        for any other network.
    progress : callable
        Function that is called with the completed share of the run.
    """
    theta, begun = start(design, seed, raw), time.perf_counter()
    inputs, targets = (table.astype(theta.dtype) for table in (data.train.records, data.train.targets))
    batch, period, rows = design.float_only.batch, design.spec.schedule.sample_period, list[tuple[int, int, float, float]]()
    records = max(FEWEST, min(RECORDS, steps * batch // max(1, len(data.test))))
    every, x, y = max(1, steps // records), np.empty(0), np.empty(0)
    with opened(design) as problem, np.errstate(all="ignore"):  # a run that diverges is recognised by its cost
        machine = fresh_machine(design, problem, steps, seed, theta)
        first = _judge(design, problem, theta, data.test.take(np.arange(min(JUDGED, len(data.test)))))[1]
        for done in range(steps):
            if done % period == 0:
                chosen = order.indices(done // period * batch, batch)
                x, y = inputs[chosen], targets[chosen]
            machine.step(x, y)
            if (done + 1) % every == 0 or done + 1 == steps:
                accuracy, cost = _judge(design, problem, machine.theta, data.test)
                rows.append((done + 1, machine.evaluations, accuracy, reported(design, cost)))
                progress((done + 1) / steps)
    seconds = time.perf_counter() - begun
    at, evaluations, accuracies, costs = (np.array(column) for column in zip(*rows, strict=True))
    curve = with_accuracy(data, accuracies, {"steps": at, "evaluations": evaluations, "cost": costs})
    counts = (machine.evaluations, machine.writes)
    return _finished(design, data, machine.theta, reported(design, first), seed, seconds, counts, curve)


class Machine(Protocol):
    """Interface to a learner that trains one step at a time."""

    theta: np.ndarray
    evaluations: int
    writes: int

    def step(self, x: np.ndarray, y: np.ndarray) -> None: ...


class _Discrete:
    """Learner of a design in its discrete form."""

    def __init__(self, design: Design, problem: Measurable, steps: int, seed: int, theta: np.ndarray) -> None:
        from python_ref.floating.learner import initial_state

        self._learner = learner(design, steps, problem, seed)
        self._state = initial_state(self._learner, theta)
        self.theta, self.evaluations, self.writes = theta, 0, 0

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        from python_ref.floating.learner import step

        self._state, _ = step(self._learner, self._state, x, y)
        self.theta, self.evaluations, self.writes = self._state.theta, self._state.evaluations, self._state.writes


class _Analog:
    """Learner of a design in its analog form, which measures the cost and writes every parameter in each step."""

    def __init__(self, design: Design, problem: Measurable, seed: int, theta: np.ndarray) -> None:
        from python_ref.floating.analog import initial_state

        self._learner = analog_learner(design, seed, problem)
        self._state = initial_state(self._learner, theta)
        self.theta, self.evaluations, self.writes = theta, 0, 0

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        from python_ref.floating.analog import step

        self._state = step(self._learner, self._state, x, y)
        self.theta = self._state.theta
        self.evaluations, self.writes = self.evaluations + len(x), self.writes + self.theta.size


def fresh_machine(design: Design, problem: Measurable, steps: int, seed: int, theta: np.ndarray) -> Machine:
    """Return the learner of a design's form, at the parameters ``theta``."""
    match design.float_only.form:
        case "analog":
            return _Analog(design, problem, seed, theta)
        case "discrete":
            return _Discrete(design, problem, steps, seed, theta)
        case form:
            raise unknown("Form", form, "mgd_hw.learn.learners.fresh_machine")


def baseline_options(design: Design) -> Options:
    """Return the settings of back-propagation in the design file."""
    from python_ref.floating.backpropagation import Options
    from python_ref.floating.optimizers import Adam

    settings = design.compare
    return Options(Adam(settings.backprop_rate), settings.backprop_epochs, settings.backprop_batch)


def train_backprop(design: Design, data: Data, seed: int, raw: np.ndarray | None, progress: FractionCallback) -> Training:
    """Train a design's network by back-propagation, and judge it repeatedly during the run; parameters as for :func:`train_mgd`."""
    from python_ref.floating.backpropagation import train
    from python_ref.floating.passes import Measured

    net, cost, options = network(design), objective(design), baseline_options(design)
    theta, problem, begun = start(design, seed, raw), Measured(net, cost), time.perf_counter()
    epochs = options.epochs_for(len(data.train))
    at_start = _judge(design, problem, theta, data.test.take(np.arange(min(JUDGED, len(data.test)))))[1]

    def evaluation(parameters: np.ndarray) -> tuple[float, float]:
        accuracy, found = _judge(design, problem, parameters, data.test)
        return accuracy, reported(design, found)

    result = train(
        net,
        cost,
        theta,
        data.train.records,
        data.train.targets,
        seed,
        options,
        evaluation=evaluation,
        records=RECORDS,
        progress=lambda done: progress(done / epochs),
    )
    seconds, curve = time.perf_counter() - begun, dict(result.curve)
    curve = with_accuracy(data, curve.pop("accuracy"), curve)
    counts = (result.evaluations, result.writes)
    return _finished(design, data, result.parameters, reported(design, at_start), seed, seconds, counts, curve)
