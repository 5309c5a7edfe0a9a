"""The rule that counts multipliers, against Yosys itself."""

import json

import pytest

from boards.parts.multipliers import multipliers
from rtl_gen.toolchain.yosys import run_yosys
from tests.support.marks import long_unless

SYNTHESIS = {
    "ice40": "synth_ice40 -dsp -device u -noflatten -top top -run begin:map_ram",
    "ecp5": "synth_ecp5 -noflatten -top top -run begin:map_ram",
    "gowin": "synth_gowin -noflatten -top top -run begin:map_ram",
    "xc7": "synth_xilinx -family xc7 -noiopad -top top -run begin:coarse",
}
SIZES = {"SB_MAC16": 1, "MULT18X18D": 1, "MULT9X9": 0.5, "MULT18X18": 1, "MULT36X36": 4, "DSP48E1": 1}

SEEN = {
    "ice40": {(5, 5): 0, (9, 2): 1, (16, 16): 1, (18, 8): 1, (18, 9): 2, (18, 18): 3, (23, 20): 4, (36, 26): 6},
    "ecp5": {(5, 2): 1, (18, 18): 1, (19, 19): 1, (23, 19): 2, (23, 20): 4, (36, 26): 4},
    "gowin": {(10, 3): 0, (9, 9): 0.5, (10, 9): 1, (18, 18): 1, (23, 11): 1.5, (23, 14): 2, (23, 20): 2, (23, 22): 4, (36, 26): 4},
    "xc7": {(5, 3): 0, (5, 4): 1, (25, 18): 1, (19, 19): 2, (36, 18): 2, (36, 19): 4},
}
"""What Yosys 0.70 made of products of these widths."""


@pytest.mark.parametrize("family", SEEN)
def test_products_seen(family):
    assert {(a, b): multipliers(family, a, b) for a, b in SEEN[family]} == SEEN[family]
    assert {(a, b): multipliers(family, b, a) for a, b in SEEN[family]} == SEEN[family]


@pytest.mark.slow
@pytest.mark.parametrize("family", [pytest.param(family, marks=long_unless(family in ("ice40", "ecp5"))) for family in SEEN])
def test_as_yosys_does(family, tmp_path):
    widths = [(a, b) for a in (*range(4, 40, 3), 9, 18, 26, 36) for b in (2, 3, 5, 9, 10, 17, 18, 19, 20, 22, 26) if b <= a]
    lines = [
        f"module m_{a}_{b}(input clk, input signed [{a - 1}:0] a, input signed [{b - 1}:0] b, output reg signed [{a + b - 1}:0] y);\n"
        f"reg signed [{a - 1}:0] ra;\nreg signed [{b - 1}:0] rb;\n"
        "always @(posedge clk) begin ra <= a; rb <= b; y <= ra * rb; end\nendmodule\n"
        for a, b in widths
    ]
    lines += ["module top(input clk);", *(f"(* keep *) m_{a}_{b} u_{a}_{b}(clk, 0, 0);" for a, b in widths), "endmodule"]
    (tmp_path / "m.v").write_text("\n".join(lines), encoding="utf-8")
    commands = ["read_verilog m.v", "hierarchy -top top", "setattr -mod -set keep_hierarchy 1 m_*", SYNTHESIS[family]]
    run_yosys([*commands, "tee -o stat.json stat -json"], tmp_path, name="yosys")
    modules = json.loads((tmp_path / "stat.json").read_text(encoding="utf-8"))["modules"]
    cells = {name.lstrip("\\"): module["num_cells_by_type"] for name, module in modules.items()}
    found = {(a, b): sum(SIZES.get(cell, 0) * count for cell, count in cells[f"m_{a}_{b}"].items()) for a, b in widths}
    assert any(found.values())
    assert found == {(a, b): multipliers(family, a, b) for a, b in widths}
