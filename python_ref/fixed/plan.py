"""Description of a design in plain integers, from which the compiled loops of :mod:`~python_ref.fixed.kernels` work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from python_ref.spec.activations import Form, Piecewise, Tabulated
from python_ref.spec.design import Cast, DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.events import event_fields
from python_ref.spec.number import MAX_BITS, Fixed, Overflow, Rounding
from python_ref.spec.probes import COUNTERS
from python_ref.spec.tables import activation_table

__all__ = [
    "FLOOR", "HALF_EVEN", "HALF_UP", "LAYER", "MOST_PIECES", "NOISE", "PART", "STOCHASTIC", "VARIABLE", "Narrowing", "Net", "Pieces",
    "Plan", "Rule", "describe", "machine_plan", "records", "working_type",
]  # fmt: skip

FLOOR, HALF_UP, HALF_EVEN, STOCHASTIC = range(4)
"""Numbers of the rounding modes in the compiled loops."""
_ROUNDINGS = {
    Rounding.FLOOR: FLOOR,
    Rounding.HALF_UP: HALF_UP,
    Rounding.HALF_EVEN: HALF_EVEN,
    Rounding.STOCHASTIC: STOCHASTIC,
}
_WRAPS = {Overflow.SATURATE: 0, Overflow.WRAP: 1}


class Narrowing(NamedTuple):
    """A cast in plain integers: the number of fraction bits dropped, the number of its rounding, whether it wraps, and its limits."""

    dropped: int
    rounding: int
    wrap: int
    low: int
    high: int

    @classmethod
    def of(cls, source: Fixed, target: Fixed, cast: Cast) -> Narrowing:
        """Return the cast from one format to another."""
        dropped = source.fraction_bits - target.fraction_bits
        if cast.rounding not in _ROUNDINGS:
            raise unknown("Rounding", cast.rounding, "python_ref.fixed.plan._ROUNDINGS")
        if cast.overflow not in _WRAPS:
            raise unknown("Overflow", cast.overflow, "python_ref.fixed.plan._WRAPS")
        return cls(dropped, _ROUNDINGS[cast.rounding], _WRAPS[cast.overflow], target.min, target.max)


MOST_PIECES = 4
"""Maximum number of straight pieces of an activation in the compiled loops."""


class Pieces(NamedTuple):
    """Straight pieces in plain integers, padded to :data:`MOST_PIECES` with pieces that begin beyond every pre-activation.

    A piece begins at the raw pre-activation ``begins``. Its raw value, with ``fraction_bits`` fraction bits, is z·2^``up`` + ``offset``, or
    ``offset`` alone if it is ``constant``.
    """

    pieces: int
    fraction_bits: int
    begins: list[int]
    up: list[int]
    constant: list[int]
    offset: list[int]

    @classmethod
    def of(cls, form: Form, source: Fixed) -> Pieces:
        """Return the pieces of a form for pre-activations of the format ``source``; a table has none."""
        if isinstance(form, Tabulated):
            return cls(0, 0, *([0] * MOST_PIECES for _ in range(4)))
        if not isinstance(form, Piecewise):
            raise unknown("Form of an activation", form, "python_ref.fixed.plan.Pieces.of")
        if len(form.pieces) > MOST_PIECES:
            raise ValueError(f"Number of pieces of an activation must be at most {MOST_PIECES}, not {len(form.pieces)!r}")
        exact, rest = form.exact_format(source), [0] * (MOST_PIECES - len(form.pieces))
        up = exact.fraction_bits - source.fraction_bits
        return cls(
            len(form.pieces),
            exact.fraction_bits,
            [source.min, *(math.ceil(each * 2**source.fraction_bits) for each in form.breaks), *(1 << MAX_BITS - 1 for _ in rest)],
            [0 if piece.shift is None else up - piece.shift for piece in form.pieces] + rest,
            [int(piece.shift is None) for piece in form.pieces] + rest,
            [int(piece.offset * 2**exact.fraction_bits) for piece in form.pieces] + rest,
        )


LAYER = np.dtype(
    [
        *((name, np.int64) for name in ("fan_in", "n_out", "theta_at", "neuron_at", "word_at", "slot_at", "place_at", "group_slots")),
        *((name, np.int64) for name in ("block", "lists_at")),
        *((name, np.int64) for name in ("operand_fraction", "delta", "g_dropped", "last", "pieces", "z_dropped")),
        *((name, np.int64, (MOST_PIECES,)) for name in ("begins", "up", "constant", "offset")),
    ]
)
"""Constants of a layer: the number of operands of a neuron, and of its neurons; the numbers of its first parameter, neuron, word, slot and
place of an operand; the slots of a group; the number of neurons of a block, and where the lists of the blocks begin in ``Net.lists``, −1
if every neuron has all inputs; the fraction bits of its operand, and Δ, raw; the fraction bits that the cast to g drops at e = 0 (in node
perturbation that of err·x, to g or, if the update is direct, to u); whether it is the last one, and thus the row of its table; its
:class:`Pieces`; and the fraction bits that the cast of a pre-activation, or of the value of a piece, drops."""

PART = np.dtype([(name, np.int64) for name in ("layer", "begin", "end")])
"""Constants of a part of the network, in node perturbation: the number of its first layer, that of its first neuron, and that of the first
neuron behind it."""

NOISE = np.dtype([(name, np.int64) for name in ("draws", "error_offset")])
"""Constants of the own noise of a layer: the number of thresholds of a neuron, 0 if its output is not random; and o, with which its errors
are cast_error(2^(e + o)·E)."""

VARIABLE = np.dtype(
    [(name, np.int64) for name in ("counter", "width", "shift", "g_shift", "dropped", "rounding", "wrap", "low", "high")],
)
"""Constants of a state variable of the optimiser: the index of its saturation counter, and its width in bits; the numbers of places by
which the variable and G are shifted left to align them with the exact format of a new value; and the cast of that value
(:class:`Narrowing`)."""


class Net(NamedTuple):
    """Constants of the network."""

    layers: np.ndarray
    """Constants of each layer (:data:`LAYER`, shape (layers,))."""
    tables: np.ndarray
    """Tables of the activations (int64, shape (2, entries)), one for the hidden layers and one for the last layer."""
    lists: np.ndarray
    """Inputs of the blocks of the sparse layers, one list after the other (int64)."""
    parts: np.ndarray
    """Constants of each part (:data:`PART`, shape (parts,))."""
    order: np.ndarray
    """Number of the part that each probe of a round perturbs (int64, shape (probes,))."""
    noise: np.ndarray
    """Constants of the own noise of each layer (:data:`NOISE`, shape (layers,))."""


class Rule(NamedTuple):
    """The optimiser in plain integers."""

    number: int
    """Number of the optimiser's branch in the compiled loops."""
    parameters: np.ndarray
    """Parameters that are whole numbers (int64), in their order in ``Optimizer.parameters()``, 0 for one that is not."""
    variables: np.ndarray
    """Constants of each state variable (:data:`VARIABLE`, shape (variables,))."""
    gradient_fraction: int
    """Fraction bits of G."""
    source: tuple[int, int, int]
    """Format of the source of an update: its fraction bits, its least and its greatest value, raw."""
    exponent: int
    """Exponent that the host sets, of an optimiser whose rate scales the update; the machine replaces it where it changes."""

    @classmethod
    def of(cls, spec: DesignSpec, number: int) -> Rule:
        """Return the optimiser of a design, whose branch has the number ``number``."""
        values = [getattr(spec.optimizer, name) for name in spec.optimizer.parameters()]
        rows = [
            (
                COUNTERS.index(f"saturated_{each.name}"),
                each.format.width,
                each.exact.fraction_bits - each.format.fraction_bits,
                each.exact.fraction_bits - spec.gradient_format.fraction_bits,
                *Narrowing.of(each.exact, each.format, Cast(each.rounding, each.overflow)),
            )
            for each in spec.optimizer_state
        ]
        parameters = np.array([value if isinstance(value, int) else 0 for value in values], dtype=np.int64)
        source, fraction = spec.update_source_format, spec.gradient_format.fraction_bits
        ends = source.fraction_bits, source.min, source.max
        return cls(number, parameters, records(rows, VARIABLE), fraction, ends, spec.exponent_at(0))


class Plan(NamedTuple):
    """Constants of the machine as a whole."""

    lanes: int
    tau_p: int
    tau_x: int
    tau_t: int
    two_sided: int
    incremental: int
    """Whether a probe computes only what its one perturbed neuron changes, in node perturbation."""
    direct_update: int
    gradient_memory: int
    weight_delta: int
    one: int
    activation: Narrowing
    address: Narrowing
    change: Narrowing
    error: Narrowing
    """Cast of E to err at e = 0, in node perturbation."""
    g: Narrowing
    u: Narrowing
    theta_low: int
    theta_high: int
    word_bits: int
    update_words: int
    """Number of random words of an update."""
    pass_width: int
    z_width: int
    y_width: int
    cost_width: int
    change_width: int
    broadcast_width: int
    """Width in bits of the broadcast, in weight perturbation."""
    error_width: int
    """Width in bits of err, in node perturbation."""
    g_width: int
    theta_width: int
    random: int
    """Whether a neuron is stochastic."""
    threshold_bits: int
    """Number of bits of a threshold."""
    threshold_word: int
    """Number of bits of the word of a stochastic neuron."""
    output_up: int
    """Number of places by which an output is shifted left to have the fraction bits of a target, in a network without state."""


def working_type(spec: DesignSpec) -> type[np.int32] | type[np.int64]:
    """Return the type of parameters, inputs, activations and states in the compiled loops: int32, which is faster, if it holds them.

    In node perturbation, the update u = cast_weight(err·x + word) of a design that updates directly must fit as well.
    """
    forms = spec.formats
    if max(form.width for form in (forms.weight, forms.input, forms.activation, forms.state)) >= 32:
        return np.int64
    if spec.node and spec.direct_update:
        products = [spec.error_product_format(layer) for layer in range(len(spec.network.layers))]
        dropped = [product.fraction_bits - forms.weight.fraction_bits for product in products]
        widths = [product.width + max(0, -drop) for product, drop in zip(products, dropped, strict=True)]
        if max(*widths, *dropped, forms.weight.width) > 30:
            return np.int64
    return np.int32


@lru_cache(maxsize=16)
def describe(spec: DesignSpec, optimizer: int) -> tuple[Net, Plan, Rule]:
    """Return the description of a design in plain integers.

    Parameters
    ----------
    spec : DesignSpec
        Design whose network and machine are described.
    optimizer : int
        Number of the design's optimiser in the compiled loops.
    """
    return _net(spec), machine_plan(spec), Rule.of(spec, optimizer)


def records(rows: Sequence[tuple[object, ...]], kind: np.dtype) -> np.ndarray:
    """Return rows as records whose fields are attributes, in compiled loops and in plain Python alike."""
    return np.array(rows, dtype=kind).view(np.recarray)


def _net(spec: DesignSpec) -> Net:
    forms, layers, found = spec.formats, spec.network.layers, []
    target = spec.update_format if spec.node and spec.direct_update else spec.gradient_format
    for number, (layer, placed) in enumerate(zip(layers, spec.layout.layers, strict=True)):
        exact = spec.preactivation_format(number)
        pieces = Pieces.of(layer.activation.form, exact)
        source = spec.error_product_format(number) if spec.node else spec.cost_change_format
        before = layers[:number]
        row = {
            "fan_in": layer.fan_in,
            "n_out": layer.n_out,
            "theta_at": sum(each.n_parameters for each in before),
            "neuron_at": sum(each.n_out for each in before),
            "word_at": placed.first_word,
            "slot_at": placed.first_slot,
            "place_at": sum(each.fan_in + 1 for each in before),
            "group_slots": placed.group_slots,
            "block": layer.block,
            "lists_at": -1 if layer.lists is None else sum(each.lists.size for each in before if each.lists is not None),
            "operand_fraction": spec.operand_format(number).fraction_bits,
            "delta": spec.delta(number),
            "g_dropped": source.fraction_bits - target.fraction_bits,
            "last": int(number == len(layers) - 1),
            "z_dropped": exact.fraction_bits - forms.table.fraction_bits
            if layer.activation.tabulated
            else pieces.fraction_bits - forms.activation.fraction_bits,
            **{name: getattr(pieces, name) for name in ("pieces", "begins", "up", "constant", "offset")},
        }
        found.append(tuple(row[name] for name in LAYER.names or ()))
    tables = np.zeros((2, 1 << forms.table.width if any(layer.activation.tabulated for layer in layers) else 1), dtype=np.int64)
    for row_number, layer in ((0, layers[0]), (1, layers[-1])):
        if layer.activation.tabulated:
            tables[row_number] = activation_table(layer.activation, forms.table, forms.activation)
    parts = [(part.first, part.begin, part.end) for part in spec.round.parts]
    lists = np.concatenate([np.empty(0, dtype=np.int64), *(layer.lists.ravel() for layer in layers if layer.lists is not None)])
    noise = [(layer.kind.thresholds, spec.error_offset(number)) for number, layer in enumerate(layers)]
    order = np.array(spec.round.order, dtype=np.int64)
    return Net(records(found, LAYER), tables, lists, records(parts, PART), order, records(noise, NOISE))


def machine_plan(spec: DesignSpec) -> Plan:
    """Return the constants of the machine of a design as a whole."""
    forms, schedule, weight = spec.formats, spec.schedule, spec.formats.weight
    error = Narrowing.of(spec.error_sum_format, spec.error_format, forms.error_cast) if spec.node else Narrowing(0, 0, 0, 0, 0)
    low, high = spec.parameter_limits
    return Plan(
        lanes=spec.hardware.lanes,
        tau_p=schedule.perturbation_period,
        tau_x=schedule.sample_period,
        tau_t=schedule.update_period,
        two_sided=int(spec.two_sided),
        incremental=int(spec.incremental),
        direct_update=int(spec.direct_update),
        gradient_memory=int(spec.gradient_memory),
        weight_delta=0 if spec.node else spec.amplitude_raw(weight.fraction_bits),
        one=1 << forms.activation.fraction_bits,
        activation=Narrowing.of(forms.activation, forms.activation, forms.activation_cast),
        address=Narrowing.of(forms.table, forms.table, Cast(forms.activation_cast.rounding, Overflow.SATURATE)),
        change=Narrowing.of(spec.cost_difference_format, spec.cost_change_format, forms.cost_change_cast),
        error=error,
        g=Narrowing.of(spec.gradient_format, spec.gradient_format, forms.gradient_cast),
        u=Narrowing.of(spec.update_source_format, spec.update_format, forms.weight_cast),
        theta_low=low,
        theta_high=high,
        word_bits=spec.stochastic_bits,
        update_words=spec.rounding_words,
        pass_width=(spec.passes - 1).bit_length(),
        z_width=spec.accumulator_width,
        y_width=next(field.width for field in event_fields(spec)["neuron"] if field.name == "activation"),
        cost_width=spec.cost_format.width,
        change_width=spec.cost_change_format.width,
        broadcast_width=0 if spec.node else spec.broadcast_format.width,
        error_width=spec.error_format.width if spec.node else 0,
        g_width=0 if spec.direct_update else spec.gradient_format.width,
        theta_width=weight.width,
        random=int(spec.network.random),
        threshold_bits=forms.activation.fraction_bits,
        threshold_word=spec.thresholds.word_bits if spec.thresholds else 0,
        output_up=spec.residual_format.fraction_bits - spec.outputs_format.fraction_bits,
    )
