"""The virtual board of the shipped design xor, compiled once for all tests and all workers."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from mgd_hw.design.reader import load
from rtl_gen.serial.linked import emit_linked
from sim.virtual import build_virtual

__all__ = ["DIVISOR", "build_xor"]

DIVISOR = 2


def build_xor(factory: pytest.TempPathFactory) -> Path:
    """The program, built by whoever comes first."""
    base = factory.getbasetemp()
    place = (base.parent if base.name.startswith("popen-") else base) / "virtual-xor"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        spec = load("xor").spec
        verilog = place / "linked.v"
        if not verilog.exists():
            verilog.write_text(emit_linked(spec, DIVISOR))
        return build_virtual(verilog, f"{spec.module}_linked", place / "build")
