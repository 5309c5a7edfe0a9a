"""The verb ``cosim``: the Verilog in a simulator beside the model, compared value by value."""

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
from mgd_hw.design.argument import built
from mgd_hw.design.description import Design
from mgd_hw.design.run import run_of
from mgd_hw.design.samples import load_design
from mgd_hw.hardware.generate import emit_files
from mgd_hw.hardware.netlists import SIMULATOR, check_netlist, simulable
from mgd_hw.hardware.tools import naming_verilog, verilog_file
from python_ref.spec.error import DesignError, Refusal, naming

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

    from python_ref.spec.design import DesignSpec
    from python_ref.trace import Run
    from sim.cosim import CosimResult

__all__ = ["Cosimulated", "cosim"]

FAST_REFERENCE = 50_000_000
"""Steps times parameters from which the reference is the compiled model, not the plain one."""


@dataclass(frozen=True)
class Cosimulated(Result):
    """What came of a co-simulation.

    Attributes
    ----------
    design, digest : str
        Name of the design, digest of its structure.
    simulator, verilog : str
        What ran which file.
    reference : str
        The model it was compared with.
    steps : int
        Number of training steps that were simulated.
    observables : int
        Number of values that are compared in each training step.
    compared, mismatches : int
        Values compared, and those that differ.
    first_difference : Difference or None
        The first of them in time.
    first_difference_text : str
        The same in words.
    by_observable : dict of str to int
        Mismatches of each observable that has any.
    failure : str
        What the core did that no core does; "" if nothing.
    cycles : int
        Cycles in which the core was busy.
    cycles_per_step, seconds : float
        Cycles per step; seconds that it all took.
    waves : Path or None
        Path of the waveform file (FST or VCD); None if none was recorded.
    changed_lines, first_changed_line : int
        Lines in which a file of the user's is not the Verilog of the design, and the first of them, counted from 1; else 0.
    netlist : str
        The part whose netlist it was; "" for the Verilog as generated.
    not_covered : tuple of str
        What a netlist's simulation leaves unproven, in sentences.
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

    ALSO = ("equal",)

    @property
    def equal(self) -> bool:
        """Whether core and model are the same machine, as far as this run shows."""
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
                    f"{self.first_changed_line} on. To this run that made no difference: such a line may drive nothing, or do what these "
                    "steps never came to."
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
        if self.waves:
            yield f"Waves: {style.escape(str(self.waves))}"

    def plot(self) -> Figure:
        if self.by_observable:
            return figures.bars(self.by_observable, f"{self.design}: values that differ", "values", figures.ORANGE)
        rows = {"compared": self.compared, "different": self.mismatches}
        return figures.bars(rows, f"{self.design}: {self.steps:,} steps, {self.simulator}", "values", [figures.BLUE, figures.ORANGE])


def cosim(
    design: str | Path | Design,
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
    """Train the Verilog in a simulator, and compare every observable of every step with the model, bit for bit.

    Parameters
    ----------
    design : path, name or Design
        Path of a design file, name of a shipped design, or a design that was read before.
    steps : int
        Number of training steps to simulate.
    simulator : str or None
        "verilator", "icarus" or "cxxrtl"; None takes cxxrtl, or verilator for a netlist, which it compiles faster.
    waves : bool
        Whether to keep a waveform file of the simulation.
    seed : int or None
        Seed of the parameters, signs and order of samples; None takes the design's own.
    verilog : path or None
        A file to simulate in place of the Verilog just generated.
    netlist : str or None
        A part for which the core is synthesised, and whose netlist is simulated in place of its Verilog.
    out : path or None
        Directory for cosim.json, the Verilog and the waves.
    progress : Progress or None
        Receives what the verb says of its progress; None discards it.
    """
    from python_ref.spec.probes import values_per_step
    from rtl_gen.emit import emit_verilog

    progress = progress or NullProgress()
    design = built(design) if seed is None else built(design).with_seed(seed)
    spec = design.spec
    directory = results_directory(out, design.name)
    check_netlist(netlist, verilog)
    simulator = simulator or (SIMULATOR if netlist else "cxxrtl")
    given = None if verilog is None else verilog_file(Path(verilog))
    _check_disk(directory, spec, steps)
    run = run_of(design, load_design(design, progress=progress), steps)
    name = f"{spec.name}_waves.{'fst' if simulator == 'icarus' else 'vcd'}"
    with atomic_directory(directory) as folder, naming_verilog(given):
        hardware, not_covered = _hardware(design, given, netlist, folder, progress)
        kept = folder / name if waves else None
        found, reference = _run_both(run, hardware, folder, simulator, kept, progress)
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
        )
        write_json(folder / "cosim.json", result)
    return result


def _hardware(design: Design, given: Path | None, netlist: str | None, folder: Path, progress: Progress) -> tuple[Path, tuple[str, ...]]:
    """The Verilog that is simulated: the user's, the design's own, or its netlist's; and what the latter leaves unproven."""
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


def _run_both(run: Run, hardware: Path, folder: Path, simulator: str, waves: Path | None, progress: Progress) -> tuple[CosimResult, str]:
    """Run the Verilog and the model, and compare them; the result, and the name of the model."""
    from sim.cosim import cosim as run_and_compare
    from sim.simulators import Options

    steps, fast = run.steps, run.steps * run.spec.network.n_parameters > FAST_REFERENCE
    title = f"Simulating {run.spec.name} with {simulator}"
    progress.status(f"{title}, {steps:,} steps, beside the model in a process of its own.")
    with tempfile.TemporaryDirectory(prefix="work-", dir=folder) as work:
        found = run_and_compare(
            run,
            hardware,
            Path(work),
            simulator=simulator,
            options=Options(waves=waves, notify=progress.status),
            fast_reference=fast,
            steps_done=lambda done: progress.update(title, done, steps, f"step {done:,}"),
        )
    return found, "python_ref.fixed.fast" if fast else "python_ref.fixed.machine"


def _reported(found: CosimResult, **more: Any) -> Cosimulated:
    """What came of a co-simulation, in a user's words, with what only the flow knows."""
    same = {each.name: getattr(found, each.name) for each in fields(Cosimulated) if hasattr(found, each.name)}
    words = {"failure": found.failure or "", "first_difference_text": str(found.first_difference or "")}
    return Cosimulated(**(same | words | more))


def _changed_lines(given: Path, generated: str) -> tuple[int, int]:
    """How many lines of a file are not those generated, and the first of them, from 1; (0, 0) if it is the same but for blanks."""
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


def _check_disk(directory: Path, spec: DesignSpec, steps: int) -> None:
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
