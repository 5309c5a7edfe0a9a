"""Costs from their definitions, slopes by the complex step."""

from __future__ import annotations

import numpy as np
import pytest

from python_ref.floating.objectives import CrossEntropy, SquaredError, accuracy, correct


def test_squared_error() -> None:
    y, t = np.array([[1.0, 2.0], [0.0, 0.5]]), np.array([[0.0, 0.0], [0.0, 1.0]])
    assert SquaredError().costs(y, t).tolist() == [5.0, 0.25]
    assert SquaredError(mean=True).costs(y, t).tolist() == [2.5, 0.125]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(smoothing: float) -> None:
    random = np.random.default_rng(0)
    y, t = random.standard_normal((5, 4)) * 3, np.eye(4)[random.integers(4, size=5)]
    probability = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
    wanted = (1 - smoothing) * t + smoothing / 4
    assert CrossEntropy(smoothing).costs(y, t) == pytest.approx(-(wanted * np.log(probability)).sum(axis=1))
    assert CrossEntropy(smoothing).slopes(y, t) == pytest.approx(probability - wanted)


def test_cross_entropy_of_large_outputs() -> None:
    y = np.array([[1e4, 0.0, -1e4]])
    assert CrossEntropy().costs(y, np.array([[0.0, 1.0, 0.0]])) == pytest.approx([1e4])
    assert CrossEntropy().slopes(y, np.array([[1.0, 0.0, 0.0]])) == pytest.approx(np.zeros((1, 3)))


def test_smoothing_is_refused_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"^Label smoothing must be from 0 to below 1, not 1\.0"):
        CrossEntropy(1.0)


def test_answers() -> None:
    assert correct(np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [1.0, 0.0]])).tolist() == [True, False]
    assert correct(np.array([[0.5], [0.4]]), np.array([[1.0], [1.0]])).tolist() == [True, False]
    assert accuracy(np.array([[0.5], [0.4]]), np.array([[1.0], [1.0]])) == 0.5
