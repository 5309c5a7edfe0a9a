"""Change one module of the sources in one place after the other, and tell which changes the tests do not see.

    python -m tests.mutate.source MODULE [--designs node,xor] [--tests PATH …] [--count 20] [--seed 1] [--work DIR] [--json FILE]

MODULE is a file of rtl_gen or python_ref, such as rtl_gen/presentation/errors.py. Each change is made in a copy of the sources, in
which a child process generates the Verilog of the designs. A change of ``rtl_gen`` that leaves all Verilog as it is makes no difference;
otherwise the scenarios of ``python -m tests.mutate`` run on what has changed. A change of ``python_ref`` is in the model as well, so that
no comparison with it can see the change: the tests must, which have oracles of their own and the digests. The exit code is 1 if there
are survivors, and 2 if there is no such module.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from sim.engines.cxxrtl import build_cxxrtl
from sim.error import SimulationError
from tests.mutate.__main__ import Result, rehearsed, simulated, spec_of
from tests.mutate.runs import Shown, run, verdict

__all__ = ["Change", "Overlay", "changes", "main"]

ROOT = Path(__file__).parents[2]
SECONDS = 600.0
"""Seconds after which a child process is ended: a change has made a loop without end."""

_OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
"""What takes the place of an operator."""


@dataclass(frozen=True)
class Change:
    """A change of a module.

    Attributes
    ----------
    place : str
        Line, and what was there and is there now.
    tree, node, other : AST
        The module, a node of it, and what takes its place.
    """

    place: str
    tree: ast.AST
    node: ast.AST
    other: ast.AST

    @property
    def text(self) -> str:
        """Text of the changed module."""
        return ast.unparse(_Replacing(self.node, self.other).visit(deepcopy(self.tree)))


def _bodies(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes within functions: no docstrings, no annotations, no messages of errors, and no default arguments."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            stack: list[ast.AST] = list(function.body)
            while stack:
                node = stack.pop()
                if isinstance(node, (ast.FunctionDef, ast.Raise, ast.Assert, ast.JoinedStr)):
                    continue
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                    continue
                yield node
                children = list(ast.iter_child_nodes(node))
                if isinstance(node, ast.AnnAssign):
                    children = [child for child in children if child is not node.annotation]
                stack += children


def _alternatives(node: ast.AST) -> Iterator[ast.AST]:
    """Each a changed copy of a node."""
    if isinstance(node, (ast.BinOp, ast.BoolOp)) and type(node.op) in _OPERATORS:
        yield _with(node, op=_OPERATORS[type(node.op)]())
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _OPERATORS:
        yield _with(node, ops=[_OPERATORS[type(node.ops[0])](), *node.ops[1:]])
    if isinstance(node, ast.UnaryOp):
        yield node.operand
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield _with(node, value=node.value + 1)
        if node.value > 0:
            yield _with(node, value=node.value - 1)
    if isinstance(node, ast.IfExp):
        yield _with(node, body=node.orelse, orelse=node.body)
    if isinstance(node, ast.If):
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, (ast.AugAssign, ast.Expr)):
        yield ast.Pass()
    if isinstance(node, ast.List) and len(node.elts) > 1:  # statements of a domain
        for place in range(len(node.elts)):
            yield _with(node, elts=node.elts[:place] + node.elts[place + 1 :])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Mux" and len(node.args) == 3:
        yield _with(node, args=[node.args[0], node.args[2], node.args[1]])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("If", "Elif") and len(node.args) == 1:
        yield _with(node, args=[ast.UnaryOp(ast.Invert(), node.args[0])])


def _with(node: ast.AST, **fields: object) -> ast.AST:
    found = deepcopy(node)
    for name, value in fields.items():
        setattr(found, name, value)
    return found


def changes(text: str) -> list[Change]:
    """Return all changes of a module: operators, constants, conditions, and statements that are left out."""
    tree, found = ast.parse(text), []
    for node in _bodies(tree):
        for other in _alternatives(node):
            ast.copy_location(other, node)
            before, after = ast.unparse(node), ast.unparse(ast.fix_missing_locations(other))
            found.append(Change(f"line {getattr(node, 'lineno', 0)}: {_short(before)} -> {_short(after)}", tree, node, other))
    return sorted(found, key=lambda change: change.place)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else line[:87] + "..."


class _Replacing(ast.NodeTransformer):
    """Puts a node in the place of another one, which is found by its position and text."""

    def __init__(self, node: ast.AST, other: ast.AST) -> None:
        self._where, self._other = _key(node), other

    def visit(self, node: ast.AST) -> ast.AST:
        return deepcopy(self._other) if _key(node) == self._where else super().generic_visit(node)


def _key(node: ast.AST) -> tuple:
    return type(node), getattr(node, "lineno", None), getattr(node, "col_offset", None), getattr(node, "end_col_offset", None)


class Overlay:
    """A copy of the repository that shares all files with it but one package, whose modules can be changed.

    Parameters
    ----------
    module : Path
        Module that changes, relative to the root of the repository.
    directory : Path
        Directory of the copy, which is made.
    """

    def __init__(self, module: Path, directory: Path) -> None:
        self.directory, self._module = directory, directory / module
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        for each in ROOT.iterdir():
            if each.name == module.parts[0]:
                shutil.copytree(each, directory / each.name, ignore=shutil.ignore_patterns("__pycache__"))
            elif not each.name.startswith("."):
                (directory / each.name).symlink_to(each)

    def put(self, text: str) -> None:
        """Change the module."""
        self._module.write_text(text, encoding="utf-8")

    def _child(self, *arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-B", *arguments]
        environment = os.environ | {"PYTHONPATH": str(self.directory)}
        return subprocess.run(command, cwd=self.directory, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)

    def verilog(self, designs: list[str]) -> dict[str, str] | str:
        """Return the Verilog of designs by their names; or why there is none, as a phrase."""
        done = self._child("-c", _EMIT, str(self.directory.parent), *designs)
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["it ends"])[-1]
        return {design: (self.directory.parent / f"{_file(design)}.v").read_text(encoding="utf-8") for design in designs}

    def tests(self, tests: list[str]) -> str:
        """Run tests; return the first that fails, or an empty string if all pass."""
        done = self._child("-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", f"--rootdir={self.directory}", *tests)
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return (failed or ["the tests end"])[0] if done.returncode else ""


_EMIT = """
import sys
from pathlib import Path
from rtl_gen.emit import emit_verilog
from tests.mutate.__main__ import spec_of
for design in sys.argv[2:]:
    (Path(sys.argv[1]) / f"{design.replace(':', '_')}.v").write_text(emit_verilog(spec_of(design)), encoding="utf-8")
"""


def _file(design: str) -> str:
    return design.replace(":", "_")


class SourceCampaign:
    """Changes of a module, and what sees them.

    Parameters
    ----------
    module : Path
        Module, relative to the root of the repository.
    designs : list of str
        Names of the designs whose Verilog is generated.
    tests : list of str
        Tests that run where the Verilog or the module is shared with the model.
    work : Path
        Directory to work in.
    """

    def __init__(self, module: Path, designs: list[str], tests: list[str], work: Path) -> None:
        self.shared, self.designs, self.tests, self.work = module.parts[0] == "python_ref", designs, tests, work
        self.text = (ROOT / module).read_text(encoding="utf-8")
        self.overlay = Overlay(module, work / "tree")
        self.scenarios = {design: rehearsed(spec_of(design)) for design in designs}
        found = self._verilog(ast.unparse(ast.parse(self.text)))
        if isinstance(found, str):
            raise AssertionError(f"without a change, there must be Verilog: {found}")
        self.unchanged = found
        self.shown: dict[str, dict[str, Shown]] = {}

    def _verilog(self, text: str) -> dict[str, str] | str:
        self.overlay.put(text)
        return self.overlay.verilog(self.designs)

    def result(self, number: int, change: Change) -> Result:
        """Tell what sees a change."""
        found = self._verilog(change.text)
        if isinstance(found, str):
            return Result(number, change.place, "killed", "generate", found)
        different = [design for design in self.designs if _machine(found[design]) != _machine(self.unchanged[design])]
        if not self.shared:
            if not different:
                return Result(number, change.place, "no change")
            for design in different:
                for name, why in self._compared(design, found[design]):
                    return Result(number, change.place, "killed", f"{design}: {name}", why)
            if not self.tests:
                return Result(number, change.place, "survived", ", ".join(different))
        failed = self.overlay.tests(self.tests)
        if failed:
            return Result(number, change.place, "killed", "tests", failed)
        return Result(number, change.place, "survived", ", ".join(different))

    def _as_it_is(self, design: str) -> dict[str, Shown]:
        """What a design shows without a change in each scenario, of which the number of busy cycles is compared as well."""
        if design not in self.shown:
            self.shown[design] = dict(self._runs(design, self.unchanged[design], {}))
        return self.shown[design]

    def _compared(self, design: str, text: str) -> Iterator[tuple[str, str]]:
        """The scenarios whose comparison fails, and why."""
        unchanged = self._as_it_is(design)
        scenarios = {scenario.name: scenario for scenario in self.scenarios[design]}
        try:
            for name, shown in self._runs(design, text, unchanged):
                why = verdict(scenarios[name], shown, unchanged[name])
                if why:
                    yield name, why
        except SimulationError as error:
            yield "compile", error.reason

    def _runs(self, design: str, text: str, unchanged: dict[str, Shown]) -> Iterator[tuple[str, Shown]]:
        """What the core shows in each scenario, by the name of the scenario."""
        spec, place = spec_of(design), self.work / "core"
        place.mkdir(exist_ok=True)
        (place / "core.v").write_text(text, encoding="utf-8")
        ports = self.scenarios[design][0].rehearsal.ports
        model = build_cxxrtl(simulated(spec, place / "core.v"), ports, place / "build", optimize="-O0")
        for scenario in self.scenarios[design]:
            yield scenario.name, run(model, scenario, place / "run", unchanged=unchanged.get(scenario.name))


def _machine(verilog: str) -> str:
    """The Verilog without comments and attributes, which say where it comes from."""
    return "\n".join(line for line in verilog.splitlines() if not line.lstrip().startswith(("//", "/*", "(* src")))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutate.source", description="Which single changes of a module do the tests see?")
    parser.add_argument("module", type=Path, help="file of rtl_gen or python_ref, from the root of the repository")
    parser.add_argument("--designs", default="node", help="names of designs, with commas between (default node)")
    parser.add_argument("--tests", nargs="*", default=[], help="tests that must see a change that no scenario sees")
    parser.add_argument("--count", type=int, default=20, help="number of changes, drawn at random (default 20)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the choice (default 1)")
    parser.add_argument("--work", type=Path, help="directory to work in")
    parser.add_argument("--json", type=Path, help="file for all results")
    given = parser.parse_args(arguments)
    if given.module.parts[:1] not in (("rtl_gen",), ("python_ref",)) or not (ROOT / given.module).is_file():
        print(f"Module must be a file of rtl_gen or python_ref, not {given.module}. Give one such as rtl_gen/cost.py.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        work = (given.work or Path(temporary)).resolve()
        campaign = SourceCampaign(given.module, given.designs.split(","), given.tests, work)
        every = changes(campaign.text)
        drawn = random.Random(given.seed).sample(every, min(given.count, len(every)))
        print(f"{given.module}: {len(drawn)} of {len(every)} changes, seed {given.seed}", flush=True)
        results = []
        for number, change in enumerate(drawn, 1):
            results.append(campaign.result(number, change))
            if results[-1].outcome == "survived":
                print(f"survived {number}: {change.place} [{results[-1].by}]", flush=True)
            if given.json is not None:
                given.json.write_text(json.dumps([vars(result) for result in results], indent=1), encoding="utf-8")
    counted = Counter(result.outcome for result in results)
    print(f"killed {counted['killed']}, no change {counted['no change']}, survived {counted['survived']}")
    return int(counted["survived"] > 0)


if __name__ == "__main__":
    sys.exit(main())
