"""Move the registers behind an ECP5's block memories into the memories' own output registers, which Yosys does not use.

Without its output register a block memory takes 5.8 ns from the clock to its data. This file needs only Python itself, so that
``mgd-hw generate`` can copy it beside the script that uses it::

    python3 output_registers.py top.json MODULE

reads a JSON netlist that Yosys wrote, and rewrites it in place.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

__all__ = ["FILE", "absorb"]

FILE = "output_registers.py"
"""Name of this file where it is copied beside a build script."""

_OUTPUT = re.compile(r"DO([AB])\d+$")


def absorb(module: dict[str, Any]) -> int:
    """Absorb the registers behind a flat module's block memories, for each port whose every used bit drives one register and nothing else.

    Such a register must behave as the memory's: it has the port's clock, no clock enable and no reset.

    Parameters
    ----------
    module : dict
        Module of a netlist in Yosys's JSON format, mapped for an ECP5; it is modified in place.

    Returns
    -------
    int
        Number of flip-flops that were absorbed.
    """
    cells = module["cells"]
    readers = _readers(module)
    absorbed = 0
    for memory in [cell for cell in cells.values() if cell["type"] == "DP16KD"]:
        ports: dict[str, list[str]] = defaultdict(list)
        for pin, bits in memory["connections"].items():
            found = _OUTPUT.match(pin)
            if found and readers[bits[0]]:
                ports[found[1]].append(pin)
        for port, pins in ports.items():
            behind = [_register(cells, readers[memory["connections"][pin][0]]) for pin in pins]
            if not _free(memory, port) or not all(name is not None and _fits(cells[name], memory, port) for name in behind):
                continue
            memory["parameters"][f"REGMODE_{port}"] = "OUTREG"
            for pin, name in zip(pins, behind, strict=True):
                memory["connections"][pin] = cells.pop(name)["connections"]["Q"]
            absorbed += len(pins)
    return absorbed


def _readers(module: dict[str, Any]) -> dict[Any, list[tuple[str, str]]]:
    """All readers of each bit, as pairs of a cell and its pin; a port of the module counts as a cell without a name."""
    readers: dict[Any, list[tuple[str, str]]] = defaultdict(list)
    for name, cell in module["cells"].items():
        for pin, bits in cell["connections"].items():
            if cell["port_directions"][pin] != "output":
                for bit in bits:
                    readers[bit].append((name, pin))
    for name, port in module["ports"].items():
        for bit in port["bits"]:
            readers[bit].append(("", name))
    return readers


def _register(cells: dict[str, Any], readers: list[tuple[str, str]]) -> str | None:
    """Name of the flip-flop that is the only reader of a bit; None if there is another reader."""
    names = [name for name, pin in readers if name and cells[name]["type"] == "TRELLIS_FF" and pin == "DI"]
    return names[0] if len(names) == len(readers) == 1 else None


def _free(memory: dict[str, Any], port: str) -> bool:
    """Whether a port reads in every cycle, is never reset, and does not use its output register."""
    wired = (("CE", "1"), ("OCE", "1"), ("RST", "0"))
    return memory["parameters"][f"REGMODE_{port}"] == "NOREG" and all(
        memory["connections"][f"{pin}{port}"] == [constant] for pin, constant in wired
    )


def _fits(register: dict[str, Any], memory: dict[str, Any], port: str) -> bool:
    """Whether a flip-flop behaves as the output register of a port would."""
    clocks = register["connections"]["CLK"] == memory["connections"][f"CLK{port}"]
    edges = register["parameters"]["CLKMUX"] == "CLK" and memory["parameters"][f"CLK{port}MUX"] == f"CLK{port}"
    always = register["parameters"]["CEMUX"].strip() == "1" and register["connections"].get("LSR", ["0"]) == ["0"]
    return clocks and edges and always and register["parameters"]["REGSET"] == "RESET"


def main(file: str, top: str) -> None:
    """Absorb the registers of module ``top`` in a netlist file, and rewrite the file."""
    path = Path(file)
    netlist = json.loads(path.read_text(encoding="utf-8"))
    print(f"{absorb(netlist['modules'][top])} flip-flops became registers of block memories.")
    path.write_text(json.dumps(netlist), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
