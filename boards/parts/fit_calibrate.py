"""Fit the predictor of :mod:`boards.parts.fit` to what Yosys made of designs, and state its errors for designs that it has not seen.

Two linear models stand behind each other. The first one says of how many cells a design consists, by its features, and is fitted to
sketches. The second one says what a cell takes of a family, and is fitted to rows. ``python -m mgd_hw.hardware.calibrate`` measures both.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from boards.parts.fit import DATA, FAMILIES, KINDS, Model, costs_of, multipliers
from boards.parts.fit_features import structure
from boards.parts.fit_rows import CELLS, ROWS, SKETCHES, Row
from boards.parts.memories import memories, on_blocks
from boards.parts.target import TARGETS, Part
from python_ref.spec.learning import LearningSpec
from rtl_gen.toolchain.yosys import yosys_version

__all__ = ["FOLDS", "Designs", "calibrated", "cells_model", "errors", "record", "wrong"]

Designs = Callable[[str], LearningSpec]
"""How a design is made from its name in a row."""

FOLDS = 16
"""Number of folds of the cross-validation: each fold is predicted by models fitted to the others."""

RIDGE, RIDGE_OF_COSTS, RIDGE_OF_CORE = 0.3, 1.0, 0.001
"""How strongly a coefficient of each model is drawn towards 0 or what is known of it, so that a feature that few designs have does not get
what belongs to others; that of what every core has hardly is."""

KNOWN: Mapping[str, Mapping[str, float]] = {
    "registers": {"signature: delays": 1, "random signs: states": 2, "random signs: states held": 1, "lanes: accumulator": 2},
    "adders": {"lanes: accumulator": 1},
}
"""Coefficients that follow from the structure: a delay is a register for each bit; a state of a generator is kept for the present step and
the one that is correlated, and a held one once more; a lane adds to its accumulator, and registers the sum and the product before it."""


_LUT = {"choices": 0.3, "gates": 0.25, "comparisons": 0.5, "registers": 0.1, "multipliers": 20.0}
"""Look-up tables of four inputs that a bit of cells takes, on all families."""

KNOWN_COSTS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "ice40": {
        "lut": {**_LUT, "adders": 0.9, "memory in logic": 1.2},
        "ff": {"registers": 1},
        "logic": {"adders": 0.9, "choices": 0.25, "gates": 0.1, "comparisons": 0.4, "registers": 0.6, "delays": 0.4, "memory in logic": 2},
    },
    "ecp5": {
        "lut": {**_LUT, "adders": 0.3, "memory in logic": 0.04, "memory in logic: multiplexers": 1},
        "ff": {"registers": 1},
        "logic": {**_LUT, "adders": 1.6, "memory in logic": 0.13, "memory in logic: multiplexers": 1},
    },
}
"""What is known of the costs from the cells of the families, in round numbers, by family and kind of resource: an adder is a look-up table
with a carry on iCE40, and a carry that counts for itself on ECP5; a register takes a flip-flop, unless a multiplier or a block memory has
it; a bit of a small memory is a flip-flop with its multiplexer, or a quarter of what a table of 16 words of 4 bits takes."""

ALIKE: Mapping[str, str] = {"gowin": "ecp5", "xc7": "ecp5"}
"""Families whose costs are drawn towards those fitted to another one, which has more rows and cells like theirs."""


def _part(family: str) -> Part:
    """The part that stands for a family."""
    return TARGETS[FAMILIES[family][0]]


def _solve(
    named: Sequence[Mapping[str, float]],
    y: np.ndarray,
    ridge: float,
    *,
    known: Mapping[str, float] | None = None,
    free: Collection[str] = (),
) -> dict[str, float]:
    """Coefficients by name that predict y with the least relative error, none of them negative but the ``free`` ones.

    Parameters
    ----------
    named : sequence of mapping
        Values by name, of each design.
    y : array of float
        What is predicted, of each design.
    ridge : float
        How strongly the coefficients are drawn towards those that are known, and all others towards 0.
    known : mapping of str to float or None
        The known coefficients by name, if there are such.
    free : collection of str
        Names of the coefficients that may be negative.
    """
    names = list(dict.fromkeys(name for each in named for name in each))
    x = np.array([[each.get(name, 0) for name in names] for each in named], dtype=float)
    scale = np.maximum(np.abs(x).max(axis=0), 1e-9)
    a, b = x / scale * (y.mean() / y[:, None]), np.full(len(y), y.mean())
    drawn = np.array([RIDGE_OF_CORE if name == "core" else ridge for name in names])
    towards = drawn * scale * np.array([(known or {}).get(name, 0) for name in names])
    bound, used = np.array([name not in free for name in names]), np.ones(len(names), dtype=bool)
    while True:
        part = a[:, used]
        found = np.linalg.solve(part.T @ part + np.diag(drawn[used]), part.T @ b + towards[used])
        negative = np.where(bound[used], found, 0)
        if (negative >= 0).all():
            break
        used[np.flatnonzero(used)[np.argmin(negative)]] = False
    values = found / scale[used]
    return {name: float(f"{value:.5g}") for name, value in zip(np.array(names)[used].tolist(), values, strict=True) if value}


def cells_model(sketches: Sequence[Row], designs: Designs) -> dict[str, dict[str, float]]:
    """Fit the number of cells of each kind to sketches; return the coefficients by kind and feature."""
    named = [structure(designs(row["design"])) for row in sketches]
    counts = {kind: np.array([row["cells"][kind] for row in sketches], dtype=float) for kind in CELLS}
    return {kind: _solve(named, y, RIDGE, known=KNOWN.get(kind)) for kind, y in counts.items()}


def costs_model(
    rows: Sequence[Row],
    cells: Mapping[str, Mapping[str, float]],
    designs: Designs,
    known: Mapping[str, Mapping[str, float]],
) -> dict[str, dict[str, float]]:
    """Fit what each cell takes of one family to its rows; return the coefficients by kind of resource and name.

    Parameters
    ----------
    rows : sequence of Row
        Rows of one family; without any, the costs are those that are known.
    cells : mapping of str to mapping
        The cells of each design in its sketch, by its name.
    designs : Designs
        The designs by name.
    known : mapping of str to mapping
        Coefficients towards which these are drawn, by kind of resource and name.
    """
    if not rows:
        return {kind: dict(each) for kind, each in known.items()}
    named = [costs_of(designs(row["design"]), _part(row["family"]), cells[row["design"]]) for row in rows]
    free = ("multipliers",)  # they take up registers
    counts = {kind: np.array([row[kind] for row in rows], dtype=float) for kind in KINDS}
    return {kind: _solve(named, y, RIDGE_OF_COSTS, known=known[kind], free=free) for kind, y in counts.items()}


def calibrated(rows: Sequence[Row], sketches: Sequence[Row], designs: Designs) -> Model:
    """Fit both models to all rows and sketches."""
    cells = {row["design"]: row["cells"] for row in sketches}
    costs: dict[str, dict[str, dict[str, float]]] = {}
    for family in sorted(FAMILIES, key=ALIKE.__contains__):
        mine = [row for row in rows if row["family"] == family and row["design"] in cells]
        costs[family] = costs_model(mine, cells, designs, costs[ALIKE[family]] if family in ALIKE else KNOWN_COSTS[family])
    return Model(cells_model(sketches, designs), costs)


def held_out(rows: Sequence[Row], sketches: Sequence[Row], designs: Designs) -> list[tuple[Row, dict[str, int]]]:
    """Predict each row by models that were fitted without its design; return the rows with the resources predicted."""
    named = sorted({row["design"] for row in rows})
    folds = {name: place % FOLDS for place, name in enumerate(named)}
    found = []
    for fold in range(min(FOLDS, len(named))):
        model = calibrated(
            [row for row in rows if folds[row["design"]] != fold],
            [row for row in sketches if folds.get(row["design"]) != fold],
            designs,
        )
        found += [(row, model.logic(designs(row["design"]), _part(row["family"]))) for row in rows if folds[row["design"]] == fold]
    return found


def errors(rows: Sequence[Row], sketches: Sequence[Row], designs: Designs) -> dict[str, dict[str, Any]]:
    """Errors by family and kind of resource: of logic the "mean" and the "worst" relative error over designs that the models had not seen,
    and how much "more" a design took than predicted at worst; of the rules the share of "exact" ones, and the "worst" difference.

    The worst of a family whose costs are drawn towards those of another one are at least those of that one, since few rows show few errors.
    """
    held, found = held_out(rows, sketches, designs), dict[str, dict[str, Any]]()
    for family in sorted(FAMILIES, key=ALIKE.__contains__):
        mine, stated = [(row, guess) for row, guess in held if row["family"] == family], dict[str, Any]()
        like = found.get(ALIKE.get(family, ""), {})
        for kind in KINDS:
            off = np.array([guess[kind] / row[kind] - 1 for row, guess in mine])
            worst, more = float(np.abs(off).max()), max(0.0, float((1 / (1 + off)).max() - 1))
            least = like.get(kind, {"worst": 0.0, "more": 0.0})
            values = {"mean": float(np.abs(off).mean()), "worst": max(worst, least["worst"]), "more": max(more, least["more"])}
            stated[kind] = {name: round(value, 4) for name, value in values.items()}
        for kind, rule in RULES.items():
            off = np.array([abs(rule(designs(row["design"]), _part(family)) - row[kind]) for row, _ in mine])
            stated[kind] = {"exact": round(float((off == 0).mean()), 4), "worst": int(off.max())}
        found[family] = stated
    return {family: found[family] for family in FAMILIES}


RULES: Mapping[str, Callable[[LearningSpec, Part], int]] = {"bram": on_blocks, "dsp": multipliers}
"""Kinds of resources that follow rules, and these."""


def wrong(rows: Sequence[Row], designs: Designs) -> Iterator[str]:
    """Yield one line for each row in which a rule differs from Yosys."""
    for row in rows:
        spec, part = designs(row["design"]), _part(row["family"])
        for kind, rule in RULES.items():
            if rule(spec, part) != row[kind]:
                expected = {memory.name for memory in memories(spec) if memory.blocks(part)}
                odd = f"; on blocks or not: {', '.join(sorted(expected ^ set(row['blocks'])))}" if kind == "bram" else ""
                yield f"{row['design']}, {row['family']}: {kind} {rule(spec, part)} by rule, {row[kind]} by Yosys{odd}"


def record(rows: Sequence[Row], sketches: Sequence[Row], designs: Designs, checked: Mapping[str, str]) -> None:
    """Fit the models, state their errors, and write the data files; ``checked`` has digests of the Verilog of the reference designs."""
    model, stated = calibrated(rows, sketches, designs), errors(rows, sketches, designs)
    families = {
        family: {"designs": sum(row["family"] == family for row in rows), "costs": model.costs[family], "error": stated[family]}
        for family in FAMILIES
    }
    about = {"date": datetime.date.today().isoformat(), "yosys": yosys_version(), "checked": dict(checked)}
    DATA.write_text(json.dumps(about | {"cells": model.cells, "families": families}, indent=1) + "\n", encoding="utf-8")
    for path, lines in ((ROWS, rows), (SKETCHES, sketches)):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
