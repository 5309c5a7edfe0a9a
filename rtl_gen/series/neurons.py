"""The stream of evaluations that leave the lanes, with their perturbations added."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.fixed import plus_or_minus
from rtl_gen.gather import MAX_SHIFTED_LANES, Gather, leaving_count
from rtl_gen.presentation.layouts import is_unperturbed, sign_layout
from rtl_gen.series.frames import FrameCount, length_shape, output_base
from rtl_gen.series.layouts import evaluation_layout, in_tail, slot_layout
from rtl_gen.slot import active_lanes, by_layer, delayed, in_last_layer

__all__ = ["EvaluationStream"]


class EvaluationStream(wiring.Component):
    """Outputs one evaluation per cycle, with its perturbation added.

    It captures the accumulators of a finished group in one cycle and outputs them one by one, lane 0 first. It counts the frames of the
    pass, and with them the perturbed quantities.

    Members
    -------
    slot : In(slot_layout(spec))
        The slot whose product the accumulators include one cycle later.
    accumulators : In(unsigned)
        Accumulators of all lanes, lane 0's in the lowest bits.
    length, hold : In
        Numbers of frames of the pass, and of a segment.
    sign_index, sign : Out, In
        Number of a quantity, and its sign one cycle later.
    neuron, z : Out
        Fields of the neuron that is output, the first one of a group ``latency`` cycles after ``slot``, and its pre-activation.
    """

    latency = 5
    """Cycles from ``slot`` to the first neuron: one to qualify the slot, one to capture the accumulators, one to find the quantity, one to
    find its sign, one to add the perturbation."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        quantity = unsigned(max(1, (spec.quantities - 1).bit_length()))
        super().__init__(
            {
                "slot": In(slot_layout(spec)),
                "accumulators": In(unsigned(spec.hardware.lanes * spec.accumulator_width)),
                **{name: In(length_shape(spec)) for name in ("length", "hold")},
                "sign_index": Out(quantity),
                "sign": In(sign_layout()),
                "neuron": Out(evaluation_layout(spec)),
                "z": Out(signed(spec.accumulator_width)),
            }
        )

    carried: ClassVar[tuple[str, ...]] = ("minus", "bank", "layer", "initial", "final")
    """Names of the fields of a slot that its neurons have as well."""

    @property
    def _measures(self):
        """Whether the neurons of the slot leave the lanes."""
        return ~self.slot.apply

    @property
    def _held_frames(self):
        """Number of frames of a segment."""
        return self.hold

    def elaborate(self, platform):
        m = Module()
        spec, unrolled = self.spec, self.spec.unrolled
        frame, leaving, leaves, z_leaving = self._leave(m)
        tail = in_tail(spec, leaving.layer)
        behind = (unrolled.segments - 1) * unrolled.framed_neurons
        base = output_base(spec, ~is_unperturbed(leaving.bank), tail, frame.place, frame.odd)
        # Found one cycle after a neuron leaves, and then its sign.
        m.d.sync += self.sign_index.eq(Mux(tail, behind, frame.segment) + leaving.index)
        placed = Signal.like(leaving, name="placed")
        m.d.sync += [*(placed[name].eq(leaving[name]) for name in leaving.shape().members if name != "place")]
        m.d.sync += [placed.place.eq(base + leaving.index), placed.valid.eq(leaves)]
        signed_neuron, z = delayed(m, placed, 1, "signed", reset_less=False), delayed(m, z_leaving, 2, "z_signed")
        m.d.sync += [self.neuron.eq(signed_neuron), self.z.eq(self._perturbed(z, signed_neuron))]
        return m

    def _leave(self, m):
        """What depends on the frame of the neuron that leaves the lanes, its fields but its place, whether there is one, and its
        pre-activation."""
        spec, slot = self.spec, delayed(m, self.slot, 1, "slot")
        width, lanes, take = spec.accumulator_width, spec.hardware.lanes, Signal()
        gather = Gather(width, lanes) if lanes > MAX_SHIFTED_LANES else None
        waiting = [] if gather else [Signal(signed(width), name=f"waiting{lane}", reset_less=True) for lane in range(lanes)]
        occupied, opens, others, ends = Signal(len(waiting)), Signal(), Signal(), Signal()
        held = Signal(evaluation_layout(spec), name="held", reset_less=True)
        leaving = Signal.like(held, name="leaving")
        m.submodules.frames = frames = FrameCount(spec)
        leaves, more = leaving_count(m, take, lanes, active_lanes(spec, slot)) if gather else (occupied[0], occupied[1:2].any())
        m.d.comb += [
            others.eq(more),
            *(frames.begin.eq(take & opens & slot.initial), frames.advance.eq(take & opens & ~slot.initial)),
            *(frames.length.eq(self.length), frames.hold.eq(self._held_frames)),
            *(leaving.eq(held), leaving.last.eq(~others & ends)),
        ]
        m.d.sync += [
            take.eq(self.slot.last & self._measures),
            *(occupied.eq(occupied >> 1), *(value.eq(following) for value, following in pairwise(waiting))),
        ]
        with m.If(leaves):
            m.d.sync += held.index.eq(held.index + 1)
        with m.If(take):
            m.d.sync += [
                *(value.eq(self.accumulators.word_select(lane, width)) for lane, value in enumerate(waiting)),
                occupied.eq(Cat(active_lanes(spec, slot) > lane for lane in range(lanes))),
                *(held[name].eq(slot[name]) for name in self.carried),
                ends.eq(slot.tail & in_last_layer(spec, slot) & slot.final),
                opens.eq(0),
            ]
            with m.If(opens):
                m.d.sync += held.index.eq(0)
        with m.If(self.slot.begin & self._measures):
            m.d.sync += opens.eq(1)
        if gather:
            m.submodules.gather = gather
            m.d.comb += [
                gather.comes.eq(self.slot.last & self._measures),
                gather.accumulators.eq(self.accumulators),
            ]
        return frames.o, leaving, leaves, gather.o if gather else waiting[0]

    def _perturbed(self, z, neuron):
        """z + sΔ, or z − sΔ, or z itself in the unperturbed pass."""
        spec = self.spec
        fractions = [spec.preactivation_format(n).fraction_bits for n in range(len(spec.network.layers))]
        amounts = [spec.amplitude_raw(fraction) for fraction in fractions]
        delta = Cat(by_layer(amounts, neuron.layer), Const(0, 1)).as_signed()
        return plus_or_minus(z, delta, self.sign.negative ^ neuron.minus, self.sign.active & ~is_unperturbed(neuron.bank))
