"""A step of weight perturbation on one page; :mod:`~python_ref.fixed.machine` explains the symbols.

Every step measures C̃ once, broadcasts g = cast_gradient(2ᵉ·C̃) to all parameters, and each of them correlates it with its own sign.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from python_ref.fixed.correlation import correlate
from python_ref.fixed.cost import correct
from python_ref.fixed.narrowing import narrow
from python_ref.fixed.signature import extend
from python_ref.fixed.state import Pass, Sample, State, add_counts, known_signature, measure, sign_source
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
    scaled = spec.cost_change_format.scaled(spec.gradient_exponent_at(n))
    g, outside = narrow(change, scaled, spec.gradient_format, spec.formats.gradient_cast)
    counted["broadcast"] = int(outside) * spec.network.n_parameters

    # The correlation, and the update if it is due.
    learned = correlate(spec, state, s, np.full(layout.words, g), update_due)
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
        baseline=replace(first, saturated=0),
        counters=observed["counter"],
    )
    if spec.hardware.signature:
        signature = extend(spec, known_signature(state.signature), observed, (0, 1) if baseline_due else (1,))
        after, observed["signature"] = replace(after, signature=signature), np.array(signature)
    return after, {probe.name: observed[probe.name] for probe in probes(spec)}


def _passes(spec: DesignSpec, state: State, sample: Sample, signs: np.ndarray, baseline_due: bool) -> tuple[Pass, Pass]:
    """Return the pass of C₀, new or current, and that of C₊; if the difference is two-sided, those of C₊ and C₋."""
    if spec.two_sided:
        return measure(spec, state, sample, signs, +1), measure(spec, state, sample, signs, -1)
    return measure(spec, state, sample, signs, 0) if baseline_due else state.baseline, measure(spec, state, sample, signs, +1)
