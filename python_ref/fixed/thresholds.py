"""The thresholds of stochastic neurons: random ones, word by word of their stream, and the fixed ones of an inference."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from python_ref.fixed.perturbation import BitStream
from python_ref.spec.design import DesignSpec

__all__ = ["ThresholdSource", "fixed_thresholds", "threshold_source"]


class ThresholdSource:
    """Source of the words of thresholds of a design, one for each stochastic neuron of a pass that draws them.

    Parameters
    ----------
    spec : DesignSpec
        Design that gives the neurons and the format of their thresholds; without stochastic neurons, nothing is drawn.
    seed : int
        Seed of the random stream.
    """

    def __init__(self, spec: DesignSpec, seed: int) -> None:
        self.spec = spec
        self._stream = BitStream(spec.thresholds.generator, seed) if spec.thresholds else None

    def take(self, first: int, kept: np.ndarray, redrawn: np.ndarray) -> tuple[np.ndarray, int]:
        """Draw the thresholds of neurons again, from word ``first`` of the stream on.

        Parameters
        ----------
        first : int
            Number of words that were taken before.
        kept : array of int64, shape (neurons, N)
            Thresholds of all neurons before, N the largest number of a neuron's. One that a neuron lacks is above all activations.
        redrawn : array of bool, shape (neurons,)
            Which neurons are perturbed; of these, each stochastic one takes a word.

        Returns
        -------
        (array of int64, shape (neurons, N); int)
            The thresholds, and the number of words that are taken then.
        """
        thresholds, stochastic = self.spec.thresholds, redrawn & self.spec.network.own_noise
        if thresholds is None or self._stream is None:
            return kept, first
        count, bits = int(np.count_nonzero(stochastic)), thresholds.fraction_bits
        drawn = self._stream.words(first, count).reshape(count, thresholds.most, bits).astype(np.int64) << np.arange(bits)
        found = kept.copy()
        found[stochastic] = np.where(_own(self.spec)[stochastic], drawn.sum(axis=2), self.spec.formats.activation.max)
        return found, first + count

    def packed(self, first: int, count: int) -> np.ndarray:
        """Return ``count`` words of the stream from word ``first`` on, packed as by :meth:`BitStream.packed` (uint64)."""
        if self._stream is None:
            return np.zeros(2, dtype=np.uint64)
        bits = self._stream.generator.outputs
        return self._stream.packed(first * bits, count * bits)

    def none(self) -> np.ndarray:
        """Return the thresholds before any are drawn, above all activations (int64, shape (neurons, N)); without any, N is 0."""
        most = 0 if self.spec.thresholds is None else self.spec.thresholds.most
        return np.full((self.spec.network.n_neurons, most), self.spec.formats.activation.max, dtype=np.int64)


def _own(spec: DesignSpec) -> np.ndarray:
    """Return which of N thresholds each neuron has (bool, shape (neurons, N))."""
    counts = np.repeat([layer.kind.thresholds for layer in spec.network.layers], spec.network.sizes[1:])
    return np.arange(counts.max()) < counts[:, None]


@lru_cache(maxsize=8)
def threshold_source(spec: DesignSpec, seed: int) -> ThresholdSource:
    """Return the source of the thresholds of a design, one for all steps of a run."""
    return ThresholdSource(spec, seed)


def fixed_thresholds(spec: DesignSpec, number: int) -> np.ndarray:
    """Return the thresholds of each neuron of layer ``number`` in an inference (int64, shape (N,)); none if it is not stochastic."""
    draws = spec.network.layers[number].kind.thresholds
    return spec.thresholds.fixed(draws) if spec.thresholds and draws else np.zeros(0, dtype=np.int64)
