"""No module is longer than 600 lines, and no function longer than 80."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("python_ref", "rtl_gen", "sim", "boards", "mgd_hw")

LONGEST_MODULE = 600
"""Most lines of a module of the product."""
LONGEST_FUNCTION = 80
"""Most lines of a function or method, of the product and of the tests; decorators and docstring count."""


def module_sizes(packages: tuple[str, ...] = PACKAGES) -> dict[str, int]:
    """Number of lines of every module, by its path from the root."""
    paths = sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Qualified name and number of lines of every function, those within classes and other functions included."""
    for node in ast.iter_child_nodes(tree):
        named = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        name = f"{prefix}.{node.name}" if named and prefix else node.name if named else prefix  # type: ignore[attr-defined]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            assert node.end_lineno is not None
            yield name, node.end_lineno - first + 1
        yield from functions(node, name)


def function_sizes() -> dict[str, int]:
    """Number of lines of every function of the product and the tests; the longest of those that share a name."""
    found: dict[str, int] = {}
    for path in module_sizes((*PACKAGES, "tests")):
        for name, lines in functions(ast.parse((ROOT / path).read_text(encoding="utf-8"), path)):
            key = f"{path}::{name}"
            found[key] = max(lines, found.get(key, 0))
    return found


def check(sizes: dict[str, int], longest: int) -> None:
    """Hold every size to the limit."""
    too_long = {name: lines for name, lines in sizes.items() if lines > longest}
    assert not too_long, f"longer than {longest} lines: {too_long}"


def test_modules_are_short() -> None:
    sizes = module_sizes()
    assert {name.split("/")[0] for name in sizes} == set(PACKAGES)
    check(sizes, LONGEST_MODULE)


def test_functions_are_short() -> None:
    sizes = function_sizes()
    assert {name.split("/")[0] for name in sizes} == {*PACKAGES, "tests"}
    check(sizes, LONGEST_FUNCTION)


def test_the_lines_of_a_function_are_counted() -> None:
    text = "@wraps(f)\n@cache\ndef f():\n    def g():\n        return 1\n\n    return g\n\nclass C:\n    async def h(self):\n        pass\n"
    assert dict(functions(ast.parse(text))) == {"f": 7, "f.g": 2, "C.h": 2}


def test_what_is_too_long_is_named() -> None:
    with pytest.raises(AssertionError, match=r"^longer than 80 lines: \{'f': 81\}"):
        check({"f": 81, "g": 80}, 80)
    check({"g": 80}, 80)
