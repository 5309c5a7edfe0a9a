"""Linear attention, against loops in plain Python and finite differences."""

from dataclasses import replace

import numpy as np
import pytest

from python_ref.floating.attention import Attention
from python_ref.floating.codes import DesignCode
from python_ref.floating.estimators import Exact, NodePerturbation
from python_ref.floating.layers import Dense, Sequential
from python_ref.floating.networks import attention
from python_ref.floating.objectives import SquaredError
from python_ref.floating.passes import NodePass
from python_ref.spec.perturbation import SequentialCode, WalshCode

INPUTS, T, KEYS, VALUES, BATCH = 3, 4, 2, 3, 5
TAILS = {"none": (), "dense": (4, 2)}


def case(tail: str) -> tuple[Attention, np.ndarray, np.ndarray, np.ndarray]:
    network = attention((INPUTS, KEYS, VALUES, *TAILS[tail]), T)
    random = np.random.default_rng(3)
    n_out = (VALUES, *TAILS[tail])[-1]
    return (
        network,
        random.normal(0, 0.7, network.n_parameters),
        random.normal(0, 1, (BATCH, T * INPUTS)),
        random.normal(0, 1, (BATCH, n_out)),
    )


def plain(network: Attention, theta: np.ndarray, row: np.ndarray, shift: np.ndarray) -> list[float]:
    """Outputs of one sample, whose pre-activations are shifted in the order of the network's nodes."""
    given, moved, sizes = iter(theta), iter(shift), (KEYS, KEYS, VALUES)
    rows = [[[next(given) for _ in range(INPUTS + 1)] for _ in range(size)] for size in sizes]
    frames = [row[at : at + INPUTS] for at in range(0, len(row), INPUTS)]

    def product(weights: list[float], frame: np.ndarray) -> float:
        return weights[0] + sum(w * x for w, x in zip(weights[1:], frame, strict=True))

    query = [product(own, frames[-1]) + next(moved) for own in rows[0]]
    keys, values = ([[product(own, frame) + next(moved) for frame in frames[:-1]] for own in part] for part in rows[1:])
    scores = [sum(q * key[t] for q, key in zip(query, keys, strict=True)) for t in range(T - 1)]
    x = [sum(score * value for score, value in zip(scores, own, strict=True)) for own in values]
    sizes = () if network.tail is None else tuple(layer.n_out for layer in network.tail.layers)
    for number, size in enumerate(sizes):
        z = [product([next(given) for _ in range(len(x) + 1)], x) + next(moved) for _ in range(size)]
        x = z if number == len(sizes) - 1 else [np.tanh(each) for each in z]
    assert next(given, None) is None
    assert next(moved, None) is None
    return x


@pytest.mark.parametrize("tail", TAILS)
def test_outputs(tail: str) -> None:
    network, theta, x, _ = case(tail)
    assert isinstance(network, NodePass)
    shift = np.random.default_rng(1).normal(0, 0.5, (BATCH, network.n_nodes))
    _, base = network.trace(theta, x)
    for found, moved in ((network.forward(theta, x), 0 * shift), (network.trace(theta, x, shift, base)[0], shift)):
        wanted = [plain(network, theta, row, own) for row, own in zip(x, moved, strict=True)]
        np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("tail", TAILS)
def test_gradient_and_perturbed_nodes(tail: str) -> None:
    """The gradient by finite differences, and the same from a probe of each node."""
    network, theta, x, t = case(tail)
    gradient = Exact(network, SquaredError()).estimate(theta, x, t, 0).gradient
    for number, step in enumerate(1e-6 * np.eye(len(theta))):
        up, down = (SquaredError().costs(network.forward(theta + side * step, x), t).mean() for side in (1, -1))
        np.testing.assert_allclose(gradient[number], (up - down) / 2e-6, atol=2e-6)
    perturbed = NodePerturbation(network, SquaredError(), DesignCode(SequentialCode(), None, 1), 1e-4, two_sided=True, shared=True)
    measured = sum(perturbed.estimate(theta, x, t, p).gradient for p in range(network.n_nodes))
    apart = replace(perturbed, parts=((1, 1), (len(network.nodes) - 1, 1)), code=DesignCode(WalshCode(), None, 1))
    period = WalshCode().period(network.n_nodes)
    of_parts = sum(apart.estimate(theta, x, t, p).gradient for p in range(period)) / period
    assert np.linalg.norm(of_parts - gradient) < 2e-3 * np.linalg.norm(gradient)
    assert np.linalg.norm(measured - gradient) < 2e-3 * np.linalg.norm(gradient)  # the + pass gives the inputs of the dense layers


def test_initial_parameters_have_the_range_of_their_layer() -> None:
    network, _, _, _ = case("dense")
    theta = network.initial(1)
    assert len(theta) == network.n_parameters
    query = theta[: KEYS * (INPUTS + 1)].reshape(KEYS, -1)
    assert not query[:, 0].any()
    assert 0.3 * np.sqrt(6 / (INPUTS + KEYS)) < np.abs(query).max() < np.sqrt(6 / (INPUTS + KEYS))
    assert (theta != network.initial(2)).any()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 frames"):
        Attention(3, 1, 2, 2)
    with pytest.raises(ValueError, match="must have 2 inputs, not"):
        Attention(3, 3, 2, 2, Sequential((3,), (Dense(2),)))
