"""Verilog of a core whose registers and memories power up in another state than the one that the Verilog gives them."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sim.engines.cocotb_sim import find_icarus
from sim.ports import Ports

__all__ = ["PoweredUp", "at_random", "undefined", "undefined_after"]

_MODULE = re.compile(r"(?<=endmodule)\n")
_REGISTER = re.compile(r"^(\s*reg (?:\[\d+:\d+\] )?(\\\S+ |\w+)\s*) = (\d+)'(h[0-9a-f]+|d\d+|b[01]+);", re.MULTILINE)
_CLOCKED = re.compile(r"^\s*(?:(?:else )?if \(.*\) )?(\\\S+ |\w+)\s*(?:\[[\d:]+\]\s*)?<= ", re.MULTILINE)
_ALIAS = re.compile(r"^\s*\(\* init = .* \*\)\n", re.MULTILINE)
"""The initial value of a register, stated again at a wire that has its value."""
_BLOCK = re.compile(r"^module \\\S+\.(\w+) ", re.MULTILINE)
_MEMORY = re.compile(r"^\s*reg \[(\d+):0\] (\\\S+ |\w+)\s*\[(\d+):0\];", re.MULTILINE)


@dataclass(frozen=True)
class PoweredUp:
    """Verilog whose power-up state was changed.

    Attributes
    ----------
    verilog : str
        The Verilog.
    registers, memories : int
        Numbers of registers and of memories whose initial values were changed. Memories without a write port keep their words. So do the
        register file, whose memory has the constants that identify a core, and which might write to it in the first cycle, and the last
        word of the kept pre-activations of incremental probes, which is 0.
    """

    verilog: str
    registers: int
    memories: int


def undefined(verilog: str, *, incremental: bool = False, words: random.Random | None = None) -> PoweredUp:
    """Return Verilog in which every register, and every word of a memory that can be written, begins undefined.

    ``words`` gives memories random words. In a padding slot a lane multiplies whatever its memory has by 0, which is 0 in hardware; where
    a memory has words that no host writes, Verilog makes X of it.
    """
    return _changed(verilog, lambda width: None, words.getrandbits if words else lambda width: None, incremental)


def at_random(verilog: str, rng: random.Random, *, incremental: bool = False) -> PoweredUp:
    """Return Verilog in which every register, and every word of a memory that can be written, has a random initial value."""
    return _changed(verilog, rng.getrandbits, rng.getrandbits, incremental)


_Value = Callable[[int], int | None]
"""Returns an initial value of so many bits, or None for an undefined one."""


def _changed(verilog: str, register: _Value, word: _Value, incremental: bool) -> PoweredUp:
    modules, registers, memories = [], 0, 0
    for text in _MODULE.split(_ALIAS.sub("", verilog)):
        found = _BLOCK.search(text)
        block = found[1] if found else ""
        if block == "registers":
            modules.append(text)
            continue
        module, count = _with_registers(text, register)
        registers += count
        for match in _MEMORY.finditer(text):
            name, width, depth = match[2].strip(), int(match[1]) + 1, int(match[3]) + 1
            if re.search(rf"^\s*{re.escape(name)}\s*\[.*\]\s*<=", text, re.MULTILINE):
                constant = {depth - 1: 0} if incremental and block == "neurons" and "kept" in name else {}
                module = _with_words(module, name, width, {n: constant.get(n, word(width)) for n in range(depth)})
                memories += 1
        modules.append(module)
    return PoweredUp("\n".join(modules), registers, memories)


def _with_registers(module: str, value: _Value) -> tuple[str, int]:
    """Return a module with other initial values of its registers, and the number of these."""
    clocked, count = {name.strip() for name in _CLOCKED.findall(module)}, 0

    def changed(match: re.Match[str]) -> str:
        nonlocal count
        if match[2].strip() not in clocked:  # the initial value of a variable of a process belongs to no register
            return match[0]
        count += 1
        found = value(int(match[3]))
        return f"{match[1]};" if found is None else f"{match[1]} = {match[3]}'h{found:x};"

    return _REGISTER.sub(changed, module), count


def _with_words(module: str, name: str, width: int, words: dict[int, int | None]) -> str:
    """Return a module with other initial words of a memory."""
    own = re.escape(name)
    module = re.sub(rf"^  initial begin\n(?:    {own}\s*\[\d+\] = .*;\n)+  end\n", "", module, flags=re.MULTILINE)
    lines = [f"    {name} [{number}] = {width}'h{'x' if word is None else f'{word:x}'};\n" for number, word in words.items()]
    return module.replace("endmodule", f"  initial begin\n{''.join(lines)}  end\nendmodule")


def undefined_after(cycles: int, verilog: str, ports: Ports, directory: Path) -> set[str]:
    """Return the paths of the signals of a core that have undefined bits in Icarus after so many cycles of reset, and none before them.

    The clock is low, and all inputs but the reset are 0 from the beginning.
    """
    inputs = "\n".join(f"    reg [{width - 1}:0] \\{name} = 0;" for name, width in ports.inputs.items())
    connected = ", ".join(f".\\{name} (\\{name} )" for name in ports.inputs)
    bench = f"""module bench;
{inputs}
    {ports.top} core ({connected});
    initial begin
        rst = 1;
        repeat ({cycles}) begin #5 clk = 1; #5 clk = 0; end
        rst = 0;
        $dumpfile("signals.vcd");
        $dumpvars(0, core);
        #1 $finish;
    end
endmodule
"""
    (directory / "bench.v").write_text(bench, encoding="utf-8")
    (directory / "core.v").write_text(verilog, encoding="utf-8")
    build = [str(find_icarus()), "-g2005", "-s", "bench", "-o", "bench", "bench.v", "core.v"]
    subprocess.run(build, cwd=directory, check=True, stdin=subprocess.DEVNULL)
    subprocess.run(["vvp", "-n", "bench"], cwd=directory, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return _undefined_signals((directory / "signals.vcd").read_text(encoding="utf-8"))


def _undefined_signals(dump: str) -> set[str]:
    """Return the paths of the signals that have undefined bits in the first values of a value change dump."""
    scopes: list[str] = []
    paths: dict[str, list[str]] = {}
    found: set[str] = set()
    for line in dump.splitlines():
        words = line.split()
        match words[:1]:
            case ["$scope"]:
                scopes.append(words[2])
            case ["$upscope"]:
                scopes.pop()
            case ["$var"]:
                paths.setdefault(words[3], []).append(".".join([*scopes, words[4].removeprefix("\\")]))
            case _ if re.match(r"b[01xz]*x|x", line):
                found.update(paths[words[1] if line.startswith("b") else line[1:]])
    return found
