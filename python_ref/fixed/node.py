"""A step of node perturbation on one page; :mod:`~python_ref.fixed.machine` explains the symbols.

A presentation is a longest run of steps in which neither the sample nor the parameters change. It begins with one unperturbed pass. Every
step is a probe of all neurons, or of those of the part whose turn it is, with the next sign vector, whose C̃ each of these neurons j
correlates with its sign: E_j ← E_j + s_j·C̃. When the presentation ends, the error err_j = cast_error(2ᵉ·E_j) of each neuron is multiplied
by the inputs x_i of its synapses, and moves them.

A stochastic neuron, whose output is a count c of thresholds below its activation, has no sΔ. A probe draws the thresholds of those that it
perturbs again, and correlates C̃ with what this did: E_j ← E_j + m_j·C̃, with the difference m_j of the counts of the two passes whose costs
are subtracted, and err_j = cast_error(2^(e + o)·E_j). ``docs/design/stochastic.md`` defines it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from python_ref.fixed.cost import correct
from python_ref.fixed.learned import Learned, unmoved
from python_ref.fixed.narrowing import narrow, saturate
from python_ref.fixed.signature import extend_presentation
from python_ref.fixed.state import Pass, Sample, State, add_counts, known_signature, measure, rounding_source, sign_source
from python_ref.fixed.thresholds import threshold_source
from python_ref.spec.design import DesignSpec
from python_ref.spec.probes import probes

__all__ = ["step"]


def step(spec: DesignSpec, state: State, sample: Sample) -> tuple[State, dict[str, np.ndarray]]:
    """Compute one training step; see :func:`python_ref.fixed.machine.step`."""
    n, schedule = state.steps, spec.schedule
    new_sample = state.due or n % schedule.sample_period == 0
    begins, ends = state.due or schedule.begins(n), schedule.begins(n + 1)
    update_due = (n + 1) % schedule.update_period == 0

    # The unperturbed pass, once per presentation: z, y and C₀.
    turn = 0 if begins else state.probes
    vector = sign_source(spec, state.seed).signs(n // schedule.perturbation_period)
    s = spec.round.part_at(turn).within(vector.astype(np.int64))
    source, drawn, kept = threshold_source(spec, state.seed), state.drawn, state.baseline
    if begins:
        u, drawn = source.take(drawn, source.none(), np.ones(spec.network.n_neurons, dtype=bool))
        kept = measure(spec, state, sample, s, 0, u)

    # The probe of a part: one perturbed pass, or two. Each draws the thresholds of the stochastic neurons whose sign is not 0.
    passes = [kept]
    for direction in (+1, -1) if spec.two_sided else (+1,):
        u, drawn = source.take(drawn, kept.thresholds, s != 0)
        passes.append(measure(spec, state, sample, s, direction, u))
    plus, minus = passes[1], passes[2] if spec.two_sided else kept
    difference = plus.cost - minus.cost
    change, outside = narrow(difference, spec.cost_difference_format, spec.cost_change_format, spec.formats.cost_change_cast)
    counted = {"activation": sum(each.saturated for each in passes), "cost_change": int(outside)}

    # The correlation at the neurons: with the sign, or at a stochastic neuron that was drawn again with what its count did.
    factor = np.where(spec.network.own_noise, (plus.activation - minus.activation) * (s != 0), s)
    error_sum = (0 if begins else state.error_sum) + factor * change

    # The end of the presentation: each neuron's error moves its synapses.
    learned = _learn(spec, state, error_sum, kept, sample, update_due) if ends else unmoved(spec, state)
    counted |= learned.saturated
    added = {
        "steps": 1,
        "updates": int(update_due),
        "correct": int(new_sample and correct(spec, kept.activation[-spec.network.n_out :], sample[1])),
        "writes": update_due * spec.network.n_parameters,
        "changed": int(np.count_nonzero(learned.parameters != state.parameters)),
    }
    observed = {
        "preactivation": np.stack([each.preactivation for each in passes]),
        "activation": np.stack([each.activation for each in passes]),
        "cost": np.array([each.cost for each in passes]),
        "cost_change": np.array((int(change),)),
        "sign": factor,
        "error_sum": error_sum,
        "error": learned.error,
        "gradient": learned.gradient,
        **learned.optimizer,
        "parameter": learned.parameters,
        "counter": add_counts(state.counters, added, counted),
    }
    after = replace(
        state,
        steps=n + 1,
        updates=state.updates + update_due,
        due=False,
        parameters=learned.parameters,
        gradient=np.zeros_like(learned.gradient) if update_due else learned.gradient,
        optimizer=learned.optimizer,
        baseline=replace(kept, saturated=0),
        error_sum=np.zeros_like(error_sum) if ends else error_sum,
        probes=0 if ends else turn + 1,
        counters=observed["counter"],
        drawn=drawn,
    )
    if spec.hardware.signature:
        signature = extend_presentation(spec, known_signature(state.signature), observed, s, begins, ends)
        after, observed["signature"] = replace(after, signature=signature), np.array(signature)
    return after, {probe.name: observed[probe.name] for probe in probes(spec)}


def _learn(spec: DesignSpec, state: State, error_sum: np.ndarray, kept: Pass, sample: Sample, update_due: bool) -> Learned:
    """Narrow E to err; correlate, G ← saturate(G + cast_gradient(err·x)); if the update is due, θ ← saturate(θ − cast_weight(source)).

    Without a gradient memory, where every end of a presentation is an update, G is cast_gradient(err·x) alone; if the update is direct, the
    source is err·x itself.
    """
    gradient, optimizer, parameters, cast = state.gradient, state.optimizer, state.parameters, spec.formats.weight_cast
    word = rounding_source(spec, state.seed).words(state.updates)[spec.layout.parameter_place]
    narrowed, first, e = [], 0, spec.gradient_exponent_at(state.steps)
    for number, layer in enumerate(spec.network.layers):
        scaled = spec.error_sum_format.scaled(e + spec.error_offset(number))
        narrowed.append(narrow(error_sum[first : first + layer.n_out], scaled, spec.error_format, spec.formats.error_cast))
        first += layer.n_out
    error, outside = (np.concatenate(parts) for parts in zip(*narrowed, strict=True))
    saturated = {"error": int(np.count_nonzero(outside))}
    products = _products(spec, error, kept, sample)
    if spec.direct_update:
        rounded = [narrow(raw, spec.error_product_format(layer), spec.update_format, cast, word[own]) for layer, own, raw in products]
        update, outside = (np.concatenate(parts) for parts in zip(*rounded, strict=True))
    else:
        rounded = [
            narrow(raw, spec.error_product_format(layer), spec.gradient_format, spec.formats.gradient_cast) for layer, _, raw in products
        ]
        gradient, outside = (np.concatenate(parts) for parts in zip(*rounded, strict=True))
        if spec.gradient_memory:
            gradient, beyond = saturate(state.gradient + gradient, spec.gradient_format.min, spec.gradient_format.max)
            outside = outside | beyond
        saturated["gradient"] = int(np.count_nonzero(outside))
        if update_due:
            moved = spec.optimizer.step(spec.update_forms, optimizer, gradient, word, spec.exponent_at(state.steps))
            optimizer = moved.state
            saturated |= {name: int(np.count_nonzero(beyond)) for name, beyond in moved.outside.items()}
            update, outside = narrow(moved.source, spec.update_source_format, spec.update_format, cast, word)
    if update_due:
        saturated["update"] = int(np.count_nonzero(outside))
        parameters, outside = saturate(parameters - update, *spec.parameter_limits)
        saturated["weight"] = int(np.count_nonzero(outside))
    return Learned(error, gradient, optimizer, parameters, saturated)


def _products(spec: DesignSpec, error: np.ndarray, kept: Pass, sample: Sample) -> list[tuple[int, slice, np.ndarray]]:
    """Return, for each layer, its number, the place of its parameters and err_j·x_i of each of them, exact; x = 1 for a bias."""
    found, first, at, x = [], 0, 0, sample[0]
    for number, layer in enumerate(spec.network.layers):
        own = slice(first, first + layer.n_out)
        one = 1 << spec.operand_format(number).fraction_bits
        operands = np.column_stack((np.full(layer.n_out, one), layer.operands(x)))
        product = (error[own, None] * operands).ravel()
        found.append((number, slice(at, at + layer.n_parameters), product))
        first, at, x = own.stop, at + layer.n_parameters, kept.activation[own]
    return found
