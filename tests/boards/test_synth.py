"""Synthesis: counts are right, their sums agree, and what does not fit is said."""

import random
from dataclasses import replace
from itertools import pairwise
from math import lcm

import pytest

from boards.parts import synth
from boards.parts.synth import check_memory, components_of, count, cycles_per_step, fitting_lanes, over, synthesise
from boards.parts.target import TARGETS, Resources
from python_ref.spec.design import DesignSpec, Formats, Hardware
from python_ref.spec.error import DesignError, ToolError
from python_ref.spec.layers import DENSE, Sparse
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import Difference, Schedule
from rtl_gen.core import contract
from rtl_gen.emit import memory_bits
from tests.support.designs import random_design
from tests.support.marks import LONG, slow_unless

UP5K = TARGETS["ice40-up5k"]


def design(sizes=(3, 4, 2), kind=Kind.NODE, lanes=2, schedule=None, **formats) -> DesignSpec:
    schedule = schedule or Schedule(((0, -8),))
    return DesignSpec(
        "small",
        Network(sizes),
        Perturbation(kind, amplitude_log2=-5),
        schedule,
        formats=Formats(**formats),
        hardware=Hardware(lanes, signature=False),
    )


def shipped_digits(lanes: int = 6) -> DesignSpec:
    """The shape of the shipped design digits."""
    texts = {"input": "UQ1.4", "weight": "SQ3.12", "activation": "SQ3.9", "cost_change": "SQ2.14", "gradient": "SQ1.20"}
    return design((64, 32, 10), lanes=lanes, schedule=Schedule(((0, -11),)), **{name: Fixed.parse(text) for name, text in texts.items()})


# -- Counting ---------------------------------------------------------------------------------------------------------

KNOWN = """
module mgd_small(input clk, input [15:0] a, b, input [9:0] at, output [31:0] product, output reg [3:0] both, late, output [15:0] word);
  mgd_small_core core(clk, a, b, at, product, both, late, word);
endmodule
module mgd_small_core(input clk, input [15:0] a, b, input [9:0] at, output [31:0] product, output [3:0] both, late, output [15:0] word);
  \\mgd_small_core.multiply$7 multiply$8(a, b, product);
  \\mgd_small_core.registers registers(clk, a, b, both, late);
  \\mgd_small_core.store store(clk, at, a, word);
endmodule
module \\mgd_small_core.multiply$7 (input signed [15:0] a, b, output signed [31:0] o);
  assign o = a * b;
endmodule
module \\mgd_small_core.registers (input clk, input [15:0] a, b, output reg [3:0] both, late);
  always @(posedge clk) begin
    both <= a[3:0] & b[3:0];
    late <= a[7:4];
  end
endmodule
module \\mgd_small_core.store (input clk, input [9:0] at, input [15:0] value, output reg [15:0] word);
  (* no_rw_check *) reg [15:0] store [0:1023];
  always @(posedge clk) begin
    if (value[0]) store[at] <= value;
    word <= store[at];
  end
endmodule
"""


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow_unless(name != "xc7")) for name in TARGETS])
def test_what_is_known_is_counted(name, tmp_path):
    """One multiplier, a memory of 16 kbit, four flip-flops behind AND gates and four behind none."""
    (tmp_path / "known.v").write_text(KNOWN)
    found = synthesise(design(), name, tmp_path, verilog=tmp_path / "known.v", by_component=False)
    assert (found.dsp, found.bram, found.total.other) == (1, 4 if name == UP5K.name else 1, 0)
    assert found.memory_bits == 1024 * 16
    assert found.components == {}
    assert found.fits


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow_unless(name == UP5K.name)) for name in TARGETS])
def test_what_is_known_is_counted_by_component(name, tmp_path):
    (tmp_path / "known.v").write_text(KNOWN)
    found = synthesise(design(), name, tmp_path, verilog=tmp_path / "known.v")
    blocks = 4 if name == UP5K.name else 1
    registers = found.components["registers"]
    assert (registers.lut, registers.ff, registers.logic) == (4, 8, 8 if name == UP5K.name else 4)
    assert set(found.components) == {"multiply", "registers", "store", "core"}
    assert found.components["multiply"].dsp == 1
    assert found.components["store"].bram == blocks
    parts = sum(found.components.values(), Resources())
    assert (parts.dsp, parts.bram, parts.ff) == (found.dsp, found.bram, found.ff)


def cell(kind: str, **pins) -> dict:
    outputs = {"O", "Q", "CO"}
    return {
        "type": kind,
        "connections": {pin: [bit] for pin, bit in pins.items()},
        "port_directions": {pin: "output" if pin in outputs else "input" for pin in pins},
    }


def test_places_of_an_ice40():
    """A register behind its own table shares its place; behind a table that others use, or none, it takes one; so does a
    carry that no table adds at."""
    lut, adder = cell("SB_LUT4", I0=1, I1=2, I2=3, I3="0", O=10), cell("SB_LUT4", I0="0", I1=5, I2=4, I3=6, O=11)
    cells = {"lut": lut, "adder": adder, "shares": cell("SB_DFF", D=10, C=9, Q=20), "carry": cell("SB_CARRY", I0=4, I1=5, CI=6, CO=7)}
    module = {"attributes": {}, "ports": {}, "cells": cells}

    def logic(**more) -> int:
        found = {**module, "cells": {**cells, **more}}
        return count({"modules": {"top": found}}, "top", UP5K)[""].logic

    assert logic() == 2
    assert logic(direct=cell("SB_DFF", D=8, C=9, Q=21)) == 3
    assert logic(second=cell("SB_DFF", D=10, C=9, Q=21)) == 4
    assert logic(carry=cell("SB_CARRY", I0=4, I1=8, CI=6, CO=7)) == 3


def test_counts_of_kept_modules_go_by_their_paths():
    inner = {"attributes": {}, "ports": {}, "cells": {"half": cell("MULT9X9D"), "other_half": cell("MULT9X9D"), "third": cell("MULT9X9D")}}
    box = {"attributes": {"blackbox": "1"}, "ports": {}, "cells": {}}
    top = {
        "attributes": {},
        "ports": {},
        "cells": {"block$3": cell("inner"), "again": cell("inner"), "m": cell("MULT18X18D"), "s": cell("$scopeinfo")},
    }
    found = count({"modules": {"top": top, "inner": inner, "MULT18X18D": box}}, "top", TARGETS["ecp5-85k"])
    assert found == {"": Resources(dsp=1), "block": Resources(dsp=2), "again": Resources(dsp=2)}


def test_components_are_blocks_and_lanes():
    found = components_of(KNOWN + "module \\mgd_small_core.array$3.lane12 (a);\nmodule \\mgd_small_core.array$3.tally (a);\n", design())
    assert found == {
        "mgd_small_core.multiply$7": "multiply",
        "mgd_small_core.registers": "registers",
        "mgd_small_core.store": "store",
        "mgd_small_core.array$3.lane12": "array.lane12",
    }


# -- Cores ------------------------------------------------------------------------------------------------------------

WIDE = {"input": Fixed.parse("UQ0.12"), "weight": Fixed.parse("SQ6.14"), "cost_change": Fixed.parse("SQ6.16")}


@pytest.mark.parametrize(
    ("spec", "dsp", "by_component"),
    [
        pytest.param(design((2, 2), weight=Fixed.parse("SQ3.12"), cost_change=Fixed.parse("SQ2.14")), 3, False, marks=LONG),
        pytest.param(design(weight=Fixed.parse("SQ3.12"), cost_change=Fixed.parse("SQ2.14")), 3, True, marks=pytest.mark.slow),
        pytest.param(
            design((3, 2), Kind.WEIGHT, lanes=1, schedule=Schedule(((0, -8),), update_period=3, difference=Difference.TWO_SIDED)),
            2,
            True,
            marks=LONG,
        ),
    ],
    ids=["one layer", "node", "weight"],
)
def test_a_lane_is_one_dsp_and_the_auxiliary_multiplier_another(spec, dsp, by_component, tmp_path, monkeypatch):
    paths = {}

    def counted(netlist, top, part):
        found = count(netlist, top, part)
        paths.update(found)
        return found

    monkeypatch.setattr(synth, "count", counted)
    found = synthesise(spec, "ice40-up5k", tmp_path, by_component=by_component)
    macs = [resources for path, resources in paths.items() if path.endswith(".mac")]
    assert macs and all(mac == Resources(dsp=1) for mac in macs), "a multiply-accumulate is one DSP and nothing else"
    assert found.dsp == dsp == spec.hardware.lanes + 1
    assert found.memory_bits == memory_bits(spec)
    if by_component:
        assert found.components["lanes"].dsp == spec.hardware.lanes
        assert sum(found.components.values(), Resources()).bram == found.bram
    assert found.total.other == 0
    assert found.fits
    assert found.cycles == contract(spec).figures()
    assert {f"cycles_{name}" for name in ("presentation probe unperturbed apply" if spec.node else "one_pass two_passes").split()} <= set(
        found.to_json()
    )
    needed = {"target", "lanes", "lut", "ff", "dsp", "bram", "memory_bits", "cycles_per_step", "fits"}
    assert needed <= set(found.to_json())


@pytest.mark.slow
def test_accumulators_and_factors_beyond_a_dsp_are_synthesised_too(tmp_path):
    spec = design((2, 1), lanes=1, **WIDE)
    assert spec.accumulator_width > 32
    assert spec.cost_change_format.width > 16
    found = synthesise(spec, "ice40-up5k", tmp_path, by_component=False)
    assert found.dsp >= 1
    assert found.components == {}
    assert found.predicted_lanes == 0


@pytest.mark.long
@pytest.mark.slow
def test_digits_fits_an_up5k_with_six_lanes(tmp_path):
    found = synthesise(shipped_digits(), "ice40-up5k", tmp_path)
    assert found.fits, found.over
    assert found.lut <= 5280
    assert found.dsp == 7
    assert found.bram <= 30
    assert found.cycles_per_step == cycles_per_step(shipped_digits())


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("seed", range(3))
def test_random_designs_are_counted_whole_on_every_target(name, seed, tmp_path):
    spec = random_design(random.Random(f"{name}:{seed}"), max_lanes=4)
    found = synthesise(spec, name, tmp_path)
    assert found.total.other == 0
    assert found.memory_bits == memory_bits(spec)
    assert found.components["lanes"].lut > 0


# -- Does it fit? -----------------------------------------------------------------------------------------------------


def test_what_is_over_is_said_by_how_much():
    assert over(Resources(lut=5280, dsp=8, bram=30), UP5K) == {}
    assert over(Resources(lut=5300, dsp=9, bram=30, carry=9999), UP5K) == {"lut": 20, "dsp": 1}


def test_a_core_larger_than_its_part_does_not_fit(tmp_path, monkeypatch):
    (tmp_path / "known.v").write_text(KNOWN)
    tiny = replace(UP5K, capacity=replace(UP5K.capacity, ff=7))
    monkeypatch.setattr(synth, "target", lambda name: tiny)
    found = synthesise(design(), "tiny", tmp_path, verilog=tmp_path / "known.v", by_component=False)
    assert not found.fits
    assert found.over == {"ff": 1}
    assert found.to_json()["fits"] is False


def test_lanes_are_predicted_by_scaling():
    spec = shipped_digits()
    total, lanes = Resources(lut=4000, logic=5000, dsp=7, bram=19), Resources(lut=900, logic=1200, dsp=6, bram=12)
    assert fitting_lanes(spec, UP5K, total, lanes) == 7
    assert fitting_lanes(spec, UP5K, total + Resources(logic=200), lanes) == 6
    assert fitting_lanes(spec, UP5K, total + Resources(dsp=9), lanes) == 0
    assert fitting_lanes(spec, TARGETS["ecp5-85k"], total, lanes) == max(spec.network.sizes[1:])
    assert fitting_lanes(spec, UP5K, total, Resources()) == 0
    blocks = replace(spec, network=replace(spec.network, kinds=(Sparse(5, 4), DENSE)), hardware=replace(spec.hardware, lanes=4))
    four = Resources(lut=600, logic=800, dsp=4, bram=8)
    assert fitting_lanes(blocks, UP5K, replace(total, dsp=5), four) == 4, "5 lanes are no divisor of the blocks"


def test_a_memory_that_cannot_fit_is_refused_before_synthesis(tmp_path):
    mnist = design((784, 32, 10), lanes=8)
    with pytest.raises(
        DesignError, match=r"^network\.layers = \[784, 32, 10\]: the core's memories take .* in ice40-up5k .*\. Take --target ecp5-85k"
    ):
        synthesise(mnist, "ice40-up5k", tmp_path)
    assert not list(tmp_path.iterdir())
    check_memory(mnist, TARGETS["ecp5-85k"])
    check_memory(shipped_digits(), UP5K)


@pytest.mark.parametrize("difference", Difference)
@pytest.mark.parametrize(("sample", "update"), [(1, 1), (3, 1), (4, 6), (5, 7), (100, 100)])
def test_cycles_of_the_average_step(difference, sample, update):
    schedule = Schedule(((0, -8),), sample_period=sample, update_period=update, difference=difference)
    spec, steps = design(kind=Kind.WEIGHT, schedule=schedule), lcm(sample, update)
    passes = [2 if difference is Difference.TWO_SIDED or not n % sample or not n % update else 1 for n in range(steps)]
    assert cycles_per_step(spec) == pytest.approx(contract(spec).run_cycles(passes) / steps)


@pytest.mark.parametrize("difference", Difference)
@pytest.mark.parametrize(("sample", "update"), [(1, 1), (3, 1), (4, 6), (5, 7), (100, 100)])
def test_cycles_of_the_average_step_of_presentations(difference, sample, update):
    schedule = Schedule(((0, -8),), sample_period=sample, update_period=update, difference=difference)
    spec, steps = design(schedule=schedule), lcm(sample, update)
    begins = [n for n in range(steps) if not n % sample or not n % update]
    cycles = sum(contract(spec).presentation_cycles(end - begin) for begin, end in pairwise([*begins, steps]))
    assert cycles_per_step(spec) == pytest.approx(cycles / steps)


def test_a_missing_yosys_is_said_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr("rtl_gen.toolchain.yosys._CHILDREN", {"no_such_yosys": ""})
    with pytest.raises(ToolError, match=r"^yosys: it is not installed\. Run 'pip install .*'\.$"):
        synthesise(design(), "ice40-up5k", tmp_path)
