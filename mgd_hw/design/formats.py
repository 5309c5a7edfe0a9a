"""Whether samples fit the number formats of a design, and which formats they would fit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mgd_hw.data.loading import Data
from mgd_hw.data.tasks import TASKS, Scaling
from mgd_hw.design.description import Design
from python_ref.spec.error import Refusal
from python_ref.spec.number import MAX_BITS, Fixed

__all__ = ["check_formats", "covering"]

MOST_BEYOND = 0.001
"""Largest share of the training values that may lie beyond their format."""
MOST_COMPARED = 5000
"""Number of training samples that are looked at for columns that lose their differences."""
DISTINCT_VALUES = 10
"""Number of different values above which a column should have more than two in its format."""
MOST_FRACTION_BITS = 30
"""Largest number of fraction bits of a format that is proposed to the user."""
UNSCALED_BITS = 12
"""Width of the format that is derived for inputs that are not scaled."""
UNSCALED_TARGET_BITS = 20
"""Width of the format that is derived for targets that are not scaled."""


def covering(low: float, high: float, like: Fixed, width: int | None = None) -> Fixed | None:
    """Return a format that holds all values from ``low`` to ``high``: ``like`` if it does, or else one with as many integer bits as needed.

    The result is signed where ``like`` is, and where a value is negative. None means that no format of 63 bits holds the values.

    Parameters
    ----------
    low, high : float
        Least and greatest value.
    like : Fixed
        Format to start from.
    width : int or None
        Width of the result in bits, unless the integer bits take more; None keeps the fraction bits of ``like``.
    """
    if _fits(low, high, like):
        return like
    signed = like.signed or low < 0
    largest = max(high, -low, 2.0**-like.fraction_bits)
    for integer_bits in range(max(like.integer_bits, math.ceil(math.log2(largest)) + signed), MAX_BITS + 1):
        fraction_bits = like.fraction_bits if width is None else max(0, width - integer_bits)
        if integer_bits + fraction_bits > MAX_BITS:
            return None
        if _fits(low, high, found := Fixed(signed, integer_bits, fraction_bits)):
            return found
    return None


def _fits(low: float, high: float, format_: Fixed) -> bool:
    """Whether no value is moved by more than a last place when it is kept within a format."""
    unit = 2.0**format_.fraction_bits
    return format_.min - 1 <= low * unit and high * unit <= format_.max + 1


@dataclass(frozen=True)
class _Checked:
    """The inputs or the targets of a design, and the format that has to hold them.

    Parameters
    ----------
    design : Design
        Design that is refused if they do not fit.
    what : str
        What the numbers are: "inputs" or "targets".
    key : str
        Dotted key of their format.
    format : Fixed
        Format that has to hold them.
    scaling_key : str
        Dotted key of their scaling, if the design file switches it off; otherwise the empty string.
    train : array of float64, shape (n, columns)
        Numbers of the training samples.
    """

    design: Design
    what: str
    key: str
    format: Fixed
    scaling_key: str
    train: np.ndarray

    @property
    def unscaled_width(self) -> int:
        """Width of the format that is derived for such numbers where they are not scaled, in bits."""
        return UNSCALED_BITS if self.what == "inputs" else UNSCALED_TARGET_BITS

    def refuse(self, reason: str, better: Fixed | None, otherwise: str) -> Refusal:
        """Return the error of the format's key.

        Parameters
        ----------
        reason : str
            What is wrong with the present format, as a clause.
        better : Fixed or None
            Format that holds the numbers; None where none does.
        otherwise : str
            What to do where neither another format nor scaling is an answer, as a sentence without its stop.
        """
        steps = [] if better is None else [f'write {self.key.split(".")[1]} = "{better}" in [formats]']
        steps += [f"leave {self.scaling_key} out, so that they are scaled"] if self.scaling_key else []
        remedy = ", or ".join(steps) or otherwise
        return Refusal(reason, f"{remedy[0].upper()}{remedy[1:]}.", file=self.design.path, key=self.key, value=str(self.format))


def check_formats(design: Design, data: Data) -> tuple[str, ...]:
    """Refuse samples that a design's number formats cannot hold; return what the user should know otherwise, in sentences.

    Raises
    ------
    Refusal
        If more than a thousandth of the training inputs or targets lie beyond their format, if values that differ all become the
        same in it, or if the output cannot reach more than a thousandth of the targets of a regression.
    """
    if design.float_only.requests:  # its numbers are real
        return tuple(_unreached(design, data))
    formats, findings = design.spec.formats, list[str]()
    rows = (
        ("inputs", "formats.input", formats.input, "data.scaling", design.data.scaling),
        ("targets", "formats.activation", formats.activation, "data.target_scaling", design.data.target_scaling),
    )
    for what, key, format_, scaling_key, scaling in rows:
        unscaled = scaling is Scaling.NONE and (what == "inputs" or data.kind.name == "regression")
        train, judged = getattr(data.train, what), getattr(data.test, what)
        checked = _Checked(design, what, key, format_, scaling_key if unscaled else "", train)
        _check_range(checked)
        _check_resolution(checked)
        parts = (("training", train),) if data.test is data.train else (("training", train), ("judged", judged))
        findings += _clipped(parts, what, format_)
        if TASKS[design.data.task].any_answers:
            findings += _coarse(checked)
    findings += _unreached(design, data)
    return tuple(findings)


def _beyond(values: np.ndarray, format_: Fixed) -> int:
    """Number of values that lie beyond a format by more than its last place."""
    if _fits(float(values.min()), float(values.max()), format_):
        return 0
    unit = 2.0**format_.fraction_bits
    return int(np.count_nonzero((values * unit > format_.max + 1) | (values * unit < format_.min - 1)))


def _check_range(checked: _Checked) -> None:
    """Refuse numbers of which more than a few lie beyond their format."""
    values, format_ = checked.train, checked.format
    beyond = _beyond(values, format_)
    if beyond <= MOST_BEYOND * values.size:
        return
    low, high = float(values.min()), float(values.max())
    unit = 2.0**-format_.fraction_bits
    reason = (
        f"{beyond:,} of {values.size:,} training {checked.what} lie beyond it: they reach from {low:.6g} to {high:.6g}, and it holds "
        f"{format_.min * unit:.6g} to {format_.max * unit:.6g}"
    )
    raise checked.refuse(reason, covering(low, high, format_, checked.unscaled_width), "Scale the values")


def _lost(values: np.ndarray, format_: Fixed) -> tuple[np.ndarray, np.ndarray]:
    """Which columns vary, and which of these become constant in a format: two arrays of bool, shape (columns,)."""
    low, high = values.min(axis=0), values.max(axis=0)
    varies = high > low
    return varies, varies & (format_.to_raw(low) == format_.to_raw(high))


def _check_resolution(checked: _Checked) -> None:
    """Refuse numbers of which every column that varies becomes constant in their format."""
    values, format_ = checked.train, checked.format
    varies, lost = _lost(values, format_)
    if not varies.any() or not (lost == varies).all():
        return
    low, high, span = float(values.min()), float(values.max()), float(np.ptp(values, axis=0).max())
    reason = (
        f"the training {checked.what} differ by at most {span:.6g}, and are all the same in it: "
        f"its last place is {2.0**-format_.fraction_bits:.6g}"
    )
    # Inputs need only the integer bits of their values; the hidden activations share the targets' format, and need all of its own.
    integer_bits = int(format_.signed) if checked.what == "inputs" else format_.integer_bits
    fraction_bits = min(MOST_FRACTION_BITS, max(1, math.ceil(-math.log2(span)) + 8))
    fine = covering(low, high, Fixed(format_.signed, integer_bits, fraction_bits))
    if span < 2.0 ** (1 - MOST_FRACTION_BITS):
        fine = None
    otherwise = "Scale the values" if checked.what == "inputs" else "Give data.target_values that lie further apart"
    raise checked.refuse(reason, fine, otherwise)


def _numbered(columns: np.ndarray, what: str) -> str:
    """The subject of a sentence about columns: their numbers, of which the first twelve are listed."""
    listed = ", ".join(map(str, columns[:12])) + (", …" if len(columns) > 12 else "")
    return f"{(what[:-1] if len(columns) == 1 else what).capitalize()} number {listed}"


def _coarse(checked: _Checked) -> Iterator[str]:
    """Columns that lose all their differences in their format, and columns of many different values that keep one or two."""
    what, format_ = checked.what, checked.format
    varies, lost = _lost(checked.train, format_)
    if lost.any():
        one = np.count_nonzero(lost) == 1
        differ, are, them = ("differs", "is", "it") if one else ("differ", "are", "them")
        finding = f"{differ} between training samples, and {are} always the same in {format_}, so nothing can be learned from {them}."
        yield f"{_numbered(np.flatnonzero(lost), what)} {finding}"
    some = checked.train[:MOST_COMPARED]
    raw = format_.to_raw(some)
    coarse = [
        column
        for column in np.flatnonzero(varies & ~lost)
        if len(np.unique(raw[:, column])) <= 2 and len(np.unique(some[:, column])) > DISTINCT_VALUES
    ]
    if coarse:
        verb = "has" if len(coarse) == 1 else "have"
        finding = f"{verb} many different values, and only one or two in {format_}: an outlier, or a range far larger than most of them."
        yield f"{_numbered(np.array(coarse), what)} {finding}"


def _unreached(design: Design, data: Data) -> Iterator[str]:
    """Training targets that the activation of the output cannot give."""
    output, targets = design.spec.network.output, data.train.targets
    low, high = (-1.0 if output.bounded else -math.inf) if output.signed else 0.0, 1.0 if output.bounded else math.inf
    beyond = int(np.count_nonzero((targets < low - 1e-6) | (targets > high + 1e-6)))
    if not beyond:
        return
    reach = f"from {low:g} to {high:g}" if output.bounded else f"from {low:g} on"
    verb = "lies" if beyond == 1 else "lie"
    finding = f"{beyond:,} of {targets.size:,} training targets {verb} beyond what {output.value} can give, {reach}"
    if data.kind.name == "regression" and beyond > MOST_BEYOND * targets.size:
        remedy = "Take another activation, or leave data.target_scaling and data.target_values out, so that targets are scaled."
        raise Refusal(finding, remedy, file=design.path, key="network.output", value=output.value)
    yield f"{finding}."


def _clipped(parts: tuple[tuple[str, np.ndarray], ...], what: str, format_: Fixed) -> Iterator[str]:
    for part, values in parts:
        beyond = _beyond(values, format_)
        if beyond:
            verb = "lies" if beyond == 1 else "lie"
            yield f"{beyond:,} of {values.size:,} {what} of the {part} samples {verb} beyond {format_}; the hardware gets its nearest end."
