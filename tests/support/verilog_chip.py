"""The twin of the virtual chip in learner_chip.v, and the simulation of both around the emitted Verilog of a learner, by Icarus."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mgd_hw.hardware.simulation import stream_ports
from python_ref.spec.learner import LearnerSpec
from rtl_gen.emit import emit_verilog
from sim.program import ProgramLink, ReplayLink

__all__ = ["IntegerChip", "play"]

SOURCE = Path(__file__).with_name("learner_chip.v")
"""The chip and the bench in Verilog."""


@dataclass
class IntegerChip:
    """A chip of integers: the cost is the sum of the squared distances of the converted words from targets, and a ripple.

    Parameters
    ----------
    spec : LearnerSpec
        Learner whose words and cost words the chip takes and gives.
    floor, scale : int
        Bits of a word that the converters drop, and bits of the sum of squares that the readout drops.
    silent : int
        Number of the measurement in which no cost word comes; −1 for none.
    """

    spec: LearnerSpec
    floor: int = 2
    scale: int = 6
    silent: int = -1

    def __post_init__(self) -> None:
        self.words = self.calls = 0

    def __call__(self, words: np.ndarray, sample: int, count: int) -> list[int]:
        """Return the raw cost words of a measurement."""
        total = sum(((int(word) >> self.floor) - ((sample * 37 + k * 11) % 64 - 32)) ** 2 for k, word in enumerate(words)) >> self.scale
        self.calls += 1
        if self.calls - 1 == self.silent:
            return []
        found = [min(total + (self.words + n) * 7 % 5 - 2, self.spec.formats.cost.max) for n in range(count)]
        self.words += count
        return found


def play(
    spec: LearnerSpec, chip: IntegerChip, action: Callable[[Any], Any], folder: Path, verilog: str | None = None, language: int = 2005
) -> Any:
    """Play a procedure of the host, which takes a link, on the Verilog of a learner beside a chip; return what it returns.

    ``language`` is the year of the standard by which Icarus reads it: of Verilog, or 2012 of SystemVerilog.
    """
    link = ProgramLink()
    action(link)
    ops = link.program().ops.tolist()
    text = "".join(f"{kind << 40 | address << 32 | data:011x}\n" for kind, address, data in ops)
    (folder / "ops.hex").write_text(text, encoding="utf-8")
    (folder / "design.v").write_text(verilog or emit_verilog(spec), encoding="utf-8")
    index = max(1, (spec.quantities - 1).bit_length())
    macros = {
        "TOP": spec.module,
        "N": spec.quantities,
        "L": spec.hardware.lanes,
        "STREAMS": stream_ports(spec, "EACH"),
        "W": spec.formats.weight.width,
        "I": index,
        "C": spec.formats.cost.width,
        "FLOOR": chip.floor,
        "SCALE": chip.scale,
        "SILENT": chip.silent,
    }
    flags = [f"-D{name}={value}" for name, value in macros.items()]
    build = ["iverilog", f"-g{language}", *flags, "-s", "bench", f"-Pbench.OPS={len(ops)}", "-o", "run.vvp", "design.v", str(SOURCE)]
    subprocess.run(build, cwd=folder, check=True, capture_output=True, text=True)
    done = subprocess.run(["vvp", "-n", "run.vvp"], cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0 and "FATAL" not in done.stdout, done.stdout + done.stderr
    answers = [int(line, 16) for line in (folder / "answers.txt").read_text(encoding="utf-8").split()]
    return action(ReplayLink(answers))
