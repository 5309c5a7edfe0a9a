"""The verb ``generate``: write the Verilog of a core, or of the top level for a board, with all files that accompany it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.common import style
from mgd_hw.common.files import atomic_directory, results_directory
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result, plain
from mgd_hw.data.summary import Summary, shown_or_missing
from mgd_hw.design.argument import built, read_any
from mgd_hw.design.derive import DSP_ACCUMULATOR
from mgd_hw.design.description import Derived, Design
from mgd_hw.design.external import ExternalDesign
from mgd_hw.design.samples import summary_or_reason
from mgd_hw.hardware.boards import board_of
from mgd_hw.hardware.headers import COMPONENT, require_peakrdl, write_headers
from mgd_hw.hardware.simulation import FOLDER as SIMULATION
from mgd_hw.hardware.simulation import write_simulation
from mgd_hw.hardware.timeline import Timeline, contract_rows, learner_rows, timeline_of
from mgd_hw.hardware.top import megahertz, top_manifest
from python_ref.spec.error import DesignError, Refusal, naming

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

    from boards.board import Board
    from python_ref.spec.bus import Bus, Feeding
    from python_ref.spec.design import DesignSpec
    from python_ref.spec.learning import LearningSpec

__all__ = ["Generated", "advice", "emit_files", "generate"]


@dataclass(frozen=True)
class Generated(Result):
    """Files that were generated from a design, and a summary of the core.

    Attributes
    ----------
    design, digest : str
        Name of the design, and digest of its structure.
    directory : Path
        Directory that the files were written to.
    files : tuple of str
        Paths of all written files, relative to the directory.
    derived : tuple of Derived
        Values that the design file leaves out, with the reason for each.
    advice : tuple of str
        Advice about the hardware of the design, one sentence each.
    manifest : dict
        Contents of manifest.json as plain data.
    contract : tuple of (str, float, str)
        Quantities of the core's cycle contract: name, cycles, and meaning.
    timeline : Timeline or None
        Timeline of the clock cycles of one training step, or in node perturbation of one presentation.
    data : Summary or None
        Summary of the samples that the design learns; None where they were not read.
    data_missing : str
        Reason why the samples cannot be read; "" otherwise.
    """

    design: str
    digest: str
    directory: Path
    files: tuple[str, ...]
    derived: tuple[Derived, ...]
    advice: tuple[str, ...]
    manifest: dict[str, Any]
    contract: tuple[tuple[str, float, str], ...] = ()
    timeline: Timeline | None = None
    data: Summary | None = None
    data_missing: str = ""

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the tables "derived", "cycles" and "spans", and those of the summary of the samples if there is one."""
        cycles = [{"quantity": name, "cycles": value} for name, value in self.manifest.get("cycles", {}).items()]
        derived = [{"key": row.key, "value": row.value, "why": row.why} for row in self.derived]
        spans = self.timeline.rows() if self.timeline else []
        return {"derived": derived, "cycles": cycles, "spans": spans, **(self.data.tables() if self.data else {})}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield style.wrapped(f"[bold]{style.escape(self.design)}[/bold], digest {self.digest}")
        if self.derived:
            table = style.table("derived", "value", "because", numbers=False)
            for row in self.derived:
                table.add_row(style.escape(row.key), style.escape(row.value), style.escape(row.why))
            yield table
        yield from shown_or_missing(self.data, self.data_missing)
        table = style.table("cycles", "", "", numbers=False)
        for name, value, meaning in self.contract:
            table.add_row(name, f"{value:,.10g}", meaning)
        yield table
        for sentence in self.advice:
            yield f"Note: {style.escape(sentence)}"
        plain_files = [name for name in self.files if "/" not in name]
        folders = Counter(name.partition("/")[0] for name in self.files if "/" in name)
        listed = [*plain_files, *(f"{folder}/ ({count} files)" for folder, count in folders.items())]
        yield f"Wrote {style.escape(', '.join(listed))} to {style.escape(str(self.directory))}"

    def plot(self) -> Figure:
        if self.timeline is None:
            return super().plot()
        return self.timeline.plot()


def generate(
    design: str | Path | Design | ExternalDesign,
    out: Path | None = None,
    *,
    board: str | None = None,
    bus: str | None = None,
    samples: str | None = None,
    outside: str | None = None,
    headers: bool = False,
    clock: float | None = None,
    baud: int | None = None,
    progress: Progress | None = None,
) -> Generated:
    """Write Verilog, memory contents, manifest.json and a synthesis script; for a board, write its top level with constraints.

    With ``bus``, a module with the ports of that bus surrounds the core, and the manifest describes its registers.

    Parameters
    ----------
    design : path, name or Design
        Path of a design file, name of a shipped design, or a design that was read before; its network may be outside.
    out : path or None
        Directory for the files; None takes mgd-hw-out/DESIGN, mgd-hw-out/DESIGN/BOARD for a board, or mgd-hw-out/DESIGN/BUS for a bus.
    board : str or None
        Name of a board, or path of the user's own board file; None writes the core alone.
    bus : str or None
        Bus of a processor that the core is put behind, "axi4-lite" or "wishbone"; None leaves the core's own streams.
    samples : str or None
        How samples reach a core behind a bus: "bus" through a register, "axi4-stream" as frames; None takes "bus".
    outside : str or None
        Where a learner behind a bus has its outside: "registers" of the processor, or "ports"; None takes "registers".
    headers : bool
        Whether C headers, a page and an IP-XACT component of the registers behind the bus are written as well; it needs PeakRDL.
    clock : float or None
        Clock of the core on the board, in MHz; None takes the board's.
    baud : int or None
        Rate of the board's serial line, in bits per second; None takes the board's.
    progress : Progress or None
        Receives status messages and the progress of long tasks; None discards them.

    Raises
    ------
    Refusal
        If the design or the board's clock cannot be built, if a clock or a rate is given without a board, if a board is given with a
        bus, if a bus is unknown, or missing beside ``samples`` or ``headers``, if PeakRDL is missing, or if the directory cannot be
        written to.
    """
    progress, design = progress or NullProgress(), read_any(design)
    chosen = _with_outside(design, bus, samples, outside)
    if headers and bus is None:
        reason = "the registers have byte addresses only behind a bus, and no bus is named"
        raise Refusal(reason, "Name one with --bus, or leave it out.", key="--headers")
    if headers:
        require_peakrdl()
    if board is not None and bus is not None:
        raise Refusal("a board has its serial line, and no bus of a processor", "Leave out --board or --bus.", key="--bus", value=bus)
    if board is not None:
        on = design if isinstance(design, ExternalDesign) else built(design)
        return _for_board(on, board_of(board), clock, baud, out, progress)
    for key, value in (("--clock", clock), ("--baud", baud)):
        if value is not None:
            raise Refusal(
                "it is a setting of a board, and no board is named", "Name one with --board, or leave it out.", key=key, value=value
            )
    design = design if isinstance(design, ExternalDesign) else built(design)
    directory = results_directory(out, design.name, *([] if bus is None else [bus]))
    progress.status(f"Generating {design.name}{'' if bus is None else f' for {bus}'}.")
    with atomic_directory(directory) as folder:
        manifest = emit_files(design.spec, folder, chosen)
        if headers:
            _write_headers(design, chosen, folder)
        if isinstance(design, ExternalDesign):
            write_simulation(design.spec, folder / SIMULATION)
        files = tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))
    if isinstance(design, ExternalDesign):
        contract = learner_rows(design.spec)
        return Generated(design.name, design.spec.digest, directory, files, design.derived, (), manifest, contract)
    spec, (data, missing) = design.spec, summary_or_reason(design)
    described = design.derived, advice(spec), manifest, contract_rows(spec), timeline_of(spec)
    return Generated(design.name, spec.digest, directory, files, *described, data, missing)


def _for_board(
    design: Design | ExternalDesign, on: Board, clock: float | None, baud: int | None, out: Path | None, progress: Progress
) -> Generated:
    """Write the top level for a board, its constraints, the scripts of the build, and manifest.json."""
    directory = results_directory(out, design.name, on.name)
    with atomic_directory(directory) as folder, naming(design.path, of=DesignError):
        from boards.flow.build import write_sources
        from boards.flow.too_large import check_fit
        from boards.plan import plan_for

        progress.status(f"Generating {design.name} for {on.name}.")
        check_fit(design.spec, on.part)
        planned = plan_for(design.spec, on, mhz=megahertz(clock), baud=baud)
        files = write_sources(design.spec, planned, folder)
        described = top_manifest(design.spec, planned)
        (folder / "manifest.json").write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    clocked = Derived("--clock", f"{float(planned.clock.mhz):g} MHz", f"{planned.baud:,} baud are {planned.divisor} cycles per bit")
    derived = (*design.derived, clocked)
    spec, files = design.spec, (*files, "manifest.json")
    if isinstance(design, ExternalDesign):
        return Generated(design.name, spec.digest, directory, files, derived, (), described, learner_rows(design.spec))
    cycles, timeline = contract_rows(design.spec), timeline_of(design.spec)
    return Generated(design.name, spec.digest, directory, files, derived, advice(design.spec), described, cycles, timeline)


def _bus_of(bus: str | None, samples: str | None) -> tuple[Bus, Feeding] | None:
    """The bus and the source of samples with these names; None without a bus."""
    from python_ref.spec.bus import Bus, SampleSource

    if bus is None and samples is not None:
        reason = "it says how samples reach a core behind a bus, and no bus is named"
        raise Refusal(reason, "Name one with --bus, or leave it out.", key="--samples", value=samples)
    for key, value, kind in (("--bus", bus, Bus), ("--samples", samples, SampleSource)):
        names = [member.value for member in kind]
        if value is not None and value not in names:
            raise Refusal("it is not known", f"Name {' or '.join(names)}.", key=key, value=value)
    return None if bus is None else (Bus(bus), SampleSource.BUS if samples is None else SampleSource(samples))


OUTSIDES = ("registers", "ports")
"""Places where a learner behind a bus can have its outside."""


def _with_outside(design: Design | ExternalDesign, bus: str | None, samples: str | None, outside: str | None) -> tuple[Bus, Feeding] | None:
    """The bus, with the ports of a learner's outside in the place of samples where these are asked for."""
    from python_ref.spec.bus import OutsidePorts

    if samples is not None and isinstance(design, ExternalDesign):
        reason = "a learner has no samples, and behind a bus its words and costs go through registers"
        raise Refusal(reason, "Leave it out.", file=design.path, key="--samples", value=samples)
    chosen = _bus_of(bus, samples)
    if outside is None:
        return chosen
    if outside not in OUTSIDES:
        raise Refusal("it is not known", f"Name {' or '.join(OUTSIDES)}.", key="--outside", value=outside)
    if chosen is None:
        reason = "it says where a learner behind a bus has its outside, and no bus is named"
        raise Refusal(reason, "Name one with --bus, or leave it out: without a bus, the streams are ports.", key="--outside", value=outside)
    if not isinstance(design, ExternalDesign):
        raise Refusal("only a learner has an outside", "Leave it out.", file=design.path, key="--outside", value=outside)
    return (chosen[0], OutsidePorts.PORTS) if outside == "ports" else chosen


def emit_files(spec: LearningSpec, folder: Path, bus: tuple[Bus, Feeding] | None = None) -> dict[str, Any]:
    """Write the files of a core into a folder, behind a bus if one is given, and return its manifest as plain data."""
    from python_ref.parameters import initial_parameters, quantise_parameters
    from rtl_gen.emit import emit

    parameters = quantise_parameters(spec, initial_parameters(spec))
    if bus is None:
        manifest = emit(spec, folder, parameters)
    else:
        from rtl_gen.bus.top import emit_bus

        manifest = emit_bus(spec, *bus, folder, parameters)
    found = plain(manifest)
    assert isinstance(found, dict)
    return found


def _write_headers(design: Design | ExternalDesign, chosen: tuple[Bus, Feeding] | None, folder: Path) -> None:
    """Write what programs and tools read of a core behind a bus: the files of its registers, and the C header that sets it up."""
    from mgd_hw.hardware.setup_header import SETUP, setup_header
    from python_ref.parameters import initial_parameters, quantise_parameters
    from rtl_gen.bus.ipxact import completed_component
    from rtl_gen.bus.top import REGISTERS

    assert chosen is not None, "headers belong to a core behind a bus"
    spec = design.spec
    write_headers(folder / REGISTERS, folder)
    component = folder / COMPONENT
    component.write_text(completed_component(component.read_text(encoding="utf-8"), spec, *chosen), encoding="utf-8")
    text = setup_header(spec, chosen[0], quantise_parameters(spec, initial_parameters(spec)))
    (folder / SETUP).write_text(text, encoding="utf-8")


def advice(spec: DesignSpec) -> tuple[str, ...]:
    """Return advice about the hardware of a design: wide accumulators, lanes without a neuron, and unread inputs."""
    sentences = []
    excess = spec.accumulator_width - DSP_ACCUMULATOR
    if excess > 0:
        weight = spec.formats.weight
        bits = "bit" if excess == 1 else "bits"
        narrow = replace(weight, fraction_bits=max(1, weight.fraction_bits - excess))
        sentences.append(
            f"The accumulator needs {spec.accumulator_width} bits; beyond {DSP_ACCUMULATOR} an iCE40 UP5K builds it from logic, "
            f'about 68 LUTs a lane. formats.weight = "{narrow}" would bring it back, or {excess} {bits} less in '
            "formats.input or formats.activation, whichever feeds the widest layer."
        )
    idle = spec.hardware.lanes - max(spec.network.sizes[1:])
    if idle > 0:
        sentences.append(f"{idle} of {spec.hardware.lanes} lanes never have a neuron: the widest layer has {max(spec.network.sizes[1:])}.")
    for number, layer in enumerate(spec.network.layers, 1):
        lists = [] if layer.lists is None else layer.lists.tolist()
        read = len({each for listed in lists for each in listed}) if lists else layer.n_in
        if 10 * read < 9 * layer.n_in:
            sentences.append(
                f"Layer {number} is sparse, and reads {read:,} of its {layer.n_in:,} inputs, since it has {len(lists):,} "
                f"lists of {layer.fan_in:,}. A smaller block or a larger fan_in reads more."
            )
    return tuple(sentences)
