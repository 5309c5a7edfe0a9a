"""Give logic that reads the reset of an iCE40's design copies of the register that drives it, which Yosys shares.

An iCE40's flip-flop obeys its reset only while it is enabled. So Yosys adds the reset to the enable of every register that has both,
and one register then drives the logic of enables all over the device, through long wires. This file needs only Python itself, so that
``mgd-hw generate`` can copy it beside the script that uses it::

    python3 reset_copies.py top.json MODULE

reads a JSON netlist that Yosys wrote, and rewrites it in place.
"""

from __future__ import annotations

import copy
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

__all__ = ["FILE", "MANY", "copy_resets"]

FILE = "reset_copies.py"
"""Name of this file where it is copied beside a build script."""

MANY = 64
"""Least number of flip-flops that a register resets for its readers to get copies."""


def copy_resets(module: dict[str, Any], many: int = MANY) -> int:
    """Copy each register that resets many flip-flops, once for every look-up table that reads it.

    Flip-flops keep the register itself, whose wire is a global one. A copy has the same inputs, so that it always has the same value.

    Parameters
    ----------
    module : dict
        Module of a flat netlist in Yosys's JSON format, mapped for an iCE40; it is modified in place.
    many : int
        Least number of flip-flops that a register must reset.

    Returns
    -------
    int
        Number of flip-flops that were added.
    """
    cells = module["cells"]
    registers = {cell["connections"]["Q"][0]: name for name, cell in cells.items() if _is_register(cell)}
    resets: dict[Any, int] = defaultdict(int)
    readers: dict[Any, list[str]] = defaultdict(list)
    for name, cell in cells.items():
        for pin, bits in cell["connections"].items():
            if _is_register(cell) and pin in ("R", "S"):
                resets[bits[0]] += 1
            elif cell["type"] == "SB_LUT4" and cell["port_directions"][pin] == "input" and name not in readers[bits[0]]:
                readers[bits[0]].append(name)
    free = 1 + max((bit for net in module["netnames"].values() for bit in net["bits"] if isinstance(bit, int)), default=1)
    added: dict[str, Any] = {}
    for bit, name in registers.items():
        if resets[bit] < many:
            continue
        for number, reader in enumerate(readers[bit]):
            copied = f"{name}_copy{number}"
            added[copied] = copy.deepcopy(cells[name])
            added[copied]["connections"]["Q"] = [free]
            module["netnames"][f"{copied}_q"] = {"hide_name": 1, "bits": [free], "attributes": {}}
            pins = cells[reader]["connections"]
            pins.update({pin: [free] for pin, bits in pins.items() if bits == [bit] and cells[reader]["port_directions"][pin] == "input"})
            free += 1
    cells.update(added)
    return len(added)


def _is_register(cell: dict[str, Any]) -> bool:
    return cell["type"].startswith("SB_DFF")


def main(file: str, top: str) -> None:
    """Copy the resets of module ``top`` in a netlist file, and rewrite the file."""
    path = Path(file)
    netlist = json.loads(path.read_text(encoding="utf-8"))
    print(f"{copy_resets(netlist['modules'][top])} copies of registers that reset the design.")
    path.write_text(json.dumps(netlist), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
