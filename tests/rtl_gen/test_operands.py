"""The sample loader: words go where they belong, whatever the stalls, and never over what is still needed."""

import random

import pytest
from amaranth.sim import Simulator

from rtl_gen.operands import SampleLoader
from tests.support.faults import DESIGNS

PATTERNS = {
    "never": lambda rng, cycle: False,
    "seldom": lambda rng, cycle: rng.random() < 0.2,
    "mostly": lambda rng, cycle: rng.random() < 0.9,
    "bursts": lambda rng, cycle: cycle // 13 % 2 == 0,
}
SAMPLES = 25


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", ["node", "weight", "sequential", "long"])
def test_samples_arrive_whole_and_in_order(name, pattern):
    spec, rng, stalls = DESIGNS[name], random.Random(f"{name} {pattern}"), PATTERNS[pattern]
    n_in, n_out, buffers = spec.network.n_in, spec.network.n_out, spec.sample_buffers
    words = [rng.getrandbits(spec.formats.input.width) for _ in range(SAMPLES * (n_in + n_out))]
    loader, inputs, targets, taken = SampleLoader(spec), {}, {}, []

    async def bench(ctx):
        sent, cycle, offered = 0, 0, False
        while len(taken) < SAMPLES:
            cycle += 1
            assert cycle < 20_000, "the loader hangs"
            offered = offered or (sent < len(words) and not stalls(rng, cycle))
            ctx.set(loader.sample.valid, offered)
            if offered:
                ctx.set(loader.sample.payload, words[sent])
            take = ctx.get(loader.available) and rng.random() < 0.1
            ctx.set(loader.take, take)
            present = ctx.get(loader.buffer)
            for enable, store, size in ((loader.input_en, inputs, n_in), (loader.target_en, targets, n_out)):
                if ctx.get(enable):
                    place = ctx.get(loader.address)
                    store[place] = ctx.get(loader.data)
                    # What is trained on is never written over.
                    if taken:
                        assert place // size != present
            if offered and ctx.get(loader.sample.ready):
                sent, offered = sent + 1, False
            await ctx.tick()
            if take:
                now = ctx.get(loader.buffer)
                taken.append([inputs[now * n_in + i] for i in range(n_in)] + [targets[now * n_out + i] for i in range(n_out)])
                assert now < buffers

    simulator = Simulator(loader)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    size = n_in + n_out
    assert taken == [words[size * number : size * (number + 1)] for number in range(SAMPLES)]


@pytest.mark.parametrize("name", ["node", "weight"])
def test_what_is_discarded_is_gone_and_the_next_word_is_a_samples_first(name):
    spec = DESIGNS[name]
    n_in, n_out = spec.network.n_in, spec.network.n_out
    size = n_in + n_out
    for sent in range(1, 2 * size):
        loader, inputs, targets = SampleLoader(spec), {}, {}

        async def bench(ctx, loader=loader, inputs=inputs, targets=targets, sent=sent):
            async def send(values):
                for value in values:
                    ctx.set(loader.sample.valid, 1)
                    ctx.set(loader.sample.payload, value)
                    while True:
                        ready = ctx.get(loader.sample.ready)
                        for enable, store in ((loader.input_en, inputs), (loader.target_en, targets)):
                            if ctx.get(enable):
                                store[ctx.get(loader.address)] = value
                        await ctx.tick()
                        if ready:
                            break
                ctx.set(loader.sample.valid, 0)

            whole = min(sent, size * (spec.sample_buffers - 1))
            await send([0] * whole)
            ctx.set(loader.discard, 1)
            await ctx.tick()
            ctx.set(loader.discard, 0)
            assert not ctx.get(loader.available)
            await send(range(1, size + 1))
            await ctx.tick()
            assert ctx.get(loader.available)
            ctx.set(loader.take, 1)
            await ctx.tick()
            now = ctx.get(loader.buffer)
            assert [inputs[now * n_in + i] for i in range(n_in)] == list(range(1, n_in + 1))
            assert [targets[now * n_out + i] for i in range(n_out)] == list(range(n_in + 1, size + 1))
            assert not ctx.get(loader.available)

        simulator = Simulator(loader)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()
