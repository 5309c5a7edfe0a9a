"""The compiled loop of node perturbation, which :mod:`~python_ref.fixed.fast` runs.

Import this module only where it is used, since it imports numba. A probe starts from the pre-activations of the unperturbed pass,
z± = z₀ ± sΔ in the first layer of its part, so that it computes only the layers behind. An incremental probe of neuron j adds
W_j·(y_j± − y_j) to the pre-activations of the next layer, and computes the layers behind that one. The activations of a stochastic layer
become counts of the thresholds below them, and their words come one after the other from a packed stream.
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
    fold_stored,
    is_outside,
    judge,
    narrow_change,
    operands_of,
    random_word,
    round_by_adding,
    round_value,
    sign,
    sign_neurons,
    update_neuron,
    weigh,
    widest_layer,
)  # fmt: skip
from python_ref.fixed.plan import STOCHASTIC
from python_ref.fixed.tally import ERROR, INPUT, ROUNDED
from python_ref.fixed.tally_kernels import tally_update
from python_ref.spec.probes import COUNTERS

__all__ = ["Chance", "ShownProbes", "clear", "correlate", "draw", "narrow_errors", "run_probes", "sign_words"]

_UPDATES, _WRITES, _CHANGED, _ACTIVATION, _ERROR, _GRADIENT, _UPDATE, _WEIGHT = (
    COUNTERS.index(name)
    for name in (
        *("updates", "writes", "changed", "saturated_activation", "saturated_error", "saturated_gradient", "saturated_update"),
        "saturated_weight",
    )
)


class ShownProbes(NamedTuple):
    """Buffers for the observables of a block of steps of node perturbation; they have no rows if nothing is recorded."""

    preactivation: np.ndarray
    activation: np.ndarray
    error_sum: np.ndarray
    error: np.ndarray
    gradient: np.ndarray
    optimizer: np.ndarray
    parameter: np.ndarray
    counter: np.ndarray
    part: np.ndarray
    """Number of the part that each step perturbs."""
    factor: np.ndarray
    """What C̃ is multiplied with at each neuron in each step; no rows without stochastic neurons."""


class Chance(NamedTuple):
    """The thresholds of a run with stochastic neurons; the arrays are empty without them."""

    packed: np.ndarray
    """The stream of words from the first one of a block of steps on (uint64)."""
    taken: np.ndarray
    """Number of words that the block has taken so far (int64, shape (1,))."""
    kept: np.ndarray
    """Thresholds of the unperturbed pass (shape (neurons, N), in the type of the activations)."""


_compiled = compiled(error_model="numpy")


@_compiled
def _count(net, plan, number, s, direction, chance, y):
    """Replace the activations of a stochastic layer by their counts; the unperturbed pass draws all thresholds and keeps them, and a probe
    draws those of the neurons whose sign is not 0."""
    first, draws, bits = net.layers[number].neuron_at, net.noise[number].draws, plan.threshold_bits
    for o in range(y.size):
        count = 0
        if direction == 0 or s[first + o] != 0:
            at = chance.taken[0] * plan.threshold_word
            chance.taken[0] += 1
            for i in range(draws):
                threshold = random_word(chance.packed, at + i * bits, bits)
                count += y[o] > threshold
                if direction == 0:
                    chance.kept[first + o, i] = threshold
        else:
            for i in range(draws):
                count += y[o] > chance.kept[first + o, i]
        y[o] = count


@_compiled
def _factors(net, part, s, y_plus, y_minus, factor):
    """Set what C̃ is multiplied with at each neuron: the sign, or of a stochastic neuron the difference of its counts; 0 outside of the
    part."""
    clear(factor)
    for number in range(net.layers.size):
        layer = net.layers[number]
        if part.begin <= layer.neuron_at < part.end:
            for j in range(layer.neuron_at, layer.neuron_at + layer.n_out):
                factor[j] = s[j]
                if net.noise[number].draws > 0 and s[j] != 0:
                    factor[j] = np.int64(y_plus[j]) - np.int64(y_minus[j])


@_compiled
def _align(plan, y, outputs):
    """Set the outputs of the network, shifted to the fraction bits of the targets, from the activations of all neurons."""
    for k in range(outputs.size):
        outputs[k] = y[y.size - outputs.size + k] << plan.output_up


@_compiled
def _cost(plan, y, outputs, target):
    """Return C of a pass; ``outputs`` is a buffer."""
    if plan.output_up == 0:
        return cost_of(y, target)
    _align(plan, y, outputs)
    return cost_of(outputs, target)


@_compiled
def _judge(plan, y, outputs, target, counters):
    """Return 1 or 0 for a right or wrong answer, and count it if it is right; ``outputs`` is a buffer."""
    _align(plan, y, outputs)
    return judge(plan.one, outputs, target, counters)


@_compiled
def _sum_errors(net, plan, part, s, y, factor, change, error_sum):
    """Correlate the change of the cost at each neuron of a part; ``factor`` receives what it is multiplied with in a random network."""
    if plan.random:
        _factors(net, part, s, y[1], y[2 if plan.two_sided else 0], factor)
        for j in range(part.begin, part.end):
            error_sum[j] += factor[j] * change
    else:
        for j in range(part.begin, part.end):
            error_sum[j] += s[j] * change


@_compiled
def _pass(net, plan, part, theta, x, kept, y_kept, s, direction, z_all, y_all, nobody, chance):
    """Compute the unperturbed pass (direction 0) or a probe of a part, which starts from the kept z of the part's first layer.

    ``nobody`` are signs of 0. Return the number of saturations, of the layers that the pass evaluates.
    """
    saturated, operand, begin = 0, x, part.begin if direction != 0 else -1
    for number in range(net.layers.size):
        layer = net.layers[number]
        first, n_out = layer.neuron_at, layer.n_out
        z, y = z_all[first : first + n_out], y_all[first : first + n_out]
        if first < begin:
            copy(z, kept[first : first + n_out])
            copy(y, y_kept[first : first + n_out])
            continue
        if first == begin:
            copy(z, kept[first : first + n_out])
        else:
            weigh(net, layer, theta, operand, z)
        if direction != 0 and first < part.end:
            delta = direction * layer.delta
            for o in range(n_out):
                z[o] += delta * s[first + o]
        saturated += activate(layer, net.tables, plan.activation, plan.address, z, y)
        if plan.random and net.noise[number].draws > 0:
            _count(net, plan, number, s if first < part.end else nobody, direction, chance, y)
        operand = y
    return saturated


@_compiled
def _perturbed_neuron(s):
    """Return the number of the one neuron whose sign is not 0."""
    for j in range(s.size):
        if s[j] != 0:
            return j
    return 0


@_compiled
def _first_behind(net, j):
    """Return the number of the first neuron behind the layer of neuron j, or that of the first output if j is an output."""
    for layer in net.layers:
        if layer.last or layer.neuron_at > j:
            return layer.neuron_at
    return 0


@_compiled
def _incremental_probe(net, plan, theta, j, kept, y_kept, direction, z, y):
    """Compute the probe of neuron j, of which only its own values and those of the layers behind it differ; return the number of
    saturations."""
    saturated, behind, before = 0, _first_behind(net, j), 0
    copy(z, kept)
    copy(y, y_kept)
    for layer in net.layers:
        first, after = layer.neuron_at, layer.neuron_at + layer.n_out
        if first <= j < after:
            z[j] += direction * layer.delta
            if not layer.last:
                saturated += activate(layer, net.tables, plan.activation, plan.address, z[j : j + 1], y[j : j + 1])
        elif first == behind:
            moved, at = np.int64(y[j]) - np.int64(y_kept[j]), layer.theta_at + 1 + j - before
            for o in range(layer.n_out):
                z[first + o] += moved * np.int64(theta[at + o * (layer.fan_in + 1)])
        elif first > behind:
            weigh(net, layer, theta, y[before:first], z[first:after])
        if first >= behind:
            saturated += activate(layer, net.tables, plan.activation, plan.address, z[first:after], y[first:after])
        before = first
    return saturated


@_compiled
def narrow_errors(cast, error_sum, exponent, error):
    """Compute err ← cast_error(2ᵉ·E) of every neuron; return the number of values out of range."""
    outside = 0
    for j in range(error.size):
        value = round_value(error_sum[j], cast.dropped - exponent, cast.rounding, 0)
        outside += is_outside(value, cast)
        error[j] = fit(value, cast)
    return outside


@_compiled
def _narrow_layers(net, plan, exponent, error_sum, error):
    """Compute the errors of all layers, each with its offset to the exponent; return the number of values out of range."""
    outside = 0
    for number in range(net.layers.size):
        first, after = net.layers[number].neuron_at, net.layers[number].neuron_at + net.layers[number].n_out
        e = exponent + net.noise[number].error_offset
        outside += narrow_errors(plan.error, error_sum[first:after], e, error[first:after])
    return outside


@_compiled
def draw(packed, position, bits, words):
    """Draw the random words of a layer from a bit position on."""
    for k in range(words.size):
        words[k] = random_word(packed, position + k * bits, bits)


@_compiled
def _prepare_rounding(cast, dropped, words, added):
    """Set what a direct update adds to err·x before it drops bits; return 1 if it adds, besides, the lowest bit that is kept."""
    constant, even = 0, 0
    if dropped > 0 and cast.rounding != STOCHASTIC:
        constant, even = round_by_adding(dropped, cast.rounding)
    mask = (1 << dropped) - 1 if dropped > 0 and cast.rounding == STOCHASTIC else 0
    for k in range(added.size):
        added[k] = constant + (words[k] & mask)
    return even


@_compiled
def _move(cast, limits, theta, error, x, added, product, dropped, even, counters):
    """Compute θ ← saturate(θ − u), u = cast_weight(err·x), for the synapses of a neuron.

    ``product`` is a buffer; ``added`` and ``even`` come from :func:`_prepare_rounding`. All values have the type of θ, which
    :func:`~python_ref.fixed.plan.working_type` chose, so that the loops become vector instructions.
    """
    kind = theta.dtype.type
    error, left, right = kind(error), kind(max(-dropped, 0)), kind(max(dropped, 0))
    low, high, mask, theta_low, theta_high = kind(cast.low), kind(cast.high), kind(cast.high - cast.low), kind(limits[0]), kind(limits[1])
    outside, saturated, changed = kind(0), kind(0), kind(0)
    for k in range(theta.size):
        product[k] = kind(error * x[k])
    if dropped < 0:
        for k in range(theta.size):
            product[k] = kind(product[k] << left)
    if even:
        for k in range(theta.size):
            product[k] = kind(product[k] + kind(kind(product[k] >> right) & kind(1)))
    for k in range(theta.size):
        value = kind(kind(product[k] + added[k]) >> right)
        update = min(max(value, low), high)
        outside = kind(outside + (update != value))
        if cast.wrap:
            update = kind(low + kind(kind(value - low) & mask))
        old = theta[k]
        moved = kind(old - update)
        kept = min(max(moved, theta_low), theta_high)
        saturated = kind(saturated + (kept != moved))
        changed = kind(changed + (kept != old))
        theta[k] = kept
    counters[_UPDATE] += outside
    counters[_WEIGHT] += saturated
    counters[_CHANGED] += changed


@_compiled
def correlate(cast, memory, gradient, error, x, dropped):
    """Compute G ← saturate(G + g), g = cast_gradient(err·x), for the synapses of a neuron, or G ← g without a gradient memory.

    Return the number of values for which the cast or the sum was out of range.
    """
    saturated = 0
    for k in range(gradient.size):
        value = round_value(error * np.int64(x[k]), dropped, cast.rounding, 0)
        outside, value = is_outside(value, cast), fit(value, cast)
        if memory:
            total = gradient[k] + value
            value = min(max(total, cast.low), cast.high)
            outside |= value != total
        saturated += outside
        gradient[k] = value
    return saturated


@_compiled
def _learn(net, plan, rule, theta, gradient, state, error, x, y_all, updating, packed, position, counters, room):
    """End a presentation: every synapse takes err·x.

    ``position`` is the bit at which the random words of the update begin, and ``room`` contains buffers for the inputs of a layer, the 1 of
    its biases first, for their random words, for what rounds their products with an error, for these products, and for sources.
    """
    operand, limits, direct = x, (plan.theta_low, plan.theta_high), plan.direct_update
    for layer in net.layers:
        n_out, width, dropped = layer.n_out, layer.fan_in + 1, min(layer.g_dropped, 63)
        inputs, words, added, product = room[0][:width], room[1][:width], room[2][:width], room[3][:width]
        source = room[4][:width]
        inputs[0] = 1 << layer.operand_fraction
        if updating and plan.word_bits:
            draw(packed, position + layer.place_at * plan.word_bits, plan.word_bits, words)
        even = _prepare_rounding(plan.u, dropped, words, added) if direct else 0
        for o in range(n_out):
            if o % layer.block == 0:
                copy(inputs[1:], operands_of(net, layer, o, operand))
            at, own = layer.theta_at + o * width, error[layer.neuron_at + o]
            if direct and own != 0:
                _move(plan.u, limits, theta[at : at + width], own, inputs, added, product, dropped, even, counters)
            if not direct and own != 0:  # without a gradient memory, the update before has cleared g
                g = gradient[at : at + width]
                counters[_GRADIENT] += correlate(plan.g, plan.gradient_memory, g, own, inputs, layer.g_dropped)
            if not direct and updating:
                update_neuron(rule, plan.u, limits, theta[at : at + width], gradient[at : at + width], state, at, words, counters, source)
        operand = y_all[layer.neuron_at : layer.neuron_at + n_out]
    if updating:
        counters[_UPDATES] += 1
        counters[_WRITES] += theta.size


@_compiled
def _tally_direct(net, tally, theta, error, x, y_all):
    """Count an update that follows from err·x directly, by what it changed and by the reason of what it did not."""
    operand, i = x, 0
    for layer in net.layers:
        taken = operand
        for o in range(layer.n_out):
            if o % layer.block == 0:
                taken = operands_of(net, layer, o, operand)
            own = error[layer.neuron_at + o]
            for k in range(layer.fan_in + 1):
                if theta[i] != tally.before[i]:
                    tally.changes[i] += 1
                    tally.before[i] = theta[i]
                else:
                    tally.unchanged[ERROR if own == 0 else INPUT if k > 0 and taken[k - 1] == 0 else ROUNDED] += 1
                i += 1
        operand = y_all[layer.neuron_at : layer.neuron_at + layer.n_out]


@_compiled
def _sign_pass(plan, register, number, begin, j, behind, z, y, cost):
    """Return the forward signature's register after a pass, of which a probe shows the neurons from ``begin`` on, or an incremental one
    neuron j and those from ``behind`` on."""
    word = np.int64(0xFFFFFFFF)
    if plan.incremental and number > 0:
        if j < behind:
            word = sign_neurons(plan, word, number, z[j : j + 1], y[j : j + 1])
        word = sign_neurons(plan, word, number, z[behind:], y[behind:])
    else:
        shown = begin if number > 0 else 0
        word = sign_neurons(plan, word, number, z[shown:], y[shown:])
    return sign(register, word ^ number ^ fold(cost, plan.cost_width, plan.pass_width))


@_compiled
def _sign_errors(width, error):
    """Return a register, all ones at first, after the errors of a presentation, of ``width`` bits each."""
    register = 0xFFFFFFFF
    for j in range(error.size):
        register = sign(register, fold(error[j], width, 0))
    return register


@_compiled
def sign_words(net, plan, rule, register, error, theta, gradient, state):
    """Return the learned signature's register after the words of the end of a presentation."""
    for layer in net.layers:
        n_out, width = layer.n_out, layer.fan_in + 1
        for first in range(0, n_out, plan.lanes):
            at, count = layer.theta_at + first * width, min(plan.lanes, n_out - first)
            for k in range(width):
                word = fold_stored(plan, rule, count, at + k, width, 0, theta, gradient, state)
                if layer.last and first + plan.lanes >= n_out and k == width - 1:
                    word ^= _sign_errors(plan.error_width, error)
                register = sign(register, word)
    return register


@_compiled
def _show(shown, row, z, y, error_sum, error, gradient, theta, state, counters):
    """Record a step, before the end of a presentation clears E and an update clears G."""
    for number in range(z.shape[0]):
        copy(shown.preactivation[row, number], z[number])
        copy(shown.activation[row, number], y[number])
    copy(shown.error_sum[row], error_sum)
    copy(shown.error[row], error)
    copy(shown.gradient[row], gradient)
    for variable in range(state.shape[0]):
        copy(shown.optimizer[row, variable], state[variable])
    copy(shown.parameter[row], theta)
    copy(shown.counter[row], counters)


@_compiled
def clear(values):
    for i in range(values.size):
        values[i] = 0


@_compiled
def run_probes(
    net, plan, rule, theta, gradient, state, z, y, in_force, error_sum, turn, chance, due, inputs, targets, indices, signs, exponent,
    packed, n, counters, limits, costs, changes, judged, registers, signatures, shown, tally,
):  # fmt: skip
    """Run as many steps of node perturbation from n on as ``judged`` has entries, with one exponent; return the number of updates.

    ``judged`` receives 0 or 1 for a wrong or right answer to a new sample, otherwise −1. ``turn`` is the number of steps that the open
    presentation has done. ``tally`` counts, unless it is empty.
    """
    first_p, first_x, updates, signing = n // plan.tau_p, n // plan.tau_x, 0, signatures.shape[0] > 0
    widest, kind = widest_layer(net), theta.dtype
    room = np.empty(widest, kind), np.zeros(widest, np.int64), np.empty(widest, kind), np.empty(widest, kind), np.empty(widest, np.int64)
    error = np.zeros(error_sum.size, dtype=np.int64)
    kept, y_kept, x, target, s = z[0], y[0], inputs[0], targets[0], signs[0]
    nobody, factor, outputs = np.zeros_like(s), np.zeros(error_sum.size, np.int64), np.empty(target.size, y.dtype)
    for step in range(judged.size):
        new = due or n % plan.tau_x == 0
        begins = new or n % plan.tau_t == 0
        if begins or step == 0:
            sample = indices[n // plan.tau_x - first_x]
            x, target = inputs[sample], targets[sample]
        s = signs[n // plan.tau_p - first_p]
        j = _perturbed_neuron(s) if plan.incremental else 0
        if begins:
            clear(error_sum)
            turn[0] = 0
        which = net.order[turn[0] % net.order.size]
        part = net.parts[which]
        for number in range(0 if begins else 1, in_force.size):
            direction = 0 if number == 0 else 3 - 2 * number
            if number > 0 and plan.incremental:
                counters[_ACTIVATION] += _incremental_probe(net, plan, theta, j, kept, y_kept, direction, z[number], y[number])
            else:
                own = z[number], y[number]
                counters[_ACTIVATION] += _pass(net, plan, part, theta, x, kept, y_kept, s, direction, own[0], own[1], nobody, chance)
            in_force[number] = _cost(plan, y[number], outputs, target)
            if signing:
                behind = _first_behind(net, j)
                registers[0] = _sign_pass(plan, registers[0], number, part.begin, j, behind, z[number], y[number], in_force[number])
        judged[step] = _judge(plan, y_kept, outputs, target, counters) if new else -1
        change = narrow_change(plan.change, in_force[1] - in_force[2 if plan.two_sided else 0], counters)
        _sum_errors(net, plan, part, s, y, factor, change, error_sum)
        turn[0] += 1
        copy(costs[step], in_force)
        changes[step] = change
        if signing:
            registers[0] = sign(registers[0], fold(change, plan.change_width, 0))

        due, n = False, n + 1
        updating = n % plan.tau_t == 0
        ends = updating or n % plan.tau_x == 0
        if ends:
            counters[_ERROR] += _narrow_layers(net, plan, exponent, error_sum, error)
            position = updates * plan.update_words * plan.word_bits
            _learn(net, plan, rule, theta, gradient, state, error, x, y_kept, updating, packed, position, counters, room)
            if signing:
                registers[1] = sign_words(net, plan, rule, registers[1], error, theta, gradient, state)
        if updating and tally.before.size:
            if plan.direct_update:
                _tally_direct(net, tally, theta, error, x, y_kept)
            else:
                tally_update(tally, theta, gradient)
        count_step(counters, limits)
        if signing:
            signatures[step, 0], signatures[step, 1] = registers[0] ^ 0xFFFFFFFF, registers[1] ^ 0xFFFFFFFF
        if shown.counter.shape[0]:
            shown.part[step] = which
            if plan.random:
                copy(shown.factor[step], factor)
            _show(shown, step, z, y, error_sum, error, gradient, theta, state, counters)
        if ends:
            clear(error_sum)
            clear(error)
            turn[0] = 0
        if updating:
            updates += 1
            if not plan.direct_update:
                clear(gradient)
    return updates
