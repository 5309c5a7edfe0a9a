"""The sequencer: counts a pass through its layers, groups and slots."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.slot import by_layer, slot_layout

__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """Issues the slots of a pass, one per cycle.

    A pass starts in the cycle after ``start`` and takes ``pass_cycles`` cycles; ``done`` is high in the last of them,
    when ``start`` may be given again. Between a layer and the next it waits until the first input of the next is
    written.

    Parameters
    ----------
    spec : DesignSpec
        The design.
    depth : int
        D: slots by which the first read of a layer must follow the last slot of the layer before, beyond the two
        that follow anyway, so that a neuron is written when it is read.

    Members
    -------
    start : In(1)
        Start a pass of the kind given by ``correlate``, ``perturb``, ``second`` and ``forward`` in the same cycle.
    done : Out(1)
        Last cycle of the pass.
    slot : Out(slot_layout(spec))
        The slot, ``latency`` cycles after it was counted.
    """

    latency = 1
    """Cycles from the count to ``slot``."""

    def __init__(self, spec: DesignSpec, *, depth: int):
        self.spec = spec
        self.depth = depth
        super().__init__(
            {
                "start": In(1),
                "correlate": In(1),
                "perturb": In(1),
                "second": In(1),
                "forward": In(1),
                "done": Out(1),
                "slot": Out(slot_layout(spec)),
            }
        )

    def bubble(self, layer: int) -> int:
        """Cycles between a layer and the next."""
        placed = self.spec.layout.layers
        return max(0, self.depth - (placed[layer].groups - 1) * self.spec.hardware.lanes) if layer < len(placed) - 1 else 0

    @property
    def pass_cycles(self) -> int:
        """N + Σ max(0, D − (groups − 1)·L) over all layers but the last."""
        return self.spec.layout.slots + sum(self.bubble(layer) for layer in range(len(self.spec.layout.layers)))

    def elaborate(self, platform):
        m = Module()
        placed = self.spec.layout.layers
        final = len(placed) - 1

        running = Signal()
        kind = Signal(4)
        layer = Signal.like(self.slot.layer)
        group = Signal(range(max(2, *(p.groups for p in placed))))
        k = Signal(range(max(p.group_slots + self.bubble(n) for n, p in enumerate(placed)) + 1))  # so that k ≤ n_in can be false

        tail = Signal()
        last_cycle = Signal()
        slots = by_layer([p.group_slots for p in placed], layer)
        cycles = by_layer([p.group_slots + self.bubble(n) - 1 for n, p in enumerate(placed)], layer)
        m.d.comb += [
            tail.eq(group == by_layer([p.groups - 1 for p in placed], layer)),
            last_cycle.eq(k == Mux(tail, cycles, by_layer([p.group_slots - 1 for p in placed], layer))),
            self.done.eq(running & last_cycle & tail & (layer == final)),
        ]

        with m.If(running):
            m.d.sync += k.eq(k + 1)
            with m.If(last_cycle):
                m.d.sync += k.eq(0)
                m.d.sync += group.eq(group + 1)
                with m.If(tail):
                    m.d.sync += group.eq(0)
                    m.d.sync += layer.eq(layer + 1)
        with m.If(self.done):
            m.d.sync += running.eq(0)
            m.d.sync += layer.eq(0)
        with m.If(self.start):
            m.d.sync += running.eq(1)
            m.d.sync += kind.eq(Cat(self.correlate, self.perturb, self.second, self.forward))

        valid = Signal()
        real = Signal()
        fan_in = by_layer([p.layer.n_in for p in placed], layer)
        m.d.comb += real.eq(running & (k <= fan_in))
        padded = any(p.group_slots > p.group_words for p in placed)
        m.d.comb += valid.eq(running & (k < slots) if padded else real)
        m.d.sync += [
            self.slot.valid.eq(valid),
            self.slot.real.eq(real),
            self.slot.first.eq(running & (k == 0)),
            self.slot.last.eq(running & (k == fan_in)),
            self.slot.tail.eq(tail),
            self.slot.repeat.eq((layer == final) & (group != 0)),
            self.slot.begin.eq(running & (k == 0) & (group == 0) & (layer == 0)),
            self.slot.correlate.eq(kind[0]),
            self.slot.perturb.eq(kind[1]),
            self.slot.second.eq(kind[2]),
            self.slot.forward.eq(kind[3]),
            self.slot.layer.eq(layer),
        ]
        return m
