"""Short runs of the float model that tell whether a learning rate is too large.

At the initial parameters, single updates may raise the mean cost more than they lower it, and the rate may be right all the same: in the
first updates one sample's error decides, and its noise falls with the cost. So a suspicion that comes from single updates is checked by
runs from the initial parameters, one at the design's rate and one at a quarter of it, on the same samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mgd_hw.data import Data
from mgd_hw.design.description import Design
from mgd_hw.design.float_model import has_fast_learner, start
from mgd_hw.learn.learners import fresh_machine
from python_ref.datasets import Samples
from python_ref.spec.error import DesignError

if TYPE_CHECKING:
    from python_ref.floating.passes import Measurable

__all__ = ["FEWEST_UPDATES", "WORSE", "is_worse", "run_costs", "shown"]

STEPS = 200_000
"""Largest number of steps of a run."""
PRESENTATIONS, SLOW_UPDATES = 4_000, 48
"""Largest numbers of updates of a run: of the model of whole presentations, and of the page to read, which takes step by step."""
FEWEST_UPDATES = 16
"""Least number of updates of a run that says anything."""
RECORDS = 32
"""Number of times that a run is judged; the cost is the mean of the last quarter of them."""
WORSE = 1.1
"""A run ends worse than one at a lower rate if its cost is more than this many times as large."""
FACTOR_LOG2 = 2
"""log₂ of the factor between the rates of two runs."""
LOWEST = 12
"""log₂ of the factor between the design's rate and the lowest rate that is tried."""


def is_worse(costs: dict[int, float]) -> bool:
    """Return whether the run at the highest rate ended at more than :data:`WORSE` times the lowest cost of them all."""
    return bool(costs) and costs[max(costs)] > WORSE * min(costs.values())


def shown(costs: dict[int, float]) -> str:
    """Return as a clause how the run at the highest rate ended, and how the best one did."""
    own, best = costs[max(costs)], min(costs, key=costs.__getitem__)
    ended = f"ends at a mean cost of {own:.2g}" if np.isfinite(own) else "diverges"
    return f"a short run {ended}, and one at 2^{best} ends at {costs[best]:.2g}"


def run_costs(design: Design, problem: Measurable, raw: np.ndarray | None, data: Data, judged: Samples, before: float) -> dict[int, float]:
    """Return the mean cost at the end of runs, by log₂ of their constant rates: at the design's first rate, at a quarter of it, and so on.

    They go down until a lower rate ends no better than one that hardly raised the cost, if at all. Fewer than two, or none, are returned
    where the design cannot take a lower rate, or where runs would have fewer than :data:`FEWEST_UPDATES` updates.

    Parameters
    ----------
    design : Design
        Design that learns, with a network of its own or an external forward pass.
    problem : Measurable
        Forward pass whose cost is measured, as :func:`mgd_hw.design.float_model.opened` yields it.
    raw : array of int64, shape (P,), or None
        Initial parameters of a dense network as raw integers; None draws them from the design's seed.
    data : Data
        Samples to train with.
    judged : Samples
        Training samples whose mean cost is returned.
    before : float
        Their mean cost at the initial parameters.
    """
    first, costs = design.spec.schedule.rate_at(0), dict[int, float]()
    for log2 in range(first, first - LOWEST - 1, -FACTOR_LOG2):
        try:
            schedule = replace(design.spec.schedule, learning_rate=((0, log2),))
            spec, constant = replace(design.spec, schedule=schedule), replace(design.float_only, decay="constant")
        except DesignError:  # the formats of the design do not take a rate so low
            break
        ends = _costs(replace(design, spec=spec, float_only=constant), problem, raw, data, judged)
        if not ends:
            break
        costs[log2] = float(np.mean(ends[-max(1, len(ends) // 4) :]))
        higher = costs.get(log2 + FACTOR_LOG2, np.inf)
        if higher <= WORSE * before and higher <= WORSE * costs[log2]:
            break
    return costs


def _costs(design: Design, problem: Measurable, raw: np.ndarray | None, data: Data, judged: Samples) -> list[float]:
    """Return the mean cost of the judged samples at regular steps of a run, infinite once it diverged; none if it would be too short."""
    spec, period, fast = design.spec, design.spec.schedule.update_period, has_fast_learner(design)
    most = min(design.compare.steps, STEPS, _most_updates(design, fast) * period)
    if most < FEWEST_UPDATES * period:
        return []
    steps = most // period * period
    every = max(1, steps // RECORDS // period) * period
    theta = start(design, spec.network.initial.seed, raw)
    with np.errstate(all="ignore"):  # the cost of a run that diverges is infinite, or no number
        if fast:
            found = list(_fast(design, theta, data, judged, steps, every))
        else:
            found = list(_slow(design, problem, theta, data, judged, steps, every))
    return [float(cost) if np.isfinite(cost) else np.inf for cost in found]


def _most_updates(design: Design, fast: bool) -> int:
    """Return the largest number of updates of a run: the slower the model of the design, the fewer."""
    from python_ref.floating import online

    if not fast:
        return SLOW_UPDATES
    return STEPS if online.supports(design.spec) else PRESENTATIONS


def _fast(design: Design, theta: np.ndarray, data: Data, judged: Samples, steps: int, every: int) -> np.ndarray:
    """Return the costs of a run of the compiled loops, or of the model of whole presentations."""
    from python_ref.floating.presentations import trainer

    samples, evaluation = (data.train.records, data.train.targets), (judged.records, judged.targets)
    train = trainer(design.spec)
    return train(design.spec, theta, *samples, data.order, steps, evaluation=evaluation, record_every=every).curve.cost


def _slow(design: Design, problem: Measurable, theta: np.ndarray, data: Data, judged: Samples, steps: int, every: int) -> Iterator[float]:
    """Yield the costs of a run of the learner that is a page to read."""
    period, batch = design.spec.schedule.sample_period, design.float_only.batch
    machine = fresh_machine(design, problem, steps, design.spec.perturbation.seed, theta)
    inputs, targets = (table.astype(theta.dtype) for table in (judged.records, judged.targets))
    x, y = inputs, targets
    for done in range(steps):
        if done % period == 0:
            chosen = data.train.take(data.order.indices(done // period * batch, batch))
            x, y = chosen.records.astype(theta.dtype), chosen.targets.astype(theta.dtype)
        machine.step(x, y)
        if (done + 1) % every == 0:
            yield float(problem.costs(machine.theta, inputs, targets).mean(dtype=np.float64))
