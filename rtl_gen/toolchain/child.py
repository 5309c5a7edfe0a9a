"""Child processes that end with the process or the context that started them."""

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
"""Signals that ask a process to end: Ctrl-C, the default signal of ``kill``, and a closed terminal."""

_running: set[subprocess.Popen] = set()


@contextmanager
def handling(handler: Callable[[int, FrameType | None], None], replaces: Callable[[Any], bool]) -> Iterator[None]:
    """Install a handler for the signals of :data:`ENDING` until the block ends. Only the main thread can do so; others change nothing.

    Parameters
    ----------
    handler : callable
        Function that is called with the signal's number and the current stack frame.
    replaces : callable
        Function that decides, for the present handler of a signal, whether ``handler`` replaces it.
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
    """Defer signals until the block ends, for short operations that must not be interrupted."""
    came: list[int] = []
    try:
        with handling(lambda number, frame: came.append(number), lambda old: old is not signal.SIG_IGN):
            yield
    finally:
        if came:
            signal.raise_signal(came[0])


@contextmanager
def child(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen]:
    """Start a process in a session of its own; at the end of the context, it and all its children are ended.

    Parameters
    ----------
    command : sequence of str
        Path of the program, and its arguments.
    **options
        Further arguments of :class:`subprocess.Popen`.
    """
    process = None
    try:
        with shielded():  # otherwise an interrupt could leave a process that is not registered
            process = subprocess.Popen(command, start_new_session=True, **options)
            _running.add(process)
        yield process
    finally:
        if process is not None:
            end(process)
            _running.discard(process)


def end(*processes: subprocess.Popen) -> None:
    """End processes that lead sessions, together with all their children; processes that have already ended are ignored."""
    with shielded():
        for process in processes:
            if process.returncode is None:  # until it is waited for, an ended process keeps its number, and it may have left children
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        for process in processes:
            process.wait()


def end_all() -> None:
    """End every :func:`child` of this process, including those of other threads."""
    end(*tuple(_running))
