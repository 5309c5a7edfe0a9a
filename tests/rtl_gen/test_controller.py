"""Counts of steps: a run has as many as the host wrote, none before it wrote any, and every period has its length."""

import pytest
from amaranth.sim import Simulator

from rtl_gen.controller import Countdown, Period


def simulated(block, procedure):
    """Run a procedure beside a block."""
    simulator = Simulator(block)
    simulator.add_clock(1e-6)
    simulator.add_testbench(procedure)
    simulator.run()


@pytest.mark.parametrize("waiting", [0, 7, 0xFFFFFFFF])
def test_no_step_is_left_after_a_reset_whatever_word_the_host_is_writing(waiting):
    block, seen = Countdown(), []

    async def procedure(ctx):
        ctx.set(block.i, waiting)
        for _ in range(12):
            seen.append(ctx.get(block.none))
            await ctx.tick()

    simulated(block, procedure)
    assert all(seen)


@pytest.mark.parametrize("start", [0, 1, 3, 2047, 2048, 2049, 4097])
def test_as_many_steps_are_counted_as_were_set(start):
    """The count is in parts of 11 bits, of which the second one is decremented where the first one wraps around."""
    block, steps = Countdown(), 0

    async def procedure(ctx):
        nonlocal steps
        ctx.set(block.en, 1)
        await ctx.tick()
        ctx.set(block.en, 0)
        ctx.set(block.i, start)
        await ctx.tick()
        ctx.set(block.i, 0)
        await ctx.tick()
        while not ctx.get(block.none) and steps <= start:
            steps += 1
            ctx.set(block.down, 1)
            await ctx.tick()
            ctx.set(block.down, 0)
            await ctx.tick().repeat(2)

    simulated(block, procedure)
    assert steps == start


@pytest.mark.parametrize("written", [0, 1, 2, 3, 4, 5, 8, 13])
@pytest.mark.parametrize("longest", [13, (1 << 24) - 1])
def test_a_period_has_its_length_and_begins_anew_at_a_restart(written, longest):
    """A host that writes 0, which the register map does not allow, gets periods of one step."""
    block, found, length = Period(adjustable=True, longest=longest), [], max(1, written)
    restarts = 2 * length + length // 2

    async def procedure(ctx):
        ctx.set(block.length, written)
        await ctx.tick().repeat(4)
        for step in range(restarts + 2 * length):
            found.append((ctx.get(block.begins), ctx.get(block.ends)))
            strobe = block.restart if step == restarts - 1 else block.advance
            ctx.set(strobe, 1)
            await ctx.tick()
            ctx.set(strobe, 0)
            await ctx.tick().repeat(3)

    simulated(block, procedure)
    places = [*range(restarts), *range(2 * length)]
    assert found == [(int(place % length == 0), int(place % length == length - 1)) for place in places]


def test_a_period_of_0_does_not_spoil_the_next_one():
    """The length is read where a period begins: after periods of 0, one of 3 has three steps."""
    block, found = Period(adjustable=True), []

    async def procedure(ctx):
        for length, steps in ((0, 3), (3, 7)):
            ctx.set(block.length, length)
            await ctx.tick().repeat(4)
            for _ in range(steps):
                found.append(ctx.get(block.ends))
                ctx.set(block.advance, 1)
                await ctx.tick()
                ctx.set(block.advance, 0)
                await ctx.tick().repeat(3)

    simulated(block, procedure)
    assert found == [1, 1, 1, 1, 0, 0, 1, 0, 0, 1]
