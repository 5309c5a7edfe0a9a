"""Devices from their definitions, alone and together."""

from __future__ import annotations

import numpy as np
import pytest

from python_ref.floating.devices import CostNoise, Drift, Endurance, Ideal, Quantisation, UpdateNoise, measure, rest, write

THETA = np.linspace(-1, 1, 1001)


def test_noises_have_their_deviation_and_their_seed() -> None:
    costs = np.zeros(20_000)
    noise = CostNoise(0.3, 1).measure(costs, 5, 0)
    assert noise.std() == pytest.approx(0.3, rel=0.03)
    assert abs(noise.mean()) < 0.01
    assert np.array_equal(noise, CostNoise(0.3, 1).measure(costs, 5, 0))
    for other in (CostNoise(0.3, 2).measure(costs, 5, 0), CostNoise(0.3, 1).measure(costs, 6, 0), CostNoise(0.3, 1).measure(costs, 5, 1)):
        assert abs(np.corrcoef(noise, other)[0, 1]) < 0.05
    written, _ = UpdateNoise(0.2, 1).write(None, THETA, THETA, 0)
    assert (written - THETA).std() == pytest.approx(0.2, rel=0.1)


def test_quantisation() -> None:
    written, _ = Quantisation(0.25, 0.6).write(None, THETA, THETA, 0)
    assert np.unique(written).tolist() == [-0.5, -0.25, 0, 0.25, 0.5]
    inside = np.abs(THETA) < 0.5
    assert np.abs(written - THETA)[inside].max() <= 0.125
    lost = np.mean([Quantisation(0.25, 2).write(None, THETA, THETA, n)[0] for n in range(10)], axis=0)
    mean = np.mean([Quantisation(0.25, 2, stochastic=True).write(None, THETA, THETA, n)[0] for n in range(2000)], axis=0)
    assert np.abs(mean - THETA).max() < 0.02 < np.abs(lost - THETA).max()


def test_endurance_counts_changes_and_keeps_exhausted_cells() -> None:
    device, theta = Endurance(3), np.zeros(4)
    memory = device.initial(theta)
    moves = np.array([1.0, 1.0, 0.0, 0.0])  # the others are written too, but not changed
    for update in range(5):
        theta, memory = device.write(memory, theta, theta + moves, update)
    assert theta.tolist() == [3, 3, 0, 0]
    assert memory.tolist() == [3, 3, 0, 0]
    assert device.exhausted(memory) == 2


def test_drift() -> None:
    assert Drift(0.1).rest(THETA, 0) == pytest.approx(0.9 * THETA)
    wandered = Drift(0.0, 0.05).rest(THETA, 3) - THETA
    assert wandered.std() == pytest.approx(0.05, rel=0.1)


def test_composition_is_in_order() -> None:
    devices = (CostNoise(0.0), UpdateNoise(0.1, 3), Quantisation(0.125, 4), Endurance(1), Drift(0.5))
    memories = tuple(device.initial(THETA) for device in devices)
    noisy, _ = UpdateNoise(0.1, 3).write(None, THETA, THETA + 1, 0)
    wanted, _ = Quantisation(0.125, 4).write(None, THETA, noisy, 0)
    found, memories = write(devices, memories, THETA, THETA + 1, 0)
    assert np.array_equal(found, wanted)
    stuck, memories = write(devices, memories, found, found + 1, 1)
    assert np.array_equal(stuck, found), "each cell has had its only write"
    assert np.array_equal(rest(devices, found, 0), 0.5 * found)
    assert np.array_equal(measure(devices, THETA, 0, 0), THETA)


def test_ideal_does_nothing() -> None:
    device = Ideal()
    assert device.measure(THETA, 0, 0) is THETA
    assert device.write(None, THETA, THETA, 0)[0] is THETA
    assert device.rest(THETA, 0) is THETA
