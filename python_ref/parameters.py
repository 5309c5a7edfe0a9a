"""Parameters as one flat vector: their initial values, their conversion to raw integers, and the matrices of the layers.

The canonical order is layer by layer, neuron by neuron, the bias and then the weights of operands 0 … F − 1, F the layer's fan-in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.network import Initialization, Layer, Scheme

__all__ = ["initial_parameters", "join_parameters", "quantise_parameters", "split_parameters"]


def initial_parameters(spec: LearningSpec, seed: int | None = None) -> np.ndarray:
    """Draw the initial parameters of a run by the design's scheme.

    Parameters
    ----------
    spec : LearningSpec
        Design that gives the shapes, the distribution and the default seed: its network, or a learner itself.
    seed : int or None
        Seed of the generator; None takes the design's own.

    Returns
    -------
    array of float64, shape (P,)
        Parameters in canonical order, not yet quantised, so that the real-valued models start from the same point.
    """
    if isinstance(spec, LearnerSpec):
        rng = np.random.Generator(np.random.PCG64(spec.initial.seed if seed is None else seed))
        return _bound(spec.initial, None) * rng.uniform(-1, 1, spec.quantities)
    if not isinstance(spec, DesignSpec):
        raise unknown("Design", spec, "python_ref.parameters.initial_parameters")
    initial = spec.network.initial
    rng = np.random.Generator(np.random.PCG64(initial.seed if seed is None else seed))
    parts = []
    for layer in spec.network.layers:
        bound = _bound(initial, layer)
        weights = bound * rng.uniform(-1, 1, (layer.n_out, layer.fan_in))
        biases = bound * rng.uniform(-1, 1, layer.n_out) if initial.scheme is Scheme.UNIFORM else np.zeros(layer.n_out)
        parts.append((weights, biases))
    return join_parameters(parts)


def _bound(initial: Initialization, layer: Layer | None) -> float:
    """Return the magnitude that bounds the weights of a layer, or the quantities of a learner."""
    match initial.scheme:
        case Scheme.UNIFORM:
            return initial.scale
        case Scheme.GLOROT if layer:
            return initial.scale * math.sqrt(6 / (layer.fan_in + layer.fan_out))
        case Scheme.HE if layer:
            return initial.scale * math.sqrt(6 / layer.fan_in)
        case Scheme.ZERO:
            return 0.0
        case _:
            raise unknown("Scheme", initial.scheme, "python_ref.parameters._bound")


def quantise_parameters(spec: LearningSpec, values: np.ndarray) -> np.ndarray:
    """Return raw parameters (int64, the shape of ``values``): real ones rounded to the nearest and clipped to the limits of a parameter."""
    return np.clip(spec.formats.weight.to_raw(values), *spec.parameter_limits)


def split_parameters(spec: DesignSpec, flat: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return W (shape (n_out, F)) and b (shape (n_out,)) of each layer as views of the flat vector (shape (P,))."""
    parts, first = [], 0
    for layer in spec.network.layers:
        rows = flat[first : first + layer.n_parameters].reshape(layer.n_out, layer.fan_in + 1)
        parts.append((rows[:, 1:], rows[:, 0]))
        first += layer.n_parameters
    return parts


def join_parameters(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the flat vector (shape (P,)) of W and b of each layer; the inverse of :func:`split_parameters`."""
    return np.concatenate([np.column_stack((biases, weights)).ravel() for weights, biases in parts])
