"""Layouts of what moves through a core of node perturbation: the slots of its lanes, its neurons, and the sign of a neuron."""

from __future__ import annotations

from amaranth.hdl import Value, unsigned
from amaranth.lib import data

from python_ref.spec.design import DesignSpec

__all__ = [
    "UNPERTURBED",
    "has_full_layers",
    "is_unperturbed",
    "layer_of",
    "measures",
    "neuron_layout",
    "noisy_layers",
    "overtakes",
    "part_shape",
    "sign_layout",
    "slot_layout",
]

UNPERTURBED = 2
"""Number of the unperturbed pass's bank of activations; the probes' passes use the banks 0 and 1 in turn."""


def is_unperturbed(bank: Value) -> Value:
    """Whether a bank, which is 0, 1 or :data:`UNPERTURBED`, is that of the unperturbed pass: one bit tells."""
    return bank[1]


def has_full_layers(spec: DesignSpec) -> bool:
    """Whether incremental probes compute layers in full: from the second one behind the perturbed neuron on."""
    return spec.incremental and len(spec.network.layers) > 2


def noisy_layers(spec: DesignSpec) -> list[int]:
    """Return the numbers of the layers whose neurons learn from their own noise."""
    return [number for number, layer in enumerate(spec.network.layers) if layer.kind.own_noise]


def overtakes(spec: DesignSpec) -> bool:
    """Whether a probe that is replayed too early would take thresholds before the pass before it has taken all of its own.

    Neurons leave the lanes in their order, so it is only a stochastic layer that is replayed which may come among others of that pass.
    """
    noisy = noisy_layers(spec)
    return any(part.first in noisy for part in spec.round.parts if noisy and noisy[-1] > 0)


def slot_layout(spec: DesignSpec) -> data.StructLayout:
    """Layout of a slot, which describes the work of the lanes in one cycle.

    Members
    -------
    real : unsigned(1)
        The slot has a word in the lanes' memories, unlike a cycle in which the lanes wait.
    first, last : unsigned(1)
        The slot is the first one of its group, which is that of the biases, or the last one.
    tail : unsigned(1)
        The group is the last one of its layer.
    begin : unsigned(1)
        The slot is the first one of its pass; or of a layer, in incremental probes that compute layers in full; or of a frame, in a
        network with state.
    apply : unsigned(1)
        The slot applies the errors of a presentation, unlike one of a forward pass.
    minus : unsigned(1)
        The pass perturbs by −sΔ.
    measure : unsigned(1)
        The pass measures, whether or not it applies errors as well (only where ``spec.just_in_time``).
    bank : unsigned(2)
        Bank of the activations that the pass reads and writes.
    layer : unsigned
        Number of the layer, from 0.
    single : unsigned(1)
        The slot is the only one of its group, for the one input that changes; in incremental probes that compute other layers in full.
    initial, final : unsigned(1)
        The frame is the first one of the pass, or the last one, which the tail belongs to; in a network with state, whose every frame has
        a slot with ``begin``.
    turns, recurrent : unsigned(1)
        The operand is the last input of a recurrent layer, or an output of the frame before; in a network with state.
    """
    flags = ["real", "first", "last", "tail", "begin", "apply", "minus", *(["measure"] if spec.just_in_time else [])]
    flags += ["single"] if has_full_layers(spec) else []
    flags += ["initial", "final", "turns", "recurrent"] if spec.series else []
    layers = len(spec.network.layers)
    return data.StructLayout(
        {**{name: unsigned(1) for name in flags}, "bank": unsigned(2), "layer": unsigned(max(1, (layers - 1).bit_length()))}
    )


def measures(spec: DesignSpec, slot) -> Value:
    """Whether a slot belongs to a pass that measures, so that its neurons leave the lanes."""
    return slot.measure if spec.just_in_time else ~slot.apply


def neuron_layout(spec: DesignSpec) -> data.StructLayout:
    """Layout of the fields that accompany a neuron's value.

    Members
    -------
    valid : unsigned(1)
        There is a neuron in this cycle.
    last : unsigned(1)
        The neuron is the last one of its pass.
    minus : unsigned(1)
        The pass perturbs by −sΔ.
    bank : unsigned(2)
        Bank of the pass's activations.
    layer : unsigned
        Number of the neuron's layer, from 0.
    index : unsigned
        Number of the neuron, counted over all layers.
    replayed : unsigned(1)
        The neuron is the perturbed one, which does not come from the lanes; in incremental probes that compute layers in full.
    active : unsigned(1)
        The neuron is perturbed in its pass; in networks with stochastic layers.
    """
    slot = slot_layout(spec)
    index = unsigned(max(1, (spec.network.n_neurons - 1).bit_length()))
    more = ("replayed",) if has_full_layers(spec) else ("active",) if spec.network.random else ()
    flags = {name: unsigned(1) for name in ("valid", "last", "minus", *more)}
    return data.StructLayout({**flags, "bank": unsigned(2), "layer": slot["layer"].shape, "index": index})


def layer_of(spec: DesignSpec, index: Value) -> Value:
    """Number of the layer of a neuron, whose number is ``index``."""
    sizes = spec.network.sizes[1:]
    starts = [sum(sizes[:number]) for number in range(1, len(sizes))]
    return sum((index >= start for start in starts[1:]), index >= starts[0])


def part_shape(spec: DesignSpec) -> range:
    """Shape of the number of a part of the network, where probes perturb its parts in turn."""
    return range(len(spec.round.parts))


def sign_layout() -> data.StructLayout:
    """Layout of the sign of a neuron: whether it is −1, and whether it is not 0."""
    return data.StructLayout({"negative": unsigned(1), "active": unsigned(1)})
