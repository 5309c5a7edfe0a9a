"""Read samples from npz archives, whose arrays have the names that public data sets use."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mgd_hw.common.archives import UNREADABLE, opened_archive
from mgd_hw.data.raw import RawSamples
from mgd_hw.data.tasks import LARGEST_DATA
from python_ref.spec.error import Refusal, said

__all__ = ["read_npz"]

TRAINING = (
    ("x_train", "y_train"),
    ("X_train", "y_train"),
    ("X_train", "Y_train"),
    ("train_x", "train_y"),
    ("train_X", "train_y"),
    ("train_images", "train_labels"),
    ("train_data", "train_labels"),
    ("training_images", "training_labels"),
)
"""Names of the arrays that hold the inputs and the answers of a training part."""
WHOLE = (("x", "y"), ("X", "y"), ("X", "Y"), ("images", "labels"), ("data", "target"), ("data", "targets"), ("data", "labels"))
"""Names of the arrays that hold the inputs and the answers of a set without a split."""
_FORM = (
    "Give x (n, inputs) and y (n) of labels or (n, outputs) of targets, n_train if the first so many are for training; or x_train, "
    "y_train, x_test, y_test. The names X and y, images and labels, data and target, train_images and train_labels will do as well."
)

Refuse = Callable[..., Refusal]
"""Function that builds the error about an archive from a reason and, if the general remedy does not fit, a remedy."""


@dataclass(frozen=True)
class _Arrays:
    """Choice of the arrays of an archive that hold the samples.

    Attributes
    ----------
    parts : tuple of (str, str)
        Names of the arrays of inputs and answers: one pair for the whole set, or two for its training and test parts.
    n_train : int or None
        Number of leading samples for training; None where the archive has no split.
    unused : tuple of str
        Names of the arrays that are not read.
    """

    parts: tuple[tuple[str, str], ...]
    n_train: int | None
    unused: tuple[str, ...]


def read_npz(path: Path) -> RawSamples:
    """Read the samples of an archive.

    Raises
    ------
    Refusal
        If the archive cannot be read, lacks arrays, or has arrays that do not fit together.
    """

    def refuse(reason: str, remedy: str = _FORM) -> Refusal:
        return Refusal(reason, remedy, file=path)

    found = _load(path, refuse)
    chosen = _choose(found, refuse)
    inputs, answers = zip(*(_part(found, x, y, refuse) for x, y in chosen.parts), strict=True)
    if len({part.shape[1] for part in inputs}) > 1 or len({part.shape[1:] for part in answers}) > 1:
        raise refuse("training and test arrays have different widths")
    if len({part.dtype.kind in "US" for part in answers}) > 1:
        raise refuse("the answers of one part are text, and those of the other numbers")
    count = sum(map(len, inputs))
    if chosen.n_train is not None and not 0 < chosen.n_train < count:
        raise refuse(f"n_train = {chosen.n_train} must be from 1 to {count - 1}")
    bytes_only = found[chosen.parts[0][0]].dtype == np.uint8
    warnings: tuple[str, ...] = ()
    if chosen.unused:
        listed = ", ".join(chosen.unused[:8]) + (", …" if len(chosen.unused) > 8 else "")
        warnings = (f"{path.name} holds arrays that are not used: {listed}.",)
    return RawSamples(
        np.concatenate(inputs),
        np.concatenate(answers),
        f"{path.name}, {count:,} samples",
        str(path),
        chosen.n_train,
        full_scale=(0.0, 255.0) if bytes_only else None,
        warnings=warnings,
    )


def _load(path: Path, refuse: Refuse) -> dict[str, np.ndarray]:
    """Return the arrays of an archive by name, without unpickling; arrays with other names than the usual ones come back empty."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_DATA:
                raise refuse(f"it unpacks to more than {LARGEST_DATA:,} bytes")
        with opened_archive(path) as arrays:
            names = set(arrays.files)
            wanted = {name for pair in (*TRAINING, *WHOLE) for name in pair} | {"n_train"}
            wanted |= {_test_name(name) for pair in TRAINING for name in pair}
            empty = np.empty(0)
            return {name: arrays[name] if name in wanted else empty for name in sorted(names)}
    except UNREADABLE as error:
        message = said(error)
        pickled = "Object arrays" in message
        remedy = "Save arrays of one type: labels with y.astype(str), say. Nothing is unpickled." if pickled else _FORM
        raise refuse(f"it cannot be read as npz ({message})", remedy) from None


def _test_name(name: str) -> str:
    """Return the name of the test array that corresponds to a training array."""
    return name.replace("training", "test").replace("train", "test")


def _choose(found: Mapping[str, np.ndarray], refuse: Refuse) -> _Arrays:
    """Choose the arrays that hold the samples; refuse an archive that has none, or has samples under several names."""
    pairs = [pair for pair in TRAINING if found.keys() >= set(pair)] or [pair for pair in WHOLE if found.keys() >= set(pair)]
    if not pairs:
        raise refuse(f"it lacks the arrays x and y; it has {', '.join(list(found)[:10]) or 'none'}")
    pair = pairs[0]
    if len({x for x, _ in pairs}) > 1:
        raise refuse(f"it has samples under several names: {', '.join(dict.fromkeys(x for x, _ in pairs))}")
    n_train: int | None = None
    parts: tuple[tuple[str, str], ...] = (pair,)
    if pair in TRAINING:
        test = (_test_name(pair[0]), _test_name(pair[1]))
        if found.keys() >= set(test):
            parts, n_train = (pair, test), len(np.atleast_1d(found[pair[0]]))
    elif "n_train" in found:
        count = found["n_train"]
        if count.size != 1 or count.dtype.kind not in "iu":
            raise refuse("n_train must be one whole number")
        n_train = int(count.reshape(()))
    used = {name for each in parts for name in each} | ({"n_train"} if n_train is not None else set())
    return _Arrays(parts, n_train, tuple(name for name in found if name not in used))


def _part(found: Mapping[str, np.ndarray], x_name: str, y_name: str, refuse: Refuse) -> tuple[np.ndarray, np.ndarray]:
    """Return the inputs, shape (n, n_in), and the answers, shape (n,) or (n, k), of one part, after checking both."""
    x, y = found[x_name], found[y_name]
    for name, array, types in ((x_name, x, "biuf"), (y_name, y, "biufUS")):
        if array.dtype.kind not in types:
            raise refuse(f"{name} holds {array.dtype}, not numbers" + (" or text" if "U" in types else ""))
        if array.ndim < 1 or 0 in array.shape:
            raise refuse(f"{name} is empty: its shape is {array.shape}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0])
            raise refuse(f"{name} has a value that is missing or infinite in sample {row + 1}", "Fill it in, or leave the sample out.")
    if len(x) != len(y):
        raise refuse(f"{x_name} has {len(x)} samples, {y_name} {len(y)}")
    if y.ndim > 2:
        raise refuse(f"{y_name} has {y.ndim} dimensions", "Give it one answer a sample, or a row of them.")
    if y.dtype.kind == "S":
        try:
            y = np.char.decode(y, "utf-8")
        except UnicodeDecodeError:
            raise refuse(f"{y_name} holds bytes that are not UTF-8 text", "Decode it, and save it as text.") from None
    return x.reshape(len(x), -1), y
