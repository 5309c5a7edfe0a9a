"""Where parameters start, their raw integers, and their order."""

import random
from dataclasses import replace

import numpy as np
import pytest

from python_ref.parameters import initial_parameters, join_parameters, quantise_parameters, split_parameters
from python_ref.spec.design import DesignSpec
from python_ref.spec.network import Initialization, Network, Scheme
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import Schedule
from tests.support.designs import random_design
from tests.support.oracles import oracle_of


def design(scheme: Scheme, scale: float = 1.0, seed: int = 1) -> DesignSpec:
    network = Network((40, 60, 20), initial=Initialization(scheme, scale, seed))
    return DesignSpec("start", network, Perturbation(Kind.WEIGHT), Schedule(((0, -8),)))


@pytest.mark.parametrize(
    ("scheme", "bounds", "biased"),
    [
        (Scheme.UNIFORM, (0.5, 0.5), True),
        (Scheme.GLOROT, (0.5 * (6 / 100) ** 0.5, 0.5 * (6 / 80) ** 0.5), False),
        (Scheme.HE, (0.5 * (6 / 40) ** 0.5, 0.5 * (6 / 60) ** 0.5), False),
        (Scheme.ZERO, (0, 0), False),
    ],
)
def test_a_scheme_has_its_range(scheme, bounds, biased):
    spec = design(scheme, 0.5)
    for (weights, biases), bound in zip(split_parameters(spec, initial_parameters(spec)), bounds, strict=True):
        for values, reach in ((weights, bound), (biases, bound * biased)):
            assert np.abs(values).max() <= reach
            assert np.abs(values).max() >= 0.9 * reach
            assert np.abs(values.mean()) <= 5 * reach / (3 * values.size) ** 0.5


def test_seeds_differ_and_repeat():
    spec = design(Scheme.GLOROT, seed=5)
    np.testing.assert_array_equal(initial_parameters(spec), initial_parameters(spec, 5))
    assert (initial_parameters(spec) != initial_parameters(spec, 6)).any()


@pytest.mark.parametrize("kind", Kind)
def test_quantised_parameters_are_near_and_within_limits(kind):
    spec = replace(design(Scheme.UNIFORM), perturbation=Perturbation(kind))
    real = np.linspace(-20, 20, 10_001)
    raw, (low, high) = quantise_parameters(spec, real), spec.parameter_limits
    assert (raw.min(), raw.max()) == (low, high)
    inside = (raw > low) & (raw < high)
    assert np.abs(spec.formats.weight.to_real(raw) - real)[inside].max() <= 2**-13
    assert (high - low) == 2**16 - 1 - (2 * 2**6 if kind is Kind.WEIGHT else 0)


@pytest.mark.parametrize("seed", range(20))
def test_matrices_are_in_canonical_order(seed):
    spec = random_design(random.Random(seed))
    flat = np.arange(spec.network.n_parameters)
    keys = oracle_of(spec, flat.tolist()).keys
    parts = split_parameters(spec, flat)
    for index, (layer, neuron, k) in enumerate(keys):
        weights, biases = parts[layer]
        assert index == (biases[neuron] if k == 0 else weights[neuron, k - 1])
    np.testing.assert_array_equal(join_parameters(parts), flat)
