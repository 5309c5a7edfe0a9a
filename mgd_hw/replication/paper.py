"""The verb ``paper``: reproduce a figure of the 2025 paper, from the plan and its calibration to the runs, the points and the plot."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from mgd_hw.common import style
from mgd_hw.common.files import FOLDER, atomic_directory, check_directory
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result
from mgd_hw.replication.fashion import centred
from mgd_hw.replication.picture import FORMATS, draw, saved
from mgd_hw.replication.point import Point
from mgd_hw.replication.published import Published, parameters_of, published
from mgd_hw.replication.request import Calibration, Figure, PaperJobs, calibrate, tasks_of
from mgd_hw.replication.tasks import NAMED, PAPER, Task
from mgd_hw.sweeps.estimate import START, shown
from mgd_hw.sweeps.executors import Executor, executor_for
from mgd_hw.sweeps.jobs import DONE, FAILED, Row, version
from mgd_hw.sweeps.journal import Journal
from mgd_hw.sweeps.scheduler import Outcome, pending, run
from python_ref.spec.error import Refusal

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["PaperFigure", "PaperJournal", "PaperPlan", "Point", "paper"]

MOST_SHOWN = 5
"""Largest number of different reasons for failures that a result lists."""


class PaperJournal(Journal):
    """Journal of the runs of all figures in a directory."""

    FILE, LOCK, WHAT = "paper.sqlite", ".paper.lock", "figure of the paper"


@dataclass(frozen=True)
class PaperPlan(Result):
    """Plan of a figure: its runs, and the time that they are expected to take.

    Attributes
    ----------
    figure, directory : str, Path
        Name of the figure, and directory for its results.
    n, periods : tuple of int
        Widths of the networks, and update periods τ_θ; the latter is empty if the figure does not vary them.
    series : tuple of str
        Names of the training methods that the figure compares.
    seeds, iterations : int
        Number of runs of each setting, and largest number of iterations of a run.
    finished, jobs, workers : int
        Number of runs that are finished, number of runs to do, and number of runs at a time.
    seconds, at_most : float
        Time that theory or earlier runs predict, and time if every run takes its largest number of iterations, in seconds.
    """

    figure: str
    directory: Path
    n: tuple[int, ...]
    periods: tuple[int, ...]
    series: tuple[str, ...]
    seeds: int
    iterations: int
    finished: int
    jobs: int
    workers: int
    seconds: float
    at_most: float

    def sentences(self) -> tuple[str, ...]:
        """Return the plan as sentences."""
        widths, periods = ", ".join(map(str, self.n)), ", ".join(map(str, self.periods))
        sentences = [
            f"{self.figure}: {self.finished + self.jobs:,} runs ({', '.join(self.series)}; n = {widths}"
            f"{f'; τ_θ = {periods}' if self.periods else ''}; {self.seeds} of each), of at most {self.iterations:,} iterations."
        ]
        if self.finished:
            sentences.append(f"{self.finished:,} of them are finished already.")
        if self.jobs:
            about, most = shown(self.seconds), shown(self.at_most)
            time = f"At most about {most}" if about == most else f"About {about}, and at most {most},"
            sentences.append(f"{time} on {self.workers} workers, estimated from the time of a few steps of each kind.")
        return tuple(sentences)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"[bold]{self.figure}[/bold], to {style.escape(str(self.directory))}"
        for sentence in self.sentences():
            yield style.escape(sentence)


@dataclass(frozen=True)
class PaperFigure(Result):
    """Figure or table of the paper: our points, and the published ones.

    Attributes
    ----------
    figure, title : str
        Name of the figure, and its subject as a phrase.
    directory : Path
        Directory that holds the journal and the files of the figure.
    files : tuple of str
        Names of the files of the figure, without the journal.
    n : tuple of int
        Widths of the networks that the figure compares.
    seeds, iterations : int
        Number of runs of each setting, and largest number of iterations of a run.
    runs, finished_now, failed : int
        Number of finished runs, number of those that this call finished, and number that failed; the next call repeats the latter.
    missing : int
        Number of runs that have not been performed yet, as after an interrupt.
    failures : tuple of str
        Reasons why runs failed, each reason once.
    points : tuple of Point
        Our points, one for each quantity and each setting that has a finished run.
    published : tuple of Published
        Points of the same figure in the paper.
    notes : tuple of str
        Notes on the comparison with the paper, one sentence each.
    seconds : float
        Wall-clock time of the runs that this call performed, in seconds.
    interrupted : bool
        Whether the user interrupted the call before all runs were finished.
    """

    figure: str
    title: str
    directory: Path
    files: tuple[str, ...]
    n: tuple[int, ...]
    seeds: int
    iterations: int
    runs: int
    finished_now: int
    failed: int
    missing: int
    failures: tuple[str, ...]
    points: tuple[Point, ...]
    published: tuple[Published, ...]
    notes: tuple[str, ...]
    seconds: float
    interrupted: bool

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the tables "points", which has ours, and "published", one row per point each."""
        ours = [{name: value for name, value in each.to_json().items() if name != "values"} for each in self.points]
        theirs = [asdict(each) | {"sources": ", ".join(each.sources)} for each in self.published]
        return {"points": ours, "published": theirs}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield style.wrapped(f"[bold]{self.figure}[/bold]: {self.title}; {self.runs:,} runs, {self.finished_now:,} of them finished now")
        theirs = {(each.series, each.quantity, each.n, each.period): each.value for each in self.published}
        periodic = any(each.period for each in self.published)

        def number(value: float | None, quantity: str) -> str:
            return "–" if value is None else f"{100 * value:.1f} %" if quantity == "accuracy" else f"{value:,.0f}"

        table = style.table("series", "n", "τ_θ", "what", "median", "least", "most", "reached", "published")
        for each in self.points:
            bounded = each.beyond is not None and not each.reached
            median = f"> {number(each.beyond, each.quantity)}" if bounded else number(each.median, each.quantity)
            known = theirs.get((each.series, each.quantity, each.n, each.period if periodic else 0))
            table.add_row(
                each.series, str(each.n), str(each.period), each.quantity, median, number(each.low, each.quantity),
                number(each.high, each.quantity), f"{each.reached} of {each.seeds}", number(known, each.quantity),
            )  # fmt: skip
        yield table
        for sentence in (*self.notes, *(f"Failed: {why}" for why in self.failures)):
            yield style.escape(sentence)
        if self.missing or self.failed:
            yield style.wrapped(f"{self.missing + self.failed:,} runs are left; give the same command again.")
        yield f"Wrote {style.escape(', '.join(self.files))} to {style.escape(str(self.directory))}"

    def plot(self) -> Drawing:
        if not self.points:
            raise Refusal("there is nothing to draw: no run is finished", "Give the same command again.", key="plot")
        return draw(self.figure, self.points, self.published)


def paper(
    figure: str,
    *,
    n: Sequence[int] | None = None,
    seeds: int | None = None,
    iterations: int | None = None,
    workers: int | None = None,
    dry_run: bool = False,
    out: Path | None = None,
    progress: Progress | None = None,
) -> PaperFigure | PaperPlan:
    """Reproduce a figure of Oripov et al., APL Machine Learning 3, 026107 (2025), on Fashion-MNIST; continue an earlier call.

    Parameters
    ----------
    figure : str
        Name of the figure: "fig3", "fig4", "fig5", "fig6" or "table2".
    n : sequence of int or None
        Widths of the network; None takes the figure's defaults, here and below.
    seeds : int or None
        Number of runs of each setting.
    iterations : int or None
        Largest number of iterations of a run. A run that ends without reaching its goal is a lower bound.
    workers : int or None
        Number of worker processes; None takes one per processor core.
    dry_run : bool
        Whether to return the plan, with the time that it would take, and run nothing.
    out : path or None
        Directory for the journal, and for the figure as JSON, SVG and PDF; None takes mgd-hw-out/paper.
    progress : Progress or None
        Receives status messages and the progress of long tasks; None discards them.

    Returns
    -------
    PaperFigure or PaperPlan
        The figure with all points known so far, or the plan for a dry run.

    Raises
    ------
    Refusal
        If there is no such figure, a number is out of range, the images are missing, or the directory cannot be written to.
    """
    progress = progress or NullProgress()
    of, tasks = tasks_of(figure, n, seeds, iterations)
    if workers is not None and workers < 1:
        raise Refusal("it must be positive", "Give 1 or more.", key="--workers", value=workers)
    directory = check_directory(FOLDER / "paper" if out is None else Path(out))
    data = centred(os.environ.get("MGD_DATA", "")).digest
    if dry_run:
        return _dry(of, tasks, data, directory, workers, progress)
    executor = executor_for(None, workers, progress)
    try:
        with PaperJournal(directory, write=True) as journal:
            jobs = _jobs(tasks, data, journal)
            journal.plan(((job.key, number) for number, (_, job) in enumerate(jobs.jobs())), {"figure": figure})
            outcome = _work(of, jobs, journal, directory, executor, progress)
            return _result(of, jobs, journal, directory, outcome)
    finally:
        executor.close()


def _jobs(tasks: tuple[Task, ...], data: str, journal: Journal | None) -> PaperJobs:
    """Return the jobs of the tasks, with the finished runs of any figure in the journal that can replace them."""
    known: dict[str, tuple[str, float]] = {}
    for row, about in journal.of_kind(PAPER) if journal is not None else ():
        if row.status == DONE and row.columns["reached"] and about["measure"] != "best":
            known[about["identity"]] = row.key, row.columns["iterations"]
    return PaperJobs(tasks, data, version(), known)


def _dry(of: Figure, tasks: tuple[Task, ...], data: str, directory: Path, workers: int | None, progress: Progress) -> PaperPlan:
    """Return the plan of a figure, without writing anything."""
    with PaperJournal.of(directory) as journal:
        jobs, finished = _jobs(tasks, data, journal), set() if journal is None else journal.finished()
    return _planned(of, jobs, finished, directory, workers or os.cpu_count() or 1, _calibrated(of, jobs, finished, progress))


def _calibrated(of: Figure, jobs: PaperJobs, finished: set[str], progress: Progress) -> Calibration:
    """Time the start of one run of each kind that is left to do."""
    left = [task for task, _ in pending(jobs, finished)]
    if left:
        progress.status("Timing a few steps of each kind of run, to estimate the duration.")
    return calibrate(left, of.typical)


def _planned(of: Figure, jobs: PaperJobs, finished: set[str], directory: Path, workers: int, expected: Calibration) -> PaperPlan:
    """Return the plan of the runs that are left, with their time on ``workers`` processes."""
    left = [task for task, _ in pending(jobs, finished)]
    at_once = max(1, min(workers, len(left)))

    def seconds(each: Iterable[float]) -> float:
        """Return the time of all runs together, including the start of the workers; it is at least that of the longest run."""
        known = list(each)
        return START + max(sum(known) / at_once, *known) if known else 0.0

    about, most = seconds(map(expected.seconds, left)), seconds(map(expected.most, left))
    done = len(jobs.tasks) - len(left)
    return PaperPlan(of.name, directory, of.n, of.periods, tuple(of.series), of.seeds, of.iterations, done, len(left), at_once, about, most)


def _work(of: Figure, jobs: PaperJobs, journal: Journal, directory: Path, executor: Executor, progress: Progress) -> Outcome:
    """Perform the runs that are left, and record them in the journal."""

    def prepare(finished: set[str], workers: int) -> tuple[Calibration, tuple[str, ...]]:
        expected = _calibrated(of, jobs, finished, progress)
        return expected, _planned(of, jobs, finished, directory, workers, expected).sentences()

    return run(jobs, executor, journal, prepare, progress, of.name)


# -- Results ----------------------------------------------------------------------------------------------------------


def _result(of: Figure, jobs: PaperJobs, journal: Journal, directory: Path, outcome: Outcome) -> PaperFigure:
    """Return the figure with all runs in the journal, and write its files."""
    rows = {row.key: row for _, row, _ in journal.planned(PAPER)}
    pairs = [(task, rows[job.key]) for task, job in jobs.jobs() if job.key in rows]
    done = [(task, row) for task, row in pairs if row.status == DONE]
    failures = [row.message for _, row in pairs if row.status == FAILED]
    result = PaperFigure(
        figure=of.name,
        title=of.title,
        directory=directory,
        files=(),
        n=of.n,
        seeds=of.seeds,
        iterations=of.iterations,
        runs=len(done),
        finished_now=outcome.rows[DONE],
        failed=len(failures),
        missing=len(jobs.tasks) - len(pairs),
        failures=tuple(dict.fromkeys(failures))[:MOST_SHOWN],
        points=points_of(of, done),
        published=published(of.name),
        notes=_notes(of, done),
        seconds=outcome.seconds,
        interrupted=outcome.interrupted,
    )
    return _written(result)


def points_of(of: Figure, done: Iterable[tuple[Task, Row]]) -> tuple[Point, ...]:
    """Return the points of finished runs: medians over the seeds that reached the goal, and lower bounds for the others."""
    groups: dict[tuple[str, int, int], list[Row]] = {}
    for task, row in done:
        groups.setdefault((task.series, task.n, task.settings.update_period), []).append(row)
    found = []
    for quantity in of.quantities:
        for (series, n, period), rows in groups.items():
            values = sorted(float(row.columns[quantity]) for row in rows if row.columns["reached"])
            short = [float(row.columns[quantity]) for row in rows if not row.columns["reached"]]
            expected = [row.columns["expected"] for row in rows if row.columns.get("expected") is not None]
            found.append(
                Point(
                    NAMED.get(series, series), quantity, n, parameters_of(n), period, len(rows), len(values), tuple(values),
                    median(values) if values else None, min(values, default=None), max(values, default=None),
                    min(short, default=None), median(expected) if expected else None,
                )
            )  # fmt: skip
    return tuple(found)


def _notes(of: Figure, done: Sequence[tuple[Task, Row]]) -> tuple[str, ...]:
    """Return sentences on differences from the published runs, on lower bounds, and on widths without published points."""
    notes = [of.note] if of.note else []
    short = sum(not row.columns["reached"] for _, row in done)
    if short:
        notes.append(
            f"{short} of {len(done)} runs did not reach the goal within their iterations: they are lower bounds, drawn as arrows; "
            "--iterations allows more."
        )
    known = {each.n for each in published(of.name)}
    if missing := [n for n in of.n if n not in known]:
        what = ", ".join(f"n = {n}" for n in missing)
        there = ", ".join(f"n = {n}" for n in sorted(known))
        notes.append(f"There are no published points for {what}{f', only for {there}' if known else ''}.")
    return tuple(notes)


def _written(result: PaperFigure) -> PaperFigure:
    """Write the files of a figure into its directory, and return the figure with their names."""
    names = [f"{result.figure}.json"] + ([f"{result.figure}.{kind}" for kind in FORMATS] if result.points else [])
    result = replace(result, files=tuple(sorted(names)))
    with atomic_directory(result.directory) as folder:
        (folder / f"{result.figure}.json").write_text(json.dumps(result.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if result.points:
            for kind, content in saved(result.plot()).items():
                (folder / f"{result.figure}.{kind}").write_bytes(content)
    return result
