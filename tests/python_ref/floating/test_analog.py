"""The analog form: its filters in closed form, and that what they find is the gradient."""

from __future__ import annotations

import numpy as np
import pytest

from python_ref.datasets import xor
from python_ref.floating.analog import AnalogLearner, initial_state, step
from python_ref.floating.codes import RandomCode, SinusoidalCode
from python_ref.floating.networks import dense
from python_ref.floating.objectives import SquaredError
from python_ref.floating.outside import Called
from python_ref.floating.passes import Measured
from python_ref.spec.activations import Activation

X, T = xor().inputs.astype(float), xor().targets.astype(float)


def test_filters_in_closed_form() -> None:
    """The high-pass answers a step of the cost with aⁿ; the low-pass with 1 − (1 − 1/(τ_θ + 1))ⁿ."""
    costs = iter([0.0] + [1.0] * 20)
    learner = AnalogLearner(Called(lambda theta, x, t: np.full(len(x), next(costs)), 1), RandomCode(1), 0.5, 0.0, 4.0, 9.0)
    state, gradient = initial_state(learner, np.zeros(1)), 0.0
    for n in range(20):
        state = step(learner, state, X, T)
        wanted = 0.0 if n == 0 else 0.8**n
        gradient += (wanted / 0.5 * RandomCode(1).rows(n, 1, 1)[0, 0] - gradient) / 10
        assert state.change == pytest.approx(wanted)
        assert state.gradient[0] == pytest.approx(gradient)
        assert state.theta[0] == 0.0, "the rate is zero"


@pytest.mark.parametrize(("code", "least"), [(RandomCode(1), 0.98), (SinusoidalCode(), 0.9)])
def test_the_low_pass_holds_the_gradient(code: RandomCode | SinusoidalCode, least: float) -> None:
    network, objective = dense((2, 2, 1), output=Activation.SIGMOID), SquaredError()
    theta = network.initial(1)
    true = network.gradient(theta, X, lambda y: objective.slopes(y, T))[0] / 4
    learner = AnalogLearner(Measured(network, objective), code, 1e-3, 0.0, 50.0, 2000.0)
    state = initial_state(learner, theta)
    for _ in range(8000):
        state = step(learner, state, X, T)
    cosine = state.gradient @ true / np.linalg.norm(state.gradient) / np.linalg.norm(true)
    assert cosine > least


def test_it_learns_xor() -> None:
    network, objective = dense((2, 3, 1), Activation.TANH, Activation.SIGMOID), SquaredError()
    learner = AnalogLearner(Measured(network, objective), SinusoidalCode(), 0.01, 0.3, 20.0, 200.0)
    state = initial_state(learner, network.initial(2))
    for _ in range(2000):
        state = step(learner, state, X, T)
    assert ((network.forward(state.theta, X) > 0.5) == (T > 0.5)).all()


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Lowpass must be positive, not 0"):
        AnalogLearner(Called(lambda *_: np.zeros(1), 1), lowpass=0.0)
