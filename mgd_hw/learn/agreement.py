"""How well the mean of gradient estimates points along the true gradient."""

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

__all__ = ["Agreement", "agreement"]

AGREEMENT_STEPS = 20_000
"""Most steps over which a gradient is estimated."""


@dataclass(frozen=True)
class Agreement(Result):
    """How well the mean of MGD's gradient estimates points along the true gradient, at the initial parameters.

    Attributes
    ----------
    steps : int
        Estimates in the mean.
    quantities : int
        Number of quantities that are perturbed, D: all parameters, or all neurons.
    cosine_float, cosine_fixed : float
        Of each model, with the gradient of back-propagation over the same samples.
    single_sample : float
        √(steps/(steps + D − 1)): what random signs give on a single sample; with several samples the mean gradient is
        shorter than theirs, and the cosine lower.
    """

    steps: int
    quantities: int
    cosine_float: float
    cosine_fixed: float
    single_sample: float

    def sentence(self) -> str:
        """Both cosines, and what to hold them against."""
        return (
            f"Gradient, mean of {self.steps:,} estimates: cosine with the true one {self.cosine_float:.3f} float, "
            f"{self.cosine_fixed:.3f} fixed "
            f"({self.quantities:,} perturbed quantities; {self.single_sample:.3f} is what random signs give on a single sample)"
        )


def agreement(design: Design, data: Data, raw: np.ndarray) -> Agreement | None:
    """Sum both models' estimates at the raw parameters ``raw``, and compare their direction with the true gradient's.

    A gradient memory and a period longer than the sum keep the parameters where they are. The formats are the design's, but that G has
    room above for as many steps as a word of the host allows; so many are taken at a time.
    """
    from python_ref.fixed import fast
    from python_ref.fixed.machine import initial_state
    from python_ref.floating import online

    spec = design.spec
    steps = min(AGREEMENT_STEPS, max(200, 10 * spec.quantities))
    try:
        still = _frozen(spec, steps)
    except DesignError:  # no room for a sum
        return None
    start = spec.formats.weight.to_real(raw)
    train_part, order = data.train, data.order
    moved = online.train(still, start, train_part.inputs, train_part.targets, order, steps).parameters
    summing = replace(still, schedule=replace(still.schedule, update_period=steps + 1))
    samples, state = quantise(summing, train_part), initial_state(summing, raw)
    total, at_once = np.zeros(len(raw)), 1 << max(0, summing.gradient_format.integer_bits - spec.gradient_format.integer_bits)
    while state.steps < steps:
        state = fast.train(summing, state, *samples, order, min(at_once, steps - state.steps)).state
        total += state.gradient
        state = replace(state, gradient=np.zeros_like(state.gradient))
    visited = order.indices(0, -(-steps // spec.schedule.sample_period))
    gradient = of_design.gradient(spec, start, train_part.inputs[visited], train_part.targets[visited])
    single = math.sqrt(steps / (steps + spec.quantities - 1))
    return Agreement(steps, spec.quantities, _cosine(start - moved, gradient), _cosine(total, gradient), single)


def _frozen(spec: DesignSpec, steps: int) -> DesignSpec:
    """The design with a gradient memory of whole words, and no update for ``steps`` steps, at its first learning rate."""
    gradient = spec.gradient_format
    fraction = min(gradient.fraction_bits, WORD_BITS - gradient.integer_bits)
    formats = replace(spec.formats, gradient=Fixed(True, min(gradient.integer_bits + 16, WORD_BITS - fraction), fraction))
    schedule = replace(spec.schedule, learning_rate=spec.schedule.learning_rate[:1], update_period=steps)
    return replace(spec, schedule=schedule, optimizer=Sgd(), formats=formats, hardware=replace(spec.hardware, gradient_memory=True))


def _cosine(left: np.ndarray, right: np.ndarray) -> float:
    norms = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / norms if norms else math.nan
