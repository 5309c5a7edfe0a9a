"""Cores with stochastic layers show what the oracle computes, which draws thresholds bit by bit, and take the cycles of the contract."""

import random
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest

from tests.rtl_gen.presentation import test_contract
from tests.rtl_gen.presentation.test_core import check, shown_by_the_core
from tests.rtl_gen.presentation.test_runs import ACTIONS, Scene
from tests.support.core_bench import run_bench
from tests.support.faults import planted
from tests.support.marks import LONG, in_turn, long_unless, slow_unless
from tests.support.node_designs import single_port, two_multipliers
from tests.support.stochastic_designs import QUICK_STOCHASTIC, STOCHASTIC_SHAPES, random_stochastic_design
from tests.support.stochastic_faults import STOCHASTIC_DESIGNS, STOCHASTIC_FAULTS


def steps_of(spec):
    return 2 * max(spec.schedule.sample_period, spec.schedule.update_period) + 5


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow_unless(name in QUICK_STOCHASTIC)) for name in STOCHASTIC_SHAPES])
def test_every_observable_is_the_oracles(name):
    check(STOCHASTIC_SHAPES[name], steps=steps_of(STOCHASTIC_SHAPES[name]))


@pytest.mark.parametrize("name", [pytest.param(name, marks=long_unless(name == "both")) for name in STOCHASTIC_SHAPES])
def test_every_observable_of_lanes_with_two_multipliers_is_the_oracles(name):
    check(two_multipliers(STOCHASTIC_SHAPES[name]), steps=steps_of(STOCHASTIC_SHAPES[name]))


@pytest.mark.slow
@pytest.mark.parametrize("multipliers", [1, 2])
@pytest.mark.parametrize("name", ["both", pytest.param("deep", marks=LONG)])
def test_every_observable_of_memories_with_one_port_is_the_oracles(name, multipliers):
    spec = single_port(STOCHASTIC_SHAPES[name])
    check(two_multipliers(spec) if multipliers == 2 else spec, steps=steps_of(spec))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=() if seed < 6 else LONG) for seed in range(40)])
def test_random_designs_are_the_oracles(seed):
    rng = random.Random(f"stochastic {seed}")
    while True:
        spec = random_stochastic_design(rng, max_size=7, max_layers=4, max_lanes=9, max_period=4, parts=0.3, signature=True)
        if max(spec.schedule.sample_period, spec.schedule.update_period) <= 24:
            break
    check(two_multipliers(spec) if rng.random() < 0.3 else spec, seed, steps_of(spec))


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [(1, 4, 9)], ids=str)
@pytest.mark.parametrize("name", ["both", pytest.param("deep", marks=LONG)])
def test_results_do_not_depend_on_the_number_of_lanes(name, lanes):
    spec = STOCHASTIC_SHAPES[name]
    found = [shown_by_the_core(replace(spec, hardware=replace(spec.hardware, lanes=each)), 5, 9) for each in lanes]
    assert len(found[0]["cost"]) > 5
    for other in found[1:]:
        for key in found[0].keys() - {"signature"}:
            np.testing.assert_array_equal(other[key], found[0][key], err_msg=key)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in ("both", "parts") else in_turn(number, 2)) for number, name in enumerate(STOCHASTIC_SHAPES)],
)
def test_presentations_take_the_cycles_of_the_contract(name):
    test_contract.check(STOCHASTIC_SHAPES[name], 4)


@pytest.mark.parametrize("name", [pytest.param(name, marks=long_unless(name == "one-layer")) for name in STOCHASTIC_SHAPES])
def test_presentations_that_apply_just_in_time_take_the_cycles_of_the_contract(name):
    test_contract.check(two_multipliers(STOCHASTIC_SHAPES[name]), 4)


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=fault.name, marks=slow_unless(fault in STOCHASTIC_FAULTS[5:7])) for fault in STOCHASTIC_FAULTS]
)
def test_a_planted_fault_is_a_mismatch(fault, monkeypatch):
    planted(fault, monkeypatch.setattr)
    spec = STOCHASTIC_DESIGNS[fault.design]
    with pytest.raises(AssertionError, match="step"):
        check(spec, steps=steps_of(spec))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({fault.design for fault in STOCHASTIC_FAULTS}))
def test_without_a_fault_nothing_differs(name):
    check(STOCHASTIC_DESIGNS[name], steps=steps_of(STOCHASTIC_DESIGNS[name]))


class SceneOfParts(Scene):
    """A core and its model whose events are compared by their signatures, and what they leave by the registers and memories.

    A probe's part is not told by its factors m, which may all be 0.
    """

    def run(self, scenario, **options):
        """Run a scenario after both have been set up."""

        async def whole(bench):
            await bench.act(self.model, lambda model: model.prepare())
            await scenario(bench)
            await bench.act(self.model, lambda model: model.check_registers())

        run_bench(self.spec, whole, self.words, **options)
        assert self.model.history


@pytest.mark.slow
@pytest.mark.parametrize("name", ["parts", pytest.param("parts-two-sided", marks=LONG)])
def test_probes_of_parts_may_be_interrupted(name):
    spec = STOCHASTIC_SHAPES[name]
    periods = {f"{each}_period": 3 * getattr(spec.schedule, f"{each}_period") for each in ("sample", "update")}
    scene, opened = SceneOfParts(name, spec=replace(spec, schedule=replace(spec.schedule, **periods))), []

    async def scenario(bench):
        for delay, action in zip(range(40, 400, 29), cycle((None, "check", "load", None, "infer", "restart")), strict=False):
            await scene.stop(bench, delay)
            opened.append(np.any(scene.model.state.error_sum))
            if action:
                await bench.act(scene.model, ACTIONS[action](scene))
            await bench.act(scene.model, lambda model: model.check_registers())

    scene.run(scenario)
    assert sum(opened) > 2, "presentations were open"
