"""Co-simulation of learners: the hardware with the chip's costs equals the model beside the chip, whatever the outside's pace."""

import random
from dataclasses import replace

import numpy as np
import pytest

from python_ref.trace import LearnerRun
from rtl_gen.learner.core import learner_core
from sim import learner_cosim
from sim.learner_cosim import cosim_learner
from sim.run import Stalls
from sim.simulators import Options
from tests.support.learner_designs import random_chip, random_learner, random_quantities

STEPS = 12


def drawn(seed: int):
    """A random learner that waits long enough for a cost, its run, and its chip."""
    rng = random.Random(seed)
    spec = random_learner(rng, most=5)
    spec = replace(spec, outside=replace(spec.outside, timeout_cycles=10_000))
    return LearnerRun(spec, np.array(random_quantities(rng, spec)), STEPS, rng.randrange(1 << 63)), random_chip(rng, spec)


@pytest.mark.parametrize("seed", range(2))
def test_the_hardware_equals_the_model(seed, tmp_path):
    run, chip = drawn(seed)
    stalls = Options(stalls=Stalls(seed + 1, 0.4))
    found = cosim_learner(run, chip, learner_core(run.spec), tmp_path, simulator="amaranth", options=stalls)
    assert found.equal and found.compared > STEPS, (found.first_difference, found.failure)


def test_another_cost_is_seen(tmp_path, monkeypatch):
    run, chip = drawn(0)
    write = learner_cosim.write_learner_reference

    def changed(*given, **more):
        state, costs = write(*given, **more)
        costs[len(costs) // 2] ^= 1
        return state, costs

    monkeypatch.setattr(learner_cosim, "write_learner_reference", changed)
    found = cosim_learner(run, chip, learner_core(run.spec), tmp_path, simulator="amaranth")
    assert not found.equal and found.first_difference.observable == "cost"
    assert found.first_difference.place.startswith("pass")


def test_a_chip_that_gives_no_cost_is_refused(tmp_path):
    run, chip = drawn(0)
    chip.silent = {3}
    with pytest.raises(ValueError, match=r"^Chip must give every cost word that it is asked for, and did not in step \d$"):
        cosim_learner(run, chip, learner_core(run.spec), tmp_path, simulator="amaranth")
