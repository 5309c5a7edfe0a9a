"""Simulate a core's Verilog as a native program made with Verilator, which CXXRTL's driver drives."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable
from pathlib import Path

from sim.engines.cocotb_sim import cocotb_environment, find_verilator
from sim.error import BROKEN, SimulationError, VerilogError
from sim.ports import Ports
from sim.process import build_stamp, call

__all__ = ["build_verilated", "port_lines"]

_DRIVER = Path(__file__).with_name("cxxrtl_driver.cc")
_INTERFACE = Path(__file__).with_name("verilated_capi.h")
_ARGUMENTS = ("-Wno-fatal", "-Wno-lint", "-Wno-style", "--x-initial", "0", "--x-assign", "0", "-CFLAGS", "-w -fno-strict-aliasing")
_PORT = re.compile(r"^ *VL_(IN|OUT)(?:8|16|64|W)?\(&(\w+),(\d+),0(?:,\d+)?\);", re.MULTILINE)


def port_lines(header: str) -> list[str]:
    """Return the lines of ``verilated_ports.h`` for the header of a model.

    Parameters
    ----------
    header : str
        Text of the model's header, which declares each port with its direction, its name and its highest bit. In names, Verilator
        writes a letter that C++ does not take, and a second underscore, as ``__0`` and its code.
    """
    lines = []
    for direction, member, high in _PORT.findall(header):
        name = re.sub(r"__0([0-9A-F]{2})", lambda code: chr(int(code[1], 16)), member)
        lines.append(f'PORT("{name}", {member}, CXXRTL_{direction}PUT, {int(high) + 1})')
    return lines


def build_verilated(
    verilog: Path,
    ports: Ports,
    directory: Path,
    *,
    notify: Callable[[str], None] | None = None,
    timeout: float = 1800.0,
) -> Path:
    """Verilate and compile a core, unless the directory already has an up-to-date build; return the program that simulates it.

    :func:`sim.engines.cxxrtl.run_cxxrtl` runs it.

    Parameters
    ----------
    verilog : Path
        Verilog file that contains the core.
    ports : Ports
        The core's ports, and the name of its module.
    directory : Path
        Directory to build in; its path has no spaces.
    notify : callable or None
        Called with a sentence when the user has to wait for a long step.
    timeout : float
        Seconds after which each of the tools is aborted.

    Raises
    ------
    VerilogError
        If Verilator refuses the Verilog.
    SimulationError
        If Verilator or the compiler fails for another reason.
    ToolError
        If one of the tools is missing.
    """
    env, program = cocotb_environment("verilator"), find_verilator() / "verilator"
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    sources = [path.read_text(encoding="utf-8") for path in (_DRIVER, _INTERFACE)]
    version = importlib.metadata.version("verilator")
    current, done = build_stamp(directory, verilog, ports.top, version, _ARGUMENTS, *sources, env["MAKEFLAGS"])
    if current:
        return directory / "model"
    if notify is not None:
        notify("Verilator compiles the core, which takes up to a minute")
    source = directory / ("core.sv" if verilog.suffix == ".sv" else "core.v")
    source.write_text(verilog.read_text(encoding="utf-8"), encoding="utf-8")
    place = directory / "cxxrtl" / "capi" / "cxxrtl_capi.h"
    place.parent.mkdir(parents=True, exist_ok=True)
    for path, text in ((directory / _DRIVER.name, sources[0]), (place, sources[1])):
        path.write_text(text, encoding="utf-8")
    log = directory / "build.log"
    command = [str(program), "--cc", "--exe", *_ARGUMENTS, "-CFLAGS", f"-I{directory}", "--top-module", ports.top, "--prefix", "Vtop"]
    command += ["--Mdir", str(directory), "-o", "model", source.name, _DRIVER.name]
    if call(command, directory, log, timeout=timeout, env=env) != 0:
        refused = VerilogError.from_log(log.read_text(encoding="utf-8", errors="replace"), source.name, verilog)
        raise refused or SimulationError.of_log(f"verilator could not translate {verilog}", log, BROKEN)
    lines = port_lines((directory / "Vtop.h").read_text(encoding="utf-8"))
    (directory / "verilated_ports.h").write_text("\n".join(lines) + "\n", encoding="utf-8")
    log = directory / "compile.log"
    if call(["make", "-C", str(directory), "-f", "Vtop.mk"], directory, log, timeout=timeout, env=env) != 0:
        raise SimulationError.of_log(f"The C++ compiler refused Verilator's translation of {verilog}", log, BROKEN)
    done()
    return directory / "model"
