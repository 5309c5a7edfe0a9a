"""The exact cost and the judgement, against plain Python."""

import random

import numpy as np
import pytest

from python_ref.fixed.cost import correct, cost
from python_ref.spec.design import DesignSpec, Formats
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import Schedule
from tests.support.designs import random_design


@pytest.mark.parametrize("seed", range(20))
def test_cost_is_the_sum_of_squares_and_fits_its_format(seed):
    rng = random.Random(seed)
    spec = random_design(rng)
    form = spec.formats.activation
    outputs = np.array(
        [[rng.choice((form.min, form.max, rng.randint(form.min, form.max))) for _ in range(spec.network.n_out)] for _ in range(9)]
    )
    targets = np.where(outputs > 0, form.min, form.max)
    found = cost(outputs, targets)
    assert found.tolist() == [
        sum((a - b) ** 2 for a, b in zip(y, t, strict=True)) for y, t in zip(outputs.tolist(), targets.tolist(), strict=True)
    ]
    assert (found >= spec.cost_format.min).all() and (found <= spec.cost_format.max).all()
    assert cost(outputs[0], targets[0]) == found[0]


def design_with(outputs: int) -> DesignSpec:
    """A design of so many outputs, in whose activations one half is a number."""
    formats = Formats(activation=Fixed(True, 3, 4))
    return DesignSpec("judged", Network((2, outputs)), Perturbation(Kind.NODE), Schedule(((0, -8),)), formats=formats)


@pytest.mark.parametrize(
    ("outputs", "right"), [((1, 3, 3), True), ((3, 3, 1), False), ((0, 0, 0), False), ((0, 0, 1), False), ((0, 1, 0), True)]
)
def test_the_lowest_index_wins_a_tie(outputs, right):
    spec = design_with(3)
    assert correct(spec, np.array(outputs), np.array((0, 5, 5))) == right
    assert correct(spec, np.array([outputs, outputs]), np.array([(0, 5, 5), (0, 0, 5)])).tolist() == [right, outputs == (0, 0, 1)]


def test_a_lone_output_is_judged_at_one_half():
    spec = design_with(1)
    unit = 1 << spec.formats.activation.fraction_bits
    for y in range(-2 * unit, 2 * unit):
        for target in (0, unit):
            assert correct(spec, np.array([y]), np.array([target])) == ((y >= unit / 2) == (target == unit))
