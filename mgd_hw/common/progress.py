"""Progress reporting for long-running operations."""

from __future__ import annotations

from typing import Protocol

__all__ = ["NullProgress", "Progress"]


class Progress(Protocol):
    """Receiver of progress reports, such as the terminal."""

    def status(self, text: str) -> None:
        """Report one line, such as the start of a step or the reason for a wait."""

    def update(self, task: str, done: float, total: float, note: str = "") -> None:
        """Report that ``done`` of ``total`` units of a task are complete; a new task replaces the previous one."""


class NullProgress:
    """Progress receiver that discards all reports."""

    def status(self, text: str) -> None:
        """Discard a line."""

    def update(self, task: str, done: float, total: float, note: str = "") -> None:
        """Discard an update."""
