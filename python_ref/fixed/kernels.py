"""The compiled loops of the fixed model, which :mod:`~python_ref.fixed.fast` runs.

Import this module only where it is used, since it imports numba. Its speed comes from 32-bit arithmetic where the formats allow it, from
inner loops over the synapses of a neuron, and, in node perturbation, from one product of the first layer for all passes of a step:
z± = z₀ ± sΔ.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from python_ref.compiled import compiled
from python_ref.fixed.plan import FLOOR, HALF_UP, STOCHASTIC
from python_ref.spec.error import unknown
from python_ref.spec.events import POLYNOMIAL
from python_ref.spec.optimizer import Memory, Momentum, Optimizer, Sgd
from python_ref.spec.probes import COUNTERS

__all__ = ["Shown", "rule_of", "run_steps"]

_STEPS, _UPDATES, _CORRECT, _WRITES, _CHANGED = range(5)
_ACTIVATION, _COST_CHANGE, _BROADCAST, _GRADIENT, _UPDATE, _WEIGHT = (
    COUNTERS.index(f"saturated_{kind}") for kind in ("activation", "cost_change", "broadcast", "gradient", "update", "weight")
)
_MOMENTUM = COUNTERS.index(f"saturated_{Memory.MOMENTUM.name.lower()}")

_SGD, _LEAKY_SUM = range(2)
_RULES: dict[type[Optimizer], int] = {Sgd: _SGD, Momentum: _LEAKY_SUM}
"""Number of each optimiser's branch in :func:`_update`, by its class in the spec."""


def rule_of(optimizer: Optimizer) -> int:
    """Return the number of an optimiser's branch in the compiled loops.

    Raises
    ------
    TypeError
        If the compiled loops do not support the optimiser.
    """
    if type(optimizer) not in _RULES:
        raise unknown("Optimizer", optimizer, "python_ref.fixed.kernels._RULES")
    return _RULES[type(optimizer)]


class Shown(NamedTuple):
    """Buffers for the observables of a block of steps; they have no rows if nothing is recorded."""

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
    if rounding == FLOOR:
        return kept
    rest = raw & ((1 << shift) - 1)
    if rounding == STOCHASTIC:
        return kept + ((rest + (word & ((1 << shift) - 1))) >> shift)
    half = 1 << (shift - 1)
    if rounding == HALF_UP:
        return kept + (1 if rest >= half else 0)
    # The mode is HALF_EVEN, since Narrowing.of refuses unknown modes; raising an exception here would cost a third of the speed.
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
    """Return ``bits`` bits of a packed stream, starting at a bit position."""
    if bits == 0:
        return 0
    index, shift = position >> 6, np.uint64(position & 63)
    value = packed[index] >> shift
    if (position & 63) + bits > 64:
        value |= packed[index + 1] << (np.uint64(64) - shift)
    return np.int64(value & np.uint64((1 << bits) - 1))


@_compiled
def _copy(target, source):
    """Copy rows, target ← source; the compiler takes much longer for an assignment of slices."""
    for i in range(target.size):
        target[i] = source[i]


@_compiled
def _dense(theta, at, x, fraction, z):
    """Compute z ← W·x + b."""
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
    """Compute z ← (W + δ·S)·x + b + δ·s."""
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
    """Compute y from z; return the number of values out of range."""
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
    """Compute one pass with the perturbation direction·s·Δ; return the number of saturations.

    In node perturbation, ``product`` is W·x + b of layer 0.
    """
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
    """Compute g of the words of a group (operand 1, then the layer's inputs); return the number of values out of range."""
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
    """Compute u ← cast_weight(g), rounded before the sign is applied; return the number of values out of range."""
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
    """Compute θ ← saturate(θ − s·u) for the synapses of a neuron; ``sign`` applies to all of them, or ``s`` if it is 2."""
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
    """Compute G ← saturate(G + s·g) for the synapses of a neuron; return the number of saturations."""
    saturated = 0
    for k in range(g.size):
        total = gradient[k] + (s[k] if sign == 2 else sign) * g[k]
        kept = min(max(total, plan.g.low), plan.g.high)
        saturated += kept != total
        gradient[k] = kept
    return saturated


@_compiled
def _update(plan, theta, gradient, state, at, r, counters):
    """Compute θ ← saturate(θ − cast_weight(source)) for the synapses of a neuron, with the source that the optimiser computes from G.

    ``state`` (shape (variables, P)) contains the optimiser's state; that of the neuron begins at ``at``.
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
    """Return the contribution of a field of a payload to the 32-bit word of its event."""
    bits, turn = value & ((1 << width) - 1), offset & 31
    low = (bits ^ (bits >> 32)) & 0xFFFFFFFF
    return ((low << turn) | (low >> (32 - turn))) & 0xFFFFFFFF


@_compiled
def _sign(register, word):
    """Return a signature's register after a word."""
    return (register >> 1) ^ (POLYNOMIAL * (register & 1)) ^ word


@_compiled
def _sign_pass(plan, register, number, z, y, cost):
    """Return a signature's register after a pass, whose neurons have a register of their own."""
    neurons = np.int64(0xFFFFFFFF)
    for o in range(z.size):
        neurons = _sign(neurons, number ^ _folded(z[o], plan.z_width, 1) ^ _folded(np.int64(y[o]), plan.y_width, 1 + plan.z_width))
    return _sign(register, neurons ^ number ^ _folded(cost, plan.cost_width, 1))


@_compiled
def _sign_words(plan, register, broadcast, count, at, s, s_at, s_stride, s_step, theta, gradient, state):
    """Return a signature's register after the words of a group of ``count`` neurons.

    The group's parameters begin at ``at``, its signs at ``s_at``.
    """
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
    """Broadcast, correlate, and update if the update is due.

    ``position`` is the bit at which the update's random words begin, ``room`` contains buffers for the words of a group (g, r, u, and the
    broadcast), and ``row`` is the row of ``shown`` to fill, or −1.
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
                    if g[k] != 0 or not plan.direct_update:
                        r[k] = _random_word(packed, at + k * plan.word_bits, plan.word_bits)
            if plan.direct_update:
                counters[_UPDATE] += count * _narrow_update(plan, g, r, u)
            for o in range(first, first + count):
                at = net.theta_at[layer] + o * width
                sign = np.int64(s[net.neuron_at[layer] + o]) if plan.node else 2
                signs = s if plan.node else s[at : at + width]
                if plan.direct_update:
                    _move(theta[at : at + width], sign, signs, u, plan.theta_low, plan.theta_high, counters)
                else:
                    counters[_GRADIENT] += _correlate(plan, gradient[at : at + width], sign, signs, g)
                    if updating:
                        _update(plan, theta[at : at + width], gradient[at : at + width], state, at, r, counters)
            at = net.theta_at[layer] + first * width
            if row >= 0:
                word = net.word_at[layer] + group * width
                for k in range(width):
                    shown.broadcast[row, word + k] = u[k] if plan.direct_update else g[k]
                _copy(shown.gradient[row, at : at + count * width], gradient[at : at + count * width])
            if signing:
                s_at = net.neuron_at[layer] + first if plan.node else at
                strides = (1, 0) if plan.node else (width, 1)
                sent = room[3][:width]
                for k in range(width):
                    sent[k] = u[k] if plan.direct_update else g[k]
                registers[1] = _sign_words(plan, registers[1], sent, count, at, s, s_at, strides[0], strides[1], theta, gradient, state)
            if updating and not plan.direct_update:
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
    """Return the index of the largest y from ``first`` on, the lowest in a tie; for a single y, whether it is at least ½."""
    if y.size - first == 1:
        return 1 if 2 * y[first] >= plan.one else 0
    best = first
    for k in range(first + 1, y.size):
        if y[k] > y[best]:
            best = k
    return best - first


@_compiled
def run_steps(
    net, plan, theta, gradient, state, z, y, in_force, due, inputs, targets, indices, signs, exponent, packed, n, counters,
    limits, costs, changes, judged, registers, signatures, shown,
):  # fmt: skip
    """Run as many steps from n on as ``judged`` has entries, with one exponent.

    ``judged`` receives 0 or 1 for a wrong or right answer to a new sample, otherwise −1.
    """
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
                registers[0] = _sign_pass(plan, registers[0], number, z[number], y[number], in_force[number])
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
            registers[0] = _sign(registers[0], _folded(change, plan.change_width, 0))

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
