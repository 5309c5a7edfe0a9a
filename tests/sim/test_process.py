"""The output of a simulator in another process: received whole, through a pipe or a file, and given up after a silence or an error."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from sim.error import CoreError
from sim.process import follow, piped_output, written_output

SLEEP = "time.sleep(60)"


@contextmanager
def started(code: str, way: str, folder: Path) -> Iterator[tuple[subprocess.Popen, Callable[..., int]]]:
    """A Python process that runs ``code`` and writes to ``out``, and what follows its output."""
    path = folder / "output.bin"
    path.touch()
    where = "sys.stdout.buffer" if way == "pipe" else f"open({str(path)!r}, 'wb', buffering=0)"
    command = [sys.executable, "-c", f"import sys, time\nout = {where}\n{code}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE if way == "pipe" else None, start_new_session=True)
    with path.open("rb") as file:
        output = piped_output(process) if way == "pipe" else written_output(process, file)
        with closing(output):
            yield process, lambda receive, silence: follow(process, output, receive, silence=silence)
    assert process.returncode is not None, "nothing is left running"
    assert process.stdout is None or process.stdout.closed


@pytest.mark.parametrize("way", ["pipe", "file"])
def test_all_output_is_received_with_the_exit_code(way: str, tmp_path: Path) -> None:
    """The last piece is written just before the process ends, after a pause longer than the file's reader waits."""
    got = bytearray()
    code = "out.write(bytes(range(256)) * 40_000); out.flush(); time.sleep(0.3); out.write(b'the end'); out.flush(); sys.exit(3)"
    with started(code, way, tmp_path) as (_, follow_it):
        assert follow_it(got.extend, 60) == 3
    assert bytes(got) == bytes(range(256)) * 40_000 + b"the end"


@pytest.mark.parametrize("way", ["pipe", "file"])
def test_a_silent_process_is_ended(way: str, tmp_path: Path) -> None:
    got = bytearray()
    with started(f"out.write(b'begun'); out.flush()\n{SLEEP}", way, tmp_path) as (process, follow_it):
        with pytest.raises(
            CoreError, match=r"^The core kept the simulator busy with one cycle for 0\.5 s: is there a combinational loop\?"
        ):
            follow_it(got.extend, 0.5)
        assert process.returncode == -signal.SIGKILL
    assert bytes(got) == b"begun"


@pytest.mark.parametrize("way", ["pipe", "file"])
def test_a_process_whose_output_is_refused_is_ended(way: str, tmp_path: Path) -> None:
    def refuse(data: bytes) -> None:
        raise KeyboardInterrupt

    with started(f"out.write(b'begun'); out.flush()\n{SLEEP}", way, tmp_path) as (process, follow_it):
        with pytest.raises(KeyboardInterrupt):
            follow_it(refuse, 60)
        assert process.returncode == -signal.SIGKILL


def test_silence_is_counted_from_the_last_output(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def output(pauses: tuple[float, ...]) -> Generator[bytes]:
        nonlocal now
        for pause in pauses:
            yield b"piece"
            now += pause
            yield b""

    monkeypatch.setattr("sim.process.time", SimpleNamespace(monotonic=lambda: now))
    for pauses, given_up in (((8.0, 9.0, 10.0), False), ((8.0, 11.0), True)):
        process, got = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True), bytearray()
        with pytest.raises(CoreError) if given_up else nullcontext():
            assert follow(process, output(pauses), got.extend, silence=10.0) == 0
        assert process.returncode is not None
        assert bytes(got) == b"piece" * len(pauses)


def test_what_is_written_just_before_the_end_is_read(tmp_path: Path) -> None:
    """The last piece appears in the file after it was read, and before the process is seen to have ended."""
    path = tmp_path / "output.bin"
    path.write_bytes(b"begun, ")

    class Ending:
        def poll(self) -> int | None:
            looked.append(None)
            if len(looked) < 3:
                return None
            if len(looked) == 3:
                with path.open("ab") as file:
                    file.write(b"ended")
            return 0

    looked: list[None] = []
    with path.open("rb") as file:
        assert b"".join(written_output(Ending(), file)) == b"begun, ended"  # type: ignore[arg-type]
