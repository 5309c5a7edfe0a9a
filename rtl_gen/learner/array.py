# amaranth: UnusedElaboratable=no
"""The lane of a learner, which perturbs a quantity instead of multiplying by it, and the array of its control."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out

from python_ref.spec.learner import LearnerSpec
from rtl_gen.array import CorrelatingArray
from rtl_gen.fanout import connect_lanes
from rtl_gen.lane import CorrelatingLane
from rtl_gen.perturbation import DRAW_LATENCY
from rtl_gen.probe import shape_of
from rtl_gen.slot import pipeline, slot_layout

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
    """

    def __init__(self, spec: LearnerSpec):
        super().__init__(spec, {**{name: In(1) for name in self.SIGNS}, "value": Out(shape_of(spec.formats.weight))})

    def elaborate(self, platform):
        m = Module()
        self.learn(m)
        m.d.comb += self.value.eq(self.perturbed(m))
        return m


class LearnerArray(CorrelatingArray):
    """The lane of a learner with its control: addresses, strobes and signs in the right cycles, and the counts.

    Parameters
    ----------
    spec : LearnerSpec
        The learner whose quantities are in the lane.

    Members
    -------
    sent_slot : Out(slot_layout(spec))
        The slot whose word is valid.
    value : Out
        Raw word, θ + sΔ.
    """

    spec: LearnerSpec

    def __init__(self, spec: LearnerSpec):
        super().__init__(spec, [LearnerLane(spec)], {"sent_slot": Out(slot_layout(spec)), "value": Out(shape_of(spec.formats.weight))})

    @property
    def latency(self) -> int:
        """Cycles from ``slot`` to ``sent_slot``."""
        return self.timing.weight

    def elaborate(self, platform):
        m = Module()
        timing = self.timing
        slots = pipeline(m, self.slot, max(self.latency, timing.parameter + self.count_latency))
        m.submodules.lane0 = lane = self.lanes[0]
        m.d.comb += [
            self.live_slot.eq(slots[timing.parameter - DRAW_LATENCY]),
            self.sent_slot.eq(slots[self.latency]),
            self.value.eq(lane.value),
        ]
        shared, per_lane = self.memories(m, slots)
        connect_lanes(m, self.lanes, shared | self.broadcasts(m, slots), per_lane | self.signs(m, slots))
        self.count(m, slots)
        self.show(m, slots)
        return m
