"""The documentation site: what its hooks write, and what they warn of. ``mkdocs build --strict`` builds the site itself."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from mgd_hw.cli import commands

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def _loaded() -> ModuleType:
    specification = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


hooks = _loaded()

SOURCE = '''"""A module with :class:`~a.B` in its first sentence.

More of it.
"""
from json import loads
__all__ = ["BOTH", "Kind", "load", "loads", "SIZES"]
ONE, BOTH = 1, 2
SIZES: dict[str, int] = {}
class Kind:
    inner = 3
def load():
    local = 1
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one package of two modules, of which one is private."""
    for name, text in {"__init__": "", "core": SOURCE, "_hidden": "__all__ = ['x']\nx = 1\n"}.items():
        (tmp_path / "sim").mkdir(exist_ok=True)
        (tmp_path / "sim" / f"{name}.py").write_text(text)
    return tmp_path


def test_every_exported_name_is_public(root: Path) -> None:
    names = ("BOTH", "Kind", "load", "loads", "SIZES")
    assert hooks.public_names(root) == {"sim": {}, "sim.core": {name: f"sim.core.{name}" for name in names}}


def test_a_name_that_is_imported_on_first_use_has_its_place_where_it_is_defined() -> None:
    assert hooks.origin("json", "JSONDecoder") == "json.decoder.JSONDecoder"


def test_each_module_has_a_page_and_a_line(root: Path) -> None:
    pages = hooks.python_pages(root)
    assert set(pages) == {f"reference/python/{name}.md" for name in ("index", "sim", "sim.core")}
    assert pages["reference/python/sim.core.md"].startswith("# sim.core\n\n::: sim.core\n")
    assert "| [`sim.core`](sim.core.md) | A module with `a.B` in its first sentence. |" in pages["reference/python/index.md"]


def test_a_public_name_without_a_place_is_found(root: Path) -> None:
    names = hooks.public_names(root)
    every = {identifier for each in names.values() for identifier in each.values()}
    assert hooks.missing(names, every) == []
    assert hooks.missing(names, every - {"sim.core.load"}) == ["sim.core.load"]


def test_the_modules_of_all_packages_are_found() -> None:
    found = hooks.sources()
    assert set(found) >= {"mgd_hw.cli", "python_ref.spec.design", "rtl_gen.core", "rtl_gen.emit", "sim.cosim", "boards.board"}
    former = {ROOT / (name.replace(".", "/") + ".py") for name in hooks.FORMER}
    public = {path for package in hooks.PACKAGES for path in (ROOT / package).rglob("*.py") if path.name != "__main__.py"} - former
    assert set(found.values()) == public


def test_the_navigation_has_the_generated_pages() -> None:
    config = SimpleNamespace(nav=[{"Reference": ["a.md", {"Python": "reference/python/"}]}])
    nav = hooks.on_config(config).nav
    assert nav[0]["Reference"][0] == "a.md"
    index, *packages = nav[0]["Reference"][1]["Python"]
    assert index == "reference/python/index.md"
    assert [next(iter(package)) for package in packages] == list(hooks.PACKAGES)
    listed = {page for package in packages for entries in package.values() for entry in entries for page in entry.values()}
    assert listed | {index} == set(hooks.python_pages())


def test_the_page_of_the_command_line_has_every_help_text() -> None:
    page = hooks.command_page()
    assert re.findall(r"^### mgd-hw (\w+)$", page, re.MULTILINE) == commands.list_commands(None)  # type: ignore[arg-type]
    for name, command in commands.commands.items():
        text = page.partition(f"### mgd-hw {name}\n")[2].partition("\n#")[0]
        assert f"Usage: mgd-hw {name} " in text
        for option in (name for each in command.params for name in each.opts if name.startswith("--")):
            assert option in text
