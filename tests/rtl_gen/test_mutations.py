"""Lines of the emitted Verilog changed at random: the ordinary comparison sees those that matter.

Not changed are the host's port and registers: most of what they can do (stopping, inference, high words of counts) no plain run asks
for; :mod:`tests.rtl_gen.test_host` and :mod:`tests.rtl_gen.test_registers` do.
"""

import random
import re
from pathlib import Path

import pytest

from rtl_gen.emit import emit_verilog
from sim.cosim import cosim
from sim.error import SimulationError
from sim.run import Stalls
from sim.simulators import Options
from tests.rtl_gen.test_faults import a_run
from tests.support.faults import DESIGNS

NAMES = ("node", "weight", "two_sided", "accumulating")
MUTANTS = 8
"""Number of changes of each design."""
SEEN = 0.6
"""Least share that must be seen; the others are equivalent, or touch only what these runs never need."""

STALLS = Stalls(1, 0.3)
"""So that what waits for the host is needed as well."""

OPERATORS = {" + ": " - ", " - ": " + ", " & ": " | ", " | ": " & ", " ^ ": " & ", " == ": " != ", " < ": " >= ", " > ": " <= ", "~": ""}


NAME = re.compile(r"\\\S+ |(?<![\w'\\$])[a-z_$][\w$]*")
INERT = re.compile(r"\s*(reg|wire|input|output|/\*|$|\S+  ?= \d+'h\w+;|\w+\[\d+\] = )")
"""Declarations, defaults and resets."""


def needed(lines: list[str]) -> set[int]:
    """Numbers of the lines that drive something, outside the host's modules.

    Not declarations, defaults and resets, nor assignments to what nobody reads but their like: half of the assignments only
    name the bits of a structure, for readers and waveforms.
    """
    found: set[int] = set()
    start, is_host = 0, None
    for end, line in enumerate(lines):
        if line.startswith("module"):
            is_host = re.match(r"module \\?\w+\.(host|registers)\b", line)
        if line.startswith("endmodule"):
            body = [number for number in range(start, end) if not INERT.match(lines[number])]
            assigned = {number: NAME.findall(lines[number])[1:] for number in body if lines[number].lstrip().startswith("assign ")}
            ports = [NAME.findall(lines[number])[-1] for number in range(start, end) if re.match(r"\s*output\b", lines[number])]
            read = set(ports).union(*(NAME.findall(lines[number]) for number in body if number not in assigned and number != start))
            left = {number: names for number, names in assigned.items() if names}
            while now := {number for number, names in left.items() if names[0] in read}:
                read.update(*(left.pop(number)[1:] for number in now))
            found |= set() if is_host else set(body) - left.keys()
            start = end + 1
    return found


def mutated(text: str, rng: random.Random) -> tuple[str, str]:
    """The Verilog with one line changed: an operator, a constant, or two signals; and the change in words."""
    lines = text.splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if "_core(" in line and line.startswith("module"))
    choices = sorted(number for number in needed(lines) if number >= start)
    while True:
        number = rng.choice(choices)
        line = lines[number]
        if "=" not in line or re.match(r"\s*(reg|wire|input|output|initial|module|if|case|end)\b", line):
            continue
        left, equals, right = line.partition("<=" if "<=" in line else "=")
        kind = rng.choice(("operator", "constant", "signals"))
        changed = right
        if kind == "operator":
            found = [operator for operator in OPERATORS if operator in right]
            if found:
                operator = rng.choice(found)
                changed = right.replace(operator, OPERATORS[operator], 1)
        elif kind == "constant":
            constants = list(re.finditer(r"\d+'(s?)h([0-9a-f]+)", right))
            if constants:
                chosen = rng.choice(constants)
                value = int(chosen[2], 16) ^ 1
                changed = right[: chosen.start(2)] + f"{value:x}" + right[chosen.end(2) :]
        else:
            names = sorted(set(re.findall(r"\\[^ ]+ |\b[a-z_$][\w$]*\b(?!')", re.sub(r"\d+'s?[hbd][0-9a-fxz]+", "", right))))
            if len(names) > 1:
                first, second = rng.sample(names, 2)
                changed = right.replace(first, second, 1)
        if changed != right:
            lines[number] = left + equals + changed
            return "".join(lines), f"{line.strip()}  ->  {lines[number].strip()}"


@pytest.mark.long
@pytest.mark.slow
def test_changed_verilog_is_seen(tmp_path, capsys):
    """The share is that of all designs together: a few changes of one design say little."""
    seen = sum(changes_seen(name, tmp_path / name, capsys) for name in NAMES)
    assert seen >= SEEN * MUTANTS * len(NAMES)


def changes_seen(name: str, folder: Path, capsys: pytest.CaptureFixture) -> int:
    """Number of changes of a design's Verilog that the comparison sees; those that it does not see are printed."""
    run, rng = a_run(DESIGNS[name], steps=100, samples=25), random.Random(name)
    text = emit_verilog(run.spec)
    options = Options(patience=2_000, timeout=120, stalls=STALLS)
    survivors, seen = [], 0
    for number in range(MUTANTS):
        changed, what = mutated(text, rng)
        place = folder / str(number)
        place.mkdir(parents=True)
        (place / "design.v").write_text(changed, encoding="utf-8")
        try:
            equal = cosim(run, place / "design.v", place, simulator="cxxrtl", options=options).equal
        except SimulationError:  # such as a loop of gates
            equal = False
        seen += not equal
        survivors += [what] if equal else []
    with capsys.disabled():
        print(f"\n{name}: {seen} of {MUTANTS} changes seen; not these:", *survivors, sep="\n  ")
    return seen
