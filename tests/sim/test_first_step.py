"""The measurement of what precedes the first step of a co-simulation."""

from __future__ import annotations

import pytest

from sim import first_step
from sim.benchmark import SMALL
from sim.first_step import LAYERS, main, measure, wide


def test_wide_designs_have_a_lane_for_each_neuron_of_a_layer() -> None:
    found = [wide([int(size) for size in layers.split("-")]) for layers in LAYERS]
    assert [spec.hardware.lanes for spec in found] == [256, 192, 256]
    assert [spec.network.n_parameters for spec in found] == [785 * 256 + 257 * 10, 785 * 192 + 193 * 10, 65 * 256]


@pytest.mark.long
@pytest.mark.slow
def test_the_parts_are_measured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a small core, which is loaded word by word."""
    monkeypatch.setitem(SMALL, first_step.BESIDE, SMALL["2-4-1, weight"])
    found = measure(wide((3, 4, 2)))
    assert found.lanes == 4 and set(found.processor) == set(found.wall) == {"generate", "simulator", "load"}
    assert min(found.wall.values()) > 0 and found.cycles > 4 * 7
    assert main(["3-4-2"]) == 0
    heading, beside, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["network", "lanes", "generate", "simulator", "load", "cycles", "together", "ratio", "wall"]
    assert beside.split()[:2] == ["2-4-1", "4"] and "1.00 ×" in beside and row.split()[:2] == ["3-4-2", "4"]


@pytest.mark.parametrize("wrong", ["784", "784-", "3-0-2", "a-b"])
def test_what_is_no_network_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([wrong])
    assert "must be the sizes of two or more layers" in capsys.readouterr().err
