"""Let a register of an iCE40's design that takes the carry of an adder stand at the end of the adder's carry chain.

Yosys connects such a register to the carry directly. A carry leaves its chain through a look-up table only, so nextpnr adds one behind the
chain and puts the register into another cell, wherever there is room for it: a look-up table and a wire more on the longest paths. With a
look-up table in the netlist that hands the carry on, nextpnr packs both into one cell, the next one of the chain. This file needs only
Python itself, as :mod:`boards.parts.reset_copies`, so that ``mgd-hw generate`` can copy it beside the script that uses it::

    python3 carry_registers.py top.json MODULE

reads a JSON netlist that Yosys wrote, and rewrites it in place.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

__all__ = ["FILE", "join_carries"]

FILE = "carry_registers.py"
"""Name of this file where it is copied beside a build script."""

_PASSES_I3 = f"{0xFF00:016b}"
"""Content of a look-up table whose output is its input I3, which the chain's carry reaches."""


def join_carries(module: dict[str, Any]) -> int:
    """Put a look-up table between each carry and the register that alone reads it.

    Parameters
    ----------
    module : dict
        Module of a flat netlist in Yosys's JSON format, mapped for an iCE40; it is modified in place.

    Returns
    -------
    int
        Number of look-up tables that were added.
    """
    cells = module["cells"]
    carries = {cell["connections"]["CO"][0] for cell in cells.values() if cell["type"] == "SB_CARRY"}
    readers: Counter[Any] = Counter(bit for port in module["ports"].values() for bit in port["bits"])
    for cell in cells.values():
        readers.update(bit for pin, bits in cell["connections"].items() if cell["port_directions"][pin] == "input" for bit in bits)
    free = 1 + max((bit for net in module["netnames"].values() for bit in net["bits"] if isinstance(bit, int)), default=1)
    added: dict[str, Any] = {}
    for name, cell in cells.items():
        if not cell["type"].startswith("SB_DFF"):
            continue
        (carry,) = cell["connections"]["D"]
        if carry not in carries or readers[carry] > 1:
            continue
        added[f"{name}_carry"] = {
            "hide_name": 1,
            "type": "SB_LUT4",
            "parameters": {"LUT_INIT": _PASSES_I3},
            "attributes": {},
            "port_directions": {**{f"I{number}": "input" for number in range(4)}, "O": "output"},
            "connections": {"I0": ["0"], "I1": ["0"], "I2": ["0"], "I3": [carry], "O": [free]},
        }
        module["netnames"][f"{name}_carry_o"] = {"hide_name": 1, "bits": [free], "attributes": {}}
        cell["connections"]["D"] = [free]
        free += 1
    cells.update(added)
    return len(added)


def main(file: str, top: str) -> None:
    """Join the carries and registers of module ``top`` in a netlist file, and rewrite the file."""
    path = Path(file)
    netlist = json.loads(path.read_text(encoding="utf-8"))
    print(f"{join_carries(netlist['modules'][top])} registers put at the end of the carry chain that they read.")
    path.write_text(json.dumps(netlist), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
