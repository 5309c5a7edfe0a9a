"""The events through which a core shows its observables, each with a packed payload.

:mod:`python_ref.spec.probes` defines what the values mean. This module defines how they are packed, for the hardware that shows
them, the simulation that records them, and the model that computes their signatures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from python_ref.spec.design import DesignSpec, MachineKind
from python_ref.spec.error import unknown
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import FORWARD_KINDS, LearningSpec
from python_ref.spec.number import Fixed

__all__ = ["POLYNOMIAL", "UNSIGNED_FIELDS", "EventField", "event_fields", "event_kinds"]

POLYNOMIAL = 0xEDB88320
"""Polynomial of the signatures, which is that of CRC-32 with its highest power in the lowest bit."""


UNSIGNED_FIELDS = ("bank", "outside", "state_outside")
"""Last fields of a neuron in node perturbation, and in a network with state, which no signature covers."""


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


def event_kinds(spec: LearningSpec) -> tuple[str, ...]:
    """Return the kinds of events of a design.

    Bit i of the port ``probe_stb`` is the strobe of kind i; the port ``probe_`` + name has its payload, valid in the cycle of the strobe.
    """
    return tuple(event_fields(spec))


def event_fields(spec: LearningSpec) -> dict[str, tuple[EventField, ...]]:
    """Return the fields of a design's events, in the order of their kinds.

    Returns
    -------
    dict of str to tuple of EventField
        In both kinds of perturbation:

        neuron : once per neuron of every training pass, in order within the pass: pass number, pre-activation, activation.
        cost : once per training pass, after its last neuron, in the order of the passes: pass number, C.
        step : once per step, when C̃ is available: C̃, the counters that forward passes change, and the running forward signature.
        word : once per word of a pass that changes G or θ, in order, for each lane: G before an update clears it (unless the update is
        direct), the optimiser's state, and θ; 0 for a lane without a neuron.
        learned : once all words of such a pass are written: the counters that these change, and the running learned signature.

        In weight perturbation, such a pass follows every step, and a word begins with the broadcast word and each lane's sign (−1, 0 or 1).

        In node perturbation, it follows every presentation that ends. The event neuron has two more fields: the ``bank`` of its
        activations, which is 2 in the unperturbed pass, and in the probes of a presentation, and after a STOP, 0 and 1 in turn; and
        whether its activation was ``outside`` the range. Since the first layer of a probe may come among the later layers of the one
        before, a receiver sorts neurons by their bank, and counts saturations of activations itself. An incremental probe
        (:attr:`DesignSpec.incremental`) shows the perturbed neuron, in bank 1, unless it is an output, and in bank 0 the layers behind
        it, or the outputs.
        There are two more events:

        correlation : once per neuron and step, in order: s, or m of a stochastic neuron, and E after this step; in incremental probes of
        the perturbed neuron alone.
        error : once per neuron and presentation that ends, in order: err.

        In a network with state, the passes of a step do not overlap, so that a neuron has no bank. The event neuron comes once per
        evaluation, in the order of the evaluations of the sample's frames and then of the tail; it has the ``state`` after the frame, 0
        without one, behind the activation; and as its last field whether the cast or the sum of the state was outside the range,
        ``state_outside``. The events correlation and error come once per quantity, in order, but for those of segments of which the sample
        has no frame. The event word comes when a word is changed for the last time in the presentation.

        In weight perturbation of a network with state, the events are those of weight perturbation, but for the neuron: it comes as in node
        perturbation of such a network, with the fields that it has there, so that a receiver counts the saturations of activations and
        states itself.

        A learner has the events of weight perturbation, without activations. In the place of the neurons, there is

        presented : once per slot of a measured pass, in order: pass number, and for each lane the value that is sent. The broadcast of the
        event word is one for each lane as well. With the currents of nodes, it shows the error of each lane's quantity behind the sign.
    """
    match spec:
        case LearnerSpec():
            fields = _learner_fields(spec)
        case DesignSpec():
            fields = _FIELDS[spec.machine](spec)
        case _:
            raise unknown("Design", spec, "python_ref.spec.events.event_fields")
    return {event: _packed(row) for event, row in fields.items()}


def _correlated(spec: LearningSpec) -> tuple[EventField, ...]:
    """Return the fields of a word that is correlated with a broadcast."""
    lanes = spec.hardware.lanes
    each = _streams(spec) if isinstance(spec, LearnerSpec) else None  # a learner rounds the broadcast for each quantity
    errors = (_field("error", spec.node_error_format, lanes),) if isinstance(spec, LearnerSpec) and spec.sends_errors else ()
    return (_field("broadcast", spec.broadcast_format, each), _field("sign", Fixed(True, 2, 0), lanes), *errors, *_stored(spec))


def _streams(spec: LearnerSpec) -> int | None:
    """Return the number of lanes of a learner, or None with a single one, whose values are no array."""
    return spec.hardware.lanes if spec.hardware.lanes > 1 else None


def _learner_fields(spec: LearnerSpec) -> dict[str, tuple[EventField, ...]]:
    """Return the fields of the events of a learner, not yet placed."""
    number = EventField("pass", 1)
    return {
        "presented": (number, _field("value", spec.formats.weight, _streams(spec))),
        "cost": (number, _field("cost", spec.cost_format)),
        "step": (_field("cost_change", spec.cost_change_format), EventField("saturated_cost_change", 32), *_signature(spec)),
        "word": _correlated(spec),
        "learned": (EventField("steps", 32), *_learned_counters(spec)),
    }


def _weight_fields(spec: DesignSpec) -> dict[str, tuple[EventField, ...]]:
    """Return the fields of the events of weight perturbation, not yet placed."""
    number = EventField("pass", 1)
    return {
        "neuron": (number, *_neuron(spec)),
        "cost": (number, _field("cost", spec.cost_format)),
        "step": (_field("cost_change", spec.cost_change_format), *_forward_counters(spec)),
        "word": _correlated(spec),
        "learned": (EventField("steps", 32), *_learned_counters(spec)),
    }


def _node_fields(spec: DesignSpec) -> dict[str, tuple[EventField, ...]]:
    """Return the fields of the events of node perturbation, not yet placed; last are those of a neuron that signatures do not cover."""
    return _presented_fields(spec, (*_neuron(spec), EventField("bank", 2), EventField("outside", 1)))


def _evaluation(spec: DesignSpec) -> tuple[EventField, ...]:
    """Return the fields of a neuron of a network with state behind its pass number; last are those that signatures do not cover."""
    layers = range(len(spec.network.layers))
    states = [form for form in map(spec.state_format, layers) if form is not None]
    outputs = _any("activation", map(spec.output_format, layers))
    values = EventField("preactivation", spec.accumulator_width, True), outputs, _any("state", states)
    return *values, EventField("outside", 1), EventField("state_outside", 1)


def _series_fields(spec: DesignSpec) -> dict[str, tuple[EventField, ...]]:
    """Return the fields of the events of node perturbation of a network with state, not yet placed."""
    return _presented_fields(spec, _evaluation(spec))


def _series_weight_fields(spec: DesignSpec) -> dict[str, tuple[EventField, ...]]:
    """Return the fields of the events of weight perturbation of a network with state, not yet placed."""
    counters = (EventField(name, 32) for name in ("correct", "saturated_cost_change"))
    return {
        **_weight_fields(spec),
        "neuron": (EventField("pass", 1), *_evaluation(spec)),
        "step": (_field("cost_change", spec.cost_change_format), *counters, *_signature(spec)),
    }


def _any(name: str, forms: Iterable[Fixed]) -> EventField:
    """Return a field that holds the raw values of any of the formats."""
    found = list(forms)
    raw = Fixed.covering(min(form.min for form in found), max(form.max for form in found), 0)
    return EventField(name, raw.width, raw.signed)


def _presented_fields(spec: DesignSpec, neuron: tuple[EventField, ...]) -> dict[str, tuple[EventField, ...]]:
    """Return the fields of the events of presentations, with those of a neuron behind its pass number."""
    number = EventField("pass", (spec.passes - 1).bit_length())
    return {
        "neuron": (number, *neuron),
        "cost": (number, _field("cost", spec.cost_format)),
        "step": (
            _field("cost_change", spec.cost_change_format),
            *(EventField(name, 32) for name in ("steps", "correct", "saturated_cost_change")),
            *_signature(spec),
        ),
        "correlation": (_field("sign", spec.factor_format), _field("error_sum", spec.error_sum_format)),
        "error": (_field("error", spec.error_format),),
        "word": _stored(spec),
        "learned": _learned_counters(spec),
    }


_FIELDS = {
    MachineKind.WEIGHT: _weight_fields,
    MachineKind.NODE: _node_fields,
    MachineKind.SERIES: _series_fields,
    MachineKind.SERIES_WEIGHT: _series_weight_fields,
}
"""Fields of the events of each machine."""


def _neuron(spec: DesignSpec) -> tuple[EventField, ...]:
    outputs = [spec.output_format(layer) for layer in range(len(spec.network.layers))]
    return EventField("preactivation", spec.accumulator_width, True), _any("activation", outputs)


def _signature(spec: LearningSpec) -> tuple[EventField, ...]:
    return (EventField("signature", 32),) if spec.hardware.signature else ()


def _forward_counters(spec: DesignSpec) -> tuple[EventField, ...]:
    return (*(EventField(name, 32) for name in ("correct", "saturated_activation", "saturated_cost_change")), *_signature(spec))


def _learned_counters(spec: LearningSpec) -> tuple[EventField, ...]:
    counted = [kind for kind in spec.shown_saturations if kind not in FORWARD_KINDS]
    counters = (EventField("updates", 32), EventField("writes", 48), EventField("changed", 48))
    return (*counters, *(EventField(f"saturated_{kind}", 32) for kind in counted), *_signature(spec))


def _stored(spec: LearningSpec) -> tuple[EventField, ...]:
    """Return the fields of a word that every lane has in its memories, or would have in one for G."""
    lanes = spec.hardware.lanes
    gradient = () if spec.direct_update else (_field("gradient", spec.gradient_format, lanes),)
    state = (_field(variable.name, variable.format, lanes) for variable in spec.optimizer_state)
    return (*gradient, *state, _field("parameter", spec.formats.weight, lanes))
