"""The learning curve of a run, which the fixed and the float model share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

__all__ = ["Curve"]


@dataclass(frozen=True)
class Curve:
    """Learning curve of a run, with a row per record (arrays of shape (records,)).

    Attributes
    ----------
    steps, evaluations, writes : int64
        Numbers of steps, of forward passes of one sample, and of parameter writes so far.
    online_accuracy, online_cost : float64
        Accuracy and mean cost of the samples that arrived since the last record, on their first pass; NaN if none arrived.
    accuracy, cost : float64
        Accuracy and mean cost of the unperturbed network on the samples for evaluation; NaN without such samples.
    """

    steps: np.ndarray
    evaluations: np.ndarray
    writes: np.ndarray
    online_accuracy: np.ndarray
    online_cost: np.ndarray
    accuracy: np.ndarray
    cost: np.ndarray

    @classmethod
    def of_rows(cls, rows: Sequence[tuple[float, ...]]) -> Curve:
        """Create a curve from records, each a tuple of the attributes in their order; no records give an empty curve."""
        columns = [np.array(column) for column in zip(*rows, strict=True)] or [np.empty(0)] * len(fields(cls))
        return cls(*(column.astype(np.int64) for column in columns[:3]), *(column.astype(np.float64) for column in columns[3:]))
