"""Generator of the rounding noise, one random word for each input of each layer."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.perturbation import stochastic_generator
from rtl_gen.perturbation import DRAW_LATENCY, leap
from rtl_gen.presentation.layouts import slot_layout
from rtl_gen.slot import NO_READ_WRITE_CHECK, by_layer, delayed

__all__ = ["InputNoise", "RenewedNoise", "noise_words"]


def noise_words(spec: DesignSpec) -> int:
    """Return the number of random words of an update: one for each operand of each layer, and for its biases."""
    return spec.layout.places


class InputNoise(wiring.Component):
    """Generates the noise of stochastic rounding. All groups of a layer take the same words, so that they do not depend on the lanes.

    The words of the next update are written into a memory at the beginning of a forward pass, one per cycle. An applying pass reads them
    for each group. The pass that begins a presentation has a slot for each of them, so that all are there in time.

    Members
    -------
    slot : In(slot_layout(spec))
        The slot, two cycles before its random word is used.
    update : In(1)
        An update is due in the applying pass, so that the next one takes other words.
    o : Out(spec.stochastic_bits)
        Random word of the slot, two cycles later.
    load_en, load : In(1), In(load_width)
        Strobe and bits to shift into the top of the state; ``load`` must be stable in the next cycle as well.

    Attributes
    ----------
    load_width : int
        Number of bits that the generator draws at once.
    """

    latency = DRAW_LATENCY
    """Cycles from a slot to its word: one to count the place of the word, one to read it."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.generator = stochastic_generator(spec.stochastic_bits)
        self.load_width = self.generator.outputs
        super().__init__(
            {
                "slot": In(slot_layout(spec)),
                "update": In(1),
                "o": Out(spec.stochastic_bits),
                "load_en": In(1),
                "load": In(self.load_width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        slot, count = self.slot, noise_words(self.spec)
        m.submodules.words = store = memory.Memory(shape=len(self.o), depth=count, init=[], attrs=NO_READ_WRITE_CHECK)
        write, read = store.write_port(), store.read_port()
        state = Signal(self.generator.degree, reset_less=True)
        place, filling, stale = Signal(range(count), reset_less=True), Signal(), Signal(init=1)
        layers = self.spec.network.layers
        starts = [sum(layer.fan_in + 1 for layer in layers[:number]) for number in range(len(layers))]
        loads = delayed(m, self.load_en, 1, "loads", reset_less=False)
        applies = slot.real & slot.apply
        written, draws = self._renewed(m, place, filling, applies)
        m.d.comb += [
            write.addr.eq(written),
            write.data.eq(state[: len(self.o)]),
            write.en.eq(draws),
            read.addr.eq(place),
            self.o.eq(read.data),
        ]
        jumps = applies & slot.first
        # Where the addend's bit is 0, it is the strobe of the jump, so that the adder's look-up tables load as well.
        following = place + Cat(Const(1, 1), jumps.replicate(len(place) - 1))
        with m.If(filling | applies):
            m.d.sync += place.eq(Mux(jumps, by_layer(starts, slot.layer), following))
        with m.If(place == count - 1):
            m.d.sync += filling.eq(0)
        with m.If(self._begins(slot) & ~slot.apply):
            m.d.sync += [filling.eq(stale), place.eq(0), stale.eq(0)]
        with m.If(self._ages(applies) | self.load_en):
            m.d.sync += stale.eq(1)
        with m.If(draws | loads):
            m.d.sync += state.eq(leap(self.generator, state, loads, self.load))
        return m

    def _begins(self, slot):
        """Whether a slot is the first one of its pass."""
        return slot.begin

    def _renewed(self, m, place, filling, applies):
        """Place of the word that is written, and whether one is drawn for it."""
        return place, filling

    def _ages(self, applies):
        """Whether the words must be written again before the next update; ``applies`` tells that one of them is used."""
        return applies & self.update


class RenewedNoise(InputNoise):
    """The noise of lanes that apply errors in the pass that begins the next presentation.

    That pass uses the words of an update from its first slot on. So the last group of a layer, which takes its words for the last time,
    leaves those of the next update in their places.
    """

    def _renewed(self, m, place, filling, applies):
        renews = delayed(m, applies & self.slot.tail & self.update, 2, "renews", reset_less=False)
        return Mux(renews, delayed(m, place, 1, "used_place"), place), filling | renews

    def _ages(self, applies):
        return Const(0, 1)
