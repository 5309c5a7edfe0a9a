"""The analog form of MGD, with filters in place of differences and sums. Nothing is switched; every operation takes place in every step.

This is the continuous version of the algorithm of McCaughan et al., APL Machine Learning 1, 026118 (2023). A high-pass with time
constant τ_hp turns C into C̃; a low-pass with time constant τ_θ turns the product of C̃ and the perturbation into G; and θ moves by
η·G in every step. Time is counted in steps. The low-pass is a *mean* over about τ_θ steps, so η compares with that of τ_θ = 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from python_ref.floating.codes import Code, SinusoidalCode
from python_ref.floating.passes import Measurable, total

__all__ = ["AnalogLearner", "AnalogState", "initial_state", "step"]


@dataclass(frozen=True)
class AnalogLearner:
    """A learner that consists of filters.

    Parameters
    ----------
    problem : Measurable
        Problem whose cost is minimised.
    code : Code
        Perturbation s, one row per τ_p steps: sinusoids, or any other code.
    amplitude, rate : float
        Amplitude Δ of the perturbation, positive, and learning rate η.
    highpass, lowpass : float
        Time constants τ_hp and τ_θ, in steps.
    perturbation_period : int
        Number τ_p of steps for which a row of signs is held; positive.

    Raises
    ------
    ValueError
        If a number is not positive.
    """

    problem: Measurable
    code: Code = SinusoidalCode()
    amplitude: float = 0.01
    rate: float = 0.01
    highpass: float = 10.0
    lowpass: float = 100.0
    perturbation_period: int = 1

    def __post_init__(self) -> None:
        for name in ("amplitude", "highpass", "lowpass", "perturbation_period"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name.replace('_', ' ').capitalize()} must be positive, not {getattr(self, name)!r}")


@dataclass(frozen=True, eq=False)
class AnalogState:
    """State of an analog learner.

    It consists of θ and G (arrays, shape (P,)), the last C (None before the first step), the last output C̃ of the high-pass, and the
    number of steps.
    """

    theta: np.ndarray
    gradient: np.ndarray
    cost: float | None = None
    change: float = 0.0
    steps: int = 0


def initial_state(learner: AnalogLearner, theta: np.ndarray) -> AnalogState:
    """Return the state before step 0."""
    return AnalogState(theta.copy(), np.zeros_like(theta))


def step(learner: AnalogLearner, state: AnalogState, inputs: np.ndarray, targets: np.ndarray) -> AnalogState:
    """Compute one step, in which the mean cost of a batch (shapes (B, n_in) and (B, n_out)) is measured.

    C̃ ← a·(C̃ + C − C_before), a = τ_hp/(τ_hp + 1); G ← G + (C̃·s/Δ − G)/(τ_θ + 1); θ ← θ − η·G.
    """
    size = total(learner.problem.parameters)
    s = learner.code.rows(state.steps // learner.perturbation_period, 1, size)[0].astype(state.theta.dtype)
    cost = float(learner.problem.costs(state.theta + learner.amplitude * s, inputs, targets).mean(dtype=np.float64))
    before = cost if state.cost is None else state.cost
    change = learner.highpass / (learner.highpass + 1.0) * (state.change + cost - before)
    gradient = state.gradient + (change / learner.amplitude * s - state.gradient) / (learner.lowpass + 1.0)
    theta = state.theta - learner.rate * gradient
    return replace(state, theta=theta, gradient=gradient, cost=cost, change=change, steps=state.steps + 1)
