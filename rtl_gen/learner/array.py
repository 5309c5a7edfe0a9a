# amaranth: UnusedElaboratable=no
"""The lane of a learner, which perturbs a quantity instead of multiplying by it, and the array of its lanes."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from python_ref.spec.learner import LearnerSpec
from rtl_gen.array import CorrelatingArray
from rtl_gen.fanout import connect_lanes
from rtl_gen.fixed import plus_or_minus
from rtl_gen.lane import CorrelatingLane
from rtl_gen.perturbation import DRAW_LATENCY
from rtl_gen.probe import shape_of
from rtl_gen.slot import delayed, pipeline, slot_layout

__all__ = ["LearnerArray", "LearnerLane"]


class LearnerLane(CorrelatingLane):
    """The lane of a learner.

    Parameters
    ----------
    spec : LearnerSpec
        The learner whose quantities are in the lane.

    Members
    -------
    value : Out
        Raw θ + sΔ at cycle ``weight``.
    error : Out
        Raw update of θ before its limits, 0 where nothing is updated, at cycle ``parameter``; only with node currents.
    """

    def __init__(self, spec: LearnerSpec):
        errors = {"error": Out(shape_of(spec.node_error_format))} if spec.sends_errors else {}
        super().__init__(spec, {**{name: In(1) for name in self.SIGNS}, "value": Out(shape_of(spec.formats.weight)), **errors})

    def elaborate(self, platform):
        m = Module()
        self.learn(m)
        m.d.comb += self.value.eq(self.perturbed(m))
        return m

    def note_update(self, m, u, minus, active):
        """See :class:`~rtl_gen.lane.BaseLane`: the update of a node current is the error of the node."""
        if self.spec.sends_errors:
            # θ + u or θ − u follows; the error is what θ loses, so that its sign is the other one.
            error = plus_or_minus(Const(0, signed(1)), u, ~minus, active)
            m.d.comb += self.error.eq(delayed(m, error, 2, "error"))


class LearnerArray(CorrelatingArray):
    """The lanes of a learner with their control: addresses, strobes and signs in the right cycles, and the counts.

    Every quantity has a random word of its own, so that each lane of several gets its own rounding.

    Parameters
    ----------
    spec : LearnerSpec
        The learner whose quantities are in the lanes.

    Members
    -------
    sent_slot : Out(slot_layout(spec))
        The slot whose words are valid.
    value : Out
        Raw words, θ + sΔ, of all lanes; lane 0's is lowest.
    errors : Out
        Raw errors of all lanes, likewise; only with node currents.
    """

    spec: LearnerSpec

    def __init__(self, spec: LearnerSpec):
        lanes = spec.hardware.lanes
        value = shape_of(spec.formats.weight) if lanes == 1 else data.ArrayLayout(shape_of(spec.formats.weight), lanes)
        ports = {"sent_slot": Out(slot_layout(spec)), "value": Out(value)}
        if spec.sends_errors:
            ports["errors"] = Out(data.ArrayLayout(shape_of(spec.node_error_format), lanes))
        super().__init__(spec, [LearnerLane(spec) for _ in range(lanes)], ports)

    @property
    def latency(self) -> int:
        """Cycles from ``slot`` to ``sent_slot``."""
        return self.timing.weight

    def elaborate(self, platform):
        m = Module()
        timing = self.timing
        slots = pipeline(m, self.slot, max(self.latency, timing.parameter + self.count_latency))
        for number, lane in enumerate(self.lanes):
            m.submodules[f"lane{number}"] = lane
        m.d.comb += [
            self.live_slot.eq(slots[timing.parameter - DRAW_LATENCY]),
            self.sent_slot.eq(slots[self.latency]),
            self.value.eq(self.lanes[0].value) if len(self.lanes) == 1 else self.value.eq(Cat(lane.value for lane in self.lanes)),
        ]
        if self.spec.sends_errors:
            later = self.latency - timing.parameter
            m.d.comb += self.errors.eq(Cat(delayed(m, lane.error, later, f"error{n}") for n, lane in enumerate(self.lanes)))
        shared, per_lane = self.memories(m, slots)
        connect_lanes(m, self.lanes, shared | self.broadcasts(m, slots), per_lane | self.signs(m, slots) | self._roundings(m, slots))
        self.count(m, slots)
        self.show(m, slots)
        return m

    # -- Each lane of several has its own rounding ----------------------------------------------------------------------

    def roundings(self, spec):
        """See :class:`~rtl_gen.array.CorrelatingArray`."""
        return spec.hardware.lanes

    def broadcast_shape(self, spec):
        """See :class:`~rtl_gen.array.CorrelatingArray`: a direct update has a value for each lane."""
        if spec.hardware.lanes == 1 or not spec.direct_update:
            return super().broadcast_shape(spec)
        return spec.hardware.lanes * spec.broadcast_format.width

    def _each(self, values, width: int) -> list:
        """The values of the lanes, each of some bits, in a vector with lane 0's lowest."""
        return [values[width * lane : width * (lane + 1)] for lane in range(len(self.lanes))]

    def broadcasts(self, m, slots):
        """See :class:`~rtl_gen.array.CorrelatingArray`: what all lanes share."""
        shared = super().broadcasts(m, slots)
        if len(self.lanes) > 1:
            own = ("u", *self.timing.noise)
            self._own = {name: value for name, value in shared.items() if name in own}
            shared = {name: value for name, value in shared.items() if name not in own}
        return shared

    def _roundings(self, m, slots):
        """The updates, or the rounding noise, that each lane of several has of its own; to be called after :meth:`broadcasts`."""
        if len(self.lanes) == 1:
            return {}
        return {name: self._each(value, self.spec.broadcast_format.width if name == "u" else self.spec.stochastic_bits)
                for name, value in self._own.items()}  # fmt: skip

    def update_flags(self, m, updated, outside, mask):
        """See :class:`~rtl_gen.array.CorrelatingArray`: each lane of several has a flag of its own."""
        return super().update_flags(m, updated, outside, mask) if len(self.lanes) == 1 else (outside & mask, updated)

    def show_broadcast(self, m, event, broadcast, mask):
        """See :class:`~rtl_gen.array.CorrelatingArray`: 0 for a lane without a quantity."""
        if len(self.lanes) == 1:
            m.d.comb += event.broadcast.eq(broadcast)
            return
        each = self._each(broadcast, self.spec.broadcast_format.width) if self.spec.direct_update else [broadcast] * len(self.lanes)
        for number, value in enumerate(each):
            m.d.comb += event.broadcast[number].eq(Mux(mask[number], value.as_signed(), 0))

    def shown_of(self, lane):
        """See :class:`~rtl_gen.array.CorrelatingArray`: the error of a node current."""
        return {"error": lane.error} if self.spec.sends_errors else {}
