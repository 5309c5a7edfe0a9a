"""What does not fit a part, or misses a clock: by how much, and what would do."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from boards.board import board_files, read_board
from boards.flow import build
from boards.flow.too_large import check_fit, too_large
from boards.parts.target import Resources
from mgd_hw.design.reader import load
from python_ref.spec.error import DesignError, Refusal


@pytest.fixture
def without_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """The build of a board without Yosys and without place and route."""

    def run_yosys(commands: Any, folder: Path, **_: Any) -> None:
        (folder / "top.json").write_text("{}", encoding="utf-8")

    monkeypatch.setattr(build, "run_yosys", run_yosys)
    monkeypatch.setattr(build, "_REWRITES", {})
    monkeypatch.setattr(build, "_find_tools", lambda *_: None)
    monkeypatch.setattr(build, "synthesise", lambda *_: SimpleNamespace(components={"lanes": Resources(lut=4000)}))


def test_a_design_that_surely_fits_is_not_refused() -> None:
    check_fit(load("xor").spec, read_board(board_files()["icebreaker"]).part)


@pytest.mark.parametrize(
    ("lanes", "message"),
    [
        (
            3,
            r"^hardware\.lanes = 6: it does not fit ice40-up5k: with its link it takes 7 more lut than its 5,280\. Take .* = 3, ",
        ),
        (0, r"^network\.layers = \[64, 32, 10\]: it does not fit ice40-up5k: .*\. Take .*ulx3s-85f.*, or smaller layers\.$"),
    ],
)
def test_what_would_fit_is_named(lanes: int, message: str) -> None:
    spec = load("digits").spec
    with pytest.raises(DesignError, match=message):
        raise too_large(spec, read_board(board_files()["icebreaker"]).part, {"lut": 7}, lanes, "with its link ")


def test_two_multipliers_per_lane_are_refused_by_their_key_where_a_part_has_too_few() -> None:
    spec = load("digits").spec
    two = replace(spec, hardware=replace(spec.hardware, multipliers_per_lane=2))
    part = read_board(board_files()["icebreaker"]).part
    message = (
        r"^hardware\.multipliers_per_lane = 2: it does not fit ice40-up5k: .* 5 more dsp than its 8.*\. "
        r"Take hardware\.multipliers_per_lane = 1 or hardware\.lanes = 3, as predicted from this\.$"
    )
    with pytest.raises(DesignError, match=message):
        check_fit(two, part)
    check_fit(spec, part)


def test_a_build_refuses_what_synthesis_finds_too_large(without_tools: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The lanes of the core take 4,000 of 6,000 look-up tables, 667 each: two lanes fewer bring the whole within the part."""
    monkeypatch.setattr(build, "counted", lambda *_: Resources(lut=6000))
    spec = load("digits").spec
    message = r"^hardware\.lanes = 6: .*: with its link it takes 720 more lut than its 5,280\. Take hardware\.lanes = 4, "
    with pytest.raises(DesignError, match=message):
        build.build_board(spec, read_board(board_files()["icebreaker"]), tmp_path)


@pytest.mark.parametrize(
    ("mhz", "message"),
    [
        (Fraction(48), r"^--clock = 48\.0: the best seed reaches 30\.00 MHz; no bitstream was written\. --clock 2\d\S* would be met\.$"),
        (None, r"^the clock of icebreaker = \d\S*: the best seed reaches 1\.00 MHz; no .*\. Choose fewer lanes, or another board\.$"),
    ],
)
def test_a_build_refuses_a_clock_that_no_seed_reaches(
    mhz: Fraction | None, message: str, without_tools: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reached = 30.0 if mhz else 1.0
    monkeypatch.setattr(build, "counted", lambda *_: Resources(lut=1))
    monkeypatch.setattr(build, "_place", lambda *_: ((SimpleNamespace(mhz=reached),) * 3, ({},) * 3))
    with pytest.raises(Refusal, match=message):
        build.build_board(load("xor").spec, read_board(board_files()["icebreaker"]), tmp_path, mhz=mhz)
