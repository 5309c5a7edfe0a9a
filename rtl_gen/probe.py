"""What a core shows of itself: five kinds of events, each a strobe and a packed payload.

The payloads are what co-simulation records; :mod:`python_ref.spec.probes` says what they mean. On a board the ports are
left open and cost nothing.
"""

from __future__ import annotations

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from python_ref.spec.design import DesignSpec
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import Momentum

__all__ = ["EVENTS", "event_layouts", "event_tables", "shape_of"]

EVENTS = ("neuron", "cost", "step", "word", "learned")
"""The kinds of events; bit i of the port ``probe_stb`` is the strobe of ``EVENTS[i]``, whose payload is port
``probe_`` + name, valid in the cycle of its strobe."""


def shape_of(fixed: Fixed):
    """The Amaranth shape of a raw integer of a format."""
    return signed(fixed.width) if fixed.signed else unsigned(fixed.width)


def event_layouts(spec: DesignSpec) -> dict[str, data.StructLayout]:
    """Payload layouts of a design's events.

    Returns
    -------
    dict of str to StructLayout
        neuron : once per neuron of every training pass, in order: pass number, pre-activation, activation.
        cost : once per training pass, after its last neuron: pass number, C.
        step : once per step, when C̃ is known: C̃ and the counters that forward passes move.
        word : once per word of every correlating pass, in order: what was broadcast, and for each lane its sign (−1, 0
        or 1), G before an update clears it, m, and θ.
        learned : once per step, when its correlation, and update if due, is written: the counters these move.
    """
    lanes, count = spec.hardware.lanes, unsigned(48)
    word = {
        "broadcast": shape_of(spec.update_format if spec.plain else spec.gradient_format),
        "sign": data.ArrayLayout(signed(2), lanes),
    }
    if not spec.plain:
        word["gradient"] = data.ArrayLayout(shape_of(spec.gradient_format), lanes)
    if isinstance(spec.optimizer, Momentum):
        word["momentum"] = data.ArrayLayout(shape_of(spec.momentum_format), lanes)
    word["parameter"] = data.ArrayLayout(shape_of(spec.formats.weight), lanes)
    return {
        "neuron": data.StructLayout(
            {"pass": unsigned(1), "preactivation": signed(spec.accumulator_width), "activation": shape_of(spec.formats.activation)}
        ),
        "cost": data.StructLayout({"pass": unsigned(1), "cost": shape_of(spec.cost_format)}),
        "step": data.StructLayout(
            {
                "cost_change": shape_of(spec.cost_change_format),
                "correct": unsigned(32),
                "saturated_activation": unsigned(32),
                "saturated_cost_change": unsigned(32),
            }
        ),
        "word": data.StructLayout(word),
        "learned": data.StructLayout(
            {
                "steps": unsigned(32),
                "updates": unsigned(32),
                "writes": count,
                "changed": count,
                **{f"saturated_{kind}": unsigned(32) for kind in ("broadcast", "gradient", "momentum", "update", "weight")},
            }
        ),
    }


def event_tables(spec: DesignSpec) -> dict[str, list[dict]]:
    """The layouts as plain tables for a manifest: name, offset, width, signed, count of each field."""
    tables: dict[str, list[dict]] = {}
    for event, layout in event_layouts(spec).items():
        rows = []
        for name, placed in layout:
            inner = placed.shape
            element, count = (inner.elem_shape, inner.length) if isinstance(inner, data.ArrayLayout) else (inner, 1)
            rows.append({"name": name, "offset": placed.offset, "width": element.width, "signed": element.signed, "count": count})
        tables[event] = rows
    return tables
