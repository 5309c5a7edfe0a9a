"""Formats and the cast against exact fractions over every input of small formats, and against apytypes."""

import random
from fractions import Fraction

import numpy as np
import pytest
from apytypes import APyFixedArray, OverflowMode, QuantizationMode
from hypothesis import example, given
from hypothesis import strategies as st

from python_ref.spec.number import MAX_BITS, Fixed, Overflow, Rounding, cast_raw, out_of_range, round_raw
from tests.support.oracle import narrow

EXACT = [Rounding.FLOOR, Rounding.HALF_UP, Rounding.HALF_EVEN]
SOURCES = [Fixed(True, 3, 4), Fixed(False, 3, 4), Fixed(True, 1, 0), Fixed(False, 0, 1), Fixed(True, 7, -2), Fixed(True, -2, 8)]
TARGETS = [
    Fixed(signed, width - fraction, fraction)
    for signed in (True, False)
    for width in (1, 2, 3, 5, 8)
    for fraction in (-3, -1, 0, 1, 2, 3, 4, 5, 7)
]
small_formats = st.builds(
    lambda signed, width, fraction: Fixed(signed, width - fraction, fraction), st.booleans(), st.integers(1, 5), st.integers(-3, 6)
)


def every(form: Fixed) -> np.ndarray:
    return np.arange(form.min, form.max + 1)


def values(form: Fixed) -> list[Fraction]:
    return [int(raw) / Fraction(2) ** form.fraction_bits for raw in every(form)]


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("rounding", EXACT)
@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_cast_equals_exact_fractions_over_every_input(source, rounding, overflow):
    for target in TARGETS:
        result, outside = cast_raw(every(source), source, target, rounding, overflow)
        expected = [narrow(value, target, rounding.value, overflow.value) for value in values(source)]
        assert [int(raw) / Fraction(2) ** target.fraction_bits for raw in result] == [value for value, _ in expected], target
        assert outside.tolist() == [out for _, out in expected], target


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("source", [Fixed(True, 2, 3), Fixed(False, 2, 3), Fixed(True, -1, 5)], ids=str)
def test_stochastic_cast_equals_exact_fractions_over_every_input_and_word(source, overflow):
    for target in (form for form in TARGETS if form.width in (2, 5)):
        dropped = max(0, source.fraction_bits - target.fraction_bits)
        for word in range(1 << dropped):
            spoilt = word | 0x5A << dropped  # the bits above those used must not matter
            result, outside = cast_raw(every(source), source, target, Rounding.STOCHASTIC, overflow, spoilt)
            expected = [narrow(value, target, "stochastic", overflow.value, Fraction(word, 2**dropped)) for value in values(source)]
            assert [int(raw) / Fraction(2) ** target.fraction_bits for raw in result] == [value for value, _ in expected], (target, word)
            assert outside.tolist() == [out for _, out in expected], (target, word)


def test_stochastic_rounding_is_right_on_average():
    """Over all words of the dropped bits the mean of ⌊x + r⌋ is x itself."""
    raw = np.arange(-64, 64)
    rounded = round_raw(raw[:, None], 4, Rounding.STOCHASTIC, np.arange(16)[None, :])
    np.testing.assert_array_equal(rounded.sum(axis=1), raw)


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("rounding", EXACT)
@pytest.mark.parametrize("source", [form for form in SOURCES if form.signed], ids=str)
def test_cast_equals_apytypes_over_every_input(source, rounding, overflow):
    quantization = {
        Rounding.FLOOR: QuantizationMode.TRN,
        Rounding.HALF_UP: QuantizationMode.RND,
        Rounding.HALF_EVEN: QuantizationMode.RND_CONV,
    }[rounding]
    wrapping = {Overflow.SATURATE: OverflowMode.SAT, Overflow.WRAP: OverflowMode.WRAP}[overflow]
    numbers = APyFixedArray(every(source).tolist(), int_bits=source.integer_bits, frac_bits=source.fraction_bits)
    for target in TARGETS:
        if target.signed:
            theirs = numbers.cast(
                int_bits=target.integer_bits, frac_bits=target.fraction_bits, quantization=quantization, overflow=wrapping
            )
            mine, _ = cast_raw(every(source), source, target, rounding, overflow)
            bits = np.array(theirs.to_bits(), dtype=np.int64)
            sign = 1 << (target.width - 1)
            np.testing.assert_array_equal(mine, (bits & (sign - 1)) - (bits & sign), err_msg=str(target))


@given(st.integers(0, 2**32))
@example(4259960)  # wrapping to 63 bits
def test_wide_casts_equal_exact_fractions(seed):
    rng = random.Random(seed)
    source_width, target_width = rng.randint(40, MAX_BITS), rng.randint(1, MAX_BITS)
    source_fraction = rng.randint(-10, 80)
    target_fraction = source_fraction - rng.randint(0, 70)
    source = Fixed(True, source_width - source_fraction, source_fraction)
    target = Fixed(rng.random() < 0.5, target_width - target_fraction, target_fraction)
    raw = rng.choice((source.min, source.max, rng.randint(source.min, source.max), rng.randint(source.min, source.max)))
    for rounding in EXACT:
        for overflow in Overflow:
            result, outside = cast_raw(raw, source, target, rounding, overflow)
            value, out = narrow(raw / Fraction(2) ** source.fraction_bits, target, rounding.value, overflow.value)
            assert (int(result) / Fraction(2) ** target.fraction_bits, bool(outside)) == (value, out), (source, target, rounding, overflow)


@given(small_formats, small_formats)
def test_growth_is_exact_and_tight(a, b):
    """Sum, difference and product hold every result, and no format with a bit less would."""
    results = {
        a + b: [x + y for x in values(a) for y in values(b)],
        a - b: [x - y for x in values(a) for y in values(b)],
        a * b: [x * y for x in values(a) for y in values(b)],
    }
    for form, reached in results.items():
        raws = [value * Fraction(2) ** form.fraction_bits for value in reached]
        assert all(raw.denominator == 1 for raw in raws)
        low, high = min(raws), max(raws)
        assert form.min <= low and high <= form.max
        assert form.signed == (low < 0)
        if form.width > 1:
            shorter = Fixed(form.signed, form.integer_bits - 1, form.fraction_bits)
            assert low < shorter.min or high > shorter.max


@given(small_formats, st.integers(-9, 9))
def test_scaling_moves_no_bit(form, exponent):
    scaled = form.scaled(exponent)
    assert (scaled.min, scaled.max) == (form.min, form.max)
    assert [value * Fraction(2) ** exponent for value in values(form)] == values(scaled)


@given(st.integers(-300, 300), st.integers(0, 300), st.integers(-2, 9))
def test_covering_is_tight(a, b, fraction):
    low, high = min(a, b), max(a, b)
    form = Fixed.covering(low, high, fraction)
    assert form.fraction_bits == fraction and form.min <= low and high <= form.max and form.signed == (low < 0)
    if form.width > 1:
        shorter = Fixed(form.signed, form.integer_bits - 1, fraction)
        assert low < shorter.min or high > shorter.max


@pytest.mark.parametrize("rounding", EXACT)
@pytest.mark.parametrize("form", [Fixed(True, 3, 3), Fixed(False, 2, 3), Fixed(False, 0, 8)], ids=str)
def test_quantising_real_numbers_equals_exact_fractions(form, rounding):
    real = np.concatenate((np.arange(-100, 100) / 16, [1.0, 255 / 256, np.inf, -np.inf, 1e300, 0.1]))
    finite = [Fraction(min(max(x, -(2.0**40)), 2.0**40)) for x in real.tolist()]
    expected = [narrow(x, form, rounding.value, "saturate")[0] for x in finite]
    raw = form.to_raw(real, rounding)
    assert [int(r) / Fraction(2) ** form.fraction_bits for r in raw] == expected
    assert [Fraction(x) for x in form.to_real(raw).tolist()] == expected


@pytest.mark.parametrize("form", [Fixed(True, 3, 3), Fixed(False, 2, 3)], ids=str)
def test_out_of_range_is_what_does_not_fit(form):
    raw = np.arange(-100, 100)
    assert out_of_range(raw, form).tolist() == [r not in range(form.min, form.max + 1) for r in raw.tolist()]


@given(st.booleans(), st.integers(-20, 40), st.integers(0, 23))
def test_the_notation_reads_what_it_writes(signed, integer, fraction):
    if integer + fraction > 0:
        assert Fixed.parse(str(Fixed(signed, integer, fraction))) == Fixed(signed, integer, fraction)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Q4.12", r"^Format must look like 'SQ4\.12' or 'UQ0\.8', not 'Q4\.12'$"),
        ("SQ4", r"^Format must look like "),
        ("SQ4.12 ", r"^Format must look like "),
        ("SQ4.-12", r"^Format must look like "),
        ("SQ-12.12", r"^Format must have 1 to 63 bits, not 0: SQ-12\.12$"),
        ("SQ00000000000004.12", r"^Format must look like "),
        ("SQ0.0", r"^Format must have 1 to 63 bits, not 0: SQ0\.0$"),
        ("UQ32.32", r"^Format must have 1 to 63 bits, not 64: UQ32\.32$"),
    ],
)
def test_bad_notation_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Fixed.parse(text)


def test_bad_kinds_are_refused():
    with pytest.raises(TypeError, match=r"^Format must be a string such as 'SQ4\.12', not 4$"):
        Fixed.parse(4)
    with pytest.raises(TypeError, match=r"^Signedness must be a bool, not 1$"):
        Fixed(1, 4, 12)
    with pytest.raises(TypeError, match=r"^Number of integer bits must be an int, not 4\.0$"):
        Fixed(True, 4.0, 12)
    with pytest.raises(TypeError, match=r"^Number of fraction bits must be an int, not True$"):
        Fixed(True, 4, True)
    with pytest.raises(ValueError, match=r"^Range must not be empty, not 2 to 1$"):
        Fixed.covering(2, 1, 0)
    with pytest.raises(ValueError, match=r"^Values must be numbers, not NaN$"):
        Fixed(True, 4, 12).to_raw(np.nan)
    with pytest.raises(ValueError, match=r"^Rounding of real numbers must be FLOOR, HALF_UP or HALF_EVEN, not "):
        Fixed(True, 4, 12).to_raw(0.5, Rounding.STOCHASTIC)


def test_the_widest_format_and_the_longest_notation():
    """Real numbers beyond 2⁶² saturate, and those up to it do not; a notation has up to 12 characters."""
    widest = Fixed(True, 63, 0)
    found = widest.to_raw(np.array([-(2.0**62), -(2.0**61) - 2.0**20, 2.0**61 + 2.0**20, 2.0**62, -(2.0**70)]))
    assert found.tolist() == [widest.min, -(2**61) - 2**20, 2**61 + 2**20, widest.max, widest.min]
    assert Fixed.parse("SQ-1000.1063") == Fixed(True, -1000, 1063)
