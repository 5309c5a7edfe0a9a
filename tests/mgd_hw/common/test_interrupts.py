"""Signals end a command without leaving a tool running or partial output behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mgd_hw.common.files import atomic_directory
from mgd_hw.common.interrupts import interruptible
from rtl_gen.toolchain.child import shielded

ROOT = Path(__file__).parents[3]


def tools(process: int) -> set[int]:
    """Return the process ids of the tools that a process runs: its children that lead a session of their own."""
    found = set()
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found |= {int(child) for child in tasks.read_text().split() if os.getsid(int(child)) == int(child)}
    return found


@pytest.mark.parametrize(
    ("command", "number"),
    [
        (("build", "--board", "icebreaker"), signal.SIGTERM),
        pytest.param(("synth",), signal.SIGINT, marks=pytest.mark.slow),
        (("synth",), signal.SIGHUP),
    ],
    ids=["build", "synth", "terminal closed"],
)
def test_a_command_that_is_ended_leaves_nothing(command: tuple[str, ...], number: signal.Signals, tmp_path: Path) -> None:
    name, *options = command
    arguments = [sys.executable, "-m", "mgd_hw", name, "xor", *options, "-o", "out"]
    with subprocess.Popen(arguments, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True) as ended:
        while not (running := tools(ended.pid)):
            assert ended.poll() is None
            time.sleep(0.01)
        ended.send_signal(number)
        assert ended.wait() == 130
        assert ended.stderr is not None
        assert ended.stderr.read().splitlines()[-1] == "mgd-hw: Interrupted; nothing was kept."
    assert not any(Path(f"/proc/{child}").exists() for child in running)
    assert not list(tmp_path.iterdir())


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible(), shielded():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_waits_for_what_is_shielded() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), interruptible():
        with shielded():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            done.append("first")
        done.append("second")
    assert done == ["first"]


def test_results_are_moved_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that arrives after the first of two files has moved does not stop the second."""
    replace = Path.replace

    def interrupted(source: Path, target: Path) -> Path:
        moved = replace(source, target)
        if source.name == "first":
            signal.raise_signal(signal.SIGTERM)
        return moved

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), interruptible(), atomic_directory(tmp_path / "out") as folder:
        (folder / "first").write_text("1")
        (folder / "second").write_text("2")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"first", "second"}
