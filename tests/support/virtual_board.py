"""Virtual boards, each compiled once for all tests and all workers: of the shipped design xor, and of a design of node perturbation."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgd_hw.design.description import Design
from mgd_hw.design.reader import load, parse
from rtl_gen.serial.linked import emit_linked
from sim.virtual import build_virtual
from tests.support.shared import shared_folder

__all__ = ["DIVISOR", "build", "build_xor", "node_design"]

DIVISOR = 2


def node_design() -> Design:
    """A design of node perturbation with presentations of 4 and of 2 steps, and a gradient memory."""
    text = (
        'name = "probes"\n[network]\nlayers = [2, 3, 1]\nhidden = "tanh"\noutput = "sigmoid"\n[perturbation]\nkind = "node"\n'
        "[schedule]\nsample_period = 4\nupdate_period = 6\nlearning_rate = [[0, -4], [50, -5]]\n"
        '[hardware]\nlanes = 2\n[data]\ntask = "xor"\n'
    )
    return parse(text, "probes.toml")


def build_xor(factory: pytest.TempPathFactory) -> Path:
    """The program of the shipped design xor."""
    return build(factory, load("xor"))


def build(factory: pytest.TempPathFactory, design: Design) -> Path:
    """The program of a design, built by whoever comes first."""
    with shared_folder(factory, f"virtual-{design.name}") as place:
        spec = design.spec
        verilog = place / "linked.v"
        if not verilog.exists():
            verilog.write_text(emit_linked(spec, DIVISOR))
        return build_virtual(verilog, f"{spec.module}_linked", place / "build")
