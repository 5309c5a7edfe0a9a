"""The noise that theory tells of, against that of estimates."""

from __future__ import annotations

import numpy as np
import pytest

from mgd_hw.replication.theory import perturbations_expected
from python_ref.floating.codes import RandomCode
from python_ref.floating.estimators import Estimator, Exact, NodePerturbation, WeightPerturbation
from python_ref.floating.layers import Convolution, Dense, Pool, Sequential
from python_ref.floating.objectives import CrossEntropy
from python_ref.floating.passes import Measured
from python_ref.spec.activations import Activation

COST = CrossEntropy(0.1)
NETWORKS = {
    "convolutions": Sequential((1, 10, 10), (Convolution(1), Pool(), Convolution(1), Dense(3, Activation.IDENTITY))),
    "dense": Sequential((6,), (Dense(5), Dense(3, Activation.IDENTITY))),
}


def problem(name: str) -> tuple[Sequential, np.ndarray, np.ndarray, np.ndarray]:
    network, random = NETWORKS[name], np.random.default_rng(3)
    return network, network.initial(2), random.random((1, network.n_in)), np.eye(3)[[1]]


def estimator(kind: str, network: Sequential) -> Estimator:
    if kind == "node":
        return NodePerturbation(network, COST, RandomCode(5), 1e-5, apart=True)
    return WeightPerturbation(Measured(network, COST), RandomCode(5), 1e-5, apart=True, groups=None)


def expected(kind: str, name: str, cosine: float) -> float:
    network, theta, x, y = problem(name)
    return perturbations_expected(kind, network, theta, x, lambda outputs: COST.slopes(outputs, y), cosine)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", ["weight", "node"])
def test_noise_is_that_of_single_estimates(kind: str, name: str) -> None:
    """To the cosine √½ it takes as many perturbations as the noise of one is larger than the gradient, both squared."""
    network, theta, x, y = problem(name)
    true, noise, copies, count = Exact(network, COST).estimate(theta, x, y, 0).gradient, 0.0, 20, 100
    x, y = np.repeat(x, copies, axis=0), np.repeat(y, copies, axis=0)
    for p in range(count):
        noise += copies * float(np.sum((estimator(kind, network).estimate(theta, x, y, p).gradient - true) ** 2)) / count
    assert expected(kind, name, np.sqrt(0.5)) == pytest.approx(noise / float(true @ true), rel=0.15)


def test_dense_layers_take_as_many_as_their_nodes() -> None:
    """Less one: of two layers apart, between the smaller one's and the larger one's."""
    assert 2 <= expected("node", "dense", np.sqrt(0.5)) <= 4
    assert 20 <= expected("weight", "dense", np.sqrt(0.5)) <= 34
