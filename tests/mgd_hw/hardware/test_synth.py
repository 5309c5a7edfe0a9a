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


def test_large_memories_have_a_column_where_there_are_any() -> None:
    assert "SPRAMs" not in said(SYNTHESISED) and SYNTHESISED.to_json()["spram"] == 0
    components = {"lanes": SYNTHESISED.components[next(iter(SYNTHESISED.components))] | {"spram": 2}}
    large = replace(SYNTHESISED, spram=4, components=components, limits=SYNTHESISED.limits | {"spram": 4})
    rows = [line.split() for line in said(large).splitlines()]
    header, first = next((row, rows[number + 1]) for number, row in enumerate(rows) if "SPRAMs" in row)
    assert header[-1] == "SPRAMs" and first[-1] == "2"
    assert [row[-1] for row in rows if row[:2] in (["as", "one"], ["the", "part"])] == ["4", "4"]
    assert large.to_json()["spram"] == 4
