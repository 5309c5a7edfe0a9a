"""The variants that are compared: every kind and code of perturbation that hardware has, and back-propagation, for one network and task."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import lcm

from mgd_hw.design.description import Design, check_hardware
from mgd_hw.design.float_model import has_slopes
from mgd_hw.design.reader import parse
from mgd_hw.design.run import check_length
from mgd_hw.learn.costs import cycles_of_backprop, cycles_of_mgd
from mgd_hw.learn.learners import baseline_options
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import Refusal
from python_ref.spec.optimizer import Sgd
from python_ref.spec.perturbation import CODES, Kind, SequentialCode
from python_ref.spec.schedule import Schedule

__all__ = ["BACKPROP_ADAM", "BACKPROP_PLAIN", "FIXED", "FLOAT", "Variant", "most_steps", "variants_of"]

FIXED = "fixed"
"""Model of MGD in the bits of the hardware."""
FLOAT = "float"
"""Model of MGD in real numbers, for a design that has no hardware."""
BACKPROP_ADAM = "backprop-adam"
"""Model of back-propagation with Adam in real numbers and batches, as `mgd-hw compare` trains it."""
BACKPROP_PLAIN = "backprop-plain"
"""Model of back-propagation by plain descent, one sample an update, which rounds the parameters to the design's format each time."""

WEIGHT_CYCLES = 10
"""Cycles that a variant of weight perturbation gets where the design as it is written perturbs neurons, as a multiple of its cycles: it
learns more slowly."""

DERIVED = (
    "perturbation.amplitude", "schedule.learning_rate", "schedule.sample_period", "schedule.update_period",
    "schedule.perturbation_period", "learning.parts", "formats.error", "hardware.gradient_memory",
)  # fmt: skip
"""Keys that a variant other than the design as it is written leaves to be derived."""


@dataclass(frozen=True)
class Variant:
    """One way to learn a task with a network.

    Attributes
    ----------
    name, title : str
        Name in JSON, such as "node-sequential", and title in tables.
    model : str
        How it is trained: :data:`FIXED`, :data:`FLOAT`, :data:`BACKPROP_ADAM` or :data:`BACKPROP_PLAIN`.
    design : Design
        Design that is trained. For plain back-propagation its schedule has the rate of each sample; with Adam it is the design as written.
    written : bool
        Whether periods, rate and amplitude are those of the design file, and not derived.
    steps : int
        Number of steps that are trained; of back-propagation, of updates.
    cycles : int or None
        Clock cycles that this number of steps takes; None for a design that no hardware does.
    refused : str
        Reason why it is not trained, as a sentence; "" if it is.
    """

    name: str
    title: str
    model: str
    design: Design
    written: bool
    steps: int
    cycles: int | None
    refused: str = ""

    @property
    def mgd(self) -> bool:
        """Whether it learns by perturbation."""
        return self.model in (FIXED, FLOAT)

    @property
    def settings(self) -> dict[str, object]:
        """What it learns with, as plain values; rates as pairs of a step and log₂ η."""
        spec, options = self.design.spec, baseline_options(self.design)
        rates = [list(pair) for pair in spec.schedule.learning_rate]
        if self.model == BACKPROP_ADAM:
            return {"optimizer": "adam", "rate": options.optimizer.rate, "batch": options.batch}
        if self.model == BACKPROP_PLAIN:
            return {"optimizer": "sgd", "learning_rate": rates, "batch": 1}
        schedule = spec.schedule
        periods = {name: getattr(schedule, name) for name in ("perturbation_period", "sample_period", "update_period")}
        how = {"difference": schedule.difference.value, "amplitude_log2": spec.perturbation.amplitude_log2}
        return {"optimizer": self.design.float_only.optimizer, "learning_rate": rates, **periods, **how}


def variants_of(design: Design, steps: int, samples: int) -> tuple[Variant, ...]:
    """Return the variants of a design: all kinds and codes of MGD that hardware has, then back-propagation.

    The design as it is written takes ``steps`` steps, and the other variants and plain back-propagation get as many clock cycles; where it
    perturbs neurons, those of weight perturbation get :data:`WEIGHT_CYCLES` times as many. Back-propagation with Adam takes the epochs of
    the design file, to which its rate is fitted.

    Parameters
    ----------
    design : Design
        Design whose network, formats, lanes and task are those of all variants.
    steps : int
        Number of steps of the design as it is written.
    samples : int
        Number of training samples.

    Raises
    ------
    Refusal
        If the design as it is written cannot be trained for so many steps.
    """
    check_length(design, steps)
    written = (design.spec.perturbation.kind, design.float_only.code)
    cycles = None if design.float_only.requests else cycles_of_mgd(design.spec, steps)
    found = []
    if cycles is None:
        found.append(Variant("as-written", "float MGD", FLOAT, design, True, steps, None))
    for kind in Kind:
        for code in CODES:
            name, title = f"{kind.value}-{code}", f"{kind.value} {code}"
            if cycles is not None and (kind, code) == written:
                found.append(Variant(name, title, FIXED, design, True, steps, cycles))
            else:
                found.append(_derived(design, name, title, kind, code, cycles))
    return (*found, *_backprop(design, found, cycles, samples))


def most_steps(cycles_of: Callable[[int], int], cycles: int) -> int:
    """Return the largest number of steps, 0 or more, that takes at most ``cycles`` cycles by the rising function ``cycles_of``."""
    low, high = 0, 1
    while cycles_of(high) <= cycles:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cycles_of(middle) <= cycles else (low, middle)
    return low


def _derived(
    design: Design, name: str, title: str, kind: Kind, code: str, cycles: int | None, left_out: tuple[str, ...] = DERIVED
) -> Variant:
    """Return the variant of a kind and code, in which the keys ``left_out`` are derived, which depend on these."""
    import tomlkit

    tree = tomllib.loads(design.text.replace("\r\n", "\n"))
    for key in left_out:
        section, own = key.split(".")
        tree.get(section, {}).pop(own, None)
    tree.setdefault("perturbation", {}).update(kind=kind.value, code=code)
    try:
        found = parse(tomlkit.dumps(tree), design.path)
        check_hardware(found)
        found = _like(design, found)
        spec, budget = found.spec, None if cycles is None else cycles * (WEIGHT_CYCLES if design.spec.node and not found.spec.node else 1)
        steps = found.compare.steps if budget is None else most_steps(lambda count: cycles_of_mgd(spec, count), budget)
        unit = lcm(spec.schedule.sample_period, spec.schedule.update_period)
        steps = steps // unit * unit or steps  # whole presentations
        check_length(found, steps)
    except Refusal as error:
        return Variant(name, title, FIXED, design, False, 0, None, _reason(error))
    if not steps:
        return Variant(name, title, FIXED, found, False, 0, None, f"One step takes more than the {budget:,} cycles that it is given.")
    return Variant(name, title, FIXED, found, False, steps, cycles_of_mgd(spec, steps))


def _like(design: Design, found: Design) -> Design:
    """Return ``found`` with the seeds and the samples of ``design``, which may differ from those in its text."""
    spec = found.spec
    network = replace(spec.network, initial=replace(spec.network.initial, seed=design.spec.network.initial.seed))
    perturbation = replace(spec.perturbation, seed=design.spec.perturbation.seed)
    return replace(found, spec=replace(spec, network=network, perturbation=perturbation), data=design.data, raw=design.raw)


def _backprop(design: Design, mgd: Sequence[Variant], cycles: int | None, samples: int) -> tuple[Variant, ...]:
    """Return back-propagation with Adam, and by plain descent at the rate of exact gradients, that of node perturbation one by one."""
    titles = {BACKPROP_ADAM: "backprop Adam", BACKPROP_PLAIN: "backprop plain"}
    if not has_slopes(design):
        why = "Back-propagation is not defined for an activation without slope, or for a forward pass outside."
        return tuple(Variant(name, title, name, design, False, 0, None, why) for name, title in titles.items())
    core, options = cycles is not None, baseline_options(design)
    epochs, updates = options.epochs_for(samples), options.updates_per_epoch(samples)
    taken = cycles_of_backprop(design.spec, epochs * samples) if core else None
    adam = Variant(BACKPROP_ADAM, titles[BACKPROP_ADAM], BACKPROP_ADAM, design, True, epochs * updates, taken)
    exact = _exact(design, mgd, cycles)
    if exact.refused:
        why = f"Its rate is that of exact gradients, of node perturbation with the sequential code, which is refused: {exact.refused}"
        return adam, Variant(BACKPROP_PLAIN, titles[BACKPROP_PLAIN], BACKPROP_PLAIN, design, False, 0, None, why)
    spec = exact.design.spec
    found = replace(design, spec=replace(design.spec, schedule=_each_sample(spec), perturbation=spec.perturbation, optimizer=Sgd()))
    count = epochs * samples if cycles is None else most_steps(lambda count: cycles_of_backprop(spec, count), cycles)
    taken = cycles_of_backprop(spec, count) if core else None
    return adam, Variant(BACKPROP_PLAIN, titles[BACKPROP_PLAIN], BACKPROP_PLAIN, found, False, count, taken)


def _exact(design: Design, mgd: Sequence[Variant], cycles: int | None) -> Variant:
    """Return the variant with exact gradients and plain descent: node perturbation with the sequential code, as written where it is so."""
    name = f"{Kind.NODE.value}-{SequentialCode.name}"
    found = next(each for each in mgd if each.name == name)
    if found.refused or isinstance(found.design.spec.optimizer, Sgd):
        return found
    optimizer = tuple(f"optimizer.{key}" for key in tomllib.loads(design.text.replace("\r\n", "\n"))["optimizer"])
    return _derived(design, name, found.title, Kind.NODE, SequentialCode.name, cycles, (*DERIVED, *optimizer))


def _each_sample(spec: DesignSpec) -> Schedule:
    """Return the schedule of plain descent with the rate that a design of exact gradients has at each sample."""
    rates = dict[int, int]()
    for step, rate in spec.schedule.learning_rate:
        rates[step // spec.schedule.sample_period] = rate
    return Schedule(tuple(rates.items()))


def _reason(error: Refusal) -> str:
    """Return a refusal without the file and the remedy, since the variant is derived and not written in a file."""
    key = f"{error.key}: " if error.key else ""
    return f"{key}{error.reason}."
