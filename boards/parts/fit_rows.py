"""What Yosys makes of the designs to which :mod:`boards.parts.fit_calibrate` fits the predictor, and the files that keep it.

A row says how many resources of a family a design takes: a whole synthesis, which takes minutes. A sketch says of which cells a design
consists before they are mapped to a family: seconds, and the same for all families.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boards.parts.fit import DATA, FAMILIES
from boards.parts.synth import count
from boards.parts.target import TARGETS, Part, Resources
from python_ref.spec.learning import LearningSpec

__all__ = [
    "CELLS",
    "ROWS",
    "SKETCHES",
    "Row",
    "digest_of_text",
    "linked",
    "read_rows",
    "sketch_row",
    "sketched",
    "synthesised",
    "whole_row",
]

Row = dict[str, Any]
"""A line of one of the files: ``design`` (its name), ``structure`` (digest of its specification), ``text`` (digest of its Verilog, or in a
sketch of its RTLIL); then in a row ``family``, the counts by kind, and ``blocks``, the names of memories in block memories; in a sketch
``cells``, the numbers of bits by the kinds of :data:`CELLS`."""

ROWS = DATA.with_name("fit_rows.jsonl")
"""File of the rows to which the costs of cells were fitted."""

SKETCHES = DATA.with_name("fit_sketches.jsonl")
"""File of the sketches to which the numbers of cells were fitted."""

DIVISOR = 16
"""Clock cycles per bit of the serial line; its value hardly changes the counts."""

CELLS: Mapping[str, tuple[str, ...]] = {
    "adders": ("$alu",),
    "choices": ("$mux", "$pmux"),
    "gates": ("$and", "$or", "$xor", "$not", "$reduce_and", "$reduce_or", "$reduce_bool", "$reduce_xor", "$logic_not"),
    "comparisons": ("$eq", "$ne"),
    "registers": ("$dff", "$dffe", "$sdff", "$sdffe", "$sdffce"),
}
"""Kinds of cells of a sketch, and the types of Yosys that each has; all are counted in bits."""

_SKETCH = (
    *("hierarchy -top top", "proc", "flatten", "opt_expr", "opt_clean", "opt -nodffe -nosdff", "wreduce", "peepopt", "opt_clean"),
    *("alumacc", "opt", "memory -nomap", "opt_clean", "opt -fast -full", "opt_clean", "tee -o sketch.json stat -width -json"),
)
"""Commands that reduce a design to cells; those of memories and multipliers stay, since rules count them."""


def digest_of_text(text: str) -> str:
    """Digest of a text, as rows and sketches have it."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_rows(path: Path) -> list[Row]:
    """Rows of a file of them, one JSON object in a line; none if there is no such file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def linked(spec: LearningSpec) -> str:
    """Verilog of a core with its serial link."""
    from rtl_gen.serial.linked import emit_linked

    return emit_linked(spec, DIVISOR)


def synthesised(spec: LearningSpec, part: Part, directory: Path, verilog: str | None = None) -> Row:
    """Synthesise a core and its serial link for a part; return the counts, and the names of memories in block memories.

    ``verilog`` is the text of the two, where it has been written already.
    """
    from rtl_gen.emit import kept_modules
    from rtl_gen.toolchain.yosys import run_yosys

    top = f"{spec.module}_linked"
    (directory / "linked.v").write_text(verilog or linked(spec), encoding="utf-8")
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
    blocks = sorted({name.rsplit(".", 1)[-1].split("$")[0] for name in mapped})
    counts = total.to_json()
    return {**{kind: counts[kind] for kind in ("lut", "ff", "dsp", "bram")}, "logic": total.logic, "blocks": blocks}


def whole_row(name: str, spec: LearningSpec, family: str, verilog: str) -> Row:
    """Synthesise a design for a family, and return its row."""
    with tempfile.TemporaryDirectory() as directory:
        found = synthesised(spec, TARGETS[FAMILIES[family][0]], Path(directory), verilog)
    return {"design": name, "structure": spec.digest, "text": digest_of_text(verilog), "family": family} | found


def rtlil_of(spec: LearningSpec) -> str:
    """RTLIL of a core with its serial link, as Amaranth writes it."""
    from amaranth.back import rtlil

    from rtl_gen.serial.linked import LinkedCore
    from rtl_gen.toolchain.collection import collection_paused

    with collection_paused():
        return rtlil.convert(LinkedCore(spec, divisor=DIVISOR), name="top", emit_src=False)


def sketched(text: str) -> dict[str, int]:
    """Reduce RTLIL to cells, and return the number of bits of each kind."""
    from rtl_gen.toolchain.yosys import run_yosys

    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        (directory / "top.il").write_text(text, encoding="utf-8")
        run_yosys(["read_rtlil top.il", *_SKETCH], directory)
        found = json.loads((directory / "sketch.json").read_text(encoding="utf-8"))["design"]["num_cells_by_type"]
    bits: Counter[str] = Counter()
    for name, number in found.items():
        if shaped := re.fullmatch(r"(\$[a-z_]+?)_(\d+)(?:_(\d+))?", name):
            bits[shaped[1]] += number * int(shaped[2]) * int(shaped[3] or 1)
    return {kind: sum(bits[each] for each in types) for kind, types in CELLS.items()}


def sketch_row(name: str, spec: LearningSpec, text: str) -> Row:
    """Sketch a design, and return its row."""
    return {"design": name, "structure": spec.digest, "text": digest_of_text(text), "cells": sketched(text)}
