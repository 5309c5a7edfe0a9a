"""Let equal statements of a CXXRTL model call one function: those of a core's lanes differ in nothing but the names of their variables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["USES", "EqualStatements", "member_types"]

USES = 8
"""Number of equal statements from which they call a function."""

SHORTEST = 100
"""Characters of a statement from which it may become a call. A shorter one compiles quickly, and is quicker than its call."""

_MOST_ARGUMENTS = 16
"""Most variables of a statement that becomes a call."""

_MEMBER = re.compile(r"^\t((?:wire|value|memory)<\d+>) (\w+)(?: \{[^}]*\})?;", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z_]\w*")
_TEMPORARY = re.compile(r"\tauto (?P<name>\w+) = .*;")
_KEPT = {"performer", "converged"}
"""Variables of ``eval`` with which a statement stays as it is."""


def member_types(header: str) -> dict[str, str]:
    """Return the types of the members that a header of CXXRTL declares, by name; its ports, which every function reads as they are, not."""
    return {name: kind for kind, name in _MEMBER.findall(header)}


@dataclass(frozen=True)
class _Form:
    """A statement without the names of its variables.

    Attributes
    ----------
    text : str
        The statement; ``v0``, ``v1`` and so on stand for its variables in the order in which they come, ``t0`` for its first temporary.
    types : tuple of str
        C++ type of v0, of v1 and so on: ``wire<16>``, or ``bool`` for a clock edge.
    """

    text: str
    types: tuple[str, ...]


class EqualStatements:
    """The statements of a model, and the functions that those with many equals call.

    A function has the variables of its statement as parameters, by reference, so that a call does what the statement did.

    Parameters
    ----------
    statements : sequence of sequences of str
        Lines of each statement.
    types : dict of str to str
        Types of the variables that may become parameters, by name; of a clock edge ``bool``.
    """

    def __init__(self, statements: Sequence[Sequence[str]], types: Mapping[str, str]) -> None:
        self._types = types
        forms = [form for form, _ in (self._form(lines) for lines in statements) if form is not None]
        self._numbers = {form: number for number, form in enumerate(form for form, count in Counter(forms).items() if count >= USES)}

    def lines(self, statement: Sequence[str]) -> list[str]:
        """Return the lines of a statement, or the call that takes its place."""
        form, names = self._form(statement)
        if form is None or form not in self._numbers:
            return _code(statement)
        return [f"\tequal_{self._numbers[form]}({', '.join(names)});"]

    def declarations(self) -> list[str]:
        """Return the declarations of the functions in the model's class."""
        return [f"\tvoid equal_{number}({_parameters(form)});" for form, number in self._numbers.items()]

    def definitions(self, model: str, written: Callable[[str], str]) -> list[str]:
        """Return the functions of a model; ``written`` is applied to each of their lines."""
        found = []
        for form, number in self._numbers.items():
            body = "\n".join(map(written, form.text.split("\n")))
            found.append(f"void {model}::equal_{number}({_parameters(form)}) {{\n{body}\n}}\n")
        return found

    def _form(self, statement: Sequence[str]) -> tuple[_Form | None, list[str]]:
        """The form of a statement and the names of its variables; no form if it cannot be a function."""
        lines = _code(statement)
        temporaries = [match["name"] for line in lines if (match := _TEMPORARY.fullmatch(line))]
        numbers: dict[str, int] = {}

        def renamed(match: re.Match[str]) -> str:
            name = match[0]
            if name in self._types:
                return f"v{numbers.setdefault(name, len(numbers))}"
            return f"t{temporaries.index(name)}" if name in temporaries else name

        text = "\n".join(_NAME.sub(renamed, line) for line in lines)
        if len(text) < SHORTEST or len(numbers) > _MOST_ARGUMENTS or _KEPT & set(_NAME.findall(text)):
            return None, []
        return _Form(text, tuple(self._types[name] for name in numbers)), list(numbers)


def _code(statement: Sequence[str]) -> list[str]:
    """The lines of a statement that are no comments."""
    return [line for line in statement if not line.lstrip().startswith("//")]


def _parameters(form: _Form) -> str:
    """Parameters of a function; a clock edge is no reference."""
    return ", ".join(f"{kind} {'' if kind == 'bool' else '&'}v{number}" for number, kind in enumerate(form.types))
