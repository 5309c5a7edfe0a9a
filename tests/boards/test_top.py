"""Top levels of boards: clocks and lines that are refused, and what is emitted."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

import pytest

from boards.board import Board, board_files, read_board
from boards.plan import plan, plan_below, plan_for
from boards.top import emit_top
from mgd_hw.design.reader import load
from python_ref.spec.error import DesignError


def board(name: str = "icebreaker") -> Board:
    return read_board(board_files()[name])


@pytest.mark.parametrize("name", board_files())
def test_every_board_has_a_plan(name: str) -> None:
    found = plan(board(name))
    assert found.divisor >= 4
    exact = float(found.clock.mhz) * 1e6 / found.baud
    assert abs(exact / found.divisor - 1) <= 0.015


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mhz": Fraction(1000)}, r"^--clock = 1000\.0: icebreaker makes 12 to 27\d\S* MHz, but none within 1 % of that\. Take 27\d"),
        ({"mhz": Fraction(14)}, r"^--clock = 14\.0: icebreaker makes"),
        (
            {"mhz": Fraction(28), "baud": 3_000_000},
            r"^--baud = 3000000: at 28\.125 MHz a bit of 3,000,000 baud is 9\.38 cycles, .* Take --clock = 27\.375 or",
        ),
        (
            {"mhz": Fraction(28)},
            r"^--clock = 28\.0: at 28\.125 MHz a bit of 3,000,000 baud is 9\.38 cycles, .* Take --clock = 27\.375 or --baud = 3125000",
        ),
        ({"mhz": Fraction(12), "baud": 4_000_000}, r"^--baud = 4000000: at 12 MHz a bit of 4,000,000 baud is 3\.00 cycles"),
        ({"baud": 13_000_000}, r"^--baud = 13000000: FTDI FT2232H bears at most 12,000,000\. Take a lower rate\."),
    ],
)
def test_what_cannot_be_is_refused(options: dict, message: str) -> None:
    with pytest.raises(DesignError, match=message):
        plan(board(), **options)


@pytest.mark.parametrize("mhz", [12.0, 17.3, 28.4, 33.0, 61.2])
def test_below_is_the_highest_that_fits(mhz: float) -> None:
    found = plan_below(board(), mhz)
    assert found is not None and found.clock.mhz <= mhz
    for step in range(1, 40):  # no clock of the PLL between it and the bound gives the rate
        higher = found.clock.mhz + Fraction(step, 16)
        if higher <= mhz and (nearest := plan_or_none(higher)) is not None:
            assert nearest.clock.mhz <= found.clock.mhz or nearest.clock.mhz > mhz


def test_a_core_with_large_memories_begins_at_a_clock_that_it_meets() -> None:
    """Without a clock of the user's; on a board with a line at one that also gives its rate, and never above the board's own."""
    block = load("digits").spec
    large = replace(block, hardware=replace(block.hardware, single_port=True))
    on = board()
    assert plan_for(block, on).clock.mhz == on.core_mhz == 60
    assert plan_for(large, on.learning_alone()).clock.mhz == Fraction(159, 4)
    assert (plan_for(large, on).clock.mhz, plan_for(large, on).divisor) == (39, 13)
    assert plan_for(large, on, mhz=Fraction(48)).clock.mhz == 48
    assert plan_for(large, replace(on, core_mhz=Fraction(24))).clock.mhz == 24
    other = board("ulx3s-85f")
    assert plan_for(large, other) == plan(other), "a part without such memories"


def plan_or_none(mhz: Fraction):
    try:
        return plan(board(), mhz=mhz)
    except DesignError:
        return None


def test_nothing_below_what_can_be_made() -> None:
    assert plan_below(board(), 11.9) is None


def test_top_level_is_the_same_every_time_and_names_the_pll() -> None:
    spec = load("xor").spec
    text = emit_top(spec, plan(board()))
    assert text == emit_top(spec, plan(board()))
    top = re.search(r"module mgd_xor_top\((.*?)\);(.*?)endmodule", text, re.DOTALL)
    assert top is not None
    assert {name.strip() for name in top[1].split(",")} == {"clk", "rx", "tx", "led", "button"}
    assert "SB_PLL40_PAD #(" in top[2] and ".DIVF(7'h4f)" in top[2]


@pytest.mark.parametrize(("name", "cell"), [pytest.param("ulx3s-85f", "EHXPLLL", marks=pytest.mark.slow), ("tang-nano-9k", "rPLL")])
def test_other_families_have_their_own_pll(name: str, cell: str) -> None:
    assert f"{cell} #(" in emit_top(load("xor").spec, plan(board(name)))


def test_no_pll_where_the_pin_has_the_clock() -> None:
    assert "PLL" not in emit_top(load("xor").spec, plan(board("arty-a7-35t")))
