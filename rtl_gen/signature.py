"""Running signatures of everything a core computes, so that long runs can be compared step by step."""

from __future__ import annotations

from functools import reduce
from operator import xor

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.events import POLYNOMIAL
from rtl_gen.slot import delayed

__all__ = ["Signature", "fold"]

PART = 4 * 32
"""Bits of a payload that are folded in a cycle of their own."""


def fold(payload: Value) -> Value:
    """XOR of the 32-bit words of a packed payload, the last filled up with zeros."""
    value = payload[:32]
    for first in range(32, len(payload), 32):
        value = value ^ payload[first : first + 32]
    return value


class Signature(wiring.Component):
    """Signature, as :mod:`python_ref.fixed.signature` defines it, of the folded payloads of events.

    Parameters
    ----------
    widths : tuple of int
        Widths of the payloads; at most one event comes a cycle.
    in_parts : bool
        Whether payloads are wide: they are registered, and folded in two cycles.

    Members
    -------
    stb : In(len(widths))
        An event.
    payload0, payload1, … : In(width)
        Its payload.
    clear : In(1)
        Start over.
    o : Out(32)
        The signature, ``latency`` cycles later.
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
        # It begins a cycle after a reset.
        state, begin = Signal(32, init=-1, reset_less=True), Signal(init=1)
        m.d.comb += self.o.eq(~state)
        m.d.sync += begin.eq(self.clear)
        with m.If(begin):
            m.d.sync += state.eq(-1)
        with m.Elif(valid):
            m.d.sync += state.eq(state[1:] ^ word ^ (state[0].replicate(32) & POLYNOMIAL))
        return m
