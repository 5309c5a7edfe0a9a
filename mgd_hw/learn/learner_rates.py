"""Short runs of a learner on its chip that tell whether its learning rate is too large.

At the initial quantities, single updates may raise the mean cost more than they lower it, and the rate may be right all the same. So a
suspicion that comes from single updates is checked by runs of the fixed model from the initial quantities: at the design's rate, at a
quarter of it, and so on, each on a process of its own. All of them are judged by the costs that they measure anyway, since nothing else is
known of the chip. A cost of a chip may have any offset, so that runs are compared by differences of costs, and never by ratios.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np

from mgd_hw.hardware.outside import ChipProcess
from mgd_hw.learn.rates import FACTOR_LOG2, FEWEST_UPDATES, LOWEST
from python_ref.fixed.learner import initial_learner, step
from python_ref.spec.error import DesignError
from python_ref.spec.learner import LearnerSpec

__all__ = ["RATE_STEPS", "RateRuns", "rate_runs"]

RATE_STEPS = 5_000
"""Number of steps of a run, unless its updates are too long for that."""
MOST_STEPS = 10_000
"""Largest number of steps of a run; where so many have fewer than :data:`FEWEST_UPDATES` updates, rates are not judged."""
LEAST = 3
"""Least number of runs, since the first ones may end on one plateau."""
BLOCKS = 8
"""Number of parts of the end of a run, whose means show how uncertain its mean is."""
CERTAIN = 2.0
"""Number of standard errors by which the ends of two runs must differ."""
SHARE = 0.1
"""Share of what the better run has changed by which the other one must be worse."""
MOST_JUDGED = 64
"""Largest number of samples whose cost at the initial quantities is measured."""


@dataclass(frozen=True)
class RateRuns:
    """Runs of a learner at rates that go down.

    Attributes
    ----------
    before : float
        Mean cost of the samples at the initial quantities.
    ends : dict of int to array of float64, shape (BLOCKS,)
        Mean costs that each run has measured in parts of its last quarter, by log₂ of its first rate; empty where rates are not judged.
    """

    before: float
    ends: dict[int, np.ndarray]

    @property
    def costs(self) -> dict[int, float]:
        """Mean cost at the end of each run, by log₂ of its first rate."""
        return {log2: float(np.mean(end)) for log2, end in self.ends.items()}

    def worse(self, high: int, low: int) -> bool:
        """Return whether the run at one rate ended at a higher cost than that at another one, beyond doubt and by a share of its change."""
        apart = self.ends[high] - self.ends[low]
        error = float(np.std(apart, ddof=1)) / math.sqrt(BLOCKS)
        return float(np.mean(apart)) > max(CERTAIN * error, SHARE * abs(self.before - float(np.mean(self.ends[low]))))

    @property
    def too_large(self) -> bool | None:
        """Whether the highest rate is too large: its run ended worse than the best one at a lower rate; None where nothing was judged."""
        if len(self.ends) < 2:
            return None
        first, costs = max(self.ends), self.costs
        return self.worse(first, min(costs, key=costs.__getitem__))


def rate_runs(
    spec: LearnerSpec, start: np.ndarray, opened: Callable[[], AbstractContextManager[ChipProcess]], note: Callable[[int], None]
) -> RateRuns:
    """Run the fixed model of a learner at its rate and at lower ones, at :data:`LEAST` rates, and until a lower one ends no better than
    one that lowered the cost.

    Parameters
    ----------
    spec : LearnerSpec
        Learner whose rates, all of its schedule alike, are divided by 4 from run to run.
    start : array of int64, shape (N,)
        Raw quantities from which every run begins.
    opened : callable
        Returns a context manager that begins the process of the outside.
    note : callable
        Called with log₂ of the first rate of each run, before it.
    """
    period, first = spec.schedule.update_period, spec.schedule.rate_at(0)
    steps = -(-max(RATE_STEPS, FEWEST_UPDATES * period) // period) * period
    found = RateRuns(math.nan, {})
    if steps > MOST_STEPS:
        return found
    for log2 in range(first, first - LOWEST - 1, -FACTOR_LOG2):
        try:
            rates = tuple((begun, rate + log2 - first) for begun, rate in spec.schedule.learning_rate)
            slower = replace(spec, schedule=replace(spec.schedule, learning_rate=rates))
        except DesignError:  # the formats of the design do not take a rate so low
            break
        note(log2)
        with opened() as chip:
            before, error, end = _run(slower, start, chip, steps)
        if math.isnan(found.before):
            found = RateRuns(before, {log2: end})
            continue
        if spec.sends_errors and abs(before - found.before) > max(4 * error, SHARE * abs(found.before)):
            return RateRuns(found.before, {})  # the chip has kept the weights of the run before
        found.ends[log2] = end
        higher = log2 + FACTOR_LOG2
        if len(found.ends) >= LEAST and found.costs[higher] <= found.before and not found.worse(higher, log2):
            break
    return found


def _run(spec: LearnerSpec, start: np.ndarray, chip: ChipProcess, steps: int) -> tuple[float, float, np.ndarray]:
    """Return the mean cost at the start, its standard error by noise, and the mean costs in parts of the last quarter."""
    outside, scale = spec.outside, 2.0**-spec.formats.cost.fraction_bits
    last = range(steps - steps // 4, steps)
    shown = sorted({number // spec.schedule.sample_period % outside.samples for number in last})
    shown = shown[:: -(-len(shown) // MOST_JUDGED)]
    words = np.array([chip(start, sample, 1 << outside.average) for sample in shown]) * scale
    noise = float(np.std(words, axis=1, ddof=1).mean()) / math.sqrt(words.size) if words.shape[1] > 1 else 0.0
    logged: list[float] = []

    class Logged:
        def __call__(self, sent: np.ndarray, sample: int, count: int) -> list[int]:
            costs = chip(sent, sample, count)
            logged.append(float(np.mean(costs)) * scale)
            return costs

        def apply(self, errors: np.ndarray) -> None:
            chip.apply(errors)

    state, outside_of = initial_learner(spec, start), Logged()
    for number in range(steps):
        if number == last[0]:
            logged.clear()
        state, _ = step(spec, state, outside_of)
    return float(words.mean()), noise, np.array([float(np.mean(part)) for part in np.array_split(logged, BLOCKS)])
