"""Layouts of the events by which a core exposes its internal values.

Co-simulation records the events. On a board their ports are unconnected, so that they cost no logic.
"""

from __future__ import annotations

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from python_ref.spec.events import event_fields
from python_ref.spec.learning import LearningSpec
from python_ref.spec.number import Fixed

__all__ = ["event_layouts", "event_tables", "shape_of"]


def shape_of(fixed: Fixed):
    """Amaranth shape of the raw integers of a format."""
    return signed(fixed.width) if fixed.signed else unsigned(fixed.width)


def event_layouts(spec: LearningSpec) -> dict[str, data.StructLayout]:
    """Payload layout of each kind of event of a design; fields with one value per lane are arrays."""
    layouts = {}
    for event, fields in event_fields(spec).items():
        shapes = {}
        for field in fields:
            element = signed(field.width) if field.signed else unsigned(field.width)
            shapes[field.name] = data.ArrayLayout(element, field.count) if field.per_lane else element
        layouts[event] = data.StructLayout(shapes)
    return layouts


def event_tables(spec: LearningSpec) -> dict[str, list[dict]]:
    """The layouts as plain tables for the manifest, with name, offset, width, signedness and count of each field."""
    shown = ("name", "offset", "width", "signed", "count")
    return {event: [{name: getattr(field, name) for name in shown} for field in fields] for event, fields in event_fields(spec).items()}
