"""The verb ``synth``: synthesise a core with Yosys, and count the resources that it needs on an FPGA."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mgd_hw.common import figures, style
from mgd_hw.common.files import atomic_directory, results_directory, write_json
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result, plain
from mgd_hw.design.argument import built, read_any
from mgd_hw.design.description import Design
from mgd_hw.design.external import ExternalDesign
from mgd_hw.hardware.generate import emit_files
from python_ref.spec.error import DesignError, naming

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

    from python_ref.spec.learning import LearningSpec

__all__ = ["Synthesised", "synth"]


@dataclass(frozen=True)
class Synthesised(Result):
    """Resources that a core needs on an FPGA.

    Attributes
    ----------
    design, digest : str
        Name of the design, and digest of its structure.
    target, device : str
        Name of the part, and its maker's name for it.
    lanes : int
        Number of lanes that work in parallel, L.
    lut, ff, dsp, bram : int
        Numbers of look-up tables, flip-flops, multipliers and block memories of the core, synthesised as one.
    memory_bits : int
        Number of bits in all memories.
    cycles_per_step : float
        Clock cycles of a training step, averaged over the schedule.
    cycles : dict of str to float
        Clock cycles by the core's contract: in weight perturbation of a step with one pass and with two passes (``one_pass``,
        ``two_passes``), in node perturbation of the longest presentation and of its parts.
    cycles_summary : str
        The same in words.
    fits : bool
        Whether the part has enough resources of every kind.
    over : dict of str to int
        Number of resources beyond those of the part, by kind; empty if the core fits.
    predicted_lanes : int
        Most lanes that would fit, predicted from this synthesis; 0 if none do.
    limits : dict of str to int
        Resources that the part has, by kind.
    limits_source : str
        Document that the capacity of the part is taken from.
    components : dict of str to dict
        Resources of each component, synthesised separately from the others.
    seconds : float
        Wall-clock time of generation and synthesis, in seconds.
    multipliers_per_lane : int
        Number of multipliers of each lane.
    network_outside : bool
        Whether the core is a learner, which has one lane, and whose cycles do not include the outside's own time.
    spram : int
        Number of large memories with one port of the core.
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
    cycles: dict[str, float]
    cycles_summary: str
    fits: bool
    over: dict[str, int]
    predicted_lanes: int
    limits: dict[str, int]
    limits_source: str
    components: dict[str, dict[str, int]]
    seconds: float
    multipliers_per_lane: int = 1
    network_outside: bool = False
    spram: int = 0

    def to_json(self) -> dict:
        """Return the fields as plain data, with each kind of cycles as a field of its own."""
        found = super().to_json()
        del found["cycles_summary"]
        cycles = found.pop("cycles")
        return {**found, **{f"cycles_{name}": value for name, value in cycles.items()}}

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the tables "result", which has one row, and "components", with one row per component."""
        components = [{"component": name, **counts} for name, counts in self.components.items()]
        return {**super().tables(), "components": components}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield style.wrapped(f"[bold]{style.escape(self.design)}[/bold] for {self.target} ({self.device}), {self.lanes} lanes")
        columns = {"lut": "LUTs", "ff": "flip-flops", "dsp": "DSPs", "bram": "block RAMs"} | ({"spram": "SPRAMs"} if self.spram else {})
        table, kinds = style.table("", *columns.values()), tuple(columns)
        for name, counts in self.components.items():
            table.add_row(style.escape(name), *(f"{counts.get(kind, 0):,}" for kind in kinds))
        table.add_row("[bold]as one[/bold]", *(f"{getattr(self, kind):,}" for kind in kinds))
        table.add_row("the part has", *(f"{self.limits[kind]:,}" if self.limits.get(kind) else "–" for kind in kinds))
        yield table
        yield (
            f"{self.memory_bits:,} memory bits; {self.cycles_per_step:,.1f} cycles per step ({self.cycles_summary}); {self.seconds:.1f} s"
        )
        lanes = f"{self.predicted_lanes} {'lane' if self.predicted_lanes == 1 else 'lanes'}"
        if self.fits and self.network_outside:
            yield style.wrapped("[bold green]It fits.[/bold green]")
        elif self.fits:
            yield style.wrapped(f"[bold green]It fits.[/bold green] At most {lanes} would, as predicted from this.")
        else:
            excess = ", ".join(f"{count:,} {kind}" for kind, count in self.over.items())
            way_out = (
                f"Take hardware.lanes = {self.predicted_lanes}, as predicted from this." if self.predicted_lanes else "Take a larger part."
            )
            if "dsp" in self.over and self.multipliers_per_lane > 1:
                way_out = f"hardware.multipliers_per_lane = 1 saves about {self.dsp // 2:,} multipliers. {way_out}"
            if "learned_signature" in self.components:
                saved = sum(self.components[name].get("lut", 0) for name in ("forward_signature", "learned_signature"))
                way_out = f"hardware.signature = false saves about {saved:,} LUTs. {way_out}"
            yield f"[bold red]It does not fit:[/bold red] {excess} too many. {way_out}"

    def plot(self, title: str = "") -> Figure:
        """Draw the look-up tables and flip-flops of each component; the default title names the design and the part."""
        components = self.components or {"core": {"lut": self.lut, "ff": self.ff}}
        names = [name.replace("_", " ") for name in components]
        with figures.style():
            figure = figures.empty_figure(figures.COLUMN, 1.3 + 0.24 * len(names))
            axes = figures.plain_axes(figure, title=title or f"{self.design} for {self.target}", xlabel="cells")
            place = np.arange(len(names))
            for offset, kind, label, colour, hatch in ((-0.2, "lut", "LUTs", figures.BLUE, ""), (0.2, "ff", "flip-flops", "white", "////")):
                counts = [counted.get(kind, 0) for counted in components.values()]
                axes.barh(place + offset, counts, height=0.38, color=colour, hatch=hatch, edgecolor=figures.BLUE, label=label)
            axes.set_yticks(place, names)
            axes.invert_yaxis()
            figures.legend(figure, axes)
        return figure


def synth(
    design: str | Path | Design | ExternalDesign, *, target: str = "ice40-up5k", out: Path | None = None, progress: Progress | None = None
) -> Synthesised:
    """Synthesise a design's core for a part with Yosys, and count its resources.

    Parameters
    ----------
    design : path, name or Design
        Path of a design file, name of a shipped design, or a design that was read before; its network may be outside.
    target : str
        Name of the part: "ice40-up5k", "ecp5-85k", "gowin-gw1nr9", "gowin-gw2ar18" or "xc7".
    out : path or None
        Directory for the Verilog, the synthesis script, its log and synth.json; None takes mgd-hw-out/DESIGN.
    progress : Progress or None
        Receives status messages and the progress of long tasks; None discards them.

    Raises
    ------
    Refusal
        If the design or the target cannot be synthesised, or Yosys is missing or fails.
    """
    progress = progress or NullProgress()
    design = read_any(design)
    design = design if isinstance(design, ExternalDesign) else built(design)
    spec = design.spec
    directory = results_directory(out, design.name)
    from boards.parts.synth import synthesise

    began = time.perf_counter()
    with atomic_directory(directory) as folder:
        progress.status(f"Generating {design.name}.")
        emit_files(spec, folder)
        progress.status(f"Synthesising for {target}.{_will_not_fit(spec, target)}")
        with naming(design.path, of=DesignError):
            found = synthesise(spec, target, folder, notify=progress.status)
        names = [each.name for each in fields(Synthesised) if hasattr(found, each.name)]
        shares = {name: getattr(found, name) for name in names} | {"components": plain(found.to_json()["components"])}
        shares |= {"multipliers_per_lane": spec.hardware.multipliers_per_lane, "network_outside": isinstance(design, ExternalDesign)}
        seconds = time.perf_counter() - began
        result = Synthesised(design=spec.name, digest=spec.digest, seconds=seconds, **shares)
        write_json(folder / "synth.json", result)
    return result


def _will_not_fit(spec: LearningSpec, target: str) -> str:
    """Return a warning if the design exceeds the part by more than the worst error of the prediction; "" otherwise.

    Synthesis takes minutes, and the user can cancel it.
    """
    from boards.parts.fit import fit, parts

    over = fit(spec, target).surely_over if target in parts() else {}
    excess = ", ".join(f"{count:,} {kind}" for kind, count in over.items())
    return f" By prediction it does not fit: {excess} too many; `mgd-hw fit` says, in a second, what would." if excess else ""
