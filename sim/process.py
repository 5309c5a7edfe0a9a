"""Child processes that cannot outlive or hang us."""

from __future__ import annotations

import hashlib
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rtl_gen.child import child, end
from sim.error import TOO_SLOW, CoreError, SimulationError

__all__ = ["call", "child_environment", "read_while_alive", "stamped"]


def child_environment() -> dict[str, str]:
    """The environment of a Python process that must find the same packages as this one."""
    here = str(Path(__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([here, *([inherited] if inherited else [])])}


def stamped(directory: Path, verilog: Path, *settings: object) -> tuple[bool, Callable[[], None]]:
    """Whether a folder holds a build of this Verilog with these settings; and what to call when it does."""
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
    """Run a command, its output into a log; return its exit code.

    Raises
    ------
    SimulationError
        If it takes longer than ``timeout`` seconds.
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
    """Give on what a simulator writes to its pipe until it ends; return its exit code.

    Raises
    ------
    CoreError
        If it stays silent for ``silence`` seconds.
    """
    assert process.stdout is not None
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            heard = time.monotonic()
            while True:
                if selector.select(timeout=1.0):
                    data = os.read(process.stdout.fileno(), 1 << 20)
                    if not data:
                        return process.wait()
                    receive(data)
                    heard = time.monotonic()
                elif time.monotonic() - heard > silence:
                    raise CoreError(f"The core kept the simulator busy with one cycle for {silence:g} s: is there a combinational loop?")
    except BaseException:
        end(process)
        raise
    finally:
        process.stdout.close()
