"""Boards: which there are, a design's top level for one, and its bitstream."""

from __future__ import annotations

import difflib
import json
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.config import Derived, Design, load, shipped
from mgd_hw.errors import UserError
from mgd_hw.flow import Generated, advice, read
from mgd_hw.listener import Listener, Silent
from mgd_hw.output import FOLDER, check_directory, staged
from mgd_hw.results import Result, flat, plain
from mgd_hw.timeline import timeline_of
from python_ref.spec.error import DesignError, naming

if TYPE_CHECKING:
    from boards.board import Board
    from boards.build import Built
    from boards.learning_cost import LearningCost
    from boards.plan import Plan
    from boards.target import Part
    from python_ref.spec.design import DesignSpec

__all__ = ["BoardRow", "Boards", "Build", "board_of", "boards", "build", "generate"]

CEILINGS = {
    "ice40-up5k": (0.7e9, "7 multipliers at about 100 MHz, parameters in block RAM"),
    "ecp5-85k": (16.8e9, "156 multipliers at 108 MHz, as Yosys infers them"),
    "gowin-gw1nr9": (20 * 108e6, "20 multipliers at an ECP5's 108 MHz, for want of a rate of their own that was measured"),
    "gowin-gw2ar18": (48 * 108e6, "48 multipliers at an ECP5's 108 MHz, for want of a rate of their own that was measured"),
    "xc7": (90 * 108e6, "90 multipliers at an ECP5's 108 MHz, for want of a rate of their own that was measured"),
}
"""Most synapse visits per second of each part, and how that was reckoned."""

_UNVERIFIED = "nothing here places and routes this part, so that its clock is not verified"


# -- Boards -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BoardRow(Result):
    """A board.

    Attributes
    ----------
    name, title, part : str
        What we call it, what its maker calls it, and its part.
    clock_mhz, core_mhz : float
        Of its clock pin, and what a core's clock shall be.
    multipliers, memory_kbit : int
        Of the part; block memories only.
    link : str
        What makes a serial line of USB.
    baud : int
        Its rate.
    designs : dict of str to dict
        By shipped design, the largest first, what `mgd-hw fit` predicts for the part: ``fits``, ``close`` (too close to tell), and
        ``most_lanes``.
    largest : str
        The largest shipped design that fits; "" if none.
    bitstream : bool
        Whether bitstreams can be built here.
    source : str
        Where its pins stand.
    """

    name: str
    title: str
    part: str
    clock_mhz: float
    core_mhz: float
    multipliers: int
    memory_kbit: int
    link: str
    baud: int
    designs: dict[str, dict[str, int]]
    largest: str
    bitstream: bool
    source: str


@dataclass(frozen=True)
class Boards(Result):
    """All boards."""

    boards: tuple[BoardRow, ...]

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """ "boards"."""
        return {"boards": [flat(row.to_json()) for row in self.boards]}


def boards() -> Boards:
    """The boards that come with the package, and what fits them, as `mgd-hw fit` predicts it.

    Raises
    ------
    UserError
        If the file of one of them does not describe a board.
    """
    from boards.board import board_files
    from boards.fit import fit
    from rtl_gen.emit import memory_bits

    specs = sorted((load(name).spec for name in shipped()), key=memory_bits, reverse=True)
    rows = []
    for name in board_files():
        board = board_of(name)
        part = board.part
        found = {spec.name: fit(spec, part.name) for spec in specs}
        rows.append(
            BoardRow(
                name=board.name,
                title=board.title,
                part=part.device,
                clock_mhz=float(board.clock_mhz),
                core_mhz=float(board.core_mhz),
                multipliers=part.capacity.dsp,
                memory_kbit=part.block_bits // 1024,
                link=board.chip,
                baud=board.baud,
                designs={name: {"fits": of.fits, "close": of.close, "most_lanes": of.most_lanes} for name, of in found.items()},
                largest=next((name for name, of in found.items() if of.fits), ""),
                bitstream=board.builds,
                source=board.source,
            )
        )
    return Boards(tuple(rows))


def board_of(name: str) -> Board:
    """The board of that name, or of a user's own file.

    Raises
    ------
    UserError
        If there is none, or the file does not describe one.
    """
    from boards.board import board_files, read_board

    known = board_files()
    path = known.get(name, Path(name) if name.endswith(".toml") else None)
    if path is None:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        listed = ", ".join(known)
        raise UserError("there is no such board", f"{hint}Known: {listed}, or the path of a file of yours.", key="--board", value=name)
    return read_board(path)


# -- generate ---------------------------------------------------------------------------------------------------------


def generate(
    design: str | Path | Design,
    board: str,
    *,
    clock: float | None = None,
    baud: int | None = None,
    out: Path | None = None,
    listener: Listener | None = None,
) -> Generated:
    """Write the whole top level of a board, its constraints, the scripts of the build, and manifest.json.

    Raises
    ------
    UserError
        If the design or the board's clock cannot be built, or the directory not be written to.
    """
    listener = listener or Silent()
    design, on = read(design), board_of(board)
    directory = _place(design, on, out)
    with staged(directory) as folder, naming(design.path, of=DesignError):
        from boards.build import write_sources
        from boards.plan import plan
        from boards.too_large import check_fit

        listener.say(f"Generating {design.name} for {on.name}.")
        check_fit(design.spec, on.part)
        planned = plan(on, mhz=_mhz(clock), baud=baud)
        files = write_sources(design.spec, planned, folder)
        described = _manifest(design.spec, planned)
        (folder / "manifest.json").write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    clocked = Derived("--clock", f"{float(planned.clock.mhz):g} MHz", f"{planned.baud:,} baud are {planned.divisor} cycles per bit")
    derived = (*design.derived, clocked)
    files, timeline = (*files, "manifest.json"), timeline_of(design.spec)
    return Generated(design.name, design.spec.digest, directory, files, derived, advice(design.spec), described, timeline)


def _mhz(clock: float | None) -> Fraction | None:
    return None if clock is None else Fraction(str(clock))


def _place(design: Design, board: Board, out: Path | None) -> Path:
    return check_directory(FOLDER / design.name / board.name if out is None else Path(out))


def _manifest(spec: DesignSpec, planned: Plan) -> dict[str, Any]:
    from rtl_gen.emit import manifest

    found = plain(manifest(spec))
    assert isinstance(found, dict)
    on = {"name": planned.board.name, "clock_mhz": float(planned.clock.mhz), "baud": planned.baud, "divisor": planned.divisor}
    return {**found, "top": f"{spec.module}_top", "board": on}


# -- build ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Build(Result):
    """A bitstream, and what is known of it; build.json.

    Attributes
    ----------
    design, board, digest : str
        Names, and the digest of the design's structure.
    bitstream : Path or None
        The file; None for a board that has synthesis only.
    program : str
        Command that loads it.
    lanes : int
        L.
    lut, ff, dsp, bram : int
        What all takes, link and clock included, counted after synthesis.
    utilisation : dict of str to dict
        Places used, and available, as place and route counts them.
    clock_mhz : float
        What the bitstream runs at; where there is none, what the top level is written for.
    frequency_mhz, frequency_min_mhz, frequency_max_mhz : float or None
        What timing analysis allows: median, least and most over the seeds.
    frequencies_mhz : tuple of float
        By seed.
    frequency_source : str
        Where they come from, with what is known of their error.
    seeds, best_seed : int
        Runs of place and route, and the one of the bitstream.
    limited_by : str
        From where to where the longest path goes.
    cycles_per_step : float
        Of the core.
    steps_per_second, visits_per_second, ceiling_percent : float or None
        Of the core at ``clock_mhz``: steps, synapses visited, and these as a share of the most the part could; None where no tool
        has verified that clock.
    unverified : str
        Why they are None; "" if they are not.
    ceiling : float
        Synapses that the part could visit per second.
    ceiling_source : str
        How the ceiling was reckoned.
    baud, divisor, sample_bytes : int
        Of the link: rate, cycles per bit, bytes of a sample.
    link_steps_per_second : float
        Steps for which the link brings samples.
    inference_only, learning : dict of str to int
        What the same network without learning takes of the part, and the core that learns: same lanes, same recipe, counted after
        synthesis; host port, registers, signatures and link are excluded from both.
    learning_lut_per_lane : float
        Look-up tables between the two, all that is shared included, per lane.
    stages : dict of str to float
        Seconds of each stage.
    history : tuple of str
        Builds that missed their clock.
    seconds : float
        It all took.
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
        """ "result", and "utilisation"."""
        return {**super().tables(), "utilisation": [{"kind": kind, **counts} for kind, counts in self.utilisation.items()]}


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
    """Build a design's bitstream for a board; write it, build.json, a picture of the placed design, and the tools' logs.

    Parameters
    ----------
    design : path, name or Design
        Design.
    board : str
        Name of a board, or path of a file of the user's.
    seeds : int
        Runs of place and route.
    clock : float or None
        MHz that must be met; None takes the board's, or the highest that the design meets.
    baud : int or None
        Rate of the serial line; None takes the board's.
    out : path or None
        Directory for everything.
    listener : Listener or None
        Told of progress.

    Raises
    ------
    UserError
        If the design does not fit, misses the clock, or a tool is missing or fails.
    """
    listener = listener or Silent()
    design, on = read(design), board_of(board)
    directory = _place(design, on, out)
    began = time.perf_counter()
    with staged(directory) as folder, naming(design.path, of=DesignError):
        from boards.build import build_board
        from boards.too_large import check_fit

        check_fit(design.spec, on.part)
        built = build_board(design.spec, on, folder, seeds=seeds, mhz=_mhz(clock), baud=baud, say=listener.say, progress=listener.progress)
        _tidy(folder, seeds)
        if built.placement:
            from mgd_hw.plots import placement

            (folder / "placement.svg").write_bytes(placement(built.placement, f"{design.name} on {on.title}"))
        described = _manifest(design.spec, built.plan)
        (folder / "manifest.json").write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        cost, seconds = _learning_cost(design.spec, on.part, folder / "learning", listener)
        built.seconds["learning cost"] = seconds
        result = _result(design.spec, built, cost, directory, time.perf_counter() - began)
        text = json.dumps(result.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "build.json").write_text(text + "\n", encoding="utf-8")
    return result


def _learning_cost(spec: DesignSpec, part: Part, folder: Path, listener: Listener) -> tuple[LearningCost, float]:
    """What learning costs, and the seconds it took to tell."""
    from boards.learning_cost import learning_cost

    listener.say("Synthesising the same network without learning, to compare.")
    began = time.perf_counter()
    folder.mkdir()
    return learning_cost(spec, part, folder, by_component=False, notify=listener.say), time.perf_counter() - began


def _tidy(folder: Path, seeds: int) -> None:
    """Delete what is large and can be made again."""
    for name in ["top.json", *(f"seed{seed}.{ending}" for seed in range(1, seeds + 1) for ending in ("asc", "config", "placed.json"))]:
        (folder / name).unlink(missing_ok=True)


def _visits_per_step(spec: DesignSpec) -> Fraction:
    """Synapses and biases that a step visits, on average over the schedule."""
    from boards.synth import cycles_per_step
    from rtl_gen.core import contract

    cycles = contract(spec)
    one, two = cycles.step_cycles(1), cycles.step_cycles(2)
    passes = 1 + Fraction(cycles_per_step(spec) - one) / (two - one)
    return passes * spec.network.n_parameters


def _result(spec: DesignSpec, built: Built, cost: LearningCost, directory: Path, seconds: float) -> Build:
    from boards.synth import cycles_per_step
    from python_ref.spec.frames import sample_bytes

    planned, cycles = built.plan, cycles_per_step(spec)
    hertz = 1e6 * float(planned.clock.mhz)
    visits = float(_visits_per_step(spec)) / cycles * hertz
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
        ceiling_percent=100 * visits / ceiling if found else None,
        ceiling_source=ceiling_source,
        baud=planned.baud,
        divisor=planned.divisor,
        sample_bytes=sample_bytes(spec),
        link_steps_per_second=planned.baud / 10 / sample_bytes(spec) * spec.schedule.sample_period,
        inference_only=cost.inference.to_json(),
        learning=cost.learning.to_json(),
        learning_lut_per_lane=cost.lut_per_lane,
        stages=dict(built.seconds),
        history=built.history,
        seconds=seconds,
        directory=directory,
    )
