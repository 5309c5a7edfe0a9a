"""The true gradient against differences of the cost, and the baseline's training."""

import cmath

import numpy as np
import pytest

from python_ref import backprop
from python_ref.backprop import Options, true_gradient
from python_ref.datasets import xor
from python_ref.float_machine import evaluate
from python_ref.parameters import initial_parameters
from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import Refusal
from python_ref.spec.network import Initialization, Network, Scheme
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import Schedule

SMOOTH = (Activation.SIGMOID, Activation.TANH, Activation.IDENTITY)


def design(sizes, hidden=Activation.TANH, output=Activation.IDENTITY, scheme=Scheme.UNIFORM):
    return DesignSpec("net", Network(sizes, hidden, output, Initialization(scheme)), Perturbation(Kind.NODE), Schedule(((0, -8),)))


def problem(spec, n=5):
    random = np.random.default_rng(3)
    return initial_parameters(spec), random.normal(size=(n, spec.network.n_in)), random.normal(size=(n, spec.network.n_out))


@pytest.mark.parametrize("output", (*SMOOTH, Activation.RELU))
@pytest.mark.parametrize("hidden", (*SMOOTH, Activation.RELU))
def test_gradient_is_the_limit_of_central_differences(hidden, output):
    spec = design((3, 4, 5, 2), hidden, output)
    theta, x, target = problem(spec)
    found, h = true_gradient(spec, theta, x, target), 1e-6
    expected = [
        (evaluate(spec, theta + h * e, x, target)[1] - evaluate(spec, theta - h * e, x, target)[1]) / (2 * h) for e in np.eye(theta.size)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize("output", SMOOTH)
@pytest.mark.parametrize("hidden", SMOOTH)
def test_gradient_equals_the_complex_step(hidden, output):
    """Squire & Trapp, SIAM Review 40, 1998: ∂C/∂θ = Im C(θ + ih)/h, exact to the last digits; scalars, no shared code."""
    functions = {Activation.SIGMOID: lambda z: 1 / (1 + cmath.exp(-z)), Activation.TANH: cmath.tanh, Activation.IDENTITY: lambda z: z}
    spec = design((2, 3, 2), hidden, output)
    theta, x, target = problem(spec, 2)

    def cost(parameters):
        total = 0.0
        for row, wanted in zip(x, target, strict=True):
            values, left = list(row), list(parameters)
            for n_out, function in ((3, hidden), (2, output)):
                outputs = []
                for _ in range(n_out):
                    bias, *weights = (left.pop(0) for _ in range(len(values) + 1))
                    outputs.append(functions[function](bias + sum(w * v for w, v in zip(weights, values, strict=True))))
                values = outputs
            total += sum((y - t) ** 2 for y, t in zip(values, wanted, strict=True))
        return total / len(x)

    h = 1e-30
    expected = [cost(theta + 1j * h * e).imag / h for e in np.eye(theta.size)]
    np.testing.assert_allclose(true_gradient(spec, theta, x, target), expected, rtol=1e-12, atol=1e-14)


def test_sign_has_no_gradient():
    spec = design((2, 2, 1), Activation.SIGN)
    assert not backprop.defined(spec)
    with pytest.raises(Refusal, match=r"^Back-propagation is not defined for the activation 'sign', which has no slope"):
        true_gradient(spec, *problem(spec))
    assert backprop.defined(design((2, 1), Activation.SIGN)), "one layer has no hidden activation"


def test_one_layer_converges_to_least_squares():
    """Against numpy's own solution of the normal equations."""
    spec = design((3, 2))
    theta, x, target = problem(spec, 40)
    result = backprop.train(spec, theta, x, target, 1, Options(batch=40, rate=0.05))
    design_matrix = np.column_stack((np.ones(40), x))
    solution = np.linalg.lstsq(design_matrix, target, rcond=None)[0]
    np.testing.assert_allclose(result.parameters.reshape(2, 4), solution.T, atol=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_counts_and_repeats(optimizer):
    spec = design((3, 4, 2))
    theta, x, target = problem(spec, 10)
    results = [backprop.train(spec, theta, x, target, 1, Options(optimizer, 3, 4), evaluation=(x, target)) for _ in range(2)]
    assert (results[0].updates, results[0].evaluations, results[0].writes) == (9, 30, 9 * theta.size)
    assert np.array_equal(results[0].parameters, results[1].parameters)
    assert results[0].curve["cost"][-1] == evaluate(spec, results[0].parameters, x, target)[1] < evaluate(spec, theta, x, target)[1]


def test_solves_xor():
    spec = design((2, 4, 1), Activation.TANH, Activation.SIGMOID)
    samples, solved = xor(), 0
    for seed in range(10):
        options = Options(epochs=1000, rate=0.03)
        result = backprop.train(spec, initial_parameters(spec, seed), samples.inputs, samples.targets, seed, options)
        solved += evaluate(spec, result.parameters, samples.inputs, samples.targets)[0] == 1.0
    assert solved >= 9


def test_digits_reach_96_percent(digits):
    """64-32-10, 10 seeds, the defaults: the baseline of the comparison."""
    train, test = digits
    spec = design((64, 32, 10), Activation.RELU, Activation.IDENTITY, Scheme.HE)
    accuracies = []
    for seed in range(10):
        result = backprop.train(spec, initial_parameters(spec, seed), train.inputs, train.targets, seed)
        accuracies.append(evaluate(spec, result.parameters, test.inputs, test.targets)[0])
        assert result.evaluations == Options().epochs_for(len(train)) * len(train)
    assert np.mean(accuracies) >= 0.96, accuracies


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": "rmsprop"}, r"^Optimizer must be 'adam' or 'momentum', not 'rmsprop'"),
        ({"batch": 0}, r"^Size of a batch must be positive, not 0"),
        ({"epochs": 0}, r"^Number of epochs must be positive, not 0"),
        ({"rate": -1.0}, r"^Rate must be positive, not -1.0"),
    ],
)
def test_options_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        Options(**arguments)


@pytest.mark.parametrize(("n", "updates"), [(4, 3_000), (1_437, 3_000), (60_000, 20_000)])
def test_open_epochs_bound_the_updates(n, updates):
    options = Options()
    assert options.epochs_for(n) * -(-n // options.batch) == pytest.approx(updates, rel=0.1)
