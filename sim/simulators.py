"""One interface to all simulators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from python_ref.spec.error import naming
from sim.error import VerilogError, not_a_core
from sim.ports import Ports
from sim.program import Op, Program
from sim.run import RESET_CYCLES, Outcome, Stalls

__all__ = ["SIMULATORS", "Options", "check_verilog", "simulate"]

SIMULATORS = ("verilator", "icarus", "cxxrtl", "amaranth")
"""Names of the simulators. "amaranth" simulates the component itself, the others its Verilog."""


@dataclass(frozen=True)
class Options:
    """Settings of a simulation.

    Attributes
    ----------
    stalls : Stalls or None
        Random stalls of the streams; None for no stalls.
    patience : int
        Cycles without any progress after which the run is aborted.
    waves : Path or None
        Waveform file to write, FST with Icarus, VCD with the others; None for none.
    notify : callable or None
        Called with a sentence when the user has to wait for a long step.
    progress : callable or None
        Called from time to time with the outcome so far.
    timeout : float
        Seconds after which each tool of a build is aborted.
    silence : float
        Seconds without output after which a simulator is aborted.
    reset_cycles : int
        Cycles for which the Verilog is reset before the run.
    compiled : bool
        Whether Verilator's model becomes a program of its own, without cocotb and without waves. CXXRTL's always is one; those
        of the others never are.
    """

    stalls: Stalls | None = None
    patience: int = 100_000
    waves: Path | None = None
    notify: Callable[[str], None] | None = None
    progress: Callable[[Outcome], None] | None = None
    timeout: float = 1800.0
    silence: float = 90.0
    reset_cycles: int = RESET_CYCLES
    compiled: bool = False


def check_verilog(verilog: Path, ports: Ports) -> None:
    """Refuse a file that cannot be read, or that has no module with the core's name and ports.

    Raises
    ------
    VerilogError
        If so; the message names what is missing.
    """
    import re

    try:
        text = verilog.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise VerilogError(f"it cannot be read ({error.strerror or error})", file=verilog) from error
    text = re.sub(r"//[^\n]*|/\*.*?\*/|\(\*.*?\*\)", " ", text, flags=re.DOTALL)
    modules = re.findall(r"\bmodule\s+(?:\\(\S+)|([A-Za-z_][\w$]*))", text)
    names = [escaped or simple for escaped, simple in modules]
    if ports.top not in names:
        listed = ", ".join(names[:8]) or "none at all"
        raise VerilogError(f"it cannot be simulated: it must have a module {ports.top}, and has {listed}", file=verilog)
    header = re.search(rf"\bmodule\s+\\?{re.escape(ports.top)}(?=[\s(#])[^;]*;", text)
    found = set(re.findall(r"[A-Za-z_][\w$]*", header[0] if header else ""))
    for direction, expected in (("input", ports.inputs), ("output", ports.outputs)):
        for name in expected:
            if name not in found:
                raise VerilogError(not_a_core(ports.top, f"the module has no {direction} {name}"), file=verilog)


def simulate(
    hardware: Path | Any,
    ports: Ports,
    program: Program,
    feed: Callable[[str, np.ndarray], None],
    directory: Path,
    outcome: Outcome | None = None,
    *,
    simulator: str = "cxxrtl",
    options: Options | None = None,
) -> Outcome:
    """Run a program on a core.

    Parameters
    ----------
    hardware : Path or Component
        The core's Verilog, or the Amaranth component itself for the simulator ``amaranth``.
    ports : Ports
        Ports of the core, with the layouts of its events.
    program : Program
        Operations of the host, and the sample stream.
    feed : callable
        Called with a kind of event and a block of its payloads (uint32, shape (events, words)).
    directory : Path
        Directory to build in; its path may have spaces.
    outcome : Outcome or None
        Object to fill in while the run proceeds, so that a failed run leaves its partial outcome; None takes a new one.
    simulator : str
        Name of the simulator, one of :data:`SIMULATORS`.
    options : Options or None
        Settings of the simulation; None takes the defaults.

    Raises
    ------
    CoreError
        If the core makes no progress.
    SimulationError
        If the simulation cannot be built or run.
    ToolError
        If a tool is missing.
    """
    options, outcome = options or Options(), outcome or Outcome()
    if simulator not in SIMULATORS:
        raise ValueError(f"Simulator must be one of {', '.join(SIMULATORS)}, not {simulator!r}")
    run: dict[str, Any] = {
        "outcome": outcome,
        "stalls": options.stalls,
        "patience": options.patience,
        "waves": options.waves,
        "progress": options.progress,
    }
    if simulator != "cxxrtl" and (program.ops[:, 0] > Op.WAIT).any():
        raise ValueError(f"Simulator must be cxxrtl for a program that resets or presets the core or moves its stream, not {simulator}")
    if simulator == "amaranth":
        from sim.engines.amaranth_sim import run_amaranth

        if isinstance(hardware, Path):
            raise ValueError("Simulator amaranth must be given the component, not a file of Verilog")
        return run_amaranth(hardware, ports, program, feed, **run)
    if not isinstance(hardware, Path):
        raise ValueError(f"Simulator {simulator} must be given a file of Verilog, not {hardware!r}")
    check_verilog(hardware, ports)
    directory.mkdir(parents=True, exist_ok=True)
    run |= {"silence": options.silence, "reset_cycles": options.reset_cycles}
    build: dict[str, Any] = {"waves": options.waves is not None, "notify": options.notify, "timeout": options.timeout}
    if simulator == "cxxrtl" or (simulator == "verilator" and options.compiled):
        return _compiled(hardware, ports, program, feed, directory, simulator, build, run)
    from sim.engines.cocotb_sim import build_cocotb, path_without_spaces, run_cocotb

    with path_without_spaces(directory) as place, naming(hardware, of=VerilogError):
        build_cocotb(hardware, ports, place, simulator=simulator, **build)
        return run_cocotb(ports, program, feed, place, simulator=simulator, **run)


def _compiled(
    hardware: Path,
    ports: Ports,
    program: Program,
    feed: Callable[[str, np.ndarray], None],
    directory: Path,
    simulator: str,
    build: dict[str, Any],
    run: dict[str, Any],
) -> Outcome:
    """Run a program on a core that becomes a native program."""
    from sim.engines.cxxrtl import build_cxxrtl, run_cxxrtl

    if simulator == "cxxrtl":
        with naming(hardware, of=VerilogError):
            return run_cxxrtl(build_cxxrtl(hardware, ports, directory, **build), ports, program, feed, **run)
    from sim.engines.cocotb_sim import path_without_spaces
    from sim.engines.verilated import build_verilated

    if build["waves"]:
        raise ValueError("A compiled model of Verilator must be run without waves")
    with path_without_spaces(directory) as place, naming(hardware, of=VerilogError):
        model = build_verilated(hardware, ports, place, notify=build["notify"], timeout=build["timeout"])
        return run_cxxrtl(model, ports, program, feed, **run)
