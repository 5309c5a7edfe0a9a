"""Every derived format holds what it must, at both ends, and not a bit more: against the extreme values, computed as exact fractions."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec, Formats, Hardware
from python_ref.spec.error import DesignError
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import OPTIMIZERS, Momentum, Sgd, ShiftAdam, StateVariable
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import Schedule


def ends(form: Fixed) -> tuple[Fraction, Fraction]:
    """Least and greatest value of a format, from its notation."""
    last = Fraction(1, 2) ** form.fraction_bits
    if form.signed:
        return -(Fraction(2) ** (form.integer_bits - 1)), Fraction(2) ** (form.integer_bits - 1) - last
    return Fraction(0), Fraction(2) ** form.integer_bits - last


def exact(form: Fixed, values: Iterable[Fraction], places: int) -> None:
    """Check a format against values, the extreme ones among them, that are multiples of 2^−places: it holds them all, it has these places
    and no others, and with a bit less, or without its sign, it would not hold them."""
    values = list(values)
    low, high = ends(form)
    assert low <= min(values) and max(values) <= high
    assert form.fraction_bits == places
    assert form.signed == (min(values) < 0)
    if form.width > 1 + form.signed:
        low, high = ends(Fixed(form.signed, form.integer_bits - 1, form.fraction_bits))
        assert not (low <= min(values) and max(values) <= high), "one bit less would do"


def stored(values: Iterable[Fraction], places: int) -> tuple[Fraction, Fraction]:
    """Least and greatest value of the narrowest format that holds values, found by trying one bit more after the other."""
    values = list(values)
    signed = min(values) < 0
    for width in range(1 + signed, 64):
        low, high = ends(Fixed(signed, width - places, places))
        if low <= min(values) and max(values) <= high:
            return low, high
    raise AssertionError("no format of 63 bits holds them")


def form(signed: bool | None, least: int = 0) -> st.SearchStrategy[Fixed]:
    """Small formats. Of those with less than 0 integer bits every value is below ½, so that the 1 of a bias is beyond them."""
    sign = st.booleans() if signed is None else st.just(signed)
    return st.builds(Fixed, sign, st.integers(least, 3), st.integers(2, 5))


@st.composite
def designs(draw: st.DrawFn) -> DesignSpec:
    """Small designs of small formats."""
    sizes = tuple(draw(st.lists(st.integers(1, 9), min_size=2, max_size=3)))
    formats = Formats(
        input=draw(form(None, -1)),
        weight=draw(form(True, 1)),
        activation=draw(form(None)),
        cost_change=draw(st.none() | form(True, 1)),
        gradient=draw(st.none() | form(True, 0)),
    )
    hidden = draw(st.sampled_from((Activation.RELU, Activation.IDENTITY)))
    optimizer = Momentum(draw(st.integers(1, 5)), draw(st.none() | form(True, 1))) if draw(st.booleans()) else Sgd()
    kind = draw(st.sampled_from(Kind))
    rate = draw(st.integers(-4, 0))
    try:
        network, perturbation = Network(sizes, hidden, Activation.RELU), Perturbation(kind, amplitude_log2=-2)
        return DesignSpec("small", network, perturbation, Schedule(((0, rate),)), optimizer, formats, Hardware(2))
    except DesignError:
        assume(False)
        raise


def small(kind: Kind = Kind.NODE, **changes: Fixed | None) -> DesignSpec:
    """A design of the formats that an example names."""
    formats = {"input": Fixed(False, 0, 4), "weight": Fixed(True, 2, 4), "activation": Fixed(True, 2, 4)} | changes
    perturbation, schedule = Perturbation(kind, amplitude_log2=-2), Schedule(((0, 0),))
    return DesignSpec("small", Network((2, 3), output=Activation.RELU), perturbation, schedule, Sgd(), Formats(**formats), Hardware(2))


@given(designs())
@example(small())
@example(small(Kind.WEIGHT))
@settings(max_examples=200)
def test_preactivations(spec: DesignSpec) -> None:
    """n_in products, a bias and, in node perturbation, Δ of either sign."""
    delta = Fraction(1, 4) if spec.node else Fraction(0)
    for number, n_in in enumerate(spec.network.sizes[:-1]):
        operand = spec.formats.activation if number else spec.formats.input
        weights = ends(spec.formats.weight)
        products = [w * x for w in weights for x in ends(operand)]
        values = [n_in * product + bias + sign * delta for product in products for bias in weights for sign in (-1, 1)]
        found = spec.preactivation_format(number)
        exact(found, values, spec.formats.weight.fraction_bits + operand.fraction_bits)
        assert spec.accumulator_width >= found.width
    assert spec.accumulator_width in {spec.preactivation_format(number).width for number in range(len(spec.network.layers))}


@given(designs())
@settings(max_examples=100)
def test_parameters_leave_room_for_the_perturbation(spec: DesignSpec) -> None:
    unit = Fraction(1, 2) ** spec.formats.weight.fraction_bits
    low, high = (raw * unit for raw in spec.parameter_limits)
    margin = Fraction(0) if spec.node else Fraction(1, 4)
    assert (low - margin, high + margin) == ends(spec.formats.weight)


@given(designs())
@example(small())
@example(small(activation=Fixed(False, 2, 2)))
@settings(max_examples=200)
def test_errors_costs_and_their_change(spec: DesignSpec) -> None:
    y = ends(spec.formats.activation)
    errors = [a - b for a in y for b in y]
    places = spec.formats.activation.fraction_bits
    exact(spec.residual_format, errors, places)
    # A cost is of any errors that the format of an error has, and a difference of any two costs that the format of a cost has.
    costs = [Fraction(0), spec.network.n_out * max(error**2 for error in ends(spec.residual_format))]
    exact(spec.cost_format, costs, 2 * places)
    stored = ends(spec.cost_format)
    exact(spec.cost_difference_format, [a - b for a in stored for b in stored], 2 * places)
    assert spec.cost_change_format == (spec.formats.cost_change or spec.cost_difference_format)


@given(designs())
@settings(max_examples=200)
def test_gradients_and_momenta(spec: DesignSpec) -> None:
    weight, gradient = spec.formats.weight, spec.gradient_format
    if spec.formats.gradient is None and isinstance(spec.optimizer, ShiftAdam):
        assert gradient == Fixed(True, 1, 15)
    elif spec.formats.gradient is None:
        assert (gradient.signed, gradient.integer_bits, gradient.fraction_bits) == (True, weight.integer_bits, weight.fraction_bits + 8)
    else:
        assert gradient == spec.formats.gradient
    assert spec.update_format == weight
    if spec.optimizer == Sgd():
        assert spec.update_source_format == gradient
        assert spec.optimizer_state == ()
        return
    if isinstance(spec.optimizer, ShiftAdam):
        assert spec.update_source_format == Fixed(True, weight.integer_bits + 1, weight.fraction_bits + 12)
        assert [variable.symbol for variable in spec.optimizer_state] == (["m", "v"] if spec.optimizer.k1 else ["v"])
        return
    (variable,), k = spec.optimizer_state, spec.optimizer.k
    m = variable.format
    assert spec.update_source_format == m
    if spec.optimizer.format is None:
        integer = gradient.integer_bits + k
        assert (m.signed, m.integer_bits) == (True, integer)
        assert m.fraction_bits == min(gradient.fraction_bits, max(1, 32 - integer))
    else:
        assert m == spec.optimizer.format
    # Of m − m·2⁻ᵏ the hardware keeps a word, at whose ends the sum must still be right.
    decayed = stored((a - b / 2**k for a, b in itertools.product(ends(m), ends(m))), m.fraction_bits + k)
    values = [a + g for a, g in itertools.product(decayed, ends(gradient))]
    exact(variable.exact, values, max(m.fraction_bits + k, gradient.fraction_bits))


@given(form(True, 1), st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=200)
def test_the_sums_of_shift_adam(gradient: Fixed, k1: int, k2: int) -> None:
    kept_m, kept_v = ShiftAdam(k1, k2).state(gradient)
    m, v = kept_m.format, kept_v.format
    decayed = stored((a - b / 2**k1 for a, b in itertools.product(ends(m), ends(m))), m.fraction_bits + k1)
    values = [a + g / 2**k1 for a, g in itertools.product(decayed, ends(gradient))]
    exact(kept_m.exact, values, max(m.fraction_bits, gradient.fraction_bits) + k1)
    square = stored([Fraction(0), max(g**2 for g in ends(gradient))], 2 * gradient.fraction_bits)
    decayed = stored((a - b / 2**k2 for a, b in itertools.product(ends(v), ends(v))), v.fraction_bits + k2)
    values = [a + g / 2**k2 for a, g in itertools.product(decayed, square)]
    exact(kept_v.exact, values, max(v.fraction_bits, 2 * gradient.fraction_bits) + k2)


TINY = st.builds(Fixed, st.booleans(), st.integers(0, 3), st.integers(1, 3))


@given(TINY, TINY)
@settings(max_examples=200)
def test_sums_differences_and_products_of_all_values(a: Fixed, b: Fixed) -> None:
    """All pairs of values, not only the ends."""
    left, right = ([Fraction(raw, 1 << each.fraction_bits) for raw in range(each.min, each.max + 1)] for each in (a, b))
    pairs = list(itertools.product(left, right))
    assume(max(left) > 0 and max(right) > 0)
    exact(a + b, [x + y for x, y in pairs], max(a.fraction_bits, b.fraction_bits))
    exact(a - b, [x - y for x, y in pairs], max(a.fraction_bits, b.fraction_bits))
    exact(a * b, [x * y for x, y in pairs], a.fraction_bits + b.fraction_bits)
    assert (ends(a), ends(b)) == ((min(left), max(left)), (min(right), max(right)))


def test_the_check_itself_sees_a_bit_too_few_and_one_too_many() -> None:
    values = [Fraction(-3), Fraction(7, 2)]
    exact(Fixed(True, 3, 1), values, 1)
    for wrong in (Fixed(True, 2, 1), Fixed(True, 4, 1), Fixed(True, 3, 2), Fixed(False, 3, 1)):
        with pytest.raises(AssertionError):
            exact(wrong, values, 1)


@dataclass(frozen=True)
class TwoSums(Momentum):
    """Momentum with a second state variable, which has a format of its own."""

    second: Fixed | None = None

    def state(self, gradient: Fixed) -> tuple[StateVariable, ...]:
        second = self.second or gradient
        return (*super().state(gradient), replace(super().state(gradient)[0], key="optimizer.second", format=second, exact=second + second))


@pytest.mark.parametrize(
    ("formats", "key"),
    [
        ({"second": "SQ40.23"}, "optimizer.second"),
        ({"format": "SQ40.23"}, "optimizer.format"),
        ({"format": "SQ6.14", "second": "SQ40.23"}, "optimizer.second"),
    ],
)
def test_the_widest_format_of_an_optimizer_is_named_when_an_intermediate_is_too_wide(
    formats: dict[str, str], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPTIMIZERS, "two-sums", TwoSums)
    parameters: dict[str, Any] = {name: Fixed.parse(text) for name, text in formats.items()}
    optimizer = TwoSums(**parameters)
    with pytest.raises(DesignError) as raised:
        replace(small(), optimizer=optimizer)
    assert (raised.value.key, raised.value.value) == (key, "SQ40.23")
