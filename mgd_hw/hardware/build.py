"""The verb ``build``: a bitstream for a board."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.common import figures, style
from mgd_hw.common.files import atomic_directory, results_directory, write_json
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result
from mgd_hw.design.argument import built, read_any
from mgd_hw.design.description import Design
from mgd_hw.design.external import ExternalDesign
from mgd_hw.hardware.boards import board_of
from mgd_hw.hardware.top import megahertz, top_manifest
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import DesignError, naming
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

    from boards.flow.build import Built, Placed
    from boards.parts.learning_cost import LearningCost
    from boards.parts.target import Part

__all__ = ["Build", "build", "placement"]

CEILINGS = {
    "ice40-up5k": (0.7e9, "7 multipliers at about 100 MHz, parameters in block RAM"),
    "ecp5-85k": (16.8e9, "156 multipliers at 108 MHz, as Yosys infers them"),
    "gowin-gw1nr9": (20 * 108e6, "20 multipliers at an ECP5's 108 MHz, since their own rate was not measured"),
    "gowin-gw2ar18": (48 * 108e6, "48 multipliers at an ECP5's 108 MHz, since their own rate was not measured"),
    "xc7": (90 * 108e6, "90 multipliers at an ECP5's 108 MHz, since their own rate was not measured"),
}
"""Upper bound on the synapses that each part can visit per second, and the basis of the estimate."""

_UNVERIFIED = "nothing here places and routes this part, so that its clock is not verified"


@dataclass(frozen=True)
class Build(Result):
    """Bitstream of a design for a board, with its resources, clock and speed; the content of build.json.

    Attributes
    ----------
    design, board, digest : str
        Names of the design and the board, and digest of the design's structure.
    bitstream : Path or None
        Path of the bitstream file; None for a board without place and route.
    program : str
        Shell command that loads the bitstream onto the board; "" without one.
    lanes : int
        Number of lanes that work in parallel, L.
    lut, ff, dsp, bram : int
        Look-up tables, flip-flops, multipliers and block memories of the whole design, link and clock included, counted after synthesis.
    utilisation : dict of str to dict
        Sites ``used`` and sites ``available`` by kind, as place and route counts them.
    clock_mhz : float
        Clock of the core in the bitstream, or in the top level where there is no bitstream, in MHz.
    frequency_mhz, frequency_min_mhz, frequency_max_mhz : float or None
        Median, least and greatest of ``frequencies_mhz``, in MHz; None without place and route.
    frequencies_mhz : tuple of float
        Highest clock that timing analysis allows, in MHz, one per seed; empty without place and route.
    frequency_source : str
        Tool that reported the frequencies, with what is known of its error.
    seeds, best_seed : int
        Number of runs of place and route, and the one whose bitstream was taken, from 1.
    limited_by : str
        Start and end of the longest path.
    cycles_per_step : float
        Clock cycles of the core in one training step, averaged over the schedule.
    steps_per_second, visits_per_second, ceiling_percent : float or None
        Training steps and visited synapses per second at ``clock_mhz``, and the latter in per cent of ``ceiling``; None where no tool
        has verified that clock. A learner visits no synapses; its steps do not include the outside's own time.
    unverified : str
        Reason why the three are None; "" if they are not.
    ceiling : float
        Upper bound on the synapses that the part can visit per second.
    ceiling_source : str
        Basis on which the ceiling was estimated.
    baud, divisor, sample_bytes : int
        Rate of the link in bits per second, clock cycles per bit, and bytes of a sample on the link; in a learner those of a pass, its
        words and its costs.
    link_steps_per_second : float
        Training steps per second for which the link can deliver the samples, or the words and the costs of a learner.
    inference_only, learning : dict of str to int
        Resources of a core for the same network without learning, and of the core that learns, with the same lanes and the same
        synthesis commands. Host port, registers, signatures and link are excluded from both. Empty for a learner, which does nothing else.
    learning_lut_per_lane : float
        Look-up tables that learning adds, shared logic included, divided by the number of lanes.
    stages : dict of str to float
        Wall-clock time of each stage, in seconds.
    history : tuple of str
        Builds at higher clocks that failed before this one, one sentence each.
    seconds : float
        Wall-clock time of the whole build, in seconds.
    directory : Path
        Directory that the files were written to.
    """

    design: str
    board: str
    digest: str
    bitstream: Path | None
    program: str
    lanes: int
    lut: int
    ff: int
    dsp: int
    bram: int
    utilisation: dict[str, dict[str, int]]
    clock_mhz: float
    frequency_mhz: float | None
    frequency_min_mhz: float | None
    frequency_max_mhz: float | None
    frequencies_mhz: tuple[float, ...]
    frequency_source: str
    seeds: int
    best_seed: int
    limited_by: str
    cycles_per_step: float
    steps_per_second: float | None
    visits_per_second: float | None
    unverified: str
    ceiling: float
    ceiling_percent: float | None
    ceiling_source: str
    baud: int
    divisor: int
    sample_bytes: int
    link_steps_per_second: float
    inference_only: dict[str, int]
    learning: dict[str, int]
    learning_lut_per_lane: float
    stages: dict[str, float]
    history: tuple[str, ...]
    seconds: float
    directory: Path = field(default=Path())

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the tables "result", which has one row, and "utilisation", with one row per kind of site."""
        return {**super().tables(), "utilisation": [{"kind": kind, **counts} for kind, counts in self.utilisation.items()]}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield style.wrapped(f"[bold]{style.escape(self.design)}[/bold] on {self.board}, {self.lanes} lanes, digest {self.digest}")
        table = style.table("", "used", "available")
        for kind, count in self.utilisation.items():
            table.add_row(kind, f"{count['used']:,}", f"{count['available']:,}")
        yield table
        yield style.wrapped(f"{self.lut:,} LUTs, {self.ff:,} flip-flops, {self.dsp} multipliers, {self.bram} block RAMs, link included.")
        yield from self.history
        if self.frequency_mhz is not None:
            of_seeds = "one seed" if self.seeds == 1 else f"median of {self.seeds} seeds"
            yield (
                f"{self.frequency_mhz:.2f} MHz, {of_seeds} ({self.frequency_min_mhz:.2f} to "
                f"{self.frequency_max_mhz:.2f}), limited {self.limited_by}; by {style.escape(self.frequency_source)}"
            )
        yield self.rates()
        if self.learning:
            yield (
                f"Without host and link: {self.learning['lut']:,} LUTs with learning, {self.inference_only['lut']:,} for inference only; "
                f"learning takes {self.learning_lut_per_lane:.0f} per lane, shared logic included"
            )
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.stages.items())
        yield f"{stages}; {self.seconds:.1f} s in all"
        if self.bitstream is not None:
            load = f" Load it: {style.escape(self.program)}" if self.program else ""
            yield f"Wrote {style.escape(str(self.bitstream))}.{load}"
        else:
            yield style.wrapped(
                f"Wrote Verilog and constraints to {style.escape(str(self.directory))}; the maker's tool builds this board's bitstream."
            )

    def rates(self) -> str:
        """Return a sentence with the steps and synapses per second of the core, and the steps per second of the link."""
        cycles = f"{self.cycles_per_step:,.1f} cycles per step"
        link = f"through the link of {self.baud:,} baud {self.link_steps_per_second:,.0f}"
        if self.steps_per_second is None:
            return f"{cycles}; {link} steps per second. UNVERIFIED at {self.clock_mhz:g} MHz: {self.unverified}."
        if self.visits_per_second is None or self.ceiling_percent is None:
            steps = f"{self.steps_per_second:,.0f} steps per second without the outside's own time"
            return f"At {self.clock_mhz:g} MHz: {cycles}, {steps} ({link})"
        return (
            f"At {self.clock_mhz:g} MHz: {cycles}, {self.steps_per_second:,.0f} steps per second ({link}), "
            f"{self.visits_per_second / 1e6:,.0f} million synapses per second, {self.ceiling_percent:.1f} % of the part's ceiling"
        )

    def plot(self) -> Figure:
        rows = {kind: 100 * each["used"] / max(1, each["available"]) for kind, each in self.utilisation.items()}
        return figures.bars(rows, f"{self.design} on {self.board}", "places used (%)")


def build(
    design: str | Path | Design | ExternalDesign,
    board: str,
    *,
    seeds: int = 3,
    clock: float | None = None,
    baud: int | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Build:
    """Build a design's bitstream for a board, and write it with build.json, a picture of the placed design, and the tools' logs.

    Parameters
    ----------
    design : path, name or Design
        Path of a design file, name of a shipped design, or a design that was read before; if its network is outside, the host is that,
        over the serial line.
    board : str
        Name of a board, or path of the user's own board file.
    seeds : int
        Number of runs of place and route. The bitstream is that of the fastest.
    clock : float or None
        Clock of the core that timing must meet, in MHz; None takes the board's, or the highest that the design meets.
    baud : int or None
        Rate of the serial line, in bits per second; None takes the board's.
    out : path or None
        Directory for the bitstream and all other files; None takes mgd-hw-out/DESIGN/BOARD.
    progress : Progress or None
        Receives status messages and the progress of long tasks; None discards them.

    Raises
    ------
    Refusal
        If the design does not fit or misses the clock, or if a tool is missing or fails.
    """
    progress = progress or NullProgress()
    design = read_any(design)
    design, on = design if isinstance(design, ExternalDesign) else built(design), board_of(board)
    directory = results_directory(out, design.name, on.name)
    began = time.perf_counter()
    with atomic_directory(directory) as folder, naming(design.path, of=DesignError):
        from boards.flow.build import build_board
        from boards.flow.too_large import check_fit

        check_fit(design.spec, on.part)
        made = build_board(
            design.spec, on, folder, seeds=seeds, mhz=megahertz(clock), baud=baud, say=progress.status, progress=progress.update
        )
        _tidy(folder, seeds)
        if made.placement:
            (folder / "placement.svg").write_bytes(placement(made.placement, f"{design.name} on {on.title}"))
        described = top_manifest(design.spec, made.plan)
        (folder / "manifest.json").write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        cost = None
        if isinstance(design, Design) and not (design.spec.series or design.spec.network.random):  # a core without learning has neither
            cost, made.seconds["learning cost"] = _learning_cost(design.spec, on.part, folder / "learning", progress)
        result = _result(design.spec, made, cost, directory, time.perf_counter() - began)
        write_json(folder / "build.json", result)
    return result


def placement(cells: Sequence[Placed], title: str) -> bytes:
    """Draw the cells of a placed design, each in the colour of its component; return the bytes of an SVG file."""
    import matplotlib
    import numpy as np

    sizes = Counter(cell.component for cell in cells)
    with figures.style():
        figure = figures.empty_figure(9.6, 7.2)
        axes = figure.subplots()
        colours = matplotlib.colormaps["tab20"].colors  # type: ignore[attr-defined]
        for number, (name, size) in enumerate(sizes.most_common()):
            x, y, z = np.array([(cell.x, cell.y, cell.z) for cell in cells if cell.component == name]).T
            label = f"{name.replace('_', ' ')}, {size:,}"
            axes.scatter(x + z % 4 / 5, y + z // 4 % 4 / 5, s=3, color=colours[number % 20], label=label, linewidths=0, rasterized=True)
        axes.set(title=title, xlabel="column", ylabel="row", aspect="equal")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right upper", frameon=False, markerscale=3)
    return figures.saved(figure, "svg", title, dpi=200)


def _learning_cost(spec: DesignSpec, part: Part, folder: Path, progress: Progress) -> tuple[LearningCost, float]:
    """Synthesise the core with and without learning; return the cost of learning, and the time taken in seconds."""
    from boards.parts.learning_cost import learning_cost

    progress.status("Synthesising the same network without learning, to compare.")
    began = time.perf_counter()
    folder.mkdir()
    return learning_cost(spec, part, folder, by_component=False, notify=progress.status), time.perf_counter() - began


def _tidy(folder: Path, seeds: int) -> None:
    """Delete the large intermediate files of the build, which another build writes again."""
    for name in ["top.json", *(f"seed{seed}.{ending}" for seed in range(1, seeds + 1) for ending in ("asc", "config", "placed.json"))]:
        (folder / name).unlink(missing_ok=True)


def _visits_per_step(spec: DesignSpec) -> Fraction:
    """Return the number of synapses and biases that a step visits, averaged over the schedule."""
    from rtl_gen.core import contract

    steps = lcm(spec.schedule.sample_period, spec.schedule.update_period)
    return Fraction(contract(spec).first_visits(spec, steps), steps)


def _line_bytes(spec: LearningSpec) -> tuple[int, float]:
    """Return the bytes of a sample on the link and the steps that one lasts; in a learner those of a pass, in either direction."""
    from python_ref.spec.frames import CHECK_BYTES, HEAD_BYTES, sample_bytes
    from python_ref.spec.relay import packed_words

    if isinstance(spec, DesignSpec):
        return sample_bytes(spec), spec.schedule.sample_period
    assert isinstance(spec, LearnerSpec)
    rows = -(-spec.quantities // packed_words(spec))
    around = HEAD_BYTES + CHECK_BYTES + 2  # header, checksum and flags of a frame
    asked, written = rows + 1 + around, 5 * 2**spec.outside.average + around
    one, two = spec.schedule.passes(steps := lcm(spec.schedule.sample_period, spec.schedule.update_period))
    return asked + written + 4 * (rows + 1) + 2 * (around - 1), steps / (one + 2 * two)


def _result(spec: LearningSpec, built: Built, cost: LearningCost | None, directory: Path, seconds: float) -> Build:
    """Combine the outcome of the build flow with the rates that follow from its clock and the schedule."""
    from boards.parts.synth import cycles_per_step

    planned, cycles = built.plan, cycles_per_step(spec)
    hertz = 1e6 * float(planned.clock.mhz)
    visits = float(_visits_per_step(spec)) / cycles * hertz if isinstance(spec, DesignSpec) else None
    line_bytes, lasts = _line_bytes(spec)
    ceiling, ceiling_source = CEILINGS[planned.board.part.name]
    found = [timing.mhz for timing in built.timings]
    longest = built.timings[built.best] if found else None
    bitstream = directory / built.bitstream if built.bitstream else None
    return Build(
        design=spec.name,
        board=planned.board.name,
        digest=spec.digest,
        bitstream=bitstream,
        program=planned.board.program.format(bitstream=bitstream) if bitstream else "",
        lanes=spec.hardware.lanes,
        lut=built.total.lut,
        ff=built.total.ff,
        dsp=built.total.dsp,
        bram=built.total.bram,
        utilisation={kind: {"used": used, "available": there} for kind, (used, there) in built.used.items()},
        clock_mhz=float(planned.clock.mhz),
        frequency_mhz=built.frequency_mhz,
        frequency_min_mhz=min(found, default=None),
        frequency_max_mhz=max(found, default=None),
        frequencies_mhz=tuple(found),
        frequency_source=built.source,
        seeds=len(found),
        best_seed=built.best + 1 if found else 0,
        limited_by=f"from {longest.start} to {longest.end}" if longest and longest.start else "",
        cycles_per_step=cycles,
        steps_per_second=hertz / cycles if found else None,
        visits_per_second=visits if found else None,
        unverified="" if found else _UNVERIFIED,
        ceiling=ceiling,
        ceiling_percent=100 * visits / ceiling if found and visits is not None else None,
        ceiling_source=ceiling_source,
        baud=planned.baud,
        divisor=planned.divisor,
        sample_bytes=line_bytes,
        link_steps_per_second=planned.baud / 10 / line_bytes * lasts,
        inference_only=cost.inference.to_json() if cost else {},
        learning=cost.learning.to_json() if cost else {},
        learning_lut_per_lane=cost.lut_per_lane if cost else math.nan,
        stages=dict(built.seconds),
        history=built.history,
        seconds=seconds,
        directory=directory,
    )
