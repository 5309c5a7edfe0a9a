"""The compiled loop of node perturbation of networks with state, which :mod:`~python_ref.fixed.fast` runs.

Import this module only where it is used, since it imports numba. A probe takes W·x + b of the first layer from the unperturbed pass, since
neither the inputs nor the parameters have changed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from python_ref.compiled import compiled
from python_ref.fixed.kernels import (
    activate,
    copy,
    cost_of,
    count_step,
    fit,
    fold,
    is_outside,
    judge,
    narrow_change,
    round_value,
    sign,
    update_neuron,
)
from python_ref.fixed.node_kernels import clear, correlate, draw, narrow_errors, sign_words
from python_ref.fixed.series_plan import DENSE, LEAKY, LIF
from python_ref.fixed.tally_kernels import tally_update
from python_ref.spec.probes import COUNTERS

__all__ = ["Room", "ShownSeries", "aim", "clear_beyond", "count_outside", "length_of", "outputs_of", "run_pass", "run_series", "sign_pass"]

_UPDATES, _WRITES, _ACTIVATION, _STATE, _ERROR, _GRADIENT = (
    COUNTERS.index(name)
    for name in ("updates", "writes", "saturated_activation", "saturated_state", "saturated_error", "saturated_gradient")
)


class ShownSeries(NamedTuple):
    """Buffers for the observables of a block of steps; they have no rows if nothing is recorded."""

    preactivation: np.ndarray
    activation: np.ndarray
    state: np.ndarray
    error_sum: np.ndarray
    error: np.ndarray
    gradient: np.ndarray
    optimizer: np.ndarray
    parameter: np.ndarray
    counter: np.ndarray
    sign: np.ndarray
    """Signs in force."""


class Room(NamedTuple):
    """Buffers of a run: operands of a layer; W·x + b of the first layer in each frame; the sum over the frames; outputs and targets of the
    network at the fraction of y − y*; outputs of the unperturbed pass; random words, and sources of updates, of a neuron; and the signs
    in force."""

    operands: np.ndarray
    base: np.ndarray
    total: np.ndarray
    outputs: np.ndarray
    target: np.ndarray
    kept: np.ndarray
    words: np.ndarray
    source: np.ndarray
    signs: np.ndarray


_compiled = compiled(error_model="numpy")


@_compiled
def length_of(net, x):
    """Return the number of frames of a sample."""
    if net.held:
        return net.frames
    length = x[0]
    return length if 1 <= length <= net.frames else net.frames


@_compiled
def _outputs_at(layer, y, state, first):
    """Return the outputs of a layer whose evaluations begin at ``first``."""
    return state[first : first + layer.n_out] if layer.kind == LEAKY else y[first : first + layer.n_out]


@_compiled
def _fill(net, number, frame, x, y, state, room):
    """Fill the operands of layer ``number``, which is framed or the first one of the tail or behind it."""
    layer, operands = net.layers[number], room.operands
    if number == 0:
        at = 0 if net.held else 1 + frame * net.inputs
        for i in range(layer.inputs):
            operands[i] = x[at + i] << layer.shift
    elif number == net.framed:
        for i in range(layer.inputs):
            operands[i] = room.total[i] << layer.shift
    else:
        before = net.layers[number - 1]
        given = _outputs_at(before, y, state, before.neuron_at + (frame * net.framed_neurons if number < net.framed else 0))
        for i in range(layer.inputs):
            operands[i] = given[i] << layer.shift
    if layer.kind == LEAKY:
        first = layer.neuron_at + (frame - 1) * net.framed_neurons
        for i in range(layer.n_out):
            operands[layer.inputs + i] = state[first + i] << layer.own_shift if frame > 0 else 0


@_compiled
def _multiply(theta, layer, begin, end, operands, z):
    """Compute z ← z + the products of the operands from ``begin`` to ``end`` with their weights."""
    at = layer.theta_at + 1
    for o in range(z.size):
        row, total = theta[at + begin : at + end], np.int64(0)
        for k in range(end - begin):
            total += np.int64(row[k]) * operands[begin + k]
        z[o] += total
        at += layer.fan_in + 1


@_compiled
def _bias(theta, layer, z):
    for o in range(z.size):
        z[o] = np.int64(theta[layer.theta_at + o * (layer.fan_in + 1)]) << layer.operand_fraction


@_compiled
def _spike(net, layer, z, y, before, after, has_before):
    """Compute the state and the spike of each lif neuron; return the number of states out of range."""
    outside = 0
    for o in range(z.size):
        current = round_value(z[o], layer.state_dropped, net.state.rounding, 0)
        beyond = is_outside(current, net.state)
        old = np.int64(before[o]) if has_before else 0
        total = old - (old >> layer.leak) + fit(current, net.state)
        v = min(max(total, net.state.low), net.state.high)
        outside += beyond | (v != total)
        y[o] = 1 if v >= net.threshold else 0
        after[o] = v - net.threshold * y[o]
    return outside


@_compiled
def _visit(net, plan, theta, number, frame, x, direction, z_all, y_all, state, room, reuse):
    """Evaluate a layer in a frame, which is 0 in the tail; return the number of activations, or of states of lif neurons, out of range.

    With ``reuse``, W·x + b of the first layer is that of the unperturbed pass.
    """
    layer = net.layers[number]
    framed = number < net.framed
    first = layer.neuron_at + (frame * net.framed_neurons if framed else 0)
    quantity = layer.quantity_at + (frame // net.hold * net.framed_neurons if framed else 0)
    z, y, after = z_all[first : first + layer.n_out], y_all[first : first + layer.n_out], state[first : first + layer.n_out]
    if number == 0:
        row = room.base[0 if net.held else frame]
        if reuse or (net.held and frame > 0):
            if layer.kind == LEAKY and frame > 0:
                _fill(net, number, frame, x, y_all, state, room)
        else:
            _fill(net, number, frame, x, y_all, state, room)
            _bias(theta, layer, row)
            _multiply(theta, layer, 0, layer.inputs, room.operands, row)
        copy(z, row)
        if layer.kind == LEAKY and frame > 0:
            _multiply(theta, layer, layer.inputs, layer.fan_in, room.operands, z)
    else:
        _fill(net, number, frame, x, y_all, state, room)
        _bias(theta, layer, z)
        _multiply(theta, layer, 0, layer.fan_in, room.operands, z)
    if direction != 0:
        delta = direction * layer.delta
        for o in range(z.size):
            z[o] += delta * room.signs[quantity + o]
    back = max(first - net.framed_neurons, 0)
    before = state[back : back + layer.n_out]
    if layer.kind == LIF:
        return _spike(net, layer, z, y, before, after, frame > 0)
    outside = activate(layer, net.tables, plan.activation, plan.address, z, y)
    if layer.kind == LEAKY:
        for o in range(z.size):
            old = np.int64(before[o]) if frame > 0 else 0
            after[o] = old + ((np.int64(y[o]) - old) >> layer.leak)
    elif layer.kind != DENSE:
        raise ValueError("The compiled loops have no branch for the kind of a layer: give _visit one for its number in _KINDS.")
    return outside


@_compiled
def run_pass(net, plan, theta, x, length, direction, z, y, state, outside, room):
    """Compute a pass of a sample, and add the values out of range of each layer; the outputs are in ``room``, at the fraction of y − y*."""
    last = net.layers[net.framed - 1]
    for i in range(last.n_out):
        room.total[i] = 0
    for frame in range(length):
        for number in range(net.framed):
            outside[number] += _visit(net, plan, theta, number, frame, x, direction, z, y, state, room, direction != 0)
        if net.summed or frame == length - 1:
            found = _outputs_at(last, y, state, last.neuron_at + frame * net.framed_neurons)
            for i in range(last.n_out):
                room.total[i] += found[i]
    for number in range(net.framed, net.layers.size):
        outside[number] += _visit(net, plan, theta, number, 0, x, direction, z, y, state, room, False)
    final = net.layers[net.layers.size - 1]
    if net.framed == net.layers.size:
        for i in range(final.n_out):
            room.outputs[i] = room.total[i] << net.output_shift
    else:
        for i in range(final.n_out):
            room.outputs[i] = np.int64(y[final.neuron_at + i]) << net.output_shift


@_compiled
def _rebase(net, theta, x, length, y, state, room):
    """Compute W·x + b of the first layer in each frame, in the middle of a presentation."""
    layer = net.layers[0]
    for frame in range(1 if net.held else length):
        row = room.base[frame]
        _fill(net, 0, frame, x, y, state, room)
        _bias(theta, layer, row)
        _multiply(theta, layer, 0, layer.inputs, room.operands, row)


@_compiled
def aim(net, target, room):
    """Put the target at the fraction of y − y*."""
    for i in range(target.size):
        room.target[i] = np.int64(target[i]) << net.target_shift


@_compiled
def outputs_of(net, plan, theta, inputs, z, y, state, room, found, outside):
    """Compute the raw outputs of samples into ``found`` (shape (samples, n_out)), and count the values out of range of each layer.

    Return the number of evaluations of each neuron of each layer (shape (layers,)).
    """
    evaluated = np.zeros(outside.size, dtype=np.int64)
    for sample in range(found.shape[0]):
        x = inputs[sample]
        length = length_of(net, x)
        run_pass(net, plan, theta, x, length, 0, z, y, state, outside, room)
        for i in range(found.shape[1]):
            found[sample, i] = room.outputs[i] >> net.output_shift
        for number in range(outside.size):
            evaluated[number] += net.layers[number].n_out * (length if number < net.framed else 1)
    return evaluated


@_compiled
def clear_beyond(net, length, z, y, state):
    """Clear the evaluations of frames that the sample does not have."""
    for i in range(length * net.framed_neurons, net.frames * net.framed_neurons):
        z[i] = 0
        y[i] = 0
        state[i] = 0


@_compiled
def count_outside(net, outside, counters):
    """Count the values out of range of each layer in a pass, those of lif neurons as states."""
    for layer in range(outside.size):
        counters[_STATE if net.layers[layer].kind == LIF else _ACTIVATION] += outside[layer]


@_compiled
def _take_signs(net, length, vector, room):
    """Put the signs of a sample in force, without those of segments of which it has no frame."""
    begin, end = -(-length // net.hold) * net.framed_neurons, net.segments * net.framed_neurons
    for q in range(vector.size):
        room.signs[q] = 0 if begin <= q < end else vector[q]


@_compiled
def _sum_up(net, length, y, state, room):
    """Put what the tail receives into the sum, from the evaluations of the unperturbed pass."""
    last = net.layers[net.framed - 1]
    for i in range(last.n_out):
        room.total[i] = 0
    for frame in range(0 if net.summed else length - 1, length):
        found = _outputs_at(last, y, state, last.neuron_at + frame * net.framed_neurons)
        for i in range(last.n_out):
            room.total[i] += found[i]


@_compiled
def _learn(net, plan, theta, gradient, error, x, length, y, state, counters, room):
    """End a presentation: G ← saturate(G + cast_gradient(err·x)) in every frame, and of the tail."""
    _sum_up(net, length, y, state, room)
    for visit in range(length * net.framed + net.layers.size - net.framed):
        framed = visit < length * net.framed
        frame = visit // net.framed if framed else 0
        number = visit % net.framed if framed else visit - length * net.framed + net.framed
        layer = net.layers[number]
        quantity = layer.quantity_at + (frame // net.hold * net.framed_neurons if framed else 0)
        _fill(net, number, frame, x, y, state, room)
        width, one = layer.fan_in + 1, np.int64(1) << layer.operand_fraction
        for o in range(layer.n_out):
            at, own = layer.theta_at + o * width, error[quantity + o]
            if own != 0:
                room.source[0] = one
                counters[_GRADIENT] += correlate(plan.g, 1, gradient[at : at + 1], own, room.source[:1], layer.g_dropped)
                counters[_GRADIENT] += correlate(plan.g, 1, gradient[at + 1 : at + width], own, room.operands[: width - 1], layer.g_dropped)


@_compiled
def _update(net, plan, rule, theta, gradient, kept, packed, position, counters, room, tally):
    """Take the optimiser's step; ``position`` is the bit at which its random words begin, and ``tally`` counts unless it is empty."""
    limits = plan.theta_low, plan.theta_high
    for layer in net.layers:
        width = layer.fan_in + 1
        words, source = room.words[:width], room.source[:width]
        if plan.word_bits:
            draw(packed, position + layer.place_at * plan.word_bits, plan.word_bits, words)
        for o in range(layer.n_out):
            at = layer.theta_at + o * width
            update_neuron(rule, plan.u, limits, theta[at : at + width], gradient[at : at + width], kept, at, words, counters, source)
    counters[_UPDATES] += 1
    counters[_WRITES] += theta.size
    if tally.before.size:
        tally_update(tally, theta, gradient)


@_compiled
def _sign_neurons(net, plan, register, number, first, last, z, y, state):
    """Return a signature's register after the evaluations from ``first`` to ``last`` of a pass."""
    at_y = plan.pass_width + plan.z_width
    at_state = at_y + net.activation_width
    for i in range(first, last):
        word = number ^ fold(z[i], plan.z_width, plan.pass_width) ^ fold(np.int64(y[i]), net.activation_width, at_y)
        register = sign(register, word ^ fold(np.int64(state[i]), net.state_width, at_state))
    return register


@_compiled
def sign_pass(net, plan, register, number, length, z, y, state, cost):
    """Return the forward signature's register after a pass."""
    word = _sign_neurons(net, plan, np.int64(0xFFFFFFFF), number, 0, length * net.framed_neurons, z, y, state)
    word = _sign_neurons(net, plan, word, number, net.frames * net.framed_neurons, z.size, z, y, state)
    return sign(register, word ^ number ^ fold(cost, plan.cost_width, plan.pass_width))


@_compiled
def _shown_errors(net, length, error):
    """Return the errors of quantities of which the sample has a frame, in the order of their casts."""
    begin, end = -(-length // net.hold) * net.framed_neurons, net.segments * net.framed_neurons
    found, count = np.empty(error.size, dtype=np.int64), 0
    for quantity in net.cast_order:
        if quantity < begin or quantity >= end:
            found[count] = error[quantity]
            count += 1
    return found[:count]


@_compiled
def _show(shown, row, signs, z, y, state, error_sum, error, gradient, theta, kept, counters):
    """Record a step, before the end of a presentation clears E and an update clears G."""
    copy(shown.sign[row], signs)
    for number in range(z.shape[0]):
        copy(shown.preactivation[row, number], z[number])
        copy(shown.activation[row, number], y[number])
        copy(shown.state[row, number], state[number])
    copy(shown.error_sum[row], error_sum)
    copy(shown.error[row], error)
    copy(shown.gradient[row], gradient)
    for variable in range(kept.shape[0]):
        copy(shown.optimizer[row, variable], kept[variable])
    copy(shown.parameter[row], theta)
    copy(shown.counter[row], counters)


@_compiled
def run_series(
    net, plan, rule, theta, gradient, kept, z, y, state, in_force, error_sum, turn, due, room, inputs, targets, indices, signs, exponent,
    packed, n, counters, limits, costs, changes, judged, registers, signatures, shown, tally,
):  # fmt: skip
    """Run as many steps from n on as ``judged`` has entries, with one exponent; return the number of updates.

    ``judged`` receives 0 or 1 for a wrong or right answer to a new sample, otherwise −1. ``turn`` is the number of steps that the open
    presentation has done. ``tally`` counts, unless it is empty.
    """
    first_p, first_x, updates, signing = n // plan.tau_p, n // plan.tau_x, 0, signatures.shape[0] > 0
    error, outside = np.zeros(error_sum.size, dtype=np.int64), np.zeros(net.layers.size, dtype=np.int64)
    x, length = inputs[0], 1
    for step in range(judged.size):
        new = due or n % plan.tau_x == 0
        begins = new or n % plan.tau_t == 0
        if begins or step == 0:
            sample = indices[n // plan.tau_x - first_x]
            x = inputs[sample]
            length = length_of(net, x)
            aim(net, targets[sample], room)
        if begins:
            clear(error_sum)
            turn[0] = 0
        elif step == 0:
            _rebase(net, theta, x, length, y[0], state[0], room)
        _take_signs(net, length, signs[n // plan.tau_p - first_p], room)
        judged[step] = -1
        for number in range(0 if begins else 1, in_force.size):
            direction = 0 if number == 0 else 3 - 2 * number
            clear(outside)
            run_pass(net, plan, theta, x, length, direction, z[number], y[number], state[number], outside, room)
            count_outside(net, outside, counters)
            in_force[number] = cost_of(room.outputs, room.target)
            if signing or shown.counter.shape[0] or number == 0:
                clear_beyond(net, length, z[number], y[number], state[number])
            if number == 0:
                for i in range(room.kept.size):
                    room.kept[i] = room.outputs[i] >> net.output_shift
            if number == 0 and new:
                judged[step] = judge(net.one, room.outputs, room.target, counters)
            if signing:
                row = z[number], y[number], state[number]
                registers[0] = sign_pass(net, plan, registers[0], number, length, row[0], row[1], row[2], in_force[number])
        change = narrow_change(plan.change, in_force[1] - in_force[2 if plan.two_sided else 0], counters)
        for q in range(error_sum.size):
            error_sum[q] += room.signs[q] * change
        turn[0] += 1
        copy(costs[step], in_force)
        changes[step] = change
        if signing:
            registers[0] = sign(registers[0], fold(change, plan.change_width, 0))

        due, n = False, n + 1
        updating = n % plan.tau_t == 0
        ends = updating or n % plan.tau_x == 0
        if ends:
            counters[_ERROR] += narrow_errors(plan.error, error_sum, exponent, error)
            _learn(net, plan, theta, gradient, error, x, length, y[0], state[0], counters, room)
            if updating:
                position = updates * plan.update_words * plan.word_bits
                _update(net, plan, rule, theta, gradient, kept, packed, position, counters, room, tally)
            if signing:
                errors = _shown_errors(net, length, error)
                registers[1] = sign_words(net, plan, rule, registers[1], errors, theta, gradient, kept)
        count_step(counters, limits)
        if signing:
            signatures[step, 0], signatures[step, 1] = registers[0] ^ 0xFFFFFFFF, registers[1] ^ 0xFFFFFFFF
        if shown.counter.shape[0]:
            _show(shown, step, room.signs, z, y, state, error_sum, error, gradient, theta, kept, counters)
        if ends:
            clear(error_sum)
            clear(error)
            turn[0] = 0
        if updating:
            updates += 1
            clear(gradient)
    return updates
