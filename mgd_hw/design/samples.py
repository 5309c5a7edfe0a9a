"""Loading of the samples of a design, with checks against its number formats and its cost."""

from __future__ import annotations

from dataclasses import replace

from mgd_hw.common.progress import Progress
from mgd_hw.data.loading import Data, load
from mgd_hw.data.summary import Summary
from mgd_hw.design.description import Design
from mgd_hw.design.formats import check_formats
from python_ref.spec.error import Refusal

__all__ = ["load_design", "summary_or_reason"]


def load_design(design: Design, *, validate: bool = False, progress: Progress | None = None) -> Data:
    """Load the samples of a design, and check that they fit its number formats.

    Parameters
    ----------
    design : Design
        Design whose samples are loaded.
    validate : bool
        Whether validation samples judge the runs; see :func:`mgd_hw.data.load`.
    progress : Progress or None
        Receives a note for each warning; None if the result shows the summary with its warnings.

    Raises
    ------
    Refusal
        If the samples are missing, do not match the design, or do not fit its formats.
    """
    data = load(design.data, validate=validate, raw=design.raw)
    if design.float_only.cost == "cross-entropy":
        _check_entropy(design, data)
    data = replace(data, summary=replace(data.summary, warnings=(*data.summary.warnings, *check_formats(design, data))))
    if progress is not None:
        for warning in data.summary.warnings:
            progress.status(f"Note: {warning}")
    return data


def summary_or_reason(design: Design) -> tuple[Summary | None, str]:
    """Return the summary of a design's samples and ""; or None and the reason why they cannot be read."""
    try:
        return load_design(design).summary, ""
    except Refusal as error:
        return None, str(error)


def _check_entropy(design: Design, data: Data) -> None:
    """Refuse a design for which the cross-entropy has no meaning."""
    key, value = "learning.cost", "cross-entropy"
    if data.kind.name == "regression":
        reason = "the cross-entropy is of classes, and this is a regression"
        raise Refusal(reason, "Leave learning.cost out.", file=design.path, key=key, value=value)
    if design.data.n_out == 1:
        reason = "the softmax of one output is always 1, so that the cross-entropy tells nothing"
        raise Refusal(reason, "End network.layers with 2, one output per class.", file=design.path, key=key, value=value)
