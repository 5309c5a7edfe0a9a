# amaranth: UnusedElaboratable=no
"""The outputs of stochastic neurons: random thresholds, the counts of those below an activation, and what the counts change by."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.activation import ActivationUnit
from rtl_gen.perturbation import leap
from rtl_gen.presentation.layouts import is_unperturbed, neuron_layout, noisy_layers
from rtl_gen.probe import event_layouts, shape_of
from rtl_gen.slot import NO_READ_WRITE_CHECK, by_layer, delayed

__all__ = ["Counts", "DrawUnit", "ThresholdStream", "draw_memories", "output_latency"]


def output_latency(spec: DesignSpec) -> int:
    """Return the cycles from a pre-activation to the output of its neuron: those of the activation, and of a count where there are any."""
    return ActivationUnit.latency + (DrawUnit.latency if spec.network.random else 0)


def drawn_neurons(spec: DesignSpec) -> int:
    """Return the number of neurons up to the last stochastic one, which are those that a memory of theirs has a word for."""
    return sum(spec.network.sizes[1 : noisy_layers(spec)[-1] + 2])


def draw_memories(spec: DesignSpec) -> dict[str, tuple[int, int]]:
    """Return depth and width of the memories of thresholds, of counts, and of what these change by in the probes of two banks, by name."""
    assert spec.thresholds is not None
    words = max(2, drawn_neurons(spec))
    changes = 2 << (words - 1).bit_length()  # for each bank, one for each number of so many bits
    return {
        "thresholds": (words, spec.thresholds.word_bits),
        "counted": (words, spec.thresholds.most.bit_length()),
        "changes": (changes, spec.factor_format.width),
    }


class ThresholdStream(wiring.Component):
    """The stream of the thresholds: each word that is taken has those of one neuron, threshold i in its bits i·F to i·F + F − 1.

    Parameters
    ----------
    spec : DesignSpec
        The design, with a stochastic layer.

    Members
    -------
    take : In(1)
        Strobe: the word is taken, so that the next one follows in the next cycle.
    word : Out(spec.thresholds.word_bits)
        The next word.
    load_en, load : In(1), In(load_width)
        Strobe and bits to shift into the top of the state; ``load`` must be stable in the next cycle as well.

    Attributes
    ----------
    load_width : int
        Number of bits that the generator draws at once.
    """

    def __init__(self, spec: DesignSpec):
        assert spec.thresholds is not None
        self.generator = spec.thresholds.generator
        self.load_width = self.generator.outputs
        super().__init__({"take": In(1), "word": Out(spec.thresholds.word_bits), "load_en": In(1), "load": In(self.load_width)})

    def elaborate(self, platform):
        m = Module()
        state = Signal(self.generator.degree, reset_less=True)
        loads = delayed(m, self.load_en, 1, "loads", reset_less=False)
        with m.If(self.take | loads):
            m.d.sync += state.eq(leap(self.generator, state, loads, self.load))
        m.d.comb += self.word.eq(state[: len(self.word)])
        return m


class Counts(wiring.Component):
    """Counts the thresholds of a neuron that are below its activation.

    Parameters
    ----------
    spec : DesignSpec
        The design, with a stochastic layer.

    Members
    -------
    activation, layer : In
        Raw activation of a neuron, and the number of its layer.
    word : In(spec.thresholds.word_bits)
        Its thresholds.
    count : Out(unsigned)
        Number of those of the layer's N thresholds that are below the activation, two cycles later.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        assert spec.thresholds is not None
        super().__init__(
            {
                "activation": In(shape_of(spec.formats.activation)),
                "layer": In(neuron_layout(spec)["layer"].shape),
                "word": In(spec.thresholds.word_bits),
                "count": Out(range(spec.thresholds.most + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        fraction = self.spec.formats.activation.fraction_bits
        draws, below = [layer.kind.thresholds for layer in self.spec.network.layers], []
        for number in range(len(self.word) // fraction):
            each = Signal(name=f"below{number}")
            used = by_layer([int(number < count) for count in draws], self.layer)
            m.d.sync += each.eq(used & (self.activation > self.word.word_select(number, fraction)))
            below.append(each)
        m.d.sync += self.count.eq(sum(below[1:], below[0]))
        return m


class DrawUnit(wiring.Component):
    """Turns the activation of a stochastic neuron into its count, and lets the activations of others pass.

    It takes words of thresholds where a neuron draws, keeps those of the unperturbed pass, and keeps what the counts of a probe change by
    until its cost change is known.

    Parameters
    ----------
    spec : DesignSpec
        The design, with a stochastic layer.

    Members
    -------
    coming : In(neuron_layout(spec))
        Fields of a neuron, two cycles before its activation.
    neuron, z, activation, saturated : In
        Fields of a neuron, its pre-activation, its raw activation, and whether that was out of range.
    training, draws : In(1)
        The pass belongs to a training run; and an unperturbed pass is not a repeated one, so that it draws.
    load_en, load : In(1), In(load_width)
        Strobe and bits for the stream of the thresholds, as of :class:`ThresholdStream`.
    neuron_o, z_o, outside : Out
        The inputs ``neuron``, ``z`` and ``saturated``, ``latency`` cycles later.
    y, result : Out
        Raw count, or activation of a neuron that is not stochastic; and the same in the format of the network's outputs.
    sweep_begin, sweep_bank : In(1)
        Strobe: the errors of a pass are going to be summed; and its bank.
    sweep_index, change : In, Out
        A neuron whose error is summed, and what its count has changed by one cycle later.

    Attributes
    ----------
    load_width : int
        Number of bits that the generator of the thresholds draws at once.
    """

    latency = 2
    """Cycles from an activation to the count: one to compare the thresholds, one to count those below."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.stream = ThresholdStream(spec)
        self.load_width = self.stream.load_width
        neuron, z, shown = neuron_layout(spec), signed(spec.accumulator_width), event_layouts(spec)["neuron"]["activation"].shape
        super().__init__(
            {
                **{name: In(neuron) for name in ("coming", "neuron")},
                "z": In(z),
                "activation": In(shape_of(spec.formats.activation)),
                **{name: In(1) for name in ("saturated", "training", "draws", "load_en", "sweep_begin", "sweep_bank")},
                "load": In(self.load_width),
                "neuron_o": Out(neuron),
                "z_o": Out(z),
                "outside": Out(1),
                "y": Out(shown),
                "result": Out(shape_of(spec.outputs_format)),
                "sweep_index": In(neuron["index"].shape),
                "change": Out(shape_of(spec.factor_format)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.stream = self.stream
        m.submodules.counts = counts = Counts(self.spec)
        m.d.comb += [
            *(self.stream.load_en.eq(self.load_en), self.stream.load.eq(self.load)),
            *(counts.activation.eq(self.activation), counts.layer.eq(self.neuron.layer), counts.word.eq(self._thresholds(m))),
        ]
        late = {"neuron": self.neuron, "z": self.z, "activation": self.activation, "saturated": self.saturated}
        late = {name: delayed(m, value, self.latency, name, reset_less=name != "neuron") for name, value in late.items()}
        neuron = late["neuron"]
        m.d.comb += [
            *(self.neuron_o.eq(neuron), self.z_o.eq(late["z"]), self.outside.eq(late["saturated"])),
            self.y.eq(Mux(self._is_noisy(neuron), counts.count, late["activation"])),
            self.result.eq(self.y),
        ]
        self._follow_changes(m, neuron, counts.count)
        return m

    def _is_noisy(self, neuron):
        """Whether a neuron is stochastic."""
        return by_layer([int(layer.kind.own_noise) for layer in self.spec.network.layers], neuron.layer)

    def _memory(self, name, shape):
        """Memory of :func:`draw_memories` with words of a shape."""
        depth, width = draw_memories(self.spec)[name]
        assert width == len(Signal(shape))
        return memory.Memory(shape=shape, depth=depth, init=[], attrs=NO_READ_WRITE_CHECK)

    def _thresholds(self, m):
        """Register of the thresholds of a neuron, valid with its activation.

        They are fixed in an inference, and those of the unperturbed pass where a neuron does not draw.
        """
        word, next_one = Signal(len(self.stream.word), name="word", reset_less=True), delayed(m, self.coming, 1, "next")
        m.submodules.kept = store = self._memory("thresholds", word.shape())
        read, write = store.read_port(), store.write_port()
        unperturbed = is_unperturbed(next_one.bank)
        takes = next_one.valid & self._is_noisy(next_one) & self.training & Mux(unperturbed, self.draws, next_one.active)
        m.d.comb += [
            *(self.stream.take.eq(takes), read.addr.eq(self.coming.index)),
            *(write.addr.eq(self.neuron.index), write.data.eq(word)),
            write.en.eq(delayed(m, takes & unperturbed, 1, "keeps", reset_less=False)),
        ]
        m.d.sync += word.eq(Mux(self.training, Mux(takes, self.stream.word, read.data), self._fixed(next_one.layer)))
        return word

    def _fixed(self, layer):
        """Thresholds of an inference of a neuron of a layer."""
        spec, found = self.spec, {}
        assert spec.thresholds is not None
        for number in noisy_layers(spec):
            fixed = spec.thresholds.fixed(spec.network.layers[number].kind.thresholds).tolist()
            found[number] = sum(each << place * spec.formats.activation.fraction_bits for place, each in enumerate(fixed))
        others = next(iter(found.values()))
        words = [Const(found.get(number, others), spec.thresholds.word_bits) for number in range(len(spec.network.layers))]
        return Array(words)[layer] if len(set(found.values())) > 1 else words[0]

    def _follow_changes(self, m, neuron, count):
        """Keep the count of each neuron in the second pass of a difference, and what it changes by in the first one, by bank."""
        spec, unperturbed, takes_part = self.spec, is_unperturbed(neuron.bank), self._is_noisy(neuron) & neuron.valid
        m.submodules.counted = counted = self._memory("counted", count.shape())
        m.submodules.changes = changes = self._memory("changes", self.change.shape())
        old, keeps, found, writes = counted.read_port(), counted.write_port(), changes.read_port(), changes.write_port()
        # Of a two-sided difference, the pass with +sΔ comes first.
        earlier = ~unperturbed & ~neuron.minus if spec.two_sided else unperturbed
        later = neuron.minus if spec.two_sided else ~unperturbed
        following, new = delayed(m, neuron, 1, "changed"), delayed(m, count, 1, "count")
        index = following.index[: len(old.addr)]
        difference = old.data - new if spec.two_sided else new - old.data
        swept = Signal()
        with m.If(self.sweep_begin):
            m.d.sync += swept.eq(self.sweep_bank)
        m.d.comb += [
            *(old.addr.eq(neuron.index), keeps.addr.eq(neuron.index), keeps.data.eq(count), keeps.en.eq(takes_part & earlier)),
            *(writes.addr.eq(Cat(index, following.bank[0])), writes.data.eq(difference)),
            writes.en.eq(delayed(m, takes_part & later, 1, "writes", reset_less=False)),
            *(found.addr.eq(Cat(self.sweep_index[: len(old.addr)], swept)), self.change.eq(found.data)),
        ]
