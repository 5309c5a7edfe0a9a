# amaranth: UnusedElaboratable=no
"""What a learner with several lanes has in the place of what one lane needs: a rounding for each quantity of a slot, and streams that end
together.

With one lane, none of it is built.
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.learner import LearnerSpec
from rtl_gen.broadcast import Broadcast
from rtl_gen.cast import cast_in_two
from rtl_gen.learner.sending import word_layout, word_stream
from rtl_gen.perturbation import DRAW_LATENCY, RoundingNoise, drawn_bits, leap, leap_by
from rtl_gen.slot import delayed

__all__ = ["ManyBroadcast", "ManyNoise", "PassEnd", "StreamMerger", "broadcast_of", "noise_of"]


class ManyNoise(RoundingNoise):
    """Noise of stochastic rounding for a learner with several lanes: one random word for each quantity of a slot, lane 0's lowest."""

    def __init__(self, spec: LearnerSpec):
        super().__init__(spec, words=spec.hardware.lanes)

    def following_state(self, m, state, loads):
        """See :class:`~rtl_gen.perturbation.RoundingNoise`: the words of the quantities that the slot has are drawn."""
        bits, lanes, few = self.generator.outputs, self.spec.hardware.lanes, self.spec.layout.last_lanes
        after = leap_by(state, bits * lanes)
        if few != lanes:
            last = delayed(m, self.slot.last, 1, "last", reset_less=False)
            after = Mux(last, leap_by(state, bits * few), after)
        return Mux(loads, leap(self.generator, state, 1, self.load), after)

    def words(self, state):
        """See :class:`~rtl_gen.perturbation.RoundingNoise`."""
        return drawn_bits(state, self.generator.outputs * self.spec.hardware.lanes)


class ManyBroadcast(Broadcast):
    """The broadcast of a learner with several lanes: a direct update is rounded for each quantity of a slot, by a word of its own.

    The ports ``noise``, ``o`` and ``update_outside`` have the values of all lanes, lane 0's lowest.
    """

    def __init__(self, spec: LearnerSpec):
        super().__init__(spec, lanes=spec.hardware.lanes)

    def cast_weight(self, m, slots):
        """See :class:`~rtl_gen.broadcast.Broadcast`."""
        spec, g, stage = self.spec, self.scaler.o, self.scaler.latency
        source, target, cast = spec.gradient_format, spec.update_format, spec.formats.weight_cast
        dropped, bits = source.fraction_bits - target.fraction_bits, spec.stochastic_bits
        if bits:
            m.d.comb += self.noise_slot.eq(slots[stage - DRAW_LATENCY])
        entry, moves, flags = slots[stage + 1], [], []
        for lane in range(spec.hardware.lanes):
            word = self.noise[bits * lane : bits * (lane + 1)] if bits else 0
            u, outside = cast_in_two(m, g, dropped, target, cast.rounding, cast.overflow, f"u{lane}", word)
            limited = Signal(target.width, name=f"limited{lane}")
            m.d.comb += limited.eq(u)
            moves.append(limited)
            flags.append(outside)
        m.d.sync += [self.o.eq(Mux(entry.correlate & self.update, Cat(moves), 0)), self.update_outside.eq(Cat(flags))]
        m.d.comb += self.outside.eq(delayed(m, self.scaler.outside, 2, "g_outside"))


def noise_of(spec: LearnerSpec) -> RoundingNoise:
    """Return the rounding noise of a learner."""
    return RoundingNoise(spec) if spec.hardware.lanes == 1 else ManyNoise(spec)


def broadcast_of(spec: LearnerSpec) -> Broadcast:
    """Return the broadcast of a learner."""
    return ManyBroadcast(spec) if spec.hardware.lanes > 1 and spec.direct_update else Broadcast(spec)


class PassEnd(wiring.Component):
    """Tells when all streams of a pass have ended, of which each is taken at its own pace.

    Parameters
    ----------
    streams : int
        Number of streams of words of the learner, which is that of its lanes.

    Members
    -------
    ends : In(streams)
        Strobe of each stream: its last word of the pass has been taken.
    o : Out(1)
        Strobe, in the cycle of the last of these strobes.
    """

    def __init__(self, streams: int):
        super().__init__({"ends": In(streams), "o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        ended = Signal.like(self.ends)
        m.d.comb += self.o.eq((ended | self.ends).all())
        m.d.sync += ended.eq(Mux(self.o, 0, ended | self.ends))
        return m


class StreamMerger(wiring.Component):
    """Makes one stream of the words of all lanes, in the order of the quantities.

    Parameters
    ----------
    spec : LearnerSpec
        The learner whose words are sent.

    Members
    -------
    i0, i1, … : In(stream)
        The streams of the lanes.
    o : Out(stream)
        All words; ``last`` marks quantity N − 1.
    """

    def __init__(self, spec: LearnerSpec):
        self.spec = spec
        word = stream.Signature(word_layout(spec))
        super().__init__({**{f"i{lane}": In(word_stream(spec, lane)) for lane in range(spec.hardware.lanes)}, "o": Out(word)})

    def elaborate(self, platform):
        m = Module()
        lanes = self.spec.hardware.lanes
        turn = Signal(range(lanes))
        each = [getattr(self, f"i{lane}") for lane in range(lanes)]
        word = Array([lane.payload.as_value() for lane in each])[turn]
        here = self.o.payload
        m.d.comb += [
            here.eq(word),
            self.o.valid.eq(Array([lane.valid for lane in each])[turn]),
            *(lane.ready.eq(self.o.ready & (turn == number)) for number, lane in enumerate(each)),
        ]
        m.d.comb += here.last.eq(here.index == self.spec.quantities - 1)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += turn.eq(Mux(here.last | (turn == lanes - 1), 0, turn + 1))
        return m
