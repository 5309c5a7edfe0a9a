"""The accumulators of many lanes leave one per cycle and in order, from the cycle after they are captured, whatever is still on its way."""

import random

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.fanout import MAX_DIRECT_LANES
from rtl_gen.gather import MAX_SHIFTED_LANES, Gather, leaving_count
from rtl_gen.presentation.neurons import NeuronStream
from tests.rtl_gen.presentation.slots import drive
from tests.support.node_designs import node_design

WIDTH = 6


class Leaving(wiring.Component):
    """A gather with the count of the accumulators that leave it."""

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(
            {
                "comes": In(1),
                "active": In(range(lanes + 1)),
                "accumulators": In(WIDTH * lanes),
                "clears": In(1),
                **{name: Out(1) for name in ("leaves", "others")},
                "o": Out(WIDTH),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.gather = gather = Gather(WIDTH, self.lanes)
        take = Signal()
        leaves, others = leaving_count(m, take, self.lanes, self.active)
        m.d.sync += take.eq(self.comes)
        m.d.comb += [
            gather.comes.eq(self.comes),
            gather.accumulators.eq(self.accumulators),
            gather.clear.eq(self.clears & ~(take | others)),
            self.o.eq(gather.o),
            self.leaves.eq(leaves),
            self.others.eq(others),
        ]
        return m


def captures(rng: random.Random, lanes: int) -> list[tuple[int, int]]:
    """Cycles of captures, and how many accumulators of each are used; the next one comes as soon as they have left, or later."""
    found, cycle = [], 2
    borders = [1, MAX_DIRECT_LANES, MAX_DIRECT_LANES + 1, 2 * MAX_DIRECT_LANES - 1, lanes - 1, lanes]
    for active in [*borders, *(rng.randint(1, lanes) for _ in range(12)), 1, 2, 1, lanes]:
        found.append((cycle, active))
        cycle += active + rng.choice((0, 0, 1, 7, lanes))
    return found


@pytest.mark.parametrize("clears", [0, 1])
@pytest.mark.parametrize("lanes", [2 * MAX_DIRECT_LANES + 1, MAX_SHIFTED_LANES + 1, 7 * MAX_DIRECT_LANES])
def test_what_is_captured_leaves_in_order(lanes, clears):
    rng, block = random.Random(lanes), Leaving(lanes)
    plan = captures(rng, lanes)
    last = plan[-1][0] + 2 * lanes + 4
    given = [rng.getrandbits(WIDTH * lanes) for _ in range(last)]
    active = dict(plan)
    seen = []

    def each(ctx, cycle):
        ctx.set(block.clears, clears)
        ctx.set(block.comes, cycle + 1 in active)
        ctx.set(block.active, active.get(cycle, rng.randint(0, lanes)))
        ctx.set(block.accumulators, given[cycle])
        seen.append((ctx.get(block.leaves), ctx.get(block.others), ctx.get(block.o)))

    drive(block, last, each)
    expected = {}
    for taken, count in plan:
        for lane in range(count):
            value = given[taken] >> WIDTH * lane & (1 << WIDTH) - 1
            expected[taken + 1 + lane] = (1, int(lane + 1 < count), value)
    for cycle, row in enumerate(seen):
        if cycle in expected:
            assert row == expected[cycle], cycle
        else:
            assert row[:2] == (0, 0), cycle
            assert not clears or cycle < 2 or row[2] == 0, cycle


@pytest.mark.parametrize(("lanes", "gathers"), [(MAX_SHIFTED_LANES, False), (MAX_SHIFTED_LANES + 1, True)])
def test_only_many_lanes_are_gathered_in_groups(lanes, gathers):
    spec = node_design(sizes=(3, lanes + 2, 2), lanes=lanes)
    assert (".gather" in rtlil.convert(NeuronStream(spec), name="top", emit_src=False)) == gathers
