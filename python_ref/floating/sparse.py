"""Sparse layers, whose neurons have fixed lists of inputs."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from python_ref.floating.layers import Shape
from python_ref.spec.activations import Activation

__all__ = ["Sparse"]


@dataclass(frozen=True, eq=False)
class Sparse:
    """y = f(W·x + b), where each neuron has weights for some of the inputs only; an image as input is flattened, channel by channel.

    Parameters
    ----------
    n_out : int
        Number of neurons, and thus of outputs per sample.
    activation : Activation
        Function f applied to each pre-activation.
    lists : array of int64, shape (blocks, F)
        Numbers of the inputs that are the operands of the neurons of a block, in the order of their weights; none twice.
    block : int
        Number of consecutive neurons that share a list; the last block may have fewer.

    Raises
    ------
    ValueError
        If there is not one list for each block, or a list names an input twice.
    """

    n_out: int
    activation: Activation
    lists: np.ndarray
    block: int = 1

    kind: ClassVar[str] = "sparse"

    def __post_init__(self) -> None:
        blocks = -(-self.n_out // self.block)
        if self.lists.ndim != 2 or len(self.lists) != blocks:
            raise ValueError(f"There must be {blocks} lists of inputs, one for each block, not an array of shape {self.lists.shape!r}")
        if any(len(np.unique(row)) != len(row) for row in self.lists):
            raise ValueError("A list must not name an input twice")

    @property
    def thresholds(self) -> int:
        """See :class:`~python_ref.floating.layers.Weighted`."""
        return 0

    def output_shape(self, shape: Shape) -> Shape:
        """Return (n_out,)."""
        if self.lists.min() < 0 or self.lists.max() >= prod(shape):
            raise ValueError(
                f"Lists must name inputs from 0 to {prod(shape) - 1}, not {int(self.lists.min())!r} to {int(self.lists.max())!r}"
            )
        return (self.n_out,)

    def weights_shape(self, shape: Shape) -> Shape:
        """Return (n_out, 1 + F)."""
        return self.n_out, 1 + self.lists.shape[1]

    def node_shape(self, shape: Shape) -> Shape:
        """Return (n_out,)."""
        return (self.n_out,)

    def _blocks(self, rows: np.ndarray) -> np.ndarray:
        """Return rows, one for each neuron, by block (shape (blocks, block, columns)); missing ones of the last block are zero."""
        missing = len(self.lists) * self.block - len(rows)
        return np.pad(rows, ((0, missing), (0, 0))).reshape(len(self.lists), self.block, -1)

    def _operands(self, x: np.ndarray) -> np.ndarray:
        """Return the operands of each block (shape (blocks, F, B))."""
        return x.reshape(-1, x.shape[-1])[self.lists]

    def product(self, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        """See :class:`~python_ref.floating.layers.Weighted`."""
        return (self._blocks(weights) @ self._operands(x)).reshape(-1, x.shape[-1])[: self.n_out]

    def outer(self, error: np.ndarray, x: np.ndarray, out: np.ndarray) -> None:
        """See :class:`~python_ref.floating.layers.Weighted`."""
        summed = self._blocks(error) @ self._operands(x).transpose(0, 2, 1)
        out[:] = summed.reshape(-1, self.lists.shape[1])[: self.n_out]

    def back(self, weights: np.ndarray, error: np.ndarray, shape: Shape) -> np.ndarray:
        """See :class:`~python_ref.floating.layers.Weighted`."""
        found = np.zeros((prod(shape), error.shape[1]), error.dtype)
        for own, part in zip(self.lists, self._blocks(weights).transpose(0, 2, 1) @ self._blocks(error), strict=True):
            found[own] += part
        return found.reshape(*shape, -1)
