"""Mutants of a core's Verilog: all of them in one netlist, in which an input selects one, so that one compiled simulator runs them all.

Yosys draws the mutations and puts them in. A mutation changes a bit of a port of a cell: it is inverted, constant, or inverted where
another bit of that port is 0 or 1.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from rtl_gen.toolchain.yosys import run_yosys

__all__ = ["SELECT", "SELECT_BITS", "WITHOUT_PROBES", "Mutant", "draw", "unread", "with_all"]

SELECT = "mutation"
"""Name of the input that selects a mutant by its number; with 0, the core is not changed."""
SELECT_BITS = 16

WITHOUT_PROBES = ("delete -port w:probe_*", "opt_clean -purge")
"""Commands of Yosys that take away what a device does not have: the probes of a simulation, and the cells that nothing else reads."""

_FLAT = ("proc", "flatten", "opt_expr", "opt_merge", "clean -purge")
_UNUSABLE = re.compile(r"\$meminit|\$auto\$mem\.cc:|-port \w*CLK ")
"""Mutations that are left out: Yosys cannot select initial contents of memories, and a gate in a clock makes a race of the simulation."""
_DRAWN_MORE = (1.6, 2.6, 5)
"""Mutations that are drawn for each one that is needed; the later numbers only if too many of them are left out."""


@dataclass(frozen=True)
class Mutant:
    """A change of the netlist.

    Attributes
    ----------
    number : int
        Number of the mutant, from 1, by which the input selects it.
    command : str
        Arguments of the command ``mutate`` of Yosys.
    place : str
        Cell, port and bit, and the line of the Verilog that the cell comes from.
    """

    number: int
    command: str
    place: str

    def argument(self, name: str) -> str:
        """Return an argument of the command, such as ``cell``; an empty string if it has none."""
        found = re.search(rf"-{name} (\S+)", self.command)
        return found[1] if found else ""

    def within(self, module: str) -> str:
        """Return the arguments of the command for the same cell in another module."""
        return f"-module {module} " + re.sub(r"-(module|wire|wirebit|src) \S+ ?", "", self.command)


def draw(verilog: Path, top: str, count: int, seed: int, directory: Path) -> list[Mutant]:
    """Draw mutants of a module; ``directory`` then has its flat netlist ``base.il``.

    Parameters
    ----------
    verilog : Path
        Verilog of the core.
    top : str
        Name of the module.
    count : int
        Number of mutants.
    seed : int
        Seed of Yosys's choice.
    directory : Path
        Directory to work in.
    """
    text = verilog.read_text(encoding="utf-8")
    (directory / "core.v").write_text(text, encoding="utf-8")
    run_yosys(["read_verilog core.v", f"hierarchy -check -top {top}", *_FLAT, "write_rtlil base.il"], directory, name="draw")
    found: dict[str, None] = {}
    for more in _DRAWN_MORE:
        commands = ["read_rtlil base.il", f"mutate -list {round(more * count)} -seed {seed} -o drawn.txt"]
        run_yosys(commands, directory, name="drawn")
        drawn_lines = (directory / "drawn.txt").read_text(encoding="utf-8").splitlines()
        found |= dict.fromkeys(line.split(" ", 1)[1] for line in drawn_lines if not _UNUSABLE.search(line))
        if len(found) >= count:
            break
    lines = text.splitlines()
    return [Mutant(number, command, _described(command, lines)) for number, command in enumerate(list(found)[:count], 1)]


def with_all(mutants: list[Mutant], directory: Path) -> Path:
    """Write Verilog of the module that :func:`draw` flattened, with all mutants and the input that selects one; return its path."""
    commands = [f"mutate -ctrl {SELECT} {SELECT_BITS} {mutant.number} {mutant.command}" for mutant in mutants]
    run_yosys(["read_rtlil base.il", *commands, "write_verilog -noattr mutants.v"], directory, name="mutants")
    return directory / "mutants.v"


def unread(mutants: list[Mutant], directory: Path, *, probes: bool = True) -> set[int]:
    """Return the numbers of the mutants that no output of the core depends on, in any cycle: they are equivalent to the core.

    Without ``probes``, outputs are those of a device: a simulation alone has the probes, and the counts that they show.

    Flip-flops and gates become single bits, and adders lose the bits that nothing reads. What reaches no output is then removed, and with
    it the comparison of the input :data:`SELECT` with the number of the mutant.
    """
    commands = [f"mutate -ctrl {SELECT} {SELECT_BITS} {mutant.number} {mutant.command}" for mutant in mutants]
    bits = " ".join(f"t:{cell}" for cell in ("$dff", "$adff", "$mux", "$and", "$or", "$xor", "$not", "$pos"))
    shrink = ["opt_expr", "wreduce", f"simplemap {bits}", "opt_clean", "wreduce", "opt_clean -purge"]
    device = () if probes else WITHOUT_PROBES
    run_yosys(["read_rtlil base.il", *commands, "memory_collect", *device, *shrink, "write_json left.json"], directory, name="unread")
    (module,) = json.loads((directory / "left.json").read_text(encoding="utf-8"))["modules"].values()
    select = module["ports"][SELECT]["bits"] if SELECT in module["ports"] else []
    left = set()
    for cell in module["cells"].values():
        if cell["type"] in ("$eq", "$logic_not") and set(cell["connections"]["A"]) & set(select):
            constant = cell["connections"].get("B", [])
            left.add(sum(1 << place for place, bit in enumerate(constant) if bit == "1"))
    return {mutant.number for mutant in mutants} - left


def _described(command: str, lines: list[str]) -> str:
    """Describe a mutation: what is done to which bit, and the text of the first line that the cell comes from."""

    argument = Mutant(0, command, "").argument
    wire = f" ({argument('wire')}[{argument('wirebit')}])" if argument("wire") else ""
    place = f"{argument('mode')} {argument('port')}[{argument('portbit')}] of {argument('cell')}{wire}"
    sources = [int(number) for number in re.findall(r"core\.v:(\d+)\.", command)]
    return place + (f": {lines[sources[0] - 1].strip()}" if sources else "")
