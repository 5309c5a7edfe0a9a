"""The check can fail: every fault that is planted in the core of the learner is seen by the comparison with the model, or by the cycles."""

from dataclasses import replace

import pytest

from python_ref.spec.hardware import Hardware
from python_ref.spec.learner import Outside
from python_ref.spec.optimizer import Momentum
from python_ref.spec.schedule import Schedule
from tests.rtl_gen.learner.test_core import LONG, ONE_SIDED, TWO_SIDED, lockstep_of
from tests.rtl_gen.learner.test_nodes import NODES
from tests.rtl_gen.learner.test_streams import MANY, STREAMS
from tests.support.faults import planted
from tests.support.learner_bench import run_learner
from tests.support.learner_faults import LEARNER_FAULTS
from tests.support.marks import slow_unless

TIMED = replace(
    TWO_SIDED,
    external=40,
    optimizer=Momentum(2),
    schedule=Schedule(((0, -1),), sample_period=2),
    hardware=Hardware(1, True),
    outside=Outside(5, 2, 100, 1),
)
"""The longest pipeline."""

QUICK = ("a late cost is not told", "all lanes round alike", "the last pass is perturbed")
"""Names of the faults that the ordinary suite plants."""


def scenario_plain() -> None:
    lockstep = lockstep_of(TWO_SIDED)

    async def scenario(bench):
        await lockstep.prepare()
        await lockstep.train(3)
        await lockstep.check_registers()

    run_learner(lockstep.bench, scenario)


def scenario_late() -> None:
    lockstep = lockstep_of(ONE_SIDED, silent=(2, 4, 9), stalls=0.2)

    async def scenario(bench):
        await lockstep.prepare()
        await lockstep.train(3)
        await lockstep.set_average(1)
        await lockstep.train(2)

    run_learner(lockstep.bench, scenario)


def scenario_slow() -> None:
    lockstep = lockstep_of(LONG, stalls=0.6)

    async def scenario(bench):
        await lockstep.prepare()
        await lockstep.train(2)

    run_learner(lockstep.bench, scenario)


def scenario_timed() -> None:
    lockstep = lockstep_of(TIMED)
    contract = lockstep.bench.core.contract

    async def scenario(bench):
        await lockstep.prepare()
        await lockstep.train(2)

    run_learner(lockstep.bench, scenario)
    lasts = lockstep.bench.marks["cost"][3::4]
    assert lasts[3] - lasts[1] == contract.step_cycles(2, 5, 2)


def scenario_streams() -> None:
    for spec, steps in ((STREAMS, 10), (MANY, 2)):  # 20 passes are more than a queue has places
        lockstep = lockstep_of(spec, stalls=0.5)

        async def scenario(bench, lockstep=lockstep, steps=steps):
            await lockstep.prepare()
            await lockstep.train(steps)
            await lockstep.check_registers()

        run_learner(lockstep.bench, scenario)


def scenario_nodes() -> None:
    lockstep = lockstep_of(NODES)

    async def scenario(bench):
        await lockstep.prepare()
        await lockstep.train(4)

    run_learner(lockstep.bench, scenario)


SCENARIOS = {
    "nodes": scenario_nodes,
    "streams": scenario_streams,
    "plain": scenario_plain,
    "late": scenario_late,
    "slow": scenario_slow,
    "timed": scenario_timed,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_without_a_fault_nothing_differs(name):
    SCENARIOS[name]()


@pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.name, marks=slow_unless(fault.name in QUICK)) for fault in LEARNER_FAULTS])
def test_a_planted_fault_is_seen(fault, monkeypatch):
    planted(fault, monkeypatch.setattr)
    with pytest.raises(AssertionError):
        SCENARIOS[fault.design]()
