"""Hooks of mkdocs: they write the reference of the command line and of Python, and warn of a public name that has no place in it.

The pages follow from the sources, so a module that moves takes its page along. With ``mkdocs build --strict`` a warning ends the build.
"""

from __future__ import annotations

import ast
import importlib
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PACKAGES = ("mgd_hw", "python_ref", "rtl_gen", "sim", "boards")
FOLDER = "reference/python/"
"""Folder of the pages of the Python reference, below that of the documentation."""
FORMER = ("mgd_hw.flow", "mgd_hw.config")
"""Former names of modules, which are kept for one release and have no pages."""
COMMANDS = "reference/commands.md"
"""Page of the command line."""

log = logging.getLogger("mkdocs.hooks")


# -- What is public ---------------------------------------------------------------------------------------------------


def sources(root: Path = ROOT) -> dict[str, Path]:
    """The source file of each public module of the packages, by the module's name."""
    found = {}
    for path in (path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        if name not in FORMER and not any(part.startswith("_") for part in name.split(".")):
            found[name] = path
    return found


def exported(tree: ast.Module) -> tuple[str, ...]:
    """The names in the ``__all__`` of a module; none without it."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return tuple(ast.literal_eval(node.value))  # type: ignore[union-attr]
    return ()


def bound(tree: ast.Module) -> set[str]:
    """The names that the source of a module binds; a module may export others, which it imports when they are first used."""
    names = set()
    for node in ast.walk(ast.Module([each for each in tree.body if not isinstance(each, (ast.FunctionDef, ast.ClassDef))], [])):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
    return names | {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}


def public_names(root: Path = ROOT) -> dict[str, dict[str, str]]:
    """For each public module its exported names, and for each of these the identifier under which the reference has it."""
    found = {}
    for module, path in sources(root).items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        known = bound(tree)
        found[module] = {name: f"{module}.{name}" if name in known else origin(module, name) for name in exported(tree)}
    return found


def origin(module: str, name: str) -> str:
    """The module and name under which an object that another module exports on first use is defined."""
    value = getattr(importlib.import_module(module), name)
    return f"{value.__module__}.{value.__qualname__}"


# -- Pages ------------------------------------------------------------------------------------------------------------


def command_page() -> str:
    """The page of the command line in Markdown: the help of the program and of each command, under the headings of ``--help``."""
    import click

    from mgd_hw.cli import SECTIONS, commands

    def shown(*names: str) -> list[str]:
        context = click.Context(commands, info_name="mgd-hw", terminal_width=100)
        command: click.Command = commands
        for name in names:
            command = commands.commands[name]
            context = click.Context(command, info_name=name, parent=context, terminal_width=100)
        return ["```text", command.get_help(context), "```", ""]

    parts = ["# The command line", "", *shown()]
    for title, names in SECTIONS.items():
        parts += [f"## {title}", ""]
        for name in names:
            parts += [f"### mgd-hw {name}", "", *shown(name)]
    return "\n".join(parts)


def python_pages(root: Path = ROOT) -> dict[str, str]:
    """The pages of the Python reference in Markdown, by their path below the folder of the documentation."""
    found, rows = {}, []
    for module, names in public_names(root).items():
        lazy = [f"- [`{name}`][{identifier}]" for name, identifier in names.items() if identifier != f"{module}.{name}"]
        found[f"{FOLDER}{module}.md"] = "\n".join([f"# {module}", "", f"::: {module}", "", *lazy]) + "\n"
        documented = ast.get_docstring(ast.parse(sources(root)[module].read_text(encoding="utf-8"))) or ""
        first = " ".join(re.sub(r":\w+:`~?([^`]+)`", r"`\1`", documented.partition("\n\n")[0]).split())
        rows.append(f"| [`{module}`]({module}.md) | {first} |")
    head = ["# Python reference", "", "Every public module has a page, which is generated from its docstrings.", ""]
    found[f"{FOLDER}index.md"] = "\n".join([*head, "| module | contents |", "|---|---|", *rows]) + "\n"
    return found


def missing(names: dict[str, dict[str, str]], identifiers: set[str]) -> list[str]:
    """The public names that no page has a heading for, each with its module."""
    return [f"{module}.{name}" for module, each in names.items() for name, identifier in each.items() if identifier not in identifiers]


# -- Events of mkdocs -------------------------------------------------------------------------------------------------

_identifiers: set[str] = set()
"""The identifiers of the headings on the pages that this build has rendered."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the generated pages in the place of their folder in the navigation, by package."""
    _identifiers.clear()
    by_package: dict[str, list[Any]] = {package: [] for package in PACKAGES}
    for module in sources():
        by_package[module.split(".")[0]].append({module: f"{FOLDER}{module}.md"})
    entries = [f"{FOLDER}index.md", *({package: listed} for package, listed in by_package.items())]

    def replaced(item: Any) -> Any:
        if isinstance(item, list):
            return [replaced(each) for each in item]
        if isinstance(item, dict):
            return {title: replaced(each) for title, each in item.items()}
        return entries if item == FOLDER else item

    config.nav = replaced(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those of the documentation's folder."""
    from mkdocs.structure.files import File

    for path, text in {COMMANDS: command_page(), **python_pages()}.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Note the identifiers of a page of the Python reference."""
    if page.file.src_uri.startswith(FOLDER):
        _identifiers.update(re.findall(r'\bid="([^"]+)"', html))


def on_env(env: object, config: MkDocsConfig, files: Files) -> None:
    """Warn of each public name that no page has."""
    for name in missing(public_names(), _identifiers):
        log.warning("%s: it is public, and no page of the Python reference has it", name)
