"""Measure what Yosys makes of designs, and fit the predictor of ``mgd-hw fit`` to it, or check that it still holds.

    python -m mgd_hw.hardware.calibrate --check
    python -m mgd_hw.hardware.calibrate [--minutes 240] [--work DIR]

The first command synthesises a few reference designs whose Verilog has changed, and ends with 1 if a prediction is off by more than the
worst error that is stated; otherwise it records their Verilog. The second one sketches the designs of :data:`SKETCHED`, synthesises those
of :data:`SYNTHESISED`, and writes ``boards/data/fit.json`` and the rows beside it. What was recorded of a design whose text is still the
same is not measured again. With ``--work`` the results of an interrupted run are kept, so that the next one continues.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from boards.parts import fit_calibrate
from boards.parts.fit import DATA, FAMILIES, KINDS, predicted, stated_errors
from boards.parts.fit_designs import design as random_design
from boards.parts.fit_rows import ROWS, SKETCHES, Row, digest_of_text, linked, read_rows, rtlil_of, sketch_row, whole_row
from boards.parts.target import TARGETS
from mgd_hw.design.reader import load_any
from python_ref.spec.learning import LearningSpec
from rtl_gen.toolchain.yosys import yosys_version

__all__ = ["REFERENCES", "SKETCHED", "SYNTHESISED", "checked", "design", "main"]

SHIPPED = ("chip", "digits", "digits_lif", "digits_rows", "digits_sparse", "digits_stochastic", "fashion", "mnist", "nist7x7", "parity",
           "recall", "vowels", "xor")  # fmt: skip
"""Shipped designs that are measured."""

_NUMBERS: Mapping[str, Sequence[int]] = {
    "weight": (0, 1, 2, 3, 4, 5, 6, 7, 8, 16),
    "node": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    "series": (0, 1, 2, 3, 4, 5, 6, 7, 8, 10),
    "series-weight": (0, 1, 2, 3, 4, 5, 6, 7, 11),
    "learner": (0, 1, 2, 3, 4, 5, 6, 7, 10, 16),
}
"""Numbers of the random designs that are sketched, by their machine."""

SKETCHED: tuple[str, ...] = (
    *(f"shipped {name}" for name in SHIPPED),
    *(f"{machine} {number}" for machine, numbers in _NUMBERS.items() for number in numbers),
)
"""Names of the designs that are sketched."""

_SYNTHESISED: Mapping[str, Sequence[str]] = {
    "ice40": (
        "shipped chip",
        "shipped digits",
        "shipped digits_lif",
        "shipped digits_rows",
        "shipped digits_sparse",
        "shipped digits_stochastic",
        "shipped nist7x7",
        "shipped parity",
        "shipped vowels",
        "shipped xor",
        "weight 16",
        "node 8",
        "node 9",
        "series 10",
        "series-weight 2",
        "learner 3",
        "learner 7",
    ),
    "ecp5": (
        "shipped chip",
        "shipped digits",
        "shipped digits_lif",
        "shipped digits_sparse",
        "shipped digits_stochastic",
        "shipped nist7x7",
        "shipped parity",
        "shipped xor",
        "weight 16",
        "node 8",
        "series 10",
        "series-weight 2",
        "learner 7",
    ),
    "gowin": (
        "shipped chip",
        "shipped digits",
        "shipped digits_sparse",
        "shipped xor",
        "learner 7",
    ),
    "xc7": (
        "shipped chip",
        "shipped digits",
        "shipped digits_sparse",
        "shipped xor",
    ),
}

SYNTHESISED: tuple[tuple[str, str], ...] = tuple((name, family) for family, names in _SYNTHESISED.items() for name in names)
"""Names of the designs that are synthesised, and the families for which they are."""

REFERENCES: tuple[tuple[str, str], ...] = (("shipped xor", "ice40"), ("series 10", "ecp5"), ("learner 7", "ice40"))
"""Small designs of different machines, whose Verilog is recorded with the model, and the families for which a check synthesises them."""


@cache
def design(name: str) -> LearningSpec:
    """A design by its name in a row: ``shipped`` and the name of a shipped design, or that of a random one.

    Raises
    ------
    Refusal
        If there is no shipped design of that name.
    TypeError
        If there is no machine of that name.
    """
    kind, _, which = name.partition(" ")
    return load_any(which).spec if kind == "shipped" else random_design(name)


def _measured(work: Path, deadline: float) -> tuple[list[Row], list[Row]]:
    """Rows and sketches of the designs: what is recorded of those whose text is the same, and the others measured until the deadline."""
    same_yosys = json.loads(DATA.read_text(encoding="utf-8")).get("yosys") == yosys_version()
    found: list[list[Row]] = []
    for path, jobs in ((SKETCHES, [(name, "") for name in SKETCHED]), (ROWS, list(SYNTHESISED))):
        store = work / f"{path.stem}-{yosys_version()}.jsonl"
        known = {(row["text"], row.get("family", "")): row for row in (read_rows(path) if same_yosys else []) + read_rows(store)}
        rows = []
        for name, family in jobs:
            text = linked(design(name)) if family else rtlil_of(design(name))
            row = known.get((digest_of_text(text), family))
            if row is None and time.monotonic() < deadline:
                row = whole_row(name, design(name), family, text) if family else sketch_row(name, design(name), text)
                with store.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{name}, {family or 'sketch'}", flush=True)
            rows += [] if row is None else [row]
        found.append(rows)
    return found[1], found[0]


def checked(name: str, family: str) -> tuple[str, str]:
    """Synthesise a design for a family; return its errors in words, and the kinds of resources that are off by more than is stated."""
    spec, stated = design(name), stated_errors(family)
    made, guess = whole_row(name, spec, family, linked(spec)), predicted(spec, TARGETS[FAMILIES[family][0]])
    off = {kind: getattr(guess, kind) / made[kind] - 1 for kind in KINDS}
    beyond = [kind for kind, error in off.items() if abs(error) > stated[kind]["worst"]]
    beyond += [kind for kind in ("dsp", "bram") if abs(getattr(guess, kind) - made[kind]) > stated[kind]["worst"]]
    return f"{name}, {family}: " + ", ".join(f"{kind} {100 * error:+.1f} %" for kind, error in off.items()), ", ".join(beyond)


def check() -> int:
    """Check the reference designs whose Verilog is not the recorded one; record it, and return 0, if no error is worse than stated."""
    data, wrong = json.loads(DATA.read_text(encoding="utf-8")), 0
    digests = {name: digest_of_text(linked(design(name))) for name, _ in REFERENCES}
    for name, family in REFERENCES:
        if digests[name] == data["checked"].get(name):
            print(f"{name}: the Verilog is the recorded one", flush=True)
            continue
        said, beyond = checked(name, family)
        print(said + (f"; worse than stated: {beyond}" if beyond else ""), flush=True)
        wrong += bool(beyond)
    if not wrong:
        DATA.write_text(json.dumps(data | {"checked": digests}, indent=1) + "\n", encoding="utf-8")
    return int(wrong > 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the designs, fit the models, and write the data files; or check the reference designs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=240, help="begin no measurement after so many")
    parser.add_argument("--work", type=Path, help="keep what was measured here, and use what is kept")
    parser.add_argument("--check", action="store_true", help="check the reference designs whose Verilog has changed")
    options = parser.parse_args(arguments)
    if options.check:
        return check()
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        rows, sketches = _measured(work, time.monotonic() + 60 * options.minutes)
    for line in fit_calibrate.wrong(rows, design):
        print(line)
    if len(sketches) < len(SKETCHED) or len(rows) < len(SYNTHESISED):
        print(f"{len(sketches)} of {len(SKETCHED)} sketches and {len(rows)} of {len(SYNTHESISED)} rows: run this again with --work.")
        return 1
    fit_calibrate.record(rows, sketches, design, {name: digest_of_text(linked(design(name))) for name, _ in REFERENCES})
    return 0


if __name__ == "__main__":
    sys.exit(main())
