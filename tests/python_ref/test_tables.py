"""Activation tables against series of exact fractions, and against the platform's functions."""

import math
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from python_ref.spec.activations import Activation
from python_ref.spec.number import Fixed
from python_ref.spec.tables import activation_table
from tests.support.oracle import narrow

ADDRESSES = [Fixed(True, 4, 6), Fixed(True, 1, 3), Fixed(True, 6, 0), Fixed(True, 2, 0), Fixed(True, 5, 2), Fixed(True, 8, -3)]
RESULTS = [Fixed(True, 4, 10), Fixed(False, 1, 16), Fixed(False, 0, 8), Fixed(True, 1, 4), Fixed(True, 2, 0), Fixed(True, 2, 40)]


@cache
def exponential(x: Fraction) -> tuple[Fraction, Fraction]:
    """Bounds of eˣ, x ≥ 0, that differ by less than 2⁻⁹⁰ of it: the Taylor series of e^(x/2ⁿ), squared n times."""
    halvings = max(0, math.ceil(x).bit_length())
    x /= 2**halvings
    term, total = Fraction(1), Fraction(1)
    for k in range(1, 60):
        term *= x / k
        total += term
    low, high = total, total + term  # the rest of the series is below its last term, since x ≤ 1
    scale = 2**200
    for _ in range(halvings):
        low, high = Fraction(math.floor(low * low * scale), scale), Fraction(math.ceil(high * high * scale), scale)
    return low, high


@cache
def bounds(activation: Activation, x: Fraction) -> tuple[Fraction, Fraction]:
    """Bounds of the function of x."""
    if x < 0:
        low, high = bounds(activation, -x)
        return (1 - high, 1 - low) if activation is Activation.SIGMOID else (-high, -low)
    if activation is Activation.SIGMOID:
        low, high = exponential(x)
        return low / (1 + low), high / (1 + high)
    low, high = exponential(2 * x)
    return (low - 1) / (low + 1), (high - 1) / (high + 1)


@pytest.mark.parametrize("result", RESULTS, ids=str)
@pytest.mark.parametrize("address", ADDRESSES, ids=str)
@pytest.mark.parametrize("activation", [Activation.SIGMOID, Activation.TANH])
def test_every_entry_is_correctly_rounded(activation, address, result):
    table = activation_table(activation, address, result)
    assert table.shape == (1 << address.width,)
    function = {Activation.SIGMOID: lambda x: 1 / (1 + math.exp(-x)), Activation.TANH: math.tanh}[activation]
    for raw in range(address.min, address.max + 1):
        x = raw / Fraction(2) ** address.fraction_bits
        entry = int(table[raw % (1 << address.width)])
        ends = [narrow(end, result, "half-even", "saturate")[0] for end in bounds(activation, x)]
        assert ends[0] == ends[1], "the bounds are too far apart to tell"
        assert entry / Fraction(2) ** result.fraction_bits == ends[0], x
        if result.min < entry < result.max:
            assert abs(math.ldexp(function(float(x)), result.fraction_bits) - entry) <= 0.5 + math.ldexp(1e-14, result.fraction_bits)


def test_tables_are_odd_about_their_middle_and_never_fall():
    address, result = Fixed(True, 4, 6), Fixed(True, 4, 10)
    in_order = np.roll(np.arange(1 << 10), 512)
    tanh = activation_table(Activation.TANH, address, result)[in_order]
    sigmoid = activation_table(Activation.SIGMOID, address, result)[in_order]
    np.testing.assert_array_equal(tanh[1:], -tanh[1:][::-1])
    np.testing.assert_array_equal(sigmoid[1:], (1 << 10) - sigmoid[1:][::-1])
    assert (np.diff(tanh) >= 0).all() and (np.diff(sigmoid) >= 0).all()


def test_a_table_cannot_be_written():
    with pytest.raises(ValueError, match=r"^assignment destination is read-only$"):
        activation_table(Activation.TANH, Fixed(True, 4, 6), Fixed(True, 4, 10))[0] = 0


def test_other_activations_have_no_table():
    with pytest.raises(ValueError, match=r"^Activation must be tabulated, not <Activation\.RELU: 'relu'>$"):
        activation_table(Activation.RELU, Fixed(True, 4, 6), Fixed(True, 4, 10))
