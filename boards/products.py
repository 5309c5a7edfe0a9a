"""An ECP5's multiplier has registers, which Yosys leaves outside of it: a map for techmap puts a lane's product where it is held."""

from __future__ import annotations

import re

__all__ = ["PRODUCTS", "product_map"]

PRODUCTS = "products.v"
"""The map's file."""

WIDEST = 18
"""Bits of a factor."""

_MODULE = re.compile(r"^module \\?(\S+\.mac\.product)\s*\(.*?^endmodule", re.MULTILINE | re.DOTALL)


def product_map(verilog: str) -> str:
    """A map of the lanes' products to the cells MULT18X18D of which each holds one.

    Parameters
    ----------
    verilog : str
        A core's, whose products are modules of their own (:class:`rtl_gen.lane.Product`).

    Returns
    -------
    str
        A module for techmap; "" where a factor is too wide for one multiplier.

    Raises
    ------
    ValueError
        If there is no product, or not what a multiplier with a register does.
    """
    found = list(_MODULE.finditer(verilog))
    if not found:
        raise ValueError("Verilog must have products that are modules of their own")
    names, body = " ".join(each[1] for each in found), found[0][0]
    inputs = dict(_ports(body, "input"))
    (o, width), *more = _ports(body, "output")
    clock = re.search(r"always @\(posedge (\w+)\)", body)
    factors = re.search(r"= \$signed\((a|a_held_1)\) \* \$signed\((b|b_held_1|\{ ?1'h0, (?:b|b_held_1) ?\})\);", body)
    if clock is None or factors is None or more or not {"a", "b"} <= inputs.keys():
        raise ValueError(f"A product must be of a and b, signed, and be held, not\n{body}")
    if max(inputs["a"], inputs["b"] + factors[2].startswith("{")) > WIDEST:
        return ""
    ports = [f"input [{bits - 1}:0] {name}" for name, bits in inputs.items()] + [f"output [{width - 1}:0] {o}"]
    sign = "1'b0" if factors[2].startswith("{") else f"b[{inputs['b'] - 1}]"
    held = '.REG_INPUTA_CLK("CLK0"), .REG_INPUTB_CLK("CLK0"), ' if factors[1] != "a" else ""
    wires = (("a", WIDEST), ("b", WIDEST), ("p", 2 * WIDEST))
    bits = [f".{pin.upper()}{bit}({pin}_pins[{bit}])" for pin, many in wires for bit in range(many)]
    return f"""(* techmap_celltype = "{names}" *)
module product({", ".join(ports)});
  wire [{WIDEST - 1}:0] a_pins = {{{{{WIDEST - inputs["a"]}{{a[{inputs["a"] - 1}]}}}}, a}};
  wire [{WIDEST - 1}:0] b_pins = {{{{{WIDEST - inputs["b"]}{{{sign}}}}}, b}};
  wire [{2 * WIDEST - 1}:0] p_pins;
  assign {o} = p_pins[{width - 1}:0];
  MULT18X18D #({held}.REG_OUTPUT_CLK("CLK0")) multiplier (
    .CLK0({clock[1]}), .CE0(1'b1), .RST0(1'b0), .SIGNEDA(1'b1), .SIGNEDB(1'b1), .SOURCEA(1'b0), .SOURCEB(1'b0),
    {", ".join(bits)});
endmodule
"""


def _ports(body: str, way: str) -> list[tuple[str, int]]:
    """Ports of a module, with their bits."""
    return [(name, int(high or 0) + 1) for high, name in re.findall(rf"^  {way} (?:\[(\d+):0\] )?(\w+);", body, re.MULTILINE)]
