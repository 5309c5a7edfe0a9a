"""The verb ``paper``, from the figure that is asked for to what came of it: plan, calibration, runs, points, picture."""

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
"""Reasons of failures that are told."""


class PaperJournal(Journal):
    """The journal of all figures in a folder."""

    FILE, LOCK, WHAT = "paper.sqlite", ".paper.lock", "figure of the paper"


@dataclass(frozen=True)
class PaperPlan(Result):
    """What a figure would run.

    Attributes
    ----------
    figure, directory : str, Path
        Its name; where results go.
    n, periods : tuple of int
        Widths; τ_θ, where it is varied.
    series : tuple of str
        Names of the training methods that the figure compares.
    seeds, iterations : int
        Runs of each; the most that one takes.
    finished, jobs, workers : int
        Runs that are done already; runs to do, and how many at a time.
    seconds, at_most : float
        Expected, by theory or by what such runs took before; if every run takes all that it may.
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
        """The plan in words."""
        widths, periods = ", ".join(map(str, self.n)), ", ".join(map(str, self.periods))
        said = [
            f"{self.figure}: {self.finished + self.jobs:,} runs ({', '.join(self.series)}; n = {widths}"
            f"{f'; τ_θ = {periods}' if self.periods else ''}; {self.seeds} from each), of at most {self.iterations:,} iterations."
        ]
        if self.finished:
            said.append(f"{self.finished:,} of them are done already.")
        if self.jobs:
            about, most = shown(self.seconds), shown(self.at_most)
            time = f"At most about {most}" if about == most else f"About {about}, and at most {most},"
            said.append(f"{time} on {self.workers} workers, by what a few steps of each took just now.")
        return tuple(said)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"[bold]{self.figure}[/bold], to {style.escape(str(self.directory))}"
        for sentence in self.sentences():
            yield style.escape(sentence)


@dataclass(frozen=True)
class PaperFigure(Result):
    """A figure, or table, of the paper: our points, and the published ones.

    Attributes
    ----------
    figure, title : str
        Its name, and what it shows.
    directory : Path
        Directory that holds the journal and the files of the figure.
    files : tuple of str
        Names there, the journal's apart.
    n : tuple of int
        Widths of the networks that the figure compares.
    seeds, iterations : int
        Runs of each setting; the most iterations of one.
    runs, finished_now, failed : int
        Runs that are there; done this time; that broke, and are tried again the next time.
    missing : int
        Runs that are not there yet, as after an interrupt.
    failures : tuple of str
        Why runs broke, each reason once.
    points : tuple of Point
        Ours, one for each setting and quantity of which a run is there.
    published : tuple of Published
        Points of the same figure in the paper.
    notes : tuple of str
        What else there is to know, in sentences.
    seconds : float
        Wall-clock time of the runs that were done this time, in seconds.
    interrupted : bool
        Whether it was ended early.
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
        """Our points, and the published ones."""
        ours = [{name: value for name, value in each.to_json().items() if name != "values"} for each in self.points]
        theirs = [asdict(each) | {"sources": ", ".join(each.sources)} for each in self.published]
        return {"points": ours, "published": theirs}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield style.wrapped(f"[bold]{self.figure}[/bold]: {self.title}; {self.runs:,} runs, {self.finished_now:,} of them done now")
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
    """Run a figure of Oripov et al., APL Machine Learning 3, 026107 (2025), on Fashion-MNIST; go on where an earlier call ended.

    Parameters
    ----------
    figure : str
        "fig3", "fig4", "fig5", "fig6" or "table2".
    n : sequence of int or None
        Widths of the network; None, here and below: as the figure has them by default.
    seeds : int or None
        Runs of each setting.
    iterations : int or None
        The most that a run takes; one that ends without what it was to reach is a lower bound.
    workers : int or None
        Processes; None: one for each core.
    dry_run : bool
        Whether to tell the plan, and how long it would take at most, and do nothing.
    out : path or None
        Directory for the journal and for the figure, as json, svg and pdf.
    progress : Progress or None
        Receives what the verb says of its progress; None discards it.

    Raises
    ------
    Refusal
        If there is no such figure, a number is out of range, the images are not there, or the directory cannot be written to.
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
    """The jobs, with what the folder knows already, of whatever figure it was."""
    known: dict[str, tuple[str, float]] = {}
    for row, about in journal.of_kind(PAPER) if journal is not None else ():
        if row.status == DONE and row.columns["reached"] and about["measure"] != "best":
            known[about["identity"]] = row.key, row.columns["iterations"]
    return PaperJobs(tasks, data, version(), known)


def _dry(of: Figure, tasks: tuple[Task, ...], data: str, directory: Path, workers: int | None, progress: Progress) -> PaperPlan:
    """What would be done; nothing is written."""
    with PaperJournal.of(directory) as journal:
        jobs, finished = _jobs(tasks, data, journal), set() if journal is None else journal.finished()
    return _planned(of, jobs, finished, directory, workers or os.cpu_count() or 1, _calibrated(of, jobs, finished, progress))


def _calibrated(of: Figure, jobs: PaperJobs, finished: set[str], progress: Progress) -> Calibration:
    left = [task for task, _ in pending(jobs, finished)]
    if left:
        progress.status("Timing a few steps of each kind of run, to tell how long it will take.")
    return calibrate(left, of.typical)


def _planned(of: Figure, jobs: PaperJobs, finished: set[str], directory: Path, workers: int, expected: Calibration) -> PaperPlan:
    left = [task for task, _ in pending(jobs, finished)]
    at_once = max(1, min(workers, len(left)))

    def seconds(each: Iterable[float]) -> float:
        """Of all together, with the workers' start; one alone is not divided."""
        known = list(each)
        return START + max(sum(known) / at_once, *known) if known else 0.0

    about, most = seconds(map(expected.seconds, left)), seconds(map(expected.most, left))
    done = len(jobs.tasks) - len(left)
    return PaperPlan(of.name, directory, of.n, of.periods, tuple(of.series), of.seeds, of.iterations, done, len(left), at_once, about, most)


def _work(of: Figure, jobs: PaperJobs, journal: Journal, directory: Path, executor: Executor, progress: Progress) -> Outcome:
    def prepare(finished: set[str], workers: int) -> tuple[Calibration, tuple[str, ...]]:
        expected = _calibrated(of, jobs, finished, progress)
        return expected, _planned(of, jobs, finished, directory, workers, expected).sentences()

    return run(jobs, executor, journal, prepare, progress, of.name)


# -- Results ----------------------------------------------------------------------------------------------------------


def _result(of: Figure, jobs: PaperJobs, journal: Journal, directory: Path, outcome: Outcome) -> PaperFigure:
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
    """The points of finished runs: medians over the seeds that reached what they were to, and a bound for the others."""
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
    said = [of.note] if of.note else []
    short = sum(not row.columns["reached"] for _, row in done)
    if short:
        said.append(
            f"{short} of {len(done)} runs did not reach it within the iterations that they were given: lower bounds, drawn as arrows; "
            "--iterations gives more."
        )
    known = {each.n for each in published(of.name)}
    if missing := [n for n in of.n if n not in known]:
        what = ", ".join(f"n = {n}" for n in missing)
        said.append(f"Nothing is published for {what}{' here' if known else ''}; it is for {', '.join(f'n = {n}' for n in sorted(known))}.")
    return tuple(said)


def _written(result: PaperFigure) -> PaperFigure:
    """The result, with its files in its folder."""
    names = [f"{result.figure}.json"] + ([f"{result.figure}.{kind}" for kind in FORMATS] if result.points else [])
    result = replace(result, files=tuple(sorted(names)))
    with atomic_directory(result.directory) as folder:
        (folder / f"{result.figure}.json").write_text(json.dumps(result.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if result.points:
            for kind, content in saved(result.plot()).items():
                (folder / f"{result.figure}.{kind}").write_bytes(content)
    return result
