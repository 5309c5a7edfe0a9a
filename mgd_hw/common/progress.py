"""How long work tells what it is doing: the terminal listens, a test or a script need not."""

from __future__ import annotations

from typing import Protocol

__all__ = ["NullProgress", "Progress"]


class Progress(Protocol):
    """Told of progress."""

    def status(self, text: str) -> None:
        """Something worth a line: what starts, what is waited for."""

    def update(self, task: str, done: float, total: float, note: str = "") -> None:
        """``done`` of ``total`` of a task; a new task replaces the one before."""


class NullProgress:
    """Listens, and says nothing."""

    def status(self, text: str) -> None:
        """Nothing."""

    def update(self, task: str, done: float, total: float, note: str = "") -> None:
        """Nothing."""
