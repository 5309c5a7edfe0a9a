# amaranth: UnusedElaboratable=no
"""The forward signature of a learner, which covers the passes of completed steps and their cost changes."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.learner import LearnerSpec
from rtl_gen.probe import event_layouts, shape_of
from rtl_gen.signature import after, fold
from rtl_gen.slot import delayed

__all__ = ["PassSignature"]


class PassSignature(wiring.Component):
    """Running signature of the passes and of their cost changes, as docs/design/learner.md defines it.

    Each pass has a register over its words. Their words and that of C̃ enter the signature when the step is complete, so that a step that is
    abandoned leaves nothing.

    Parameters
    ----------
    spec : LearnerSpec
        The learner whose signature is kept.

    Members
    -------
    begin : In(1)
        Strobe: a measured pass begins.
    second : In(1)
        The pass is pass 1.
    stb, word : In(1), In
        Strobe and payload of a ``presented`` event.
    change_stb, both : In(1)
        Strobe: the step is complete; and whether it measured pass 0.
    cost0, cost1, cost_change : In
        Raw costs of both passes and raw C̃, stable from ``change_stb`` until the next measurement.
    clear : In(1)
        Strobe that resets the signature to its initial value.
    o : Out(32)
        The signature, ``latency`` cycles after ``change_stb``.
    """

    latency = 4
    """Cycles from ``change_stb`` to the signature: one for each of three words, and one to register them."""

    def __init__(self, spec: LearnerSpec):
        self.spec = spec
        cost = shape_of(spec.cost_format)
        super().__init__(
            {
                **{name: In(1) for name in ("begin", "second", "stb", "change_stb", "both", "clear")},
                "word": In(event_layouts(spec)["presented"]),
                "cost0": In(cost),
                "cost1": In(cost),
                "cost_change": In(shape_of(spec.cost_change_format)),
                "o": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word, valid = Signal(32, reset_less=True), Signal()
        m.d.sync += [word.eq(fold(self.word.as_value())), valid.eq(self.stb)]
        passes = []
        for number in range(2):
            register = Signal(32, name=f"pass{number}", reset_less=True)
            with m.If(self.begin & (self.second == number)):
                m.d.sync += register.eq(-1)
            with m.Elif(valid & (self.second == number)):
                m.d.sync += register.eq(after(register, word))
            passes.append(register)
        places = [self.change_stb & self.both, *(delayed(m, self.change_stb, n, f"place{n}", reset_less=False) for n in (1, 2))]
        costs = [passes[0] ^ fold(Cat(Const(0, 1), self.cost0)), passes[1] ^ fold(Cat(Const(1, 1), self.cost1))]
        following, stb = Signal(32, reset_less=True), Signal()
        m.d.sync += [
            stb.eq(places[0] | places[1] | places[2]),
            following.eq(Mux(places[2], fold(self.cost_change.as_unsigned()), Mux(places[1], costs[1], costs[0]))),
        ]
        # The state is initialised one cycle after a reset.
        state, begin = Signal(32, init=-1, reset_less=True), Signal(init=1)
        m.d.comb += self.o.eq(~state)
        m.d.sync += begin.eq(self.clear)
        with m.If(begin):
            m.d.sync += state.eq(-1)
        with m.Elif(stb):
            m.d.sync += state.eq(after(state, following))
        return m
