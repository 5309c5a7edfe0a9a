"""The scaler equals one cast of the scaled value, for every amount; the auxiliary multiplier multiplies, whole and in parts."""

import random

import pytest
from amaranth.hdl import signed

from python_ref.spec.design import Cast
from python_ref.spec.number import Fixed, Overflow, Rounding, cast_raw
from rtl_gen.broadcast import Multiplier, Scaler
from tests.support.bench import cycles

EXACT = (Rounding.FLOOR, Rounding.HALF_UP, Rounding.HALF_EVEN)


def check(width: int, dropped: int, amounts: int, target: Fixed, cast: Cast, raws: list[int]) -> None:
    """RTL equals reference: a new value and amount every cycle."""
    scaler = Scaler(signed(width), dropped=dropped, amounts=amounts, target=target, cast=cast)
    stimuli = [(raw, amount) for raw in raws for amount in range(amounts)]
    found = cycles(scaler, [{"i": raw, "amount": amount} for raw, amount in stimuli], ("o", "outside"), extra=scaler.latency)
    for (raw, amount), row in zip(stimuli, found[scaler.latency :], strict=True):
        fraction = target.fraction_bits + dropped + amount
        value, outside = cast_raw(raw, Fixed(True, width - fraction, fraction), target, cast.rounding, cast.overflow)
        assert (row["o"], row["outside"]) == (int(value), bool(outside)), (raw, amount)


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("rounding", EXACT)
@pytest.mark.parametrize(("dropped", "amounts"), [(-3, 8), (0, 1), (0, 8), (2, 9), (-1, 17), (5, 3)])
def test_small_scalers_equal_the_reference_for_every_value(dropped, amounts, rounding, overflow):
    check(5, dropped, amounts, Fixed(True, 1, 3), Cast(rounding, overflow), list(range(-16, 16)))


@pytest.mark.parametrize("seed", range(12))
def test_wide_scalers_equal_the_reference(seed):
    rng = random.Random(seed)
    width = rng.randint(2, 50)
    dropped, amounts = rng.randint(-8, 20), rng.randint(1, 40)
    target = Fixed(True, rng.randint(1, 12), rng.randint(0, 20))
    ends = [0, 1, -1, (1 << width - 1) - 1, -(1 << width - 1)]
    raws = ends + [rng.randint(-(1 << width - 1), (1 << width - 1) - 1) >> rng.randrange(width) for _ in range(20)]
    check(width, dropped, amounts, target, Cast(rng.choice(EXACT), rng.choice(tuple(Overflow))), raws)


@pytest.mark.parametrize("in_parts", [False, True])
@pytest.mark.parametrize("widths", [(2, 2), (18, 18), (17, 19), (31, 14), (34, 3), (35, 36), (40, 20)])
def test_products(widths, in_parts):
    rng, multiplier = random.Random(str(widths)), Multiplier(*widths, in_parts=in_parts)
    ends = [[0, 1, -1, (1 << width - 1) - 1, -(1 << width - 1), (1 << width - 2) - 1, -(1 << width - 2)] for width in widths]
    pairs = [(a, b) for a in ends[0] for b in ends[1]]
    pairs += [tuple(rng.randrange(-(1 << width - 1), 1 << width - 1) for width in widths) for _ in range(100)]
    found = cycles(multiplier, [{"a": a, "b": b} for a, b in pairs], ("o",), extra=multiplier.latency)
    assert [row["o"] for row in found[multiplier.latency :]] == [a * b for a, b in pairs]
    assert all(max(product) <= (18 if in_parts else max(widths)) for product in multiplier.products)
