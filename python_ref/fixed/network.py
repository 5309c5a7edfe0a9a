"""The forward pass in raw integers, exact except for the activation, which is the only narrowing."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from python_ref.fixed.thresholds import fixed_thresholds
from python_ref.parameters import split_parameters
from python_ref.spec.activations import Activation, Piecewise, Tabulated
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.layers import Dense, LayerKind, Sparse, Stochastic
from python_ref.spec.number import Fixed, Overflow, cast_raw
from python_ref.spec.tables import activation_table

__all__ = ["activate", "evaluated", "forward", "output"]


def activate(spec: DesignSpec, function: Activation, z: np.ndarray, source: Fixed) -> tuple[np.ndarray, np.ndarray]:
    """Return the activations of pre-activations (int64, any shape, format ``source``).

    Returns
    -------
    (array of int64 in formats.activation, array of bool)
        Activations y, and where a cast was out of range: that of the address for a table, otherwise that of the value.
    """
    target, cast, form = spec.formats.activation, spec.formats.activation_cast, function.form
    if isinstance(form, Tabulated):
        table = spec.formats.table
        address, outside = cast_raw(z, source, table, cast.rounding, Overflow.SATURATE)
        return activation_table(function, table, target)[address & ((1 << table.width) - 1)], outside
    if isinstance(form, Piecewise):
        exact = form.exact_format(source)
        return cast_raw(_pieces(form, z, source, exact), exact, target, cast.rounding, cast.overflow)
    raise unknown("Form of an activation", form, "python_ref.fixed.network.activate")


def _pieces(form: Piecewise, z: np.ndarray, source: Fixed, exact: Fixed) -> np.ndarray:
    """Return the exact values (int64, format ``exact``) of a piecewise form at pre-activations (int64, format ``source``)."""
    unit = Fraction(2) ** exact.fraction_bits
    found = z
    for begin, piece in zip((None, *form.breaks), form.pieces, strict=True):
        line = np.full_like(z, int(piece.offset * unit))
        if piece.shift is not None:
            line += z << np.int64(exact.fraction_bits - source.fraction_bits - piece.shift)
        # In raw integers, z ≥ b for a break b is z ≥ ⌈b·2^f⌉.
        found = line if begin is None else np.where(z >= math.ceil(begin * 2**source.fraction_bits), line, found)
    return found


def _activation(f: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """y = f(z)."""
    return f


def _count(f: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """c, the number of thresholds u with f(z) > u."""
    found = np.zeros_like(f)
    for number in range(thresholds.shape[-1]):
        found += f > thresholds[..., number]
    return found


_OUTPUTS: dict[type[LayerKind], Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    Dense: _activation,
    Sparse: _activation,
    Stochastic: _count,
}
"""Output of the neurons of each kind of layer without state."""


def output(spec: DesignSpec, number: int, f: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return what the neurons of a layer without state pass on.

    Parameters
    ----------
    spec : DesignSpec
        Design that the layer belongs to.
    number : int
        Number of the layer, from 0.
    f : array of int64
        Activations of its neurons on the last axis, in ``spec.formats.activation``.
    thresholds : array of int64
        Thresholds of each neuron on the last axis, behind axes that fit those of ``f``.

    Returns
    -------
    array of int64, the shape of ``f``
        Outputs in ``spec.output_format(number)``.

    Raises
    ------
    TypeError
        If the model does not know the kind of the layer.
    """
    kind = spec.network.layers[number].kind
    if type(kind) not in _OUTPUTS:
        raise unknown("Kind of a layer", kind, "python_ref.fixed.network._OUTPUTS")
    return _OUTPUTS[type(kind)](f, thresholds)


def forward(
    spec: DesignSpec,
    parameters: np.ndarray,
    inputs: np.ndarray,
    *,
    sign: np.ndarray | None = None,
    direction: int = 0,
    thresholds: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute one pass through the network.

    Parameters
    ----------
    spec : DesignSpec
        Design that gives the network, its number formats and the amplitude Δ.
    parameters : array of int64, shape (P,)
        Parameters θ, raw, in canonical order.
    inputs : array of int64, shape (n_in,)
        Inputs x of one sample, raw integers in ``spec.formats.input``.
    sign : array of int8, shape (quantities,)
        Signs s of the perturbed quantities; optional if ``direction`` is 0.
    direction : int
        Factor 0, +1 or −1 of the perturbation ``direction``·s·Δ.
    thresholds : array of int64, shape (neurons, N), or None
        Thresholds of each neuron, of which those of stochastic neurons are used; None takes the fixed ones of an inference.

    Returns
    -------
    (array of int64, array of int64, array of bool)
        z and y of every neuron (shape (neurons,), raw, each in its layer's own format), and where an activation was out of range.
    """
    shift = np.zeros(spec.quantities, dtype=np.int64) if sign is None else direction * sign.astype(np.int64)
    if not spec.node:
        parameters = parameters + shift * spec.amplitude_raw(spec.formats.weight.fraction_bits)
    x, z_all, y_all, beyond, first = inputs, [], [], [], 0
    for number, (weights, biases) in enumerate(split_parameters(spec, parameters)):
        source, layer = spec.preactivation_format(number), spec.network.layers[number]
        z = (weights * layer.operands(x)).sum(axis=1) + (biases << np.int64(spec.operand_format(number).fraction_bits))
        own = slice(first, first + layer.n_out)
        if spec.node:
            z = z + shift[own] * spec.delta(number)
        f, outside = activate(spec, layer.activation, z, source)
        x = output(spec, number, f, fixed_thresholds(spec, number) if thresholds is None else thresholds[own])
        z_all.append(z)
        y_all.append(x)
        beyond.append(outside)
        first += layer.n_out
    return np.concatenate(z_all), np.concatenate(y_all), np.concatenate(beyond)


def evaluated(spec: DesignSpec, signs: np.ndarray, number: int) -> np.ndarray:
    """Return which neurons pass ``number`` of a step with these signs evaluates (bool, shape (neurons,)), and shows and counts.

    An incremental probe evaluates the perturbed neuron and the layers behind it, or the outputs; a probe of a part, whose signs are 0
    outside of it, the layers from the part's first one on; every other pass evaluates all neurons.
    """
    found = np.ones(spec.network.n_neurons, dtype=bool)
    if spec.incremental and number > 0:
        behind = spec.network.first_behind(int(np.flatnonzero(signs)[0]))
        found[:behind] = signs[:behind] != 0
    elif spec.in_parts and number > 0:
        found[: np.flatnonzero(signs)[0]] = False
    return found
