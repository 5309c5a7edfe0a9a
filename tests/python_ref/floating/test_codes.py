"""Codes from their definitions, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from python_ref.floating.codes import CODES, Code, RandomCode, SequentialCode, SinusoidalCode, WalshCode
from python_ref.spec.perturbation import Trinomial


def test_random_signs_are_the_generators_bits() -> None:
    """The recurrence b[t + 127] = b[t] ⊕ b[t + 1], stepped a bit at a time."""
    state = Trinomial(127, 64, "signs").seed_state(5)
    bits = [state >> i & 1 for i in range(127)]
    while len(bits) < 40 * 50:
        bits.append(bits[-127] ^ bits[-126])
    wanted = np.array([[(1 - 2 * bits[p * 50 + i]) * (-1) ** p for i in range(50)] for p in range(40)])
    assert np.array_equal(RandomCode(5).rows(0, 40, 50), wanted)
    assert np.array_equal(RandomCode(5).rows(7, 5, 50, 13, 31), wanted[7:12, 13:31])


@pytest.mark.parametrize("code", [kind() for kind in CODES.values()])
@pytest.mark.parametrize("quantities", [1, 2, 7, 8, 30])
def test_orthogonal_over_a_period(code: Code, quantities: int) -> None:
    period = code.period(quantities)
    if period is None:
        return
    s = code.rows(3 * period, period, quantities).astype(float)
    assert s.T @ s / period == pytest.approx(code.power(quantities) * np.eye(quantities), abs=1e-12)
    if isinstance(code, (WalshCode, SinusoidalCode)):
        assert s.sum(axis=0) == pytest.approx(np.zeros(quantities), abs=1e-9), "no constant row, which would collect the cost itself"


@pytest.mark.parametrize("code", [kind() for kind in CODES.values()])
def test_any_part_is_the_same(code: Code) -> None:
    whole = code.rows(0, 30, 20)
    assert np.array_equal(code.rows(11, 9, 20, 4, 17), whole[11:20, 4:17])
    assert np.array_equal(code.rows(29, 1, 20), whole[29:])


def test_sequential_and_sinusoidal_as_defined() -> None:
    assert np.array_equal(SequentialCode().rows(2, 3, 4), [[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]])
    s = SinusoidalCode().rows(3, 1, 5)[0]
    assert s == pytest.approx([np.sqrt(2) * np.sin(2 * np.pi * i * 3 / 12) for i in range(1, 6)])


def test_random_signs_do_not_lean() -> None:
    s = RandomCode(2).rows(0, 4000, 64).astype(float)
    assert np.abs(s.mean(axis=0)).max() < 5 / np.sqrt(4000)
    assert np.abs(np.corrcoef(s.T) - np.eye(64)).max() < 5 / np.sqrt(4000)
