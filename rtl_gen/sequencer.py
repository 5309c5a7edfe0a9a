"""The sequencer, which counts a pass through its layers, groups and slots."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.indices import leaving, written_before
from rtl_gen.slot import ahead_layout, by_layer, slot_layout

__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """Issues the slots of a pass, one per cycle.

    A pass starts in the cycle after ``start`` and takes ``pass_cycles`` cycles; ``done`` is high in the last of them, in which ``start``
    may be given again. If ``again`` is high, the pass takes ``gap`` cycles more, and another pass follows without ``start``. Between two
    layers the sequencer waits until the first input of the next layer is written.

    Where ``spec.one_visit``, a pass that starts with ``both`` visits the first layer for itself and for the pass that follows, which
    begins with the second layer. Each group of that visit takes as long as its neurons need to leave, once for each pass.

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
    both : In(1)
        The first layer is visited for both passes of a step; sampled with the kind of the pass (only where ``spec.one_visit``).
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
                **({"both": In(1)} if spec.one_visit else {}),
                "done": Out(1),
                "slot": Out(slot_layout(spec)),
                "ahead": Out(ahead_layout(spec)),
            }
        )

    @property
    def _kinds(self) -> tuple[str, ...]:
        """Names of the fields of a slot that say of which kind its pass is."""
        return ("correlate", "perturb", "second", "forward", *(("both",) if self.spec.one_visit else ()))

    def bubble(self, layer: int, *, both: bool = False) -> int:
        """Cycles without slots between a layer and the next; with ``both``, after a visit of the first layer for both passes.

        In the latter case the last group's neurons leave twice before the next group's do, or before the step ends.
        """
        layers = self.spec.layout.layers
        placed = layers[layer]
        if layer == len(layers) - 1:
            return placed.last_lanes if both else 0
        following = layers[layer + 1]
        return max(0, self.depth - written_before(placed, following), leaving(placed, following, times=2 if both else 1))

    def group_cycles(self, layer: int, *, both: bool = False) -> int:
        """Cycles of each group of a layer but the last; with ``both``, in a visit of the first layer for both passes."""
        placed = self.spec.layout.layers[layer]
        return max(placed.group_slots, 2 * self.spec.hardware.lanes if both and placed.groups > 1 else 0)

    def layer_cycles(self, layer: int, *, both: bool = False) -> int:
        """Cycles of a layer in a pass, up to the next layer's first slot; with ``both``, in a visit for both passes."""
        placed = self.spec.layout.layers[layer]
        return (placed.groups - 1) * self.group_cycles(layer, both=both) + placed.group_slots + self.bubble(layer, both=both)

    @property
    def pass_cycles(self) -> int:
        """N + Σ max(0, D − (groups − 1)·L) over all layers but the last, in a network of dense layers."""
        return sum(self.layer_cycles(layer) for layer in range(len(self.spec.layout.layers)))

    @property
    def behind_cycles(self) -> int:
        """Cycles of a pass that begins with the second layer; 0 in a network of one layer."""
        return self.pass_cycles - self.layer_cycles(0)

    @property
    def pair_cycles(self) -> int:
        """Cycles of the two passes of a step, which share one visit of the first layer, with the gap between them."""
        return self.layer_cycles(0, both=True) + 2 * self.behind_cycles + self.gap

    def elaborate(self, platform):
        m = Module()
        placed = self.spec.layout.layers
        final = len(placed) - 1
        last_cycles = [p.group_slots + self.bubble(n) - 1 for n, p in enumerate(placed)]

        running, kind = Signal(), Signal(len(self._kinds))
        layer = Signal.like(self.slot.layer)
        group = Signal(range(max(2, *(p.groups for p in placed))))
        both_cycles = [self.group_cycles(0, both=True), placed[0].group_slots + self.bubble(0, both=True)] if self.spec.one_visit else []
        # k is large enough for k ≤ F to be false.
        k = Signal(range(max(*last_cycles, last_cycles[-1] + self.gap, *(cycles - 1 for cycles in both_cycles)) + 2))

        # The last cycle of a group is detected one cycle before, which belongs to the same group, since a group has at least two cycles.
        tail, closes, last_cycle, begins = Signal(), Signal(), Signal(), Signal()
        before_last = Mux(
            tail,
            by_layer([cycle - 1 for cycle in last_cycles], layer) + Mux(self.again & (layer == final), self.gap, 0),
            by_layer([p.group_slots - 2 for p in placed], layer),
        )
        if self.spec.one_visit:
            each, last = (cycles - 2 for cycles in both_cycles)
            before_last = Mux(kind[-1] & (layer == 0), Mux(tail, last, each), before_last)
        m.d.comb += [
            tail.eq(group == by_layer([p.groups - 1 for p in placed], layer)),
            self.done.eq(last_cycle & closes),
            begins.eq(self.start | (self.done & self.again)),
        ]
        following = Mux(self.again, 1, 0) if self.spec.one_visit and final else 0
        m.d.sync += [last_cycle.eq(running & (k == before_last)), closes.eq(tail & (layer == final))]

        with m.If(running):
            m.d.sync += k.eq(k + 1)
        with m.If(last_cycle):
            m.d.sync += [k.eq(0), group.eq(group + 1)]
            with m.If(tail):
                m.d.sync += [group.eq(0), layer.eq(Mux(closes, following, layer + 1))]
        m.d.sync += running.eq(begins | (running & ~self.done))
        with m.If(begins):
            m.d.sync += kind.eq(Cat(getattr(self, name) for name in self._kinds))
        self._issue(m, running, kind, layer, group, k, tail)
        return m

    def _issue(self, m, running, kind, layer, group, k, tail):
        """Output the slot of the current count two cycles later."""
        placed = self.spec.layout.layers
        counted, within = Signal.like(self.slot), Signal()
        fan_in = by_layer([p.layer.fan_in for p in placed], layer)
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
            counted.begin.eq((k == 0) & (group == 0) & (layer == 0)),
            Cat(counted[name] for name in self._kinds).eq(kind),
            counted.layer.eq(layer),
        ]
        qualified = ["valid", "real", "first", "last", "begin"]
        if self.spec.one_visit:
            m.d.sync += counted.branch.eq((k == 0) & (group == 0) & (layer == 1))
            qualified.append("branch")
        m.d.sync += [self.slot.eq(counted), *(self.slot[name].eq(counted[name] & within) for name in qualified)]
        m.d.comb += [self.ahead[name].eq(counted[name]) for name in self.ahead.shape().members]
