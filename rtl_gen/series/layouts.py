"""Layout of the neurons of a network with state, and which layers are of which kind."""

from __future__ import annotations

from amaranth.hdl import Const, Value, unsigned
from amaranth.lib import data

from python_ref.spec.design import DesignSpec
from python_ref.spec.number import Fixed
from rtl_gen import activation, slot
from rtl_gen.presentation import layouts
from rtl_gen.series.frames import stored_outputs
from rtl_gen.slot import by_layer

__all__ = ["covering", "evaluation_layout", "in_tail", "is_probe", "operand_outputs_format", "slot_layout", "stored_format"]


def slot_layout(spec: DesignSpec) -> data.StructLayout:
    """Layout of a slot: that of weight perturbation (:func:`rtl_gen.slot.slot_layout`), or of node perturbation."""
    return layouts.slot_layout(spec) if spec.node else slot.slot_layout(spec)


def is_probe(spec: DesignSpec, item) -> Value:
    """Whether a slot or a neuron belongs to a pass whose outputs are kept for two frames: every one in weight perturbation, and in node
    perturbation every one but the unperturbed one."""
    return ~layouts.is_unperturbed(item.bank) if spec.node else Const(1, 1)


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
    """Layout of the fields that accompany the evaluation of a neuron: those of :func:`rtl_gen.presentation.layouts.neuron_layout`, or in
    weight perturbation of :func:`rtl_gen.activation.neuron_layout`, and

    Members
    -------
    initial, final : unsigned(1)
        The frame is the first one of the pass, or the last one, which the tail belongs to.
    index : unsigned
        Number of the neuron, counted over all layers.
    place : unsigned
        Address of the neuron's output in the memory of outputs.
    """
    place = unsigned(max(1, (stored_outputs(spec) - 1).bit_length()))
    if spec.node:
        shared = {name: field.shape for name, field in layouts.neuron_layout(spec)}
    else:
        index = unsigned(max(1, (spec.network.n_neurons - 1).bit_length()))
        shared = {**{name: field.shape for name, field in activation.neuron_layout(spec)}, "index": index}
    return data.StructLayout({**shared, "initial": unsigned(1), "final": unsigned(1), "place": place})
