"""Operands and evaluations of weight perturbation in a network with state, whose passes follow one another."""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Const, Module, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.broadcast import operand_shape
from rtl_gen.series.frames import length_shape, output_base
from rtl_gen.series.layouts import evaluation_layout, in_tail, slot_layout
from rtl_gen.series.neurons import EvaluationStream
from rtl_gen.series.operands import SeriesOperands
from rtl_gen.slot import delayed

__all__ = ["WeightEvaluationStream", "WeightOperands"]


class WeightOperands(SeriesOperands):
    """The memories of inputs, outputs and targets, with the reads of operands from them; every pass keeps the outputs of two frames."""

    @staticmethod
    def shape(spec: DesignSpec):
        """See :class:`~rtl_gen.series.operands.SeriesOperands`."""
        found = operand_shape(spec)
        return signed(found.width + (not found.signed))

    def _first_sum(self, slot):
        return Const(0, 1)

    def _serves(self, slot, layer: int, apply: int):
        return slot.layer == layer

    @property
    def _alignments(self) -> list[tuple[int, list[int]]]:
        return [(0, [0] * len(self.spec.network.layers))]


class WeightEvaluationStream(EvaluationStream):
    """Outputs one evaluation per cycle, as it leaves the lanes: its pre-activation has the perturbations of its parameters.

    Members
    -------
    slot, accumulators, length, neuron, z :
        As in :class:`~rtl_gen.series.neurons.EvaluationStream`.
    """

    latency = 3
    """Cycles from ``slot`` to the first neuron: one to qualify the slot, one to capture the accumulators, one to place the output."""

    carried: ClassVar[tuple[str, ...]] = ("second", "layer", "initial", "final")

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        wiring.Component.__init__(
            self,
            {
                "slot": In(slot_layout(spec)),
                "accumulators": In(unsigned(spec.hardware.lanes * spec.accumulator_width)),
                "length": In(length_shape(spec)),
                "neuron": Out(evaluation_layout(spec)),
                "z": Out(signed(spec.accumulator_width)),
            },
        )

    @property
    def _measures(self):
        return self.slot.forward

    @property
    def _held_frames(self):
        return Const(self.spec.network.frames)

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        frame, leaving, leaves, z = self._leave(m)
        base = output_base(spec, Const(1, 1), in_tail(spec, leaving.layer), frame.place, frame.odd)
        placed = Signal.like(leaving, name="placed")
        m.d.sync += [*(placed[name].eq(leaving[name]) for name in leaving.shape().members if name != "place")]
        m.d.sync += [placed.place.eq(base + leaving.index), placed.valid.eq(leaves)]
        m.d.comb += [self.neuron.eq(placed), self.z.eq(delayed(m, z, 1, "z_placed"))]
        return m
