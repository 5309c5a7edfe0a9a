"""The errors of the perturbed quantities: their sums over a presentation, and their casts for the lanes, frame by frame."""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Cat, Mux, Signal, unsigned
from amaranth.lib.wiring import In, Out

from rtl_gen.fixed import plus_or_minus
from rtl_gen.presentation.errors import ErrorUnit
from rtl_gen.presentation.layouts import sign_layout
from rtl_gen.probe import shape_of
from rtl_gen.series.banks import EvenOddMemory, bank_words
from rtl_gen.series.frames import FrameCount, length_shape
from rtl_gen.slot import delayed

__all__ = ["SeriesErrorUnit"]


class SeriesErrorUnit(ErrorUnit):
    """Sums E_q ← E_q + s_q·C̃ for all quantities after each step, one quantity per cycle, and casts err_q = cast_error(2^e·E_q) in the
    applying pass, where the neurons of each frame take the errors of its segment.

    An error is cast in each frame of its segment, and shown in the first one.

    Parameters
    ----------
    spec : DesignSpec
        The design whose errors are summed.

    Members
    -------
    change_stb : In(1)
        Strobe that begins the sums of a step.
    begin, next_group : In(1)
        Strobe: an applying pass is to begin, so that the errors of its first group may come; or it has begun a group, so that those of the
        next group may come.
    length, hold : In
        Numbers of frames of the sample, and of a segment.
    fresh : In(1)
        The step is the first one of its presentation; valid with ``change_stb``.
    sign_index, sign : Out, In
        Quantity whose sign is needed, and its sign one cycle later.
    """

    strobes: ClassVar[tuple[str, ...]] = ("change_stb", "begin", "next_group")

    @property
    def _ports(self):
        quantity, shape = unsigned(max(1, (self.spec.quantities - 1).bit_length())), length_shape(self.spec)
        return {"fresh": In(1), "sign_index": Out(quantity), "sign": In(sign_layout()), "length": In(shape), "hold": In(shape)}

    @property
    def ready_latency(self) -> int:
        """Cycles from ``begin`` to ``ready``, beyond the number of neurons in the first group."""
        return self._cast_latency

    @property
    def sum_cycles(self) -> int:
        """Cycles from ``change_stb`` until all errors are summed, so that ``busy`` is 0."""
        return self.spec.quantities + 3 + self._write_delay

    @property
    def _write_delay(self) -> int:
        """Cycles by which a sum is written later than it is valid: so that those from its read are odd in number, where the memory has two
        halves with one port each."""
        return int(self.spec.hardware.single_port)

    def _store(self, m):
        """See :class:`~rtl_gen.presentation.errors.ErrorUnit`."""
        if not self.spec.hardware.single_port:
            return super()._store(m)
        m.submodules.sums = store = EvenOddMemory(shape_of(self.spec.error_sum_format), bank_words(self.spec), delay=self._write_delay)
        return store.write, store.read

    def _sweep(self, m):
        """Count through the quantities: in the sums through all of them, where a segment takes the place of a frame; and in an applying
        pass through those of the neurons of each frame, and then of the tail.
        """
        spec, unrolled = self.spec, self.spec.unrolled
        lanes, framed, neurons = spec.hardware.lanes, unrolled.framed_neurons, spec.network.n_neurons
        ends = [sum(spec.network.sizes[1 : 2 + n]) for n in range(len(spec.layout.layers))]
        m.submodules.frames = frames = FrameCount(spec)
        sweeping, casting, first_group, all_done, tail = (
            Signal(name=name) for name in ("sweeping", "casting", "first_group", "all_done", "in_tail")
        )
        neuron, lane, index = Signal(range(max(2, neurons))), Signal(range(max(2, lanes))), Signal.like(self.sign_index)
        boundary, wraps, last = Signal(), Signal(name="wraps"), Signal(name="last")
        begins = self.change_stb | self.begin
        behind = (unrolled.segments - 1) * framed
        m.d.comb += [
            index.eq(Mux(tail, behind, frames.o.segment) + neuron),
            wraps.eq(~tail & (neuron == framed - 1) & ~casting if spec.sums_by_group else ~tail & (neuron == framed - 1)),
            last.eq((frames.o.last | tail) & (neuron == neurons - 1)),
            boundary.eq(sweeping & casting & ((lane == lanes - 1) | Cat(neuron == end - 1 for end in ends).any())),
            frames.begin.eq(begins),
            frames.advance.eq(sweeping & wraps & ~frames.o.last),
            frames.length.eq(Mux(casting, self.length, unrolled.segments)),
            frames.hold.eq(Mux(casting, self.hold, 1)),
        ]
        # The segments that begin behind the last frame of the sample have no signs.
        reached = Signal(range(2 * spec.network.frames + 1))
        with m.If(sweeping):
            m.d.sync += [neuron.eq(neuron + 1), lane.eq(lane + 1)]
            with m.If(wraps):
                m.d.sync += [neuron.eq(Mux(frames.o.last, framed % neurons, 0)), tail.eq(frames.o.last)]
                with m.If(~frames.o.last & (reached < self.length)):
                    m.d.sync += reached.eq(reached + self.hold)
            with m.If(boundary):
                m.d.sync += [sweeping.eq(0), lane.eq(0), first_group.eq(0)]
            with m.If(last):
                m.d.sync += [sweeping.eq(0), all_done.eq(1)]
        if spec.sums_by_group:
            self._stay_in_group(m, frames, begins, boundary, tail, neuron)
        with m.If(self.next_group & ~all_done):
            m.d.sync += sweeping.eq(1)
        with m.If(begins):
            m.d.sync += [
                *(sweeping.eq(1), casting.eq(self.begin), first_group.eq(1), all_done.eq(0), tail.eq(0)),
                *(neuron.eq(0), lane.eq(0), reached.eq(0)),
            ]
        with m.If(self.change_stb):
            m.d.sync += self._fresh.eq(self.fresh)
        summing = sweeping & ~casting
        self._summing, self._exists = summing, tail | (reached < self.length)
        self._outputs, self._shows = sweeping & casting, tail | frames.o.opens
        # Busy until the last sum is written.
        written = [delayed(m, summing, cycles, f"summing{cycles}", reset_less=False) for cycles in range(1, 3 + self._write_delay)]
        busy = summing
        for each in written:
            busy |= each
        m.d.comb += self.busy.eq(busy)
        return index, boundary, first_group

    def _stay_in_group(self, m, frames, begins, boundary, tail, neuron):
        """Let an applying pass, a group of which ends with ``boundary``, cast the errors of all frames of a group before the next group.

        The frames are counted a cycle later, far from the comparisons; the sweep goes on some cycles after that.
        """
        framed = self.spec.unrolled.framed_neurons
        first, again, moves_on = Signal.like(neuron, name="first_of_group"), Signal(name="casts_again"), Signal(name="moves_on")
        m.d.comb += [
            again.eq(boundary & ~tail & ~frames.o.last),
            moves_on.eq(boundary & ~tail & frames.o.last),
            frames.begin.eq(begins | delayed(m, moves_on & (neuron != framed - 1), 1, "begins_group", reset_less=False)),
        ]
        with m.If(delayed(m, again, 1, "next_frame", reset_less=False)):
            m.d.comb += frames.advance.eq(1)
        with m.If(again):
            m.d.sync += neuron.eq(first)
        with m.If(moves_on):
            m.d.sync += [first.eq(neuron + 1), tail.eq(neuron == framed - 1)]
        with m.If(begins):
            m.d.sync += first.eq(0)

    def elaborate(self, platform):
        self._fresh = Signal(name="is_fresh")
        return super().elaborate(platform)

    def _sum(self, m, index, old, total, summed):
        """Sum E_q and s_q·C̃ of a quantity that the sample has; return the sum, or in an applying pass E_q, which is cast."""
        exists = self._summing & self._exists
        fresh = self._fresh & delayed(m, self._summing, 1, "summing")
        active = self.sign.active & delayed(m, exists, 1, "exists")
        m.d.comb += [
            self.sign_index.eq(index),
            summed.eq(delayed(m, self._summing, 2, "summed", reset_less=False)),
            self.correlation_stb.eq(delayed(m, exists, 2, "correlation_stb", reset_less=False)),
        ]
        m.d.sync += [
            total.eq(plus_or_minus(Mux(fresh, 0, old), self.cost_change, self.sign.negative, active)),
            self.sign_o.eq(Mux(active, Mux(self.sign.negative, -1, 1), 0)),
        ]
        return total

    def _cast(self, m, boundary, opens, scaled, outside):
        """See :class:`~rtl_gen.presentation.errors.ErrorUnit`. An error is shown, and counted, in the first frame of its segment."""
        super()._cast(m, boundary, opens, scaled, outside)
        with m.If(~delayed(m, self._shows, self._cast_latency, "shows")):
            m.d.sync += [self.error_stb.eq(0), self.saturated.eq(0)]
