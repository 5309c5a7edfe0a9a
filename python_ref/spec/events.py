"""The events through which a core shows its observables: five kinds, each with a packed payload.

:mod:`python_ref.spec.probes` defines what the values mean. This module defines how they are packed, for the hardware that shows
them, the simulation that records them, and the model that computes their signatures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from python_ref.spec.design import DesignSpec
from python_ref.spec.number import Fixed

__all__ = ["EVENTS", "POLYNOMIAL", "EventField", "event_fields"]

EVENTS = ("neuron", "cost", "step", "word", "learned")
"""Kinds of events. Bit i of the port ``probe_stb`` is the strobe of ``EVENTS[i]``; the port ``probe_`` + name has its
payload, valid in the cycle of the strobe."""

POLYNOMIAL = 0xEDB88320
"""Polynomial of the signatures, which is that of CRC-32 with its highest power in the lowest bit."""


@dataclass(frozen=True)
class EventField:
    """A field of an event's payload.
    Attributes
    ----------
    name : str
        Identifier of the quantity, such as ``"activation"``.
    width : int
        Width of an element, in bits.
    signed : bool
        Whether elements are in two's complement rather than unsigned.
    count : int
        Number of elements, which follow one another without gaps.
    per_lane : bool
        Whether there is an element for each lane.
    offset : int
        Lowest bit of the first element.
    """

    name: str
    width: int
    signed: bool = False
    count: int = 1
    per_lane: bool = False
    offset: int = 0


def _field(name: str, form: Fixed, lanes: int | None = None) -> EventField:
    return EventField(name, form.width, form.signed, lanes or 1, lanes is not None)


def _packed(fields: Iterable[EventField]) -> tuple[EventField, ...]:
    """Place fields one after the other without gaps, the first in the lowest bits."""
    placed, offset = [], 0
    for field in fields:
        placed.append(replace(field, offset=offset))
        offset += field.width * field.count
    return tuple(placed)


def event_fields(spec: DesignSpec) -> dict[str, tuple[EventField, ...]]:
    """Return the fields of a design's events.

    Returns
    -------
    dict of str to tuple of EventField
        neuron : once per neuron of every training pass, in order: pass number, pre-activation, activation.
        cost : once per training pass, after its last neuron: pass number, C.
        step : once per step, when C̃ is available: C̃, the counters that forward passes change, and the running signature of
        all passes and of C̃.
        word : once per word of every correlating pass, in order: the broadcast word, and for each lane its sign (−1, 0
        or 1), G before an update clears it, the optimiser's state, and θ; 0 for a lane without a neuron.
        learned : once per step, when its correlation and its update, if one is due, are written: the counters that these
        change, and the running signature of all word events.
    """
    lanes = spec.hardware.lanes
    word = [_field("broadcast", spec.broadcast_format), _field("sign", Fixed(True, 2, 0), lanes)]
    if not spec.direct_update:
        word.append(_field("gradient", spec.gradient_format, lanes))
    word += [_field(variable.name, variable.format, lanes) for variable in spec.optimizer_state]
    word.append(_field("parameter", spec.formats.weight, lanes))
    signature = (EventField("signature", 32),) if spec.hardware.signature else ()
    fields: dict[str, tuple[EventField, ...]] = {
        "neuron": (
            EventField("pass", 1),
            EventField("preactivation", spec.accumulator_width, True),
            _field("activation", spec.formats.activation),
        ),
        "cost": (EventField("pass", 1), _field("cost", spec.cost_format)),
        "step": (
            _field("cost_change", spec.cost_change_format),
            EventField("correct", 32),
            EventField("saturated_activation", 32),
            EventField("saturated_cost_change", 32),
            *signature,
        ),
        "word": tuple(word),
        "learned": (
            EventField("steps", 32),
            EventField("updates", 32),
            EventField("writes", 48),
            EventField("changed", 48),
            *(EventField(f"saturated_{kind}", 32) for kind in spec.shown_saturations if kind not in ("activation", "cost_change")),
            *signature,
        ),
    }
    return {event: _packed(row) for event, row in fields.items()}
