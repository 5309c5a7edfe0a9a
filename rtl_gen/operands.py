"""Operands of the layers: samples from the host, and activations of the passes of a step."""

from __future__ import annotations

from amaranth.hdl import Array, Const, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.activation import neuron_layout
from rtl_gen.broadcast import operand_shape
from rtl_gen.fanout import read_latency
from rtl_gen.indices import IndexMemory, has_lists, next_operand
from rtl_gen.probe import shape_of
from rtl_gen.slot import NO_READ_WRITE_CHECK, ahead_layout, by_layer, delayed, in_last_layer, slot_layout

__all__ = ["Operands", "SampleLoader", "sample_stores"]


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


def sample_stores(spec: DesignSpec) -> dict[str, tuple[int, int]]:
    """Return the number of words and the width of each memory of samples, by its name: one of inputs and one of targets, or one of
    both where both are never read at once: in node perturbation of a network with state of several layers."""
    inputs, targets = max(2, spec.sample_buffers * spec.network.record_inputs), spec.sample_buffers * spec.network.n_out
    if spec.segmented and len(spec.network.layers) > 1:
        return {"samples": (inputs + targets, spec.sample_width)}
    return {"inputs": (inputs, spec.formats.input.width), "targets": (max(2, targets), spec.formats.activation.width)}


class SampleLoader(wiring.Component):
    """Writes the sample stream into free buffers, ahead of the current step.

    Parameters
    ----------
    spec : DesignSpec
        The design whose samples are loaded.

    Members
    -------
    sample : In(stream.Signature(spec.sample_width))
        Raw input words of a sample, then its raw targets, one word per transfer.
    take : In(1)
        Strobe that makes the oldest full buffer the current one.
    discard : In(1)
        Strobe that drops all loaded samples that were not taken; never together with ``take``.
    available : Out(1)
        There is a full buffer to take, from two cycles after its last word on.
    buffer : Out
        Number of the current sample's buffer.
    input_en, target_en, address, data : Out
        Strobes, address and raw word of a write into the input memory or the target memory.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        buffers, n_in, n_out = spec.sample_buffers, spec.network.record_inputs, spec.network.n_out
        width = spec.sample_width
        super().__init__(
            {
                "sample": In(stream.Signature(width)),
                "take": In(1),
                "discard": In(1),
                "available": Out(1),
                "buffer": Out(range(buffers), init=buffers - 1),
                "input_en": Out(1),
                "target_en": Out(1),
                "address": Out(range(buffers * max(n_in, n_out))),
                "data": Out(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        buffers, n_in, n_out = spec.sample_buffers, spec.network.record_inputs, spec.network.n_out
        filling = Signal(range(buffers))
        full = Signal(range(buffers + 1))
        index = Signal(range(max(2, n_in, n_out)))
        targets, is_open = Signal(), Signal()
        ends = Signal(init=n_in == 1)  # the word is the last of the inputs, or of the targets

        def after(buffer):
            return Mux(buffer == buffers - 1, 0, buffer + 1)

        transfer = Signal()
        complete, completed = Signal(), Signal()  # the transfer completes a sample; the transfer before did
        bases = Mux(targets, _pick([b * n_out for b in range(buffers)], filling), _pick([b * n_in for b in range(buffers)], filling))
        # A free buffer stays free until it is full, or everything is discarded.
        m.d.sync += completed.eq(complete & ~self.discard)
        m.d.sync += is_open.eq((filling != self.buffer) & (full < buffers - 1 - spec.kept_samples) & ~complete & ~completed & ~self.discard)
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
        with m.If(completed):
            m.d.sync += filling.eq(after(filling))
        with m.If(self.take):
            m.d.sync += self.buffer.eq(after(self.buffer))
        m.d.sync += full.eq(full + completed - self.take)
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
    slot, ahead : In
        A slot, and the layer and pass of the slot that comes a cycle later.
    x : Out(operand_shape(spec))
        Raw operand of ``slot``, ``latency`` cycles later.
    neuron, y : In
        A neuron, and its raw activation to be written.
    target_neuron, target : In, Out
        A neuron, and its raw target one cycle later.
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
            "slot": In(slot),
            "ahead": In(ahead_layout(spec)),
            "x": Out(operand),
            "neuron": In(neuron),
            "y": In(shape_of(spec.formats.activation)),
            "target_neuron": In(neuron),
            "target": Out(shape_of(spec.formats.activation)),
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
        ]
        buffers = spec.sample_buffers
        m.submodules.inputs = inputs = memory.Memory(
            shape=shape_of(spec.formats.input), depth=max(2, buffers * spec.network.n_in), init=[], attrs=NO_READ_WRITE_CHECK
        )
        write = inputs.write_port()
        address, word = delayed(m, loader.address, 1, "loaded_address"), delayed(m, loader.data, 1, "loaded_word")
        m.d.comb += [write.addr.eq(address), write.data.eq(word), write.en.eq(delayed(m, loader.input_en, 1, "input_en", reset_less=False))]
        activations = self._activations(m)
        self._targets(m, loader.buffer, address, word, delayed(m, loader.target_en, 1, "target_en", reset_less=False))

        self._fetch(m, inputs, activations, loader.buffer)
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

    def _fetch(self, m, inputs, activations, buffer):
        """Read the operand of a slot from the current sample or from the activations of its pass."""
        spec, slot, ahead, behind = self.spec, self.slot, self.ahead, read_latency(self.spec.hardware.lanes) - 1
        n_in, hidden = spec.network.n_in, spec.network.n_hidden
        address = Signal(range(max(2, spec.sample_buffers * n_in, 2 * hidden)))
        offsets = [0, *(sum(spec.network.sizes[1:layer]) for layer in range(1, len(spec.network.layers)))]
        base = Signal.like(address)
        m.d.sync += base.eq(
            Mux(
                ahead.layer == 0,
                _pick([b * n_in for b in range(spec.sample_buffers)], buffer),
                by_layer(offsets, ahead.layer) + Mux(self._bank(ahead.second), hidden, 0),
            )
        )
        following = Mux(slot.first, base, address + 1)
        if has_lists(spec):
            m.submodules.indices = indices = IndexMemory(spec)
            opens = ahead.begin | ahead.branch
            m.d.comb += [indices.opens.eq(opens), indices.step.eq(ahead.real & ~ahead.last), indices.layer.eq(ahead.layer)]
            following = next_operand(spec, address, base, slot.first, indices.listed, indices.index)
        with m.If(slot.real):
            m.d.sync += address.eq(following)
        read = inputs.read_port()
        m.d.comb += read.addr.eq(address)
        data = Signal(operand_shape(spec), name="operand")
        m.d.comb += data.eq(delayed(m, read.data, behind, "input"))
        if activations is not None:
            read = activations.read_port()
            m.d.comb += read.addr.eq(address)
            from_inputs = delayed(m, slot.layer == 0, 1 + behind, "from_inputs")
            with m.If(~from_inputs):
                m.d.comb += data.eq(delayed(m, read.data, behind, "activation"))
        m.d.sync += self.x.eq(data)

    def _targets(self, m, buffer, address, word, enable):
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
            read.addr.eq(_pick([b * n_out for b in range(buffers)], buffer) + index),
            self.target.eq(read.data),
        ]
