"""Stochastic layers, whose outputs are counts of random thresholds below their activations, and networks that have some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, ClassVar

import numpy as np

from python_ref.floating.layers import Dense, Sequential

__all__ = ["Random", "Stochastic"]


@dataclass(frozen=True)
class Stochastic(Dense):
    """y = c/N, where c of N thresholds, uniform in [0, 1), are below f(W·x + b); in an inference, c is N·f rounded, ties up.

    Parameters
    ----------
    n_out, activation
        See :class:`~python_ref.floating.layers.Dense`; the activation lies between 0 and 1.
    draws : int
        Number N of thresholds that an activation is compared with, positive.
    """

    draws: int = 1

    kind: ClassVar[str] = "stochastic"

    @property
    def thresholds(self) -> int:
        """N."""
        return self.draws

    def counts(self, f: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
        """Return c/N of activations (shape (n_out, B)), with thresholds (shape (n_out, M ≥ N, B)), of which N are used; None rounds N·f."""
        if thresholds is None:
            return np.floor(f * self.draws + 0.5) / f.dtype.type(self.draws)
        return (f[:, None] > thresholds[:, : self.draws]).sum(axis=1, dtype=f.dtype) / f.dtype.type(self.draws)


@dataclass(frozen=True)
class Random(Sequential):
    """A network with stochastic layers. Its forward pass without thresholds is an inference, and its gradient one of random outputs.

    Parameters
    ----------
    input_shape, layers, variation
        See :class:`~python_ref.floating.layers.Sequential`.
    seed : int
        Seed of numpy's generator PCG64, which draws the thresholds that :meth:`draw` returns.
    """

    seed: int = field(default=1, kw_only=True)

    @cached_property
    def draws(self) -> np.ndarray:
        """Number N of draws of each node (int64, shape (N,)); 0 of those whose output is not random."""
        places = [place for place in self._places if place.nodes is not None]
        return np.concatenate([np.full(prod(place.nodes or ()), place.layer.thresholds) for place in places])

    @cached_property
    def _generator(self) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(self.seed))

    def draw(self, batch: int, kind: np.dtype | type = np.float64) -> np.ndarray:
        """Return the next thresholds of all nodes for a batch, uniform in [0, 1) (shape (N, largest number of draws, B))."""
        return self._generator.random((self.n_nodes, int(self.draws.max()), batch)).astype(kind, copy=False)

    def counts(self, trace: Any) -> np.ndarray:
        """Return the counts of all nodes (shape (N, B)) in a trace; 0 of those whose output is not random."""
        outputs = [record.y.reshape(-1, record.y.shape[-1]) for record in trace if record.z is not None]
        return np.concatenate(outputs) * self.draws[:, None]

    def redraw(self, thresholds: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Return thresholds (shape (N, draws, 1 or B)), drawn again for the nodes ``which`` of the samples (bool, shape (N, B))."""
        found = np.repeat(thresholds, which.shape[1], axis=2) if thresholds.shape[2] == 1 else thresholds.copy()
        node, sample = np.nonzero(which & (self.draws > 0)[:, None])
        found[node, :, sample] = self._generator.random((len(node), thresholds.shape[1]))
        return found

    def gradient(self, theta: np.ndarray, inputs: np.ndarray, slopes: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return ∂/∂θ of ΣC over the samples (shape (P,)), straight-through, and the outputs.

        Outputs are drawn, and their slope is taken for that of their mean, f'(z) (Bengio et al., arXiv:1308.3432, section 4).

        Raises
        ------
        ValueError
            If an activation has no slope.
        """
        outputs, records = self.trace(theta, inputs, thresholds=self.draw(len(inputs), theta.dtype))
        return self._gradient(theta, records, slopes(outputs))[0], outputs

    def errors(self, theta: np.ndarray, inputs: np.ndarray, slopes: Callable[[np.ndarray], np.ndarray]) -> Any:
        """Yield errors and inputs, straight-through; see :meth:`Sequential.errors`."""
        outputs, records = self.trace(theta, inputs, thresholds=self.draw(len(inputs), theta.dtype))
        for place, error, x in self._backward(theta, records, slopes(outputs)):
            yield error, place.layer.unfold(x)
