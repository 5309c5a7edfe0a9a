"""The former name of the verbs, kept for one release: ``mgd_hw.generate`` and the others are functions of the package itself."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import mgd_hw

_MOVED = {
    "Generated": "hardware.generate",
    "New": "design.new",
    "advice": "hardware.generate",
    "run_of": "design.run",
}
"""The module of each name that the package itself does not have, within the package."""

__all__ = [name for name in (*mgd_hw.__all__, *_MOVED) if name not in ("Refusal", "ToolError")]


def __getattr__(name: str) -> Any:
    if name in _MOVED:
        return getattr(import_module(f"mgd_hw.{_MOVED[name]}"), name)
    if name in __all__:
        return getattr(mgd_hw, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
