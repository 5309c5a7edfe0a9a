"""Conversion of a design to plain JSON and back, for transport between processes; the result is equal, digests included."""

from __future__ import annotations

import enum
import types
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from python_ref.spec.design import DesignSpec
from python_ref.spec.layers import LAYER_KINDS, LayerKind
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import OPTIMIZERS, Optimizer
from python_ref.spec.perturbation import CODES, Code

__all__ = ["from_dict", "to_dict"]


_TABLES: dict[type, dict[str, Any]] = {Code: CODES, LayerKind: LAYER_KINDS, Optimizer: OPTIMIZERS}
"""Tables of the kinds whose members a description identifies by name."""


def to_dict(spec: DesignSpec) -> dict[str, Any]:
    """Return a design as dicts, lists, strings and numbers; a format becomes [signed, integer_bits, fraction_bits]."""
    return _encode(spec)


def from_dict(data: dict[str, Any]) -> DesignSpec:
    """Return the design that :func:`to_dict` described.

    Raises
    ------
    ValueError
        If ``data`` does not describe a design; a DesignError if the design cannot be built.
    """
    return _decode(DesignSpec, data)


def _encode(value: Any) -> Any:
    if isinstance(value, Fixed):
        return [value.signed, value.integer_bits, value.fraction_bits]
    if isinstance(value, enum.Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        described = {field.name: _encode(getattr(value, field.name)) for field in fields(value)}
        return {"name": value.name, **described} if hasattr(value, "name") else described
    return [_encode(item) for item in value] if isinstance(value, tuple) else value


def _decode(kind: Any, data: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        (option,) = (option for option in get_args(kind) if option is not type(None))
        return None if data is None else _decode(option, data)
    if kind in _TABLES:
        table = _TABLES[kind]
        if _member(data, "name") not in table:
            raise ValueError(f"Name must be one of {', '.join(table)}, not {_member(data, 'name')!r}")
        return _decode(table[data["name"]], data)
    if get_origin(kind) is tuple:
        items = get_args(kind)
        if not isinstance(data, list):
            raise ValueError(f"Value must be a list, not {data!r}")
        inner = [items[0]] * len(data) if items[-1] is Ellipsis else list(items)
        return tuple(_decode(item, value) for item, value in zip(inner, data, strict=True))
    if kind is Fixed:
        return Fixed(*data)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(data)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{field.name: _decode(hints[field.name], _member(data, field.name)) for field in fields(kind)})  # type: ignore[operator]
    return data


def _member(data: Any, name: str) -> Any:
    if not isinstance(data, dict) or name not in data:
        raise ValueError(f"Description of a design must have a member {name!r}: {data!r}")
    return data[name]
