# amaranth: UnusedElaboratable=no
"""Fan-out of shared signals to the lanes: direct for up to 8 lanes, through one register stage per 8 lanes beyond that; and for more than
64 lanes, which are across a whole part, through one per 32 lanes before these where an array asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.slot import delayed

__all__ = ["MAX_DIRECT_LANES", "MAX_NEAR_LANES", "FanoutStage", "are_far", "connect_lanes", "fanout_latency", "read_latency"]

MAX_DIRECT_LANES = 8
"""Most lanes that shared signals reach without a register, and the number of lanes behind each register stage beyond that.

An FPGA that holds more lanes places them far apart and has slow memories but plenty of flip-flops, so each group of so many lanes
gets its own copy of the shared signals in registers, and each memory a register behind its read port.
"""

MAX_NEAR_LANES = 8 * MAX_DIRECT_LANES
"""Most lanes that stand so near each other that a wire to all groups of them is no longer than the logic of a cycle."""

_FAR_GROUPS = 4
"""Groups of lanes behind each register of the first stage, where there are two stages."""


def fanout_latency(lanes: int) -> int:
    """Cycles from a shared signal at the array until it arrives at the lanes: 0, or 1 where there are register stages."""
    return int(lanes > MAX_DIRECT_LANES)


def are_far(lanes: int) -> bool:
    """Whether so many lanes are across a whole part, so that an array of theirs may have a second register stage."""
    return lanes > MAX_NEAR_LANES


def read_latency(lanes: int) -> int:
    """Cycles from a memory's read address to its data: 1, and 1 more for the output register where there are register stages."""
    return 1 + fanout_latency(lanes)


class FanoutStage(wiring.Component):
    """One register per shared signal, for one group of lanes.

    It is a module of its own, and synthesis keeps its hierarchy. Otherwise synthesis would merge the registers of all groups, whose
    values are equal, into one.

    Parameters
    ----------
    shapes : mapping of str to shape
        Shape of each signal, by the signal's name.

    Members
    -------
    i_<name> : In
        The signal as it comes from the array.
    o_<name> : Out
        The same signal for this group's lanes, one cycle later.
    """

    def __init__(self, shapes: Mapping):
        self.names = tuple(shapes)
        super().__init__({f"{way}_{name}": flow(shape) for way, flow in (("i", In), ("o", Out)) for name, shape in shapes.items()})

    def elaborate(self, platform):
        m = Module()
        for name in self.names:
            m.d.comb += getattr(self, f"o_{name}").eq(delayed(m, getattr(self, f"i_{name}"), 1, name))
        return m


def connect_lanes(m: Module, lanes: Sequence[wiring.Component], shared: Mapping, per_lane: Mapping, stages: int | None = None) -> None:
    """Connect signals to the inputs of all lanes; they arrive ``stages`` cycles later.

    Parameters
    ----------
    m : Module
        The array's module, which receives the assignments and the register stages.
    lanes : sequence of components
        The lanes in order, lane 0 first.
    shared : mapping of str to value
        Values that are the same for all lanes, by the name of the lanes' member.
    per_lane : mapping of str to value
        Vectors of one bit per lane, lane 0's lowest, by the name of the lanes' member.
    stages : int or None
        Number of register stages, up to two; None takes :func:`fanout_latency`.
    """
    if stages is None:
        stages = fanout_latency(len(lanes))

    def through_stage(name, signals, some):
        shapes = {each: len(some) if each in per_lane else some[0].signature.members[each].shape for each in signals}
        m.submodules[name] = stage = FanoutStage(shapes)
        m.d.comb += [getattr(stage, f"i_{each}").eq(value) for each, value in signals.items()]
        return {each: getattr(stage, f"o_{each}") for each in signals}

    span = _FAR_GROUPS * MAX_DIRECT_LANES
    far: Mapping[str, Any] = {}
    for first in range(0, len(lanes), MAX_DIRECT_LANES):
        group = lanes[first : first + MAX_DIRECT_LANES]
        place, source = (first % span, far) if stages > 1 else (first, {**shared, **per_lane})
        if stages > 1 and place == 0:
            some = lanes[first : first + span]
            signals = {**shared, **{name: bits[first : first + len(some)] for name, bits in per_lane.items()}}
            source = far = through_stage(f"fanout_far{first // span}", signals, some)
        signals = {name: value[place : place + len(group)] if name in per_lane else value for name, value in source.items()}
        if stages:
            signals = through_stage(f"fanout{first // MAX_DIRECT_LANES}", signals, group)
        for number, lane in enumerate(group):
            m.d.comb += [getattr(lane, name).eq(value[number] if name in per_lane else value) for name, value in signals.items()]
