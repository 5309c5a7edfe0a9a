"""What the verbs of :mod:`mgd_hw.flow` return: frozen, typed, and one JSON object each."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np

__all__ = ["Result", "plain"]


def plain(value: object) -> object:
    """A value as JSON has it: lists, dicts, strings, finite numbers, None for what is not a number."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, Result):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"Value must be plain data, not {value!r}")


class Result:
    """Base of the results; a subclass is a frozen dataclass, and may add to what it says of itself."""

    def to_json(self) -> dict:
        """Its fields, and the properties named in ``ALSO``, as plain data."""
        names = [each.name for each in fields(self) if each.repr]  # type: ignore[arg-type]
        return {name: plain(getattr(self, name)) for name in (*names, *getattr(self, "ALSO", ()))}
