"""What every design that learns inside has in common, whether its network is inside as well or outside: the rule of learning.

A design perturbs quantities, correlates their signs with the change of the cost, and updates parameters. This module derives the formats
of all of that from what the user chose, and refuses what can never learn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Protocol

from python_ref.spec.digest import digest_of
from python_ref.spec.error import DesignError, unknown
from python_ref.spec.formats import ROUNDED_AWAY_BELOW, Cast
from python_ref.spec.hardware import Hardware
from python_ref.spec.layout import Layout, Places
from python_ref.spec.number import MAX_BITS, Fixed, Rounding
from python_ref.spec.optimizer import OPTIMIZERS, WORD_BITS, Memory, Optimizer, StateVariable
from python_ref.spec.perturbation import CODES, Code, Perturbation, Trinomial
from python_ref.spec.schedule import Difference, Schedule

__all__ = ["FIRST_KINDS", "FORWARD_KINDS", "SATURATION_KINDS", "LearningFormats", "LearningSpec"]

FIRST_KINDS = ("activation", "cost_change", "broadcast", "gradient", "momentum", "error", "update", "weight")
"""Kinds of casts for which every core has a saturation counter, even if it has no cast of that kind."""

FORWARD_KINDS = ("activation", "cost_change", "state")
"""Kinds of casts of the passes of a step; the others are of learning."""

_STATE = "state"
"""Kind of the cast into the state of a spiking neuron, for which only a network with state has a counter."""

SATURATION_KINDS = (*FIRST_KINDS, *(memory.name.lower() for memory in Memory if memory > Memory.MOMENTUM), _STATE)
"""Kinds of casts whose saturations are counted, in the order of their counters. A counter counts values of existing neurons
(activation), one value per step (cost_change), one per neuron and presentation (error), or values that reach existing parameters (the
other kinds). The counter of the broadcast remains 0 in node perturbation, that of the error in weight perturbation. The kinds after the
first eight are state variables of optimisers; their counters remain 0 in a design whose optimiser lacks the variable. The last kind is the
state of spiking neurons, one value for each of their evaluations."""


class LearningFormats(Protocol):
    """The number formats of learning, and the modes of the casts into them; a design may have others as well."""

    @property
    def weight(self) -> Fixed:
        """Format of a parameter; signed."""

    @property
    def cost_change(self) -> Fixed | None:
        """Format of C̃; None keeps the difference of two costs exact."""

    @property
    def gradient(self) -> Fixed | None:
        """Format of g and G; None derives it from that of a parameter."""

    @property
    def cost_change_cast(self) -> Cast:
        """Modes of the cast into C̃."""

    @property
    def gradient_cast(self) -> Cast:
        """Modes of the cast into g."""

    @property
    def weight_cast(self) -> Cast:
        """Modes of the cast into an update."""


class LearningSpec(ABC):
    """Base of the descriptions of designs.

    Attributes
    ----------
    name : str
        Name of the design: letters, digits and underscores.
    perturbation, schedule, optimizer, formats, hardware
        Settings of the design by topic, one object for each.
    """

    name: str
    perturbation: Perturbation
    schedule: Schedule
    optimizer: Optimizer
    formats: LearningFormats
    hardware: Hardware

    # -- What each kind of design says of itself ------------------------------------------------------------------

    @property
    @abstractmethod
    def node(self) -> bool:
        """Whether neurons, rather than parameters, are perturbed."""

    @property
    def series(self) -> bool:
        """Whether a sample is a series of frames, over which neurons keep a state."""
        return False

    @property
    @abstractmethod
    def digest(self) -> str:
        """Digest of everything that is fixed in the core."""

    @property
    @abstractmethod
    def one_visit(self) -> bool:
        """Whether one visit of a first layer serves both passes of a step."""

    @property
    @abstractmethod
    def layout(self) -> Layout | Places:
        """Places of the parameters in the array of lanes."""

    @property
    @abstractmethod
    def quantities(self) -> int:
        """Number of perturbed quantities."""

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """Number of parameters."""

    @property
    @abstractmethod
    def sign_generators(self) -> tuple[Trinomial, ...]:
        """Generators of the random signs."""

    @property
    @abstractmethod
    def draws(self) -> int:
        """Number of words of signs of a sign vector."""

    @property
    @abstractmethod
    def rounding_words(self) -> int:
        """Number of stochastic words of an update."""

    @property
    @abstractmethod
    def cost_format(self) -> Fixed:
        """Exact format of C."""

    @property
    @abstractmethod
    def cost_difference_format(self) -> Fixed:
        """Exact format of the difference of two costs."""

    @property
    @abstractmethod
    def _needs_gradient_memory(self) -> bool:
        """Whether G is a sum over several steps."""

    @property
    @abstractmethod
    def _update_sources(self) -> list[Fixed]:
        """Formats of all sources of updates."""

    def _intermediates(self) -> list[tuple[str, object, Callable[[], object]]]:
        """Return the exact intermediates: the key that they follow from, its value, and a function that forms their formats.

        Those of the optimiser follow from the widest format that it was given, and from the gradient's if it was given none.
        """
        given = {f"optimizer.{name}": getattr(self.optimizer, name) for name in self.optimizer.parameters()}
        formats = {key: value for key, value in given.items() if isinstance(value, Fixed)}
        key = max(formats, key=lambda key: formats[key].width, default="formats.gradient")
        return [
            (
                "formats.gradient",
                self.formats.gradient,
                lambda: [self.gradient_format + self.gradient_format, self.gradient_format - self.gradient_format],
            ),
            (
                key,
                formats.get(key, self.formats.gradient),
                lambda: [*self.optimizer_state, self._checked_source],
            ),
        ]

    def _amplitude_places(self) -> list[tuple[str, int]]:
        """Return what Δ is added to, by name, with its number of fraction bits."""
        return [("formats.weight", self.formats.weight.fraction_bits)]

    @abstractmethod
    def _casts(self) -> list[tuple[str, Fixed, Fixed]]:
        """Return the key, source format and target format of every cast except that which 2ᵉ scales."""

    @property
    def _scaling_exponents(self) -> tuple[int, int]:
        """Smallest and largest exponent of the cast that a power of two scales (:meth:`_scaled`)."""
        return self.gradient_exponents

    def _scaled(self) -> tuple[Fixed, Fixed, str, str]:
        """Return the source and the target of the cast which 2ᵉ scales, the name of the source, and that of the target."""
        return self.cost_change_format, self.gradient_format, "cost change", "gradient"

    def _largest_source(self) -> tuple[float, str]:
        """Return the largest value that the gradient is narrowed from, and its name."""
        largest = max(self.cost_change_format.max, -self.cost_change_format.min)
        return largest * 2.0 ** (self.gradient_exponents[1] - self.cost_change_format.fraction_bits), "broadcast"

    @property
    def _casts_products(self) -> bool:
        """Whether an update is narrowed from a product, without a gradient."""
        return False

    # -- Structure ------------------------------------------------------------------------------------------------

    @property
    def module(self) -> str:
        """Name of the Verilog module, with a prefix so that a design may have the name of a Verilog keyword, such as xor."""
        return f"mgd_{self.name}"

    @property
    def gradient_memory(self) -> bool:
        """Whether each lane has a memory for G; if the user leaves it open, it has one only if it needs it."""
        built = self.hardware.gradient_memory
        return self._needs_gradient_memory if built is None else built

    @property
    def parameter_banks(self) -> bool:
        """Whether each lane has its parameters in two memories with one port each, as ``hardware.single_port`` asks."""
        return self.hardware.single_port

    @property
    def direct_update(self) -> bool:
        """Whether an update is cast without a G: u = cast_weight(g), before its sign; in node perturbation u = cast_weight(err·x).

        This requires a design without a gradient memory, and an optimiser whose source is G itself.
        """
        return not self.gradient_memory and not self.sums_by_group and self.optimizer.passes_gradient

    @property
    def sums_by_group(self) -> bool:
        """Whether G is a sum over the frames of a sample alone, which each lane keeps for one group of neurons after the other."""
        return False

    @cached_property
    def optimizer_state(self) -> tuple[StateVariable, ...]:
        """State variables of the optimiser, each of which has one value per parameter."""
        return self.optimizer.state(self.gradient_format)

    @property
    def memories(self) -> dict[Memory, Fixed]:
        """Memories of each lane, with the formats of their words."""
        gradient = {Memory.GRADIENT: self.gradient_format} if self.gradient_memory else {}
        state = {variable.memory: variable.format for variable in self.optimizer_state}
        return {Memory.PARAMETER: self.formats.weight, **gradient, **state}

    @property
    def shown_saturations(self) -> tuple[str, ...]:
        """Kinds of casts whose saturations appear in the core's events: the first eight without that of the other kind of perturbation
        (broadcast or error), the optimiser's state variables, and the state of neurons in a network with state."""
        other = "broadcast" if self.node else "error"
        return tuple(kind for kind in self.counted_saturations if kind != other)

    @property
    def counted_saturations(self) -> tuple[str, ...]:
        """Kinds of casts for which the core has a counter: the first eight, the optimiser's state variables, and the state of neurons in a
        network with state."""
        own = {*FIRST_KINDS, *(variable.name for variable in self.optimizer_state), *([_STATE] if self.series else [])}
        return tuple(kind for kind in SATURATION_KINDS if kind in own)

    @property
    def code(self) -> Code:
        """Code that generates the sign vectors.

        Raises
        ------
        TypeError
            If the hardware does not support the code.
        """
        code = self.perturbation.code
        if type(code) not in CODES.values():
            raise unknown("Code", code, "python_ref.spec.perturbation.CODES")
        return code

    @property
    def holds_signs(self) -> bool:
        """Whether the core can repeat a sign vector (τ_p > 1), for which it stores the generators' states at the vector's start."""
        return self.schedule.perturbation_period > 1

    @property
    def two_sided(self) -> bool:
        """Whether the difference is two-sided."""
        match self.schedule.difference:
            case Difference.TWO_SIDED:
                return True
            case Difference.ONE_SIDED:
                return False
            case _:
                raise unknown("Difference", self.schedule.difference, "python_ref.spec.learning.LearningSpec.two_sided")

    @cached_property
    def run_digest(self) -> str:
        """Digest of everything that the design file specifies about a run, except the data."""
        return digest_of(self)

    # -- Formats ---------------------------------------------------------------------------------------------------

    def amplitude_raw(self, fraction_bits: int) -> int:
        """Return Δ as a raw integer with ``fraction_bits``."""
        return 1 << (fraction_bits + self.perturbation.amplitude_log2)

    @property
    def cost_change_format(self) -> Fixed:
        """Format of C̃: the user's choice, or the exact one."""
        return self.formats.cost_change or self.cost_difference_format

    @property
    def gradient_format(self) -> Fixed:
        """Format of g and G: the user's choice, or the optimiser's."""
        return self.formats.gradient or self.optimizer.gradient(self.formats.weight)[0]

    @property
    def broadcast_format(self) -> Fixed:
        """Format of the broadcast word: u if the update is direct (:attr:`direct_update`), otherwise g."""
        return self.update_format if self.direct_update else self.gradient_format

    @property
    def update_source_format(self) -> Fixed:
        """Format of the source of an update that an optimiser computes from g or G, which cast_weight narrows."""
        return self.optimizer.source(self.gradient_format, self.formats.weight)

    @property
    def update_forms(self) -> tuple[Fixed, Fixed]:
        """Formats of what an update of the optimiser reads, G, and of what it moves, θ."""
        return self.gradient_format, self.formats.weight

    @property
    def parameter_limits(self) -> tuple[int, int]:
        """Smallest and largest raw parameter; in weight perturbation, θ ± Δ is in range as well."""
        weight = self.formats.weight
        margin = 0 if self.node else self.amplitude_raw(weight.fraction_bits)
        return weight.min + margin, weight.max - margin

    @property
    def update_format(self) -> Fixed:
        """Format of an update u = cast_weight(…), which is that of a parameter."""
        return self.formats.weight

    @property
    def stochastic_bits(self) -> int:
        """Width of the stochastic words: the largest number of bits that a stochastic cast drops, in any layer; 0 if there is none.

        A cast uses as many of the low bits of a word as it drops.
        """
        weight, dropped = self.formats.weight, [0]
        if self.formats.weight_cast.rounding is Rounding.STOCHASTIC:
            dropped += [source.fraction_bits - weight.fraction_bits for source in self._update_sources]
        for variable in self.optimizer_state:
            if variable.rounding is Rounding.STOCHASTIC:
                dropped.append(variable.exact.fraction_bits - variable.format.fraction_bits)
        return max(dropped)

    # -- Learning rate --------------------------------------------------------------------------------------------

    def exponent_at(self, step: int) -> int:
        """Return the exponent that the host sets for a step.

        It is e = log₂(η/Δ), or log₂(η/2Δ) for a two-sided difference. For an optimiser whose rate scales the update, it is r + b, the log₂
        of the rate and of what the optimiser adds to it in the update that the step belongs to.
        """
        if self.optimizer.scales_update:
            update = step // self.schedule.update_period
            return self.schedule.rate_at(step) + next(b for first, b in reversed(self.optimizer.exponent_changes) if first <= update)
        return self.schedule.rate_at(step) - self._perturbed_log2

    @cached_property
    def exponent_changes(self) -> tuple[int, ...]:
        """Steps, in their order, from which on the host sets an exponent, those of the schedule among them; the first one is 0."""
        period = self.schedule.update_period
        of_updates = {update * period for update, _ in self.optimizer.exponent_changes}
        return tuple(sorted({step for step, _ in self.schedule.learning_rate} | of_updates))

    @cached_property
    def exponents(self) -> tuple[int, int]:
        """Smallest and largest exponent that the core can be set to.

        The range covers the schedule, and extends downwards until the number of settings is a power of two, at least 8.
        """
        values = [self.exponent_at(step) for step in self.exponent_changes]
        span = max(8, 1 << (max(values) - min(values)).bit_length())
        return max(values) - span + 1, max(values)

    @property
    def gradient_exponents(self) -> tuple[int, int]:
        """Smallest and largest e by which 2ᵉ·E, or 2ᵉ·C̃, is narrowed: the exponents of the host, or one that is fixed in the core."""
        if self.optimizer.scales_update:
            return (self.gradient_scale - self._perturbed_log2,) * 2
        return self.exponents

    def gradient_exponent_at(self, step: int) -> int:
        """Return the e of a step by which 2ᵉ·E, or 2ᵉ·C̃, is narrowed."""
        return self.gradient_exponents[1] if self.optimizer.scales_update else self.exponent_at(step)

    @cached_property
    def gradient_scale(self) -> int:
        """Binary logarithm of what the gradient is multiplied by in G, for an optimiser whose rate scales the update.

        It is the largest one with which the sum of all that an update counts stays within G, if |∂C/∂z| < 4 and what is measured again
        after a new sample adds up like random numbers.
        """
        return self.gradient_format.integer_bits - 1 - 2 - sum(self._octaves.values())

    @property
    def gradient_reason(self) -> str:
        """What decides the derived format of G, and its scale where that does not follow from the rate, as a phrase."""
        reason = self.optimizer.gradient(self.formats.weight)[1]
        if not self.optimizer.scales_update:
            return reason
        shown = [f"2^{octaves} for {what}" for what, octaves in self._octaves.items() if octaves]
        fills = "filled by |∂C/∂z| = 4" + (f", with {' and '.join(shown)}" if shown else "")
        return f"{reason}; G is 2^{self.gradient_scale} times the gradient, {fills}"

    @property
    @abstractmethod
    def _octaves(self) -> dict[str, int]:
        """Binary logarithms of the factors by which G may exceed a gradient, by what causes them."""

    @property
    def _perturbed_log2(self) -> int:
        """Binary logarithm of the distance between the perturbed values whose costs are subtracted."""
        return self.perturbation.amplitude_log2 + self.two_sided

    @property
    def _checked_source(self) -> Fixed:
        """Format of the source of an update, whose intermediates the optimiser has checked."""
        self.optimizer.check(*self.update_forms, self.exponents[1])
        return self.update_source_format

    # -- Checks ---------------------------------------------------------------------------------------------------

    def _check_optimizer(self) -> None:
        if type(self.optimizer) not in OPTIMIZERS.values():
            raise unknown("Optimizer", self.optimizer, "python_ref.spec.optimizer.OPTIMIZERS")

    def _check_amplitude(self) -> None:
        log2 = self.perturbation.amplitude_log2
        shown = f"2^{log2}"
        weight = self.formats.weight
        if not weight.signed:
            raise DesignError("formats.weight", str(weight), "weights have negative values", "Take a signed format, such as 'SQ4.12'.")
        for name, fraction in self._amplitude_places():
            if log2 < -fraction:
                raise DesignError(
                    "perturbation.amplitude",
                    shown,
                    f"it is below the last place of {name}, 2^{-fraction}",
                    f"Take at least 2^{-fraction}, or more fraction bits.",
                )
        if not self.node and self.amplitude_raw(weight.fraction_bits) > weight.max // 2:
            raise DesignError(
                "perturbation.amplitude",
                shown,
                f"it leaves no room in formats.weight = {weight}",
                "Take a smaller amplitude or more integer bits.",
            )

    def _check_intermediates(self) -> None:
        for key, given, formats in self._intermediates():
            try:
                formats()
            except DesignError:  # raised by the optimiser, which names the key
                raise
            except ValueError as error:
                raise DesignError(
                    key,
                    given if given is None else str(given),
                    f"an intermediate that follows from it exceeds {MAX_BITS} bits ({error})",
                    "Take narrower formats or smaller layers.",
                ) from error

    def _check_widths(self) -> None:
        _, high = self._scaling_exponents
        scaled, target, name, key = self._scaled()
        most = scaled.width + max(0, target.fraction_bits - scaled.fraction_bits + high)
        if most > MAX_BITS:
            raise DesignError(
                "schedule.learning_rate",
                [list(pair) for pair in self.schedule.learning_rate],
                f"2^{high} times the {name} takes {most} bits in the {key}'s fraction, more than {MAX_BITS}",
                f"Take a smaller rate, or fewer fraction bits in formats.{key}.",
            )
        if self.stochastic_bits >= MAX_BITS:  # so that a dropped part and a word, added, have 63 bits
            raise DesignError(
                "formats.rounding.weight",
                "stochastic",
                f"a stochastic cast drops {self.stochastic_bits} bits, more than {MAX_BITS - 1}",
                "Take more fraction bits in formats.weight, or fewer in the formats that are cast to it.",
            )
        for key, source, target in self._casts():
            if source.width + max(0, target.fraction_bits - source.fraction_bits) > MAX_BITS:
                raise DesignError(
                    key, str(target), f"what is cast to it, {source}, exceeds {MAX_BITS} bits in its fraction", "Take fewer fraction bits."
                )
        for key, stored in self._stored():
            if stored.width > WORD_BITS:
                raise DesignError(
                    key,
                    str(stored),
                    f"the host reads and writes memories by words of {WORD_BITS} bits, and it has {stored.width}",
                    "Take fewer bits.",
                )
        for key, value in (("formats.gradient", self.gradient_format), ("formats.cost_change", self.cost_change_format)):
            if not value.signed:
                raise DesignError(key, str(value), "it has negative values", "Take a signed format.")

    def _stored(self) -> list[tuple[str, Fixed]]:
        """Return the key and the format of the content of each memory of a lane."""
        found = [("formats.weight", self.formats.weight)]
        found += [("formats.gradient", self.gradient_format)] if self.gradient_memory else []
        return found + [(variable.key, variable.format) for variable in self.optimizer_state]

    def _check_update(self) -> None:
        """Refuse a design that can never move a parameter, even at the largest cost change that its format holds."""
        gradient, weight = self.gradient_format, self.formats.weight
        rates = [list(pair) for pair in self.schedule.learning_rate]
        reach, name = self._largest_source()
        if not self._casts_products and reach < 2.0**-gradient.fraction_bits:
            raise DesignError(
                "schedule.learning_rate",
                rates,
                f"the largest {name}, {reach:.3g}, is below the last place of the gradient, {gradient}: it always rounds to zero",
                "Take a larger rate, or more fraction bits in formats.gradient.",
            )
        if self.optimizer.scales_update:
            reach = 2.0 ** self.exponents[1]
        elif not self.direct_update:
            reach = reach * (1 << 24)
        if not self._casts_products:
            reach = min(reach, 2.0 ** (self.update_source_format.integer_bits - 1))
        if reach < ROUNDED_AWAY_BELOW[self.formats.weight_cast.rounding] * 2.0**-weight.fraction_bits:
            raise DesignError(
                "schedule.learning_rate",
                rates,
                f"the largest update, {reach:.3g}, always rounds to zero: half a parameter's last place is 2^{-weight.fraction_bits - 1}",
                "Take a larger rate, more fraction bits in formats.weight, or stochastic rounding.",
            )
