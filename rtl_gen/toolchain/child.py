"""Child processes that end with what started them, whatever happens to it in between."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

__all__ = ["ENDING", "child", "end", "end_all", "handling", "shielded"]

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a process to end: Ctrl-C, the polite request, and a terminal that was closed."""

_running: set[subprocess.Popen] = set()


@contextmanager
def handling(handler: Callable[[int, FrameType | None], None], replaces: Callable[[Any], bool]) -> Iterator[None]:
    """Within it a handler hears the signals of :data:`ENDING`; afterwards all is as before. Of use in the main thread alone.

    Parameters
    ----------
    handler : callable
        What hears them.
    replaces : callable
        Whether it takes the place of a handler that there is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        for number, old in before.items():
            if replaces(old):
                signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def shielded() -> Iterator[None]:
    """Within it no signal interrupts: one that comes is obeyed after it. For what must not be left half-done, and is soon done."""
    came: list[int] = []
    try:
        with handling(lambda number, frame: came.append(number), lambda old: old is not signal.SIG_IGN):
            yield
    finally:
        if came:
            signal.raise_signal(came[0])


@contextmanager
def child(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen]:
    """A process in a session of its own, as a context; what of it still runs is ended with the context.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    **options
        As :class:`subprocess.Popen` takes them.
    """
    process = None
    try:
        with shielded():  # or an interrupt could leave a process that nobody knows
            process = subprocess.Popen(command, start_new_session=True, **options)
            _running.add(process)
        yield process
    finally:
        if process is not None:
            end(process)
            _running.discard(process)


def end(*processes: subprocess.Popen) -> None:
    """End processes that lead sessions, with all their children; those that have ended already do no harm."""
    with shielded():
        for process in processes:
            if process.returncode is None:  # one that ended, but was not waited for, keeps its number, and may have left children
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        for process in processes:
            process.wait()


def end_all() -> None:
    """End every :func:`child` of this process, those of other threads too."""
    end(*tuple(_running))
