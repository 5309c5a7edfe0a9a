"""Description of a design with state in plain integers, from which the loops of :mod:`~python_ref.fixed.series_kernels` work."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from python_ref.fixed.plan import LAYER, Narrowing, Pieces, Plan, Rule, machine_plan, records
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.events import event_fields
from python_ref.spec.layers import Dense, LayerKind, Leaky, Lif
from python_ref.spec.network import Readout
from python_ref.spec.tables import activation_table

__all__ = ["DENSE", "LEAKY", "LIF", "SeriesNet", "describe_series", "operand_type"]

DENSE, LEAKY, LIF = range(3)
"""Numbers of the kinds of layers in the compiled loops."""
_KINDS: dict[type[LayerKind], int] = {Dense: DENSE, Leaky: LEAKY, Lif: LIF}

SERIES_LAYER = np.dtype(
    [
        # Before the fields of LAYER: numba takes a record that begins as another one for it, and then warns.
        *((name, np.int64) for name in ("inputs", "quantity_at", "shift", "own_shift", "kind", "leak", "state_dropped")),
        *((name, LAYER[name]) for name in LAYER.names or ()),
    ]
)
"""Constants of a layer: the number of inputs; the number of the first quantity, in a segment or of the tail; the places by which an input,
and an output of the layer itself, are shifted to the fraction of the operands; the number of the kind, and its leak; the fraction bits that
the cast of a pre-activation to a state drops; then those of :data:`~python_ref.fixed.plan.LAYER`, of which ``fan_in`` is the number of
operands and ``neuron_at`` the number of the first evaluation, in a frame or of the tail."""


class SeriesNet(NamedTuple):
    """Constants of a network with state."""

    layers: np.ndarray
    """Constants of each layer (:data:`SERIES_LAYER`, shape (layers,))."""
    tables: np.ndarray
    """Tables of the activations (int64, shape (2, entries)), as in :class:`~python_ref.fixed.plan.Net`."""
    framed: int
    """Number of framed layers."""
    frames: int
    """T."""
    hold: int
    """H."""
    segments: int
    """S."""
    framed_neurons: int
    """F."""
    held: int
    """Whether all frames have the same inputs, of which a sample has no length."""
    inputs: int
    """Number of inputs of a frame."""
    summed: int
    """Whether the tail receives the sum over the frames."""
    state: Narrowing
    """Cast of a pre-activation to a state, without the bits that it drops."""
    threshold: int
    """Raw state at which a lif neuron spikes."""
    output_shift: int
    """Places by which an output is shifted to the fraction of y − y*."""
    target_shift: int
    """Places by which a target is shifted to it."""
    one: int
    """Raw 1 in that fraction."""
    activation_width: int
    """Width in bits of the activation of a neuron event."""
    state_width: int
    """Width in bits of the state of a neuron event."""
    cast_order: np.ndarray
    """Quantities in the order in which their errors are cast (int64, shape (quantities,)), in node perturbation."""


def operand_type(spec: DesignSpec) -> type[np.int32] | type[np.int64]:
    """Return the type of operands in the compiled loops: int32, which is faster, if it holds them."""
    widths = [spec.operand_format(layer).width for layer in range(len(spec.network.layers))]
    return np.int32 if max(widths) < 32 else np.int64


@lru_cache(maxsize=16)
def describe_series(spec: DesignSpec, optimizer: int) -> tuple[SeriesNet, Plan, Rule]:
    """Return the description of a design with state in plain integers.

    Parameters
    ----------
    spec : DesignSpec
        Design whose network has state.
    optimizer : int
        Number of the design's optimiser in the compiled loops.
    """
    network, unrolled, formats = spec.network, spec.unrolled, spec.formats
    widths = {field.name: field.width for field in event_fields(spec)["neuron"]}
    fraction = spec.residual_format.fraction_bits
    net = SeriesNet(
        layers=records([_layer(spec, number) for number in range(len(network.layers))], SERIES_LAYER),
        tables=_tables(spec),
        framed=network.framed,
        frames=unrolled.frames,
        hold=unrolled.hold,
        segments=unrolled.segments,
        framed_neurons=unrolled.framed_neurons,
        held=int(network.held),
        inputs=network.n_in,
        summed=int(network.readout is Readout.SUM),
        state=Narrowing.of(formats.state, formats.state, formats.state_cast),
        threshold=1 << formats.state.fraction_bits,
        output_shift=fraction - spec.outputs_format.fraction_bits,
        target_shift=fraction - formats.activation.fraction_bits,
        one=1 << fraction,
        activation_width=widths["activation"],
        state_width=widths["state"],
        cast_order=spec.cast_order,
    )
    return net, machine_plan(spec), Rule.of(spec, optimizer)


def _layer(spec: DesignSpec, number: int) -> tuple[object, ...]:
    """Return the constants of a layer."""
    layer, placed, before = spec.network.layers[number], spec.layout.layers[number], spec.network.layers[:number]
    if type(layer.kind) not in _KINDS:
        raise unknown("Kind of a layer", layer.kind, "python_ref.fixed.series_plan._KINDS")
    exact, common, forms = spec.preactivation_format(number), spec.operand_format(number).fraction_bits, spec.operand_formats(number)
    pieces = Pieces.of(layer.activation.form, exact)
    tabulated = layer.activation.tabulated
    target = spec.formats.table if tabulated else spec.formats.activation
    source = spec.error_product_format(number) if spec.node else spec.cost_change_format
    row = {
        "fan_in": layer.fan_in,
        "n_out": layer.n_out,
        "theta_at": sum(each.n_parameters for each in before),
        "neuron_at": spec.unrolled.first_evaluation(number, 0),
        "word_at": placed.first_word,
        "slot_at": placed.first_slot,
        "place_at": sum(each.fan_in + 1 for each in before),
        "group_slots": placed.group_slots,
        "block": layer.n_out,
        "lists_at": -1,
        "operand_fraction": common,
        "delta": spec.delta(number),
        "g_dropped": source.fraction_bits - spec.gradient_format.fraction_bits,
        "last": int(number == len(spec.network.layers) - 1),
        "z_dropped": (exact.fraction_bits if tabulated else pieces.fraction_bits) - target.fraction_bits,
        **{name: getattr(pieces, name) for name in ("pieces", "begins", "up", "constant", "offset")},
        "inputs": layer.n_in,
        "quantity_at": spec.unrolled.first_quantity(number, 0),
        "shift": common - forms[0][1].fraction_bits,
        "own_shift": common - forms[-1][1].fraction_bits,
        "kind": _KINDS[type(layer.kind)],
        "leak": getattr(layer.kind, "leak", 0),
        "state_dropped": exact.fraction_bits - spec.formats.state.fraction_bits,
    }
    return tuple(row[name] for name in SERIES_LAYER.names or ())


def _tables(spec: DesignSpec) -> np.ndarray:
    """Return the tables of the hidden layers and of the last one, of which those that are not read are 0."""
    layers, forms = spec.network.layers, spec.formats
    read = [layer.kind.activated and layer.activation.tabulated for layer in layers]
    tables = np.zeros((2, 1 << forms.table.width if any(read) else 1), dtype=np.int64)
    for number, layer in enumerate(layers):
        if read[number]:
            tables[int(number == len(layers) - 1)] = activation_table(layer.activation, forms.table, forms.activation)
    return tables
