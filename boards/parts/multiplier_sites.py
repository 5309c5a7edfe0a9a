"""Give the multipliers and memories of many lanes their sites on an LFE5U-85F, in the order of the lanes.

A design has a handful of pins, so nothing tells nextpnr's analytic placer where a lane belongs: all lanes begin in one point, and their
logic is spread from there, far from the multipliers, which stand in three rows across the part. With the sites of the multipliers given,
every lane has a place of its own from the start. This file needs only Python itself, so that ``mgd-hw generate`` can copy it beside the
script that uses it::

    python3 multiplier_sites.py top.json MODULE

reads a JSON netlist that Yosys wrote, and rewrites it in place.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

__all__ = ["COLUMNS", "FEWEST_LANES", "FILE", "ROWS", "give_sites"]

FILE = "multiplier_sites.py"
"""Name of this file where it is copied beside a build script."""

FEWEST_LANES = 65
"""Lanes from which sites are given. For fewer ones, the placer finds room by itself: 64 lanes have been routed without."""

ROWS = ((10, 22), (34, 46), (58, 70))
"""Each row of multipliers, and the row of block memories behind it, by their Y coordinates (Project Trellis, tile grid of LFE5U-85F)."""

COLUMNS = (4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114)
"""X coordinates at which a block of four multipliers and one of four memories begin, in every row."""

_MULTIPLIERS = (0, 1, 4, 5)
"""X offset of each multiplier in its block, which is also the number in its name."""

_MEMORIES = (0, 2, 4, 6)
"""X offset of each memory in its block."""

_CENTRE = (63, 34)
"""Coordinates of the middle of the multipliers."""

_MIDDLE = 5
"""Blocks in the middle that are left free as long as the others suffice, so that what the lanes share has room between them."""


def give_sites(module: dict[str, Any]) -> int:
    """Fix the multipliers of a module's lanes, and one memory for each, in a serpentine through the rows.

    Parameters
    ----------
    module : dict
        Module of a flat netlist in Yosys's JSON format, mapped for an ECP5; it is modified in place.

    Returns
    -------
    int
        Number of cells whose site is given: 0 for fewer than :data:`FEWEST_LANES` lanes, and where the lanes have more multipliers than
        there are sites.
    """
    multipliers, memories = (_of_lanes(module["cells"], kind) for kind in ("MULT18X18D", "DP16KD"))
    each = [(lane, cell) for lane in sorted(multipliers) for cell in multipliers[lane]]
    path = _path(-(-len(each) // len(_MULTIPLIERS)))
    if len(multipliers) < FEWEST_LANES or not path:
        return 0
    given = 0
    for place, (lane, cell) in enumerate(each):
        block, number = divmod(place, len(_MULTIPLIERS))
        x, (y, behind), backwards = path[block]
        number = len(_MULTIPLIERS) - 1 - number if backwards else number
        cell["attributes"]["BEL"] = f"X{x + _MULTIPLIERS[number]}/Y{y}/MULT18_{_MULTIPLIERS[number]}"
        given += 1
        memory = _memory(x, behind, number)
        if memory and memories[lane]:
            memories[lane].pop(0)["attributes"]["BEL"] = memory
            given += 1
    return given


def _of_lanes(cells: dict[str, dict[str, Any]], kind: str) -> dict[int, list[dict[str, Any]]]:
    """The cells of a type by the number of their lane, in the order of their names; those of no lane are left out."""
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for name in sorted(cells):
        lane = re.search(r"(?:^|\.)lane(\d+)\.", name)
        if lane and cells[name]["type"] == kind:
            found[int(lane[1])].append(cells[name])
    return found


def _path(blocks: int) -> list[tuple[int, tuple[int, int], bool]]:
    """X coordinate and row of so many blocks, in a serpentine through the rows, and whether it leads through a block backwards; none if
    there are not so many blocks."""
    every = [(x, row, number % 2 == 1) for number, row in enumerate(ROWS) for x in (COLUMNS[::-1] if number % 2 else COLUMNS)]
    if blocks > len(every):
        return []
    near = sorted(every, key=lambda block: abs(block[0] - _CENTRE[0]) + abs(block[1][0] - _CENTRE[1]))
    free = min(_MIDDLE, len(every) - blocks)
    taken = set(near[free : free + blocks])
    return [block for block in every if block in taken]


def _memory(x: int, row: int, number: int) -> str:
    """Name of a block's memory; "" for the one that a row's clock multiplexer stands in the place of."""
    if number == 0 and x == 69 and row != 46:
        return ""
    return f"X{x + _MEMORIES[number]}/Y{row}/EBR{number}"


def main(file: str, top: str) -> None:
    """Give the lanes of module ``top`` in a netlist file their sites, and rewrite the file."""
    path = Path(file)
    netlist = json.loads(path.read_text(encoding="utf-8"))
    print(f"{give_sites(netlist['modules'][top])} multipliers and memories of lanes have sites.")
    path.write_text(json.dumps(netlist), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
