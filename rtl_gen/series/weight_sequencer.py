"""The sequencer of weight perturbation in a network with state: it counts the passes of a step through their frames, and then the tail."""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.series.frames import FrameCount, length_shape
from rtl_gen.series.layouts import in_tail, slot_layout
from rtl_gen.series.sequencer import SeriesSequencer
from rtl_gen.slot import by_layer, delayed

__all__ = ["WeightSequencer"]


class WeightSequencer(SeriesSequencer):
    """Issues the slots of passes, one per cycle, with those of padding, for which signs are drawn.

    A pass begins ``START`` cycles after ``start``; ``done`` is high in its last cycle. If ``again`` is high then, another pass follows.
    A pass correlates in its first frame and in the tail. A flushing pass has one frame.

    Parameters
    ----------
    spec : DesignSpec
        The design whose passes are sequenced.
    depth : int
        Pipeline depth D, as in :class:`~rtl_gen.series.sequencer.SeriesSequencer`.

    Members
    -------
    start, again, done : In(1), In(1), Out(1)
        As in :class:`~rtl_gen.sequencer.Sequencer`.
    correlate, perturb, second, forward : In(1)
        Kind of the pass, sampled in the cycle of ``start``, or of ``done`` where another pass follows.
    length : In
        Number of frames of the sample, stable from ``START`` cycles after ``start`` to the end of the pass.
    slot, ahead : Out(slot_layout(spec))
        The issued slot, ``latency`` cycles after it was counted, and the slot that is issued one cycle later.
    """

    START = 3
    """Cycles from ``start`` until a pass begins, so that the length of a new sample is known."""

    KINDS: ClassVar[tuple[str, ...]] = ("correlate", "perturb", "second", "forward")
    """Names of the fields of a slot that say of which kind its pass is."""

    qualified: ClassVar[tuple[str, ...]] = (*SeriesSequencer.qualified, "valid")

    def __init__(self, spec: DesignSpec, *, depth: int):
        self.spec = spec
        self.depth = depth
        slot = slot_layout(spec)
        wiring.Component.__init__(
            self,
            {
                **{name: In(1) for name in ("start", "again", *self.KINDS)},
                "length": In(length_shape(spec)),
                "done": Out(1),
                "slot": Out(slot),
                "ahead": Out(slot),
            },
        )

    # -- Cycles of a pass ----------------------------------------------------------------------------------------

    def _waits(self, layer: int) -> int:
        """Cycles without slots behind a layer. Behind the last layer of a pass, its neurons leave before those of the next pass come."""
        placed, waits = self._placed, super()._waits(layer)
        if layer < len(placed) - 1:
            return waits
        last = placed[layer]
        return max(waits, last.last_lanes - placed[0].group_words - (last.group_slots - last.group_words))

    @property
    def frame_cycles(self) -> int:
        """Cycles of a frame of the framed layers, with the waits."""
        return self._cycles(self._forward, self._layers[0])

    @property
    def tail_cycles(self) -> int:
        """Cycles of the tail, with the waits."""
        return self._cycles(self._forward, self._layers[1])

    def pass_cycles_of(self, frames: int) -> int:
        """Cycles of a pass of so many frames, from its first slot to that of the pass that follows."""
        return frames * self.frame_cycles + self.tail_cycles

    @property
    def layer_visits(self) -> tuple[tuple[int, int], ...]:
        """First cycle of each visit of a layer in a pass of T frames, and the number of cycles to the end of its last slot."""
        found, cycle = [], 0
        for number in self.spec.unrolled.visits:
            placed, (inner, last) = self._placed[number], self._forward(number)
            found.append((cycle, (placed.groups - 1) * inner + placed.group_slots))
            cycle += (placed.groups - 1) * inner + last
        return tuple(found)

    # -- Logic ---------------------------------------------------------------------------------------------------

    def elaborate(self, platform):
        m = Module()
        spec, placed, framed = self.spec, self._placed, self.spec.network.framed
        rows = [self._forward(number) for number in range(len(placed))]
        m.submodules.frames = frames = FrameCount(spec)
        running, kind = Signal(), Signal(len(self.KINDS))
        layer, group = Signal.like(self.slot.layer), Signal(range(max(2, *(p.groups for p in placed))))
        k = Signal(range(max(map(max, rows)) + 3))
        begins, tail, last_cycle = (Signal(name=name) for name in ("begins", "tail", "last_cycle"))
        ends_frame, follows = Signal(name="ends_frame"), Signal(name="follows")
        inner, last = ([cycles[place] - 2 for cycles in rows] for place in (0, 1))
        forward, final = kind[self.KINDS.index("forward")], frames.o.last
        m.d.comb += [
            tail.eq(group == by_layer([p.groups - 1 for p in placed], layer)),
            follows.eq(self.done & self.again),
            begins.eq(delayed(m, self.start, self.START, "starts", reset_less=False) | follows),
            ends_frame.eq(last_cycle & tail & (layer == framed - 1)),
            self.done.eq(last_cycle & tail & (layer == len(placed) - 1) & (final | in_tail(spec, layer))),
            frames.begin.eq(begins),
            frames.advance.eq(ends_frame & ~final),
            *(frames.length.eq(Mux(forward, self.length, 1)), frames.hold.eq(spec.network.frames)),
        ]
        before_last = Mux(tail, by_layer(last, layer), by_layer(inner, layer))
        m.d.sync += [
            # The last cycle of a group is detected one cycle before, which belongs to the same group, since a group has two or more.
            last_cycle.eq(running & (k == before_last) & ~last_cycle),
            running.eq(begins | (running & ~self.done)),
        ]
        with m.If(running):
            m.d.sync += k.eq(k + 1)
        with m.If(last_cycle):
            m.d.sync += [k.eq(0), group.eq(group + 1)]
            with m.If(tail):
                m.d.sync += [group.eq(0), layer.eq(layer + 1)]
            with m.If(ends_frame & ~final):
                m.d.sync += layer.eq(0)
        with m.If(begins):
            m.d.sync += [k.eq(0), group.eq(0), layer.eq(0)]
        with m.If(self.start | follows):
            m.d.sync += kind.eq(Cat(getattr(self, name) for name in self.KINDS))
        self._count(m, running, last_cycle, k, group, layer, tail, frames.o, dict(zip(self.KINDS, kind, strict=True)))
        return m

    def _of_kind(self, counted, kind, k, layer, frame):
        """See :class:`~rtl_gen.series.sequencer.SeriesSequencer`."""
        correlates = kind["correlate"] & (frame.first | in_tail(self.spec, layer))
        return [
            *(counted[name].eq(kind[name]) for name in ("perturb", "second", "forward")),
            counted.correlate.eq(correlates),
            counted.valid.eq(k < by_layer([placed.group_slots for placed in self._placed], layer)),
        ]
