"""Runs of a figure: its default settings, the user's choices in their place, and the jobs that result from both."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mgd_hw.replication.fashion import Settings
from mgd_hw.replication.tasks import PAPER, Pace, Task, expected, identity, pace, perform
from mgd_hw.sweeps.jobs import Job
from python_ref.spec.error import Refusal

__all__ = ["FIGURES", "Calibration", "Figure", "PaperJobs", "calibrate", "tasks_of"]

APART = ((1, 1),) * 9
"""Partition of the nine layers in which each is perturbed in a separate pass, as in the paper."""
NODE, WEIGHT = Settings(), Settings(kind="weight", parts=None, groups=10, rate=0.002, ease=1.0)
BACKPROP = Settings(kind="exact", parts=None, rate=0.005, ease=1.0)
MOST_WIDTH, MOST_SEEDS, MOST_ITERATIONS = 64, 1000, 10**9
TIMED_PERTURBATIONS = 128
"""Number of perturbations that a calibration times in a run that estimates a gradient."""


@dataclass(frozen=True)
class Figure:
    """Figure or table of the paper, with the default settings of its runs.

    Attributes
    ----------
    name, title : str
        Name of the figure, such as "fig5", and its subject as a phrase.
    measure : str
        Result of its runs; see :class:`~mgd_hw.replication.tasks.Task`.
    quantities : tuple of str
        Results of a run that the figure shows, such as "iterations".
    series : dict
        Settings of each training method that the figure compares, by the method's name.
    n : tuple of int
        Widths of the networks in its runs.
    seeds, iterations : int
        Number of runs of each setting, and largest number of iterations of a run.
    every, updates : int
        Approximate iterations between evaluations of the test images; for back-propagation, the number of updates.
    periods : tuple of int
        Update periods τ_θ in steps, if the figure varies them. The learning rate grows in proportion to √τ_θ, as the noise of the mean
        estimate falls.
    shorter : dict
        Default number of iterations of series that take fewer than the others, because they are slow or cannot reach the goal anyway.
    typical : dict
        Number of iterations that our runs took, by series, width and τ_θ; estimates of the duration use it.
    note : str
        Difference between our runs and the published ones, as a sentence; "" if there is none.
    """

    name: str
    title: str
    measure: str
    quantities: tuple[str, ...]
    series: Mapping[str, Settings]
    n: tuple[int, ...]
    seeds: int
    iterations: int
    every: int = 350
    updates: int = 25
    periods: tuple[int, ...] = ()
    shorter: Mapping[str, int] = field(default_factory=dict)
    typical: Mapping[tuple[str, int, int], int] = field(default_factory=dict)
    note: str = ""


_APART = {kind: Settings(kind=kind, parts=APART, skip_dead_nodes=False, groups=0, delta=1e-4) for kind in ("weight", "node")}
_THREE = {"weight": WEIGHT, "node": NODE, "backprop": BACKPROP}
_EXACTLY = Settings(kind="exact", batch=250, parts=None, ease=1.0)
_RULES = {"plain": replace(_EXACTLY, rule="plain", rate=0.5), "adam": replace(_EXACTLY, rate=0.01)}
_UPDATES = {("plain", 4, 1): 130, ("adam", 4, 1): 100}
_SHORTER = {"weight": 3000, "backprop": 4000}

_NEAR = "Ours is by exact gradients, of 250 images; the published by weight perturbation."

FIGURES: dict[str, Figure] = {
    each.name: each
    for each in (
        Figure("fig3", "Iterations to a gradient", "cosine", ("iterations",), _APART, (1, 2, 4), 3, 100_000),
        Figure(
            "fig4", "Iterations to 80 % test accuracy", "goal", ("iterations",), _THREE, (1, 4), 2, 12_000,
            shorter=_SHORTER, typical={("node", 4, 1): 10_000},
        ),
        Figure(
            "fig5", "Iterations, writes to 80 %", "goal", ("iterations", "writes"), {"node": NODE}, (4,), 1, 40_000,
            periods=(1, 10, 100), note="Ours is by node perturbation; the published by weight perturbation.",
        ),
        Figure("fig6", "Updates to 80 %", "goal", ("updates",), _RULES, (4,), 2, 400, updates=10, typical=_UPDATES, note=_NEAR),
        Figure("table2", "Best test accuracy", "best", ("accuracy",), _THREE, (1, 4), 2, 2000, updates=100),
    )
}  # fmt: skip
"""Figures by name. Their default runs take minutes on two cores; most published runs are a hundred times as long."""


def tasks_of(
    figure: str, n: Sequence[int] | None = None, seeds: int | None = None, iterations: int | None = None
) -> tuple[Figure, tuple[Task, ...]]:
    """Return a figure with the user's choices in place of its defaults, and its runs, seed by seed.

    Parameters
    ----------
    figure : str
        Name of the figure, one of :data:`FIGURES`.
    n : sequence of int or None
        Widths of the network; None takes the figure's.
    seeds : int or None
        Number of runs of each setting; None takes the figure's.
    iterations : int or None
        Largest number of iterations of every run; None takes the figure's, and for some series fewer.

    Raises
    ------
    Refusal
        If there is no such figure, or a number is out of range.
    """
    if figure not in FIGURES:
        raise Refusal("there is no such figure", f"Known: {', '.join(FIGURES)}.", key="figure", value=figure)
    of = FIGURES[figure]
    widths = of.n if n is None else tuple(dict.fromkeys(n))
    _check("--n", widths, MOST_WIDTH)
    if not widths:
        raise Refusal("no width is named", "Give some, such as 1,2,4.", key="--n")
    of = replace(of, n=widths, seeds=of.seeds if seeds is None else seeds, iterations=of.iterations if iterations is None else iterations)
    _check("--seeds", (of.seeds,), MOST_SEEDS)
    _check("--iterations", (of.iterations,), MOST_ITERATIONS)
    found = []
    for seed in range(1, of.seeds + 1):
        for width in of.n:
            for series, settings in of.series.items():
                most = of.iterations if iterations is not None else min(of.iterations, of.shorter.get(series, of.iterations))
                for period in of.periods or (settings.update_period,):
                    own = replace(settings, update_period=period, rate=settings.rate * (period / settings.update_period) ** 0.5)
                    task = Task(of.measure, series, width, seed, most, own)
                    every = of.updates if own.kind == "exact" else max(1, round(of.every / task.of_steps(1)))
                    found.append(replace(task, every=-(-every // period) * period))
    return of, tuple(found)


def _check(key: str, values: Iterable[int], most: int) -> None:
    """Check that the values of an option are whole numbers from 1 to ``most``."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise Refusal(f"it is not a number from 1 to {most:,}", "Give one that is.", key=key, value=value)


@dataclass(frozen=True, eq=False)
class PaperJobs:
    """Jobs of a figure, for :func:`mgd_hw.sweeps.scheduler.run`.

    Attributes
    ----------
    tasks : tuple of Task
        All runs of the figure, including those that are finished already.
    data, version : str
        Digest of the images, and version of this package, which must be that of the workers.
    known : dict
        Keys of finished runs that reached their goal, and the iterations that they took, by the runs' identities.
    """

    tasks: tuple[Task, ...]
    data: str
    version: str
    known: Mapping[str, tuple[str, float]] = field(default_factory=dict)

    def jobs(self) -> Iterator[tuple[Task, Job]]:
        """Yield every job, with the run that it performs."""
        for task in self.tasks:
            yield task, Job(self.key(task), PAPER, pickle.dumps(task), task.seed, task.steps(), module=perform.__module__)

    def key(self, task: Task) -> str:
        """Return the key of a run: that of a finished run if both are the same up to the goal, so that the result can be reused."""
        if task.measure != "best":
            key, took = self.known.get(self.identity(task), ("", 0.0))
            if key and took <= task.iterations:
                return key
        return identity(task, self.data, self.version)

    def identity(self, task: Task) -> str:
        """Return the identity of a run, which does not depend on its largest number of iterations."""
        return identity(task, self.data, self.version, limited=False)

    def about(self, task: Task, number: int | None = None) -> dict[str, Any]:
        """Return the description of a run that the journal stores with its row."""
        return {"identity": self.identity(task), "measure": task.measure, "series": task.series, "n": task.n, "seed": task.seed} | {
            "iterations": task.iterations, "period": task.settings.update_period, "version": self.version,
        }  # fmt: skip


@dataclass
class Calibration:
    """Estimates of the duration of runs on one worker, from measured times.

    Attributes
    ----------
    paces : dict
        Measured times by series and width. For runs that estimate a gradient, the time of a step is that of a perturbation.
    iterations : dict
        Expected number of iterations of a run, where theory or earlier runs predict it.
    """

    paces: dict[tuple[str, int], Pace] = field(default_factory=dict)
    iterations: dict[Task, float] = field(default_factory=dict)

    def seconds(self, task: Task, job: Job | None = None) -> float:
        """Return the expected time of a run, in seconds."""
        return self._seconds(task, min(task.iterations, self.iterations.get(task, task.iterations)))

    def most(self, task: Task) -> float:
        """Return the time of a run that takes its largest number of iterations, in seconds."""
        return self._seconds(task, task.iterations)

    def _seconds(self, task: Task, iterations: float) -> float:
        """Return the time of so many iterations, in seconds: training steps, evaluations, and the evaluation at the end of every run."""
        own = self.paces.get((task.series, task.n), Pace(1e-3, 0.0))
        if task.measure == "cosine":
            return own.step * iterations
        return own.look + (own.step + own.look / task.every) * iterations / task.of_steps(1)


def calibrate(tasks: Iterable[Task], typical: Mapping[tuple[str, int, int], int]) -> Calibration:
    """Time the start of one run of each series and width, since the time does not depend on τ_θ; ``typical`` is that of the figure."""
    found = Calibration()
    for task in tasks:
        kind = task.series, task.n
        if kind not in found.paces:
            found.paces[kind] = _perturbing(task) if task.measure == "cosine" else pace(task)
        if task.measure == "cosine":
            found.iterations[task] = expected(task)
        elif (known := typical.get((*kind, task.settings.update_period))) is not None:
            found.iterations[task] = known
    return found


def _perturbing(task: Task) -> Pace:
    """Time the perturbations of a run that estimates a gradient."""
    perform(replace(task, iterations=8))  # compiles what the timed run uses
    begun = time.perf_counter()
    done = perform(replace(task, iterations=TIMED_PERTURBATIONS))
    return Pace((time.perf_counter() - begun) / done["iterations"], 0.0)
