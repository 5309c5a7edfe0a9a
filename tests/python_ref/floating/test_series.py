"""Networks with state in real numbers, against loops in plain Python with derivatives forward in time."""

import numpy as np
import pytest

from python_ref.floating.codes import DesignCode
from python_ref.floating.estimators import Exact, NodePerturbation, WeightPerturbation
from python_ref.floating.layers import Dense
from python_ref.floating.objectives import SquaredError
from python_ref.floating.passes import Measured, NodePass
from python_ref.floating.series import Series
from python_ref.floating.stateful import Leaky, Lif, Memoryless
from python_ref.spec.activations import Activation
from python_ref.spec.perturbation import SequentialCode
from tests.support.plain_series import Dual, PlainLayer, PlainSeries

T, N_IN, BATCH = 5, 2, 3

FUNCTIONS = {"tanh": Activation.TANH, "identity": Activation.IDENTITY}
LAYERS = {
    "dense": lambda layer: Memoryless(Dense(layer.n_out, FUNCTIONS[layer.function])),
    "leaky": lambda layer: Leaky(layer.n_out, FUNCTIONS[layer.function], layer.leak),
    "lif": lambda layer: Lif(layer.n_out, layer.leak, layer.steepness),
}

NETWORKS = {
    "elman": [PlainLayer("leaky", 3), PlainLayer("dense", 2, "identity")],
    "leaky": [PlainLayer("dense", 2), PlainLayer("leaky", 3, leak=2), PlainLayer("leaky", 2, leak=1)],
    "lif": [PlainLayer("lif", 3, leak=2), PlainLayer("lif", 3, leak=1, steepness=4.0), PlainLayer("dense", 2, "identity")],
    "both": [PlainLayer("lif", 3, leak=1), PlainLayer("leaky", 2, leak=1), PlainLayer("dense", 3), PlainLayer("dense", 2)],
}


def built(name: str, **given: object) -> tuple[PlainSeries, Series, np.ndarray, np.ndarray, np.ndarray]:
    """The network twice, its parameters, inputs and targets."""
    layers, readout = NETWORKS[name], "sum" if given.get("summed") else "last"
    network = Series(N_IN, tuple(LAYERS[layer.kind](layer) for layer in layers), T, **given)
    random = np.random.default_rng(5)
    theta = random.normal(0, 1.2, network.n_parameters)
    x, t = random.normal(0, 1, (BATCH, N_IN if network.held else T * N_IN)), random.normal(0, 1, (BATCH, layers[-1].n_out))
    return PlainSeries(N_IN, layers, readout), network, theta, x, t


def frames_of(row: np.ndarray, held: bool, length: int = T) -> list[list[float]]:
    return [row.tolist()] * T if held else row.reshape(T, N_IN)[:length].tolist()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("summed", "held", "lengths"), [(False, False, None), (True, True, None), (True, False, (2, 5, 1)), (False, False, (2, 5, 1))]
)
def test_outputs_and_gradient(name: str, summed: bool, held: bool, lengths: tuple[int, ...] | None) -> None:
    plain, network, theta, x, t = built(name, summed=summed, held=held)
    given = x if lengths is None else np.column_stack((lengths, x))
    rows = [frames_of(row, held, length) for row, length in zip(x, lengths or (T,) * BATCH, strict=True)]
    wanted = np.array([[each.value for each in plain.outputs(theta, row)] for row in rows])
    np.testing.assert_allclose(network.forward(theta, given), wanted, atol=1e-12)
    assert np.ptp(wanted) > 0.01
    gradient, outputs = network.gradient(theta, given, lambda y: SquaredError().slopes(y, t))
    np.testing.assert_array_equal(outputs, network.forward(theta, given))
    for number in range(len(theta)):
        slopes = np.array([[each.slope for each in plain.outputs(theta, row, number)] for row in rows])
        np.testing.assert_allclose(gradient[number], (2 * (wanted - t) * slopes).sum(), atol=1e-9, err_msg=str(number))


@pytest.mark.parametrize("name", ["elman", "leaky"])
def test_gradient_by_finite_differences(name: str) -> None:
    _, network, theta, x, t = built(name, summed=True)
    gradient = Exact(network, SquaredError()).estimate(theta, x, t, 0).gradient
    for number, step in enumerate(1e-6 * np.eye(len(theta))):
        up, down = (SquaredError().costs(network.forward(theta + side * step, x), t).mean() for side in (1, -1))
        np.testing.assert_allclose(gradient[number], (up - down) / 2e-6, atol=1e-6)


@pytest.mark.parametrize("hold", [1, 2, 3, T])
@pytest.mark.parametrize("lengths", [None, (2, 5, 1)])
def test_a_perturbation_lasts_for_its_frames(hold: int, lengths: tuple[int, ...] | None) -> None:
    """The quantities of every segment move their own frames, and meet the operands of these."""
    plain, network, theta, x, t = built("leaky", hold=hold)
    lengths = lengths or (T,) * BATCH
    given = np.column_stack((lengths, x))
    segments, framed = -(-T // hold), 7
    assert network.n_nodes == segments * framed
    assert isinstance(network, NodePass)
    places = [(layer, o) for layer, each in enumerate(plain.layers) for o in range(each.n_out)]
    total = np.zeros(len(theta))
    for row, length, target in zip(x, lengths, t, strict=True):
        frames = frames_of(row, False, length)
        for segment in range(segments):
            for layer, o in places:
                own = range(segment * hold, min(length, (segment + 1) * hold))
                moved = {(frame, layer, o): Dual(0.0, 1.0) for frame in own}
                found = plain.outputs(theta, frames, moved=moved)
                error = sum(2 * (each.value - wanted) * each.slope for each, wanted in zip(found, target, strict=True))
                width, first = (
                    plain.width(layer),
                    sum(plain.width(n) * plain.layers[n].n_out for n in range(layer)) + o * plain.width(layer),
                )
                for i in range(width):
                    total[first + i] += error * sum(operand_of(plain, theta, frames, frame, layer, i) for frame in own)
    perturbed = NodePerturbation(network, SquaredError(), DesignCode(SequentialCode(), None, 1), 1e-4, two_sided=True, shared=True)
    measured = sum(perturbed.estimate(theta, given, t, p).gradient for p in range(network.n_nodes))
    np.testing.assert_allclose(measured * BATCH, total, atol=1e-4)
    if hold == 1:  # then node perturbation measures the true gradient
        np.testing.assert_allclose(total / BATCH, Exact(network, SquaredError()).estimate(theta, given, t, 0).gradient, atol=1e-9)


def operand_of(plain: PlainSeries, theta: np.ndarray, frames: list[list[float]], frame: int, layer: int, i: int) -> float:
    """Operand i of a layer in a frame: 1, an input, or an output of the layer in the frame before."""
    if i == 0:
        return 1.0
    n_in = plain.layers[layer - 1].n_out if layer else plain.n_in
    if i <= n_in:
        return frames[frame][i - 1] if layer == 0 else cut(plain, theta, frames[: frame + 1], layer - 1)[i - 1]
    return 0.0 if frame == 0 else cut(plain, theta, frames[:frame], layer)[i - 1 - n_in]


def cut(plain: PlainSeries, theta: np.ndarray, frames: list[list[float]], layer: int) -> list[float]:
    """Outputs of a layer after some frames."""
    states = [[Dual(0.0)] * each.n_out for each in plain.layers]
    parameters = [Dual(value) for value in theta]
    x: list[Dual] = []
    for t, values in enumerate(frames):
        x = [Dual(value) for value in values]
        for number in range(layer + 1):
            x = plain.layer(number, parameters, x, states, {}, t)
    return [each.value for each in x]


def test_perturbed_weights_measure_the_gradient() -> None:
    _, network, theta, x, t = built("elman")
    problem = Measured(network, SquaredError())
    perturbed = WeightPerturbation(problem, DesignCode(SequentialCode(), np.arange(len(theta)), 1), 1e-4, two_sided=True)
    measured = sum(perturbed.estimate(theta, x, t, p).gradient for p in range(len(theta)))
    np.testing.assert_allclose(measured, Exact(network, SquaredError()).estimate(theta, x, t, 0).gradient, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("summed", [False, True])
def test_what_a_perturbed_pass_takes_over_is_right(name: str, summed: bool) -> None:
    """With the values of an unperturbed pass, and with many perturbations of one sample, a pass has the same outputs as without."""
    _, network, theta, x, _ = built(name, summed=summed, hold=2)
    shift = np.random.default_rng(1).normal(0, 0.3, (BATCH, network.n_nodes))
    _, base = network.trace(theta, x)
    wanted, _ = network.trace(theta, x, shift)
    np.testing.assert_allclose(network.trace(theta, x, shift, base)[0], wanted, atol=1e-12)
    some = network.n_nodes - 3
    wanted_of_some, _ = network.trace(theta, x, np.pad(shift[:, some:], ((0, 0), (some, 0))))
    np.testing.assert_array_equal(network.trace(theta, x, shift[:, some:], base)[0], wanted_of_some)
    np.testing.assert_array_equal(
        network.correlate(base, shift[:, some:]), network.correlate(base, np.pad(shift[:, some:], ((0, 0), (some, 0))))
    )
    for number, row in enumerate(x):
        _, own = network.trace(theta, row[None])
        np.testing.assert_allclose(network.trace(theta, row[None], shift, own)[0][number], wanted[number], atol=1e-12)


def test_what_is_no_network_of_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="must have a layer with state"):
        Series(2, (Memoryless(Dense(2)),), 3)
    with pytest.raises(ValueError, match="must last 1 to 3 frames, not 4"):
        Series(2, (Leaky(2),), 3, hold=4)
