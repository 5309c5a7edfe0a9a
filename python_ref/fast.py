"""The machine at speed: the same integers as :mod:`~python_ref.machine`, its hot loop compiled.

Import this module where it is needed, since it imports numba. What makes it fast: parameters are stored input by input,
in 32 bits where the formats allow it, so that inputs and broadcasts of zero cost nothing and the inner loop runs over
neurons; in node perturbation the product of the first layer is shared by the passes of a step, z± = z₀ ± sΔ; signs
and random words come in blocks. All of it is exact: every design gives the same bits as the plain page.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np

from python_ref.cost import correct, cost
from python_ref.datasets import SampleOrder
from python_ref.fast_float import Curve
from python_ref.machine import COUNTER_LIMITS, Pass, State
from python_ref.network import activate
from python_ref.parameters import split_parameters
from python_ref.perturbation import SignSource, StochasticSource
from python_ref.spec.design import SATURATION_KINDS, Cast, DesignSpec
from python_ref.spec.network import Activation
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import Momentum
from python_ref.spec.probes import COUNTERS, probes, values_per_step
from python_ref.spec.tables import activation_table
from python_ref.trace import Header, Run, TraceWriter

__all__ = ["Result", "evaluate", "train", "write_trace"]

BLOCK_BYTES = 1 << 22
"""About as large as the signs, the random words or the observables of a block of steps get."""

_FLOOR, _HALF_UP, _HALF_EVEN, _STOCHASTIC = range(4)
_ROUNDINGS = {
    Rounding.FLOOR: _FLOOR,
    Rounding.HALF_UP: _HALF_UP,
    Rounding.HALF_EVEN: _HALF_EVEN,
    Rounding.STOCHASTIC: _STOCHASTIC,
}
_RELU, _IDENTITY, _SIGN, _SIGMOID, _TANH = range(5)
_FUNCTIONS = {
    Activation.RELU: _RELU,
    Activation.IDENTITY: _IDENTITY,
    Activation.SIGN: _SIGN,
    Activation.SIGMOID: _SIGMOID,
    Activation.TANH: _TANH,
}
_STEPS, _UPDATES, _CORRECT, _WRITES, _CHANGED = range(5)
_ACTIVATION, _COST_CHANGE, _BROADCAST, _GRADIENT, _MOMENTUM, _UPDATE, _WEIGHT = (
    COUNTERS.index(f"saturated_{kind}") for kind in SATURATION_KINDS
)


class _Cast(NamedTuple):
    """A narrowing in plain integers."""

    dropped: int
    rounding: int
    wrap: int
    low: int
    high: int

    @classmethod
    def of(cls, source: Fixed, target: Fixed, cast: Cast) -> _Cast:
        dropped = source.fraction_bits - target.fraction_bits
        return cls(dropped, _ROUNDINGS[cast.rounding], int(cast.overflow is Overflow.WRAP), target.min, target.max)


class _Net(NamedTuple):
    """What differs from layer to layer (int64, shape (layers,)); ``tables`` has a row for hidden layers and one for the last."""

    n_in: np.ndarray
    n_out: np.ndarray
    theta_at: np.ndarray
    neuron_at: np.ndarray
    word_at: np.ndarray
    slot_at: np.ndarray
    group_slots: np.ndarray
    function: np.ndarray
    operand_fraction: np.ndarray
    z_dropped: np.ndarray
    delta: np.ndarray
    g_dropped: np.ndarray
    tables: np.ndarray


class _Plan(NamedTuple):
    """What holds for the whole machine."""

    lanes: int
    tau_p: int
    tau_x: int
    tau_t: int
    two_sided: int
    node: int
    plain: int
    decay: int
    """k, or 0 without momentum."""
    weight_delta: int
    one: int
    activation: _Cast
    address: _Cast
    change: _Cast
    g: _Cast
    u: _Cast
    m: _Cast
    m_shift: int
    g_shift: int
    theta_low: int
    theta_high: int
    word_bits: int
    slots: int


class _Shown(NamedTuple):
    """Room for the observables of a block; no steps where nothing is recorded."""

    preactivation: np.ndarray
    activation: np.ndarray
    broadcast: np.ndarray
    gradient: np.ndarray
    momentum: np.ndarray
    parameter: np.ndarray
    counter: np.ndarray


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile, and keep the result on disk where that is possible."""
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:  # numba finds no directory that it could write
        return numba.njit(function)


@_compiled
def _round(raw, dropped, rounding, word):
    if dropped <= 0:
        return raw << -dropped
    shift = min(dropped, 63)
    kept = raw >> shift
    if rounding == _FLOOR:
        return kept
    rest = raw & ((1 << shift) - 1)
    if rounding == _STOCHASTIC:
        return kept + ((rest + (word & ((1 << shift) - 1))) >> shift)
    half = 1 << (shift - 1)
    if rounding == _HALF_UP:
        return kept + (1 if rest >= half else 0)
    return kept + (1 if rest > half or (rest == half and kept & 1) else 0)


@_compiled
def _fit(raw, cast):
    if cast.wrap:
        return cast.low + ((raw - cast.low) & (cast.high - cast.low))
    return min(max(raw, cast.low), cast.high)


@_compiled
def _outside(raw, cast):
    return 1 if raw < cast.low or raw > cast.high else 0


@_compiled
def _random_word(packed, position, bits):
    """``bits`` bits of a packed stream from a position on."""
    if bits == 0:
        return 0
    index, shift = position >> 6, np.uint64(position & 63)
    value = packed[index] >> shift
    if (position & 63) + bits > 64:
        value |= packed[index + 1] << (np.uint64(64) - shift)
    return np.int64(value & np.uint64((1 << bits) - 1))


@_compiled
def _dense(theta, at, n_in, n_out, x, fraction, z):
    """z ← W·x + b."""
    for o in range(n_out):
        z[o] = np.int64(theta[at + o]) << fraction
    for j in range(n_in):
        v = x[j]
        if v != 0:
            row = theta[at + (j + 1) * n_out : at + (j + 2) * n_out]
            for o in range(n_out):
                z[o] += np.int64(row[o]) * v


@_compiled
def _dense_perturbed(theta, s, delta, at, n_in, n_out, x, fraction, z):
    """z ← (W + δ·S)·x + b + δ·s."""
    for o in range(n_out):
        z[o] = (theta[at + o] + delta * s[at + o]) << fraction
    for j in range(n_in):
        v = x[j]
        if v != 0:
            row = at + (j + 1) * n_out
            for o in range(n_out):
                z[o] += (theta[row + o] + delta * s[row + o]) * v


@_compiled
def _activate(net, plan, layer, z, y):
    """y of z; returns how many were out of range."""
    function, saturated = net.function[layer], 0
    table = net.tables[1 if layer == net.n_in.size - 1 else 0]
    for o in range(z.size):
        if function == _SIGN:
            y[o] = plan.one if z[o] >= 0 else -plan.one
        elif function in (_RELU, _IDENTITY):
            v = max(z[o], 0) if function == _RELU else z[o]
            v = _round(v, net.z_dropped[layer], plan.activation.rounding, 0)
            saturated += _outside(v, plan.activation)
            y[o] = _fit(v, plan.activation)
        else:
            v = _round(z[o], net.z_dropped[layer], plan.address.rounding, 0)
            saturated += _outside(v, plan.address)
            y[o] = table[_fit(v, plan.address) & (table.size - 1)]
    return saturated


@_compiled
def _pass(net, plan, theta, s, direction, x, product, z_all, y_all):
    """One pass, perturbed by direction·s·Δ; ``product`` is W·x + b of layer 0 in node perturbation. Returns saturations."""
    saturated, operand = 0, x
    for layer in range(net.n_in.size):
        at, first, n_in, n_out = net.theta_at[layer], net.neuron_at[layer], net.n_in[layer], net.n_out[layer]
        z, y = z_all[first : first + n_out], y_all[first : first + n_out]
        if plan.node:
            if layer == 0:
                z[:] = product
            else:
                _dense(theta, at, n_in, n_out, operand, net.operand_fraction[layer], z)
            if direction != 0:
                for o in range(n_out):
                    z[o] += direction * net.delta[layer] * s[first + o]
        elif direction == 0:
            _dense(theta, at, n_in, n_out, operand, net.operand_fraction[layer], z)
        else:
            _dense_perturbed(theta, s, direction * plan.weight_delta, at, n_in, n_out, operand, net.operand_fraction[layer], z)
        saturated += _activate(net, plan, layer, z, y)
        operand = y
    return saturated


@_compiled
def _move(theta, at, s, s_at, count, u, low, high, counters):
    """θ ← saturate(θ − s·u) for neurons that share a word."""
    changed, saturated = 0, 0
    own, signs = theta[at : at + count], s[s_at : s_at + count]
    for o in range(count):
        old = np.int64(own[o])
        moved = old - signs[o] * u
        kept = min(max(moved, low), high)
        saturated += kept != moved
        changed += kept != old
        own[o] = kept
    counters[_WEIGHT] += saturated
    counters[_CHANGED] += changed


@_compiled
def _learn(net, plan, theta, gradient, momentum, s, x, y_all, change, exponent, updating, packed, position, counters, shown, row):
    """Broadcast, correlate, and update when it is due; ``position`` is where the update's words begin, ``row`` −1 or the one to show."""
    operand = x
    for layer in range(net.n_in.size):
        n_out, dropped = net.n_out[layer], net.g_dropped[layer] - exponent
        groups = -(-n_out // plan.lanes)
        s_first = net.neuron_at[layer]
        for k in range(net.n_in[layer] + 1):
            product = change
            if plan.node:
                product = change * operand[k - 1] if k else change << net.operand_fraction[layer]
            g = _round(product, dropped, plan.g.rounding, 0)
            if _outside(g, plan.g):
                counters[_BROADCAST] += n_out
                g = _fit(g, plan.g)
            at = net.theta_at[layer] + k * n_out
            s_at = s_first if plan.node else at
            if g == 0 and (plan.plain or not updating):
                continue
            if not plan.plain:
                saturated = 0
                for o in range(n_out):
                    total = gradient[at + o] + s[s_at + o] * g
                    kept = min(max(total, plan.g.low), plan.g.high)
                    saturated += kept != total
                    gradient[at + o] = kept
                    if row >= 0:
                        shown.gradient[row, at + o] = kept
                counters[_GRADIENT] += saturated
            for group in range(groups):
                first = group * plan.lanes
                count = min(plan.lanes, n_out - first)
                word = 0
                if updating:
                    slot = net.slot_at[layer] + group * net.group_slots[layer] + k
                    word = _random_word(packed, position + slot * plan.word_bits, plan.word_bits)
                u = g
                if plan.plain:
                    u = _round(g, plan.u.dropped, plan.u.rounding, word)
                    if _outside(u, plan.u):
                        counters[_UPDATE] += count
                        u = _fit(u, plan.u)
                    if u != 0:
                        _move(theta, at + first, s, s_at + first, count, u, plan.theta_low, plan.theta_high, counters)
                elif updating:
                    for i in range(at + first, at + first + count):
                        v = gradient[i]
                        gradient[i] = 0
                        if plan.decay:
                            aligned = momentum[i] << plan.m_shift
                            v = _round(aligned - (aligned >> plan.decay) + (v << plan.g_shift), plan.m.dropped, plan.m.rounding, word)
                            counters[_MOMENTUM] += _outside(v, plan.m)
                            v = _fit(v, plan.m)
                            momentum[i] = v
                        v = _round(v, plan.u.dropped, plan.u.rounding, word)
                        counters[_UPDATE] += _outside(v, plan.u)
                        moved = theta[i] - _fit(v, plan.u)
                        kept = min(max(moved, plan.theta_low), plan.theta_high)
                        counters[_WEIGHT] += kept != moved
                        counters[_CHANGED] += kept != theta[i]
                        theta[i] = kept
                if row >= 0:
                    shown.broadcast[row, net.word_at[layer] + group * (net.n_in[layer] + 1) + k] = u
        operand = y_all[s_first : s_first + n_out]
    if updating:
        counters[_UPDATES] += 1
        counters[_WRITES] += theta.size


@_compiled
def _cost(y_all, target):
    total = np.int64(0)
    for k in range(target.size):
        error = np.int64(y_all[y_all.size - target.size + k]) - target[k]
        total += error * error
    return total


@_compiled
def _right(plan, y_all, target):
    output = y_all[y_all.size - target.size :]
    if target.size == 1:
        return (2 * output[0] >= plan.one) == (2 * target[0] >= plan.one)
    return np.argmax(output) == np.argmax(target)


@_compiled
def _run(
    net, plan, theta, gradient, momentum, z, y, costs_in_force, due, inputs, targets, indices, signs, exponents, packed, n, counters,
    limits, costs, changes, judged, shown,
):  # fmt: skip
    """The steps from n on, as many as there are ``exponents``; ``judged`` gets 0 or 1 where a sample was judged, else −1."""
    first_p, first_x, start, updates = n // plan.tau_p, n // plan.tau_x, n, 0
    product = np.empty(net.n_out[0], dtype=np.int64)
    stale = True
    for step in range(exponents.size):
        n = start + step
        new = due or n % plan.tau_x == 0
        sample = indices[n // plan.tau_x - first_x]
        x, target = inputs[sample], targets[sample]
        s = signs[n // plan.tau_p - first_p]
        if plan.node and (stale or new):
            _dense(theta, 0, net.n_in[0], net.n_out[0], x, net.operand_fraction[0], product)
            stale = False
        saturated = 0
        if plan.two_sided:
            saturated += _pass(net, plan, theta, s, 1, x, product, z[0], y[0])
            saturated += _pass(net, plan, theta, s, -1, x, product, z[1], y[1])
            costs_in_force[0] = _cost(y[0], target)
            costs[step, 1] = _cost(y[1], target)
            change = costs_in_force[0] - costs[step, 1]
        else:
            if new or n % plan.tau_t == 0:
                saturated += _pass(net, plan, theta, s, 0, x, product, z[0], y[0])
                costs_in_force[0] = _cost(y[0], target)
            saturated += _pass(net, plan, theta, s, 1, x, product, z[1], y[1])
            costs[step, 1] = _cost(y[1], target)
            change = costs[step, 1] - costs_in_force[0]
        costs[step, 0] = costs_in_force[0]
        judged[step] = -1
        if new:
            judged[step] = 1 if _right(plan, y[0], target) else 0
            counters[_CORRECT] += judged[step]
        counters[_ACTIVATION] += saturated
        change = _round(change, plan.change.dropped, plan.change.rounding, 0)
        counters[_COST_CHANGE] += _outside(change, plan.change)
        change = _fit(change, plan.change)
        changes[step] = change

        updating = (n + 1) % plan.tau_t == 0
        row = step if shown.counter.shape[0] else -1
        if row >= 0:
            shown.preactivation[row], shown.activation[row] = z, y
            shown.broadcast[row], shown.gradient[row] = 0, gradient
        position = updates * plan.slots * plan.word_bits
        _learn(net, plan, theta, gradient, momentum, s, x, y[0], change, exponents[step], updating, packed, position, counters, shown, row)
        counters[_STEPS] += 1
        for i in range(limits.size):
            counters[i] = min(counters[i], limits[i])
        if updating:
            stale = True
            updates += 1
        if row >= 0:
            shown.parameter[row], shown.momentum[row], shown.counter[row] = theta, momentum, counters
        due = False
    return updates


@lru_cache(maxsize=16)
def _describe(spec: DesignSpec) -> tuple[_Net, _Plan]:
    """A design in plain integers."""
    forms, layers, layout, schedule, weight = spec.formats, spec.network.layers, spec.layout, spec.schedule, spec.formats.weight
    numbers = range(len(layers))
    operands = [spec.operand_format(number) for number in numbers]
    exact = [spec.preactivation_format(number).fraction_bits for number in numbers]
    narrowed = [forms.table if layer.activation.tabulated else forms.activation for layer in layers]
    products = [spec.product_format(operand if spec.node else None).fraction_bits for operand in operands]
    tables = np.zeros((2, 1 << forms.table.width if any(layer.activation.tabulated for layer in layers) else 1), dtype=np.int64)
    for row, layer in ((0, layers[0]), (1, layers[-1])):
        if layer.activation.tabulated:
            tables[row] = activation_table(layer.activation, forms.table, forms.activation)
    columns = {
        "n_in": [layer.n_in for layer in layers],
        "n_out": [layer.n_out for layer in layers],
        "theta_at": [sum(layer.n_parameters for layer in layers[:number]) for number in numbers],
        "neuron_at": [sum(layer.n_out for layer in layers[:number]) for number in numbers],
        "word_at": [placed.first_word for placed in layout.layers],
        "slot_at": [placed.first_slot for placed in layout.layers],
        "group_slots": [placed.group_slots for placed in layout.layers],
        "function": [_FUNCTIONS[layer.activation] for layer in layers],
        "operand_fraction": [operand.fraction_bits for operand in operands],
        "z_dropped": [fraction - form.fraction_bits for fraction, form in zip(exact, narrowed, strict=True)],
        "delta": [spec.amplitude_raw(fraction) if spec.node else 0 for fraction in exact],
        "g_dropped": [fraction - spec.gradient_format.fraction_bits for fraction in products],
    }
    net = _Net(**{name: np.array(column, dtype=np.int64) for name, column in columns.items()}, tables=tables)
    decay, m, m_shift, g_shift = 0, _Cast(0, 0, 0, 0, 0), 0, 0
    if isinstance(spec.optimizer, Momentum):
        total, form, optimizer = spec.momentum_sum_format, spec.momentum_format, spec.optimizer
        decay, m = optimizer.k, _Cast.of(total, form, Cast(optimizer.rounding, optimizer.overflow))
        m_shift, g_shift = (total.fraction_bits - source.fraction_bits for source in (form, spec.gradient_format))
    plan = _Plan(
        spec.hardware.lanes,
        schedule.perturbation_period,
        schedule.sample_period,
        schedule.update_period,
        int(spec.two_sided),
        int(spec.node),
        int(spec.plain),
        decay,
        0 if spec.node else spec.amplitude_raw(weight.fraction_bits),
        1 << forms.activation.fraction_bits,
        _Cast.of(forms.activation, forms.activation, forms.activation_cast),
        _Cast.of(forms.table, forms.table, Cast(forms.activation_cast.rounding, Overflow.SATURATE)),
        _Cast.of(spec.cost_difference_format, spec.cost_change_format, forms.cost_change_cast),
        _Cast.of(spec.gradient_format, spec.gradient_format, forms.gradient_cast),
        _Cast.of(spec.update_source_format, spec.update_format, forms.weight_cast),
        m,
        m_shift,
        g_shift,
        *spec.parameter_limits,
        spec.stochastic_bits,
        layout.slots,
    )
    return net, plan


@lru_cache(maxsize=16)
def _stored(spec: DesignSpec) -> np.ndarray:
    """Canonical index of each parameter (int64, shape (P,)) when they are stored input by input."""
    numbered = split_parameters(spec, np.arange(spec.network.n_parameters))
    return np.concatenate([np.vstack((biases, weights.T)).ravel() for weights, biases in numbered])


def _canonical(stored: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values stored input by input (last axis) in canonical order, int64."""
    result = np.empty(values.shape, dtype=np.int64)
    result[..., stored] = values
    return result


@dataclass(frozen=True, eq=False)
class Result:
    """A run.

    Attributes
    ----------
    state : State
        The machine after the last step, the same as after that many of ``machine.step``.
    evaluations : int
        Passes of one sample through the network.
    curve : Curve
        A row per record.
    """

    state: State
    evaluations: int
    curve: Curve


def evaluate(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Accuracy, and mean cost as a real number, of the unperturbed network over raw samples (shapes (n, n_in), (n, n_out)).

    Sums that float64 holds exactly are left to BLAS.
    """
    right, total = 0, 0
    for first in range(0, len(inputs), 4096):
        x, wanted = inputs[first : first + 4096], targets[first : first + 4096]
        for number, (weights, biases) in enumerate(split_parameters(spec, parameters)):
            z = _matmul(x, weights.T, spec.preactivation_format(number).width) + (
                biases << np.int64(spec.operand_format(number).fraction_bits)
            )
            x, _ = activate(spec, spec.network.layers[number].activation, z, spec.preactivation_format(number))
        right += int(np.count_nonzero(correct(spec, x, wanted)))
        total += int(np.sum(cost(x, wanted)))
    return right / len(inputs), math.ldexp(total / len(inputs), -spec.cost_format.fraction_bits)


def _matmul(a: np.ndarray, b: np.ndarray, width: int) -> np.ndarray:
    """The product of integer matrices whose every sum of |a·b| is below 2^(width − 1); exact in float64 up to 2⁵³."""
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64) if width <= 54 else a @ b


def train(
    spec: DesignSpec,
    state: State,
    inputs: np.ndarray,
    targets: np.ndarray,
    order: SampleOrder | np.ndarray,
    steps: int,
    *,
    evaluation: tuple[np.ndarray, np.ndarray] | None = None,
    record_every: int | None = None,
    until: float | None = None,
    progress: Callable[[int], None] | None = None,
    observe: Callable[[dict[str, np.ndarray]], None] | None = None,
) -> Result:
    """Train for ``steps`` steps from a state on.

    Parameters
    ----------
    spec : DesignSpec
        Design.
    state : State
        Of :func:`python_ref.machine.initial_state`, or of an earlier run.
    inputs, targets : arrays of int64, shapes (samples, n_in) and (samples, n_out)
        Raw samples.
    order : SampleOrder or array of int64
        Which of them is sample number ⌊n/τ_x⌋.
    steps : int
        Steps.
    evaluation : (inputs, targets) or None
        Raw samples to evaluate at every record.
    record_every : int or None
        Steps between records; None makes 50 of them. The last step is always recorded.
    until : float or None
        Stop at the first record whose evaluated accuracy is at least this.
    progress : callable or None
        Called with the number of steps done, at every record.
    observe : callable or None
        Called with the observables of ``probes(spec)``, a leading axis of consecutive steps before each shape, block by block.

    Raises
    ------
    ValueError
        If an array does not fit the network.
    """
    inputs, targets, n_samples = np.asarray(inputs), np.asarray(targets), len(inputs)
    wanted = {"Inputs": (inputs, spec.network.n_in), "Targets": (targets, spec.network.n_out)}
    for name, (array, size) in wanted.items():
        if array.shape != (n_samples, size):
            raise ValueError(f"{name} must be of shape ({n_samples}, {size}), not {array.shape!r}")
    net, plan = _describe(spec)
    kind = np.int32 if max(form.width for form in (spec.formats.weight, spec.formats.input, spec.formats.activation)) < 32 else np.int64
    inputs, targets = np.ascontiguousarray(inputs, dtype=kind), np.ascontiguousarray(targets, dtype=kind)
    stored = _stored(spec)
    sign_source, word_source = SignSource(spec, state.seed), StochasticSource(spec, state.seed)
    theta, gradient, momentum = state.parameters[stored].astype(kind), state.gradient[stored], state.momentum[stored]
    z, y = np.stack((state.baseline.preactivation,) * 2), np.stack((state.baseline.activation,) * 2).astype(kind)
    in_force, counters = np.array([state.baseline.cost]), state.counters.copy()
    n, updates, due, last = state.steps, state.updates, state.due, state.steps + steps
    per_step = [spec.quantities / plan.tau_p, plan.slots * plan.word_bits / plan.tau_t / 8, 40 + 8 * values_per_step(spec) * bool(observe)]
    block_steps = max(1, min(1 << 16, int(BLOCK_BYTES / max(per_step))))
    changes_of_rate = np.array([start for start, _ in spec.schedule.learning_rate], dtype=np.int64)
    exponents_of_rate = np.array([spec.exponent_at(start) for start in changes_of_rate.tolist()], dtype=np.int64)
    record_every = max(1, steps // 50) if record_every is None else record_every
    rows: list[tuple[float, ...]] = []
    window, evaluations = np.zeros(3), 0

    while n < last:
        stop = min(last, n + block_steps, (n // record_every + 1) * record_every)
        length, first_p, first_x = stop - n, n // plan.tau_p, n // plan.tau_x
        signs = sign_source.block(first_p, (stop - 1) // plan.tau_p + 1 - first_p)
        taken = (stop - 1) // plan.tau_x + 1 - first_x
        indices = (
            order.indices(first_x, taken)
            if isinstance(order, SampleOrder)
            else np.asarray(order[first_x : first_x + taken], dtype=np.int64)
        )
        if len(indices) < taken or indices.min() < 0 or indices.max() >= n_samples:
            raise ValueError(
                f"Order must name a sample from 0 to {n_samples - 1} for each of the numbers {first_x} to {first_x + taken - 1}"
            )
        exponents = exponents_of_rate[np.searchsorted(changes_of_rate, np.arange(n, stop), side="right") - 1]
        packed = word_source.packed(updates, stop // plan.tau_t - n // plan.tau_t)
        costs, changes, judged = np.empty((length, 2), dtype=np.int64), np.empty(length, dtype=np.int64), np.empty(length, dtype=np.int64)
        shown = _room(spec, length if observe else 0, kind)
        signs = signs if spec.node else np.ascontiguousarray(signs[:, stored])
        updates += _run(
            net, plan, theta, gradient, momentum, z, y, in_force, due, inputs, targets, indices, signs, exponents, packed, n, counters,
            COUNTER_LIMITS, costs, changes, judged, shown,
        )  # fmt: skip
        if observe:
            seen = signs[np.arange(n, stop) // plan.tau_p - first_p]
            observe(_observables(spec, stored, shown, costs, changes, seen))
        steps_of_block = np.arange(n, stop)
        baselines = (judged >= 0) | (steps_of_block % plan.tau_t == 0) | spec.two_sided
        evaluations += length + int(np.count_nonzero(baselines))
        window += np.count_nonzero(judged >= 0), np.count_nonzero(judged == 1), costs[judged >= 0, 0].sum()
        n, due = stop, False
        if n % record_every == 0 or n == last:
            online = (
                (window[1] / window[0], math.ldexp(window[2] / window[0], -spec.cost_format.fraction_bits))
                if window[0]
                else (math.nan,) * 2
            )
            window[:] = 0
            evaluated = evaluate(spec, _canonical(stored, theta), *evaluation) if evaluation is not None else (math.nan,) * 2
            rows.append((n, evaluations, updates * spec.network.n_parameters, *online, *evaluated))
            if progress is not None:
                progress(n)
            if until is not None and evaluated[0] >= until:
                break
    columns = [np.array(column) for column in zip(*rows, strict=True)] or [np.empty(0)] * len(fields(Curve))
    curve = Curve(*(column.astype(np.int64) for column in columns[:3]), *(column.astype(np.float64) for column in columns[3:]))
    after = replace(
        state,
        steps=n,
        updates=updates,
        due=due,
        parameters=_canonical(stored, theta),
        gradient=_canonical(stored, gradient),
        momentum=_canonical(stored, momentum),
        baseline=Pass(z[0].copy(), y[0].astype(np.int64), int(in_force[0]), 0),
        counters=counters,
    )
    return Result(after, evaluations, curve)


def _room(spec: DesignSpec, steps: int, kind: type) -> _Shown:
    neurons, parameters = spec.network.n_neurons, spec.network.n_parameters
    return _Shown(
        np.empty((steps, 2, neurons), dtype=np.int64),
        np.empty((steps, 2, neurons), dtype=kind),
        np.empty((steps, spec.layout.words), dtype=np.int64),
        np.empty((steps, parameters), dtype=np.int64),
        np.empty((steps, parameters), dtype=np.int64),
        np.empty((steps, parameters), dtype=kind),
        np.empty((steps, len(COUNTERS)), dtype=np.int64),
    )


def _observables(
    spec: DesignSpec, stored: np.ndarray, shown: _Shown, costs: np.ndarray, changes: np.ndarray, signs: np.ndarray
) -> dict[str, np.ndarray]:
    """The observables of a block, as ``probes(spec)`` says, a leading axis of steps before each shape."""
    found = {
        "preactivation": shown.preactivation,
        "activation": shown.activation.astype(np.int64),
        "cost": costs,
        "cost_change": changes[:, None],
        "broadcast": shown.broadcast,
        "sign": signs[:, spec.layout.parameter_neuron].astype(np.int64) if spec.node else _canonical(stored, signs),
        "gradient": _canonical(stored, shown.gradient),
        "momentum": _canonical(stored, shown.momentum),
        "parameter": _canonical(stored, shown.parameter),
        "counter": shown.counter,
    }
    return {probe.name: found[probe.name] for probe in probes(spec)}


def write_trace(run: Run, directory: Path, *, first: int = 0) -> State:
    """Compute a run and write its trace from step ``first`` on; the state after the last step."""
    with TraceWriter(directory, Header.of(run, "python_ref.fast", first=first), run.spec) as writer:
        state = train(run.spec, run.initial_state(), run.inputs, run.targets, run.order, min(first, run.steps)).state
        return train(
            run.spec, state, run.inputs, run.targets, run.order, run.steps - state.steps, record_every=run.steps + 1, observe=writer.extend
        ).state
