"""Errors of simulation: a simulation that fails, Verilog that is refused, a core that malfunctions, and the core of another design."""

from __future__ import annotations

import re
from pathlib import Path

from python_ref.spec.error import DOCTOR, Refusal

__all__ = ["BROKEN", "TOO_SLOW", "CoreError", "SimulationError", "VerilogError", "WrongCore", "last_line", "not_a_core", "tail"]

BROKEN = f"Mend the file that --verilog names, if one is given; {DOCTOR}"
"""Remedy of a failure whose cause is the tools or the Verilog."""

TOO_SLOW = "Take another simulator, or a smaller design."
"""Remedy of a simulation that takes too long to build."""


class SimulationError(Refusal):
    """A simulation cannot be built, or does not end normally.

    Parameters
    ----------
    reason : str
        What happened, as a sentence without its full stop.
    remedy : str
        What the user can do about it, as a full sentence.
    """

    def __init__(self, reason: str, remedy: str = DOCTOR) -> None:
        super().__init__(reason, remedy)

    @classmethod
    def of_log(cls, reason: str, log: Path, remedy: str = DOCTOR) -> SimulationError:
        """Return the error of a tool that failed; the last line of its ``log`` gives the cause, and its end goes into the notes."""
        end = tail(log)
        error = cls(f"{reason}: {last_line(end)}", remedy)
        error.add_note(f"The end of {log}:\n{end}")
        return error


class CoreError(SimulationError):
    """The simulation ran, but the core malfunctioned: it is stuck, or a pass is missing."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "Look for the fault in the core's Verilog; `mgd-hw cosim --waves` records its signals.")


class VerilogError(SimulationError):
    """A simulator refuses a Verilog file.

    Parameters
    ----------
    reason : str
        Error message of the simulator, as a clause.
    file : path or None
        Path of the file as the user gave it; None where it is not known yet.
    line : int or None
        Line number that the simulator reports; None if it reports none.
    """

    def __init__(self, reason: str, *, file: Path | None = None, line: int | None = None) -> None:
        super().__init__(reason, "Mend the file, or leave --verilog out.")
        self.about(file=file)
        self.line = line

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
                return cls._refused(reason, file, None if at_end else int(found[1]))
        said = [line.partition("ERROR:")[2].strip() for line in log.splitlines() if line.startswith("ERROR:")]
        return cls._refused(said[0], file, None) if said else None

    @classmethod
    def _refused(cls, said: str, file: Path, line: int | None) -> VerilogError:
        place = f"line {line}: " if line else ""
        return cls(f"it is refused: {place}{said.rstrip('.')}", file=file, line=line)


class WrongCore(Refusal):
    """The link leads to no core, or to the core of another design.

    Parameters
    ----------
    reason : str
        Values that the registers at the other end return, as a clause.
    design : str
        Name of the design whose core is expected.
    """

    def __init__(self, reason: str, design: str) -> None:
        remedy = f"Load the bitstream that `mgd-hw build` made of {design} into the board, or name the design that is in it."
        super().__init__(reason, remedy)


def not_a_core(module: str, why: str) -> str:
    """Return the reason for which a module that is not a core is refused."""
    return f"it cannot be simulated: module {module} cannot be run as a core: {why}"


def tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log file; an empty string if there is none."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return "\n".join(text.splitlines()[-lines:])


def last_line(text: str) -> str:
    """Return the last line of a tool's output that is not blank, without its full stop."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "it printed nothing"
