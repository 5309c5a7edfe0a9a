"""What the end of a presentation leaves, in node perturbation with and without state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from python_ref.fixed.state import State
from python_ref.spec.design import DesignSpec

__all__ = ["Learned", "unmoved"]


@dataclass(frozen=True, eq=False)
class Learned:
    """Result of the end of a presentation: err, G before it is cleared, the optimiser's state, θ, and numbers of values out of range."""

    error: np.ndarray
    gradient: np.ndarray
    optimizer: dict[str, np.ndarray]
    parameters: np.ndarray
    saturated: dict[str, int]


def unmoved(spec: DesignSpec, state: State) -> Learned:
    """Return the result of a step after which the presentation goes on."""
    return Learned(np.zeros(spec.quantities, dtype=np.int64), state.gradient, state.optimizer, state.parameters, {})
