"""Fit the predictor of :mod:`boards.parts.fit` to runs of Yosys, or check that it still holds for the present generator.

    python -m boards.parts.fit_calibrate --check
    python -m boards.parts.fit_calibrate [--designs 48] [--minutes 120] [--work DIR]

The first command synthesises a few reference designs, which the model has not seen, and ends with 1 if a prediction is off by more than
the worst error that is stated for its family. The second one synthesises the seeded random designs of :mod:`boards.parts.fit_designs`,
core and serial link, for every family, and writes ``boards/data/fit.json``: the coefficients, the date, the version of Yosys, and the
errors of predictions for designs that a model has not seen. What was synthesised is recorded beside it, in ``fit_rows.jsonl``, with a
digest of each design's Verilog, so that only a design whose Verilog has changed is synthesised again. With ``--work`` the results of an
interrupted run are kept, so that the next one continues.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boards.parts.fit import DATA, FAMILIES, features, memories, multipliers, on_blocks, predicted, stated_errors
from boards.parts.fit_designs import design
from boards.parts.synth import count
from boards.parts.target import TARGETS, Part, Resources
from python_ref.spec.design import DesignSpec
from rtl_gen.toolchain.yosys import yosys_version

__all__ = ["REFERENCES", "ROWS", "Checked", "Row", "checked", "fitted", "main", "read_rows", "synthesised"]

Row = dict[str, Any]
"""What Yosys made of a design for a family: ``design`` (its number), ``structure`` (digest of its specification), ``family``, ``verilog``
(digest of its text), the counts by kind, and ``blocks``, the names of memories in block memories."""

ROWS = DATA.with_name("fit_rows.jsonl")
"""File with the rows that the shipped model was fitted to."""

DIVISOR = 16
"""Clock cycles per bit of the serial line; its value hardly changes the counts."""

FOLDS = 16
"""Number of folds of the cross-validation: each fold is predicted by a model fitted to the others."""

FEWEST = 12
"""Smallest number of designs of a family to which a model is fitted."""

KNOWN, NEW = 25.0, 0.1
"""How strongly a coefficient is drawn towards that of the calibration before, if it had the feature: as much as its 25 designs; and towards
0 otherwise."""

KINDS = ("lut", "ff", "logic")
"""Kinds of resources predicted by regression; multipliers and block memories follow rules."""


REFERENCES: tuple[tuple[int, str], ...] = ((1008, "ice40"), (1007, "ice40"), (1005, "ecp5"), (1006, "gowin"), (1010, "xc7"))
"""Reference designs, which no model is fitted to: number and family. They perturb weights; have state; have two multipliers in a lane; are
sparse, with shift-Adam; and have signs that count."""


def synthesised(spec: DesignSpec, part: Part, directory: Path, verilog: str | None = None) -> dict[str, Any]:
    """Synthesise a core and its serial link for a part; return the counts, and the names of memories in block memories.

    ``verilog`` is the text of the two, where it has been written already.
    """
    from rtl_gen.emit import kept_modules
    from rtl_gen.serial.linked import emit_linked
    from rtl_gen.toolchain.yosys import run_yosys

    top = f"{spec.module}_linked"
    (directory / "linked.v").write_text(verilog or emit_linked(spec, DIVISOR), encoding="utf-8")
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
    counts = total.to_json()
    return {**{kind: counts[kind] for kind in ("lut", "ff", "dsp", "bram")}, "logic": total.logic, "blocks": blocks}


def _measured(designs: int, deadline: float, known: list[Row], store: Path) -> list[Row]:
    """Rows of the designs: those known whose Verilog is still the same, and the others synthesised until the deadline.

    ``store`` is a file to which each new row is added at once.
    """
    from rtl_gen.serial.linked import emit_linked
    from rtl_gen.toolchain.yosys import YosysError

    found = {(row["verilog"], row["family"]): row for row in known}
    write = threading.Lock()

    def measure(number: int) -> list[Row]:
        spec = design(number)
        verilog = emit_linked(spec, DIVISOR)
        digest, rows = hashlib.sha256(verilog.encode()).hexdigest()[:16], []
        for family in FAMILIES:
            row = found.get((digest, family))
            if row is None and time.monotonic() < deadline:
                try:
                    with tempfile.TemporaryDirectory(dir=store.parent) as directory:
                        counts = synthesised(spec, TARGETS[FAMILIES[family][0]], Path(directory), verilog)
                except YosysError as error:
                    print(f"design {number}, {family}: left out, {error}", flush=True)
                    continue
                row = {"family": family, "verilog": digest, **counts}
                with write, store.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"design {number}, {family}: {row['lut']} LUTs", flush=True)
            if row is not None:
                named = {"design": number, "structure": spec.digest}
                rows.append(named | row | named)
        return rows

    with ThreadPoolExecutor(2) as pool:
        rows = [row for each in pool.map(measure, range(designs)) for row in each]
    return sorted(rows, key=lambda row: (list(FAMILIES).index(row["family"]), row["design"]))


def _solve(x: np.ndarray, y: np.ndarray, prior: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    """Non-negative coefficients that predict y with the least relative error; no feature can reduce the logic of a core.

    Each is drawn towards that in ``prior``, as strongly as ``ridge`` says, so that a feature of few designs keeps what was known of it.
    """
    scale = np.maximum(np.abs(x).max(axis=0), 1e-9)
    a, b, before = x / scale * (y.mean() / y[:, None]), np.full(len(y), y.mean()), prior * scale
    used = np.ones(a.shape[1], dtype=bool)
    while True:
        part = a[:, used]
        found = np.linalg.solve(part.T @ part + np.diag(ridge[used]), part.T @ b + ridge[used] * before[used])
        if (found >= 0).all():
            break
        worst = np.flatnonzero(used)[np.argmin(found)]
        used[worst] = False
    solution = np.zeros(a.shape[1])
    solution[used] = found
    return solution / scale


def fitted(rows: list[Row], family: str, prior: Mapping[str, Mapping[str, float]] | None = None) -> dict[str, Any]:
    """Coefficients of a family, and cross-validated errors: each design is predicted by a model fitted without it.

    ``prior`` has coefficients by kind and feature that are known from other designs; left out, all are 0.
    """
    mine = [row for row in rows if row["family"] == family]
    specs = [design(row["design"]) for row in mine]
    part = TARGETS[FAMILIES[family][0]]
    named = [features(spec, part) for spec in specs]
    names = list(dict.fromkeys(name for each in named for name in each))
    x = np.array([[each.get(name, 0) for name in names] for each in named], dtype=float)
    known = {name for coefficients in (prior or {}).values() for name in coefficients}
    ridge = np.array([KNOWN if name in known else NEW for name in names])
    found: dict[str, Any] = {"designs": len(mine), "coefficients": {}, "error": {}}
    folds = np.arange(len(mine)) % FOLDS
    for kind in KINDS:
        y = np.array([row[kind] for row in mine], dtype=float)
        before = np.array([(prior or {}).get(kind, {}).get(name, 0.0) for name in names])
        held = np.zeros(len(mine))
        for fold in range(FOLDS):
            held[folds == fold] = x[folds == fold] @ _solve(x[folds != fold], y[folds != fold], before, ridge)
        error = np.abs(held / y - 1)
        found["error"][kind] = {"mean": round(float(error.mean()), 4), "worst": round(float(error.max()), 4)}
        solution = _solve(x, y, before, ridge)
        found["coefficients"][kind] = {name: round(float(value), 5) for name, value in zip(names, solution, strict=True) if value}
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


def recorded_yosys() -> str:
    """Version of Yosys that made the recorded rows."""
    return json.loads(DATA.read_text(encoding="utf-8")).get("yosys", "")


def read_rows(path: Path) -> list[Row]:
    """Rows of a file of them, one JSON object in a line; none if there is no such file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def record(rows: list[Row]) -> None:
    """Fit the models to these rows, write both data files, and print the errors."""
    prior = json.loads(DATA.read_text(encoding="utf-8"))["prior"]
    families = {family: fitted(rows, family, prior["families"][family]) for family in FAMILIES}
    written = {"date": datetime.date.today().isoformat(), "yosys": yosys_version(), "families": families, "prior": prior}
    DATA.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    ROWS.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for family, found in families.items():
        print(family, found["designs"], "designs;", found["error"])


@dataclass(frozen=True)
class Checked:
    """A prediction beside what Yosys made of the design.

    Attributes
    ----------
    design : int
        Number of the design in the sequence of :func:`boards.parts.fit_designs.design`.
    family : str
        Family of parts for which it was synthesised, a key of :data:`boards.parts.fit.FAMILIES`.
    predicted, found : Resources
        Resources by the model and the rules, and by synthesis.
    """

    design: int
    family: str
    predicted: Resources
    found: Resources

    def error(self, kind: str) -> float:
        """Relative error of the prediction of a kind of resources."""
        return getattr(self.predicted, kind) / getattr(self.found, kind) - 1

    @property
    def wrong(self) -> tuple[str, ...]:
        """Kinds of resources of which the prediction is off by more than the worst error that is stated."""
        stated = stated_errors(self.family)
        rules = [kind for kind in ("dsp", "bram") if abs(getattr(self.predicted, kind) - getattr(self.found, kind)) > stated[kind]["worst"]]
        return (*(kind for kind in KINDS if abs(self.error(kind)) > stated[kind]["worst"]), *rules)

    def __str__(self) -> str:
        shown = ", ".join(f"{kind} {100 * self.error(kind):+.1f} %" for kind in KINDS)
        return f"design {self.design}, {self.family}: {shown}" + (f"; worse than stated: {', '.join(self.wrong)}" if self.wrong else "")


def checked(number: int, family: str) -> Checked:
    """Synthesise a design for a family, and return its prediction beside the result."""
    spec, part = design(number), TARGETS[FAMILIES[family][0]]
    with tempfile.TemporaryDirectory() as directory:
        found = synthesised(spec, part, Path(directory))
    made = Resources(**{kind: found[kind] for kind in ("lut", "ff", "logic", "dsp", "bram")})
    return Checked(number, family, predicted(spec, part), made)


def _check() -> int:
    """Check the reference designs, print a line for each, and return 1 if one is off by more than is stated."""
    wrong = 0
    for reference in REFERENCES:
        found = checked(*reference)
        print(found, flush=True)
        wrong += bool(found.wrong)
    return int(wrong > 0)


def main(arguments: list[str] | None = None) -> int:
    """Synthesise the designs, fit the models, and write the data files; or check the reference designs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", type=int, default=48, help="designs per family")
    parser.add_argument("--minutes", type=float, default=120, help="begin no synthesis after so many")
    parser.add_argument("--work", type=Path, help="keep what was synthesised here, and use what is kept")
    parser.add_argument("--check", action="store_true", help="synthesise the reference designs, and say whether the errors hold")
    options = parser.parse_args(arguments)
    if options.check:
        return _check()
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        store = work / f"fit-yosys-{yosys_version()}.jsonl"
        known = read_rows(store) + (read_rows(ROWS) if recorded_yosys() == yosys_version() else [])
        rows = _measured(options.designs, time.monotonic() + 60 * options.minutes, known, store)
    for line in _wrong(rows):
        print(line)
    if any(sum(row["family"] == family for row in rows) < 2 * FOLDS for family in FAMILIES):
        print(
            f"Fewer than {2 * FOLDS} designs of a family have been synthesised, too few for a model: run this again, with more --minutes."
        )
        return 1
    record(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
