"""What a soak draws: random designs of every kind, of a size at which a run of seconds compares millions of values."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import DesignError
from python_ref.spec.layers import Leaky, Lif
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.perturbation import Kind
from python_ref.spec.probes import values_per_step
from tests.support.designs import random_design
from tests.support.learner_designs import random_learner, random_node_learner
from tests.support.series_designs import random_series
from tests.support.stochastic_designs import random_stochastic_design

__all__ = ["KINDS", "Limits", "draw"]

TRIES = 5
"""Designs of which the one with the most values in a word is taken, for most designs: a small one, or one lane, shows few in a cycle."""


@dataclass(frozen=True)
class Limits:
    """Upper limits of what is drawn, inclusive.

    Attributes
    ----------
    size : int
        Neurons of a layer, inputs of a network, and quantities of a learner.
    lanes : int
        Lanes of a core.
    """

    size: int
    lanes: int


def _network(**choices: Any) -> Callable[[random.Random, Limits], DesignSpec]:
    """A draw of networks without state."""
    return lambda rng, limits: random_design(rng, max_size=limits.size, max_lanes=limits.lanes, **choices)


def _series(layer: type, kind: Kind) -> Callable[[random.Random, Limits], DesignSpec]:
    """A draw of networks that have a layer of this class, with this kind of perturbation."""

    def drawn(rng: random.Random, limits: Limits) -> DesignSpec:
        while True:
            spec = random_series(rng, max_size=max(2, limits.size // 2), max_layers=3, max_lanes=limits.lanes, kind=kind)
            if any(isinstance(each.kind, layer) for each in spec.network.layers):
                return spec

    return drawn


def _stochastic(rng: random.Random, limits: Limits) -> DesignSpec:
    return random_stochastic_design(rng, max_size=limits.size, max_lanes=limits.lanes)


def _learner(one: Callable[..., LearnerSpec]) -> Callable[[random.Random, Limits], LearnerSpec]:
    """A draw of learners, which wait long enough for the outside."""

    def drawn(rng: random.Random, limits: Limits) -> LearnerSpec:
        spec = one(rng, most=4 * limits.size)
        lanes = min(spec.hardware.lanes, limits.lanes)
        outside = replace(spec.outside, timeout_cycles=1_000_000)
        return replace(spec, outside=outside, hardware=replace(spec.hardware, lanes=lanes))

    return drawn


KINDS: dict[str, Callable[[random.Random, Limits], LearningSpec]] = {
    "node": _network(kinds=[Kind.NODE], parts=0.2),
    "weight": _network(kinds=[Kind.WEIGHT]),
    "sparse": _network(kinds=[Kind.NODE], sparse=1.0),
    "stochastic": _stochastic,
    "recurrent": _series(Leaky, Kind.NODE),
    "spiking": _series(Lif, Kind.NODE),
    "recurrent, weight": _series(Leaky, Kind.WEIGHT),
    "spiking, weight": _series(Lif, Kind.WEIGHT),
    "learner": _learner(random_learner),
    "learner, node": _learner(random_node_learner),
    "bus": lambda rng, limits: random_design(rng, max_size=min(5, limits.size), max_lanes=limits.lanes),
}
"""Draw of each kind of designs."""


def draw(rng: random.Random, kind: str, limits: Limits) -> LearningSpec:
    """Return a random design of a kind; most show the most in a word of several designs, and some lanes have two multipliers."""
    found = [KINDS[kind](rng, limits) for _ in range(rng.choice((1, TRIES, TRIES)))]
    spec = max(found, key=lambda each: values_per_step(each) / each.layout.words)
    if isinstance(spec, DesignSpec) and rng.random() < 0.2:
        choice = rng.choice(({"multipliers_per_lane": 2}, {"single_port": True}))
        try:
            return replace(spec, hardware=replace(spec.hardware, **choice))
        except DesignError:  # most kinds have neither
            return spec
    return spec
