"""The files beside a learner's Verilog with which any simulator can run it beside a virtual chip."""

import re
import subprocess

import pytest

import mgd_hw
from mgd_hw.design.reader import parse_any
from mgd_hw.hardware import simulation

DESIGN = """
name = "tiny"
[network]
external = 3
[schedule]
learning_rate = -4
difference = "two-sided"
[external]
settle = 8
samples = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "STEPS", 60)
        found = mgd_hw.generate(parse_any(DESIGN, "tiny.toml"), tmp_path / "out")
    assert {f"simulation/{name}" for name in ("chip_bench.v", "virtual_chip.v", "program.hex", "sizes.vh")} <= set(found.files)
    return tmp_path / "out" / "simulation"


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("streams")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "STEPS", 60)
        text = DESIGN.replace("external = 3", "external = 5") + "[hardware]\nlanes = 2\n"
        mgd_hw.generate(parse_any(text, "tiny.toml"), tmp_path / "out")
    return tmp_path / "out" / "simulation"


def run(folder):
    build = ["iverilog", "-g2012", "-o", "simulation.vvp", "../design.v", "chip_bench.v", "virtual_chip.v"]
    subprocess.run(build, cwd=folder, check=True, capture_output=True, text=True)
    return subprocess.run(["vvp", "-n", "simulation.vvp"], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", ["folder", "streams"])
def test_the_cost_falls(name, request):
    said = run(request.getfixturevalue(name))
    costs = [float(value) for value in re.findall(r"mean of the last 12: ([-\d.]+)", said)]
    assert len(costs) == 10 and costs[-1] < costs[0] / 2
    assert "register 0x03 reads 0x00000000" in said and "register 0x10 reads 0x0000003c" in said
    assert "settle" not in said and "marked" not in said


def test_a_chip_that_has_not_settled_is_told(folder):
    sizes = folder / "sizes.vh"
    text = sizes.read_text(encoding="utf-8")
    assert "`define SETTLE 8\n" in text
    sizes.write_text(text.replace("`define SETTLE 8", "`define SETTLE 20"), encoding="utf-8")
    assert "cycles before the chip has settled: settle is too small" in run(folder)
