"""Codes from their definitions, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from python_ref.floating.codes import FLOAT_CODES, Code, DesignCode, RandomCode, SinusoidalCode
from python_ref.spec.perturbation import CODES, LfsrCode, SequentialCode, Trinomial, WalshCode

ALL = [RandomCode(), *(DesignCode(kind()) for kind in CODES.values()), *(kind() for kind in FLOAT_CODES.values())]
NAMES = ["random", *CODES, *FLOAT_CODES]


def test_random_signs_are_the_generators_bits() -> None:
    """The recurrence b[t + 127] = b[t] ⊕ b[t + 1], stepped a bit at a time."""
    state = Trinomial(127, 64, "signs").seed_state(5)
    bits = [state >> i & 1 for i in range(127)]
    while len(bits) < 40 * 50:
        bits.append(bits[-127] ^ bits[-126])
    wanted = np.array([[(1 - 2 * bits[p * 50 + i]) * (-1) ** p for i in range(50)] for p in range(40)])
    assert np.array_equal(RandomCode(5).rows(0, 40, 50), wanted)
    assert np.array_equal(RandomCode(5).rows(7, 5, 50, 13, 31), wanted[7:12, 13:31])


@pytest.mark.parametrize("code", ALL, ids=NAMES)
@pytest.mark.parametrize("quantities", [1, 2, 7, 8, 30])
def test_orthogonal_over_a_period(code: Code, quantities: int) -> None:
    period = code.period(quantities)
    if period is None:
        assert isinstance(code, RandomCode) or isinstance(code.code, LfsrCode)  # type: ignore[attr-defined]
        return
    s = code.rows(3 * period, period, quantities).astype(float)
    times = code.code.visits(period, quantities) if isinstance(code, DesignCode) else period
    assert s.T @ s == pytest.approx(times * np.eye(quantities), abs=1e-9)
    if s.min() < 0:
        assert s.sum(axis=0) == pytest.approx(np.zeros(quantities), abs=1e-9), "no constant row, which would collect the cost itself"


@pytest.mark.parametrize("code", ALL, ids=NAMES)
def test_any_part_is_the_same(code: Code) -> None:
    whole = code.rows(0, 30, 20)
    assert np.array_equal(code.rows(11, 9, 20, 4, 17), whole[11:20, 4:17])
    assert np.array_equal(code.rows(29, 1, 20), whole[29:])


def test_sequential_and_sinusoidal_as_defined() -> None:
    assert np.array_equal(DesignCode(SequentialCode()).rows(2, 3, 4), [[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]])
    s = SinusoidalCode().rows(3, 1, 5)[0]
    assert s == pytest.approx([np.sqrt(2) * np.sin(2 * np.pi * i * 3 / 12) for i in range(1, 6)])


def test_sinusoids_collect_no_curvature() -> None:
    """Over a period the product of any three sums to zero."""
    s = SinusoidalCode().rows(0, SinusoidalCode().period(9), 9)
    np.testing.assert_allclose(np.einsum("pi,pj,pk->ijk", s, s, s), 0, atol=1e-9)


def test_a_design_s_code_counts_quantities_in_its_order() -> None:
    order = np.array([2, 0, 3, 1])
    assert np.array_equal(DesignCode(SequentialCode(), order).rows(0, 4, 4), np.eye(4)[:, order])
    walsh = DesignCode(WalshCode()).rows(5, 9, 4)
    assert np.array_equal(DesignCode(WalshCode(), order).rows(5, 9, 4, 1, 3), walsh[:, order[1:3]])


def test_a_design_s_code_that_draws_takes_the_bits_of_the_random_code() -> None:
    for seed in (1, 5):
        assert np.array_equal(DesignCode(LfsrCode(), seed=seed).rows(3, 8, 50, 7, 31), RandomCode(seed).rows(3, 8, 50, 7, 31))


@pytest.mark.parametrize("code", ALL, ids=NAMES)
def test_signs_are_added_and_spread(code: Code) -> None:
    """The two ways in which estimators spend signs, on a part of the quantities."""
    random = np.random.default_rng(1)
    for kind in (np.float32, np.float64):
        source, s = random.random(9).astype(kind), code.rows(11, 5, 20, 4, 13)
        moved = np.empty_like(source)
        code.add(11, 20, 4, 0.25, source, moved)
        assert moved == pytest.approx(source + 0.25 * s[0], rel=1e-6)
        values, found = random.random(5).astype(kind), np.ones((9, 5), kind)
        code.spread(11, 20, 4, values, found)
        assert found == pytest.approx(1 + s.T * values, rel=1e-6, abs=1e-6)
        assert moved.dtype == found.dtype == kind


def test_random_signs_do_not_lean() -> None:
    s = RandomCode(2).rows(0, 4000, 64).astype(float)
    assert np.abs(s.mean(axis=0)).max() < 5 / np.sqrt(4000)
    assert np.abs(np.corrcoef(s.T) - np.eye(64)).max() < 5 / np.sqrt(4000)
