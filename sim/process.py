"""Child processes that end with this one, and that cannot block it for ever."""

from __future__ import annotations

import hashlib
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from rtl_gen.toolchain.child import child, end
from sim.error import TOO_SLOW, CoreError, SimulationError

__all__ = ["build_stamp", "call", "child_environment", "follow", "piped_output", "written_output"]


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


def piped_output(process: subprocess.Popen) -> Generator[bytes]:
    """Yield the standard output of a process until it closes; an empty string after each second without output."""
    assert process.stdout is not None
    with process.stdout as stdout, selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(timeout=1.0):
                yield b""
            elif data := os.read(stdout.fileno(), 1 << 20):
                yield data
            else:
                return


def written_output(process: subprocess.Popen, file: BinaryIO) -> Generator[bytes]:
    """Yield what a process appends to ``file`` until the process ends; an empty string each time that there is nothing new."""
    while True:
        ended = process.poll() is not None
        if data := file.read(1 << 22):
            yield data
        elif ended:
            return
        else:
            time.sleep(0.02)
            yield b""


def follow(process: subprocess.Popen, output: Generator[bytes], receive: Callable[[bytes], None], *, silence: float) -> int:
    """Pass the output of a simulator to ``receive`` until it ends; return the exit code. After any error, the simulator is ended.

    Parameters
    ----------
    process : Popen
        Process of the simulator, the leader of a session.
    output : generator of bytes
        Output of the process, as :func:`piped_output` or :func:`written_output` yields it.
    receive : callable
        Function that is called with each piece of the output.
    silence : float
        Seconds without output after which the simulator is ended.

    Raises
    ------
    CoreError
        If there is no output for ``silence`` seconds.
    """
    last_output = time.monotonic()
    try:
        with closing(output):
            for data in output:
                if data:
                    receive(data)
                    last_output = time.monotonic()
                elif time.monotonic() - last_output > silence:
                    raise CoreError(f"The core kept the simulator busy with one cycle for {silence:g} s: is there a combinational loop?")
        return process.wait()
    except BaseException:
        end(process)
        raise
