"""Running signatures of the values that a core computes, so that long runs can be compared step by step."""

from __future__ import annotations

from functools import reduce
from operator import xor

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.events import POLYNOMIAL
from rtl_gen.slot import delayed

__all__ = ["Signature", "fold", "folded"]

PART = 4 * 32
"""Number of payload bits that are folded in one cycle, where payloads are wide."""


def fold(payload: Value) -> Value:
    """XOR of the 32-bit words of a packed payload, the last one padded with zeros."""
    value = payload[:32]
    for first in range(32, len(payload), 32):
        value = value ^ payload[first : first + 32]
    return value


def folded(m: Module, payload: Value, name: str, *, in_parts: bool = False) -> Value:
    """Fold a payload; if ``in_parts``, it is registered and folded in two cycles, and the result comes two cycles later."""
    value = delayed(m, payload, int(in_parts), f"{name}_payload")
    parts = [fold(value[first : first + PART]) for first in range(0, len(value), PART)]
    return reduce(xor, [delayed(m, part, int(in_parts), f"{name}_folded{place}") for place, part in enumerate(parts)])


class Signature(wiring.Component):
    """Running signature of the folded payloads of events, as :mod:`python_ref.fixed.signature` defines it.

    Parameters
    ----------
    widths : tuple of int
        Widths of the payloads of each kind of event, in bits; at most one event occurs per cycle.
    in_parts : bool
        Whether payloads are wide, so that they are registered and folded in two cycles.

    Members
    -------
    stb : In(len(widths))
        Strobes of the events, one bit per kind.
    payload0, payload1, … : In(width)
        Payload of each kind of event, valid with its strobe.
    clear : In(1)
        Strobe that resets the signature to its initial value.
    o : Out(32)
        The signature, ``latency`` cycles after an event.
    """

    def __init__(self, widths: tuple[int, ...], *, in_parts: bool = False):
        self.widths = widths
        self.latency = 4 if in_parts else 2
        ports = {f"payload{number}": In(width) for number, width in enumerate(widths)}
        super().__init__({"stb": In(len(widths)), **ports, "clear": In(1), "o": Out(32)})

    def elaborate(self, platform):
        m = Module()
        word, valid = Signal(32, reset_less=True), Signal()
        in_parts = self.latency > 2
        stb = delayed(m, self.stb, self.latency - 2, "stb", reset_less=False)
        m.d.sync += valid.eq(stb.any())
        for number, width in enumerate(self.widths):
            payload = delayed(m, getattr(self, f"payload{number}"), int(in_parts), f"payload{number}")
            parts = [fold(payload[first : first + PART]) for first in range(0, width, PART)]
            folded = [delayed(m, part, int(in_parts), f"folded{number}_{place}") for place, part in enumerate(parts)]
            with m.If(stb[number]):
                m.d.sync += word.eq(reduce(xor, folded))
        # The state is initialised one cycle after a reset.
        state, begin = Signal(32, init=-1, reset_less=True), Signal(init=1)
        m.d.comb += self.o.eq(~state)
        m.d.sync += begin.eq(self.clear)
        with m.If(begin):
            m.d.sync += state.eq(-1)
        with m.Elif(valid):
            m.d.sync += state.eq(state[1:] ^ word ^ (state[0].replicate(32) & POLYNOMIAL))
        return m
