"""Optimisers against a loop over one parameter, in Python's own numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from python_ref.floating.optimizers import OPTIMIZERS, Adam, HeavyBall, Layered, Nesterov, Optimizer, Plain, SignDescent

GRADIENTS = np.random.default_rng(0).standard_normal((30, 5))


def by_loop(rule: Optimizer, gradients: list[float]) -> list[float]:
    """Moves of one parameter."""
    m = v = 0.0
    moves = []
    for t, g in enumerate(gradients, 1):
        match rule:
            case Plain():
                move = g
            case Nesterov():
                m = rule.beta * m + g
                move = rule.beta * m + g
            case HeavyBall():
                m = rule.beta * m + g
                move = m
            case SignDescent():
                m = rule.beta * m + (1 - rule.beta) * g
                move = math.copysign(1, m)
            case Adam():
                m = rule.beta1 * m + (1 - rule.beta1) * g
                v = rule.beta2 * v + (1 - rule.beta2) * g * g
                c1, c2 = (1 - rule.beta1**t, 1 - rule.beta2**t) if rule.corrected else (1, 1)
                move = m / c1 / (math.sqrt(v / c2) + rule.epsilon)
        moves.append(rule.rate * move)
    return moves


@pytest.mark.parametrize(
    "rule",
    [
        Plain(0.3),
        HeavyBall(0.3, 0.7),
        Nesterov(0.3, 0.7),
        Adam(0.1),
        Adam(0.1, 0.8, 0.95, corrected=False),
        SignDescent(0.1),
        SignDescent(0.1, 0.6),
    ],
    ids=str,
)
def test_moves(rule: Optimizer) -> None:
    memory, moves = rule.initial(np.zeros(5)), []
    for update, gradient in enumerate(GRADIENTS):
        move, memory = rule.step(memory, gradient, update, rule.rate)
        moves.append(move)
    for i in range(5):
        assert np.array(moves)[:, i] == pytest.approx(by_loop(rule, GRADIENTS[:, i].tolist()))


@pytest.mark.parametrize("kind", OPTIMIZERS.values())
def test_types_and_pureness(kind: type) -> None:
    rule, gradient = kind(), GRADIENTS[0].astype(np.float32)
    before = rule.initial(gradient)
    kept = [each.copy() for each in before]
    move, after = rule.step(before, gradient, 0, rule.rate)
    assert move.dtype == np.float32
    assert all(each.dtype == np.float32 for each in after)
    assert all(np.array_equal(one, other) for one, other in zip(before, kept, strict=True)), "what was given stays as it was"


@pytest.mark.parametrize("kind", OPTIMIZERS.values())
def test_each_finds_the_bottom_of_a_bowl(kind: type) -> None:
    rule, theta = kind(rate=0.02), np.array([1.0, -2.0])
    memory = rule.initial(theta)
    for update in range(600):
        move, memory = rule.step(memory, np.array([2.0, 0.5]) * theta, update, rule.rate)
        theta = theta - move
    assert np.abs(theta).max() < 0.05


def test_a_rate_for_each_range_of_parameters() -> None:
    whole, layered = Adam(0.1), Layered(Adam(0.1), ((2, 0.5), (3, 1.0)))
    assert layered.rate == 0.1
    memory, other = whole.initial(GRADIENTS[0]), layered.initial(GRADIENTS[0])
    for update, gradient in enumerate(GRADIENTS):
        move, memory = whole.step(memory, gradient, update, 0.1)
        found, other = layered.step(other, gradient, update, 0.1)
        assert found == pytest.approx(move * [0.5, 0.5, 1, 1, 1])
    for factors in ((), ((0, 1.0),)):
        with pytest.raises(ValueError, match=r"^Numbers of parameters must be positive, not \("):
            Layered(Adam(), factors)
