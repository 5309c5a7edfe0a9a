"""The events in which a core shows its observables: five kinds, each a packed payload.

:mod:`python_ref.spec.probes` says what the values mean; this page says how they are packed, for the hardware that shows
them, the simulation that records them, and the model that computes their signatures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from python_ref.spec.design import DesignSpec
from python_ref.spec.number import Fixed

__all__ = ["EVENTS", "POLYNOMIAL", "EventField", "cost_fields", "event_fields"]

EVENTS = ("neuron", "cost", "step", "word", "learned")
"""The kinds of events; bit i of the port ``probe_stb`` is the strobe of ``EVENTS[i]``, whose payload is port
``probe_`` + name, valid in the cycle of its strobe."""

POLYNOMIAL = 0xEDB88320
"""Of the signatures: that of CRC-32, its highest power in the lowest bit."""


@dataclass(frozen=True)
class EventField:
    """A field of a payload.

    Attributes
    ----------
    name : str
        Identifier of the quantity, such as ``"activation"``.
    width : int
        Bits of an element.
    signed : bool
        Whether elements are two's complement numbers; else unsigned.
    count : int
        Elements, one after the other; with more than one, one for each lane.
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


def _of(name: str, form: Fixed, lanes: int | None = None) -> EventField:
    return EventField(name, form.width, form.signed, lanes or 1, lanes is not None)


def _packed(fields: Iterable[EventField]) -> tuple[EventField, ...]:
    """Fields one after the other without gaps, the first in the lowest bits."""
    placed, offset = [], 0
    for field in fields:
        placed.append(replace(field, offset=offset))
        offset += field.width * field.count
    return tuple(placed)


def event_fields(spec: DesignSpec) -> dict[str, tuple[EventField, ...]]:
    """Fields of a design's events.

    Returns
    -------
    dict of str to tuple of EventField
        neuron : once per neuron of every training pass, in order: pass number, pre-activation, activation.
        cost : once per training pass, after its last neuron: pass number, C.
        step : once per step, when C̃ is known: C̃, the counters that forward passes move, and the running signature of
        all neuron events and, after those of each step, of its costs.
        word : once per word of every correlating pass, in order: what was broadcast, and for each lane its sign (−1, 0
        or 1), G before an update clears it, the optimiser's state, and θ; 0 for a lane without a neuron.
        learned : once per step, when its correlation, and update if due, is written: the counters these move, and the
        running signature of all word events.
    """
    lanes = spec.hardware.lanes
    word = [_of("broadcast", spec.broadcast_format), _of("sign", Fixed(True, 2, 0), lanes)]
    if not spec.direct_update:
        word.append(_of("gradient", spec.gradient_format, lanes))
    word += [_of(variable.name, variable.format, lanes) for variable in spec.optimizer_state]
    word.append(_of("parameter", spec.formats.weight, lanes))
    signature = (EventField("signature", 32),) if spec.hardware.signature else ()
    fields: dict[str, tuple[EventField, ...]] = {
        "neuron": (
            EventField("pass", 1),
            EventField("preactivation", spec.accumulator_width, True),
            _of("activation", spec.formats.activation),
        ),
        "cost": (EventField("pass", 1), _of("cost", spec.cost_format)),
        "step": (
            _of("cost_change", spec.cost_change_format),
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


def cost_fields(spec: DesignSpec) -> tuple[EventField, ...]:
    """What the forward signature takes of a step besides its neurons: C of pass 0 and 1, and C̃, packed like a payload."""
    formats = {"cost0": spec.cost_format, "cost1": spec.cost_format, "cost_change": spec.cost_change_format}
    return _packed(_of(name, form) for name, form in formats.items())
