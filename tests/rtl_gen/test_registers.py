# amaranth: UnusedElaboratable=no
"""A register file counts what happens, shows what stands, and answers with both."""

import random

import pytest
from amaranth.sim import Simulator

from rtl_gen.registers import HALF, RARE, Capture, Counter, RegisterFile

CAPTURES = (Capture("narrow", 12, 20, complement=True), Capture("long", 14, 64))
FULL = 60
"""Cycles at the start of a run in which all is counted as fast as can be: 60 · 5 · 2²⁴ is more than 32 bits hold."""
CONTENTS = {0: 0x12345678, 1: 7}


def counters(scale):
    return (
        Counter("often", 3, most=5 * scale),
        Counter("seldom", 4, most=scale, rare=True),
        Counter("wide", 6, most=9 * scale, wide=True),
        Counter("steps", 9, most=scale, restarts=True, rare=True),
        Counter("every", 10, most=scale, wide=True),
    )


class Bench:
    """A register file, and what it must hold."""

    def __init__(self, scale, seed):
        self.counters = counters(scale)
        self.registers = RegisterFile(self.counters, CAPTURES, CONTENTS, depth=16)
        self.rng = random.Random(seed)
        self.expected = {counter.name: 0 for counter in self.counters}
        self.shown = {}
        self.stopped = 0

    def words(self, counter):
        return 2 if counter.wide else 1

    async def count(self, ctx, cycles):
        registers, rng = self.registers, self.rng
        ctx.set(registers.running, 1)
        self.shown = {capture.name: rng.getrandbits(capture.width) for capture in CAPTURES}
        for capture in CAPTURES:
            everything = (1 << capture.width) - 1
            ctx.set(getattr(registers, f"i_{capture.name}"), self.shown[capture.name] ^ (everything if capture.complement else 0))
        since = dict.fromkeys(self.expected, registers.rotation)
        for cycle in range(cycles):
            ctx.set(registers.en, cycle % 4 == 0 and rng.random() < 0.9)
            ctx.set(registers.address, rng.randrange(16))
            for counter in self.counters:
                value = rng.randint(0, counter.most) if cycle >= FULL and rng.random() < 0.5 else counter.most
                since[counter.name] += 1
                if counter.rare and since[counter.name] <= registers.rotation // RARE:
                    value = 0
                elif counter.rare:
                    since[counter.name] = 0
                ctx.set(getattr(registers, f"i_{counter.name}"), value)
                total, end = self.expected[counter.name] + value, (1 << 32 * self.words(counter)) - 1
                self.stopped += total > end
                self.expected[counter.name] = min(total, end)
            await ctx.tick()
            for name, value in self.expected.items():
                assert ctx.get(getattr(registers, f"count_{name}")) == value, name
        for counter in self.counters:
            ctx.set(getattr(registers, f"i_{counter.name}"), 0)
        ctx.set(registers.en, 0)
        ctx.set(registers.running, 0)
        await ctx.tick()

    async def settle(self, ctx):
        while not ctx.get(self.registers.settled):
            await ctx.tick()

    async def read(self, ctx, address, words=1):
        value = 0
        for word in range(words):
            ctx.set(self.registers.en, 1)
            ctx.set(self.registers.address, address + word)
            await ctx.tick()
            ctx.set(self.registers.en, 0)
            while not ctx.get(self.registers.low):
                await ctx.tick()
            low = ctx.get(self.registers.o)
            await ctx.tick()
            assert ctx.get(self.registers.high)
            value |= (low | ctx.get(self.registers.o) << HALF) << 32 * word
        return value

    async def check(self, ctx):
        for address in range(16):
            if address in (2, 5, 8, 13):
                assert await self.read(ctx, address) == 0
        for address, value in CONTENTS.items():
            assert await self.read(ctx, address) == value
        for counter in self.counters:
            assert await self.read(ctx, counter.address, self.words(counter)) == self.expected[counter.name], counter.name
        for capture in CAPTURES:
            assert await self.read(ctx, capture.address, -(-capture.width // 32)) == self.shown[capture.name]

    async def clear(self, ctx, which):
        ctx.set(getattr(self.registers, which), 1)
        await ctx.tick()
        ctx.set(getattr(self.registers, which), 0)
        for counter in self.counters:
            if counter.restarts == (which == "restart"):
                self.expected[counter.name] = 0


@pytest.mark.parametrize(("scale", "seed"), [(1, 1), (1, 2), (1 << 24, 3)])
def test_counts_and_captures_are_read_back(scale, seed):
    bench = Bench(scale, seed)

    async def procedure(ctx):
        for _ in range(4):
            await bench.settle(ctx)
            await bench.count(ctx, 400)
            await bench.settle(ctx)
            await bench.check(ctx)
            await bench.clear(ctx, bench.rng.choice(("clear", "restart")))
            await bench.settle(ctx)
            await bench.check(ctx)

    simulator = Simulator(bench.registers)
    simulator.add_clock(1e-6)
    simulator.add_testbench(procedure)
    simulator.run()
    assert bool(bench.stopped) == (scale > 1)
    assert scale == 1 or bench.expected["wide"] > 1 << 32 or bench.expected["wide"] == 0


def test_what_is_read_meanwhile_is_whole():
    """A count that runs to its end never falls, and a capture whose halves are always equal shows them equal."""
    most, cycles = 0x700000, 900  # ¾ of it in each cycle is more than 32 bits hold
    file = RegisterFile((Counter("count", 2, most=most), Counter("wide", 4, most=most, wide=True)), (Capture("shown", 3),), {}, depth=8)
    rng, counted, found = random.Random(1), 0, []

    async def run(ctx):
        nonlocal counted
        while not ctx.get(file.settled):
            await ctx.tick()
        ctx.set(file.running, 1)
        ctx.set(file.i_wide, most)
        for _ in range(cycles):
            value = rng.randint(most * 3 // 4, most)
            ctx.set(file.i_count, value)
            ctx.set(file.i_shown, rng.getrandbits(HALF) * 0x10001)
            await ctx.tick()
            counted += value
        ctx.set(file.i_count, 0)

    async def read(ctx):
        while not ctx.get(file.running):
            await ctx.tick()
        while counted < 1 << 32 or len(found) % 2:
            for address in (2, 3):
                await ctx.tick().repeat(rng.randint(1, 4))
                ctx.set(file.address, address)
                ctx.set(file.en, 1)
                await ctx.tick()
                ctx.set(file.en, 0)
                while not ctx.get(file.low):
                    await ctx.tick()
                low = ctx.get(file.o)
                await ctx.tick()
                found.append(low | ctx.get(file.o) << HALF)

    simulator = Simulator(file)
    simulator.add_clock(1e-6)
    simulator.add_testbench(run)
    simulator.add_testbench(read)
    simulator.run()
    counts, shown = found[::2], found[1::2]
    assert counts == sorted(counts)
    assert counts[0] < 1 << 28 and counts[-1] > 0xE0000000
    assert len(set(shown)) > 10 and all(value >> HALF == value % (1 << HALF) for value in shown)


def test_what_it_cannot_count_is_refused():
    none = "^Registers must be two or more, one of them of 32 bits, so that there is time to write and to read$"
    for alone in ((Counter("narrow", 0),), (Counter("wide", 0, wide=True), Counter("another", 2, wide=True))):
        with pytest.raises(ValueError, match=none):
            RegisterFile(alone, (), {}, depth=4)
    with pytest.raises(ValueError, match=r"^A register of two words must have an even address, not 1 \(odd\)$"):
        RegisterFile((Counter("narrow", 0), Counter("odd", 1, wide=True)), (), {}, depth=4)
    many = [Counter(f"counter{number}", number, most=1 << 30) for number in range(4)]
    with pytest.raises(ValueError, match=r"^A counter must count less than \d+ a cycle, not 1073741824 \(counter0\)$"):
        RegisterFile(many, (), {}, depth=4)
