"""How long a sweep will take, before it starts: a few short runs are timed here, and the others follow by their size."""

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
"""Seconds in which a worker is ready for its first job: what it imports, and what was compiled and is read again."""

TIMED = 3
"""Combinations that are timed."""
SHORT, LONG, ENOUGH = 50, 400, 0.1
"""Steps of the shortest run that is timed and of the first longer one; seconds that the last takes at least."""
EPOCHS = 5
"""Of back-propagation, that are timed."""
NOMINAL = {FIT: 0.02, SYNTH: 20.0}
"""Seconds that a job takes that is no run, until one was seen."""


@dataclass(frozen=True)
class _Timed:
    """Seconds of a run, as they were measured: so many at the start and the end, and so many for each step."""

    work: int
    fixed: float
    per_step: float


class Estimate:
    """What a job takes.

    Parameters
    ----------
    timed : sequence
        Runs that were timed; none: every run takes as long as any other.
    """

    def __init__(self, timed: Sequence[_Timed] = ()) -> None:
        self.timed = tuple(timed)
        self._known: dict[tuple[int, int], float] = {}

    def seconds(self, combination: Combination, job: Job) -> float:
        """Of one worker."""
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
    """Time a few combinations, the smallest and the largest among them; what is compiled is compiled before."""
    by_work = {each.work: each for each in sorted(plan.allowed, key=lambda each: each.work)}
    sizes = list(by_work)
    chosen = sorted({sizes[0], sizes[len(sizes) // 2], sizes[-1]})[:TIMED]
    progress.status("Timing a few short runs, to tell how long it will take.")
    timed = []
    for work in chosen:
        found = _time(plan, by_work[work])
        if found is not None:
            timed.append(found)
    return Estimate(timed)


def _time(plan: Plan, combination: Combination) -> _Timed | None:
    """Time one combination; None if it does not run."""
    design: Design = pickle.loads(combination.design)
    mgd = tuple(model for model in plan.request.models if model != "backprop")
    if mgd and _seconds(plan, design, mgd, 1) is None:  # and what is to be compiled, is
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
    """Seconds of back-propagation, from a few epochs."""
    from mgd_hw.data import load
    from mgd_hw.learn.learners import baseline_options

    def seconds(epochs: int) -> float:
        shorter = replace(design, compare=replace(design.compare, backprop_epochs=epochs))
        return _seconds(plan, shorter, ("backprop",), 1) or 0.0

    samples = len(load(design.data, validate=plan.request.validate).train)
    epochs = baseline_options(design).epochs_for(samples)
    seconds(1)  # what is loaded, is
    few, more = seconds(1), seconds(1 + EPOCHS)
    return few + max(0.0, more - few) / EPOCHS * (epochs - 1)


def _seconds(plan: Plan, design: Design, models: tuple[str, ...], steps: int) -> float | None:
    """Of one run, here; None if it breaks."""
    job = Job("", TRAIN, pickle.dumps(design), 0, steps, models, plan.request.validate)
    begun = time.perf_counter()
    (row,) = run_jobs([job], plan.version)
    return time.perf_counter() - begun if row.status == DONE else None


def shown(seconds: float) -> str:
    """A time as one says it."""
    if seconds < 1:
        return "1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 360_000 else f"{seconds / 86_400:.0f} days"
