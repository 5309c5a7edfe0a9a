"""A board made of software: a design with its serial line, compiled by CXXRTL, behind a pseudo-terminal.

What a program sees of it is what it sees of a cable: a port to open, bytes that come and go bit by bit through the design's own
receiver and transmitter. Programs may come, be killed and come again; the board stays.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sim.cxxrtl import build_model
from sim.error import BROKEN, SimulationError, VerilogError, last_line, tail

__all__ = ["Pins", "VirtualBoard", "build_virtual"]

_NO_PORT = 2
"""The exit code of a virtual board whose design lacks a port."""

_DRIVER = Path(__file__).with_name("virtual_board.cc")


@dataclass(frozen=True)
class Pins:
    """Names of the ports of a design, in Verilog; each has one bit.

    Attributes
    ----------
    clk : str
        Clock.
    rst : str or None
        Reset, active high.
    rx, tx : str
        The line, to the design and from it.
    busy : str or None
        High while a run is under way; without it the board never sleeps.
    """

    clk: str = "clk"
    rst: str | None = "rst"
    rx: str = "rx"
    tx: str = "tx"
    busy: str | None = "busy"


def build_virtual(
    verilog: Path, top: str, directory: Path, *, notify: Callable[[str], None] | None = None, timeout: float = 1800.0
) -> Path:
    """Translate and compile a design; return the program for :class:`VirtualBoard`. A folder that has it already is left as it is.

    Parameters
    ----------
    verilog : Path
        Its file: what :func:`rtl_gen.linked.emit_linked` wrote, a board's top level, or a netlist with the models of its cells.
    top : str
        Name of its module.
    directory : Path
        Where to build.
    notify : callable or None
        Is told what the user waits for.
    timeout : float
        Seconds for each of the tools.

    Raises
    ------
    VerilogError, SimulationError, ToolError
        As :func:`sim.cxxrtl.build_model`.
    """
    return build_model(verilog, top, _DRIVER, directory, notify=notify, timeout=timeout)


class VirtualBoard:
    """A board that runs, as a context; it ends with the context, and with the process that started it.

    Parameters
    ----------
    program : Path
        What :func:`build_virtual` returned.
    divisor : int
        Cycles per bit of the line: those that the design was built for.
    pins : Pins
        Names of its ports.
    patience : float
        Seconds without a byte from a host after which it sleeps, though a run is under way; a driver that lives asks more often.

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
                    # It keeps the host's side open as well, so that a program that closes it is not the last.
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
        """Whether it runs."""
        return self._process.poll() is None

    def check(self) -> None:
        """Refuse a board that has ended by itself.

        Raises
        ------
        SimulationError
            With its last words.
        """
        if not self.alive:
            reason = f"The virtual board ended with exit code {self._process.returncode}: {last_line(tail(self._log))}"
            raise VerilogError(reason) if self._process.returncode == _NO_PORT else SimulationError(reason, BROKEN)

    def close(self) -> tuple[int, float]:
        """End it; return the cycles and the seconds in which it was awake, 0 if it broke down. Once is enough, twice does no harm."""
        assert self._process.stdin is not None
        self._process.stdin.close()  # which it watches
        self._process.wait()
        words = tail(self._log, 1).split()
        self._log.unlink(missing_ok=True)
        return (int(words[1]), float(words[3])) if len(words) == 4 and words[0] == "cycles" else (0, 0.0)
