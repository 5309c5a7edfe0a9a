"""The verb ``boards``: the boards that come with the package, and the shipped designs that fit them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.common import style
from mgd_hw.common.results import Result, flat
from mgd_hw.design.reader import load, shipped
from python_ref.spec.error import Refusal

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from boards.board import Board

__all__ = ["BoardRow", "Boards", "board_of", "boards", "optional_board"]


@dataclass(frozen=True)
class BoardRow(Result):
    """One board, with its part and the shipped designs that fit it.

    Attributes
    ----------
    name, title, part : str
        Name by which the user calls the board, its maker's name for it, and its FPGA.
    clock_mhz, core_mhz : float
        Frequency at the clock pin, and frequency that a build aims at for the core's clock, in MHz.
    multipliers, memory_kbit : int
        Number of multipliers of the part, and capacity of its block memories in kbit.
    link : str
        Chip that connects the serial line to USB.
    baud : int
        Default rate of the serial line, in bits per second.
    designs : dict of str to dict
        Prediction of `mgd-hw fit` for each shipped design on the part, the largest design first: ``fits``, ``close`` (only synthesis
        can decide) and ``most_lanes``.
    largest : str
        Name of the largest shipped design that fits; "" if none does.
    bitstream : bool
        Whether there are tools here that build a bitstream for the board.
    source : str
        Document that the pin numbers were taken from.
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
    """All boards that come with the package, in the order of their names."""

    boards: tuple[BoardRow, ...]

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the table "boards", one row per board."""
        return {"boards": [flat(row.to_json()) for row in self.boards]}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = style.table("board", "part", "clock (core), MHz", "multipliers", "RAM, kbit", "link, Mbaud", "fits, with so many lanes")
        for row in self.boards:
            fitting = {name: of for name, of in row.designs.items() if of["fits"] or of["close"]}
            shown = ", ".join(f"{name} {of['most_lanes']}{'?' if of['close'] else ''}" for name, of in fitting.items())
            table.add_row(
                row.name,
                row.part,
                f"{row.clock_mhz:g} ({row.core_mhz:g})",
                str(row.multipliers),
                f"{row.memory_kbit:,}",
                f"{row.link.split()[-1]}, {row.baud / 1e6:g}",
                shown + ("" if row.bitstream else " *"),
            )
        yield table
        yield style.wrapped(
            "What fits is predicted as by `mgd-hw fit`; ? is too close to tell before synthesis. * synthesis only, no bitstream."
        )


def boards() -> Boards:
    """List the boards that come with the package, and predict which shipped designs fit them.

    Raises
    ------
    Refusal
        If a board file is invalid.
    """
    from boards.board import board_files
    from boards.parts.fit import fit
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
    """Read the board of a name, or of the path of a user's own board file.

    Raises
    ------
    Refusal
        If there is no such board, or its file is invalid.
    """
    from boards.board import board_files, read_board

    known = board_files()
    path = known.get(name, Path(name) if name.endswith(".toml") else None)
    if path is None:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        listed = ", ".join(known)
        raise Refusal("there is no such board", f"{hint}Known: {listed}, or the path of a file of yours.", key="--board", value=name)
    return read_board(path)


def optional_board(name: str | None) -> Board | None:
    """Read a board by its name or the path of its file; return None for None."""
    return None if name is None else board_of(name)
