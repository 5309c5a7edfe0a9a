"""What may go wrong with the tools and files that hardware is made with, turned into messages for the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mgd_hw.common.errors import ToolError, UserError
from mgd_hw.design.description import Design

__all__ = ["naming_file", "tool_failures", "verilog_file"]


@contextmanager
def tool_failures(verilog: Path | None = None) -> Iterator[None]:
    """Turn a missing or broken tool below into a message; ``verilog`` is the user's file, if that is what it works on."""
    from rtl_gen.toolchain.yosys import ToolError as MissingTool
    from rtl_gen.toolchain.yosys import YosysError
    from sim.error import SimulationError, VerilogError

    try:
        yield
    except MissingTool as error:
        raise ToolError(f"{error.tool}: {error.reason}", f"{error.remedy} `mgd-hw doctor` looks for every tool.") from error
    except SimulationError as error:
        if verilog is not None and isinstance(error, VerilogError):
            line = f"line {error.line}: " if error.line else ""
            reason = f"it is refused: {line}{error.reason.rstrip('.')}"
            raise UserError(reason, "Mend the file, or leave --verilog out.", file=verilog, key="--verilog") from error
        if verilog is not None:
            reason = f"it cannot be simulated: {_last_line(error)}"
            raise UserError(reason, "Mend the file, or leave --verilog out.", file=verilog, key="--verilog") from error
        raise ToolError(f"The simulation failed: {_last_line(error)}", "`mgd-hw doctor` looks for every tool.") from error
    except YosysError as error:
        raise ToolError(f"Yosys failed: {_last_line(error)}", "`mgd-hw doctor` looks for every tool.") from error


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


@contextmanager
def naming_file(design: Design) -> Iterator[None]:
    """Turn a complaint about a design into one that names its file."""
    from python_ref.spec.error import DesignError

    try:
        yield
    except DesignError as error:
        raise UserError(error.reason, error.remedy, file=design.path, key=error.key, value=error.value) from None


def verilog_file(path: Path) -> Path:
    """The user's Verilog, known to be a readable file."""
    try:
        if path.is_dir():
            raise UserError("it is a directory", "Name a file of Verilog.", key="--verilog", value=str(path))
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise UserError(f"it cannot be read ({said})", "Name a file of Verilog.", key="--verilog", value=str(path)) from None
    return path
