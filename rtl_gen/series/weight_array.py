# amaranth: UnusedElaboratable=no
"""The array of lanes of weight perturbation in a network with state, which read their parameters in every frame."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.array import CorrelatingArray
from rtl_gen.fanout import connect_lanes
from rtl_gen.lane import CorrelatingLane
from rtl_gen.perturbation import DRAW_LATENCY
from rtl_gen.presentation.lane import MultiplyAdd
from rtl_gen.probe import shape_of
from rtl_gen.series.weight_blocks import WeightOperands
from rtl_gen.slot import delayed, ends_pass, pipeline, slot_layout

__all__ = ["FramedArray", "FramedLane"]


class FramedLane(CorrelatingLane):
    """One lane of weight perturbation in a network with state. A bias is multiplied by the 1 of its operand.

    Parameters
    ----------
    spec : DesignSpec
        The design whose lanes are built.

    Members
    -------
    accumulates : In(1)
        The sum continues, and does not start anew; valid one cycle before ``accumulator``.
    x : In
        Raw operand at cycle ``weight``.
    accumulator : Out(signed)
        Sum of the products, including the slot's from cycle ``accumulator`` on.
    """

    def __init__(self, spec: DesignSpec):
        super().__init__(spec, {**{name: In(1) for name in (*self.SIGNS, "accumulates")}, "x": In(WeightOperands.shape(spec))})

    def elaborate(self, platform):
        m = Module()
        self.learn(m)
        width = self.spec.accumulator_width
        m.submodules.mac = mac = MultiplyAdd(shape_of(self.spec.formats.weight), self.x.shape(), width, pipelined=self.timing.fanout > 0)
        assert mac.latency == self.timing.accumulator - self.timing.weight
        m.d.comb += [
            *(mac.a.eq(self.perturbed(m)), mac.b.eq(self.x)),
            mac.c.eq((mac.o & self.accumulates.replicate(width)).as_signed()),
            self.accumulator.eq(mac.o),
        ]
        return m


class FramedArray(CorrelatingArray):
    """The L lanes of a core, which work in lockstep, with the control that they share.

    Parameters
    ----------
    spec : DesignSpec
        The design whose lanes are built.

    Members
    -------
    slot_ahead : In(slot_layout(spec))
        The slot that follows on ``slot`` one cycle later.
    operand_slot, operand_ahead : Out(slot_layout(spec))
        The slot in the cycle in which its operand's address must be valid, and the slot that comes a cycle later.
    x : In
        Raw operand, ``SeriesOperands.latency`` cycles after ``operand_slot``.
    accumulator_slot : Out(slot_layout(spec))
        The slot whose product the accumulators include one cycle later.
    accumulators : Out(unsigned)
        Accumulators of all lanes, lane 0's in the lowest bits.
    """

    spec: DesignSpec

    def __init__(self, spec: DesignSpec):
        slot, count = slot_layout(spec), spec.hardware.lanes
        ports = {
            "slot_ahead": In(slot),
            "operand_slot": Out(slot),
            "operand_ahead": Out(slot),
            "x": In(WeightOperands.shape(spec)),
            "accumulator_slot": Out(slot),
            "accumulators": Out(unsigned(count * spec.accumulator_width)),
        }
        super().__init__(spec, [FramedLane(spec) for _ in range(count)], ports)

    @property
    def operand_latency(self) -> int:
        """Cycles from ``slot`` to ``operand_slot``."""
        return self.timing.weight - self.timing.fanout - WeightOperands.latency(self.spec)

    @property
    def latency(self) -> int:
        """Cycles from ``slot`` to ``accumulator_slot``."""
        return self.timing.accumulator - 1

    def elaborate(self, platform):
        m = Module()
        timing = self.timing
        slots = pipeline(m, self.slot, max(timing.accumulator, timing.parameter + self.count_latency))
        ahead = [self.slot_ahead, *slots]
        m.d.comb += [
            self.live_slot.eq(slots[timing.parameter - timing.fanout - DRAW_LATENCY]),
            *(self.operand_slot.eq(slots[self.operand_latency]), self.operand_ahead.eq(ahead[self.operand_latency])),
            self.accumulator_slot.eq(slots[self.latency]),
        ]
        for number, lane in enumerate(self.lanes):
            m.submodules[f"lane{number}"] = lane
        m.d.comb += self.accumulators.eq(Cat(lane.accumulator for lane in self.lanes))
        # Slots are indexed by the cycle in which shared signals arrive at the lanes.
        arriving = ahead if timing.fanout else slots
        shared, per_lane = self.memories(m, arriving)
        accumulates = delayed(m, ~arriving[timing.accumulator - 2].first, 1, "accumulates", reset_less=False)
        shared |= {"x": self.x, "accumulates": accumulates, **self.broadcasts(m, arriving)}
        connect_lanes(m, self.lanes, shared, per_lane | self.signs(m, arriving))
        self.count(m, slots)
        self.show(m, slots)
        return m

    def _address(self, m, slot, name):
        """See :class:`~rtl_gen.array.CorrelatingArray`. It begins anew with each frame."""
        spec = self.spec
        address = Signal(range(max(2, spec.layout.words)), name=name)
        ends_frame = slot.last & slot.tail & (slot.layer == spec.network.framed - 1) & ~slot.final
        with m.If(slot.real):
            m.d.sync += address.eq(Mux(ends_frame | ends_pass(spec, slot), 0, address + 1))
        return address
