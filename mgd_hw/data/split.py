"""Which samples train, which test, and which are kept to choose settings by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mgd_hw.data.raw import RawSamples
from mgd_hw.data.tasks import DataSpec

__all__ = ["Split", "split"]


@dataclass(frozen=True, eq=False)
class Split:
    """The parts of the samples.

    Attributes
    ----------
    train, test : arrays of int64
        Indices of the training samples, and of those that are judged.
    how : str
        How they were chosen, as a phrase.
    apart : bool
        Whether no sample is in both parts.
    """

    train: np.ndarray
    test: np.ndarray
    how: str
    apart: bool


def split(spec: DataSpec, raw: RawSamples, labels: np.ndarray | None, *, validate: bool) -> Split:
    """Divide samples as a design says.

    Parameters
    ----------
    spec : DataSpec
        Section [data] of the design file, which says how to split.
    raw : RawSamples
        Samples as the source delivers them, not yet scaled.
    labels : array of int64, shape (n,), or None
        Their classes, of which each keeps its share where the design says so; None where there are none.
    validate : bool
        Whether the second part is taken out of the training samples, and the test samples are left alone.
    """
    train, test, how = _test(spec, raw, labels)
    apart = spec.test_fraction != 0 or (raw.n_train is not None and spec.test_fraction is None)
    if validate:
        train, test = _validation(spec, labels, train)
        apart = True
    train = train if spec.train_samples is None else train[: spec.train_samples]
    test = test if spec.test_samples is None else test[: spec.test_samples]
    return Split(train, test, how, apart)


def _test(spec: DataSpec, raw: RawSamples, labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, str]:
    n, fraction = len(raw.inputs), spec.test_fraction
    if fraction is None and raw.n_train is not None:
        if spec.stratify and not spec.validation_fraction:
            reason = "the samples have a split of their own, so that nothing is drawn"
            raise spec.refuse(reason, "Leave it out, or write test_fraction = 0.2, say.", "data.stratify", True)
        return np.arange(raw.n_train), np.arange(raw.n_train, n), "the file's own split"
    fraction = 0.2 if fraction is None else fraction
    everything = np.random.default_rng(spec.split_seed).permutation(n)
    if fraction == 0:
        return np.arange(n), np.arange(n), "testing on what was trained"
    test = _share(spec, labels, everything, fraction)
    train = everything[~np.isin(everything, test)]
    if not len(train):
        reason = f"of {n} sample{'s' * (n > 1)} none is left to train with"
        raise spec.refuse(reason, "Take a smaller fraction.", "data.test_fraction", spec.test_fraction)
    return train, test, f"seed {spec.split_seed}" + (", stratified" if spec.stratify else "")


def _validation(spec: DataSpec, labels: np.ndarray | None, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Training indices without those kept for validation, and these."""
    key = "data.validation_fraction"
    if spec.validation_fraction == 0:
        raise spec.refuse("nothing is kept for validation", "Write validation_fraction = 0.2, say, in [data].", key, 0)
    shuffled = np.random.default_rng([spec.split_seed, 1]).permutation(train)
    kept = _share(spec, labels, shuffled, spec.validation_fraction)
    rest = train[~np.isin(train, kept)]
    if not len(rest):
        reason = f"of {len(train)} training samples none is left to train with"
        raise spec.refuse(reason, "Take a smaller fraction.", key, spec.validation_fraction)
    return rest, kept


def _share(spec: DataSpec, labels: np.ndarray | None, shuffled: np.ndarray, fraction: float) -> np.ndarray:
    """The first part of shuffled indices, or where the design wants it the first of every class."""
    if not spec.stratify:
        return shuffled[: math.ceil(fraction * len(shuffled))]
    if labels is None:
        raise spec.refuse("only classes can keep their shares, and this is a regression", "Leave it out.", "data.stratify", True)
    of_each = (shuffled[labels[shuffled] == label] for label in np.unique(labels[shuffled]))
    chosen = np.concatenate([group[: math.ceil(fraction * len(group))] for group in of_each])
    return shuffled[np.isin(shuffled, chosen)]
