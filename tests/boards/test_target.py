"""Parts: what their cells are, and how much they have."""

import importlib
import json

import pytest

from boards.parts.target import FEWEST, TARGETS, Resources, target
from rtl_gen.slot import SINGLE_PORT
from rtl_gen.toolchain.yosys import run_yosys


@pytest.mark.parametrize(
    ("name", "cell", "kind", "weight"),
    [
        ("ice40-up5k", "SB_DFFESR", "ff", 1),
        ("ice40-up5k", "SB_RAM40_4KNRNW", "bram", 1),
        ("ecp5-85k", "CCU2C", "carry", 2),
        ("ecp5-85k", "MULT9X9D", "dsp", 0.5),
        ("gowin-gw1nr9", "DFFRE", "ff", 1),
        ("gowin-gw1nr9", "LUT4", "lut", 1),
        ("gowin-gw1nr9", "MULT36X36", "dsp", 4),
        ("gowin-gw2ar18", "SDPX9B", "bram", 1),
        ("gowin-gw2ar18", "SP", "bram", 1),
        ("gowin-gw2ar18", "RAM16SDP4", "lutram", 4),
        ("xc7", "RAMB18E1", "bram", 1),
        ("xc7", "RAMB36E1", "bram", 2),
        ("xc7", "CARRY4", "", 0),
        ("xc7", "FDRE", "ff", 1),
        ("xc7", "FLUX", "other", 1),
    ],
)
def test_cells_are_known_by_the_longest_beginning(name, cell, kind, weight):
    assert TARGETS[name].kind_of(cell) == (kind, weight)


@pytest.mark.parametrize(
    ("name", "depth", "width", "blocks"),
    [
        ("ice40-up5k", 256, 16, 1),
        ("ice40-up5k", 257, 16, 2),
        ("ice40-up5k", 456, 15, 2),
        ("xc7", 1024, 18, 1),
        ("xc7", 1025, 18, 2),
        ("ice40-up5k", 2351, 11, 7),
        ("ice40-up5k", 627, 17, 4),
        ("ecp5-85k", 2351, 11, 3),
    ],
)
def test_blocks_of_a_memory(name, depth, width, blocks):
    assert TARGETS[name].blocks(depth, width) == blocks


def test_resources_add_kind_by_kind():
    some = Resources(lut=3, ff=1, dsp=1)
    assert some + some == 2 * some
    assert 3 * some - some == 2 * some
    assert some.to_json() == {"lut": 3, "ff": 1, "dsp": 1, "bram": 0}


def test_an_unknown_target_is_refused_by_name():
    with pytest.raises(ValueError, match=r"^Target must be one of ice40-up5k, .*, not 'asic'$"):
        target("asic")


# -- What the parts have, as place and route counts it ----------------------------------------------------------------

EMPTY = {"modules": {"top": {"attributes": {"top": f"{1:032b}"}, "ports": {}, "cells": {}, "netnames": {}}}}
"""A netlist of nothing: of which a part has all that it has left."""

GOWIN = {
    "lut": ("LUT4", 1),
    "ff": ("DFF", 1),
    "dsp": ("MULT18X18", 1),
    "bram": ("BSRAM", 1),
    "carry": ("ALU", 1),
    "lutram": ("RAM16SDP4", 4),
}
COUNTED = {
    "ice40-up5k": (
        "ice40",
        ["--up5k", "--package", "sg48"],
        {
            "lut": ("ICESTORM_LC", 1),
            "ff": ("ICESTORM_LC", 1),
            "dsp": ("ICESTORM_DSP", 1),
            "bram": ("ICESTORM_RAM", 1),
            "spram": ("ICESTORM_SPRAM", 1),
        },
    ),
    "ecp5-85k": (
        "ecp5",
        ["--85k", "--package", "CABGA381"],
        {
            "lut": ("TRELLIS_COMB", 1),
            "ff": ("TRELLIS_FF", 1),
            "dsp": ("MULT18X18D", 1),
            "bram": ("DP16KD", 1),
            "lutram": ("TRELLIS_RAMW", TARGETS["ecp5-85k"].kind_of("TRELLIS_DPR16X4")[1]),
        },
    ),
    "gowin-gw1nr9": ("himbaechel_gowin", ["--device", "GW1NR-LV9QN88PC6/I5", "--vopt", "family=GW1N-9C"], GOWIN),
    "gowin-gw2ar18": ("himbaechel_gowin", ["--device", "GW2AR-LV18QN88C8/I7", "--vopt", "family=GW2A-18C"], GOWIN),
}
"""Flavour of nextpnr, its options, and its name for a kind of resource, with how many of ours one of it is."""


@pytest.mark.parametrize("name", COUNTED)
def test_a_part_has_what_nextpnr_counts(name, tmp_path, monkeypatch):
    flavour, options, kinds = COUNTED[name]
    package = importlib.import_module(f"yowasp_nextpnr_{flavour}")  # of the extra "boards", which "test" has
    monkeypatch.chdir(tmp_path)  # what is WebAssembly finds files where it runs
    (tmp_path / "top.json").write_text(json.dumps(EMPTY), encoding="utf-8")
    run = getattr(package, f"run_nextpnr_{flavour}")
    assert not run([*options, "--json", "top.json", "--report", "report.json", "--freq", "12", "--quiet"])
    counted = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["utilization"]
    found = {kind: counted[theirs]["available"] * times for kind, (theirs, times) in kinds.items()}
    capacity = TARGETS[name].capacity
    assert found == {kind: getattr(capacity, kind) for kind in found}
    assert capacity.logic == capacity.lut


@pytest.mark.parametrize("control", ["if (c)", "if (c) q <= 0; else"])
@pytest.mark.parametrize("count", [FEWEST - 1, FEWEST])
def test_what_few_flip_flops_of_an_up5k_share_is_logic(count, control, tmp_path):
    """A clock enable, a reset: as a control of the flip-flops if there are enough of them."""
    ports = f"input clk, input c, input [{count - 1}:0] d, output reg [{count - 1}:0] q"
    (tmp_path / "m.v").write_text(f"module top({ports});\nalways @(posedge clk) {control} q <= d;\nendmodule\n", encoding="utf-8")
    synthesis = f"{TARGETS['ice40-up5k'].synthesis} -top top".split("; ")
    run_yosys(["read_verilog m.v", *synthesis, "tee -o stat.json stat -json"], tmp_path, name="yosys")
    cells = json.loads((tmp_path / "stat.json").read_text(encoding="utf-8"))["design"]["num_cells_by_type"]
    assert cells.get("SB_DFF", 0) == (count if count < FEWEST else 0), cells


ONE_PORT = """\
module top(input clk, input en, input we, input [8:0] a, input [15:0] d, output reg [15:0] q);
  (* no_rw_check = 32'd1 *)
{attribute}  reg [15:0] words [511:0];
  always @(posedge clk) if (en) if (we) words[a] <= d; else q <= words[a];
endmodule
"""


@pytest.mark.parametrize(
    ("name", "kind"),
    [("ecp5-85k", "bram")]
    + [
        pytest.param(name, kind, marks=pytest.mark.slow)
        for name, kind in (("ice40-up5k", "spram"), ("gowin-gw1nr9", "bram"), ("gowin-gw2ar18", "bram"), ("xc7", "bram"))
    ],
)
def test_a_memory_with_one_port_is_large_where_the_part_has_large_ones(name, kind, tmp_path):
    """Elsewhere it is what Yosys takes for any other memory of that size."""
    part = TARGETS[name]
    attribute = "".join(f'  (* {name} = "{value}" *)\n' for name, value in SINGLE_PORT.items())
    (tmp_path / "m.v").write_text(ONE_PORT.format(attribute=attribute), encoding="utf-8")
    run_yosys(["read_verilog m.v", f"{part.synthesis} -top top", "tee -o stat.json stat -json"], tmp_path, name="yosys")
    cells = json.loads((tmp_path / "stat.json").read_text(encoding="utf-8"))["design"]["num_cells_by_type"]
    assert [part.kind_of(cell) for cell in cells if part.kind_of(cell)[0] in ("bram", "spram", "lutram")] == [(kind, 1)], cells
    assert bool(part.capacity.spram) == (kind == "spram")
