"""The narrowing operation over two cycles, where one would be too long: what is rounded is only as wide as the target needs."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike

from python_ref.spec.error import unknown
from python_ref.spec.number import Fixed, Overflow, Rounding
from rtl_gen.fixed import does_not_fit, round_value, shift

__all__ = ["cast_in_two", "jam"]


def jam(value: Value, dropped: int) -> Value:
    """Drop low bits, the lowest that is left standing for all of them: no cast to two bits fewer sees a difference.

    Parameters
    ----------
    value : Value
        Raw integer, of more bits than are dropped.
    dropped : int
        Number of bits.
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
    if dropped <= 3:  # one gate tells whether it goes up
        return shift(value, -dropped) + (half & (odd | value[: dropped - 1].any()))
    return shift(value + Cat((~odd).replicate(dropped - 1), odd), -dropped)


def cast_in_two(
    m: Module, value: Value, dropped: int, target: Fixed, rounding: Rounding, overflow: Overflow, name: str, word: ValueLike = 0
) -> tuple[Value, Value]:
    """Round, register, and bring into the target.

    A value so far outside that no rounding brings it back is found while it is rounded, and only its low bits are.

    Parameters
    ----------
    m : Module
        Gets the registers.
    value : Value
        Raw integer, signed or unsigned.
    dropped : int
        Bits to drop; zero or less shifts left, exactly.
    target : Fixed
        Format.
    rounding, overflow : Rounding, Overflow
        Modes.
    name : str
        Prefix of the registers.
    word : Value
        Random word, valid with ``value``.

    Returns
    -------
    (Value, Value)
        One cycle later: the raw integer in ``target``, with its signedness, and whether it was out of range (1 bit).
    """
    exact = value if value.shape().signed else Cat(value, 0).as_signed()
    places = target.width + (not target.signed) + 1  # a floor that takes more is outside, wherever it is rounded to
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
