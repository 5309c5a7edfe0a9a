"""The correlation of a broadcast with the signs of the parameters, and the update, as weight perturbation and the learner compute them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from python_ref.fixed.narrowing import narrow, saturate
from python_ref.fixed.state import rounding_source
from python_ref.spec.learning import LearningSpec

__all__ = ["Learned", "Learning", "correlate"]


class Learning(Protocol):
    """What a correlation takes from the state of a machine."""

    @property
    def seed(self) -> int:
        """Seed of the random streams."""

    @property
    def steps(self) -> int:
        """Number of steps so far."""

    @property
    def updates(self) -> int:
        """Number of updates so far."""

    @property
    def parameters(self) -> np.ndarray:
        """θ, raw (int64, shape (P,))."""

    @property
    def gradient(self) -> np.ndarray:
        """G, raw (int64, shape (P,))."""

    @property
    def optimizer(self) -> dict[str, np.ndarray]:
        """Values of the optimiser's state variables by name, raw."""


@dataclass(frozen=True, eq=False)
class Learned:
    """Result of a correlation.

    Attributes
    ----------
    broadcast : array of int64, shape (words,)
        g, or u for a direct update, by word of a pass.
    gradient, parameters : array of int64, shape (P,)
        G before an update clears it, and θ.
    optimizer : dict of str to array of int64, shape (P,)
        New values of the optimiser's state variables, by name.
    saturated : dict of str to int
        Numbers of values out of range, by the kind of their cast.
    update : array of int64, shape (P,), or None
        What was subtracted from θ, before its limits, and 0 where no update is due; None where neurons are perturbed.
    """

    broadcast: np.ndarray
    gradient: np.ndarray
    optimizer: dict[str, np.ndarray]
    parameters: np.ndarray
    saturated: dict[str, int]
    update: np.ndarray | None = None


def correlate(spec: LearningSpec, state: Learning, s: np.ndarray, g: np.ndarray, update_due: bool) -> Learned:
    """Correlate, G ← saturate(G + s·g); if the update is due, θ ← saturate(θ − u), u = cast_weight(source), with the optimiser's source.

    A direct update is u = cast_weight(g), rounded once before the sign is applied: θ ← saturate(θ − s·u). ``g`` has one value per word of a
    pass, as the stochastic words have.
    """
    layout, cast = spec.layout, spec.formats.weight_cast
    words = rounding_source(spec, state.seed).words(state.updates)[layout.word_slot] if update_due else np.zeros_like(g)
    parameters, gradient, optimizer, saturated = state.parameters, state.gradient, state.optimizer, {}
    update = np.zeros_like(parameters)
    if spec.direct_update:
        g, outside = narrow(g, spec.gradient_format, spec.update_format, cast, words)
        update, saturated["update"] = s * g[layout.parameter_word], int(layout.word_lanes @ outside)
    else:
        gradient = gradient + s * g[layout.parameter_word]
        gradient, outside = saturate(gradient, spec.gradient_format.min, spec.gradient_format.max)
        saturated["gradient"] = int(np.count_nonzero(outside))
        if update_due:
            word = words[layout.parameter_word]
            moved = spec.optimizer.step(spec.update_forms, optimizer, gradient, word, spec.exponent_at(state.steps))
            optimizer = moved.state
            saturated |= {name: int(np.count_nonzero(outside)) for name, outside in moved.outside.items()}
            update, outside = narrow(moved.source, spec.update_source_format, spec.update_format, cast, word)
            saturated["update"] = int(np.count_nonzero(outside))
    if update_due:
        parameters, outside = saturate(parameters - update, *spec.parameter_limits)
        saturated["weight"] = int(np.count_nonzero(outside))
    return Learned(g, gradient, optimizer, parameters, saturated, update)
