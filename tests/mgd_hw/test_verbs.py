"""The Python API is the command line: one function for each command, loaded when first used."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import typing
from importlib import import_module
from pathlib import Path

import pytest

import mgd_hw
from mgd_hw import cli, flow
from mgd_hw.common.results import Result
from python_ref.spec.error import Refusal

ROOT = Path(__file__).parents[2]
VERBS = tuple(name for name in mgd_hw.__all__ if name not in ("ToolError", "Refusal", "read"))
NAMES = {"virtual": "serve"}
"""Commands whose function has another name."""


def test_each_command_is_a_verb() -> None:
    assert {NAMES.get(name, name) for name in cli.commands.commands} == set(VERBS)


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_has_one_result_type(name: str) -> None:
    """Its own, or a plan of the same where nothing is run; it stands in the module of the function."""
    function = getattr(mgd_hw, name)
    module = import_module(function.__module__)
    assert function.__module__ == mgd_hw._MODULES[name]
    hints = typing.get_type_hints(function, {**vars(typing), **vars(module)})
    told = hints["ready"] if name == "serve" else hints["return"]
    kinds = [kind for each in typing.get_args(told) or (told,) for kind in (each if isinstance(each, list) else [each])]
    results = [kind for kind in kinds if inspect.isclass(kind) and issubclass(kind, Result)]
    assert results and all(kind.__module__ == function.__module__ for kind in results), kinds


def test_the_command_line_calls_verbs_and_nothing_else() -> None:
    tree = ast.parse(Path(cli.__file__).read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "mgd_hw"}
    assert used == set(VERBS)
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mgd_hw")}
    assert imported == {"mgd_hw.terminal"}


@pytest.mark.parametrize("name", mgd_hw.__all__)
def test_no_module_hides_a_verb(name: str) -> None:
    """The import of a module mgd_hw.NAME would put it in the place of the function."""
    assert not (ROOT / "mgd_hw" / name).exists() and not (ROOT / "mgd_hw" / f"{name}.py").exists()


def test_names_are_those_that_type_checkers_see() -> None:
    tree = ast.parse(Path(mgd_hw.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module not in ("__future__", "importlib", "typing")
        for alias in node.names
    }
    assert seen == mgd_hw._MODULES
    assert sorted(seen) == sorted(mgd_hw.__all__)
    assert set(mgd_hw.__all__) <= set(dir(mgd_hw))


def test_the_former_name_of_a_refusal_still_works() -> None:
    assert mgd_hw.Refusal is mgd_hw.Refusal


def test_nothing_is_loaded_before_it_is_used() -> None:
    code = "import sys, mgd_hw; print([name for name in sys.modules if name.startswith(('mgd_hw.', 'numpy'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip() == "[]"


def test_an_unknown_name_is_refused() -> None:
    for module in (mgd_hw, flow):
        with pytest.raises(AttributeError, match="has no attribute 'gnerate'"):
            module.gnerate  # noqa: B018


def test_the_former_module_has_the_same_functions() -> None:
    assert set(VERBS) <= set(flow.__all__)
    for name in flow.__all__:
        found = getattr(flow, name)
        assert found is getattr(import_module(found.__module__), name)
    assert flow.generate is mgd_hw.generate


def test_a_clock_without_a_board_is_refused() -> None:
    with pytest.raises(Refusal, match=r"^--clock = 20\.0: it is a setting of a board, and no board is named\. Name one with --board"):
        mgd_hw.generate("xor", clock=20.0)
