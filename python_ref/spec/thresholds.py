"""The thresholds of stochastic neurons: their words, how many of these a run takes, and the fixed ones of an inference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from python_ref.spec.error import DesignError
from python_ref.spec.network import Network
from python_ref.spec.parts import Round
from python_ref.spec.perturbation import Code, Kind, Perturbation, Trinomial, draw_generator
from python_ref.spec.schedule import Schedule

__all__ = ["Thresholds", "check_random"]


def check_random(network: Network, perturbation: Perturbation) -> None:
    """Refuse a stochastic layer where weights are perturbed.

    Raises
    ------
    DesignError
        If there is one. The key is ``perturbation.kind``.
    """
    if network.random and perturbation.kind is not Kind.NODE:
        number = 1 + next(number for number, layer in enumerate(network.layers) if layer.kind.own_noise)
        reason = f"layer {number} is {network.layers[number - 1].kind.name}, and its neurons learn from draws of their outputs"
        raise DesignError("perturbation.kind", perturbation.kind.value, reason, 'Write kind = "node", or leave it out.')


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of the stochastic neurons of a network, whole numbers from 0 to 2^F − 1.

    Attributes
    ----------
    network : Network
        Network with one stochastic layer or more.
    fraction_bits : int
        F, the number of fraction bits of an activation and of bits of a threshold.
    """

    network: Network
    fraction_bits: int

    @property
    def most(self) -> int:
        """Largest number N of thresholds of a neuron."""
        return max(layer.kind.thresholds for layer in self.network.layers)

    @property
    def word_bits(self) -> int:
        """Number of bits of a word, which has the thresholds of a neuron, the first one lowest; those of a neuron with fewer come first."""
        return self.most * self.fraction_bits

    @property
    def generator(self) -> Trinomial:
        """Generator of the words, from the first of which on a run takes one after the other."""
        return draw_generator(self.word_bits)

    @property
    def per_pass(self) -> int:
        """Number of words of an unperturbed pass: one for each stochastic neuron."""
        return int(np.count_nonzero(self.network.own_noise))

    def fixed(self, draws: int) -> np.ndarray:
        """Return the thresholds of an inference of a neuron with N = ``draws`` (int64, shape (N,)): (2i + 1)·2^(F−1)/N − 1.

        With them, the count of those below an activation f is N·f rounded to the nearest, ties up.
        """
        return ((2 * np.arange(draws, dtype=np.int64) + 1) << self.fraction_bits - 1) // draws - 1

    def words_until(self, step: int, schedule: Schedule, code: Code, round_: Round, two_sided: bool) -> int:
        """Return the number of words that the first ``step`` steps of a run take that no load, inference or restart interrupts.

        Parameters
        ----------
        step : int
            Number of steps, a multiple of all three periods of the schedule.
        schedule, code, round_, two_sided
            Periods, code, parts and difference of the design.
        """
        tau_x, tau_t = schedule.sample_period, schedule.update_period
        presentations = step // tau_x + step // tau_t - step // math.lcm(tau_x, tau_t)
        sizes = [layer.n_out * layer.kind.own_noise for layer in self.network.layers]
        if code.single:
            probed = self.network.probed_layers(0, step, schedule.perturbation_period)
            redrawn = sum(count for count, layer in zip(probed, self.network.layers, strict=True) if layer.kind.own_noise)
        else:
            redrawn = step // round_.probes * sum(part.times * sum(sizes[part.first : part.last + 1]) for part in round_.parts)
        return presentations * self.per_pass + (1 + two_sided) * redrawn
