"""The cycle contract of networks with state is what simulation counts, whatever the lengths of the samples."""

import random
from itertools import cycle

import numpy as np
import pytest

from python_ref.spec.registers import Command
from rtl_gen.core import contract, core_of
from sim import host
from sim.program import ProgramLink
from tests.support.core_bench import run_bench
from tests.support.designs import random_parameters
from tests.support.lockstep import samples_of, stream_table
from tests.support.marks import slow_unless
from tests.support.series_shapes import SERIES_SHAPES

QUICK = ("leaky",)


def measured(spec, presentations):
    """Numbers of steps of presentations, numbers of frames of their samples, and cycles from the start of each to the next one's."""
    rng = random.Random(3)
    parameters, (inputs, targets) = random_parameters(rng, spec), samples_of(rng, spec, 4)
    table, core, begins, lengths = stream_table(spec, inputs, targets), core_of(spec), [], []
    edges = [n for n in range(1_000) if spec.schedule.begins(n)][: presentations + 1]

    async def scenario(bench):
        link = ProgramLink()
        host.prepare(spec, link, parameters)
        for _, address, data in link.program().ops.tolist():
            await bench._request(1, address, data)
        await bench.ticks(2 * spec.quantities + table.shape[1] + 100)  # the first samples and signs are there

        def watch(ctx):
            if ctx.get(core.sequencer.started) and not ctx.get(core.sequencer.probe) and not ctx.get(core.sequencer.apply):
                begins.append(bench.cycle)
                lengths.append(ctx.get(core.sequencer.length))

        bench.watch.append(watch)
        await bench.start(Command.TRAIN, edges[-1])
        await bench.idle()

    run_bench(spec, scenario, cycle(table.ravel().tolist()), core=core)
    shown = [spec.unrolled.length_of(inputs[edge // spec.schedule.sample_period % len(inputs)]) for edge in edges[:-1]]
    assert lengths == shown
    return np.diff(edges).tolist(), lengths, np.diff(begins).tolist()


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow_unless(name in QUICK)) for name in SERIES_SHAPES])
def test_presentations_take_the_cycles_of_the_contract(name):
    spec = SERIES_SHAPES[name]
    steps, lengths, cycles = measured(spec, 4)
    promised = contract(spec)
    assert cycles == [promised.presentation_cycles_of(*each) for each in zip(steps, lengths, strict=True)][:-1]


def test_a_frame_costs_the_slots_of_its_groups_and_the_waits_between_layers():
    """As docs/design/series.md says: a pass takes n frames and the tail."""
    spec = SERIES_SHAPES["behind-a-dense-layer"]
    promised = contract(spec)
    frame = promised.pass_cycles(3) - promised.pass_cycles(2)
    assert frame == promised.pass_cycles(2) - promised.pass_cycles(1) == (3 + promised.depth) + (6 + promised.depth)
    assert promised.presentation_cycles(4) - promised.presentation_cycles(3) == promised.probe_cycles
    assert promised.first_steps(spec, 8) == 2 * promised.presentation_cycles(4)
