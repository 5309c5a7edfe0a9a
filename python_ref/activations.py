"""The activations in real numbers: value and slope of each, for every model that has no number format."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from python_ref.spec.error import unknown
from python_ref.spec.network import Activation

__all__ = ["activate", "has_slope", "slope"]

_VALUES: dict[Activation, Callable[[np.ndarray, np.ndarray | None], np.ndarray]] = {
    Activation.RELU: lambda z, out: np.maximum(z, 0, out=out),
    Activation.SIGMOID: lambda z, out: 0.5 + 0.5 * np.tanh(0.5 * z),
    Activation.TANH: lambda z, out: np.tanh(z, out=out),
    Activation.IDENTITY: lambda z, out: z,
    Activation.SIGN: lambda z, out: np.where(z >= 0, z.dtype.type(1), z.dtype.type(-1)),
}
"""y as a function of z, in the type of z. A function may write y into the second argument, an array like z, to save memory."""

_SLOPES: dict[Activation, Callable[[np.ndarray], np.ndarray] | None] = {
    Activation.RELU: lambda y: (y > 0).astype(y.dtype),
    Activation.SIGMOID: lambda y: y * (1 - y),
    Activation.TANH: lambda y: 1 - y * y,
    Activation.IDENTITY: np.ones_like,
    Activation.SIGN: None,
}
"""dy/dz as a function of y, in the type of y; that of ReLU at 0 is taken as 0. None where the slope is 0 wherever it exists."""


def activate(function: Activation, z: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Activations of pre-activations.

    Parameters
    ----------
    function : Activation
        The activation.
    z : array of float32 or float64, any shape
        Pre-activations.
    out : array like z, or None
        Memory that may be written to; it may be z itself.

    Returns
    -------
    array of the shape and type of z
        It may be ``z`` or ``out``.

    Raises
    ------
    TypeError
        If the activation has no value in real numbers.
    """
    if function not in _VALUES:
        raise unknown("Activation", function, "python_ref.activations._VALUES")
    return _VALUES[function](z, out)


def has_slope(function: Activation) -> bool:
    """Whether back-propagation is defined: not for sign, whose slope is 0 wherever it exists.

    Raises
    ------
    TypeError
        If it is not known whether the activation has a slope.
    """
    if function not in _SLOPES:
        raise unknown("Activation", function, "python_ref.activations._SLOPES")
    return _SLOPES[function] is not None


def slope(function: Activation, y: np.ndarray) -> np.ndarray:
    """dy/dz at the activations y (any shape, float32 or float64), in the type of y.

    Raises
    ------
    ValueError
        If the activation has no slope.
    """
    found = _SLOPES[function] if has_slope(function) else None
    if found is None:
        raise ValueError(f"Back-propagation is not defined for the activation '{function.value}', which has no slope. Take tanh, say.")
    return found(y)
