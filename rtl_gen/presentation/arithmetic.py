"""The arithmetic of an applying pass: how its operands are aligned, and whether the multiplier's adder computes the update."""

from __future__ import annotations

from amaranth.hdl import signed

from python_ref.spec.design import DesignSpec
from python_ref.spec.number import Rounding

__all__ = [
    "adds_in_multiplier",
    "alignment",
    "applied_shape",
    "dropped_bits",
    "measured_shape",
    "operand_shape",
    "product_ends",
    "sum_width",
    "update_width",
]


def alignment(spec: DesignSpec) -> list[int]:
    """Places by which each layer's operands are shifted left in an applying pass, so that all have the same binary point."""
    fractions = [spec.operand_format(layer).fraction_bits for layer in range(len(spec.network.layers))]
    return [max(fractions) - fraction for fraction in fractions]


def dropped_bits(spec: DesignSpec) -> int:
    """Number of bits that cast_weight drops of err·x for direct updates, with all operands at one binary point."""
    fractions = [spec.operand_format(layer).fraction_bits for layer in range(len(spec.network.layers))]
    return spec.error_format.fraction_bits + max(fractions) - spec.formats.weight.fraction_bits


def product_ends(spec: DesignSpec) -> tuple[int, int]:
    """Smallest and largest err·x, raw, with all operands at one binary point."""
    error, ends = spec.error_format, [0]
    for layer, places in enumerate(alignment(spec)):
        operand = spec.operand_format(layer)
        factors = (operand.min, max(operand.max, 1 << operand.fraction_bits))
        ends += [e * x << places for e in (error.min, error.max) for x in factors]
    return min(ends), max(ends)


def adds_in_multiplier(spec: DesignSpec) -> bool:
    """Whether the multiplier's own adder computes θ − cast_weight(err·x), so that a lane needs no other one for the update.

    It needs a direct update whose u is always in range, and a rounding that adds a constant or a random word.
    """
    rounding = spec.formats.weight_cast.rounding
    if not spec.direct_update or rounding is Rounding.HALF_EVEN or dropped_bits(spec) < 0:
        return False
    low, high = product_ends(spec)
    target, unit = spec.update_format, 1 << dropped_bits(spec)
    return low // unit >= target.min and (high + unit - 1) // unit <= target.max


def _applied_ends(spec: DesignSpec) -> list[int]:
    """Smallest and largest raw operands of an applying pass: aligned, and negative where the multiplier's adder subtracts."""
    sign, ends = -1 if adds_in_multiplier(spec) else 1, [0]
    for layer, places in enumerate(alignment(spec)):
        ends += [sign * end << places for end in _ends(spec, layer)]
    return ends


def _measured_ends(spec: DesignSpec) -> list[int]:
    """Smallest and largest raw operands of a forward pass, in incremental probes the change of an activation among them."""
    reach = spec.formats.activation.max - spec.formats.activation.min if spec.incremental else 0
    return [-reach, reach, *(end for layer in range(len(spec.network.layers)) for end in _ends(spec, layer))]


def _ends(spec: DesignSpec, layer: int) -> tuple[int, int]:
    """Smallest and largest raw input of a layer, or 1 of its biases."""
    form = spec.operand_format(layer)
    return form.min, max(form.max, 1 << form.fraction_bits)


def _shape(ends: list[int]):
    return signed(1 + max(max(ends).bit_length(), (~min(ends)).bit_length()))


def operand_shape(spec: DesignSpec):
    """Shape that holds the inputs of every layer and the 1 of its biases, what becomes of them in an applying pass, and in incremental
    probes the change of an activation."""
    return _shape(_measured_ends(spec) + _applied_ends(spec))


def measured_shape(spec: DesignSpec):
    """Shape that holds every operand of a forward pass."""
    return _shape(_measured_ends(spec))


def applied_shape(spec: DesignSpec):
    """Shape that holds every operand of an applying pass."""
    return _shape(_applied_ends(spec))


def update_width(spec: DesignSpec) -> int:
    """Width in bits of what an applying pass computes."""
    low, high = product_ends(spec)
    if adds_in_multiplier(spec):
        unit = 1 << dropped_bits(spec)
        low, high = spec.formats.weight.min * unit - high, (spec.formats.weight.max + 1) * unit - low
    return 1 + max((~low).bit_length(), high.bit_length())


def sum_width(spec: DesignSpec) -> int:
    """Width of a lane's sums in bits, which holds every pre-activation and what an applying pass computes."""
    return max(spec.accumulator_width, update_width(spec))
