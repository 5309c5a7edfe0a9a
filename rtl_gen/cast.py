"""The cast to a narrower format in two cycles, for places where one is too slow; its rounding adder is only as wide as the target."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike

from python_ref.spec.error import unknown
from python_ref.spec.number import Fixed, Overflow, Rounding
from rtl_gen.fixed import does_not_fit, round_value, shift

__all__ = ["cast_in_two", "jam"]


def jam(value: Value, dropped: int) -> Value:
    """Drop low bits and OR them into the lowest remaining bit; a later cast that drops at least two more bits gives the same result.

    Parameters
    ----------
    value : Value
        Raw integer with more than ``dropped`` bits.
    dropped : int
        Number of low bits to drop.
    """
    if dropped <= 0:
        return value
    jammed = Cat(value[: dropped + 1].any(), value[dropped + 1 :])
    return jammed.as_signed() if value.shape().signed else jammed


def _to_nearest(value: Value, dropped: int, rounding: Rounding) -> Value:
    """A signed raw integer without its low bits, ``dropped`` ≥ 1, rounded HALF_UP or HALF_EVEN."""

    def place(number: int) -> Value:
        return value[min(number, len(value) - 1)]

    half, odd = place(dropped - 1), place(dropped)
    if rounding is Rounding.HALF_UP:
        return shift(value, -dropped) + half
    if rounding is not Rounding.HALF_EVEN:
        raise unknown("Rounding", rounding, "rtl_gen.cast.cast_in_two")
    if dropped <= 3:  # a single gate decides whether to round up
        return shift(value, -dropped) + (half & (odd | value[: dropped - 1].any()))
    return shift(value + Cat((~odd).replicate(dropped - 1), odd), -dropped)


def cast_in_two(
    m: Module, value: Value, dropped: int, target: Fixed, rounding: Rounding, overflow: Overflow, name: str, word: ValueLike = 0
) -> tuple[Value, Value]:
    """Round a raw integer, register it, and limit or wrap it to the target.

    A value so far out of range that rounding cannot bring it back is detected while it is rounded, so that only its low bits need to be
    rounded.

    Parameters
    ----------
    m : Module
        Module that receives the registers.
    value : Value
        Raw integer to cast, signed or unsigned.
    dropped : int
        Number of fraction bits to drop; zero or less shifts left exactly.
    target : Fixed
        Format of the result.
    rounding, overflow : Rounding, Overflow
        Modes of the cast.
    name : str
        Prefix of the registers' names.
    word : Value
        Random word for stochastic rounding, valid with ``value``.

    Returns
    -------
    (Value, Value)
        The raw integer in ``target``, with the target's signedness, and whether ``value`` was out of range (1 bit); both one cycle
        after ``value``.
    """
    exact = value if value.shape().signed else Cat(value, 0).as_signed()
    places = target.width + (not target.signed) + 1  # a floor that needs more bits is out of range, whichever way it is rounded
    floor = shift(exact, -dropped)
    far_outside = Const(0, 1)
    if len(floor) > places:
        far_outside = floor[places - 1 :].any() & ~floor[places - 1 :].all()
        floor = floor[:places].as_signed()
        exact = exact[: places + dropped].as_signed() if dropped > 0 else floor
    if dropped <= 0 or rounding is Rounding.FLOOR:
        rounded_value = floor
    elif rounding is Rounding.STOCHASTIC:
        rounded_value = round_value(exact, dropped, rounding, word)
    else:
        rounded_value = _to_nearest(exact, dropped, rounding)
    rounded = Signal(rounded_value.shape(), name=f"{name}_rounded", reset_less=True)
    is_far_outside, is_negative = Signal(name=f"{name}_far_outside", reset_less=True), Signal(name=f"{name}_negative", reset_less=True)
    m.d.sync += [rounded.eq(rounded_value), is_far_outside.eq(far_outside), is_negative.eq(value[-1] & value.shape().signed)]

    outside = is_far_outside | does_not_fit(rounded, target)
    kept = Signal(target.width, name=f"{name}_kept")
    m.d.comb += kept.eq(rounded)
    chosen: Value = kept
    if overflow not in (Overflow.SATURATE, Overflow.WRAP):
        raise unknown("Overflow", overflow, "rtl_gen.cast.cast_in_two")
    if overflow is Overflow.SATURATE:
        low, high = (Const(end & ((1 << target.width) - 1), target.width) for end in (target.min, target.max))
        chosen = Mux(outside, Mux(is_negative, low, high), kept)
    return (chosen.as_signed() if target.signed else chosen), outside
