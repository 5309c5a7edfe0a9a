"""One base of refusals, read from the source: what can be raised is one or is listed, and who catches one adds to it and passes it on."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from python_ref.spec.error import Refusal

ROOT = Path(__file__).parents[1]
PACKAGES = ("python_ref", "rtl_gen", "sim", "boards", "mgd_hw")

SIGNALS = {
    "WorkerLost": "the death of a worker, after which the scheduler gives the job to another; no user sees it",
    "_Refused": "leaves the bench within cocotb's process, and is written to a file for ours",
    "_Undefined": "leaves the bench within cocotb's process, and is written to a file for ours",
}
"""The exceptions that are no refusals, with the reason."""

TRANSLATORS = {
    "_translate": "Yosys's log tells which line of the user's Verilog it refuses; the error of Yosys does not name that file",
    "_Builder.design": "a format is too wide because of targets that are not scaled: another key of the same file is to blame",
}
"""The functions that catch one refusal and raise another, with the reason."""


def sources() -> dict[str, ast.Module]:
    """The syntax tree of each module, by the module's name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def exceptions(trees: dict[str, ast.Module]) -> dict[str, tuple[str, set[str]]]:
    """The exceptions that modules define, wherever they stand: module and all base classes of each, by its name."""
    known = {name: {name} for name, each in vars(builtins).items() if isinstance(each, type) and issubclass(each, BaseException)}
    found: dict[str, tuple[str, set[str]]] = {}
    classes = [(name, node) for name, tree in trees.items() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    before = -1
    while len(found) > before:
        before = len(found)
        for module, node in classes:
            bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases} & known.keys()
            if bases and (node.name not in found or found[node.name][0] != module):
                assert node.name not in known, f"{module}.{node.name} and another exception have the same name"
                known[node.name] = {node.name}.union(*(known[base] for base in bases))
                found[node.name] = module, known[node.name]
    return found


EXCEPTIONS = exceptions(sources())
REFUSALS = {name: module for name, (module, bases) in EXCEPTIONS.items() if "Refusal" in bases}


def test_every_exception_is_a_refusal_or_a_signal() -> None:
    assert EXCEPTIONS.keys() - REFUSALS.keys() == SIGNALS.keys()
    assert {"Refusal", "DesignError", "ToolError", "YosysError", "SimulationError", "LinkLost", "OutsideError"} <= REFUSALS.keys()


@pytest.mark.parametrize("name", REFUSALS)
def test_every_refusal_has_its_reason_and_its_remedy(name: str) -> None:
    kind = getattr(importlib.import_module(REFUSALS[name]), name)
    assert issubclass(kind, Refusal)
    needed = [each.name for each in inspect.signature(kind).parameters.values() if each.default is inspect.Parameter.empty]
    error = kind(*(f"the {each}" for each in needed))
    assert "the reason" in error.reason and error.remedy
    assert str(error).endswith(f"{error.reason}. {error.remedy}")
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)


# -- who catches one --------------------------------------------------------------------------------------------------


def handlers(tree: ast.Module, refusals: set[str]) -> Iterator[tuple[str, ast.ExceptHandler]]:
    """The handlers of refusals, and the function that each stands in."""

    def walk(node: ast.AST, place: tuple[str, ...]) -> Iterator[tuple[str, ast.ExceptHandler]]:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            place = (*place, node.name)
        if isinstance(node, ast.ExceptHandler) and node.type is not None:
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if {ast.unparse(kind).rpartition(".")[2] for kind in kinds} & refusals:
                yield ".".join(place), node
        for child in ast.iter_child_nodes(node):
            yield from walk(child, place)

    yield from walk(tree, ())


def translators(tree: ast.Module, refusals: set[str]) -> list[str]:
    """The functions that catch a refusal to raise something else: neither the same, nor a signal of Python's own."""
    found = []
    for place, handler in handlers(tree, refusals):
        for node in (each for statement in handler.body for each in ast.walk(statement)):
            if isinstance(node, ast.Raise) and node.exc is not None:
                raised = ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
                if raised != handler.name and not hasattr(builtins, raised):
                    found.append(place)
    return found


def parsers(tree: ast.Module, refusals: set[str]) -> list[str]:
    """The functions that take the message of a refusal apart."""
    found = []
    for place, handler in handlers(tree, refusals):
        for node in (each for statement in handler.body for each in ast.walk(statement)):
            taken = node.value if isinstance(node, (ast.Attribute, ast.Subscript)) else None
            if taken is not None and ast.unparse(taken) in (f"str({handler.name})", f"{handler.name}.args"):
                found.append(place)
    return found


def test_who_catches_a_refusal_raises_no_other() -> None:
    found = [place for tree in sources().values() for place in translators(tree, REFUSALS.keys())]
    assert set(found) == TRANSLATORS.keys()


def test_nobody_takes_a_message_apart() -> None:
    trees = sources()
    assert sum(1 for tree in trees.values() for _ in handlers(tree, REFUSALS.keys())) >= 10
    assert [(name, found) for name, tree in trees.items() if (found := parsers(tree, REFUSALS.keys()))] == []


TRANSLATING = """
def deed():
    try:
        work()
    except {kinds} as error:
        {body}
"""


@pytest.mark.parametrize(
    ("kinds", "body", "seen"),
    [
        ("DesignError", "raise DesignError(error.reason, error.remedy) from None", True),
        ("(OSError, sim.error.SimulationError)", "raise refusal(error)", True),
        ("Refusal", "raise self.refuse(error) from error", True),
        ("DesignError", "error.about(file=path)\n        raise", False),
        ("DesignError", "raise error from None", False),
        ("DesignError", "raise KeyboardInterrupt", False),
        ("ValueError", "raise DesignError(str(error), remedy)", False),
    ],
)
def test_the_check_sees_a_translator(kinds: str, body: str, seen: bool) -> None:
    tree = ast.parse(TRANSLATING.format(kinds=kinds, body=body))
    assert translators(tree, REFUSALS.keys()) == (["deed"] if seen else [])


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ("reason, _, remedy = str(error).rpartition('. ')", True),
        ("last = str(error).splitlines()[-1]", True),
        ("reason, remedy = error.args[:2]", True),
        ("message = str(error)", False),
        ("reason = error.reason.rstrip()", False),
    ],
)
def test_the_check_sees_a_parser(body: str, seen: bool) -> None:
    assert parsers(ast.parse(TRANSLATING.format(kinds="DesignError", body=body)), {"DesignError"}) == (["deed"] if seen else [])


@pytest.mark.parametrize("text", ["class Bad(RuntimeError): ...", "def f():\n    class Bad(np.linalg.LinAlgError, ValueError): ..."])
def test_the_check_sees_an_exception(text: str) -> None:
    assert exceptions({"m": ast.parse(text)}).keys() == {"Bad"}
