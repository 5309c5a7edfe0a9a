# amaranth: UnusedElaboratable=no
"""The array of lanes of weight perturbation in a network with state, which read their parameters in every frame."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In

from python_ref.spec.design import DesignSpec
from rtl_gen.array import MeasuringArray
from rtl_gen.lane import CorrelatingLane
from rtl_gen.presentation.lane import MultiplyAdd
from rtl_gen.probe import shape_of
from rtl_gen.series.weight_blocks import WeightOperands
from rtl_gen.slot import delayed, ends_pass, slot_layout

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


class FramedArray(MeasuringArray):
    """The array of lanes of a network with state.

    Parameters
    ----------
    spec : DesignSpec
        The design whose lanes are built.
    """

    def __init__(self, spec: DesignSpec):
        lanes = [FramedLane(spec) for _ in range(spec.hardware.lanes)]
        x, cycles = WeightOperands.shape(spec), WeightOperands.latency(spec)
        super().__init__(spec, lanes, {}, x=x, ahead=slot_layout(spec), operand_cycles=cycles)

    def data(self, m, slots):
        """Return the operand of the lanes, and whether their sums continue; see :class:`~rtl_gen.array.MeasuringArray`."""
        accumulates = delayed(m, ~slots[self.timing.accumulator - 2].first, 1, "accumulates", reset_less=False)
        return {"x": self.x, "accumulates": accumulates}, {}

    def _address(self, m, slot, name):
        """See :class:`~rtl_gen.array.CorrelatingArray`. It begins anew with each frame."""
        spec = self.spec
        address = Signal(range(max(2, spec.layout.words)), name=name)
        ends_frame = slot.last & slot.tail & (slot.layer == spec.network.framed - 1) & ~slot.final
        with m.If(slot.real):
            m.d.sync += address.eq(Mux(ends_frame | ends_pass(spec, slot), 0, address + 1))
        return address
