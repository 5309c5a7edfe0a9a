"""The slot: a description of the work of one cycle, which the sequencer issues and the pipeline passes on."""

from __future__ import annotations

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec

__all__ = [
    "NO_READ_WRITE_CHECK",
    "SINGLE_PORT",
    "active_lanes",
    "ahead_layout",
    "and_or_mux",
    "by_layer",
    "delayed",
    "ends_pass",
    "in_last_layer",
    "pipeline",
    "serves_both",
    "slot_layout",
]


NO_READ_WRITE_CHECK = {"no_rw_check": 1}
"""Attribute of a memory whose reads never depend on a write to the same address in the same cycle.

Without it, synthesis would define the result of such a read, at the price of a register and a multiplexer per bit."""


SINGLE_PORT = {"ram_style": "huge"}
"""Attribute of a memory that reads or writes in a cycle, by which Yosys maps it to a large memory with one port where the part has one."""


def slot_layout(spec: LearningSpec) -> data.StructLayout:
    """Layout of a slot; a learner's has the first members from ``valid`` to ``second`` that concern it, and ``measured``.

    Members
    -------
    valid : unsigned(1)
        A slot of a pass, including padding; signs are drawn for it.
    real : unsigned(1)
        A slot that is not padding; it has a word in the lanes' memories.
    first : unsigned(1)
        The slot of the group's biases, which is the group's first.
    last : unsigned(1)
        The last slot of its group that is not padding.
    tail : unsigned(1)
        The group is the last one of its layer.
    begin : unsigned(1)
        The first slot of the pass.
    correlate : unsigned(1)
        The pass correlates, and updates parameters if an update is due.
    perturb : unsigned(1)
        The pass is computed with perturbation.
    second : unsigned(1)
        The pass is pass 1, not pass 0.
    forward : unsigned(1)
        The pass's neurons are used, unlike those of a flushing pass.
    both : unsigned(1)
        The pass is pass 0 of a step of two passes, and its visit of the first layer serves both (only where ``spec.one_visit``).
    branch : unsigned(1)
        The first slot of the second layer, with which pass 1 begins where the first layer was visited once (only where ``spec.one_visit``).
    layer : unsigned
        Number of the layer, from 0.
    measured : unsigned(1)
        The cost of the pass is measured (only in a learner).
    initial, final : unsigned(1)
        The frame is the first one of the pass, or the last one, which the tail belongs to; in a network with state, whose every frame has
        a slot with ``begin``, and which correlates in the first frame and in the tail.
    turns, recurrent : unsigned(1)
        The operand is the last input of a recurrent layer, or an output of the frame before; in a network with state.
    """
    match spec:
        case LearnerSpec():
            names = ("valid", "real", "last", "begin", "correlate", "perturb", "second", "measured")
            return data.StructLayout({name: unsigned(1) for name in names})
        case DesignSpec():
            pass
        case _:
            raise unknown("Design", spec, "rtl_gen.slot.slot_layout")
    flags = ["valid", "real", "first", "last", "tail", "begin", "correlate", "perturb", "second", "forward"]
    flags += ["both", "branch"] if spec.one_visit else []
    flags += ["initial", "final", "turns", "recurrent"] if spec.series else []
    return data.StructLayout(
        {**{name: unsigned(1) for name in flags}, "layer": unsigned(max(1, (len(spec.network.layers) - 1).bit_length()))}
    )


def ahead_layout(spec: DesignSpec) -> data.StructLayout:
    """Layout of what is known one cycle before a slot: its layer, and whether its pass is pass 1.

    A network with sparse layers has what tells where its lists begin and advance as well: whether the slot is real, the last one of its
    group, and the first one of its pass, or of the second layer.
    """
    layout = slot_layout(spec)
    listed = any(layer.lists is not None for layer in spec.network.layers)
    names = ("layer", "second", *(("real", "last", "begin", "branch") if listed else ()))
    return data.StructLayout({name: layout[name].shape for name in names})


def delayed(m: Module, value, cycles: int, name: str, *, reset_less: bool = True):
    """``value``, delayed by ``cycles`` registers."""
    for cycle in range(cycles):
        register = Signal.like(value, name=f"{name}_{cycle + 1}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value


def and_or_mux(select: Value, this: Value, other: Value) -> Value:
    """``this`` if ``select``, else ``other``, of the same width, built from AND and OR gates.

    Synthesis turns a plain multiplexer before a register into a clock enable or a reset. That is worse where ``select`` arrives late, and
    where few registers share an enable, since they are then placed together, far from their logic.
    """
    every = select.replicate(len(other))
    return (this & every) | (other & ~every)


def by_layer(values: list[int], layer: Value) -> Value:
    """The constant in ``values`` that belongs to ``layer``."""
    if len(set(values)) == 1:
        return Const(values[0], max(1, values[0].bit_length()))
    width = max(max(values).bit_length(), 1)
    return Array([Const(value, width) for value in values])[layer]


def pipeline(m: Module, slot, stages: int) -> list:
    """A slot, and its copies delayed by 1 to ``stages`` cycles."""
    slots = [slot]
    for stage in range(stages):
        slots.append(delayed(m, slots[-1], 1, f"slot{stage + 1}"))
    return slots


def in_last_layer(spec: DesignSpec, item) -> Value:
    """Whether a slot or a neuron belongs to the last layer of the network."""
    return item.layer == len(spec.network.layers) - 1


def serves_both(spec: LearningSpec, slot) -> Value:
    """Whether a slot belongs to a visit of the first layer that serves both passes of a step."""
    return slot.both & (slot.layer == 0) if spec.one_visit else Const(0, 1)


def ends_pass(spec: LearningSpec, slot) -> Value:
    """Whether a slot is the last one of its pass that is not padding."""
    if isinstance(spec, LearnerSpec):
        return slot.last
    assert isinstance(spec, DesignSpec)
    return slot.last & slot.tail & in_last_layer(spec, slot)


def active_lanes(spec: LearningSpec, slot) -> Value:
    """Number of lanes that have a neuron in the slot's group, or a quantity."""
    if isinstance(spec, LearnerSpec):
        lanes, last = spec.hardware.lanes, spec.layout.last_lanes
        return Const(lanes, lanes.bit_length()) if last == lanes else Mux(slot.last, last, lanes)
    assert isinstance(spec, DesignSpec)
    tails = by_layer([placed.last_lanes for placed in spec.layout.layers], slot.layer)
    return Mux(slot.tail, tails, spec.hardware.lanes)
