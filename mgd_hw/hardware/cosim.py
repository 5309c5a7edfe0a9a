"""The verb ``cosim``: simulate the Verilog, run the reference model on the same samples, and compare their values bit for bit."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.common import figures, style
from mgd_hw.common.files import atomic_directory, results_directory, write_json
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result
from mgd_hw.design.argument import built, read_any
from mgd_hw.design.description import Design
from mgd_hw.design.external import ExternalDesign
from mgd_hw.design.run import run_of
from mgd_hw.design.samples import load_design
from mgd_hw.hardware.generate import emit_files
from mgd_hw.hardware.netlists import SIMULATOR, check_netlist, simulable
from mgd_hw.hardware.outside import learner_run, opened_chip
from mgd_hw.hardware.tools import naming_verilog, verilog_file
from python_ref.spec.error import DesignError, Refusal, naming

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

    from python_ref.spec.learning import LearningSpec
    from python_ref.trace import LearnerRun, Run
    from sim.cosim import CosimResult

__all__ = ["Cosimulated", "cosim"]

FAST_REFERENCE = 50_000_000
"""Steps times parameters beyond which the compiled model replaces the plain one as the reference."""


@dataclass(frozen=True)
class Cosimulated(Result):
    """Result of a co-simulation.

    Attributes
    ----------
    design, digest : str
        Name of the design, and digest of its structure.
    simulator, verilog : str
        Name of the simulator, and path of the Verilog file that it ran.
    reference : str
        Module of the model that the hardware was compared with.
    steps : int
        Number of training steps that were simulated.
    observables : int
        Number of values that are compared in each training step.
    compared, mismatches : int
        Number of values compared, and number of those that differ.
    first_difference : TraceDifference or None
        The earliest difference; None if there is none.
    first_difference_text : str
        The earliest difference in words; "" if there is none.
    by_observable : dict of str to int
        Number of mismatches of each observable that has any.
    failure : str
        Malfunction of the core as a sentence, such as a step that never ends; "" if there was none.
    cycles : int
        Clock cycles in which the core was busy, the flush included.
    cycles_per_step, seconds : float
        Busy clock cycles per training step, and wall-clock time of the co-simulation in seconds.
    waves : Path or None
        Path of the waveform file (FST or VCD); None if none was recorded.
    changed_lines, first_changed_line : int
        Number of lines in which the user's file differs from the Verilog of the design, and the first of them, from 1; 0 if none differ.
    netlist : str
        Part whose netlist was simulated; "" for the Verilog as generated.
    not_covered : tuple of str
        Statements that the simulation of a netlist does not prove, one sentence each.
    clipped : int
        Number of costs of a network outside that ``formats.cost`` could not hold; 0 for a network inside.
    """

    design: str
    digest: str
    simulator: str
    verilog: str
    reference: str
    steps: int
    observables: int
    compared: int
    mismatches: int
    first_difference: Any
    first_difference_text: str
    by_observable: dict[str, int]
    failure: str
    cycles: int
    cycles_per_step: float
    seconds: float
    waves: Path | None = None
    changed_lines: int = 0
    first_changed_line: int = 0
    netlist: str = ""
    not_covered: tuple[str, ...] = ()
    clipped: int = 0

    ALSO = ("equal",)

    @property
    def equal(self) -> bool:
        """Whether the core behaved exactly as the model in this run."""
        return not self.mismatches and not self.failure

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        what = f"{self.observables:,} observables × {self.steps:,} steps = {self.compared:,} values"
        speed = f"{self.cycles:,} cycles, {self.cycles_per_step:.1f} per step; {self.seconds:.1f} s"
        if self.equal:
            yield (f"[bold green]Equal[/bold green]: {what}, bit for bit ({style.escape(self.simulator)} against {self.reference}).")
            if self.changed_lines:
                lines = "1 line" if self.changed_lines == 1 else f"{self.changed_lines:,} lines"
                yield (
                    f"Note: {style.escape(self.verilog)} is not the Verilog of this design: it differs in {lines}, from line "
                    f"{self.first_changed_line} on. This run does not show the difference: such a line may drive nothing, or matter only "
                    "in a case that these steps do not reach."
                )
        else:
            yield f"[bold red]Different[/bold red]: {self.mismatches:,} of {what}."
            if self.first_difference_text:
                yield f"First: {style.escape(self.first_difference_text)}"
            if self.failure:
                yield f"Failure: {style.escape(self.failure)}"
            if self.by_observable:
                listed = ", ".join(f"{name} {count:,}" for name, count in self.by_observable.items())
                yield f"By observable: {style.escape(listed)}"
        yield style.wrapped(speed)
        if self.netlist:
            yield style.wrapped(f"The netlist for {self.netlist}. Not covered:")
            for sentence in self.not_covered:
                yield f"- {style.escape(sentence)}"
        if self.clipped:
            yield style.wrapped(
                f"Note: {self.clipped:,} costs were beyond formats.cost, and were sent as its nearest value. Give it more bits."
            )
        if self.waves:
            yield f"Waves: {style.escape(str(self.waves))}"

    def plot(self) -> Figure:
        if self.by_observable:
            return figures.bars(self.by_observable, f"{self.design}: values that differ", "values", figures.ORANGE)
        rows = {"compared": self.compared, "different": self.mismatches}
        return figures.bars(rows, f"{self.design}: {self.steps:,} steps, {self.simulator}", "values", [figures.BLUE, figures.ORANGE])


def cosim(
    design: str | Path | Design | ExternalDesign,
    *,
    steps: int = 200,
    simulator: str | None = None,
    waves: bool = False,
    seed: int | None = None,
    verilog: Path | None = None,
    netlist: str | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Cosimulated:
    """Simulate the training of a design's Verilog, and compare every observable of every step with the model, bit for bit.

    Where the network is outside, its process answers the model, and the Verilog takes the same costs.

    Parameters
    ----------
    design : path, name or Design
        Path of a design file, name of a shipped design, or a design that was read before; its network may be outside.
    steps : int
        Number of training steps to simulate.
    simulator : str or None
        "verilator", "icarus" or "cxxrtl"; None takes cxxrtl, or verilator for a netlist, because it compiles one faster.
    waves : bool
        Whether to keep a waveform file of the simulation.
    seed : int or None
        Seed of the parameters, signs and order of samples; None takes the design's own.
    verilog : path or None
        Path of a file to simulate in place of the generated Verilog.
    netlist : str or None
        Part for which the core is synthesised, to simulate its netlist in place of its Verilog.
    out : path or None
        Directory for cosim.json, the Verilog and the waveform file; None takes mgd-hw-out/DESIGN.
    progress : Progress or None
        Receives status messages and the progress of long tasks; None discards them.

    Raises
    ------
    Refusal
        If the design cannot be built, the traces would fill the disk, a tool is missing, the Verilog cannot be simulated, or the process
        of a network outside does not answer.
    """
    from python_ref.spec.probes import values_per_step
    from rtl_gen.emit import emit_verilog

    progress = progress or NullProgress()
    design = _simulated(design)
    design = design if seed is None else design.with_seed(seed)
    spec = design.spec
    directory = results_directory(out, design.name)
    check_netlist(netlist, verilog)
    simulator = simulator or (SIMULATOR if netlist else "cxxrtl")
    given = None if verilog is None else verilog_file(Path(verilog))
    _check_disk(directory, spec, steps)
    run = _run(design, steps, progress)
    name = f"{spec.name}_waves.{'fst' if simulator == 'icarus' else 'vcd'}"
    with atomic_directory(directory) as folder, naming_verilog(given):
        hardware, not_covered = _hardware(design, given, netlist, folder, progress)
        kept = folder / name if waves else None
        found, reference, clipped = _run_both(design, run, hardware, folder, simulator, kept, progress)
        changed, first_changed = (0, 0) if given is None else _changed_lines(given, emit_verilog(spec))
        result = _reported(
            found,
            verilog=str(given or directory / hardware.name),
            reference=reference,
            observables=values_per_step(spec),
            waves=directory / name if kept and kept.exists() else None,
            changed_lines=changed,
            first_changed_line=first_changed,
            netlist=netlist or "",
            not_covered=not_covered,
            clipped=clipped,
        )
        write_json(folder / "cosim.json", result)
    return result


def _simulated(design: str | Path | Design | ExternalDesign) -> Design | ExternalDesign:
    """Read a design that can be simulated."""
    found = read_any(design)
    if not isinstance(found, ExternalDesign):
        return built(found)
    found.outside()
    return found


def _run(design: Design | ExternalDesign, steps: int, progress: Progress) -> Run | LearnerRun:
    if isinstance(design, ExternalDesign):
        return learner_run(design, steps)
    return run_of(design, load_design(design, progress=progress), steps)


def _hardware(
    design: Design | ExternalDesign, given: Path | None, netlist: str | None, folder: Path, progress: Progress
) -> tuple[Path, tuple[str, ...]]:
    """Return the Verilog to simulate, which is the user's, the design's or a netlist's, and what a netlist's simulation does not prove."""
    from rtl_gen.emit import VERILOG

    if given is not None:
        return given, ()
    progress.status(f"Generating {design.name}.")
    emit_files(design.spec, folder)
    if netlist is None:
        return folder / VERILOG, ()
    with naming(design.path, of=DesignError):
        hardware, made = simulable(design.spec, netlist, folder, progress)
    return hardware, made.models.not_covered


def _run_both(
    design: Design | ExternalDesign,
    run: Run | LearnerRun,
    hardware: Path,
    folder: Path,
    simulator: str,
    waves: Path | None,
    progress: Progress,
) -> tuple[CosimResult, str, int]:
    """Run the Verilog and the model, and compare their traces.

    Returns
    -------
    (CosimResult, str, int)
        The result, the module of the model, and the number of costs that their format could not hold.
    """
    from python_ref.trace import Run
    from sim.cosim import cosim as run_and_compare
    from sim.learner_cosim import cosim_learner
    from sim.simulators import Options

    steps, options = run.steps, Options(waves=waves, notify=progress.status)
    title = f"Simulating {run.spec.name} with {simulator}"
    with tempfile.TemporaryDirectory(prefix="work-", dir=folder) as work:
        if not isinstance(run, Run):
            assert isinstance(design, ExternalDesign)
            progress.status(
                f"Running the model of {run.spec.name} beside its chip, {steps:,} steps, and then its Verilog with {simulator}."
            )

            def show(done: int) -> None:
                progress.update(title, done, 2 * steps, f"step {done:,} of the model" if done <= steps else f"step {done - steps:,}")

            with opened_chip(design) as chip:
                found = cosim_learner(run, chip, hardware, Path(work), simulator=simulator, options=options, steps_done=show)
            return found, "python_ref.fixed.learner", chip.clipped
        progress.status(f"{title}, {steps:,} steps, beside the model in a process of its own.")
        fast = steps * run.spec.network.n_parameters > FAST_REFERENCE
        found = run_and_compare(
            run,
            hardware,
            Path(work),
            simulator=simulator,
            options=options,
            fast_reference=fast,
            steps_done=lambda done: progress.update(title, done, steps, f"step {done:,}"),
        )
    return found, "python_ref.fixed.fast" if fast else "python_ref.fixed.machine", 0


def _reported(found: CosimResult, **more: Any) -> Cosimulated:
    """Return a co-simulation's result as the verb reports it, with the fields in ``more`` added."""
    same = {each.name: getattr(found, each.name) for each in fields(Cosimulated) if hasattr(found, each.name)}
    words = {"failure": found.failure or "", "first_difference_text": str(found.first_difference or "")}
    return Cosimulated(**(same | words | more))


def _changed_lines(given: Path, generated: str) -> tuple[int, int]:
    """Count the lines of a file that differ from the generated text.

    Returns
    -------
    (int, int)
        Number of lines that differ, and number of the first of them, from 1. Blanks at the ends of lines do not count; (0, 0) if
        nothing else differs.
    """
    ours = [line.strip() for line in generated.splitlines()]
    theirs = [line.strip() for line in given.read_text(encoding="utf-8", errors="replace").splitlines()]
    pairs = list(zip(ours, theirs, strict=False))
    different = [number for number, (one, other) in enumerate(pairs, 1) if one != other]
    if len(ours) == len(theirs):
        return len(different), different[0] if different else 0
    same_start = different[0] - 1 if different else len(pairs)
    same_end = 0
    while same_end < len(pairs) - same_start and ours[-1 - same_end] == theirs[-1 - same_end]:
        same_end += 1
    return max(len(ours), len(theirs)) - same_start - same_end, same_start + 1


def _check_disk(directory: Path, spec: LearningSpec, steps: int) -> None:
    """Refuse a run whose traces would fill the disk."""
    from python_ref.spec.probes import probes
    from python_ref.trace import narrowest

    needed = 2 * steps * sum(probe.size * narrowest(probe).itemsize for probe in probes(spec))
    existing = next(place for place in (directory, *directory.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if needed > 0.8 * free:
        raise Refusal(
            f"the traces of so many steps take {needed / 1e9:.1f} GB, and {existing} has {free / 1e9:.1f} GB free",
            "Take fewer steps, or another directory with -o.",
            key="--steps",
            value=steps,
        )
