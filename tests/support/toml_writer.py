"""Writes a design file that says everything a DesignSpec holds: the inverse of the reader, for tests."""

from __future__ import annotations

import json

from python_ref.spec.design import DesignSpec
from python_ref.spec.digest import canonical
from python_ref.spec.network import Network

__all__ = ["toml_of"]


def toml_of(spec: DesignSpec) -> str:
    """A design file of a design, without data."""
    network, perturbation, schedule, formats, hardware = spec.network, spec.perturbation, spec.schedule, spec.formats, spec.hardware
    sections: dict[str, dict[str, object]] = {
        "": {"name": spec.name},
        "network": {
            "layers": _layers(network),
            "hidden": network.hidden.value,
            "output": network.output.value,
            "seed": network.initial.seed,
            "scheme": network.initial.scheme.value,
            "scale": network.initial.scale,
        },
        "perturbation": {
            "kind": perturbation.kind.value,
            "code": perturbation.code.name,
            "amplitude": f"2^{perturbation.amplitude_log2}",
            "seed": perturbation.seed,
        },
        "schedule": {
            "perturbation_period": schedule.perturbation_period,
            "sample_period": schedule.sample_period,
            "update_period": schedule.update_period,
            "difference": schedule.difference.value,
            "learning_rate": [list(pair) for pair in schedule.learning_rate],
        },
        "optimizer": {"name": spec.optimizer.name},
        "formats": {name: str(getattr(formats, name)) for name in ("input", "weight", "activation", "table")},
        "formats.rounding": {},
        "formats.overflow": {},
        "hardware": {"lanes": hardware.lanes, "signature": hardware.signature, "memory": "block"},
    }
    if perturbation.parts is not None:
        sections["learning"] = {"parts": [list(part) for part in perturbation.parts]}
    for name in ("cost_change", "error", "gradient"):
        if getattr(formats, name) is not None:
            sections["formats"][name] = str(getattr(formats, name))
    for name in ("activation", "cost_change", "error", "gradient", "weight"):
        cast = getattr(formats, f"{name}_cast")
        sections["formats.rounding"][name] = cast.rounding.value
        sections["formats.overflow"][name] = cast.overflow.value
    for key in spec.optimizer.parameters():
        if (value := getattr(spec.optimizer, key)) is not None:
            sections["optimizer"][key] = canonical(value)
    if hardware.gradient_memory is not None:
        sections["hardware"]["gradient_memory"] = hardware.gradient_memory
    lines = []
    for section, keys in sections.items():
        lines += [f"[{section}]"] if section else []
        lines += [f"{key} = {_inline(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def _layers(network: Network) -> list[object]:
    """The entries of ``network.layers``: tables where a layer has a kind."""
    kinds = [canonical(kind) for kind in network.kinds] or [None] * (len(network.sizes) - 1)
    return [network.sizes[0], *(_entry(size, kind) for size, kind in zip(network.sizes[1:], kinds, strict=True))]


def _entry(size: int, kind: object) -> object:
    if not isinstance(kind, dict):
        return size
    keys = {key: value for key, value in kind.items() if key != "name" and value is not None}
    return {"neurons": size, "kind": kind["name"], **keys}


def _inline(value: object) -> str:
    """A value in TOML, on one line."""
    if isinstance(value, list):
        return f"[{', '.join(_inline(each) for each in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_inline(each)}' for key, each in value.items())}}}"
    return json.dumps(value)
