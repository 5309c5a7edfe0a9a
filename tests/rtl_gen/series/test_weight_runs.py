"""What a host may do at any cycle of a step of weight perturbation with state; and what a wrong core shows."""

import random

import pytest

from rtl_gen.core import contract
from sim.error import CoreError
from tests.rtl_gen.presentation.test_runs import ACTIONS, Scene
from tests.support.faults import planted
from tests.support.lockstep import run_lockstep
from tests.support.marks import LONG, long_unless
from tests.support.scenarios import plain
from tests.support.series_weight_faults import INTERRUPTED_WEIGHT_SERIES_FAULTS, WEIGHT_SERIES_DESIGNS, WEIGHT_SERIES_FAULTS

STRIDE = 23


@pytest.mark.slow
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=LONG) for part in range(1, STRIDE))])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=long_unless(name == "leaky")) for name in ("leaky", "elman-two-sided", "held-signs")]
)
def test_a_run_that_is_stopped_at_any_cycle_equals_the_uninterrupted_one(name, part):
    spec = WEIGHT_SERIES_DESIGNS[name]
    scene = Scene(name, part, spec=spec)

    async def scenario(bench):
        for delay in range(part, 2 * contract(spec).step_cycles(2), STRIDE):
            await scene.stop(bench, delay)
        await bench.act(scene.model, lambda model: model.train(5))

    scene.run(scenario)
    uninterrupted = Scene(name, part, spec=spec)
    uninterrupted.model.follow(scene.model.steps)
    for shown, expected in zip(scene.model.history, uninterrupted.model.history, strict=True):
        assert shown.passes == expected.passes


def a_run_with_everything(name):
    """Stop in the middle of steps, and go on at once, or load, infer, restart, clear and read before."""
    scene = Scene(name, spec=WEIGHT_SERIES_DESIGNS[name])

    async def scenario(bench):
        for number, action in enumerate((None, "load", None, "infer", None, "restart", None, "clear", "check")):
            await scene.stop(bench, 230 + 31 * number)
            if action:
                await bench.act(scene.model, ACTIONS[action](scene))
                await bench.act(scene.model, ACTIONS["check"](scene))
        await bench.act(scene.model, lambda model: model.train(4))

    scene.run(scenario)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["leaky", "saturating", pytest.param("elman-two-sided", marks=LONG)])
def test_what_a_host_does_in_the_middle_of_a_run(name):
    a_run_with_everything(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["leaky", pytest.param("elman-two-sided", marks=LONG)])
def test_samples_that_come_late_change_nothing(name):
    scene, offered = Scene(name, spec=WEIGHT_SERIES_DESIGNS[name]), {}

    def offers(word, cycle):
        """Each word comes some cycles after the one before it: from none to many."""
        return cycle - offered.setdefault(word, cycle) >= word * 29 % 197

    async def scenario(bench):
        await bench.act(scene.model, lambda model: model.train(12))

    scene.run(scenario, offers=offers)


def some_steps(name):
    """Some steps of a core and its model, with samples of several lengths."""
    run_lockstep(WEIGHT_SERIES_DESIGNS[name], plain(9), random.Random(4), samples=12)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({fault.design for fault in WEIGHT_SERIES_FAULTS}))
def test_without_a_fault_nothing_differs(name):
    some_steps(name)


@pytest.mark.slow
@pytest.mark.parametrize("fault", WEIGHT_SERIES_FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_seen(fault, monkeypatch):
    planted(fault, monkeypatch.setattr)
    with pytest.raises((AssertionError, CoreError)):
        some_steps(fault.design)


@pytest.mark.slow
@pytest.mark.parametrize("fault", INTERRUPTED_WEIGHT_SERIES_FAULTS, ids=lambda fault: fault.name)
def test_a_fault_that_only_an_interrupted_run_shows_is_seen(fault, monkeypatch):
    planted(fault, monkeypatch.setattr)
    with pytest.raises(AssertionError):
        a_run_with_everything(fault.design)
