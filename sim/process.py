"""Child processes that end with this one, and that cannot block it for ever."""

from __future__ import annotations

import hashlib
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rtl_gen.toolchain.child import child, end
from sim.error import TOO_SLOW, CoreError, SimulationError

__all__ = ["build_stamp", "call", "child_environment", "read_while_alive"]


def child_environment() -> dict[str, str]:
    """Return an environment in which a Python process finds the same packages as this one."""
    here = str(Path(__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([here, *([inherited] if inherited else [])])}


def build_stamp(directory: Path, verilog: Path, *settings: object) -> tuple[bool, Callable[[], None]]:
    """Check whether a directory holds a build of this Verilog with these settings.

    Returns
    -------
    (bool, callable)
        Whether the build is up to date, and a function to call after the directory was built anew.
    """
    stamp = directory / "build.sha256"
    key = hashlib.sha256(verilog.read_bytes() + repr(settings).encode()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == key:
        return True, lambda: None
    stamp.unlink(missing_ok=True)

    def done() -> None:
        stamp.write_text(key, encoding="utf-8")

    return False, done


def call(
    command: Sequence[str], directory: Path, log: Path, *, timeout: float, env: Mapping[str, str] | None = None, stdin: str = ""
) -> int:
    """Run a command with its output in a log file; return its exit code.

    Raises
    ------
    SimulationError
        If the command takes longer than ``timeout`` seconds.
    """
    with (
        log.open("wb") as output,
        child(command, cwd=directory, env=env, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            process.communicate(stdin.encode(), timeout=timeout)
        except subprocess.TimeoutExpired:
            raise SimulationError(f"{Path(command[0]).name} took longer than {timeout:g} s; its log is {log}", TOO_SLOW) from None
    return process.returncode


def read_while_alive(process: subprocess.Popen, receive: Callable[[bytes], None], *, silence: float) -> int:
    """Pass the output of a simulator to ``receive`` until its process ends; return the exit code.

    Raises
    ------
    CoreError
        If there is no output for ``silence`` seconds.
    """
    assert process.stdout is not None
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            last_output = time.monotonic()
            while True:
                if selector.select(timeout=1.0):
                    data = os.read(process.stdout.fileno(), 1 << 20)
                    if not data:
                        return process.wait()
                    receive(data)
                    last_output = time.monotonic()
                elif time.monotonic() - last_output > silence:
                    raise CoreError(f"The core kept the simulator busy with one cycle for {silence:g} s: is there a combinational loop?")
    except BaseException:
        end(process)
        raise
    finally:
        process.stdout.close()
