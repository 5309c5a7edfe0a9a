"""What the last framed layer passes on: the sum of its outputs over the frames."""

from __future__ import annotations

from amaranth.hdl import Module, Mux
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.network import Readout
from rtl_gen.presentation.layouts import is_unperturbed
from rtl_gen.probe import shape_of
from rtl_gen.series.layouts import evaluation_layout, stored_format
from rtl_gen.slot import NO_READ_WRITE_CHECK

__all__ = ["ReadoutSums", "sums", "sums_memory_bits", "sums_range"]


def sums(spec: DesignSpec) -> bool:
    """Whether the outputs of the last framed layer are summed."""
    return spec.network.readout is Readout.SUM


def _words(spec: DesignSpec) -> int:
    return (1 + spec.node) * spec.network.sizes[spec.network.framed]


def sums_range(spec: DesignSpec) -> range:
    """Return the range of an address of the memory of sums."""
    return range(max(2, _words(spec)))


def sums_memory_bits(spec: DesignSpec) -> int:
    """Return the number of bits in the memory of sums: a word for each neuron of the layer, in node perturbation one more for a probe."""
    return max(2, _words(spec)) * spec.passed_format(spec.network.framed - 1).width if sums(spec) else 0


class ReadoutSums(wiring.Component):
    """Sums the outputs of the last framed layer over the frames of a pass.

    Members
    -------
    coming : In(evaluation_layout(spec))
        Fields of a neuron, one cycle before its output.
    neuron, output : In
        Fields of a neuron, and its raw output.
    total : Out
        Raw sum of the outputs of the neuron so far, one cycle after its output.
    address, data : In, Out
        Number of a neuron within the layer, counted on in the probes of node perturbation behind those of the unperturbed pass; and its
        sum one cycle later.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        neuron = evaluation_layout(spec)
        total = shape_of(spec.passed_format(spec.network.framed - 1))
        super().__init__(
            {
                **{name: In(neuron) for name in ("coming", "neuron")},
                "output": In(shape_of(stored_format(spec))),
                "total": Out(total),
                "address": In(sums_range(spec)),
                "data": Out(total),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        number, size = spec.network.framed - 1, spec.network.sizes[spec.network.framed]
        first = spec.unrolled.framed_neurons - size
        m.submodules.totals = store = memory.Memory(
            shape=self.total.shape(), depth=max(2, _words(spec)), init=[], attrs=NO_READ_WRITE_CHECK
        )
        read, write = store.read_port(), store.write_port()

        def place(neuron):
            return neuron.index - first + (Mux(is_unperturbed(neuron.bank), 0, size) if spec.node else 0)

        # The sequencer waits for the last sum of a frame before the layer behind reads one.
        m.d.comb += [read.addr.eq(Mux(self.coming.valid & (self.coming.layer == number), place(self.coming), self.address))]
        own = self.neuron.valid & (self.neuron.layer == number)
        m.d.sync += [
            self.total.eq(Mux(self.neuron.initial, 0, read.data) + self.output),
            write.addr.eq(place(self.neuron)),
            write.en.eq(own),
        ]
        m.d.comb += write.data.eq(self.total)
        m.d.comb += self.data.eq(read.data)
        return m
