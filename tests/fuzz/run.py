"""Run a target on inputs, and judge how each of them ends."""

from __future__ import annotations

import os
import signal
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from python_ref.spec.error import Refusal

__all__ = ["Hang", "Outcome", "Target", "fuzz"]

LONGEST = 60.0
"""Seconds after which an input hangs."""
LONGEST_MESSAGE = 2_000
"""Most characters of a message."""
MEMORY = Path("/dev/shm")
"""Folder of a file system in memory, where Linux has one. To make and remove an input's folders takes longer on a disk than to read it."""


class Hang(BaseException):
    """An input that takes longer than :data:`LONGEST`; no handler of exceptions catches it."""


@dataclass(frozen=True)
class Target:
    """An end of the programs that takes what users give.

    Attributes
    ----------
    name : str
        Name of what is given.
    inputs : strategy
        Inputs, sound and damaged.
    take : callable
        Takes an input in an empty folder, and returns whether it was accepted; refuses it by a Refusal.
    writes : bool
        Whether an accepted input leaves files in the folder.
    """

    name: str
    inputs: Callable[[], st.SearchStrategy[Any]]
    take: Callable[[Any, Path], None]
    writes: bool = False


@dataclass
class Outcome:
    """How the inputs of a target have ended.

    Attributes
    ----------
    target : str
        Name of the target.
    counts : Counter
        Numbers of inputs that were "accepted" and "refused".
    seconds : float
        Time that they took, in seconds.
    """

    target: str
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def _place() -> Path | None:
    """Where the folders of inputs are made: in memory if that is possible, else where temporary folders are."""
    return MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else None


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise :class:`Hang` in the block after some time."""

    def late(number: int, frame: object) -> None:
        raise Hang(f"An input took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def judge(target: Target, given_: Any) -> str:
    """Give an input to a target; return how it ended.

    Raises
    ------
    Exception
        What the target raised, other than a refusal: a traceback, had a user given this.
    AssertionError
        If a refusal is no message for a user, or left something half-written.
    Hang
        If it takes too long.
    """
    with tempfile.TemporaryDirectory(dir=_place()) as name, _limited(LONGEST), warnings.catch_warnings():
        warnings.simplefilter("error")
        folder = Path(name)
        try:
            target.take(given_, folder / "work")
        except Refusal as refusal:
            message = str(refusal)
            assert refusal.reason and refusal.remedy and "\n" not in message and len(message) < LONGEST_MESSAGE, message
            assert refusal.file is not None or refusal.key is not None, f"nothing says where: {message}"
            left = [path.name for path in folder.rglob("*") if path.is_file() and not path.name.startswith("given")]
            assert not left, f"refused ({message}), and left {left}"
            return "refused"
        return "accepted"


def fuzz(target: Target, count: int, start: int | None = None, *, shrink: bool = True) -> Outcome:
    """Run a target on so many inputs; the first that does not end well is shrunk and raised.

    Parameters
    ----------
    target : Target
        What takes the inputs.
    count : int
        Number of inputs.
    start : int or None
        Seed of the inputs; None always takes the same ones.
    shrink : bool
        Whether the first input that does not end well is shrunk.
    """
    outcome, begun = Outcome(target.name), time.perf_counter()

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=start is None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=shrink,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
    )
    @given(target.inputs())
    def run(one: Any) -> None:
        outcome.counts[judge(target, one)] += 1

    (run if start is None else seed(start)(run))()
    outcome.seconds = time.perf_counter() - begun
    return outcome
