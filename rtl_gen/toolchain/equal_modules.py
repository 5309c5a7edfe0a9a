"""Let the equal modules of a Verilog file be one, so that synthesis maps it once: the lanes of an array are copies of each other."""

from __future__ import annotations

import re

__all__ = ["merged"]

_MODULE = re.compile(r"^module .*?^endmodule\n", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"^module \\?(\S+?)\s*\(")
_INSTANCE = re.compile(r"^(  \\)(\S+)( +\S+ \()", re.MULTILINE)
"""An instance of a module with an escaped name, as Yosys writes it: the name, and what follows it."""


_AUTOMATIC = re.compile(r"\$auto\$[^\s$]+\$\w+(?:\$\d+)?")
"""A name that Yosys gave, such as ``$auto$rtlil.cc:2739:Not$10``."""


def merged(verilog: str) -> str:
    """Return Verilog as Yosys writes it, in which modules that differ in nothing but their names are one, the first of them.

    Instances keep their names. Modules in modules come first, since those around them are equal only then.
    """
    bodies = {_named(text): text for text in _MODULE.findall(verilog)}
    first: dict[str, str] = {}
    same: dict[str, str] = {}
    for name in sorted(bodies, key=lambda each: -each.count(".")):
        body = _INSTANCE.sub(lambda found: found[1] + same.get(found[2], found[2]) + found[3], bodies[name])
        bodies[name] = body
        kept = first.setdefault(_renamed(body.replace(name, "", 1)), name)
        if kept != name:
            same[name] = kept
    return _MODULE.sub(lambda found: "" if _named(found[0]) in same else bodies[_named(found[0])], verilog)


def _renamed(body: str) -> str:
    """A module in which the nets that Yosys named have numbers in the order in which they come, since Yosys counts through all modules."""
    numbers: dict[str, int] = {}
    return _AUTOMATIC.sub(lambda found: f"$auto${numbers.setdefault(found[0], len(numbers))}", body)


def _named(module: str) -> str:
    """Name of a module."""
    found = _NAME.match(module)
    assert found is not None, "a module has a name and ports"
    return found[1]
