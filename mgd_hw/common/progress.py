"""How long work tells what it is doing: the terminal listens, a test or a script need not."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Listener", "Silent"]


class Listener(Protocol):
    """Told of progress."""

    def say(self, text: str) -> None:
        """Something worth a line: what starts, what is waited for."""

    def progress(self, task: str, done: float, total: float, note: str = "") -> None:
        """``done`` of ``total`` of a task; a new task replaces the one before."""


class Silent:
    """Listens, and says nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def progress(self, task: str, done: float, total: float, note: str = "") -> None:
        """Nothing."""
