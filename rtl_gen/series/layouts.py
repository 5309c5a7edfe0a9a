"""Layout of the neurons of a network with state, and which layers are of which kind."""

from __future__ import annotations

from amaranth.hdl import Value, unsigned
from amaranth.lib import data

from python_ref.spec.design import DesignSpec
from python_ref.spec.number import Fixed
from rtl_gen.presentation.layouts import neuron_layout
from rtl_gen.series.frames import stored_outputs
from rtl_gen.slot import by_layer

__all__ = ["covering", "evaluation_layout", "in_tail", "operand_outputs_format", "stored_format"]


def covering(forms: list[Fixed]) -> Fixed:
    """Return a format that holds the raw values of any of the formats."""
    return Fixed.covering(min(form.min for form in forms), max(form.max for form in forms), 0)


def stored_format(spec: DesignSpec) -> Fixed:
    """Return a format that holds the raw outputs of every layer in a frame."""
    return covering([spec.output_format(layer) for layer in range(len(spec.network.layers))])


def operand_outputs_format(spec: DesignSpec) -> Fixed:
    """Return a format that holds the raw outputs in a frame of every layer but the last one of the tail, whose outputs are no operands."""
    layers, framed = len(spec.network.layers), spec.network.framed
    return covering([spec.output_format(layer) for layer in range(max(framed, layers - 1))])


def in_tail(spec: DesignSpec, layer: Value) -> Value:
    """Whether a layer belongs to the tail, which is evaluated once, behind the last frame."""
    return by_layer([int(number >= spec.network.framed) for number in range(len(spec.network.layers))], layer)


def evaluation_layout(spec: DesignSpec) -> data.StructLayout:
    """Layout of the fields that accompany the evaluation of a neuron: those of :func:`rtl_gen.presentation.layouts.neuron_layout`, and

    Members
    -------
    initial, final : unsigned(1)
        The frame is the first one of the pass, or the last one, which the tail belongs to.
    place : unsigned
        Address of the neuron's output in the memory of outputs.
    """
    place = unsigned(max(1, (stored_outputs(spec) - 1).bit_length()))
    shared = {name: field.shape for name, field in neuron_layout(spec)}
    return data.StructLayout({**shared, "initial": unsigned(1), "final": unsigned(1), "place": place})
