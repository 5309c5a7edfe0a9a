"""Operands of the lanes: the frames of samples from the host, and outputs of the unperturbed pass and of a probe."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.fanout import read_latency
from rtl_gen.operands import SampleLoader, sample_stores
from rtl_gen.presentation.arithmetic import alignment, operand_shape
from rtl_gen.presentation.layouts import is_unperturbed
from rtl_gen.presentation.operands import gathered, multiple, sample_memories
from rtl_gen.probe import shape_of
from rtl_gen.series.frames import frame_layout, length_shape, output_base, stored_outputs
from rtl_gen.series.layouts import evaluation_layout, in_tail, is_probe, operand_outputs_format, slot_layout, stored_format
from rtl_gen.series.readout import sums, sums_range
from rtl_gen.slot import NO_READ_WRITE_CHECK, by_layer, delayed, in_last_layer

__all__ = ["SeriesOperands"]


class _ReadPort:
    """Address and data of a memory that shares its read port, as a read port has them."""

    def __init__(self, addresses, shape):
        self.addr, self.data = Signal(addresses, name="shared_address"), Signal(shape, name="shared_data")


class SeriesOperands(wiring.Component):
    """The memories of inputs, outputs and targets, with the reads of operands from them.

    The operands of a layer are aligned to their common binary point, in an applying pass to that of all layers. A bias multiplies the
    constant 1. In the first frame, the outputs of the frame before are 0. Where there is no operand, ``x`` is 0.

    Parameters
    ----------
    spec : DesignSpec
        The design whose operands are stored.

    Members
    -------
    sample : In(stream.Signature(spec.sample_width))
        Stream of samples, as for :class:`~rtl_gen.operands.SampleLoader`.
    take, discard, available : In(1), In(1), Out(1)
        Control of the sample buffers, as for :class:`~rtl_gen.operands.SampleLoader`.
    length : Out
        Number of frames of the current sample, three cycles after ``take``.
    slot, ahead : In(slot_layout(spec))
        A slot, and the slot that comes a cycle later.
    frame : In(frame_layout(spec))
        What depends on the frame of the slot ahead; valid for all slots of a group but the last one.
    x : Out(shape(spec))
        Raw operand of ``slot``, ``latency`` cycles later.
    sum_address, sum : Out, In
        Address of a sum of outputs, and the sum one cycle later; only where the outputs of the last framed layer are summed.
    neuron, y : In
        A neuron, and its raw output to be written.
    target_neuron, target : In, Out
        A neuron, and its raw target one cycle later.
    """

    @staticmethod
    def shape(spec: DesignSpec):
        """Shape of an operand."""
        return operand_shape(spec)

    @staticmethod
    def latency(spec: DesignSpec) -> int:
        """Cycles from a slot to its operand: those of a memory read, one to select the operand, and one to register it."""
        return read_latency(spec.hardware.lanes) + 2

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        slot, neuron = slot_layout(spec), evaluation_layout(spec)
        total = {}
        if sums(spec):
            total = {"sum_address": Out(sums_range(spec)), "sum": In(shape_of(spec.passed_format(spec.network.framed - 1)))}
        super().__init__(
            {
                "sample": In(stream.Signature(spec.sample_width)),
                "take": In(1),
                "discard": In(1),
                "available": Out(1),
                "length": Out(length_shape(spec)),
                "slot": In(slot),
                "ahead": In(slot),
                "frame": In(frame_layout(spec)),
                "x": Out(self.shape(spec)),
                **total,
                "neuron": In(neuron),
                "y": In(shape_of(stored_format(spec))),
                "target_neuron": In(neuron),
                "target": Out(shape_of(spec.formats.activation)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.loader = loader = SampleLoader(self.spec)
        wiring.connect(m, wiring.flipped(self.sample), loader.sample)
        m.d.comb += [
            loader.take.eq(self.take),
            loader.discard.eq(self.discard),
            self.available.eq(loader.available),
        ]
        inputs, targets = self._samples(m, loader)
        self._find_length(m, loader)
        self._fetch(m, inputs, loader.buffer)
        self._target(m, targets, loader.buffer)
        return m

    def _samples(self, m, loader):
        """Read ports of the inputs and of the targets. A layer that reads inputs has left the lanes before the outputs of a layer behind it
        come, so that one memory with one read port stores both; a single layer's outputs come while it reads."""
        spec = self.spec
        if "samples" not in sample_stores(spec):
            return sample_memories(m, spec, loader)
        depth, width = sample_stores(spec)["samples"]
        words = depth - spec.sample_buffers * spec.network.n_out
        m.submodules.samples = store = memory.Memory(shape=width, depth=depth, init=[], attrs=NO_READ_WRITE_CHECK)
        write, read = store.write_port(), store.read_port()
        m.d.sync += [
            *(write.addr.eq(Mux(loader.target_en, words, 0) + loader.address), write.data.eq(loader.data)),
            write.en.eq(loader.input_en | loader.target_en),
        ]
        inputs = _ReadPort(range(depth), shape_of(spec.formats.input))
        targets = _ReadPort(range(spec.sample_buffers * spec.network.n_out), shape_of(spec.formats.activation))
        m.d.comb += [
            read.addr.eq(Mux(self._reads_target, words + targets.addr, inputs.addr)),
            *(port.data.eq(read.data[: len(port.data)]) for port in (inputs, targets)),
        ]
        return inputs, targets

    @property
    def _reads_target(self):
        """The target of an output is read, whose neuron has come."""
        return self.target_neuron.valid & in_last_layer(self.spec, self.target_neuron) & self.target_neuron.final

    def _find_length(self, m, loader):
        """Keep the lengths of the samples, each of which comes before the inputs of its sample; one that is none is taken for T."""
        spec, frames = self.spec, self.spec.network.frames
        if spec.network.record_inputs == spec.network.n_in:
            m.d.comb += self.length.eq(frames)
            return
        lengths = [Signal.like(self.length, name=f"length{buffer}") for buffer in range(spec.sample_buffers)]
        is_length = (loader.data != 0) & (loader.data <= frames)
        for buffer, length in enumerate(lengths):
            with m.If(loader.input_en & (loader.address == buffer * spec.network.record_inputs)):
                m.d.sync += length.eq(Mux(is_length, loader.data, frames))
        m.d.sync += self.length.eq(Array(lengths)[loader.buffer])

    def _outputs(self, m):
        """Read port of the memory of outputs, whose write port is connected."""
        spec, neuron = self.spec, self.neuron
        m.submodules.outputs = store = memory.Memory(
            shape=shape_of(operand_outputs_format(spec)), depth=max(2, stored_outputs(spec)), init=[], attrs=NO_READ_WRITE_CHECK
        )
        write = store.write_port()
        # Nothing reads the outputs of the network, unless they are those of a recurrent layer.
        stored = ~(in_last_layer(spec, neuron) & in_tail(spec, neuron.layer))
        m.d.comb += [write.addr.eq(neuron.place), write.data.eq(self.y), write.en.eq(neuron.valid & stored)]
        return store.read_port()

    def _fetch(self, m, inputs, buffer):
        """Read the operand of a slot, and align it."""
        spec, slot, ahead, frame = self.spec, self.slot, self.ahead, self.frame
        network, layers = spec.network, range(len(spec.network.layers))
        outputs, behind = self._outputs(m), read_latency(spec.hardware.lanes) - 1
        address = Signal(range(max(2, spec.sample_buffers * network.record_inputs, stored_outputs(spec))), reset_less=True)
        base, probes = Signal.like(address), is_probe(spec, ahead)
        starts = [sum(network.sizes[1 : 1 + layer]) for layer in layers]
        of_inputs = multiple(network.record_inputs, buffer, spec.sample_buffers) + frame.given
        # A layer of the tail reads another one of the tail, or the last frame.
        reads_tail = by_layer([int(layer > network.framed) for layer in layers], ahead.layer)
        of_outputs = output_base(spec, probes, reads_tail, frame.place, frame.odd) + by_layer([0, *starts[:-1]], ahead.layer)
        before = output_base(spec, probes, Const(0, 1), frame.before, ~frame.odd) + by_layer(starts, ahead.layer)
        m.d.sync += base.eq(Mux(ahead.turns, before, Mux(ahead.layer == 0, of_inputs, of_outputs)))
        with m.If(slot.real):
            m.d.sync += address.eq(Mux(slot.first | slot.turns, base, address + 1))
        m.d.comb += [inputs.addr.eq(address), outputs.addr.eq(address)]

        weighs = ahead.real & ~ahead.first
        read = {
            "input": (delayed(m, inputs.data, behind, "input"), weighs & (ahead.layer == 0) & ~ahead.recurrent),
            "output": (delayed(m, outputs.data, behind, "output"), weighs & (ahead.layer != 0) & ~ahead.recurrent),
            "recurrent": (delayed(m, outputs.data, behind, "recurrent"), weighs & ahead.recurrent & ~ahead.initial),
            "one": (Const(1, 1), ahead.real & ahead.first),
        }
        if sums(spec) and network.framed < len(layers):
            summed = by_layer([int(layer == network.framed) for layer in layers], ahead.layer)
            place = Signal(sums_range(spec), reset_less=True)
            m.d.comb += self.sum_address.eq(place)
            with m.If(slot.real):
                m.d.sync += place.eq(Mux(slot.first, self._first_sum(slot), place + 1))
            data, when = read["output"]
            read |= {"output": (data, when & ~summed), "sum": (delayed(m, self.sum, behind, "sum"), when & summed)}
        terms = []
        for name, (data, when) in read.items():
            for places, where in self._places(name).items():
                chosen = Cat(self._serves(ahead, *each) for each in where).any()
                stage = delayed(m, when & chosen, 2 + behind, f"x_{name}{places}")
                terms.append((data << places, stage))
        selected = Signal(self.x.shape(), name="operand", reset_less=True)
        m.d.sync += [selected.eq(Cat(*gathered(m, terms, self.x.shape()))), self.x.eq(selected)]

    def _first_sum(self, slot):
        """Address of the first sum of outputs in the pass of a slot."""
        return Mux(is_unperturbed(slot.bank), 0, self.spec.network.sizes[self.spec.network.framed])

    def _serves(self, slot, layer: int, apply: int):
        """Whether a slot is of a layer, and of an applying pass or not."""
        return (slot.layer == layer) & (slot.apply == apply)

    @property
    def _alignments(self) -> list[tuple[int, list[int]]]:
        """Flags of passes, 1 of an applying one, each with the places by which operands of each layer are shifted more than the others."""
        return [(0, [0] * len(self.spec.network.layers)), (1, alignment(self.spec))]

    def _places(self, name: str) -> dict[int, list[tuple[int, int]]]:
        """Places by which operands of a kind are shifted left, each with the layers and the flags of applying passes for which it is so."""
        spec, found = self.spec, dict[int, list[tuple[int, int]]]()
        for layer in range(len(spec.network.layers)):
            forms = {
                "one": (True, 0),
                "input": (layer == 0, spec.formats.input.fraction_bits),
                "sum": (layer == spec.network.framed, spec.output_format(spec.network.framed - 1).fraction_bits),
                "recurrent": (spec.network.layers[layer].kind.recurrent, spec.output_format(layer).fraction_bits),
            }
            of_layer = layer != 0, spec.operand_formats(layer)[0][1].fraction_bits
            exists, fraction = forms.get(name, of_layer)
            for apply, more in self._alignments if exists else ():
                found.setdefault(spec.operand_format(layer).fraction_bits - fraction + more[layer], []).append((layer, apply))
        return found

    def _target(self, m, targets, buffer):
        """Read the target of an output, one cycle before the output is valid."""
        spec, neuron = self.spec, self.target_neuron
        n_out = spec.network.n_out
        index = Signal(range(max(2, n_out)))
        with m.If(self._reads_target):
            m.d.sync += index.eq(Mux(neuron.last, 0, index + 1))
        m.d.comb += [targets.addr.eq(multiple(n_out, buffer, spec.sample_buffers) + index), self.target.eq(targets.data)]
