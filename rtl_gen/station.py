# amaranth: UnusedElaboratable=no
"""How what lanes are told reaches them: at once where they are few, through registers near them where they are many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.slot import delayed

__all__ = ["MANY", "Station", "reach_of", "read_latency_of", "tell"]

MANY = 8
"""Lanes up to which what a lane hears, and what it reads, is used as it comes. A part that holds more has them far apart, memories
that are slow, and flip-flops in plenty: there a register stands before every so many lanes, and one behind each memory."""


def reach_of(lanes: int) -> int:
    """Cycles from what so many lanes are told until they hear it."""
    return int(lanes > MANY)


def read_latency_of(lanes: int) -> int:
    """Cycles from a memory's address to its word: as many registers stand behind a memory as before so many lanes."""
    return 1 + reach_of(lanes)


class Station(wiring.Component):
    """What some lanes hear, a cycle after it was told.

    A module of its own, kept whole by synthesis, which would else make one register for all lanes of what is always the same for them.

    Parameters
    ----------
    shapes : mapping of str to shape
        By name.

    Members
    -------
    i_<name>, o_<name> : In, Out
        What is told, and what is heard.
    """

    def __init__(self, shapes: Mapping):
        self.names = tuple(shapes)
        super().__init__({f"{way}_{name}": flow(shape) for way, flow in (("i", In), ("o", Out)) for name, shape in shapes.items()})

    def elaborate(self, platform):
        m = Module()
        for name in self.names:
            m.d.comb += getattr(self, f"o_{name}").eq(delayed(m, getattr(self, f"i_{name}"), 1, name))
        return m


def tell(m: Module, lanes: Sequence[wiring.Component], shared: Mapping, own: Mapping) -> None:
    """Connect to lanes what they are told, ``reach_of(len(lanes))`` cycles before they hear it.

    Parameters
    ----------
    m : Module
        Of the array.
    lanes : sequence of components
        The lanes.
    shared : mapping of str to value
        What is the same for all, by the lanes' member.
    own : mapping of str to value
        Bits of which each lane hears its own, by the lanes' member; lane 0's is the lowest.
    """
    for first in range(0, len(lanes), MANY):
        group = lanes[first : first + MANY]
        told = {**shared, **{name: bits[first : first + len(group)] for name, bits in own.items()}}
        if reach_of(len(lanes)):
            shapes = {name: len(group) if name in own else group[0].signature.members[name].shape for name in told}
            m.submodules[f"station{first // MANY}"] = station = Station(shapes)
            m.d.comb += [getattr(station, f"i_{name}").eq(value) for name, value in told.items()]
            told = {name: getattr(station, f"o_{name}") for name in told}
        for number, lane in enumerate(group):
            m.d.comb += [getattr(lane, name).eq(value[number] if name in own else value) for name, value in told.items()]
