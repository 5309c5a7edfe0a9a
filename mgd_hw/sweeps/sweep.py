"""The verb ``sweep``: plan and estimate a sweep, run it, export its results, and choose the best design."""

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
from mgd_hw.design.argument import read_any
from mgd_hw.design.description import Design
from mgd_hw.design.external import ExternalDesign
from mgd_hw.design.reader import parse_any
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
    """Best design of a sweep under a condition.

    Attributes
    ----------
    condition, key : str
        Condition that the design satisfies, and column that it minimises or maximises.
    largest : bool
        Whether the column is maximised, rather than minimised.
    satisfy : int
        Number of designs that satisfy the condition.
    of : int
        Number of designs to choose from, including those that do not satisfy the condition.
    found : Found
        Values and figures of the best design.
    text : str
        Design file of the best design, as TOML with absolute paths.
    """

    condition: str
    key: str
    largest: bool
    satisfy: int
    of: int
    found: Found
    text: str

    def commented(self) -> str:
        """Return the design file, with a comment at its top that says why this design is the best."""
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
    """Plan of a sweep, and the time that it is expected to take.

    Attributes
    ----------
    design, directory : str, Path
        Name of the design; directory for the results.
    vary : dict
        Values of each varied key.
    seeds, combinations, runs : int
        Seeds per combination; allowed combinations; total number of runs.
    steps : tuple of int
        Smallest and largest number of steps of a run.
    models : tuple of str
        Names of the models to train, a subset of "float", "fixed" and "backprop".
    cores : int
        Number of jobs that determine the area of a core.
    places : tuple of Place
        Parts and boards for which the area of each core is determined.
    refused : tuple of (dict, str)
        Refused combinations, each with the values of its keys and the reason.
    finished : int
        Number of jobs that an earlier sweep has finished already.
    jobs, workers : int
        Number of jobs to run; number of jobs that run at the same time.
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
        """Return the plan as sentences for the user."""
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
            said.append(f"{len(self.refused) - MOST_SHOWN:,} more combinations are refused; rows.csv lists them.")
        if self.finished:
            said.append(f"{self.finished:,} of {self.finished + self.jobs:,} jobs are done already.")
        if self.jobs:
            said.append(f"About {shown(self.seconds)} on {_count(self.workers, 'worker')}, estimated from a few short runs.")
        return tuple(said)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"[bold]{style.escape(self.design)}[/bold], to {style.escape(str(self.directory))}"
        for sentence in self.sentences():
            yield style.escape(sentence)


BEST_SHOWS = (*(f"{name}{what}" for name in MEASURES for what in ("", "_std")), "lut", "memory_bits", "steps_per_second")
"""Figures that the comment at the top of the best design's file quotes."""
SUBFOLDER = "sweep"
"""Name of the default results directory, within the design's folder."""
MOST_DESIGNS = 30
"""Maximum number of designs in the printed table; a larger sweep shows only its Pareto-optimal designs."""
MOST_SHOWN = 10
"""Maximum number of refused combinations, failures or notes that are printed."""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


@dataclass(frozen=True)
class Swept(Result):
    """Result of a sweep.

    Attributes
    ----------
    design : str
        Name of the design whose keys were varied.
    directory : Path
        Directory that holds the journal and all result files.
    files : tuple of str
        Names of the result files in the directory, without the journal.
    vary : tuple of str
        Dotted keys that were varied.
    combinations, refused : int
        Number of all combinations; number of refused combinations among them.
    runs, finished_now, failed : int
        Finished runs, including those of earlier sweeps; jobs that finished in this call; failed jobs, which the next sweep tries again.
    given_again : int
        Number of jobs that were submitted again because their worker died.
    failures : tuple of str
        Distinct reasons of the failed jobs, at most ``MOST_SHOWN``.
    found : tuple of Found
        Results of the designs, by combination and then by part.
    best : Best or None
        Best design; None if the caller gave no condition and no column.
    seconds, worked : float
        Wall-clock time of the jobs; total time of all jobs on all workers. Both in seconds.
    interrupted : bool
        Whether Ctrl-C ended the sweep early.
    notes : tuple of str
        Further remarks for the user, as sentences.
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
        """Measure that the table of designs shows."""
        return measures_of(self.found)[0]

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the table of the designs; rows.csv and rows.parquet have one row per run."""
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
            yield style.wrapped(
                f"The table shows {len(shown)} of {len(self.found):,} designs, which no other beats; rows.csv has all of them."
            )
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
    design: str | Path | Design | ExternalDesign | None,
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
    """Train all combinations of the values of some keys, each from several seeds; continue an earlier sweep in the same directory.

    Parameters
    ----------
    design : path, name, Design or ExternalDesign, or None
        Design to vary; that of a learner is trained on its chip, and its area is not predicted. None runs nothing, and chooses from the
        results of the last sweep in ``out``.
    vary : dict, or sequence of str
        Lists of values by dotted key, as TOML would contain them, or command-line texts such as "hardware.lanes=2,4".
    seeds : int
        Number of runs of each combination. Run number k uses the seed of the design plus k.
    steps : int or None
        MGD steps of each run; None for the number in the design file.
    backprop : bool
        Whether to train by back-propagation too.
    validate : bool
        Whether validation samples, set aside from training (``data.validation_fraction``), judge the runs, instead of the test samples.
    targets, boards : sequence of str
        FPGA parts, and boards whose parts are meant, for which each core is synthesised. If both are empty, the area is predicted.
    workers : int or None
        Number of processes on this machine; None for one per CPU core.
    scheduler : str or None
        Address of a Dask scheduler, whose workers run the jobs instead of local processes.
    best : str or None
        Condition such as "accuracy>0.9 and lut<5000"; the result includes the best of the designs that satisfy it.
    minimize, maximize : str or None
        Column that the best design minimises or maximises; by default the first measure of the kind of task, such as accuracy.
    dry_run : bool
        Whether to return the plan and the expected time without running any job.
    out : path or None
        Directory for the journal, rows.csv, rows.parquet, sweep.json and pareto.svg; None for one named after the design.
    progress : Progress or None
        Receives progress reports; None discards them.

    Raises
    ------
    Refusal
        If an option, a key, a value or every combination is refused; if another sweep uses the directory; if it cannot be written to.
    """
    if design is None:
        if vary:
            raise Refusal("there are keys to vary, but no design", "Name the design first: mgd-hw sweep DESIGN --vary …", key="--vary")
        return choose(latest() if out is None else Path(out), condition=best, minimize=minimize, maximize=maximize)
    design, vary = read_any(design), vary if isinstance(vary, Mapping) else read_axes(vary)
    progress = progress or NullProgress()
    criterion = _criterion(best, minimize, maximize)
    models = MODELS if backprop else MODELS[:2]
    outside = isinstance(design, ExternalDesign) and not targets and not boards  # nothing predicts the area of a learner
    places = () if outside else _places(targets, boards)
    directory = check_directory(FOLDER / design.name / SUBFOLDER if out is None else Path(out))
    plan = make_plan(design, vary, seeds=seeds, steps=steps, models=models, validate=validate, places=places, progress=progress)
    if dry_run:
        return _plan_only(plan, directory, scheduler, workers, progress)
    executor = executor_for(scheduler, workers, progress)
    try:
        with Journal(directory, write=True) as journal:
            begin(plan, journal)
            outcome = _work(plan, journal, directory, executor, progress)
            return _result(plan, journal, directory, outcome, criterion)
    finally:
        executor.close()


def _plan_only(plan: Plan, directory: Path, scheduler: str | None, workers: int | None, progress: Progress) -> SweepPlan:
    """Return the plan of a sweep without writing anything."""
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
    """Return the named parts and boards, for synthesis; if none is named, the default board, for prediction."""
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

Criterion = tuple[Condition, str | None, bool]
"""Criterion of the best design: condition; column, None for the measure of the kind of task; whether a named column is maximised."""


def _criterion(condition: str | None, minimize: str | None, maximize: str | None) -> Criterion | None:
    """Return the criterion of the best design; None if no option asks for one."""
    if minimize is not None and maximize is not None:
        raise Refusal("--minimize is given too", "Give one of them.", key="--maximize", value=maximize)
    if condition is None and minimize is None and maximize is None:
        return None
    return read_condition(condition or ""), minimize or maximize, minimize is None


def _result(plan: Plan, journal: Journal, directory: Path, outcome: Outcome, criterion: Criterion | None) -> Swept:
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
    chosen = None if criterion is None or outcome.interrupted else _best(found, journal, criterion)
    return replace(result, files=files, best=chosen)


def _text(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in values.items()) or "the design"


def _notes(journal: Journal) -> tuple[str, ...]:
    """Return sentences about missing results: cores whose area cannot be determined, and the Parquet file."""
    said = list(dict.fromkeys(row.message for _, row, _ in journal.planned(FIT, SYNTH) if row.status == REFUSED))
    if importlib.util.find_spec("pyarrow") is None:
        said.append("rows.parquet was not written: pip install 'mgd-hw[sweep]' brings pyarrow.")
    return tuple(said[:MOST_SHOWN])


def _best(found: Sequence[Found], journal: Journal, criterion: Criterion) -> Best:
    """Return the best design, with a design file that works from any directory."""
    condition, key, largest = criterion
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
    parse_any(text, path)
    return Best(condition.text, key, largest, sum(condition.holds(each) for each in found), len(found), chosen, text)


def latest(folder: Path = FOLDER) -> Path:
    """Return the directory of the last sweep that used a default directory.

    Raises
    ------
    Refusal
        If there is no such sweep.
    """
    found = sorted(folder.glob(f"*/{SUBFOLDER}/{JOURNAL}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise Refusal(f"no sweep is in {folder}", "Name the folder of one with -o, or a DESIGN to sweep.", key="-o")
    return found[-1].parent


def choose(directory: Path, *, condition: str | None = None, minimize: str | None = None, maximize: str | None = None) -> Swept:
    """Choose the best design from the last sweep in a folder, without running anything.

    Raises
    ------
    Refusal
        If the folder contains no sweep with a finished run, or if no design satisfies the condition.
    """
    criterion = _criterion(condition, minimize, maximize) or (read_condition(""), None, True)
    with Journal(directory, write=False) as journal:
        notes = journal.notes()
        places = [Place(target, board, clock, synthesise) for target, board, clock, synthesise in notes["places"]]
        found = summary(journal, places)
        if not found:
            raise Refusal("no run of its last sweep is finished", "Give the sweep's command again.", key="-o", value=str(directory))
        runs = sum(row.status == DONE for _, row, _ in journal.planned(TRAIN))
        chosen = _best(found, journal, criterion)
        name = parse_any(notes["text"], notes["path"]).name
        keys, combinations = tuple(notes["keys"]), notes["combinations"]
        return Swept(
            name, directory, (), keys, combinations, notes["refused"], runs, 0, 0, 0, (), found, chosen, 0.0, 0.0, False, _notes(journal)
        )
