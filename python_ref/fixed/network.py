"""The forward pass in raw integers, exact except for the activation, which is the only narrowing."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from python_ref.parameters import split_parameters
from python_ref.spec.activations import Activation, Piecewise, Tabulated
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.number import Fixed, Overflow, cast_raw
from python_ref.spec.tables import activation_table

__all__ = ["activate", "evaluated", "forward"]


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


def forward(
    spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray, *, sign: np.ndarray | None = None, direction: int = 0
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

    Returns
    -------
    (array of int64, array of int64, array of bool)
        z and y of every neuron (shape (neurons,), raw; z in its layer's own format), and where an activation was out of range.
    """
    shift = np.zeros(spec.quantities, dtype=np.int64) if sign is None else direction * sign.astype(np.int64)
    if not spec.node:
        parameters = parameters + shift * spec.amplitude_raw(spec.formats.weight.fraction_bits)
    x, z_all, y_all, beyond, first = inputs, [], [], [], 0
    for number, (weights, biases) in enumerate(split_parameters(spec, parameters)):
        source, layer = spec.preactivation_format(number), spec.network.layers[number]
        z = (weights * layer.operands(x)).sum(axis=1) + (biases << np.int64(spec.operand_format(number).fraction_bits))
        if spec.node:
            z = z + shift[first : first + layer.n_out] * spec.amplitude_raw(source.fraction_bits)
        x, outside = activate(spec, layer.activation, z, source)
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
