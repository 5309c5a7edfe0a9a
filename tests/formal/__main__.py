"""Prove all properties, and print a table of them.

    python -m tests.formal [NAME …] [--list]

NAME is a part of a property's name, or of the name of its blocks; without one, all properties are proved. The exit code is 1 if a
property does not hold, what it is about cannot happen, or a planted fault does not break it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.formal.harness import Outcome, Property, examine
from tests.formal.properties import PROPERTIES

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.formal", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of the name of a property or of its blocks")
    parser.add_argument("--list", action="store_true", help="list the properties, and prove nothing")
    given = parser.parse_args(arguments)
    chosen = [each for each in PROPERTIES if not given.names or any(name in each.name or name in each.block for name in given.names)]
    if not chosen:
        parser.error(f"no property has {' or '.join(given.names)} in its name or in that of its blocks; --list lists them")
    failed = 0
    print(f"{'property':<44} {'blocks':<44} {'how':<20} {'seconds':>7}  result")
    for each in chosen:
        begin = f"{each.name:<44} {each.block:<44} {each.how!s:<20}"
        if given.list:
            print(f"{begin}          {len(each.controls)} controls")
            continue
        outcome = examine(each)
        failed += not outcome.good  # the others are proved all the same
        print(f"{begin} {outcome.seconds:7.1f}  {described(each, outcome)}", flush=True)
    if not given.list:
        faults = sum(len(each.controls) for each in chosen)
        print(
            f"{failed} of {len(chosen)} FAILED"
            if failed
            else f"All {len(chosen)} hold, and each of {faults} planted faults breaks its own."
        )
    return int(failed > 0)


def described(given: Property, outcome: Outcome) -> str:
    """What became of a property, in a few words."""
    found = [given.how.claim if outcome.holds else "NOT PROVED"]
    if not outcome.reached:
        found.append(f"VACUOUS within {given.reach} cycles")
    found.append(f"{len(outcome.refuted)} of {len(given.controls)} faults break it")
    if outcome.missed:
        found.append(f"NOT BROKEN by {', '.join(outcome.missed)}")
    return "; ".join(found)


if __name__ == "__main__":
    sys.exit(main())
