"""Presentations of node perturbation, the runs of steps in which neither the sample nor the parameters change, and their formats.

Every step of a presentation is a probe, which adds s·C̃ to the error sum E of each neuron, or m·C̃ to that of a neuron which learns from its
own noise. When the presentation ends, the error err = cast_error(2ᵉ·E) of each neuron is multiplied by the inputs of its synapses.
"""

from __future__ import annotations

from dataclasses import dataclass

from python_ref.spec.error import DesignError
from python_ref.spec.formats import ROUNDED_AWAY_BELOW, Formats
from python_ref.spec.number import MAX_BITS, Fixed
from python_ref.spec.parts import Round
from python_ref.spec.perturbation import Code
from python_ref.spec.schedule import Schedule

__all__ = ["DERIVED_ERROR_BITS", "FACTOR_BITS", "Presentation", "measurements"]

FACTOR_BITS = 16
"""Width in bits of a signed factor that one multiplier of every part takes."""

DERIVED_ERROR_BITS = FACTOR_BITS
"""Width of a derived error format, in bits."""

WIDEST_SUM = 32
"""Width in bits of the sum θ − err·x that the adder of one multiplier of a small part computes."""


def measurements(schedule: Schedule, code: Code, neurons: int, round_: Round) -> int:
    """Return the largest number of steps of a presentation that perturb one neuron; each sign vector is measured τ_p times.

    Parameters
    ----------
    schedule : Schedule
        Periods of the presentations.
    code : Code
        Code that generates the sign vectors.
    neurons : int
        Number of neurons that the code counts.
    round_ : Round
        Parts of the network, which the probes perturb in turn.
    """
    longest, times = min(schedule.sample_period, schedule.update_period), schedule.perturbation_period
    return min(longest // round_.probes * round_.most, times * code.visits(-(-longest // times), neurons))


@dataclass(frozen=True)
class Presentation:
    """The longest presentation of a design, and the formats that follow from it.

    Attributes
    ----------
    formats : Formats
        Formats that the user chose.
    schedule : Schedule
        Periods and learning rates of the design file.
    code : Code
        Code that generates the sign vectors.
    neurons : int
        Number of neurons of the network, all of which are perturbed.
    cost_change : Fixed
        Format of the change of the cost, C̃.
    exponent : int
        Largest e, for which 2ᵉ·E is largest.
    multiplier_bits : int
        Width of a signed factor of one multiplier, in bits.
    round : Round
        Parts of the network, which the probes perturb in turn.
    scale : int
        Binary logarithm of what a gradient is multiplied by in an error: the largest rate, or the scale of G (``gradient_scale``).
    factors : tuple of (tuple of int, int)
        For each kind of layer, the values that C̃ is multiplied with in E, and the offset o of the exponent of its errors, 2^(e + o)·E.
    """

    formats: Formats
    schedule: Schedule
    code: Code
    neurons: int
    cost_change: Fixed
    exponent: int
    multiplier_bits: int
    round: Round
    scale: int
    factors: tuple[tuple[tuple[int, ...], int], ...]

    @property
    def longest(self) -> int:
        """Largest number K of steps of a presentation: a new sample or an update ends it."""
        return min(self.schedule.sample_period, self.schedule.update_period)

    @property
    def turns(self) -> int:
        """Largest number of steps of a presentation that perturb one part: all of them if there is only one part."""
        return self.longest // self.round.probes * self.round.most

    @property
    def measurements(self) -> int:
        """Largest number of steps of a presentation that perturb one neuron."""
        return measurements(self.schedule, self.code, self.neurons, self.round)

    @property
    def once(self) -> bool:
        """Whether no presentation perturbs a neuron twice, whatever periods the host chooses: τ_p is 1, which it cannot lengthen."""
        return self.measurements == self.schedule.perturbation_period == 1

    @property
    def summed(self) -> int:
        """Number of cost changes for which E has room: all of a neuron's part where the host may lengthen τ_p."""
        return self.measurements if self.schedule.perturbation_period == 1 else self.turns

    @property
    def error_sum(self) -> Fixed:
        """Exact format of E, the sum of s·C̃ or m·C̃ over the steps that may perturb a neuron of any layer."""
        return self._sum_of(tuple(factor for factors, _ in self.factors for factor in factors))

    def _sum_of(self, factors: tuple[int, ...]) -> Fixed:
        """Return the exact format of E of neurons with these factors."""
        ends = [self.summed * factor * change for factor in factors for change in (self.cost_change.min, self.cost_change.max)]
        return Fixed.covering(min(ends), max(ends), self.cost_change.fraction_bits)

    @property
    def error(self) -> Fixed:
        """Format of the error: the user's choice, or a derived one.

        The derived one holds every error of a neuron whose |∂C/∂z| is below 4, measured as often as :attr:`measurements` says at the
        largest rate. Its range does not exceed that of a weight, which the update of a bias, err·1, cannot exceed either.
        """
        if self.formats.error is not None:
            return self.formats.error
        integer = max(min(self._steepest_bits, self.formats.weight.integer_bits), self._sum_bits)
        return Fixed(True, integer, DERIVED_ERROR_BITS - integer)

    @property
    def error_reason(self) -> str:
        """What decides the range of the derived format of the error, as a clause."""
        if self._sum_bits >= min(self._steepest_bits, self.formats.weight.integer_bits):
            return f"{DERIVED_ERROR_BITS} bits, as fine as θ − err·x within {WIDEST_SUM} bits allows"
        if self._steepest_bits > self.formats.weight.integer_bits:
            return f"{DERIVED_ERROR_BITS} bits, the range of a weight"
        return f"{DERIVED_ERROR_BITS} bits, which hold |∂C/∂z| < 4"

    @property
    def _steepest_bits(self) -> int:
        """Number of integer bits with which an error holds |∂C/∂z| < 4 at the largest rate, all measurements of it added."""
        return 1 + self.scale + 2 + (self.measurements - 1).bit_length()

    @property
    def _sum_bits(self) -> int:
        """Smallest number of integer bits with which θ − err·x has :data:`WIDEST_SUM` bits; at most those of a weight."""
        weight, operand = self.formats.weight, max(self.formats.input.fraction_bits, self.formats.activation.fraction_bits)
        return DERIVED_ERROR_BITS - max(WIDEST_SUM - 1 - weight.integer_bits - operand, DERIVED_ERROR_BITS - weight.integer_bits)

    def product(self, operand: Fixed) -> Fixed:
        """Return the exact format of err·x, where x is an operand or the constant 1 of a bias."""
        error, one = self.error, 1 << operand.fraction_bits
        ends = [e * x for e in (error.min, error.max) for x in (operand.min, max(operand.max, one))]
        return Fixed.covering(min(ends), max(ends), error.fraction_bits + operand.fraction_bits)

    @property
    def largest_error(self) -> float:
        """Largest magnitude of an error, as a real number; 0 if every error rounds to zero."""
        sums = [(self._sum_of(factors), self.exponent + offset) for factors, offset in self.factors]
        largest = max(max(-form.min, form.max) * 2.0 ** (exponent - form.fraction_bits) for form, exponent in sums)
        if largest < ROUNDED_AWAY_BELOW[self.formats.error_cast.rounding] * 2.0**-self.error.fraction_bits:
            return 0.0
        return min(largest, -self.error.min * 2.0**-self.error.fraction_bits)

    def check(self) -> None:
        """Refuse a design whose error sums are too wide, or whose errors are not factors of one multiplier."""
        schedule, error = self.schedule, self.formats.error
        try:
            _ = self.error_sum
        except ValueError:
            if self.longest == 1:
                raise DesignError(
                    "formats.cost_change",
                    str(self.cost_change),
                    f"the sum of a neuron's cost changes, of either sign, exceeds {MAX_BITS} bits",
                    "Take a narrower format.",
                ) from None
            key = "sample_period" if schedule.sample_period == self.longest else "update_period"
            raise DesignError(
                f"schedule.{key}",
                self.longest,
                f"the sum of so many cost changes, each in {self.cost_change}, exceeds {MAX_BITS} bits",
                "Take a shorter period, or a narrower formats.cost_change.",
            ) from None
        if error is None:
            return
        if not error.signed:
            raise DesignError("formats.error", str(error), "errors have negative values", "Take a signed format, such as 'SQ1.15'.")
        if error.width > self.multiplier_bits:
            raise DesignError(
                "formats.error",
                str(error),
                f"it has {error.width} bits, and a factor of one multiplier has at most {self.multiplier_bits}",
                f"Take at most {self.multiplier_bits} bits, or leave it out.",
            )
