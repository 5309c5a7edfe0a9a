"""The loop against the float machine, step by step, and its counts against the schedule."""

from __future__ import annotations

import numpy as np
import pytest

from python_ref import float_machine
from python_ref.datasets import SampleOrder, nist7x7, xor
from python_ref.floating.codes import WalshCode
from python_ref.floating.devices import CostNoise, Endurance, Quantisation
from python_ref.floating.estimators import NodePerturbation, WeightPerturbation, normalised
from python_ref.floating.learner import Constant, HalfCosine, Learner, evaluate, initial_state, step, train
from python_ref.floating.networks import dense, of_design
from python_ref.floating.objectives import SquaredError
from python_ref.floating.optimizers import Adam, Momentum, Plain
from python_ref.floating.passes import Measured
from python_ref.parameters import initial_parameters
from python_ref.spec import optimizer as optimizers
from python_ref.spec import perturbation
from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec
from python_ref.spec.network import Network
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import Difference, Schedule

NETWORK = Network((4, 3, 2), Activation.TANH, Activation.SIGMOID)
PERIODS = [(1, 1, 1), (2, 1, 4), (3, 4, 2), (1, 6, 3), (5, 2, 1)]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("difference", Difference)
@pytest.mark.parametrize("periods", PERIODS, ids=str)
@pytest.mark.parametrize("momentum", [False, True])
def test_steps_are_the_float_machines(kind: Kind, difference: Difference, periods: tuple[int, int, int], momentum: bool) -> None:
    """The same θ, G and count of evaluations after every step; with Walsh signs, which both have from the definition."""
    optimizer: optimizers.Optimizer = optimizers.Momentum(3) if momentum else optimizers.Sgd()
    schedule = Schedule(((0, -3),), *periods, difference)
    code = perturbation.WalshCode()
    spec = DesignSpec("twin", NETWORK, Perturbation(kind, code, -6), schedule, optimizer)
    network, two_sided = of_design(NETWORK), difference is Difference.TWO_SIDED
    estimator = (
        NodePerturbation(network, SquaredError(), WalshCode(), 2.0**-6, two_sided)
        if kind is Kind.NODE
        else WeightPerturbation(Measured(network, SquaredError()), WalshCode(), 2.0**-6, two_sided)
    )
    rule = Momentum(2.0**-3, 1 - 2.0**-3) if momentum else Plain(2.0**-3)
    learner = Learner(estimator, rule, 1, *periods)
    theta = initial_parameters(spec)
    ours, theirs = initial_state(learner, theta), float_machine.initial_state(spec, theta)
    random = np.random.default_rng(0)
    x, t = random.random((20, 4)), random.random((20, 2))
    for n in range(20):
        sample = n // periods[1]
        s = WalshCode().rows(n // periods[0], 1, spec.quantities)[0].astype(float)
        ours, _ = step(learner, ours, x[[sample]], t[[sample]])
        theirs, _ = float_machine.step(spec, theirs, (x[sample], t[sample]), s=s)
        assert ours.theta == pytest.approx(theirs.parameters, abs=1e-13)
        assert ours.gradient * 2.0**-3 == pytest.approx(theirs.gradient, abs=1e-13)
        assert (ours.evaluations, ours.writes) == (theirs.evaluations, theirs.writes)


def test_counts() -> None:
    network = dense((2, 3, 1), output=Activation.SIGMOID)
    learner = Learner(NodePerturbation(network, SquaredError()), Adam(0.1), batch=4, update_period=5, devices=(Endurance(2),))
    theta = network.initial(1)
    data = xor()
    result = train(learner, theta, data.inputs, data.targets, SampleOrder(4, False), 50, record_every=10)
    assert result.state.updates == 10
    assert result.state.writes == 10 * 13
    assert result.state.changed == 2 * 13, "each cell bears two"
    assert result.curve.steps.tolist() == [10, 20, 30, 40, 50]
    assert result.state.evaluations == 50 * 8
    assert learner.devices[0].exhausted(result.state.device_memories[0]) == 13  # type: ignore[attr-defined]


def test_learns_letters_in_both_types() -> None:
    data = nist7x7()
    network = dense((49, 4, 4), Activation.SIGMOID, Activation.SIGMOID)
    for kind in (np.float32, np.float64):
        learner = Learner(NodePerturbation(network, SquaredError(), amplitude=0.05, two_sided=True), Adam(0.02), batch=50)
        result = train(
            learner,
            network.initial(1, kind=kind),
            data.inputs,
            data.targets,
            SampleOrder(len(data), True, 1),
            600,
            evaluation=lambda theta: evaluate(network, theta, data.inputs[::50], data.targets[::50])[0],
            until=0.9,
        )
        assert result.curve.accuracy[-1] >= 0.9
        assert result.state.theta.dtype == kind


def test_noise_above_the_signal_is_fatal_below_it_is_not() -> None:
    data, network = nist7x7(), dense((49, 4, 4), Activation.SIGMOID, Activation.SIGMOID)
    reached = {}
    for sigma in (0.0, 0.003, 1.0):
        learner = Learner(
            NodePerturbation(network, SquaredError(), amplitude=0.05, two_sided=True), Adam(0.02), batch=50, devices=(CostNoise(sigma),)
        )
        result = train(learner, network.initial(1), data.inputs, data.targets, SampleOrder(len(data), True, 1), 400)
        reached[sigma] = evaluate(network, result.state.theta, data.inputs[::50], data.targets[::50])[0]
    assert reached[0.0] > 0.8
    assert reached[0.003] > 0.8
    assert reached[1.0] < reached[0.0] - 0.2


def test_quantised_parameters_stay_levels() -> None:
    network = dense((2, 3, 1))
    learner = Learner(NodePerturbation(network, SquaredError()), Plain(0.1), devices=(Quantisation(2.0**-6, 2.0, stochastic=True),))
    result = train(learner, network.initial(1), xor().inputs, xor().targets, SampleOrder(4, True), 50)
    levels = result.state.theta * 64
    assert np.array_equal(levels, np.rint(levels))


def test_normalised_update() -> None:
    network = dense((3, 2))
    estimator = WeightPerturbation(Measured(network, SquaredError()))
    random = np.random.default_rng(0)
    x, t, theta = random.random((1, 3)), random.random((1, 2)), network.initial(1)
    state = initial_state(learner := Learner(estimator, Plain(0.5), update_period=3, normalise=True), theta)
    total = np.zeros_like(theta)
    for _ in range(3):
        state, found = step(learner, state, x, t)
        total += found.gradient
    assert theta - state.theta == pytest.approx(0.5 * normalised(total / 3, 3, 8))


def test_decays() -> None:
    assert Constant().at(10**9) == 1.0
    decay = HalfCosine(100, 0.1)
    assert [decay.at(n) for n in (0, 50, 100, 1000)] == pytest.approx([1.0, 0.55, 0.1, 0.1])


def test_what_is_refused() -> None:
    network = dense((2, 1))
    learner = Learner(NodePerturbation(network, SquaredError()))
    with pytest.raises(ValueError, match=r"^Parameters must be real numbers of shape \(3,\), not float64 of \(4,\)"):
        initial_state(learner, np.zeros(4))
    with pytest.raises(ValueError, match=r"^Update period must be positive, not 0"):
        Learner(NodePerturbation(network, SquaredError()), update_period=0)
