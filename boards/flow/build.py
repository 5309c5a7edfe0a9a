"""Build a board's bitstream from a design: synthesis, place and route from several seeds, timing analysis, packing."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from boards.alone import emit_alone_top
from boards.board import Board
from boards.flow.constraints import constraints
from boards.flow.timing import SOURCES, Timing, component, of_icetime, read_report
from boards.flow.too_large import too_large
from boards.flow.tools import Job, find_tool, run_jobs, tool_failed
from boards.parts import carry_registers, multiplier_sites, output_registers, reset_copies
from boards.parts.products import PRODUCTS, product_map
from boards.parts.synth import check_memory, count, fitting_lanes, over, synthesise
from boards.parts.target import Part, Resources
from boards.plan import Plan, plan_below, plan_for
from boards.top import emit_top, top_module
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import Refusal, unknown
from python_ref.spec.learning import LearningSpec
from rtl_gen.emit import kept_modules
from rtl_gen.toolchain.equal_modules import merged
from rtl_gen.toolchain.yosys import find_yosys, run_yosys

__all__ = ["BITSTREAMS", "Built", "Placed", "build_board", "write_sources"]

BITSTREAMS = {"ice40": "bin", "ecp5": "bit", "gowin": "fs"}
"""File name extension of a bitstream, by family."""

ATTEMPTS = 3
"""Most builds of one call; the clock is lowered between them."""

TIMING_WEIGHT = 30
"""Weight of critical wires in the analytic placer of nextpnr-ice40, whose default is 10: with that, cells of short paths come to lie
far apart."""

SMALL_MEMORIES = ("sums",)
"""Memories of a core with many lanes, by name, whose words go through an adder in the cycle in which they are read: sums of errors and kept
pre-activations. A block memory gives its word 5.7 ns after the clock, one of look-up tables after as much logic as suits."""

MARGINS = (0.04, 0.08)
"""Fractions by which the second and the third build set their clock below the frequency reached before, since place and route from
the same seeds gives other frequencies each time."""


_REWRITES: dict[str, tuple[tuple[Callable[[dict[str, Any]], int], str, str], ...]] = {
    "ice40": (
        (reset_copies.copy_resets, reset_copies.FILE, reset_copies.__file__),
        (carry_registers.join_carries, carry_registers.FILE, carry_registers.__file__),
    ),
    "ecp5": ((output_registers.absorb, output_registers.FILE, output_registers.__file__),),
}
"""By family, what rewrites a synthesised netlist before it is placed, one after the other: the function of each, and its file beside a
script and here."""

_SITES: dict[str, tuple[tuple[Callable[[dict[str, Any]], int], str, str], ...]] = {
    "85k": ((multiplier_sites.give_sites, multiplier_sites.FILE, multiplier_sites.__file__),),
}
"""By device, as nextpnr names it, what gives cells their sites in a netlist after :data:`_REWRITES`, in the same form."""


@dataclass(frozen=True)
class Placed:
    """A cell of a placed design: its component, its type, and its location on the device."""

    component: str
    kind: str
    x: int
    y: int
    z: int


@dataclass(frozen=True)
class Built:
    """A bitstream and the results of the steps of its build.

    Attributes
    ----------
    plan : Plan
        The board, the clock and the serial line of the bitstream.
    total : Resources
        Resources of the whole design, serial link included, counted after synthesis.
    used : dict of str to (int, int)
        Sites used and sites available, by kind, as place and route counts them.
    timings : tuple of Timing
        Timing of the placed design, one per seed.
    best : int
        Index of the seed whose bitstream was taken, from 0.
    source : str
        Tool that reported the frequencies, with what is known of its error.
    bitstream : str
        Name of the bitstream file; "" for a board without place and route.
    placement : tuple of Placed
        Cells of the design as placed from the best seed.
    seconds : dict of str to float
        Wall-clock time of each stage, in seconds.
    history : tuple of str
        Builds at higher clocks that failed before this one, one sentence each.
    """

    plan: Plan
    total: Resources
    used: dict[str, tuple[int, int]]
    timings: tuple[Timing, ...]
    best: int
    source: str
    bitstream: str
    placement: tuple[Placed, ...] = field(repr=False)
    seconds: dict[str, float]
    history: tuple[str, ...] = ()

    @property
    def frequency_mhz(self) -> float | None:
        """Median frequency of the core's clock over the seeds, in MHz; None without place and route."""
        return statistics.median(timing.mhz for timing in self.timings) if self.timings else None


def _rewrites(board: Board, many_lanes: bool) -> tuple[tuple[Callable[[dict[str, Any]], int], str, str], ...]:
    """What rewrites the synthesised netlist of a design for a board, in the form of :data:`_REWRITES`."""
    return _REWRITES.get(board.family, ()) + (_SITES.get(board.device, ()) if many_lanes else ())


def _has_many_lanes(spec: LearningSpec, board: Board) -> bool:
    """Whether a design has so many lanes that each is synthesised once, as a module of its own, and placed where it belongs.

    Mapped by itself, a lane's slowest path is the slowest of all, and Yosys would make it shorter at any price: without the multiplexers
    behind look-up tables, the price is low.
    """
    return board.family == "ecp5" and spec.hardware.lanes >= multiplier_sites.FEWEST_LANES


# -- Files and commands -----------------------------------------------------------------------------------------------


def _synthesis(board: Board) -> str:
    """Yosys's synthesis command of the part, with the I/O and clock buffers that a board needs."""
    return re.sub(r" -noiopads?| -noclkbuf", "", board.part.synthesis)


def synthesis_commands(spec: LearningSpec, board: Board) -> list[str]:
    """Commands of the Yosys script. Modules kept whole while Yosys infers DSP blocks and merges registers are flattened afterwards."""
    top = top_module(spec)
    kept, many = kept_modules(spec, macs=board.part.keeps_mac), _has_many_lanes(spec, board)
    kept += ("*.lane*",) if many else ()
    flat = ["setattr -mod -unset keep_hierarchy *", "flatten", "opt_clean -purge"] if kept else []
    return [
        "read_verilog top.v",
        f"hierarchy -top {top}",  # without -check, since the vendor's cells are not defined yet; the synthesis command checks
        "proc",
        *([f"techmap -map {PRODUCTS}"] if board.family == "ecp5" else []),
        *(f"setattr -mod -set keep_hierarchy 1 {pattern}" for pattern in kept),
        *([f'setattr -set ram_style "distributed" {" ".join(f"*/m:{name}" for name in SMALL_MEMORIES)}'] if many else []),
        f"{_synthesis(board)}{' -nowidelut' if many else ''} -top {top}",
        *flat,
        "check -assert",
        "stat",
        "write_json top.json",
    ]


def place_job(board: Board, mhz: Fraction, seed: int, *, many_lanes: bool = False) -> Job:
    """The job that places and routes a synthesised design from one seed.

    The many lanes of a large array are routed by nextpnr's second router, which lets wires have several uses at first.
    """
    name = f"seed{seed}"
    report, placed = f"{name}.report.json", f"{name}.placed.json"
    common = ["--json", "top.json", "--freq", f"{float(mhz):g}", "--seed", str(seed), "--timing-allow-fail", "--report", report]
    common += ["--write", placed]
    if board.family == "ice40":
        tool, out = "nextpnr-ice40", f"{name}.asc"
        special = [f"--{board.device}", "--package", board.package, "--pcf", f"{board.name}.pcf", "--asc", out]
        special += ["--placer-heap-timingweight", str(TIMING_WEIGHT)]
    elif board.family == "ecp5":
        tool, out = "nextpnr-ecp5", f"{name}.config"
        special = [f"--{board.device}", "--package", board.package, "--speed", board.speed, "--lpf", f"{board.name}.lpf", "--textcfg", out]
        special += ["--router", "router2"] if many_lanes else []
    elif board.family == "gowin":
        tool, out = "nextpnr-himbaechel-gowin", placed
        special = ["--device", board.device, "--vopt", f"family={board.variant}", "--vopt", f"cst={board.name}.cst"]
    else:
        raise unknown("Family", board.family, "boards.flow.build.place_job")
    return Job(tool, (*special, *common), f"{name}.log", tuple({report, placed, out}))


def pack_job(spec: LearningSpec, board: Board, seed: int) -> Job:
    """The job that packs the bitstream of one seed's placed design."""
    out = f"{spec.name}.{BITSTREAMS.get(board.family)}"
    if board.family == "ice40":
        return Job("icepack", (f"seed{seed}.asc", out), "pack.log", (out,))
    if board.family == "ecp5":
        svf = f"{spec.name}.svf"
        return Job("ecppack", ("--compress", "--svf", svf, f"seed{seed}.config", out), "pack.log", (out, svf))
    if board.family != "gowin":
        raise unknown("Family", board.family, "boards.flow.build.pack_job")
    return Job("gowin_pack", ("-d", board.variant, "-o", out, f"seed{seed}.placed.json"), "pack.log", (out,))


def write_sources(spec: LearningSpec, planned: Plan, folder: Path, seeds: int = 3) -> tuple[str, ...]:
    """Write top level, constraints, the Yosys script and a script of the whole build; return the names of the files."""
    board = planned.board
    ending, text = constraints(board)
    script = "".join(f"{command}\n" for command in synthesis_commands(spec, board))
    if board.alone:
        assert isinstance(spec, DesignSpec), "a learner does not learn alone"
        top = emit_alone_top(spec, planned)
    else:
        top = emit_top(spec, planned)
    if _has_many_lanes(spec, board):
        top = merged(top)
    files = {"top.v": top, f"{board.name}.{ending}": text, "synth.ys": script}
    if board.family == "ecp5":
        files[PRODUCTS] = product_map(files["top.v"])
    for _, name, source in _rewrites(board, _has_many_lanes(spec, board)):
        files[name] = Path(source).read_text(encoding="utf-8")
    if board.builds:
        files["build.sh"] = _script(spec, planned, seeds)
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    return tuple(files)


def _script(spec: LearningSpec, planned: Plan, seeds: int) -> str:
    board = planned.board
    lines = ["#!/bin/sh", f"# {spec.name} on {board.title}, from seed 1 of {seeds}; `mgd-hw build` runs the same, and takes the best seed."]
    lines += ["set -e", "yosys -s synth.ys"]
    lines += [f"python3 {name} top.json {top_module(spec)}" for _, name, _ in _rewrites(board, _has_many_lanes(spec, board))]
    for job in (place_job(board, planned.clock.mhz, 1, many_lanes=_has_many_lanes(spec, board)), pack_job(spec, board, 1)):
        lines.append(" ".join((job.tool, *job.arguments)))
    if board.program:
        lines.append("# " + board.program.format(bitstream=f"{spec.name}.{BITSTREAMS[board.family]}"))
    return "".join(f"{line}\n" for line in lines)


# -- The build --------------------------------------------------------------------------------------------------------


def build_board(
    spec: LearningSpec,
    board: Board,
    folder: Path,
    *,
    seeds: int = 3,
    mhz: Fraction | None = None,
    baud: int | None = None,
    say: Callable[[str], None] = lambda text: None,
    progress: Callable[[str, float, float], None] = lambda task, done, total: None,
) -> Built:
    """Build a board's bitstream from the fastest of several seeds, at a clock that the placed design meets.

    Parameters
    ----------
    spec : LearningSpec
        The design whose core is built.
    board : Board
        The board to build for.
    folder : Path
        Existing directory in which the tools run and leave their files.
    seeds : int
        Number of runs of place and route; they start from seeds 1, 2, …
    mhz : Fraction or None
        Clock of the core that must be met, in MHz; None takes the board's, or the highest below it that the design meets.
    baud : int or None
        Rate of the serial line, in baud; None takes the board's.
    say : callable
        Called with one sentence at the start of each stage.
    progress : callable
        Called with a task's name, the number of its parts done, and the number of all.

    Raises
    ------
    DesignError
        If the board cannot generate the clock, the core's memories exceed those of the part, or the design needs more resources than the
        part has, as counted after synthesis.
    Refusal
        If no seed meets ``mhz``, or no clock that the board generates.
    ToolError
        If a tool is missing or fails.
    """
    planned = plan_for(spec, board, mhz=mhz, baud=baud)
    check_memory(spec, board.part)
    _find_tools(spec, board)
    history: list[str] = []
    seconds: dict[str, float] = {}
    for attempt in range(1, ATTEMPTS + 1):
        total = _synthesise(spec, planned, folder, seeds, say, seconds)
        if not board.builds:
            return Built(planned, total, {}, (), 0, SOURCES["xc7"], "", (), seconds)
        timings, used = _place(spec, planned, folder, seeds, say, progress, seconds)
        best = max(range(seeds), key=lambda number: timings[number].mhz)
        reached = timings[best].mhz
        if reached >= planned.clock.mhz:
            break
        lower = plan_below(board, reached * (1 - MARGINS[min(attempt, len(MARGINS)) - 1]), baud)
        wanted = float(planned.clock.mhz)
        if mhz is not None or lower is None or attempt == ATTEMPTS:
            raise _missed(planned, reached, lower, chosen=mhz is not None)
        history.append(f"At {wanted:g} MHz the best of {seeds} seeds reached {reached:.2f} MHz; built again at {float(lower.clock.mhz):g}.")
        say(history[-1])
        planned = lower
    say("Packing.")
    pack = pack_job(spec, board, best + 1)
    seconds["pack"] = sum(run_jobs([pack], folder, notify=say))
    placement = read_placement(json.loads((folder / f"seed{best + 1}.placed.json").read_text(encoding="utf-8")))
    source = SOURCES[board.family if board.family != "ice40" or _icetime() is None else "icetime"]
    return Built(planned, total, used[best], timings, best, source, pack.makes[0], placement, seconds, tuple(history))


def _missed(planned: Plan, reached: float, lower: Plan | None, *, chosen: bool) -> Refusal:
    """The refusal of a clock that no seed reaches; ``lower`` is the plan of one that would be met, ``chosen`` if the user asked for it."""
    remedy = "Choose fewer lanes, or another board." if lower is None else f"--clock {float(lower.clock.mhz):g} would be met."
    key = "--clock" if chosen else f"the clock of {planned.board.name}"
    reason = f"the best seed reaches {reached:.2f} MHz; no bitstream was written"
    return Refusal(reason, remedy, key=key, value=float(planned.clock.mhz))


def _find_tools(spec: LearningSpec, board: Board) -> None:
    find_yosys()
    if board.builds:
        find_tool(place_job(board, board.core_mhz, 1).tool)
        find_tool(pack_job(spec, board, 1).tool)


def _icetime() -> str | None:
    return shutil.which("icetime")


def _add(seconds: dict[str, float], stage: str, began: float) -> None:
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - began


def _synthesise(spec: LearningSpec, planned: Plan, folder: Path, seeds: int, say: Callable, seconds: dict[str, float]) -> Resources:
    """Write the sources and synthesise them; return the resources of the netlist."""
    board = planned.board
    began = time.perf_counter()
    write_sources(spec, planned, folder, seeds)
    _add(seconds, "generate", began)
    say(f"Synthesising for {board.part.device}, at {float(planned.clock.mhz):g} MHz.")
    began = time.perf_counter()
    (folder / "top.json").unlink(missing_ok=True)
    run_yosys(synthesis_commands(spec, board), folder, name="synth", notify=say)
    _add(seconds, "synthesis", began)
    total = _rewritten(planned, folder, top_module(spec), many_lanes=_has_many_lanes(spec, board))
    excess = over(total, board.part)
    if excess:
        raise too_large(spec, board.part, excess, _fitting_lanes(spec, board.part, total), "with its link ")
    return total


def _rewritten(planned: Plan, folder: Path, top: str, *, many_lanes: bool = False) -> Resources:
    """Rewrite a synthesised netlist for its board, unless only the netlist as it is fits; return its resources."""
    board, path = planned.board, folder / "top.json"
    netlist = json.loads(path.read_text(encoding="utf-8"))
    if not sum(rewrite(netlist["modules"][top]) for rewrite, _, _ in _rewrites(board, many_lanes)):
        return counted(netlist, top, board.part)
    total = counted(netlist, top, board.part)
    if over(total, board.part):
        before = counted(json.loads(path.read_text(encoding="utf-8")), top, board.part)
        if not over(before, board.part):
            return before
    path.write_text(json.dumps(netlist), encoding="utf-8")
    return total


def _fitting_lanes(spec: LearningSpec, part: Part, taken: Resources) -> int:
    """The most lanes that would fit, predicted from what the core's lanes take by themselves and ``taken``, the whole with its link."""
    with tempfile.TemporaryDirectory() as work:
        shares = synthesise(spec, part.name, Path(work)).components.get("lanes", Resources())
    return fitting_lanes(spec, part, taken, shares)


def counted(netlist: dict[str, Any], top: str, part: Part) -> Resources:
    """Sum of the resources of a netlist's modules."""
    return sum(count(netlist, top, part).values(), Resources())


def _place(
    spec: LearningSpec, planned: Plan, folder: Path, seeds: int, say: Callable, progress: Callable, seconds: dict[str, float]
) -> tuple[tuple[Timing, ...], tuple[dict[str, tuple[int, int]], ...]]:
    """Place and route from every seed; return the timing and the utilisation of each."""
    board = planned.board
    say(f"Placing and routing from {seeds} {'seed' if seeds == 1 else 'seeds'}.")
    began = time.perf_counter()
    many = _has_many_lanes(spec, board)
    jobs = [place_job(board, planned.clock.mhz, seed, many_lanes=many) for seed in range(1, seeds + 1)]
    run_jobs(jobs, folder, notify=say, done=lambda ended: progress("Place and route", ended, seeds))
    _add(seconds, "place and route", began)
    began = time.perf_counter()
    reports = [read_report((folder / f"seed{seed}.report.json").read_text(encoding="utf-8")) for seed in range(1, seeds + 1)]
    timings = [timing for timing, _ in reports]
    if board.family == "ice40" and _icetime() is not None:
        timings = _by_icetime(board, folder, seeds)
    _add(seconds, "timing", began)
    return tuple(timings), tuple(used for _, used in reports)


def _by_icetime(board: Board, folder: Path, seeds: int) -> list[Timing]:
    jobs = [
        Job("icetime", ("-d", board.device, "-P", board.package, "-t", "-m", f"seed{seed}.asc"), f"seed{seed}.icetime")
        for seed in range(1, seeds + 1)
    ]
    run_jobs(jobs, folder)
    found = []
    for job in jobs:
        try:
            found.append(of_icetime((folder / job.log).read_text(encoding="utf-8", errors="replace")))
        except ValueError as error:
            raise tool_failed("icetime", [str(error)]) from None
    return found


def read_placement(design: dict[str, Any]) -> tuple[Placed, ...]:
    """Cells and their locations in a JSON design that nextpnr wrote. Its module has no fixed name, so the largest one is taken."""
    found = []
    cells = max((module["cells"] for module in design["modules"].values()), key=len)
    for name, cell in cells.items():
        place = re.fullmatch(r"X(\d+)/?Y(\d+)/(.+)", cell["attributes"].get("NEXTPNR_BEL", ""))
        if place:
            number = re.search(r"(\d+)", place[3])
            found.append(Placed(component(name), cell["type"], int(place[1]), int(place[2]), int(number[1]) if number else 0))
    return tuple(found)
