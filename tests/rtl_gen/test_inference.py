"""The core without learning: it computes the network, bit for bit, for every sample."""

import random
from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator

from python_ref.fixed.cost import correct
from python_ref.fixed.network import forward
from rtl_gen.core import contract
from rtl_gen.fanout import MAX_DIRECT_LANES
from rtl_gen.inference import InferenceCore
from tests.support.designs import random_design, random_parameters, random_samples

SAMPLES = 4


def infer(core, parameters, inputs, targets, stalls):
    """Pre-activations and activations of every neuron, outputs and verdicts of a run over all samples; cycles of a pass."""
    spec, layout = core.spec, core.spec.layout
    words = np.concatenate([inputs, targets], axis=1) & ((1 << spec.sample_width) - 1)
    found = {"z": [], "y": [], "outputs": [], "correct": 0, "saturated": 0, "passes": []}

    async def load(ctx):
        for lane, word, value in zip(layout.parameter_lane, layout.parameter_word, parameters, strict=True):
            ctx.set(core.host_lane, int(lane))
            ctx.set(core.host_address, int(word))
            ctx.set(core.host_data, int(value) & 0xFFFFFFFF)
            ctx.set(core.host_write, 1)
            await ctx.tick()
        ctx.set(core.host_write, 0)
        await ctx.tick().repeat(core.array.host_latency)
        low = (1 << spec.formats.weight.width) - 1
        assert ctx.get(core.host_read_data) & low == int(parameters[-1]) & low

    async def bench(ctx):
        await load(ctx)
        ctx.set(core.count, SAMPLES)
        ctx.set(core.infer, 1)
        rows, offered, cycle, began = iter(words.ravel().tolist()), False, 0, 0
        while cycle < 20_000:
            cycle += 1
            if not offered and stalls.random() < 0.7:
                offered = (word := next(rows, None)) is not None
                ctx.set(core.sample.payload, word or 0)
            ctx.set(core.sample.valid, offered)
            if offered and ctx.get(core.sample.ready):
                offered = False
            neuron = ctx.get(core.activation.neuron_o)
            if neuron.valid:
                found["z"].append(ctx.get(core.activation.z_o))
                found["y"].append(ctx.get(core.activation.y))
            if ctx.get(core.y_stb):
                found["outputs"].append(ctx.get(core.y))
            found["correct"] += ctx.get(core.correct)
            found["saturated"] += ctx.get(core.saturated)
            if ctx.get(core.sequencer.start):  # a pass starts in the cycle after
                began = cycle
            if ctx.get(core.sequencer.done):
                found["passes"].append(cycle - began)
            await ctx.tick()
            ctx.set(core.infer, 0)
            if not ctx.get(core.busy):
                break
        found["correct"] += ctx.get(core.correct)

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


@pytest.mark.parametrize(("seed", "many"), [*((seed, False) for seed in range(12)), *((seed, True) for seed in range(3))])
def test_it_computes_what_the_reference_computes(seed, many):
    rng = random.Random(f"inference {seed}")
    spec = random_design(rng)
    if many:
        spec = replace(spec, hardware=replace(spec.hardware, lanes=MAX_DIRECT_LANES + 1 + seed))
    parameters = random_parameters(rng, spec)
    inputs, targets = random_samples(rng, spec, SAMPLES)
    core = InferenceCore(spec)
    if not spec.node:
        assert core.pass_cycles == contract(spec).pass_cycles
    found = infer(core, parameters, inputs, targets, rng)
    expected = [forward(spec, parameters, row) for row in inputs]
    outputs = [y[-spec.network.n_out :] for _, y, _ in expected]
    assert found["z"] == np.concatenate([z for z, _, _ in expected]).tolist()
    assert found["y"] == np.concatenate([y for _, y, _ in expected]).tolist()
    assert found["outputs"] == np.concatenate(outputs).tolist()
    assert found["saturated"] == sum(int(outside.sum()) for _, _, outside in expected)
    assert found["correct"] == sum(bool(correct(spec, y, target)) for y, target in zip(outputs, targets, strict=True))
    assert found["passes"] == [core.pass_cycles] * SAMPLES
