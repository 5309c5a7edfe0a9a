# amaranth: UnusedElaboratable=no
"""A lane's product in an ECP5's multiplier: proven equal, by Yosys's solver, to what the core's Verilog says of it."""

import pytest
from amaranth.back import verilog
from amaranth.hdl import Module, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from boards.board import board_files, read_board
from boards.flow.build import write_sources
from boards.parts.products import WIDEST, product_map
from boards.plan import plan
from mgd_hw.design.reader import load
from rtl_gen.broadcast import Multiplier
from rtl_gen.cost import CostUnit
from rtl_gen.lane import MultiplyAccumulate
from rtl_gen.toolchain.yosys import YosysError, run_yosys


class Lanes(wiring.Component):
    """Multiply-accumulates, each the submodule mac of a lane; they multiply ``a`` by itself if ``squares``."""

    def __init__(self, a, b, count: int = 2, *, pipelined: bool = False, squares: bool = False):
        self.squares = squares
        self.macs = [MultiplyAccumulate(a, b, a.width + b.width + 1, pipelined=pipelined) for _ in range(count)]
        ports = {name: In(1) if name == "load" else In(shape) for name, shape in (("a", a), ("b", b), ("load", 1))}
        super().__init__(ports | {f"o{number}": Out(mac.o.shape()) for number, mac in enumerate(self.macs)})

    def elaborate(self, platform):
        m = Module()
        for number, mac in enumerate(self.macs):
            lane = Module()
            lane.submodules.mac = mac
            m.submodules[f"lane{number}"] = lane
            m.d.comb += [mac.a.eq(self.a), mac.b.eq(self.a if self.squares else self.b), mac.c.eq(self.a), mac.load.eq(self.load)]
            m.d.comb += getattr(self, f"o{number}").eq(mac.o)
        return m


class InSmallParts(Multiplier):
    """The auxiliary multiplier, cut into pieces that a solver can multiply."""

    PIECE = 2


class Auxiliary(wiring.Component):
    """The auxiliary multiplier, as a submodule of that name; it multiplies ``a`` by itself if ``squares``."""

    def __init__(self, a: int, b: int, *, squares: bool = False):
        self.multiplier, self.squares = InSmallParts(a, b, in_parts=True), squares
        super().__init__({"a": In(signed(a)), "b": In(signed(b)), "o": Out(signed(a + b))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiplier = self.multiplier
        m.d.comb += [self.multiplier.a.eq(self.a), self.multiplier.b.eq(self.a if self.squares else self.b), self.o.eq(self.multiplier.o)]
        return m


def model(extra: str = "") -> str:
    """MULT18X18D as Lattice FPGA-TN-02205 describes it, as far as it is used: signed factors, and a register for the product."""
    pins = [f"{pin}{bit}" for pin, many in (("A", 18), ("B", 18)) for bit in range(many)]
    outputs = [f"P{bit}" for bit in range(36)]

    def bus(pin: str, many: int) -> str:
        return "{" + ", ".join(f"{pin}{bit}" for bit in reversed(range(many))) + "}"

    return f"""module MULT18X18D(input CLK0, CE0, RST0, SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, {", ".join(pins)}, output {", ".join(outputs)});
  parameter REG_INPUTA_CLK = "NONE", REG_INPUTB_CLK = "NONE", REG_OUTPUT_CLK = "NONE";
  reg signed [17:0] a = 0, b = 0;
  reg signed [35:0] held = 0;
  wire signed [17:0] a_used = REG_INPUTA_CLK == "CLK0" ? a : {bus("A", 18)};
  wire signed [17:0] b_used = REG_INPUTB_CLK == "CLK0" ? b : {bus("B", 18)};
  always @(posedge CLK0) if (CE0) begin
    a <= {bus("A", 18)};
    b <= {bus("B", 18)};
    held <= (a_used * b_used){extra};
  end
  assign {bus("P", 36)} = REG_OUTPUT_CLK == "CLK0" && SIGNEDA && SIGNEDB && !SOURCEA && !SOURCEB && !RST0 ? held : 36'b0;
endmodule
"""


def prove(top, count: int, directory, multiplier: str) -> None:
    """Yosys refuses, if what is mapped, to so many multipliers, differs from what it is mapped from in any cycle."""
    text = verilog.convert(top, name="top", emit_src=False)
    for name, content in (("top.v", text), ("products.v", product_map(text)), ("model.v", multiplier)):
        (directory / name).write_text(content, encoding="utf-8")
    commands = [
        *("read_verilog top.v", "hierarchy -top top", "proc", "flatten", "opt_clean -purge", "rename top gold", "design -stash gold"),
        *("read_verilog top.v", "hierarchy -top top", "techmap -map products.v", f"select -assert-count {count} t:MULT18X18D"),
        *(
            "read_verilog model.v",
            "hierarchy -check -top top",
            "proc",
            "flatten",
            "opt_clean -purge",
            "rename top gate",
            "design -stash gate",
        ),
        *("design -copy-from gold -as gold gold", "design -copy-from gate -as gate gate"),
        "miter -equiv -flatten -make_outputs gold gate miter",
        "sat -verify -prove trigger 0 -seq 1 -set-init-zero -tempinduct -maxsteps 6 miter",
    ]
    run_yosys(commands, directory)


@pytest.mark.parametrize(
    ("a", "b", "pipelined"),
    [
        (signed(3), signed(3), True),
        (signed(3), unsigned(2), False),
        pytest.param(signed(3), signed(3), False, marks=pytest.mark.slow),
        pytest.param(signed(3), unsigned(2), True, marks=pytest.mark.slow),
    ],
)
def test_a_mapped_product_is_what_it_was(a, b, pipelined, tmp_path):
    prove(Lanes(a, b, pipelined=pipelined), 2, tmp_path, model())


def test_so_are_the_parts_of_the_auxiliary_multiplier(tmp_path):
    """Products of several kinds: of pieces of the factors, with their sign or without."""
    prove(Auxiliary(4, 4), 4, tmp_path, model())


@pytest.mark.slow
def test_so_are_the_squares_of_a_core_that_multiplies_nothing_else(tmp_path):
    """Amaranth makes one port of two that have the same value, whether their sum is in the multiplier's module or not."""
    prove(Lanes(signed(3), signed(3), squares=True), 2, tmp_path, model())
    prove(Auxiliary(4, 4, squares=True), 4, tmp_path, model())


def test_another_product_is_seen(tmp_path):
    with pytest.raises(YosysError):
        prove(Lanes(signed(4), signed(3)), 2, tmp_path, model(" ^ 1"))


def test_factors_that_are_too_wide_are_left_to_yosys():
    for a, b in ((signed(WIDEST + 1), signed(3)), (signed(3), unsigned(WIDEST))):
        assert product_map(verilog.convert(Lanes(a, b), name="top", emit_src=False)) == ""


def test_what_is_not_a_product_is_refused():
    text = verilog.convert(Lanes(signed(4), signed(3)), name="top", emit_src=False)
    with pytest.raises(ValueError, match="A product must be of a and b"):
        product_map(text.replace("$signed(a) * $signed(b)", "$signed(a) + $signed(b)"))
    with pytest.raises(ValueError, match="modules of their own"):
        product_map("module top; endmodule")


@pytest.mark.parametrize("name", ["xor", *(pytest.param(name, marks=pytest.mark.slow) for name in ("nist7x7", "digits"))])
def test_a_build_maps_the_products_of_all_lanes(name, tmp_path):
    spec, board = load(name).spec, read_board(board_files()["ulx3s-85f"])
    assert "products.v" in write_sources(spec, plan(board), tmp_path)
    commands = (tmp_path / "synth.ys").read_text(encoding="utf-8").splitlines()
    before = commands[: commands.index("techmap -map products.v") + 1]
    products = spec.hardware.lanes + CostUnit.sums_in_multiplier(spec)
    run_yosys([*before, f"select -assert-count {products} t:MULT18X18D"], tmp_path)
