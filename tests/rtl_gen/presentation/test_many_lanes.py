"""More than 64 lanes, as many as they are: what a host writes to each word it reads again, and what the core learns is the model's."""

import random

import pytest

from rtl_gen.fanout import MAX_NEAR_LANES
from sim.run import Stalls
from tests.support.lockstep import run_lockstep
from tests.support.node_designs import node_design, two_multipliers
from tests.support.scenarios import host_access

LANES = MAX_NEAR_LANES + 2  # the last group of lanes has two, and so has the second group of neurons
SPEC = node_design(sizes=(2, 3, LANES + 2), lanes=LANES, periods=(1, 2, 2))


@pytest.mark.slow
@pytest.mark.parametrize("spec", [SPEC, pytest.param(two_multipliers(SPEC), marks=pytest.mark.long)], ids=["one", "two"])
def test_a_host_reaches_every_word_and_a_run_is_the_model_s(spec, tmp_path):
    rng = random.Random(LANES)
    run_lockstep(spec, host_access(rng, spec), rng, simulator="cxxrtl", directory=tmp_path, stalls=Stalls(5, 0.3))
