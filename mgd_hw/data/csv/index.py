"""Detect columns that look like an index, by their name and their values."""

from __future__ import annotations

import numpy as np

__all__ = ["INDEX_NAMES", "index_evidence"]

INDEX_NAMES = frozenset(["", "id", "index", "idx", "row", "no", "no.", "#", "rowid", "row_id", "unnamed: 0"])
"""Usual column names of an index, in lower case."""
_INDEX_ROWS = 10
"""Smallest number of rows in which a column of numbers may look like an index."""


def index_evidence(name: str | None, values: np.ndarray) -> str | None:
    """Return the evidence that a column is an index, as a predicate, or None if there is none.

    Parameters
    ----------
    name : str or None
        Name of the column; None if the file has no header.
    values : ndarray
        Values of the column in the order of the rows, shape (n,), float64.
    """
    if len(values) < _INDEX_ROWS:
        return None
    if values[0] in (0, 1) and np.array_equal(values, np.arange(len(values)) + values[0]):
        return f"counts up from {values[0]:g}"
    usual = name is not None and name.lower() in INDEX_NAMES
    if usual and np.array_equal(values, np.floor(values)) and len(np.unique(values)) == len(values):
        return "holds another whole number in every line"
    return None
