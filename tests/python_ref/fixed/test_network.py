"""The forward pass: each activation over every pre-activation, and whole passes against the oracle."""

import random
from fractions import Fraction

import numpy as np
import pytest

from python_ref.fixed.network import activate, forward
from python_ref.spec.activations import Activation
from python_ref.spec.number import Fixed
from python_ref.spec.perturbation import Kind
from tests.support.designs import random_design, random_parameters, random_samples
from tests.support.oracle import Oracle
from tests.support.oracles import NodeOracle


@pytest.mark.parametrize("function", Activation)
@pytest.mark.parametrize("seed", range(10))
def test_an_activation_equals_the_oracle_over_every_preactivation(function, seed):
    rng = random.Random(seed)
    spec = random_design(rng, activations=[function], kinds=[Kind.WEIGHT])
    oracle, source = Oracle(spec, [0] * spec.network.n_parameters, 1), Fixed(True, rng.randint(3, 5), rng.randint(4, 7))
    z = np.arange(source.min, source.max + 1)
    y, outside = activate(spec, function, z, source)
    unit = Fraction(2) ** spec.formats.activation.fraction_bits
    assert (y >= spec.formats.activation.min).all() and (y <= spec.formats.activation.max).all()
    expected = [oracle.activate(function.value, raw / Fraction(2) ** source.fraction_bits) for raw in z.tolist()]
    np.testing.assert_array_equal(y, [int(value * unit) for value in expected])
    assert outside.sum() == oracle.count["activation"]


@pytest.mark.parametrize("direction", [-1, 0, 1])
@pytest.mark.parametrize("seed", range(20))
def test_a_pass_equals_the_oracle(seed, direction):
    rng = random.Random(seed)
    spec = random_design(rng, sparse=seed % 2)
    parameters, (inputs, _) = random_parameters(rng, spec), random_samples(rng, spec, 1)
    drawn = [rng.choice((-1, 1)) for _ in range(spec.quantities)]
    z, y, saturated = forward(spec, parameters, inputs[0], sign=np.array(drawn, dtype=np.int8), direction=direction)
    if spec.node:
        probed = NodeOracle(spec, parameters.tolist(), 1)
        probed.sample = probed.take(inputs[0].tolist(), [0] * spec.network.n_out)
        shift = {key: direction * sign * probed.delta for key, sign in zip(probed.neurons, drawn, strict=True)}
        passed = probed.run_pass(shift=shift)
        expected_z, expected_y, outside = passed.z, passed.y, passed.outside
    else:
        oracle = Oracle(spec, parameters.tolist(), 1)
        x = [raw / Fraction(2) ** spec.formats.input.fraction_bits for raw in inputs[0].tolist()]
        signs = dict(zip(oracle.keys, drawn, strict=True))
        expected_z, expected_y, _ = oracle.run_pass(x, [Fraction(0)] * spec.network.n_out, signs, direction)
        outside = oracle.count["activation"]
    units = [Fraction(2) ** spec.preactivation_format(layer).fraction_bits for layer, _ in expected_z]
    assert [int(raw) / unit for raw, unit in zip(z, units, strict=True)] == list(expected_z.values())
    unit = Fraction(2) ** spec.formats.activation.fraction_bits
    assert [int(raw) / unit for raw in y] == list(expected_y.values())
    assert saturated.sum() == outside


def test_without_signs_a_pass_is_unperturbed():
    rng = random.Random(1)
    spec = random_design(rng)
    parameters, (inputs, _) = random_parameters(rng, spec), random_samples(rng, spec, 1)
    np.testing.assert_array_equal(
        forward(spec, parameters, inputs[0])[0], forward(spec, parameters, inputs[0], sign=np.ones(spec.quantities, dtype=np.int8))[0]
    )
