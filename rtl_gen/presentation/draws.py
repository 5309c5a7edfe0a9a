# amaranth: UnusedElaboratable=no
"""The outputs of stochastic neurons: random thresholds, the counts of those below an activation, and what the counts change by."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.activation import ActivationUnit
from rtl_gen.perturbation import leap
from rtl_gen.presentation.layouts import is_unperturbed, neuron_layout, noisy_layers
from rtl_gen.probe import event_layouts, shape_of
from rtl_gen.slot import NO_READ_WRITE_CHECK, by_layer, delayed

__all__ = ["Counts", "DrawUnit", "ThresholdStream", "draw_memories", "keeps_thresholds", "output_latency"]


def output_latency(spec: DesignSpec) -> int:
    """Return the cycles from a pre-activation to the output of its neuron: those of the activation, and of a count where there are any."""
    return ActivationUnit.latency + (DrawUnit.latency if spec.network.random else 0)


def drawn_neurons(spec: DesignSpec) -> int:
    """Return the number of neurons up to the last stochastic one, which are those that a memory of theirs has a word for."""
    return sum(spec.network.sizes[1 : noisy_layers(spec)[-1] + 2])


def keeps_thresholds(spec: DesignSpec) -> bool:
    """Return whether a neuron may have the thresholds of the unperturbed pass, and another activation than there.

    That is so behind neurons that are perturbed while its own sign is 0. Elsewhere a neuron that does not draw has the count that it had.
    """
    last, parts = noisy_layers(spec)[-1], spec.round.parts
    return (0 in spec.code.values and last > 0) or (spec.in_parts and last > parts[0].last)


def draw_memories(spec: DesignSpec) -> dict[str, tuple[int, int]]:
    """Return depth and width of the memories of a :class:`DrawUnit`, by name.

    They are those of the thresholds of the unperturbed pass, or of its counts; of the counts of the first pass of a difference, which is
    the unperturbed one unless it is two-sided; and of what the counts change by in the probes of two banks.
    """
    assert spec.thresholds is not None
    words = max(2, drawn_neurons(spec))
    count = words, spec.thresholds.most.bit_length()
    kept = {"repeated": count} if spec.two_sided else {}
    if keeps_thresholds(spec):
        kept = {"thresholds": (words, spec.thresholds.word_bits)}
    # For each bank, a word for each number of so many bits.
    return {**kept, "counted": count, "changes": (2 << (words - 1).bit_length(), spec.factor_format.width)}


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
        The word that the next neuron which draws takes.
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
        Thresholds of the neuron, the first one lowest, as a word of :class:`ThresholdStream`.
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

    It takes words of thresholds where a neuron draws. Where it does not, it has the thresholds of the unperturbed pass, which are kept, or
    the count of that pass (:func:`keeps_thresholds`). What the counts of a probe change by is kept until its cost change is known.

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
        word, takes = self._thresholds(m)
        m.d.comb += [
            *(self.stream.load_en.eq(self.load_en), self.stream.load.eq(self.load)),
            *(counts.activation.eq(self.activation), counts.layer.eq(self.neuron.layer), counts.word.eq(word)),
        ]
        late = {"z": self.z, "saturated": self.saturated}
        late = {name: delayed(m, value, self.latency, name) for name, value in late.items()}
        neuron = delayed(m, self.neuron, self.latency, "neuron", reset_less=False)
        counted, other = self._is_noisy(neuron), delayed(m, self.activation, 1, "activation")
        counted_port, repeated_port = self._kept_counts(m, neuron)
        if not keeps_thresholds(self.spec):
            again = delayed(m, self._is_noisy(self.neuron) & self.training & ~takes, 1, "again")
            other, counted = Mux(again, repeated_port.data, other), counted & ~delayed(m, again, 1, "again")
        m.d.comb += [
            *(self.neuron_o.eq(neuron), self.z_o.eq(late["z"]), self.outside.eq(late["saturated"])),
            *(self.y.eq(Mux(counted, counts.count, delayed(m, other, 1, "other"))), self.result.eq(self.y)),
        ]
        self._follow_changes(m, neuron, delayed(m, counted_port.data, 2, "old"))
        return m

    def _is_noisy(self, neuron):
        """Whether a neuron is stochastic."""
        return by_layer([int(layer.kind.own_noise) for layer in self.spec.network.layers], neuron.layer)

    def _memory(self, name):
        """Memory of :func:`draw_memories`, of unsigned words unless they are changes of counts."""
        depth, width = draw_memories(self.spec)[name]
        shape = signed(width) if name == "changes" else unsigned(width)
        return memory.Memory(shape=shape, depth=depth, init=[], attrs=NO_READ_WRITE_CHECK)

    def _thresholds(self, m):
        """Register of the thresholds of a neuron, valid with its activation, and whether they are those of a new word.

        They are fixed in an inference. Where a neuron does not draw, they are those of the unperturbed pass, or do not matter.
        """
        word, next_one = Signal(len(self.stream.word), name="word", reset_less=True), delayed(m, self.coming, 1, "next")
        unperturbed = is_unperturbed(next_one.bank)
        takes = next_one.valid & self._is_noisy(next_one) & self.training & Mux(unperturbed, self.draws, next_one.active)
        drawn = self.stream.word
        m.d.comb += self.stream.take.eq(takes)
        if keeps_thresholds(self.spec):
            m.submodules.kept = store = self._memory("thresholds")
            read, write = store.read_port(), store.write_port()
            m.d.comb += [
                *(read.addr.eq(self.coming.index), write.addr.eq(self.neuron.index), write.data.eq(word)),
                write.en.eq(delayed(m, takes & unperturbed, 1, "keeps", reset_less=False)),
            ]
            drawn = Mux(takes, drawn, read.data)
        m.d.sync += word.eq(Mux(self.training, drawn, self._fixed(next_one.layer)))
        return word, delayed(m, takes, 1, "took")

    def _kept_counts(self, m, neuron):
        """Read ports of the counts of the first pass of a difference, and of the unperturbed pass; their data come a cycle after a neuron's
        activation. The counts are written when those of ``neuron`` are known."""
        spec, unperturbed, when = self.spec, is_unperturbed(neuron.bank), self._is_noisy(neuron) & neuron.valid
        passes = {"counted": unperturbed, "repeated": unperturbed}
        if spec.two_sided:  # the pass with +sΔ comes first
            passes["counted"] = ~unperturbed & ~neuron.minus
        ports = {}
        for name in ("counted", "repeated"):
            if name not in draw_memories(spec):
                continue
            m.submodules[name] = store = self._memory(name)
            ports[name], write = store.read_port(), store.write_port()
            m.d.comb += [
                *(ports[name].addr.eq(self.neuron.index), write.addr.eq(neuron.index), write.data.eq(self.y)),
                write.en.eq(when & passes[name]),
            ]
        return ports["counted"], ports.get("repeated", ports["counted"])

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

    def _follow_changes(self, m, neuron, old):
        """Keep what each count changes by, by bank; ``old`` is that of the first pass, a cycle later than ``neuron``."""
        m.submodules.changes = changes = self._memory("changes")
        found, writes = changes.read_port(), changes.write_port()
        later = neuron.minus if self.spec.two_sided else ~is_unperturbed(neuron.bank)
        following, new = delayed(m, neuron, 1, "changed"), delayed(m, self.y[: len(old)], 1, "new")
        difference = old - new if self.spec.two_sided else new - old
        swept, places = Signal(), len(found.addr) - 1
        with m.If(self.sweep_begin):
            m.d.sync += swept.eq(self.sweep_bank)
        m.d.comb += [
            *(writes.addr.eq(Cat(following.index[:places], following.bank[0])), writes.data.eq(difference)),
            writes.en.eq(delayed(m, self._is_noisy(neuron) & neuron.valid & later, 1, "writes", reset_less=False)),
            *(found.addr.eq(Cat(self.sweep_index[:places], swept)), self.change.eq(found.data)),
        ]
