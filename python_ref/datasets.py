"""Samples: generated tasks, their conversion to raw integers, and the order in which a run visits them. No files."""

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
"""The 5×5 letters of :func:`nist7x7`, in the order of its labels. The shapes are ours, since the papers' are not published."""

MAX_PARITY_BITS = 16
"""Maximum number of inputs of :func:`parity`."""


@dataclass(frozen=True)
class Samples:
    """Inputs and the targets for them.

    Parameters
    ----------
    inputs : array of float32, shape (n, n_in)
        Inputs, one row per sample.
    targets : array of float32, shape (n, n_out)
        Targets, one row per sample: one-hot for classes, 0 or 1 for a single output.
    lengths : array of int64, shape (n,), or None
        Number of frames of each sample that is a series, whose inputs are those of T frames, one after the other; None if samples are not.

    Raises
    ------
    ValueError
        If the arrays are not two tables of finite numbers with the same, nonzero number of rows, or lengths do not match them.
    """

    inputs: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray | None = None

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
        if self.lengths is not None:
            object.__setattr__(self, "lengths", np.ascontiguousarray(self.lengths, dtype=np.int64))
            if self.lengths.shape != (len(self.inputs),) or self.lengths.min() < 1:
                raise ValueError(f"Array of lengths must hold {len(self.inputs)} positive numbers, not be of shape {self.lengths.shape!r}")

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def records(self) -> np.ndarray:
        """Inputs as a network takes them (float32): of series, the number of frames of each sample and then its inputs; else the inputs."""
        return self.inputs if self.lengths is None else np.column_stack((self.lengths, self.inputs)).astype(np.float32)

    @property
    def labels(self) -> np.ndarray:
        """Class of each sample (int64, shape (n,)): the index of the largest target, the lowest in a tie; for a single output, y* ≥ ½."""
        if self.targets.shape[1] == 1:
            return (self.targets[:, 0] >= 0.5).astype(np.int64)
        return self.targets.argmax(axis=1)

    def take(self, indices: np.ndarray) -> Samples:
        """Return the samples at ``indices`` (integers, shape (k,)), in that order."""
        return Samples(self.inputs[indices], self.targets[indices], None if self.lengths is None else self.lengths[indices])


def parity(bits: int) -> Samples:
    """Return all 2^bits patterns of 0 and 1, in counting order (the last input changes fastest), with their sum modulo 2 as target.

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
    """Return the parity of two bits: 4 samples."""
    return parity(2)


def nist7x7() -> Samples:
    """Return four letters on 7×7 pixels: 44,136 images, 49 inputs of 0 or 1, one-hot targets in the order of :data:`LETTERS`.

    Each of the 5×5 letters appears at nine offsets, with none, one or two of the 49 pixels flipped: 4·9·(1 + 49 + 1,176). Two
    different letters differ in at least 6 pixels at any offsets, so no image has two labels. Two I's one pixel apart in height differ
    in 2 pixels, so 591 images of I appear twice: 43,545 images are distinct.

    This is the task of McCaughan et al., APL Machine Learning 1, 026118 (2023), as far as it can be inferred from its number of
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
    """Return samples as the raw integers that the hardware receives.

    Parameters
    ----------
    spec : DesignSpec
        Design that gives the formats: ``formats.input`` for inputs and ``formats.activation`` for targets. Values are rounded to the
        nearest (a tie to the even neighbour) and saturated: 1 becomes 255/256 in UQ0.8.
    samples : Samples
        Inputs and targets as real numbers (float32), a row per sample.

    Returns
    -------
    (array of int64, shape (n, record_inputs); array of int64, shape (n, n_out))
        Raw input words, of a series that is not held its length first, and raw targets.

    Raises
    ------
    ValueError
        If the samples do not have the network's numbers of inputs, frames and outputs.
    """
    network, lengths = spec.network, samples.lengths
    series = network.framed > 0 and not network.held
    n_in = network.n_in * network.frames if series else network.n_in
    for name, table, size in (("inputs", samples.inputs, n_in), ("targets", samples.targets, network.n_out)):
        if table.shape[1] != size:
            raise ValueError(f"Number of {name} per sample must be {size}, as the network has, not {table.shape[1]!r}")
    inputs, targets = spec.formats.input.to_raw(samples.inputs), spec.formats.activation.to_raw(samples.targets)
    if not series:
        return inputs, targets
    if lengths is None or lengths.max() > network.frames:
        raise ValueError(f"Lengths of samples must be given and at most {network.frames}, not {lengths!r}")
    frame = np.arange(n_in) // network.n_in
    return np.column_stack((lengths, np.where(frame < lengths[:, None], inputs, 0))), targets


@lru_cache(maxsize=8)
def _permutation(n_samples: int, seed: int, epoch: int) -> np.ndarray:
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    return generator.permutation(n_samples)


@dataclass(frozen=True)
class SampleOrder:
    """Order in which a run visits the samples, as a function from k = ⌊n/τ_x⌋ to a sample, with random access.

    Parameters
    ----------
    n_samples : int
        Number of samples in the data set, each of which is taken once per epoch; at least 1.
    shuffle : bool
        Whether each epoch has a new permutation (numpy's PCG64, seeded with (seed, epoch)); otherwise all epochs are sequential.
    seed : int
        Seed of the permutations, not negative.

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
        """Return the indices (int64, shape (count,)) of samples number ``first``, ``first`` + 1, …"""
        number = np.arange(first, first + count, dtype=np.int64)
        if not self.shuffle:
            return number % self.n_samples
        if not count:
            return number
        epochs = range(first // self.n_samples, (first + count - 1) // self.n_samples + 1)
        shuffled = np.concatenate([_permutation(self.n_samples, self.seed, epoch) for epoch in epochs])
        return shuffled[number - epochs[0] * self.n_samples]
