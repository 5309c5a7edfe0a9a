"""A virtual board that learns alone: the Verilog of its core, or its whole top level, beside a model of its flash, compiled by CXXRTL."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from python_ref.spec.flash import LIGHTS
from python_ref.spec.learning import LearningSpec
from python_ref.spec.registers import Memory
from rtl_gen.toolchain.child import child
from sim.engines.cxxrtl import build_model
from sim.error import BROKEN, SimulationError, VerilogError, last_line, tail
from sim.host import canonical

__all__ = ["AlonePins", "AloneRun", "build_alone_board", "run_alone", "top_with_pll"]

_NO_PORT = 2
"""The exit code of a board whose design lacks a port."""

_PLL = Path(__file__).with_name("ice40_pll.v")
_DRIVER = Path(__file__).with_name("alone_board.cc")


@dataclass(frozen=True)
class AlonePins:
    """Names of the one-bit ports in Verilog, with "!" in front of one that is active low; "-" for one that is not there.

    Attributes
    ----------
    clk, rst : str
        Clock and active-high reset.
    cs, sck, mosi, miso : str
        Pins of the flash; ``cs`` without "!", although it is active low.
    button : str
        The button that starts and stops.
    running, wrong : str
        The lights that are on while the board learns, and where the image is of another design.
    lights : tuple of str
        The lights of the accuracy, the lowest threshold first.
    """

    clk: str = "clk"
    rst: str = "rst"
    cs: str = "cs"
    sck: str = "sck"
    mosi: str = "mosi"
    miso: str = "miso"
    button: str = "button"
    running: str = "running"
    wrong: str = "wrong"
    lights: tuple[str, ...] = tuple(f"light{number}" for number in range(LIGHTS))

    def names(self) -> list[str]:
        """The names in the order in which the board's program takes them."""
        return [*(getattr(self, name) for name in self.__dataclass_fields__ if name != "lights"), *self.lights]


@dataclass(frozen=True, eq=False)
class AloneRun:
    """What a board did from the press of its button until it ended.

    Attributes
    ----------
    ended : bool
        Whether it ended by itself; otherwise the simulation ran out of cycles.
    wrong : bool
        Whether the board refused the image.
    cycles : int
        Number of simulated cycles.
    seconds : float
        Wall-clock time of the simulation, in seconds.
    lights : tuple of (int, int)
        Cycle of each judgement, and the lights that were on then, the first light in bit 0.
    memories : dict of str to list of int
        Words of each memory of the lanes at the end, by name.
    """

    ended: bool
    wrong: bool
    cycles: int
    seconds: float
    lights: tuple[tuple[int, int], ...]
    memories: dict[str, list[int]]

    def parameters(self, spec: LearningSpec) -> np.ndarray:
        """Return the raw parameters (int64, shape (P,)) at the end, in canonical order."""
        words = np.zeros((spec.hardware.lanes, 2 + spec.layout.words), dtype=np.int64)
        width, first = spec.formats.weight.width, {"": slice(None), "even_": slice(0, None, 2), "odd_": slice(1, None, 2)}
        for name, values in self.memories.items():
            place = re.search(r"lane(\d+)[ .](even_|odd_|)parameters$", name)
            if place:
                words[int(place[1]), first[place[2]]][: len(values)] = values
        signed = words - ((words >> width - 1 & 1) << width)
        return canonical(spec, Memory.PARAMETER, signed & 0xFFFFFFFF)


def build_alone_board(verilog: Path, top: str, directory: Path, *, notify: Callable[[str], None] | None = None) -> Path:
    """Translate and compile a board that learns alone, unless the directory has an up-to-date build; return the program.

    The parameters are those of :func:`sim.virtual.build_virtual`.
    """
    return build_model(verilog, top, _DRIVER, directory, notify=notify)


def top_with_pll(text: str) -> str:
    """Return the Verilog of an iCE40 board's top level with a model of its PLL, whose output is its input."""
    return _PLL.read_text(encoding="utf-8") + text


def run_alone(
    program: Path,
    image: bytes,
    *,
    base: int,
    held_out: int,
    wake: int,
    patience: int,
    stop: int = 0,
    pins: AlonePins | None = None,
    trace: Path | None = None,
    judged: Callable[[int, int], None] = lambda cycle, lights: None,
) -> AloneRun:
    """Press the button of a board, and follow it until it ends.

    Parameters
    ----------
    program : Path
        Program that :func:`build_alone_board` returned.
    image : bytes
        Contents of the flash from ``base`` on; all other bytes are those of an erased flash.
    base, held_out : int
        Addresses of the image and of the samples to judge by.
    wake : int
        Cycles that the flash takes to leave its power-down state, in which it begins.
    patience : int
        Most cycles to simulate.
    stop : int
        Cycle in which the button is pressed once more, which stops the board; 0 for never.
    pins : AlonePins or None
        Names of the ports; None takes those of :class:`rtl_gen.alone.core.AloneCore`.
    trace : path or None
        File for the levels of the flash's pins cs, sck, mosi and miso, a line per cycle; None for none.
    judged : callable
        Called with the cycle and the lights after each judgement.

    Raises
    ------
    VerilogError, SimulationError
        If the design lacks a port, or the simulation crashes.
    """
    directory = program.parent
    (directory / "image.bin").write_bytes(image)
    memories, log = directory / "memories.txt", directory / "alone.log"
    memories.unlink(missing_ok=True)
    options = [base, held_out, wake, patience, stop, "-" if trace is None else trace.resolve(), memories.resolve()]
    command = [str(program.resolve()), "image.bin", *map(str, options), *(pins or AlonePins()).names()]
    found: list[tuple[int, int]] = []
    ended, wrong = False, False
    with log.open("wb") as errors, child(command, cwd=directory, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
        for kind, *numbers in _events(process):
            if kind == "lights":
                found.append((numbers[0], numbers[1]))
                judged(*found[-1])
            else:
                ended, wrong = True, bool(numbers[1])
        code = process.wait()
    if code == _NO_PORT:
        raise VerilogError(last_line(tail(log)))
    if code:
        raise SimulationError.of_log(f"The virtual board crashed with exit code {code}", log, BROKEN)
    words = tail(log, 1).split()
    lines = [line.split("\t") for line in memories.read_text(encoding="utf-8").splitlines()]
    stored = {name: [int(word, 16) for word in values.split()] for name, values in lines}
    return AloneRun(ended, wrong, int(words[1]), float(words[3]), tuple(found), stored)


def _events(process: subprocess.Popen) -> Iterator[tuple[Any, ...]]:
    """The lines that the board prints, as a word and numbers."""
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            kind, *numbers = line.split()
            yield (kind, *map(int, numbers))
