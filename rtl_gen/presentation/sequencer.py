"""The sequencer, which counts a pass of the lanes through its layers, groups and slots."""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.parts import Part
from rtl_gen.indices import leaving, written_before
from rtl_gen.presentation.layouts import has_full_layers, part_shape, slot_layout
from rtl_gen.slot import by_layer

__all__ = ["PassSequencer"]

_SHOWN = 5
"""Least number of cycles from the cost change of a step to the next one: what signs and shows it takes four."""


class PassSequencer(wiring.Component):
    """Issues the slots of passes, one per cycle: of unperturbed passes, of probes, which begin behind the first layer that they perturb,
    and of applying passes.

    A pass begins in the cycle after ``started``. In a forward pass, the sequencer waits between two layers until the next layer's first
    input is written; in an applying pass, it waits before a group until the errors of the group's neurons have reached the lanes.

    Parameters
    ----------
    spec : DesignSpec
        The design whose passes are sequenced.
    depth : int
        Pipeline depth D: slots between the last slot of a layer and the next layer's first read, beyond the two that lie between them
        anyway, so that an activation is written before it is read.
    error_cycles : int
        Cycles of a group of an applying pass beyond the number of neurons in the next group, so that their errors arrive in time.
    error_pace : int
        Cycles from one error to the next.

    Members
    -------
    request : In(1)
        A pass is to begin as soon as no other one runs; stable, with its kind, until ``started``.
    probe, apply, minus, bank : In
        Kind of the pass: a probe or an applying pass, and the fields of its slots with these names.
    part : In(unsigned)
        Where probes perturb parts of the network, the part of a requested probe.
    layer : In(unsigned)
        In incremental probes that compute layers in full, the layer in which a requested probe begins.
    started : Out(1)
        The requested pass begins.
    slot : Out(slot_layout(spec))
        The issued slot, ``latency`` cycles after it was counted.
    ahead : Out(slot_layout(spec))
        The slot that is issued one cycle later.
    """

    kinds: ClassVar[tuple[str, ...]] = ("probe", "apply", "minus")
    """Names of the flags of a requested pass."""

    latency = 2
    """Cycles from the count to ``slot``: one to compare it, one to qualify the result."""

    def __init__(self, spec: DesignSpec, *, depth: int, error_cycles: int, error_pace: int = 1):
        self.spec = spec
        self.depth = depth
        self.error_cycles = error_cycles
        self.error_pace = error_pace
        slot = slot_layout(spec)
        super().__init__(
            {
                **{name: In(1) for name in ("request", *self.kinds)},
                **({"part": In(part_shape(spec))} if spec.in_parts else {}),
                **({"layer": In(slot["layer"].shape)} if has_full_layers(spec) else {}),
                "bank": In(2),
                "started": Out(1),
                "slot": Out(slot),
                "ahead": Out(slot),
            }
        )

    # -- Cycles of a pass ----------------------------------------------------------------------------------------

    @property
    def _placed(self):
        return self.spec.layout.layers

    def bubble(self, layer: int) -> int:
        """Cycles without slots in a forward pass between a layer and the next."""
        placed, following = self._placed[layer : layer + 2]
        return max(0, self.depth - written_before(placed, following), leaving(placed, following))

    @property
    def closing(self) -> int:
        """Cycles without slots at the end of a forward pass, so that no probe is faster than its neurons.

        The neurons of the last group leave more than a cycle before those of the next pass's first group come, so that the sums of their
        costs are apart, and E of every neuron is updated before the next cost change. Incremental probes have passes of their own.
        """
        placed = self._placed
        if len(placed) == 1 or self.spec.incremental:
            return 0
        if self.spec.in_parts:  # of the unperturbed pass, which any part may follow
            return max([0, *(self._gap(part) for part in self._in_lanes)])
        return max(0, self.spec.network.n_neurons + 2 - self._slots(1), self._gap(self.spec.round.parts[0]))

    def _slots(self, first: int) -> int:
        """Cycles from the first slot of a probe whose lanes begin at a layer to the last one."""
        placed = self._placed
        return sum(p.groups * p.group_slots for p in placed[first:]) + sum(self.bubble(n) for n in range(first, len(placed) - 1))

    def _gap(self, part: Part) -> int:
        """Cycles by which a probe of a part must wait after another pass, so that the sums of their costs are apart."""
        return self._placed[-1].last_lanes + 1 - self._placed[part.first + 1].group_words

    @property
    def _in_lanes(self) -> list[Part]:
        """Parts whose probes have a pass of the lanes; there is none in that of the last layer alone."""
        return [part for part in self.spec.round.parts if part.first < len(self._placed) - 1]

    def closing_of(self, part: Part) -> int:
        """Cycles without slots at the end of a probe of a part, so that the probe that follows is not too fast; see :attr:`closing`.

        E of the part's neurons is updated before the next cost change, and the step's events have been shown.
        """
        following = [after for before, after in self.spec.round.following() if before == part]
        following += [part] if self.spec.two_sided else []
        distance = max(part.neurons + 2, _SHOWN)
        waits = [max(distance - self._slots(each.first + 1), self._gap(each)) for each in following if each in self._in_lanes]
        return max([0, *waits])

    def part_cycles(self, part: Part) -> int:
        """Cycles of the lanes' pass of a probe of a part; 0 if it has none."""
        return self._slots(part.first + 1) + self.closing_of(part) if part in self._in_lanes else 0

    def _forward(self, layer: int) -> tuple[int, int]:
        """Cycles of a group of a layer in a forward pass, and of its last group."""
        placed = self._placed[layer]
        waits = self.bubble(layer) if layer < len(self._placed) - 1 else self.closing
        return placed.group_slots, placed.group_slots + waits

    def _apply(self, layer: int) -> tuple[int, int]:
        """Cycles of a group of a layer in an applying pass, and of its last group."""
        placed, after = self._placed[layer], self._placed[layer + 1 :]

        def until(errors: int) -> int:
            return max(placed.group_words, self.error_pace * (errors - 1) + 1 + self.error_cycles)

        inner, tail = until(self.spec.hardware.lanes), until(after[0].lanes_of(0)) if after else placed.group_words
        return self._spaced(layer, inner), self._spaced(layer, tail)

    def _spaced(self, layer: int, cycles: int) -> int:
        """Cycles of a group that writes parameters. Where their memories have one port, the cycles without slots are even in number, so
        that even and odd words keep their turns."""
        if not self.spec.hardware.single_port:
            return cycles
        return cycles + (cycles - self._placed[layer].group_words) % 2

    def _probe(self, layer: int) -> tuple[int, int]:
        """Cycles of a group of the layer whose input an incremental probe changes, and of its last group: its neurons leave before those of
        the next one, and the operand of the first group is kept in time for the next one.

        Behind a hidden layer, the next one, which is computed in full, waits for the activations.
        """
        placed = self._placed[layer]
        followed = has_full_layers(self.spec) and layer < len(self._placed) - 1
        return max(3, self.spec.hardware.lanes), max(3, 1 + self.bubble(layer) if followed else placed.last_lanes + 1)

    def _behind(self, layer: int) -> tuple[int, int]:
        """Cycles of a group of a layer that an incremental probe computes in full, and of its last group.

        The last neurons of the pass leave before those of the next probe. That may have one slot for each group of outputs, and follow at
        once, so that there is time to sign and show the step.
        """
        placed = self._placed[layer]
        if layer < len(self._placed) - 1:
            return placed.group_slots, placed.group_slots + self.bubble(layer)
        distance = max(placed.last_lanes + 1, _SHOWN - (placed.groups - 1) * self._probe(layer)[0])
        return placed.group_slots, max(placed.group_slots, placed.group_words - 1 + distance)

    def _cycles(self, groups, first: int) -> int:
        return sum((p.groups - 1) * groups(n)[0] + groups(n)[1] for n, p in enumerate(self._placed) if n >= first)

    def _unperturbed(self, layer: int, *, opens: bool = False) -> tuple[int, int]:
        """Cycles of a group of a layer in an unperturbed pass, and of its last group; ``opens`` tells that it is the first one of a run."""
        return self._forward(layer)

    @property
    def unperturbed_cycles(self) -> int:
        """Cycles of an unperturbed pass, unless it is the first one of a run."""
        return self._cycles(self._unperturbed, 0)

    @property
    def probe_cycles(self) -> int:
        """Cycles of a probe's pass; 0 in a network of one layer, whose probes need no lanes. See :meth:`part_cycles` for those of parts."""
        return self._cycles(self._probe if self.spec.incremental else self._forward, 1)

    def probe_cycles_from(self, layer: int) -> int:
        """Cycles of the pass of an incremental probe that begins in a layer, the one behind that of the perturbed neuron."""
        rows = {number: self._probe(number) if number == layer else self._behind(number) for number in range(layer, len(self._placed))}
        return self._cycles(rows.__getitem__, layer)

    @property
    def apply_cycles(self) -> int:
        """Cycles of an applying pass."""
        return self._cycles(self._apply, 0)

    # -- Logic ---------------------------------------------------------------------------------------------------

    def elaborate(self, platform):
        m = Module()
        spec, placed, final = self.spec, self._placed, len(self._placed) - 1
        layers = range(final + 1)
        rows = {name: ([row(n)[0] for n in layers], [row(n)[1] for n in layers]) for name, row in self._rows().items()}
        running, done, begins = Signal(), Signal(), Signal()
        layer, apply, probe = Signal.like(self.slot.layer), Signal(), Signal()
        minus, bank = Signal(), Signal(2)
        group = Signal(range(max(2, *(p.groups for p in placed))))
        k = Signal(range(max(max(inner + tail) for inner, tail in rows.values()) + 2))

        # The last cycle of a group is detected one cycle before, which belongs to the same group, since a group has at least two cycles.
        tail, closes, last_cycle = Signal(), Signal(), Signal()

        def before_last(name):
            inner, ends = (by_layer([cycles - 2 for cycles in row], layer) for row in rows[name])
            return Mux(tail, ends, inner)

        m.d.comb += [
            tail.eq(group == by_layer([p.groups - 1 for p in placed], layer)),
            done.eq(last_cycle & closes),
            begins.eq(self.request & (~running | done)),
            self.started.eq(begins),
        ]
        forward = before_last("forward")
        full_layers, single = has_full_layers(spec), probe
        if full_layers:
            single = Signal(name="single")
            forward = Mux(probe, before_last("behind"), forward)
        if spec.incremental:
            forward = Mux(single, before_last("probe"), forward)
        begin = self.probe
        if spec.in_parts:
            parts, part = spec.round.parts, Signal.like(self.part, name="current_part")
            closed = [placed[-1].group_slots + self.closing_of(each) - 2 for each in parts]
            forward = Mux(probe & tail & (layer == final), by_layer(closed, part), forward)
            firsts = [each.first + 1 if each in self._in_lanes else 0 for each in parts]
            begin = Signal.like(layer, name="begin_layer")
            m.d.comb += begin.eq(Mux(self.probe, by_layer(firsts, self.part), 0))
        m.d.sync += [
            last_cycle.eq(running & (k == self._end(m, begins, before_last, apply, forward)) & ~last_cycle),
            closes.eq(tail & (layer == final)),
            running.eq(begins | (running & ~done)),
        ]
        with m.If(running):
            m.d.sync += k.eq(k + 1)
        with m.If(last_cycle):
            m.d.sync += [k.eq(0), group.eq(group + 1)]
            with m.If(tail):
                m.d.sync += [group.eq(0), layer.eq(layer + 1)]
                if full_layers:
                    m.d.sync += single.eq(0)
        if full_layers:
            begin = Mux(self.probe, self.layer, 0)
            with m.If(begins):
                m.d.sync += single.eq(self.probe)
        with m.If(begins):
            m.d.sync += [apply.eq(self.apply), probe.eq(self.probe), minus.eq(self.minus), bank.eq(self.bank), layer.eq(begin)]
        first = Mux(probe, layer, 0) if full_layers else probe
        if spec.in_parts:
            first = Signal.like(layer, name="first_layer")
            with m.If(begins):
                m.d.sync += [first.eq(begin), part.eq(self.part)]

        self._count(
            m,
            running=running,
            last_cycle=last_cycle,
            k=k,
            group=group,
            layer=layer,
            first=first,
            tail=tail,
            single=single,
            apply=apply,
            minus=minus,
            bank=bank,
        )
        return m

    def _count(self, m, *, running, last_cycle, k, group, layer, first, tail, single, apply, minus, bank):
        """Compare the count with what the slot of a cycle depends on, and qualify the result."""
        spec = self.spec
        counted, within, last, waits = Signal.like(self.slot), Signal(), Signal(), Signal()
        starts = Signal(init=1)  # k is 0
        # The bias is the first word of a group and its last input the last one, which is seen one cycle before.
        follows = Signal(name="last_follows")
        before_last = by_layer([p.layer.fan_in - 1 for p in self._placed], layer)
        if spec.incremental:
            m.d.sync += follows.eq(running & ~last_cycle & ~single & (k == before_last))
            m.d.comb += last.eq(follows | (starts & single))  # the one synapse of each neuron whose input changes
        else:
            m.d.sync += follows.eq(running & ~last_cycle & (k == before_last))
            m.d.comb += last.eq(follows)
        m.d.sync += [
            starts.eq(last_cycle | ~running),
            within.eq(running),
            waits.eq(running & ~last_cycle & (last | waits)),  # all words of the group have passed
            counted.real.eq(~waits),
            counted.first.eq(starts),
            counted.last.eq(last),
            counted.tail.eq(tail),
            counted.begin.eq(starts & (group == 0) & (layer == first)),
            counted.apply.eq(apply),
            counted.minus.eq(minus),
            counted.bank.eq(bank),
            counted.layer.eq(layer),
        ]
        if has_full_layers(spec):
            m.d.sync += counted.single.eq(single)
        self._mark(m, counted)
        m.d.comb += self.ahead.eq(counted)
        for name in ("real", "first", "last", "begin"):
            m.d.comb += self.ahead[name].eq(counted[name] & within)
        m.d.sync += self.slot.eq(self.ahead)

    def _end(self, m, begins, before_last, apply, forward):
        """Count in the cycle before the last one of a group."""
        return Mux(apply, before_last("apply"), forward)

    def _mark(self, m, counted):
        """Set the fields of a slot that not every core has."""

    def _rows(self):
        probe = {"probe": self._probe} if self.spec.incremental else {}
        behind = {"behind": self._behind} if has_full_layers(self.spec) else {}
        return {"forward": self._forward, "apply": self._apply, **probe, **behind}
