"""A step of weight perturbation on one page; :mod:`~python_ref.fixed.machine` explains the symbols.

Every step measures C̃ once, broadcasts g = cast_gradient(2ᵉ·C̃) to all parameters, and each of them correlates it with its own sign.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from python_ref.fixed.cost import correct
from python_ref.fixed.narrowing import narrow, saturate
from python_ref.fixed.signature import extend
from python_ref.fixed.state import Pass, Sample, State, add_counts, known_signature, measure, rounding_source, sign_source
from python_ref.spec.design import DesignSpec
from python_ref.spec.probes import probes

__all__ = ["step"]


def step(spec: DesignSpec, state: State, sample: Sample) -> tuple[State, dict[str, np.ndarray]]:
    """Compute one training step; see :func:`python_ref.fixed.machine.step`."""
    n, schedule, layout = state.steps, spec.schedule, spec.layout
    new_sample = state.due or n % schedule.sample_period == 0
    update_due = (n + 1) % schedule.update_period == 0

    # The perturbation: sign vector number p of the code.
    signs = sign_source(spec, state.seed).signs(n // schedule.perturbation_period)
    s = signs.astype(np.int64)

    # The measurement: two passes, or one if the current baseline is still valid.
    baseline_due = spec.two_sided or new_sample or n % schedule.update_period == 0
    first, second = _passes(spec, state, sample, signs, baseline_due)
    difference = first.cost - second.cost if spec.two_sided else second.cost - first.cost
    counted = {"activation": first.saturated + second.saturated}
    change, outside = narrow(difference, spec.cost_difference_format, spec.cost_change_format, spec.formats.cost_change_cast)
    counted["cost_change"] = int(outside)

    # The broadcast: scaled and narrowed once; every parameter receives the same g.
    scaled = spec.cost_change_format.scaled(spec.exponent_at(n))
    g, outside = narrow(change, scaled, spec.gradient_format, spec.formats.gradient_cast)
    counted["broadcast"] = int(outside) * spec.network.n_parameters

    # The correlation, and the update if it is due.
    learned = _learn(spec, state, s, np.full(layout.words, g), update_due)
    counted |= learned.saturated
    added = {
        "steps": 1,
        "updates": int(update_due),
        "correct": int(new_sample and correct(spec, first.activation[-spec.network.n_out :], sample[1])),
        "writes": update_due * spec.network.n_parameters,
        "changed": int(np.count_nonzero(learned.parameters != state.parameters)),
    }
    observed = {
        "preactivation": np.stack((first.preactivation, second.preactivation)),
        "activation": np.stack((first.activation, second.activation)),
        "cost": np.array((first.cost, second.cost)),
        "cost_change": np.array((int(change),)),
        "broadcast": learned.broadcast,
        "sign": s,
        "gradient": learned.gradient,
        **learned.optimizer,
        "parameter": learned.parameters,
        "counter": add_counts(state, added, counted),
    }
    after = replace(
        state,
        steps=n + 1,
        updates=state.updates + update_due,
        due=False,
        parameters=learned.parameters,
        gradient=np.zeros_like(learned.gradient) if update_due else learned.gradient,
        optimizer=learned.optimizer,
        baseline=replace(first, saturated=0),
        counters=observed["counter"],
    )
    if spec.hardware.signature:
        signature = extend(spec, known_signature(state), observed, (0, 1) if baseline_due else (1,))
        after, observed["signature"] = replace(after, signature=signature), np.array(signature)
    return after, {probe.name: observed[probe.name] for probe in probes(spec)}


def _passes(spec: DesignSpec, state: State, sample: Sample, signs: np.ndarray, baseline_due: bool) -> tuple[Pass, Pass]:
    """Return the pass of C₀, new or current, and that of C₊; if the difference is two-sided, those of C₊ and C₋."""
    if spec.two_sided:
        return measure(spec, state, sample, signs, +1), measure(spec, state, sample, signs, -1)
    return measure(spec, state, sample, signs, 0) if baseline_due else state.baseline, measure(spec, state, sample, signs, +1)


@dataclass(frozen=True, eq=False)
class _Learned:
    """Result of a correlation.

    It consists of the broadcast (g, or u for a direct update), G before it is cleared, the optimiser's state, θ, and the numbers of values
    out of range, by kind.
    """

    broadcast: np.ndarray
    gradient: np.ndarray
    optimizer: dict[str, np.ndarray]
    parameters: np.ndarray
    saturated: dict[str, int]


def _learn(spec: DesignSpec, state: State, s: np.ndarray, g: np.ndarray, update_due: bool) -> _Learned:
    """Correlate, G ← saturate(G + s·g); if the update is due, θ ← saturate(θ − u), u = cast_weight(source), with the optimiser's source.

    A direct update is u = cast_weight(g), rounded once before the sign is applied: θ ← saturate(θ − s·u). ``g`` has one value per word of a
    pass, as the stochastic words have.
    """
    layout, cast = spec.layout, spec.formats.weight_cast
    words = rounding_source(spec, state.seed).words(state.updates)[layout.word_slot] if update_due else np.zeros_like(g)
    parameters, gradient, optimizer, saturated = state.parameters, state.gradient, state.optimizer, {}
    if spec.direct_update:
        g, outside = narrow(g, spec.gradient_format, spec.update_format, cast, words)
        update, saturated["update"] = s * g[layout.parameter_word], int(layout.word_lanes @ outside)
    else:
        gradient = gradient + s * g[layout.parameter_word]
        gradient, outside = saturate(gradient, spec.gradient_format.min, spec.gradient_format.max)
        saturated["gradient"] = int(np.count_nonzero(outside))
        if update_due:
            word = words[layout.parameter_word]
            moved = spec.optimizer.step(spec.gradient_format, optimizer, gradient, word, state.updates)
            optimizer = moved.state
            saturated |= {name: int(np.count_nonzero(outside)) for name, outside in moved.outside.items()}
            update, outside = narrow(moved.source, spec.update_source_format, spec.update_format, cast, word)
            saturated["update"] = int(np.count_nonzero(outside))
    if update_due:
        parameters, outside = saturate(parameters - update, *spec.parameter_limits)
        saturated["weight"] = int(np.count_nonzero(outside))
    return _Learned(g, gradient, optimizer, parameters, saturated)
