"""Digests of specifications, which are the same for equal specifications on every machine."""

from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import fields, is_dataclass

from python_ref.spec.number import Fixed

__all__ = ["UNLESS_DEFAULT", "canonical", "digest_of"]

UNLESS_DEFAULT = "described unless it is the default"
"""Key of a field's metadata: a description has the field only where its value is not the default, so that a specification that does not use
a new field keeps its digest."""


def canonical(value: object) -> object:
    """Return the description that digests are computed from: plain lists, dicts, strings and numbers, the same for equal specifications."""
    if isinstance(value, Fixed):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        named = [f for f in fields(value) if not f.name.startswith("_")]
        kept = [f for f in named if not (UNLESS_DEFAULT in f.metadata and getattr(value, f.name) == f.default)]
        described = {f.name: canonical(getattr(value, f.name)) for f in kept}
        return {"name": value.name, **described} if hasattr(value, "name") and "name" not in described else described
    if isinstance(value, (tuple, list)):
        return [canonical(item) for item in value]
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items()}
    return value


def digest_of(value: object) -> str:
    """Return the first 64 bits of the SHA-256 of a canonical description, as 16 hexadecimal digits."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
