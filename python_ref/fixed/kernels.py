"""The compiled loops of the fixed model: those of weight perturbation, and what :mod:`~python_ref.fixed.node_kernels` shares with them.

Import this module only where it is used, since it imports numba. Its speed comes from 32-bit arithmetic where the formats allow it, and
from inner loops over the synapses of a neuron or over the neurons of a layer, which the compiler turns into vector instructions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from python_ref.compiled import compiled
from python_ref.fixed.plan import FLOOR, HALF_UP, STOCHASTIC
from python_ref.fixed.tally_kernels import tally_signed, tally_update
from python_ref.spec.error import unknown
from python_ref.spec.events import POLYNOMIAL
from python_ref.spec.optimizer import Momentum, Optimizer, Sgd, ShiftAdam
from python_ref.spec.probes import COUNTERS

__all__ = [
    "Shown", "activate", "copy", "cost_of", "count_step", "fit", "fold", "fold_stored", "is_outside", "judge", "learn",
    "narrow_change", "operands_of", "random_word", "round_by_adding", "round_value", "rule_of", "run_steps", "sign",
    "sign_neurons", "update_neuron", "weigh", "widest_layer",
]  # fmt: skip

_STEPS, _UPDATES, _CORRECT, _WRITES, _CHANGED = range(5)
_ACTIVATION, _COST_CHANGE, _BROADCAST, _GRADIENT, _UPDATE, _WEIGHT = (
    COUNTERS.index(f"saturated_{kind}") for kind in ("activation", "cost_change", "broadcast", "gradient", "update", "weight")
)
_SGD, _LEAKY_SUM, _SHIFT_ADAM = range(3)
_RULES: dict[type[Optimizer], int] = {Sgd: _SGD, Momentum: _LEAKY_SUM, ShiftAdam: _SHIFT_ADAM}
"""Number of each optimiser's branch in :func:`_take_step`, by its class in the spec."""


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
    """Buffers for the observables of a block of steps of weight perturbation; they have no rows if nothing is recorded."""

    preactivation: np.ndarray
    activation: np.ndarray
    broadcast: np.ndarray
    gradient: np.ndarray
    optimizer: np.ndarray
    parameter: np.ndarray
    counter: np.ndarray


_compiled = compiled(error_model="numpy")


@_compiled
def round_value(raw, dropped, rounding, word):
    """Drop the low bits of a value and round the rest."""
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
def round_by_adding(dropped, rounding):
    """Return a number a and a bit b with which (v + a + (b AND v >> dropped)) >> dropped is v rounded, for any mode but STOCHASTIC.

    In that form, a loop over values has no branch. ``dropped`` must be 1 to 63; values have at most 63 bits.
    """
    half = 1 << (dropped - 1)
    if rounding == FLOOR:
        return 0, 0
    if rounding == HALF_UP:
        return half, 0
    return half - 1, 1


@_compiled
def fit(raw, cast):
    """Return a value within the limits of a cast, by its overflow mode."""
    if cast.wrap:
        return cast.low + ((raw - cast.low) & (cast.high - cast.low))
    return min(max(raw, cast.low), cast.high)


@_compiled
def is_outside(raw, cast):
    """Return 1 if a value is beyond the limits of a cast, otherwise 0."""
    return 1 if raw < cast.low or raw > cast.high else 0


@_compiled
def random_word(packed, position, bits):
    """Return ``bits`` bits, at most 63, of a packed stream, starting at a bit position; the stream has one more word behind them."""
    index, shift = position >> 6, np.uint64(position & 63)
    above = (packed[index + 1] << np.uint64(1)) << (np.uint64(63) - shift)
    return np.int64(packed[index] >> shift | above) & ((1 << bits) - 1)


@_compiled
def widest_layer(net):
    """Return the largest number of operands of a neuron, the 1 of its bias included."""
    widest = 0
    for layer in net.layers:
        widest = max(widest, layer.fan_in + 1)
    return widest


@_compiled
def copy(target, source):
    """Copy rows, target ← source; the compiler takes much longer for an assignment of slices."""
    for i in range(target.size):
        target[i] = source[i]


@_compiled
def operands_of(net, layer, first, x):
    """Return the operands of the block of neurons that begins with neuron ``first`` of a layer, from the layer's inputs."""
    if layer.lists_at < 0:
        return x
    taken = np.empty(layer.fan_in, x.dtype)
    at = layer.lists_at + first // layer.block * layer.fan_in
    for k in range(taken.size):
        taken[k] = x[net.lists[at + k]]
    return taken


@_compiled
def weigh(net, layer, theta, x, z):
    """Compute z ← W·x + b of a layer, block by block."""
    for first in range(0, layer.n_out, layer.block):
        at = layer.theta_at + first * (layer.fan_in + 1)
        _dense(theta, at, operands_of(net, layer, first, x), layer.operand_fraction, z[first : first + layer.block])


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
def activate(layer, tables, cast, address, z, y):
    """Compute y from z with the constants of a layer, by pieces and ``cast``, or by a table and the cast to its ``address``.

    Return the number of values out of range. The loop over the neurons has no branch; a piece that a layer lacks begins beyond all values.
    """
    dropped = layer.z_dropped
    if layer.pieces == 0:
        return _look_up(tables[layer.last], address, dropped, z, y)
    left, right, added, even = max(-dropped, 0), min(max(dropped, 0), 63), 0, 0
    if right > 0:
        added, even = round_by_adding(right, cast.rounding)
    begin1, begin2, begin3 = layer.begins[1], layer.begins[2], layer.begins[3]
    offset0, offset1, offset2, offset3 = layer.offset[0], layer.offset[1], layer.offset[2], layer.offset[3]
    up0, up1, up2, up3 = layer.up[0], layer.up[1], layer.up[2], layer.up[3]
    slope0, slope1, slope2, slope3 = layer.constant[0] - 1, layer.constant[1] - 1, layer.constant[2] - 1, layer.constant[3] - 1
    saturated, low, high = 0, cast.low, cast.high
    for o in range(z.size):
        v = z[o]
        line = offset0 + ((v << up0) & slope0)
        line = offset1 + ((v << up1) & slope1) if v >= begin1 else line
        line = offset2 + ((v << up2) & slope2) if v >= begin2 else line
        line = offset3 + ((v << up3) & slope3) if v >= begin3 else line
        line <<= left
        line = (line + added + (even & (line >> right))) >> right
        kept = min(max(line, low), high)
        saturated += kept != line
        y[o] = low + ((line - low) & (high - low)) if cast.wrap else kept
    return saturated


@_compiled
def _look_up(table, address, dropped, z, y):
    """Compute y from z by a table; return the number of addresses out of range."""
    saturated = 0
    for o in range(z.size):
        v = round_value(z[o], dropped, address.rounding, 0)
        saturated += is_outside(v, address)
        y[o] = table[fit(v, address) & (table.size - 1)]
    return saturated


@_compiled
def _pass(net, plan, theta, s, direction, x, z_all, y_all):
    """Compute one pass with the perturbation direction·s·Δ of the weights; return the number of saturations."""
    saturated, operand = 0, x
    for layer in net.layers:
        at, first, n_out = layer.theta_at, layer.neuron_at, layer.n_out
        z, y = z_all[first : first + n_out], y_all[first : first + n_out]
        if direction == 0:
            weigh(net, layer, theta, operand, z)
        else:
            for begin in range(0, n_out, layer.block):
                taken, own = operands_of(net, layer, begin, operand), at + begin * (layer.fan_in + 1)
                delta = direction * plan.weight_delta
                _dense_perturbed(theta, s, delta, own, taken, layer.operand_fraction, z[begin : begin + layer.block])
        saturated += activate(layer, net.tables, plan.activation, plan.address, z, y)
        operand = y
    return saturated


@_compiled
def _narrow_update(plan, g, r, u):
    """Compute u ← cast_weight(g), rounded before the sign is applied; return the number of values out of range."""
    outside = 0
    for k in range(u.size):
        value = round_value(g, plan.u.dropped, plan.u.rounding, r[k])
        outside += is_outside(value, plan.u)
        u[k] = fit(value, plan.u)
    return outside


@_compiled
def _move(theta, s, u, low, high, counters):
    """Compute θ ← saturate(θ − s·u) for the synapses of a neuron."""
    kind = theta.dtype.type
    low, high = kind(low), kind(high)
    changed, saturated = np.int32(0), np.int32(0)
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
def _correlate(low, high, gradient, s, g):
    """Compute G ← saturate(G + s·g) for the synapses of a neuron; return the number of saturations."""
    saturated = 0
    for k in range(gradient.size):
        total = gradient[k] + s[k] * g
        kept = min(max(total, low), high)
        saturated += kept != total
        gradient[k] = kept
    return saturated


@_compiled
def _leading_one(value):
    """Return the place of the highest set bit of a value that is not negative, counted from 0; 0 for a zero."""
    place = 0
    for bits in (32, 16, 8, 4, 2, 1):
        if value >> (place + bits):
            place += bits
    return place


@_compiled
def _leaky_mean(variable, k, state, row, at, new, place, r, counters):
    """Compute state ← cast(state − state·2⁻ᵏ + new·2⁻ᵏ) for one parameter; ``new`` is shifted by ``place`` to the exact sum. Return it."""
    aligned = state[row, at] << variable.shift
    value = round_value(aligned - (aligned >> k) + (new << place), variable.dropped, variable.rounding, r)
    counters[variable.counter] += is_outside(value, variable)
    state[row, at] = fit(value, variable)
    return state[row, at]


@_compiled
def _adapt(rule, gradient, state, at, r, counters, source):
    """Compute the source of shift-Adam for the synapses of a neuron, with the symbols of :mod:`python_ref.spec.shift_adam`."""
    k1, k2, refined = rule.parameters[0], rule.parameters[1], rule.parameters[2]
    fraction, low, high = rule.source
    last = rule.variables.size - 1
    v_of, g_fraction = rule.variables[last], rule.gradient_fraction
    v_fraction = v_of.g_shift + g_fraction - v_of.shift
    m_fraction = g_fraction
    if k1 > 0:
        m_fraction = rule.variables[0].g_shift + g_fraction - rule.variables[0].shift
    for k in range(gradient.size):
        m = gradient[k]
        if k1 > 0:
            m_of = rule.variables[0]
            m = _leaky_mean(m_of, k1, state, 0, at + k, gradient[k], m_of.g_shift - k1, r[k], counters)
        square = gradient[k] * gradient[k]
        v = _leaky_mean(v_of, k2, state, last, at + k, square, v_of.g_shift - g_fraction - k2, r[k], counters)
        place = _leading_one(v)
        exponent = place - v_fraction
        left = fraction - m_fraction + rule.exponent - ((exponent + 1) >> 1)
        if refined:
            second = (v >> (place - 1)) & 1 if place > 0 else 0
            m = 8 * m + m * ((2 - second) if exponent & 1 else -1 - second)
            left -= 3
        moved = m << left if left >= 0 else m >> min(-left, 63)
        source[k] = min(max(moved, low), high)


@_compiled
def _take_step(rule, gradient, state, at, r, counters, source):
    """Compute the source of the update of each synapse of a neuron from G and the optimiser's state, and the new state.

    ``state`` (shape (variables, P)) contains the optimiser's state, that of the neuron from ``at`` on; ``source`` receives the sources.
    """
    if rule.number == _LEAKY_SUM:  # m ← cast_m(m − m·2⁻ᵏ + G)
        m, decay = rule.variables[0], rule.parameters[0]
        for k in range(gradient.size):
            aligned = state[0, at + k] << m.shift
            value = round_value(aligned - (aligned >> decay) + (gradient[k] << m.g_shift), m.dropped, m.rounding, r[k])
            counters[m.counter] += is_outside(value, m)
            source[k] = state[0, at + k] = fit(value, m)
    elif rule.number == _SGD:
        copy(source, gradient)
    elif rule.number == _SHIFT_ADAM:
        _adapt(rule, gradient, state, at, r, counters, source)
    else:
        raise ValueError("The compiled loops have no branch for the optimiser: give _take_step one for its number in _RULES.")


@_compiled
def update_neuron(rule, cast, limits, theta, gradient, state, at, r, counters, source):
    """Compute θ ← saturate(θ − cast_weight(source)) for the synapses of a neuron, with the source that the optimiser computes from G.

    ``cast`` is cast_weight, and ``limits`` are those of a parameter; ``source`` is a buffer. See :func:`_take_step` for the rest.
    """
    _take_step(rule, gradient, state, at, r, counters, source)
    outside, saturated, changed = 0, 0, 0
    for k in range(theta.size):
        value = round_value(source[k], cast.dropped, cast.rounding, r[k])
        outside += is_outside(value, cast)
        old = np.int64(theta[k])
        moved = old - fit(value, cast)
        kept = min(max(moved, limits[0]), limits[1])
        saturated += kept != moved
        changed += kept != old
        theta[k] = kept
    counters[_UPDATE] += outside
    counters[_WEIGHT] += saturated
    counters[_CHANGED] += changed


@_compiled
def fold(value, width, offset):
    """Return the contribution of a field of a payload to the 32-bit word of its event."""
    bits, turn = value & ((1 << width) - 1), offset & 31
    low = (bits ^ (bits >> 32)) & 0xFFFFFFFF
    return ((low << turn) | (low >> (32 - turn))) & 0xFFFFFFFF


@_compiled
def sign(register, word):
    """Return a signature's register after a word."""
    return (register >> 1) ^ (POLYNOMIAL * (register & 1)) ^ word


@_compiled
def sign_neurons(plan, register, number, z, y):
    """Return a signature's register after the neurons of a pass."""
    offset = plan.pass_width
    for o in range(z.size):
        word = number ^ fold(z[o], plan.z_width, offset) ^ fold(np.int64(y[o]), plan.y_width, offset + plan.z_width)
        register = sign(register, word)
    return register


@_compiled
def _sign_pass(plan, register, number, z, y, cost):
    """Return a signature's register after a pass, whose neurons have a register of their own."""
    neurons = sign_neurons(plan, np.int64(0xFFFFFFFF), number, z, y)
    return sign(register, neurons ^ number ^ fold(cost, plan.cost_width, plan.pass_width))


@_compiled
def fold_stored(plan, rule, count, at, stride, offset, theta, gradient, state):
    """Return the contribution of what the lanes store to the word of an event: G, the optimiser's state and θ of ``count`` lanes.

    Lane 0 has parameter number ``at``, and each lane the one ``stride`` after that of the lane before; the fields begin at bit ``offset``.
    """
    word, state_at = 0, offset + plan.lanes * plan.g_width
    for lane in range(count):
        i, here = at + lane * stride, state_at
        if plan.g_width:
            word ^= fold(gradient[i], plan.g_width, offset + lane * plan.g_width)
        for variable in range(state.shape[0]):
            bits = rule.variables[variable].width
            word ^= fold(state[variable, i], bits, here + lane * bits)
            here += plan.lanes * bits
        word ^= fold(np.int64(theta[i]), plan.theta_width, here + lane * plan.theta_width)
    return word


@_compiled
def _sign_words(plan, rule, register, broadcast, count, at, s, theta, gradient, state):
    """Return a signature's register after the words of a group of ``count`` neurons, whose parameters and signs begin at ``at``."""
    width, signs_at = broadcast.size, plan.broadcast_width
    for k in range(width):
        word = fold(np.int64(broadcast[k]), plan.broadcast_width, 0)
        for lane in range(count):
            word ^= fold(np.int64(s[at + lane * width + k]), 2, signs_at + 2 * lane)
        word ^= fold_stored(plan, rule, count, at + k, width, signs_at + 2 * plan.lanes, theta, gradient, state)
        register = sign(register, word)
    return register


@_compiled
def learn(
    net, plan, rule, theta, gradient, state, s, g, updating, packed, position, counters, room, registers, signing, shown, row
):  # fmt: skip
    """Correlate the broadcast g, and update if the update is due.

    ``position`` is the bit at which the update's random words begin, ``room`` contains buffers for the words of a group (r, u, and the
    broadcast), and ``row`` is the row of ``shown`` to fill, or −1.
    """
    for layer in net.layers:
        n_out, width = layer.n_out, layer.fan_in + 1
        r, u, sent = room[0][:width], room[1][:width], room[2][:width]
        for group in range(-(-n_out // plan.lanes)):
            first = group * plan.lanes
            count = min(plan.lanes, n_out - first)
            if updating and plan.word_bits:
                at = position + (layer.slot_at + group * layer.group_slots) * plan.word_bits
                for k in range(width):
                    r[k] = random_word(packed, at + k * plan.word_bits, plan.word_bits)
            if plan.direct_update:
                counters[_UPDATE] += count * _narrow_update(plan, g, r, u)
            for o in range(first, first + count):
                at = layer.theta_at + o * width
                signs = s[at : at + width]
                if plan.direct_update:
                    _move(theta[at : at + width], signs, u, plan.theta_low, plan.theta_high, counters)
                else:
                    counters[_GRADIENT] += _correlate(plan.g.low, plan.g.high, gradient[at : at + width], signs, g)
                    if updating:
                        own = theta[at : at + width], gradient[at : at + width]
                        update_neuron(rule, plan.u, (plan.theta_low, plan.theta_high), own[0], own[1], state, at, r, counters, sent)
            at = layer.theta_at + first * width
            for k in range(width):
                sent[k] = u[k] if plan.direct_update else g
            if row >= 0:
                word = layer.word_at + group * width
                copy(shown.broadcast[row, word : word + width], sent)
                copy(shown.gradient[row, at : at + count * width], gradient[at : at + count * width])
            if signing:
                registers[1] = _sign_words(plan, rule, registers[1], sent, count, at, s, theta, gradient, state)
    if updating:
        counters[_UPDATES] += 1
        counters[_WRITES] += theta.size


@_compiled
def cost_of(y_all, target):
    """Return C of the outputs, the last activations of a pass."""
    total = np.int64(0)
    for k in range(target.size):
        residual = np.int64(y_all[y_all.size - target.size + k]) - target[k]
        total += residual * residual
    return total


@_compiled
def answer_of(one, y, first):
    """Return the index of the largest y from ``first`` on, the lowest in a tie; for a single y, whether it is at least ½."""
    if y.size - first == 1:
        return 1 if 2 * y[first] >= one else 0
    best = first
    for k in range(first + 1, y.size):
        if y[k] > y[best]:
            best = k
    return best - first


@_compiled
def judge(one, y, target, counters):
    """Return 1 or 0 for a right or wrong answer to a new sample, and count it if it is right; ``one`` is the raw activation 1."""
    right = 1 if answer_of(one, y, y.size - target.size) == answer_of(one, target, 0) else 0
    counters[_CORRECT] += right
    return right


@_compiled
def narrow_change(cast, change, counters):
    """Return C̃, and count it if it was out of range."""
    change = round_value(change, cast.dropped, cast.rounding, 0)
    counters[_COST_CHANGE] += is_outside(change, cast)
    return fit(change, cast)


@_compiled
def count_step(counters, limits):
    """Count a step; every counter stops at its limit."""
    counters[_STEPS] += 1
    for i in range(limits.size):
        counters[i] = min(counters[i], limits[i])


@_compiled
def run_steps(
    net, plan, rule, theta, gradient, state, z, y, in_force, due, inputs, targets, indices, signs, exponent, packed, n, counters,
    limits, costs, changes, judged, registers, signatures, shown, tally,
):  # fmt: skip
    """Run as many steps of weight perturbation from n on as ``judged`` has entries, with one exponent; return the number of updates.

    ``judged`` receives 0 or 1 for a wrong or right answer to a new sample, otherwise −1. ``tally`` counts, unless it is empty.
    """
    first_p, first_x, start, updates = n // plan.tau_p, n // plan.tau_x, n, 0
    widest = widest_layer(net)
    room = np.zeros(widest, dtype=np.int64), np.empty(widest, dtype=theta.dtype), np.empty(widest, dtype=np.int64)
    signing = signatures.shape[0] > 0
    for step in range(judged.size):
        n = start + step
        new = due or n % plan.tau_x == 0
        sample = indices[n // plan.tau_x - first_x]
        x, target = inputs[sample], targets[sample]
        s = signs[n // plan.tau_p - first_p]
        baseline_due = new or n % plan.tau_t == 0
        for number in range(2):
            if number == 0 and not plan.two_sided and not baseline_due:
                continue
            direction = 1 - 2 * number if plan.two_sided else number
            counters[_ACTIVATION] += _pass(net, plan, theta, s, direction, x, z[number], y[number])
            in_force[number] = cost_of(y[number], target)
            if signing:
                registers[0] = _sign_pass(plan, registers[0], number, z[number], y[number], in_force[number])
        costs[step, 0], costs[step, 1] = in_force[0], in_force[1]
        judged[step] = judge(plan.one, y[0], target, counters) if new else -1
        change = in_force[0] - in_force[1] if plan.two_sided else in_force[1] - in_force[0]
        change = narrow_change(plan.change, change, counters)
        changes[step] = change
        if signing:
            registers[0] = sign(registers[0], fold(change, plan.change_width, 0))

        updating = (n + 1) % plan.tau_t == 0
        row = step if shown.counter.shape[0] else -1
        if row >= 0:
            for number in range(2):
                copy(shown.preactivation[row, number], z[number])
                copy(shown.activation[row, number], y[number])
        g = round_value(change, net.layers[0].g_dropped - exponent, plan.g.rounding, 0)
        counters[_BROADCAST] += theta.size * is_outside(g, plan.g)
        position = updates * plan.update_words * plan.word_bits
        g = fit(g, plan.g)
        learn(
            net, plan, rule, theta, gradient, state, s, g, updating, packed, position, counters, room, registers, signing, shown, row
        )  # fmt: skip
        if updating and tally.before.size:
            if plan.direct_update:
                tally_signed(tally, theta, s, g)
            else:
                tally_update(tally, theta, gradient)
        if updating and not plan.direct_update:
            for i in range(gradient.size):
                gradient[i] = 0
        if signing:
            signatures[step, 0], signatures[step, 1] = registers[0] ^ 0xFFFFFFFF, registers[1] ^ 0xFFFFFFFF
        count_step(counters, limits)
        updates += updating
        if row >= 0:
            copy(shown.parameter[row], theta)
            for variable in range(state.shape[0]):
                copy(shown.optimizer[row, variable], state[variable])
            copy(shown.counter[row], counters)
        due = False
    return updates
