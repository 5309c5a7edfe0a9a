"""Sparse layers, against dense ones that have a weight of 0 wherever a list names no input."""

from itertools import pairwise

import numpy as np
import pytest

from python_ref.floating.codes import DesignCode
from python_ref.floating.estimators import Exact, NodePerturbation
from python_ref.floating.layers import Dense, Sequential
from python_ref.floating.objectives import SquaredError
from python_ref.floating.sparse import Sparse
from python_ref.spec.activations import Activation
from python_ref.spec.perturbation import SequentialCode

SIZES = (6, 7, 5, 2)
LISTS = (np.array([[0, 2, 5], [1, 3, 4]]), np.array([[6], [0], [3]]))
BLOCKS = (4, 2)


def case() -> tuple[Sequential, Sequential, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The sparse network and the dense one, θ, which places of the dense θ it takes, inputs and targets."""
    tanh = Activation.TANH
    sparse = [Sparse(n, tanh, lists, block) for n, lists, block in zip(SIZES[1:], LISTS, BLOCKS, strict=False)]
    one = Sequential(SIZES[:1], (*sparse, Dense(2, tanh)))
    other = Sequential(SIZES[:1], tuple(Dense(n, tanh) for n in SIZES[1:]))
    taken = [np.zeros((n_out, 1 + n_in), bool) for n_in, n_out in pairwise(SIZES)]
    for part, lists, block in zip(taken, LISTS, BLOCKS, strict=False):
        for o in range(len(part)):
            part[o, [0, *(1 + lists[o // block])]] = True
    taken[2][:] = True
    random = np.random.default_rng(2)
    theta = random.normal(0, 0.8, one.n_parameters)
    return one, other, theta, np.concatenate([part.ravel() for part in taken]), random.normal(0, 1, (4, 6)), random.normal(0, 1, (4, 2))


def test_it_is_a_dense_network_with_zeros() -> None:
    """Outputs, gradient and what perturbed nodes give; the lists rise, so that the weights have the same order."""
    one, other, theta, taken, x, t = case()
    wide = np.zeros(other.n_parameters)
    wide[taken] = theta
    np.testing.assert_allclose(one.forward(theta, x), other.forward(wide, x), atol=1e-12)
    for estimator in (
        lambda network: Exact(network, SquaredError()),
        lambda network: NodePerturbation(network, SquaredError(), DesignCode(SequentialCode(), None, 1), 0.01),
        lambda network: NodePerturbation(network, SquaredError(), amplitude=0.1, parts=((1, 2), (2, 1))),
    ):
        found, wanted = estimator(one).estimate(theta, x, t, 3).gradient, estimator(other).estimate(wide, x, t, 3).gradient
        assert np.abs(found).max() > 1e-3
        np.testing.assert_allclose(found, wanted[taken], atol=1e-12)


def test_the_order_of_a_list_is_that_of_the_weights() -> None:
    layer = Sparse(2, Activation.IDENTITY, np.array([[2, 0], [1, 2]]))
    network = Sequential((3,), (layer,))
    np.testing.assert_array_equal(network.forward(np.array([1.0, 10, 100, 2, 20, 200]), np.array([[3.0, 4, 5]])), [[351, 1082]])


@pytest.mark.parametrize(
    ("lists", "reason"),
    [
        (np.array([[0, 1]]), r"must be 2 lists of inputs, one for each block, not an array of shape \(1, 2\)"),
        (np.array([[0, 0], [0, 1]]), "must not name an input twice"),
        (np.array([[0, 3], [0, 1]]), "must name inputs from 0 to 2, not 0 to 3"),
        (np.array([[0, -1], [0, 1]]), "must name inputs from 0 to 2"),
    ],
)
def test_lists_that_do_not_fit_are_refused(lists: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        _ = Sequential((3,), (Sparse(4, Activation.TANH, lists, 2),)).nodes
