"""Program that computes a run with the fixed-point model and records its trace."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from python_ref.fixed.machine import State, step
from python_ref.trace import Header, Run, TraceWriter

__all__ = ["main", "write_reference"]


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
