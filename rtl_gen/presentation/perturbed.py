"""Where the neuron is that an incremental probe perturbs, in a network of several hidden layers."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.presentation.layouts import layer_of, neuron_layout
from rtl_gen.slot import by_layer

__all__ = ["PerturbedNeuron"]


class PerturbedNeuron(wiring.Component):
    """Finds the layer of the perturbed neuron, and its place within that layer.

    Members
    -------
    replay, index : In(1), In(unsigned)
        Strobe that begins the replay of a probe, and the number of the perturbed neuron, counted over all layers.
    layer : Out(unsigned)
        Number of its layer, valid with ``replay``.
    begin, column, place, moves : Out
        From the cycle after ``replay``, and thus until four cycles after the pass of the lanes has begun, when the next replay may begin:
        the layer in which the pass begins, the next one or that of the outputs; the number of the perturbed neuron, and that within its
        layer; and whether it is a hidden one. An output has number 0, since it changes no activation.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        neuron = neuron_layout(spec)
        layer, index, hidden = neuron["layer"].shape, neuron["index"].shape, range(max(2, spec.network.n_hidden))
        super().__init__(
            {
                "replay": In(1),
                "index": In(index),
                **{name: Out(layer) for name in ("layer", "begin")},
                **{name: Out(hidden) for name in ("column", "place")},
                "moves": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        sizes = self.spec.network.sizes[1:]
        last, starts = len(sizes) - 1, [sum(sizes[:number]) for number in range(len(sizes))]
        is_hidden = Signal()
        m.d.comb += [self.layer.eq(layer_of(self.spec, self.index)), is_hidden.eq(self.layer != last)]
        with m.If(self.replay):
            m.d.sync += [
                self.begin.eq(Mux(is_hidden, self.layer + 1, last)),
                self.column.eq(Mux(is_hidden, self.index, 0)),
                self.place.eq(Mux(is_hidden, self.index - by_layer(starts, self.layer), 0)),
                self.moves.eq(is_hidden),
            ]
        return m
