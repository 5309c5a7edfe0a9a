"""Count of the writes of each parameter, which a run of the compiled model keeps if it is asked for.

The core writes every parameter at every update. A memory that compares before it writes would write only those whose value changes: a
tally counts these for each parameter, and of the others the reason why they stay.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from python_ref.fixed.plan import working_type
from python_ref.spec.design import DesignSpec

__all__ = ["ERROR", "GRADIENT", "INPUT", "REASONS", "ROUNDED", "UNPERTURBED", "Tally"]

ERROR = 0
"""Index of the reason ``error``."""
UNPERTURBED = 1
"""Index of the reason ``unperturbed``."""
INPUT = 2
"""Index of the reason ``input``."""
GRADIENT = 3
"""Index of the reason ``gradient``."""
ROUNDED = 4
"""Index of the reason ``rounded``."""
REASONS = ("error", "unperturbed", "input", "gradient", "rounded")
"""Reasons why an update leaves a parameter as it is, of which the first that holds counts.

- ``error``: what it would be moved by is 0 for the whole neuron or network: err of its neuron in node perturbation, C̃·2ᵉ in weight
  perturbation;
- ``unperturbed``: its sign is 0, in weight perturbation with a code of three values;
- ``input``: the input of its synapse is 0, in node perturbation;
- ``gradient``: its G is 0, where the update follows from G and not from err·x or s·C̃ directly; then the three before are not told apart;
- ``rounded``: the update is rounded to 0, or the parameter already has the value at which its format ends.
"""


class Tally(NamedTuple):
    """Counts of the updates of a run so far; the arrays are empty where nothing is counted."""

    before: np.ndarray
    """Parameters after the last update (shape (P,), in the type of the compiled loops)."""
    changes: np.ndarray
    """Number of updates that changed each parameter (int64, shape (P,))."""
    unchanged: np.ndarray
    """Number of values that updates left as they were, by their reason in :data:`REASONS` (int64, shape (5,))."""

    @classmethod
    def empty(cls, spec: DesignSpec) -> Tally:
        """Return a tally that counts nothing."""
        return cls(np.empty(0, working_type(spec)), np.empty(0, np.int64), np.zeros(len(REASONS), np.int64))

    @classmethod
    def begun(cls, spec: DesignSpec, parameters: np.ndarray) -> Tally:
        """Return a tally of a run that begins with these raw parameters (int64, shape (P,)); the run counts in its arrays, in place."""
        return cls(parameters.astype(working_type(spec)), np.zeros(len(parameters), np.int64), np.zeros(len(REASONS), np.int64))
