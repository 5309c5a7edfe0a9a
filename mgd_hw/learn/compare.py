"""Float MGD, fixed-point MGD and back-propagation on the same data, from the same parameters, in the same order of samples."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mgd_hw.common import figures, style
from mgd_hw.common.files import atomic_directory, check_file, results_directory, write_json
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result, plain
from mgd_hw.data import Data
from mgd_hw.data.kinds import Kind, Measure
from mgd_hw.data.summary import Summary
from mgd_hw.design.argument import read, read_any
from mgd_hw.design.description import Design
from mgd_hw.design.external import ExternalDesign
from mgd_hw.design.float_model import has_slopes
from mgd_hw.design.float_only import FLOAT_ONLY_KEYS
from mgd_hw.design.run import check_length
from mgd_hw.design.samples import load_design
from mgd_hw.hardware.boards import optional_board
from mgd_hw.learn import curves
from mgd_hw.learn.agreement import Agreement, agreement
from mgd_hw.learn.compare_learner import LearnerComparison, compare_learner
from mgd_hw.learn.costs import costs_of_backprop, costs_of_mgd, costs_shown, counted
from mgd_hw.learn.diagnose_series import silent_advice
from mgd_hw.learn.parameters import read_parameters, write_parameters
from mgd_hw.learn.runs import MODELS, TITLES, FractionCallback, Model, Paired, Training, paired
from mgd_hw.learn.start import Start, judge_start
from mgd_hw.learn.trainers import start_of, trainers_of, warm_up
from mgd_hw.learn.until import check_kind, check_until, curve_cycles, until_of, until_shown
from python_ref.spec.digest import digest_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

    from boards.board import Board

__all__ = ["Comparison", "compare", "compare_models"]


@dataclass(frozen=True)
class Comparison(Result):
    """What a comparison found.

    Attributes
    ----------
    design, digest : str
        Name of the design, digest of its structure.
    source : str
        The data and their split.
    judged_by : str
        The samples that measures and costs are of: "test" or "validation".
    steps, seeds : int
        Steps of MGD; runs finished by all models.
    float, fixed, backprop : Model
        Runs of MGD in real numbers, of MGD in fixed point, and of back-propagation.
    fixed_less_float, float_less_backprop : Paired
        Differences of the first measure, seed by seed.
    agreement : Agreement or None
        Agreement of the gradient; None where there is none.
    data : Summary
        Description of the samples: their source, split, ranges and scaling.
    kind : Kind
        How answers are judged; in JSON its name.
    interrupted : bool
        Whether an interrupt ended the comparison before its last run.
    start : Start or None
        Measures of the parameters that were given to start from, before training; None if they are random.
    """

    design: str
    digest: str
    source: str
    judged_by: str
    steps: int
    seeds: int
    float: Model
    fixed: Model
    backprop: Model
    fixed_less_float: Paired
    float_less_backprop: Paired
    agreement: Agreement | None
    data: Summary
    kind: Kind
    interrupted: bool = False
    start: Start | None = None

    ALSO = ("diverged", "classes")

    @property
    def diverged(self) -> bool:
        """Whether a run diverged or saturated throughout, so that the comparison rests on nothing."""
        return any(getattr(self, name).diverged for name in MODELS)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the outputs; empty for a regression."""
        return self.kind.classes

    @property
    def measure(self) -> Measure:
        """The measure that models are compared by."""
        return self.kind.measures[0]

    def to_json(self) -> dict:
        """Its fields as plain data, the kind of task by its name."""
        return {**super().to_json(), "kind": self.kind.name}

    def notes(self) -> list[str]:
        """What a reader of the figures should know, in sentences: runs that say nothing, and answers no better than the baseline."""
        messages = []
        for name in MODELS:
            model, title = getattr(self, name), TITLES[name]
            failed = [run for run in model.runs if run.failure]
            if failed:
                some = f"{len(failed)} of {len(model.runs)} runs" if len(model.runs) > 1 else "the run"
                messages.append(f"{title}: {some} diverged; {failed[0].failure} (seed {failed[0].seed}). The figures say nothing.")
                continue
            silent = [run for run in model.runs if run.silent]
            if silent:
                what, remedy = silent_advice(list(silent[0].silent))
                messages.append(f"{title}: {what} (seed {silent[0].seed}). {remedy}")
            constant = [run for run in model.runs if run.constant]
            if constant:
                some = f" in {len(constant)} of {len(model.runs)} runs" if len(model.runs) > 1 else ""
                messages.append(f"{title} answers {constant[0].constant} to every sample{some}: it takes no notice of the inputs.")
                continue
            value, baseline = model.mean(self.measure.name), self.kind.baseline[self.measure.name]
            better = value > baseline if self.measure.larger_is_better else value < baseline
            if model.runs and not math.isnan(value) and not better:
                messages.append(f"{title} answers no better than {self.kind.baseline_title}.")
        return messages

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """ "runs", by model and seed; "costs", by model; "curve", by model, seed and point; "until", by model and seed, if asked for."""
        runs, costs, curve, until = (list[dict[str, Any]]() for _ in range(4))
        for name in MODELS:
            model = getattr(self, name)
            if model.costs is not None:
                costs.append({"design": self.design, "model": name, **model.costs.rows()[0]})
            if model.until is not None:
                until += [{"design": self.design, "model": name, **run.to_json()} for run in model.until.runs]
            for run in model.runs:
                of_run = {"design": self.design, "model": name, "seed": run.seed}
                saturations = sum(run.saturations.values()) if name == "fixed" else None
                scores = {measure.name: plain(run.scores.get(measure.name)) for measure in self.kind.measures}
                keys = ("cost", "evaluations", "writes", "seconds")
                values = {key: plain(getattr(run, key)) for key in keys}
                runs.append({**of_run, **scores, **values, "saturations": saturations, "diverged": run.diverged})
                columns = {key: plain(values) for key, values in run.curve.items()}
                curve += [{**of_run, **dict(zip(columns, point, strict=True))} for point in zip(*columns.values(), strict=True)]
        return {"runs": runs, "costs": costs, "curve": curve} | ({"until": until} if until else {})

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"[bold]{style.escape(self.design)}[/bold]: {style.escape(self.source)}"
        yield self.data
        yield style.wrapped(f"{self.steps:,} steps of MGD, {self.seeds} {'seed' if self.seeds == 1 else 'seeds'}")
        first, *others = self.kind.shown_measures
        heads = (first.title, "± std", "95 % interval", *(measure.title for measure in others))
        table = style.table("", *heads, "cost C/n", "evaluations", "writes", "seconds")
        for title, scores, cost in self.start.rows_shown() if self.start else ():
            values = [first.text(scores[first.name]), "", "", *(measure.text(scores[measure.name]) for measure in others)]
            table.add_row(title, *values, style.number(cost))
        models = [("float MGD", self.float), ("fixed MGD", self.fixed), ("back-propagation", self.backprop)]
        for title, model in models:
            if not model.runs:
                continue
            half = model.interval(first.name)
            table.add_row(
                title + (" (diverged)" if model.diverged else ""),
                first.text(model.mean(first.name)),
                first.text(model.std(first.name)),
                "–" if math.isnan(half) else f"± {first.text(half)}",
                *(measure.text(model.mean(measure.name)) for measure in others),
                style.number(model.cost_mean),
                f"{model.evaluations_mean:,.0f}",
                f"{model.writes_mean:,.0f}",
                f"{model.seconds:.1f}",
            )
        baseline = self.kind.baseline
        values = [first.text(baseline[first.name]), "", "", *(measure.text(baseline[measure.name]) for measure in others)]
        table.add_row(style.escape(self.kind.baseline_title), *values)
        yield table
        for note in self.notes():
            yield f"[bold red]{style.escape(note[:1].upper() + note[1:])}[/bold red]"
        yield from costs_shown([(title, model.costs) for title, model in models])
        yield from until_shown([(title, model.until) for title, model in models], self.judged_by)
        for title, less in (("fixed less float", self.fixed_less_float), ("float less back-propagation", self.float_less_backprop)):
            if not math.isnan(less.mean):
                interval = "" if math.isnan(less.interval) else " (95 %)"
                yield style.wrapped(f"{title}, seed by seed: {first.difference(less.mean, less.interval)}{interval}")
        for model in (self.float, self.fixed, self.backprop):
            if model.note:
                yield style.escape(model.note)
        saturated = {kind: count for kind, count in self.fixed.saturations.items() if count}
        if self.fixed.runs:
            together = f", {len(self.fixed.runs)} runs together" if len(self.fixed.runs) > 1 else ""
            counts = ", ".join(f"{kind} {count:,}" for kind, count in saturated.items()) or "none"
            yield style.wrapped(f"Saturations of the fixed model{together}: {counts}")
        if self.agreement:
            yield self.agreement.sentence()

    @property
    def models(self) -> dict[str, Model]:
        """All runs of each model, by its name."""
        return {name: getattr(self, name) for name in MODELS}

    @property
    def quantities(self) -> tuple[str, ...]:
        """What there is a learning curve of: "accuracy" where there are classes, and "cost"."""
        return ("accuracy", "cost") if self.classes else ("cost",)

    @property
    def drawn_over(self) -> str:
        """Over what the learning curves are drawn, as words."""
        return curves.abscissa_of(self.models)

    def plot(self) -> Figure:
        """The learning curves of every model, over core cycles, or over the samples evaluated if no hardware does the design."""
        return curves.side_by_side(self.models, self.quantities, self.kind, self.judged_by)

    def plot_curve(self, quantity: str) -> Figure:
        """The learning curve of "accuracy" or of "cost" alone, as wide as a column."""
        return curves.alone(self.models, quantity, self.kind, self.judged_by)

    def plot_energies(self) -> Figure:
        """The estimated energy of a run of each model, arithmetic and memory."""
        return curves.energies(self.models)


def compare(
    design: str | Path | Design | ExternalDesign,
    *,
    seeds: int | None = None,
    steps: int | None = None,
    save: Path | None = None,
    start: Path | None = None,
    validate: bool = False,
    board: str | None = None,
    until: float | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Comparison | LearnerComparison:
    """Train float MGD, fixed MGD and back-propagation from the same parameters on the same data; write table, plots and JSON.

    Where the network is outside, float MGD and fixed MGD train its process, each on one that has just begun.

    Parameters
    ----------
    design : path, name or Design
        Path of a design file, name of a shipped design, or a design that was read before; its network may be outside.
    seeds, steps : int or None
        Number of runs, and of steps in each; None takes what the design file says.
    save, start : path or None
        npz file to write the fixed model's parameters of the first seed to; npz file of the initial parameters.
    validate : bool
        Whether to train without the validation samples (``data.validation_fraction``) and to judge by them: to choose
        settings without a look at the test samples.
    board : str or None
        Name of a board, or path of a board file, for which the result gives the seconds of a run.
    until : float or None
        Accuracy, above 0 and at most 1, for which the result gives the steps, cycles and seconds that each model took to it. The
        runs go on to their last step all the same. None asks for no such figures.
    out : path or None
        Directory for compare.json and learning.png.
    progress : Progress or None
        Receives what the verb says of its progress; None discards it.

    Raises
    ------
    Refusal
        If an argument is refused: among them an accuracy for a task whose curves record none.
    """
    found = read_any(design)
    if isinstance(found, ExternalDesign):
        more: dict[str, Any] = {"save": save, "start": start, "validate": validate, "board": board, "until": until, "out": out}
        return compare_learner(found, seeds=seeds, steps=steps, progress=progress, **more)
    design = read(found)
    check_until(design, until)
    seeds, steps = seeds or design.compare.seeds, steps or design.compare.steps
    directory = results_directory(out, design.name)
    if save is not None:
        check_file(Path(save), "--save")
    parameters = None if start is None else read_parameters(design.spec, Path(start))
    check_length(design, steps)
    on = optional_board(board)
    data = load_design(design, validate=validate)
    judged_by = "validation" if validate else "test"
    result = compare_models(
        design, data, seeds=seeds, steps=steps, start=parameters, judged_by=judged_by, board=on, until=until, progress=progress
    )
    with atomic_directory(directory) as folder:
        write_json(folder / "compare.json", result)
        (folder / "learning.png").write_bytes(figures.saved(result.plot(), "png", f"{result.design}-{result.digest}"))
    if save is not None and result.fixed.runs:
        write_parameters(design.spec, result.fixed.runs[0].parameters, Path(save))
    return result


class _Forecast:
    """The time that is left, from what was measured."""

    def __init__(self, seeds: int, models: tuple[str, ...]) -> None:
        self.left = dict.fromkeys(models, float(seeds))
        self.done = dict.fromkeys(models, 0.0)
        self.spent = dict.fromkeys(models, 0.0)

    def note(self, model: str, fraction: float, seconds: float) -> str:
        """What is left in all, when a run of ``model`` has come to ``fraction`` in ``seconds``."""
        total, measured = 0.0, True
        for name, left in self.left.items():
            running = name == model
            done = self.done[name] + fraction * running
            if done:
                total += (left - fraction * running) * (self.spent[name] + seconds * running) / done
            elif left:
                measured = False
        if total < 1.0 and not measured:
            return ""
        shown = f"{total / 60:.0f} min" if total >= 100 else f"{total:.0f} s"
        return f"about {shown} left" if measured else f"more than {shown} left"

    def finish(self, model: str, seconds: float) -> None:
        self.left[model] -= 1
        self.done[model] += 1
        self.spent[model] += seconds


def compare_models(
    design: Design,
    data: Data,
    *,
    seeds: int,
    steps: int,
    start: np.ndarray | None = None,
    judged_by: str = "test",
    board: Board | None = None,
    until: float | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Train all models from the same parameters, in the same order of samples, once per seed.

    Parameters
    ----------
    design : Design
        Design whose models are trained.
    data : Data
        Samples to train with and to judge by.
    seeds : int
        Runs; seed number k is the design's own plus k.
    steps : int
        Number of MGD steps in each run.
    start : array of float64, shape (P,), or None
        Initial parameters of every run, in place of random ones.
    judged_by : str
        What the samples in ``data.test`` are: "test" or "validation".
    board : Board or None
        What the hardware's seconds are of.
    until : float or None
        Accuracy to which the steps, cycles and seconds of each model are given; None asks for no such figures.
    progress : Progress or None
        Receives what the verb says of its progress; None discards it.

    Raises
    ------
    Refusal
        If the accuracy is no share, or if the curves of the task record no accuracy.
    KeyboardInterrupt
        If it was interrupted before one model finished a run; later, what there is is returned.
    """
    check_until(design, until)
    check_kind(design, data.kind, until)
    progress, spec, left_out = progress or NullProgress(), design.spec, _left_out(design)
    models = tuple(name for name in MODELS if name not in left_out)
    if "fixed" in models:
        progress.status("Loading the compiled models; the first run after an installation compiles them, which takes about a minute.")
        warm_up(design, data)
    runs, interrupted = _train_all(models, seeds, lambda number: trainers_of(design, data, number, steps, start), progress)
    found = {name: _model(design, data, runs[name], name, steps, left_out.get(name, ""), board, until) for name in MODELS}
    agreed = None
    if models == MODELS and not interrupted:
        agreed = agreement(design, data, start_of(spec, spec.network.initial.seed, start))
    return Comparison(
        design=spec.name,
        digest=digest_of({"spec": spec, "float_only": design.float_only}) if design.float_only.requests else spec.digest,
        source=data.source,
        judged_by=judged_by,
        steps=steps,
        seeds=min(len(runs[name]) for name in models),
        **found,
        fixed_less_float=paired(found["fixed"], found["float"]),
        float_less_backprop=paired(found["float"], found["backprop"]),
        agreement=agreed,
        data=data.summary,
        kind=data.kind,
        interrupted=interrupted,
        start=None if start is None else judge_start(design, data, start),
    )


def _left_out(design: Design) -> dict[str, str]:
    """The models that there are not of a design, by name, each with the reason as a clause."""
    left_out = {}
    if design.float_only.requests:
        key, value = design.float_only.requests[0]
        left_out["fixed"] = f"no fixed model: {FLOAT_ONLY_KEYS[key]} has no hardware yet ({key} = {value})"
    if not has_slopes(design):
        what = "the activation sign, which has no slope"
        if design.float_only.external is not None:
            what = "a forward pass outside, of which nothing is known but its cost"
        left_out["backprop"] = f"back-propagation is not defined for {what}"
    return left_out


def _train_all(
    models: tuple[str, ...], seeds: int, trainers: Callable[[int], dict[str, Callable[[FractionCallback], Training]]], progress: Progress
) -> tuple[dict[str, list[Training]], bool]:
    """Runs of each model, seed by seed, and whether they were interrupted; ``trainers`` gives what trains each from a number of seed.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted before one model finished a run.
    """
    forecast, runs = _Forecast(seeds, models), {name: list[Training]() for name in MODELS}
    try:
        for number in range(seeds):
            train = trainers(number)
            for name in models:
                begun = time.perf_counter()

                def report(fraction: float, name: str = name, begun: float = begun, number: int = number) -> None:
                    note = forecast.note(name, fraction, time.perf_counter() - begun)
                    progress.update(f"{TITLES[name]}, seed {number + 1} of {seeds}", fraction, 1.0, note)

                report(0.0)
                runs[name].append(train[name](report))
                forecast.finish(name, time.perf_counter() - begun)
    except KeyboardInterrupt:
        if not any(runs.values()):
            raise
        return runs, True
    return runs, False


def _model(
    design: Design,
    data: Data,
    runs: list[Training],
    name: str,
    steps: int,
    note: str,
    board: Board | None = None,
    until: float | None = None,
) -> Model:
    """All runs of a model, what one of them costs, and what they took to an accuracy if one is given."""
    if not runs:
        return Model((), note, None, data.kind)
    if not counted(design):
        return Model(tuple(runs), note, None, data.kind)
    with_cycles = []
    for run in runs:
        cycles = curve_cycles(design, name, run.curve)
        with_cycles.append(run if cycles is None else replace(run, curve={**run.curve, "cycles": cycles}))
    runs = with_cycles
    reached = None if until is None else until_of(design, name, {run.seed: run.curve for run in runs}, until, board)
    evaluations, writes = (round(np.mean([getattr(run, what) for run in runs])) for what in ("evaluations", "writes"))
    if name == "backprop":
        return Model(tuple(runs), note, costs_of_backprop(design, evaluations, writes), data.kind, reached)
    saturations = float(np.mean([sum(run.saturations.values()) for run in runs])) if name == "fixed" else math.nan
    fixed = name == "fixed"
    costs = costs_of_mgd(
        design, steps, fixed=fixed, evaluations=evaluations, writes=writes, saturations=saturations, board=board if fixed else None
    )
    return Model(tuple(runs), note, costs, data.kind, reached)
