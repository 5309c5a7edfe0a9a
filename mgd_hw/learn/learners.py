"""Runs of designs that no hardware does: MGD by the float side of :mod:`python_ref.learning`, and back-propagation of the same
network and cost."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Protocol

import numpy as np

from mgd_hw.data import Data
from mgd_hw.data.kinds import Verdict
from mgd_hw.design.description import Design
from mgd_hw.design.float_model import analog_learner, learner, network, objective, opened, start
from mgd_hw.learn.divergence import failure
from mgd_hw.learn.runs import RECORDS, Progress, Training, with_accuracy
from python_ref.datasets import SampleOrder, Samples
from python_ref.learning.passes import Measurable

__all__ = ["train_backprop", "train_mgd"]

JUDGED = 250
"""Samples that a forward pass outside judges at once."""

FEWEST = 10
"""Records of a run, if judging more often would take longer than learning."""


def _judge(design: Design, problem: Measurable, theta: np.ndarray, samples: Samples) -> tuple[float, float]:
    """Accuracy, NaN of a forward pass outside, which tells none; and mean cost."""
    from python_ref.learning.learner import evaluate

    if design.float_only.external is None:
        return evaluate(network(design), theta, samples.inputs, samples.targets, objective(design).costs)
    parts = [slice(first, first + JUDGED) for first in range(0, len(samples), JUDGED)]
    costs = [problem.costs(theta, samples.inputs[part], samples.targets[part]) for part in parts]
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
    """A finished run, judged; ``counts`` are its evaluations and writes."""
    verdict: Verdict = {"scores": {}, "confusion": None, "constant": ""}
    if design.float_only.external is None:
        net = network(design)
        parts = range(0, len(data.test), JUDGED)
        with np.errstate(all="ignore"):  # a run that diverged is told by its cost
            outputs = np.concatenate([net.forward(theta, data.test.inputs[first : first + JUDGED]) for first in parts])
        verdict = data.kind.verdict(outputs)
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


def _reported(design: Design, cost: float) -> float:
    """C/n of a squared error, as everywhere; any other cost as it is."""
    squared = design.float_only.cost == "squared-error" and design.float_only.external is None
    return cost / design.spec.network.n_out if squared else cost


def train_mgd(
    design: Design, data: Data, seed: int, order: SampleOrder, steps: int, raw: np.ndarray | None, progress: Progress
) -> Training:
    """MGD, judged a number of times on the way.

    Parameters
    ----------
    design, data : Design, Data
        What learns what.
    seed : int
        Of parameters and signs.
    order : SampleOrder
        Of the training samples.
    steps : int
        Steps; each takes ``learning.batch`` samples.
    raw : array of int64, shape (P,), or None
        Where a dense network starts.
    progress : callable
        Told of the part that is done.
    """
    theta, begun = start(design, seed, raw), time.perf_counter()
    inputs, targets = (table.astype(theta.dtype) for table in (data.train.inputs, data.train.targets))
    batch, period, rows = design.float_only.batch, design.spec.schedule.sample_period, list[tuple[int, int, float, float]]()
    records = max(FEWEST, min(RECORDS, steps * batch // max(1, len(data.test))))
    every, x, y = max(1, steps // records), np.empty(0), np.empty(0)
    with opened(design) as problem, np.errstate(all="ignore"):  # a run that diverges is told of by its cost
        machine = _machine(design, problem, steps, seed, theta)
        first = _judge(design, problem, theta, data.test.take(np.arange(min(JUDGED, len(data.test)))))[1]
        for done in range(steps):
            if done % period == 0:
                chosen = order.indices(done // period * batch, batch)
                x, y = inputs[chosen], targets[chosen]
            machine.step(x, y)
            if (done + 1) % every == 0 or done + 1 == steps:
                accuracy, cost = _judge(design, problem, machine.theta, data.test)
                rows.append((done + 1, machine.evaluations, accuracy, _reported(design, cost)))
                progress((done + 1) / steps)
    seconds = time.perf_counter() - begun
    at, evaluations, accuracies, costs = (np.array(column) for column in zip(*rows, strict=True))
    curve = with_accuracy(data, accuracies, {"steps": at, "evaluations": evaluations, "cost": costs})
    counts = (machine.evaluations, machine.writes)
    return _finished(design, data, machine.theta, _reported(design, first), seed, seconds, counts, curve)


class _Machine(Protocol):
    """Something that learns, a step at a time."""

    theta: np.ndarray
    evaluations: int
    writes: int

    def step(self, x: np.ndarray, y: np.ndarray) -> None: ...


class _Discrete:
    """The learner of a design."""

    def __init__(self, design: Design, problem: Measurable, steps: int, seed: int, theta: np.ndarray) -> None:
        from python_ref.learning.learner import initial_state

        self._learner = learner(design, steps, problem, seed)
        self._state = initial_state(self._learner, theta)
        self.theta, self.evaluations, self.writes = theta, 0, 0

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        from python_ref.learning.learner import step

        self._state, _ = step(self._learner, self._state, x, y)
        self.theta, self.evaluations, self.writes = self._state.theta, self._state.evaluations, self._state.writes


class _Analog:
    """The analog form of a design: a measurement and a write of every parameter in each step."""

    def __init__(self, design: Design, problem: Measurable, seed: int, theta: np.ndarray) -> None:
        from python_ref.learning.analog import initial_state

        self._learner = analog_learner(design, seed, problem)
        self._state = initial_state(self._learner, theta)
        self.theta, self.evaluations, self.writes = theta, 0, 0

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        from python_ref.learning.analog import step

        self._state = step(self._learner, self._state, x, y)
        self.theta = self._state.theta
        self.evaluations, self.writes = self.evaluations + len(x), self.writes + self.theta.size


def _machine(design: Design, problem: Measurable, steps: int, seed: int, theta: np.ndarray) -> _Machine:
    if design.float_only.form == "analog":
        return _Analog(design, problem, seed, theta)
    return _Discrete(design, problem, steps, seed, theta)


def train_backprop(design: Design, data: Data, seed: int, raw: np.ndarray | None, progress: Progress) -> Training:
    """Adam on exact gradients; its rate falls along half a cosine, as that of every baseline here."""
    from python_ref.learning.optimizers import Adam
    from python_ref.learning.passes import Measured

    settings, net, cost = design.compare, network(design), objective(design)
    theta, random, begun = start(design, seed, raw), np.random.Generator(np.random.PCG64(seed)), time.perf_counter()
    inputs, targets = data.train.inputs.astype(theta.dtype), data.train.targets.astype(theta.dtype)
    batch = min(settings.backprop_batch, len(inputs))
    per_epoch = -(-len(inputs) // batch)
    epochs = settings.backprop_epochs or math.ceil(min(max(60 * per_epoch, 3_000), 20_000) / per_epoch)
    rule, update, rows = Adam(settings.backprop_rate), 0, list[tuple[int, float, float]]()
    memory, first_samples = rule.initial(theta), data.test.take(np.arange(min(JUDGED, len(data.test))))
    at_start = _judge(design, Measured(net, cost), theta, first_samples)[1]
    for epoch in range(epochs):
        shuffled = random.permutation(len(inputs))
        for first in range(0, len(inputs), batch):
            chosen = shuffled[first : first + batch]
            slopes = partial(cost.slopes, targets=targets[chosen])
            gradient, _ = net.gradient(theta, inputs[chosen], slopes)
            rate = rule.rate * 0.5 * (1 + math.cos(math.pi * update / (epochs * per_epoch)))
            move, memory = rule.step(memory, gradient / theta.dtype.type(len(chosen)), update, rate)
            theta, update = theta - move, update + 1
        if (epoch + 1) % max(1, epochs // RECORDS) == 0 or epoch + 1 == epochs:
            accuracy, found = _judge(design, Measured(net, cost), theta, data.test)
            rows.append(((epoch + 1) * len(inputs), accuracy, _reported(design, found)))
        progress((epoch + 1) / epochs)
    seconds = time.perf_counter() - begun
    evaluations, accuracies, costs = (np.array(column) for column in zip(*rows, strict=True))
    curve = with_accuracy(data, accuracies, {"evaluations": evaluations, "cost": costs})
    counts = (epochs * len(inputs), update * theta.size)
    return _finished(design, data, theta, _reported(design, at_start), seed, seconds, counts, curve)
