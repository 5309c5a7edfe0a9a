"""The design, one frozen description from which the models, the hardware and the documents are built."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from python_ref.spec.digest import digest_of
from python_ref.spec.error import DesignError, unknown
from python_ref.spec.formats import Cast, Formats
from python_ref.spec.hardware import MAX_LANES, MAX_SMALL_ARRAY, Hardware
from python_ref.spec.layout import Layout
from python_ref.spec.learning import SATURATION_KINDS, LearningSpec
from python_ref.spec.network import Network, Readout
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import WORD_BITS, Optimizer, Sgd
from python_ref.spec.parts import Round, check_parts
from python_ref.spec.perturbation import Kind, Perturbation, Trinomial
from python_ref.spec.presentation import FACTOR_BITS, Presentation, measurements
from python_ref.spec.schedule import Schedule
from python_ref.spec.thresholds import Thresholds, check_random
from python_ref.spec.unrolled import Unrolled, check_unrolled

__all__ = ["MAX_LANES", "SATURATION_KINDS", "WORD_BITS", "Cast", "DesignSpec", "Formats", "Hardware", "MachineKind"]


class MachineKind(enum.Enum):
    """Machines, each of which computes the steps of designs of one kind, in every model and in hardware."""

    WEIGHT = "weight"
    """Weights are perturbed."""
    NODE = "node"
    """Neurons are perturbed, in a network without state."""
    SERIES = "series"
    """Neurons are perturbed, in a network with state, over the frames of a sample."""
    SERIES_WEIGHT = "series-weight"
    """Weights are perturbed, in a network with state, over the frames of a sample."""


_MACHINES = {
    (False, False): MachineKind.WEIGHT,
    (True, False): MachineKind.NODE,
    (True, True): MachineKind.SERIES,
    (False, True): MachineKind.SERIES_WEIGHT,
}
"""Machine of a design, by whether neurons are perturbed, and whether the network has state."""


@dataclass(frozen=True)
class DesignSpec(LearningSpec):
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
            lambda: check_random(self.network, self.perturbation),
            lambda: check_unrolled(self.network, self.perturbation, self.hardware),
            self._check_hardware,
            lambda: self.formats.check(self.network),
            self._check_amplitude,
            self._check_intermediates,
            self._check_presentation,
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
    def _outlasts_presentations(self) -> bool:
        """Whether G is a sum over the steps of an update, or in node perturbation over the presentations that end without an update."""
        schedule = self.schedule
        return schedule.sample_period % schedule.update_period != 0 if self.node else schedule.update_period > 1

    @property
    def _needs_gradient_memory(self) -> bool:
        """Whether there is a gradient memory by default: where G is a sum over steps or presentations, and where the errors of a network
        with state make it a sum over the frames as well."""
        return self.segmented or self._outlasts_presentations

    @property
    def sums_by_group(self) -> bool:
        """See :class:`~python_ref.spec.learning.LearningSpec`: perturbed neurons with state without a gradient memory."""
        return self.segmented and not self.gradient_memory

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
    def series(self) -> bool:
        """Whether a layer has state, so that a sample may be a series of frames."""
        return self.network.framed > 0

    @property
    def segmented(self) -> bool:
        """Whether the signs and the errors of neurons belong to segments of the frames: node perturbation of a network with state."""
        return self.series and self.node

    @property
    def machine(self) -> MachineKind:
        """Machine that computes the steps of the design."""
        return _MACHINES[self.node, self.series]

    @cached_property
    def unrolled(self) -> Unrolled:
        """Network unrolled over its frames, of which one without state has one."""
        return Unrolled.of(self.network, self.perturbation)

    @property
    def parameter_banks(self) -> bool:
        """See :class:`~python_ref.spec.learning.LearningSpec`. In a network with state, the sums of errors are in such memories instead."""
        return self.hardware.single_port and not self.series

    @property
    def evaluations(self) -> int:
        """Number of evaluations of neurons in a pass: one for each neuron, or in a network with state for each frame."""
        return self.unrolled.evaluations

    @property
    def one_visit(self) -> bool:
        """Whether one visit of the first layer gives the pre-activations of both passes of a step, as in weight perturbation.

        z₊ = Σ(θ + sΔ)·x = Σθ·x + Δ·Σs·x, and the lanes form the sum of ±x without a multiplier. The passes of a network with state follow
        one another.
        """
        return not self.node and not self.series

    @property
    def quantities(self) -> int:
        """Number of perturbed quantities."""
        return self.unrolled.quantities if self.node else self.network.n_parameters

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases in all layers."""
        return self.network.n_parameters

    @property
    def sign_generators(self) -> tuple[Trinomial, ...]:
        """Generators of the random signs: one bit per lane and word, or in node perturbation one bit per word, whatever the lanes."""
        return self.code.generators(1 if self.node else self.hardware.lanes)

    @property
    def draws(self) -> int:
        """Number of words of signs of a sign vector: one per slot of a pass, or in node perturbation one per quantity."""
        return self.quantities if self.node else self.layout.slots

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
        quantities, exponent = self.quantities, self.gradient_exponents[1]
        scale = exponent + self._perturbed_log2
        amplitude, two_sided = self.perturbation.amplitude_log2, self.two_sided
        kinds = dict.fromkeys(layer.kind for layer in self.network.layers)
        factors = dict.fromkeys((kind.factors(self.code.values), kind.error_offset(amplitude, two_sided)) for kind in kinds)
        return Presentation(
            self.formats,
            self.schedule,
            self.code,
            quantities,
            self.cost_change_format,
            exponent,
            bits,
            self.round,
            scale,
            tuple(factors),
        )

    @property
    def _octaves(self) -> dict[str, int]:
        schedule = self.schedule
        if not self.node:
            power = 1 + 3 * max(self.network.sizes[:-1]) // 10
            frames = {"the frames of a sample": _half_log2(self.network.frames)} if self.series else {}
            return {"the inputs of a neuron": _half_log2(power), **frames, "the steps of an update": _half_log2(schedule.update_period)}
        measured = measurements(schedule, self.code, self.quantities, self.round)
        presentations = -(-schedule.update_period // schedule.sample_period)
        return {"the measurements of a neuron": (measured - 1).bit_length(), "the samples of an update": _half_log2(presentations)}

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

        It needs a code that perturbs one neuron at a time, a hidden layer, activations whose difference is a factor of one
        multiplier, no random outputs, and layers behind the first whose neurons have all inputs, so that one slot of each group has the
        one that changes.
        The number of lanes has no part in it, so that counters and signatures do not depend on that number.
        """
        every_input = all(layer.lists is None for layer in self.network.layers[1:])
        one = self.node and not self.series and self.code.single and len(self.network.layers) > 1
        return one and every_input and not self.network.random and self.formats.activation.width < FACTOR_BITS

    @property
    def thresholds(self) -> Thresholds | None:
        """Thresholds of the stochastic neurons; None if there are none."""
        return Thresholds(self.network, self.formats.activation.fraction_bits) if self.network.random else None

    def threshold_words(self, step: int) -> int:
        """Return the number of words of thresholds that the steps before a step take, from which a run that is resumed goes on.

        The step must be a multiple of all three periods, and the run have come to it without a load or an inference in between; 0 without
        stochastic neurons.
        """
        if self.thresholds is None:
            return 0
        return self.thresholds.words_until(step, self.schedule, self.code, self.round, self.two_sided)

    @property
    def longest_presentation(self) -> int:
        """Largest number K of steps of a presentation, for which E is built."""
        return self.presentation.longest

    @property
    def sample_width(self) -> int:
        """Width of a word of the sample stream, in bits: of an input, a target, or the length of a series."""
        length = self.network.frames.bit_length() if self.network.record_inputs > self.network.n_in else 0
        return max(self.formats.input.width, self.formats.activation.width, length)

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
                **({"kinds": [each.kind.structure(each.n_in, each.n_out) for each in self.network.layers]} if self.network.kinds else {}),
                **({"gradient_scale": self.gradient_scale} if self.optimizer.scales_update else {}),
                **({"series": self._frames} if self.series else {}),
                "holds_signs": self.holds_signs,
                "hardware": self.hardware,
            }
        )

    @property
    def _frames(self) -> dict[str, object]:
        """What is fixed in a core of a network with state; the hold is a register."""
        network, segments = self.network, {"segments": self.unrolled.segments} if self.segmented else {}
        return {"frames": network.frames, "readout": network.readout, "held": network.held, **segments}

    # -- Formats, all exact except those that the user chose ------------------------------------------------------

    def shown_errors(self, length: int) -> np.ndarray:
        """Return the quantities whose errors a presentation of a sample of ``length`` frames shows (int64), in the order of their casts."""
        return self.cast_order[self.unrolled.perturbed(length)[self.cast_order]]

    @property
    def cast_order(self) -> np.ndarray:
        """All quantities of a network with state (int64, shape (quantities,)), in the order in which their errors are cast."""
        return self.unrolled.group_by_group(self.hardware.lanes) if self.sums_by_group else np.arange(self.quantities, dtype=np.int64)

    def output_format(self, layer: int) -> Fixed:
        """Return the format of a layer's outputs in a frame."""
        return self.network.layers[layer].kind.output_format(self.formats.activation)

    def state_format(self, layer: int) -> Fixed | None:
        """Return the format of a layer's state, or None if it has none."""
        return self.network.layers[layer].kind.state_format(self.formats.activation, self.formats.state)

    def passed_format(self, layer: int) -> Fixed:
        """Return the format of what a layer passes on: its outputs, or their sum over the frames."""
        form, network = self.output_format(layer), self.network
        if layer != network.framed - 1 or network.readout is Readout.LAST:
            return form
        return Fixed.covering(network.frames * form.min, network.frames * form.max, form.fraction_bits)

    @property
    def outputs_format(self) -> Fixed:
        """Format of the outputs of the network."""
        return self.passed_format(len(self.network.layers) - 1)

    def operand_formats(self, layer: int) -> tuple[tuple[int, Fixed], ...]:
        """Return the numbers and the formats of a layer's operands: its inputs, then its own outputs if it is recurrent."""
        placed, inputs = self.network.layers[layer], self.passed_format(layer - 1) if layer else self.formats.input
        if not placed.kind.recurrent:
            return ((placed.fan_in, inputs),)
        return (placed.n_in, inputs), (placed.n_out, self.output_format(layer))

    def operand_format(self, layer: int) -> Fixed:
        """Return the format of a layer's operands: where they have several, the narrowest one that has the fraction bits of each."""
        forms = [form for _, form in self.operand_formats(layer)]
        fraction = max(form.fraction_bits for form in forms)
        low = min(form.min << fraction - form.fraction_bits for form in forms)
        high = max(form.max << fraction - form.fraction_bits for form in forms)
        return forms[0] if len(forms) == 1 else Fixed.covering(low, high, fraction)

    def preactivation_format(self, layer: int) -> Fixed:
        """Return the exact format of a layer's pre-activations, perturbation included."""
        weight, common = self.formats.weight, self.operand_format(layer).fraction_bits
        fraction = weight.fraction_bits + common
        delta = self.delta(layer)
        low, high = (weight.min << common) - delta, (weight.max << common) + delta
        for count, form in self.operand_formats(layer):
            ends = [w * x << common - form.fraction_bits for w in (weight.min, weight.max) for x in (form.min, form.max)]
            low, high = low + count * min(ends), high + count * max(ends)
        return Fixed.covering(low, high, fraction)

    def delta(self, layer: int) -> int:
        """Return Δ of node perturbation as a raw pre-activation of a layer; 0 if its neurons have their own noise, and in weight
        perturbation."""
        perturbed = self.node and not self.network.layers[layer].kind.own_noise
        return self.amplitude_raw(self.formats.weight.fraction_bits + self.operand_format(layer).fraction_bits) if perturbed else 0

    @property
    def accumulator_width(self) -> int:
        """Width of a lane's accumulator in bits, sufficient for every layer."""
        return max(self.preactivation_format(layer).width for layer in range(len(self.network.layers)))

    @property
    def sign_sum_format(self) -> Fixed:
        """Exact format of Σs·x over the operands of a neuron of the first layer and the constant 1 of its bias."""
        form = self.formats.input
        most = self.network.layers[0].fan_in * max(-form.min, form.max) + (1 << form.fraction_bits)
        return Fixed.covering(-most, most, form.fraction_bits)

    @property
    def residual_format(self) -> Fixed:
        """Exact format of y − y*."""
        return self.outputs_format - self.formats.activation

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
    def error_sum_format(self) -> Fixed:
        """Exact format of E, the sum of s·C̃ or m·C̃ over the longest presentation, in node perturbation."""
        return self.presentation.error_sum

    @property
    def factor_format(self) -> Fixed:
        """Format of the factor of C̃ at a neuron: its sign, or the difference m of two counts of a stochastic neuron."""
        factors = [factor for layer in self.network.layers for factor in layer.kind.factors((-1, 1))]
        return Fixed.covering(min(factors), max(factors), 0)

    def error_offset(self, layer: int) -> int:
        """Return o, with which the errors of a layer are cast_error(2^(e + o)·E), in node perturbation; 0 without noise of its own."""
        return self.network.layers[layer].kind.error_offset(self.perturbation.amplitude_log2, self.two_sided)

    @property
    def _scaling_exponents(self) -> tuple[int, int]:
        if not self.node:
            return super()._scaling_exponents
        (low, high), offsets = self.gradient_exponents, [self.error_offset(layer) for layer in range(len(self.network.layers))]
        return low + min(offsets), high + max(offsets)

    @property
    def error_format(self) -> Fixed:
        """Format of err = cast_error(2ᵉ·E), in node perturbation: the user's choice, or the derived one."""
        return self.presentation.error

    def error_product_format(self, layer: int) -> Fixed:
        """Return the exact format of err·x in node perturbation, where x is an input of a layer or the 1 of its biases."""
        return self.presentation.product(self.operand_format(layer))

    def update_source(self, layer: int) -> Fixed:
        """Return the format of the source of a layer's updates: err·x for a direct update of node perturbation, else the optimiser's."""
        return self.error_product_format(layer) if self.node and self.direct_update else self.update_source_format

    @property
    def _update_sources(self) -> list[Fixed]:
        return [self.update_source(layer) for layer in range(len(self.network.layers))]

    # -- Checks ---------------------------------------------------------------------------------------------------

    def _check_hardware(self) -> None:
        lanes = self.hardware.lanes
        if not isinstance(lanes, int) or isinstance(lanes, bool) or not 1 <= lanes <= MAX_LANES:
            raise DesignError("hardware.lanes", lanes, f"it must be a whole number from 1 to {MAX_LANES}", "Take 4, say.")
        for number, layer in enumerate(self.network.layers):
            layer.kind.check_lanes(number, layer.n_out, lanes)
        self._check_multipliers()
        self._check_ports()
        if self._outlasts_presentations and not self.gradient_memory:
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

    def _check_ports(self) -> None:
        if self.hardware.single_port and not self.node:
            reason = "in weight perturbation a parameter is read and another one written in any cycle, so their memory has two ports"
            raise DesignError("hardware.memory", "single-port", reason, 'Leave it out, or write kind = "node" in [perturbation].')

    def _amplitude_places(self) -> list[tuple[str, int]]:
        if not self.node:
            return super()._amplitude_places()
        layers = [number for number, layer in enumerate(self.network.layers) if not layer.kind.own_noise]
        found = [("pre-activations", self.formats.weight.fraction_bits + self.operand_format(layer).fraction_bits) for layer in layers]
        for layer in self.network.layers:
            if layer.kind.own_noise:
                continue
            if not layer.kind.activated:
                found.append(("formats.state", self.formats.state.fraction_bits))
            elif layer.activation.tabulated:
                found.append(("the activation table", self.formats.table.fraction_bits))
        return found

    def _check_presentation(self) -> None:
        if self.node:
            self.presentation.check()

    def _intermediates(self) -> list[tuple[str, object, Callable[[], object]]]:
        formats, layers = self.formats, range(len(self.network.layers))
        return [
            ("formats.weight", formats.weight, lambda: [self.preactivation_format(layer) for layer in layers]),
            ("formats.activation", formats.activation, lambda: [self.cost_format, self.cost_difference_format]),
            ("formats.error", formats.error, lambda: [self.error_product_format(layer) for layer in layers] if self.node else []),
            *super()._intermediates(),
        ]

    def _scaled(self) -> tuple[Fixed, Fixed, str, str]:
        if not self.node:
            return super()._scaled()
        return self.error_sum_format, self.error_format, "sum of the cost changes", "error"

    def _largest_source(self) -> tuple[float, str]:
        if not self.node:
            return super()._largest_source()
        forms = [self.operand_format(layer) for layer in range(len(self.network.layers))] if self.series else []
        operand = max(max(x.max, -x.min) / 2**x.fraction_bits for x in (self.formats.input, self.formats.activation, *forms))
        reach = max(1.0, operand) * self.presentation.largest_error
        if reach == 0:
            raise DesignError(
                "schedule.learning_rate",
                [list(pair) for pair in self.schedule.learning_rate],
                f"the largest error is below the last place of its format, {self.error_format}: it always rounds to zero",
                "Take a larger rate, or more fraction bits in formats.error.",
            )
        return reach, "product of an error and an input"

    @property
    def _casts_products(self) -> bool:
        return self.node and self.direct_update

    def _casts(self) -> list[tuple[str, Fixed, Fixed]]:
        found = [("formats.cost_change", self.cost_difference_format, self.cost_change_format)]
        for number, layer in enumerate(self.network.layers):
            form, source = layer.activation.form, self.preactivation_format(number)
            if layer.kind.activated:
                found.append(("formats.activation", form.exact_format(source), self.formats.activation))
            else:
                found.append(("formats.state", source, self.formats.state))
            if layer.kind.activated and layer.activation.tabulated:
                found.append(("formats.table", source, self.formats.table))
            if self.node and not self.direct_update:
                found.append(("formats.gradient", self.error_product_format(number), self.gradient_format))
            found.append(("formats.weight", self.update_source(number), self.update_format))
        return found + [(variable.key, variable.exact, variable.format) for variable in self.optimizer_state]


def _half_log2(count: int) -> int:
    """Return ⌈½·log₂ count⌉, so that its power of two is at least √count."""
    return ((count - 1).bit_length() + 1) // 2


def code_period(spec: LearningSpec) -> int | None:
    """Return the number of steps after which the random signs of a run repeat, or None for a code that draws none."""
    generators = spec.sign_generators
    if not generators:
        return None
    return min(((1 << g.degree) - 1) // (spec.draws * g.outputs) for g in generators) * spec.schedule.perturbation_period
