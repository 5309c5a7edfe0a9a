"""The core of a network with state shows what its model computes, in every event and register, whatever its shape."""

import random
from dataclasses import replace

import pytest

from python_ref.spec.design import DesignSpec
from python_ref.spec.layers import DENSE, Leaky, Lif
from python_ref.spec.network import Readout
from python_ref.spec.number import Fixed
from rtl_gen.fanout import MAX_DIRECT_LANES
from tests.support.lockstep import run_lockstep
from tests.support.marks import LONG, slow_unless
from tests.support.series_designs import random_series
from tests.support.series_shapes import QUICK_SHAPES, SERIES_SHAPES, series_design


def check(spec: DesignSpec, presentations: int = 3, seed: int = 1) -> None:
    """Some presentations, and part of another, are those of the model."""
    steps = presentations * max(spec.schedule.sample_period, spec.schedule.update_period) + spec.longest_presentation // 2

    def scenario(model):
        model.prepare()
        model.train(steps)
        model.check_registers()

    run_lockstep(spec, scenario, random.Random(seed), samples=steps + 2)


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow_unless(name in QUICK_SHAPES)) for name in SERIES_SHAPES])
def test_every_observable_is_the_model_s(name):
    check(SERIES_SHAPES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pipelined", "leaves-late"])
def test_every_observable_is_the_model_s_where_lanes_are_many(name, monkeypatch):
    monkeypatch.setattr("rtl_gen.series.neurons.MAX_SHIFTED_LANES", MAX_DIRECT_LANES)
    monkeypatch.setattr("rtl_gen.fanout.MAX_NEAR_LANES", MAX_DIRECT_LANES)
    check(SERIES_SHAPES[name])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(seed, marks=LONG) for seed in range(5, 60))])
def test_random_networks_are_the_model_s(seed):
    check(random_series(random.Random(seed), max_layers=3), 2, seed)


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 3, pytest.param(8, marks=LONG), pytest.param(9, marks=LONG)])
def test_results_do_not_depend_on_the_number_of_lanes(lanes):
    spec = series_design((2, 9, 3), (Leaky(1), DENSE), 3, readout=Readout.SUM)
    check(replace(spec, hardware=replace(spec.hardware, lanes=lanes)))


SIXTY_FOUR = {
    "held": series_design((1, 2, 2), (Lif(3), DENSE), 64, held=True, hold=10, readout=Readout.SUM, state=Fixed(True, 3, 8)),
    "two lif layers": series_design((1, 2, 2, 1), (Lif(3), Lif(1), DENSE), 64, hold=64, readout=Readout.SUM, state=Fixed(True, 3, 8)),
    "leaky behind dense": series_design((2, 1, 2, 1), (DENSE, Leaky(2), DENSE), 64, hold=16),
}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", SIXTY_FOUR)
def test_samples_of_up_to_sixty_four_frames_are_the_model_s(name):
    check(SIXTY_FOUR[name], 2)
