"""Fit the predictor of :mod:`boards.parts.fit` to runs of Yosys; run this again when the generator has changed.

    python -m boards.parts.fit_calibrate [--designs 44] [--minutes 60] [--work DIR]

It synthesises seeded random designs, core and serial link, for every family, and writes ``boards/data/fit.json``: the coefficients,
the date, a digest of the generator, and the errors of predictions for designs that a model has not seen. With ``--work`` the results
of synthesis are kept, so that an interrupted run can continue.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import re
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from boards.parts.fit import DATA, FAMILIES, features, generator_digest, memories, multipliers, on_blocks
from boards.parts.synth import count
from boards.parts.target import TARGETS, Part, Resources
from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed, Rounding
from python_ref.spec.optimizer import Momentum, Optimizer, Sgd
from python_ref.spec.perturbation import Kind, LfsrCode, Perturbation, SequentialCode, WalshCode
from python_ref.spec.schedule import Difference, Schedule

__all__ = ["design", "fitted", "main", "synthesised"]

DIVISOR = 16
"""Clock cycles per bit of the serial line; its value hardly changes the counts."""

FOLDS = 8
"""Number of folds of the cross-validation: each fold is predicted by a model fitted to the others."""

KINDS = ("lut", "ff", "logic")
"""Kinds of resources predicted by regression; multipliers and block memories follow rules."""


def design(number: int) -> DesignSpec:
    """The ``number``-th of an endless seeded sequence of designs that varies every setting, in sizes that fit small parts."""
    rng = random.Random(f"fit {number}")
    kind = rng.choice(tuple(Kind))  # drawn once, since more settings are refused of one kind than of the other
    while True:
        spec = _drawn(rng, kind)
        if spec is not None and spec.accumulator_width <= 40:
            return spec


def _drawn(rng: random.Random, kind: Kind) -> DesignSpec | None:
    """Draw a design of a kind of perturbation; None if the drawn settings are refused."""

    def size(low: int, high: int) -> int:
        return round(low * (high / low) ** rng.random())

    hidden = [size(2, 48) for _ in range(rng.choice((0, 1, 1, 1, 2)))]
    sizes = (size(2, 128), *hidden, size(1, 16))
    codes = {Kind.NODE: (LfsrCode, WalshCode, SequentialCode, SequentialCode), Kind.WEIGHT: (LfsrCode, LfsrCode, WalshCode, SequentialCode)}
    tables = (Activation.SIGMOID, Activation.TANH)
    simple = (Activation.RELU, Activation.RELU, Activation.IDENTITY, *tables)
    network = Network(sizes, rng.choice((*simple, Activation.SIGN)), rng.choice((Activation.IDENTITY, Activation.RELU, *tables)))
    weight_bits = rng.randint(8, 14)
    update_period = rng.choice((1, 1, 1, rng.randint(2, 100)))
    optimizer: Optimizer = Momentum(rng.randint(2, 6)) if rng.random() < 0.15 else Sgd()
    exact = (Rounding.FLOOR, Rounding.HALF_UP, Rounding.HALF_EVEN)
    try:
        return DesignSpec(
            "fit",
            network,
            Perturbation(kind, rng.choice(codes[kind])(), rng.randint(-7, -3)),
            Schedule(
                ((0, -rng.randint(6, 12)),),
                rng.choice((1, 1, rng.randint(2, 50))),
                rng.choice((1, 1, rng.randint(2, 50))),
                update_period,
                rng.choice(tuple(Difference)),
            ),
            optimizer,
            Formats(
                input=Fixed.parse(rng.choice(("UQ0.8", "UQ1.4", "UQ0.4", "SQ2.6"))),
                weight=Fixed(True, rng.randint(2, 4), weight_bits),
                activation=Fixed(True, rng.randint(2, 4), rng.randint(5, 10)),
                table=Fixed(True, 3, rng.randint(3, 6)),
                cost_change=rng.choice((None, Fixed(True, rng.randint(2, 4), rng.randint(8, 14)))),
                gradient=rng.choice((None, Fixed(True, rng.randint(1, 3), rng.randint(10, 20)))),
                activation_cast=Cast(rng.choice(exact)),
                gradient_cast=Cast(rng.choice(exact)),
                weight_cast=Cast(rng.choice((*exact, Rounding.STOCHASTIC, Rounding.STOCHASTIC, Rounding.STOCHASTIC))),
            ),
            Hardware(
                min(rng.randint(1, 8), max(sizes[1:])),
                True if update_period > 1 else None,
                rng.random() < 0.7,
                2 if kind is Kind.NODE and rng.random() < 0.25 else 1,
            ),
        )
    except ValueError:  # the settings are refused
        return None


def synthesised(spec: DesignSpec, part: Part, directory: Path) -> dict[str, Any]:
    """Synthesise a core and its serial link for a part; return the counts, and the names of memories in block memories."""
    from rtl_gen.emit import kept_modules
    from rtl_gen.serial.linked import emit_linked
    from rtl_gen.toolchain.yosys import run_yosys

    top = f"{spec.module}_linked"
    (directory / "linked.v").write_text(emit_linked(spec, DIVISOR), encoding="utf-8")
    commands = [
        "read_verilog linked.v",
        f"hierarchy -check -top {top}",
        "proc",
        *(f"setattr -mod -set keep_hierarchy 1 {pattern}" for pattern in kept_modules(spec, macs=part.keeps_mac)),
        f"{part.synthesis} -top {top}",
        "write_json netlist.json",
    ]
    log = run_yosys(commands, directory)
    netlist = json.loads((directory / "netlist.json").read_text(encoding="utf-8"))
    total = sum(count(netlist, top, part).values(), Resources())
    mapped = re.findall(r"^mapping memory (\S+) via \$__(?!TRELLIS|GOWIN_LUTRAM|XILINX_LUTRAM)", log, re.MULTILINE)
    blocks = sorted({name.rsplit(".", 1)[-1] for name in mapped})
    return {**total.to_json(), "logic": total.logic, "blocks": blocks}


def _measured(designs: int, deadline: float, work: Path) -> list[dict[str, Any]]:
    """Synthesise until the deadline; return one row per design and family, with the number of the design and the counts."""
    generator = generator_digest()
    store = work / f"fit-{generator}.jsonl"
    rows = [json.loads(line) for line in store.read_text(encoding="utf-8").splitlines()] if store.exists() else []
    known = {(row["design"], row["family"]) for row in rows}
    todo = [(number, family) for number in range(designs) for family in FAMILIES if (number, family) not in known]

    def measure(job: tuple[int, str]) -> dict[str, Any] | None:
        number, family = job
        if time.monotonic() > deadline:
            return None
        with tempfile.TemporaryDirectory(dir=work) as directory:
            found = synthesised(design(number), TARGETS[FAMILIES[family][0]], Path(directory))
        return {"design": number, "family": family, **found}

    with ThreadPoolExecutor(2) as pool, store.open("a", encoding="utf-8") as file:
        for row in pool.map(measure, todo):
            if row is not None:
                rows.append(row)
                file.write(json.dumps(row) + "\n")
                file.flush()
                print(f"design {row['design']}, {row['family']}: {row['lut']} LUTs", flush=True)
    return sorted(rows, key=lambda row: (row["family"], row["design"]))


def _solve(x: np.ndarray, y: np.ndarray, ridge: float = 0.03) -> np.ndarray:
    """Non-negative coefficients that predict y with the least relative error; no feature can reduce the logic of a core."""
    scale = np.maximum(np.abs(x).max(axis=0), 1e-9)
    a, b = x / scale * (y.mean() / y[:, None]), np.full(len(y), y.mean())
    used = np.ones(a.shape[1], dtype=bool)
    while True:
        part = a[:, used]
        found = np.linalg.solve(part.T @ part + ridge * np.eye(part.shape[1]), part.T @ b)
        if (found >= 0).all():
            break
        worst = np.flatnonzero(used)[np.argmin(found)]
        used[worst] = False
    solution = np.zeros(a.shape[1])
    solution[used] = found
    return solution / scale


def fitted(rows: list[dict[str, Any]], family: str) -> dict[str, Any]:
    """Coefficients of a family, and cross-validated errors: each design is predicted by a model fitted without it."""
    mine = [row for row in rows if row["family"] == family]
    specs = [design(row["design"]) for row in mine]
    part = TARGETS[FAMILIES[family][0]]
    named = [features(spec, part) for spec in specs]
    x = np.array([list(each.values()) for each in named], dtype=float)
    found: dict[str, Any] = {"designs": len(mine), "coefficients": {}, "error": {}}
    folds = np.arange(len(mine)) % FOLDS
    for kind in KINDS:
        y = np.array([row[kind] for row in mine], dtype=float)
        held = np.zeros(len(mine))
        for fold in range(FOLDS):
            held[folds == fold] = x[folds == fold] @ _solve(x[folds != fold], y[folds != fold])
        error = np.abs(held / y - 1)
        found["error"][kind] = {"mean": round(float(error.mean()), 4), "worst": round(float(error.max()), 4)}
        solution = _solve(x, y)
        found["coefficients"][kind] = {name: round(float(value), 5) for name, value in zip(named[0], solution, strict=True) if value}
    for kind, rule in (("bram", on_blocks), ("dsp", multipliers)):
        error = np.array([abs(rule(spec, part) - row[kind]) for spec, row in zip(specs, mine, strict=True)])
        found["error"][kind] = {"exact": round(float((error == 0).mean()), 4), "worst": int(error.max())}
    return found


def _wrong(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield one line for each design in which a rule differs from Yosys."""
    for row in rows:
        spec, part = design(row["design"]), TARGETS[FAMILIES[row["family"]][0]]
        for kind, rule in (("bram", on_blocks), ("dsp", multipliers)):
            if rule(spec, part) != row[kind]:
                expected = {memory.name for memory in memories(spec) if memory.blocks(part)}
                odd = f"; on blocks or not: {', '.join(sorted(expected ^ set(row['blocks'])))}" if kind == "bram" else ""
                yield f"design {row['design']}, {row['family']}: {kind} {rule(spec, part)} by rule, {row[kind]} by Yosys{odd}"


def main(arguments: list[str] | None = None) -> None:
    """Synthesise the designs, fit the models, and write the data file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", type=int, default=44, help="designs per family")
    parser.add_argument("--minutes", type=float, default=120, help="begin no synthesis after so many")
    parser.add_argument("--work", type=Path, help="keep what was synthesised here, and use what is kept")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        rows = _measured(options.designs, time.monotonic() + 60 * options.minutes, work)
    for line in _wrong(rows):
        print(line)
    families = {family: fitted(rows, family) for family in FAMILIES}
    written = {"date": datetime.date.today().isoformat(), "generator": generator_digest(), "families": families}
    DATA.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    for family, found in families.items():
        print(family, found["designs"], "designs;", found["error"])


if __name__ == "__main__":
    main()
