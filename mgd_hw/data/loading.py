"""Load the samples that the section [data] of a design describes, ready for training."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mgd_hw.data import generated, temporal
from mgd_hw.data.answers import Values, resolve
from mgd_hw.data.images import read_images
from mgd_hw.data.kinds import Kind
from mgd_hw.data.npz import read_npz
from mgd_hw.data.raw import RawSamples
from mgd_hw.data.series import read_ts, read_vowels, rows_to_series
from mgd_hw.data.split import split
from mgd_hw.data.summary import Summary, summarise
from mgd_hw.data.tasks import LARGEST_DATA, DataSpec, Scaling
from python_ref.datasets import SampleOrder, Samples
from python_ref.spec.error import Refusal

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
            for table in (samples.inputs, samples.targets, *(() if samples.lengths is None else (samples.lengths,))):
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
    inputs = unclipped if spec.scaling is Scaling.NONE else np.clip(unclipped, *spec.input_values)
    lengths = _lengths(spec, raw)
    if lengths is not None:
        inputs = np.where(_existing(spec, lengths), inputs, 0.0)
    samples = Samples(inputs, targets, lengths)
    train = samples.take(parts.train)
    test = train if np.array_equal(parts.train, parts.test) else samples.take(parts.test)
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
    if raw.inputs.shape[1] != spec.inputs:
        raise _other_inputs(spec, raw)
    for name, table in (("an input", raw.inputs), ("a target", raw.answers)):
        if table.dtype.kind == "f" and float(np.abs(table).max()) > LARGEST_VALUE:  # a float, since float16 has no such number
            place = np.argwhere(np.abs(table) > LARGEST_VALUE)[0]
            reason = f"{raw.where}: {name} of {raw.sample(place[0])} is {table[tuple(place)]:g}, beyond ±{LARGEST_VALUE:g}"
            raise spec.refuse(reason, "Scale the values.")
    return raw


def _other_inputs(spec: DataSpec, raw: RawSamples) -> Refusal:
    """Return the error about samples that do not have as many inputs as the network."""
    found, what = raw.inputs.shape[1], f"{raw.where or spec.task} has {raw.inputs.shape[1]} inputs per sample, the network {spec.n_in}"
    if spec.frames is None:
        return spec.refuse(what, f"Begin network.layers with {found}.", key="network.layers")
    remedy = (
        f"Begin network.layers with a divisor of {found}, and give network.frames the number of times; or write held = true in [network]."
    )
    return spec.refuse(f"{what} in each of {spec.frames} frames", remedy, key="network.layers")


def _lengths(spec: DataSpec, raw: RawSamples) -> np.ndarray | None:
    """Return the number of frames of each sample (int64, shape (n,)), or None if samples are not series."""
    if spec.frames is None:
        return None
    return np.full(len(raw.inputs), spec.frames) if raw.lengths is None else raw.lengths


def _existing(spec: DataSpec, lengths: np.ndarray) -> np.ndarray:
    """Return which inputs belong to a frame that the sample has (bool, shape (n, inputs))."""
    return np.arange(spec.inputs) // spec.n_in < lengths[:, None]


def _scale(spec: DataSpec, raw: RawSamples, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return offset and factor of each input, float64, shape (n_in,): file value = offset + factor · scaled input.

    Scaled inputs lie between the two ``input_values`` over the task's full scale, or over the range of the training samples.
    """
    n_in = raw.inputs.shape[1]
    if spec.scaling is Scaling.NONE:
        return np.zeros(n_in), np.ones(n_in)
    inputs, lengths = raw.inputs[train].astype(np.float64), _lengths(spec, raw)
    if lengths is not None:  # the frames that exist, each a row of channels
        inputs = inputs[_existing(spec, lengths[train])].reshape(-1, spec.n_in)
    if spec.scaling is Scaling.COLUMN:
        low, high = (np.tile(ends, n_in // inputs.shape[1]) for ends in (inputs.min(axis=0), inputs.max(axis=0)))
    elif spec.scaling is Scaling.RANGE:
        ends = raw.full_scale or (float(inputs.min()), float(inputs.max()))
        low, high = (np.full(n_in, float(end)) for end in ends)
    else:
        raise TypeError(f"Scaling of inputs must be one of {list(Scaling)}, not {spec.scaling!r}")
    least, greatest = spec.input_values
    factor = np.where(high > low, high - low, 1.0) / (greatest - least)
    return low - least * factor, factor


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
    form: dict[str, Any] = {name: getattr(spec, name) for name in ("header", "delimiter", "decimal", "design_file")}
    drop = spec.drop if spec.series is None else (*spec.drop, spec.series)
    table = read_csv(path, label=spec.label, drop=drop, **form)
    if spec.series is not None:
        # The same file once more, with the column of the series in the place of the answers.
        names = read_csv(path, label=spec.series, drop=(*spec.drop, *table.answer_columns), **form)
        found = rows_to_series(spec, table.inputs, names.answers, table.answers, table.lines, path)
        return replace(found, names=table.names, answer_names=table.answer_names, guesses=table.guesses, warnings=table.warnings)
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
    "ts": read_ts,
    "vowels": read_vowels,
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
