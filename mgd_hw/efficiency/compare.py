"""The option ``--efficiency`` of ``compare``: MGD of every kind and code beside back-propagation on the same lanes, by what each costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.common import figures, style
from mgd_hw.common.files import atomic_directory, results_directory, write_json
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result, flat
from mgd_hw.data.kinds import Kind
from mgd_hw.data.summary import Summary
from mgd_hw.design.argument import read_any
from mgd_hw.design.description import Design
from mgd_hw.design.external import ExternalDesign, not_served
from mgd_hw.design.samples import load_design
from mgd_hw.efficiency.counts import counts_at, cycles_at, mean_of, wear_of
from mgd_hw.efficiency.picture import draw
from mgd_hw.efficiency.results import BoardColumn, EfficiencyRun, VariantResult
from mgd_hw.efficiency.shown import tables_shown
from mgd_hw.efficiency.variants import Variant, variants_of
from mgd_hw.efficiency.work import Finished, train_all
from mgd_hw.hardware.boards import board_of
from mgd_hw.learn.costs import ENERGY_SOURCE
from mgd_hw.learn.parameters import read_parameters
from mgd_hw.learn.until import check_kind, check_until
from python_ref.spec.error import Refusal

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

    from boards.board import Board

__all__ = ["Efficiency", "compare_efficiency"]

SLACK = 0.01
"""How far below the worst seed of the design as it is written the derived accuracy lies, before it is rounded down to a whole per cent."""


@dataclass(frozen=True)
class Efficiency(Result):
    """MGD of every kind and code, and back-propagation, by evaluations, cycles, seconds, writes, energy and endurance.

    Attributes
    ----------
    design, digest : str
        Name of the design, and digest of its structure.
    source, judged_by : str
        Description of the samples; "test" or "validation", the samples that judge.
    steps, seeds : int
        Steps of the design as it is written, and runs of each variant.
    lanes, parameters : int
        Number of lanes of every variant, and number of parameters of the network.
    until : float or None
        Accuracy up to which everything is counted; None counts whole runs.
    until_why : str
        Where this accuracy comes from, as a sentence.
    variants : tuple of VariantResult
        All variants, those of MGD first.
    boards : tuple of BoardColumn
        Boards for which times are given.
    energy_source : str
        Publication from which the energies of operations are taken.
    uncertainties : tuple of str
        What the figures are worth, in sentences.
    data : Summary
        Description of the samples.
    kind : Kind
        How answers are judged; in JSON its name.
    interrupted : bool
        Whether an interrupt ended the comparison before its last run.
    """

    design: str
    digest: str
    source: str
    judged_by: str
    steps: int
    seeds: int
    lanes: int
    parameters: int
    until: float | None
    until_why: str
    variants: tuple[VariantResult, ...]
    boards: tuple[BoardColumn, ...]
    energy_source: str
    uncertainties: tuple[str, ...]
    data: Summary
    kind: Kind = field(compare=False)
    interrupted: bool = False

    ALSO = ("diverged",)

    @property
    def diverged(self) -> bool:
        """Whether a run of the design as it is written failed, so that the comparison rests on nothing."""
        return any(each.diverged for each in self.variants if each.written and each.model in ("fixed", "float"))

    def to_json(self) -> dict:
        """Return the fields as plain data, the kind of task by its name."""
        return {**super().to_json(), "kind": self.kind.name}

    def variant(self, name: str) -> VariantResult:
        """Return the variant of a name.

        Raises
        ------
        Refusal
            If there is none.
        """
        for each in self.variants:
            if each.name == name:
                return each
        raise Refusal("there is no such variant", f"There are: {', '.join(each.name for each in self.variants)}.", key="name", value=name)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the tables "variants", one row each; "runs", by variant and seed; and "endurance", by variant and endurance."""
        variants, runs, endurance = (list[dict[str, Any]]() for _ in range(3))
        for each in self.variants:
            variants.append({"design": self.design, **flat(each.to_json())})
            runs += [{"design": self.design, "variant": each.name, **flat(run.to_json())} for run in each.runs]
            endurance += [{"design": self.design, "variant": each.name, **wear.to_json()} for wear in each.wear]
        return {"variants": variants, "runs": runs, "endurance": endurance}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"[bold]{style.escape(self.design)}[/bold]: {style.escape(self.source)}"
        yield style.wrapped(
            f"{self.seeds} {'seed' if self.seeds == 1 else 'seeds'}, {self.lanes} {'lane' if self.lanes == 1 else 'lanes'}, "
            f"{self.parameters:,} parameters. {self.until_why}"
        )
        yield from tables_shown(self.variants, self.until, self.kind.measures[0], self.boards)
        for sentence in self.uncertainties:
            yield style.wrapped(style.escape(sentence))

    def plot(self) -> Figure:
        """Draw the accuracy of every variant over clock cycles, and over the changes of the parameter that changes most."""
        return draw(self.variants, self.until, bool(self.kind.classes), self.judged_by)


def compare_efficiency(
    design: str | Path | Design | ExternalDesign,
    *,
    until: float | None = None,
    seeds: int | None = None,
    steps: int | None = None,
    start: Path | None = None,
    validate: bool = False,
    board: str | None = None,
    workers: int | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Efficiency:
    """Train a network by MGD of every kind and code, in the hardware's bits, and by back-propagation; count what each of them takes.

    Parameters
    ----------
    design : path, name or Design
        Path of a design file, name of a shipped design, or a design that was read before.
    until : float or None
        Accuracy up to which everything is counted, above 0 and at most 1. None derives it from the runs of the design as it is written.
    seeds, steps : int or None
        Number of runs of each variant, and of steps of the design as it is written; None takes what the design file says. The other
        variants get as many clock cycles (:func:`mgd_hw.efficiency.variants.variants_of`).
    start : path or None
        npz file of the initial parameters of every run.
    validate : bool
        Whether to judge by the validation samples (``data.validation_fraction``).
    board : str or None
        Name of the only board, or path of the only board file, for which times are given; None gives those of all boards.
    workers : int or None
        Number of processes; 1 trains in this process, and None takes one process per processor core.
    out : path or None
        Directory for efficiency.json and efficiency.png.
    progress : Progress or None
        Receives the share of the work that is done; None discards it.

    Raises
    ------
    Refusal
        If the network is outside, if an argument is refused, or if the samples cannot be read.
    KeyboardInterrupt
        If it was interrupted before a run was finished; later, what there is is returned.
    """
    design, progress = _inside(read_any(design)), progress or NullProgress()
    check_until(design, until)
    seeds, steps = seeds or design.compare.seeds, steps or design.compare.steps
    directory, boards = results_directory(out, design.name), _boards(design, board)
    parameters = None if start is None else read_parameters(design.spec, Path(start))
    data = load_design(design, validate=validate)
    check_kind(design, data.kind, until)
    variants = variants_of(design, steps, len(data.train))
    finished, interrupted = train_all(variants, seeds, validate, parameters, workers, progress)
    target, why = _target(until, variants, finished, data.kind)
    results = tuple(_result(each, finished[each.name], target, boards, data.kind) for each in variants)
    result = Efficiency(
        design=design.name,
        digest=design.spec.digest,
        source=data.source,
        judged_by="validation" if validate else "test",
        steps=steps,
        seeds=max(len(each.runs) for each in results),
        lanes=design.spec.hardware.lanes,
        parameters=design.spec.network.n_parameters,
        until=target,
        until_why=why,
        variants=results,
        boards=tuple(BoardColumn(each.name, each.part.device, float(each.core_mhz), each.baud) for each in boards),
        energy_source=ENERGY_SOURCE,
        uncertainties=_uncertainties(results, target, bool(boards)),
        data=data.summary,
        kind=data.kind,
        interrupted=interrupted,
    )
    with atomic_directory(directory) as folder:
        write_json(folder / "efficiency.json", result)
        (folder / "efficiency.png").write_bytes(figures.saved(result.plot(), "png", f"{result.design}-{result.digest}"))
    return result


def _inside(design: Design | ExternalDesign) -> Design:
    """Return a design whose forward pass is known, and refuse another."""
    if isinstance(design, ExternalDesign):
        raise not_served(design)
    if design.float_only.external is not None:
        reason = "the forward pass is outside, and nothing is known of its operations, its writes and its time"
        raise Refusal(reason, "`mgd-hw compare` without it compares the cost that is reached.", key="--efficiency", file=design.path)
    return design


def _boards(design: Design, board: str | None) -> tuple[Board, ...]:
    """Return the boards for which times are given: the named one, or all; none for a design that no hardware does."""
    from boards.board import board_files

    if design.float_only.requests and board is None:
        return ()
    return tuple(board_of(name) for name in ((board,) if board is not None else board_files()))


def _target(until: float | None, variants: Sequence[Variant], finished: Finished, kind: Kind) -> tuple[float | None, str]:
    """Return the accuracy up to which everything is counted, if none is given from the runs of the design as it is written, and why."""
    if until is not None:
        return until, f"Counted up to {100 * until:g} %."
    if not kind.classes:
        return None, "Whole runs are counted, since a regression has no accuracy."
    written = next(each for each in variants if each.written)
    last = [run["scores"]["accuracy"] for run in finished[written.name]]
    if not last:
        return None, "Whole runs are counted, since no run of the design as it is written was finished."
    target = math.floor(100 * (min(last) - SLACK) + 1e-9) / 100
    baseline = kind.baseline["accuracy"]
    if target <= baseline:
        ends = f"ends at {100 * min(last):.4g} % in its worst seed, hardly above {kind.baseline_title}, {100 * baseline:.4g} %"
        return None, f"Whole runs are counted: the design as it is written ({written.title}) {ends}. --until names an accuracy."
    seeds = f"{len(last)} {'seed' if len(last) == 1 else 'seeds'}"
    why = f"a point below the worst of {seeds} of the design as it is written ({written.title}), in whole per cents"
    return target, f"Counted up to {100 * target:g} %: {why}; --until names another."


# -- One variant ------------------------------------------------------------------------------------------------------


def _result(variant: Variant, runs: Sequence[dict[str, Any]], target: float | None, boards: Sequence[Board], kind: Kind) -> VariantResult:
    """Return the result of a variant from its finished runs."""
    found = tuple(_run(variant, each, target, boards, kind) for each in runs)
    counted = [run.counts for run in found if run.reached] or [run.counts for run in found]
    return VariantResult(
        name=variant.name,
        title=variant.title,
        model=variant.model,
        written=variant.written,
        settings={} if variant.refused else variant.settings,
        budget_steps=variant.steps,
        budget_cycles=variant.cycles,
        runs=found,
        counts=mean_of(counted) if counted else None,
        wear=wear_of(counted),
        fits=_fits(variant, boards),
        refused=variant.refused,
    )


def _run(variant: Variant, run: dict[str, Any], target: float | None, boards: Sequence[Board], kind: Kind) -> EfficiencyRun:
    """Return a run with its counts up to the accuracy, or up to its end."""
    curve = run["curve"]
    records = [dict(zip(curve, row, strict=True)) for row in zip(*curve.values(), strict=True)]
    reached = next((k for k, each in enumerate(records) if target is not None and (each["accuracy"] or 0.0) >= target), None)
    at = len(records) - 1 if reached is None else reached
    before = records[at - 1]["steps"] if at else 0
    curve_shown = {name: curve[name] for name in ("steps", "accuracy", "cost", "most_changed")}
    return EfficiencyRun(
        seed=run["seed"],
        score=run["scores"][kind.measures[0].name],
        reached=reached is not None,
        counts=counts_at(variant, records[at], boards),
        late=0.0 if reached is None else 1.0 - before / records[at]["steps"],
        failure=run["failure"],
        curve={**curve_shown, "cycles": [cycles_at(variant, each) for each in records]},
    )


def _fits(variant: Variant, boards: Sequence[Board]) -> dict[str, str]:
    """Return whether the core of a variant fits each board, as `mgd-hw fit` predicts."""
    from boards.parts.fit import fit

    if variant.refused or variant.model != "fixed":
        return {}
    found = {board.name: fit(variant.design.spec, board.part.name) for board in boards}
    return {name: "perhaps" if each.close else "yes" if each.fits else "no" for name, each in found.items()}


def _uncertainties(results: Sequence[VariantResult], target: float | None, boards: bool) -> tuple[str, ...]:
    """Return what the figures are worth, in sentences."""
    late, said = max(each.late for each in results), list[str]()
    if late:
        said.append(f"An accuracy counts at the first record that has it: up to {100 * late:.0f} % of a count may lie between two records.")
    missed = [each.title for each in results if each.runs and not each.reached]
    if missed and target is not None:
        said.append(f"Not reached by any run, and counted to their end (>): {'; '.join(missed)}. Nothing is extrapolated.")
    said.append(
        "Back-propagation is hypothetical: no such core exists. Its cycles are three passes (forward, backward, update) of the same lanes "
        "for each sample, without any wait, its numbers are real, and only in the plain form its parameters are rounded to their format."
    )
    said.append(
        "Energy is that of the counted operations at 45 nm (Horowitz, ISSCC 2014), with its range by the size of memories and the width of "
        "operations; wires, clock, control and leakage are left out. An FPGA takes about 14 times the dynamic energy of such a circuit, "
        "less where hard blocks do the work (Kuon and Rose, IEEE Trans. CAD 26, 203, 2007)."
    )
    if boards:
        said.append(
            "Seconds are those of the cycles at the clock that builds for the board aim at, which is not measured, and those of the "
            "samples on its serial line, if each is sent when it is due; both go on at once."
        )
    said.append(
        "Endurance counts writes of the parameters alone, by the cell that is written most; gradients, momentum and activations are in "
        "memories without wear. Cells fail at exactly their endurance, and no wear levelling moves parameters."
    )
    return tuple(said)
