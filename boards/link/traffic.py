"""Frames in flight on a serial line, the questions they carry, the speed of the line, and its error counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Pace", "Question", "Sent", "Statistics"]


@dataclass
class Statistics:
    """Counts of a link's frames, errors and bytes so far.

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
        """Number of line errors that were detected and repaired."""
        return self.refused + self.damaged + self.lost


@dataclass
class Question:
    """Writes and the reads that depend on them; repeated as a whole if the answer is lost."""

    writes: Sequence[tuple[int, int]]
    addresses: Sequence[int]
    words: tuple[int, ...] | None = None


@dataclass
class Sent:
    """A frame in flight, with the question it carries and the time its answer is due."""

    number: int
    size: int
    line: bytes
    question: Question | None = None
    answer_size: int = 0
    due: float = 0.0
    received: bool = False


@dataclass
class Pace:
    """Speed of the line: seconds per byte, and seconds per query in addition to those of its bytes."""

    byte: float
    turn: float = 0.05
    free: float = field(default=0.0)

    def due(self, now: float, size: int) -> float:
        """Time by which the answer to ``size`` bytes sent now should have arrived."""
        self.free = max(now, self.free) + size * self.byte
        return self.free + 1.5 * self.turn + 0.001
