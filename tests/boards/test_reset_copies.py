"""Copies of the register that resets an iCE40's design: proven equal by Yosys's solver, and made only where a register resets many."""

import json
import subprocess
import sys

import pytest

from boards.board import board_files, read_board
from boards.flow import build
from boards.parts import reset_copies
from boards.parts.reset_copies import copy_resets
from boards.plan import plan
from mgd_hw.design.reader import load
from rtl_gen.toolchain.yosys import YosysError, run_yosys
from tests.support.ice40 import prove
from tests.support.shared import shared_folder

DESIGN = """module top(input clk, request, first, second, input [7:0] data, output reg [7:0] a, b, output said);
  reg reset;
  always @(posedge clk) begin
    reset <= request;
    if (reset) a <= 0; else if (first) a <= data;
    if (reset) b <= 8'hff; else if (second) b <= a ^ data;
  end
  assign said = reset & first;
endmodule
"""
RESET = 16
"""Number of flip-flops that it resets."""


@pytest.fixture
def netlist(tmp_path_factory):
    """The design, synthesised."""
    with shared_folder(tmp_path_factory, "reset-copies") as folder:
        file = folder / "top.json"
        if not file.exists():
            (folder / "top.v").write_text(DESIGN, encoding="utf-8")
            run_yosys(["read_verilog top.v", "synth_ice40 -top top", "write_json top.json"], folder)
        return json.loads(file.read_text(encoding="utf-8"))


def registers(module):
    return [name for name, cell in module["cells"].items() if cell["type"].startswith("SB_DFF")]


def readers(module, bit):
    """Look-up tables and ports that read a bit."""
    tables = [cell["connections"] for cell in module["cells"].values() if cell["type"] == "SB_LUT4"]
    return sum([bit] in (pins["I0"], pins["I1"], pins["I2"], pins["I3"]) for pins in tables)


def test_every_table_that_reads_the_reset_has_a_copy(netlist, tmp_path):
    before, module = json.dumps(netlist), netlist["modules"]["top"]
    (bit,) = module["netnames"]["reset"]["bits"]
    count, reading = len(registers(module)), readers(module, bit)
    assert reading >= 3, "both enables and an output"
    assert copy_resets(module, RESET) == reading == len(registers(module)) - count
    assert readers(module, bit) == 0
    assert sum(cell["connections"].get(pin) == [bit] for cell in module["cells"].values() for pin in ("R", "S")) == RESET
    prove(json.loads(before), netlist, tmp_path)


def test_a_copy_that_is_late_is_seen(netlist, tmp_path):
    before, module = json.dumps(netlist), netlist["modules"]["top"]
    (bit,) = module["netnames"]["reset"]["bits"]
    copy_resets(module, RESET)
    next(cell for name, cell in module["cells"].items() if name.endswith("_copy1"))["connections"]["D"] = [bit]
    with pytest.raises(YosysError):
        prove(json.loads(before), netlist, tmp_path)


def test_a_register_that_resets_few_has_none(netlist):
    before = json.dumps(netlist)
    assert copy_resets(netlist["modules"]["top"], RESET + 1) == 0
    assert json.dumps(netlist) == before


def test_a_build_copies_before_it_places(netlist, tmp_path, monkeypatch):
    """What is counted, and what place and route reads, is the netlist with the copies."""
    spec, planned = load("xor").spec, plan(read_board(board_files()["icebreaker"]))
    netlist["modules"]["mgd_xor_top"] = netlist["modules"].pop("top")
    count = len(registers(netlist["modules"]["mgd_xor_top"]))
    monkeypatch.setattr(build, "run_yosys", lambda *_, **__: (tmp_path / "top.json").write_text(json.dumps(netlist), encoding="utf-8"))
    monkeypatch.setitem(build._REWRITES, "ice40", ((lambda module: copy_resets(module, RESET), *build._REWRITES["ice40"][0][1:]),))
    total = build._synthesise(spec, planned, tmp_path, 1, print, {})
    left = json.loads((tmp_path / "top.json").read_text(encoding="utf-8"))["modules"]["mgd_xor_top"]
    assert total.ff == len(registers(left)) > count


def test_a_build_that_fits_only_without_copies_has_none(netlist, tmp_path, monkeypatch):
    planned = plan(read_board(board_files()["icebreaker"]))
    (tmp_path / "top.json").write_text(json.dumps(netlist), encoding="utf-8")
    monkeypatch.setitem(build._REWRITES, "ice40", ((lambda module: copy_resets(module, RESET), *build._REWRITES["ice40"][0][1:]),))
    count = len(registers(netlist["modules"]["top"]))
    monkeypatch.setattr(build, "over", lambda total, part: {"ff": total.ff - count} if total.ff > count else {})
    assert build._rewritten(planned, tmp_path, "top").ff == count
    assert json.loads((tmp_path / "top.json").read_text(encoding="utf-8")) == netlist


def test_the_script_of_a_build_does_the_same(netlist, tmp_path):
    (tmp_path / "top.json").write_text(json.dumps(netlist), encoding="utf-8")
    spec, board = load("xor").spec, read_board(board_files()["icebreaker"])
    assert reset_copies.FILE in build.write_sources(spec, plan(board), tmp_path)
    assert "python3 reset_copies.py top.json mgd_xor_top\n" in (tmp_path / "build.sh").read_text(encoding="utf-8")
    file = (tmp_path / reset_copies.FILE).read_text(encoding="utf-8").replace(f"MANY = {reset_copies.MANY}", f"MANY = {RESET}")
    (tmp_path / reset_copies.FILE).write_text(file, encoding="utf-8")
    done = subprocess.run([sys.executable, reset_copies.FILE, "top.json", "top"], cwd=tmp_path, capture_output=True, text=True, check=True)
    added = copy_resets(netlist["modules"]["top"], RESET)
    assert done.stdout == f"{added} copies of registers that reset the design.\n"
    assert json.loads((tmp_path / "top.json").read_text(encoding="utf-8")) == netlist
