"""The cast as logic equals the reference, and exact fractions, over every input of small formats."""

from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed, unsigned

from python_ref.spec.number import Fixed, Overflow, Rounding, cast_raw
from rtl_gen.fixed import limit, plus_or_minus, round_value
from tests.support.bench import settled
from tests.support.oracle import narrow

SOURCES = [Fixed(True, 2, 3), Fixed(False, 2, 3), Fixed(True, 1, 0), Fixed(False, 0, 1), Fixed(True, -2, 6)]
TARGETS = [
    Fixed(is_signed, width - fraction, fraction)
    for is_signed in (True, False)
    for width in (1, 2, 4, 7)
    for fraction in (-3, -1, 0, 1, 2, 4, 6)
]
EXACT = (Rounding.FLOOR, Rounding.HALF_UP, Rounding.HALF_EVEN)


def casts(source: Fixed, roundings, word=0):
    """A module with every cast from a format: its input, and (target, rounding, overflow, value, outside) of each."""
    m = Module()
    raw = Signal(signed(source.width) if source.signed else unsigned(source.width))
    found = []
    for target in TARGETS:
        for rounding in roundings:
            for overflow in Overflow:
                rounded = round_value(raw, source.fraction_bits - target.fraction_bits, rounding, word)
                value, outside = limit(rounded, target, overflow)
                o, out = Signal(signed(target.width) if target.signed else unsigned(target.width)), Signal()
                m.d.comb += [o.eq(value), out.eq(outside)]
                found.append((target, rounding, overflow, o, out))
    return m, raw, found


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_every_cast_equals_the_reference_and_exact_fractions(source):
    m, raw, found = casts(source, EXACT)
    every = np.arange(source.min, source.max + 1)
    got = np.array(settled(m, raw, every.tolist(), [signal for row in found for signal in row[3:]])).reshape(len(every), -1, 2)
    for number, (target, rounding, overflow, _, _) in enumerate(found):
        values, outside = cast_raw(every, source, target, rounding, overflow)
        np.testing.assert_array_equal(got[:, number, 0], values, err_msg=f"{target} {rounding} {overflow}")
        np.testing.assert_array_equal(got[:, number, 1], outside, err_msg=f"{target} {rounding} {overflow}")
        for k, x in enumerate(every.tolist()):
            exact, out = narrow(x / Fraction(2) ** source.fraction_bits, target, rounding.value, overflow.value)
            assert (int(got[k, number, 0]) / Fraction(2) ** target.fraction_bits, bool(got[k, number, 1])) == (exact, out)


@pytest.mark.parametrize("source", [Fixed(True, 1, 3), Fixed(False, 1, 3)], ids=str)
def test_stochastic_casts_equal_the_reference_for_every_word(source):
    word = Signal(6)
    m, raw, found = casts(source, (Rounding.STOCHASTIC,), word)
    every, words = np.arange(source.min, source.max + 1), np.arange(64)
    got = np.array(settled(m, raw, every.tolist(), [s for row in found for s in row[3:]], (word, words.tolist())))
    got = got.reshape(len(every), 64, -1, 2)
    for number, (target, rounding, overflow, _, _) in enumerate(found):
        values, outside = cast_raw(every[:, None], source, target, rounding, overflow, words[None, :])
        np.testing.assert_array_equal(got[:, :, number, 0], np.broadcast_to(values, (len(every), 64)), err_msg=str(target))
        np.testing.assert_array_equal(got[:, :, number, 1], np.broadcast_to(outside, (len(every), 64)), err_msg=str(target))


@pytest.mark.parametrize("widths", [(4, 4), (5, 2), (2, 5), (1, 3)])
def test_plus_or_minus_is_exact(widths):
    m, a, both = Module(), Signal(signed(widths[0])), Signal(widths[1] + 2)
    o, always = Signal(signed(max(widths) + 2)), Signal(signed(max(widths) + 2))
    minus, active, b = both[0], both[1], both[2:].as_signed()
    m.d.comb += [o.eq(plus_or_minus(a, b, minus, active)), always.eq(plus_or_minus(a, b, minus))]
    every = range(-(1 << widths[0] - 1), 1 << widths[0] - 1)
    got = settled(m, a, every, [o, always], (both, range(4 << widths[1])))
    expected = []
    for value in every:
        for given in range(4 << widths[1]):
            raw = given >> 2
            addend = (raw - (raw >> widths[1] - 1 << widths[1])) * (1 - 2 * (given & 1))
            expected.append([value + addend * (given >> 1 & 1), value + addend])
    assert got == expected
