"""Batches of steps with constant θ: between two updates, the steps of a node-perturbed machine are matrix products.

Sums of integers are exact in float64 as long as they stay below 2⁵³, whatever their order, so BLAS can compute them. If a
correlation could saturate within the batch, the caller must use the step-by-step model instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from python_ref.fixed.cost import correct, cost
from python_ref.fixed.machine import COUNTER_LIMITS, Pass, State
from python_ref.fixed.network import activate
from python_ref.parameters import split_parameters
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.number import Overflow, Rounding, cast_raw
from python_ref.spec.probes import COUNTERS

__all__ = ["accumulate", "batchable"]

EXACT_BITS = 53


def batchable(spec: DesignSpec) -> bool:
    """Whether steps without an update can be taken in batches: G has a memory, and all sums are exact in float64."""
    if not spec.node or not spec.gradient_memory:
        return False
    layers = range(len(spec.network.layers))
    formats = [spec.preactivation_format(layer) for layer in layers] + [spec.product_format(spec.operand_format(layer)) for layer in layers]
    return max(form.width for form in [*formats, spec.gradient_format]) < EXACT_BITS


def accumulate(
    spec: DesignSpec, state: State, inputs: np.ndarray, targets: np.ndarray, indices: np.ndarray, signs: np.ndarray
) -> tuple[State, np.ndarray, np.ndarray] | None:
    """Take steps in which no update is due and the learning rate is constant; equivalent to as many calls of ``machine.step``.

    Parameters
    ----------
    spec : DesignSpec
        Design being simulated; :func:`batchable` must hold for it.
    state : State
        State before the steps. Signatures are not computed.
    inputs, targets : arrays of int64, shapes (samples, n_in) and (samples, n_out)
        Data set in raw integers, a row per sample; ``indices`` refers to its rows.
    indices : array of int64, shape (steps,)
        Sample of each step.
    signs : array of int8, shape (steps, neurons)
        Sign vector of each step.

    Returns
    -------
    (State, array of int64, array of int64) or None
        The state after the steps; C of pass 0 and 1 of each step (shape (steps, 2)); and for each step (shape (steps,)) 1 or 0 if the
        answer to a new sample is right or wrong, −1 if the sample is not new. None if a correlation could saturate or wrap in between.
    """
    n, schedule, n_out = state.steps + np.arange(len(indices)), spec.schedule, spec.network.n_out
    parts = [(weights.T.astype(np.float64), biases) for weights, biases in split_parameters(spec, state.parameters)]
    counted = dict.fromkeys(COUNTERS, 0)
    new = n % schedule.sample_period == 0
    new[0] |= state.due
    rows = np.flatnonzero(new | (n == n[0]))  # the first step, and those that begin with a new sample
    row = np.cumsum(new | (n == n[0])) - 1
    baseline_due = bool(new[0] or n[0] % schedule.update_period == 0)
    x, target = inputs[indices].astype(np.float64), targets[indices]
    product = _dense(spec, 0, x if len(rows) == len(x) else x[rows], parts[0])

    wide = signs.astype(np.int64)
    if spec.two_sided:
        passes = [_passes(spec, parts, product[row], direction * wide) for direction in (+1, -1)]
        counted["saturated_activation"] = int(passes[0][2].sum() + passes[1][2].sum())
    else:
        z, y, saturated = _passes(spec, parts, product, np.zeros_like(wide[rows]))
        passes = [(z[row], y[row], saturated[row]), _passes(spec, parts, product[row], wide)]
        counted["saturated_activation"] = int(saturated[0 if baseline_due else 1 :].sum() + passes[1][2].sum())
    costs = np.column_stack([cost(y[:, -n_out:], target) for _, y, _ in passes])
    difference = costs[:, 0] - costs[:, 1] if spec.two_sided else costs[:, 1] - costs[:, 0]
    cast = spec.formats.cost_change_cast
    change, outside = cast_raw(difference, spec.cost_difference_format, spec.cost_change_format, cast.rounding, cast.overflow)
    counted["saturated_cost_change"] = int(np.count_nonzero(outside))
    correlated = _correlated(spec, state, change, x, passes[0][1], signs)
    if correlated is None:
        return None
    gradient, counted["saturated_broadcast"] = correlated
    judged = np.where(new, correct(spec, passes[0][1][:, -n_out:], target), -1)
    counted["correct"], counted["steps"] = int(np.count_nonzero(judged == 1)), len(n)
    after = replace(
        state,
        steps=state.steps + len(n),
        due=False,
        gradient=gradient,
        baseline=Pass(passes[0][0][-1], passes[0][1][-1], int(costs[-1, 0]), 0),
        counters=np.minimum(state.counters + [counted[name] for name in COUNTERS], COUNTER_LIMITS),
        signature=None if spec.hardware.signature else state.signature,
    )
    return after, costs, judged


def _passes(
    spec: DesignSpec, parts: Sequence[tuple[np.ndarray, np.ndarray]], first_layer: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return z and y (shape (runs, neurons)) and the saturations (shape (runs,)) of passes.

    ``first_layer`` contains the first layer's pre-activations before the perturbation (shape (runs, n_out)); ``shift`` times Δ perturbs
    the neurons (shape (runs, neurons)).
    """
    z_all: list[np.ndarray] = []
    y_all: list[np.ndarray] = []
    saturated, first = np.zeros(len(first_layer), dtype=np.int64), 0
    for number, layer in enumerate(spec.network.layers):
        source = spec.preactivation_format(number)
        z = first_layer if number == 0 else _dense(spec, number, y_all[-1], parts[number])
        z = z + spec.amplitude_raw(source.fraction_bits) * shift[:, first : first + layer.n_out]
        y, outside = activate(spec, layer.activation, z, source)
        z_all.append(z)
        y_all.append(y)
        saturated += np.count_nonzero(outside, axis=1)
        first += layer.n_out
    return np.hstack(z_all), np.hstack(y_all), saturated


def _correlated(
    spec: DesignSpec, state: State, change: np.ndarray, x: np.ndarray, y: np.ndarray, signs: np.ndarray
) -> tuple[np.ndarray, int] | None:
    """Return G after all steps (int64, shape (P,), canonical order) and the number of saturated broadcasts.

    The result is None if a correlation could saturate, or if a broadcast wraps. ``change`` is C̃ of each step (shape (steps,)), ``x`` and
    ``y`` are the inputs and the activations of pass 0 (shapes (steps, n_in) and (steps, neurons)).
    """
    gradient, saturated, first, operand = [], 0, 0, x
    for number, ((weights, biases), layer) in enumerate(zip(split_parameters(spec, state.gradient), spec.network.layers, strict=True)):
        broadcast, beyond, total = _broadcast(spec, number, change, operand, spec.exponent_at(state.steps))
        if beyond and spec.formats.gradient_cast.overflow is not Overflow.SATURATE:
            return None
        saturated += beyond * layer.n_out
        before = np.column_stack((biases, weights)).astype(np.float64)
        if (np.abs(before) + total).max() > spec.gradient_format.max:
            return None
        own = slice(first, first + layer.n_out)
        gradient.append((before + signs[:, own].T.astype(np.float64) @ broadcast).astype(np.int64).ravel())
        operand, first = y[:, own], first + layer.n_out
    return np.concatenate(gradient), saturated


def _dense(spec: DesignSpec, number: int, x: np.ndarray, part: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    weights, biases = part
    return (x.astype(np.float64, copy=False) @ weights).astype(np.int64) + (biases << np.int64(spec.operand_format(number).fraction_bits))


def _broadcast(spec: DesignSpec, number: int, change: np.ndarray, operand: np.ndarray, exponent: int) -> tuple[np.ndarray, int, np.ndarray]:
    """Return g of a layer's words (float64 integers, shape (steps, n_in + 1)), the number out of range, and a bound on Σ|g| over steps."""
    form, target = spec.operand_format(number), spec.gradient_format
    scale = np.ldexp(change.astype(np.float64), target.fraction_bits - spec.product_format(form).scaled(exponent).fraction_bits)
    g = np.empty((len(operand), operand.shape[1] + 1))
    g[:, 0] = scale * (1 << form.fraction_bits)
    np.multiply(operand, scale[:, None], out=g[:, 1:])
    match spec.formats.gradient_cast.rounding:
        case Rounding.HALF_EVEN:
            np.rint(g, out=g)
        case Rounding.HALF_UP:
            np.floor(np.add(g, 0.5, out=g), out=g)
        case Rounding.FLOOR:
            np.floor(g, out=g)
        case _:
            raise unknown("Rounding", spec.formats.gradient_cast.rounding, "python_ref.fixed.batch._broadcast")
    bounds = np.abs(scale) * max(form.max, -form.min, 1 << form.fraction_bits) + 1
    if bounds.max() <= target.max and 4 * bounds.sum() <= target.max:  # the bound proves that no g is out of range
        return g, 0, bounds.sum()
    beyond = int(np.count_nonzero((g < target.min) | (g > target.max)))
    np.clip(g, target.min, target.max, out=g)
    return g, beyond, np.abs(g).sum(axis=0)
