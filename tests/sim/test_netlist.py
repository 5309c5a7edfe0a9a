"""Netlists: what synthesis made of a core is the same machine, cell by cell, and a fault in one cell is seen."""

import random
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from boards.parts.netlist import MODELS, write_netlist
from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec, Formats, Hardware
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import Momentum
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import Schedule
from python_ref.trace import Run
from rtl_gen.emit import emit_verilog
from rtl_gen.toolchain.yosys import YosysError, yosys_share
from sim.cosim import cosim
from sim.error import SimulationError
from sim.netlist import with_models
from tests.support.designs import random_parameters, random_samples

STEPS, FEW_STEPS = 12, 6
"""Steps of a run in the slow suite, and in the ordinary one."""
QUICK = "icarus" if shutil.which("iverilog") else "verilator"
"""Icarus has nothing to build, but does not come with the package."""
ICE40 = "ice40-up5k"


def tiny(kind: Kind = Kind.NODE, schedule: Schedule | None = None, lanes: int = 2, sizes: tuple[int, ...] = (2, 3, 2)) -> DesignSpec:
    formats = {"input": "UQ0.4", "weight": "SQ2.8", "activation": "SQ2.6", "table": "SQ3.3", "cost_change": "SQ4.10", "gradient": "SQ2.10"}
    return DesignSpec(
        "tiny",
        Network(sizes, Activation.TANH, Activation.IDENTITY),
        Perturbation(kind, amplitude_log2=-3),
        schedule or Schedule(((0, -5),)),
        formats=Formats(**{name: Fixed.parse(text) for name, text in formats.items()}),
        hardware=Hardware(lanes, signature=False),
    )


def a_run(spec: DesignSpec, steps: int = STEPS) -> Run:
    rng = random.Random("netlist")
    return Run(spec, random_parameters(rng, spec), *random_samples(rng, spec, 4), np.arange(steps) % 4, steps, 3)


def netlist_of(spec, part, folder):
    """The netlist, and the Verilog that simulates it."""
    made = write_netlist(spec, part, folder, emit_verilog(spec))
    models = made.models
    return made, with_models(made.verilog, f"{spec.module}_core", models.files, defines=models.defines, ours=models.ours)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The netlist of the tiniest design with a hidden layer for an iCE40."""
    spec = tiny(lanes=1, sizes=(2, 2, 1))
    return spec, *netlist_of(spec, ICE40, tmp_path_factory.mktemp("netlist"))


@pytest.mark.slow
def test_the_netlist_is_the_same_machine(built, tmp_path):
    spec, made, model = built
    assert made.cells["SB_MAC16"] == spec.hardware.lanes + 1
    assert made.cells["SB_RAM40_4K"] >= 2
    assert made.cells["SB_LUT4"] > 500
    result = cosim(a_run(spec, FEW_STEPS), model, tmp_path, simulator=QUICK)
    assert result.equal, result
    assert result.compared > 0 and result.mismatches == 0


@pytest.mark.slow
def test_the_netlist_of_two_lanes_is_the_same_machine(tmp_path):
    spec = tiny()
    made, model = netlist_of(spec, ICE40, tmp_path)
    assert made.cells["SB_MAC16"] == 3
    assert made.cells["SB_RAM40_4K"] >= 3
    (tmp_path / "run").mkdir()
    result = cosim(a_run(spec), model, tmp_path / "run", simulator=QUICK)
    assert result.equal, result


@pytest.mark.slow
def test_the_netlist_of_two_multipliers_with_a_momentum_is_the_same_machine(tmp_path):
    """No sum follows the product of an error and an operand, but a register; Yosys 0.70 takes the two in one module for 0."""
    spec = tiny(lanes=1, sizes=(2, 2, 1))
    spec = replace(spec, optimizer=Momentum(2), hardware=replace(spec.hardware, multipliers_per_lane=2))
    made, model = netlist_of(spec, ICE40, tmp_path)
    assert made.cells["SB_MAC16"] == 3
    (tmp_path / "run").mkdir()
    result = cosim(a_run(spec, FEW_STEPS), model, tmp_path / "run", simulator=QUICK)
    assert result.equal and result.compared > 0, result


@pytest.mark.long
@pytest.mark.slow
def test_the_netlist_with_large_memories_is_the_same_machine(tmp_path):
    """Also where one nibble of one of them is never written: then the comparison fails."""
    spec = tiny(lanes=1)
    spec = replace(spec, hardware=replace(spec.hardware, single_port=True))
    made, model = netlist_of(spec, ICE40, tmp_path)
    assert made.cells["SB_SPRAM256KA"] == 2
    (tmp_path / "run").mkdir()
    result = cosim(a_run(spec), model, tmp_path / "run", simulator=QUICK)
    assert result.equal and result.compared > 0, result
    whole = made.verilog.read_text()
    at = whole.index(".MASKWREN(", whole.index("SB_SPRAM256KA"))
    end = whole.index("\n", at)
    (tmp_path / "broken.v").write_text(f"{whole[:at]}.MASKWREN(4'he),{whole[end:]}")
    models = made.models
    broken = with_models(tmp_path / "broken.v", f"{spec.module}_core", models.files, defines=models.defines, ours=models.ours)
    (tmp_path / "again").mkdir()
    assert not cosim(a_run(spec), broken, tmp_path / "again", simulator=QUICK).equal


BENCH = """\
module bench;
    reg clock = 0, write = 0, chip = 0;
    reg [13:0] address = 0;
    reg [15:0] data = 0;
    reg [3:0] mask = 0;
    wire [15:0] ours, theirs;
    integer i, wrong = 0, compared = 0;
    SB_SPRAM256KA mine (.ADDRESS(address), .DATAIN(data), .MASKWREN(mask), .WREN(write), .CHIPSELECT(chip), .CLOCK(clock),
        .STANDBY(1'b0), .SLEEP(1'b0), .POWEROFF(1'b1), .DATAOUT(ours));
    YOSYS_SPRAM yours (.ADDRESS(address), .DATAIN(data), .MASKWREN(mask), .WREN(write), .CHIPSELECT(chip), .CLOCK(clock),
        .STANDBY(1'b0), .SLEEP(1'b0), .POWEROFF(1'b1), .DATAOUT(theirs));
    initial begin
        for (i = 0; i < 20000; i = i + 1) begin
            address = {$random} % 16384 & 16'h201f;
            data = $random; mask = $random; write = $random; chip = {$random} % 8 != 0;
            #1 clock = 1;
            #1 clock = 0;
            if (^theirs !== 1'bx) begin
                compared = compared + 1;
                if (ours !== theirs) wrong = wrong + 1;
            end
        end
        $display("%0d wrong of %0d", wrong, compared);
        $finish;
    end
endmodule
"""


@pytest.mark.skipif(not shutil.which("iverilog"), reason="Icarus does not come with the package")
def test_the_model_of_a_large_memory_is_that_of_yosys(tmp_path):
    """Wherever that has a known output: after reads of words all nibbles of which were written, and where nothing is selected."""
    cells = (yosys_share() / "ice40" / "cells_sim.v").read_text()
    model = re.search(r"^module SB_SPRAM256KA .*?^endmodule", cells, re.MULTILINE | re.DOTALL)
    theirs = model[0].replace("module SB_SPRAM256KA", "module YOSYS_SPRAM")
    for name, text in MODELS[ICE40].ours.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "bench.v").write_text(theirs + "\n" + BENCH)
    subprocess.run(["iverilog", "-g2005-sv", "-o", "bench", "bench.v", "ice40_spram.v"], cwd=tmp_path, check=True)
    found = subprocess.run(["vvp", "bench"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    wrong, compared = map(int, re.match(r"(\d+) wrong of (\d+)", found).groups())
    assert wrong == 0 and compared > 5_000, found


def flip_bit(text: str, cell: str, parameter: str, which: int) -> str:
    """Invert the lowest bit of a parameter of the ``which``-th cell of a type."""
    pattern = re.compile(rf"{cell} #\([^;]*?\.{parameter}\((?:\d+'[bdh])?([0-9a-fx]+)\)", re.DOTALL)
    match = list(pattern.finditer(text))[which]
    digit = match.end(1) - 1
    return text[:digit] + format(int(text[digit], 16) ^ 1, "x") + text[digit + 1 :]


def swap_pins(text: str, cell: str, one: str, other: str, which: int) -> str:
    """Exchange what two pins of the ``which``-th cell of a type are connected to."""
    start = [match.start() for match in re.finditer(rf"^ +{cell} ", text, re.MULTILINE)][which]
    end = text.index(";", start)
    renamed = {one: other, other: one}
    return text[:start] + re.sub(rf"\.({one}|{other})\(", lambda m: f".{renamed[m[1]]}(", text[start:end]) + text[end:]


FAULTS = {
    "multiplier": lambda text: flip_bit(text, "SB_MAC16", "A_SIGNED", 0),
    "look-up table": lambda text: flip_bit(text, "SB_LUT4", "LUT_INIT", 100),
    "memory": lambda text: swap_pins(text, "SB_RAM40_4K", "RADDR", "WADDR", 0),
}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_one_cell_is_seen(built, tmp_path, fault):
    spec, made, _ = built
    whole = made.verilog.read_text()
    broken = FAULTS[fault](whole)
    assert broken != whole and len(broken) == len(whole)
    (tmp_path / "broken.v").write_text(broken)
    model = with_models(tmp_path / "broken.v", f"{spec.module}_core", made.models.files, defines=made.models.defines)
    (tmp_path / "run").mkdir()
    result = cosim(a_run(spec, 4), model, tmp_path / "run", simulator=QUICK)
    assert not result.equal


@pytest.mark.slow
def test_a_cell_without_a_model_is_named(built, tmp_path):
    _, made, _ = built
    text = "module top(input a, output b); SB_NOVELTY #(.N(1)) it (.I(a), .O(b)); endmodule\n"
    (tmp_path / "unknown.v").write_text(text)
    with pytest.raises(YosysError, match=r"^Yosys failed: .*SB_NOVELTY"):
        with_models(tmp_path / "unknown.v", "top", made.models.files, defines=made.models.defines)
    (tmp_path / "box.v").write_text("module top(input a, output b); (* keep *) DP16KD it (.DIA0(a), .DOA0(b)); endmodule\n")
    with pytest.raises(SimulationError, match=r"box\.v has cells without a model: DP16KD\. Add the files of their models\.$"):
        with_models(tmp_path / "box.v", "top", MODELS["ecp5-85k"].files, defines=MODELS["ecp5-85k"].defines)


def test_a_part_without_models_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^Netlist must be of one of ice40-up5k, .*, not 'xc7'$"):
        write_netlist(tiny(), "xc7", tmp_path, "")


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("part", [name for name in MODELS if name != ICE40])
def test_other_parts_as_far_as_their_models_go(part, tmp_path):
    spec = tiny(lanes=1)
    made, model = netlist_of(spec, part, tmp_path)
    assert made.models.not_covered
    (tmp_path / "run").mkdir()
    result = cosim(a_run(spec), model, tmp_path / "run", simulator="verilator")
    assert result.equal, result


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "schedule"),
    [(Kind.WEIGHT, Schedule(((0, -5),))), (Kind.NODE, Schedule(((0, -5),), update_period=3)), (Kind.WEIGHT, Schedule(((0, -5),), 2, 3, 4))],
    ids=["weight", "gradient memory", "weight, periods"],
)
def test_other_structures(kind, schedule, tmp_path):
    spec = tiny(kind, schedule)
    _, model = netlist_of(spec, ICE40, tmp_path)
    (tmp_path / "run").mkdir()
    result = cosim(a_run(spec), model, tmp_path / "run", simulator="verilator")
    assert result.equal, result
