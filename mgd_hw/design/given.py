"""Values that a design file gives, before other values are derived from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from python_ref.spec.error import Refusal

__all__ = ["Given"]


@dataclass(frozen=True)
class Given:
    """Values of a design file, each accepted by the reader of its key.

    Attributes
    ----------
    path : Path
        Path of the design file, for refusals.
    values : mapping of str to object
        Converted values by dotted key, such as ``"network.layers"``, without keys that the file leaves out.
    """

    path: Path
    values: Mapping[str, Any]

    def __contains__(self, key: str) -> bool:
        """Return whether the file gives a key."""
        return key in self.values

    def __getitem__(self, key: str) -> Any:
        """Return the value of a key that the file gives."""
        return self.values[key]

    def get(self, key: str, default: object = None) -> Any:
        """Return the value of a key, or ``default`` if the file leaves it out."""
        return self.values.get(key, default)

    @property
    def name(self) -> str:
        """Name of a design that gives none: the file's, of which a Verilog identifier can be made."""
        return re.sub(r"[^A-Za-z0-9_]", "_", self.path.stem)[:64] or "design"

    def refuse(self, key: str, reason: str, remedy: str, value: object = None) -> Refusal:
        """Return the error to raise for a key of this file."""
        return Refusal(reason, remedy, file=self.path, key=key, value=value)
