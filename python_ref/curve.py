"""The learning curve of a run, the same for the fixed and the float model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

__all__ = ["Curve"]


@dataclass(frozen=True)
class Curve:
    """What a run looked like, a row per record (arrays of shape (records,)).

    Attributes
    ----------
    steps, evaluations, writes : int64
        Steps, forward passes of one sample, and parameter writes so far.
    online_accuracy, online_cost : float64
        Over the samples that arrived since the last record, judged on their first pass; NaN where none arrived.
    accuracy, cost : float64
        Accuracy and mean cost of the unperturbed network on the samples for evaluation; NaN where none were given.
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
        """A curve of records, each a tuple of the attributes in their order; an empty curve of none."""
        columns = [np.array(column) for column in zip(*rows, strict=True)] or [np.empty(0)] * len(fields(cls))
        return cls(*(column.astype(np.int64) for column in columns[:3]), *(column.astype(np.float64) for column in columns[3:]))
