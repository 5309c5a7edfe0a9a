"""The cycles of the learner are those of its contract, for every depth of the pipeline."""

import random
from dataclasses import replace

import pytest

from python_ref.spec.hardware import Hardware
from python_ref.spec.learner import Outside
from python_ref.spec.number import Rounding
from python_ref.spec.optimizer import Momentum, Sgd, ShiftAdam
from python_ref.spec.schedule import Schedule
from rtl_gen.learner.core import learner_core
from tests.rtl_gen.learner.test_core import TWO_SIDED, lockstep_of
from tests.support.learner_bench import run_learner
from tests.support.learner_designs import random_learner


@pytest.mark.parametrize(
    "optimizer, memory, settle, average, lanes",
    [
        (Sgd(), None, 0, 0, 1),
        (Momentum(2), True, 5, 2, 1),
        (Sgd(), None, 0, 0, 3),
        pytest.param(Sgd(), True, 1, 1, 1, marks=pytest.mark.slow),
        pytest.param(Momentum(2), None, 0, 3, 1, marks=pytest.mark.slow),
        pytest.param(Momentum(2), True, 5, 2, 8, marks=pytest.mark.slow),
    ],
)
def test_cycles_of_a_step(optimizer, memory, settle, average, lanes):
    """40 words are more than the queue holds, so that a queue that is too short for its pipeline would show."""
    spec = replace(
        TWO_SIDED,
        external=40,
        optimizer=optimizer,
        schedule=Schedule(((0, -1),), sample_period=2),
        hardware=Hardware(lanes, memory),
        outside=Outside(settle, average, 100, 1),
    )
    lockstep = lockstep_of(spec)
    contract = lockstep.bench.core.contract

    async def scenario(bench):
        await lockstep.prepare()
        await lockstep.train(2)

    run_learner(lockstep.bench, scenario)
    marks = lockstep.bench.marks
    applied, ready, costs = marks["apply"], marks["ready"], marks["cost"]
    firsts, lasts = costs[:: 2**average], costs[2**average - 1 :: 2**average]
    assert len(applied) == 5, "two passes a step, and the last one"
    assert [b - a for a, b in zip(applied[:4], ready, strict=True)] == 4 * [settle + 2]
    assert [b - a for a, b in zip(applied[:4], firsts, strict=True)] == 4 * [settle + contract.settling]
    assert [b - a for a, b in zip(firsts, lasts, strict=True)] == 4 * [2**average - 1]
    assert applied[1] - lasts[0] == applied[3] - lasts[2] == contract.between + contract.pass_cycles
    assert applied[2] - lasts[1] == contract.wait + contract.pass_cycles
    assert lasts[3] - lasts[1] == contract.step_cycles(2, settle, average)


@pytest.mark.parametrize("seed", range(12))
def test_the_contract_is_that_of_the_page(seed):
    """Computed from the tables of docs/design/learner.md and docs/design/machine.md."""
    spec = random_learner(random.Random(seed))
    contract = learner_core(spec).contract
    momentum, adam, (low, high) = isinstance(spec.optimizer, Momentum), isinstance(spec.optimizer, ShiftAdam), spec.exponents
    a = 18 if adam else 11 if momentum else 8 if spec.gradient_memory else 4
    b = 1 if adam else -(-(high - low).bit_length() // 2)
    b += spec.formats.gradient_cast.rounding is not Rounding.FLOOR
    b += 2 * (not momentum and not adam and not spec.gradient_memory)
    assert contract.pass_cycles == -(-spec.quantities // spec.hardware.lanes) + a + b + 5
    assert (contract.settling, contract.between, contract.wait) == (2, 3, 12)
