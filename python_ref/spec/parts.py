"""Parts of a network: consecutive layers that a probe of node perturbation perturbs together, and the order in which probes take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np

from python_ref.spec.error import DesignError
from python_ref.spec.network import Network
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import MAX_PERIOD, Schedule

__all__ = ["Part", "Round", "check_parts"]


@dataclass(frozen=True)
class Part:
    """Consecutive layers that a probe perturbs together.

    Attributes
    ----------
    first, last : int
        Numbers of its first and of its last layer, from 0.
    begin, end : int
        Number of its first neuron, and of the first neuron behind it, counted over all layers.
    times : int
        Number of probes of a round that perturb it.
    """

    first: int
    last: int
    begin: int
    end: int
    times: int

    @property
    def neurons(self) -> int:
        """Number of neurons that a probe of the part perturbs."""
        return self.end - self.begin

    def within(self, signs: np.ndarray) -> np.ndarray:
        """Return signs of all neurons (last axis), with 0 for those outside of the part."""
        found = np.zeros_like(signs)
        found[..., self.begin : self.end] = signs[..., self.begin : self.end]
        return found


@dataclass(frozen=True)
class Round:
    """The round of probes that a presentation repeats: every part once, then once more those that have two probes or more, and so on.

    Attributes
    ----------
    parts : tuple of Part
        The parts in the order of their layers; together they are all layers.
    """

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, network: Network, parts: Sequence[tuple[int, int]] | None) -> Round:
        """Return the round of parts that are given by their numbers of layers and of probes; None is one part of all layers.

        Raises
        ------
        ValueError
            If a number is not positive, or the parts do not have all layers of the network together.
        """
        sizes, found, first = network.sizes[1:], list[Part](), 0
        given = [(len(sizes), 1)] if parts is None else list(parts)
        if not given or min(min(pair) for pair in given) < 1 or sum(layers for layers, _ in given) != len(sizes):
            raise ValueError(f"Parts must be positive and have {len(sizes)} layers together, as the network has, not {parts!r}")
        for layers, times in given:
            after = first + layers
            found.append(Part(first, after - 1, sum(sizes[:first]), sum(sizes[:after]), times))
            first = after
        return cls(tuple(found))

    @property
    def probes(self) -> int:
        """Number of probes of a round."""
        return sum(part.times for part in self.parts)

    @property
    def most(self) -> int:
        """Largest number of probes of a round that perturb one part."""
        return max(part.times for part in self.parts)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Number of the part that each probe of a round perturbs."""
        return tuple(number for turn in range(self.most) for number, part in enumerate(self.parts) if turn < part.times)

    def part_at(self, probe: int) -> Part:
        """Return the part that a probe perturbs; probes count from the start of their presentation."""
        return self.parts[self.order[probe % self.probes]]

    def turns(self, steps: int) -> list[tuple[Part, int]]:
        """Return each part with the number of the first ``steps`` steps of a run that perturb it."""
        rounds, more = divmod(steps, self.probes)
        return [(part, rounds * part.times + self.order[:more].count(number)) for number, part in enumerate(self.parts)]

    def scarcest(self, steps: int) -> tuple[int, int]:
        """Return the numbers of neurons and of perturbations, in the first ``steps`` steps, of the part with the fewest for each neuron."""
        return max(((part.neurons, max(1, count)) for part, count in self.turns(steps)), key=lambda each: each[0] / each[1])

    def following(self) -> Iterator[tuple[Part, Part]]:
        """Yield each part with a part that may be perturbed by the probe that follows, in a round or from one round to the next."""
        last = self.order[-1]
        pairs = {(before, after) for before, after in zip((last, *self.order), self.order, strict=False)}
        for before, after in sorted(pairs):
            yield self.parts[before], self.parts[after]

    def covers(self, period: int, times: int) -> bool:
        """Whether every part meets all phases of a code equally often in the long run.

        Parameters
        ----------
        period : int
            Number of phases of the code.
        times : int
            Number of steps τ_p that have one sign vector, and thus one phase.
        """
        # Step n has place n mod Σ in its round and phase ⌊n/τ_p⌋ mod period; places and phases meet where n is equal modulo this number.
        common = gcd(self.probes, times * period)
        for number in range(len(self.parts)):
            visits = [0] * common
            for place, part in enumerate(self.order):
                visits[place % common] += part == number
            steps = times % common
            if len({sum(visits[(phase * times + step) % common] for step in range(steps)) for phase in range(common)}) > 1:
                return False
        return True


def check_parts(network: Network, perturbation: Perturbation, schedule: Schedule) -> None:
    """Refuse parts that no core can perturb in turn; a design without parts passes.

    Raises
    ------
    DesignError
        If weights are perturbed, if the parts do not tile the network, if the code perturbs single neurons, if presentations do not
        consist of whole rounds, or if a part would not meet all sign vectors of a code equally often.
    """
    parts, code = perturbation.parts, perturbation.code
    if parts is None:
        return
    key, shown = "learning.parts", [list(part) for part in parts]
    if perturbation.kind is not Kind.NODE:
        reason, remedy = "only node perturbation has parts in hardware", 'Remove it, or write kind = "node" in [perturbation].'
        raise DesignError(key, shown, reason, remedy)
    try:
        round_ = Round.of(network, parts)
    except ValueError:
        reason = f"the parts must be positive and have {len(network.layers)} layers together, as the network has"
        raise DesignError(key, shown, reason, "Give each layer its part.") from None
    probes = round_.probes
    if probes > MAX_PERIOD:
        reason = f"a round has {probes} probes, and no period has more than {MAX_PERIOD} steps"
        raise DesignError(key, shown, reason, "Take fewer probes of a part.")
    if 0 in code.values:
        reason = f"the {code.name} code perturbs one neuron at a time anyway, so that no part is finer"
        raise DesignError(key, shown, reason, 'Remove it, or take code = "lfsr".')
    for name in ("sample_period", "update_period"):
        period = getattr(schedule, name)
        if period % probes:
            nearest = min(max(1, (period + probes // 2) // probes), MAX_PERIOD // probes) * probes
            raise DesignError(
                f"schedule.{name}",
                period,
                f"learning.parts = {shown} makes rounds of {probes} probes, and a presentation consists of whole rounds",
                f"Take {nearest}, or another multiple of {probes}.",
            )
    times = schedule.perturbation_period
    if not code.generators(1) and not round_.covers(code.period(network.n_neurons), times):
        raise DesignError(
            "schedule.perturbation_period",
            times,
            f"rounds of {probes} probes would always perturb a part of {key} = {shown} with the same few of the sign vectors of the "
            f"{code.name} code",
            f"Take {probes}, so that a round has one sign vector, or an odd sum of the numbers of probes in {key}.",
        )
