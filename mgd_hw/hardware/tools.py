"""Checks and error messages for a Verilog file that the user supplies in place of the generated one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from python_ref.spec.error import Refusal, naming

__all__ = ["naming_verilog", "verilog_file"]


def naming_verilog(file: Path | None) -> AbstractContextManager[None]:
    """Return a context manager that adds ``file``, the user's Verilog, to the refusals of a simulation; None adds nothing."""
    from sim.error import SimulationError

    return naming(file, key=None if file is None else "--verilog", of=SimulationError)


def verilog_file(path: Path) -> Path:
    """Check that the user's Verilog is a readable file, and return its path.

    Raises
    ------
    Refusal
        If it is a directory or cannot be read.
    """
    try:
        if path.is_dir():
            raise Refusal("it is a directory", "Name a file of Verilog.", key="--verilog", value=str(path))
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Refusal(f"it cannot be read ({reason})", "Name a file of Verilog.", key="--verilog", value=str(path)) from None
    return path
