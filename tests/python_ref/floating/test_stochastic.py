"""Stochastic layers of the float side, against sums over all outcomes of their draws."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from mgd_hw.design.reader import parse
from python_ref.datasets import SampleOrder
from python_ref.floating import of_design
from python_ref.floating.codes import DesignCode
from python_ref.floating.estimators import Exact, OwnNoise
from python_ref.floating.layers import Dense
from python_ref.floating.objectives import SquaredError
from python_ref.floating.presentations import _RandomPresentation
from python_ref.floating.sparse import Sparse
from python_ref.floating.stochastic import Random, Stochastic
from python_ref.spec.activations import Activation
from python_ref.spec.layers import DENSE
from python_ref.spec.layers import Stochastic as StochasticKind
from python_ref.spec.perturbation import SequentialCode
from tests.support.node_designs import node_design

SIGMOID, LINEAR = Activation.SIGMOID, Activation.IDENTITY
SIZES = (3, 4, 2)


def network(draws: int, seed: int = 1, hidden: Activation = SIGMOID) -> Random:
    return Random((3,), (Stochastic(4, hidden, draws), Dense(2, LINEAR)), seed=seed)


def case(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """θ, and a sample ``count`` times."""
    random = np.random.default_rng(5)
    theta = random.normal(0, 1.0, 4 * 4 + 2 * 5)
    return theta, np.repeat(random.normal(0, 1, (1, 3)), count, axis=0), np.repeat(random.normal(0, 1, (1, 2)), count, axis=0)


def expected_cost(theta: np.ndarray, x: np.ndarray, t: np.ndarray) -> float:
    """E[C] with one draw of each of the four hidden neurons: the sum over their 16 outcomes."""
    first, second = theta[:16].reshape(4, 4), theta[16:].reshape(2, 5)
    p = 1 / (1 + np.exp(-(first[:, 0] + first[:, 1:] @ x)))
    total = 0.0
    for outcome in product((0, 1), repeat=4):
        y = np.array(outcome)
        chance = np.prod(np.where(y == 1, p, 1 - p))
        total += chance * np.sum((second[:, 0] + second[:, 1:] @ y - t) ** 2)
    return total


def slope_of_expected_cost(theta: np.ndarray, x: np.ndarray, t: np.ndarray) -> np.ndarray:
    h = 1e-5
    return np.array([(expected_cost(theta + h * e, x, t) - expected_cost(theta - h * e, x, t)) / (2 * h) for e in np.eye(theta.size)])


@pytest.mark.parametrize("two_sided", [False, True])
def test_own_noise_measures_the_slope_of_the_expected_cost(two_sided: bool) -> None:
    """One draw, each neuron in turn: the mean of many samples, within four of its standard errors, at every synapse of the hidden layer."""
    theta, x, t = case(20_000)
    estimator = OwnNoise(network(1), SquaredError(), DesignCode(SequentialCode(), None, 1), 0.01, two_sided, shared=True, repeats=6)
    found = np.array([6 * estimator.estimate(theta, x[:2000], t[:2000], p).gradient[:16] for p in range(10)])  # each of six, once
    wanted = slope_of_expected_cost(theta, x[0], t[0])[:16]
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert np.abs(wanted).max() > 0.2
    assert np.all(np.abs(found.mean(axis=0) - wanted) < 4.5 * error + 1e-3), (found.mean(axis=0) - wanted) / error


def test_other_neurons_are_perturbed_as_ever() -> None:
    """With the hidden layer's thresholds kept, the outputs' errors are finite differences of C, whose draws are the same."""
    theta, x, t = case(3)
    net = network(4)
    estimator = OwnNoise(net, SquaredError(), DesignCode(SequentialCode(), None, 1), 1e-4, True, shared=True, repeats=6)
    found = 6 * estimator.estimate(theta, x, t, 0).gradient[16:].reshape(2, 5)
    u = replace(net).draw(3)  # the same seed draws the same thresholds again
    outputs, records = net.trace(theta, x, thresholds=u)
    operands = np.vstack((np.ones(3), records[0].y))
    np.testing.assert_allclose(found, (2 * (outputs - t)).T @ operands.T / 3, atol=1e-6)


def test_the_gradient_goes_straight_through() -> None:
    """Against the chain rule by hand, with the slope of the mean in the place of that of the count; a sparse layer follows."""
    lists = np.array([[0, 2], [1, 3]])
    net = Random((3,), (Stochastic(4, SIGMOID, 2), Sparse(2, LINEAR, lists, 1)), seed=9)
    random = np.random.default_rng(3)
    theta, x, t = random.normal(0, 1, 4 * 4 + 2 * 3), random.normal(0, 1, (1, 3)), random.normal(0, 1, (1, 2))
    found = Exact(net, SquaredError()).estimate(theta, x, t, 0).gradient
    first, second, u = theta[:16].reshape(4, 4), theta[16:].reshape(2, 3), replace(net).draw(1)[:4, :, 0]
    p = 1 / (1 + np.exp(-(first[:, 0] + first[:, 1:] @ x[0])))
    y = (p[:, None] > u).sum(axis=1) / 2
    slope = 2 * (np.array([second[o, 0] + second[o, 1:] @ y[lists[o]] for o in range(2)]) - t[0])
    back = np.zeros(4)
    for o in range(2):
        back[lists[o]] += second[o, 1:] * slope[o]
    own = back * p * (1 - p)
    wanted = [np.outer(own, np.append(1, x)).ravel(), *(slope[o] * np.append(1, y[lists[o]]) for o in range(2))]
    np.testing.assert_allclose(found, np.concatenate(wanted), atol=1e-12)
    assert set(np.round(2 * y)) != {0.0}


def test_an_inference_rounds() -> None:
    theta, x, _ = case(1)
    p = 1 / (1 + np.exp(-(theta[:16].reshape(4, 4) @ np.append(1, x[0]))))
    for draws in (1, 2, 4, 8, 16):
        y = np.floor(p * draws + 0.5) / draws
        np.testing.assert_allclose(network(draws).forward(theta, x), [theta[16:].reshape(2, 5) @ np.append(1, y)])


def test_a_presentation_measures_what_the_estimator_does() -> None:
    """The learner of a design by presentations and the estimator draw other thresholds, and have the same mean."""
    spec = node_design(SIZES, SequentialCode(), periods=(1, 6, 6), hidden=SIGMOID, kinds=(StochasticKind(2), DENSE))
    theta, x, t = case(1)
    net = of_design.network(spec)
    assert isinstance(net, Random)
    sums = []
    for _ in range(500):
        presented = _RandomPresentation(net, (1.0,), 2.0**spec.perturbation.amplitude_log2, theta, x, t)
        assert presented.probe(np.eye(6)) == 6
        sums.append(presented.gradient())
    estimator = of_design.estimator(spec)
    assert type(estimator) is OwnNoise
    many, wish = np.repeat(x, 600, axis=0), np.repeat(t, 600, axis=0)  # each sample has the next neuron
    left, right = np.array(sums), np.array([6 * estimator.estimate(theta, many, wish, p).gradient for p in range(30)])
    error = np.sqrt(left.var(axis=0) / len(left) + right.var(axis=0) / len(right))
    assert np.all(np.abs(left.mean(axis=0) - right.mean(axis=0)) < 4.5 * error + 1e-3)


@pytest.mark.slow
def test_software_learns_by_batches_and_adam() -> None:
    """A design that runs in software only takes the same estimator."""
    text = """name = "soft"
[network]
layers = [2, {neurons = 8, kind = "stochastic", draws = 8}, 1]
hidden = "sigmoid"
[learning]
batch = 4
[optimizer]
name = "adam"
[schedule]
learning_rate = -5
[data]
task = "xor"
"""
    from mgd_hw.data import load
    from mgd_hw.learn.learners import train_mgd

    design = parse(text, "soft.toml")
    data = load(design.data)
    found = train_mgd(design, data, 1, SampleOrder(4, True), 800, None, lambda share: None)
    assert found.cost < 0.1
