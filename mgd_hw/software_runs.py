"""Runs of designs that no hardware does: MGD by the float side of :mod:`python_ref.learning`, and back-propagation of the same
network and cost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from mgd_hw.comparison import RECORDS, Training
from mgd_hw.config import Design
from mgd_hw.data import Data
from mgd_hw.software import learner, network, objective, start
from python_ref.datasets import SampleOrder, Samples

__all__ = ["train_backprop", "train_mgd"]

Progress = Callable[[float], None]


def _judge(design: Design, theta: np.ndarray, samples: Samples) -> tuple[float, float]:
    from python_ref.learning.learner import evaluate

    return evaluate(network(design), theta, samples.inputs, samples.targets, objective(design).costs)


def _reported(design: Design, cost: float) -> float:
    """C/n of a squared error, as everywhere; any other cost as it is."""
    return cost / design.spec.network.n_out if design.software.cost == "squared-error" else cost


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
    from python_ref.learning.learner import initial_state, step

    machine, theta = learner(design, steps, seed), start(design, seed, raw)
    state, every, rows, begun = initial_state(machine, theta), max(1, steps // RECORDS), [], time.perf_counter()
    inputs = data.train.inputs.astype(theta.dtype)
    targets = data.train.targets.astype(theta.dtype)
    x = y = np.empty(0)
    while state.steps < steps:
        if state.steps % machine.sample_period == 0:
            chosen = order.indices(state.steps // machine.sample_period * machine.batch, machine.batch)
            x, y = inputs[chosen], targets[chosen]
        with np.errstate(all="ignore"):  # a run that diverges is told of by its cost
            state, _ = step(machine, state, x, y)
            if state.steps % every == 0 or state.steps == steps:
                accuracy, cost = _judge(design, state.theta, data.test)
                rows.append((state.steps, state.evaluations, accuracy, _reported(design, cost)))
                progress(state.steps / steps)
    seconds = time.perf_counter() - begun
    names = ("steps", "evaluations", "accuracy", "cost")
    curve = dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))
    return Training(seed, rows[-1][2], rows[-1][3], seconds, state.evaluations, state.writes, {}, curve, state.theta.astype(np.float64))


def train_backprop(design: Design, data: Data, seed: int, raw: np.ndarray | None, progress: Progress) -> Training:
    """Adam on exact gradients; its rate falls along half a cosine, as that of every baseline here."""
    from python_ref.learning.optimizers import Adam

    settings, net, cost = design.compare, network(design), objective(design)
    theta, random, begun = start(design, seed, raw), np.random.Generator(np.random.PCG64(seed)), time.perf_counter()
    inputs, targets = data.train.inputs.astype(theta.dtype), data.train.targets.astype(theta.dtype)
    batch = min(settings.backprop_batch, len(inputs))
    per_epoch = -(-len(inputs) // batch)
    epochs = settings.backprop_epochs or math.ceil(min(max(60 * per_epoch, 3_000), 20_000) / per_epoch)
    rule, update, rows = Adam(settings.backprop_rate), 0, []
    memory = rule.initial(theta)
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
            accuracy, found = _judge(design, theta, data.test)
            rows.append(((epoch + 1) * len(inputs), accuracy, _reported(design, found)))
        progress((epoch + 1) / epochs)
    seconds, names = time.perf_counter() - begun, ("evaluations", "accuracy", "cost")
    curve = dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))
    accuracy, found = rows[-1][1:]
    return Training(seed, accuracy, found, seconds, epochs * len(inputs), update * theta.size, {}, curve, theta.astype(np.float64))
