"""Running signatures of the values that a core computes, so that long runs can be compared step by step."""

from __future__ import annotations

from functools import reduce
from operator import xor

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.events import POLYNOMIAL
from rtl_gen.slot import delayed

__all__ = ["ForwardSignature", "Signature", "after", "fold", "folded"]

PART = 4 * 32
"""Number of payload bits that are folded in one cycle, where payloads are wide."""

MAX_COPIED = 8 * PART
"""Most payload bits that are registered before they are folded. More come from all over a large part: each part of them is folded where it
comes from, and four of these in the next cycle, so that few wires are long."""


def fold(payload: Value) -> Value:
    """XOR of the 32-bit words of a packed payload, the last one padded with zeros."""
    value = payload[:32]
    for first in range(32, len(payload), 32):
        value = value ^ payload[first : first + 32]
    return value


def folded(m: Module, payload: Value, name: str, *, in_parts: bool = False) -> Value:
    """Fold a payload; if ``in_parts``, it is registered and folded in two cycles, and the result comes two cycles later."""
    if in_parts and len(payload) > MAX_COPIED:
        parts = [delayed(m, fold(payload[first : first + PART]), 1, f"{name}_part{first}") for first in range(0, len(payload), PART)]
        fours = [reduce(xor, parts[first : first + 4]) for first in range(0, len(parts), 4)]
        return reduce(xor, [delayed(m, four, 1, f"{name}_four{place}") for place, four in enumerate(fours)])
    value = delayed(m, payload, int(in_parts), f"{name}_payload")
    parts = [fold(value[first : first + PART]) for first in range(0, len(value), PART)]
    return reduce(xor, [delayed(m, part, int(in_parts), f"{name}_folded{place}") for place, part in enumerate(parts)])


def _word(m: Module, stb, payload: Value, name: str, *, in_parts: bool):
    """The folded payload of an event and its strobe, 1 cycle after the event, or 3 if ``in_parts``."""
    word, valid = Signal(32, name=f"{name}_word", reset_less=True), Signal(name=f"{name}_valid")
    m.d.sync += [
        valid.eq(delayed(m, stb, 2 * in_parts, f"{name}_stb", reset_less=False)),
        word.eq(folded(m, payload, name, in_parts=in_parts)),
    ]
    return word, valid


def after(register, word) -> Value:
    """A signature's register after a word."""
    return register[1:] ^ word ^ (register[0].replicate(32) & POLYNOMIAL)


class Signature(wiring.Component):
    """Running signature of the folded payloads of one kind of event, as :mod:`python_ref.fixed.signature` defines it.

    Parameters
    ----------
    width : int
        Width of the events' payload, in bits.
    in_parts : bool
        Whether payloads are wide, so that they are registered and folded in two cycles.

    Members
    -------
    stb, payload : In(1), In(width)
        Strobe and payload of an event.
    clear : In(1)
        Strobe that resets the signature to its initial value.
    o : Out(32)
        The signature, ``latency`` cycles after an event.
    """

    def __init__(self, width: int, *, in_parts: bool = False):
        self.width = width
        self.in_parts = in_parts
        self.latency = 4 if in_parts else 2
        super().__init__({"stb": In(1), "payload": In(width), "clear": In(1), "o": Out(32)})

    def elaborate(self, platform):
        m = Module()
        word, valid = _word(m, self.stb, self.payload, "event", in_parts=self.in_parts)
        # The state is initialised one cycle after a reset.
        state, begin = Signal(32, init=-1, reset_less=True), Signal(init=1)
        m.d.comb += self.o.eq(~state)
        m.d.sync += begin.eq(self.clear)
        with m.If(begin):
            m.d.sync += state.eq(-1)
        with m.Elif(valid):
            m.d.sync += state.eq(after(state, word))
        return m


class ForwardSignature(wiring.Component):
    """Running signature of the passes and of their cost changes, as :mod:`python_ref.fixed.signature` defines it.

    The neurons of the two passes of a step may alternate, so each pass has a register of its own, from which its cost makes one word.

    Parameters
    ----------
    neuron, cost, change : int
        Widths of the payloads of the neuron and the cost events, and of C̃, in bits.
    in_parts : bool
        Whether payloads are wide, so that they are registered and folded in two cycles.

    Members
    -------
    neuron_stb, neuron, neuron_second : In(1), In(neuron), In(1)
        Strobe and payload of a neuron event, and whether its pass is pass 1.
    cost_stb, cost, cost_second : In(1), In(cost), In(1)
        The same of a cost event, at least ``latency`` cycles after the last neuron event of its pass.
    change_stb, change : In(1), In(change)
        Strobe and raw value of C̃, some cycles after the last cost event of its step.
    clear : In(1)
        Strobe that resets the signature to its initial value.
    o : Out(32)
        The signature, ``latency`` cycles after a C̃.
    """

    def __init__(self, neuron: int, cost: int, change: int, *, in_parts: bool = False):
        self.in_parts = in_parts
        self.latency = 4 if in_parts else 2
        strobes = ("neuron_stb", "neuron_second", "cost_stb", "cost_second", "change_stb", "clear")
        payloads = {"neuron": neuron, "cost": cost, "change": change}
        super().__init__({**{name: In(1) for name in strobes}, **{name: In(width) for name, width in payloads.items()}, "o": Out(32)})

    def elaborate(self, platform):
        m = Module()
        begin = Signal(init=1)
        m.d.sync += begin.eq(self.clear)
        neuron, neuron_valid = _word(m, self.neuron_stb, self.neuron, "neuron", in_parts=self.in_parts)
        second = delayed(m, self.neuron_second, self.latency - 1, "second")
        passes = []
        for number in range(2):
            register = Signal(32, name=f"pass{number}", init=-1, reset_less=True)
            with m.If(begin | (self.cost_stb & (self.cost_second == number))):
                m.d.sync += register.eq(-1)
            with m.Elif(neuron_valid & (second == number)):
                m.d.sync += register.eq(after(register, neuron))
            passes.append(register)
        change, change_valid = _word(m, self.change_stb, self.change, "change", in_parts=self.in_parts)
        cost, cost_valid = Signal(32, reset_less=True), Signal()
        m.d.sync += [cost.eq(fold(self.cost) ^ Mux(self.cost_second, passes[1], passes[0])), cost_valid.eq(self.cost_stb)]
        # The state is initialised one cycle after a reset.
        state = Signal(32, init=-1, reset_less=True)
        m.d.comb += self.o.eq(~state)
        with m.If(begin):
            m.d.sync += state.eq(-1)
        with m.Elif(cost_valid | change_valid):
            m.d.sync += state.eq(after(state, Mux(cost_valid, cost, change)))
        return m
