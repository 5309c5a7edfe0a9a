"""What a pass is judged by: the exact cost, and whether the answer is right."""

from __future__ import annotations

import numpy as np

from python_ref.spec.design import DesignSpec

__all__ = ["correct", "cost"]


def cost(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """C = Σ(y − y*)², exact (int64, in the design's ``cost_format``); outputs and targets raw, summed over the last axis."""
    error = outputs - targets
    return np.sum(error * error, axis=-1)


def correct(spec: DesignSpec, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Whether the answer is the target's (bool): the largest output, the lowest index winning a tie; of a lone output, y ≥ ½."""
    if spec.network.n_out == 1:
        unit = 1 << spec.formats.activation.fraction_bits
        return (2 * outputs[..., 0] >= unit) == (2 * targets[..., 0] >= unit)
    return np.argmax(outputs, axis=-1) == np.argmax(targets, axis=-1)
