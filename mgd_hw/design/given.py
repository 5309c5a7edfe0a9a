"""The values that a design file gives, before anything is derived from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from python_ref.spec.error import Refusal

__all__ = ["Given"]


@dataclass(frozen=True)
class Given:
    """The values of a design file, each known to be one that its key takes.

    Attributes
    ----------
    path : Path
        The design file, which refusals name.
    values : mapping of str to object
        Our values by dotted key, such as ``"network.layers"``; keys that were left out are missing.
    """

    path: Path
    values: Mapping[str, Any]

    def __contains__(self, key: str) -> bool:
        """Whether the file gives the key."""
        return key in self.values

    def __getitem__(self, key: str) -> Any:
        """The value of a key that the file gives."""
        return self.values[key]

    def get(self, key: str, default: object = None) -> Any:
        """The value of a key, or ``default`` where the file leaves it out."""
        return self.values.get(key, default)

    def refuse(self, key: str, reason: str, remedy: str, value: object = None) -> Refusal:
        """The error to raise for a key of this file."""
        return Refusal(reason, remedy, file=self.path, key=key, value=value)
