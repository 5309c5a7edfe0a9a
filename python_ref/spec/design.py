"""The design, one frozen description from which the models, the hardware and the documents are built."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from python_ref.spec.digest import digest_of
from python_ref.spec.error import DesignError, unknown
from python_ref.spec.formats import ROUNDED_AWAY_BELOW, Cast, Formats
from python_ref.spec.hardware import MAX_LANES, MAX_SMALL_ARRAY, Hardware
from python_ref.spec.layout import Layout
from python_ref.spec.network import Network
from python_ref.spec.number import MAX_BITS, Fixed, Rounding
from python_ref.spec.optimizer import OPTIMIZERS, WORD_BITS, Memory, Optimizer, Sgd, StateVariable
from python_ref.spec.parts import Round, check_parts
from python_ref.spec.perturbation import CODES, Code, Kind, Perturbation, Trinomial
from python_ref.spec.presentation import FACTOR_BITS, Presentation
from python_ref.spec.schedule import Difference, Schedule

__all__ = ["MAX_LANES", "SATURATION_KINDS", "WORD_BITS", "Cast", "DesignSpec", "Formats", "Hardware"]

_FIRST_KINDS = ("activation", "cost_change", "broadcast", "gradient", "momentum", "error", "update", "weight")
"""Kinds of casts for which every core has a saturation counter, even if it has no cast of that kind."""

SATURATION_KINDS = (*_FIRST_KINDS, *(memory.name.lower() for memory in Memory if memory > Memory.MOMENTUM))
"""Kinds of casts whose saturations are counted, in the order of their counters. A counter counts values of existing neurons
(activation), one value per step (cost_change), one per neuron and presentation (error), or values that reach existing parameters (the
other kinds). The counter of the broadcast remains 0 in node perturbation, that of the error in weight perturbation. The kinds after the
first eight are state variables of optimisers; their counters remain 0 in a design whose optimiser lacks the variable."""


@dataclass(frozen=True)
class DesignSpec:
    """A complete, checked design; properties derive whatever the user left open.

    Parameters
    ----------
    name : str
        Name of the design: letters, digits and underscores.
    network, perturbation, schedule, optimizer, formats, hardware
        Settings of the design by topic, one object for each; the last three have defaults.

    Raises
    ------
    DesignError
        If the parts do not fit together; the error names the key of the design file, the value and the remedy.
    """

    name: str
    network: Network
    perturbation: Perturbation
    schedule: Schedule
    optimizer: Optimizer = field(default_factory=Sgd)
    formats: Formats = field(default_factory=Formats)
    hardware: Hardware = field(default_factory=Hardware)

    def __post_init__(self) -> None:
        for check in (
            self._check_optimizer,
            lambda: check_parts(self.network, self.perturbation, self.schedule),
            self._check_hardware,
            lambda: self.formats.check(self.network),
            self._check_amplitude,
            self._check_widths,
            self._check_update,
        ):
            check()

    # -- Structure ------------------------------------------------------------------------------------------------

    @cached_property
    def layout(self) -> Layout:
        """Places of the neurons and the parameters in the array of lanes."""
        return Layout(self.network, self.hardware.lanes)

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
    def _needs_gradient_memory(self) -> bool:
        """Whether G is a sum: over the steps of an update, or in node perturbation over the presentations that end without an update."""
        schedule = self.schedule
        return schedule.sample_period % schedule.update_period != 0 if self.node else schedule.update_period > 1

    @property
    def direct_update(self) -> bool:
        """Whether an update is cast without a G: u = cast_weight(g), before its sign; in node perturbation u = cast_weight(err·x).

        This requires a design without a gradient memory, and an optimiser whose source is G itself.
        """
        return not self.gradient_memory and self.optimizer.passes_gradient

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
        (broadcast or error), and the optimiser's state variables."""
        own, other = {variable.name for variable in self.optimizer_state}, "broadcast" if self.node else "error"
        return tuple(kind for kind in SATURATION_KINDS if kind != other and (kind in _FIRST_KINDS or kind in own))

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
                raise unknown("Difference", self.schedule.difference, "python_ref.spec.design.DesignSpec.two_sided")

    @property
    def node(self) -> bool:
        """Whether neurons, rather than weights, are perturbed."""
        match self.perturbation.kind:
            case Kind.NODE:
                return True
            case Kind.WEIGHT:
                return False
            case _:
                raise unknown("Kind", self.perturbation.kind, "python_ref.spec.design.DesignSpec.node")

    @property
    def one_visit(self) -> bool:
        """Whether one visit of the first layer gives the pre-activations of both passes of a step, as in weight perturbation.

        z₊ = Σ(θ + sΔ)·x = Σθ·x + Δ·Σs·x, and the lanes form the sum of ±x without a multiplier.
        """
        return not self.node

    @property
    def quantities(self) -> int:
        """Number of perturbed quantities."""
        return self.network.n_neurons if self.node else self.network.n_parameters

    @property
    def sign_generators(self) -> tuple[Trinomial, ...]:
        """Generators of the random signs: one bit per lane and word, or in node perturbation one bit per word, whatever the lanes."""
        return self.code.generators(1 if self.node else self.hardware.lanes)

    @property
    def draws(self) -> int:
        """Number of words of signs of a sign vector: one per slot of a pass, or in node perturbation one per neuron."""
        return self.network.n_neurons if self.node else self.layout.slots

    @property
    def rounding_words(self) -> int:
        """Number of stochastic words of an update: one per slot of a pass, or in node perturbation one per input of each layer."""
        return self.layout.places if self.node else self.layout.slots

    @property
    def passes(self) -> int:
        """Number of passes that a step shows.

        In node perturbation pass 0 is the unperturbed one, pass 1 the one with +sΔ, and pass 2, if the difference is two-sided, the one
        with −sΔ. In weight perturbation they are two: C₀ and C₊, or C₊ and C₋.
        """
        return 2 + (self.node and self.two_sided)

    @property
    def just_in_time(self) -> bool:
        """Whether the lanes apply the errors of a presentation in the next one's unperturbed pass, just before they use the parameters.

        Then each lane has two multipliers, one for the errors and one for the weights.
        """
        return self.node and self.hardware.multipliers_per_lane == 2

    @property
    def kept_samples(self) -> int:
        """Number of samples before the current one that the core still needs while it measures the current one."""
        return int(self.just_in_time)

    @property
    def sample_buffers(self) -> int:
        """Number of samples that the core stores: the current one, the next, and those before it that it needs."""
        return 2 + self.kept_samples

    @cached_property
    def presentation(self) -> Presentation:
        """Longest presentation, in node perturbation.

        Raises
        ------
        ValueError
            If weights are perturbed.
        """
        if not self.node:
            raise ValueError("Kind of perturbation must be node, since only its steps form presentations, not weight")
        bits = 16 if self.hardware.lanes <= MAX_SMALL_ARRAY else 18
        neurons, exponent = self.network.n_neurons, self.exponents[1]
        return Presentation(self.formats, self.schedule, self.code, neurons, self.cost_change_format, exponent, bits, self.round)

    @cached_property
    def round(self) -> Round:
        """Parts of the network that the probes of a presentation perturb in turn, in node perturbation."""
        return Round.of(self.network, self.perturbation.parts)

    @property
    def in_parts(self) -> bool:
        """Whether a probe perturbs a part of the network, rather than all of its layers."""
        return self.node and len(self.round.parts) > 1

    @property
    def incremental(self) -> bool:
        """Whether a probe computes only what its one perturbed neuron changes: the neuron itself, and the layers behind it.

        It needs a code that perturbs one neuron at a time, a hidden layer, and activations whose difference is a factor of one
        multiplier. The number of lanes has no part in it, so that counters and signatures do not depend on that number.
        """
        return self.node and self.code.single and len(self.network.layers) > 1 and self.formats.activation.width < FACTOR_BITS

    @property
    def longest_presentation(self) -> int:
        """Largest number K of steps of a presentation, for which E is built."""
        return self.presentation.longest

    @property
    def sample_width(self) -> int:
        """Width of a word of the sample stream, in bits."""
        return max(self.formats.input.width, self.formats.activation.width)

    @cached_property
    def digest(self) -> str:
        """Digest of the structure, that is, of everything that is fixed in the core.

        It excludes periods, rates, seeds and the initial parameters.
        """
        return digest_of(
            {
                "name": self.name,
                "sizes": self.network.sizes,
                "hidden": self.network.hidden,
                "output": self.network.output,
                "kind": self.perturbation.kind,
                "code": self.perturbation.code,
                "amplitude_log2": self.perturbation.amplitude_log2,
                "difference": self.schedule.difference,
                "exponents": self.exponents,
                "optimizer": self.optimizer,
                "formats": self.formats,
                "cost_change": self.cost_change_format,
                "gradient": self.gradient_format,
                "gradient_memory": self.gradient_memory,
                "presentation": [self.longest_presentation, self.error_format] if self.node else None,
                **({"parts": self.perturbation.parts} if self.in_parts else {}),
                "holds_signs": self.holds_signs,
                "hardware": self.hardware,
            }
        )

    @cached_property
    def run_digest(self) -> str:
        """Digest of everything that the design file specifies about a run, except the data."""
        return digest_of(self)

    # -- Formats, all exact except those that the user chose ------------------------------------------------------

    def operand_format(self, layer: int) -> Fixed:
        """Return the format of the inputs of a layer."""
        return self.formats.activation if layer else self.formats.input

    def amplitude_raw(self, fraction_bits: int) -> int:
        """Return Δ as a raw integer with ``fraction_bits``."""
        return 1 << (fraction_bits + self.perturbation.amplitude_log2)

    def preactivation_format(self, layer: int) -> Fixed:
        """Return the exact format of a layer's pre-activations, perturbation included."""
        weight, operand = self.formats.weight, self.operand_format(layer)
        n_in = self.network.sizes[layer]
        products = [w * x for w in (weight.min, weight.max) for x in (operand.min, operand.max)]
        fraction = weight.fraction_bits + operand.fraction_bits
        delta = self.amplitude_raw(fraction) if self.node else 0
        low = n_in * min(products) + (weight.min << operand.fraction_bits) - delta
        high = n_in * max(products) + (weight.max << operand.fraction_bits) + delta
        return Fixed.covering(low, high, fraction)

    @property
    def accumulator_width(self) -> int:
        """Width of a lane's accumulator in bits, sufficient for every layer."""
        return max(self.preactivation_format(layer).width for layer in range(len(self.network.layers)))

    @property
    def sign_sum_format(self) -> Fixed:
        """Exact format of Σs·x over the inputs of the first layer and the constant 1 of its bias."""
        form = self.formats.input
        most = self.network.n_in * max(-form.min, form.max) + (1 << form.fraction_bits)
        return Fixed.covering(-most, most, form.fraction_bits)

    @property
    def parameter_limits(self) -> tuple[int, int]:
        """Smallest and largest raw parameter; in weight perturbation, θ ± Δ is in range as well."""
        weight = self.formats.weight
        margin = 0 if self.node else self.amplitude_raw(weight.fraction_bits)
        return weight.min + margin, weight.max - margin

    @property
    def residual_format(self) -> Fixed:
        """Exact format of y − y*."""
        return self.formats.activation - self.formats.activation

    @property
    def cost_format(self) -> Fixed:
        """Exact format of C = Σ(y − y*)²."""
        residual = self.residual_format
        return Fixed.covering(0, self.network.n_out * max(residual.min**2, residual.max**2), 2 * residual.fraction_bits)

    @property
    def cost_difference_format(self) -> Fixed:
        """Exact format of C₊ − C₀."""
        return self.cost_format - self.cost_format

    @property
    def cost_change_format(self) -> Fixed:
        """Format of C̃: the user's choice, or the exact one."""
        return self.formats.cost_change or self.cost_difference_format

    @property
    def error_sum_format(self) -> Fixed:
        """Exact format of E, the sum of s·C̃ over the longest presentation, in node perturbation."""
        return self.presentation.error_sum

    @property
    def error_format(self) -> Fixed:
        """Format of err = cast_error(2ᵉ·E), in node perturbation: the user's choice, or the derived one."""
        return self.presentation.error

    def error_product_format(self, layer: int) -> Fixed:
        """Return the exact format of err·x in node perturbation, where x is an input of a layer or the 1 of its biases."""
        return self.presentation.product(self.operand_format(layer))

    @property
    def gradient_format(self) -> Fixed:
        """Format of g and G: the user's choice, or that of a parameter with 8 more fraction bits."""
        weight = self.formats.weight
        return self.formats.gradient or Fixed(True, weight.integer_bits, weight.fraction_bits + 8)

    @property
    def broadcast_format(self) -> Fixed:
        """Format of the broadcast word: u if the update is direct (:attr:`direct_update`), otherwise g."""
        return self.update_format if self.direct_update else self.gradient_format

    @property
    def update_source_format(self) -> Fixed:
        """Format of the source of an update that an optimiser computes from g or G, which cast_weight narrows."""
        return self.optimizer.source(self.gradient_format)

    def update_source(self, layer: int) -> Fixed:
        """Return the format of the source of a layer's updates: err·x for a direct update of node perturbation, else the optimiser's."""
        return self.error_product_format(layer) if self.node and self.direct_update else self.update_source_format

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
            sources = [self.update_source(layer) for layer in range(len(self.network.layers))]
            dropped += [source.fraction_bits - weight.fraction_bits for source in sources]
        for variable in self.optimizer_state:
            if variable.rounding is Rounding.STOCHASTIC:
                dropped.append(variable.exact.fraction_bits - variable.format.fraction_bits)
        return max(dropped)

    # -- Learning rate --------------------------------------------------------------------------------------------

    def exponent_at(self, step: int) -> int:
        """Return the exponent e at a step: log₂(η/Δ), or log₂(η/2Δ) for a two-sided difference."""
        return self.schedule.rate_at(step) - self.perturbation.amplitude_log2 - self.two_sided

    @property
    def exponents(self) -> tuple[int, int]:
        """Smallest and largest e that the core can be set to.

        The range covers the schedule, and extends downwards until the number of settings is a power of two, at least 8.
        """
        values = [self.exponent_at(step) for step, _ in self.schedule.learning_rate]
        span = max(8, 1 << (max(values) - min(values)).bit_length())
        return max(values) - span + 1, max(values)

    # -- Checks ---------------------------------------------------------------------------------------------------

    def _check_optimizer(self) -> None:
        if type(self.optimizer) not in OPTIMIZERS.values():
            raise unknown("Optimizer", self.optimizer, "python_ref.spec.optimizer.OPTIMIZERS")

    def _check_hardware(self) -> None:
        lanes = self.hardware.lanes
        if not isinstance(lanes, int) or isinstance(lanes, bool) or not 1 <= lanes <= MAX_LANES:
            raise DesignError("hardware.lanes", lanes, f"it must be a whole number from 1 to {MAX_LANES}", "Take 4, say.")
        self._check_multipliers()
        if self._needs_gradient_memory and not self.gradient_memory:
            reason, remedy = "a core without a gradient memory updates every step", "update_period = 1"
            if self.node:
                reason = "a core without a gradient memory updates at the end of every presentation, also where a new sample ends it"
                remedy = f"an update_period that divides sample_period = {self.schedule.sample_period}"
            raise DesignError(
                "schedule.update_period",
                self.schedule.update_period,
                reason,
                f"Set hardware.gradient_memory = true, or leave it out, or take {remedy}.",
            )

    def _check_multipliers(self) -> None:
        multipliers, key = self.hardware.multipliers_per_lane, "hardware.multipliers_per_lane"
        if isinstance(multipliers, bool) or multipliers not in (1, 2):
            raise DesignError(key, multipliers, "it must be a whole number from 1 to 2", "Take 1, say.")
        if multipliers == 2 and not self.node:
            reason = "a lane of weight perturbation has one product for each parameter, that of the weight and its operand"
            raise DesignError(key, multipliers, reason, 'Leave it out, or write kind = "node" in [perturbation].')

    def _check_amplitude(self) -> None:
        log2 = self.perturbation.amplitude_log2
        shown = f"2^{log2}"
        weight = self.formats.weight
        if not weight.signed:
            raise DesignError("formats.weight", str(weight), "weights have negative values", "Take a signed format, such as 'SQ4.12'.")
        if self.node:
            steps = [
                ("pre-activations", weight.fraction_bits + self.operand_format(layer).fraction_bits)
                for layer in range(len(self.network.layers))
            ]
            for layer in self.network.layers:
                steps += [("the activation table", self.formats.table.fraction_bits)] if layer.activation.tabulated else []
        else:
            steps = [("formats.weight", weight.fraction_bits)]
        for name, fraction in steps:
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

    def _check_widths(self) -> None:
        layers = range(len(self.network.layers))
        wanted = {
            "formats.weight": lambda: [self.preactivation_format(layer) for layer in layers],
            "formats.activation": lambda: [self.cost_format, self.cost_difference_format],
            "formats.error": lambda: [self.error_product_format(layer) for layer in layers] if self.node else [],
            "formats.gradient": lambda: [self.gradient_format + self.gradient_format, self.gradient_format - self.gradient_format],
            "optimizer.format": lambda: [self.update_source_format, *self.optimizer_state],
        }
        shown = {
            "formats.weight": self.formats.weight,
            "formats.activation": self.formats.activation,
            "formats.error": self.formats.error,
            "formats.gradient": self.formats.gradient,
            "optimizer.format": getattr(self.optimizer, "format", None),
        }
        for key, formats in wanted.items():
            try:
                formats()
            except DesignError:  # raised by the optimiser, which names the key
                raise
            except ValueError as error:
                value = shown[key] if shown[key] is None else str(shown[key])
                raise DesignError(
                    key,
                    value,
                    f"an intermediate that follows from it exceeds {MAX_BITS} bits ({error})",
                    "Take narrower formats or smaller layers.",
                ) from error
        if self.node:
            self.presentation.check()
        _, high = self.exponents
        scaled, target, name, key = self.cost_change_format, self.gradient_format, "cost change", "gradient"
        if self.node:
            scaled, target, name, key = self.error_sum_format, self.error_format, "sum of the cost changes", "error"
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

    def _casts(self) -> list[tuple[str, Fixed, Fixed]]:
        """Return the key, source format and target format of every cast except that which 2ᵉ scales."""
        found = [("formats.cost_change", self.cost_difference_format, self.cost_change_format)]
        for number, layer in enumerate(self.network.layers):
            form, source = layer.activation.form, self.preactivation_format(number)
            found.append(("formats.activation", form.exact_format(source), self.formats.activation))
            if layer.activation.tabulated:
                found.append(("formats.table", source, self.formats.table))
            if self.node and not self.direct_update:
                found.append(("formats.gradient", self.error_product_format(number), self.gradient_format))
            found.append(("formats.weight", self.update_source(number), self.update_format))
        return found + [(variable.key, variable.exact, variable.format) for variable in self.optimizer_state]

    def _check_update(self) -> None:
        """Refuse a design that can never move a parameter, even at the largest cost change that its format holds."""
        gradient, weight = self.gradient_format, self.formats.weight
        rates = [list(pair) for pair in self.schedule.learning_rate]
        if self.node:
            operand = max(max(x.max, -x.min) / 2**x.fraction_bits for x in (self.formats.input, self.formats.activation))
            reach, name = max(1.0, operand) * self.presentation.largest_error, "product of an error and an input"
            if reach == 0:
                raise DesignError(
                    "schedule.learning_rate",
                    rates,
                    f"the largest error is below the last place of its format, {self.error_format}: it always rounds to zero",
                    "Take a larger rate, or more fraction bits in formats.error.",
                )
        else:
            largest = max(self.cost_change_format.max, -self.cost_change_format.min)
            reach, name = largest * 2.0 ** (self.exponents[1] - self.cost_change_format.fraction_bits), "broadcast"
        if not (self.node and self.direct_update) and reach < 2.0**-gradient.fraction_bits:
            raise DesignError(
                "schedule.learning_rate",
                rates,
                f"the largest {name}, {reach:.3g}, is below the last place of the gradient, {gradient}: it always rounds to zero",
                "Take a larger rate, or more fraction bits in formats.gradient.",
            )
        if not self.direct_update:
            reach = reach * (1 << 24)
        if not (self.node and self.direct_update):
            reach = min(reach, 2.0 ** (self.update_source_format.integer_bits - 1))
        if reach < ROUNDED_AWAY_BELOW[self.formats.weight_cast.rounding] * 2.0**-weight.fraction_bits:
            raise DesignError(
                "schedule.learning_rate",
                rates,
                f"the largest update, {reach:.3g}, always rounds to zero: half a parameter's last place is 2^{-weight.fraction_bits - 1}",
                "Take a larger rate, more fraction bits in formats.weight, or stochastic rounding.",
            )


def code_period(spec: DesignSpec) -> int | None:
    """Return the number of steps after which the random signs of a run repeat, or None for a code that draws none."""
    generators = spec.sign_generators
    if not generators:
        return None
    return min(((1 << g.degree) - 1) // (spec.draws * g.outputs) for g in generators) * spec.schedule.perturbation_period
