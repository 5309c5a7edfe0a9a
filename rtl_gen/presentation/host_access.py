# amaranth: UnusedElaboratable=no
"""The host's access to the memories of many lanes: each group of lanes decides in registers of its own which lane is meant.

The host's position changes only while the core is idle. On a large part, a decision in the middle would have wires to every lane, which
would be the slowest of all, though training does not use them. So the position goes to the groups as few bits, through two registers, and
what is read comes back through two more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fanout import MAX_DIRECT_LANES
from rtl_gen.slot import delayed

__all__ = ["GROUP_LATENCY", "HostStage", "gathered", "widest"]

GROUP_LATENCY = 2
"""Cycles from a lane's word to the word that :func:`gathered` returns."""

_JOINED = 4
"""Groups whose words are joined between two registers: as many as a look-up table has inputs."""


def widest(shapes: Sequence[Any]) -> Shape:
    """The narrowest shape that holds every value of each of the shapes."""
    cast = [Shape.cast(each) for each in shapes]
    negative = any(each.signed for each in cast)
    width = max(each.width + (negative and not each.signed) for each in cast)
    return signed(width) if negative else unsigned(width)


class HostStage(wiring.Component):
    """The host's access to one group of lanes.

    It is a module of its own, and synthesis keeps its hierarchy, as that of :class:`~rtl_gen.fanout.FanoutStage`.

    Parameters
    ----------
    shapes : mapping of str to shape
        Shape of a word of each memory that a lane has, by the memory's name.
    lanes : int
        Number of lanes in the group.
    silences : bool
        Whether a lane's word is 0 by itself while ``silent``, so that it needs no mask here.

    Members
    -------
    here_<name> : In(1)
        The host accesses this memory of one of the group's lanes.
    place : In(range(8))
        Number of that lane in the group.
    mode, write : In(1)
        The host has the memories; and the strobe of its write.
    enable_<name> : In(1)
        The core writes this memory in all lanes.
    word_<name> : In
        Words that the group's lanes have read from this memory, the first lane's in the lowest bits.
    en_<name> : Out(lanes)
        Write enable of this memory for each lane, two cycles after ``enable`` or ``write``.
    silent : Out(lanes)
        In host mode: the host does not access a lane; two cycles after ``here`` and ``place``. Only where lanes are silent by themselves.
    found : Out
        The word of the lane that the host accesses, one cycle after the lane shows it; 0 if the lane is in another group.
    """

    def __init__(self, shapes: Mapping[str, Any], lanes: int, *, silences: bool):
        self.shapes = {name: Shape.cast(shape) for name, shape in shapes.items()}
        self.lanes, self.silences = lanes, silences
        ports = {"place": In(range(MAX_DIRECT_LANES)), "mode": In(1), "write": In(1)}
        for name, shape in self.shapes.items():
            ports |= {f"here_{name}": In(1), f"enable_{name}": In(1), f"word_{name}": In(shape.width * lanes), f"en_{name}": Out(lanes)}
        super().__init__(ports | ({"silent": Out(lanes)} if silences else {}) | {"found": Out(widest([*self.shapes.values()]))})

    def elaborate(self, platform):
        m = Module()
        place, mode, write = (delayed(m, getattr(self, name), 1, name) for name in ("place", "mode", "write"))
        words = []
        for name, shape in self.shapes.items():
            here, enable = (delayed(m, getattr(self, f"{way}_{name}"), 1, f"{way}_{name}") for way in ("here", "enable"))
            chosen = Cat(here & (place == number) for number in range(self.lanes))
            accessed = delayed(m, chosen, 1, f"accessed_{name}")
            enables = enable.replicate(self.lanes) | (accessed & write.replicate(self.lanes))
            m.d.comb += getattr(self, f"en_{name}").eq(delayed(m, enables, 1, f"enables_{name}"))
            if self.silences:  # lanes that are silent by themselves have one memory
                m.d.comb += self.silent.eq(delayed(m, mode.replicate(self.lanes) & ~chosen, 1, "silences"))
            for number in range(self.lanes):
                word = getattr(self, f"word_{name}").word_select(number, shape.width)
                word = word.as_signed() if shape.signed else word
                words.append(word if self.silences else Mux(accessed[number], word, 0))
        found = Signal.like(self.found, name="word_found", reset_less=True)
        m.d.sync += found.eq(reduce(or_, words))
        m.d.comb += self.found.eq(found)
        return m


def gathered(m: Module, found: Sequence[Value]) -> Value:
    """The word of the one group whose word is not 0, one cycle later."""
    shape, joined = found[0].shape(), []
    for number, first in enumerate(range(0, len(found), _JOINED)):
        joined.append(Signal(shape, name=f"host_joined{number}", reset_less=True))
        m.d.sync += joined[-1].eq(reduce(or_, found[first : first + _JOINED]))
    return reduce(or_, joined)
