"""Registers at the end of carry chains: netlists proven equal by Yosys's solver, each register packed into the next cell of its chain."""

import json
import subprocess
import sys

import pytest

from boards.board import board_files, read_board
from boards.flow import build
from boards.parts import carry_registers
from boards.parts.carry_registers import join_carries
from boards.plan import plan
from mgd_hw.design.reader import load
from rtl_gen.toolchain.yosys import YosysError, run_yosys
from tests.support.ice40 import prove
from tests.support.shared import shared_folder

DESIGN = """module top(input clk, input [5:0] a, b, c, output reg over, output reg [5:0] rest, output reg less, output reads);
  wire [6:0] sum = a + b, other = c + 6'd21;
  always @(posedge clk) begin
    {over, rest} <= sum;
    less <= other[6];
  end
  assign reads = other[6];
endmodule
"""
"""``over`` alone reads the carry of its adder; a port reads that of ``less`` as well."""


@pytest.fixture
def netlist(tmp_path_factory):
    """The design, synthesised."""
    with shared_folder(tmp_path_factory, "carry-registers") as folder:
        file = folder / "top.json"
        if not file.exists():
            (folder / "top.v").write_text(DESIGN, encoding="utf-8")
            run_yosys(["read_verilog top.v", "synth_ice40 -top top", "write_json top.json"], folder)
        return json.loads(file.read_text(encoding="utf-8"))


def reads_carry(module, name):
    """Whether the data of the flip-flop that drives a port is a carry."""
    (bit,) = module["ports"][name]["bits"]
    (data,) = next(cell["connections"]["D"] for cell in module["cells"].values() if cell["connections"].get("Q") == [bit])
    return any(cell["connections"].get("CO") == [data] for cell in module["cells"].values())


def test_a_register_of_a_carry_gets_a_table(netlist, tmp_path):
    before, module = json.dumps(netlist), netlist["modules"]["top"]
    assert reads_carry(module, "over") and reads_carry(module, "less")
    assert join_carries(module) == 1
    assert not reads_carry(module, "over") and reads_carry(module, "less"), "whose carry leaves the chain anyway"
    prove(json.loads(before), netlist, tmp_path)
    assert join_carries(module) == 0, "which is done once"


def test_a_table_that_passes_another_input_is_seen(netlist, tmp_path):
    before, module = json.dumps(netlist), netlist["modules"]["top"]
    join_carries(module)
    next(cell for name, cell in module["cells"].items() if name.endswith("_carry"))["parameters"]["LUT_INIT"] = f"{0xF0F0:016b}"
    with pytest.raises(YosysError):
        prove(json.loads(before), netlist, tmp_path)


def test_the_script_of_a_build_does_the_same(netlist, tmp_path):
    (tmp_path / "top.json").write_text(json.dumps(netlist), encoding="utf-8")
    spec, board = load("xor").spec, read_board(board_files()["icebreaker"])
    assert carry_registers.FILE in build.write_sources(spec, plan(board), tmp_path)
    assert "python3 carry_registers.py top.json mgd_xor_top\n" in (tmp_path / "build.sh").read_text(encoding="utf-8")
    command = [sys.executable, carry_registers.FILE, "top.json", "top"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    added = join_carries(netlist["modules"]["top"])
    assert done.stdout == f"{added} registers put at the end of the carry chain that they read.\n"
    assert json.loads((tmp_path / "top.json").read_text(encoding="utf-8")) == netlist


@pytest.mark.slow
def test_nextpnr_packs_the_register_into_the_chain(netlist, tmp_path):
    """With a cell fewer for the register: nextpnr adds none that leads the carry out."""
    cells = []
    for name in ("before", "after"):
        (tmp_path / f"{name}.json").write_text(json.dumps(netlist), encoding="utf-8")
        arguments = ("--up5k", "--package", "sg48", "--json", f"{name}.json", "--pack-only", "--write", f"{name}.packed.json")
        build.run_jobs([build.Job("nextpnr-ice40", arguments, f"{name}.log", (f"{name}.packed.json",))], tmp_path)
        packed = json.loads((tmp_path / f"{name}.packed.json").read_text(encoding="utf-8"))["modules"]["top"]["cells"]
        cells.append(sum(cell["type"] == "ICESTORM_LC" for cell in packed.values()))
        join_carries(netlist["modules"]["top"])
    assert cells[1] == cells[0] - 1
