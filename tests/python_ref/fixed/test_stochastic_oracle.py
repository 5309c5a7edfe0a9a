"""Node perturbation of stochastic layers equals an oracle of exact fractions that knows only what the design file says."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.python_ref.fixed.test_node import check
from tests.support.marks import slow_unless
from tests.support.stochastic_designs import QUICK_STOCHASTIC, STOCHASTIC_SHAPES, random_stochastic_design


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow_unless(name in QUICK_STOCHASTIC)) for name in STOCHASTIC_SHAPES])
def test_every_observable_of_a_shape_equals_the_oracle(name):
    rng = random.Random(name)
    pair = check(STOCHASTIC_SHAPES[name], rng, 30, interrupted=0.2)
    assert pair.oracle.words_taken


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_every_observable_equals_the_oracle(seed):
    rng = random.Random(seed)
    check(random_stochastic_design(rng, max_size=5, max_layers=4, parts=0.4), rng, 16)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_every_observable_of_many_more_equals_the_oracle(seed):
    rng = random.Random(seed)
    check(random_stochastic_design(rng, max_size=5, max_layers=4, parts=0.4), rng, 24, interrupted=0.3)
