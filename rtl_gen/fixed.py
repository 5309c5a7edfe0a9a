"""The cast to a narrower format as combinational logic, equal to :func:`python_ref.spec.number.cast_raw`."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Mux, Value, ValueLike

from python_ref.spec.error import unknown
from python_ref.spec.number import Fixed, Overflow, Rounding

__all__ = ["does_not_fit", "limit", "plus_or_minus", "round_value", "shift"]


def shift(value: Value, places: int) -> Value:
    """``value`` times 2^``places``, rounded down, with the signedness of ``value``."""
    return value.shift_left(places) if places >= 0 else value.shift_right(-places)


def round_value(value: Value, dropped: int, rounding: Rounding, word: ValueLike = 0) -> Value:
    """Drop low bits of a raw integer; the result is wide enough for every carry.

    Parameters
    ----------
    value : Value
        Raw integer to round, signed or unsigned.
    dropped : int
        Number of bits to drop; zero or less shifts left exactly.
    rounding : Rounding
        Mode by which dropped bits are rounded.
    word : Value
        Random word, of which STOCHASTIC adds the low ``dropped`` bits.
    """
    if dropped <= 0 or rounding is Rounding.FLOOR:
        return shift(value, -dropped)
    match rounding:
        case Rounding.STOCHASTIC:
            addend = Value.cast(word)[:dropped]
        case Rounding.HALF_UP:
            addend = Const(1 << (dropped - 1))
        case Rounding.HALF_EVEN:
            odd = value.shift_right(dropped)[0] if dropped < len(value) else value[-1] & value.shape().signed
            addend = Const((1 << (dropped - 1)) - 1) + odd
        case _:
            raise unknown("Rounding", rounding, "rtl_gen.fixed.round_value")
    return shift(value + addend, -dropped)


def does_not_fit(value: Value, target: Fixed) -> Value:
    """Whether a raw integer is outside the range of ``target`` (1 bit)."""
    extended = len(value) + (not value.shape().signed)
    if extended <= target.width and (target.signed or not value.shape().signed):
        return Const(0, 1)
    if target.signed:
        if not value.shape().signed:
            return value[target.width - 1 :].any()
        high = value[target.width - 1 :]
        return high.any() & ~high.all()
    return value[target.width :].any() if target.width < len(value) else value[-1] & value.shape().signed


def limit(value: Value, target: Fixed, overflow: Overflow) -> tuple[Value, Value]:
    """Limit or wrap a rounded raw integer to the range of ``target``.

    Returns
    -------
    (Value, Value)
        The raw integer in ``target``, with the target's signedness, and whether ``value`` was out of range (1 bit).
    """
    outside = does_not_fit(value, target)
    kept = value[: target.width] if len(value) >= target.width else value
    if overflow not in (Overflow.SATURATE, Overflow.WRAP):
        raise unknown("Overflow", overflow, "rtl_gen.fixed.limit")
    if overflow is Overflow.SATURATE and not (isinstance(outside, Const) and outside.value == 0):
        negative = value[-1] if value.shape().signed else Const(0, 1)
        low, high = (Const(end & ((1 << target.width) - 1), target.width) for end in (target.min, target.max))
        kept = Mux(outside, Mux(negative, low, high), kept)
    if len(kept) < target.width:
        return (kept.as_signed() if target.signed and kept.shape().signed else kept), outside
    return (kept.as_signed() if target.signed else kept.as_unsigned()), outside


def plus_or_minus(value: Value, addend: Value, minus: Value, active: ValueLike = 1) -> Value:
    """``value + addend``, or ``value − addend`` with ``minus``, or ``value`` where not ``active``; exact.

    It is one adder: to subtract, the addend is inverted, and a carry comes in at the lowest bit.

    Parameters
    ----------
    value, addend : Value
        The two signed operands of the sum.
    minus, active : Value
        One bit each: whether to subtract, and whether the addend counts at all.
    """
    minus, active, bits = Value.cast(minus), Value.cast(active), addend.as_unsigned()
    if not (isinstance(active, Const) and active.value):
        bits, minus = bits & active.replicate(len(bits)), minus & active
    inverted = (bits ^ minus.replicate(len(bits))).as_signed()
    # An extra bit below the lowest one generates the carry.
    return (Cat(Const(1, 1), value).as_signed() + Cat(minus, inverted).as_signed())[1:].as_signed()
