"""The sequencer, which counts a pass of the lanes through its frames, layers, groups and slots, and then through the tail."""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.presentation.layouts import UNPERTURBED
from rtl_gen.series.frames import FrameCount, frame_layout, length_shape
from rtl_gen.series.layouts import in_tail, slot_layout
from rtl_gen.series.readout import sums
from rtl_gen.slot import by_layer

__all__ = ["SeriesSequencer"]


class SeriesSequencer(wiring.Component):
    """Issues the slots of passes, one per cycle. A pass visits the framed layers in each frame, and the layers of the tail once.

    In a forward pass, the sequencer waits between two layers, and between two frames, until what the next one reads is written. In an
    applying pass, it waits before a group until the errors of the group's neurons have reached the lanes. Where the lanes sum G for one
    group after the other, an applying pass visits all frames of a framed group before the next group.

    Parameters
    ----------
    spec : DesignSpec
        The design whose passes are sequenced.
    depth : int
        Pipeline depth D: slots between the last slot of a layer and the next layer's first read, beyond the two that lie between them
        anyway, so that an output is written before it is read.
    error_cycles : int
        Cycles of a group of an applying pass beyond the number of neurons in the next group, so that their errors arrive in time.

    Members
    -------
    request : In(1)
        A pass is to begin as soon as no other one runs; stable, with its kind, until ``started``.
    probe, apply, minus : In(1)
        Kind of the pass: a probe, or an applying pass; and whether it perturbs by −sΔ.
    length, hold : In
        Numbers of frames of the pass, and of a segment; stable during a pass.
    started : Out(1)
        The requested pass begins.
    slot : Out(slot_layout(spec))
        The issued slot, ``latency`` cycles after it was counted.
    ahead : Out(slot_layout(spec))
        The slot that is issued one cycle later.
    frame : Out(frame_layout(spec))
        What depends on the frame of the slot ahead; valid for all slots of a group but the last one.
    """

    latency = 2
    """Cycles from the count to ``slot``: one to compare it, one to qualify the result."""

    def __init__(self, spec: DesignSpec, *, depth: int, error_cycles: int):
        self.spec = spec
        self.depth = depth
        self.error_cycles = error_cycles
        slot, shape = slot_layout(spec), length_shape(spec)
        super().__init__(
            {
                **{name: In(1) for name in ("request", "probe", "apply", "minus")},
                **{name: In(shape) for name in ("length", "hold")},
                "started": Out(1),
                "slot": Out(slot),
                "ahead": Out(slot),
                "frame": Out(frame_layout(spec)),
            }
        )

    # -- Cycles of a pass ----------------------------------------------------------------------------------------

    @property
    def _placed(self):
        return self.spec.layout.layers

    def bubble(self, layer: int) -> int:
        """Cycles without slots in a forward pass between a layer and the next one, which reads what it has written."""
        return max(0, self.depth - (self._placed[layer].groups - 1) * self.spec.hardware.lanes)

    def _waits(self, layer: int) -> int:
        """Cycles without slots behind a layer in a forward pass. Behind the last layer of a frame, its neurons leave before those of the
        first layer come.

        Sums of outputs are read and summed by one port. A neuron's is read three cycles before it is written, when the next layer could
        read the first one; so the neurons of the last group beyond the third one come before that layer reads.
        """
        placed, framed = self._placed, self.spec.network.framed
        if layer != framed - 1:
            return self.bubble(layer) if layer < len(placed) - 1 else 0
        read = self.depth + max(0, placed[layer].last_lanes - 3) if sums(self.spec) and framed < len(placed) else self.bubble(layer)
        return max(read, placed[layer].last_lanes - placed[0].group_words)

    def _forward(self, layer: int) -> tuple[int, int]:
        """Cycles of a group of a layer in a forward pass, and of its last group."""
        placed = self._placed[layer]
        return max(2, placed.group_slots), max(2, placed.group_slots) + self._waits(layer)

    def _apply(self, layer: int) -> tuple[int, int]:
        """Cycles of a group of a layer in an applying pass, and of its last group."""
        placed, framed = self._placed, self.spec.network.framed

        def until(errors: int) -> int:
            return max(placed[layer].group_words, errors + self.error_cycles)

        following = [each.lanes_of(0) for each in (*placed[layer + 1 : layer + 2], *([placed[0]] if layer == framed - 1 else []))]
        if self.spec.sums_by_group and layer < framed:
            following.append(placed[layer].last_lanes)  # the group itself, in the next frame
        return until(self.spec.hardware.lanes), until(max(following, default=0))

    def _cycles(self, groups, layers: range) -> int:
        return sum((self._placed[n].groups - 1) * groups(n)[0] + groups(n)[1] for n in layers)

    @property
    def _layers(self) -> tuple[range, range]:
        """Numbers of the framed layers, and of those of the tail."""
        framed = self.spec.network.framed
        return range(framed), range(framed, len(self._placed))

    def forward_cycles(self, frames: int) -> int:
        """Cycles of a forward pass of so many frames, from its first slot to its last one."""
        framed, tail = self._layers
        last = len(self._placed) - 1
        slots = frames * self._cycles(self._forward, framed) + self._cycles(self._forward, tail) - self._forward(last)[1]
        return slots + self._placed[last].group_words

    def apply_cycles(self, frames: int) -> int:
        """Cycles of an applying pass of so many frames, from its first slot to its last one."""
        framed, tail = self._layers
        last = len(self._placed) - 1
        slots = frames * self._cycles(self._apply, framed) + self._cycles(self._apply, tail) - self._apply(last)[1]
        return slots + self._placed[last].group_words

    # -- Logic ---------------------------------------------------------------------------------------------------

    def elaborate(self, platform):
        m = Module()
        spec, placed, framed = self.spec, self._placed, self.spec.network.framed
        layers = range(len(placed))
        rows = {
            name: ([row(n)[0] - 2 for n in layers], [row(n)[1] - 2 for n in layers])
            for name, row in (("forward", self._forward), ("apply", self._apply))
        }
        m.submodules.frames = frames = FrameCount(spec)
        running, apply, probe, minus = (Signal(name=name) for name in ("running", "applies", "probes", "perturbs_by_minus"))
        layer, group = Signal.like(self.slot.layer), Signal(range(max(2, *(p.groups for p in placed))))
        k = Signal(range(max(max(inner + tail) for inner, tail in rows.values()) + 3))
        begins, tail, last_cycle, ends_frame, done = (Signal(name=name) for name in ("begins", "tail", "last_cycle", "ends_frame", "done"))

        def before_last(name):
            return Mux(tail, *(by_layer(row, layer) for row in reversed(rows[name])))

        m.d.comb += [
            tail.eq(group == by_layer([p.groups - 1 for p in placed], layer)),
            begins.eq(self.request & ~running),
            self.started.eq(begins),
            ends_frame.eq(last_cycle & tail & (layer == framed - 1)),
            done.eq(last_cycle & tail & (layer == len(placed) - 1) & (frames.o.last | in_tail(spec, layer))),
            frames.begin.eq(begins),
            frames.advance.eq(ends_frame & ~frames.o.last),
            *(frames.length.eq(self.length), frames.hold.eq(self.hold), self.frame.eq(frames.o)),
        ]
        m.d.sync += [
            # The last cycle of a group is detected one cycle before, which belongs to the same group, since a group has two or more.
            last_cycle.eq(running & (k == Mux(apply, before_last("apply"), before_last("forward"))) & ~last_cycle),
            running.eq(begins | (running & ~done)),
        ]
        with m.If(running):
            m.d.sync += k.eq(k + 1)
        with m.If(last_cycle):
            m.d.sync += [k.eq(0), group.eq(group + 1)]
            with m.If(tail):
                m.d.sync += [group.eq(0), layer.eq(layer + 1)]
            with m.If(ends_frame & ~frames.o.last):
                m.d.sync += layer.eq(0)
        with m.If(begins):
            m.d.sync += [*(k.eq(0), group.eq(0), layer.eq(0)), *(apply.eq(self.apply), probe.eq(self.probe), minus.eq(self.minus))]
        if spec.sums_by_group:
            self._stay_in_group(m, frames, begins, ends_frame, last_cycle & apply & ~in_tail(spec, layer), group, layer)
        self._count(m, running, last_cycle, k, group, layer, tail, frames.o, {"apply": apply, "minus": minus, "probe": probe})
        return m

    def _stay_in_group(self, m, frames, begins, ends_frame, ends_group, group, layer):
        """Let an applying pass visit all frames of a framed group, which ``ends_group`` tells the last cycle of, before the next group."""
        again, more = Signal(name="visits_again"), ends_group & frames.o.last & ~ends_frame
        m.d.comb += [
            again.eq(ends_group & ~frames.o.last),
            frames.begin.eq(begins | more),
            frames.advance.eq(Mux(ends_group, again, ends_frame & ~frames.o.last)),
        ]
        with m.If(again):
            m.d.sync += [group.eq(group), layer.eq(layer)]

    qualified: ClassVar[tuple[str, ...]] = ("real", "first", "last", "begin")
    """Flags of a slot that are 0 in a cycle without one."""

    def _of_kind(self, counted, kind, k, layer, frame):
        """Statements that give a slot what the kind of its pass says."""
        return [
            *(counted.apply.eq(kind["apply"]), counted.minus.eq(kind["minus"])),
            counted.bank.eq(Mux(kind["probe"], 0, UNPERTURBED)),
        ]

    def _count(self, m, running, last_cycle, k, group, layer, tail, frame, kind):
        """Compare the count with what the slot of a cycle depends on, and qualify the result."""
        counted, within = Signal.like(self.slot, name="counted"), Signal()
        starts, waits = Signal(init=1), Signal()  # k is 0, and k is beyond the words of the group
        # The last word of a group, and the last input of a recurrent layer, are seen one cycle before.
        last, turns, recurrent = (Signal(name=name) for name in ("last", "turns", "recurrent"))
        layers = [p.layer for p in self._placed]
        turning = by_layer([int(each.kind.recurrent) for each in layers], layer)
        m.d.sync += [
            last.eq(running & ~last_cycle & (k == by_layer([each.fan_in - 1 for each in layers], layer))),
            turns.eq(running & ~last_cycle & (k == by_layer([each.n_in - 1 for each in layers], layer)) & turning),
            recurrent.eq(turns | (recurrent & ~last)),
            starts.eq(last_cycle | ~running),
            within.eq(running),
            waits.eq(running & ~last_cycle & (last | waits)),
            *(counted[name].eq(value) for name, value in {"first": starts, "last": last, "tail": tail, "turns": turns}.items()),
            *(counted[name].eq(value) for name, value in {"recurrent": recurrent, "layer": layer, "real": ~waits}.items()),
            counted.begin.eq(starts & (group == 0) & (layer == 0)),
            *(counted.initial.eq(frame.first), counted.final.eq(frame.last)),
            *self._of_kind(counted, kind, k, layer, frame),
        ]
        m.d.comb += self.ahead.eq(counted)
        for name in self.qualified:
            m.d.comb += self.ahead[name].eq(counted[name] & within)
        m.d.sync += self.slot.eq(self.ahead)
