"""Neurons of each kind of layer, in raw integers: from pre-activations and the state of the frame before to outputs and a new state."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from python_ref.fixed.narrowing import narrow, saturate
from python_ref.fixed.network import activate
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.layers import Dense, LayerKind, Leaky, Lif

__all__ = ["Response", "respond"]


class Response(NamedTuple):
    """What the neurons of a layer do in a frame; all arrays have one entry per neuron, behind any number of other axes.

    Attributes
    ----------
    activation : array of int64
        f(z), or the spike of a lif neuron.
    state : array of int64
        h or v after the frame; 0 of a neuron without state.
    output : array of int64
        What the next layer receives, in ``spec.output_format``.
    outside : array of bool
        Where the cast to the activation, or to the address of its table, was out of range.
    state_outside : array of bool
        Where the cast or the sum of the state was out of range.
    """

    activation: np.ndarray
    state: np.ndarray
    output: np.ndarray
    outside: np.ndarray
    state_outside: np.ndarray


def _dense(spec: DesignSpec, number: int, kind: Dense, z: np.ndarray, before: np.ndarray) -> Response:
    """y = f(z)."""
    y, outside = activate(spec, spec.network.layers[number].activation, z, spec.preactivation_format(number))
    return Response(y, np.zeros_like(y), y, outside, np.zeros_like(outside))


def _leaky(spec: DesignSpec, number: int, kind: Leaky, z: np.ndarray, before: np.ndarray) -> Response:
    """h ← h + ((f(z) − h) >>> k)."""
    y, outside = activate(spec, spec.network.layers[number].activation, z, spec.preactivation_format(number))
    h = before + ((y - before) >> kind.leak)
    return Response(y, h, h, outside, np.zeros_like(outside))


def _lif(spec: DesignSpec, number: int, kind: Lif, z: np.ndarray, before: np.ndarray) -> Response:
    """v ← saturate(v − (v >>> k) + cast_state(z)); a spike where v ≥ 1; v ← v − spike."""
    form = spec.formats.state
    current, cast_outside = narrow(z, spec.preactivation_format(number), form, spec.formats.state_cast)
    v, sum_outside = saturate(before - (before >> kind.leak) + current, form.min, form.max)
    one = 1 << form.fraction_bits
    spike = (v >= one).astype(np.int64)
    return Response(spike, v - spike * one, spike, np.zeros_like(cast_outside), cast_outside | sum_outside)


_NEURONS: dict[type[LayerKind], Callable[..., Response]] = {Dense: _dense, Leaky: _leaky, Lif: _lif}
"""Response of the neurons of each kind of layer."""


def respond(spec: DesignSpec, number: int, z: np.ndarray, before: np.ndarray) -> Response:
    """Return what the neurons of layer ``number`` do, with pre-activations ``z`` and the state ``before`` of the frame before.

    Raises
    ------
    TypeError
        If the model does not know the kind of the layer.
    """
    kind = spec.network.layers[number].kind
    if type(kind) not in _NEURONS:
        raise unknown("Kind of a layer", kind, "python_ref.fixed.neurons._NEURONS")
    return _NEURONS[type(kind)](spec, number, kind, z, before)
