"""The cycle contract of weight perturbation with state is what simulation counts, whatever the lengths of the samples."""

import random
from itertools import cycle, pairwise

import pytest

from python_ref.spec.registers import Command
from rtl_gen.core import contract, core_of
from sim import host
from sim.program import ProgramLink
from tests.support.core_bench import run_bench
from tests.support.designs import random_parameters
from tests.support.lockstep import samples_of, stream_table
from tests.support.marks import slow_unless
from tests.support.series_weight_shapes import WEIGHT_SERIES_SHAPES

QUICK = ("leaky",)
FIELDS = ("correlate", "perturb", "second", "forward")


def measured(spec, steps):
    """Every pass of so many steps and of the flush: its first cycle, its number of frames, its kind, and its slots, those that are not
    padding, and those that correlate."""
    rng = random.Random(3)
    parameters, (inputs, targets) = random_parameters(rng, spec), samples_of(rng, spec, 4)
    table, core, passes = stream_table(spec, inputs, targets), core_of(spec), []

    async def scenario(bench):
        link = ProgramLink()
        host.prepare(spec, link, parameters)
        for _, address, data in link.program().ops.tolist():
            await bench._request(1, address, data)
        await bench.ticks(table.shape[1] + 100)  # the first samples are there

        def watch(ctx):
            slot = core.sequencer.slot
            if ctx.get(slot.begin) and ctx.get(slot.initial):
                kind = tuple(ctx.get(slot[name]) for name in FIELDS[1:])
                passes.append([bench.cycle, ctx.get(core.sequencer.length), kind, 0, 0, 0])
            if passes:
                for place, value in enumerate((slot.valid, slot.real, slot.real & slot.correlate), 3):
                    passes[-1][place] += ctx.get(value)

        bench.watch.append(watch)
        await bench.start(Command.TRAIN, steps)
        await bench.idle()

    run_bench(spec, scenario, cycle(table.ravel().tolist()), core=core)
    lengths = [spec.unrolled.length_of(inputs[step // spec.schedule.sample_period % len(inputs)]) for step in range(steps)]
    return passes, lengths


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow_unless(name in QUICK)) for name in WEIGHT_SERIES_SHAPES])
def test_steps_take_the_cycles_of_the_contract(name):
    spec, steps = WEIGHT_SERIES_SHAPES[name], 7
    passes, lengths = measured(spec, steps)
    promised, schedule, layout = contract(spec), spec.schedule, spec.layout
    framed = [n < spec.network.framed for n in range(len(layout.layers))]
    words, slots = ([each * placed for each, placed in zip(framed, counts, strict=True)] for counts in zip(*_counts(spec), strict=True))
    tail_words, tail_slots = layout.words - sum(words), layout.slots - sum(slots)
    begins = []
    for n, length in enumerate(lengths):
        due = spec.two_sided or n % schedule.sample_period == 0 or n % schedule.update_period == 0
        kinds = [(int(spec.two_sided), 0, 1)] * due + [(1, 1, 1)]
        for number, kind in enumerate(kinds):
            cycle_, frames, shown, valid, real, correlated = passes.pop(0)
            assert shown == kind
            assert (valid, real) == (length * sum(slots) + tail_slots, length * sum(words) + tail_words)
            assert correlated == (layout.words if number == 0 and n > 0 else 0)  # once, whatever the number of frames
            begins.append((cycle_, n, frames, len(kinds)))
    (flush,) = passes
    assert flush[2:] == [(0, 0, 0), layout.slots, layout.words, layout.words]
    begins.append((flush[0], steps, 0, 0))
    for (first, step, frames, count), (following, after, _, _) in pairwise(begins):
        cycles = promised.pass_cycles_of(frames)
        # The last step of a run is not followed by a step, but by the flushing pass, which the contract leaves open.
        if after == steps:
            continue
        assert following - first == cycles + promised.wait * (after > step)
        assert promised.step_cycles_of(count, frames) == count * cycles + promised.wait


def _counts(spec):
    """Words and slots of each layer."""
    return [(placed.groups * placed.group_words, placed.groups * placed.group_slots) for placed in spec.layout.layers]


def test_a_frame_costs_the_slots_of_its_groups_and_the_waits_between_layers():
    """As docs/design/series.md says: a pass takes n frames and the tail."""
    spec = WEIGHT_SERIES_SHAPES["behind-a-dense-layer"]
    promised = contract(spec)
    assert promised.pass_cycles_of(3) - promised.pass_cycles_of(2) == promised.frame_cycles == (3 + promised.depth) + (6 + promised.depth)
    assert promised.tail_cycles == 3
    assert promised.pass_cycles == promised.pass_cycles_of(3)
    assert promised.step_cycles(2) == 2 * promised.pass_cycles + promised.wait
    assert promised.first_steps(spec, 4) == 2 * promised.step_cycles(1) + 2 * promised.step_cycles(2)
    assert promised.first_visits(spec, 2) == 3 * (3 * (9 + 12) + 6)
