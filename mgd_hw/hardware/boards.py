"""The verb ``boards``: the boards that come with the package, and what fits them."""

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
        Rate of the serial line, in bits per second.
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
    """The boards that come with the package, and what fits them, as `mgd-hw fit` predicts it.

    Raises
    ------
    Refusal
        If the file of one of them does not describe a board.
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
    """The board of that name, or of a user's own file.

    Raises
    ------
    Refusal
        If there is none, or the file does not describe one.
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
    """The board of that name or file, if one is named."""
    return None if name is None else board_of(name)
