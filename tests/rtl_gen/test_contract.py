"""The cycle contract of weight perturbation: what the components say of their cycles is what simulation counts, and the formulas say."""

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from amaranth.sim import Simulator

from mgd_hw.design.reader import load, shipped
from python_ref.spec.design import DesignSpec
from python_ref.spec.perturbation import Kind
from python_ref.spec.registers import Command, register_map
from python_ref.spec.schedule import Schedule
from rtl_gen.controller import StepController
from rtl_gen.core import Core, contract
from rtl_gen.fanout import MAX_DIRECT_LANES
from tests.support.designs import random_design

STEPS = 8


def due_passes(spec: DesignSpec, n: int) -> int:
    """Passes of step n."""
    schedule = spec.schedule
    return 2 if spec.two_sided or n % schedule.sample_period == 0 or n % schedule.update_period == 0 else 1


def formula(spec: DesignSpec, depth: int) -> tuple[int, int]:
    """N, and the cycles of a pass: N + Σ max(0, D − (groups − 1)·L) over all layers but the last."""
    lanes, sizes = spec.hardware.lanes, spec.network.sizes
    slots = added = 0
    for number, (n_in, n_out) in enumerate(pairwise(sizes)):
        groups = (n_out + lanes - 1) // lanes
        slots += groups * (n_in + 1 if groups == 1 else max(n_in + 1, lanes))
        if number < len(sizes) - 2:
            added += max(0, depth - (groups - 1) * lanes)
    return slots, slots + added


def pair_formula(spec: DesignSpec, depth: int, gap: int) -> tuple[int, int]:
    """Cycles of a step's two passes, with the gap between them, and of the second one; the latter without its first layer, where that is
    visited once for both."""
    lanes, (n_in, first, *more) = spec.hardware.lanes, spec.network.sizes
    _, one = formula(spec, depth)
    if spec.perturbation.kind is Kind.NODE:
        return 2 * one + gap, one
    groups = (first + lanes - 1) // lanes
    slots = n_in + 1 if groups == 1 else max(n_in + 1, lanes)
    before, last = (groups - 1) * lanes, first - (groups - 1) * lanes
    padding = slots - n_in - 1
    behind = one - groups * slots - (max(0, depth - before) if more else 0)
    waits = max(0, depth - before, last - 1 - padding - before) if more else last
    return (groups - 1) * max(slots, 2 * lanes) + slots + waits + 2 * behind + gap, behind


def record(spec: DesignSpec, steps: int) -> tuple[Core, np.ndarray]:
    """Train with samples always there, and note the sequencer's slot of every cycle: a row of ``FIELDS``."""
    core, addresses = Core(spec), register_map(spec)
    slot, rows = core.sequencer.slot, []

    async def host(ctx):
        writes = [("command", Command.CLEAR), ("command", Command.RESTART), ("count", steps), ("command", Command.TRAIN)]
        for name, value in writes:
            ctx.set(core.request.payload, {"write": 1, "address": addresses[name].address, "data": int(value)})
            ctx.set(core.request.valid, 1)
            await ctx.tick().until(core.request.ready)
        ctx.set(core.request.valid, 0)

    async def recorder(ctx):  # a command takes effect some cycles before its request is taken
        while not ctx.get(core.busy):
            await ctx.tick()
        while ctx.get(core.busy):
            rows.append([ctx.get(slot[name]) if name in slot.shape().members else 0 for name in FIELDS])
            assert len(rows) < 10**6
            await ctx.tick()

    async def samples(ctx):
        ctx.set(core.sample.valid, 1)

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(host)
    simulator.add_testbench(samples)
    simulator.add_testbench(recorder)
    simulator.run()
    return core, np.array(rows)


FIELDS = ("begin", "branch", "valid", "real", "correlate", "perturb", "second", "forward", "both", "tail", "layer")


def starts_of_passes(spec: DesignSpec, column: dict[str, np.ndarray], passes: list[int]) -> np.ndarray:
    """Rows in which the passes begin; a second pass that shares the visit of the first layer begins with the second layer."""
    begins = np.flatnonzero(column["begin"])
    if spec.perturbation.kind is Kind.NODE or len(spec.network.layers) == 1:
        return begins
    assert len(begins) == len(passes) + 1
    branches = np.flatnonzero(column["branch"] & column["second"])
    return np.sort([*begins, *(branches[branches > begin][0] for begin, count in zip(begins, passes, strict=False) if count == 2)])


def check(spec: DesignSpec, steps: int = STEPS) -> None:
    core, rows = record(spec, steps)
    observed = core.contract
    assert (observed.slots, observed.pass_cycles) == formula(spec, observed.depth)
    pair, behind = pair_formula(spec, observed.depth, observed.gap)
    assert observed.pair_cycles == pair
    one_visit, placed = spec.perturbation.kind is Kind.WEIGHT, spec.layout.layers
    column = {name: rows[:, number] for number, name in enumerate(FIELDS)}
    passes = [due_passes(spec, n) for n in range(steps)]
    # In a network of one layer, a visit for both passes is all of the step.
    visits = [1 if one_visit and len(placed) == 1 else count for count in passes]
    begins = starts_of_passes(spec, column, passes)
    first_of_step = np.cumsum([0, *visits])  # the flushing pass begins where one more step would
    assert len(begins) == sum(visits) + 1
    # Every step takes what the contract says, whether its first pass correlates, updates, or neither; the last flushes.
    assert np.diff(begins[first_of_step]).tolist()[:-1] == [observed.step_cycles(count) for count in passes][:-1]
    for number, place in enumerate(begins):
        kind = {name: int(column[name][place]) for name in ("correlate", "perturb", "second", "forward", "both")}
        step = int(np.searchsorted(first_of_step, number, side="right")) - 1
        first, flush = number in first_of_step, step == steps
        second = not flush and (passes[step] == 1 or not first)
        assert kind == {
            "correlate": int(first and step > 0),
            "perturb": int(not flush and (second or spec.two_sided)),
            "second": int(second),
            "forward": int(not flush),
            "both": int(one_visit and first and not flush and passes[step] == 2),
        }
        end = begins[number + 1] if number + 1 < len(begins) else len(rows)
        skipped = placed[1] if one_visit and not first else placed[0]
        assert column["valid"][place:end].sum() == observed.slots - skipped.first_slot
        assert column["real"][place:end].sum() == spec.layout.words - skipped.first_word
        if not flush and visits[step] == 2 and first:
            assert end - place == pair - behind
    both = [n for n in range(steps - 1) if passes[n] == 2]
    for n in both:
        span = slice(begins[first_of_step[n]], begins[first_of_step[n + 1]])
        tails = np.array([each.last_lanes for each in placed])[column["layer"][span]]
        busy = (np.where(column["tail"][span], tails, spec.hardware.lanes) * column["real"][span]).sum()
        assert busy / (spec.hardware.lanes * (span.stop - span.start)) == pytest.approx(observed.busy_lanes)


@pytest.mark.parametrize("name", [name for name in shipped() if not load(name).spec.node])
def test_shipped_designs_keep_the_contract(name):
    check(load(name).spec)


@pytest.mark.parametrize("part", [*range(4), *(pytest.param(part, marks=pytest.mark.slow) for part in range(4, 8))])
def test_random_designs_keep_the_contract(part):
    check(random_design(random.Random(part), max_layers=4, signature=False, kinds=(Kind.WEIGHT,)))


@pytest.mark.slow
@pytest.mark.parametrize("part", [pytest.param(part, marks=() if part < 110 else pytest.mark.long) for part in range(100, 130)])
def test_more_random_designs_keep_the_contract(part):
    check(random_design(random.Random(part), max_layers=4, max_lanes=20, signature=False, kinds=(Kind.WEIGHT,)))


def test_pass_cycles_equal_the_formula():
    for seed in range(30):
        spec = random_design(random.Random(seed), max_size=30, max_layers=5, max_lanes=24, kinds=(Kind.WEIGHT,))
        observed = contract(spec)
        assert (observed.slots, observed.pass_cycles) == formula(spec, observed.depth)
        assert observed.slots == spec.layout.slots
        assert observed.pair_cycles == pair_formula(spec, observed.depth, observed.gap)[0]
        assert observed.step_cycles(2) == observed.pair_cycles + observed.wait
        assert observed.step_cycles(1) == observed.pass_cycles + observed.wait
        assert observed.run_cycles([2, 1, 1]) == observed.step_cycles(2) + 2 * observed.step_cycles(1)


def of_sizes(*sizes: int, lanes: int) -> DesignSpec:
    """The design ``digits`` with weight perturbation in every step, and with another network and array."""
    spec = load("digits").spec
    return replace(
        spec,
        network=replace(spec.network, sizes=sizes),
        hardware=replace(spec.hardware, lanes=lanes, gradient_memory=None),
        perturbation=replace(spec.perturbation, kind=Kind.WEIGHT),
        schedule=Schedule(spec.schedule.learning_rate),
    )


def test_the_wait_is_the_neurons_of_the_last_group_and_a_constant():
    constants = {contract(of_sizes(64, 32, n_out, lanes=8)).wait - n_out for n_out in range(1, 9)}
    assert len(constants) == 1
    few, many = (
        {contract(of_sizes(64, hidden, 5, lanes=lanes)).depth for hidden in (1, 9, 32) for lanes in counts}
        for counts in ((1, 5, MAX_DIRECT_LANES), (MAX_DIRECT_LANES + 1, 40))
    )
    assert len(few) == 1
    assert many == {few.pop() + 4}


def test_the_wait_is_never_shorter_than_the_controller_needs():
    """Where neurons leave while the last group is padded, C̃ may be there before the pass has ended."""
    spec = of_sizes(2, 33, lanes=32)
    assert contract(spec).wait == StepController.begin_latency
    check(spec)


def test_large_layers_keep_their_lanes_busy():
    """≥ 95 % where the slots of a step are ≥ 20 times what is added and n_out are multiples of L. Both passes share the first layer's."""
    held = 0
    for sizes in ((64, 32, 8), (64, 64, 16), (200, 40, 8), (784, 32, 8), (49, 64, 64, 16), (784, 96, 8)):
        for lanes in (1, 2, 4, 8):
            spec = of_sizes(*sizes, lanes=lanes)
            observed = contract(spec)
            slots = 2 * observed.slots - spec.layout.layers[0].group_slots * spec.layout.layers[0].groups
            if slots >= 20 * (observed.step_cycles(2) - slots):
                held += 1
                assert observed.busy_lanes >= 0.95
    assert held >= 12


def test_digits_on_eight_lanes(capsys):
    observed = contract(of_sizes(64, 32, 10, lanes=8))
    with capsys.disabled():
        sizes = f"N = {observed.slots}, D = {observed.depth}, T = {observed.wait}"
        print(f"\n64-32-10 on 8 lanes: {sizes}; {observed.step_cycles(2)} cycles per two-pass step")
    assert observed.slots == 4 * 65 + 2 * 33
    assert observed.step_cycles(2) <= 680
