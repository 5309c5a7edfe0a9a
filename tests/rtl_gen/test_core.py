"""The whole core: everything it shows equals the model, whatever the design and whatever the host does."""

import random
from dataclasses import replace
from math import lcm

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from python_ref.spec.design import DesignSpec
from python_ref.spec.perturbation import Kind
from python_ref.spec.registers import Command
from rtl_gen.fanout import MAX_DIRECT_LANES
from sim.run import Stalls
from tests.support.designs import random_design, random_parameters
from tests.support.faults import DESIGNS
from tests.support.lockstep import Lockstep, run_lockstep
from tests.support.scenarios import constant_rate, random_scenario, resuming, stopping, writes_while_busy

STEPS, FEW_STEPS = 50, 20
"""Steps of a run in the slow suite, and in the ordinary one."""
SMALL = 4
"""Most inputs or neurons of a layer where the host's actions are tried, and not the sizes."""
seeds = st.integers(0, 2**63 - 1)


def examples(count):
    """Hypothesis draws seeds; there is nothing to shrink in them."""
    return settings(max_examples=count, phases=(Phase.explicit, Phase.reuse, Phase.generate))


def drawn(part: int, seed: int) -> random.Random:
    """The generator of an example; parts, which run side by side, have examples of their own."""
    return random.Random(f"{part}:{seed}")


def train_equals_model(rng: random.Random, report=note, spec: DesignSpec | None = None, steps: int = STEPS, **where) -> None:
    """RTL equals reference, over some steps of a random design with random stalls."""
    spec = spec or random_design(rng)
    report(repr(spec))

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare(seed)
        lockstep.train(steps)
        lockstep.check_registers()

    seed = rng.choice((None, rng.randrange(1 << 63)))
    stalls = rng.choice((None, Stalls(rng.randrange(1, 1 << 32), rng.choice((0.2, 0.7)))))
    run_lockstep(spec, scenario, rng, stalls=stalls, **where)


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 8))])
@examples(1)
@given(seed=seeds)
def test_training_equals_the_model(part, seed):
    train_equals_model(drawn(part, seed), steps=FEW_STEPS)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
def test_training_with_sparse_layers_equals_the_model(seed):
    rng = random.Random(f"sparse {seed}")
    spec = random_design(rng, kinds=(Kind.WEIGHT,), max_size=9, max_lanes=4, sparse=1.0)
    train_equals_model(rng, print, spec, steps=FEW_STEPS)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_any_scenario_with_sparse_layers_equals_the_model(seed):
    rng = random.Random(f"sparse {seed}")
    spec = random_design(rng, max_size=6, max_lanes=4, sparse=1.0)
    run_lockstep(spec, random_scenario(rng, spec), rng, stalls=Stalls(rng.randrange(1, 1 << 32), 0.3))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("part", range(10, 30))
@examples(10)
@given(seed=seeds)
def test_training_equals_the_model_for_200_designs(part, seed):
    train_equals_model(drawn(part, seed))


def many_lanes(rng: random.Random) -> DesignSpec:
    """A design whose shared signals reach the lanes through registers, its layers in one group or in two."""
    spec = random_design(rng, max_layers=2)
    lanes = MAX_DIRECT_LANES + rng.randint(1, MAX_DIRECT_LANES + 1)
    sizes = (*spec.network.sizes[:-1], lanes + rng.randint(-3, 3))
    return replace(spec, network=replace(spec.network, sizes=sizes), hardware=replace(spec.hardware, lanes=lanes))


@pytest.mark.slow
@pytest.mark.parametrize("part", (0, pytest.param(2, marks=pytest.mark.long)))
def test_training_in_many_lanes_equals_the_model(part):
    rng = drawn(part, 0)
    train_equals_model(rng, print, many_lanes(rng), 8)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("part", range(10, 50))
def test_training_in_many_lanes_equals_the_model_for_40_designs(part):
    rng = drawn(part, 0)
    train_equals_model(rng, print, many_lanes(rng))


@pytest.mark.usefixtures("quick_builds")
def test_emitted_verilog_equals_the_model(tmp_path):
    train_equals_model(drawn(0, 0), print, simulator="cxxrtl", directory=tmp_path)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("part", range(100, 155))
def test_emitted_verilog_equals_the_model_for_55_designs(part, tmp_path):
    train_equals_model(drawn(part, 0), print, simulator="cxxrtl", directory=tmp_path)


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in (1, 2))])
@examples(1)
@given(seed=seeds)
def test_any_scenario_equals_the_model(part, seed):
    rng = drawn(part, seed)
    spec = random_design(rng, max_size=SMALL)
    note(repr(spec))
    run_lockstep(spec, random_scenario(rng, spec), rng, stalls=Stalls(rng.randrange(1, 1 << 32), 0.3))


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in (1, 2))])
@examples(1)
@given(seed=seeds)
def test_stopping_and_resuming_equals_the_uninterrupted_run(part, seed):
    rng = drawn(part, seed)
    spec = constant_rate(random_design(rng, max_size=SMALL, max_period=4))
    note(repr(spec))
    run_lockstep(spec, stopping([rng.randint(0, 40) for _ in range(3)]), rng)


def test_a_load_takes_a_new_sample_and_a_new_baseline():
    rng, spec = random.Random(12), DESIGNS["node"]
    spec = replace(spec, schedule=replace(spec.schedule, sample_period=6))
    others = [random_parameters(rng, spec) for _ in range(2)]

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        for other in others:
            lockstep.train(3)
            lockstep.load(other)
        lockstep.train(8)
        lockstep.check_registers()

    run_lockstep(spec, scenario, rng)


@pytest.mark.slow
def test_writes_are_dropped_while_the_core_is_busy():
    rng, spec = random.Random(8), DESIGNS["node"]
    assert spec.hardware.signature
    spec = replace(spec, schedule=replace(spec.schedule, perturbation_period=2, sample_period=2))
    run_lockstep(spec, writes_while_busy(spec, random_parameters(rng, spec)), rng)


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in (1, 2))])
@examples(1)
@given(seed=seeds)
def test_a_core_that_is_told_where_a_run_was_goes_on_with_it(part, seed):
    rng = drawn(part, seed)
    spec = constant_rate(random_design(rng, max_size=SMALL, max_period=3))
    note(repr(spec))
    schedule = spec.schedule
    block = lcm(schedule.perturbation_period, schedule.sample_period, schedule.update_period)
    run_lockstep(spec, resuming((rng.randint(1, 4), rng.randint(1, 4)), block), rng)


@pytest.mark.slow
def test_a_core_built_for_longer_periods_runs_shorter_ones():
    rng, spec = random.Random(3), constant_rate(DESIGNS["momentum"])
    spec = replace(spec, hardware=replace(spec.hardware, gradient_memory=True))
    spec = replace(spec, schedule=replace(spec.schedule, perturbation_period=3, sample_period=2, update_period=4))
    spec = replace(spec, formats=replace(spec.formats, error=spec.error_format))  # which otherwise follows from the periods
    others = [
        replace(spec, schedule=replace(spec.schedule, perturbation_period=p, sample_period=x, update_period=u))
        for p, x, u in ((1, 1, 1), (5, 3, 2), (2, 6, 1))
    ]

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        lockstep.train(9)
        for other in others:
            lockstep.restart(spec=other)
            lockstep.train(11)
        lockstep.check_registers()

    run_lockstep(spec, scenario, rng)


def test_a_stop_while_waiting_for_a_sample_ends_the_run():
    rng, spec = random.Random(5), DESIGNS["node"]

    def scenario(lockstep: Lockstep) -> None:
        lockstep.prepare()
        lockstep.write("count", 1_000)
        lockstep.command(Command.TRAIN)
        status = 0
        for _ in range(600):
            status = lockstep.read("status")
        lockstep.command(Command.STOP)
        lockstep.link.wait_idle()
        lockstep.follow(lockstep.read("steps"))
        if lockstep.comparing:
            assert status == 3
        lockstep.check_registers()

    run_lockstep(spec, scenario, rng, samples=4)
