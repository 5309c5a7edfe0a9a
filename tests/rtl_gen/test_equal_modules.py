# amaranth: UnusedElaboratable=no
"""Equal modules of a Verilog file become one, modules that differ stay apart, and the circuit is the same, as Yosys's solver proves."""

import re

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from boards.board import board_files, read_board
from boards.flow import build
from boards.parts import multiplier_sites
from boards.plan import plan
from rtl_gen.toolchain.equal_modules import merged
from rtl_gen.toolchain.verilog import component_verilog
from rtl_gen.toolchain.yosys import run_yosys
from tests.support.node_designs import node_design


class Inner(wiring.Component):
    """Adds a constant in a register."""

    def __init__(self, constant: int):
        self.constant = constant
        super().__init__({"i": In(4), "o": Out(4)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.i + self.constant)
        return m


class Outer(wiring.Component):
    """Inverts what the module in it returns."""

    def __init__(self, constant: int):
        self.constant = constant
        super().__init__({"i": In(4), "o": Out(4)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = Inner(self.constant)
        m.d.comb += [inner.i.eq(self.i ^ 5), self.o.eq(~inner.o)]
        return m


class Row(wiring.Component):
    """Modules side by side, of which the one before the last has another constant."""

    i: In(4)
    o: Out(20)

    def elaborate(self, platform):
        m = Module()
        for number, constant in enumerate((3, 3, 3, 7, 3)):
            m.submodules[f"lane{number}"] = lane = Outer(constant)
            m.d.comb += [lane.i.eq(self.i), self.o.word_select(number, 4).eq(lane.o)]
        return m


def modules(verilog: str) -> list[str]:
    return re.findall(r"^module \\?(\S+?)\s*\(", verilog, re.MULTILINE)


def test_equal_modules_are_one_and_the_circuit_is_the_same(tmp_path):
    verilog = component_verilog(Row(), "top")
    fewer = merged(verilog)
    assert len(modules(verilog)) == 11
    assert modules(fewer) == ["top", "top.lane0", "top.lane0.inner", "top.lane3", "top.lane3.inner"]
    assert [f"lane{number} (" in fewer for number in range(5)] == [True] * 5, "instances keep their names"
    (tmp_path / "gold.v").write_text(verilog, encoding="utf-8")
    (tmp_path / "gate.v").write_text(fewer, encoding="utf-8")
    commands = []
    for name in ("gold", "gate"):
        commands += [f"read_verilog {name}.v", "hierarchy -check -top top", "proc", "flatten", "opt_clean", f"rename top {name}"]
        commands += [f"design -stash {name}"]
    commands += ["design -copy-from gold -as gold gold", "design -copy-from gate -as gate gate"]
    commands += ["miter -equiv -flatten -make_outputs gold gate miter"]
    commands += ["sat -verify -prove trigger 0 -seq 6 -set-init-zero -tempinduct -maxsteps 8 miter"]
    run_yosys(commands, tmp_path)


def test_a_build_of_many_lanes_has_one_module_for_all_and_keeps_it_whole(tmp_path, monkeypatch):
    board = read_board(board_files()["ulx3s-85f"])
    monkeypatch.setattr(multiplier_sites, "FEWEST_LANES", 9)
    spec = node_design(sizes=(3, 9, 2), lanes=9)
    build.write_sources(spec, plan(board), tmp_path)
    found = modules((tmp_path / "top.v").read_text(encoding="utf-8"))
    assert [name.rsplit(".", 1)[1] for name in found if re.search(r"\.lane\d+$", name)] == ["lane0"]
    products = (tmp_path / "products.v").read_text(encoding="utf-8")
    assert set(re.findall(r"[\w.]+lane\d+[\w.]*product", products)) <= {name for name in found if "product" in name}
    script = (tmp_path / "synth.ys").read_text(encoding="utf-8").splitlines()
    assert "setattr -mod -set keep_hierarchy 1 *.lane*" in script
    assert any(line.endswith(f"; synth_ecp5 -nowidelut -top {build.top_module(spec)}") for line in script)
    assert 'setattr -set ram_style "distributed" */m:sums' in script
    few = build.synthesis_commands(node_design(sizes=(3, 40, 2), lanes=8), board)
    own = ("lane", "nowidelut", "distributed")
    assert not [command for command in few if any(word in command.replace(build.top_module(spec), "") for word in own)]
