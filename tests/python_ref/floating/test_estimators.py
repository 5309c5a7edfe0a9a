"""Estimates against the true gradient: exact after a whole period of an orthogonal code, and as noisy as theory says of random signs."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from python_ref.floating.codes import Code, DesignCode, RandomCode, SinusoidalCode
from python_ref.floating.estimators import (
    Estimator,
    Exact,
    NodePerturbation,
    WeightPerturbation,
    cosine_expected,
    length_expected,
    normalised,
)
from python_ref.floating.layers import Convolution, Dense, Pool, Sequential
from python_ref.floating.networks import dense
from python_ref.floating.objectives import CrossEntropy, SquaredError
from python_ref.floating.passes import Block, Measured
from python_ref.spec import perturbation as spec_codes
from python_ref.spec.activations import Activation

WALSH, GRAY, SEQUENTIAL = (DesignCode(kind()) for kind in (spec_codes.WalshCode, spec_codes.WalshGrayCode, spec_codes.SequentialCode))
COST = CrossEntropy(0.1)
IMAGE = Sequential((1, 6, 6), (Convolution(2), Pool(), Dense(5), Dense(3, Activation.IDENTITY)))
DENSE = dense((6, 5, 3))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def example(network: Sequential) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """θ, x, y*, and the true gradient there."""
    random = np.random.default_rng(1)
    theta, x, t = network.initial(2), random.random((1, network.n_in)), np.eye(3)[[1]]
    return theta, x, t, network.gradient(theta, x, lambda y: COST.slopes(y, t))[0]


def estimator(kind: str, network: Sequential, code: Code, *, two_sided: bool = True, apart: bool = False, delta: float = 1e-4) -> Estimator:
    if kind == "node":
        return NodePerturbation(network, COST, code, delta, two_sided, apart)
    return WeightPerturbation(Measured(network, COST), code, delta, two_sided, apart, groups=None)


@pytest.mark.parametrize("network", [IMAGE, DENSE], ids=["convolution", "dense"])
@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
@pytest.mark.parametrize("code", [WALSH, GRAY, SEQUENTIAL, SinusoidalCode()], ids=["walsh", "walsh-gray", "sequential", "sinusoidal"])
@pytest.mark.parametrize("kind", ["node", "weight"])
def test_a_whole_period_is_the_true_gradient(kind: str, code: Code, apart: bool, network: Sequential) -> None:
    """To Δ² where the difference is two-sided, else to Δ: the curvature.

    In node perturbation the inputs of the + pass, which a synapse sees, differ by Δ from the unperturbed ones; Walsh signs of three
    nodes can agree with that, random and sequential ones cannot.
    """
    theta, x, t, true = example(network)
    sides = {two_sided: estimator(kind, network, code, two_sided=two_sided, apart=apart) for two_sided in (False, True)}
    for two_sided, each in sides.items():
        period, second = code.period(each.quantities), two_sided and not (kind == "node" and code in (WALSH, GRAY))
        assert period is not None
        found = each.estimate(theta, np.repeat(x, period, 0), np.repeat(t, period, 0), 0).gradient
        found = found * each.quantities if code is SEQUENTIAL else found  # s² is 1 in one row of D, and else in all
        assert found == pytest.approx(true, abs=(1e-6 if second else 1e-3) * np.linalg.norm(true))


@pytest.mark.parametrize("share", [0.1, 1, 10])
@pytest.mark.parametrize("kind", ["node", "weight"])
def test_cosine_of_random_perturbations(kind: str, share: float) -> None:
    """√(K/(K + D − 1)) within 0.01, on average over seeds, from the generator's bits.

    In node perturbation it holds for the errors of nodes, which a network of one layer with one input of 1 shows as its gradient.
    """
    if kind == "node":
        network = dense((1, 300), output=Activation.TANH)
        theta, x, t = network.initial(1), np.ones((1, 1)), np.random.default_rng(1).random((1, 300))
        make = lambda seed: NodePerturbation(network, SquaredError(), RandomCode(seed), 1e-5, two_sided=True)  # noqa: E731
    else:
        network = dense((20, 10, 8))
        theta, x, t = network.initial(1), np.random.default_rng(1).random((1, 20)), np.random.default_rng(2).random((1, 8))
        make = lambda seed: WeightPerturbation(  # noqa: E731
            Measured(network, SquaredError()), RandomCode(seed), 1e-5, two_sided=True, groups=None
        )
    true, _ = network.gradient(theta, x, lambda y: SquaredError().slopes(y, t))
    count = round(share * make(0).quantities)
    seeds = 40 if share < 1 else 8 if share == 1 else 3
    found = [cosine(make(seed).estimate(theta, np.repeat(x, count, 0), np.repeat(t, count, 0), 0).gradient, true) for seed in range(seeds)]
    assert np.mean(found) == pytest.approx(cosine_expected(count, make(0).quantities), abs=0.01)


def test_a_batch_is_the_mean_of_its_samples() -> None:
    random = np.random.default_rng(3)
    x, t = random.random((4, 6)), np.eye(3)[random.integers(3, size=4)]
    theta = DENSE.initial(1)
    for two_sided in (False, True):
        whole = NodePerturbation(DENSE, COST, RandomCode(1), two_sided=two_sided).estimate(theta, x, t, 3)
        parts = [
            NodePerturbation(DENSE, COST, RandomCode(1), two_sided=two_sided).estimate(theta, x[[b]], t[[b]], 12 + b) for b in range(4)
        ]
        assert whole.gradient == pytest.approx(np.mean([part.gradient for part in parts], axis=0))
        assert whole.evaluations == sum(part.evaluations for part in parts) == 8
        whole = WeightPerturbation(Measured(DENSE, COST), RandomCode(1), two_sided=two_sided, groups=4).estimate(theta, x, t, 3)
        single = WeightPerturbation(Measured(DENSE, COST), RandomCode(1), two_sided=two_sided)
        parts = [single.estimate(theta, x[[b]], t[[b]], 12 + b) for b in range(4)]
        assert whole.gradient == pytest.approx(np.mean([part.gradient for part in parts], axis=0))


def test_node_perturbation_as_written() -> None:
    """δⱼ = C̃·sⱼ/Δ at each node, times its inputs: by loops over one sample."""
    theta, x, t, _ = example(DENSE)
    delta, s = 0.05, RandomCode(4).rows(2, 1, 8)[0]
    y0, y1 = DENSE.forward(theta, x), DENSE.trace(theta, x, (s * delta)[None])[0]
    change = float((COST.costs(y1, t) - COST.costs(y0, t))[0])
    hidden = np.tanh(theta[:35].reshape(5, 7)[:, 1:] @ x[0] + theta[:35].reshape(5, 7)[:, 0])
    wanted = [change * s[o] / delta * v for o in range(5) for v in (1.0, *x[0])]
    wanted += [change * s[5 + o] / delta * v for o in range(3) for v in (1.0, *hidden)]
    found = NodePerturbation(DENSE, COST, RandomCode(4), delta).estimate(theta, x, t, 2)
    assert found.gradient == pytest.approx(np.array(wanted))
    assert found.changes == pytest.approx([change])


def test_one_unperturbed_pass_serves_repeats_and_later_steps() -> None:
    theta, x, t, _ = example(DENSE)
    each = NodePerturbation(DENSE, COST, RandomCode(1), repeats=3)
    found = each.estimate(theta, x, t, 0)
    assert found.evaluations == 4
    again = each.estimate(theta, x, t, 1, found.base)
    assert again.evaluations == 3
    assert np.array_equal(again.gradient, each.estimate(theta, x, t, 1).gradient)
    singles = [NodePerturbation(DENSE, COST, RandomCode(1)).estimate(theta, x, t, p).gradient for p in range(3)]
    assert found.gradient == pytest.approx(np.mean(singles, axis=0))


def test_a_shared_perturbation() -> None:
    random = np.random.default_rng(3)
    x, t = random.random((4, 6)), np.eye(3)[random.integers(3, size=4)]
    theta = DENSE.initial(1)
    found = NodePerturbation(DENSE, COST, RandomCode(1), shared=True).estimate(theta, x, t, 5).gradient
    parts = [NodePerturbation(DENSE, COST, RandomCode(1)).estimate(theta, x[[b]], t[[b]], 5).gradient for b in range(4)]
    assert found == pytest.approx(np.mean(parts, axis=0))


def test_normalisation_of_2025() -> None:
    """As long as the true gradient for any K; and the factor in the paper's own symbols."""
    theta, x, t, true = example(IMAGE)
    each = WeightPerturbation(Measured(IMAGE, COST), RandomCode(1), 1e-5, two_sided=True, groups=None)
    for count in (20, 200):
        lengths = []
        for p in range(8):
            mean = each.estimate(theta, np.repeat(x, count, 0), np.repeat(t, count, 0), p).gradient
            lengths.append(np.linalg.norm(normalised(mean, count, each.quantities)) / np.linalg.norm(true))
        assert np.sqrt(np.mean(np.square(lengths))) == pytest.approx(1.0, abs=0.1)
        d = each.quantities
        assert length_expected(count, d) == pytest.approx(np.sqrt(d) * np.sqrt(1 / d + 1 / count - 1 / (d * count)))


def test_normalisation_of_2023() -> None:
    """Theirs, from its definition: perturbations of one vector norm, G = Σ C̃·θ̃/norm²; ours is D times that."""
    theta, x, t, _ = example(DENSE)
    each = WeightPerturbation(Measured(DENSE, COST), RandomCode(1), 1e-3)
    d, norm = each.quantities, 1e-3 * np.sqrt(each.quantities)
    tilde = norm / np.sqrt(d) * RandomCode(1).rows(0, 1, d)[0]
    change = COST.costs(DENSE.forward(theta + tilde, x), t) - COST.costs(DENSE.forward(theta, x), t)
    assert each.estimate(theta, x, t, 0).gradient == pytest.approx(d * change * tilde / norm**2)


class _Flat:
    """A cost of so many parameters that takes no memory."""

    def __init__(self, size: int) -> None:
        self.parameters = (Block("all", (size,)),)

    def costs(self, theta: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.full(len(inputs), theta[0], theta.dtype)


@pytest.mark.parametrize(
    ("code", "most"),
    [(RandomCode(), 0), (WALSH, 40), (SEQUENTIAL, 40), (SinusoidalCode(), 40)],
    ids=["random", "walsh", "sequential", "sinusoidal"],
)
def test_signs_take_as_little_memory_as_they_can(code: Code, most: int) -> None:
    """Random signs: two windows of 127 words, whatever the network; others so many bytes for each parameter, those of one row."""

    def peak(size: int) -> int:
        each, theta = WeightPerturbation(_Flat(size), code), np.zeros(size, np.float32)
        each.estimate(theta, np.zeros((1, 1)), np.zeros((1, 1)), 0)
        tracemalloc.start()
        each.estimate(theta, np.zeros((1, 1)), np.zeros((1, 1)), 0)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found - 2 * theta.nbytes  # the moved parameters and the gradient

    assert peak(1 << 21) < 30_000 + (most << 21)


def test_skipping_leaves_out_what_cannot_matter() -> None:
    """Nodes below zero of a ReLU, and pixels that a pool passes over: those whose true error is zero. The rest is less noisy, and right."""
    relu = Activation.RELU
    network = Sequential((1, 6, 6), (Convolution(2), Pool(), Convolution(3, relu), Dense(6, relu), Dense(3, Activation.IDENTITY)))
    random = np.random.default_rng(1)
    theta, x, t = network.initial(2), random.random((5, 36)), np.eye(3)[random.integers(3, size=5)]
    _, trace = network.trace(theta, x)
    errors, step = np.zeros((5, network.n_nodes)), 1e-6
    for node in range(network.n_nodes):
        shift = np.zeros((5, network.n_nodes))
        shift[:, node] = step
        errors[:, node] = COST.costs(network.trace(theta, x, shift)[0], t) - COST.costs(network.trace(theta, x, -shift)[0], t)
    assert np.array_equal(network.awake(trace), errors != 0)
    true = network.gradient(theta, x, lambda y: COST.slopes(y, t))[0] / 5
    wide, lean = (
        [
            NodePerturbation(network, COST, RandomCode(1), 1e-5, skip_dead_nodes=skips, repeats=40).estimate(theta, x, t, p).gradient
            for p in range(9)
        ]
        for skips in (False, True)
    )
    assert np.mean([cosine(each, true) for each in lean]) > np.mean([cosine(each, true) for each in wide]) + 0.03
    everything = SEQUENTIAL
    found = NodePerturbation(network, COST, everything, 1e-6, skip_dead_nodes=True, shared=True, repeats=network.n_nodes).estimate(
        theta, x, t, 0
    )
    assert found.gradient * network.n_nodes == pytest.approx(true, abs=1e-4 * np.linalg.norm(true))


@pytest.mark.parametrize("kind", [NodePerturbation, WeightPerturbation])
def test_what_is_refused(kind: type) -> None:
    first = (DENSE, COST) if kind is NodePerturbation else (Measured(DENSE, COST),)
    with pytest.raises(ValueError, match=r"^Amplitude must be positive, not 0"):
        kind(*first, amplitude=0.0)
    with pytest.raises(ValueError, match=r"^Perturbations per sample must be positive"):
        kind(*first, repeats=0)


@pytest.mark.parametrize("two_sided", [False, True], ids=["one-sided", "two-sided"])
def test_parts_are_measured_apart(two_sided: bool) -> None:
    """As if the other layers did not exist; each part counts as often as it is measured."""
    theta, x, t, true = example(IMAGE)
    each = NodePerturbation(IMAGE, COST, SEQUENTIAL, 1e-5, two_sided, shared=True, parts=((1, 2), (2, 8)))
    found = each.estimate(theta, x, t, 9)  # rows 72 to 79 of the code: the eight nodes of the second part, and none of the first
    assert found.evaluations == (20 if two_sided else 11)
    assert np.array_equal(found.changes != 0, [False, True, False, *[True] * 7])
    halves = slice(0, IMAGE.parameters[0].size), slice(IMAGE.parameters[0].size, None)
    for many in (
        NodePerturbation(IMAGE, COST, RandomCode(1), 1e-4, two_sided, parts=((1, 1200), (2, 300))),
        WeightPerturbation(Measured(IMAGE, COST), RandomCode(1), 1e-4, two_sided, parts=((1, 400), (2, 1600))),
    ):
        mean = many.estimate(theta, x, t, 0).gradient
        for half in halves:
            assert np.linalg.norm(mean[half] - true[half]) < 0.5 * np.linalg.norm(true[half])


def test_parts_that_are_not_the_networks() -> None:
    for kind, first in ((NodePerturbation, (DENSE, COST)), (WeightPerturbation, (Measured(DENSE, COST),))):
        for parts in (((1, 1),), ((3, 1),), ((2, 0),)):
            with pytest.raises(ValueError, match=r"^Parts must be positive and have 2 blocks together, as the network has, not \(\("):
                kind(*first, parts=parts)


def test_back_propagation_in_an_estimators_place() -> None:
    theta, x, t, true = example(IMAGE)
    found = Exact(IMAGE, COST).estimate(theta, np.repeat(x, 3, 0), np.repeat(t, 3, 0), 0)
    assert found.gradient == pytest.approx(true)
    assert found.cost == pytest.approx(COST.costs(IMAGE.forward(theta, x), t)[0])
    assert found.evaluations == 3


def test_a_network_that_cannot_tell_what_to_spare() -> None:
    with pytest.raises(ValueError, match=r"^A network must have a method awake for nodes to be spared, and object has none"):
        NodePerturbation(object(), COST, skip_dead_nodes=True)  # type: ignore[arg-type]
