# amaranth: UnusedElaboratable=no
"""Registers behind an ECP5's block memory that become its own: proven equal, by Yosys's solver, and left alone where they differ."""

import copy
import json
import subprocess
import sys

import pytest
from amaranth.back import verilog
from amaranth.hdl import Module, Mux, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from boards.board import board_files, read_board
from boards.flow import build
from boards.parts import output_registers
from boards.parts.output_registers import absorb
from boards.plan import plan
from mgd_hw.design.reader import load
from rtl_gen.slot import NO_READ_WRITE_CHECK, delayed
from rtl_gen.toolchain.yosys import YosysError, run_yosys
from tests.support.shared import shared_folder

WIDTH = 4


class Reader(wiring.Component):
    """A memory, with registers behind what it reads; ``enable`` stops them where they have one."""

    def __init__(self, kind: str):
        self.kind = kind
        ports = {name: In(unsigned(width)) for name, width in (("write", 9), ("read", 9), ("data", WIDTH), ("en", 1), ("enable", 1))}
        super().__init__(ports | {"o": Out(WIDTH), "more": Out(WIDTH)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.store = store = memory.Memory(shape=unsigned(WIDTH), depth=512, init=[], attrs=NO_READ_WRITE_CHECK)
        write, read = store.write_port(), store.read_port()
        m.d.comb += [write.addr.eq(self.write), write.data.eq(self.data), write.en.eq(self.en), read.addr.eq(self.read)]
        if self.kind == "enabled":
            m.d.comb += self.o.eq(delayed(m, Mux(self.enable, read.data, self.o), 1, "held"))
        else:
            m.d.comb += self.o.eq(delayed(m, read.data, 2, "held", reset_less=self.kind != "reset"))
        if self.kind == "read twice":
            m.d.comb += self.more.eq(read.data)
        return m


MODEL = """module DP16KD({ports});
  parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG";
{parameters}
  reg [17:0] {states};
{behaviour}
endmodule
"""


def model(cell: dict) -> str:
    """A memory that reads what its address says, with the registers that Lattice FPGA-TN-02204 describes: enough to see when it answers."""
    pins = sorted(cell["connections"])
    ports = ", ".join(f"{'output' if pin.startswith('DO') else 'input'} {pin}" for pin in pins)
    named = sorted(set(cell["parameters"]) - {"REGMODE_A", "REGMODE_B"})
    behaviour = []
    for port in "AB":
        address = ", ".join(pin for pin in reversed([f"AD{port}{bit}" for bit in range(14)]) if pin in pins)
        behaviour.append(f"  always @(posedge CLK{port}) if (CE{port}) read{port} <= {{{address}}} * 5;")
        behaviour.append(f"  always @(posedge CLK{port}) if (CE{port} && OCE{port}) held{port} <= RST{port} ? 0 : read{port};")
        for bit in range(18):
            if f"DO{port}{bit}" in pins:
                behaviour.append(f'  assign DO{port}{bit} = REGMODE_{port} == "OUTREG" ? held{port}[{bit}] : read{port}[{bit}];')
    return MODEL.format(
        ports=ports,
        parameters="\n".join(f"  parameter {name} = 0;" for name in named),
        states=", ".join(f"{state}{port} = 0" for state in ("read", "held") for port in "AB"),
        behaviour="\n".join(behaviour),
    )


@pytest.fixture
def synthesised(tmp_path_factory):
    """A function that returns the netlist of a kind of reader, each synthesised once for all tests."""

    def netlist(kind: str) -> dict:
        with shared_folder(tmp_path_factory, f"reader-{kind}") as place:
            if not (place / "top.json").exists():
                (place / "top.v").write_text(verilog.convert(Reader(kind), name="top", emit_src=False), encoding="utf-8")
                run_yosys(["read_verilog top.v", "synth_ecp5 -top top", "write_json made.json"], place)
                (place / "made.json").rename(place / "top.json")
            return json.loads((place / "top.json").read_text(encoding="utf-8"))

    return netlist


def memory_of(netlist: dict) -> dict:
    (cell,) = (cell for cell in netlist["modules"]["top"]["cells"].values() if cell["type"] == "DP16KD")
    return cell


def prove(gold: dict, gate: dict, directory) -> None:
    """Yosys refuses, if two netlists differ in any cycle."""
    for name, netlist in (("gold", gold), ("gate", gate)):
        top = {"modules": {"top": netlist["modules"]["top"]}}
        (directory / f"{name}.json").write_text(json.dumps(top), encoding="utf-8")
        (directory / f"{name}.v").write_text(model(memory_of(netlist)), encoding="utf-8")
    commands = []
    for name in ("gold", "gate"):
        commands += [
            f"read_json {name}.json",
            "read_verilog -DNO_INCLUDES +/lattice/cells_sim_ecp5.v",
            "delete =DP16KD",
            f"read_verilog {name}.v",
        ]
        commands += ["hierarchy -check -top top", "proc", "flatten", "opt_clean -purge", f"rename top {name}", f"design -stash {name}"]
    commands += ["design -copy-from gold -as gold gold", "design -copy-from gate -as gate gate"]
    commands += ["miter -equiv -flatten -make_outputs gold gate miter"]
    commands += ["sat -verify -prove trigger 0 -seq 2 -set-init-zero -tempinduct -maxsteps 8 miter"]
    run_yosys(commands, directory)


def test_registers_in_the_memory_are_those_behind_it(synthesised, tmp_path):
    before = synthesised("plain")
    after = copy.deepcopy(before)
    assert absorb(after["modules"]["top"]) == WIDTH
    found = [mode for name, mode in memory_of(after)["parameters"].items() if name.startswith("REGMODE")]
    assert sorted(found) == ["NOREG", "OUTREG"]
    prove(before, after, tmp_path)


def test_a_register_that_is_only_left_out_is_seen(synthesised, tmp_path):
    before = synthesised("plain")
    after = copy.deepcopy(before)
    absorb(after["modules"]["top"])
    memory_of(after)["parameters"] |= {"REGMODE_A": "NOREG", "REGMODE_B": "NOREG"}
    with pytest.raises(YosysError):
        prove(before, after, tmp_path)


@pytest.mark.parametrize("kind", ["reset", "enabled", "read twice"])
def test_other_registers_are_left_alone(kind, synthesised):
    netlist = synthesised(kind)
    before = copy.deepcopy(netlist)
    assert absorb(netlist["modules"]["top"]) == 0
    assert netlist == before


def _change(cell: dict, part: str, name: str, value: object) -> None:
    assert cell[part][name] != value
    cell[part][name] = value


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda memory, register: _change(register, "parameters", "REGSET", "SET"), id="begins with a one"),
        pytest.param(lambda memory, register: _change(register, "parameters", "CLKMUX", "INV"), id="the other edge"),
        pytest.param(lambda memory, register: _change(register, "connections", "CLK", [0]), id="another clock"),
        pytest.param(lambda memory, register: _change(memory, "parameters", "CLKBMUX", "INV"), id="the memory's other edge"),
        pytest.param(lambda memory, register: _change(memory, "parameters", "REGMODE_B", "OUTREG"), id="in use"),
        pytest.param(lambda memory, register: _change(memory, "connections", "CEB", [0]), id="reads that are enabled"),
        pytest.param(lambda memory, register: _change(memory, "connections", "OCEB", [0]), id="a register that is enabled"),
        pytest.param(lambda memory, register: _change(memory, "connections", "RSTB", [0]), id="a register that is reset"),
    ],
)
def test_what_differs_in_one_thing_is_left_alone(change, synthesised):
    netlist = synthesised("plain")
    module = netlist["modules"]["top"]
    read = memory_of(netlist)["connections"]["DOB0"]
    change(memory_of(netlist), next(cell for cell in module["cells"].values() if cell["connections"].get("DI") == read))
    assert absorb(module) == 0


def test_a_build_absorbs_before_it_places(synthesised, tmp_path, monkeypatch):
    """What is counted, and what place and route reads, is the netlist with the registers in the memory."""
    netlist = synthesised("plain")
    spec, planned = load("xor").spec, plan(read_board(board_files()["ulx3s-85f"]))
    netlist["modules"]["mgd_xor_top"] = netlist["modules"].pop("top")
    monkeypatch.setattr(build, "run_yosys", lambda *_, **__: (tmp_path / "top.json").write_text(json.dumps(netlist), encoding="utf-8"))
    total = build._synthesise(spec, planned, tmp_path, 1, print, {})
    left = json.loads((tmp_path / "top.json").read_text(encoding="utf-8"))["modules"]["mgd_xor_top"]
    flip_flops = sum(cell["type"] == "TRELLIS_FF" for cell in netlist["modules"]["mgd_xor_top"]["cells"].values())
    assert total.ff == flip_flops - WIDTH == sum(cell["type"] == "TRELLIS_FF" for cell in left["cells"].values())
    assert absorb(left) == 0, "they are a memory's already"


def test_the_script_of_a_build_does_the_same(synthesised, tmp_path):
    netlist = synthesised("plain")
    (tmp_path / "top.json").write_text(json.dumps(netlist), encoding="utf-8")
    spec, board = load("xor").spec, read_board(board_files()["ulx3s-85f"])
    assert output_registers.FILE in build.write_sources(spec, plan(board), tmp_path)
    assert "python3 output_registers.py top.json mgd_xor_top\n" in (tmp_path / "build.sh").read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "output_registers.py", "top.json", "top"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{WIDTH} flip-flops became registers of block memories.\n"
    absorb(netlist["modules"]["top"])
    assert json.loads((tmp_path / "top.json").read_text(encoding="utf-8")) == netlist
