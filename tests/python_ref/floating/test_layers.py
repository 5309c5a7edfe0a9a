"""Layers against loops over pixels, the complex step and finite differences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from python_ref.floating.layers import Convolution, Dense, Pool, Sequential, Variation
from python_ref.floating.networks import NETWORKS, cifar_2023, dense, fashion_2023, fashion_2025
from python_ref.floating.objectives import CrossEntropy, SquaredError
from python_ref.floating.passes import ForwardPass, Measured, NodePass, split, total
from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import Refusal
from python_ref.spec.network import Network
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import Schedule
from tests.support.float_oracle import forward

SMALL = Sequential(
    (2, 7, 6),
    (
        Convolution(3, Activation.TANH),
        Pool(),
        Convolution(2, Activation.SIGMOID, same=False),
        Dense(4, Activation.TANH),
        Dense(3, Activation.IDENTITY),
    ),
)


def samples(network: Sequential, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.random((count, network.n_in)), np.eye(3)[random.integers(3, size=count)]


def by_loops(network: Sequential, theta: np.ndarray, sample: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """One sample, one pixel at a time; ``theta`` may be complex."""
    functions = {
        Activation.TANH: np.tanh,
        Activation.SIGMOID: lambda z: 1 / (1 + np.exp(-z)),
        Activation.IDENTITY: lambda z: z,
    }
    x, at, node = sample.reshape(network.input_shape).astype(theta.dtype), 0, 0
    for layer in network.layers:
        if isinstance(layer, Pool):
            channels, height, width = x.shape
            y = np.zeros((channels, height // 2, width // 2), theta.dtype)
            for c, i, j in np.ndindex(y.shape):
                y[c, i, j] = max((x[c, 2 * i + a, 2 * j + b] for a, b in itertools.product((0, 1), (0, 1))), key=lambda v: v.real)
            x = y
            continue
        if isinstance(layer, Dense):
            x = x.ravel()
            y = np.zeros(layer.n_out, theta.dtype)
            for o in range(layer.n_out):
                row = theta[at : at + x.size + 1]
                y[o] = row[0] + sum(w * v for w, v in zip(row[1:], x, strict=True))
                at += x.size + 1
        else:
            edge = layer.width // 2 if layer.same else 0
            padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
            y = np.zeros(layer.output_shape(x.shape), theta.dtype)
            size = 1 + layer.width**2 * x.shape[0]
            for o, i, j in np.ndindex(y.shape):
                kernel = theta[at + o * size + 1 : at + (o + 1) * size].reshape(layer.width, layer.width, x.shape[0])
                y[o, i, j] = theta[at + o * size]
                for a, b, c in np.ndindex(kernel.shape):
                    y[o, i, j] += kernel[a, b, c] * padded[c, i + a, j + b]
            at += layer.channels * size
        y = y + shift[node : node + y.size].reshape(y.shape)
        node += y.size
        x = functions[layer.activation](y)
    return x.ravel()


def test_forward_is_what_loops_say() -> None:
    x, _ = samples(SMALL, 3)
    theta = SMALL.initial(1) + 0.1
    shift = np.random.default_rng(2).standard_normal((3, SMALL.n_nodes))
    outputs, _ = SMALL.trace(theta, x, shift)
    for b in range(3):
        assert outputs[b] == pytest.approx(by_loops(SMALL, theta, x[b], shift[b]), rel=1e-12)
        assert SMALL.forward(theta, x)[b] == pytest.approx(by_loops(SMALL, theta, x[b], 0 * shift[b]), rel=1e-12)


def test_a_base_changes_nothing() -> None:
    x, _ = samples(SMALL, 4)
    theta, shift = SMALL.initial(1), np.random.default_rng(2).standard_normal((4, SMALL.n_nodes))
    _, base = SMALL.trace(theta, x)
    assert np.array_equal(SMALL.trace(theta, x, shift, base)[0], SMALL.trace(theta, x, shift)[0])
    last = shift[:, -7:]
    full = np.concatenate((np.zeros((4, SMALL.n_nodes - 7)), last), axis=1)
    assert np.array_equal(SMALL.trace(theta, x, last, base)[0], SMALL.trace(theta, x, full)[0])
    assert np.array_equal(SMALL.trace(theta, x)[0], SMALL.trace(theta, x, None, base)[0]), "the base itself stays as it was"


@pytest.mark.parametrize("objective", [SquaredError(), SquaredError(mean=True), CrossEntropy(), CrossEntropy(0.2)])
def test_back_propagation_is_the_complex_step(objective: SquaredError | CrossEntropy) -> None:
    """∂C/∂θᵢ = Im C(θ + ihᵢ)/h, exact to rounding, of the loops (Squire & Trapp, SIAM Review 40, 1998)."""
    (x,), (t,) = samples(SMALL, 1)
    theta = SMALL.initial(3) + 0.05
    found, _ = SMALL.gradient(theta, x[None], lambda y: objective.slopes(y, t[None]))

    def cost(parameters: np.ndarray) -> complex:
        y = by_loops(SMALL, parameters, x, np.zeros(SMALL.n_nodes))
        if isinstance(objective, SquaredError):
            return np.sum((y - t) ** 2) / (3 if objective.mean else 1)
        wanted = t * (1 - objective.smoothing) + objective.smoothing / 3
        return -np.sum(wanted * (y - np.log(np.sum(np.exp(y)))))

    for i in range(0, len(theta), 5):
        moved = theta.astype(complex)
        moved[i] += 1e-20j
        assert found[i] == pytest.approx(cost(moved).imag / 1e-20, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("function", [Activation.RELU, Activation.SIGMOID, Activation.TANH, Activation.IDENTITY])
def test_slopes_with_variation(function: Activation) -> None:
    network = Sequential((5,), (Dense(6, function), Dense(3, function)), Variation.draw(9, 0.2, 1))
    x, t = samples(network, 4)
    theta, objective = network.initial(1), SquaredError()
    found, _ = network.gradient(theta, x, lambda y: objective.slopes(y, t))
    direction = np.random.default_rng(1).standard_normal(len(theta))
    plus, minus = (objective.costs(network.forward(theta + h * direction, x), t).sum() for h in (1e-6, -1e-6))
    assert found @ direction == pytest.approx((plus - minus) / 2e-6, rel=1e-6)


def test_variation_as_defined() -> None:
    v = Variation.draw(2, 0.3, 4)
    network = Sequential((1,), (Dense(2, Activation.SIGMOID),), v)
    y = network.forward(np.array([0.1, 0.5, -0.2, 0.7]), np.array([[2.0]]))[0]
    z = np.array([0.1 + 0.5 * 2, -0.2 + 0.7 * 2])
    assert y == pytest.approx(v.scale / (1 + np.exp(-v.gain * (z - v.offset))) + v.shift)
    wide = Variation.draw(40_000, 0.25, 1)
    for part, mean in ((wide.scale, 1), (wide.gain, 1), (wide.offset, 0), (wide.shift, 0)):
        assert part.mean() == pytest.approx(mean, abs=0.01)
        assert part.std() == pytest.approx(0.25, rel=0.02)


def test_sign_has_no_slope() -> None:
    network = dense((2, 1), output=Activation.SIGN)
    with pytest.raises(Refusal, match=r"^Back-propagation is not defined for the activation 'sign'"):
        network.gradient(network.initial(1), np.ones((1, 2)), lambda y: y)


def test_parameter_counts_of_the_papers() -> None:
    assert fashion_2023().n_parameters == 14_378
    assert cifar_2023().n_parameters == 26_154
    for n in (1, 4, 8, 16, 24, 32, 48, 64):
        assert fashion_2025(n).n_parameters == 439 * n * n + 71 * n + 10
    assert [dense(sizes).n_parameters for sizes in ((2, 2, 1), (4, 4, 1), (49, 4, 4))] == [9, 25, 220]
    assert dense((784, 1024, 256, 10)).n_parameters > 1_000_000


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_runs_in_both_types(name: str) -> None:
    network = NETWORKS[name](1)
    x = np.random.default_rng(0).random((2, network.n_in))
    for kind in (np.float32, np.float64):
        outputs = network.forward(network.initial(1, kind=kind), x)
        assert outputs.shape == (2, 10)
        assert outputs.dtype == kind
    assert isinstance(network, NodePass)
    assert isinstance(Measured(network, SquaredError()).network, ForwardPass)


def test_a_design_keeps_its_order_of_parameters() -> None:
    network = Network((5, 4, 3), Activation.TANH, Activation.SIGMOID)
    spec = DesignSpec("small", network, Perturbation(Kind.NODE), Schedule(((0, -4),)))
    theta, x = np.random.default_rng(0).standard_normal(network.n_parameters), np.random.default_rng(1).random((6, 5))
    layers = dense(network.sizes, network.hidden, network.output)
    assert layers.forward(theta, x) == pytest.approx(np.array([forward(spec, theta, each)[-1] for each in x]))


def test_blocks() -> None:
    blocks = SMALL.parameters
    parts = split(np.arange(total(blocks)), blocks)
    assert [parts[block.name].shape for block in blocks] == [(3, 19), (2, 28), (4, 3), (3, 5)]
    assert parts["dense3"][0, 0] == 3 * 19 + 2 * 28
    with pytest.raises(ValueError, match=r"^Number of values must be \d+"):
        split(np.zeros(3), blocks)


@pytest.mark.parametrize(
    ("shape", "layers"), [((3,), (Pool(), Dense(1))), ((1, 2, 2), (Convolution(1, same=False), Dense(1))), ((3,), (Convolution(1),))]
)
def test_layers_that_do_not_fit(shape: tuple[int, ...], layers: tuple) -> None:
    with pytest.raises(ValueError, match=r"^A (pool|convolution)"):
        Sequential(shape, layers)
