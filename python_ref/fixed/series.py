"""A step of a network with state on one page: node perturbation over the frames of a sample; ``docs/design/series.md`` defines it.

A pass evaluates the framed layers in each of the sample's n frames, from state 0, and the tail once behind the last one. Evaluation
t·F + j is framed neuron j in frame t. One sign lasts a segment of H frames: quantity g·F + j is framed neuron j in segment g.

As in :mod:`~python_ref.fixed.node`, a presentation begins with one unperturbed pass, every step is a probe of all quantities q, which each
correlate its C̃, E_q ← E_q + s_q·C̃, and at its end err_q = cast_error(2ᵉ·E_q). Then each frame adds to the gradient of each parameter the
error of its neuron in that frame, times the operand that the parameter had there: G ← saturate(G + cast_gradient(err_q·x(t))).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from python_ref.fixed.cost import aligned, correct, cost
from python_ref.fixed.learned import Learned, unmoved
from python_ref.fixed.narrowing import narrow, saturate
from python_ref.fixed.neurons import respond
from python_ref.fixed.signature import extend_series
from python_ref.fixed.state import Pass, Sample, State, add_counts, known_signature, rounding_source, sign_source
from python_ref.parameters import split_parameters
from python_ref.spec.design import DesignSpec
from python_ref.spec.network import Readout
from python_ref.spec.number import Fixed
from python_ref.spec.probes import probes

__all__ = ["operands", "step", "unroll"]


def step(spec: DesignSpec, state: State, sample: Sample) -> tuple[State, dict[str, np.ndarray]]:
    """Compute one training step; see :func:`python_ref.fixed.machine.step`."""
    n, schedule = state.steps, spec.schedule
    new_sample = state.due or n % schedule.sample_period == 0
    begins, ends = state.due or schedule.begins(n), schedule.begins(n + 1)
    update_due = (n + 1) % schedule.update_period == 0
    length = spec.unrolled.length_of(sample[0])

    # The unperturbed pass, once per presentation; and the probe, one perturbed pass, or two.
    vector = sign_source(spec, state.seed).signs(n // schedule.perturbation_period)
    s = np.where(spec.unrolled.perturbed(length), vector.astype(np.int64), 0)
    kept = unroll(spec, state.parameters, sample) if begins else state.baseline
    probed = [unroll(spec, state.parameters, sample, direction * s) for direction in ((+1, -1) if spec.two_sided else (+1,))]
    passes = (kept, *probed)
    difference = probed[0].cost - (probed[1] if spec.two_sided else kept).cost
    change, outside = narrow(difference, spec.cost_difference_format, spec.cost_change_format, spec.formats.cost_change_cast)
    counted = {
        "activation": sum(each.saturated for each in passes),
        "state": sum(each.state_saturated for each in passes),
        "cost_change": int(outside),
    }

    # The correlation at the quantities.
    error_sum = (0 if begins else state.error_sum) + s * change

    # The end of the presentation: the errors of all frames reach the parameters.
    learned = _learn(spec, state, error_sum, kept, sample, update_due) if ends else unmoved(spec, state)
    added = {
        "steps": 1,
        "updates": int(update_due),
        "correct": int(new_sample and correct(spec, kept.outputs, sample[1])),
        "writes": update_due * spec.network.n_parameters,
        "changed": int(np.count_nonzero(learned.parameters != state.parameters)),
    }
    observed = {
        **{name: np.stack([getattr(each, name) for each in passes]) for name in ("preactivation", "activation", "state")},
        "cost": np.array([each.cost for each in passes]),
        "cost_change": np.array((int(change),)),
        "sign": s,
        "error_sum": error_sum,
        "error": learned.error,
        "gradient": learned.gradient,
        **learned.optimizer,
        "parameter": learned.parameters,
        "counter": add_counts(state.counters, added, counted | learned.saturated),
    }
    after = replace(
        state,
        steps=n + 1,
        updates=state.updates + update_due,
        due=False,
        parameters=learned.parameters,
        gradient=np.zeros_like(learned.gradient) if update_due else learned.gradient,
        optimizer=learned.optimizer,
        baseline=replace(kept, saturated=0, state_saturated=0),
        error_sum=np.zeros_like(error_sum) if ends else error_sum,
        probes=0 if ends else state.probes + 1,
        counters=observed["counter"],
    )
    if spec.hardware.signature:
        signature = extend_series(spec, known_signature(state.signature), observed, length, begins, ends)
        after, observed["signature"] = replace(after, signature=signature), np.array(signature)
    return after, {probe.name: observed[probe.name] for probe in probes(spec)}


def unroll(spec: DesignSpec, parameters: np.ndarray, sample: Sample, signs: np.ndarray | None = None) -> Pass:
    """Compute a pass of all frames of a sample.

    Parameters
    ----------
    spec : DesignSpec
        Design whose network is evaluated.
    parameters : array of int64, shape (P,)
        Parameters θ, raw, in canonical order.
    sample : (array of int64, array of int64)
        Raw input words, shape (record_inputs,), which begin with the length of a series that is not held; and raw targets.
    signs : array of int64, shape (quantities,)
        Signs of the perturbed quantities, negated where −s·Δ is added; None perturbs none of them.
    """
    unrolled, network, rows = spec.unrolled, spec.network, split_parameters(spec, parameters)
    z_all, y_all, state_all = (np.zeros(spec.evaluations, dtype=np.int64) for _ in range(3))
    saturated, state_saturated, length = 0, 0, unrolled.length_of(sample[0])
    outputs = [np.zeros(layer.n_out, dtype=np.int64) for layer in network.layers]
    states = [np.zeros(layer.n_out, dtype=np.int64) for layer in network.layers]
    total = np.zeros(network.layers[network.framed - 1].n_out, dtype=np.int64)

    def visit(number: int, x: np.ndarray, frame: int) -> None:
        nonlocal saturated, state_saturated
        weights, biases = rows[number]
        first, quantity = unrolled.first_evaluation(number, frame), unrolled.first_quantity(number, frame)
        own, source = slice(first, first + len(biases)), spec.preactivation_format(number)
        z = weights @ operands(spec, number, x, outputs[number]) + (biases << spec.operand_format(number).fraction_bits)
        if signs is not None:
            z = z + signs[quantity : quantity + len(biases)] * spec.amplitude_raw(source.fraction_bits)
        found = respond(spec, number, z, states[number])
        outputs[number], states[number] = found.output, found.state
        z_all[own], y_all[own], state_all[own] = z, found.activation, found.state
        saturated += int(np.count_nonzero(found.outside))
        state_saturated += int(np.count_nonzero(found.state_outside))

    for frame in range(length):
        x = unrolled.frame_of(sample[0], frame)
        for number in range(network.framed):
            visit(number, x, frame)
            x = outputs[number]
        total = total + x if network.readout is Readout.SUM else x
    passed = total
    for number in range(network.framed, len(network.layers)):
        visit(number, passed, 0)
        passed = outputs[number]
    measured = int(cost(*aligned(spec, passed, sample[1])))
    return Pass(z_all, y_all, measured, saturated, state_all, passed, state_saturated)


def operands(spec: DesignSpec, number: int, inputs: np.ndarray, recurrent: np.ndarray) -> np.ndarray:
    """Return the operands of layer ``number``, shifted to their common fraction: its inputs, then if it is recurrent its own outputs of the
    frame before; each on the last axis (int64)."""
    common = spec.operand_format(number).fraction_bits
    given = zip(spec.operand_formats(number), (inputs, recurrent), strict=False)
    return np.concatenate([values << common - form.fraction_bits for (_, form), values in given], axis=-1)


def _learn(spec: DesignSpec, state: State, error_sum: np.ndarray, kept: Pass, sample: Sample, update_due: bool) -> Learned:
    """Narrow E to err; correlate in every frame, G ← saturate(G + cast_gradient(err·x)); if the update is due, θ ← saturate(θ − u)."""
    scaled = spec.error_sum_format.scaled(spec.gradient_exponent_at(state.steps))
    error, outside = narrow(error_sum, scaled, spec.error_format, spec.formats.error_cast)
    saturated = {"error": int(np.count_nonzero(outside)), "gradient": 0}
    gradient, optimizer, parameters = state.gradient.copy(), state.optimizer, state.parameters
    for own, raw, source in _products(spec, error, kept, sample):
        narrowed, outside = narrow(raw, source, spec.gradient_format, spec.formats.gradient_cast)
        gradient[own], beyond = saturate(gradient[own] + narrowed, spec.gradient_format.min, spec.gradient_format.max)
        saturated["gradient"] += int(np.count_nonzero(outside | beyond))
    if update_due:
        word = rounding_source(spec, state.seed).words(state.updates)[spec.layout.parameter_place]
        moved = spec.optimizer.step(spec.update_forms, optimizer, gradient, word, spec.exponent_at(state.steps))
        optimizer = moved.state
        saturated |= {name: int(np.count_nonzero(beyond)) for name, beyond in moved.outside.items()}
        update, outside = narrow(moved.source, spec.update_source_format, spec.update_format, spec.formats.weight_cast, word)
        saturated["update"] = int(np.count_nonzero(outside))
        parameters, outside = saturate(parameters - update, *spec.parameter_limits)
        saturated["weight"] = int(np.count_nonzero(outside))
    return Learned(error, gradient, optimizer, parameters, saturated)


def _products(spec: DesignSpec, error: np.ndarray, kept: Pass, sample: Sample) -> list[tuple[slice, np.ndarray, Fixed]]:
    """Return, for each frame and framed layer in order and then for each layer of the tail, the place of its parameters, err·x of each of
    them, exact, x the operand of the unperturbed pass or 1 for a bias, and the format of these products."""
    unrolled, network, found = spec.unrolled, spec.network, []
    ends = np.cumsum([layer.n_parameters for layer in network.layers])
    length = unrolled.length_of(sample[0])

    def outputs(number: int, frame: int) -> np.ndarray:
        layer = network.layers[number]
        if frame < 0:
            return np.zeros(layer.n_out, dtype=np.int64)
        first = unrolled.first_evaluation(number, frame)
        return (kept.state if layer.kind.recurrent else kept.activation)[first : first + layer.n_out]

    def correlate(number: int, x: np.ndarray, frame: int) -> None:
        layer, quantity = network.layers[number], unrolled.first_quantity(number, frame)
        one = 1 << spec.operand_format(number).fraction_bits
        before = outputs(number, frame - 1) if layer.kind.recurrent else x[:0]
        factors = np.concatenate(([one], operands(spec, number, x, before)))
        product = np.outer(error[quantity : quantity + layer.n_out], factors).ravel()
        found.append((slice(ends[number] - layer.n_parameters, ends[number]), product, spec.error_product_format(number)))

    for frame in range(length):
        for number in range(network.framed):
            correlate(number, outputs(number - 1, frame) if number else unrolled.frame_of(sample[0], frame), frame)
    last = network.framed - 1
    frames = range(length) if network.readout is Readout.SUM else (length - 1,)
    passed = np.sum([outputs(last, frame) for frame in frames], axis=0)
    for number in range(network.framed, len(network.layers)):
        correlate(number, passed, 0)
        passed = outputs(number, 0)
    return found
