"""The walk from a design file to a proven learner, as functions: the Python API, and what the command line calls.

Every function takes a design (a path, the name of a shipped design, or a :class:`~mgd_hw.config.Design`), checks what it was
given before long work starts, and returns a frozen result with ``.to_json()``. It raises
:class:`~mgd_hw.errors.UserError` for what a user can mend.
"""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.config import DSP_ACCUMULATOR, Derived, Design, load
from mgd_hw.errors import UserError
from mgd_hw.listener import Listener, Silent
from mgd_hw.output import FOLDER, check_directory, check_file, staged, write_file
from mgd_hw.results import Result, plain
from mgd_hw.timeline import Timeline, timeline_of
from python_ref.spec.error import DesignError, naming

if TYPE_CHECKING:
    from boards.board import Board
    from mgd_hw.building import Boards, Build
    from mgd_hw.comparison import Comparison
    from mgd_hw.data import Data
    from mgd_hw.data.summary import Summary
    from mgd_hw.diagnosis import Diagnosis
    from mgd_hw.doctor import Doctor
    from mgd_hw.download import Fetched
    from mgd_hw.fitting import Fitted
    from mgd_hw.paper.run import PaperFigure, PaperPlan
    from mgd_hw.report import Chapter, Reported
    from mgd_hw.sweep.run import SweepPlan, Swept
    from mgd_hw.training import Served, Trained
    from python_ref.spec.design import DesignSpec
    from python_ref.trace import Run
    from sim.cosim import CosimResult

__all__ = [
    "Generated",
    "New",
    "advice",
    "boards",
    "build",
    "compare",
    "cosim",
    "demo",
    "diagnose",
    "doctor",
    "fetch",
    "fit",
    "generate",
    "new",
    "paper",
    "read",
    "report",
    "run_of",
    "serve",
    "sweep",
    "synth",
    "train",
]


def read(design: str | Path | Design) -> Design:
    """The design of a path, of the name of a shipped one, or itself."""
    return design if isinstance(design, Design) else load(design)


def _built(design: str | Path | Design) -> Design:
    """The same, known to ask for nothing that no hardware does."""
    from mgd_hw.software import check_hardware

    found = read(design)
    check_hardware(found)
    return found


def _place(design: Design, out: Path | None) -> Path:
    """The directory for results, known to be writable."""
    return check_directory(FOLDER / design.name if out is None else Path(out))


# -- new --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class New(Result):
    """Files written for a new design.

    Attributes
    ----------
    design, task : str
        Its name, and what it learns.
    files : tuple of Path
        The design file first.
    data : Summary or None
        What it learns; None where that could not be read.
    data_missing : str
        Why it could not be read; "" where it was.
    notes : tuple of str
        What the user should know of the design file, in sentences.
    """

    design: str
    task: str
    files: tuple[Path, ...]
    data: Summary | None = None
    data_missing: str = ""
    notes: tuple[str, ...] = ()


def new(
    name: str,
    task: str = "xor",
    *,
    data: Path | None = None,
    label: str | int | None = None,
    drop: tuple[str | int, ...] = (),
    force: bool = False,
) -> New:
    """Write a commented design file ``name``.toml that runs as it is.

    Parameters
    ----------
    name : str
        Name of the design.
    task : str
        What it learns: a key of :data:`mgd_hw.data.TASKS`.
    data : path or None
        A csv file to learn from, with ``task`` "csv".
    label, drop : str or int, tuple of them
        The column of its answers, and columns that are left out, by name or by number from 0.
    force : bool
        Whether files that are there already are written over.

    Raises
    ------
    UserError
        If the name will not do, or a file is there already and ``force`` is false.
    """
    from mgd_hw.starters import starter

    path = Path(name)
    stem = path.name[: -len(".toml")] if path.name.endswith(".toml") else path.name
    made = starter(stem, task, path.parent, data, label, drop)
    files = made.files
    for file in files:
        check_file(file, "NAME", force)
    for file, text in files.items():
        write_file(file, text, "NAME")
    design = load(next(iter(files)))
    return New(design.name, task, tuple(files), *_summary(design), made.notes)


# -- generate ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Generated(Result):
    """What was generated.

    Attributes
    ----------
    design, digest : str
        Name of the design, digest of its structure.
    directory : Path
        Where.
    files : tuple of str
        Names there.
    derived : tuple of Derived
        What the design file left out.
    advice : tuple of str
        What a user should know of it.
    manifest : dict
        manifest.json.
    timeline : Timeline or None
        The cycles of one step.
    data : Summary or None
        What the design learns; None where it could not be read.
    data_missing : str
        Why it could not be read; "" where it was.
    """

    design: str
    digest: str
    directory: Path
    files: tuple[str, ...]
    derived: tuple[Derived, ...]
    advice: tuple[str, ...]
    manifest: dict[str, Any]
    timeline: Timeline | None = None
    data: Summary | None = None
    data_missing: str = ""

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """ "derived", what the file left out; "cycles"; "spans" of a step; "summary" and "classes" of the data that were read."""
        cycles = [{"quantity": name, "cycles": value} for name, value in self.manifest.get("cycles", {}).items()]
        derived = [{"key": row.key, "value": row.value, "why": row.why} for row in self.derived]
        spans = self.timeline.rows() if self.timeline else []
        return {"derived": derived, "cycles": cycles, "spans": spans, **(self.data.tables() if self.data else {})}


def generate(design: str | Path | Design, out: Path | None = None, *, listener: Listener | None = None) -> Generated:
    """Write Verilog, memory contents, manifest.json and a synthesis script.

    Raises
    ------
    UserError
        If the design cannot be built, or the directory not be written to.
    """
    listener = listener or Silent()
    design = _built(design)
    directory = _place(design, out)
    listener.say(f"Generating {design.name}.")
    with staged(directory) as folder:
        manifest = _emit(design.spec, folder)
        files = tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))
    timeline, (data, missing) = timeline_of(design.spec), _summary(design)
    return Generated(
        design.name, design.spec.digest, directory, files, design.derived, advice(design.spec), manifest, timeline, data, missing
    )


def _summary(design: Design) -> tuple[Summary | None, str]:
    """What a design learns; or None, and why it cannot be read: hardware can be generated without."""
    from mgd_hw.data import load_design

    try:
        return load_design(design).summary, ""
    except UserError as error:
        return None, str(error)


def _emit(spec: DesignSpec, folder: Path) -> dict[str, Any]:
    from python_ref.parameters import initial_parameters, quantise_parameters
    from rtl_gen.emit import emit

    manifest = emit(spec, folder, quantise_parameters(spec, initial_parameters(spec)))
    found = plain(manifest)
    assert isinstance(found, dict)
    return found


def advice(spec: DesignSpec) -> tuple[str, ...]:
    """What a user should know of a design, in sentences."""
    said = []
    excess = spec.accumulator_width - DSP_ACCUMULATOR
    if excess > 0:
        weight = spec.formats.weight
        bits = "bit" if excess == 1 else "bits"
        narrow = replace(weight, fraction_bits=max(1, weight.fraction_bits - excess))
        said.append(
            f"The accumulator needs {spec.accumulator_width} bits; beyond {DSP_ACCUMULATOR} an iCE40 UP5K builds it from logic, "
            f'about 68 LUTs a lane. formats.weight = "{narrow}" would bring it back, or {excess} {bits} less in '
            "formats.input or formats.activation, whichever feeds the widest layer."
        )
    idle = spec.hardware.lanes - max(spec.network.sizes[1:])
    if idle > 0:
        said.append(f"{idle} of {spec.hardware.lanes} lanes never have a neuron: the widest layer has {max(spec.network.sizes[1:])}.")
    return tuple(said)


def _of_verilog(file: Path | None) -> AbstractContextManager[None]:
    """Within it, what is wrong with a simulation names ``file``, the Verilog that the user gave, if one was given."""
    from sim.error import SimulationError

    return naming(file, key=None if file is None else "--verilog", of=SimulationError)


# -- cosim ------------------------------------------------------------------------------------------------------------

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
        Steps of training.
    observables : int
        Values per step.
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
        The waveform file.
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
    listener: Listener | None = None,
) -> Cosimulated:
    """Train the Verilog in a simulator, and compare every observable of every step with the model.

    Parameters
    ----------
    design : path, name or Design
        Design.
    steps : int
        Steps of training.
    simulator : str or None
        "verilator", "icarus" or "cxxrtl"; None takes cxxrtl, or verilator for a netlist, which it compiles faster.
    waves : bool
        Whether to keep a waveform file.
    seed : int or None
        Of parameters, signs and order of samples, in place of the design's own.
    verilog : path or None
        A file to simulate in place of the Verilog just generated.
    netlist : str or None
        A part for which the core is synthesised, and whose netlist is simulated in place of its Verilog.
    out : path or None
        Directory for cosim.json, the Verilog and the waves.
    listener : Listener or None
        Told of progress.
    """
    from mgd_hw.data import load_design
    from mgd_hw.netlists import SIMULATOR, check_netlist, simulable
    from python_ref.spec.probes import values_per_step
    from rtl_gen.emit import VERILOG, emit_verilog
    from sim.cosim import cosim as run_both
    from sim.simulators import Options

    listener = listener or Silent()
    design = _built(design) if seed is None else _built(design).with_seed(seed)
    spec = design.spec
    directory = _place(design, out)
    check_netlist(netlist, verilog)
    simulator = simulator or (SIMULATOR if netlist else "cxxrtl")
    given = None if verilog is None else _verilog_file(Path(verilog))
    _check_disk(directory, spec, steps)
    run = run_of(design, load_design(design, listener=listener), steps)
    fast = steps * spec.network.n_parameters > FAST_REFERENCE
    with staged(directory) as folder, _of_verilog(given):
        if given is None:
            listener.say(f"Generating {design.name}.")
            _emit(spec, folder)
        hardware, not_covered = given or folder / VERILOG, tuple[str, ...]()
        if netlist is not None:
            with naming(design.path, of=DesignError):
                hardware, made = simulable(spec, netlist, folder, listener)
            not_covered = made.models.not_covered
        name = f"{spec.name}_waves.{'fst' if simulator == 'icarus' else 'vcd'}"
        options = Options(waves=folder / name if waves else None, notify=listener.say)
        title = f"Simulating {spec.name} with {simulator}"
        listener.say(f"{title}, {steps:,} steps, beside the model in a process of its own.")
        with tempfile.TemporaryDirectory(prefix="work-", dir=folder) as work:
            found = run_both(
                run,
                hardware,
                Path(work),
                simulator=simulator,
                options=options,
                fast_reference=fast,
                steps_done=lambda done: listener.progress(title, done, steps, f"step {done:,}"),
            )
        changed, first_changed = (0, 0) if given is None else _changed_lines(given, emit_verilog(spec))
        result = _reported(
            found,
            verilog=str(given or directory / hardware.name),
            reference="python_ref.fast" if fast else "python_ref.machine",
            observables=values_per_step(spec),
            waves=directory / name if waves and (folder / name).exists() else None,
            changed_lines=changed,
            first_changed_line=first_changed,
            netlist=netlist or "",
            not_covered=not_covered,
        )
        _write_json(folder / "cosim.json", result)
    return result


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


def _write_json(path: Path, result: Result) -> None:
    path.write_text(json.dumps(result.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _verilog_file(path: Path) -> Path:
    """The user's Verilog, known to be a readable file."""
    try:
        if path.is_dir():
            raise UserError("it is a directory", "Name a file of Verilog.", key="--verilog", value=str(path))
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise UserError(f"it cannot be read ({said})", "Name a file of Verilog.", key="--verilog", value=str(path)) from None
    return path


def _check_disk(directory: Path, spec: DesignSpec, steps: int) -> None:
    """Refuse a run whose traces would fill the disk."""
    from python_ref.spec.probes import probes
    from python_ref.trace import narrowest

    needed = 2 * steps * sum(probe.size * narrowest(probe).itemsize for probe in probes(spec))
    existing = next(place for place in (directory, *directory.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if needed > 0.8 * free:
        raise UserError(
            f"the traces of so many steps take {needed / 1e9:.1f} GB, and {existing} has {free / 1e9:.1f} GB free",
            "Take fewer steps, or another directory with -o.",
            key="--steps",
            value=steps,
        )


def run_of(design: Design, data: Data, steps: int) -> Run:
    """The run that a design file describes: raw parameters, samples and their order, for so many steps.

    Raises
    ------
    UserError
        If the run is longer than the perturbation code.
    """
    from python_ref.datasets import quantise
    from python_ref.machine import sample_number
    from python_ref.parameters import initial_parameters, quantise_parameters
    from python_ref.trace import Run

    spec = design.spec
    check_length(design, steps)
    inputs, targets = quantise(spec, data.train)
    order = data.order.indices(0, sample_number(spec, steps - 1) + 1)
    parameters = quantise_parameters(spec, initial_parameters(spec))
    return Run(spec, parameters, inputs, targets, order, steps, spec.perturbation.seed)


def check_length(design: Design, steps: int) -> None:
    """Refuse a run in which the random signs would repeat."""
    from python_ref.spec.design import code_period

    period = code_period(design.spec)
    if period is not None and steps > period:
        raise UserError(
            f"the random signs repeat after {period} steps",
            "Take fewer steps.",
            file=design.path,
            key="--steps",
            value=steps,
        )


def _board(name: str | None) -> Board | None:
    """The board of that name or file, if one is named."""
    if name is None:
        return None
    from mgd_hw.building import board_of

    return board_of(name)


# -- compare ----------------------------------------------------------------------------------------------------------


def compare(
    design: str | Path | Design,
    *,
    seeds: int | None = None,
    steps: int | None = None,
    save: Path | None = None,
    start: Path | None = None,
    validate: bool = False,
    board: str | None = None,
    out: Path | None = None,
    listener: Listener | None = None,
) -> Comparison:
    """Train float MGD, fixed MGD and back-propagation from the same parameters on the same data; write table, plots and JSON.

    Parameters
    ----------
    design : path, name or Design
        Design.
    seeds, steps : int or None
        Runs and their length; None: as the design file says.
    save, start : path or None
        npz to write the fixed model's parameters of the first seed to; npz to start from.
    validate : bool
        Whether to train without the validation samples (``data.validation_fraction``) and to judge by them: to choose
        settings without a look at the test samples.
    board : str or None
        A board, by name or file, of which the hardware's seconds are told.
    out : path or None
        Directory for compare.json and learning.png.
    listener : Listener or None
        Told of progress.
    """
    from mgd_hw import comparison
    from mgd_hw.data import load_design
    from mgd_hw.parameters import read_parameters, write_parameters
    from mgd_hw.plots import learning

    design = read(design)
    seeds, steps = seeds or design.compare.seeds, steps or design.compare.steps
    directory = _place(design, out)
    if save is not None:
        check_file(Path(save), "--save")
    parameters = None if start is None else read_parameters(design.spec, Path(start))
    check_length(design, steps)
    on = _board(board)
    data = load_design(design, validate=validate)
    judged_by = "validation" if validate else "test"
    result = comparison.compare(design, data, seeds=seeds, steps=steps, start=parameters, judged_by=judged_by, board=on, listener=listener)
    with staged(directory) as folder:
        _write_json(folder / "compare.json", result)
        (folder / "learning.png").write_bytes(learning(result, "png"))
    if save is not None and result.fixed.runs:
        write_parameters(design.spec, result.fixed.runs[0].parameters, Path(save))
    return result


# -- diagnose ---------------------------------------------------------------------------------------------------------


def diagnose(design: str | Path | Design, *, out: Path | None = None, listener: Listener | None = None) -> Diagnosis:
    """Measure what stands in the way of learning, at the initial parameters, and say what to try; write diagnose.json.

    Parameters
    ----------
    design : path, name or Design
        Design.
    out : path or None
        Directory for diagnose.json.
    listener : Listener or None
        Told of progress.
    """
    from mgd_hw.data import load_design
    from mgd_hw.diagnosis import diagnose as measure

    design = read(design)
    directory = _place(design, out)
    result = measure(design, load_design(design, listener=listener), listener=listener)
    with staged(directory) as folder:
        _write_json(folder / "diagnose.json", result)
    return result


# -- train, virtual ---------------------------------------------------------------------------------------------------


def train(
    design: str | Path | Design,
    *,
    link: str,
    steps: int,
    verify: bool = False,
    resume: bool = False,
    seed: int | None = None,
    start: Path | None = None,
    save: Path | None = None,
    baud: int = 3_000_000,
    divisor: int = 4,
    clock: float | None = None,
    verilog: Path | None = None,
    board: str | None = None,
    out: Path | None = None,
    listener: Listener | None = None,
) -> Trained:
    """Train a core at the end of a link, and read everything back.

    Parameters
    ----------
    design : path, name or Design
        Design.
    link : str
        "virtual", "serial:DEVICE" or "tcp:HOST:PORT".
    steps : int
        Steps of training, those before a checkpoint included.
    verify : bool
        Whether the fixed model runs beside the core, and is compared with it.
    resume : bool
        Whether to go on from the checkpoint.
    seed : int or None
        Of parameters, signs and order of samples, in place of the design's own.
    start, save : path or None
        npz to start from; npz to write the parameters to.
    baud : int
        Bits per second of a serial line.
    divisor : int
        Cycles per bit of a virtual board's line.
    clock : float or None
        Of the core, in hertz.
    verilog : path or None
        A file for the virtual board, in place of the Verilog just generated.
    board : str or None
        A board, by name or file, of which the hardware's seconds are told.
    out : path or None
        Directory for train.json and the checkpoint.
    listener : Listener or None
        Told of progress.
    """
    from mgd_hw.data import load_design
    from mgd_hw.parameters import read_parameters, write_parameters
    from mgd_hw.training import train_over_link
    from python_ref.parameters import quantise_parameters

    listener = listener or Silent()
    design = _built(design) if seed is None else _built(design).with_seed(seed)
    directory = _place(design, out)
    if save is not None:
        check_file(Path(save), "--save")
    given, on = None if verilog is None else _verilog_file(Path(verilog)), _board(board)
    parameters = None if start is None else read_parameters(design.spec, Path(start))
    data = load_design(design, listener=listener)
    run = run_of(design, data, steps)
    if parameters is not None:
        run = replace(run, parameters=quantise_parameters(design.spec, parameters))
    with _of_verilog(given):
        result, learned = train_over_link(
            design, run, data, link, directory=directory, verify=verify, resume=resume, baud=baud, divisor=divisor, clock=clock,
            verilog=given, board=on, listener=listener,
        )  # fmt: skip
    with staged(directory) as folder:
        _write_json(folder / "train.json", result)
    if save is not None:
        write_parameters(design.spec, learned / 2.0**design.spec.formats.weight.fraction_bits, Path(save))
    return result


def serve(
    design: str | Path | Design,
    ready: Callable[[Served], None],
    *,
    divisor: int = 4,
    verilog: Path | None = None,
    out: Path | None = None,
    listener: Listener | None = None,
) -> None:
    """Run a virtual board until a signal ends it.

    Parameters
    ----------
    design : path, name or Design
        Design.
    ready : callable
        Is told of the board when it runs.
    divisor : int
        Cycles per bit of its line.
    verilog : path or None
        A file to run in place of the Verilog just generated.
    out : path or None
        Directory to build it in.
    listener : Listener or None
        Told of progress.
    """
    from mgd_hw.training import serve as run_board

    design = _built(design)
    given = None if verilog is None else _verilog_file(Path(verilog))
    with _of_verilog(given):
        run_board(design, divisor=divisor, directory=_place(design, out), listener=listener or Silent(), verilog=given, ready=ready)


# -- synth ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Synthesised(Result):
    """What a core takes of an FPGA.

    Attributes
    ----------
    design, digest : str
        Name of the design, digest of its structure.
    target, device : str
        The part, and what its maker calls it.
    lanes : int
        Lanes.
    lut, ff, dsp, bram : int
        Look-up tables, flip-flops, multipliers, block memories.
    memory_bits : int
        Bits of all memories.
    cycles_per_step : float
        On average over the schedule.
    cycles_one_pass, cycles_two_passes : int
        Of a step with one pass and with two.
    fits : bool
        Whether the part has as much of everything.
    over : dict of str to int
        By how much the part is exceeded, by kind.
    predicted_lanes : int
        The most lanes that would fit, as predicted from this synthesis.
    limits : dict of str to int
        What the part has.
    limits_source : str
        Where that stands.
    components : dict of str to dict
        The counts of each component, synthesised apart.
    seconds : float
        It took.
    """

    design: str
    digest: str
    target: str
    device: str
    lanes: int
    lut: int
    ff: int
    dsp: int
    bram: int
    memory_bits: int
    cycles_per_step: float
    cycles_one_pass: int
    cycles_two_passes: int
    fits: bool
    over: dict[str, int]
    predicted_lanes: int
    limits: dict[str, int]
    limits_source: str
    components: dict[str, dict[str, int]]
    seconds: float

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """ "result", and "components"."""
        components = [{"component": name, **counts} for name, counts in self.components.items()]
        return {**super().tables(), "components": components}


def synth(
    design: str | Path | Design, *, target: str = "ice40-up5k", out: Path | None = None, listener: Listener | None = None
) -> Synthesised:
    """Synthesise with Yosys for a family of FPGAs.

    Parameters
    ----------
    design : path, name or Design
        Design.
    target : str
        "ice40-up5k", "ecp5-85k", "gowin-gw1nr9", "gowin-gw2ar18" or "xc7".
    out : path or None
        Directory for the Verilog, the script, its log and synth.json.
    listener : Listener or None
        Told of progress.
    """
    listener = listener or Silent()
    design = _built(design)
    spec = design.spec
    directory = _place(design, out)
    from boards.synth import synthesise

    began = time.perf_counter()
    with staged(directory) as folder:
        listener.say(f"Generating {design.name}.")
        _emit(spec, folder)
        listener.say(f"Synthesising for {target}.{_will_not_fit(spec, target)}")
        with naming(design.path, of=DesignError):
            found = synthesise(spec, target, folder, notify=listener.say)
        names = [each.name for each in fields(Synthesised) if hasattr(found, each.name)]
        shares = {name: getattr(found, name) for name in names} | {"components": plain(found.to_json()["components"])}
        seconds = time.perf_counter() - began
        result = Synthesised(design=spec.name, digest=spec.digest, seconds=seconds, **shares)
        _write_json(folder / "synth.json", result)
    return result


def _will_not_fit(spec: DesignSpec, target: str) -> str:
    """A warning, before minutes of synthesis, of what is too large by more than any error of the prediction; else ""."""
    from boards.fit import fit, parts

    over = fit(spec, target).surely_over if target in parts() else {}
    excess = ", ".join(f"{count:,} {kind}" for kind, count in over.items())
    return f" By prediction it does not fit: {excess} too many; `mgd-hw fit` says, in a second, what would." if excess else ""


# -- sweep ------------------------------------------------------------------------------------------------------------


def sweep(
    design: str | Path | Design | None,
    vary: Mapping[str, Sequence[Any]] | None = None,
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
    listener: Listener | None = None,
) -> Swept | SweepPlan:
    """Train a design with all combinations of some keys' values, each from several seeds; go on where an earlier sweep ended.

    Parameters
    ----------
    design : path, name or Design, or None
        Design; None runs nothing, and chooses from what the last sweep in ``out`` found.
    vary : dict or None
        Values, as TOML has them, by dotted key.
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
    listener : Listener or None
        Told of progress.

    Raises
    ------
    UserError
        If a key, a value or every combination is refused; if another sweep is at work in the directory; if it cannot be written to.
    """
    from mgd_hw.sweep import run

    if design is None:
        if vary:
            raise UserError("a design is varied, and none is named", "Name it first: mgd-hw sweep DESIGN --vary …", key="--vary")
        return run.choose(run.latest() if out is None else Path(out), condition=best, minimize=minimize, maximize=maximize)
    return run.sweep(
        read(design), vary or {}, seeds=seeds, steps=steps, backprop=backprop, validate=validate, targets=targets, boards=boards,
        workers=workers, scheduler=scheduler, condition=best, minimize=minimize, maximize=maximize, dry_run=dry_run, out=out,
        listener=listener,
    )  # fmt: skip


# -- paper ------------------------------------------------------------------------------------------------------------


def paper(
    figure: str,
    *,
    n: Sequence[int] | None = None,
    seeds: int | None = None,
    iterations: int | None = None,
    workers: int | None = None,
    dry_run: bool = False,
    out: Path | None = None,
    listener: Listener | None = None,
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
    listener : Listener or None
        Told of progress.

    Raises
    ------
    UserError
        If there is no such figure, a number is out of range, the images are not there, or the directory cannot be written to.
    """
    from mgd_hw.paper import run

    return run.paper(figure, n=n, seeds=seeds, iterations=iterations, workers=workers, dry_run=dry_run, out=out, listener=listener)


# -- boards, build, fit -----------------------------------------------------------------------------------------------


def boards() -> Boards:
    """The boards that come with the package; see :func:`mgd_hw.building.boards`."""
    from mgd_hw.building import boards as known

    return known()


def build(
    design: str | Path | Design,
    board: str,
    *,
    seeds: int = 3,
    clock: float | None = None,
    baud: int | None = None,
    out: Path | None = None,
    listener: Listener | None = None,
) -> Build:
    """Build a bitstream for a board; see :func:`mgd_hw.building.build`."""
    from mgd_hw.building import build as build_bitstream

    return build_bitstream(design, board, seeds=seeds, clock=clock, baud=baud, out=out, listener=listener)


def fit(design: str | Path | Design) -> Fitted:
    """Predict which parts a design fits; see :func:`mgd_hw.fitting.fit`."""
    from mgd_hw.fitting import fit as predict

    return predict(design)


# -- fetch ------------------------------------------------------------------------------------------------------------


def fetch(task: str, directory: Path | None = None, *, listener: Listener | None = None) -> Fetched:
    """Download a public data set; see :func:`mgd_hw.download.fetch`."""
    from mgd_hw.download import fetch as download

    return download(task, directory, listener=listener)


# -- doctor -----------------------------------------------------------------------------------------------------------


def doctor() -> Doctor:
    """Which tools were found, and what is missing."""
    from mgd_hw.doctor import doctor as look

    return look()


# -- demo -------------------------------------------------------------------------------------------------------------

DEMONSTRATED = {"xor": ("XOR", 1000, 3, 10_000), "digits": ("Handwritten digits", 100, 2, 300_000)}
"""What a demonstration shows: title, steps of co-simulation, seeds and steps of the comparison."""


@dataclass(frozen=True)
class Demonstrated(Result):
    """What a demonstration found.

    Attributes
    ----------
    directory : Path
        Where report.html and report.json are.
    designs : tuple of Chapter
        What was done with each design.
    seconds : float
        It all took.
    """

    directory: Path
    designs: tuple[Chapter, ...]
    seconds: float

    ALSO = ("good",)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """ "designs": what was found of each."""
        parts = ("cosimulated", "compared", "synthesised")
        rows = []
        for chapter in self.designs:
            row: dict[str, Any] = {"design": chapter.generated.design, "digest": chapter.generated.digest}
            for name in parts:
                part = getattr(chapter, name)
                row |= {} if part is None else {f"{name}.{key}": value for key, value in Result.tables(part)["result"][0].items()}
            rows.append(row)
        return {"designs": rows}

    @property
    def good(self) -> bool:
        """Whether every core is equal to its model, and no compared run diverged."""
        return all(chapter.good for chapter in self.designs)


def demo(out: Path | None = None, *, listener: Listener | None = None) -> Demonstrated:
    """Generate, co-simulate, compare and synthesise the designs xor and digits; write report.html and report.json.

    Parameters
    ----------
    out : path or None
        Directory for everything.
    listener : Listener or None
        Told of progress.
    """
    from mgd_hw.report import write

    listener = listener or Silent()
    directory = check_directory(FOLDER / "demo" if out is None else Path(out))
    began = time.perf_counter()
    chapters = []
    for number, (name, (title, cosim_steps, seeds, steps)) in enumerate(DEMONSTRATED.items(), 1):
        listener.say(f"[{number} of {len(DEMONSTRATED)}] {title}")
        plan = _Plan(cosim_steps, seeds, steps, "ice40-up5k", "icebreaker")
        chapters.append(_chapter(read(name), name, title, plan, directory / name, listener))
    with staged(directory) as folder:
        write(folder, "mgd-hw demo", tuple(chapters))
    return Demonstrated(directory, tuple(chapters), time.perf_counter() - began)


# -- report -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """What a chapter of a report shows: steps of the proof, seeds and steps of the comparison, a part and a board."""

    proof: int
    seeds: int
    steps: int
    target: str
    board: str


def _chapter(design: Design, called: str, title: str, plan: _Plan, place: Path, listener: Listener) -> Chapter:
    """Do all that a report shows of a design, which the user ``called`` by a name or a path."""
    from mgd_hw.data import load_design
    from mgd_hw.observation import observe
    from mgd_hw.provenance import provenance
    from mgd_hw.report import Chapter

    called, generated = shlex.quote(called), generate(design, place, listener=listener)
    cosimulated = cosim(design, steps=plan.proof, out=place, listener=listener)
    compared = compare(design, seeds=plan.seeds, steps=plan.steps, board=plan.board, out=place, listener=listener)
    if compared.interrupted:
        raise KeyboardInterrupt
    data = load_design(design)
    listener.say("Looking at the numbers of a run.")
    observed = observe(design, data, steps=plan.steps, listener=listener)
    synthesised = synth(design, target=plan.target, out=place, listener=listener)
    commands = (
        f"mgd-hw generate {called}",
        f"mgd-hw cosim {called} --steps {plan.proof}",
        f"mgd-hw compare {called} --seeds {plan.seeds} --steps {plan.steps} --board {plan.board}",
        f"mgd-hw synth {called} --target {plan.target}",
        f"mgd-hw report {called} --proof {plan.proof} --seeds {plan.seeds} --steps {plan.steps} --target {plan.target} "
        f"--board {plan.board}",
    )
    built, placement = _found_build(design, place)
    origin = provenance(design, data, commands, plan.seeds)
    return Chapter(title, design.text, generated, cosimulated, compared, synthesised, observed, origin, built, placement)


def _found_build(design: Design, place: Path) -> tuple[dict[str, Any] | None, str]:
    """build.json and the picture of the latest bitstream of the very same design, where ``build`` leaves them; (None, "") without one."""
    found = [*(FOLDER / design.name).glob("*/build.json"), *place.glob("*/build.json")]
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            built = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(built, dict) and built.get("digest") == design.spec.digest:
            picture = path.with_name("placement.svg")
            return built, picture.read_text(encoding="utf-8") if picture.is_file() else ""
    return None, ""


def report(
    design: str | Path | Design,
    *,
    proof: int = 200,
    seeds: int | None = None,
    steps: int | None = None,
    target: str = "ice40-up5k",
    board: str = "icebreaker",
    out: Path | None = None,
    listener: Listener | None = None,
) -> Reported:
    """Generate, co-simulate, compare, look at the numbers and synthesise; write report.html and report.json.

    Parameters
    ----------
    design : path, name or Design
        Design.
    proof : int
        Steps of co-simulation.
    seeds, steps : int or None
        Of the comparison; None: as the design file says.
    target : str
        Part of the synthesis.
    board : str
        Of which the hardware's seconds are told.
    out : path or None
        Directory for everything. A bitstream that `mgd-hw build` left in it, or where it leaves them, is shown.
    listener : Listener or None
        Told of progress.
    """
    from mgd_hw.report import Reported, write

    listener, called = listener or Silent(), str(design.path if isinstance(design, Design) else design)
    design, began = _built(design), time.perf_counter()
    directory, _ = _place(design, out), _board(board)
    plan = _Plan(proof, seeds or design.compare.seeds, steps or design.compare.steps, target, board)
    check_length(design, plan.steps)
    chapter = _chapter(design, called, design.name, plan, directory, listener)
    with staged(directory) as folder:
        write(folder, f"mgd-hw report: {design.name}", (chapter,))
    return Reported(directory, chapter, time.perf_counter() - began)
