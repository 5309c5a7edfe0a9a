"""Simulate a core's Verilog as a native program made with CXXRTL, the fastest of the simulators."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from python_ref.spec.error import ToolError
from rtl_gen.toolchain.child import end, shielded
from rtl_gen.toolchain.yosys import YosysError, find_yosys, run_yosys, yosys_share
from sim.engines.frames import OutputReceiver
from sim.engines.split import split_model, without_zero_words
from sim.error import BROKEN, TOO_SLOW, SimulationError, VerilogError, last_line, not_a_core, tail
from sim.ports import Ports
from sim.process import build_stamp, follow, piped_output
from sim.program import Program
from sim.run import RESET_CYCLES, Outcome, Stalls

__all__ = ["GCC_FAULTS", "build_cxxrtl", "build_model", "build_seconds", "find_compiler", "run_cxxrtl"]

_DRIVER = Path(__file__).with_name("cxxrtl_driver.cc")
GCC_FAULTS = Path(__file__).with_name("gcc_faults.h")
"""C++ that every file of a model begins with: without it, GCC may compile the file wrongly."""
_PARTS = tuple(f"part{number}" for number in range(4))
"""Names, without extension, of the further C++ files of a large model besides ``model.cc``."""

_LARGE = 1_500_000
"""Bytes of Verilog from which the user is shown an estimate of the build time."""

_HUGE = 4_500_000
"""Bytes of Verilog from which a core's equal statements are compiled once (:mod:`sim.engines.split` counts its lines of C++)."""


def build_seconds(size: int) -> float:
    """Estimate the build time of a large core, in seconds.

    Measured on cores of 64 and 256 lanes (2.4, 7.1 and 13 MB): Yosys takes 2 s per megabyte of Verilog, in one process, and the C++
    compiler 12 s, divided among as many processes as there are files; 2 s where equal statements are compiled once.

    Parameters
    ----------
    size : int
        Size of the core's Verilog file, in bytes.
    """
    compiler = 12 if size < _HUGE else 2
    return size / 1e6 * (2 + compiler / min(os.cpu_count() or 1, 1 + len(_PARTS)))


def find_compiler() -> list[str]:
    """Return the command of the C++ compiler: the one that CXX names, or else ``c++`` or ``g++`` on PATH.

    Raises
    ------
    ToolError
        If there is no compiler.
    """
    named = shlex.split(os.environ.get("CXX", ""))
    found = shutil.which(named[0]) if named else shutil.which("c++") or shutil.which("g++")
    if found is None:
        what = f"CXX = {os.environ['CXX']} is not there" if named else "no C++ compiler was found"
        raise ToolError(what, "Install g++ (apt install g++), or let CXX name another compiler.", tool="g++")
    return [found, *named[1:]]


def build_cxxrtl(
    verilog: Path,
    ports: Ports,
    directory: Path,
    *,
    waves: bool = False,
    optimize: str = "-O1",
    notify: Callable[[str], None] | None = None,
    timeout: float = 1800.0,
) -> Path:
    """Translate and compile a core; return the program that simulates it. Other parameters and errors are those of :func:`build_model`.

    Parameters
    ----------
    ports : Ports
        The core's ports, and the name of its module.
    """
    return build_model(verilog, ports.top, _DRIVER, directory, waves=waves, optimize=optimize, notify=notify, timeout=timeout)


def build_model(
    verilog: Path,
    top: str,
    driver: Path,
    directory: Path,
    *,
    waves: bool = False,
    optimize: str = "-O1",
    notify: Callable[[str], None] | None = None,
    timeout: float = 1800.0,
) -> Path:
    """Translate and compile a module, unless the directory already has an up-to-date build; return the program that simulates it.

    Parameters
    ----------
    verilog : Path
        Verilog file that contains the module.
    top : str
        Name of the module to simulate.
    driver : Path
        C++ source of the program that drives the model.
    directory : Path
        Directory to build in; its path may have spaces.
    waves : bool
        Whether the program can record waveforms.
    optimize : str
        Optimisation option of the compiler; higher levels gain little and compile slowly.
    notify : callable or None
        Called with a sentence when the user has to wait for a long step.
    timeout : float
        Seconds after which each of the tools is aborted.

    Raises
    ------
    VerilogError
        If Yosys refuses the Verilog.
    SimulationError
        If Yosys or the compiler fails for another reason.
    ToolError
        If one of the tools is missing.
    """
    package, compiler = find_yosys(), find_compiler()
    directory.mkdir(parents=True, exist_ok=True)
    version = importlib.metadata.version(package.replace("_", "-"))
    size = verilog.stat().st_size
    texts = [file.read_text(encoding="utf-8") for file in (driver, GCC_FAULTS)]
    current, done = build_stamp(directory, verilog, top, waves, optimize, compiler, package, version, *texts)
    if current:
        return directory / "model"
    made = ("model", "model.o", "driver.o", "model.cc", "model.h", *(f"{part}.{ending}" for part in _PARTS for ending in ("cc", "o")))
    for stale in made:
        (directory / stale).unlink(missing_ok=True)
    if notify is not None and size >= _LARGE:
        notify(f"Compiling the simulator takes about {round(build_seconds(size), -1):.0f} s on an idle machine.")
    source = "core.sv" if verilog.suffix == ".sv" else "core.v"
    if size >= _LARGE:
        text = without_zero_words(verilog.read_text(encoding="utf-8", errors="surrogateescape"))
        (directory / source).write_text(text, encoding="utf-8", errors="surrogateescape")
    else:
        shutil.copyfile(verilog, directory / source)
    _translate(source, verilog, top, directory, package, waves=waves, notify=notify, timeout=timeout)
    common = [
        *compiler,
        "-std=c++17",
        optimize,
        "-w",
        *("-include", str(GCC_FAULTS)),
        "-DCXXRTL_NDEBUG",  # a read beyond the end of a memory gives 0 and does not abort
        f"-I{yosys_share(package) / 'include/backends/cxxrtl/runtime'}",
        "-I.",
        *(["-DWAVES", "-DCXXRTL_INCLUDE_VCD_CAPI_IMPL"] if waves else []),
    ]
    parts = _split(directory)
    model = [*common, "-c", "-o", "model.o", "-DCXXRTL_INCLUDE_CAPI_IMPL", "model.cc"]
    around = [*common, "-c", "-o", "driver.o", str(driver)]
    others = [[*common, "-c", "-o", f"{part}.o", f"{part}.cc"] for part in parts]
    _compile((model, *others, around), verilog, directory, "compile", timeout)
    _compile(([*common, "-o", "model", "model.o", "driver.o", *(f"{part}.o" for part in parts)],), verilog, directory, "link", timeout)
    done()
    return directory / "model"


def _translate(
    source: str,
    verilog: Path,
    top: str,
    directory: Path,
    package: str,
    *,
    waves: bool,
    notify: Callable[[str], None] | None,
    timeout: float,
) -> None:
    """Translate ``source``, the copy of ``verilog`` in ``directory``, into ``model.cc``."""
    script = [
        f"read_verilog {'-sv ' if source.endswith('.sv') else ''}{source}",
        f"hierarchy -check -top {top}",
        # This compiles a third less code, without internal names. `opt` would turn the memories' enables into loops, at half the speed.
        *(() if waves else ("proc", "flatten", "opt_expr", "opt_merge", "clean -purge")),
        f"write_cxxrtl {'-g4' if waves else '-g3'} -header model.cc",
    ]
    try:
        run_yosys(script, directory, name="cxxrtl", package=package, notify=notify, timeout=timeout)
    except YosysError as error:
        refused = VerilogError.from_log(error.log, source, verilog)
        if refused is None:
            raise
        raise refused from error


def _split(directory: Path) -> tuple[str, ...]:
    """Split ``model.cc`` and ``model.h`` if they are large; return the names of the further files without extension."""
    source, header = directory / "model.cc", directory / "model.h"
    split = split_model(source.read_text(encoding="utf-8"), header.read_text(encoding="utf-8"), files=len(_PARTS))
    source.write_text(split.source, encoding="utf-8")
    header.write_text(split.header, encoding="utf-8")
    parts = _PARTS[: len(split.parts)]
    for name, text in zip(parts, split.parts, strict=True):
        (directory / f"{name}.cc").write_text(text, encoding="utf-8")
    return parts


def _compile(commands: Sequence[list[str]], verilog: Path, directory: Path, name: str, timeout: float) -> None:
    """Run compiler commands in parallel, one per processor but at least two at a time, with their output in the log ``name``."""
    log = directory / f"{name}.log"
    waiting, running, failed = list(commands), list[subprocess.Popen](), False
    deadline = time.monotonic() + timeout
    with log.open("wb") as output:
        try:
            while (waiting or running) and not failed:
                while waiting and len(running) < max(2, os.cpu_count() or 1):
                    with shielded():
                        running.append(
                            subprocess.Popen(waiting.pop(0), cwd=directory, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
                        )
                with suppress(subprocess.TimeoutExpired):
                    running[0].wait(0.05)
                failed = any(child.poll() for child in running)
                running = [child for child in running if child.returncode is None]
                if running and time.monotonic() > deadline:
                    raise SimulationError(f"The C++ compiler took longer than {timeout:g} s; its log is {log}", TOO_SLOW)
        finally:
            end(*running)
    if failed:
        raise SimulationError.of_log(f"The C++ compiler refused the translation of {verilog}", log, BROKEN)


def run_cxxrtl(
    model: Path,
    ports: Ports,
    program: Program,
    feed: Callable[[str, np.ndarray], None],
    *,
    outcome: Outcome | None = None,
    stalls: Stalls | None = None,
    patience: int = 100_000,
    waves: Path | None = None,
    progress: Callable[[Outcome], None] | None = None,
    silence: float = 90.0,
    reset_cycles: int = RESET_CYCLES,
) -> Outcome:
    """Run a program on a compiled core.

    Parameters
    ----------
    model : Path
        Program that :func:`build_cxxrtl` returned.
    ports, program, feed, outcome, stalls, patience, waves
        As in :func:`sim.engines.amaranth_sim.run_amaranth`; ``waves`` needs a model built with ``waves``.
    progress : callable or None
        Called from time to time with the outcome so far.
    silence : float
        Seconds without output after which the simulation is aborted.
    reset_cycles : int
        Cycles for which the core is reset before the run.

    Raises
    ------
    CoreError
        If the core makes no progress.
    SimulationError
        If the module lacks a port, or the simulation crashes.
    """
    directory = model.parent
    program.save(directory / "program.bin")
    lines = [f"in {name} {width}\n" for name, width in ports.inputs.items()] + [f"out {n} {w}\n" for n, w in ports.outputs.items()]
    lines += [f"send {ports.stream} 0\n", *(f"take {name} 0\n" for name in ports.taken)]
    (directory / "ports.txt").write_text("".join(lines), encoding="utf-8")
    log = directory / "run.log"
    command = [
        str(model.resolve()),
        "program.bin",
        "ports.txt",
        str(patience),
        str(stalls.seed if stalls else 1),
        str(stalls.share if stalls else 0),
        str(reset_cycles),
    ]
    receiver = OutputReceiver(ports, program, feed, patience, outcome, progress)
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, *([str(waves.resolve())] if waves else [])],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        code = follow(process, piped_output(process), receiver.receive, silence=silence)
    if code == 2:
        raise VerilogError(not_a_core(ports.top, last_line(tail(log))))
    if code != 0 or not receiver.done:
        raise SimulationError.of_log(f"The simulation of {ports.top} crashed with exit code {code}", log, BROKEN)
    return receiver.outcome
