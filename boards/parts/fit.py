"""Predict without synthesis whether a design fits a part: memories, multipliers and cycles by rules, logic by a fitted model.

The model has two steps: the features of a design (:mod:`boards.parts.fit_features`) say of how many cells it consists, and these say what
they take of a family of parts. Both are linear. The coefficients, and the errors stated with the predictions, come from runs of Yosys
(:mod:`boards.parts.fit_calibrate`).
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from math import ceil
from pathlib import Path
from typing import Any

from boards.parts.fit_features import in_logic, structure
from boards.parts.memories import memories, on_blocks, on_large_blocks
from boards.parts.multipliers import multipliers as product
from boards.parts.synth import cycles_per_step, over
from boards.parts.target import TARGETS, Part, Resources, target
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import DesignError, ToolError, unknown
from python_ref.spec.learner import MAX_STREAMS, LearnerSpec
from python_ref.spec.learning import LearningSpec
from rtl_gen.toolchain.yosys import yosys_version

__all__ = [
    "DATA",
    "FAMILIES",
    "KINDS",
    "Fit",
    "Model",
    "calibration",
    "costs_of",
    "fit",
    "multipliers",
    "parts",
    "predicted",
    "stated_errors",
]

DATA = Path(__file__).parents[1] / "data" / "fit.json"
"""File with the fitted coefficients and their errors."""

FAMILIES: Mapping[str, tuple[str, ...]] = {
    family: tuple(part.name for part in TARGETS.values() if part.family == family)
    for family in dict.fromkeys(part.family for part in TARGETS.values())
}
"""Parts by family. Yosys maps to all parts of a family alike, and the first stands for all in calibration."""


KINDS = ("lut", "ff", "logic")
"""Kinds of resources that the model predicts; multipliers and block memories follow rules."""


def multipliers(spec: LearningSpec, part: Part) -> int:
    """Number of multipliers that a core needs: one or two per lane, one more that squares G if the optimiser does, and a shared one; more
    where factors are wider than the part's multipliers, and half of one for Gowin's narrow multipliers. A learner has only those that
    square G."""
    from rtl_gen.broadcast import Multiplier
    from rtl_gen.core import core_class

    family, lane, shared = part.family, 0.0, 0.0
    match spec:
        case LearnerSpec():
            pass
        case DesignSpec():
            lane = sum(product(family, factor, operand.width + (not operand.signed)) for factor, operand in core_class(spec).factors(spec))
            shared = sum(product(family, a, b) for a, b in Multiplier.of(spec).products)
        case _:
            raise unknown("Design", spec, "boards.parts.fit")
    lane += spec.optimizer.squares * product(family, spec.gradient_format.width, spec.gradient_format.width)
    return ceil(spec.hardware.lanes * lane + shared)


# -- The model of the logic -------------------------------------------------------------------------------------------


def costs_of(spec: LearningSpec, part: Part, cells: Mapping[str, float]) -> dict[str, float]:
    """What takes logic of a part: the cells of a design, among them registers that only delay, its memories that are not in blocks, and its
    multipliers."""
    delays = structure(spec)["signature: delays"]
    return {**cells, "delays": delays, **in_logic(memories(spec), part), "multipliers": multipliers(spec, part)}


@dataclass(frozen=True)
class Model:
    """The model of the logic: of how many cells a design consists, and what these take.

    Attributes
    ----------
    cells : mapping of str to mapping
        Number of bits that a feature adds, by the kind of cells and the feature.
    costs : mapping of str to mapping
        Resources that one bit takes, by the family, the kind of resources and the kind of cells.
    """

    cells: Mapping[str, Mapping[str, float]]
    costs: Mapping[str, Mapping[str, Mapping[str, float]]]

    def logic(self, spec: LearningSpec, part: Part) -> dict[str, int]:
        """Predict look-up tables, flip-flops and logic cells, by kind."""
        named = structure(spec)
        cells = {kind: _product(coefficients, named) for kind, coefficients in self.cells.items()}
        costs = costs_of(spec, part, cells)
        return {kind: max(0, ceil(_product(self.costs[part.family][kind], costs))) for kind in KINDS}


def _product(coefficients: Mapping[str, float], values: Mapping[str, float]) -> float:
    return sum(value * values.get(name, 0) for name, value in coefficients.items())


def calibration() -> tuple[str, bool]:
    """Date on which the model was fitted, and whether the installed Yosys, if there is one, is still of the version it was fitted to.

    Whether the generator still writes what the model was fitted to is known from the digests of some designs' Verilog, which a test
    compares (:data:`boards.parts.fit_rows.ROWS`).
    """
    try:
        installed = yosys_version()
    except ToolError:
        installed = _data()["yosys"]
    return _data()["date"], installed == _data()["yosys"]


@cache
def _data() -> dict[str, Any]:
    return json.loads(DATA.read_text(encoding="utf-8"))


@cache
def _model() -> Model:
    families = _data()["families"]
    return Model(_data()["cells"], {family: each["costs"] for family, each in families.items()})


def stated_errors(family: str) -> Mapping[str, Any]:
    """Errors of the predictions for a family, by kind of resources; see :func:`boards.parts.fit_calibrate.errors`."""
    return _data()["families"][family]["error"]


def predicted(spec: LearningSpec, part: Part) -> Resources:
    """Predict the resources that a core and its serial link need on a part."""
    logic = _model().logic(spec, part)
    return Resources(**logic, dsp=multipliers(spec, part), bram=on_blocks(spec, part), spram=on_large_blocks(spec, part))


# -- The answer -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """Prediction whether a design fits a part.

    Attributes
    ----------
    target, device : str
        Name of the part, and its maker's name for it.
    fits : bool
        Whether the part has enough resources of every kind, even if logic takes as much more than predicted as it did at worst.
    over : dict of str to int
        Number of resources beyond those of the part, by kind.
    close : bool
        Whether the design does not fit with that margin, but would with predictions that are too high by their mean error, so that only
        synthesis can decide.
    surely_over : dict of str to int
        Number of resources beyond those of the part, by kind, even if every prediction is too high by the worst error ever seen.
        If it is not empty, synthesis would fail. Logic is left out while another Yosys is installed than the model was fitted to.
    lanes, most_lanes : int
        Number of lanes L of the design, and the most that fit, 0 if none do.
    taken, capacity : Resources
        Resources that the core and its serial link need, and those of the part. Logic is predicted by the model, memories and
        multipliers by rules.
    memory_bits : int
        Number of bits in all memories, those of the serial link included.
    cycles_per_step : float
        Exact number of clock cycles of a step, averaged over the schedule.
    error : dict
        Errors of predictions against Yosys for designs that the model had not seen: for lut, ff and logic the mean and the worst, and
        how much more a design took than predicted at worst, as fractions; for bram and dsp the share of exact predictions, and the worst
        error in blocks.
    designs : int
        Number of synthesised designs behind ``error``.
    """

    target: str
    device: str
    fits: bool
    over: dict[str, int]
    close: bool
    surely_over: dict[str, int]
    lanes: int
    most_lanes: int
    taken: Resources
    capacity: Resources
    memory_bits: int
    cycles_per_step: float
    error: dict[str, Any]
    designs: int

    def to_json(self) -> dict[str, Any]:
        """Return the prediction as plain data for JSON."""
        return {
            "target": self.target,
            "device": self.device,
            "fits": self.fits,
            "over": dict(self.over),
            "close": self.close,
            "surely_over": dict(self.surely_over),
            "lanes": self.lanes,
            "most_lanes": self.most_lanes,
            **self.taken.to_json(),
            "limits": self.capacity.to_json(),
            "memory_bits": self.memory_bits,
            "cycles_per_step": self.cycles_per_step,
            "error": self.error,
            "designs": self.designs,
        }


def fit(spec: LearningSpec, part_name: str) -> Fit:
    """Predict whether a design fits a part.

    Raises
    ------
    ValueError
        If there is no part of that name.
    """
    part = target(part_name)
    measured = _data()["families"][part.family]
    taken = predicted(spec, part)
    excess = over(taken, part)
    return Fit(
        target=part.name,
        device=part.device,
        fits=_fits(taken, part, measured["error"]),
        over=excess,
        close=_close(taken, part, measured["error"]),
        surely_over=_surely_over(taken, part, measured["error"]),
        lanes=spec.hardware.lanes,
        most_lanes=_most_lanes(spec, part),
        taken=taken,
        capacity=part.capacity,
        memory_bits=sum(memory.count * memory.bits for memory in memories(spec)),
        cycles_per_step=cycles_per_step(spec),
        error=measured["error"],
        designs=measured["designs"],
    )


def _fits(taken: Resources, part: Part, error: Mapping[str, Any]) -> bool:
    """Whether a part has enough, even if the design takes as much more logic than predicted as one ever did."""
    return not over(_off(taken, error, "more", 1), part)


def _close(taken: Resources, part: Part, error: Mapping[str, Any]) -> bool:
    """Whether a design that does not fit with this margin would fit if the predictions are too high by their mean errors."""
    return not _fits(taken, part, error) and not over(_off(taken, error, "mean", -1), part)


def _surely_over(taken: Resources, part: Part, error: Mapping[str, Any]) -> dict[str, int]:
    """Number of resources exceeded even by the worst error, by kind; without logic if the model is of another Yosys."""
    _, current = calibration()
    kinds = (*KINDS, "dsp", "bram") if current else ("dsp", "bram")
    return {kind: number for kind, number in over(_off(taken, error, "worst", -1), part).items() if kind in kinds}


def _off(taken: Resources, error: Mapping[str, Any], which: str, sign: int) -> Resources:
    """Resources needed if the predictions are off by an error, as named in ``error``, in one direction; the rules have only a worst one."""
    changed = {kind: ceil(getattr(taken, kind) * (1 + sign * error[kind][which])) for kind in KINDS}
    if which == "worst":
        changed |= {kind: getattr(taken, kind) + sign * error[kind]["worst"] for kind in ("dsp", "bram")}
    return replace(taken, **changed)


def _widest(spec: LearningSpec) -> int:
    """Most lanes of which each has something to do."""
    match spec:
        case LearnerSpec():
            return min(MAX_STREAMS, spec.quantities)
        case DesignSpec():
            return max(spec.network.sizes[1:])
        case _:
            raise unknown("Design", spec, "boards.parts.fit")


@lru_cache(maxsize=64)
def _with_other_lanes(spec: LearningSpec, most: int) -> tuple[LearningSpec, ...]:
    """The design with every number of lanes up to ``most`` that it may have, from few to many."""
    found: list[LearningSpec] = []
    for lanes in range(1, most + 1):
        with suppress(DesignError):  # a core may not have so many lanes
            match spec:
                case LearnerSpec() | DesignSpec():
                    found.append(replace(spec, hardware=replace(spec.hardware, lanes=lanes)))
                case _:
                    raise unknown("Design", spec, "boards.parts.fit")
    return tuple(found)


def _most_lanes(spec: LearningSpec, part: Part) -> int:
    """Most lanes that fit a part by prediction, so that every lane has a neuron or a quantity; more lanes never take less."""
    others = _with_other_lanes(spec, min(_widest(spec), part.capacity.dsp))
    fitting = bisect_left(others, True, key=lambda other: bool(over(predicted(other, part), part)))
    return others[fitting - 1].hardware.lanes if fitting else 0


def parts() -> tuple[str, ...]:
    """Names of all parts with a fitted model, family by family."""
    return tuple(name for names in FAMILIES.values() for name in names)
