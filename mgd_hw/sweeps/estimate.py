"""Estimate of the time that a sweep takes: a few short runs are timed in this process, and the others are extrapolated by size."""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mgd_hw.common.progress import Progress
from mgd_hw.sweeps.jobs import DONE, FIT, SYNTH, TRAIN, Job, run_jobs
from mgd_hw.sweeps.plan import Combination, Plan

if TYPE_CHECKING:
    from mgd_hw.design.description import Design

__all__ = ["START", "Estimate", "estimate", "shown"]

START = 4.0
"""Time until a new worker is ready for its first job, in seconds: its imports, and loading the compiled models from the cache."""

TIMED = 3
"""Maximum number of combinations to time."""
SHORT, LONG, ENOUGH = 50, 400, 0.1
"""Steps of the shortest timed run and of the next one; time after which a run counts as long enough, in seconds."""
EPOCHS = 5
"""Epochs of back-propagation to time."""
NOMINAL = {FIT: 0.02, SYNTH: 20.0}
"""Assumed time of a job that is not a run, by kind, in seconds."""


@dataclass(frozen=True)
class _Timed:
    """Measured time of a run of ``work`` synapses per step, in seconds: a fixed part, and a part per step."""

    work: int
    fixed: float
    per_step: float


class Estimate:
    """Predicted time of each job.

    Parameters
    ----------
    timed : sequence
        Measured times to extrapolate from. If empty, all runs are taken to be equally long.
    """

    def __init__(self, timed: Sequence[_Timed] = ()) -> None:
        self.timed = tuple(timed)
        self._known: dict[tuple[int, int], float] = {}

    def seconds(self, combination: Combination, job: Job) -> float:
        """Return the predicted time of a job on one worker, in seconds."""
        if job.kind != TRAIN:
            return NOMINAL[job.kind]
        if not self.timed:
            return 1.0
        key = combination.work, combination.steps
        if key not in self._known:
            near = min(self.timed, key=lambda each: abs(each.work - combination.work))
            self._known[key] = near.fixed + near.per_step * combination.steps * combination.work / max(1, near.work)
        return self._known[key]


def estimate(plan: Plan, progress: Progress) -> Estimate:
    """Time a few combinations, including the smallest and the largest; compilation is not part of the times."""
    by_work = {each.work: each for each in sorted(plan.allowed, key=lambda each: each.work)}
    sizes = list(by_work)
    chosen = sorted({sizes[0], sizes[len(sizes) // 2], sizes[-1]})[:TIMED]
    progress.status("Timing a few short runs, to estimate how long the sweep takes.")
    timed = []
    for work in chosen:
        found = _time(plan, by_work[work])
        if found is not None:
            timed.append(found)
    return Estimate(timed)


def _time(plan: Plan, combination: Combination) -> _Timed | None:
    """Time one combination; return None if its run fails."""
    design: Design = pickle.loads(combination.design)
    mgd = tuple(model for model in plan.request.models if model != "backprop")
    if mgd and _seconds(plan, design, mgd, 1) is None:  # this run also compiles the models
        return None
    once = _backprop(plan, design) if "backprop" in plan.request.models else 0.0
    least = min(SHORT, combination.steps)
    first = (_seconds(plan, design, mgd, least) or 0.0) if mgd else 0.0
    steps, last = least, 0.0
    while mgd and steps < combination.steps and last < ENOUGH:
        steps = min(combination.steps, LONG if steps == least else 8 * steps)
        last = _seconds(plan, design, mgd, steps) or 0.0
    per_step = max(0.0, last - first) / (steps - least) if steps > least else 0.0
    return _Timed(combination.work, once + max(0.0, first - per_step * least), per_step)


def _backprop(plan: Plan, design: Design) -> float:
    """Return the predicted time of training by back-propagation, in seconds, extrapolated from a few epochs."""
    from mgd_hw.data import load
    from mgd_hw.learn.learners import baseline_options

    def seconds(epochs: int) -> float:
        shorter = replace(design, compare=replace(design.compare, backprop_epochs=epochs))
        return _seconds(plan, shorter, ("backprop",), 1) or 0.0

    samples = len(load(design.data, validate=plan.request.validate).train)
    epochs = baseline_options(design).epochs_for(samples)
    seconds(1)  # load the data and the libraries first
    few, more = seconds(1), seconds(1 + EPOCHS)
    return few + max(0.0, more - few) / EPOCHS * (epochs - 1)


def _seconds(plan: Plan, design: Design, models: tuple[str, ...], steps: int) -> float | None:
    """Return the time of one run in this process, in seconds; None if the run fails."""
    job = Job("", TRAIN, pickle.dumps(design), 0, steps, models, plan.request.validate)
    begun = time.perf_counter()
    (row,) = run_jobs([job], plan.version)
    return time.perf_counter() - begun if row.status == DONE else None


def shown(seconds: float) -> str:
    """Format a time in seconds for people, rounded, in the unit that suits it."""
    if seconds < 1:
        return "1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 360_000 else f"{seconds / 86_400:.0f} days"
