"""The exact gradient against differences of the oracle's cost, and the baseline's training."""

import cmath

import numpy as np
import pytest

from python_ref.datasets import xor
from python_ref.floating import backpropagation, of_design
from python_ref.floating.backpropagation import Options
from python_ref.floating.objectives import SquaredError
from python_ref.floating.of_design import evaluate
from python_ref.floating.optimizers import Adam, HeavyBall
from python_ref.parameters import initial_parameters
from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import Refusal
from python_ref.spec.network import Initialization, Network, Scheme
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import Schedule
from tests.support import float_oracle

SMOOTH = (Activation.SIGMOID, Activation.TANH, Activation.IDENTITY)


def design(sizes, hidden=Activation.TANH, output=Activation.IDENTITY, scheme=Scheme.UNIFORM):
    return DesignSpec("net", Network(sizes, hidden, output, Initialization(scheme)), Perturbation(Kind.NODE), Schedule(((0, -8),)))


def problem(spec, n=5):
    random = np.random.default_rng(3)
    return initial_parameters(spec), random.normal(size=(n, spec.network.n_in)), random.normal(size=(n, spec.network.n_out))


def train(spec, theta, inputs, targets, seed, options=None, **more):
    """The baseline of a design."""
    return backpropagation.train(of_design.network(spec), SquaredError(), theta, inputs, targets, seed, options, **more)


DIFFERENTIABLE = [each for each in Activation if each.differentiable]


@pytest.mark.parametrize("output", DIFFERENTIABLE)
@pytest.mark.parametrize("hidden", DIFFERENTIABLE)
def test_gradient_is_the_limit_of_central_differences(hidden, output):
    spec = design((3, 4, 5, 2), hidden, output)
    theta, x, target = problem(spec)
    found, h = of_design.gradient(spec, theta, x, target), 1e-6
    above, below = ([float_oracle.evaluate(spec, theta + h * e, x, target)[1] for e in each * np.eye(theta.size)] for each in (1, -1))
    expected = (np.array(above) - np.array(below)) / (2 * h)
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
    np.testing.assert_allclose(of_design.gradient(spec, theta, x, target), expected, rtol=1e-12, atol=1e-14)


def test_sign_has_no_gradient():
    spec = design((2, 2, 1), Activation.SIGN)
    assert not of_design.network(spec).differentiable
    with pytest.raises(Refusal, match=r"^Back-propagation is not defined for the activation 'sign', which has no slope"):
        of_design.gradient(spec, *problem(spec))
    assert of_design.network(design((2, 1), Activation.SIGN)).differentiable, "one layer has no hidden activation"


def test_one_layer_converges_to_least_squares():
    """Against numpy's own solution of the normal equations."""
    spec = design((3, 2))
    theta, x, target = problem(spec, 40)
    result = train(spec, theta, x, target, 1, Options(Adam(0.05), batch=40))
    design_matrix = np.column_stack((np.ones(40), x))
    solution = np.linalg.lstsq(design_matrix, target, rcond=None)[0]
    np.testing.assert_allclose(result.parameters.reshape(2, 4), solution.T, atol=1e-4)


@pytest.mark.parametrize("optimizer", [Adam(0.003), HeavyBall(0.005)], ids=lambda rule: rule.name)
def test_counts_and_repeats(optimizer):
    spec = design((3, 4, 2))
    theta, x, target = problem(spec, 10)
    done, judge = [], lambda parameters: evaluate(spec, parameters, x, target)
    options = Options(optimizer, 3, 4)
    results = [train(spec, theta, x, target, 1, options, evaluation=judge, progress=done.append) for _ in range(2)]
    assert done == [1, 2, 3, 1, 2, 3]
    assert (results[0].updates, results[0].evaluations, results[0].writes) == (9, 30, 9 * theta.size)
    assert np.array_equal(results[0].parameters, results[1].parameters)
    assert results[0].curve["cost"][-1] == judge(results[0].parameters)[1] < judge(theta)[1]
    assert results[0].curve["evaluations"].tolist() == [10, 20, 30]
    assert results[0].curve["steps"].tolist() == [3, 6, 9]
    assert not train(spec, theta, x, target, 1, options).curve["cost"].size


@pytest.mark.parametrize(("epochs", "records", "wanted"), [(7, 3, [1, 4, 7]), (4, 50, [1, 2, 3, 4]), (2, 1, [1])])
def test_evaluates_after_as_many_epochs_as_it_is_told(epochs, records, wanted):
    spec = design((3, 2))
    theta, x, target = problem(spec, 6)
    asked = []
    result = train(spec, theta, x, target, 1, Options(epochs=epochs), evaluation=lambda p: asked.append(p) or (0.5, 1.0), records=records)
    assert result.curve["evaluations"].tolist() == [6 * epoch for epoch in wanted]
    assert len(asked) == len(wanted)


def test_updates_are_those_of_a_loop_over_shuffled_batches():
    """Adam as its paper writes it, on gradients by differences of the oracle's cost; a last batch that is smaller; half a cosine."""
    spec, h = design((2, 2, 1)), 1e-6
    theta, x, target = problem(spec, 5)
    found = train(spec, theta, x, target, 7, Options(Adam(0.05), 3, 2)).parameters

    def cost(parameters, chosen):
        return float_oracle.evaluate(spec, parameters, x[chosen], target[chosen])[1]

    shuffles, m, v, t = np.random.Generator(np.random.PCG64(7)), 0.0, 0.0, 0
    for _ in range(3):
        order = shuffles.permutation(5)
        for chosen in (order[:2], order[2:4], order[4:]):
            above, below = ([cost(theta + sign * h * e, chosen) for e in np.eye(9)] for sign in (1, -1))
            gradient = (np.array(above) - np.array(below)) / (2 * h)
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
            rate = 0.05 * (1 + np.cos(np.pi * t / 9)) / 2
            t += 1
            theta = theta - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(found, theta, rtol=1e-5, atol=1e-6)


def test_solves_xor():
    spec = design((2, 4, 1), Activation.TANH, Activation.SIGMOID)
    samples, solved = xor(), 0
    for seed in range(10):
        options = Options(Adam(0.03), epochs=1000)
        result = train(spec, initial_parameters(spec, seed), samples.inputs, samples.targets, seed, options)
        solved += evaluate(spec, result.parameters, samples.inputs, samples.targets)[0] == 1.0
    assert solved >= 9


@pytest.mark.slow
def test_digits_reach_96_percent(digits):
    """64-32-10, 10 seeds, the defaults: the baseline of the comparison."""
    learned, test = digits
    spec = design((64, 32, 10), Activation.RELU, Activation.IDENTITY, Scheme.HE)
    accuracies = []
    for seed in range(10):
        result = train(spec, initial_parameters(spec, seed), learned.inputs, learned.targets, seed)
        accuracies.append(evaluate(spec, result.parameters, test.inputs, test.targets)[0])
        assert result.evaluations == Options().epochs_for(len(learned)) * len(learned)
    assert np.mean(accuracies) >= 0.96, accuracies


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch": 0}, r"^Size of a batch must be positive, not 0"),
        ({"epochs": 0}, r"^Number of epochs must be positive, not 0"),
        ({"optimizer": Adam(-1.0)}, r"^Rate must be positive, not -1.0"),
    ],
)
def test_options_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        Options(**arguments)


@pytest.mark.parametrize(("n", "updates"), [(4, 3_000), (1_437, 3_000), (60_000, 20_000)])
def test_open_epochs_bound_the_updates(n, updates):
    options = Options()
    assert options.epochs_for(n) * -(-n // options.batch) == pytest.approx(updates, rel=0.1)
