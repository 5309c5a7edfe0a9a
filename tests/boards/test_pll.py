"""Clocks of boards, against the tools that their families have for it."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

from boards.board import Board, board_files, read_board
from boards.flow.tools import Job, run_jobs
from boards.pll import clocks


def board(name: str) -> Board:
    return read_board(board_files()[name])


def said(tool: str, arguments: list[str], folder: Path) -> str:
    run_jobs([Job(tool, tuple(arguments), "log")], folder)
    return (folder / "log").read_text()


def numbers(text: str, forms: dict[str, str]) -> dict[str, int]:
    found = {name: re.search(form, text) for name, form in forms.items()}
    assert all(found.values()), text
    return {name: int(match[1]) for name, match in found.items() if match}


@pytest.mark.parametrize("mhz", ["27.375", "33", "60", "75"])
def test_ice40_as_icepll(mhz: str, tmp_path: Path) -> None:
    text = said("icepll", ["-i", "12", "-o", mhz], tmp_path)
    forms = {name: rf"{name}: +(\d+)" for name in ("DIVR", "DIVF", "DIVQ", "FILTER_RANGE")}
    assert clocks(board("icebreaker"))[Fraction(mhz)].settings == numbers(text, forms)


@pytest.mark.parametrize("mhz", ["75", "110"])
def test_ecp5_as_ecppll(mhz: str, tmp_path: Path) -> None:
    said("ecppll", ["-i", "25", "-o", mhz, "-f", "pll.v"], tmp_path)
    forms = {name: rf"\.{name}\((\d+)\)" for name in ("CLKI_DIV", "CLKFB_DIV", "CLKOP_DIV")}
    assert clocks(board("ulx3s-85f"))[Fraction(mhz)].settings == numbers((tmp_path / "pll.v").read_text(), forms)


@pytest.mark.parametrize(("name", "device"), [("tang-nano-9k", "GW1NR-9 C6/I5"), ("tang-nano-20k", "GW2AR-18 C8/I7")])
@pytest.mark.parametrize("mhz", ["54", "40.5"])
def test_gowin_as_gowin_pll(name: str, device: str, mhz: str, tmp_path: Path) -> None:
    text = said("gowin_pll", ["-i", "27", "-o", mhz, "-d", device], tmp_path)
    forms = {each: rf"\.{each}\((\d+)\)" for each in ("IDIV_SEL", "FBDIV_SEL", "ODIV_SEL")}
    assert clocks(board(name))[Fraction(mhz)].settings == numbers(text, forms)


@pytest.mark.parametrize("name", board_files())
def test_every_board_makes_its_clock_and_that_of_its_pin(name: str) -> None:
    made = clocks(board(name))
    assert not made[board(name).clock_mhz].settings
    assert board(name).core_mhz in made
    assert list(made) == sorted(made)


def test_clocks_of_one_board_are_not_those_of_another() -> None:
    """Settings are computed once for a part: what a caller does to its table reaches no other."""
    expected = list(clocks(board("tang-nano-9k")))
    clocks(board("tang-nano-9k")).clear()
    assert list(clocks(board("tang-nano-9k"))) == expected
    assert list(clocks(board("tang-nano-20k"))) != expected
