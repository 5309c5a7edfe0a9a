"""Compiled signs against the generator, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from python_ref.fixed.perturbation import BitStream
from python_ref.floating.signs import DEGREE, REMEMBERED, SignStream
from python_ref.spec.perturbation import Trinomial


def wanted(seed: int, first: int, count: int) -> np.ndarray:
    return 1.0 - 2.0 * BitStream(Trinomial(127, 64, "signs"), seed).bits(first, count)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("first", [0, 1, 63, 64, 100, 64 * DEGREE - 1, 64 * DEGREE, 123_456, 10**12])
def test_signs_are_added_from_any_bit(first: int, kind: type) -> None:
    for size in (1, 31, 32, 33, 64, 129, 3 * 64 * DEGREE + 5):
        source, out = np.arange(size, dtype=kind), np.empty(size, kind)
        SignStream(3).add(first, 2.0, source, out)
        assert np.array_equal(out, source + 2 * wanted(3, first, size))


def test_forwards_and_backwards_and_over_again() -> None:
    """The windows that are remembered are the right ones, whatever was asked before; and they are few."""
    stream, random = SignStream(4), np.random.default_rng(1)
    places = [0, 50_000, 50_000, 9_000, 70_123, 50_001, *random.integers(200_000, size=30).tolist()]
    for first in places:
        out = np.zeros(8_500)
        stream.add(first, 1.0, out, out)
        assert np.array_equal(out, wanted(4, first, 8_500))
        spread = np.zeros((17, 5))
        stream.spread(first, 17, np.ones(5), spread)
        assert np.array_equal(spread.T.ravel(), wanted(4, first, 85))
    assert len(stream._windows) <= REMEMBERED


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("nodes", "batch", "stride"), [(1, 1, 1), (33, 65, 33), (32, 64, 40), (70, 130, 71), (5, 3, 1290)])
def test_signs_are_spread_over_samples(nodes: int, batch: int, stride: int, kind: type) -> None:
    values, out, first = np.arange(1, batch + 1, dtype=kind), np.ones((nodes, batch), kind), 777
    SignStream(5).spread(first, stride, values, out)
    rows = np.array([wanted(5, first + b * stride, nodes) for b in range(batch)])
    assert np.array_equal(out, 1 + rows.T * values)
