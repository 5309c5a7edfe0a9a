"""Split samples into training, test and validation parts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mgd_hw.data.raw import RawSamples
from mgd_hw.data.tasks import DataSpec

__all__ = ["Split", "split"]


@dataclass(frozen=True, eq=False)
class Split:
    """Split of the samples into two parts.

    Attributes
    ----------
    train, test : arrays of int64
        Indices of the training samples, and of the samples for evaluation.
    how : str
        Description of the method of the split, as a phrase.
    apart : bool
        Whether the two parts are disjoint.
    """

    train: np.ndarray
    test: np.ndarray
    how: str
    apart: bool


def split(spec: DataSpec, raw: RawSamples, labels: np.ndarray | None, *, validate: bool) -> Split:
    """Split samples as a design specifies.

    Parameters
    ----------
    spec : DataSpec
        Section [data] of the design file, which specifies the split.
    raw : RawSamples
        Samples as the source delivers them, not yet scaled.
    labels : array of int64, shape (n,), or None
        Classes of the samples, used by a stratified split; None for a regression.
    validate : bool
        Whether to take the second part out of the training samples and leave the test samples unused.

    Raises
    ------
    Refusal
        If a part would be empty, or the design asks for a split that the samples do not allow.
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
    """Return the indices of the training samples and of the test samples, and a description of the split."""
    n, fraction = len(raw.inputs), spec.test_fraction
    if fraction is None and raw.n_train is not None:
        if spec.stratify and not spec.validation_fraction:
            reason = "the samples have a split of their own, so that nothing is drawn"
            raise spec.refuse(reason, "Leave it out, or write test_fraction = 0.2, say.", "data.stratify", True)
        return np.arange(raw.n_train), np.arange(raw.n_train, n), "the file's own split"
    fraction = 0.2 if fraction is None else fraction
    everything = np.random.default_rng(spec.split_seed).permutation(n)
    if fraction == 0:
        return np.arange(n), np.arange(n), "tested on the training samples"
    test = _share(spec, labels, everything, fraction)
    train = everything[~np.isin(everything, test)]
    if not len(train):
        reason = f"of {n} sample{'s' * (n > 1)} none is left to train with"
        raise spec.refuse(reason, "Take a smaller fraction.", "data.test_fraction", spec.test_fraction)
    return train, test, f"seed {spec.split_seed}" + (", stratified" if spec.stratify else "")


def _validation(spec: DataSpec, labels: np.ndarray | None, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split training indices into those that remain for training and those held out for validation."""
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
    """Return the first indices of a shuffled array, a given fraction of all or, in a stratified split, of each class."""
    if not spec.stratify:
        return shuffled[: math.ceil(fraction * len(shuffled))]
    if labels is None:
        raise spec.refuse("only classes can keep their shares, and this is a regression", "Leave it out.", "data.stratify", True)
    of_each = (shuffled[labels[shuffled] == label] for label in np.unique(labels[shuffled]))
    chosen = np.concatenate([group[: math.ceil(fraction * len(group))] for group in of_each])
    return shuffled[np.isin(shuffled, chosen)]
