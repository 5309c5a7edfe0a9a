"""Description of a design in plain integers, from which the compiled loops of :mod:`~python_ref.fixed.kernels` work."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from python_ref.spec.activations import Form, Piecewise, Tabulated
from python_ref.spec.design import Cast, DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.tables import activation_table

__all__ = ["FLOOR", "HALF_EVEN", "HALF_UP", "MOST_PIECES", "STOCHASTIC", "Narrowing", "Net", "Pieces", "Plan", "describe"]

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
    """Straight pieces in plain integers, padded to :data:`MOST_PIECES`.

    A piece begins at the raw pre-activation ``begins``. Its raw value, with ``fraction_bits`` fraction bits, is z·2^``up`` + ``offset``, or
    ``offset`` alone if it is ``flat``.
    """

    pieces: int
    fraction_bits: int
    begins: list[int]
    up: list[int]
    flat: list[int]
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
            [source.min, *(math.ceil(each * 2**source.fraction_bits) for each in form.breaks), *rest],
            [0 if piece.shift is None else up - piece.shift for piece in form.pieces] + rest,
            [int(piece.shift is None) for piece in form.pieces] + rest,
            [int(piece.offset * 2**exact.fraction_bits) for piece in form.pieces] + rest,
        )


class Net(NamedTuple):
    """Constants of each layer (int64, shape (layers,)).

    ``begins``, ``up``, ``flat`` and ``offset`` have a row of pieces for each layer (:class:`Pieces`); ``tables`` has one row for the hidden
    layers and one for the last layer.
    """

    n_in: np.ndarray
    n_out: np.ndarray
    theta_at: np.ndarray
    neuron_at: np.ndarray
    word_at: np.ndarray
    slot_at: np.ndarray
    group_slots: np.ndarray
    pieces: np.ndarray
    operand_fraction: np.ndarray
    z_dropped: np.ndarray
    delta: np.ndarray
    g_dropped: np.ndarray
    begins: np.ndarray
    up: np.ndarray
    flat: np.ndarray
    offset: np.ndarray
    tables: np.ndarray


class Plan(NamedTuple):
    """Constants of the machine as a whole."""

    lanes: int
    tau_p: int
    tau_x: int
    tau_t: int
    two_sided: int
    node: int
    direct_update: int
    optimizer: int
    """Number of the optimiser's branch in the compiled loops."""
    decay: int
    """Decay k of the optimiser, or 0 if it has none."""
    weight_delta: int
    one: int
    activation: Narrowing
    address: Narrowing
    change: Narrowing
    g: Narrowing
    u: Narrowing
    m: Narrowing
    """Cast of the first state variable of the optimiser."""
    m_shift: int
    """Number of places by which the first state variable is shifted left to align it with its exact format."""
    g_shift: int
    """Number of places by which G is shifted left to align it with that format."""
    theta_low: int
    theta_high: int
    word_bits: int
    slots: int
    z_width: int
    y_width: int
    cost_width: int
    change_width: int
    broadcast_width: int
    g_width: int
    state_widths: np.ndarray
    """Width in bits of each state variable of the optimiser (int64, shape (variables,))."""
    theta_width: int


@lru_cache(maxsize=16)
def describe(spec: DesignSpec, optimizer: int) -> tuple[Net, Plan]:
    """Return the description of a design in plain integers.

    Parameters
    ----------
    spec : DesignSpec
        Design whose network and machine are described.
    optimizer : int
        Number of the design's optimiser in the compiled loops.
    """
    forms, layers, layout, schedule, weight = spec.formats, spec.network.layers, spec.layout, spec.schedule, spec.formats.weight
    numbers = range(len(layers))
    operands = [spec.operand_format(number) for number in numbers]
    exact = [spec.preactivation_format(number).fraction_bits for number in numbers]
    pieces = [Pieces.of(layer.activation.form, spec.preactivation_format(number)) for number, layer in enumerate(layers)]
    narrowed = [
        fraction - forms.table.fraction_bits if layer.activation.tabulated else each.fraction_bits - forms.activation.fraction_bits
        for layer, fraction, each in zip(layers, exact, pieces, strict=True)
    ]
    products = [spec.product_format(operand if spec.node else None).fraction_bits for operand in operands]
    tables = np.zeros((2, 1 << forms.table.width if any(layer.activation.tabulated for layer in layers) else 1), dtype=np.int64)
    for row, layer in ((0, layers[0]), (1, layers[-1])):
        if layer.activation.tabulated:
            tables[row] = activation_table(layer.activation, forms.table, forms.activation)
    columns = {
        "n_in": [layer.n_in for layer in layers],
        "n_out": [layer.n_out for layer in layers],
        "theta_at": [sum(layer.n_parameters for layer in layers[:number]) for number in numbers],
        "neuron_at": [sum(layer.n_out for layer in layers[:number]) for number in numbers],
        "word_at": [placed.first_word for placed in layout.layers],
        "slot_at": [placed.first_slot for placed in layout.layers],
        "group_slots": [placed.group_slots for placed in layout.layers],
        "pieces": [each.pieces for each in pieces],
        "operand_fraction": [operand.fraction_bits for operand in operands],
        "z_dropped": narrowed,
        "delta": [spec.amplitude_raw(fraction) if spec.node else 0 for fraction in exact],
        "g_dropped": [fraction - spec.gradient_format.fraction_bits for fraction in products],
        **{name: [getattr(each, name) for each in pieces] for name in ("begins", "up", "flat", "offset")},
    }
    net = Net(**{name: np.array(column, dtype=np.int64) for name, column in columns.items()}, tables=tables)
    m, m_shift, g_shift = Narrowing(0, 0, 0, 0, 0), 0, 0
    for first in spec.optimizer_state[:1]:
        m = Narrowing.of(first.exact, first.format, Cast(first.rounding, first.overflow))
        m_shift, g_shift = (first.exact.fraction_bits - source.fraction_bits for source in (first.format, spec.gradient_format))
    plan = Plan(
        spec.hardware.lanes,
        schedule.perturbation_period,
        schedule.sample_period,
        schedule.update_period,
        int(spec.two_sided),
        int(spec.node),
        int(spec.direct_update),
        optimizer,
        getattr(spec.optimizer, "k", 0),
        0 if spec.node else spec.amplitude_raw(weight.fraction_bits),
        1 << forms.activation.fraction_bits,
        Narrowing.of(forms.activation, forms.activation, forms.activation_cast),
        Narrowing.of(forms.table, forms.table, Cast(forms.activation_cast.rounding, Overflow.SATURATE)),
        Narrowing.of(spec.cost_difference_format, spec.cost_change_format, forms.cost_change_cast),
        Narrowing.of(spec.gradient_format, spec.gradient_format, forms.gradient_cast),
        Narrowing.of(spec.update_source_format, spec.update_format, forms.weight_cast),
        m,
        m_shift,
        g_shift,
        *spec.parameter_limits,
        spec.stochastic_bits,
        layout.slots,
        spec.accumulator_width,
        forms.activation.width,
        spec.cost_format.width,
        spec.cost_change_format.width,
        spec.broadcast_format.width,
        0 if spec.direct_update else spec.gradient_format.width,
        np.array([variable.format.width for variable in spec.optimizer_state], dtype=np.int64),
        weight.width,
    )
    return net, plan
