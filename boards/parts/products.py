"""A techmap that puts products and their registers into ECP5 multipliers, whose own registers Yosys does not use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["PRODUCTS", "product_map"]

PRODUCTS = "products.v"
"""Name of the techmap's Verilog file."""

WIDEST = 18
"""Widest factor of one MULT18X18D, in bits."""

_MODULE = re.compile(r"^module \\?(\S+\.(?:mac\.product|multiplier\.product\w*))\s*\(.*?^endmodule", re.MULTILINE | re.DOTALL)

_FACTORS = (
    re.compile(r"= \$signed\(([^()]+)\) \* \$signed\(([^()]+)\);"),
    re.compile(r"= ([^()*]+) \* ([^()*]+);"),
)
"""Patterns of a product in Verilog: one for products with a signed factor, one for those of two unsigned factors."""


def product_map(verilog: str) -> str:
    """Return a techmap from the product modules of a core to one MULT18X18D cell each.

    Parameters
    ----------
    verilog : str
        Verilog of a core whose products are modules of their own (:class:`rtl_gen.product.Product`).

    Returns
    -------
    str
        One techmap module per kind of product, except for kinds whose factors are too wide for one multiplier.

    Raises
    ------
    ValueError
        If the Verilog has no product module, or one that is not a registered product.
    """
    kinds: dict[_Kind, list[str]] = {}
    for module in _MODULE.finditer(verilog):
        kinds.setdefault(_kind(module[0]), []).append(module[1])
    if not kinds:
        raise ValueError("Verilog must have products that are modules of their own")
    return "".join(_map(number, kind, names) for number, (kind, names) in enumerate(kinds.items()) if kind.widest <= WIDEST)


@dataclass(frozen=True)
class _Kind:
    """Properties that product modules share if one techmap module can replace all of them.

    Attributes
    ----------
    inputs : tuple of (str, int)
        Names and widths of the input ports; escaped names end with a space.
    factors : tuple of (str, int)
        Where factor ``a`` and factor ``b`` come from, and their widths. They are ports, unless both have bits of the same value: Amaranth
        makes one port of them then.
    output : (str, int)
        Name and width of the output port.
    clock : str
        Name of the clock's input port.
    held : bool
        Whether the factors are registered as well as the product.
    is_signed : (bool, bool)
        Whether factor ``a`` and factor ``b`` are signed.
    """

    inputs: tuple[tuple[str, int], ...]
    factors: tuple[tuple[str, int], ...]
    output: tuple[str, int]
    clock: str
    held: bool
    is_signed: tuple[bool, bool]

    @property
    def widest(self) -> int:
        """Width of the wider factor with its sign bit."""
        return max(width + (not is_signed) for (_, width), is_signed in zip(self.factors, self.is_signed, strict=True))


def _kind(module: str) -> _Kind:
    """Parse the Verilog text of a product module."""
    inputs, outputs = _ports(module, "input"), _ports(module, "output")
    clock = re.search(r"always @\(posedge (\w+)\)", module)
    found = [pattern.search(module) for pattern in _FACTORS]
    product = found[0] or found[1]
    sources = [_source(module, dict(inputs), name) for name in "ab"]
    known = tuple(source for source in sources if source is not None)
    factors = product.groups() if product else ()
    whole = len(known) == len(factors) == 2 and all(_is_factor(*each) for each in zip(factors, "ab", known, strict=True))
    if clock is None or len(outputs) != 1 or not whole:
        raise ValueError(f"A product must be of a and b, and be held, not\n{module}")
    is_signed = [found[0] is not None and not factor.startswith("{") for factor in factors]
    return _Kind(tuple(inputs), known, outputs[0], clock[1], "_held" in factors[0], (is_signed[0], is_signed[1]))


def _is_factor(written: str, name: str, source: tuple[str, int]) -> bool:
    """Whether a factor, as it is written, is the one with a name: itself, its register or its source, with a sign bit of 0 or without."""
    widened = re.fullmatch(r"\{ ?1'h0, (.+?) ?\}", written)
    return (widened[1] if widened else written).strip() in (name, f"{name}_held_1", source[0].strip())


def _source(module: str, inputs: Mapping[str, int], name: str) -> tuple[str, int] | None:
    """The port that is a factor, or the bits of a port that are assigned to it, and its width; None if it has neither."""
    if name in inputs:
        return name, inputs[name]
    assigned = re.search(rf"^  assign {name} = ([^;]+?) ?;$", module, re.MULTILINE)
    declared = re.search(rf"^  wire (?:\[(\d+):0\] )?{name};$", module, re.MULTILINE)
    return (assigned[1], int(declared[1] or 0) + 1) if assigned and declared else None


def _map(number: int, kind: _Kind, names: Sequence[str]) -> str:
    """Verilog of the techmap module for all products of a kind."""
    o, width = kind.output
    ports = [f"input [{many - 1}:0] {name}" for name, many in kind.inputs] + [f"output [{width - 1}:0] {o}"]
    factors = []
    for name, (source, many), is_signed in zip("ab", kind.factors, kind.is_signed, strict=True):
        sign = f"{name}[{many - 1}]" if is_signed else "1'b0"
        factors += [f"  wire [{many - 1}:0] {name} = {source};"] if source != name else []
        factors.append(f"  wire [{WIDEST - 1}:0] {name}_pins = {{{{{WIDEST - many}{{{sign}}}}}, {name}}};")
    pins_of_factors = "\n".join(factors)
    held = '.REG_INPUTA_CLK("CLK0"), .REG_INPUTB_CLK("CLK0"), ' if kind.held else ""
    wires = (("a", WIDEST), ("b", WIDEST), ("p", 2 * WIDEST))
    pins = [f".{pin.upper()}{bit}({pin}_pins[{bit}])" for pin, many in wires for bit in range(many)]
    return f"""(* techmap_celltype = "{" ".join(names)}" *)
module product{number}({", ".join(ports)});
{pins_of_factors}
  wire [{2 * WIDEST - 1}:0] p_pins;
  assign {o} = p_pins[{width - 1}:0];
  MULT18X18D #({held}.REG_OUTPUT_CLK("CLK0")) multiplier (
    .CLK0({kind.clock}), .CE0(1'b1), .RST0(1'b0), .SIGNEDA(1'b1), .SIGNEDB(1'b1), .SOURCEA(1'b0), .SOURCEB(1'b0),
    {", ".join(pins)});
endmodule
"""


def _ports(body: str, way: str) -> list[tuple[str, int]]:
    """Names and widths of a module's ports of one direction."""
    return [(name, int(high or 0) + 1) for high, name in re.findall(rf"^  {way} (?:\[(\d+):0\] )?(\w+|\\\S+ );", body, re.MULTILINE)]
