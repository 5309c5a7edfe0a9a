"""Steps taken at once equal steps taken one by one."""

import random
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from python_ref.fixed.batch import accumulate, batchable
from python_ref.fixed.machine import initial_state, sample_number, step
from python_ref.fixed.perturbation import SignSource
from python_ref.spec.design import DesignSpec, Hardware
from python_ref.spec.perturbation import Kind
from tests.designs import random_design, random_parameters, random_samples
from tests.python_ref.fixed.test_fast import assert_same


def design(rng: random.Random) -> DesignSpec:
    while True:
        spec = random_design(rng, kinds=[Kind.NODE], signature=False)
        hardware = Hardware(spec.hardware.lanes, True, False)
        schedule = replace(spec.schedule, update_period=24, learning_rate=((0, max(rate for _, rate in spec.schedule.learning_rate)),))
        spec = replace(spec, hardware=hardware, schedule=schedule)
        if batchable(spec):
            return spec


def steps_at_once(seed: int) -> bool:
    """Compare at a random place of a run; whether the batch was taken."""
    rng = random.Random(seed)
    spec = design(rng)
    state, (inputs, targets) = initial_state(spec, random_parameters(rng, spec)), random_samples(rng, spec, 6)
    order = np.array([rng.randrange(6) for _ in range(100)])

    def sample(n: int) -> int:
        return int(order[sample_number(spec, n)])

    start = 24 * rng.randrange(3) + rng.randrange(23)
    count = rng.randint(1, 23 - start % 24)  # the updating step of a window is not among them
    for n in range(start):
        state, _ = step(spec, state, (inputs[sample(n)], targets[sample(n)]))
    if rng.random() < 0.2:
        state = state.with_load()
    numbers = np.arange(start, start + count)
    source = SignSource(spec)
    signs = np.stack([source.signs(n // spec.schedule.perturbation_period) for n in numbers.tolist()])
    found = accumulate(spec, state, inputs, targets, np.array([sample(n) for n in numbers.tolist()]), signs)
    if found is None:
        return False
    after, costs, judged = found
    for n in numbers.tolist():
        right, fresh = state.counters[2], state.due or n % spec.schedule.sample_period == 0
        state, observed = step(spec, state, (inputs[sample(n)], targets[sample(n)]))
        np.testing.assert_array_equal(costs[n - start], observed["cost"], err_msg=str(spec))
        assert judged[n - start] == (state.counters[2] - right if fresh else -1), spec
    assert_same(after, state, spec)
    return True


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_steps_at_once_equal_steps_one_by_one(seed):
    steps_at_once(seed)


def test_most_runs_are_taken_at_once():
    """And some are not, since they saturate: both ways out are reached."""
    taken = [steps_at_once(seed) for seed in range(60)]
    assert 20 < sum(taken) < 60
