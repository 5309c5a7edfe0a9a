"""Random learners, which cover the tables of the spec, and small chips for them."""

from __future__ import annotations

import random
from dataclasses import replace

from python_ref.spec.formats import Cast, LearnerFormats
from python_ref.spec.hardware import Hardware
from python_ref.spec.learner import LearnerSpec, Outside
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import Momentum, Sgd, ShiftAdam
from python_ref.spec.perturbation import CODES, Kind, Perturbation
from python_ref.spec.schedule import Difference, Schedule
from tests.support.virtual_chip import VirtualChip

__all__ = ["random_chip", "random_learner", "random_node_learner", "random_quantities"]


def _cast(rng: random.Random, *but: Rounding) -> Cast:
    return Cast(rng.choice([each for each in Rounding if each not in but]), rng.choice(list(Overflow)))


def random_learner(rng: random.Random, *, most: int = 12) -> LearnerSpec:
    """Return a learner of a few quantities."""
    weight = Fixed(True, rng.randint(2, 3), rng.randint(6, 10))
    update_period, gradient = rng.choice([(1, None), (1, True), (2, None), (3, None)])
    rates = ((0, rng.randint(-4, 1)),) if rng.random() < 0.6 else ((0, rng.randint(-2, 1)), (rng.randint(1, 9), rng.randint(-6, 0)))
    momentum = Momentum(rng.randint(1, 4), rng.choice([None, Fixed(True, 3, 9)]), rng.choice(list(Rounding)), rng.choice(list(Overflow)))
    adam = ShiftAdam(rng.choice([0, 1, 3]), rng.choice([2, 4]), rng.random() < 0.7, rng.random() < 0.7, rounding=rng.choice(list(Rounding)))
    quantities = rng.choice([1, 2, 3, rng.randint(4, most)])
    lanes = random.Random(f"lanes {gradient} {update_period} {weight} {quantities}").choice([1, 1, 2, 3, 4, 8])  # leaves ``rng`` alone
    return LearnerSpec(
        "drawn",
        quantities,
        Perturbation(Kind.WEIGHT, rng.choice(list(CODES.values()))(), -rng.randint(2, 5), rng.randrange(1 << 63)),
        Schedule(rates, rng.choice([1, 1, 2]), rng.randint(1, 4), update_period, rng.choice(list(Difference))),
        rng.choice([Sgd(), momentum, adam]),
        LearnerFormats(
            weight,
            Fixed(True, rng.randint(2, 4), rng.randint(6, 12)),
            rng.choice([None, Fixed(True, 2, rng.randint(5, 10))]),
            rng.choice([None, Fixed(True, 2, rng.randint(8, 16))]),
            _cast(rng, Rounding.STOCHASTIC),
            _cast(rng, Rounding.STOCHASTIC),
            _cast(rng),
        ),
        Hardware(min(lanes, quantities), gradient, rng.random() < 0.9),
        Outside(rng.randint(0, 5), rng.choice([0, 0, 1, 3]), rng.randint(4, 20), rng.randint(1, 3)),
    )


def random_node_learner(rng: random.Random, *, most: int = 12) -> LearnerSpec:
    """Return a learner of the currents of a few nodes: τ_x is a multiple of τ_θ, and updates are plain."""
    spec = random_learner(rng, most=most)
    sample = spec.schedule.update_period * rng.randint(1, 3)
    schedule, perturbation = replace(spec.schedule, sample_period=sample), replace(spec.perturbation, kind=Kind.NODE)
    return replace(spec, name="nodes", perturbation=perturbation, schedule=schedule, optimizer=Sgd())


def random_quantities(rng: random.Random, spec: LearnerSpec) -> list[int]:
    """Return raw initial quantities, some of them at the limits."""
    low, high = spec.parameter_limits
    return [rng.choice([low, high, 0, *(rng.randint(low // 2, high // 2) for _ in range(9))]) for _ in range(spec.quantities)]


def random_chip(rng: random.Random, spec: LearnerSpec, **given: object) -> VirtualChip:
    """Return a chip with flaws of all kinds; the same state of ``rng`` gives the same chip."""
    flaws = {name: rng.choice([0.0, rng.uniform(0.01, 0.3)]) for name in ("gain", "offset", "noise", "drift")}
    chosen = {**flaws, "dac_step": rng.choice([0.0, 2.0**spec.perturbation.amplitude_log2]), **given}
    return VirtualChip(spec, rng.randrange(1 << 31), **chosen)  # type: ignore[arg-type]
