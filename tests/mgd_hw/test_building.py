"""Boards from the user's side."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from boards.board import board_files
from mgd_hw import building
from mgd_hw.config import load
from mgd_hw.errors import UserError


def test_boards_are_listed_with_what_fits() -> None:
    rows = {row.name: row for row in building.boards().boards}
    assert set(rows) == set(board_files())
    assert rows["ulx3s-85f"].largest == "mnist" and rows["icebreaker"].largest == "digits"
    assert [name for name, row in rows.items() if not row.bitstream] == ["arty-a7-35t"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("icebraker", r'^--board = "icebraker": there is no such board\. Did you mean icebreaker\?'),
        ("none.toml", r'^--board = "none.toml": it cannot be read \(No such file or directory\)'),
    ],
)
def test_no_such_board(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        building.board_of(name)


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(board_files()["icebreaker"].read_text().replace("pin =", "pins =", 1))
    with pytest.raises(UserError, match=rf"^{path}: clock\.pins = \"35\": there is no such key\. Did you mean clock\.pin\?$"):
        building.board_of(str(path))


def test_generate_writes_top_constraints_and_scripts(tmp_path: Path) -> None:
    found = building.generate("xor", "icebreaker", out=tmp_path)
    assert set(found.files) == {"top.v", "icebreaker.pcf", "synth.ys", "build.sh", "manifest.json"}
    assert {path.name for path in tmp_path.iterdir()} == set(found.files)
    told = json.loads((tmp_path / "manifest.json").read_text())
    assert told["top"] == "mgd_xor_top" and told["digest"] == load("xor").spec.digest
    assert told["board"] == {"name": "icebreaker", "clock_mhz": 30.0, "baud": 3_000_000, "divisor": 10}
    subprocess.run(["sh", "-n", "build.sh"], cwd=tmp_path, check=True)


def test_a_clock_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--clock = 14\.0: icebreaker makes 12 to"):
        building.generate("xor", "icebreaker", clock=14.0, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in board_files() if name != "arty-a7-35t"])
def test_xor_becomes_a_bitstream(name: str, tmp_path: Path) -> None:
    found = building.build("xor", name, seeds=1, out=tmp_path)
    assert found.bitstream is not None and found.bitstream.stat().st_size > 10_000
    assert found.frequency_max_mhz is not None and found.clock_mhz <= found.frequency_max_mhz
    assert json.loads((tmp_path / "build.json").read_text())["digest"] == load("xor").spec.digest
    assert (tmp_path / "placement.svg").read_text().startswith("<?xml")
    assert not list(tmp_path.glob(".mgd-hw-*"))


@pytest.mark.slow
def test_a_clock_that_is_missed_leaves_no_bitstream(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--clock = 120\.0: the best seed reaches .* --clock .* would be met\.$"):
        building.build("xor", "icebreaker", seeds=1, clock=120.0, out=tmp_path)
    assert not list(tmp_path.iterdir())
