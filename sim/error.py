"""Errors of simulation: a missing tool, a simulation that fails, Verilog that is refused, a core that malfunctions."""

from __future__ import annotations

import re
from pathlib import Path

from rtl_gen.toolchain.yosys import ToolError

__all__ = ["CoreError", "SimulationError", "ToolError", "VerilogError"]


class SimulationError(RuntimeError):
    """A simulation could not be built, or did not end normally; the message says where to look."""


class CoreError(SimulationError):
    """The simulation ran, but the core malfunctioned: it is stuck, or a pass is missing."""


class VerilogError(SimulationError):
    """A simulator refuses a Verilog file.

    Parameters
    ----------
    file : Path
        Path of the file as the user gave it.
    line : int or None
        Line number that the simulator reports, if it reports one.
    reason : str
        Error message of the simulator, as a clause.
    """

    def __init__(self, file: Path, line: int | None, reason: str) -> None:
        self.file = file
        self.line = line
        self.reason = reason
        super().__init__(f"{file}{f':{line}' if line else ''}: {reason}")

    def __reduce__(self) -> tuple:
        return type(self), (self.file, self.line, self.reason)

    @classmethod
    def from_log(cls, log: str, copy: str, file: Path) -> VerilogError | None:
        """The error that a log of Yosys, Icarus or Verilator reports for ``file``, which the tool read under the name ``copy``; None if it
        reports none."""
        place = re.compile(rf"(?:.*[\s/])?{re.escape(copy)}:(\d+)(?::\d+)?:\s*(.*)")
        for line in log.splitlines():
            found = place.fullmatch(line.strip())
            if found and re.search(r"\berror\b", line, re.IGNORECASE):
                reason = re.sub(r"^error:\s*", "", found[2], flags=re.IGNORECASE)
                at_end = "end of file" in reason or "$end" in reason  # the tools number that line differently
                return cls(file, None if at_end else int(found[1]), reason)
        said = [line.partition("ERROR:")[2].strip() for line in log.splitlines() if line.startswith("ERROR:")]
        return cls(file, None, said[0]) if said else None
