"""What ``generate --board`` and ``build`` share: the manifest of a top level, and the refusals of a design that a board cannot take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.common.errors import ToolError, UserError
from mgd_hw.common.results import plain
from mgd_hw.design.description import Design
from mgd_hw.hardware.boards import board_of

if TYPE_CHECKING:
    from boards.board import Board
    from boards.flow.build import TooLarge
    from boards.parts.target import Part
    from boards.plan import Plan
    from python_ref.spec.design import DesignSpec

__all__ = ["build_failures", "check_fit", "megahertz", "top_manifest"]


def megahertz(clock: float | None) -> Fraction | None:
    return None if clock is None else Fraction(str(clock))


def top_manifest(spec: DesignSpec, planned: Plan) -> dict[str, Any]:
    from rtl_gen.emit import manifest

    found = plain(manifest(spec))
    assert isinstance(found, dict)
    on = {"name": planned.board.name, "clock_mhz": float(planned.clock.mhz), "baud": planned.baud, "divisor": planned.divisor}
    return {**found, "top": f"{spec.module}_top", "board": on}


@contextmanager
def build_failures(design: Design, board: Board) -> Iterator[None]:
    """Turn what goes wrong below into one message."""
    from boards.flow.build import ClockMissed, TooLarge
    from boards.flow.tools import ToolFailed
    from python_ref.spec.error import DesignError
    from rtl_gen.toolchain.yosys import ToolError as MissingTool
    from rtl_gen.toolchain.yosys import YosysError

    try:
        yield
    except MissingTool as error:
        raise ToolError(f"{error.tool}: {error.reason}", f"{error.remedy} `mgd-hw doctor` looks for every tool.") from None
    except ToolFailed as error:
        raise ToolError(
            f"{error.tool} failed: {' / '.join(error.lines)}", "These are its last lines; `mgd-hw doctor` looks for every tool."
        ) from error
    except YosysError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ToolError(f"Yosys failed: {lines[-1].rstrip('.')}", "`mgd-hw doctor` looks for every tool.") from error
    except ClockMissed as error:
        ways = "Choose fewer lanes, or another board." if error.below is None else f"--clock {error.below:g} would be met."
        reason = f"the best seed reaches {error.reached:.2f} MHz; no bitstream was written"
        key = "--clock" if error.chosen else f"the clock of {board.name}"
        raise UserError(reason, ways, key=key, value=error.wanted) from None
    except TooLarge as error:
        raise _too_large(design, board.part, error) from None
    except DesignError as error:
        file = None if error.key.startswith("--") else design.path
        raise UserError(error.reason, error.remedy, file=file, key=error.key, value=error.value) from None


def check_fit(design: Design, board: Board) -> None:
    """Refuse what is too large by more than any error of the prediction, before any tool runs.

    Raises
    ------
    UserError
        It says by how much of what, and how many lanes, or which boards, would do.
    """
    from boards.parts.fit import fit

    found = fit(design.spec, board.part.name)
    if found.surely_over:
        over = {kind: number for kind, number in found.over.items() if kind in found.surely_over}
        raise _refusal(design, board.part, over, found.most_lanes, "by prediction, its link included, ")


def _too_large(design: Design, part: Part, error: TooLarge) -> UserError:
    """By how much of what, and how many lanes would fit."""
    import tempfile

    from boards.parts.synth import fitting_lanes, synthesise
    from boards.parts.target import Resources

    with tempfile.TemporaryDirectory() as work:
        shares = synthesise(design.spec, part.name, Path(work)).components.get("lanes", Resources())
    return _refusal(design, part, error.excess, fitting_lanes(design.spec, part, error.taken, shares), "with its link ")


def _refusal(design: Design, part: Part, excess: dict[str, int], lanes: int, how: str) -> UserError:
    taken = ", ".join(f"{number:,} more {kind} than its {getattr(part.capacity, kind):,}" for kind, number in excess.items())
    key, remedy = "hardware.lanes", f"Take hardware.lanes = {lanes}, as predicted from this."
    value: object = design.spec.hardware.lanes
    if not lanes:
        key, value = "network.layers", list(design.spec.network.sizes)
        larger = ", ".join(row.name for row in _boards_for(design))
        remedy = f"Take {larger}, or smaller layers." if larger else "Take smaller layers: no board that is known has so much."
    reason = f"it does not fit {part.name}: {how}it takes {taken}"
    return UserError(reason, remedy, file=design.path, key=key, value=value)


def _boards_for(design: Design) -> tuple[Board, ...]:
    """The boards that a design fits, as predicted, of those that come with the package and have bitstreams."""
    from boards.board import board_files
    from boards.parts.fit import fit

    known = [board_of(name) for name in board_files()]
    return tuple(board for board in known if board.builds and fit(design.spec, board.part.name).fits)
