"""Cosine between the mean of MGD's gradient estimates and the true gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from mgd_hw.common.results import Result
from mgd_hw.data import Data
from mgd_hw.design.description import Design
from python_ref.datasets import quantise
from python_ref.floating import of_design
from python_ref.spec.design import WORD_BITS, DesignSpec
from python_ref.spec.error import DesignError
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import Sgd
from python_ref.spec.perturbation import LfsrCode

__all__ = ["Agreement", "agreement"]

AGREEMENT_STEPS = 20_000
"""Largest number of steps over which a gradient is estimated."""


@dataclass(frozen=True)
class Agreement(Result):
    """Cosine between the mean of MGD's gradient estimates and the true gradient, for the float and the fixed model.

    Attributes
    ----------
    steps : int
        Number of estimates in the mean, one per step.
    quantities : int
        Number of quantities that are perturbed, D: all parameters, or all neurons.
    cosine_float, cosine_fixed : float
        Cosine of each model's mean estimate with the gradient of back-propagation over the same samples.
    single_sample : float or None
        Cosine expected of random signs on a single sample, √(steps/(steps + D − 1)); None for codes whose signs are not random. With
        several samples the mean gradient is shorter than the gradients of the samples, and the cosine lower.
    """

    steps: int
    quantities: int
    cosine_float: float
    cosine_fixed: float
    single_sample: float | None

    def sentence(self) -> str:
        """Return a sentence with both cosines, and the one expected of random signs on a single sample."""
        expected = "" if self.single_sample is None else f"; {self.single_sample:.3f} is what random signs give on a single sample"
        return (
            f"Gradient at the parameters of the start, mean of {self.steps:,} estimates: cosine with the true one {self.cosine_float:.3f} "
            f"float, {self.cosine_fixed:.3f} fixed ({self.quantities:,} perturbed quantities{expected})"
        )


def agreement(design: Design, data: Data, raw: np.ndarray) -> Agreement | None:
    """Compute the cosine between the sum of each model's gradient estimates and the true gradient.

    A gradient memory and a long update period keep the parameters constant while the estimates are summed. The formats are the
    design's, except that G has more integer bits, as far as a word of the host allows. The fixed model runs in blocks of as many steps
    as these bits can sum.

    Parameters
    ----------
    design, data : Design, Data
        The design, and the samples whose gradient is estimated.
    raw : array of int64, shape (P,)
        Parameters at which the gradients are estimated, as raw integers.

    Returns
    -------
    Agreement or None
        The cosines of both models; None if no format of G has room for a sum.
    """
    from python_ref.fixed import fast
    from python_ref.fixed.machine import initial_state

    spec = design.spec
    steps = min(AGREEMENT_STEPS, max(200, 10 * spec.quantities))
    if spec.node:  # estimates reach G only when a presentation ends
        steps = -(-steps // spec.longest_presentation) * spec.longest_presentation
    try:
        still = _frozen(spec, steps)
    except DesignError:  # the format has no room for a sum
        return None
    start = spec.formats.weight.to_real(raw)
    train_part, order = data.train, data.order
    moved = _moved(still, start, data, steps)
    summing = replace(still, schedule=replace(still.schedule, update_period=steps + spec.round.probes))
    samples, state = quantise(summing, train_part), initial_state(summing, raw)
    total, at_once = np.zeros(len(raw)), 1 << max(0, summing.gradient_format.integer_bits - spec.gradient_format.integer_bits)
    while state.steps < steps:
        state = fast.train(summing, state, *samples, order, min(at_once, steps - state.steps)).state
        total += state.gradient
        state = replace(state, gradient=np.zeros_like(state.gradient))
    visited = order.indices(0, -(-steps // still.schedule.sample_period))
    gradient = of_design.gradient(spec, start, train_part.records[visited], train_part.targets[visited])
    quantities, perturbations = spec.round.scarcest(steps) if spec.in_parts else (spec.quantities, steps)
    single = math.sqrt(perturbations / (perturbations + quantities - 1)) if type(spec.code) is LfsrCode else None
    return Agreement(steps, spec.quantities, _cosine(start - moved, gradient), _cosine(total, gradient), single)


def _moved(still: DesignSpec, start: np.ndarray, data: Data, steps: int) -> np.ndarray:
    """Return θ (shape (P,)) after ``steps`` steps of the float model from ``start``, the only update being after the last one."""
    from python_ref.floating import learner, online
    from python_ref.floating.presentations import trainer

    records, targets = data.train.records, data.train.targets
    if still.node or online.supports(still):
        return trainer(still)(still, start, records, targets, data.order, steps).parameters
    return learner.train(of_design.learner(still), start, records, targets, data.order, steps).state.theta


def _frozen(spec: DesignSpec, steps: int) -> DesignSpec:
    """Return the design with a gradient memory of up to a word per entry, an update period of ``steps``, and its first learning rate.

    In node perturbation its errors have the design's format and sum as many cost changes as in the design's longest presentations.
    """
    gradient = spec.gradient_format
    fraction = min(gradient.fraction_bits, WORD_BITS - gradient.integer_bits)
    formats = replace(spec.formats, gradient=Fixed(True, min(gradient.integer_bits + 16, WORD_BITS - fraction), fraction))
    schedule = replace(spec.schedule, learning_rate=spec.schedule.learning_rate[:1], update_period=steps)
    if spec.node:
        formats = replace(formats, error=spec.error_format)
        schedule = replace(schedule, sample_period=spec.longest_presentation)
    return replace(spec, schedule=schedule, optimizer=Sgd(), formats=formats, hardware=replace(spec.hardware, gradient_memory=True))


def _cosine(left: np.ndarray, right: np.ndarray) -> float:
    """Return the cosine of the angle between two vectors; NaN if either is zero."""
    norms = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / norms if norms else math.nan
