"""Netlists from the command line: what is refused, and what a co-simulation of one says."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from boards.parts.netlist import MODELS
from mgd_hw import cli


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.commands, arguments)


def test_every_part_with_models_can_be_named() -> None:
    assert set(cli.NETLISTS) == set(MODELS) < set(cli.TARGETS)


def test_a_netlist_is_of_the_design_itself() -> None:
    Path("mine.v").write_text("module mine(input a); endmodule\n")
    found = run("cosim", "xor", "--netlist", "ice40-up5k", "--verilog", "mine.v", "-o", "out")
    assert found.exit_code == 2
    assert re.match(
        r'mgd-hw: --netlist = "ice40-up5k": a netlist is of the design\'s own Verilog, .* Leave one of them out\.$', found.stderr
    )
    assert not Path("out").exists()
    assert run("cosim", "xor", "--netlist", "xc7").exit_code == 2


def test_a_part_without_models_is_refused_by_the_api() -> None:
    from mgd_hw.hardware.cosim import cosim
    from python_ref.spec.error import Refusal

    with pytest.raises(Refusal, match=r'^--netlist = "xc7": Yosys has no models of its cells\. Take ice40-up5k, '):
        cosim("xor", netlist="xc7")


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(("design", "simulator", "steps"), [("xor", "icarus", 100), ("digits", "icarus", 4)])
def test_shipped_designs_are_the_same_machine_as_netlists(design: str, simulator: str, steps: int) -> None:
    found = run("cosim", design, "--netlist", "ice40-up5k", "--simulator", simulator, "--steps", str(steps), "-o", "out", "--json")
    assert found.exit_code == 0, found.output
    said = json.loads(found.stdout)
    assert (said["netlist"], said["mismatches"], said["equal"]) == ("ice40-up5k", 0, True)
    assert said["compared"] == said["observables"] * steps
    assert any("Timing" in sentence for sentence in said["not_covered"])
    assert Path("out/netlist.v").exists()
