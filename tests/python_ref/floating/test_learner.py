"""The loop: its counts against the schedule, and what it learns; test_of_design.py holds it against the oracle, step by step."""

from __future__ import annotations

import numpy as np
import pytest

from python_ref.datasets import SampleOrder, nist7x7, xor
from python_ref.floating.devices import CostNoise, Endurance, Quantisation
from python_ref.floating.estimators import NodePerturbation, WeightPerturbation, normalised
from python_ref.floating.learner import Constant, HalfCosine, Learner, Listed, evaluate, initial_state, step, train
from python_ref.floating.networks import dense
from python_ref.floating.objectives import SquaredError
from python_ref.floating.optimizers import Adam, Plain
from python_ref.floating.passes import Measured
from python_ref.spec.activations import Activation
from python_ref.spec.schedule import Schedule


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
    listed = Listed(Schedule(((0, -5), (3, -7), (9, -4))))
    assert [listed.at(n) for n in (0, 2, 3, 8, 9, 100)] == [1.0, 1.0, 0.25, 0.25, 2.0, 2.0]


def test_what_is_refused() -> None:
    network = dense((2, 1))
    learner = Learner(NodePerturbation(network, SquaredError()))
    with pytest.raises(ValueError, match=r"^Parameters must be real numbers of shape \(3,\), not float64 of \(4,\)"):
        initial_state(learner, np.zeros(4))
    with pytest.raises(ValueError, match=r"^Update period must be positive, not 0"):
        Learner(NodePerturbation(network, SquaredError()), update_period=0)
    with pytest.raises(ValueError, match=r"^Decay of a learner that normalises must be Constant or HalfCosine, not Listed\("):
        Learner(NodePerturbation(network, SquaredError()), decay=Listed(Schedule(((0, -5), (3, -7)))), normalise=True)
