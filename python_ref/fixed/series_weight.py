"""A step of a network with state on one page: weight perturbation over the frames of a sample; ``docs/design/series.md`` defines it.

As in :mod:`~python_ref.fixed.weight`, a step measures C̃ once, broadcasts g = cast_gradient(2ᵉ·C̃) to all parameters, and each of them
correlates it once with its own sign, G ← saturate(G + s·g). As in :mod:`~python_ref.fixed.series`, a pass evaluates the framed layers in
each of the sample's n frames, from state 0, and the tail once behind the last one. One sign of a parameter lasts for all frames: a pass
takes θ + s·Δ in the place of θ.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from python_ref.fixed.correlation import correlate
from python_ref.fixed.cost import correct
from python_ref.fixed.narrowing import narrow
from python_ref.fixed.series import unroll
from python_ref.fixed.signature import extend
from python_ref.fixed.state import Sample, State, add_counts, known_signature, sign_source
from python_ref.spec.design import DesignSpec
from python_ref.spec.probes import probes

__all__ = ["step"]


def step(spec: DesignSpec, state: State, sample: Sample) -> tuple[State, dict[str, np.ndarray]]:
    """Compute one training step; see :func:`python_ref.fixed.machine.step`."""
    n, schedule, parameters = state.steps, spec.schedule, spec.network.n_parameters
    new_sample = state.due or n % schedule.sample_period == 0
    update_due = (n + 1) % schedule.update_period == 0

    # The measurement: two passes of all frames, or one if the current baseline is still valid.
    s = sign_source(spec, state.seed).signs(n // schedule.perturbation_period).astype(np.int64)
    moved = s * spec.amplitude_raw(spec.formats.weight.fraction_bits)
    baseline_due = spec.two_sided or new_sample or n % schedule.update_period == 0
    directions = (+1, -1) if spec.two_sided else (0, +1)
    first, second = (
        unroll(spec, state.parameters + direction * moved, sample) if direction == +1 or baseline_due else state.baseline
        for direction in directions
    )
    passes = (first, second)
    difference = first.cost - second.cost if spec.two_sided else second.cost - first.cost
    change, change_outside = narrow(difference, spec.cost_difference_format, spec.cost_change_format, spec.formats.cost_change_cast)

    # The broadcast, which every parameter correlates once, and the update if it is due.
    scaled = spec.cost_change_format.scaled(spec.gradient_exponent_at(n))
    g, outside = narrow(change, scaled, spec.gradient_format, spec.formats.gradient_cast)
    learned = correlate(spec, state, s, np.full(spec.layout.words, g), update_due)

    counted = {
        "activation": sum(each.saturated for each in passes),
        "state": sum(each.state_saturated for each in passes),
        "cost_change": int(change_outside),
        "broadcast": int(outside) * parameters,
    }
    added = {
        "steps": 1,
        "updates": int(update_due),
        "correct": int(new_sample and correct(spec, first.outputs, sample[1])),
        "writes": update_due * parameters,
        "changed": int(np.count_nonzero(learned.parameters != state.parameters)),
    }
    observed = {
        **{name: np.stack([getattr(each, name) for each in passes]) for name in ("preactivation", "activation", "state", "cost")},
        "cost_change": np.array((int(change),)),
        "broadcast": learned.broadcast,
        "sign": s,
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
        baseline=replace(first, saturated=0, state_saturated=0),
        counters=observed["counter"],
    )
    if spec.hardware.signature:
        ran, length = (0, 1) if baseline_due else (1,), spec.unrolled.length_of(sample[0])
        signature = extend(spec, known_signature(state.signature), observed, ran, length)
        after, observed["signature"] = replace(after, signature=signature), np.array(signature)
    return after, {probe.name: observed[probe.name] for probe in probes(spec)}
