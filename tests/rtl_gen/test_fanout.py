# amaranth: UnusedElaboratable=no
"""Signals reach few lanes directly and many a cycle later, from registers that synthesis does not merge."""

import json

import pytest
from amaranth.back import verilog
from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.hardware import MAX_SMALL_ARRAY
from rtl_gen.fanout import MAX_DIRECT_LANES, connect_lanes, fanout_latency
from rtl_gen.toolchain.yosys import run_yosys
from tests.support.bench import cycles


class SampleLane(wiring.Component):
    """A lane that returns its inputs a cycle later: twice the shared one, and one more if its own bit is set."""

    x: In(4)
    flag: In(1)
    o: Out(5)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(Cat(self.flag, self.x))
        return m


class SampleArray(wiring.Component):
    """Lanes that share one input and have one bit each."""

    def __init__(self, count: int, stages: int | None = None):
        self.count, self.stages = count, stages
        super().__init__({"x": In(4), "flags": In(count), "o": Out(5 * count)})

    def elaborate(self, platform):
        m = Module()
        m.submodules += (lanes := [SampleLane() for _ in range(self.count)])
        connect_lanes(m, lanes, {"x": self.x}, {"flag": self.flags}, self.stages)
        m.d.comb += [self.o[5 * place : 5 * (place + 1)].eq(lane.o) for place, lane in enumerate(lanes)]
        return m


def test_arrays_without_register_stages_are_those_whose_multipliers_take_16_bits():
    """The spec, which may not import the hardware, derives the widest error from the same number of lanes."""
    assert MAX_DIRECT_LANES == MAX_SMALL_ARRAY


@pytest.mark.parametrize("count", [1, MAX_DIRECT_LANES, MAX_DIRECT_LANES + 1, 3 * MAX_DIRECT_LANES])
def test_every_lane_gets_the_shared_value_and_its_own_bit(count):
    given = [(5, 0), (9, 0b1), (15, 0x5A5A5A % (1 << count)), (0, (1 << count) - 1)]
    found = cycles(SampleArray(count), [{"x": x, "flags": flags} for x, flags in given], ("o",), extra=2)
    expected = [sum((2 * x + (flags >> place & 1)) << 5 * place for place in range(count)) for x, flags in given]
    assert [row["o"] for row in found[1 + fanout_latency(count) :]][: len(given)] == expected


@pytest.mark.parametrize("count", [MAX_DIRECT_LANES + 1, 4 * MAX_DIRECT_LANES, 5 * MAX_DIRECT_LANES + 3, 9 * MAX_DIRECT_LANES])
def test_two_stages_take_a_cycle_more(count):
    given = [(5, 0), (9, 0b1), (15, (1 << count) // 3), (0, (1 << count) - 1)]
    found = cycles(SampleArray(count, 2), [{"x": x, "flags": flags} for x, flags in given], ("o",), extra=3)
    expected = [sum((2 * x + (flags >> place & 1)) << 5 * place for place in range(count)) for x, flags in given]
    assert [row["o"] for row in found[1 + 2 :]][: len(given)] == expected


@pytest.mark.parametrize(("kept", "registers"), [(True, 3 * 2 * (4 + MAX_DIRECT_LANES)), (False, 2 * (4 + 3 * MAX_DIRECT_LANES))])
def test_synthesis_leaves_each_stage_its_registers(kept, registers, tmp_path):
    array = SampleArray(3 * MAX_DIRECT_LANES)
    (tmp_path / "array.v").write_text(verilog.convert(array, name="top", emit_src=False), encoding="utf-8")
    keep = ["setattr -mod -set keep_hierarchy 1 *.fanout*"] if kept else []
    flat = ["setattr -mod -unset keep_hierarchy *", "flatten", "opt_clean -purge", "write_json array.json"]
    run_yosys(["read_verilog array.v", *keep, "synth_ecp5 -top top -noccu2", *flat], tmp_path)
    cells = json.loads((tmp_path / "array.json").read_text(encoding="utf-8"))["modules"]["top"]["cells"].values()
    assert sum(cell["type"] == "TRELLIS_FF" for cell in cells) == registers
