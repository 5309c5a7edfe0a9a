"""Assessment of a pass: the exact cost, and whether the answer is right."""

from __future__ import annotations

import numpy as np

from python_ref.spec.design import DesignSpec

__all__ = ["correct", "cost"]


def cost(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return C = Σ(y − y*)² of raw outputs and targets, summed over the last axis; exact (int64, in the design's ``cost_format``)."""
    error = outputs - targets
    return np.sum(error * error, axis=-1)


def correct(spec: DesignSpec, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return whether the answer equals that of the target (bool).

    The answer is the index of the largest output, the lowest one in a tie; for a single output, it is whether y ≥ ½.
    """
    if spec.network.n_out == 1:
        unit = 1 << spec.formats.activation.fraction_bits
        return (2 * outputs[..., 0] >= unit) == (2 * targets[..., 0] >= unit)
    return np.argmax(outputs, axis=-1) == np.argmax(targets, axis=-1)
