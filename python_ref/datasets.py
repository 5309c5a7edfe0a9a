"""Samples: the tasks that are generated, their raw integers, and the order in which a run visits them. No files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from python_ref.spec.design import DesignSpec

__all__ = ["LETTERS", "SampleOrder", "Samples", "nist7x7", "parity", "quantise", "xor"]

LETTERS = {
    "N": ("X...X", "XX..X", "X.X.X", "X..XX", "X...X"),
    "I": ("..X..", "..X..", "..X..", "..X..", "..X.."),
    "S": (".XXXX", "X....", ".XXX.", "....X", "XXXX."),
    "T": ("XXXXX", "X.X.X", "..X..", "..X..", "..X.."),
}
"""The 5×5 letters of :func:`nist7x7`, in the order of its labels. The shapes are ours: the papers' are not published."""

MAX_PARITY_BITS = 16
"""Most inputs of :func:`parity`."""


@dataclass(frozen=True)
class Samples:
    """Inputs and what the network should answer to them.

    Parameters
    ----------
    inputs : array of float32, shape (n, n_in)
        One row per sample.
    targets : array of float32, shape (n, n_out)
        One row per sample; one-hot for classes, 0 or 1 where there is one output.

    Raises
    ------
    ValueError
        If the arrays are not two tables of the same, nonzero, number of rows of finite numbers.
    """

    inputs: np.ndarray
    targets: np.ndarray

    def __post_init__(self) -> None:
        for name in ("inputs", "targets"):
            table = np.ascontiguousarray(getattr(self, name), dtype=np.float32)
            if table.ndim != 2 or 0 in table.shape:
                raise ValueError(f"Array of {name} must be a table with a row per sample, not of shape {table.shape!r}")
            if not np.isfinite(table).all():
                raise ValueError(f"Array of {name} must hold finite numbers only")
            object.__setattr__(self, name, table)
        if len(self.inputs) != len(self.targets):
            raise ValueError(f"Number of targets must be that of the inputs, {len(self.inputs)}, not {len(self.targets)!r}")

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def labels(self) -> np.ndarray:
        """Class of each sample (int64, shape (n,)): the largest target, lowest index first; of a single output, y* ≥ ½."""
        if self.targets.shape[1] == 1:
            return (self.targets[:, 0] >= 0.5).astype(np.int64)
        return self.targets.argmax(axis=1)

    def take(self, indices: np.ndarray) -> Samples:
        """The samples at ``indices`` (integers, shape (k,)), in that order."""
        return Samples(self.inputs[indices], self.targets[indices])


def parity(bits: int) -> Samples:
    """All 2^bits patterns of 0 and 1, in counting order (the last input counts fastest); the target is their sum modulo 2.

    Raises
    ------
    ValueError
        If ``bits`` is not 1 to 16.
    """
    if not isinstance(bits, int) or isinstance(bits, bool) or not 1 <= bits <= MAX_PARITY_BITS:
        raise ValueError(f"Number of parity bits must be 1 to {MAX_PARITY_BITS}, not {bits!r}")
    patterns = (np.arange(1 << bits)[:, None] >> np.arange(bits - 1, -1, -1)) & 1
    return Samples(patterns, patterns.sum(axis=1, keepdims=True) & 1)


def xor() -> Samples:
    """Parity of two bits: 4 samples."""
    return parity(2)


def nist7x7() -> Samples:
    """Four letters on 7×7 pixels: 44,136 images, 49 inputs of 0 or 1, one-hot targets in the order of :data:`LETTERS`.

    Each of the 5×5 letters at nine offsets, with none, one or two of the 49 pixels flipped: 4·9·(1 + 49 + 1,176). Two
    different letters differ in at least 6 pixels wherever they stand, so no image has two labels. A bar that stands one
    pixel higher differs from itself in 2, so 591 images of I occur before: 43,545 are distinct.

    The task of McCaughan et al., APL Machine Learning 1, 026118 (2023), as far as it can be inferred from its number of
    images; the letters and their order are ours.
    """
    flips = np.zeros((1 + 49 + 49 * 48 // 2, 49), dtype=bool)
    pixels = [(), *combinations(range(49), 1), *combinations(range(49), 2)]
    for row, flipped in zip(flips, pixels, strict=True):
        row[list(flipped)] = True
    images, labels = [], []
    for label, letter in enumerate(LETTERS.values()):
        shape = np.array([[pixel == "X" for pixel in line] for line in letter])
        for top in range(3):
            for left in range(3):
                image = np.zeros((7, 7), dtype=bool)
                image[top : top + 5, left : left + 5] = shape
                images.append(image.ravel() ^ flips)
                labels.append(np.full(len(flips), label))
    return Samples(np.concatenate(images), np.eye(len(LETTERS))[np.concatenate(labels)])


def quantise(spec: DesignSpec, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """The raw integers the hardware receives.

    Parameters
    ----------
    spec : DesignSpec
        Formats: inputs become ``formats.input``, targets ``formats.activation``, to the nearest (a tie to the even
        neighbour), saturated: 1 becomes 255/256 in UQ0.8.
    samples : Samples
        Inputs and targets as real numbers (float32), a row per sample.

    Returns
    -------
    (array of int64, shape (n, n_in); array of int64, shape (n, n_out))
        Raw inputs and raw targets.

    Raises
    ------
    ValueError
        If the samples have other widths than the network.
    """
    for name, table, size in (("inputs", samples.inputs, spec.network.n_in), ("targets", samples.targets, spec.network.n_out)):
        if table.shape[1] != size:
            raise ValueError(f"Number of {name} per sample must be {size}, as the network has, not {table.shape[1]!r}")
    return spec.formats.input.to_raw(samples.inputs), spec.formats.activation.to_raw(samples.targets)


@lru_cache(maxsize=8)
def _permutation(n_samples: int, seed: int, epoch: int) -> np.ndarray:
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    return generator.permutation(n_samples)


@dataclass(frozen=True)
class SampleOrder:
    """Which sample is number k = ⌊n/τ_x⌋ of a run, for any k.

    Parameters
    ----------
    n_samples : int
        Number of samples in the data set, each of which is taken once per epoch; at least 1.
    shuffle : bool
        False: sequential, again and again. True: a new permutation in every epoch (numpy's PCG64, seeded with
        (seed, epoch)).
    seed : int
        Of the permutations, not negative.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    n_samples: int
    shuffle: bool
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_samples < 1:
            raise ValueError(f"Number of samples must be positive, not {self.n_samples!r}")
        if self.seed < 0:
            raise ValueError(f"Seed must not be negative, not {self.seed!r}")

    def indices(self, first: int, count: int) -> np.ndarray:
        """Indices (int64, shape (count,)) of the samples number ``first``, ``first`` + 1, …"""
        number = np.arange(first, first + count, dtype=np.int64)
        if not self.shuffle:
            return number % self.n_samples
        if not count:
            return number
        epochs = range(first // self.n_samples, (first + count - 1) // self.n_samples + 1)
        shuffled = np.concatenate([_permutation(self.n_samples, self.seed, epoch) for epoch in epochs])
        return shuffled[number - epochs[0] * self.n_samples]
