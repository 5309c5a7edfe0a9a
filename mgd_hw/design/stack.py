"""Reader of ``network.layers``: the number of inputs, then each layer as a number of neurons, or as a table with its kind."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from mgd_hw.design.values import InvalidValue
from python_ref.spec.layers import DENSE, LAYER_KINDS, LayerKind
from python_ref.spec.network import MAX_LAYERS, MAX_NEURONS

__all__ = ["Stack", "layer_stack", "layers_reference"]

_REMEDY = "Give the number of inputs, then the neurons of each layer, such as [64, 32, 10]."


@dataclass(frozen=True)
class Stack:
    """Sizes and kinds of the layers of a network.

    Attributes
    ----------
    sizes : tuple of int
        Number of inputs, then the number of neurons of each layer.
    kinds : tuple of LayerKind
        Kind of each layer; empty if all are dense.
    """

    sizes: tuple[int, ...]
    kinds: tuple[LayerKind, ...] = ()


def layer_stack(value: object) -> Stack:
    """Read a list of the number of inputs and of each layer: its number of neurons, or a table of ``neurons``, ``kind`` and its keys."""
    if not isinstance(value, list) or not 2 <= len(value) <= MAX_LAYERS + 1:
        raise InvalidValue(f"it must be a list of 2 to {MAX_LAYERS + 1} whole numbers", _REMEDY)
    if isinstance(value[0], dict):
        raise InvalidValue("its first entry is the number of inputs, not a layer", _REMEDY)
    sizes, kinds = [_size(value[0])], list[LayerKind]()
    for number, entry in enumerate(value[1:], 1):
        table = entry if isinstance(entry, dict) else {"neurons": entry}
        if "neurons" not in table:
            raise InvalidValue(f"layer {number} does not give its neurons", 'Write {neurons = 32, kind = "dense"}, say.')
        sizes.append(_size(table["neurons"]))
        kinds.append(_kind(number, {key: given for key, given in table.items() if key != "neurons"}))
    return Stack(tuple(sizes), () if all(kind == DENSE for kind in kinds) else tuple(kinds))


def _size(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_NEURONS:
        raise InvalidValue(f"every size must be a whole number from 1 to {MAX_NEURONS}", _REMEDY)
    return value


def _kind(number: int, table: dict[str, object]) -> LayerKind:
    """Return the kind of a layer from its table without its neurons; the kind itself checks the values of its keys."""
    name = table.get("kind", DENSE.name)
    if not isinstance(name, str) or name not in LAYER_KINDS:
        near = difflib.get_close_matches(str(name), LAYER_KINDS, 1)
        listed = ", ".join(f'"{each}"' for each in LAYER_KINDS)
        raise InvalidValue(
            f"the kind of layer {number}, {name!r}, must be one of {listed}",
            f'Did you mean "{near[0]}"?' if near else "Write one of these.",
        )
    kind = LAYER_KINDS[name]
    keys = {key: value for key, value in table.items() if key != "kind"}
    for key in keys:
        if key not in kind.parameters():
            listed = ", ".join(("neurons", "kind", *kind.parameters()))
            raise InvalidValue(f"layer {number} has {key!r}, which a {name} layer does not have", f"A {name} layer has {listed}.")
    for key in kind.required():
        if key not in keys:
            raise InvalidValue(f"layer {number}, a {name} layer, does not give {key}", f"Add {key} to its table.")
    return kind(**keys)


def layers_reference() -> str:
    """Return the sentence of the reference page that lists the kinds of layers, their keys and their equations."""
    rows = []
    for name, kind in LAYER_KINDS.items():
        keys = f" with {', '.join(f'`{key}`' for key in kind.parameters())}" if kind.parameters() else ""
        rows.append(f'"{name}"{keys}: {kind.meaning}')
    return "; ".join(rows) + "."
