"""Assessment of a pass: the exact cost, and whether the answer is right."""

from __future__ import annotations

import numpy as np

from python_ref.spec.design import DesignSpec

__all__ = ["aligned", "correct", "cost"]


def aligned(spec: DesignSpec, outputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return raw outputs and targets (int64) with the same fraction bits, those of the design's ``residual_format``."""
    fraction = spec.residual_format.fraction_bits
    return outputs << fraction - spec.outputs_format.fraction_bits, targets << fraction - spec.formats.activation.fraction_bits


def cost(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return C = Σ(y − y*)² of raw outputs and targets with the same fraction bits (:func:`aligned`), summed over the last axis.

    It is exact (int64, in the design's ``cost_format``).
    """
    error = outputs - targets
    return np.sum(error * error, axis=-1)


def correct(spec: DesignSpec, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return whether the answer equals that of the target (bool).

    The answer is the index of the largest output, the lowest one in a tie; for a single output, it is whether y ≥ ½.
    """
    if spec.network.n_out == 1:
        answer, target = 1 << spec.outputs_format.fraction_bits, 1 << spec.formats.activation.fraction_bits
        return (2 * outputs[..., 0] >= answer) == (2 * targets[..., 0] >= target)
    return np.argmax(outputs, axis=-1) == np.argmax(targets, axis=-1)
