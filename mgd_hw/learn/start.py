"""How good given parameters are before any training: in real numbers, and rounded to the hardware's format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mgd_hw.common.results import Result
from mgd_hw.data import Data
from mgd_hw.design.description import Design
from mgd_hw.learn.judging import judge_fixed
from python_ref.floating import of_design
from python_ref.parameters import quantise_parameters

__all__ = ["Start", "judge_start"]


@dataclass(frozen=True)
class Start(Result):
    """Measures of given parameters on the judged samples, before training.

    Attributes
    ----------
    real : dict of str to float
        Measures of the network in real numbers, with the parameters as they were given.
    fixed : dict of str to float
        Measures of the network in the hardware's arithmetic, with rounded parameters.
    cost_real, cost_fixed : float
        Mean of C/n_out over the judged samples, in both.
    """

    real: dict[str, float]
    fixed: dict[str, float]
    cost_real: float
    cost_fixed: float

    def rows_shown(self) -> list[tuple[str, dict[str, float], float]]:
        """Return the rows of a table of models: title, measures and cost of each."""
        return [
            ("at the start, real numbers", self.real, self.cost_real),
            ("at the start, fixed point", self.fixed, self.cost_fixed),
        ]


def judge_start(design: Design, data: Data, parameters: np.ndarray) -> Start | None:
    """Evaluate parameters (float64, shape (P,)) on the judged samples; None for a design that only the float model can do."""
    if design.float_only.requests:
        return None
    spec, samples = design.spec, data.test
    outputs = of_design.outputs(spec, parameters, samples.records)
    cost = of_design.evaluate(spec, parameters, samples.records, samples.targets)[1] / spec.network.n_out
    fixed = judge_fixed(spec, quantise_parameters(spec, parameters), data)
    return Start(data.kind.scores(outputs), data.kind.scores(fixed.answers), float(cost), fixed.cost)
