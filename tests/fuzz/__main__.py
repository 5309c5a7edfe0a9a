"""``python -m tests.fuzz [TARGET …] [--inputs N] [--seed S]``: give damaged inputs to the programs, and say how they end."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz.run import Hang, fuzz
from tests.fuzz.targets import TARGETS

SHARES = {"design": 11, "csv": 13, "npz": 13, "idx": 13, "parameters": 9, "checkpoint": 9, "onnx": 17, "axi": 10, "line": 5}
"""Percent of the inputs that each target gets."""


def main(arguments: list[str] | None = None) -> int:
    """Fuzz the targets; return 1 if an input does not end well."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"some of {', '.join(TARGETS)}; all of them by default")
    parser.add_argument("--inputs", type=int, default=100_000, help="number of inputs of all targets together")
    parser.add_argument("--seed", type=int, default=1, help="seed of the inputs")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.targets if name not in TARGETS]
    if unknown:
        parser.error(f"there is no target {unknown[0]}: name some of {', '.join(TARGETS)}")
    names, failed, total = options.targets or list(TARGETS), False, 0
    share = sum(SHARES[name] for name in names)
    for name in names:
        try:
            found = fuzz(TARGETS[name], max(1, options.inputs * SHARES[name] // share), options.seed)
        except (Exception, Hang) as error:
            failed = True
            notes = " ".join(getattr(error, "__notes__", []))
            print(f"{name}: {type(error).__name__}: {error} {notes}", flush=True)
            import traceback

            traceback.print_exception(error, limit=-6)
            continue
        total += found.counts.total()
        ended = ", ".join(f"{count:,} {how}" for how, count in sorted(found.counts.items()))
        print(f"{name}: {found.counts.total():,} inputs, {ended}; {found.seconds:.0f} s", flush=True)
    print(f"{total:,} inputs ended well" + ("; some did not" if failed else ""))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
