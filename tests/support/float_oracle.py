"""Multiplexed gradient descent in real numbers, once more, from the paper's equations: one sample at a time, a loop over the layers.

An oracle for :mod:`python_ref.floating`, with which it shares nothing: no network, no activation, no code, no optimiser. From a design
it takes what the design file says, and where a parameter sits in the hardware. All of it is float64.

References: McCaughan et al., APL Machine Learning 1, 026118 (2023); Oripov et al., APL Machine Learning 3, 026107 (2025).
We depart from their code in two things: η is the rate of the unbiased estimator s·C̃/Δ (theirs is P times larger), and
C has no 1/n.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from python_ref.spec.design import DesignSpec
from tests.support.probe_oracle import round_of

__all__ = ["State", "correct", "cost", "evaluate", "forward", "initial_state", "signs", "step"]

FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda z: np.where(z > 0, z, 0.0),
    "leaky-relu": lambda z: np.where(z > 0, z, z / 8),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "hard-sigmoid": lambda z: np.minimum(np.maximum(z / 4 + 1 / 2, 0.0), 1.0),
    "tanh": lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
    "identity": lambda z: z,
    "sign": lambda z: np.where(z < 0, -1.0, 1.0),
}
"""The activations, by their names in a design file."""


# -- The code s -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _independent(spec: DesignSpec, seed: int, block: int) -> np.ndarray:
    """Bits of numpy's PCG64: a block of 2¹⁸ // D rows of D bits, quantity by quantity as the compiled loops store them."""
    rows = max(1, 2**18 // spec.quantities)
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(block,))))
    packed = int.from_bytes(random.bytes(-(-rows * spec.quantities // 8)), "big")
    digits = f"{packed:0{8 * -(-rows * spec.quantities // 8)}b}"[: rows * spec.quantities]
    return np.array(list(digits), dtype=np.int64).reshape(rows, spec.quantities)


def _places(spec: DesignSpec) -> list[int]:
    """Where each parameter, in canonical order, is stored when each layer is stored input by input, its biases first."""
    places, before = [], 0
    for n_in, n_out in zip(spec.network.sizes, spec.network.sizes[1:], strict=False):
        places += [before + k * n_out + neuron for neuron in range(n_out) for k in range(n_in + 1)]
        before += n_out * (n_in + 1)
    return places


def signs(spec: DesignSpec, seed: int, p: int, code: str | None = None) -> np.ndarray:
    """s number ``p`` (float64, shape (quantities,)) of the neurons or parameters in canonical order.

    ``code`` is the name of a code in place of the design's: "lfsr" (independent random signs), "walsh", "walsh-gray",
    "sequential" or "sinusoidal".
    """
    count, name = spec.quantities, code or spec.perturbation.code.name
    index = range(count) if spec.node else spec.layout.parameter_order.tolist()
    if name == "lfsr":
        block, row = divmod(p, max(1, 2**18 // count))
        bits = _independent(spec, seed, block)[row]
        return np.array([1.0 - 2.0 * bits[place] for place in (range(count) if spec.node else _places(spec))])
    if name in ("walsh", "walsh-gray"):
        size = 1
        while size <= count:
            size *= 2
        row = p % size
        if name == "walsh-gray":  # the binary number whose bits are those of the row, each added to the next higher one
            row = sum(1 << bit for bit in range(row.bit_length()) if (row >> bit & 1) != (row >> bit + 1 & 1))
        return np.array([(-1.0) ** ((i + 1) & row).bit_count() for i in index])
    if name == "sequential":
        return np.array([1.0 if i == p % count else 0.0 for i in index])
    if name == "sinusoidal":  # no hardware has it, so its index is the canonical one
        return np.array([math.sqrt(2) * math.sin(math.pi * (i + 1) * p / (count + 1)) for i in range(count)])
    raise ValueError(f"The oracle has no code {name!r}")


def _within_part(spec: DesignSpec, s: np.ndarray, n: int) -> np.ndarray:
    """s of step ``n``, with 0 at the neurons outside of the part that its probe perturbs."""
    if spec.perturbation.parts is None:
        return s
    order = round_of(spec.perturbation.parts)
    first, last = order[n % len(order)]
    layer_of = np.repeat(np.arange(len(spec.network.sizes) - 1), spec.network.sizes[1:])
    return np.where((first <= layer_of) & (layer_of <= last), s, 0.0)


# -- The network and its cost ---------------------------------------------------------------------------------------


def _layers(spec: DesignSpec, parameters: np.ndarray) -> list[np.ndarray]:
    """W of each layer, the bias in column 0."""
    found, rest = [], parameters
    for n_in, n_out in zip(spec.network.sizes, spec.network.sizes[1:], strict=False):
        found.append(rest[: n_out * (n_in + 1)].reshape(n_out, n_in + 1))
        rest = rest[n_out * (n_in + 1) :]
    return found


def forward(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray, shift: np.ndarray | float = 0.0) -> list[np.ndarray]:
    """The inputs (shape (n_in,)), then the activations of every layer, perturbed by ``shift``: sΔ, 0 or −sΔ (shape (quantities,))."""
    shift = np.zeros(spec.quantities) + shift
    values, first = [np.asarray(inputs, dtype=np.float64)], 0
    weights = _layers(spec, parameters if spec.node else parameters + shift)
    for number, each in enumerate(weights):
        z = np.array([row[0] + math.fsum(row[1:] * values[-1]) for row in each])
        if spec.node:
            z = z + shift[first : first + len(z)]
            first += len(z)
        name = spec.network.output if number == len(weights) - 1 else spec.network.hidden
        values.append(FUNCTIONS[name.value](z))
    return values


def cost(outputs: np.ndarray, targets: np.ndarray) -> float:
    """C = Σₖ(yₖ − y*ₖ)²."""
    return sum((y - t) ** 2 for y, t in zip(outputs.tolist(), np.asarray(targets, dtype=np.float64).tolist(), strict=True))


def correct(outputs: np.ndarray, targets: np.ndarray) -> bool:
    """Whether the answer is right: the largest output, lowest index first; of a single output, y ≥ ½."""
    y, t = outputs.tolist(), targets.tolist()
    return (y[0] >= 0.5) == (t[0] >= 0.5) if len(y) == 1 else y.index(max(y)) == t.index(max(t))


def evaluate(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Accuracy and mean cost of the unperturbed network over samples (shapes (n, n_in), (n, n_out))."""
    answers = [forward(spec, parameters, x)[-1] for x in inputs]
    right = [correct(answer, target) for answer, target in zip(answers, targets, strict=True)]
    return sum(right) / len(right), sum(cost(answer, target) for answer, target in zip(answers, targets, strict=True)) / len(right)


# -- The machine ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """Everything that outlives a step.

    Attributes
    ----------
    parameters, gradient, momentum, square : array of float64, shape (P,)
        θ; G, a sum since the last update, times the rate; m; v.
    baseline : float or None
        C₀ in force; None before it is measured.
    values : list of arrays
        Inputs and activations of the pass that is correlated: the unperturbed one, or the + pass.
    steps, evaluations, writes : int
        Steps, forward passes, and parameters written so far; ``steps`` is n.
    seed : int
        Of the random code.
    """

    parameters: np.ndarray
    gradient: np.ndarray
    momentum: np.ndarray
    square: np.ndarray
    baseline: float | None
    values: list[np.ndarray]
    steps: int
    evaluations: int
    writes: int
    seed: int


def initial_state(spec: DesignSpec, parameters: np.ndarray, seed: int | None = None) -> State:
    """The state before step 0; ``seed`` in place of the design's own."""
    zero = np.zeros(len(parameters))
    return State(
        np.array(parameters, dtype=np.float64), zero, zero, zero, None, [], 0, 0, 0, spec.perturbation.seed if seed is None else seed
    )


def _eligibility(spec: DesignSpec, s: np.ndarray, values: list[np.ndarray]) -> np.ndarray:
    """What each parameter multiplies η·C̃/Δ with: s, in node perturbation times its input (1 for a bias)."""
    if not spec.node:
        return s
    found, neuron = [], 0
    for n_out, x in zip(spec.network.sizes[1:], values, strict=False):
        for _ in range(n_out):
            found += [s[neuron], *(s[neuron] * x)]
            neuron += 1
    return np.array(found)


def step(
    spec: DesignSpec, state: State, sample: tuple[np.ndarray, np.ndarray], *, s: np.ndarray | None = None
) -> tuple[State, dict[str, Any]]:
    """One step of the algorithm on a sample (x, y*), with ``s`` in place of the design's own code, of which parts are still taken in turn.

    Beside the state after the step it gives ``output`` (y of the first pass run), ``cost`` (C₀ and C₊, or C₊ and C₋), ``cost_change``
    (C̃), ``sign`` (s), and ``gradient`` (G before an update clears it).
    """
    n, schedule, (x, target) = state.steps, spec.schedule, sample
    delta = 2.0**spec.perturbation.amplitude_log2
    rate = 2.0 ** [rate for start, rate in schedule.learning_rate if start <= n][-1]
    if s is None:
        s = signs(spec, state.seed, n // schedule.perturbation_period)
    s = _within_part(spec, s, n)

    plus = forward(spec, state.parameters, x, s * delta)
    if schedule.difference.value == "two-sided":
        minus = forward(spec, state.parameters, x, -s * delta)
        values, passes, output = plus, 2, plus[-1]
        first, second = cost(plus[-1], target), cost(minus[-1], target)
        change, slope = first - second, (first - second) / (2 * delta)
    else:
        values, passes, first, output = state.values, 1, state.baseline, plus[-1]
        if first is None or n % schedule.sample_period == 0 or n % schedule.update_period == 0:
            values, passes = forward(spec, state.parameters, x), 2
            first, output = cost(values[-1], target), values[-1]
        second = cost(plus[-1], target)
        change, slope = second - first, (second - first) / delta

    gradient = state.gradient + rate * slope * _eligibility(spec, s, values)
    seen = {"output": output, "cost": (first, second), "cost_change": change, "sign": s, "gradient": gradient}
    after = replace(state, gradient=gradient, values=values, baseline=first, steps=n + 1, evaluations=state.evaluations + passes)
    if (n + 1) % schedule.update_period == 0:
        momentum = move = gradient
        if spec.optimizer.name in ("momentum", "nesterov"):
            beta = 1 - 1 / 2**spec.optimizer.k
            momentum = move = beta * state.momentum + gradient
            if spec.optimizer.name == "nesterov":
                move = beta * momentum + gradient
        elif spec.optimizer.name == "shift-adam":
            slopes = gradient / rate  # the rate is the same in all steps of an update
            t, beta1, beta2 = (n + 1) // schedule.update_period, 1 - 1 / 2**spec.optimizer.k1, 1 - 1 / 2**spec.optimizer.k2
            momentum = beta1 * state.momentum + (1 - beta1) * slopes
            square = beta2 * state.square + (1 - beta2) * slopes**2
            move = rate * momentum / (1 - beta1**t) / (np.sqrt(square / (1 - beta2**t)) + 1e-8)
            after = replace(after, square=square)
        elif spec.optimizer.name != "sgd":
            raise ValueError(f"The oracle has no optimiser {spec.optimizer.name!r}")
        after = replace(after, parameters=state.parameters - move, momentum=momentum, gradient=0 * gradient)
        after = replace(after, writes=state.writes + len(move))
    return after, seen
