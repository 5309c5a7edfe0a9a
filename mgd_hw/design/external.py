"""Designs whose network is outside: what a design file with ``network.external`` describes, and which keys it may give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mgd_hw.design.description import Derived
from mgd_hw.design.float_only import FLOAT_CODES, FLOAT_OPTIMIZERS, External, read_external
from mgd_hw.design.given import Given
from mgd_hw.design.keys import KEYS
from python_ref.spec.error import Refusal
from python_ref.spec.formats import Cast, LearnerFormats
from python_ref.spec.hardware import Hardware
from python_ref.spec.learner import LearnerSpec, Outside
from python_ref.spec.network import Initialization, Scheme
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import OPTIMIZERS, Optimizer
from python_ref.spec.perturbation import CODES, Kind, Perturbation
from python_ref.spec.schedule import Difference, Schedule

__all__ = ["OUTSIDE_KEYS", "ExternalDesign", "external_design", "not_served"]

OUTSIDE_KEYS = ("external.settle", "external.average", "external.timeout_cycles", "external.samples", "external.sample_cycles",
                "external.dac_step", "external.right_below", "formats.cost")  # fmt: skip
"""Keys that only a network outside has."""

_CASTS = ("cost_change", "gradient", "weight")
_GOES_WITH = frozenset(
    (
        *OUTSIDE_KEYS, "external.command", "external.frames", "external.timeout",
        "name", "network.external", "network.seed", "network.scheme", "network.scale",
        "perturbation.kind", "perturbation.code", "perturbation.amplitude", "perturbation.seed",
        *(f"schedule.{key}" for key in ("perturbation_period", "sample_period", "update_period", "difference", "learning_rate")),
        "optimizer.name", *(f"optimizer.{key}" for optimizer in OPTIMIZERS.values() for key in optimizer.parameters()),
        "formats.weight", "formats.cost_change", "formats.gradient",
        *(f"formats.{modes}.{cast}" for modes in ("rounding", "overflow") for cast in _CASTS),
        "hardware.lanes", "hardware.multipliers_per_lane", "hardware.gradient_memory", "hardware.memory", "hardware.signature",
    )
)  # fmt: skip
"""Keys that a design file with ``network.external`` may give."""

_WHY = {
    "network": "a learner has no layers",
    "perturbation": "only the quantities as a whole can be perturbed there",
    "formats": "a learner has no layers, and so no such value",
    "data": "the samples are outside, and the learner sends only the index of the next",
    "external": "the process takes the quantities, and network.external is their number",
    "compare": "the command line says how long a comparison is",
}
"""Reason why the other keys of a section do not go with it, by section."""


@dataclass(frozen=True)
class ExternalDesign:
    """Design of a learner that was read from a file and checked.

    Attributes
    ----------
    path : Path
        Path of the design file.
    text : str
        Text of the design file.
    spec : LearnerSpec
        The learner that the file describes.
    derived : tuple of Derived
        The values that the file leaves out, in the order they were derived.
    chip : External or None
        The process that stands for the outside; None if the file does not give one.
    right_below : float or None
        Cost below which the answer to a sample is right; None if nothing is known of answers.
    """

    path: Path
    text: str
    spec: LearnerSpec
    derived: tuple[Derived, ...]
    chip: External | None = None
    right_below: float | None = None

    @property
    def name(self) -> str:
        """Name of the design, from which the name of its Verilog module follows."""
        return self.spec.name

    def with_seed(self, seed: int) -> ExternalDesign:
        """Return this design with one seed for its initial quantities and its random signs."""
        spec = self.spec
        seeded = replace(spec, perturbation=replace(spec.perturbation, seed=seed), initial=replace(spec.initial, seed=seed))
        return replace(self, spec=seeded)

    def share_right(self, costs: Sequence[float]) -> float:
        """Return the share of the samples with these costs whose answer is right; NaN if nothing is known of answers."""
        below = self.right_below
        return math.nan if below is None else sum(cost < below for cost in costs) / len(costs)

    def outside(self) -> External:
        """Return the process that stands for the outside.

        Raises
        ------
        Refusal
            If the design file does not give one.
        """
        if self.chip is None:
            reason = "it was left out, and there is nothing that answers the learner with costs"
            remedy = 'Write command = "python chip.py", say, in [external]; docs/guides/chip.md describes the process.'
            raise Refusal(reason, remedy, file=self.path, key="external.command")
        return self.chip


def not_served(design: ExternalDesign) -> Refusal:
    """Return the error of a command that cannot serve a learner."""
    return Refusal(
        "the network is outside, and this command cannot do something with its learner yet",
        "Run `mgd-hw fit`, `generate`, `cosim`, `diagnose`, `train`, `synth`, `build`, `compare`, `sweep` or `report`, or give "
        "network.layers for one inside.",
        file=design.path,
        key="network.external",
        value=design.spec.external,
    )


def external_design(given: Given, text: str) -> ExternalDesign:
    """Return the design of a learner that a file describes.

    Parameters
    ----------
    given : Given
        Values of the file, among them ``network.external``.
    text : str
        Text of the file, which the design keeps.

    Raises
    ------
    DesignError
        If the learner cannot be built as described.
    Refusal
        If a key does not go with a network outside, or one is missing.
    """
    _check_keys(given)
    derived: list[Derived] = []

    def get(key: str, default: Any, why: str, shown: object = None) -> Any:
        if key in given:
            return given[key]
        derived.append(Derived(key, str(default if shown is None else shown), why))
        return default

    optimizer = _optimizer(given)
    spec = LearnerSpec(
        str(get("name", given.name, "the file's name")),
        given["network.external"],
        _perturbation(given, get),
        _schedule(given),
        optimizer,
        _formats(given, get, optimizer),
        Hardware(
            given.get("hardware.lanes", 1),
            given.get("hardware.gradient_memory"),
            given.get("hardware.signature", True),
            given.get("hardware.multipliers_per_lane", 1),
            given.get("hardware.memory", False),
        ),
        Outside(
            get("external.settle", 0, "the outside offers a cost word when it is ready"),
            get("external.average", 0, "one cost word a pass"),
            get("external.timeout_cycles", 1_000_000, "20 ms at 50 MHz"),
            get("external.samples", 1, "the outside shows one sample"),
            given.get("external.sample_cycles"),
            given.get("external.dac_step"),
        ),
        Initialization(get("network.scheme", Scheme.UNIFORM, "quantities that are all equal may learn alike", "uniform"),
                       get("network.scale", 1.0, "the usual"), given.get("network.seed", 1)),
    )  # fmt: skip
    for key, value, why in (
        ("hardware.gradient_memory", str(spec.gradient_memory).lower(), f"update_period = {spec.schedule.update_period}"),
        ("formats.cost_change", spec.cost_change_format, "exact difference of two costs"),
        ("formats.gradient", spec.gradient_format, spec.gradient_reason.replace("range of a weight", "range of a quantity")),
        *((variable.key, variable.format, variable.default) for variable in spec.optimizer_state),
    ):
        get(key, None, why, value)
    return ExternalDesign(given.path, text, spec, tuple(derived), read_external(given, spec.external), given.get("external.right_below"))


def _check_keys(given: Given) -> None:
    """Refuse the first key that does not go with a network outside, and a learning rate that is missing."""
    for key in (key.dotted for key in KEYS if key.dotted in given):
        if key not in _GOES_WITH:
            reason = _WHY.get(key.partition(".")[0], "only the float model has it, and it does not know the outside")
            value = given[key]
            shown = str(value) if isinstance(value, Fixed) else getattr(value, "value", value)
            raise given.refuse(key, f"it does not go with network.external: {reason}", "Remove it, or network.external.", shown)
    if given.get("perturbation.kind") is Kind.NODE and given.get("external.frames"):
        reason = "a frame has no place for the errors of node currents"
        raise given.refuse("external.frames", reason, "Remove it: the process gets lines.", True)
    for key in ("external.frames", "external.timeout"):
        if key in given and "external.command" not in given:
            raise given.refuse(key, "only external.command has it", "Remove it, or give external.command.", given[key])
    for key, names in (("perturbation.code", FLOAT_CODES), ("optimizer.name", FLOAT_OPTIMIZERS)):
        if given.get(key) in names:
            shown = " or ".join(CODES if key == "perturbation.code" else OPTIMIZERS)
            raise given.refuse(key, "it has no hardware yet", f"Take {shown}.", given[key])
    if "schedule.learning_rate" not in given:
        reason = "it was left out, and nothing is known of the outside from which it would follow"
        raise given.refuse("schedule.learning_rate", reason, "Write learning_rate = -8, say, in [schedule].")


def _perturbation(given: Given, get: Any) -> Perturbation:
    step = given.get("external.dac_step")
    coarse = step is not None and step > -6
    why = "a step of the outside's converters" if coarse else "the usual"
    log2 = step if coarse else -6
    return Perturbation(
        given.get("perturbation.kind", Kind.WEIGHT),
        CODES[get("perturbation.code", "lfsr", "signs that need no schedule")](),
        get("perturbation.amplitude", log2, why, f"2^{log2}"),
        given.get("perturbation.seed", 1),
    )


def _schedule(given: Given) -> Schedule:
    sample, update, perturbation = (given.get(f"schedule.{name}_period", 1) for name in ("sample", "update", "perturbation"))
    difference = given.get("schedule.difference", Difference.ONE_SIDED)
    return Schedule(given["schedule.learning_rate"], perturbation, sample, update, difference)


def _optimizer(given: Given) -> Optimizer:
    name = str(given.get("optimizer.name", "sgd"))
    kind = OPTIMIZERS[name]
    for key in dict.fromkeys(key for other in OPTIMIZERS.values() for key in other.parameters()):
        if f"optimizer.{key}" in given and key not in kind.parameters():
            owners = " or ".join(f'"{owner}"' for owner, other in OPTIMIZERS.items() if key in other.parameters())
            raise given.refuse(f"optimizer.{key}", f"only optimizer.name = {owners} has it", f"Remove it, or write name = {owners}.")
    return kind(**{key: given[f"optimizer.{key}"] for key in kind.parameters() if f"optimizer.{key}" in given})


def _formats(given: Given, get: Any, optimizer: Optimizer) -> LearnerFormats:
    usual = LearnerFormats()

    def cast(name: str) -> Cast:
        default: Cast = getattr(usual, f"{name}_cast")
        rounding: Rounding = given.get(f"formats.rounding.{name}", default.rounding)
        nearest, why = optimizer.gradient_rounding
        if name == "gradient" and why is not None:
            rounding = get(f"formats.rounding.{name}", nearest, why, nearest.value)
        overflow: Overflow = given.get(f"formats.overflow.{name}", default.overflow)
        return Cast(rounding, overflow)

    return LearnerFormats(
        get("formats.weight", usual.weight, "the usual"),
        get("formats.cost", usual.cost, "the usual"),
        given.get("formats.cost_change"),
        given.get("formats.gradient"),
        *(cast(name) for name in _CASTS),
    )
