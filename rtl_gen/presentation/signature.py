"""Running signatures of node perturbation, whose passes overlap in time and whose errors come ahead of the words they change."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.signature import after, folded
from rtl_gen.slot import delayed

__all__ = ["ForwardSignature", "LearnedSignature"]


class ForwardSignature(wiring.Component):
    """Signature with one word per pass, in the order of their costs, and one word per step (:mod:`python_ref.fixed.signature`).

    The word of a pass is the XOR of the register over its neurons, which begins with all ones in each pass, and of its cost event.

    Parameters
    ----------
    neuron, cost, change : int
        Widths of the payloads, in bits.
    in_parts : bool
        Whether payloads are wide, so that they are registered and folded in two cycles.

    Members
    -------
    neuron_stb, neuron_bank, neuron : In
        Strobe of a neuron, the bank of its pass, and its payload.
    cost_stb, cost_bank, cost : In
        Strobe of a pass's cost after its last neuron, its bank, and its payload.
    change_stb, change : In
        Strobe of a step's cost change, and its payload.
    clear : In(1)
        Strobe that resets the signature to its initial value.
    o : Out(32)
        The signature, ``latency`` cycles after an event.
    """

    def __init__(self, neuron: int, cost: int, change: int, *, in_parts: bool = False):
        self._waits = 3 if in_parts else 1
        self.latency = 4 if in_parts else 3
        ports = {name: In(1) for name in ("neuron_stb", "cost_stb", "change_stb", "clear")}
        banks = {"neuron_bank": In(2), "cost_bank": In(2)}
        super().__init__({**ports, **banks, "neuron": In(neuron), "cost": In(cost), "change": In(change), "o": Out(32)})

    def elaborate(self, platform):
        m = Module()
        in_parts = self._waits > 1
        words, strobes = {}, {}

        def waits(value, name):
            return delayed(m, value, self._waits, name, reset_less=False)

        for name in ("neuron", "cost", "change"):
            words[name] = delayed(m, folded(m, getattr(self, name), name, in_parts=in_parts), 1, f"{name}_word")
            strobes[name] = waits(getattr(self, f"{name}_stb"), f"{name}_stb")
        # The unperturbed pass ends before the second probe begins, and shares its register.
        passes = [Signal(32, name=f"pass{number}", init=-1) for number in range(2)]
        of_cost = Signal(32)
        for number, register in enumerate(passes):
            # The choice is registered, since many flip-flops depend on it.
            takes = waits(self.neuron_stb & (self.neuron_bank.any() == number), f"takes{number}")
            ends = waits(self.cost_stb & (self.cost_bank.any() == number), f"ends{number}")
            with m.If(takes):
                m.d.sync += register.eq(after(register, words["neuron"]))
            with m.If(ends):
                m.d.comb += of_cost.eq(register)
                m.d.sync += register.eq(-1)
        state, begin = Signal(32, init=-1, reset_less=True), Signal(init=1)
        m.d.comb += self.o.eq(~state)
        m.d.sync += begin.eq(self.clear)
        word, stb = Mux(strobes["cost"], words["cost"] ^ of_cost, words["change"]), strobes["cost"] | strobes["change"]
        last = self.latency - 1 - self._waits
        word, stb = delayed(m, word, last, "chosen"), delayed(m, stb, last, "chosen_stb", reset_less=False)
        with m.If(begin):
            m.d.sync += state.eq(-1)
        with m.Elif(stb):
            m.d.sync += state.eq(after(state, word))
        return m


class LearnedSignature(wiring.Component):
    """Signature with one word per applied word, of which the last one of a pass is XORed with the register over the presentation's errors.

    Parameters
    ----------
    word, error : int
        Widths of the payloads, in bits.
    in_parts : bool
        Whether payloads are wide, so that they are registered and folded in two cycles.

    Members
    -------
    word_stb, word_last, word : In
        Strobe of an applied word, whether it is the last one of its pass, and its payload.
    error_stb, error : In
        Strobe of an error, and its payload.
    clear : In(1)
        Strobe that resets the signature to its initial value.
    o : Out(32)
        The signature, ``latency`` cycles after a word.
    """

    def __init__(self, word: int, error: int, *, in_parts: bool = False):
        self.latency = 4 if in_parts else 2
        ports = {name: In(1) for name in ("word_stb", "word_last", "error_stb", "clear")}
        super().__init__({**ports, "word": In(word), "error": In(error), "o": Out(32)})

    def elaborate(self, platform):
        m = Module()
        in_parts = self.latency > 2
        word = delayed(m, folded(m, self.word, "word", in_parts=in_parts), 1, "word_folded")
        stb, last = (delayed(m, getattr(self, name), self.latency - 1, name, reset_less=False) for name in ("word_stb", "word_last"))
        errors = Signal(32, init=-1)
        error, error_stb = delayed(m, folded(m, self.error, "error"), 1, "error_folded"), delayed(m, self.error_stb, 1, "error_stb")
        state, begin = Signal(32, init=-1, reset_less=True), Signal(init=1)
        m.d.comb += self.o.eq(~state)
        m.d.sync += begin.eq(self.clear)
        with m.If(stb & last):
            m.d.sync += errors.eq(-1)
        with m.Elif(error_stb):
            m.d.sync += errors.eq(after(errors, error))
        with m.If(begin):
            m.d.sync += state.eq(-1)
        with m.Elif(stb):
            m.d.sync += state.eq(after(state, word ^ Mux(last, errors, 0)))
        return m
