"""The layouts of the events in which a core shows what it computes.

Co-simulation records them; on a board the ports are left open and cost nothing.
"""

from __future__ import annotations

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from python_ref.spec.design import DesignSpec
from python_ref.spec.events import EVENTS, event_fields
from python_ref.spec.number import Fixed

__all__ = ["EVENTS", "event_layouts", "event_tables", "shape_of"]


def shape_of(fixed: Fixed):
    """The Amaranth shape of a raw integer of a format."""
    return signed(fixed.width) if fixed.signed else unsigned(fixed.width)


def event_layouts(spec: DesignSpec) -> dict[str, data.StructLayout]:
    """Payload layouts of a design's events, by kind; what is per lane is an array."""
    layouts = {}
    for event, fields in event_fields(spec).items():
        shapes = {}
        for field in fields:
            element = signed(field.width) if field.signed else unsigned(field.width)
            shapes[field.name] = data.ArrayLayout(element, field.count) if field.per_lane else element
        layouts[event] = data.StructLayout(shapes)
    return layouts


def event_tables(spec: DesignSpec) -> dict[str, list[dict]]:
    """The layouts as plain tables for a manifest: name, offset, width, signed, count of each field."""
    shown = ("name", "offset", "width", "signed", "count")
    return {event: [{name: getattr(field, name) for name in shown} for field in fields] for event, fields in event_fields(spec).items()}
