"""The loop: multiplexed gradient descent of any forward pass, a page to read.

The steps and periods are those of the fixed model, for any batch, estimator and optimiser: the estimate of a step is the mean over its
batch, G is the sum of the estimates over τ_θ steps, and an update is what an optimiser makes of G.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from python_ref.datasets import SampleOrder
from python_ref.floating import devices as devices_
from python_ref.floating.estimators import Base, Estimate, Estimator, normalised
from python_ref.floating.objectives import correct
from python_ref.floating.optimizers import Memory, Optimizer, Plain
from python_ref.floating.passes import ForwardPass, total
from python_ref.spec.schedule import Schedule

__all__ = [
    "Constant",
    "Curve",
    "Decay",
    "HalfCosine",
    "Learner",
    "Listed",
    "Result",
    "State",
    "evaluate",
    "initial_state",
    "outputs",
    "step",
    "train",
]


@dataclass(frozen=True)
class Constant:
    """The rate stays."""

    in_gradient: ClassVar[bool] = False

    def at(self, step: int) -> float:
        """1"""
        return 1.0


@dataclass(frozen=True)
class HalfCosine:
    """The rate falls along half a cosine to ``final`` of it at step ``steps``, and stays there."""

    steps: int
    final: float = 0.0

    in_gradient: ClassVar[bool] = False

    def at(self, step: int) -> float:
        """Factor on the rate at a step."""
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))


@dataclass(frozen=True)
class Listed:
    """The rate is the one that a schedule lists, and G contains it, as in the core: each estimate has the rate of its step.

    Parameters
    ----------
    schedule : Schedule
        Schedule of a design, with the learning rate from each listed step on.
    """

    schedule: Schedule

    in_gradient: ClassVar[bool] = True

    def at(self, step: int) -> float:
        """Factor on the rate of step 0 at a step."""
        return 2.0 ** (self.schedule.rate_at(step) - self.schedule.rate_at(0))


Decay = Constant | HalfCosine | Listed
"""The type of every schedule of the learning rate: a factor at each step, on the estimates that G sums or on the updates."""


@dataclass(frozen=True)
class Learner:
    """Everything about how something learns.

    Parameters
    ----------
    estimator : Estimator
        How a gradient is measured.
    optimizer : Optimizer
        What becomes of it.
    batch : int
        Samples of a step.
    perturbation_period, sample_period, update_period : int
        τ_p, τ_x, τ_θ, in steps.
    devices : tuple of Device
        What hardware does to it.
    decay : Decay
        Of the rate over the steps.
    normalise : bool
        Whether the mean of G over τ_θ is made as long as the true gradient (Oripov et al. 2025), the number of perturbations in it
        being that of its steps; else G is a sum and unbiased.

    Raises
    ------
    ValueError
        If a number is not positive, or if a gradient that contains the rate is normalised, which would remove it.
    """

    estimator: Estimator
    optimizer: Optimizer = Plain()
    batch: int = 1
    perturbation_period: int = 1
    sample_period: int = 1
    update_period: int = 1
    devices: tuple[devices_.Device, ...] = ()
    decay: Decay = Constant()
    normalise: bool = False

    def __post_init__(self) -> None:
        for name in ("batch", "perturbation_period", "sample_period", "update_period"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name.replace('_', ' ').capitalize()} must be positive, not {getattr(self, name)!r}")
        if self.normalise and self.decay.in_gradient:
            raise ValueError(f"Decay of a learner that normalises must be Constant or HalfCosine, not {self.decay!r}")


@dataclass(frozen=True, eq=False)
class State:
    """Everything that outlives a step.

    Attributes
    ----------
    theta, gradient : array, shape (P,)
        θ; G, a sum since the last update.
    memory, device_memories : tuples
        What the optimiser and the devices keep.
    base : Base or None
        The unperturbed measurement in force.
    steps, updates, evaluations, writes, changed : int
        Steps; updates; forward passes of one sample; parameters written, and those of them that got another value.
    """

    theta: np.ndarray
    gradient: np.ndarray
    memory: Memory
    device_memories: tuple[Any, ...]
    base: Base | None = None
    steps: int = 0
    updates: int = 0
    evaluations: int = 0
    writes: int = 0
    changed: int = 0


def initial_state(learner: Learner, theta: np.ndarray) -> State:
    """The state before step 0.

    Raises
    ------
    ValueError
        If θ is not of shape (P,), or not of real numbers.
    """
    wanted = (total(learner.estimator.parameters),)
    if theta.shape != wanted or theta.dtype.kind != "f":
        raise ValueError(f"Parameters must be real numbers of shape {wanted}, not {theta.dtype} of {theta.shape!r}")
    memories = tuple(device.initial(theta) for device in learner.devices)
    return State(theta.copy(), np.zeros_like(theta), learner.optimizer.initial(theta), memories)


def step(learner: Learner, state: State, inputs: np.ndarray, targets: np.ndarray) -> tuple[State, Estimate]:
    """One step, on the batch in force (shapes (B, n_in) and (B, n_out)): the same one until n mod τ_x = 0."""
    n, devices = state.steps, learner.devices
    due = n % learner.sample_period == 0 or n % learner.update_period == 0
    number = iter(range(1 << 62))

    def instrument(costs: np.ndarray) -> np.ndarray:
        return devices_.measure(devices, costs, n, next(number))

    found = learner.estimator.estimate(
        state.theta,
        inputs,
        targets,
        n // learner.perturbation_period,
        None if due else state.base,
        instrument if devices else None,
    )
    estimate = found.gradient * learner.decay.at(n) if learner.decay.in_gradient else found.gradient
    after = replace(
        state, gradient=state.gradient + estimate, base=found.base, steps=n + 1, evaluations=state.evaluations + found.evaluations
    )
    if after.steps % learner.update_period == 0:
        after = _update(learner, after, n)
    if devices:
        after = replace(after, theta=devices_.rest(devices, after.theta, n))
    return after, found


def _update(learner: Learner, state: State, n: int) -> State:
    """θ after the update that is due, G cleared."""
    gradient, period = state.gradient, learner.update_period
    if learner.normalise:
        gradient = normalised(gradient / gradient.dtype.type(period), period, learner.estimator.quantities)
    rate = learner.optimizer.rate * (1.0 if learner.decay.in_gradient else learner.decay.at(n))
    move, memory = learner.optimizer.step(state.memory, gradient, state.updates, rate)
    theta, memories = devices_.write(learner.devices, state.device_memories, state.theta, state.theta - move, state.updates)
    return replace(
        state,
        theta=theta,
        gradient=np.zeros_like(gradient),
        memory=memory,
        device_memories=memories,
        updates=state.updates + 1,
        writes=state.writes + theta.size,
        changed=state.changed + int(np.count_nonzero(theta != state.theta)),
    )


def outputs(network: ForwardPass, theta: np.ndarray, inputs: np.ndarray, batch: int = 250) -> np.ndarray:
    """Outputs (shape (n, n_out)) of a network at θ (shape (P,)) to inputs (shape (n, n_in)), of which ``batch`` pass at once."""
    return np.concatenate([network.forward(theta, inputs[first : first + batch]) for first in range(0, len(inputs), batch)])


def evaluate(
    network: ForwardPass, theta: np.ndarray, inputs: np.ndarray, targets: np.ndarray, costs: Callable | None = None, batch: int = 250
) -> tuple[float, float]:
    """Accuracy over samples (shapes (n, n_in), (n, n_out)), and mean cost, NaN without a function of outputs and targets."""
    found = outputs(network, theta, inputs, batch)
    right = int(np.count_nonzero(correct(found, targets)))
    return right / len(inputs), math.nan if costs is None else float(costs(found, targets).mean(dtype=np.float64))


@dataclass(frozen=True)
class Curve:
    """What a run looked like, a row per record (arrays of shape (records,)): counts so far, mean measured cost since the last record, and
    what was evaluated (NaN where nothing was)."""

    steps: np.ndarray
    updates: np.ndarray
    evaluations: np.ndarray
    writes: np.ndarray
    online_cost: np.ndarray
    accuracy: np.ndarray


@dataclass(frozen=True, eq=False)
class Result:
    """A finished run: its last state, and its curve."""

    state: State
    curve: Curve


def train(
    learner: Learner,
    theta: np.ndarray,
    inputs: np.ndarray,
    targets: np.ndarray,
    order: SampleOrder,
    steps: int,
    *,
    evaluation: Callable[[np.ndarray], float] | None = None,
    record_every: int | None = None,
    until: float | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Result:
    """Train for ``steps`` steps.

    Parameters
    ----------
    learner : Learner
        Gradient estimator, optimizer, schedule and devices to train with.
    theta : array, shape (P,)
        θ to start from; its type is that of the whole run.
    inputs, targets : arrays, shapes (n, n_in) and (n, n_out)
        Training set, a row per sample; converted to the type of ``theta``.
    order : SampleOrder
        Which of them come when: batch number k takes samples k·B … (k + 1)·B − 1 of it.
    steps : int
        Number of training steps, counted from the initial state.
    evaluation : callable or None
        Accuracy of θ, asked at every record.
    record_every : int or None
        Steps between records; None makes 50 of them.
    until : float or None
        Stop at the first record that is evaluated to at least this.
    progress : callable or None
        Told of steps and accuracy at every record.
    """
    state, rows, costs = initial_state(learner, theta), [], 0.0
    every, since = record_every or max(1, steps // 50), 0
    x = y = np.empty(0)
    while state.steps < steps:
        if state.steps % learner.sample_period == 0:
            chosen = order.indices(state.steps // learner.sample_period * learner.batch, learner.batch)
            x, y = inputs[chosen].astype(theta.dtype, copy=False), targets[chosen].astype(theta.dtype, copy=False)
        state, found = step(learner, state, x, y)
        costs, since = costs + found.cost, since + 1
        if state.steps % every == 0 or state.steps == steps:
            accuracy = math.nan if evaluation is None else evaluation(state.theta)
            rows.append((state.steps, state.updates, state.evaluations, state.writes, costs / since, accuracy))
            costs, since = 0.0, 0
            if progress is not None:
                progress(state.steps, accuracy)
            if until is not None and accuracy >= until:
                break
    columns = [np.array(column) for column in zip(*rows, strict=True)] or [np.empty(0)] * 6
    return Result(state, Curve(*columns))
