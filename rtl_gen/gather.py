# amaranth: UnusedElaboratable=no
"""The accumulators of many lanes, which leave one after the other: each group of lanes keeps its own, and hands on one at a time.

A register that all lanes shift through is a multiplexer for each bit of each lane, on one strobe. On a large part, the strobe has thousands
of readers then, and the multiplexers are more logic than the sums. Here a lane's register only keeps what it captures, near the lane, and a
group has one multiplexer and one register of the width of a sum, through which the groups behind it hand on theirs.
"""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Array, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fanout import MAX_DIRECT_LANES, MAX_NEAR_LANES
from rtl_gen.slot import delayed

__all__ = ["MAX_SHIFTED_LANES", "Gather", "GatherStage", "leaving_count"]

MAX_SHIFTED_LANES = MAX_NEAR_LANES
"""Most lanes whose accumulators move through one shift register of all lanes."""

_GROUP = MAX_DIRECT_LANES


class GatherStage(wiring.Component):
    """The accumulators of one group of lanes behind the first.

    It is a module of its own, and synthesis keeps its hierarchy, as that of :class:`~rtl_gen.fanout.FanoutStage`: the strobes of all groups
    are equal, and must not be merged.

    Parameters
    ----------
    width : int
        Width of an accumulator, in bits.
    lanes : int
        Number of lanes in the group.

    Members
    -------
    comes : In(1)
        Strobe: the accumulators are captured at the end of the next cycle.
    accumulators : In(unsigned)
        Accumulators of the group's lanes, the first one's in the lowest bits.
    begin : In(1)
        Strobe: the choice of the group's first accumulator begins in the next cycle, and it is output two cycles later.
    before : In(signed)
        Output of the group behind this one.
    follows : Out(1)
        Strobe ``begin`` of the group behind this one, 7 cycles after that of this one.
    o : Out(signed)
        The group's accumulators one after the other, then those of the groups behind it; 0 until then.
    """

    def __init__(self, width: int, lanes: int):
        self.lanes = lanes
        ports = {"comes": In(1), "accumulators": In(width * lanes), "begin": In(1), "before": In(signed(width))}
        super().__init__(ports | {"follows": Out(1), "o": Out(signed(width))})

    def elaborate(self, platform):
        m = Module()
        take = delayed(m, self.comes, 1, "take", reset_less=False)
        kept = [Signal.like(self.o, name=f"kept{lane}", reset_less=True) for lane in range(self.lanes)]
        with m.If(take):
            m.d.sync += [each.eq(self.accumulators.word_select(lane, len(self.o))) for lane, each in enumerate(kept)]
        busy, place = Signal(), Signal(range(_GROUP), reset_less=True)
        m.d.sync += [busy.eq(~take & (self.begin | (busy & (place != _GROUP - 1)))), place.eq(Mux(self.begin, 0, place + 1))]
        # The choice takes two cycles, the first of which halves the number of accumulators.
        pairs = [Signal.like(self.o, name=f"pair{number}", reset_less=True) for number in range(-(-self.lanes // 2))]
        m.d.sync += [pair.eq(Mux(place[0], kept[2 * n : 2 * n + 2][-1], kept[2 * n])) for n, pair in enumerate(pairs)]
        chooses, number = Signal(reset_less=True), delayed(m, place[1:], 1, "number")
        m.d.sync += chooses.eq(busy & ~take)
        output = Signal.like(self.o, name="output", reset_less=True)
        m.d.sync += output.eq(Mux(chooses, Array(pairs)[number], self.before))
        with m.If(take):
            m.d.sync += output.eq(0)
        m.d.comb += [self.o.eq(output), self.follows.eq(busy & (place == _GROUP - 2))]
        return m


class Gather(wiring.Component):
    """Captures the accumulators of more than one group of lanes in one cycle, and outputs them one per cycle, lane 0 first.

    The groups are a chain of :class:`GatherStage`, the one of the last lanes at its far end. An accumulator of group g is chosen g cycles
    before it is output, so the stages take no time: lane 8·g is chosen 7·g cycles after the accumulators are captured.

    Parameters
    ----------
    width, lanes : int
        Width of an accumulator, in bits, and number of lanes.

    Members
    -------
    comes : In(1)
        Strobe: the accumulators are captured at the end of the next cycle. The ones of the last capture that are used must have left by
        then; the others are dropped.
    accumulators : In(unsigned)
        Accumulators of all lanes, lane 0's in the lowest bits.
    clear : In(1)
        The output is 0 in the next cycle; not in the cycle after ``comes``.
    o : Out(signed)
        Lane 0's accumulator two cycles after ``comes``, and then those of the others.
    """

    def __init__(self, width: int, lanes: int):
        self.width, self.lanes = width, lanes
        super().__init__({"comes": In(1), "accumulators": In(width * lanes), "clear": In(1), "o": Out(signed(width))})

    def elaborate(self, platform):
        m = Module()
        take = delayed(m, self.comes, 1, "take", reset_less=False)
        near = [Signal.like(self.o, name=f"near{lane}", reset_less=True) for lane in range(_GROUP)]
        place = Signal(range(_GROUP))  # of the accumulator that is output next; 0 when those of the first group have left
        m.d.sync += place.eq(Mux(take, 1, place + place.any()))
        behind = self._stages(m, (place == _GROUP - 3) & ~take)
        for lane, register in enumerate(near):
            following = near[lane + 1] if lane + 1 < _GROUP else 0
            if lane == 0:
                following = following | behind
            m.d.sync += register.eq(Mux(take, self.accumulators.word_select(lane, self.width), following))
        with m.If(self.clear):
            m.d.sync += near[0].eq(0)
        m.d.comb += self.o.eq(near[0])
        return m

    def _stages(self, m: Module, begin: Value) -> Value:
        """Build the groups behind the first, of which the second begins with a strobe; return the output of that one."""
        firsts = range(_GROUP, self.lanes, _GROUP)
        stages = [GatherStage(self.width, min(_GROUP, self.lanes - first)) for first in firsts]
        for number, (first, stage) in enumerate(zip(firsts, stages, strict=True)):
            m.submodules[f"fanout{number + 1}"] = stage
            m.d.comb += [
                stage.comes.eq(self.comes),
                stage.accumulators.eq(self.accumulators[self.width * first :]),
                stage.begin.eq(begin),
            ]
            begin = stage.follows
        for stage, behind in pairwise(stages):
            m.d.comb += stage.before.eq(behind.o)
        return stages[0].o


def leaving_count(m: Module, take: Value, lanes: int, active: Value) -> tuple[Value, Value]:
    """Whether an accumulator is output, and whether one is output in the next cycle as well, in the cycles after ``take``.

    Parameters
    ----------
    m : Module
        Module that receives the registers.
    take : Value
        Strobe: the accumulators are captured at the end of this cycle.
    lanes : int
        Number of lanes in the array, which is the largest ``active``.
    active : Value
        Number of the lanes whose accumulators are used; valid with ``take``.
    """
    leaves, others, left = Signal(name="leaves"), Signal(name="others"), Signal(range(lanes + 1))
    m.d.sync += [
        leaves.eq(take | others),
        others.eq(Mux(take, active > 1, left > 2)),
        left.eq(Mux(take, active, left - leaves)),
    ]
    return leaves, others
