"""The machine at speed: the same integers as :mod:`~python_ref.machine`, its hot loop compiled.

Import this module where it is needed, since it imports numba. What makes it fast: 32 bits where the formats allow it, and
inner loops over the synapses of a neuron; in node perturbation the product of the first layer is shared by the passes of a step,
z± = z₀ ± sΔ; signs and random words come in blocks. All of it is exact: every design gives the same bits as the plain page.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from python_ref.batch import accumulate, batchable
from python_ref.compiled import compiled
from python_ref.cost import correct, cost
from python_ref.datasets import SampleOrder
from python_ref.fast_float import Curve
from python_ref.machine import COUNTER_LIMITS, Pass, State
from python_ref.network import activate
from python_ref.parameters import split_parameters
from python_ref.perturbation import SignSource, StochasticSource
from python_ref.signature import INITIAL
from python_ref.spec.activations import Form, Piecewise, Tabulated
from python_ref.spec.design import Cast, DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.events import POLYNOMIAL
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import Memory, Momentum, Optimizer, Sgd
from python_ref.spec.probes import COUNTERS, probes, values_per_step
from python_ref.spec.tables import activation_table
from python_ref.trace import Header, Run, TraceWriter

__all__ = ["Result", "evaluate", "exact_matmul", "outputs", "train", "write_trace"]

BLOCK_BYTES = 1 << 22
"""About as large as the signs, the random words or the observables of a block of steps get."""

QUIET_STEPS, MOST_AT_ONCE = 100, 512
"""Steps without an update that are worth taking at once, and as many as are: below, the compiled loop is faster."""

_FLOOR, _HALF_UP, _HALF_EVEN, _STOCHASTIC = range(4)
_ROUNDINGS = {
    Rounding.FLOOR: _FLOOR,
    Rounding.HALF_UP: _HALF_UP,
    Rounding.HALF_EVEN: _HALF_EVEN,
    Rounding.STOCHASTIC: _STOCHASTIC,
}
_WRAPS = {Overflow.SATURATE: 0, Overflow.WRAP: 1}
_STEPS, _UPDATES, _CORRECT, _WRITES, _CHANGED = range(5)
_ACTIVATION, _COST_CHANGE, _BROADCAST, _GRADIENT, _UPDATE, _WEIGHT = (
    COUNTERS.index(f"saturated_{kind}") for kind in ("activation", "cost_change", "broadcast", "gradient", "update", "weight")
)
_MOMENTUM = COUNTERS.index(f"saturated_{Memory.MOMENTUM.name.lower()}")

_SGD, _LEAKY_SUM = range(2)
_RULES: dict[type[Optimizer], int] = {Sgd: _SGD, Momentum: _LEAKY_SUM}
"""The branch of :func:`_update` for each optimiser."""


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
        if cast.rounding not in _ROUNDINGS:
            raise unknown("Rounding", cast.rounding, "python_ref.fast._ROUNDINGS")
        if cast.overflow not in _WRAPS:
            raise unknown("Overflow", cast.overflow, "python_ref.fast._WRAPS")
        return cls(dropped, _ROUNDINGS[cast.rounding], _WRAPS[cast.overflow], target.min, target.max)


MOST_PIECES = 4
"""Largest number of straight pieces of an activation in the compiled loops."""


class _Pieces(NamedTuple):
    """Straight pieces in plain integers, filled up to :data:`MOST_PIECES`.

    A piece begins at the raw pre-activation ``begins`` and has the raw value z·2^``up`` + ``offset``, of so many ``fraction_bits``; or
    ``offset`` alone where it is ``flat``.
    """

    pieces: int
    fraction_bits: int
    begins: list[int]
    up: list[int]
    flat: list[int]
    offset: list[int]

    @classmethod
    def of(cls, form: Form, source: Fixed) -> _Pieces:
        """The pieces of a form at pre-activations of the format ``source``; none of a table."""
        if isinstance(form, Tabulated):
            return cls(0, 0, *([0] * MOST_PIECES for _ in range(4)))
        if not isinstance(form, Piecewise):
            raise unknown("Form of an activation", form, "python_ref.fast._Pieces.of")
        if len(form.pieces) > MOST_PIECES:
            raise ValueError(f"Number of pieces of an activation must be at most {MOST_PIECES}, not {len(form.pieces)!r}")
        exact, rest = form.exact_format(source), [0] * (MOST_PIECES - len(form.pieces))
        up = exact.fraction_bits - source.fraction_bits
        return cls(
            len(form.pieces),
            exact.fraction_bits,
            [source.min, *(math.ceil(each * 2**source.fraction_bits) for each in form.breaks), *rest],
            [0 if piece.shift is None else up - piece.shift for piece in form.pieces] + rest,
            [int(piece.shift is None) for piece in form.pieces] + rest,
            [int(piece.offset * 2**exact.fraction_bits) for piece in form.pieces] + rest,
        )


class _Net(NamedTuple):
    """What differs from layer to layer (int64, shape (layers,)).

    ``begins``, ``up``, ``flat`` and ``offset`` have a row of pieces for each layer (:class:`_Pieces`), ``tables`` has a row for hidden
    layers and one for the last.
    """

    n_in: np.ndarray
    n_out: np.ndarray
    theta_at: np.ndarray
    neuron_at: np.ndarray
    word_at: np.ndarray
    slot_at: np.ndarray
    group_slots: np.ndarray
    pieces: np.ndarray
    operand_fraction: np.ndarray
    z_dropped: np.ndarray
    delta: np.ndarray
    g_dropped: np.ndarray
    begins: np.ndarray
    up: np.ndarray
    flat: np.ndarray
    offset: np.ndarray
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
    optimizer: int
    """A number of :data:`_RULES`."""
    decay: int
    """k, or 0 for an optimiser without it."""
    weight_delta: int
    one: int
    activation: _Cast
    address: _Cast
    change: _Cast
    g: _Cast
    u: _Cast
    m: _Cast
    """The cast of the first state variable; it and G are aligned with its exact format by ``m_shift`` and ``g_shift`` places."""
    m_shift: int
    g_shift: int
    theta_low: int
    theta_high: int
    word_bits: int
    slots: int
    z_width: int
    y_width: int
    cost_width: int
    change_width: int
    broadcast_width: int
    g_width: int
    state_widths: np.ndarray
    """Bits of each state variable of the optimiser (int64)."""
    theta_width: int


class _Shown(NamedTuple):
    """Room for the observables of a block; no steps where nothing is recorded."""

    preactivation: np.ndarray
    activation: np.ndarray
    broadcast: np.ndarray
    gradient: np.ndarray
    optimizer: np.ndarray
    parameter: np.ndarray
    counter: np.ndarray


_compiled = compiled(error_model="numpy")


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
    # HALF_EVEN is left, since _Cast.of refuses every other mode; an exception here would cost a third of the speed.
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
def _copy(target, source):
    """target ← source, rows; an assignment of slices takes the compiler much longer."""
    for i in range(target.size):
        target[i] = source[i]


@_compiled
def _dense(theta, at, x, fraction, z):
    """z ← W·x + b."""
    n_in = x.size
    for o in range(z.size):
        row = theta[at : at + n_in + 1]
        total = np.int64(row[0]) << fraction
        for j in range(n_in):
            total += np.int64(row[j + 1]) * x[j]
        z[o] = total
        at += n_in + 1


@_compiled
def _dense_perturbed(theta, s, delta, at, x, fraction, z):
    """z ← (W + δ·S)·x + b + δ·s."""
    n_in = x.size
    for o in range(z.size):
        row, signs = theta[at : at + n_in + 1], s[at : at + n_in + 1]
        total = (row[0] + delta * signs[0]) << fraction
        for j in range(n_in):
            total += (row[j + 1] + delta * signs[j + 1]) * x[j]
        z[o] = total
        at += n_in + 1


@_compiled
def _activate(net, plan, layer, z, y):
    """y of z; returns how many were out of range."""
    count, saturated = net.pieces[layer], 0
    table = net.tables[1 if layer == net.n_in.size - 1 else 0]
    for o in range(z.size):
        if count:
            piece = 0
            while piece + 1 < count and z[o] >= net.begins[layer, piece + 1]:
                piece += 1
            v = net.offset[layer, piece]
            if not net.flat[layer, piece]:
                v += z[o] << net.up[layer, piece]
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
        at, first, n_out = net.theta_at[layer], net.neuron_at[layer], net.n_out[layer]
        z, y = z_all[first : first + n_out], y_all[first : first + n_out]
        if plan.node and layer == 0:
            _copy(z, product)
        elif plan.node or direction == 0:
            _dense(theta, at, operand, net.operand_fraction[layer], z)
        else:
            _dense_perturbed(theta, s, direction * plan.weight_delta, at, operand, net.operand_fraction[layer], z)
        if plan.node and direction != 0:
            for o in range(n_out):
                z[o] += direction * net.delta[layer] * s[first + o]
        saturated += _activate(net, plan, layer, z, y)
        operand = y
    return saturated


@_compiled
def _broadcast(net, plan, layer, change, exponent, operand, g):
    """g of the words of a group (operand 1, then the layer's inputs); returns how many were out of range."""
    dropped, outside = net.g_dropped[layer] - exponent, 0
    for k in range(operand.size + 1):
        product = change
        if plan.node:
            product = change * operand[k - 1] if k else change << net.operand_fraction[layer]
        value = _round(product, dropped, plan.g.rounding, 0)
        outside += _outside(value, plan.g)
        g[k] = _fit(value, plan.g)
    return outside


@_compiled
def _narrow_update(plan, g, r, u):
    """u ← cast_weight(g), rounded before the sign; returns how many were out of range."""
    outside = 0
    for k in range(g.size):
        u[k] = 0
        if g[k] != 0:
            value = _round(g[k], plan.u.dropped, plan.u.rounding, r[k])
            outside += _outside(value, plan.u)
            u[k] = _fit(value, plan.u)
    return outside


@_compiled
def _move(theta, sign, s, u, low, high, counters):
    """θ ← saturate(θ − s·u) for the synapses of a neuron; ``sign`` holds for all of them unless it is 2."""
    kind = theta.dtype.type
    low, high, sign = kind(low), kind(high), kind(sign)
    changed, saturated = np.int32(0), np.int32(0)
    if sign != 2:
        for k in range(u.size):
            old = theta[k]
            moved = kind(old - kind(sign * u[k]))
            kept = min(max(moved, low), high)
            saturated = np.int32(saturated + (kept != moved))
            changed = np.int32(changed + (kept != old))
            theta[k] = kept
    else:
        for k in range(u.size):
            old = theta[k]
            moved = kind(old - kind(s[k] * u[k]))
            kept = min(max(moved, low), high)
            saturated = np.int32(saturated + (kept != moved))
            changed = np.int32(changed + (kept != old))
            theta[k] = kept
    counters[_WEIGHT] += saturated
    counters[_CHANGED] += changed


@_compiled
def _correlate(plan, gradient, sign, s, g):
    """G ← saturate(G + s·g) for the synapses of a neuron; returns how many saturated."""
    saturated = 0
    for k in range(g.size):
        total = gradient[k] + (s[k] if sign == 2 else sign) * g[k]
        kept = min(max(total, plan.g.low), plan.g.high)
        saturated += kept != total
        gradient[k] = kept
    return saturated


@_compiled
def _update(plan, theta, gradient, state, at, r, counters):
    """θ ← saturate(θ − cast_weight(what the optimiser makes of G)) for the synapses of a neuron.

    ``state`` holds the optimiser's state (shape (state variables, P)), from ``at`` on that of the neuron.
    """
    for k in range(r.size):
        value, word = gradient[k], r[k]
        if plan.optimizer == _LEAKY_SUM:  # m ← cast_m(m − m·2⁻ᵏ + G)
            aligned = state[0, at + k] << plan.m_shift
            value = _round(aligned - (aligned >> plan.decay) + (value << plan.g_shift), plan.m.dropped, plan.m.rounding, word)
            counters[_MOMENTUM] += _outside(value, plan.m)
            value = _fit(value, plan.m)
            state[0, at + k] = value
        value = _round(value, plan.u.dropped, plan.u.rounding, word)
        counters[_UPDATE] += _outside(value, plan.u)
        old = np.int64(theta[k])
        moved = old - _fit(value, plan.u)
        kept = min(max(moved, plan.theta_low), plan.theta_high)
        counters[_WEIGHT] += kept != moved
        counters[_CHANGED] += kept != old
        theta[k] = kept


@_compiled
def _folded(value, width, offset):
    """What a field of a payload contributes to the 32-bit word of its event."""
    bits, turn = value & ((1 << width) - 1), offset & 31
    low = (bits ^ (bits >> 32)) & 0xFFFFFFFF
    return ((low << turn) | (low >> (32 - turn))) & 0xFFFFFFFF


@_compiled
def _sign(register, word):
    """A signature's register after a word."""
    return (register >> 1) ^ (POLYNOMIAL * (register & 1)) ^ word


@_compiled
def _sign_neurons(plan, register, number, z, y):
    for o in range(z.size):
        register = _sign(register, number ^ _folded(z[o], plan.z_width, 1) ^ _folded(np.int64(y[o]), plan.y_width, 1 + plan.z_width))
    return register


@_compiled
def _sign_costs(plan, register, costs, change):
    word = _folded(costs[0], plan.cost_width, 0) ^ _folded(costs[1], plan.cost_width, plan.cost_width)
    return _sign(register, word ^ _folded(change, plan.change_width, 2 * plan.cost_width))


@_compiled
def _sign_words(plan, register, broadcast, count, at, s, s_at, s_stride, s_step, theta, gradient, state):
    """The words of a group of ``count`` neurons; ``at`` and ``s_at`` are where its parameters and signs begin."""
    width = broadcast.size
    for k in range(width):
        word = _folded(np.int64(broadcast[k]), plan.broadcast_width, 0)
        for lane in range(count):
            i, offset = at + lane * width + k, plan.broadcast_width
            word ^= _folded(np.int64(s[s_at + lane * s_stride + k * s_step]), 2, offset + 2 * lane)
            offset += 2 * plan.lanes
            if plan.g_width:
                word ^= _folded(gradient[i], plan.g_width, offset + lane * plan.g_width)
                offset += plan.lanes * plan.g_width
            for variable in range(state.shape[0]):
                bits = plan.state_widths[variable]
                word ^= _folded(state[variable, i], bits, offset + lane * bits)
                offset += plan.lanes * bits
            word ^= _folded(np.int64(theta[i]), plan.theta_width, offset + lane * plan.theta_width)
        register = _sign(register, word)
    return register


@_compiled
def _learn(
    net, plan, theta, gradient, state, s, x, y_all, change, exponent, updating, packed, position, counters, room, registers, signing,
    shown, row,
):  # fmt: skip
    """Broadcast, correlate, and update when it is due.

    ``position`` is where the update's words begin, ``room`` (g, r, u, either) of a group's words, ``row`` −1 or the one to show.
    """
    operand = x
    for layer in range(net.n_in.size):
        n_out, width = net.n_out[layer], net.n_in[layer] + 1
        g, r, u = room[0][:width], room[1][:width], room[2][:width]
        counters[_BROADCAST] += n_out * _broadcast(net, plan, layer, change, exponent, operand, g)
        for group in range(-(-n_out // plan.lanes)):
            first = group * plan.lanes
            count = min(plan.lanes, n_out - first)
            if updating and plan.word_bits:
                at = position + (net.slot_at[layer] + group * net.group_slots[layer]) * plan.word_bits
                for k in range(width):
                    if g[k] != 0 or not plan.plain:
                        r[k] = _random_word(packed, at + k * plan.word_bits, plan.word_bits)
            if plan.plain:
                counters[_UPDATE] += count * _narrow_update(plan, g, r, u)
            for o in range(first, first + count):
                at = net.theta_at[layer] + o * width
                sign = np.int64(s[net.neuron_at[layer] + o]) if plan.node else 2
                signs = s if plan.node else s[at : at + width]
                if plan.plain:
                    _move(theta[at : at + width], sign, signs, u, plan.theta_low, plan.theta_high, counters)
                else:
                    counters[_GRADIENT] += _correlate(plan, gradient[at : at + width], sign, signs, g)
                    if updating:
                        _update(plan, theta[at : at + width], gradient[at : at + width], state, at, r, counters)
            at = net.theta_at[layer] + first * width
            if row >= 0:
                word = net.word_at[layer] + group * width
                for k in range(width):
                    shown.broadcast[row, word + k] = u[k] if plan.plain else g[k]
                _copy(shown.gradient[row, at : at + count * width], gradient[at : at + count * width])
            if signing:
                s_at = net.neuron_at[layer] + first if plan.node else at
                strides = (1, 0) if plan.node else (width, 1)
                sent = room[3][:width]
                for k in range(width):
                    sent[k] = u[k] if plan.plain else g[k]
                registers[1] = _sign_words(plan, registers[1], sent, count, at, s, s_at, strides[0], strides[1], theta, gradient, state)
            if updating and not plan.plain:
                for i in range(at, at + count * width):
                    gradient[i] = 0
        operand = y_all[net.neuron_at[layer] : net.neuron_at[layer] + n_out]
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
def _answer(plan, y, first):
    """The largest of y from ``first`` on, lowest index first; of a lone one, whether it is at least ½."""
    if y.size - first == 1:
        return 1 if 2 * y[first] >= plan.one else 0
    best = first
    for k in range(first + 1, y.size):
        if y[k] > y[best]:
            best = k
    return best - first


@_compiled
def _run(
    net, plan, theta, gradient, state, z, y, in_force, due, inputs, targets, indices, signs, exponent, packed, n, counters,
    limits, costs, changes, judged, registers, signatures, shown,
):  # fmt: skip
    """The steps from n on, as many as ``judged`` has room for, with one exponent; it gets 0 or 1 where a sample was judged, else −1."""
    first_p, first_x, start, updates = n // plan.tau_p, n // plan.tau_x, n, 0
    product = np.empty(net.n_out[0], dtype=np.int64)
    widest = net.n_in.max() + 1
    room = (
        np.empty(widest, dtype=np.int64),
        np.zeros(widest, dtype=np.int64),
        np.empty(widest, dtype=theta.dtype),
        np.empty(widest, dtype=np.int64),
    )
    signing = signatures.shape[0] > 0
    stale = True
    for step in range(judged.size):
        n = start + step
        new = due or n % plan.tau_x == 0
        sample = indices[n // plan.tau_x - first_x]
        x, target = inputs[sample], targets[sample]
        s = signs[n // plan.tau_p - first_p]
        if plan.node and (stale or new):
            _dense(theta, 0, x, net.operand_fraction[0], product)
            stale = False
        baseline_due = new or n % plan.tau_t == 0
        for number in range(2):
            if number == 0 and not plan.two_sided and not baseline_due:
                continue
            direction = 1 - 2 * number if plan.two_sided else number
            counters[_ACTIVATION] += _pass(net, plan, theta, s, direction, x, product, z[number], y[number])
            in_force[number] = _cost(y[number], target)
            if signing:
                registers[0] = _sign_neurons(plan, registers[0], number, z[number], y[number])
        costs[step, 0], costs[step, 1] = in_force[0], in_force[1]
        change = in_force[0] - in_force[1] if plan.two_sided else in_force[1] - in_force[0]
        judged[step] = -1
        if new:
            judged[step] = 1 if _answer(plan, y[0], y.shape[1] - target.size) == _answer(plan, target, 0) else 0
            counters[_CORRECT] += judged[step]
        change = _round(change, plan.change.dropped, plan.change.rounding, 0)
        counters[_COST_CHANGE] += _outside(change, plan.change)
        change = _fit(change, plan.change)
        changes[step] = change
        if signing:
            registers[0] = _sign_costs(plan, registers[0], in_force, change)

        updating = (n + 1) % plan.tau_t == 0
        row = step if shown.counter.shape[0] else -1
        if row >= 0:
            for number in range(2):
                _copy(shown.preactivation[row, number], z[number])
                _copy(shown.activation[row, number], y[number])
        position = updates * plan.slots * plan.word_bits
        _learn(
            net, plan, theta, gradient, state, s, x, y[0], change, exponent, updating, packed, position, counters, room, registers,
            signing, shown, row,
        )  # fmt: skip
        if signing:
            signatures[step, 0], signatures[step, 1] = registers[0] ^ 0xFFFFFFFF, registers[1] ^ 0xFFFFFFFF
        counters[_STEPS] += 1
        for i in range(limits.size):
            counters[i] = min(counters[i], limits[i])
        if updating:
            stale = True
            updates += 1
        if row >= 0:
            _copy(shown.parameter[row], theta)
            for variable in range(state.shape[0]):
                _copy(shown.optimizer[row, variable], state[variable])
            _copy(shown.counter[row], counters)
        due = False
    return updates


@lru_cache(maxsize=16)
def _describe(spec: DesignSpec) -> tuple[_Net, _Plan]:
    """A design in plain integers."""
    forms, layers, layout, schedule, weight = spec.formats, spec.network.layers, spec.layout, spec.schedule, spec.formats.weight
    numbers = range(len(layers))
    operands = [spec.operand_format(number) for number in numbers]
    exact = [spec.preactivation_format(number).fraction_bits for number in numbers]
    pieces = [_Pieces.of(layer.activation.form, spec.preactivation_format(number)) for number, layer in enumerate(layers)]
    narrowed = [
        fraction - forms.table.fraction_bits if layer.activation.tabulated else each.fraction_bits - forms.activation.fraction_bits
        for layer, fraction, each in zip(layers, exact, pieces, strict=True)
    ]
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
        "pieces": [each.pieces for each in pieces],
        "operand_fraction": [operand.fraction_bits for operand in operands],
        "z_dropped": narrowed,
        "delta": [spec.amplitude_raw(fraction) if spec.node else 0 for fraction in exact],
        "g_dropped": [fraction - spec.gradient_format.fraction_bits for fraction in products],
        **{name: [getattr(each, name) for each in pieces] for name in ("begins", "up", "flat", "offset")},
    }
    net = _Net(**{name: np.array(column, dtype=np.int64) for name, column in columns.items()}, tables=tables)
    if type(spec.optimizer) not in _RULES:
        raise unknown("Optimizer", spec.optimizer, "python_ref.fast._RULES")
    m, m_shift, g_shift = _Cast(0, 0, 0, 0, 0), 0, 0
    for kept in spec.optimizer_state[:1]:
        m = _Cast.of(kept.exact, kept.format, Cast(kept.rounding, kept.overflow))
        m_shift, g_shift = (kept.exact.fraction_bits - source.fraction_bits for source in (kept.format, spec.gradient_format))
    plan = _Plan(
        spec.hardware.lanes,
        schedule.perturbation_period,
        schedule.sample_period,
        schedule.update_period,
        int(spec.two_sided),
        int(spec.node),
        int(spec.plain),
        _RULES[type(spec.optimizer)],
        getattr(spec.optimizer, "k", 0),
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
        spec.accumulator_width,
        forms.activation.width,
        spec.cost_format.width,
        spec.cost_change_format.width,
        spec.broadcast_format.width,
        0 if spec.plain else spec.gradient_format.width,
        np.array([kept.format.width for kept in spec.optimizer_state], dtype=np.int64),
        weight.width,
    )
    return net, plan


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
    signatures : array of int64, shape (steps, 2)
        The running signatures after each step, forward and learned; no rows where they were not wanted or are not kept.
    """

    state: State
    evaluations: int
    curve: Curve
    signatures: np.ndarray


def outputs(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pass raw inputs through the unperturbed network.

    Sums that float64 holds exactly are left to BLAS.

    Parameters
    ----------
    spec : DesignSpec
        Design.
    parameters : array of int64, shape (P,)
        θ, raw, in canonical order.
    inputs : array of int64, shape (n, n_in)
        x, raw.

    Returns
    -------
    (array of int64, shape (n, n_out); array of float64, shape (layers,))
        Raw outputs, and the share of each layer's activations whose cast was out of range.
    """
    found = [np.empty((0, spec.network.n_out), dtype=np.int64)]
    outside = np.zeros(len(spec.network.layers))
    for first in range(0, len(inputs), 4096):
        x = inputs[first : first + 4096]
        for number, (weights, biases) in enumerate(split_parameters(spec, parameters)):
            z = exact_matmul(x, weights.T, spec.preactivation_format(number).width) + (
                biases << np.int64(spec.operand_format(number).fraction_bits)
            )
            x, saturated = activate(spec, spec.network.layers[number].activation, z, spec.preactivation_format(number))
            outside[number] += np.count_nonzero(saturated)
        found.append(x)
    neurons = np.array([layer.n_out for layer in spec.network.layers])
    return np.concatenate(found), outside / (neurons * max(1, len(inputs)))


def evaluate(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Accuracy, and mean cost as a real number, of the unperturbed network over raw samples (shapes (n, n_in), (n, n_out))."""
    found, _ = outputs(spec, parameters, inputs)
    right, total = int(np.count_nonzero(correct(spec, found, targets))), int(np.sum(cost(found, targets)))
    return right / len(inputs), math.ldexp(total / len(inputs), -spec.cost_format.fraction_bits)


def exact_matmul(a: np.ndarray, b: np.ndarray, width: int) -> np.ndarray:
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
    signatures: bool = False,
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
    signatures : bool
        Whether to compute the running signatures, if the design keeps them: they cost more than the rest. Implied by
        ``observe``.

    Raises
    ------
    ValueError
        If an array does not fit the network, or if signatures are wanted of a state that lost them.
    """
    machine = _Machine(spec, state, inputs, targets, order, signatures, observe)
    last = state.steps + steps
    record_every = max(1, steps // 50) if record_every is None else record_every
    rows: list[tuple[float, ...]] = []
    history: list[np.ndarray] = []
    evaluations, judged, right, total = 0, 0, 0, 0
    while machine.n < last:
        block = machine.run(min(last, (machine.n // record_every + 1) * record_every))
        history.append(block.signatures)
        fresh = block.judged >= 0
        evaluations += block.passes
        judged, right = judged + int(np.count_nonzero(fresh)), right + int(np.count_nonzero(block.judged == 1))
        total += int(block.costs[fresh, 0].sum())
        if machine.n % record_every == 0 or machine.n == last:
            online = (right / judged, math.ldexp(total / judged, -spec.cost_format.fraction_bits)) if judged else (math.nan, math.nan)
            judged, right, total = 0, 0, 0
            evaluated = evaluate(spec, machine.theta.astype(np.int64), *evaluation) if evaluation is not None else (math.nan, math.nan)
            rows.append((machine.n, evaluations, machine.updates * spec.network.n_parameters, *online, *evaluated))
            if progress is not None:
                progress(machine.n)
            if until is not None and evaluated[0] >= until:
                break
    columns = [np.array(column) for column in zip(*rows, strict=True)] or [np.empty(0)] * len(fields(Curve))
    curve = Curve(*(column.astype(np.int64) for column in columns[:3]), *(column.astype(np.float64) for column in columns[3:]))
    return Result(machine.state(), evaluations, curve, np.concatenate(history) if history else np.empty((0, 2), dtype=np.int64))


class _Block(NamedTuple):
    """What a block of steps found: C of pass 0 and 1, who was judged, signatures (if kept), passes run."""

    costs: np.ndarray
    judged: np.ndarray
    signatures: np.ndarray
    passes: int


class _Machine:
    """A machine in motion: the arrays that the compiled loop changes in place, and the streams that feed it."""

    def __init__(
        self,
        spec: DesignSpec,
        state: State,
        inputs: np.ndarray,
        targets: np.ndarray,
        order: SampleOrder | np.ndarray,
        signatures: bool,
        observe: Callable[[dict[str, np.ndarray]], None] | None,
    ) -> None:
        self.signing = spec.hardware.signature and (signatures or observe is not None)
        if self.signing and state.signature is None:
            raise ValueError("Signatures of the state must be known, not left out earlier; clear them, or train with signatures throughout")
        count = len(inputs)
        for name, array, size in (("Inputs", inputs, spec.network.n_in), ("Targets", targets, spec.network.n_out)):
            if np.shape(array) != (count, size):
                raise ValueError(f"{name} must be of shape ({count}, {size}), not {np.shape(array)!r}")
        forms = spec.formats
        kind = np.int32 if max(form.width for form in (forms.weight, forms.input, forms.activation)) < 32 else np.int64
        self.spec, self.start, self.order, self.observe = spec, state, order, observe
        self.net, self.plan = _describe(spec)
        self.inputs, self.targets = np.ascontiguousarray(inputs, dtype=kind), np.ascontiguousarray(targets, dtype=kind)
        self.signs, self.words = SignSource(spec, state.seed), StochasticSource(spec, state.seed)
        self.theta, self.gradient = state.parameters.astype(kind), state.gradient.copy()
        kept = [state.optimizer[variable.name] for variable in spec.optimizer_state]
        self.kept = np.array(kept, dtype=np.int64).reshape(len(kept), len(self.theta))
        self.z = np.stack((state.baseline.preactivation,) * 2)
        self.y = np.stack((state.baseline.activation,) * 2).astype(kind)
        self.in_force, self.counters = np.array([state.baseline.cost, 0]), state.counters.copy()
        self.registers = np.array(state.signature or INITIAL, dtype=np.int64) ^ 0xFFFFFFFF
        self.n, self.updates, self.due = state.steps, state.updates, state.due
        self.changes = [step for step, _ in spec.schedule.learning_rate]
        self.at_once = batchable(spec) and not self.signing and observe is None
        shown = 8 * values_per_step(spec) if observe else 0
        bytes_per_step = max(40 + shown, spec.quantities / self.plan.tau_p, self.plan.slots * self.plan.word_bits / self.plan.tau_t / 8)
        self.block_steps = max(1, min(1 << 16, int(BLOCK_BYTES / bytes_per_step)))

    def run(self, limit: int) -> _Block:
        """The next steps, at most to step ``limit``."""
        n, tau_t = self.n, self.plan.tau_t
        stop = min(limit, n + self.block_steps, *(change for change in self.changes if change > n))
        quiet = n // tau_t * tau_t + tau_t - 1 - n  # steps before the next with an update
        block = None
        if self.at_once and quiet >= QUIET_STEPS:
            stop = min(stop, n + quiet, n + MOST_AT_ONCE)
            block = self._run_at_once(stop)
        elif self.at_once and tau_t > QUIET_STEPS:
            stop = min(stop, n + quiet + 1)
        return block or self._run_one_by_one(stop)

    def _fed(self, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples, by their number from that of this step on, and sign vectors likewise."""
        tau_x, tau_p = self.plan.tau_x, self.plan.tau_p
        first, count = self.n // tau_x, (stop - 1) // tau_x + 1 - self.n // tau_x
        order = self.order
        indices = (
            order.indices(first, count) if isinstance(order, SampleOrder) else np.asarray(order[first : first + count], dtype=np.int64)
        )
        if len(indices) < count or indices.min() < 0 or indices.max() >= len(self.inputs):
            raise ValueError(
                f"Order must name a sample from 0 to {len(self.inputs) - 1} for each of the numbers {first} to {first + count - 1}"
            )
        return indices, self.signs.block(self.n // tau_p, (stop - 1) // tau_p + 1 - self.n // tau_p)

    def _run_one_by_one(self, stop: int) -> _Block:
        n, plan, spec, length = self.n, self.plan, self.spec, stop - self.n
        indices, signs = self._fed(stop)
        packed = self.words.packed(self.updates, stop // plan.tau_t - n // plan.tau_t)
        costs, changes, judged = np.empty((length, 2), dtype=np.int64), np.empty(length, dtype=np.int64), np.empty(length, dtype=np.int64)
        signed = np.empty((length if self.signing else 0, 2), dtype=np.int64)
        shown = _room(spec, length if self.observe else 0, self.theta.dtype)
        self.updates += _run(
            self.net, plan, self.theta, self.gradient, self.kept, self.z, self.y, self.in_force, self.due, self.inputs, self.targets,
            indices, signs, spec.exponent_at(n), packed, n, self.counters, COUNTER_LIMITS, costs, changes, judged, self.registers, signed,
            shown,
        )  # fmt: skip
        steps = np.arange(n, stop)
        if self.observe:
            self.observe(_observables(spec, shown, costs, changes, signs[steps // plan.tau_p - n // plan.tau_p], signed))
        self.n, self.due = stop, False
        baselines = (judged >= 0) | (steps % plan.tau_t == 0) | spec.two_sided
        return _Block(costs, judged, signed, length + int(np.count_nonzero(baselines)))

    def _run_at_once(self, stop: int) -> _Block | None:
        steps = np.arange(self.n, stop)
        indices, signs = self._fed(stop)
        indices, signs = (
            indices[steps // self.plan.tau_x - self.n // self.plan.tau_x],
            signs[steps // self.plan.tau_p - self.n // self.plan.tau_p],
        )
        found = accumulate(self.spec, self.state(), self.inputs, self.targets, indices, signs)
        if found is None:
            return None
        after, costs, judged = found
        self.gradient, self.counters = after.gradient, after.counters
        self.z[0], self.y[0], self.in_force[0] = after.baseline.preactivation, after.baseline.activation, after.baseline.cost
        baselines = (judged >= 0) | (steps % self.plan.tau_t == 0) | self.spec.two_sided
        self.n, self.due = stop, False
        return _Block(costs, judged, np.empty((0, 2), dtype=np.int64), len(steps) + int(np.count_nonzero(baselines)))

    def state(self) -> State:
        """The machine at rest, as the plain page has it."""
        kept = self.signing or not self.spec.hardware.signature or self.n == self.start.steps
        forward, learned = (int(register) ^ 0xFFFFFFFF for register in self.registers)
        return State(
            self.start.seed,
            self.n,
            self.updates,
            self.due,
            self.theta.astype(np.int64),
            self.gradient.copy(),
            {variable.name: row.copy() for variable, row in zip(self.spec.optimizer_state, self.kept, strict=True)},
            Pass(self.z[0].copy(), self.y[0].astype(np.int64), int(self.in_force[0]), 0),
            self.counters.copy(),
            ((forward, learned) if self.signing else self.start.signature) if kept else None,
        )


def _room(spec: DesignSpec, steps: int, kind: np.dtype) -> _Shown:
    neurons, parameters = spec.network.n_neurons, spec.network.n_parameters
    return _Shown(
        np.empty((steps, 2, neurons), dtype=np.int64),
        np.empty((steps, 2, neurons), dtype=kind),
        np.zeros((steps, spec.layout.words), dtype=np.int64),
        np.empty((steps, parameters), dtype=np.int64),
        np.empty((steps, len(spec.optimizer_state), parameters), dtype=np.int64),
        np.empty((steps, parameters), dtype=kind),
        np.empty((steps, len(COUNTERS)), dtype=np.int64),
    )


def _observables(
    spec: DesignSpec, shown: _Shown, costs: np.ndarray, changes: np.ndarray, signs: np.ndarray, signed: np.ndarray
) -> dict[str, np.ndarray]:
    """The observables of a block, as ``probes(spec)`` says, a leading axis of steps before each shape."""
    found = {
        "preactivation": shown.preactivation,
        "activation": shown.activation.astype(np.int64),
        "cost": costs,
        "cost_change": changes[:, None],
        "broadcast": shown.broadcast,
        "sign": (signs[:, spec.layout.parameter_neuron] if spec.node else signs).astype(np.int64),
        "gradient": shown.gradient,
        **{variable.name: shown.optimizer[:, number] for number, variable in enumerate(spec.optimizer_state)},
        "parameter": shown.parameter.astype(np.int64),
        "counter": shown.counter,
        "signature": signed,
    }
    return {probe.name: found[probe.name] for probe in probes(spec)}


def write_trace(run: Run, directory: Path, *, first: int = 0) -> State:
    """Compute a run and write its trace from step ``first`` on; the state after the last step."""
    with TraceWriter(directory, Header.of(run, "python_ref.fast", first=first), run.spec) as writer:
        before = train(run.spec, run.initial_state(), run.inputs, run.targets, run.order, min(first, run.steps), signatures=True)
        state = before.state
        writer.skip(before.signatures)
        return train(
            run.spec, state, run.inputs, run.targets, run.order, run.steps - state.steps, record_every=run.steps + 1, observe=writer.extend
        ).state
