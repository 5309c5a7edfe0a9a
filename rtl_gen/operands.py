"""Operands of the layers: samples from the host, activations of the current pass and of the pass being correlated."""

from __future__ import annotations

from amaranth.hdl import Array, Const, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.activation import neuron_layout
from rtl_gen.broadcast import operand_shape
from rtl_gen.fanout import read_latency
from rtl_gen.probe import shape_of
from rtl_gen.slot import NO_READ_WRITE_CHECK, ahead_layout, by_layer, delayed, in_last_layer, slot_layout

__all__ = ["Operands", "SampleLoader"]


def _pick(values: list[int], index) -> Array:
    """A constant of ``values``, selected by ``index``."""
    width = max(1, max(values).bit_length())
    return Array([Const(value, width) for value in values])[index]


def _counted(m: Module, stb, second, count: int, name: str, *, last=None, alternating: bool):
    """Number of a neuron among the ``count`` of its pass, of which ``last`` marks the last one.

    With ``alternating``, the neurons of pass 0 and pass 1 are counted apart.
    """
    indices = [Signal(range(max(2, count)), name=f"{name}{number}") for number in range(1 + alternating)]
    for number, index in enumerate(indices):
        with m.If(stb & (second == number) if alternating else stb):
            m.d.sync += index.eq(Mux(index == count - 1 if last is None else last, 0, index + 1))
    return Mux(second, indices[1], indices[0]) if alternating else indices[0]


class SampleLoader(wiring.Component):
    """Writes the sample stream into free buffers, ahead of the current step.

    Parameters
    ----------
    spec : DesignSpec
        The design whose samples are loaded.

    Members
    -------
    sample : In(stream.Signature(spec.sample_width))
        Raw inputs of a sample, then its raw targets, one word per transfer.
    take : In(1)
        Strobe that makes the oldest full buffer the current one.
    discard : In(1)
        Strobe that drops all loaded samples that were not taken; never together with ``take``.
    available : Out(1)
        There is a full buffer to take.
    buffer : Out
        Number of the current sample's buffer.
    old_buffer : In
        Number of the buffer that is being correlated (node perturbation).
    input_en, target_en, address, data : Out
        Strobes, address and raw word of a write into the input memory or the target memory.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        buffers, n_in, n_out = spec.sample_buffers, spec.network.n_in, spec.network.n_out
        width = spec.sample_width
        super().__init__(
            {
                "sample": In(stream.Signature(width)),
                "take": In(1),
                "discard": In(1),
                "available": Out(1),
                "buffer": Out(range(buffers), init=buffers - 1),
                "old_buffer": In(range(buffers)),
                "input_en": Out(1),
                "target_en": Out(1),
                "address": Out(range(buffers * max(n_in, n_out))),
                "data": Out(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        buffers, n_in, n_out = spec.sample_buffers, spec.network.n_in, spec.network.n_out
        filling = Signal(range(buffers))
        full = Signal(range(buffers + 1))
        index = Signal(range(max(2, n_in, n_out)))
        targets, is_open = Signal(), Signal()
        ends = Signal(init=n_in == 1)  # the word is the last of the inputs, or of the targets

        def after(buffer):
            return Mux(buffer == buffers - 1, 0, buffer + 1)

        free = filling != self.buffer
        if spec.node:
            free = free & (filling != self.old_buffer)
        transfer = Signal()
        complete = Signal()
        bases = Mux(targets, _pick([b * n_out for b in range(buffers)], filling), _pick([b * n_in for b in range(buffers)], filling))
        # A free buffer stays free until it is full, or everything is discarded.
        m.d.sync += is_open.eq(free & (full < buffers - 1) & ~complete & ~self.discard)
        m.d.comb += [
            self.sample.ready.eq(is_open),
            transfer.eq(self.sample.valid & self.sample.ready),
            complete.eq(transfer & targets & ends),
            self.input_en.eq(transfer & ~targets),
            self.target_en.eq(transfer & targets),
            self.address.eq(bases + index),
            self.data.eq(self.sample.payload),
            self.available.eq(full != 0),
        ]
        with m.If(transfer):
            m.d.sync += [index.eq(index + 1), ends.eq(Mux(targets, index == n_out - 2, index == n_in - 2))]
            with m.If(ends):
                m.d.sync += [index.eq(0), targets.eq(~targets), ends.eq(Mux(targets, n_in == 1, n_out == 1))]
        with m.If(complete):
            m.d.sync += filling.eq(after(filling))
        with m.If(self.take):
            m.d.sync += self.buffer.eq(after(self.buffer))
        m.d.sync += full.eq(full + complete - self.take)
        with m.If(self.discard):
            m.d.sync += [index.eq(0), targets.eq(0), ends.eq(n_in == 1), filling.eq(after(self.buffer)), full.eq(0)]
        return m


class Operands(wiring.Component):
    """The memories of inputs, activations and targets, with the reads of operands from them.

    Parameters
    ----------
    spec : DesignSpec
        The design whose operands are stored.

    Members
    -------
    sample : In(stream.Signature(spec.sample_width))
        Stream of samples, as for :class:`SampleLoader`.
    take, discard, available : In(1), In(1), Out(1)
        Control of the sample buffers, as for :class:`SampleLoader`.
    old_buffer, old_bank : In
        Sample buffer and activation bank of the operands being correlated (node perturbation).
    two_passes : In(1)
        The step has two passes, which write to different banks.
    slot, ahead : In
        A slot, and the layer and pass of the slot that comes a cycle later.
    x : Out(operand_shape(spec))
        Raw operand of ``slot``, ``latency`` cycles later.
    old_slot, old_ahead : In
        The same for the pass being correlated (node perturbation).
    old_x : Out(operand_shape(spec))
        Raw operand of ``old_slot``, ``latency`` − 1 cycles later (node perturbation).
    neuron, y : In
        A neuron, and its raw activation to be written.
    target_neuron, target : In, Out
        A neuron, and its raw target one cycle later.
    buffer : Out
        Number of the current sample's buffer.
    """

    @staticmethod
    def latency(spec: DesignSpec) -> int:
        """Cycles from a slot to its operand: those of a memory read, and one to select the memory."""
        return read_latency(spec.hardware.lanes) + 1

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        operand = operand_shape(spec)
        slot, neuron = slot_layout(spec), neuron_layout(spec)
        ports = {
            "sample": In(stream.Signature(spec.sample_width)),
            "take": In(1),
            "discard": In(1),
            "available": Out(1),
            "buffer": Out(range(spec.sample_buffers)),
            "two_passes": In(1),
            "slot": In(slot),
            "ahead": In(ahead_layout(spec)),
            "x": Out(operand),
            "neuron": In(neuron),
            "y": In(shape_of(spec.formats.activation)),
            "target_neuron": In(neuron),
            "target": Out(shape_of(spec.formats.activation)),
            "old_buffer": In(range(spec.sample_buffers)),
            "old_bank": In(1),
        }
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        m.submodules.loader = loader = SampleLoader(spec)
        wiring.connect(m, wiring.flipped(self.sample), loader.sample)
        m.d.comb += [
            loader.take.eq(self.take),
            loader.discard.eq(self.discard),
            self.available.eq(loader.available),
            self.buffer.eq(loader.buffer),
            loader.old_buffer.eq(self.old_buffer),
        ]
        buffers = spec.sample_buffers
        m.submodules.inputs = inputs = memory.Memory(
            shape=shape_of(spec.formats.input), depth=max(2, buffers * spec.network.n_in), init=[], attrs=NO_READ_WRITE_CHECK
        )
        write = inputs.write_port()
        address, word = delayed(m, loader.address, 1, "loaded_address"), delayed(m, loader.data, 1, "loaded_word")
        m.d.comb += [write.addr.eq(address), write.data.eq(word), write.en.eq(delayed(m, loader.input_en, 1, "input_en", reset_less=False))]
        activations = self._activations(m)
        self._targets(m, address, word, delayed(m, loader.target_en, 1, "target_en", reset_less=False))

        data = self._fetch(m, "new", inputs, activations, self.slot, self.ahead, self.buffer, self._bank(self.ahead.second))
        m.d.sync += self.x.eq(data)
        return m

    def _bank(self, second):
        """Number of the activation bank that a pass writes and reads."""
        return second if self.spec.one_visit else Const(0)

    def _activations(self, m):
        """The memory of hidden activations with its write port connected; None without hidden layers."""
        spec = self.spec
        hidden = spec.network.n_hidden
        if not hidden:
            return None
        banks = 2 if spec.one_visit else 1
        m.submodules.activations = store = memory.Memory(
            shape=shape_of(spec.formats.activation), depth=max(2, banks * hidden), init=[], attrs=NO_READ_WRITE_CHECK
        )
        write = store.write_port()
        is_hidden = self.neuron.valid & ~in_last_layer(spec, self.neuron)
        index = _counted(m, is_hidden, self.neuron.second, hidden, "hidden", alternating=spec.one_visit)
        m.d.comb += [
            write.addr.eq(index + Mux(self._bank(self.neuron.second), hidden, 0)),
            write.data.eq(self.y),
            write.en.eq(is_hidden),
        ]
        return store

    def _fetch(self, m, name, inputs, activations, slot, ahead, buffer, bank):
        """Operand of a slot, one cycle before it is registered in the output."""
        spec, behind = self.spec, read_latency(self.spec.hardware.lanes) - 1
        n_in, hidden = spec.network.n_in, spec.network.n_hidden
        address = Signal(range(max(2, spec.sample_buffers * n_in, 2 * hidden)), name=f"{name}_address")
        offsets = [0, *(sum(spec.network.sizes[1:layer]) for layer in range(1, len(spec.network.layers)))]
        base = Signal.like(address, name=f"{name}_base")
        m.d.sync += base.eq(
            Mux(
                ahead.layer == 0,
                _pick([b * n_in for b in range(spec.sample_buffers)], buffer),
                by_layer(offsets, ahead.layer) + Mux(bank, hidden, 0),
            )
        )
        with m.If(slot.real):
            m.d.sync += address.eq(Mux(slot.first, base, address + 1))
        read = inputs.read_port()
        m.d.comb += read.addr.eq(address)
        data = Signal(operand_shape(spec), name=f"{name}_operand")
        m.d.comb += data.eq(delayed(m, read.data, behind, f"{name}_input"))
        if activations is not None:
            read = activations.read_port()
            m.d.comb += read.addr.eq(address)
            from_inputs = delayed(m, slot.layer == 0, 1 + behind, f"{name}_from_inputs")
            with m.If(~from_inputs):
                m.d.comb += data.eq(delayed(m, read.data, behind, f"{name}_activation"))
        return data

    def _targets(self, m, address, word, enable):
        """The memory of targets; the target of an output is read one cycle before the output is valid."""
        spec = self.spec
        buffers, n_out = spec.sample_buffers, spec.network.n_out
        m.submodules.targets = store = memory.Memory(
            shape=shape_of(spec.formats.activation), depth=max(2, buffers * n_out), init=[], attrs=NO_READ_WRITE_CHECK
        )
        write, read = store.write_port(), store.read_port()
        neuron = self.target_neuron
        # Where the outputs are the first layer's neurons, those of two passes alternate by groups.
        alternating = spec.one_visit and len(spec.network.layers) == 1
        is_output = neuron.valid & in_last_layer(spec, neuron)
        index = _counted(m, is_output, neuron.second, n_out, "output", last=neuron.last, alternating=alternating)
        m.d.comb += [
            write.addr.eq(address),
            write.data.eq(word),
            write.en.eq(enable),
            read.addr.eq(_pick([b * n_out for b in range(buffers)], self.buffer) + index),
            self.target.eq(read.data),
        ]
