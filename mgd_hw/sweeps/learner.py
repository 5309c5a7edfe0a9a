"""Sweeps of a learner: what a combination of it depends on, and a run of it, on a chip whose process has just begun."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mgd_hw.design.external import ExternalDesign
from python_ref.spec.error import Refusal

__all__ = ["Checked", "check_learner", "refuse_options", "train_learner"]


@dataclass(frozen=True)
class Checked:
    """An allowed combination of a learner.

    Attributes
    ----------
    design : bytes
        Design without its text and its derived values, pickled for the workers.
    identity : tuple
        Everything that a run depends on, except the seed number and the number of steps.
    structure : tuple
        Everything that the core depends on.
    steps, work : int
        Steps of a run; number of quantities that a step sends.
    """

    design: bytes
    identity: tuple[Any, ...]
    structure: tuple[Any, ...]
    steps: int
    work: int


def refuse_options(design: ExternalDesign, models: Sequence[str], validate: bool) -> None:
    """Refuse what a sweep of a learner cannot do.

    Raises
    ------
    Refusal
        If back-propagation or validation samples are asked for, or the design file names no chip.
    """
    design.outside()
    for option, given, reason in (
        ("--backprop", "backprop" in models, "nothing is known of a network outside but its cost, and so no derivative"),
        ("--validate", validate, "a network outside has no samples of its own"),
    ):
        if given:
            raise Refusal(reason, "Leave it out.", file=design.path, key=option)


def check_learner(design: ExternalDesign, steps: int | None) -> Checked:
    """Check a combination, of so many steps or of the usual number.

    Raises
    ------
    Refusal
        If the random signs repeat within a run, or the design file names no chip.
    """
    from mgd_hw.hardware.outside import learner_run
    from mgd_hw.learn.compare_learner import STEPS

    steps, spec, outside = steps or STEPS, design.spec, design.outside()
    learner_run(design, steps)
    light = pickle.dumps(replace(design, text="", derived=()))
    schedule = spec.schedule
    periods = (schedule.perturbation_period, schedule.sample_period, schedule.update_period)
    run = (spec.serial, outside.command, outside.frames, design.right_below)
    return Checked(light, run, (spec.digest, periods), steps, spec.quantities * (2 if spec.two_sided else 1))


def train_learner(design: ExternalDesign, models: Sequence[str], number: int, steps: int) -> dict[str, Any]:
    """Train models with the seed of the design plus ``number``, each on a chip of its own, and return the columns of their row.

    Raises
    ------
    Refusal
        If the chip does not answer with costs.
    """
    from mgd_hw.learn.compare_learner import train_once

    head: dict[str, Any] = {}
    columns: dict[str, Any] = {}
    for model in models:
        found = train_once(design, model, number, steps)
        (accuracy,), (cost,) = found.accuracies, found.costs
        judged = {"accuracy": None if math.isnan(accuracy) else accuracy, "cost": cost, "diverged": False}
        if not head or model == "fixed":
            head = {"model": model, "kind": "outside", **judged}
        columns |= {f"{model}_{name}": value for name, value in judged.items()} | {f"{model}_seconds": found.seconds}
    return head | columns
