"""What is under way on a line: questions, frames that were sent, the pace of the line, and statistics of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Pace", "Question", "Sent", "Statistics"]


@dataclass
class Statistics:
    """Counts of what a link has seen so far.

    Attributes
    ----------
    frames : int
        Number of frames that the device has executed.
    repeated : int
        Number of frames that were sent more than once, or asked again.
    refused : int
        Number of times that the device reported a missing frame.
    damaged : int
        Number of answers that arrived damaged.
    lost : int
        Number of answers that did not arrive.
    sent, received : int
        Number of bytes in each direction.
    """

    frames: int = 0
    repeated: int = 0
    refused: int = 0
    damaged: int = 0
    lost: int = 0
    sent: int = 0
    received: int = 0

    @property
    def errors(self) -> int:
        """Errors of the line that were detected, and mended."""
        return self.refused + self.damaged + self.lost


@dataclass
class Question:
    """Writes and reads that belong together: asked again as a whole."""

    writes: Sequence[tuple[int, int]]
    addresses: Sequence[int]
    words: tuple[int, ...] | None = None


@dataclass
class Sent:
    """A frame under way."""

    number: int
    size: int
    line: bytes
    question: Question | None = None
    answer_size: int = 0
    due: float = 0.0
    received: bool = False


@dataclass
class Pace:
    """How fast the line is: seconds for a byte, and for a question and its answer beside those of their bytes."""

    byte: float
    turn: float = 0.05
    free: float = field(default=0.0)

    def due(self, now: float, size: int) -> float:
        """When an answer to bytes sent now should have come."""
        self.free = max(now, self.free) + size * self.byte
        return self.free + 1.5 * self.turn + 0.001
