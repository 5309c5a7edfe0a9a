"""The verb ``sweep``, from what is asked for to what came of it: plan, estimate, runs, export, choice."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.common import style
from mgd_hw.common.files import FOLDER, check_directory
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result
from mgd_hw.data.kinds import MEASURES, Measure
from mgd_hw.design.argument import read
from mgd_hw.design.description import Design
from mgd_hw.design.reader import parse
from mgd_hw.sweeps.choice import Condition, Found, best, measures_of, read_condition, summary
from mgd_hw.sweeps.estimate import START, estimate, shown
from mgd_hw.sweeps.executors import Executor, executor_for
from mgd_hw.sweeps.jobs import DONE, FAILED, FIT, REFUSED, SYNTH, TRAIN
from mgd_hw.sweeps.journal import JOURNAL, Journal
from mgd_hw.sweeps.picture import pareto
from mgd_hw.sweeps.plan import DEFAULT_BOARD, MODELS, Place, Plan, make_plan
from mgd_hw.sweeps.scheduler import Estimates, Outcome, begin, pending, run
from mgd_hw.sweeps.vary import Editor, nearest, paths_made_absolute, read_axes
from python_ref.spec.error import Refusal

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Best", "SweepPlan", "Swept", "choose", "sweep"]


@dataclass(frozen=True)
class Best(Result):
    """The design that wins.

    Attributes
    ----------
    condition, key : str
        What it satisfies, and what is smallest or largest of it.
    largest : bool
        Whether the largest value of the key wins, rather than the smallest.
    satisfy : int
        Designs that satisfy the condition.
    of : int
        Number of designs to choose from, including those that do not satisfy the condition.
    found : Found
        Its values and figures.
    text : str
        Contents of the winner's design file, as TOML with absolute paths.
    """

    condition: str
    key: str
    largest: bool
    satisfy: int
    of: int
    found: Found
    text: str

    def commented(self) -> str:
        """The design file, and at its top why it is this one."""
        figures = self.found.figures
        shares = [f"{name} {figures[name]:.6g}" for name in BEST_SHOWS if isinstance(figures.get(name), (int, float))]
        condition = f", {self.condition}" if self.condition else ""
        said = [
            f"Of {_count(self.of, 'design')}{condition} ({self.satisfy:,}): the {'largest' if self.largest else 'smallest'} {self.key}.",
            f"{', '.join(shares)}; {_count(self.found.runs, 'run')}",
        ]
        return "".join(f"# {line}\n" for line in said) + self.text


@dataclass(frozen=True)
class SweepPlan(Result):
    """What a sweep would do.

    Attributes
    ----------
    design, directory : str, Path
        Its name; where results go.
    vary : dict
        Values of each key.
    seeds, combinations, runs : int
        Seeds of each combination, combinations that are allowed, runs of all of them.
    steps : tuple of int
        Of a run, smallest and largest.
    models : tuple of str
        Names of the models to train, of "float", "fixed" and "backprop".
    cores : int
        Cores to be judged, each once.
    places : tuple of Place
        Parts and boards for which the cores are judged.
    refused : tuple of (dict, str)
        Combinations that are not, and why.
    finished : int
        Jobs that an earlier sweep did already.
    jobs, workers : int
        Jobs to do, and how many at a time.
    seconds : float
        Expected wall-clock time of the sweep, in seconds; 0 if no job remains.
    """

    design: str
    directory: Path
    vary: dict[str, tuple]
    seeds: int
    combinations: int
    runs: int
    steps: tuple[int, int]
    models: tuple[str, ...]
    cores: int
    places: tuple[Place, ...]
    refused: tuple[tuple[dict[str, Any], str], ...]
    finished: int
    jobs: int
    workers: int
    seconds: float

    def sentences(self) -> tuple[str, ...]:
        """The plan in words."""
        steps = " to ".join(f"{count:,}" for count in dict.fromkeys(self.steps))
        said = [
            f"{_count(self.runs, 'run')}: {_count(self.combinations, 'combination')} × {_count(self.seeds, 'seed')}, {steps} steps each "
            f"({' and '.join(self.models)})."
        ]
        for place in self.places:
            how = "synthesised" if place.synthesise else "predicted"
            said.append(f"Cores are {how} for {place.target}; steps per second are those at the {place.clock_mhz:g} MHz of {place.board}.")
        for values, why in self.refused[:MOST_SHOWN]:
            said.append(f"Refused: {', '.join(f'{key} = {value}' for key, value in values.items())}: {why}")
        if len(self.refused) > MOST_SHOWN:
            said.append(f"Refused as well: {len(self.refused) - MOST_SHOWN:,} more, which the rows name.")
        if self.finished:
            said.append(f"{self.finished:,} of {self.finished + self.jobs:,} jobs are done already.")
        if self.jobs:
            said.append(f"About {shown(self.seconds)} on {_count(self.workers, 'worker')}, by a few short runs.")
        return tuple(said)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"[bold]{style.escape(self.design)}[/bold], to {style.escape(str(self.directory))}"
        for sentence in self.sentences():
            yield style.escape(sentence)


BEST_SHOWS = (*(f"{name}{what}" for name in MEASURES for what in ("", "_std")), "lut", "memory_bits", "steps_per_second")
"""Figures that stand at the top of the best design's file."""
SUBFOLDER = "sweep"
"""Where results go when no directory is named, in the design's folder."""
MOST_DESIGNS = 30
"""Designs of a sweep in a table; of more, only those that no other beats."""
MOST_SHOWN = 10
"""Refused combinations that a plan names."""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


@dataclass(frozen=True)
class Swept(Result):
    """What came of a sweep.

    Attributes
    ----------
    design : str
        Name of the design whose keys were varied.
    directory : Path
        Directory that holds the journal and all result files.
    files : tuple of str
        Names there, the journal's apart.
    vary : tuple of str
        The keys that were varied.
    combinations, refused : int
        In all, and of these refused.
    runs, finished_now, failed : int
        Runs that are there; jobs that were done this time; jobs that broke, and are tried again the next time.
    given_again : int
        Jobs that were done again because their worker died.
    failures : tuple of str
        Why jobs broke, each reason once.
    found : tuple of Found
        By combination, and by part.
    best : Best or None
        The design that wins, if it was asked for.
    seconds, worked : float
        It took; of all workers together.
    interrupted : bool
        Whether it was ended early.
    notes : tuple of str
        What else there is to know, in sentences.
    """

    design: str
    directory: Path
    files: tuple[str, ...]
    vary: tuple[str, ...]
    combinations: int
    refused: int
    runs: int
    finished_now: int
    failed: int
    given_again: int
    failures: tuple[str, ...]
    found: tuple[Found, ...]
    best: Best | None
    seconds: float
    worked: float
    interrupted: bool
    notes: tuple[str, ...] = ()

    @property
    def measure(self) -> Measure:
        """The measure that designs are shown by."""
        return measures_of(self.found)[0]

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Its designs; every run stands in rows.csv and rows.parquet."""
        return {"designs": [each.rows()[0] for each in self.found]}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.best is not None:
            yield style.verbatim(self.best.commented())
            return
        yield (
            f"[bold]{style.escape(self.design)}[/bold]: {self.runs:,} runs of {self.combinations:,} combinations, "
            f"{self.refused:,} of these refused; {self.finished_now:,} jobs done now"
        )
        shown = self.found if len(self.found) <= MOST_DESIGNS else tuple(each for each in self.found if each.unbeaten)[:MOST_DESIGNS]
        measure = self.measure
        table = style.table(*self.vary, measure.title, "± std", "runs", "LUTs", "memory bits", "steps/s", "part", "unbeaten")
        for each in shown:
            figures = each.figures
            table.add_row(
                *(style.escape(str(each.vary[key])) for key in self.vary),
                "diverged" if figures.get("diverged") else measure.text(figures.get(measure.name)),
                measure.text(figures.get(f"{measure.name}_std")),
                str(each.runs),
                *("–" if figures.get(name) is None else f"{figures[name]:,.0f}" for name in ("lut", "memory_bits", "steps_per_second")),
                figures.get("target", "–"),
                "*" if each.unbeaten else "",
            )
        yield table
        if len(shown) < len(self.found):
            yield style.wrapped(f"Of {len(self.found):,} designs {len(shown)} that no other beats; rows.csv has all.")
        for sentence in (*self.notes, *(f"Failed: {why}" for why in self.failures)):
            yield style.escape(sentence)
        if self.failed:
            yield style.wrapped(f"{self.failed:,} jobs failed; give the same command again to try them again.")
        yield f"Wrote {style.escape(', '.join(self.files))} to {style.escape(str(self.directory))}"

    def plot(self) -> Figure:
        if not self.found:
            raise Refusal("there is nothing to draw: no run is finished", "Give the sweep's command again.", key="plot")
        return pareto(self.found)


def sweep(
    design: str | Path | Design | None,
    vary: Mapping[str, Sequence[Any]] | Sequence[str] = (),
    *,
    seeds: int = 1,
    steps: int | None = None,
    backprop: bool = False,
    validate: bool = False,
    targets: Sequence[str] = (),
    boards: Sequence[str] = (),
    workers: int | None = None,
    scheduler: str | None = None,
    best: str | None = None,
    minimize: str | None = None,
    maximize: str | None = None,
    dry_run: bool = False,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Swept | SweepPlan:
    """Train a design with all combinations of some keys' values, each from several seeds; go on where an earlier sweep ended.

    Parameters
    ----------
    design : path, name or Design, or None
        Design; None runs nothing, and chooses from what the last sweep in ``out`` found.
    vary : dict, or sequence of str
        Values, as TOML has them, by dotted key; or the same as the command line takes it, such as "hardware.lanes=2,4".
    seeds : int
        Runs of each combination; seed number k is the design's own plus k.
    steps : int or None
        Of MGD; None: as the design says.
    backprop : bool
        Whether back-propagation is trained too.
    validate : bool
        Whether runs are judged by samples kept from training (``data.validation_fraction``), not by the test samples.
    targets, boards : sequence of str
        Parts, and boards with theirs, for which each core is synthesised; without any, what it takes is predicted.
    workers : int or None
        Processes on this machine; None: one for each core.
    scheduler : str or None
        Address of a Dask scheduler, whose workers do it instead.
    best : str or None
        A condition such as "accuracy>0.9 and lut<5000"; of the designs that satisfy it the best is told.
    minimize, maximize : str or None
        The column that the best has the least or the most of; without, the accuracy is largest.
    dry_run : bool
        Whether to tell the plan, and how long it would take, and do nothing.
    out : path or None
        Directory for the journal, rows.csv, rows.parquet, sweep.json and pareto.svg.
    progress : Progress or None
        Receives what the verb says of its progress; None discards it.

    Raises
    ------
    Refusal
        If a key, a value or every combination is refused; if another sweep is at work in the directory; if it cannot be written to.
    """
    if design is None:
        if vary:
            raise Refusal("a design is varied, and none is named", "Name it first: mgd-hw sweep DESIGN --vary …", key="--vary")
        return choose(latest() if out is None else Path(out), condition=best, minimize=minimize, maximize=maximize)
    design, vary = read(design), vary if isinstance(vary, Mapping) else read_axes(vary)
    progress = progress or NullProgress()
    wanted = _wanted(best, minimize, maximize)
    models = MODELS if backprop else MODELS[:2]
    places = _places(targets, boards)
    directory = check_directory(FOLDER / design.name / SUBFOLDER if out is None else Path(out))
    plan = make_plan(design, vary, seeds=seeds, steps=steps, models=models, validate=validate, places=places, progress=progress)
    if dry_run:
        return _dry(plan, directory, scheduler, workers, progress)
    executor = executor_for(scheduler, workers, progress)
    try:
        with Journal(directory, write=True) as journal:
            begin(plan, journal)
            outcome = _work(plan, journal, directory, executor, progress)
            return _result(plan, journal, directory, outcome, wanted)
    finally:
        executor.close()


def _dry(plan: Plan, directory: Path, scheduler: str | None, workers: int | None, progress: Progress) -> SweepPlan:
    """What would be done; nothing is written."""
    with Journal.of(directory) as journal:
        finished = set() if journal is None else journal.finished()
    executor = executor_for(scheduler, workers, progress)
    try:
        return _planned(plan, directory, finished, executor.size(), estimate(plan, progress))
    finally:
        executor.close()


def _work(plan: Plan, journal: Journal, directory: Path, executor: Executor, progress: Progress) -> Outcome:
    def prepare(finished: set[str], workers: int) -> tuple[Estimates, tuple[str, ...]]:
        expected = estimate(plan, progress)
        return expected, _planned(plan, directory, finished, workers, expected).sentences()

    return run(plan, executor, journal, prepare, progress)


def _planned(plan: Plan, directory: Path, finished: set[str], workers: int, expected: Estimates) -> SweepPlan:
    request = plan.request
    jobs, cores, every, seconds = 0, set(), set(), 0.0
    for _, job in plan.jobs():
        every.add(job.key)
        if job.kind != TRAIN:
            cores.add(job.key)
    for combination, job in pending(plan, finished):
        jobs += 1
        seconds += expected.seconds(combination, job)
    steps = [each.steps for each in plan.allowed]
    keys = [axis.key for axis in request.axes]
    return SweepPlan(
        request.design.name,
        directory,
        {axis.key: axis.values for axis in request.axes},
        request.seeds,
        len(plan.allowed),
        plan.runs,
        (min(steps), max(steps)),
        request.models,
        len(cores),
        request.places,
        tuple((dict(zip(keys, each.values, strict=True)), str(each.refused)) for each in plan.refused),
        len(every) - jobs,
        jobs,
        workers,
        START + seconds / max(1, min(workers, jobs)) if jobs else 0.0,
    )


def _places(targets: Sequence[str], boards: Sequence[str]) -> tuple[Place, ...]:
    """What cores are judged for: the parts and boards that are named, by synthesis; else one board, by prediction."""
    from boards.board import board_files, read_board
    from boards.parts.target import TARGETS
    from mgd_hw.hardware.boards import board_of

    known = [read_board(path) for path in board_files().values()]
    found: dict[str, Place] = {}
    for name in boards:
        board = board_of(name)
        if board.part.name in found:
            raise Refusal(f"{found[board.part.name].board} has the same part", "Name one of them.", key="--board", value=name)
        found[board.part.name] = Place(board.part.name, board.name, float(board.core_mhz), True)
    for name in targets:
        if name not in TARGETS:
            raise Refusal("there is no such part", f"{nearest(name, TARGETS)}Known: {', '.join(TARGETS)}.", key="--target", value=name)
        board = next(board for board in known if board.part.name == name)
        found.setdefault(name, Place(name, board.name, float(board.core_mhz), True))
    if not found:
        board = next(board for board in known if board.name == DEFAULT_BOARD)
        found[board.part.name] = Place(board.part.name, board.name, float(board.core_mhz), False)
    return tuple(found.values())


# -- Results ----------------------------------------------------------------------------------------------------------

Wanted = tuple[Condition, str | None, bool]
"""Condition; column, None for the measure of the kind of task; whether the largest value of a named column wins."""


def _wanted(condition: str | None, minimize: str | None, maximize: str | None) -> Wanted | None:
    """What the best design is, if it is asked for; without a column, the one with the best measure of its kind of task."""
    if minimize is not None and maximize is not None:
        raise Refusal("--minimize is given too", "Give one of them.", key="--maximize", value=maximize)
    if condition is None and minimize is None and maximize is None:
        return None
    return read_condition(condition or ""), minimize or maximize, minimize is None


def _result(plan: Plan, journal: Journal, directory: Path, outcome: Outcome, wanted: Wanted | None) -> Swept:
    from mgd_hw.sweeps.export import export

    found = summary(journal, plan.request.places)
    counted = [row.status for _, row, _ in journal.planned(TRAIN)]
    failures = [f"{_text(about['vary'])}: {row.message}" for _, row, about in journal.planned(TRAIN, SYNTH) if row.status == FAILED]
    result = Swept(
        design=plan.request.design.name,
        directory=directory,
        files=(),
        vary=tuple(axis.key for axis in plan.request.axes),
        combinations=len(plan.combinations),
        refused=len(plan.refused),
        runs=counted.count(DONE),
        finished_now=outcome.rows[DONE],
        failed=len(failures),
        given_again=outcome.lost,
        failures=tuple(dict.fromkeys(failures))[:MOST_SHOWN],
        found=found,
        best=None,
        seconds=outcome.seconds,
        worked=outcome.worked,
        interrupted=outcome.interrupted,
        notes=_notes(journal),
    )
    files = export(journal, directory, found, result.to_json())
    chosen = None if wanted is None or outcome.interrupted else _best(found, journal, wanted)
    return replace(result, files=files, best=chosen)


def _text(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in values.items()) or "the design"


def _notes(journal: Journal) -> tuple[str, ...]:
    """What was not to be had, in sentences: cores that cannot be judged, and Parquet."""
    said = list(dict.fromkeys(row.message for _, row, _ in journal.planned(FIT, SYNTH) if row.status == REFUSED))
    if importlib.util.find_spec("pyarrow") is None:
        said.append("rows.parquet was not written: pip install 'mgd-hw[sweep]' brings pyarrow.")
    return tuple(said[:MOST_SHOWN])


def _best(found: Sequence[Found], journal: Journal, wanted: Wanted) -> Best:
    """The best design, as a design file that can be put anywhere."""
    condition, key, largest = wanted
    if key is None:
        measure, *others = measures_of(found)
        if others:
            reason = f"the designs are judged by {measure.name} and by {others[0].name}"
            raise Refusal(reason, "Name a column that all have, with --minimize or --maximize.", key="--best", value=condition.text)
        key, largest = measure.name, measure.larger_is_better
    chosen = best(found, condition, key, largest)
    notes = journal.notes()
    path = Path(notes["path"])
    editor = Editor(notes["text"], notes["keys"])
    text = paths_made_absolute(editor.edited([chosen.vary[name] for name in notes["keys"]]), path)
    parse(text, path)
    return Best(condition.text, key, largest, sum(condition.holds(each) for each in found), len(found), chosen, text)


def latest(folder: Path = FOLDER) -> Path:
    """Where the last sweep is, of those that named no folder.

    Raises
    ------
    Refusal
        If there was none.
    """
    found = sorted(folder.glob(f"*/{SUBFOLDER}/{JOURNAL}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise Refusal(f"no sweep is in {folder}", "Name the folder of one with -o, or a DESIGN to sweep.", key="-o")
    return found[-1].parent


def choose(directory: Path, *, condition: str | None = None, minimize: str | None = None, maximize: str | None = None) -> Swept:
    """The best design of the last sweep in a folder; nothing is run.

    Raises
    ------
    Refusal
        If there was none, or no design satisfies the condition.
    """
    wanted = _wanted(condition, minimize, maximize) or (read_condition(""), None, True)
    with Journal(directory, write=False) as journal:
        notes = journal.notes()
        places = [Place(target, board, clock, synthesise) for target, board, clock, synthesise in notes["places"]]
        found = summary(journal, places)
        if not found:
            raise Refusal("no run of its last sweep is finished", "Give the sweep's command again.", key="-o", value=str(directory))
        runs = sum(row.status == DONE for _, row, _ in journal.planned(TRAIN))
        chosen = _best(found, journal, wanted)
        name = parse(notes["text"], notes["path"]).name
        keys, combinations = tuple(notes["keys"]), notes["combinations"]
        return Swept(
            name, directory, (), keys, combinations, notes["refused"], runs, 0, 0, 0, (), found, chosen, 0.0, 0.0, False, _notes(journal)
        )
