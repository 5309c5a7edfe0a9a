"""The state of the machine between two steps, its start, and what a step counts and signs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from python_ref.fixed.cost import aligned, cost
from python_ref.fixed.network import evaluated, forward
from python_ref.fixed.perturbation import SignSource, StochasticSource
from python_ref.fixed.signature import INITIAL
from python_ref.fixed.thresholds import threshold_source
from python_ref.spec.design import SATURATION_KINDS, DesignSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.probes import COUNTERS

__all__ = [
    "COUNTER_LIMITS",
    "Pass",
    "Sample",
    "State",
    "add_counts",
    "initial_state",
    "known_signature",
    "measure",
    "rounding_source",
    "sample_number",
    "sign_source",
]

Sample = tuple[np.ndarray, np.ndarray]
"""Raw input words (int64, shape (record_inputs,)) and raw targets (int64, shape (n_out,)). The input words are the n_in inputs, or of a
series that is not held its length, and then the inputs of T frames."""

COUNTER_LIMITS = np.array([2**48 - 1 if name in ("writes", "changed") else 2**32 - 1 for name in COUNTERS], dtype=np.int64)
"""Value at which each counter stops."""


def _none() -> np.ndarray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Pass:
    """Result of one pass through the network.

    Attributes
    ----------
    preactivation, activation : array of int64, shape (evaluations,)
        z, and y, the spike of a lif neuron or the count of a stochastic one, of every evaluation.
    cost : int
        Cost C of the outputs, raw, in ``spec.cost_format``.
    saturated : int
        Number of activations out of range.
    state : array of int64, shape (evaluations,)
        State of the neurons after each frame, in a network with state; else empty.
    outputs : array of int64, shape (n_out,)
        Outputs of the network, in a network with state; else empty.
    state_saturated : int
        Number of states out of range.
    thresholds : array of int64, shape (neurons, N)
        Thresholds of every neuron, in a network with stochastic neurons; else empty.
    """

    preactivation: np.ndarray
    activation: np.ndarray
    cost: int
    saturated: int
    state: np.ndarray = field(default_factory=_none)
    outputs: np.ndarray = field(default_factory=_none)
    state_saturated: int = 0
    thresholds: np.ndarray = field(default_factory=_none)


@dataclass(frozen=True, eq=False)
class State:
    """State of the machine between two steps; a step returns a new one and does not modify the old one.

    Attributes
    ----------
    seed : int
        Seed of the streams of signs and of stochastic words.
    steps, updates : int
        Numbers n of steps done and u of updates applied since the streams started.
    due : bool
        Whether the next step takes a new sample and a new baseline, and begins a presentation, regardless of the schedule.
    parameters, gradient : array of int64, shape (P,)
        θ and G, raw, in canonical order; G stays zero in a design without it.
    optimizer : dict of str to array of int64, shape (P,)
        Values of the optimiser's state variables, raw, in canonical order, by their names in ``spec.optimizer_state``.
    baseline : Pass
        Current unperturbed pass, if the difference is one-sided or neurons are perturbed.
    error_sum : array of int64, shape (quantities,)
        E, raw, of the presentation that is open in node perturbation; zero if there is none, and in weight perturbation.
    probes : int
        Number of steps that the open presentation has done; 0 if there is none, and in weight perturbation.
    counters : array of int64, shape (len(COUNTERS),)
        Values of the counters, in the order of ``COUNTERS``.
    signature : (int, int) or None
        Forward and learned running signatures, if the design has them; None after steps of a faster model that does not compute them.
    drawn : int
        Number of words of thresholds that were taken since the streams started, in a network with stochastic neurons; else 0.
    """

    seed: int
    steps: int
    updates: int
    due: bool
    parameters: np.ndarray
    gradient: np.ndarray
    optimizer: dict[str, np.ndarray]
    baseline: Pass
    error_sum: np.ndarray
    probes: int
    counters: np.ndarray
    signature: tuple[int, int] | None = INITIAL
    drawn: int = 0

    def with_load(self, parameters: np.ndarray | None = None) -> State:
        """Return the state after the host has written parameters or run inference.

        A sample and a baseline are due; an open presentation is discarded, since it was measured on something else. No stream moves.
        """
        parameters = self.parameters if parameters is None else np.array(parameters, dtype=np.int64)
        return replace(self, due=True, parameters=parameters, error_sum=np.zeros_like(self.error_sum), probes=0)

    def with_clear(self) -> State:
        """Return the state after the host has cleared the counters; the counts of steps and updates continue."""
        return replace(self, counters=cleared(self.counters), signature=INITIAL)


def cleared(counters: np.ndarray) -> np.ndarray:
    """Return the counters after the host has cleared them; the counts of steps and updates stay."""
    return np.where(np.isin(COUNTERS, ("steps", "updates")), counters, 0)


def checked_parameters(spec: LearningSpec, parameters: np.ndarray, count: int) -> np.ndarray:
    """Return ``count`` raw parameters as a new array (int64, shape (count,)).

    Raises
    ------
    ValueError
        If there are more or fewer of them, or one is outside ``spec.parameter_limits``.
    """
    parameters, (low, high) = np.array(parameters, dtype=np.int64), spec.parameter_limits
    if parameters.shape != (count,):
        raise ValueError(f"Parameters must be of shape ({count},), not {parameters.shape!r}")
    if parameters.min() < low or parameters.max() > high:
        raise ValueError(f"Raw parameters must lie between {low} and {high}, not {parameters.min()} to {parameters.max()}")
    return parameters


def initial_state(spec: DesignSpec, parameters: np.ndarray, *, seed: int | None = None) -> State:
    """Return the state before step 0.

    Parameters
    ----------
    spec : DesignSpec
        Design whose machine starts: it determines shapes, limits and the default seed.
    parameters : array of int64, shape (P,)
        Initial θ, raw, in canonical order.
    seed : int or None
        Seed of the random streams; None takes the design's own.

    Raises
    ------
    ValueError
        If the parameters do not have that shape, or one is outside ``spec.parameter_limits``.
    """
    parameters = checked_parameters(spec, parameters, spec.network.n_parameters)
    neurons = np.zeros(spec.evaluations, dtype=np.int64)
    zero = np.zeros_like(parameters)
    seed = spec.perturbation.seed if seed is None else seed
    kept, baseline = {variable.name: zero for variable in spec.optimizer_state}, Pass(neurons, neurons, 0, 0)
    if spec.network.random:
        baseline = replace(baseline, thresholds=threshold_source(spec, seed).none())
    if spec.series:
        baseline = replace(baseline, state=neurons, outputs=np.zeros(spec.network.n_out, dtype=np.int64))
    sums = np.zeros(spec.quantities if spec.node else spec.network.n_neurons, dtype=np.int64)
    return State(seed, 0, 0, True, parameters, zero, kept, baseline, sums, 0, np.zeros(len(COUNTERS), dtype=np.int64))


def sample_number(spec: DesignSpec, step: int) -> int:
    """Return ⌊n/τ_x⌋, the number within the order of the sample that step n of an uninterrupted run takes."""
    return step // spec.schedule.sample_period


def measure(
    spec: DesignSpec, state: State, sample: Sample, signs: np.ndarray, direction: int, thresholds: np.ndarray | None = None
) -> Pass:
    """Return a pass with the perturbation ``direction``·s·Δ, and the number of activations out of range that it counts.

    ``thresholds`` are those of all neurons (shape (neurons, N)); without stochastic neurons, they may be left out.
    """
    z, y, outside = forward(spec, state.parameters, sample[0], sign=signs, direction=direction, thresholds=thresholds)
    counted = outside & evaluated(spec, signs, abs(direction)) if spec.node else outside
    measured = int(cost(*aligned(spec, y[-spec.network.n_out :], sample[1])))
    return Pass(z, y, measured, int(np.count_nonzero(counted)), thresholds=_none() if thresholds is None else thresholds)


def add_counts(counters: np.ndarray, added: Mapping[str, int], saturated: Mapping[str, int]) -> np.ndarray:
    """Return the counters after a step.

    Parameters
    ----------
    counters : array of int64, shape (len(COUNTERS),)
        Counters before the step.
    added : mapping of str to int
        Increase of counters except those of saturations, by name; one that is not among them does not change.
    saturated : mapping of str to int
        Numbers of values out of range, by the kind of their cast; a kind that is not among them has none.
    """
    increase = {**added, **{f"saturated_{kind}": saturated.get(kind, 0) for kind in SATURATION_KINDS}}
    return np.minimum(counters + [increase.get(name, 0) for name in COUNTERS], COUNTER_LIMITS)


def known_signature(signature: tuple[int, int] | None) -> tuple[int, int]:
    """Return the signatures of a state.

    Raises
    ------
    ValueError
        If a faster model left them out.
    """
    if signature is None:
        raise ValueError("Signatures of the state must be known, not left out earlier; clear them, or train with signatures throughout")
    return signature


@lru_cache(maxsize=8)
def sign_source(spec: LearningSpec, seed: int) -> SignSource:
    """Return the source of the sign vectors of a design, one for all steps of a run."""
    return SignSource(spec, seed)


@lru_cache(maxsize=8)
def rounding_source(spec: LearningSpec, seed: int) -> StochasticSource:
    """Return the source of the stochastic words of a design, one for all steps of a run."""
    return StochasticSource(spec, seed)
