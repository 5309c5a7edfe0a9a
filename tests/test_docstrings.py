"""Docstrings describe what they list: each parameter, attribute, member and result has a phrase that says something."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

SECTIONS = ("Parameters", "Attributes", "Members", "Returns", "Yields")
"""Titles of the sections whose entries are checked."""

LEAST_WORDS = 4
"""Fewest words of a description."""

LEAST_NEW_WORDS = 2
"""Fewest words of a description that neither the name, nor the type, nor an article contains."""

ARTICLES = {"a", "an", "the", "of", "its", "is", "it"}
"""Words that say nothing by themselves."""

REMAINING = {"boards": 0, "mgd_hw": 135, "python_ref": 100, "rtl_gen": 0, "sim": 0}
"""Number of thin entries that each package still has. Lower it when you describe some; it must never rise."""


class Entry(NamedTuple):
    """An entry of a section of a docstring.

    Attributes
    ----------
    head : str
        First line of the entry, with its names and its type.
    text : str
        Description below it, joined to one line.
    """

    head: str
    text: str


def entries(docstring: str) -> Iterator[Entry]:
    """Yield the entries of the checked sections of a docstring without common indentation."""
    lines = docstring.splitlines()
    underlined = [set(line.strip()) == {"-"} for line in lines[1:]] + [False]
    section, head, text = "", "", list[str]()
    for number, line in enumerate(lines):
        is_title = underlined[number] and not line.startswith(" ")
        if head and line.strip() and not line.startswith(" "):
            yield Entry(head, " ".join(text))
            head, text = "", []
        if is_title:
            section = line.strip()
        elif section in SECTIONS and line.strip() and set(line.strip()) != {"-"}:
            if line.startswith(" "):
                text.append(line.strip())
            else:
                head = line
    if head:
        yield Entry(head, " ".join(text))


def words(text: str) -> list[str]:
    """Return the words of a text in lower case; a name in code counts as the words that underscores and dots separate."""
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)?", text.lower())


def is_thin(entry: Entry) -> bool:
    """Whether an entry has too few words, or little more than those of its name and its type."""
    found = words(entry.text)
    new = [word for word in found if word not in {*words(entry.head), *ARTICLES}]
    return len(found) < LEAST_WORDS or len(new) < LEAST_NEW_WORDS


def thin_entries(source: str, name: str) -> list[str]:
    """Return the place and the first line of every thin entry in the source of a module."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            where = f"{name}:{getattr(node, 'lineno', 1)}"
            found += [f"{where}: {entry.head} — {entry.text}" for entry in entries(ast.get_docstring(node) or "") if is_thin(entry)]
    return found


@pytest.mark.parametrize("package", REMAINING)
def test_entries_say_something(package):
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths, package
    found = [each for path in paths for each in thin_entries(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))]
    assert len(found) == REMAINING[package], f"REMAINING says {REMAINING[package]}, and these {len(found)} are thin:\n" + "\n".join(found)


SAMPLE = '''"""Run.

    Parameters
    ----------
    steps : int
        {0}
    order : array of int64, shape (steps,)
        Indices of the samples, in the order in which they are taken.

    Returns
    -------
    int
        {1}

    Notes
    -----
    steps
        Free text.
    """'''


@pytest.mark.parametrize(
    ("described", "returned", "thin"),
    [
        ("Number of training steps.", "Exit code of the program.", []),
        ("Steps to run.", "Exit code of the program.", ["steps : int"]),
        ("The steps, an int.", "Exit code of the program.", ["steps : int"]),
        ("It is the int of the steps.", "Exit code of the program.", ["steps : int"]),
        ("Number of\n        training steps.", "The code.", ["int"]),
        ("", "", ["steps : int", "int"]),
    ],
)
def test_thin_entries_are_found(described, returned, thin):
    source = "def run(steps, order):\n    " + SAMPLE.format(described, returned)
    assert [each.partition(": ")[2].partition(" — ")[0] for each in thin_entries(source, "sample.py")] == thin


def test_an_entry_without_a_description_is_found():
    found = list(entries("Run.\n\nParameters\n----------\nsteps : int\norder : int\n    One.\n"))
    assert found == [Entry("steps : int", ""), Entry("order : int", "One.")]
