"""Prove with ABC that a device is the same with and without a change, from power-up on and whatever its inputs are.

The states that a device reaches from power-up matter here, where the proofs of :mod:`tests.mutate.equivalence` begin in any state. ABC
comes with the native package of Yosys. Memories are cut out: what they are told has to be equal in each cycle, where what they return
may be anything, but the same for both. Nothing of the probes matters, which a device does not have.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from contextlib import suppress
from pathlib import Path

from rtl_gen.toolchain.yosys import YosysError, run_yosys
from tests.mutate.netlist import WITHOUT_PROBES, Mutant

__all__ = ["blocks", "cut_memories", "equal_from_power_up", "find_abc"]

_SCRIPTS = (
    ("scleanup; lcorr; pdr -T {seconds}", "Property proved"),  # most registers of both are equal, which induction finds
    ("scleanup; lcorr; sat", "UNSATISFIABLE"),  # no register is left
    ("scleanup; scorr; pdr -T {seconds}", "Property proved"),  # so are most gates, which takes too long in a whole device
)
"""Commands of ABC, one after the other until one proves that the networks are equal, and what it then says."""


_TOGETHER = (("controller", "sequencer"), ("controller", "sequencer", "operands"))
"""Blocks that are tried together, since only their partners keep them from states in which the change shows."""


def find_abc() -> Path | None:
    """Return the path of ABC, or None if the native package of Yosys is not installed."""
    package = importlib.util.find_spec("pyosys")
    found = Path(package.origin).with_name("yosys-abc") if package is not None and package.origin is not None else None
    return found if found is not None and found.is_file() else None


def blocks(cell: str) -> list[str]:
    r"""Return the names of the blocks that a cell of a flat netlist is in, the outermost first.

    The cell ``$flatten\errors.\scaler.$or$core.v:60$18`` is in ``errors`` and in ``errors.\scaler``.
    """
    found: list[str] = []
    for part in cell.removeprefix("$flatten\\").split("."):
        if part.startswith("$") or not cell.startswith("$flatten\\"):
            break
        found.append(f"{found[-1]}.{part}" if found else part)
    return found


def equal_from_power_up(mutant: Mutant, base: Path, directory: Path, *, whole: bool = False, seconds: float = 20.0) -> str:
    """Prove a device equal from power-up on: first the innermost block of the change alone, then those around it, then blocks together.

    A block is alone where all its inputs may be anything in each cycle, its reset among them; so are blocks together. If its outputs, and
    what it tells its memories, are then the same, they are so in any device.

    Parameters
    ----------
    mutant : Mutant
        The change.
    base : Path
        Flat netlist of the core.
    directory : Path
        Directory to work in.
    whole : bool
        Whether the whole device is tried at last, which takes a minute and seldom ends with a proof.
    seconds : float
        Time for each attempt.

    Returns
    -------
    str
        Name of the block that is proved equal, or names of those together; "the device" if that is; or an empty string if nothing is
        proved.
    """
    abc = find_abc()
    if abc is None:
        return ""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "base.il").write_bytes(base.read_bytes())
    found = blocks(mutant.argument("cell"))
    alone = [(block,) for block in reversed(found)]
    together = [group for group in _TOGETHER if found and found[0] in group]
    for part in [*alone, *together, *([()] if whole else [])]:
        with suppress(YosysError):
            _miter(mutant, part, directory)
            if _proved(abc, directory, _SCRIPTS if part else _SCRIPTS[:2], seconds):
                return " and ".join(part) or "the device"
    return ""


def _miter(mutant: Mutant, part: tuple[str, ...], directory: Path) -> None:
    """Write a network of the blocks, all of the device if there are none, and of their mutant with the same inputs, whose output tells
    that something differs."""
    names = [block.replace("$", "?") for block in part]
    cells = " ".join(f"c:?flatten\\{name}.* c:{name}.* %u{' %u' if number else ''}" for number, name in enumerate(names))
    cut = [f"select -set part {cells}", "submod -name part @part", "hierarchy -top part"]
    before = ["read_rtlil base.il", "memory_collect", *WITHOUT_PROBES, *(cut if part else ["rename -top part"])]
    for name, change in (("gold", []), ("gate", [f"mutate {mutant.within('part')}"])):
        commands = [*before, *change, "opt_clean -purge", f"rename part {name}", f"write_json {name}.json"]
        run_yosys(commands, directory, name=name, timeout=200)
        file = directory / f"{name}.json"
        file.write_text(json.dumps(cut_memories(json.loads(file.read_text(encoding="utf-8")))), encoding="utf-8")
    gates = ["opt_expr", "opt_clean", "techmap", "opt_clean", "dffunmap", "setundef -zero -undriven", "setundef -init -zero"]
    commands = [
        "read_json gold.json",
        "read_json gate.json",
        "miter -equiv -flatten gold gate miter",
        "hierarchy -top miter",
        *gates,
        "opt_clean",
        "opt_merge",
        "aigmap",
        "opt_clean",
        "write_aiger -zinit miter.aig",
    ]
    run_yosys(commands, directory, name="miter", timeout=200)


def _proved(abc: Path, directory: Path, scripts: tuple[tuple[str, str], ...], seconds: float) -> bool:
    for script, said in scripts:
        command = [str(abc), "-c", f"read_aiger miter.aig; {script.format(seconds=round(seconds))}"]
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * seconds, check=False
            )
            if said in done.stdout:
                return True
            if "was asserted in frame" in done.stdout:
                return False
    return False


def cut_memories(design: dict) -> dict:
    """Take the memories out of the only module of a design in Yosys's JSON, and return the design.

    What a memory returns becomes an input. Outputs are the addresses that it reads, the enables of each write, and the address and data of
    a write where it is enabled.
    """
    (module,) = design["modules"].values()
    free = 1 + max(bit for net in module["netnames"].values() for bit in net["bits"] if isinstance(bit, int))

    def output(name: str, kind: str, a: list, b: list | None = None, width: int | None = None) -> list[int]:
        nonlocal free
        bits = list(range(free, free := free + (width or len(a))))
        operands = {"A": a} if b is None else {"A": a, "B": b}
        widths = {f"{port}_WIDTH": len(each) for port, each in (operands | {"Y": bits}).items()}
        signs = {f"{port}_SIGNED": 0 for port in operands}
        module["cells"][f"${name}"] = {
            "hide_name": 1,
            "type": kind,
            "parameters": {key: format(value, "032b") for key, value in (widths | signs).items()},
            "attributes": {},
            "port_directions": dict.fromkeys(operands, "input") | {"Y": "output"},
            "connections": operands | {"Y": bits},
        }
        return bits

    def port(name: str, direction: str, bits: list) -> None:
        module["ports"][name] = {"direction": direction, "bits": bits}
        module["netnames"][name] = {"hide_name": 0, "bits": bits, "attributes": {}}

    for name, cell in [(name, cell) for name, cell in module["cells"].items() if cell["type"] == "$mem_v2"]:
        del module["cells"][name]
        of, known = cell["connections"], {key: int(value, 2) for key, value in cell["parameters"].items() if set(value) <= {"0", "1"}}
        assert not known["RD_CLK_ENABLE"] and known["RD_PORTS"], "the register behind a read is apart"
        stem = "memory_" + re.sub(r"\W", "_", name)
        port(f"{stem}_read", "input", of["RD_DATA"])
        port(f"{stem}_from", "output", output(f"{stem}_from", "$pos", of["RD_ADDR"]))
        for number in range(known["WR_PORTS"]):
            enables, data, address = (of[f"WR_{key}"] for key in ("EN", "DATA", "ADDR"))
            width, bits = known["WIDTH"], known["ABITS"]
            enables, data = (each[number * width : (number + 1) * width] for each in (enables, data))
            enabled = output(f"{stem}_any_{number}", "$reduce_or", enables, width=1)
            told = {
                "enables": output(f"{stem}_enables_{number}", "$pos", enables),
                "data": output(f"{stem}_data_{number}", "$and", data, enables),
                "to": output(f"{stem}_to_{number}", "$and", address[number * bits : (number + 1) * bits], enabled * bits),
            }
            for what, value in told.items():
                port(f"{stem}_{what}_{number}", "output", value)
    return design
