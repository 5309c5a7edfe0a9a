"""The slot: one cycle's worth of work, described once by the sequencer and handed down the pipeline."""

from __future__ import annotations

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data

from python_ref.spec.design import DesignSpec

__all__ = [
    "NO_READ_WRITE_CHECK",
    "active_lanes",
    "ahead_layout",
    "and_or_mux",
    "by_layer",
    "delayed",
    "ends_pass",
    "in_last_layer",
    "pipeline",
    "slot_layout",
]


NO_READ_WRITE_CHECK = {"no_rw_check": 1}
"""Attribute of a memory of which no word that matters is read in the cycle in which it is written: synthesis would make the memory's
outputs right for that case, at the price of a register and a multiplexer a bit."""


def slot_layout(spec: DesignSpec) -> data.StructLayout:
    """Layout of a slot.

    Members
    -------
    valid : a slot of a pass, padding included: signs are drawn
    real : not padding: a word of the lanes' memories is visited
    first : the group's bias
    last : the group's last real slot
    tail : the group is its layer's last
    repeat : the group is of the last layer, and not its first
    begin : the first slot of the pass
    correlate : the pass correlates, and updates when that is due
    perturb : the pass is perturbed
    second : the pass is pass 1
    forward : the pass accumulates and its neurons are used (a flushing pass is not one)
    layer : number of the layer
    """
    flags = ("valid", "real", "first", "last", "tail", "repeat", "begin", "correlate", "perturb", "second", "forward")
    return data.StructLayout(
        {**{name: unsigned(1) for name in flags}, "layer": unsigned(max(1, (len(spec.network.layers) - 1).bit_length()))}
    )


def ahead_layout(spec: DesignSpec) -> data.StructLayout:
    """Of a slot that is still a cycle away: its layer, and whether its pass is pass 1."""
    layout = slot_layout(spec)
    return data.StructLayout({name: layout[name].shape for name in ("layer", "second")})


def delayed(m: Module, value, cycles: int, name: str, *, reset_less: bool = True):
    """``value``, ``cycles`` cycles later."""
    for cycle in range(cycles):
        register = Signal.like(value, name=f"{name}_{cycle + 1}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value


def and_or_mux(select: Value, this: Value, other: Value) -> Value:
    """``this`` or ``other``, of the same width: a multiplexer of which synthesis makes no clock enable and no reset, where ``select``
    comes late, or registers are few: those that share an enable share their place, far from what they are to be near."""
    every = select.replicate(len(other))
    return (this & every) | (other & ~every)


def by_layer(values: list[int], layer: Value) -> Value:
    """A constant that depends on the layer."""
    if len(set(values)) == 1:
        return Const(values[0], max(1, values[0].bit_length()))
    width = max(max(values).bit_length(), 1)
    return Array([Const(value, width) for value in values])[layer]


def pipeline(m: Module, slot, stages: int) -> list:
    """A slot now, and in each of the ``stages`` cycles after."""
    slots = [slot]
    for stage in range(stages):
        slots.append(delayed(m, slots[-1], 1, f"slot{stage + 1}"))
    return slots


def in_last_layer(spec: DesignSpec, item) -> Value:
    """Whether a slot, or a neuron, is of the network's last layer."""
    return item.layer == len(spec.network.layers) - 1


def ends_pass(spec: DesignSpec, slot) -> Value:
    """Whether a slot is the last real one of its pass."""
    return slot.last & slot.tail & in_last_layer(spec, slot)


def active_lanes(spec: DesignSpec, slot) -> Value:
    """Number of lanes that hold a neuron in a slot's group."""
    tails = by_layer([placed.last_lanes for placed in spec.layout.layers], slot.layer)
    return Mux(slot.tail, tails, spec.hardware.lanes)
