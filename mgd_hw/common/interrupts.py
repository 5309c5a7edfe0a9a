"""Signals that end a command, raised as KeyboardInterrupt so that it stops its tools and removes partial output."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rtl_gen.toolchain.child import handling

__all__ = ["interruptible"]


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGINT, SIGTERM or SIGHUP until the block ends.

    Ignored signals, such as SIGHUP under ``nohup``, and signals with a handler of their own are left alone.
    """
    with handling(_interrupt, lambda old: old in (signal.SIG_DFL, signal.default_int_handler)):
        yield
