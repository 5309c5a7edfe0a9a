"""Proof that two netlists of an iCE40 are equal."""

import json
from pathlib import Path

from rtl_gen.toolchain.yosys import run_yosys

CELLS = """module SB_LUT4(input I0, I1, I2, I3, output O);
  parameter LUT_INIT = 16'h0;
  assign O = LUT_INIT[{I3, I2, I1, I0}];
endmodule
module SB_CARRY(input I0, I1, CI, output CO);
  assign CO = (I0 & I1) | ((I0 | I1) & CI);
endmodule
module SB_DFF(input C, D, output reg Q = 0);
  always @(posedge C) Q <= D;
endmodule
module SB_DFFESR(input C, E, R, D, output reg Q = 0);
  always @(posedge C) if (E) Q <= R ? 0 : D;
endmodule
module SB_DFFESS(input C, E, S, D, output reg Q = 0);
  always @(posedge C) if (E) Q <= S ? 1 : D;
endmodule
"""
"""What the cells of a netlist do, as Lattice's "iCE Technology Library" describes them."""


def prove(before, after, folder: Path) -> None:
    """Yosys refuses, if two netlists whose module is ``top`` differ in any cycle."""
    for name, content in (("gold", before), ("gate", after)):
        top = {"modules": {"top": content["modules"]["top"]}}
        (folder / f"{name}.json").write_text(json.dumps(top), encoding="utf-8")
    (folder / "cells.v").write_text(CELLS, encoding="utf-8")
    commands = []
    for name in ("gold", "gate"):
        commands += ["read_verilog cells.v", f"read_json {name}.json", "hierarchy -check -top top"]
        commands += ["proc", "flatten", "opt_clean -purge", f"rename top {name}", f"design -stash {name}"]
    commands += ["design -copy-from gold -as gold gold", "design -copy-from gate -as gate gate"]
    commands += ["miter -equiv -flatten -make_outputs gold gate miter"]
    commands += ["sat -verify -prove trigger 0 -seq 1 -set-init-zero -tempinduct -maxsteps 6 miter"]
    run_yosys(commands, folder)
