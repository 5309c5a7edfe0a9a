"""The refusal of a design that does not fit a part, with what would fit."""

from __future__ import annotations

from dataclasses import replace

from boards.board import Board, board_files, read_board
from boards.parts.fit import fit, multipliers
from boards.parts.target import Part
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import DesignError
from python_ref.spec.kinds import network_inside
from python_ref.spec.learning import LearningSpec

__all__ = ["check_fit", "too_large"]


def check_fit(spec: LearningSpec, part: Part) -> None:
    """Refuse what is too large by more than any error of the prediction, before any tool runs.

    Raises
    ------
    DesignError
        It says by how much of what the design is too large, and how many lanes, or which boards, would do.
    """
    found = fit(spec, part.name)
    if found.surely_over:
        over = {kind: number for kind, number in found.over.items() if kind in found.surely_over}
        raise too_large(spec, part, over, found.most_lanes, "by prediction, its link included, ")


def too_large(spec: LearningSpec, part: Part, excess: dict[str, int], lanes: int, how: str) -> DesignError:
    """The refusal of a design that takes more of a part than there is.

    Parameters
    ----------
    spec : LearningSpec
        Design that needs too many resources.
    part : Part
        The part that it does not fit.
    excess : dict of str to int
        The number of cells above those of the part, by kind.
    lanes : int
        The most lanes that would fit; 0 if none would.
    how : str
        What was counted, as the beginning of "it takes …".
    """
    taken = ", ".join(f"{number:,} more {kind} than its {getattr(part.capacity, kind):,}" for kind, number in excess.items())
    reason = f"it does not fit {part.name}: {how}it takes {taken}"
    if not network_inside(spec):
        return DesignError("network.external", spec.quantities, reason, "Take a larger part, or fewer quantities.")
    fewer = replace(spec, hardware=replace(spec.hardware, multipliers_per_lane=1))
    if "dsp" in excess and multipliers(fewer, part) < multipliers(spec, part):
        key = "hardware.multipliers_per_lane"
        fit_all = multipliers(fewer, part) <= part.capacity.dsp
        ways = [f"{key} = 1"] * fit_all + [f"hardware.lanes = {lanes}, as predicted from this"] * (lanes > 0)
        if ways:
            return DesignError(key, spec.hardware.multipliers_per_lane, reason, f"Take {' or '.join(ways)}.")
    if lanes:
        return DesignError("hardware.lanes", spec.hardware.lanes, reason, f"Take hardware.lanes = {lanes}, as predicted from this.")
    larger = ", ".join(board.name for board in _boards_for(spec))
    remedy = f"Take {larger}, or smaller layers." if larger else "Take smaller layers: no board that is known has so much."
    return DesignError("network.layers", list(spec.network.sizes), reason, remedy)


def _boards_for(spec: DesignSpec) -> tuple[Board, ...]:
    """The boards that a design fits, as predicted, of those that come with the package and have bitstreams."""
    known = [read_board(path) for path in board_files().values()]
    return tuple(board for board in known if board.builds and fit(spec, board.part.name).fits)
