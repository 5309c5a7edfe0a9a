"""What can go wrong outside the arithmetic: a tool that is missing, a simulation that breaks down."""

from __future__ import annotations

import re
from pathlib import Path

from rtl_gen.toolchain.yosys import ToolError

__all__ = ["CoreError", "SimulationError", "ToolError", "VerilogError"]


class SimulationError(RuntimeError):
    """A simulation that could not be built or did not end well; the message says where and what to look at."""


class CoreError(SimulationError):
    """A simulation that ran, in which the core did not do what every core does: it is stuck, or a pass is missing."""


class VerilogError(SimulationError):
    """A file of Verilog that a simulator refuses.

    Parameters
    ----------
    file : Path
        The file, under its own name.
    line : int or None
        The line that the simulator names, if it names one.
    reason : str
        What it says.
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
        """What a log of Yosys, Icarus or Verilator says of ``file``, of which the tool read a copy named ``copy``; None if nothing."""
        place = re.compile(rf"(?:.*[\s/])?{re.escape(copy)}:(\d+)(?::\d+)?:\s*(.*)")
        for line in log.splitlines():
            found = place.fullmatch(line.strip())
            if found and re.search(r"\berror\b", line, re.IGNORECASE):
                reason = re.sub(r"^error:\s*", "", found[2], flags=re.IGNORECASE)
                at_end = "end of file" in reason or "$end" in reason  # where the tools' counts of lines differ
                return cls(file, None if at_end else int(found[1]), reason)
        said = [line.partition("ERROR:")[2].strip() for line in log.splitlines() if line.startswith("ERROR:")]
        return cls(file, None, said[0]) if said else None
