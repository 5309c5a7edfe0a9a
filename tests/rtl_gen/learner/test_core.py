"""The core of the learner: what it shows and sends equals the model, whatever the design, the chip, its pace, and what the host does."""

import random
from dataclasses import replace

import pytest

from python_ref.spec.formats import LearnerFormats
from python_ref.spec.learner import LearnerSpec, Outside
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import Momentum
from python_ref.spec.perturbation import Kind, LfsrCode, Perturbation, SequentialCode, WalshCode, WalshGrayCode
from python_ref.spec.registers import Command, Status
from python_ref.spec.schedule import Difference, Schedule
from sim import host
from tests.support import marks
from tests.support.learner_bench import run_learner
from tests.support.learner_designs import random_quantities
from tests.support.learner_lockstep import LearnerLockstep
from tests.support.virtual_chip import VirtualChip

STEPS = 6

ONE_SIDED = LearnerSpec(
    "one_sided",
    5,
    Perturbation(Kind.WEIGHT, LfsrCode(), -3, 4),
    Schedule(((0, -1), (4, -3)), 2, 4, 3),
    Momentum(2),
    LearnerFormats(Fixed(True, 2, 8), Fixed(True, 3, 8)),
    outside=Outside(3, 2, 3, 2),
)
"""A baseline lasts several steps, and a sign vector two."""

TWO_SIDED = LearnerSpec(
    "two_sided",
    3,
    Perturbation(Kind.WEIGHT, LfsrCode(), -3, 5),
    Schedule(((0, -1),), difference=Difference.TWO_SIDED),
    formats=LearnerFormats(Fixed(True, 2, 8), Fixed(True, 3, 8), Fixed(True, 2, 6)),
    outside=Outside(0, 0, 5, 2),
)
"""The smallest machine: an update in every step, without a gradient memory."""

LONG = replace(TWO_SIDED, name="long", external=70, perturbation=Perturbation(Kind.WEIGHT, WalshCode(), -3))
"""More quantities than the queue has room for."""


def lockstep_of(spec: LearnerSpec, *, silent: tuple[int, ...] = (), **bench: object) -> LearnerLockstep:
    rng = random.Random(spec.name)
    chip = VirtualChip(spec, 3, gain=0.2, offset=0.1, noise=0.05, drift=0.02, dac_step=2.0**-4, silent=set(silent))
    return LearnerLockstep(spec, chip, random_quantities(rng, spec), **bench)


def train_equals_model(rng: random.Random, steps: int = STEPS, silence: float = 0.1) -> None:
    lockstep = LearnerLockstep.drawn(rng, stalls=rng.choice((0.0, 0.5)), pace=rng.randrange(1 << 30))
    silent = {call for call in range(4 * steps) if rng.random() < silence}
    lockstep.chip.silent, lockstep.bench.chip.silent = silent, set(silent)

    async def scenario(bench):
        await lockstep.prepare()
        await lockstep.train(steps // 2)
        if rng.random() < 0.5:
            await lockstep.load(random_quantities(rng, lockstep.spec))
        if rng.random() < 0.5:
            await lockstep.set_average(rng.randint(0, lockstep.spec.outside.average))
        if rng.random() < 0.3:
            await lockstep.clear()
        await lockstep.train(steps - steps // 2)
        await lockstep.check_registers()

    run_learner(lockstep.bench, scenario)


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=marks.SLOW if part < 9 else marks.LONG) for part in range(1, 40))])
def test_training_equals_the_model(part):
    train_equals_model(random.Random(f"learner core {part}"), STEPS if part == 0 else 2 * STEPS)


def test_a_baseline_lasts_and_a_late_cost_ends_it():
    """The second call of the chip in a step without a baseline of its own does not come; then its repetition measures one."""
    lockstep = lockstep_of(ONE_SIDED, silent=(2, 4, 9), stalls=0.2)

    async def scenario(bench):
        await lockstep.prepare()
        await lockstep.train(3)
        assert lockstep.abandoned == 2
        await lockstep.set_average(1)
        await lockstep.train(1)
        await lockstep.check_registers()

    run_learner(lockstep.bench, scenario)
    assert lockstep.abandoned == 3


def test_the_outside_may_be_slow():
    lockstep = lockstep_of(LONG, stalls=0.6)

    async def scenario(bench):
        await lockstep.prepare()
        await lockstep.train(2)

    run_learner(lockstep.bench, scenario)


@pytest.mark.parametrize(
    "silent, code",
    [(0, WalshGrayCode()), (1, SequentialCode()), *(pytest.param(call, LfsrCode(), marks=pytest.mark.slow) for call in range(4))],
)
def test_a_late_cost_in_either_pass(silent, code):
    """The first two steps begin in vain."""
    spec = replace(TWO_SIDED, perturbation=replace(TWO_SIDED.perturbation, code=code))
    lockstep = lockstep_of(spec, silent=(silent, silent + 1))

    async def scenario(bench):
        await lockstep.prepare()
        await lockstep.train(3)
        assert lockstep.abandoned == 2

    run_learner(lockstep.bench, scenario)


@pytest.mark.parametrize("command", [Command.CLEAR, Command.RESTART])
def test_commands_clear_the_bit_of_a_late_cost(command):
    lockstep = lockstep_of(TWO_SIDED, silent=(0,))

    async def scenario(bench):
        await lockstep.prepare()

        def status(link):
            return host.read_register(lockstep.spec, link, "status")

        def train(link):
            host.write_register(lockstep.spec, link, "count", 1)
            host.write_register(lockstep.spec, link, "command", Command.TRAIN)
            link.wait_idle()

        await bench.host(train)
        assert await bench.host(status) == Status.LATE
        await bench.host(lambda link: host.write_register(lockstep.spec, link, "command", command))
        assert await bench.host(status) == 0

    run_learner(lockstep.bench, scenario)


def test_the_host_can_stop_while_no_index_is_taken():
    """The status tells of the wait. The run ends with its last pass, and the same index is sent again."""
    lockstep = lockstep_of(TWO_SIDED)
    spec = lockstep.spec

    async def scenario(bench):
        await lockstep.prepare()
        await lockstep.train(1)
        bench.takes_samples, sent = False, len(bench.marks["apply"])

        def begin(link):
            host.write_register(spec, link, "count", 5)
            host.write_register(spec, link, "command", Command.TRAIN)

        await bench.host(begin)
        for _ in range(60):
            await bench.tick()
        assert await bench.host(lambda link: host.read_register(spec, link, "status")) == Status.BUSY | Status.STARVED
        await bench.host(lambda link: host.write_register(spec, link, "command", Command.STOP))
        await bench.idle()
        assert len(bench.marks["apply"]) == sent + 1
        bench.takes_samples = True
        await lockstep.train(2)
        assert bench.shown == [0, 1, 0]

    run_learner(lockstep.bench, scenario)


def test_stopped_runs_equal_the_uninterrupted_one():
    """A step at a time, each flushed."""
    lockstep = lockstep_of(ONE_SIDED)

    async def scenario(bench):
        await lockstep.prepare()
        for _ in range(3):
            await lockstep.train(1)

    run_learner(lockstep.bench, scenario)
