"""Program that computes a run with the fixed-point model and records its trace."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from python_ref.fixed import learner
from python_ref.fixed.learner import Chip, LearnerState, NodeChip
from python_ref.fixed.machine import State, step
from python_ref.trace import Header, LearnerRun, Run, TraceWriter

__all__ = ["main", "write_learner_reference", "write_reference"]


def write_reference(run: Run, directory: Path, *, first: int = 0) -> State:
    """Compute a run with :mod:`python_ref.fixed.machine` and write its trace from step ``first`` on.

    Returns the state after the last step.
    """
    state = run.initial_state()
    with TraceWriter(directory, Header.of(run, "python_ref.fixed.machine", first=first), run.spec) as writer:
        for number in range(run.steps):
            state, observed = step(run.spec, state, run.sample(number))
            if number >= first:
                writer.append(observed)
            elif run.spec.hardware.signature:
                writer.skip(observed["signature"])
    return state


def write_learner_reference(
    run: LearnerRun, chip: Chip, directory: Path, *, steps_done: Callable[[int], None] | None = None
) -> tuple[LearnerState, list[int]]:
    """Compute a run of a learner with :mod:`python_ref.fixed.learner` and write its trace.

    Parameters
    ----------
    run : LearnerRun
        Run of a learner, which is computed from its first step.
    chip : callable
        The outside, which is called once for each measurement, in order.
    directory : Path
        Directory for the trace.
    steps_done : callable or None
        Called with the number of steps computed so far, from time to time.

    Returns
    -------
    (LearnerState, list of int)
        The state after the last step, and the raw cost words that the chip gave, in order.

    Raises
    ------
    ValueError
        If the chip gives fewer cost words than it is asked for.
    """
    state, given = run.initial_state(), list[int]()
    logged = _Logged(chip, given.extend)
    with TraceWriter(directory, Header.of(run, "python_ref.fixed.learner"), run.spec) as writer:
        for number in range(run.steps):
            state, observed = learner.step(run.spec, state, logged)
            if observed is None:
                raise ValueError(f"Chip must give every cost word that it is asked for, and did not in step {number}")
            writer.append(observed)
            if steps_done is not None and number % 64 == 63:
                steps_done(number + 1)
    return state, given


@dataclass(frozen=True)
class _Logged:
    """A chip whose cost words go to a function as well."""

    chip: Chip
    seen: Callable[[list[int]], object]

    def __call__(self, words: np.ndarray, sample: int, count: int) -> list[int]:
        found = list(self.chip(words, sample, count))
        self.seen(found)
        return found

    def apply(self, errors: np.ndarray) -> None:
        """See :class:`~python_ref.fixed.learner.NodeChip`."""
        if not isinstance(self.chip, NodeChip):
            raise TypeError("Chip of a learner of node currents must have a method apply")
        self.chip.apply(errors)


def main(arguments: list[str] | None = None) -> int:
    """Run ``python -m python_ref.record RUN TRACE`` and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m python_ref.record", description="Compute the reference trace of a run.")
    parser.add_argument("run", type=Path, help="directory with run.json and run.npz")
    parser.add_argument("trace", type=Path, help="directory to write the trace to")
    parser.add_argument("--first", type=int, default=0, help="first step to record")
    parser.add_argument("--fast", action="store_true", help="compute with the compiled model instead of the plain one")
    options = parser.parse_args(arguments)
    try:
        run = Run.load(options.run)
    except (OSError, KeyError, TypeError, ValueError) as error:
        print(f"{options.run} must be a run: {error}", file=sys.stderr)
        return 2
    if options.fast:
        from python_ref.fixed.fast import write_trace

        write_trace(run, options.trace, first=options.first)
    else:
        write_reference(run, options.trace, first=options.first)
    return 0


if __name__ == "__main__":
    sys.exit(main())
