"""Multiplexed gradient descent in real numbers, written from the paper's equations: what the fixed-point machine is measured against.

It shares the description of a design with the fixed model (sizes, periods, rates, where a parameter stands) and no
arithmetic: no casts, no tables, no shift register. Random signs come from numpy's PCG64. All in float64, since this
model is there to have no number format: in float32 the difference of two costs would lose what a small amplitude gives.

References: McCaughan et al., APL Machine Learning 1, 026118 (2023); Oripov et al., APL Machine Learning 3, 026107 (2025).
We depart from their code in two things: η is the rate of the unbiased estimator s·C̃/Δ (theirs is P times larger), and
C has no 1/n.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from python_ref.parameters import join_parameters, split_parameters
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.optimizer import Momentum, Sgd
from python_ref.spec.perturbation import LfsrCode, SequentialCode, WalshCode, WalshGrayCode

__all__ = [
    "SinusoidalCode",
    "State",
    "correct",
    "evaluate",
    "forward",
    "initial_state",
    "outputs",
    "sign_block",
    "signs",
    "step",
]

BLOCK_VALUES = 1 << 18
"""About how many signs are drawn at once."""


@dataclass(frozen=True)
class SinusoidalCode:
    """Analog perturbation, for the float model only: s_i(p) = √2·sin(2π·i·p/T), i = 1 … P the index, T = 2·(P + 1).

    Orthogonal over a period T, with mean square 1. All s_i are odd in p, so that the product of any three sums to zero:
    a one-sided difference collects no curvature. To use it, put it in place of a design's code with
    ``dataclasses.replace``; no design file can name it.
    """

    name = "sinusoidal"


# -- The code s -----------------------------------------------------------------------------------------------------


def storage_order(spec: DesignSpec) -> np.ndarray:
    """Canonical index of each parameter (int64, shape (P,)) when they are stored input by input: a layer's biases, then
    the weights of input 0 to all its neurons, and so on. The order of the fast model."""
    parts, first = [], 0
    for layer in spec.network.layers:
        parts.append(first + np.arange(layer.n_parameters).reshape(layer.n_out, layer.n_in + 1).T.ravel())
        first += layer.n_parameters
    return np.concatenate(parts)


@lru_cache(maxsize=16)
def _positions(spec: DesignSpec) -> tuple[np.ndarray, np.ndarray]:
    """Hardware index of each quantity in the order of :func:`sign_block`; place there of each in canonical order."""
    quantity = np.arange(spec.quantities)
    if spec.node:
        return quantity, quantity
    stored = storage_order(spec)
    return spec.layout.parameter_order[stored], np.argsort(stored)


def block_length(spec: DesignSpec) -> int:
    """Values of p in a block of signs."""
    return max(1, BLOCK_VALUES // spec.quantities)


@lru_cache(maxsize=2)
def sign_block(spec: DesignSpec, seed: int, block: int) -> np.ndarray:
    """The code for the p from ``block`` times :func:`block_length` on.

    Returns
    -------
    array of float64, shape (block_length, quantities), read-only
        Neurons in canonical order, or parameters in :func:`storage_order`.
    """
    shape = block_length(spec), spec.quantities
    p = block * shape[0] + np.arange(shape[0])[:, None]
    index, _ = _positions(spec)
    s: np.ndarray
    kind: type = type(spec.perturbation.code)  # exactly: a code derived from another one is not that one
    if kind is LfsrCode:
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(block,))))
        bits = np.unpackbits(np.frombuffer(random.bytes(-(-shape[0] * shape[1] // 8)), np.uint8), count=shape[0] * shape[1])
        s = bits.reshape(shape).astype(np.float64)
        s *= -2.0
        s += 1.0
    elif kind in (WalshCode, WalshGrayCode):
        row = p % (1 << int(spec.quantities).bit_length())
        odd = (index + 1) & (row ^ row >> 1 if kind is WalshGrayCode else row)
        for shift in (32, 16, 8, 4, 2, 1):
            odd ^= odd >> shift
        s = 1.0 - 2.0 * (odd & 1)
    elif kind is SequentialCode:
        s = (index == p % spec.quantities).astype(np.float64)
    elif kind is SinusoidalCode:
        turns = (index + 1) * p / (2.0 * (spec.quantities + 1))
        s = np.sqrt(2.0) * np.sin(2 * np.pi * turns)
    else:
        raise unknown("Code", spec.perturbation.code, "python_ref.float_machine.sign_block")
    s.setflags(write=False)
    return s


def signs(spec: DesignSpec, seed: int, p: int) -> np.ndarray:
    """s number ``p`` (float64, shape (quantities,)), of the neurons or parameters in canonical order."""
    block, row = divmod(p, block_length(spec))
    return sign_block(spec, seed, block)[row, _positions(spec)[1]]


# -- The network and its cost ---------------------------------------------------------------------------------------


def forward(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray, shift: np.ndarray | float = 0.0) -> list[np.ndarray]:
    """One pass through the network, perturbed by ``shift``, which is sΔ, 0 or −sΔ (shape (quantities,)).

    Parameters
    ----------
    spec : DesignSpec
        Design.
    parameters : array of float64, shape (P,)
        θ in canonical order.
    inputs : array of float64, shape (n_in,) or (n, n_in)
        x.

    Returns
    -------
    list of arrays of float64
        The inputs, then the activations of every layer.
    """
    shift = np.broadcast_to(shift, spec.quantities)
    if not spec.node:
        parameters = parameters + shift
    x, values, first = inputs, [inputs], 0
    for layer, (weights, biases) in zip(spec.network.layers, split_parameters(spec, parameters), strict=True):
        z = x @ weights.T + biases
        if spec.node:
            z = z + shift[first : first + layer.n_out]
        x = layer.activation.activate(z)
        values.append(x)
        first += layer.n_out
    return values


def cost(outputs: np.ndarray, targets: np.ndarray) -> Any:
    """C = Σₖ(yₖ − y*ₖ)² over the last axis."""
    return np.sum((outputs - targets) ** 2, axis=-1)


def correct(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Whether the answer is right: the largest output, lowest index first; of a single output, y ≥ ½."""
    if outputs.shape[-1] == 1:
        return (outputs[..., 0] >= 0.5) == (targets[..., 0] >= 0.5)
    return outputs.argmax(axis=-1) == targets.argmax(axis=-1)


def outputs(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Outputs (float64, shape (n, n_out)) of the unperturbed network to inputs (shape (n, n_in))."""
    parts = [forward(spec, parameters, inputs[first : first + 4096].astype(np.float64))[-1] for first in range(0, len(inputs), 4096)]
    return np.concatenate(parts)


def evaluate(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Accuracy and mean cost of the unperturbed network over samples (shapes (n, n_in), (n, n_out))."""
    found = outputs(spec, parameters, inputs)
    return int(np.count_nonzero(correct(found, targets))) / len(inputs), float(cost(found, targets).sum()) / len(inputs)


# -- The machine ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """Everything that outlives a step.

    Attributes
    ----------
    parameters, gradient, momentum : array of float64, shape (P,)
        θ; G, a sum since the last update; m.
    baseline : float
        C₀ in force.
    values : list of arrays
        Inputs and activations of the pass that is correlated: the baseline's, or the + pass's.
    baseline_due : bool
        Whether the baseline must be measured whatever the schedule says: after a load.
    steps, evaluations, writes : int
        Steps, forward passes, and parameters written so far; ``steps`` is n.
    seed : int
        Of the random code.
    """

    parameters: np.ndarray
    gradient: np.ndarray
    momentum: np.ndarray
    baseline: float
    values: tuple[np.ndarray, ...]
    baseline_due: bool
    steps: int
    evaluations: int
    writes: int
    seed: int


def initial_state(spec: DesignSpec, parameters: np.ndarray, seed: int | None = None) -> State:
    """The state before step 0; ``seed`` in place of the design's own."""
    zero = np.zeros(spec.network.n_parameters)
    seed = spec.perturbation.seed if seed is None else seed
    theta = np.array(parameters, dtype=np.float64)
    if theta.shape != zero.shape:
        raise ValueError(f"Number of parameters must be {zero.size}, not {theta.shape!r}")
    return State(theta, zero, zero, 0.0, (), True, 0, 0, 0, seed)


def _eligibility(spec: DesignSpec, s: np.ndarray, values: tuple[np.ndarray, ...]) -> np.ndarray:
    """What each parameter multiplies the broadcast with: s, in node perturbation times its input (1 for a bias)."""
    if not spec.node:
        return s
    parts, first = [], 0
    for layer, x in zip(spec.network.layers, values, strict=False):
        own = s[first : first + layer.n_out]
        parts.append((np.outer(own, x), own))
        first += layer.n_out
    return join_parameters(parts)


def step(
    spec: DesignSpec, state: State, sample: tuple[np.ndarray, np.ndarray], *, s: np.ndarray | None = None
) -> tuple[State, dict[str, np.ndarray]]:
    """One step of the algorithm.

    Parameters
    ----------
    spec : DesignSpec
        Design.
    state : State
        Before the step.
    sample : (array, shape (n_in,); array, shape (n_out,))
        x and y*: number ⌊n/τ_x⌋ of the order.
    s : array of float64, shape (quantities,), or None
        In place of the design's own code.

    Returns
    -------
    State, dict
        After the step, and what was seen: ``output`` (y of the first pass run), ``cost`` (C₀ and C₊, or C₊ and C₋),
        ``cost_change`` (C̃), ``sign`` (s), ``gradient`` (G before an update clears it).
    """
    n, schedule = state.steps, spec.schedule
    x, target = (np.asarray(part, dtype=np.float64) for part in sample)
    delta = 2.0**spec.perturbation.amplitude_log2
    rate = 2.0 ** schedule.rate_at(n)
    if s is None:
        s = signs(spec, state.seed, n // schedule.perturbation_period)

    plus = forward(spec, state.parameters, x, s * delta)
    if spec.two_sided:
        minus = forward(spec, state.parameters, x, -s * delta)
        values, passes, output = tuple(plus), 2, plus[-1]
        first, second, span = cost(plus[-1], target), cost(minus[-1], target), 2 * delta
        cost_change = first - second
    else:
        values, passes, first, output = state.values, 1, state.baseline, plus[-1]
        if state.baseline_due or n % schedule.sample_period == 0 or n % schedule.update_period == 0:
            values, passes = tuple(forward(spec, state.parameters, x)), 2
            first, output = cost(values[-1], target), values[-1]
        second, span = cost(plus[-1], target), delta
        cost_change = second - first

    gradient = state.gradient + rate * cost_change / span * _eligibility(spec, s, values)
    seen = {"output": output, "cost": np.array([first, second]), "cost_change": np.array([cost_change]), "sign": s, "gradient": gradient}
    after = replace(state, gradient=gradient, values=values, baseline=float(first), baseline_due=False, steps=n + 1)
    after = replace(after, evaluations=state.evaluations + passes)
    if (n + 1) % schedule.update_period == 0:
        momentum, move = state.momentum, gradient
        if type(spec.optimizer) is Momentum:
            momentum = move = state.momentum - state.momentum * 2.0**-spec.optimizer.k + gradient
        elif type(spec.optimizer) is not Sgd:
            raise unknown("Optimizer", spec.optimizer, "python_ref.float_machine.step")
        after = replace(after, parameters=state.parameters - move, momentum=momentum, gradient=np.zeros_like(gradient))
        after = replace(after, writes=state.writes + len(move))
    return after, seen
