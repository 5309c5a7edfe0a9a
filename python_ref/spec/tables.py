"""Activation tables of raw integers, correctly rounded without floating-point arithmetic."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import lru_cache

import numpy as np

from python_ref.spec.activations import Activation, Tabulated
from python_ref.spec.number import Fixed

__all__ = ["activation_table"]


@lru_cache(maxsize=32)
def activation_table(activation: Activation, address: Fixed, value: Fixed) -> np.ndarray:
    """Return the table of an activation.

    Parameters
    ----------
    activation : Activation
        Activation to tabulate; its form must be a table.
    address : Fixed
        Format of the argument; signed.
    value : Fixed
        Format of the result.

    Returns
    -------
    array of int64, shape (2^address.width,), read-only
        Entry a is the result for the argument whose two's-complement bits, read as an unsigned number, are a: rounded
        to the nearest (ties to even) and saturated. It is computed with 60 decimal digits, so that it depends on no platform's libm.

    Raises
    ------
    ValueError
        If the activation is not tabulated.
    """
    if not isinstance(activation.form, Tabulated):
        raise ValueError(f"Activation must be tabulated, not {activation!r}")
    function = activation.form.function
    table = np.empty(1 << address.width, dtype=np.int64)
    with localcontext() as context:
        context.prec = 60
        unit, scale = Decimal(2) ** -address.fraction_bits, Decimal(2) ** value.fraction_bits
        for raw in range(address.min, address.max + 1):
            result = int((function(raw * unit) * scale).to_integral_value(ROUND_HALF_EVEN))
            table[raw & ((1 << address.width) - 1)] = min(max(result, value.min), value.max)
    table.setflags(write=False)
    return table
