"""The sequencer, which counts a pass through its layers, groups and slots."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.slot import ahead_layout, by_layer, slot_layout

__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """Issues the slots of a pass, one per cycle.

    A pass starts in the cycle after ``start`` and takes ``pass_cycles`` cycles; ``done`` is high in the last of them, in which ``start``
    may be given again. If ``again`` is high, the pass takes ``gap`` cycles more, and another pass follows without ``start``. Between two
    layers the sequencer waits until the first input of the next layer is written.

    Parameters
    ----------
    spec : DesignSpec
        The design whose passes are sequenced.
    depth : int
        Pipeline depth D: slots between the last slot of a layer and the next layer's first read, beyond the two that lie between them
        anyway, so that an activation is written before it is read.
    gap : int
        Cycles between a pass and the one that follows it through ``again``.

    Members
    -------
    start : In(1)
        Strobe that starts a pass.
    correlate, perturb, second, forward : In(1)
        Kind of the pass, sampled in the cycle of ``start``, or of ``done`` where another pass follows.
    again : In(1)
        Another pass follows after the last cycle of this one; must be stable from two cycles after ``start`` to that cycle.
    done : Out(1)
        This is the last cycle of the pass.
    slot : Out(slot_layout(spec))
        The issued slot, ``latency`` cycles after it was counted.
    ahead : Out(ahead_layout(spec))
        Layer and pass of the slot that is issued one cycle later.
    """

    latency = 2
    """Cycles from the count to ``slot``: one to compare it, one to qualify the result."""

    def __init__(self, spec: DesignSpec, *, depth: int, gap: int = 0):
        self.spec = spec
        self.depth = depth
        self.gap = gap
        super().__init__(
            {
                "start": In(1),
                "again": In(1),
                "correlate": In(1),
                "perturb": In(1),
                "second": In(1),
                "forward": In(1),
                "done": Out(1),
                "slot": Out(slot_layout(spec)),
                "ahead": Out(ahead_layout(spec)),
            }
        )

    def bubble(self, layer: int) -> int:
        """Cycles without slots between a layer and the next."""
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
        last_cycles = [p.group_slots + self.bubble(n) - 1 for n, p in enumerate(placed)]

        running, kind = Signal(), Signal(4)
        layer = Signal.like(self.slot.layer)
        group = Signal(range(max(2, *(p.groups for p in placed))))
        k = Signal(range(max(*last_cycles, last_cycles[-1] + self.gap) + 2))  # large enough for k ≤ n_in to be false

        # The last cycle of a group is detected one cycle before, which belongs to the same group, since a group has at least two cycles.
        tail, closes, last_cycle, begins = Signal(), Signal(), Signal(), Signal()
        before_last = Mux(
            tail,
            by_layer([cycle - 1 for cycle in last_cycles], layer) + Mux(self.again & (layer == final), self.gap, 0),
            by_layer([p.group_slots - 2 for p in placed], layer),
        )
        m.d.comb += [
            tail.eq(group == by_layer([p.groups - 1 for p in placed], layer)),
            self.done.eq(last_cycle & closes),
            begins.eq(self.start | (self.done & self.again)),
        ]
        m.d.sync += [last_cycle.eq(running & (k == before_last)), closes.eq(tail & (layer == final))]

        with m.If(running):
            m.d.sync += k.eq(k + 1)
        with m.If(last_cycle):
            m.d.sync += [k.eq(0), group.eq(group + 1)]
            with m.If(tail):
                m.d.sync += [group.eq(0), layer.eq(Mux(closes, 0, layer + 1))]
        m.d.sync += running.eq(begins | (running & ~self.done))
        with m.If(begins):
            m.d.sync += kind.eq(Cat(self.correlate, self.perturb, self.second, self.forward))
        self._issue(m, running, kind, layer, group, k, tail)
        return m

    def _issue(self, m, running, kind, layer, group, k, tail):
        """Output the slot of the current count two cycles later."""
        placed = self.spec.layout.layers
        counted, within = Signal.like(self.slot), Signal()
        fan_in = by_layer([p.layer.n_in for p in placed], layer)
        # A last group without padding may be followed by cycles without a slot.
        padded = any(p.group_slots > p.group_words for p in placed)
        slots = by_layer([p.group_slots for p in placed], layer)
        m.d.sync += [
            within.eq(running),
            counted.real.eq(k <= fan_in),
            counted.valid.eq(k < slots if padded else k <= fan_in),
            counted.first.eq(k == 0),
            counted.last.eq(k == fan_in),
            counted.tail.eq(tail),
            counted.repeat.eq((layer == len(placed) - 1) & (group != 0)),
            counted.begin.eq((k == 0) & (group == 0) & (layer == 0)),
            Cat(counted.correlate, counted.perturb, counted.second, counted.forward).eq(kind),
            counted.layer.eq(layer),
        ]
        qualified = ("valid", "real", "first", "last", "begin")
        m.d.sync += [self.slot.eq(counted), *(self.slot[name].eq(counted[name] & within) for name in qualified)]
        m.d.comb += [self.ahead[name].eq(counted[name]) for name in self.ahead.shape().members]
