"""Cost functions: squared error, and cross-entropy with label smoothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["CrossEntropy", "SquaredError", "accuracy", "correct"]


@dataclass(frozen=True)
class SquaredError:
    """C = Σₖ(yₖ − y*ₖ)², as in the hardware, or its mean over the outputs, as in the papers.

    Parameters
    ----------
    mean : bool
        Whether to divide by the number of outputs.
    """

    mean: bool = False

    def costs(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return C of each sample (shape (B,))."""
        error = outputs - targets
        costs = np.einsum("bk,bk->b", error, error)
        return costs / error.dtype.type(outputs.shape[1]) if self.mean else costs

    def slopes(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return ∂C/∂y (shape (B, n_out))."""
        scale = 2.0 / outputs.shape[1] if self.mean else 2.0
        return (outputs - targets) * outputs.dtype.type(scale)


@dataclass(frozen=True)
class CrossEntropy:
    """C = −Σₖ tₖ·log softmax(y)ₖ with t = (1 − ε)·y* + ε/n_out, for at least two outputs.

    Label smoothing is that of Szegedy et al., CVPR 2016, section 7; the targets y* are probabilities, one-hot for classes.

    Parameters
    ----------
    smoothing : float
        Label smoothing ε, from 0 to below 1.

    Raises
    ------
    ValueError
        If ε is out of range.
    """

    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.smoothing < 1.0:
            raise ValueError(f"Label smoothing must be from 0 to below 1, not {self.smoothing!r}")

    def _smoothed(self, targets: np.ndarray, kind: np.dtype) -> np.ndarray:
        return (targets * (1.0 - self.smoothing) + self.smoothing / targets.shape[1]).astype(kind, copy=False)

    def costs(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return C of each sample (shape (B,))."""
        relative = outputs - outputs.max(axis=1, keepdims=True)
        wanted = self._smoothed(targets, outputs.dtype)
        return np.log(np.exp(relative).sum(axis=1)) * wanted.sum(axis=1) - np.einsum("bk,bk->b", wanted, relative)

    def slopes(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return ∂C/∂y = softmax(y)·Σt − t (shape (B, n_out))."""
        raised = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        wanted = self._smoothed(targets, outputs.dtype)
        return raised / raised.sum(axis=1, keepdims=True) * wanted.sum(axis=1, keepdims=True) - wanted


def correct(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return which answers are right (bool, shape (B,)).

    The answer is the index of the largest output, the lowest in a tie; for a single output, it is whether y ≥ ½.
    """
    if outputs.shape[1] == 1:
        return (outputs[:, 0] >= 0.5) == (targets[:, 0] >= 0.5)
    return outputs.argmax(axis=1) == targets.argmax(axis=1)


def accuracy(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Return the fraction of right answers."""
    return float(np.mean(correct(outputs, targets)))
