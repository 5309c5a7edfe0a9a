# amaranth: UnusedElaboratable=no
"""A push button whose contacts bounce."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Button"]


class Button(wiring.Component):
    """Finds when a button is pressed: its level counts once it has been the same for a number of cycles.

    Parameters
    ----------
    cycles : int
        Cycles for which the level must be the same, a power of two from 2.

    Members
    -------
    i : In(1)
        The button is down, synchronous to the clock.
    press : Out(1)
        Strobe: it was pressed.
    """

    def __init__(self, cycles: int):
        if cycles < 2 or cycles & cycles - 1:
            raise ValueError(f"Cycles must be a power of two from 2, not {cycles!r}")
        self.cycles = cycles
        super().__init__({"i": In(1), "press": Out(1)})

    def elaborate(self, platform):
        m = Module()
        level, count = Signal(), Signal(range(self.cycles))
        m.d.sync += [count.eq(count + 1), self.press.eq(0)]
        with m.If(self.i == level):
            m.d.sync += count.eq(0)
        with m.Elif(count == self.cycles - 1):
            m.d.sync += [level.eq(self.i), self.press.eq(self.i)]
        return m
