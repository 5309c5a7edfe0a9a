"""What the result of a synthesis says of a core that does not fit."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

from rich.console import Console

from tests.support.sample_results import SYNTHESISED


def said(result: object) -> str:
    """The result as it is printed, in one line."""
    console = Console(file=StringIO(), width=400)
    console.print(result)
    return console.file.getvalue()


def test_a_core_with_too_many_multipliers_is_told_which_key_saves_them() -> None:
    two = replace(SYNTHESISED, multipliers_per_lane=2)
    assert "hardware.multipliers_per_lane = 1 saves about 4 multipliers. Take hardware.lanes = 3" in said(two)
    for other in (SYNTHESISED, replace(two, over={"lut": 1})):
        assert "multipliers_per_lane" not in said(other) and "Take hardware.lanes = 3" in said(other)
