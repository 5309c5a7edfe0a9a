"""Operands of the lanes: samples from the host, and activations of the unperturbed pass and of the probes."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.number import Fixed
from rtl_gen.fanout import read_latency
from rtl_gen.indices import IndexMemory, has_lists, next_operand
from rtl_gen.operands import SampleLoader
from rtl_gen.presentation.arithmetic import adds_in_multiplier, alignment, operand_shape
from rtl_gen.presentation.layouts import has_full_layers, is_unperturbed, neuron_layout, slot_layout
from rtl_gen.probe import shape_of
from rtl_gen.slot import NO_READ_WRITE_CHECK, by_layer, delayed, in_last_layer

__all__ = ["Operands", "activation_banks", "gathered", "hidden_operands", "multiple", "sample_memories"]


def activation_banks(spec: DesignSpec) -> int:
    """Return the number of banks of hidden activations: one for the unperturbed pass, or two where the activations of the one before are
    still needed, and two for probes in turn.

    Incremental probes need none, or one for the layers that they compute in full: their passes of the lanes follow one another.
    """
    return (has_full_layers(spec) if spec.incremental else 2) + 1 + spec.just_in_time


class Operands(wiring.Component):
    """The memories of inputs, activations and targets, with the reads of operands from them.

    A bias multiplies the constant 1. In an applying pass, operands are aligned to one binary point, and negative where the multiplier's
    adder subtracts their products from the parameters. Where there is no operand, ``x`` is 0.

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
    slot, ahead : In(slot_layout(spec))
        A slot, and the slot that comes a cycle later.
    update : In(1)
        An update is due in an applying pass; without one, operands are 0 where the multiplier's adder computes the update. It belongs to
        the slot ahead.
    x : Out(operand_shape(spec))
        Raw operand of ``slot``, ``latency`` cycles later.
    neuron, y : In
        A neuron, and its raw activation to be written.
    target_neuron, target : In, Out
        A neuron, and its raw target one cycle later.
    replay, moves, column : In(1), In(1), In(unsigned)
        In incremental probes, a strobe when the replay of a probe begins, whether it perturbs a hidden neuron, and which one. Those that
        compute layers in full have no strobe: the others are stable while the pass of the lanes begins.
    """

    @staticmethod
    def latency(spec: DesignSpec) -> int:
        """Cycles from a slot to its operand: those of a memory read, one to select the operand, and one to add to it."""
        return read_latency(spec.hardware.lanes) + 2

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        slot, neuron = slot_layout(spec), neuron_layout(spec)
        column = {} if has_full_layers(spec) else {"replay": In(1)}
        column |= {"moves": In(1), "column": In(range(max(2, spec.network.n_hidden)))}
        super().__init__(
            {
                **(column if spec.incremental else {}),
                "sample": In(stream.Signature(spec.sample_width)),
                "take": In(1),
                "discard": In(1),
                "available": Out(1),
                "slot": In(slot),
                "ahead": In(slot),
                "update": In(1),
                **self._own_ports,
                "neuron": In(neuron),
                "y": In(shape_of(spec.formats.activation)),
                "target_neuron": In(neuron),
                "target": Out(shape_of(spec.formats.activation)),
            }
        )

    @property
    def _own_ports(self):
        """Ports that depend on how errors are applied."""
        return {"x": Out(operand_shape(self.spec))}

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
        inputs, targets = sample_memories(m, spec, loader)
        self._fetch(m, inputs, self._activations(m), loader.buffer)
        self._target(m, targets, loader.buffer)
        return m

    def _activations(self, m):
        """Read port of the memory of hidden activations, whose write port is connected; None without hidden layers."""
        spec, hidden = self.spec, self.spec.network.n_hidden
        if not hidden:
            return None
        m.submodules.activations = store = memory.Memory(
            shape=shape_of(spec.formats.activation), depth=max(2, activation_banks(spec) * hidden), init=[], attrs=NO_READ_WRITE_CHECK
        )
        write = store.write_port()
        stored = is_unperturbed(self.neuron.bank) if spec.incremental else Const(1, 1)
        if has_full_layers(spec):
            stored = ~self.neuron.replayed  # the activations of that layer may still be read for the probe before
        m.d.comb += [
            write.addr.eq(self.neuron.index + multiple(hidden, self._bank(self.neuron.bank), activation_banks(spec))),
            write.data.eq(~self.y),  # as the activation unit's register has it
            write.en.eq(self.neuron.valid & ~in_last_layer(spec, self.neuron) & stored),
        ]
        return store.read_port()

    def _bank(self, bank):
        """Number of the memory's bank that a pass with a bank of activations writes and reads."""
        return ~is_unperturbed(bank) if has_full_layers(self.spec) else bank

    def _fetch(self, m, inputs, activations, buffer):
        """Read the operand of a slot, and prepare it."""
        spec, slot = self.spec, self.slot
        behind = read_latency(spec.hardware.lanes) - 1
        n_in, hidden, layers = spec.network.n_in, spec.network.n_hidden, range(len(spec.network.layers))
        banks = activation_banks(spec)
        address = Signal(range(max(2, spec.sample_buffers * n_in, banks * hidden)), reset_less=True)
        base = Signal.like(address)
        offsets = [0, *(sum(spec.network.sizes[1:layer]) for layer in layers[1:])]
        of_inputs, of_hidden = multiple(n_in, buffer, spec.sample_buffers), multiple(hidden, self._bank(self.ahead.bank), banks)
        begin = Mux(self.ahead.layer == 0, of_inputs, of_hidden + by_layer(offsets, self.ahead.layer))
        advances, loads, full_layers = slot.real, slot.first, has_full_layers(spec)
        if full_layers:
            advances = slot.real & ~slot.single
        elif spec.incremental:  # a replay loads the place of the perturbed neuron, which the slots of its probe keep
            replayed = delayed(m, self.replay, 1, "replayed", reset_less=False)
            begin = Mux(self.replay, self.column, begin)
            advances, loads = (slot.real & is_unperturbed(slot.bank)) | replayed, slot.first | replayed
        # Where the addend's bit is 0, it is the strobe of the load, so that the adder's look-up tables load as well.
        following = address + Cat(Const(1, 1), loads.replicate(len(address) - 1))
        following = Mux(loads, base, following)
        if has_lists(spec):
            following = next_operand(spec, address, base, loads, *self._listed(m))
        m.d.sync += base.eq(begin)
        with m.If(advances):
            m.d.sync += address.eq(following)
        if full_layers:  # a replay comes while the lanes still read for the probe before
            with m.If(self.ahead.real & self.ahead.single):
                m.d.sync += address.eq(self.column)
        m.d.comb += inputs.addr.eq(address)

        def stage(value, name):
            """The value, of the slot that comes, when that slot's operand is selected; it comes from a register of its own."""
            return delayed(m, value, 2 + behind, f"x_{name}")

        ahead = self.ahead
        sources = {"input": (delayed(m, inputs.data, behind, "input"), ahead.layer == 0, 0)}
        if activations is not None:
            m.d.comb += activations.addr.eq(address)
            read = ~delayed(m, activations.data, behind, "activation")
            sources |= {f"activation{name}": (read, when, which) for name, when, which in hidden_operands(spec, ahead.layer)}
        will_probe = ~is_unperturbed(ahead.bank) if spec.incremental else Const(0, 1)
        if full_layers:
            will_probe = ahead.single
        terms, works = [], ahead.real & ~will_probe
        if adds_in_multiplier(spec):
            works = works & (self.update | ~ahead.apply)
        for name, (data, when, which) in sources.items():
            one = Const(1 << spec.operand_format(which).fraction_bits)
            shift = alignment(spec)[which]
            for kind, apply in (("", ~ahead.apply), ("_applied", ahead.apply)) if shift else (("", Const(1, 1)),):
                places = shift if kind else 0
                terms.append((data << places, stage(works & when & apply & ~ahead.first, f"{name}{kind}")))
                terms.append((one << places, stage(works & when & apply & ahead.first, f"{name}_bias{kind}")))
        negates = ahead.apply & ahead.real if adds_in_multiplier(spec) else Const(0, 1)
        addend = Const(0, 1)
        if spec.incremental:
            begins, follows = (stage(ahead.real & will_probe & each, "probe") for each in (ahead.begin, ~ahead.begin))
            moves, held = self.moves if full_layers else Signal(reset_less=True), Signal.like(self.x, name="held", reset_less=True)
            if not full_layers:
                with m.If(self.replay):
                    m.d.sync += moves.eq(self.moves)
            changes = ahead.real & will_probe & ahead.begin & moves
            # y_j± − y_j for the first group, which the groups behind it take again.
            terms += [(read, stage(changes, "old")), (held, follows)]
            negates, addend = negates | changes, self._moved(m, delayed(m, stage(changes, "new"), 1, "new_added"))
            with m.If(delayed(m, begins, 2, "probe_prepared")):
                m.d.sync += held.eq(self.x)
        self._choose(m, self.x, terms, stage(negates, "negative"), addend)

    def _listed(self, m):
        """Whether the slot that follows multiplies a weight of a sparse layer, and the number of the input that it multiplies."""
        m.submodules.indices = indices = IndexMemory(self.spec)
        ahead = self.ahead
        m.d.comb += [indices.opens.eq(ahead.begin), indices.step.eq(ahead.real & ~ahead.last), indices.layer.eq(ahead.layer)]
        return indices.listed, indices.index

    def _choose(self, m, x, terms, negative, addend, name=""):
        """Register the sum of ``addend`` and the one of ``terms`` that is selected, or its ``negative``, as ``x``."""
        total = Signal.like(x, name=f"{name}total")
        selected = Signal(x.shape(), name=f"{name}operand", reset_less=True)
        m.d.sync += selected.eq(Cat(*gathered(m, terms, x.shape(), name)) ^ negative.replicate(len(selected)))
        # An extra bit below the lowest one generates the carry.
        carry = delayed(m, negative, 1, f"{name}carry")
        m.d.comb += total.eq((Cat(Const(1, 1), selected).as_signed() + Cat(carry, addend).as_signed()) >> 1)
        m.d.sync += x.eq(total)

    def _moved(self, m, when, late=0):
        """Activation of the perturbed hidden neuron, from ``late`` and one cycles after it until the next one; 0 unless ``when``."""
        neuron, complement, moved = self.neuron, Signal.like(self.y, reset_less=True), Signal.like(self.x, name="moved")
        replayed = neuron.valid & ~is_unperturbed(neuron.bank) & (neuron.layer == 0)
        comes = neuron.valid & neuron.replayed if has_full_layers(self.spec) else replayed
        y = delayed(m, self.y, late, "y_late")
        with m.If(delayed(m, comes, late, "comes_late", reset_less=False)):
            m.d.sync += complement.eq(~y)
        m.d.comb += moved.eq(~complement)
        return moved & when.replicate(len(moved)).as_signed()

    def _target(self, m, targets, buffer):
        """Read the target of an output, one cycle before the output is valid."""
        spec, neuron = self.spec, self.target_neuron
        n_out = spec.network.n_out
        index = Signal(range(max(2, n_out)))
        with m.If(neuron.valid & in_last_layer(spec, neuron)):
            m.d.sync += index.eq(Mux(neuron.last, 0, index + 1))
        m.d.comb += [targets.addr.eq(multiple(n_out, buffer, spec.sample_buffers) + index), self.target.eq(targets.data)]


def hidden_operands(spec: DesignSpec, layer):
    """Return what the layers behind the first one read, for each format: a name, whether ``layer`` has it, and the number of a layer.

    Without stochastic layers all of them have one, that of activations.
    """
    formats = [spec.operand_format(number) for number in range(len(spec.network.layers))]
    if not spec.network.random:
        return [("", layer != 0, len(formats) - 1)]
    of_format: dict[Fixed, list[int]] = {}
    for number, form in enumerate(formats[1:], 1):
        of_format.setdefault(form, []).append(number)
    return [(str(numbers[0]), Cat(layer == number for number in numbers).any(), numbers[0]) for numbers in of_format.values()]


def sample_memories(m: Module, spec: DesignSpec, loader: SampleLoader):
    """Build the memories of inputs and of targets, which the loader writes; return the read port of each."""
    address, word = delayed(m, loader.address, 1, "loaded_address"), delayed(m, loader.data, 1, "loaded_word")
    stored = {}
    for name, form, depth in (
        ("inputs", spec.formats.input, spec.sample_buffers * spec.network.record_inputs),
        ("targets", spec.formats.activation, spec.sample_buffers * spec.network.n_out),
    ):
        m.submodules[name] = store = memory.Memory(shape=shape_of(form), depth=max(2, depth), init=[], attrs=NO_READ_WRITE_CHECK)
        write, stored[name] = store.write_port(), store.read_port()
        enable = delayed(m, getattr(loader, f"{name[:-1]}_en"), 1, f"{name}_en", reset_less=False)
        m.d.comb += [write.addr.eq(address), write.data.eq(word), write.en.eq(enable)]
    return stored["inputs"], stored["targets"]


def gathered(m: Module, terms, shape, name: str = ""):
    """Bits of the one value that is selected, 0 if none is; gates select it in few levels, as a chain of multiplexers does not.

    Parameters
    ----------
    m : Module
        Module to which the gates are added.
    terms : list of (Value, Value)
        Values, each with the bit that selects it.
    shape : Shape
        Shape of the result, which holds every value.
    name : str
        Prefix of the names of the signals.
    """
    values = []
    for number, (value, select) in enumerate(terms):
        wide = Signal(shape, name=f"{name}term{number}")
        m.d.comb += wide.eq(value)
        values.append(wide & select.replicate(len(wide)).as_signed())
    return [Cat(value[bit] for value in values).any() for bit in range(shape.width)]


def multiple(size: int, number, count: int):
    """``size`` times a ``number`` below ``count``, chosen from constants."""
    values = [size * each for each in range(count)]
    if count == 1:
        return Const(0, 1)
    width = max(1, max(values).bit_length())
    if count == 2:
        return Mux(number[0], Const(values[1], width), Const(0, width))
    return Array([Const(value, width) for value in values])[number]
