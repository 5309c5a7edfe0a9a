"""A virtual board: a design with its serial link, compiled by CXXRTL, behind a pseudo-terminal.

To a program it looks like a serial cable: a port to open, and bytes that pass bit by bit through the design's own receiver and
transmitter. Programs may connect, be killed and connect again while the board keeps running.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sim.engines.cxxrtl import build_model
from sim.error import BROKEN, SimulationError, VerilogError, last_line, tail

__all__ = ["Pins", "VirtualBoard", "build_virtual"]

_NO_PORT = 2
"""The exit code of a virtual board whose design lacks a port."""

_DRIVER = Path(__file__).with_name("virtual_board.cc")


@dataclass(frozen=True)
class Pins:
    """Names of a design's one-bit ports in Verilog.

    Attributes
    ----------
    clk : str
        Name of the clock input.
    rst : str or None
        Name of the active-high reset input; None if there is none.
    rx, tx : str
        Names of the serial line's input and output.
    busy : str or None
        Name of the output that is high during a run; without one the board never sleeps.
    """

    clk: str = "clk"
    rst: str | None = "rst"
    rx: str = "rx"
    tx: str = "tx"
    busy: str | None = "busy"


def build_virtual(
    verilog: Path, top: str, directory: Path, *, notify: Callable[[str], None] | None = None, timeout: float = 1800.0
) -> Path:
    """Translate and compile a design, unless the directory already has an up-to-date build; return the program for :class:`VirtualBoard`.

    Parameters
    ----------
    verilog : Path
        File with the output of :func:`rtl_gen.serial.linked.emit_linked`, a board's top level, or a netlist with the models of its cells.
    top : str
        Name of the design's top module.
    directory : Path
        Directory to build in; its path may have spaces.
    notify : callable or None
        Called with a sentence when the user has to wait for a long step.
    timeout : float
        Seconds after which each of the tools is aborted.

    Raises
    ------
    VerilogError, SimulationError, ToolError
        As for :func:`sim.engines.cxxrtl.build_model`.
    """
    return build_model(verilog, top, _DRIVER, directory, notify=notify, timeout=timeout)


class VirtualBoard:
    """A running virtual board, used as a context manager; it stops at the end of the context or of the process that started it.

    Parameters
    ----------
    program : Path
        Program that :func:`build_virtual` returned.
    divisor : int
        Clock cycles per bit of the line for which the design was built.
    pins : Pins or None
        Names of the design's ports; None takes the defaults.
    patience : float
        Seconds without a byte from a host after which the simulation pauses even during a run; a live driver queries more often.

    Attributes
    ----------
    port : str
        Path of the pseudo-terminal.

    Raises
    ------
    SimulationError
        If the design lacks a port.
    """

    def __init__(self, program: Path, divisor: int, pins: Pins | None = None, *, patience: float = 10.0) -> None:
        import tty

        self.program = program
        self.divisor = divisor
        self.pins = pins or Pins()
        board, host = os.openpty()
        try:
            tty.setraw(host)
            self.port = os.ttyname(host)
            names = [name or "-" for name in (self.pins.clk, self.pins.rst, self.pins.rx, self.pins.tx, self.pins.busy)]
            self._log = program.with_name(f"board-{board}-{os.getpid()}.log")
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [str(program.resolve()), str(board), str(divisor), f"{patience:g}", *names],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    # The board also keeps the host's side open, so that the terminal survives a program that closes it.
                    pass_fds=(board, host),
                    start_new_session=True,
                )
        finally:
            os.close(board)
            os.close(host)

    def __enter__(self) -> VirtualBoard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the board's process is still running."""
        return self._process.poll() is None

    def check(self) -> None:
        """Raise an error if the board's process has ended by itself.

        Raises
        ------
        SimulationError
            If it has; the message ends with its last output.
        """
        if not self.alive:
            reason = f"The virtual board ended with exit code {self._process.returncode}: {last_line(tail(self._log))}"
            raise VerilogError(reason) if self._process.returncode == _NO_PORT else SimulationError(reason, BROKEN)

    def close(self) -> tuple[int, float]:
        """Stop the board; return the cycles it simulated and the seconds that took, 0 if it failed. Calling this again has no effect."""
        assert self._process.stdin is not None
        self._process.stdin.close()  # the board ends when its standard input closes
        self._process.wait()
        words = tail(self._log, 1).split()
        self._log.unlink(missing_ok=True)
        return (int(words[1]), float(words[3])) if len(words) == 4 and words[0] == "cycles" else (0, 0.0)
