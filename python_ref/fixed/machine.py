"""The whole algorithm on one page: multiplexed gradient descent in raw integers, bit for bit what the hardware computes.

McCaughan et al., APL Machine Learning 1, 026118 (2023), describe weight perturbation, and Oripov et al., APL Machine Learning 3,
026107 (2025), node perturbation. The symbols are theirs: θ parameters, s signs, Δ amplitude, C cost, C̃ its change,
G the correlation of s with C̃, η the learning rate, τ_p, τ_x and τ_θ the periods of perturbation, sample and update.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from python_ref.fixed.cost import correct, cost
from python_ref.fixed.network import forward
from python_ref.fixed.perturbation import SignSource, StochasticSource
from python_ref.fixed.signature import INITIAL, extend
from python_ref.spec.design import SATURATION_KINDS, Cast, DesignSpec
from python_ref.spec.number import Fixed, cast_raw
from python_ref.spec.probes import COUNTERS, probes

__all__ = ["Pass", "Sample", "State", "initial_state", "sample_number", "step"]

Sample = tuple[np.ndarray, np.ndarray]
"""Raw inputs (int64, shape (n_in,)) and raw targets (int64, shape (n_out,))."""

COUNTER_LIMITS = np.array([2**48 - 1 if name in ("writes", "changed") else 2**32 - 1 for name in COUNTERS], dtype=np.int64)
"""Value at which each counter stops."""

_signs = lru_cache(maxsize=8)(SignSource)
_stochastic_words = lru_cache(maxsize=8)(StochasticSource)


@dataclass(frozen=True, eq=False)
class Pass:
    """Result of one pass through the network: z and y of every neuron, C, and the number of activations out of range."""

    preactivation: np.ndarray
    activation: np.ndarray
    cost: int
    saturated: int


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
        Whether the next step takes a new sample and a new baseline regardless of the schedule.
    parameters, gradient : array of int64, shape (P,)
        θ and G, raw, in canonical order; G stays zero in a design without it.
    optimizer : dict of str to array of int64, shape (P,)
        Values of the optimiser's state variables, raw, in canonical order, by their names in ``spec.optimizer_state``.
    baseline : Pass
        Current unperturbed pass, if the difference is one-sided.
    counters : array of int64, shape (len(COUNTERS),)
        Values of the counters, in the order of ``COUNTERS``.
    signature : (int, int) or None
        Forward and learned running signatures, if the design has them; None after steps of a faster model that does not compute them.
    """

    seed: int
    steps: int
    updates: int
    due: bool
    parameters: np.ndarray
    gradient: np.ndarray
    optimizer: dict[str, np.ndarray]
    baseline: Pass
    counters: np.ndarray
    signature: tuple[int, int] | None = INITIAL

    def with_load(self, parameters: np.ndarray | None = None) -> State:
        """Return the state after the host has written parameters or run inference, so that a sample and a baseline are due."""
        return replace(self, due=True, parameters=self.parameters if parameters is None else np.array(parameters, dtype=np.int64))

    def with_clear(self) -> State:
        """Return the state after the host has cleared the counters; the counts of steps and updates continue."""
        return replace(self, counters=np.where(np.isin(COUNTERS, ("steps", "updates")), self.counters, 0), signature=INITIAL)


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
    parameters, (low, high) = np.array(parameters, dtype=np.int64), spec.parameter_limits
    if parameters.shape != (spec.network.n_parameters,):
        raise ValueError(f"Parameters must be of shape ({spec.network.n_parameters},), not {parameters.shape!r}")
    if parameters.min() < low or parameters.max() > high:
        raise ValueError(f"Raw parameters must lie between {low} and {high}, not {parameters.min()} to {parameters.max()}")
    neurons = np.zeros(spec.network.n_neurons, dtype=np.int64)
    zero = np.zeros_like(parameters)
    seed = spec.perturbation.seed if seed is None else seed
    kept, baseline = {variable.name: zero for variable in spec.optimizer_state}, Pass(neurons, neurons, 0, 0)
    return State(seed, 0, 0, True, parameters, zero, kept, baseline, np.zeros(len(COUNTERS), dtype=np.int64))


def sample_number(spec: DesignSpec, step: int) -> int:
    """Return ⌊n/τ_x⌋, the number within the order of the sample that step n of an uninterrupted run takes."""
    return step // spec.schedule.sample_period


def step(spec: DesignSpec, state: State, sample: Sample) -> tuple[State, dict[str, np.ndarray]]:
    """Compute one training step.

    Parameters
    ----------
    spec : DesignSpec
        Design being simulated, with its network, schedule and formats.
    state : State
        State before the step; it is not modified.
    sample : (array of int64, array of int64)
        Current sample, which must stay the same until the schedule or ``state.due`` requires a new one.

    Returns
    -------
    (State, dict of arrays)
        The state after the step, and its observables, with the names, shapes and formats of ``probes(spec)``.
    """
    n, schedule, layout = state.steps, spec.schedule, spec.layout
    inputs, targets = sample
    new_sample = state.due or n % schedule.sample_period == 0
    update_due = (n + 1) % schedule.update_period == 0

    # The perturbation: sign vector number p of the code.
    signs = _signs(spec, state.seed).signs(n // schedule.perturbation_period)
    s = signs[layout.parameter_neuron].astype(np.int64) if spec.node else signs.astype(np.int64)

    # The measurement: two passes, or one if the current baseline is still valid.
    baseline_due = spec.two_sided or new_sample or n % schedule.update_period == 0
    first, second = _measure(spec, state, sample, signs, baseline_due)
    difference = first.cost - second.cost if spec.two_sided else second.cost - first.cost
    counted = {"activation": first.saturated + second.saturated}
    change, outside = _cast(difference, spec.cost_difference_format, spec.cost_change_format, spec.formats.cost_change_cast)
    counted["cost_change"] = int(outside)

    # The broadcast: scaled and narrowed once; every parameter receives the g of its word of the pass.
    g, outside = _broadcast(spec, change, inputs, first.activation, spec.exponent_at(n))
    counted["broadcast"] = int(layout.word_lanes @ outside)
    words = _stochastic_words(spec, state.seed).words(state.updates) if update_due else np.zeros(layout.words, dtype=np.int64)

    # The correlation, and the update if it is due.
    learned = _learn(spec, state, s, g, words, update_due)
    counted |= learned.saturated

    added = {
        "steps": 1,
        "updates": int(update_due),
        "correct": int(new_sample and correct(spec, first.activation[-spec.network.n_out :], targets)),
        "writes": update_due * spec.network.n_parameters,
        "changed": int(np.count_nonzero(learned.parameters != state.parameters)),
        **{f"saturated_{kind}": counted.get(kind, 0) for kind in SATURATION_KINDS},
    }
    counters = np.minimum(state.counters + [added[name] for name in COUNTERS], COUNTER_LIMITS)
    observed = {
        "preactivation": np.stack((first.preactivation, second.preactivation)),
        "activation": np.stack((first.activation, second.activation)),
        "cost": np.array((first.cost, second.cost)),
        "cost_change": np.array((int(change),)),
        "broadcast": learned.broadcast,
        "sign": s,
        "gradient": learned.gradient,
        **learned.optimizer,
        "parameter": learned.parameters,
        "counter": counters,
    }
    signature = _sign(spec, state.signature, observed, (0, 1) if baseline_due else (1,))
    after = replace(
        state,
        steps=n + 1,
        updates=state.updates + update_due,
        due=False,
        parameters=learned.parameters,
        gradient=np.zeros_like(learned.gradient) if update_due else learned.gradient,
        optimizer=learned.optimizer,
        baseline=replace(first, saturated=0),
        counters=counters,
        signature=signature,
    )
    return after, {probe.name: observed[probe.name] for probe in probes(spec)}


def _measure(spec: DesignSpec, state: State, sample: Sample, signs: np.ndarray, baseline_due: bool) -> tuple[Pass, Pass]:
    """Return the pass of C₀, new or current, and that of C₊; if the difference is two-sided, those of C₊ and C₋."""

    def measured(direction: int) -> Pass:
        z, y, saturated = forward(spec, state.parameters, sample[0], sign=signs, direction=direction)
        return Pass(z, y, int(cost(y[-spec.network.n_out :], sample[1])), saturated)

    if spec.two_sided:
        return measured(+1), measured(-1)
    return measured(0) if baseline_due else state.baseline, measured(+1)


@dataclass(frozen=True, eq=False)
class _Learned:
    """Result of a correlation.

    It consists of the broadcast (g, or u for a direct update), G before it is cleared, the optimiser's state, θ, and the numbers of values
    out of range, by kind.
    """

    broadcast: np.ndarray
    gradient: np.ndarray
    optimizer: dict[str, np.ndarray]
    parameters: np.ndarray
    saturated: dict[str, int]


def _learn(spec: DesignSpec, state: State, s: np.ndarray, g: np.ndarray, words: np.ndarray, update_due: bool) -> _Learned:
    """Correlate, G ← saturate(G + s·g); if the update is due, θ ← saturate(θ − u), u = cast_weight(source), with the optimiser's source.

    A direct update is u = cast_weight(g), rounded once before the sign is applied: θ ← saturate(θ − s·u).
    """
    layout, cast = spec.layout, spec.formats.weight_cast
    parameters, gradient, optimizer, saturated = state.parameters, state.gradient, state.optimizer, {}
    if spec.direct_update:
        g, outside = _cast(g, spec.gradient_format, spec.update_format, cast, words)
        update, saturated["update"] = s * g[layout.parameter_word], int(layout.word_lanes @ outside)
    else:
        gradient = gradient + s * g[layout.parameter_word]
        gradient, saturated["gradient"] = _saturate(gradient, spec.gradient_format.min, spec.gradient_format.max)
        if update_due:
            word = words[layout.parameter_word]
            moved = spec.optimizer.step(spec.gradient_format, optimizer, gradient, word, state.updates)
            optimizer = moved.state
            saturated |= {name: int(np.count_nonzero(outside)) for name, outside in moved.outside.items()}
            update, outside = _cast(moved.source, spec.update_source_format, spec.update_format, cast, word)
            saturated["update"] = int(np.count_nonzero(outside))
    if update_due:
        parameters, saturated["weight"] = _saturate(parameters - update, *spec.parameter_limits)
    return _Learned(g, gradient, optimizer, parameters, saturated)


def _sign(
    spec: DesignSpec, signature: tuple[int, int] | None, observed: dict[str, np.ndarray], passes: tuple[int, ...]
) -> tuple[int, int] | None:
    """Add the observables to the running signatures, if the design has them; return the signatures and record them in ``observed``."""
    if not spec.hardware.signature:
        return signature
    if signature is None:
        raise ValueError("Signatures of the state must be known, not left out earlier; clear them, or train with signatures throughout")
    signature = extend(spec, signature, observed, passes)
    observed["signature"] = np.array(signature)
    return signature


def _cast(raw: np.ndarray | int, source: Fixed, target: Fixed, cast: Cast, word: np.ndarray | int = 0) -> tuple[np.ndarray, np.ndarray]:
    return cast_raw(raw, source, target, cast.rounding, cast.overflow, word)


def _saturate(raw: np.ndarray, low: int, high: int) -> tuple[np.ndarray, int]:
    """Clip values to low … high; return them and the number that were outside."""
    kept = np.clip(raw, low, high)
    return kept, int(np.count_nonzero(kept != raw))


def _broadcast(
    spec: DesignSpec, change: np.ndarray, inputs: np.ndarray, activations: np.ndarray, exponent: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return g of each word of a pass, and where it was out of range (shape (layout.words,)).

    g = cast_gradient(2ᵉ·C̃·x), where x is the input that the word's weights multiply; x = 1 for biases, and for every word in
    weight perturbation.
    """
    parts, first = [], 0
    for number, placed in enumerate(spec.layout.layers):
        operand = spec.operand_format(number)
        if spec.node:
            product = change * np.concatenate(
                ([1 << operand.fraction_bits], inputs if number == 0 else activations[first : first + placed.layer.n_in])
            )
            first += placed.layer.n_in if number else 0
        else:
            product = np.repeat(change, placed.group_words)
        source = spec.product_format(operand if spec.node else None).scaled(exponent)
        narrowed = _cast(product, source, spec.gradient_format, spec.formats.gradient_cast)
        parts.append([np.tile(part, placed.groups) for part in narrowed])
    return np.concatenate([g for g, _ in parts]), np.concatenate([outside for _, outside in parts])
