"""Signals that end a command: all of them interrupt it, so that nothing is left running or half-written."""

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
    """Within it, whatever asks the process to end raises KeyboardInterrupt; what is ignored, as under ``nohup``, stays ignored."""
    with handling(_interrupt, lambda old: old in (signal.SIG_DFL, signal.default_int_handler)):
        yield
