# amaranth: UnusedElaboratable=no
"""What lanes share: at once to few, a cycle later to many, from registers that synthesis leaves where they are."""

import json

import pytest
from amaranth.back import verilog
from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.station import MANY, reach_of, tell
from rtl_gen.yosys import run_yosys
from tests.support.bench import cycles


class Ear(wiring.Component):
    """A lane that says, a cycle later, what it hears: twice that, and one more if its own bit is set."""

    x: In(4)
    flag: In(1)
    o: Out(5)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(Cat(self.flag, self.x))
        return m


class Hall(wiring.Component):
    """Lanes that are told the same."""

    def __init__(self, count: int):
        self.count = count
        super().__init__({"x": In(4), "flags": In(count), "heard": Out(5 * count)})

    def elaborate(self, platform):
        m = Module()
        m.submodules += (ears := [Ear() for _ in range(self.count)])
        tell(m, ears, {"x": self.x}, {"flag": self.flags})
        m.d.comb += [self.heard[5 * place : 5 * (place + 1)].eq(ear.o) for place, ear in enumerate(ears)]
        return m


@pytest.mark.parametrize("count", [1, MANY, MANY + 1, 3 * MANY])
def test_every_lane_hears_what_all_share_and_its_own(count):
    observed = [(5, 0), (9, 0b1), (15, 0x5A5A5A % (1 << count)), (0, (1 << count) - 1)]
    found = cycles(Hall(count), [{"x": x, "flags": flags} for x, flags in observed], ("heard",), extra=2)
    expected = [sum((2 * x + (flags >> place & 1)) << 5 * place for place in range(count)) for x, flags in observed]
    assert [row["heard"] for row in found[1 + reach_of(count) :]][: len(observed)] == expected


@pytest.mark.parametrize(("kept", "registers"), [(True, 3 * 2 * (4 + MANY)), (False, 2 * (4 + 3 * MANY))])
def test_synthesis_leaves_each_station_its_registers(kept, registers, tmp_path):
    (tmp_path / "hall.v").write_text(verilog.convert(Hall(3 * MANY), name="hall", emit_src=False), encoding="utf-8")
    keep = ["setattr -mod -set keep_hierarchy 1 *.station*"] if kept else []
    flat = ["setattr -mod -unset keep_hierarchy *", "flatten", "opt_clean -purge", "write_json hall.json"]
    run_yosys(["read_verilog hall.v", *keep, "synth_ecp5 -top hall -noccu2", *flat], tmp_path)
    cells = json.loads((tmp_path / "hall.json").read_text(encoding="utf-8"))["modules"]["hall"]["cells"].values()
    assert sum(cell["type"] == "TRELLIS_FF" for cell in cells) == registers
