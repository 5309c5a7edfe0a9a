"""Evaluation of the unperturbed fixed model on the samples that a design is judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mgd_hw.data import Data
from mgd_hw.learn.divergence import layer_shares
from python_ref.datasets import quantise
from python_ref.spec.design import DesignSpec

__all__ = ["Judgement", "judge_fixed"]


@dataclass(frozen=True, eq=False)
class Judgement:
    """Outputs, cost and saturation of the unperturbed fixed model on the judged samples.

    Attributes
    ----------
    answers : array of float64, shape (n, n_out)
        Outputs for the judged samples, in their order.
    cost : float
        Mean of C/n_out over these samples.
    saturated : dict of str to float
        Share of the activations of each layer that saturate, by the name of the layer.
    """

    answers: np.ndarray
    cost: float
    saturated: dict[str, float]


def judge_fixed(spec: DesignSpec, parameters: np.ndarray, data: Data) -> Judgement:
    """Evaluate the fixed model at raw parameters (int64, shape (P,)) on the judged samples of ``data``."""
    from python_ref.fixed.fast import measures, outputs

    inputs, targets = quantise(spec, data.test)
    found, outside = outputs(spec, parameters, inputs)
    cost = measures(spec, found, targets)[1] / spec.network.n_out
    return Judgement(spec.outputs_format.to_real(found), cost, layer_shares(outside))
