"""The whole core: everything it shows equals the model, whatever the design and whatever the host does."""

import random
from dataclasses import replace
from math import lcm

import numpy as np
import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from python_ref.spec.design import DesignSpec
from python_ref.spec.registers import Command, Memory
from python_ref.spec.schedule import Difference
from rtl_gen.station import MANY
from sim import host
from sim.run import Stalls
from tests.support.designs import random_design, random_parameters
from tests.support.lockstep import Twin, live

STEPS = 50
seeds = st.integers(0, 2**63 - 1)


def examples(count):
    """Hypothesis draws seeds; there is nothing to shrink in them."""
    return settings(max_examples=count, phases=(Phase.explicit, Phase.reuse, Phase.generate))


def drawn(part: int, seed: int) -> random.Random:
    """The generator of an example; parts, which run side by side, have examples of their own."""
    return random.Random(f"{part}:{seed}")


def train_equals_model(rng: random.Random, tell=note, spec: DesignSpec | None = None, steps: int = STEPS, **where) -> None:
    """RTL equals reference, over some steps of a random design with random stalls."""
    spec = spec or random_design(rng)
    tell(repr(spec))

    def life(twin: Twin) -> None:
        twin.prepare(seed)
        twin.train(steps)
        twin.check_registers()

    seed = rng.choice((None, rng.randrange(1 << 63)))
    stalls = rng.choice((None, Stalls(rng.randrange(1, 1 << 32), rng.choice((0.2, 0.7)))))
    live(spec, life, rng, stalls=stalls, **where)


@pytest.mark.parametrize("part", range(8))
@examples(1)
@given(seed=seeds)
def test_training_equals_the_model(part, seed):
    train_equals_model(drawn(part, seed))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10, 30))
@examples(10)
@given(seed=seeds)
def test_training_equals_the_model_for_200_designs(part, seed):
    train_equals_model(drawn(part, seed))


def many_lanes(rng: random.Random) -> DesignSpec:
    """A design of which stations tell the lanes what they share, its layers in one group or in two."""
    spec = random_design(rng, max_layers=2)
    lanes = MANY + rng.randint(1, MANY + 1)
    sizes = (*spec.network.sizes[:-1], lanes + rng.randint(-3, 3))
    return replace(spec, network=replace(spec.network, sizes=sizes), hardware=replace(spec.hardware, lanes=lanes))


@pytest.mark.parametrize("part", (0, 2))
def test_training_in_many_lanes_equals_the_model(part):
    rng = drawn(part, 0)
    train_equals_model(rng, print, many_lanes(rng), 15)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10, 50))
def test_training_in_many_lanes_equals_the_model_for_40_designs(part):
    rng = drawn(part, 0)
    train_equals_model(rng, print, many_lanes(rng))


@pytest.mark.parametrize("part", range(2))
def test_emitted_verilog_equals_the_model(part, tmp_path):
    train_equals_model(drawn(part, 0), print, simulator="cxxrtl", directory=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(100, 155))
def test_emitted_verilog_equals_the_model_for_55_designs(part, tmp_path):
    train_equals_model(drawn(part, 0), print, simulator="cxxrtl", directory=tmp_path)


def constant_rate(spec: DesignSpec) -> DesignSpec:
    """The design with its largest rate for ever, with which its updates reach a parameter's last place as before."""
    largest = max(rate for _, rate in spec.schedule.learning_rate)
    return replace(spec, schedule=replace(spec.schedule, learning_rate=((0, largest),)))


def random_memory(rng: random.Random, spec: DesignSpec, memory: Memory) -> np.ndarray:
    """Values for G or m."""
    form = host.memories(spec)[memory]
    return np.array([rng.randint(form.min, form.max) for _ in range(spec.network.n_parameters)], dtype=np.int64)


def random_life(rng: random.Random, spec: DesignSpec):
    """A host that does whatever a host may do, in any order."""

    def deed():
        deeds = ["train", "train", "infer", "load", "clear", "restart", "check"]
        deeds += [memory.name for memory in host.memories(spec) if memory is not Memory.PARAMETER]
        kind = rng.choice(deeds)
        if kind == "train":
            count = rng.randint(1, 9)
            return lambda twin: twin.train(count)
        if kind == "infer":
            count = rng.randint(1, 4)
            return lambda twin: twin.infer(count)
        if kind == "load":
            parameters = random_parameters(rng, spec)
            return lambda twin: twin.load(parameters)
        if kind == "clear":
            return lambda twin: twin.clear()
        if kind == "restart":
            seed = rng.randrange(1 << 63)
            return lambda twin: twin.restart(seed)
        if kind == "check":
            return lambda twin: twin.check_registers()
        memory = Memory[kind]
        values = random_memory(rng, spec, memory)
        return lambda twin: twin.load_learned(memory, values)

    deeds = [deed() for _ in range(10)]

    def life(twin: Twin) -> None:
        twin.prepare()
        twin.train(3)
        for done in deeds:
            done(twin)
        twin.train(4)
        twin.check_registers()

    return life


@pytest.mark.parametrize("part", range(3))
@examples(1)
@given(seed=seeds)
def test_any_life_equals_the_models(part, seed):
    rng = drawn(part, seed)
    spec = random_design(rng)
    note(repr(spec))
    live(spec, random_life(rng, spec), rng, stalls=Stalls(rng.randrange(1, 1 << 32), 0.3))


@pytest.mark.parametrize("part", range(3))
@examples(1)
@given(seed=seeds)
def test_stopping_and_resuming_equals_the_uninterrupted_run(part, seed):
    rng = drawn(part, seed)
    spec = constant_rate(random_design(rng, max_period=4))
    note(repr(spec))
    delays = [rng.randint(0, 40) for _ in range(3)]

    def life(twin: Twin) -> None:
        twin.prepare()
        for delay in delays:
            twin.write("count", 1_000_000)
            twin.command(Command.TRAIN)
            for _ in range(delay):
                twin.read("status")
            twin.command(Command.STOP)
            twin.link.wait_idle()
            twin.follow(twin.read("steps") - twin.steps)
            twin.check_registers()
        twin.train(5)
        twin.check_registers()

    live(spec, life, rng)


def test_a_load_takes_a_new_sample_and_a_new_baseline():
    rng = random.Random(12)
    spec = constant_rate(random_design(rng, max_size=4, differences=(Difference.ONE_SIDED,)))
    spec = replace(spec, schedule=replace(spec.schedule, sample_period=6, update_period=1))
    others = [random_parameters(rng, spec) for _ in range(2)]

    def life(twin: Twin) -> None:
        twin.prepare()
        for other in others:
            twin.train(3)
            twin.load(other)
        twin.train(8)
        twin.check_registers()

    live(spec, life, rng)


def test_writes_are_dropped_while_the_core_is_busy():
    rng = random.Random(8)
    spec = constant_rate(random_design(rng, max_size=5, signature=True))
    spec = replace(spec, schedule=replace(spec.schedule, perturbation_period=2, sample_period=2))
    other = random_parameters(rng, spec)
    names = ("count", "exponent", "perturbation_period", "sample_period", "update_period", "select", "address", "stream")

    def life(twin: Twin) -> None:
        def stop() -> None:
            twin.command(Command.STOP)
            twin.link.wait_idle()
            twin.follow(twin.read("steps") - twin.steps)
            twin.check_registers()

        twin.prepare()
        twin.write("count", 1_000_000)
        twin.command(Command.TRAIN)
        host.load_parameters(spec, twin.link, other)
        for name in names:
            twin.write(name, 3)
        for command in (Command.RESTART, Command.CLEAR, Command.DISCARD, Command.TRAIN, Command.INFER):
            twin.command(command)
        busy = twin.read("status")
        stop()
        # What is left of the run, with the settings that it had.
        before = twin.steps
        twin.command(Command.TRAIN)
        for _ in range(150):
            twin.read("status")
        stop()
        if twin.judging:
            assert busy & 1
            assert before > 0
            assert twin.steps > before + 6
        twin.restart()
        twin.train(3)
        twin.check_registers()

    live(spec, life, rng)


@pytest.mark.parametrize("part", range(3))
@examples(1)
@given(seed=seeds)
def test_a_core_that_is_told_where_a_run_was_goes_on_with_it(part, seed):
    rng = drawn(part, seed)
    spec = constant_rate(random_design(rng, max_period=3))
    note(repr(spec))
    schedule = spec.schedule
    block = lcm(schedule.perturbation_period, schedule.sample_period, schedule.update_period)

    def life(twin: Twin) -> None:
        twin.prepare()
        twin.train(block * rng_steps[0])
        twin.resume()
        twin.train(block * rng_steps[1] + 1)
        twin.check_registers()

    rng_steps = [rng.randint(1, 4) for _ in range(2)]
    live(spec, life, rng)


def test_a_core_built_for_longer_periods_runs_shorter_ones():
    rng = random.Random(3)
    spec = constant_rate(random_design(rng, optimizers=(random_design(rng).optimizer.__class__,)))
    spec = replace(spec, hardware=replace(spec.hardware, gradient_memory=True))
    spec = replace(spec, schedule=replace(spec.schedule, perturbation_period=3, sample_period=2, update_period=4))
    others = [
        replace(spec, schedule=replace(spec.schedule, perturbation_period=p, sample_period=x, update_period=u))
        for p, x, u in ((1, 1, 1), (5, 3, 2), (2, 6, 1))
    ]

    def life(twin: Twin) -> None:
        twin.prepare()
        twin.train(9)
        for other in others:
            twin.restart(spec=other)
            twin.train(11)
        twin.check_registers()

    live(spec, life, rng)


def test_a_stop_while_waiting_for_a_sample_ends_the_run():
    rng = random.Random(5)
    spec = constant_rate(random_design(rng))

    def life(twin: Twin) -> None:
        twin.prepare()
        twin.write("count", 1_000)
        twin.command(Command.TRAIN)
        status = 0
        for _ in range(600):
            status = twin.read("status")
        twin.command(Command.STOP)
        twin.link.wait_idle()
        twin.follow(twin.read("steps"))
        if twin.judging:
            assert status == 3
        twin.check_registers()

    live(spec, life, rng, samples=4)
