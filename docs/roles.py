"""An extension of griffe: the roles in docstrings, such as ``:class:`Fixed```, become links of the Python reference."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`(~?)([\w.]+)`")


class Roles(griffe.Extension):
    """Replaces the roles in every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Replace the roles in the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(lambda role: _link(obj, role), obj.docstring.value)


def _link(obj: griffe.Object, role: re.Match[str]) -> str:
    """The link of one role; plain text where no page has its target."""
    short, target = role.groups()
    shown = target.rpartition(".")[2] if short else target
    first, _, rest = target.partition(".")
    try:
        identifier = obj.resolve(first) + (f".{rest}" if rest else "")
    except griffe.NameResolutionError:
        identifier = target
    return f'<autoref identifier="{identifier}" optional><code>{shown}</code></autoref>'
