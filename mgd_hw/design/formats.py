"""Whether samples fit the number formats of a design, and which formats they would fit."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from mgd_hw.data.loading import Data
from mgd_hw.data.tasks import TASKS, Scaling
from mgd_hw.design.description import Design
from python_ref.spec.error import Refusal
from python_ref.spec.number import Fixed

__all__ = ["check_formats", "covering"]

MOST_BEYOND = 0.001
"""Largest share of the training values that may lie beyond their format."""
MOST_COMPARED = 5000
"""Number of training samples that are looked at for columns that lose their differences."""
MANY = 10
"""Number of different values above which a column should have more than two in its format."""
UNSCALED_BITS = 12
"""Width of the format that is derived for inputs that are not scaled."""
UNSCALED_TARGET_BITS = 20
"""Width of the format that is derived for targets that are not scaled."""


def covering(low: float, high: float, like: Fixed, width: int | None = None) -> Fixed:
    """A format that holds all values from ``low`` to ``high``: ``like`` where it does, else one with the integer bits they need.

    Parameters
    ----------
    low, high : float
        Least and greatest value.
    like : Fixed
        The format to start from.
    width : int or None
        Width of the result, integer bits permitting; None keeps the fraction bits of ``like``.
    """
    if _fits(low, high, like):
        return like
    signed = like.signed or low < 0
    largest = max(high, -low, 2.0**-like.fraction_bits)
    integer_bits = max(like.integer_bits, math.ceil(math.log2(largest)) + signed)
    while True:
        found = Fixed(signed, integer_bits, like.fraction_bits if width is None else max(0, width - integer_bits))
        if _fits(low, high, found):
            return found
        integer_bits += 1


def _fits(low: float, high: float, format_: Fixed) -> bool:
    """Whether no value is moved by more than a last place when it is kept within a format."""
    unit = 2.0**format_.fraction_bits
    return format_.min - 1 <= low * unit and high * unit <= format_.max + 1


def check_formats(design: Design, data: Data) -> tuple[str, ...]:
    """Refuse samples that a design's number formats cannot hold; what the user should know otherwise, in sentences.

    Raises
    ------
    Refusal
        If more than a thousandth of the training inputs or targets lie beyond their format, or if values that differ become
        the same in it.
    """
    if design.float_only.requests:  # real numbers only
        return tuple(_unreached(design, data))
    rows = (
        ("inputs", "formats.input", design.spec.formats.input, "data.scaling", design.data.scaling),
        ("targets", "formats.activation", design.spec.formats.activation, "data.target_scaling", design.data.target_scaling),
    )
    found: list[str] = []
    for what, key, format_, scaling_key, scaling in rows:
        unscaled = scaling is Scaling.NONE and (what == "inputs" or data.kind.name == "regression")
        way_out = f", or leave {scaling_key} out, so that they are scaled" if unscaled else ""
        train, judged = getattr(data.train, what), getattr(data.test, what)
        _check_range(design, train, what, key, format_, way_out)
        _check_resolution(design, train, what, key, format_, way_out)
        parts = (("training", train),) if data.test is data.train else (("training", train), ("judged", judged))
        found += _clipped(parts, what, format_)
        if TASKS[design.data.task].any_answers:
            found += _coarse(train, what, format_)
    found += _unreached(design, data)
    return tuple(found)


def _beyond(values: np.ndarray, format_: Fixed) -> int:
    """Number of values that lie beyond a format by more than its last place."""
    if _fits(float(values.min()), float(values.max()), format_):
        return 0
    unit = 2.0**format_.fraction_bits
    return int(np.count_nonzero((values * unit > format_.max + 1) | (values * unit < format_.min - 1)))


def _check_range(design: Design, values: np.ndarray, what: str, key: str, format_: Fixed, way_out: str) -> None:
    beyond = _beyond(values, format_)
    if beyond <= MOST_BEYOND * values.size:
        return
    low, high = float(values.min()), float(values.max())
    unit = 2.0**-format_.fraction_bits
    reason = (
        f"{beyond:,} of {values.size:,} training {what} lie beyond it: they reach from {low:.6g} to {high:.6g}, and it holds "
        f"{format_.min * unit:.6g} to {format_.max * unit:.6g}"
    )
    wide = covering(low, high, format_, UNSCALED_BITS if what == "inputs" else UNSCALED_TARGET_BITS)
    raise Refusal(reason, f'Write {key.split(".")[1]} = "{wide}" in [formats]{way_out}.', file=design.path, key=key, value=str(format_))


def _check_resolution(design: Design, values: np.ndarray, what: str, key: str, format_: Fixed, way_out: str) -> None:
    """Refuse where every column that varies becomes constant."""
    low, high = values.min(axis=0), values.max(axis=0)
    varies = high > low
    lost = varies & (format_.to_raw(low) == format_.to_raw(high))
    if not varies.any() or not (lost == varies).all():
        return
    span = float((high - low).max())
    reason = (
        f"the training {what} differ by at most {span:.6g}, and are all the same in it: its last place is {2.0**-format_.fraction_bits:.6g}"
    )
    fraction_bits = min(30, math.ceil(-math.log2(span)) + 8)
    fine = Fixed(format_.signed, max(0, format_.integer_bits), fraction_bits)
    raise Refusal(reason, f'Write {key.split(".")[1]} = "{fine}" in [formats]{way_out}.', file=design.path, key=key, value=str(format_))


def _coarse(values: np.ndarray, what: str, format_: Fixed) -> Iterator[str]:
    """Columns of many different values that have one or two in their format."""
    some = values[:MOST_COMPARED]
    raw = format_.to_raw(some)
    lost = []
    for column in np.flatnonzero(some.max(axis=0) > some.min(axis=0)):
        if len(np.unique(raw[:, column])) <= 2 and len(np.unique(some[:, column])) > MANY:
            lost.append(int(column))
    if lost:
        listed = ", ".join(map(str, lost[:12])) + (", …" if len(lost) > 12 else "")
        numbers = f"{what[:-1].capitalize()} number {listed} has" if len(lost) == 1 else f"{what.capitalize()} number {listed} have"
        yield f"{numbers} many different values, and only one or two in {format_}: an outlier, or a range far larger than most of them."


def _unreached(design: Design, data: Data) -> Iterator[str]:
    """Training targets that the activation of the output cannot give."""
    output, targets = design.spec.network.output, data.train.targets
    low, high = (-1.0 if output.bounded else -math.inf) if output.signed else 0.0, 1.0 if output.bounded else math.inf
    beyond = int(np.count_nonzero((targets < low - 1e-6) | (targets > high + 1e-6)))
    if not beyond:
        return
    reach = f"from {low:g} to {high:g}" if output.bounded else f"from {low:g} on"
    said = f"{beyond:,} of {targets.size:,} training targets lie beyond what {output.value} can give, {reach}"
    if data.kind.name == "regression" and beyond > MOST_BEYOND * targets.size:
        remedy = "Take another activation, or leave data.target_scaling and data.target_values out, so that targets are scaled."
        raise Refusal(said, remedy, file=design.path, key="network.output", value=output.value)
    yield f"{said}."


def _clipped(parts: tuple[tuple[str, np.ndarray], ...], what: str, format_: Fixed) -> Iterator[str]:
    for part, values in parts:
        beyond = _beyond(values, format_)
        if beyond:
            verb = "lies" if beyond == 1 else "lie"
            yield f"{beyond:,} of {values.size:,} {what} of the {part} samples {verb} beyond {format_}; the hardware gets its nearest end."
