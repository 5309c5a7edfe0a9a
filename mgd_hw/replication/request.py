"""Which runs a figure consists of: its defaults, what the user chose instead, and the jobs that come of both."""

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
"""Every layer of the nine perturbed in a pass of its own, as in the paper."""
NODE, WEIGHT = Settings(), Settings(kind="weight", parts=None, groups=10, rate=0.002, ease=1.0)
BACKPROP = Settings(kind="exact", parts=None, rate=0.005, ease=1.0)
MOST_WIDTH, MOST_SEEDS, MOST_ITERATIONS = 64, 1000, 10**9
TIMED_PERTURBATIONS = 128
"""What a calibration does of a run to a gradient."""


@dataclass(frozen=True)
class Figure:
    """A figure, or table, and the runs it has if nothing else is asked for.

    Attributes
    ----------
    name, title : str
        Name of the figure, such as "fig5"; what it shows, as a phrase.
    measure : str
        See :class:`~mgd_hw.replication.tasks.Task`.
    quantities : tuple of str
        What is drawn of a run.
    series : dict
        Settings of each training method that the figure compares, by the method's name.
    n : tuple of int
        Widths of the networks in its runs.
    seeds, iterations : int
        Runs of each; the most that one takes.
    every, updates : int
        Between looks at the test images: iterations, about; the same of back-propagation, in updates.
    periods : tuple of int
        τ_θ, where it is varied, in steps; the rate grows as its root, as the noise of a mean falls.
    shorter : dict
        Series that take no more iterations than this, if nothing else is asked for: what is far from its goal in any case, or slow.
    typical : dict
        Of series, width and τ_θ: iterations that our runs took, by which time is told.
    note : str
        What is ours and not theirs, in a sentence.
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


_APART = {kind: Settings(kind=kind, parts=APART, sparing=False, groups=0, delta=1e-4) for kind in ("weight", "node")}
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
"""The figures by name. Their default runs end within minutes on two cores; most published runs are a hundred times as long."""


def tasks_of(
    figure: str, n: Sequence[int] | None = None, seeds: int | None = None, iterations: int | None = None
) -> tuple[Figure, tuple[Task, ...]]:
    """A figure with what was chosen in place of its defaults, and its runs: all from the first seed, then from the next.

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
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise Refusal(f"it is not a number from 1 to {most:,}", "Give one that is.", key=key, value=value)


@dataclass(frozen=True, eq=False)
class PaperJobs:
    """The jobs of a figure, as :func:`mgd_hw.sweeps.scheduler.drive` wants them.

    Attributes
    ----------
    tasks : tuple of Task
        All runs of the figure, including those that are finished already.
    data, version : str
        Digest of the images; version of this package, and of the worker's.
    known : dict
        Keys of finished runs that reached what they were to, and the iterations that they took, by who they are.
    """

    tasks: tuple[Task, ...]
    data: str
    version: str
    known: Mapping[str, tuple[str, float]] = field(default_factory=dict)

    def jobs(self) -> Iterator[tuple[Task, Job]]:
        """Every job, with its run."""
        for task in self.tasks:
            yield task, Job(self.key(task), PAPER, pickle.dumps(task), task.seed, task.steps(), module=perform.__module__)

    def key(self, task: Task) -> str:
        """Of a run: that of a finished one, if this one would go the same way and end where that did."""
        if task.measure != "best":
            key, took = self.known.get(self.identity(task), ("", 0.0))
            if key and took <= task.iterations:
                return key
        return identity(task, self.data, self.version)

    def identity(self, task: Task) -> str:
        """Of a run, whatever it is limited to."""
        return identity(task, self.data, self.version, limited=False)

    def about(self, task: Task, number: int | None = None) -> dict[str, Any]:
        """What a row says of its run."""
        return {"identity": self.identity(task), "measure": task.measure, "series": task.series, "n": task.n, "seed": task.seed} | {
            "iterations": task.iterations, "period": task.settings.update_period, "version": self.version,
        }  # fmt: skip


@dataclass
class Calibration:
    """Seconds of one worker that runs are expected to take; by what was measured of some of each kind.

    Attributes
    ----------
    paces : dict
        Of series and width; of runs to a gradient a step is a perturbation.
    iterations : dict
        What runs are expected to take, where something is known of it: by theory, or by runs of before.
    """

    paces: dict[tuple[str, int], Pace] = field(default_factory=dict)
    iterations: dict[Task, float] = field(default_factory=dict)

    def seconds(self, task: Task, job: Job | None = None) -> float:
        """Of a run."""
        return self._seconds(task, min(task.iterations, self.iterations.get(task, task.iterations)))

    def most(self, task: Task) -> float:
        """Of a run that takes all that it may."""
        return self._seconds(task, task.iterations)

    def _seconds(self, task: Task, iterations: float) -> float:
        """Its steps and looks, and the look at its end that is there in any case."""
        own = self.paces.get((task.series, task.n), Pace(1e-3, 0.0))
        if task.measure == "cosine":
            return own.step * iterations
        return own.look + (own.step + own.look / task.every) * iterations / task.of_steps(1)


def calibrate(tasks: Iterable[Task], typical: Mapping[tuple[str, int, int], int]) -> Calibration:
    """Time a little of one run of each kind; τ_θ costs nothing. ``typical`` as of a :class:`Figure`."""
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
    perform(replace(task, iterations=8))  # what is compiled, is
    begun = time.perf_counter()
    done = perform(replace(task, iterations=TIMED_PERTURBATIONS))
    return Pace((time.perf_counter() - begun) / done["iterations"], 0.0)
