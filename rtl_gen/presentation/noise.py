"""Generator of the rounding noise, one random word for each input of each layer."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.perturbation import stochastic_generator
from rtl_gen.perturbation import DRAW_LATENCY, leap
from rtl_gen.presentation.layouts import slot_layout
from rtl_gen.slot import delayed

__all__ = ["InputNoise"]


class InputNoise(wiring.Component):
    """Generates the noise of stochastic rounding. All groups of a layer take the same words, so that they do not depend on the lanes.

    Members
    -------
    slot : In(slot_layout(spec))
        The slot, two cycles before its random word is used.
    update : In(1)
        An update is due in the applying pass.
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
        state, start = (Signal(self.generator.degree, name=name, reset_less=True) for name in ("state", "start"))
        draws, advances, opens, repeats, layer_ended = Signal(), Signal(), Signal(), Signal(), Signal(init=1)
        draw = self.slot.real & self.slot.apply & self.update
        m.d.sync += [
            draws.eq(draw),
            advances.eq(draw | self.load_en),
            opens.eq(draw & self.slot.first & layer_ended),
            repeats.eq(draw & self.slot.first & ~layer_ended),
        ]
        with m.If(draw & self.slot.last):
            m.d.sync += layer_ended.eq(self.slot.tail)
        loads = delayed(m, self.load_en, 1, "loads", reset_less=False)
        now = Signal.like(state)
        m.d.comb += now.eq(Mux(repeats, start, state))
        with m.If(opens):
            m.d.sync += start.eq(state)
        with m.If(draws):
            m.d.sync += self.o.eq(now[: self.generator.outputs])
        with m.If(advances):
            m.d.sync += state.eq(leap(self.generator, now, loads, self.load))
        return m
