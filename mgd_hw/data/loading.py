"""Load the samples that the section [data] of a design describes, ready for training."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mgd_hw.data import generated, temporal
from mgd_hw.data.answers import Values, resolve
from mgd_hw.data.images import read_images
from mgd_hw.data.kinds import Kind
from mgd_hw.data.npz import read_npz
from mgd_hw.data.raw import RawSamples
from mgd_hw.data.split import split
from mgd_hw.data.summary import Summary, summarise
from mgd_hw.data.tasks import LARGEST_DATA, DataSpec, Scaling
from python_ref.datasets import SampleOrder, Samples

__all__ = ["Data", "Ranges", "load", "ranges", "read_raw", "readable"]

LARGEST_VALUE = 1e30
"""Largest magnitude of an input or a target, well within the range of float32, which the models use."""


@dataclass(frozen=True, eq=False)
class Data:
    """Samples that are ready for training.

    Attributes
    ----------
    train : Samples
        Samples on which the network is trained.
    test : Samples
        Samples on which it is evaluated: the test samples or the validation samples, or ``train`` itself if none are held out.
    order : SampleOrder
        Order in which training visits its samples.
    source : str
        Description of the origin of the samples and of their split, in one line.
    kind : Kind
        Kind of task, which scores outputs for the samples in ``test``.
    summary : Summary
        Description of the samples for the user: their source, split, ranges and scaling.
    offset, factor : arrays of float64, shape (n_in,)
        Scaling of the inputs: file value = offset + factor · input of the network, unless the input is cut off.
    """

    train: Samples
    test: Samples
    order: SampleOrder
    source: str
    kind: Kind
    summary: Summary
    offset: np.ndarray
    factor: np.ndarray

    @property
    def digest(self) -> str:
        """First 64 bits of SHA-256 of the samples and their order, as 16 hexadecimal digits."""
        sha = hashlib.sha256(repr(self.order).encode())
        for samples in (self.train, self.test):
            for table in (samples.inputs, samples.targets):
                sha.update(f"{table.dtype.str}{table.shape}".encode() + table.tobytes())
        return sha.hexdigest()[:16]


@dataclass(frozen=True)
class Ranges:
    """Ranges of the samples before any scaling.

    Attributes
    ----------
    inputs : tuple of float
        Least and greatest input of all samples.
    power : float
        Mean of ‖x‖² over the samples.
    targets : tuple of float or None
        Least and greatest target of a regression; None for a classification.
    """

    inputs: tuple[float, float]
    power: float
    targets: tuple[float, float] | None


def load(spec: DataSpec, *, validate: bool = False, raw: RawSamples | None = None) -> Data:
    """Read or generate the samples of a design.

    Parameters
    ----------
    spec : DataSpec
        Section [data] of the design file.
    validate : bool
        Whether to hold out validation samples from the training samples and evaluate on them, so that settings can be chosen
        without using the test samples. If false, they stay in the training part.
    raw : RawSamples or None
        Samples from :func:`read_raw`; None reads them.

    Raises
    ------
    Refusal
        If the samples are missing, or do not fit the design.
    """
    raw = read_raw(spec) if raw is None else raw
    answers = resolve(spec, raw)
    parts = split(spec, raw, answers.labels, validate=validate)
    targets, kind = answers.targets(spec, parts.train, parts.test)
    offset, factor = _scale(spec, raw, parts.train)
    unclipped = (raw.inputs.astype(np.float64) - offset) / factor
    summary = summarise(spec, raw, answers, parts, kind, unclipped, judged_by="validation" if validate else "test")
    inputs = unclipped if spec.scaling is Scaling.NONE else np.clip(unclipped, 0.0, 1.0)
    train = Samples(inputs[parts.train], targets[parts.train])
    test = train if np.array_equal(parts.train, parts.test) else Samples(inputs[parts.test], targets[parts.test])
    order = SampleOrder(len(train), spec.shuffle, spec.shuffle_seed)
    purpose = "to validate, the test samples left alone" if validate else "to test"
    source = f"{raw.source}; {len(train):,} to train, {len(test):,} {purpose} ({parts.how})"
    return Data(train, test, order, source, kind, summary, offset, factor)


def ranges(spec: DataSpec, raw: RawSamples) -> Ranges:
    """Return the ranges of the samples from :func:`read_raw`.

    Raises
    ------
    Refusal
        If the answers do not fit the design.
    """
    answers = resolve(spec, raw)
    inputs = raw.inputs.astype(np.float64)
    targets = (float(answers.values.min()), float(answers.values.max())) if isinstance(answers, Values) else None
    return Ranges((float(inputs.min()), float(inputs.max())), float(np.square(inputs).sum(axis=1).mean()), targets)


def read_raw(spec: DataSpec) -> RawSamples:
    """Read or generate the samples of a task, without scaling, and check that they have as many inputs as the network.

    Raises
    ------
    Refusal
        If the samples are missing, or do not fit the network.
    """
    raw = _SOURCES[spec.task](spec)
    if not len(raw.inputs):
        raise spec.refuse("it holds no samples", "Give a file with samples.", value=raw.where)
    if raw.inputs.shape[1] != spec.n_in:
        raise spec.refuse(
            f"{raw.where or spec.task} has {raw.inputs.shape[1]} inputs per sample, the network {spec.n_in}",
            f"Begin network.layers with {raw.inputs.shape[1]}.",
            key="network.layers",
        )
    for name, table in (("an input", raw.inputs), ("a target", raw.answers)):
        if table.dtype.kind == "f" and np.abs(table).max() > LARGEST_VALUE:
            place = np.argwhere(np.abs(table) > LARGEST_VALUE)[0]
            reason = f"{raw.where}: {name} of {raw.sample(place[0])} is {table[tuple(place)]:g}, beyond ±{LARGEST_VALUE:g}"
            raise spec.refuse(reason, "Scale the values.")
    return raw


def _scale(spec: DataSpec, raw: RawSamples, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return offset and factor of each input, float64, shape (n_in,): file value = offset + factor · scaled input.

    Scaled inputs lie from 0 to 1 over the task's full scale, or over the range of the training samples.
    """
    n_in = raw.inputs.shape[1]
    if spec.scaling is Scaling.NONE:
        return np.zeros(n_in), np.ones(n_in)
    inputs = raw.inputs[train].astype(np.float64)
    if spec.scaling is Scaling.COLUMN:
        low, high = inputs.min(axis=0), inputs.max(axis=0)
    elif spec.scaling is Scaling.RANGE:
        ends = raw.full_scale or (float(inputs.min()), float(inputs.max()))
        low, high = (np.full(n_in, float(end)) for end in ends)
    else:
        raise TypeError(f"Scaling of inputs must be one of {list(Scaling)}, not {spec.scaling!r}")
    return low, np.where(high > low, high - low, 1.0)


# -- Sources ----------------------------------------------------------------------------------------------------------


def readable(spec: DataSpec) -> Path:
    """Return the path of the user's file after checking that it is a file of acceptable size.

    Raises
    ------
    Refusal
        If the path is invalid or not a file, or if the file is larger than :data:`~mgd_hw.data.tasks.LARGEST_DATA`.
    """
    path = spec.path
    assert path is not None
    try:
        if path.is_dir():
            raise spec.refuse("it is a directory", "Give the path of a file.", value=str(path))
        if not path.is_file():
            raise spec.refuse("there is no such file", "Paths begin at the folder of the design file.", value=str(path))
        size = path.stat().st_size
    except OSError as error:
        raise spec.refuse(f"it cannot be read ({error.strerror})", "Check the path and its permissions.", value=str(path)) from None
    except ValueError:
        raise spec.refuse("it is not a path", "Give the path of a file.", value=str(path)) from None
    if size > LARGEST_DATA:
        raise spec.refuse(f"it has {size:,} bytes, more than {LARGEST_DATA:,}", "Give a smaller file.", value=str(path))
    return path


def _csv(spec: DataSpec) -> RawSamples:
    from mgd_hw.data.csv import read_csv

    path = readable(spec)
    table = read_csv(
        path,
        label=spec.label,
        drop=spec.drop,
        header=spec.header,
        delimiter=spec.delimiter,
        decimal=spec.decimal,
        design_file=spec.design_file,
    )
    return RawSamples(
        table.inputs,
        table.answers,
        f"{path.name}, {len(table.inputs):,} rows",
        str(path),
        names=table.names,
        answer_names=table.answer_names,
        guesses=table.guesses,
        warnings=table.warnings,
        lines=table.lines,
    )


def _npz(spec: DataSpec) -> RawSamples:
    return read_npz(readable(spec))


_SOURCES: dict[str, Callable[[DataSpec], RawSamples]] = {
    "xor": generated.patterns,
    "parity": generated.patterns,
    "nist7x7": generated.letters,
    "random": generated.random,
    "digits": generated.digits,
    "csv": _csv,
    "npz": _npz,
    "idx": read_images,
    "mnist": read_images,
    "fashion-mnist": read_images,
    "cifar-10": read_images,
    "recall": temporal.recall,
    "temporal-xor": temporal.temporal_xor,
    "delayed-recall": temporal.delayed_recall,
    "adding": temporal.adding,
    "rate-digits": temporal.rate_digits,
    "mnist1d": temporal.mnist1d,
}
"""Function that reads or generates the samples, for each task."""
