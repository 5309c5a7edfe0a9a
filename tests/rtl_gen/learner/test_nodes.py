"""A learner of node currents: the errors that it sends are those of the model, and its chip learns by them."""

import random
from dataclasses import replace

import pytest

from python_ref.spec.formats import LearnerFormats
from python_ref.spec.hardware import Hardware
from python_ref.spec.learner import LearnerSpec, Outside
from python_ref.spec.number import Fixed
from python_ref.spec.perturbation import Kind, LfsrCode, Perturbation
from python_ref.spec.schedule import Difference, Schedule
from tests.rtl_gen.learner.test_core import lockstep_of
from tests.support import marks
from tests.support.learner_bench import run_learner
from tests.support.learner_designs import random_chip, random_node_learner, random_quantities
from tests.support.learner_lockstep import LearnerLockstep

NODES = LearnerSpec(
    "nodes",
    5,
    Perturbation(Kind.NODE, LfsrCode(), -3, 4),
    Schedule(((0, -1),), 1, 4, 2),
    formats=LearnerFormats(Fixed(True, 2, 8), Fixed(True, 3, 8)),
    hardware=Hardware(2),
    outside=Outside(3, 1, 9, 2),
)
"""One-sided, with a gradient memory, in two streams; a baseline lasts two steps, and a sample four."""

DIRECT = replace(
    NODES, name="direct_nodes", external=3, schedule=Schedule(((0, -1),), difference=Difference.TWO_SIDED), hardware=Hardware(1)
)
"""Two-sided, with an update in every step, which is rounded before its sign."""


@pytest.mark.parametrize("spec", [NODES, DIRECT], ids=lambda spec: spec.name)
def test_errors_of_a_run_reach_the_chip(spec):
    """Also those of a step behind which the cost of the next does not come, and of the last step of a run."""
    lockstep = lockstep_of(spec, silent=(5, 9), stalls=0.3)

    async def scenario(bench):
        await lockstep.prepare()
        await lockstep.train(5)
        await lockstep.train(1)
        await lockstep.check_registers()

    run_learner(lockstep.bench, scenario)
    assert lockstep.abandoned and len(lockstep.errors) >= 3 and lockstep.chip.weights.any()
    assert lockstep.bench.chip.weights.tolist() == lockstep.chip.weights.tolist()


@pytest.mark.parametrize("part", [pytest.param(part, marks=marks.SLOW if part < 6 else marks.LONG) for part in range(20)])
def test_random_node_learners_equal_the_model(part):
    rng = random.Random(f"node core {part}")
    spec = random_node_learner(rng)
    print(spec)
    lockstep = LearnerLockstep(spec, random_chip(rng, spec), random_quantities(rng, spec), stalls=rng.choice((0.0, 0.5)))
    silent = {call for call in range(40) if rng.random() < 0.1}
    lockstep.chip.silent, lockstep.bench.chip.silent = silent, set(silent)

    async def scenario(bench):
        await lockstep.prepare()
        await lockstep.train(6)
        if rng.random() < 0.5:
            await lockstep.clear()
        await lockstep.train(6)
        await lockstep.check_registers()

    run_learner(lockstep.bench, scenario)
