"""Adam by shifts against exact fractions that share nothing with it, and against true Adam."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from python_ref.floating.optimizers import Adam
from python_ref.floating.shift import ShiftedAdam
from python_ref.spec.error import DesignError
from python_ref.spec.number import Fixed, Rounding
from python_ref.spec.optimizer import ShiftAdam
from python_ref.spec.shift_adam import bias_changes, bias_shift, leading_one
from sim.host import runs
from tests.support.adam_oracle import AdamOracle
from tests.support.node_designs import node_design

FORMATS = st.builds(Fixed, st.just(True), st.integers(-2, 4), st.integers(4, 12))
OPTIMIZERS = st.builds(
    ShiftAdam,
    st.integers(0, 5),
    st.integers(1, 8),
    st.booleans(),
    st.booleans(),
    st.none() | st.builds(Fixed, st.just(True), st.integers(1, 4), st.integers(4, 16)),
    st.none() | st.builds(Fixed, st.just(False), st.integers(-3, 4), st.integers(4, 20)),
    st.sampled_from(Rounding),
)


@given(OPTIMIZERS, FORMATS, st.builds(Fixed, st.just(True), st.integers(1, 4), st.integers(4, 12)), st.integers(-12, 2), st.data())
@settings(max_examples=150, deadline=None)
def test_bit_for_bit_what_fractions_say(optimizer: ShiftAdam, gradient: Fixed, weight: Fixed, rate: int, data: st.DataObject) -> None:
    try:
        optimizer.check(gradient, weight, rate + 8)
    except DesignError:
        assume(False)
    oracle, m, v = AdamOracle(optimizer, gradient, weight), Fraction(0), Fraction(0)
    state = {variable.name: np.zeros(1, np.int64) for variable in optimizer.state(gradient)}
    formats = {variable.name: variable.format for variable in optimizer.state(gradient)}
    drops = oracle.decay_drops
    for update in range(6):
        g, word = data.draw(st.integers(gradient.min, gradient.max)), data.draw(st.integers(0, (1 << 40) - 1))
        moved = optimizer.step((gradient, weight), state, np.array([g]), np.array([word]), rate + oracle.bias(update))
        wanted = oracle.move(
            m,
            v,
            Fraction(g, 2**gradient.fraction_bits),
            rate,
            update,
            lambda kind, r=word: Fraction(r % 2 ** drops[kind], 2 ** drops[kind]),
        )
        m, v, state = wanted.m, wanted.v, moved.state
        assert Fraction(int(moved.source[0]), 2 ** (weight.fraction_bits + 12)) == wanted.source
        for name, value in (("momentum", m), ("square", v)):
            if name in state:
                assert int(state[name][0]) == value * Fraction(2) ** formats[name].fraction_bits
                assert bool(moved.outside[name][0]) == wanted.outside[name]


@pytest.mark.parametrize(("k1", "k2"), [(3, 10), (0, 1), (12, 1), (1, 12), (5, 4), (1, 1)])
def test_the_bias_correction_changes_where_fractions_say(k1: int, k2: int) -> None:
    oracle, changes, b = AdamOracle(ShiftAdam(k1, k2), Fixed(True, 1, 15), Fixed(True, 4, 12)), dict(bias_changes(k1, k2)), None
    for update in range(150):
        b = changes.get(update, b)
        assert b == bias_shift(k1, k2, update) == oracle.bias(update)
    assert list(changes) == sorted(changes)
    assert bias_changes(k1, k2)[-1][1] == 0
    assert bias_shift(k1, k2, max(changes) + 100_000) == 0


def test_the_host_follows_the_bias_correction_from_any_step() -> None:
    """A run is cut where b changes; the exponent of a step depends on nothing but its number, so a resumed run has the same."""
    spec = node_design(optimizer=ShiftAdam(), periods=(1, 2, 4), rates=((0, -5), (300, -7)))
    oracle = AdamOracle(spec.optimizer, spec.gradient_format, spec.formats.weight)
    changed = [update * 4 for update in range(1, 800) if oracle.bias(update) != oracle.bias(update - 1)]
    pieces = list(runs(spec, 0, 3200))
    assert [first for first, _ in pieces] == sorted({0, 300, *changed})
    for first, count in pieces:
        for step in {first, first + count - 1}:
            assert spec.exponent_at(step) == (-5 if step < 300 else -7) + oracle.bias(step // 4)
    assert list(runs(spec, 1200, 2000)) == [(1200, changed[-1] - 1200), (changed[-1], 3200 - changed[-1])]
    low, high = spec.exponents
    assert low <= min(spec.exponent_at(step) for step in range(3200)) <= max(spec.exponent_at(step) for step in range(3200)) == high
    assert replace(spec, optimizer=ShiftAdam(corrected=False)).exponent_changes == (0, 300)


def test_the_scale_of_the_gradient_fills_its_format() -> None:
    """A gradient of 4, the largest that is expected, is just out of the range of G; the rate does not matter."""
    for periods, samples in (((1, 4, 4), 1), ((1, 4, 16), 2), ((1, 4, 12), 2)):
        spec = node_design(optimizer=ShiftAdam(), periods=periods)
        assert 4 * 2.0**spec.gradient_scale * 4 * samples == 2.0 ** (spec.gradient_format.integer_bits - 1)  # 4 probes of each neuron
        other = replace(spec, schedule=replace(spec.schedule, learning_rate=((0, -9),)))
        assert other.gradient_exponents == spec.gradient_exponents == (spec.gradient_scale + 4,) * 2
    wide = node_design(optimizer=ShiftAdam(), gradient=Fixed(True, 4, 12))
    assert wide.gradient_scale == node_design(optimizer=ShiftAdam()).gradient_scale + 3


def test_stochastic_rounding_is_right_on_average() -> None:
    optimizer, gradient = ShiftAdam(), Fixed(True, 2, 14)
    state = {variable.name: np.zeros(4096, np.int64) for variable in optimizer.state(gradient)}
    words = np.random.default_rng(0).integers(0, 1 << 40, 4096)
    exact = optimizer.step((gradient, Fixed(True, 4, 12)), state, np.full(4096, 3000), words, -12).state["momentum"][0]
    drawn = replace(optimizer, rounding=Rounding.STOCHASTIC, format=Fixed(True, 2, 8))
    moved = drawn.step((gradient, Fixed(True, 4, 12)), state, np.full(4096, 3000), words, -12).state["momentum"]
    assert moved.mean() / 2**8 == pytest.approx(exact / 2**17, rel=0.01)


def test_leading_one() -> None:
    values = [0, 1, 2, 3, 4, 2**31, 2**32 - 1, 2**53 - 1, 2**53 + 1, 2**62, 2**63 - 1]
    assert leading_one(np.array(values)).tolist() == [max(0, value.bit_length() - 1) for value in values]


def test_how_far_a_root_by_shifts_is_off() -> None:
    """1/√v by a leading one alone is within 41.4 %, with the bit behind it within 12.5 %."""
    v, forms = np.arange(1, 1 << 16), (Fixed(True, 2, 10), Fixed(True, 12, 20))
    for refined, worst in ((False, 2**0.5 - 1), (True, 0.125)):
        optimizer = ShiftAdam(1, 1, refined, False, Fixed(True, 2, 10), Fixed(False, 8, 8))
        g = np.full(len(v), 512)  # m stays ½; v is set so that it stays as it is
        moved = optimizer.step(forms, {"momentum": g, "square": 2 * v - 64}, g, np.zeros(len(v), np.int64), 0)
        kept = moved.state["square"]
        assert np.array_equal(kept[v > 40], v[v > 40])
        off = moved.source / 2**32 / (0.5 / np.sqrt(kept / 256.0)) - 1
        assert np.abs(off[v > 40]).max() == pytest.approx(worst, abs=0.01)


def test_it_learns_about_as_fast_as_adam() -> None:
    """A bowl with curvatures from 0.05 to 1.6 and noisy gradients: the cost that is left, as a multiple of true Adam's."""
    left = {}
    curvature, forms = np.repeat(0.05 * 2.0 ** np.arange(6), 20), (Fixed(True, 1, 15), Fixed(True, 4, 16))
    rules: dict[str, Any] = {
        "adam": Adam(2.0**-8, 1 - 2.0**-3, 1 - 2.0**-10),
        "refined": ShiftedAdam(ShiftAdam(), forms, -8, -2),
        "leading one": ShiftedAdam(ShiftAdam(refined=False), forms, -8, -2),
    }
    for name, rule in rules.items():
        random, theta = np.random.default_rng(1), np.ones(120)
        memory = rule.initial(theta)
        for update in range(1000):
            gradient = curvature * theta + 0.3 * random.standard_normal(120)
            move, memory = rule.step(memory, gradient, update, rule.rate)
            theta = theta - move
        left[name] = float(curvature @ theta**2)
    assert left["refined"] < 1.3 * left["adam"]
    assert left["leading one"] < 1.7 * left["adam"]


def test_without_momentum() -> None:
    """k₁ = 0: m is G in every bit, and an update depends on no earlier gradient but by v."""
    optimizer, forms = ShiftAdam(k1=0), (Fixed(True, 2, 14), Fixed(True, 4, 12))
    assert [variable.symbol for variable in optimizer.state(forms[0])] == ["v"]
    assert optimizer.formats(forms[0])[0] == forms[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k1": -1}, r"^optimizer\.k1"),
        ({"k2": 0}, r"^optimizer\.k2"),
        ({"square_format": Fixed(True, 4, 4)}, r"^optimizer\.square_format"),
        ({"format": Fixed(False, 4, 4)}, r"^optimizer\.format"),
    ],
)
def test_what_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DesignError, match=message):
        ShiftAdam(**wrong)


def test_a_shift_of_too_many_bits_is_refused() -> None:
    with pytest.raises(DesignError, match=r"^formats\.gradient .*m, shifted by the largest rate and the smallest root of v, takes 65 bits"):
        node_design(
            optimizer=ShiftAdam(format=Fixed(True, 1, 24), square_format=Fixed(False, 1, 31)), rates=((0, 16),), weight=Fixed(True, 3, 20)
        )
