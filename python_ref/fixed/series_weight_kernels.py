"""The compiled loop of weight perturbation of networks with state, which :mod:`~python_ref.fixed.fast` runs.

Import this module only where it is used, since it imports numba. A perturbed pass is a pass with perturbed parameters, which are computed
once and serve all of its frames.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from python_ref.compiled import compiled
from python_ref.fixed.kernels import (
    copy,
    cost_of,
    count_step,
    fit,
    fold,
    is_outside,
    judge,
    learn,
    narrow_change,
    round_value,
    sign,
    widest_layer,
)
from python_ref.fixed.node_kernels import clear
from python_ref.fixed.series_kernels import aim, clear_beyond, count_outside, length_of, run_pass, sign_pass
from python_ref.fixed.tally_kernels import tally_signed, tally_update
from python_ref.spec.probes import COUNTERS

__all__ = ["ShownSeriesWeight", "run_series_weight"]

_BROADCAST = COUNTERS.index("saturated_broadcast")


class ShownSeriesWeight(NamedTuple):
    """Buffers for the observables of a block of steps; they have no rows if nothing is recorded."""

    preactivation: np.ndarray
    activation: np.ndarray
    state: np.ndarray
    broadcast: np.ndarray
    gradient: np.ndarray
    optimizer: np.ndarray
    parameter: np.ndarray
    counter: np.ndarray


_compiled = compiled(error_model="numpy")


@_compiled
def _perturb(theta, s, delta, perturbed):
    """Compute the parameters θ + δ·s of a pass."""
    for i in range(theta.size):
        perturbed[i] = theta[i] + delta * s[i]


@_compiled
def _show(shown, row, z, y, states, theta, kept, counters):
    """Record a step, but for the broadcast and G, which the correlation records before an update clears G."""
    for number in range(z.shape[0]):
        copy(shown.preactivation[row, number], z[number])
        copy(shown.activation[row, number], y[number])
        copy(shown.state[row, number], states[number])
    for variable in range(kept.shape[0]):
        copy(shown.optimizer[row, variable], kept[variable])
    copy(shown.parameter[row], theta)
    copy(shown.counter[row], counters)


@_compiled
def run_series_weight(
    net, plan, rule, theta, gradient, kept, z, y, states, in_force, due, room, inputs, targets, indices, signs, exponent, packed, n,
    counters, limits, costs, changes, judged, registers, signatures, shown, tally,
):  # fmt: skip
    """Run as many steps from n on as ``judged`` has entries, with one exponent; return the number of updates.

    ``judged`` receives 0 or 1 for a wrong or right answer to a new sample, otherwise −1. ``tally`` counts, unless it is empty.
    """
    first_p, first_x, updates, signing = n // plan.tau_p, n // plan.tau_x, 0, signatures.shape[0] > 0
    widest, outside, perturbed = widest_layer(net), np.zeros(net.layers.size, dtype=np.int64), np.empty_like(theta)
    words = np.zeros(widest, dtype=np.int64), np.empty(widest, dtype=theta.dtype), np.empty(widest, dtype=np.int64)
    x, length = inputs[0], 1
    for step in range(judged.size):
        new = due or n % plan.tau_x == 0
        if new or step == 0:
            sample = indices[n // plan.tau_x - first_x]
            x = inputs[sample]
            length = length_of(net, x)
            aim(net, targets[sample], room)
        s, row = signs[n // plan.tau_p - first_p], step if shown.counter.shape[0] else -1
        judged[step] = -1
        for number in range(0 if plan.two_sided or new or n % plan.tau_t == 0 else 1, 2):
            _perturb(theta, s, plan.weight_delta * (1 - 2 * number if plan.two_sided else number), perturbed)
            clear(outside)
            run_pass(net, plan, perturbed, x, length, 0, z[number], y[number], states[number], outside, room)
            count_outside(net, outside, counters)
            in_force[number] = cost_of(room.outputs, room.target)
            if signing or row >= 0 or number == 0:
                clear_beyond(net, length, z[number], y[number], states[number])
            if number == 0:
                for i in range(room.kept.size):
                    room.kept[i] = room.outputs[i] >> net.output_shift
                if new:
                    judged[step] = judge(net.one, room.outputs, room.target, counters)
            if signing:
                registers[0] = sign_pass(
                    net, plan, registers[0], number, length, z[number], y[number], states[number], in_force[number]
                )  # fmt: skip
        change = narrow_change(plan.change, in_force[0] - in_force[1] if plan.two_sided else in_force[1] - in_force[0], counters)
        copy(costs[step], in_force)
        changes[step] = change
        if signing:
            registers[0] = sign(registers[0], fold(change, plan.change_width, 0))

        due, n = False, n + 1
        updating = n % plan.tau_t == 0
        g = round_value(change, net.layers[0].g_dropped - exponent, plan.g.rounding, 0)
        counters[_BROADCAST] += theta.size * is_outside(g, plan.g)
        g = fit(g, plan.g)
        position = updates * plan.update_words * plan.word_bits
        learn(
            net, plan, rule, theta, gradient, kept, s, g, updating, packed, position, counters, words, registers, signing, shown, row
        )  # fmt: skip
        if updating:
            updates += 1
            if tally.before.size:
                if plan.direct_update:
                    tally_signed(tally, theta, s, g)
                else:
                    tally_update(tally, theta, gradient)
            if not plan.direct_update:
                clear(gradient)
        if signing:
            signatures[step, 0], signatures[step, 1] = registers[0] ^ 0xFFFFFFFF, registers[1] ^ 0xFFFFFFFF
        count_step(counters, limits)
        if row >= 0:
            _show(shown, row, z, y, states, theta, kept, counters)
    return updates
