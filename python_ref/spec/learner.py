"""The learner: a design whose network is outside. It perturbs N quantities, takes costs from the outside, and learns inside.

docs/design/learner.md says what it computes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

from python_ref.spec.digest import digest_of
from python_ref.spec.error import DesignError, unknown
from python_ref.spec.formats import LearnerFormats
from python_ref.spec.hardware import Hardware
from python_ref.spec.layout import Places
from python_ref.spec.learning import LearningSpec
from python_ref.spec.network import Initialization, Scheme
from python_ref.spec.number import Fixed, Rounding
from python_ref.spec.optimizer import WORD_BITS, Optimizer, Sgd
from python_ref.spec.perturbation import Kind, Perturbation, Trinomial
from python_ref.spec.schedule import MAX_PERIOD, Schedule

__all__ = ["MAX_AVERAGE", "MAX_CYCLES", "MAX_QUANTITIES", "MAX_STREAMS", "LearnerSpec", "Outside", "stream_names"]

MAX_QUANTITIES = 1 << 16
"""Maximum number of quantities of a learner."""
MAX_STREAMS = 8
"""Maximum number of streams of words of a learner, which is that of its lanes."""
MAX_AVERAGE = 12
"""Maximum log₂ of the number of cost words whose mean is taken."""
MAX_CYCLES = (1 << 32) - 1
"""Maximum of the waits of a measurement, in cycles."""


@dataclass(frozen=True)
class Outside:
    """What a learner must know of the outside.

    Parameters
    ----------
    settle : int
        Cycles from ``apply_stb`` to ``measure_ready``, less two; the host may change it.
    average : int
        Largest log₂ of the number of cost words whose mean is taken, 0 to 12; the host may set any up to this one.
    timeout_cycles : int
        Cycles without a cost word after which a step is abandoned, from 1; the host may change it.
    samples : int
        Number of samples that the outside shows in turn, 1 to 2^24 − 1; the host may change it.
    sample_cycles : int or None
        Cycles for which the outside shows a sample; None if it shows one until the index of the next.
    dac_step_log2 : int or None
        log₂ of the smallest step by which the outside can move a quantity; None if every step of the words' format counts.

    Raises
    ------
    DesignError
        If a number is out of bounds.
    """

    settle: int = 0
    average: int = 0
    timeout_cycles: int = 1_000_000
    samples: int = 1
    sample_cycles: int | None = None
    dac_step_log2: int | None = None

    def __post_init__(self) -> None:
        bounds = {
            "settle": (0, MAX_CYCLES),
            "average": (0, MAX_AVERAGE),
            "timeout_cycles": (1, MAX_CYCLES),
            "samples": (1, MAX_PERIOD),
            "sample_cycles": (1, MAX_CYCLES),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if name == "sample_cycles" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise DesignError(f"external.{name}", value, f"it must be a whole number from {low} to {high}", f"Take {max(low, 1)}, say.")


def stream_names(spec: LearnerSpec) -> tuple[str, ...]:
    """Return the names of the streams of words: ``perturbed``, or with several lanes ``perturbed0`` and so on, one for each lane."""
    return ("perturbed",) if spec.hardware.lanes == 1 else tuple(f"perturbed{lane}" for lane in range(spec.hardware.lanes))


@dataclass(frozen=True)
class LearnerSpec(LearningSpec):
    """A complete, checked learner; properties derive whatever the user left open.

    Parameters
    ----------
    name : str
        Name of the design: letters, digits and underscores.
    external : int
        Number N of quantities, 1 to 65536. With ``perturbation.kind`` NODE, they are currents into nodes of the outside, which gets the
        error of each node and changes its own weights by it.
    perturbation, schedule, optimizer, formats, hardware, outside
        Settings of the design by topic, one object for each; the last four have defaults.
    initial : Initialization
        Distribution of the initial quantities, uniform or zero.

    Raises
    ------
    DesignError
        If the parts do not fit together; the error names the key of the design file, the value and the remedy.
    """

    name: str
    external: int
    perturbation: Perturbation
    schedule: Schedule
    optimizer: Optimizer = field(default_factory=Sgd)
    formats: LearnerFormats = field(default_factory=LearnerFormats)
    hardware: Hardware = field(default_factory=lambda: Hardware(lanes=1))
    outside: Outside = field(default_factory=Outside)
    initial: Initialization = field(default_factory=lambda: Initialization(Scheme.UNIFORM))

    def __post_init__(self) -> None:
        for check in (
            self._check_optimizer,
            self._check_kind,
            self._check_hardware,
            self._check_casts,
            self._check_amplitude,
            self._check_intermediates,
            self._check_widths,
            self._check_update,
            self._check_outside,
        ):
            check()

    # -- Structure ------------------------------------------------------------------------------------------------

    @cached_property
    def layout(self) -> Places:
        """Places of the quantities in the lanes."""
        return Places(self.external, self.hardware.lanes)

    @cached_property
    def serial(self) -> LearnerSpec:
        """The same learner with one lane: everything but its signatures and its cycles is the same."""
        return self if self.hardware.lanes == 1 else replace(self, hardware=replace(self.hardware, lanes=1))

    @property
    def node(self) -> bool:
        """False: the quantities themselves are perturbed, and kept here, even where they are the currents of nodes."""
        return False

    @property
    def sends_errors(self) -> bool:
        """Whether the outside gets the error of each quantity, which is the current of a node there."""
        match self.perturbation.kind:
            case Kind.NODE:
                return True
            case Kind.WEIGHT:
                return False
            case _:
                raise unknown("Kind", self.perturbation.kind, "python_ref.spec.learner.LearnerSpec.sends_errors")

    @property
    def one_visit(self) -> bool:
        """False: there is no layer that two passes could share."""
        return False

    @property
    def holds_signs(self) -> bool:
        """True: two passes of a step, and a step that was abandoned and its repetition, have the same signs."""
        return True

    @property
    def quantities(self) -> int:
        """Number of perturbed quantities."""
        return self.external

    @property
    def n_parameters(self) -> int:
        """Number of parameters, which are the quantities."""
        return self.external

    @property
    def sign_generators(self) -> tuple[Trinomial, ...]:
        """Generators of the random signs, which draw one bit for each quantity, whatever the number of lanes."""
        return self.code.generators(1)

    @property
    def draws(self) -> int:
        """Number of words of signs of a sign vector: one for each quantity."""
        return self.external

    @property
    def rounding_words(self) -> int:
        """Number of stochastic words of an update: one for each quantity."""
        return self.external

    @property
    def shown_saturations(self) -> tuple[str, ...]:
        """Kinds of casts that a learner has."""
        return tuple(kind for kind in super().shown_saturations if kind != "activation")

    @property
    def _needs_gradient_memory(self) -> bool:
        return self.schedule.update_period > 1

    @property
    def _update_sources(self) -> list[Fixed]:
        return [self.update_source_format]

    @cached_property
    def digest(self) -> str:
        """Digest of the structure, that is, of everything that is fixed in the core.

        It excludes periods, rates, seeds, the initial parameters, and what the host may set of the outside.
        """
        return digest_of(
            {
                "name": self.name,
                "external": self.external,
                "code": self.perturbation.code,
                "amplitude_log2": self.perturbation.amplitude_log2,
                "difference": self.schedule.difference,
                "exponents": self.exponents,
                "optimizer": self.optimizer,
                "formats": self.formats,
                "cost_change": self.cost_change_format,
                "gradient": self.gradient_format,
                "gradient_memory": self.gradient_memory,
                "average": self.outside.average,
                "hardware": self.hardware,
                **({"gradient_scale": self.gradient_scale} if self.optimizer.scales_update else {}),
                **({"kind": self.perturbation.kind} if self.sends_errors else {}),
            }
        )

    # -- Formats --------------------------------------------------------------------------------------------------

    @property
    def _octaves(self) -> dict[str, int]:
        steps = ((self.schedule.update_period - 1).bit_length() + 1) // 2
        return {"the quantities": ((self.external - 1).bit_length() + 1) // 2, "the steps of an update": steps}

    @property
    def cost_format(self) -> Fixed:
        """Exact format of C, the mean of up to 2^average cost words."""
        cost = self.formats.cost
        return Fixed(True, cost.integer_bits, cost.fraction_bits + self.outside.average)

    @property
    def cost_difference_format(self) -> Fixed:
        """Exact format of the difference of two costs."""
        return self.cost_format - self.cost_format

    @property
    def node_error_format(self) -> Fixed:
        """Format of the error of a node: that of an update, and of a direct one, whose sign comes after its rounding, a bit more."""
        update = self.update_format
        return Fixed(True, update.integer_bits + self.direct_update, update.fraction_bits)

    # -- Checks ---------------------------------------------------------------------------------------------------

    def _check_kind(self) -> None:
        n = self.external
        if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MAX_QUANTITIES:
            raise DesignError("network.external", n, f"it must be a whole number from 1 to {MAX_QUANTITIES}", "Take 16, say.")
        if self.sends_errors:
            self._check_errors()
        if self.perturbation.parts is not None:
            shown = [list(part) for part in self.perturbation.parts]
            raise DesignError("learning.parts", shown, "a learner has no layers", "Remove it.")
        if self.initial.scheme not in (Scheme.UNIFORM, Scheme.ZERO):
            reason = "it follows from the inputs of a layer, and a learner has no layers"
            raise DesignError("network.scheme", self.initial.scheme.value, reason, 'Take "uniform" or "zero".')

    def _check_errors(self) -> None:
        """Refuse errors that sum what the nodes learn of several samples, whose inputs the outside does not know together."""
        sample, update = self.schedule.sample_period, self.schedule.update_period
        if sample % update:
            reason = f"the error of a node is multiplied by the inputs of one sample, and update_period = {update} steps would show several"
            remedy = f"Take a multiple of {update}, or a shorter update_period."
            raise DesignError("schedule.sample_period", sample, reason, remedy)
        if not self.optimizer.passes_gradient:
            reason = "it keeps means over samples, and the error of a node is multiplied by the inputs of one"
            raise DesignError("optimizer.name", self.optimizer.name, reason, 'Take name = "sgd", or kind = "weight" in [perturbation].')
        if self.node_error_format.width > WORD_BITS:
            reason = f"the error of a node, {self.node_error_format}, has more than the {WORD_BITS} bits of a register"
            raise DesignError("formats.weight", str(self.formats.weight), reason, "Take fewer bits.")

    def _check_hardware(self) -> None:
        most = min(MAX_STREAMS, self.external)
        if self.hardware.lanes > most:
            reason = f"each lane has a stream of words, and there are {self.external} quantities, and at most {MAX_STREAMS} streams"
            raise DesignError("hardware.lanes", self.hardware.lanes, reason, f"Take {most} at most, or leave it out.")
        if self.hardware.multipliers_per_lane != 1:
            reason = "a learner multiplies nothing but the rate and the cost change"
            raise DesignError("hardware.multipliers_per_lane", self.hardware.multipliers_per_lane, reason, "Take 1, or leave it out.")
        if self.hardware.single_port:
            reason = "a learner reads a parameter and writes another one in any cycle, so their memory has two ports"
            raise DesignError("hardware.memory", "single-port", reason, "Leave it out.")
        if self._needs_gradient_memory and not self.gradient_memory:
            raise DesignError(
                "schedule.update_period",
                self.schedule.update_period,
                "a core without a gradient memory updates every step",
                "Set hardware.gradient_memory = true, or leave it out, or take update_period = 1.",
            )

    def _check_casts(self) -> None:
        formats = self.formats
        if not formats.cost.signed:
            raise DesignError("formats.cost", str(formats.cost), "a cost word is signed", "Take a signed format, such as 'SQ4.12'.")
        if formats.cost.width > WORD_BITS:
            reason = f"a cost word has at most {WORD_BITS} bits, and it has {formats.cost.width}"
            raise DesignError("formats.cost", str(formats.cost), reason, "Take fewer bits.")
        for name in ("cost_change", "gradient"):
            if getattr(formats, f"{name}_cast").rounding is Rounding.STOCHASTIC:
                raise DesignError(
                    f"formats.rounding.{name}",
                    "stochastic",
                    "only updates are rounded stochastically (weight, and momentum's own)",
                    "Take 'half-even' or 'floor'.",
                )

    def _intermediates(self) -> list[tuple[str, object, Callable[[], object]]]:
        return [("formats.cost", self.formats.cost, lambda: [self.cost_format, self.cost_difference_format]), *super()._intermediates()]

    def _casts(self) -> list[tuple[str, Fixed, Fixed]]:
        return [
            ("formats.cost_change", self.cost_difference_format, self.cost_change_format),
            ("formats.weight", self.update_source_format, self.update_format),
            *((variable.key, variable.exact, variable.format) for variable in self.optimizer_state),
        ]

    def _check_outside(self) -> None:
        step, lasts = self.outside.dac_step_log2, self.outside.sample_cycles
        if step is not None and self.perturbation.amplitude_log2 < step:
            raise DesignError(
                "perturbation.amplitude",
                f"2^{self.perturbation.amplitude_log2}",
                f"it is below a step of the outside's converters, external.dac_step = 2^{step}, so that it would move nothing",
                f"Take at least 2^{step}.",
            )
        if lasts is None:
            return
        one, two = self.schedule.passes(self.schedule.sample_period)
        needed = (one + 2 * two) * (self.layout.slots + self.outside.settle + 2**self.outside.average)
        if needed > lasts:
            raise DesignError(
                "external.settle",
                self.outside.settle,
                f"the {one + 2 * two} passes of a sample, with {self.layout.slots} words, the wait and {2**self.outside.average} cost "
                f"words each, take {needed} cycles at least, and external.sample_cycles = {lasts} is shorter",
                "Show a sample for longer, or wait for less.",
            )
