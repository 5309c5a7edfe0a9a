"""Counters of events that come several at once."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Tally", "count_ones"]


def count_ones(bits: list[Value]) -> Value:
    """Number of set bits, by a tree of adders."""
    middle = len(bits) // 2
    return bits[0] if len(bits) == 1 else count_ones(bits[:middle]) + count_ones(bits[middle:])


class Tally(wiring.Component):
    """Counts set bits, saturating.

    Parameters
    ----------
    inputs : int
        Bits a cycle.
    width : int
        Of the count.

    Members
    -------
    i : In(inputs)
        Bits to count.
    clear : In(1)
        Back to 0.
    o : Out(width)
        The count, ``latency`` cycles later.
    """

    latency = 3

    def __init__(self, inputs: int, width: int):
        self.inputs = inputs
        self.width = width
        super().__init__({"i": In(inputs), "clear": In(1), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        taken = Signal(self.inputs)
        m.d.sync += taken.eq(self.i)
        ones = Signal(range(self.inputs + 1))
        m.d.sync += ones.eq(count_ones(list(taken)))
        total = Signal(unsigned(self.width + 1))
        m.d.comb += total.eq(self.o + ones)
        with m.If(self.clear):
            m.d.sync += self.o.eq(0)
        with m.Elif(total[-1]):
            m.d.sync += self.o.eq(-1)
        with m.Else():
            m.d.sync += self.o.eq(total)
        return m
