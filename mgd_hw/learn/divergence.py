"""Detection of failed runs: those that diverged, and those whose numbers saturated throughout."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from mgd_hw.data import Data
from python_ref.spec.design import SATURATION_KINDS, DesignSpec

__all__ = ["constant_cost", "failure", "layer_shares", "saturation_shares"]

DIVERGED = 10.0
"""A run has diverged if its final cost exceeds the initial cost, and this many times the cost of a constant answer."""
SATURATED = 0.5
"""Share of the casts of one kind above whose saturation a run has failed."""
STUCK = 0.9
"""Share of a layer's activations above whose saturation at the end a run has failed."""


def failure(data: Data, cost: float, start: float, shares: Mapping[str, float] | None = None) -> str:
    """Return the reason why a run has failed, as a clause; "" if it has not.

    Parameters
    ----------
    data : Data
        Samples that the run was trained on and is judged by.
    cost, start : float
        Mean of C/n_out over the judged samples at the end and at the start of the run.
    shares : dict of str to float, or None
        Share of casts that saturated, by their kind, and share of the activations of each layer that saturate at the end, by the name
        of the layer; None for real numbers.
    """
    if not math.isfinite(cost):
        return "its cost is no longer a finite number"
    for kind, share in (shares or {}).items():
        if kind in SATURATION_KINDS and share > SATURATED:
            return f"{100 * share:.0f} % of its casts of the kind {kind} saturated"
        if kind not in SATURATION_KINDS and share > STUCK:
            return f"{100 * share:.0f} % of the activations of {kind} saturate at the end"
    if cost > start and cost > DIVERGED * constant_cost(data):
        return f"its cost went from {start:.3g} to {cost:.3g}"
    return ""


def constant_cost(data: Data) -> float:
    """Return the mean of C/n_out over the judged samples, of the constant answer that is best on the training samples."""
    mean = data.train.targets.mean(axis=0, dtype=np.float64)
    return float(np.square(data.test.targets - mean).mean())


def saturation_shares(spec: DesignSpec, counters: Mapping[str, int], evaluations: int) -> dict[str, float]:
    """Return the share of the casts of each kind that saturated in a run of the fixed model.

    Parameters
    ----------
    spec : DesignSpec
        Design that the run trained.
    counters : dict of str to int
        The counters of the run, by name (:data:`python_ref.spec.probes.COUNTERS`).
    evaluations : int
        Number of passes of one sample through the network.
    """
    neurons, parameters, steps = spec.network.n_neurons, spec.network.n_parameters, counters["steps"]
    estimates = spec.schedule.presentations_ended(steps) if spec.node else steps
    # In a network with state, these are the casts of samples of T frames; shorter ones have fewer.
    evaluated, frames = evaluations * spec.evaluations, spec.network.frames
    casts = {
        "activation": evaluated,
        "state": evaluated,
        "cost_change": steps,
        "error": estimates * (spec.quantities if spec.node else neurons),
    }
    casts |= dict.fromkeys(("broadcast", "gradient"), estimates * parameters * (frames if spec.node else 1))
    updates = counters["updates"] * parameters  # the casts of all other kinds
    return {kind: counters[f"saturated_{kind}"] / max(1, casts.get(kind, updates)) for kind in SATURATION_KINDS}


def layer_shares(outside: np.ndarray) -> dict[str, float]:
    """Return the share of each layer's activations that saturate, by the name of the layer, from an array of shape (layers,)."""
    return {f"layer {number}": float(share) for number, share in enumerate(outside, 1)}
