"""Cores that learn alone: their images, and their simulation by Icarus beside the flash model of cocotbext-qspi."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mgd_hw.design.description import Design
from mgd_hw.design.samples import load_design
from mgd_hw.hardware.flash_image import Image, flash_image
from python_ref.fixed.fast import train
from rtl_gen.alone.core import emit_alone
from sim.alone import AloneRun, build_alone_board, run_alone
from tests.support.shared import shared_folder

__all__ = ["BASE", "Alone", "alone_board", "image_of", "learned"]

BASE, SIZE = 0x8000, 0x10000
WAKE, BUTTON = 200, 16
BENCH = Path(__file__).with_name("alone_bench.v")


def image_of(design: Design, steps: int, **options: int) -> Image:
    """The image of a run of a design, in a small flash."""
    return flash_image(design, load_design(design), steps, base=BASE, size=SIZE, **options)


def learned(image: Image) -> np.ndarray:
    """The raw parameters of the fixed model after the run of an image."""
    run = image.run
    return train(run.spec, run.initial_state(), run.inputs, run.targets, run.order, run.steps).state.parameters


@dataclass(frozen=True)
class Alone:
    """A core that learns alone, as Verilog and as a compiled program.

    Attributes
    ----------
    design : Design
        Its design.
    verilog, program : Path
        The Verilog file and the program.
    """

    design: Design
    verilog: Path
    program: Path

    def run(
        self,
        image: Image,
        *,
        data: bytes | None = None,
        wake: int = WAKE - 10,
        patience: int = 2_000_000,
        stop: int = 0,
        trace: Path | None = None,
    ) -> AloneRun:
        """Run an image, or other bytes in its place, on the compiled program."""
        contents = image.data if data is None else data
        return run_alone(
            self.program, contents, base=BASE, held_out=image.held_out_address, wake=wake, patience=patience, stop=stop, trace=trace
        )

    def run_icarus(self, image: Image, folder: Path) -> tuple[str, str]:
        """Run an image in Icarus beside the model of cocotbext-qspi; return the levels of the pins, and the last line."""
        import cocotbext.qspi

        (folder / "image.hex").write_text("".join(f"{byte:02x}\n" for byte in image.data.ljust(SIZE - BASE, b"\xff")), encoding="utf-8")
        macros = {"TOP": f"{self.design.spec.module}_alone", "DEPTH": SIZE, "BASE": BASE, "PATIENCE": 200_000}
        sources = [self.verilog, BENCH, cocotbext.qspi.verilog_dir() / "qspi_flash.v"]
        options = [f"-D{name}={value}" for name, value in macros.items()]
        subprocess.run(["iverilog", "-g2005", "-s", "alone_bench", "-o", folder / "bench", *options, *sources], check=True)
        done = subprocess.run(["vvp", "bench"], cwd=folder, check=True, capture_output=True, text=True, timeout=120)
        return (folder / "trace.txt").read_text(encoding="utf-8"), done.stdout.splitlines()[-1]


def alone_board(factory: pytest.TempPathFactory, design: Design) -> Alone:
    """A core that learns alone, built by whoever comes first."""
    with shared_folder(factory, f"alone-{design.name}") as place:
        verilog = place / "alone.v"
        if not verilog.exists():
            verilog.write_text(emit_alone(design.spec, base=BASE, wake_cycles=WAKE, button_cycles=BUTTON), encoding="utf-8")
        return Alone(design, verilog, build_alone_board(verilog, f"{design.spec.module}_alone", place / "build"))
