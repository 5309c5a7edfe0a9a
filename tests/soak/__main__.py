"""Compare random designs of every kind with their models, until a number of values is compared.

    python -m tests.soak --values 1e9 --simulator cxxrtl --work DIR [--seed 1] [--jobs 1]
    python -m tests.soak --report --work DIR [--page docs/results/soak.md]

Every design follows from the seed, the simulator and its number. A line of the log in DIR says what came of it, so that a command that
was interrupted goes on where it was, and loses the designs that were running. A table by kind is the last that it prints. ``--report``
runs nothing: it prints the table of all logs in DIR, and puts it into a page. At the first difference the command ends with the command
that repeats the design, and with exit code 1.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count
from multiprocessing import get_context
from pathlib import Path

from tests.soak.designs import KINDS
from tests.soak.runs import SIMULATORS, Case, Result, attempt

__all__ = ["Log", "case_of", "main", "table", "with_table"]

INTERRUPTED = 130
"""Exit code of a command that was interrupted."""


class Log:
    """What came of the designs of a soak, one line each.

    Parameters
    ----------
    path : Path
        File of the log, which is created if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
        if lines and lines[-1]:  # a line that was being written when the command was interrupted
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")
        self.results: dict[int, Result] = {}
        for line in lines:
            try:
                found = Result(**json.loads(line))
            except (json.JSONDecodeError, TypeError):
                continue
            self.results[found.number] = found

    def add(self, result: Result) -> None:
        """Append a line."""
        self.results[result.number] = result
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(vars(result)) + "\n")

    def values(self, simulator: str) -> int:
        """Number of values compared in a simulator."""
        return sum(each.values for each in self.results.values() if each.simulator == simulator)

    def is_done(self, number: int) -> bool:
        """Whether a design has run, and did not differ."""
        return number in self.results and not self.results[number].differences


def case_of(simulator: str, seed: int, number: int) -> Case:
    """Return a design of a soak; the kinds take turns, and only the Verilog of a core runs behind a bus."""
    kinds = [kind for kind in KINDS if kind != "bus" or simulator == "cxxrtl"]
    return Case(simulator, kinds[number % len(kinds)], seed, number)


def repeating(result: Result, simulator: str, most: int | None) -> str:
    """The command that repeats a design."""
    limit = "" if most is None else f" --most {most}"
    return f"python -m tests.soak --simulator {simulator} --seed {result.seed} --only {result.number}{limit} --work DIR"


def table(results: Iterable[Result]) -> str:
    """A table in Markdown: designs, steps, cycles, values, differences and processor time by simulator and kind, and the sums of each."""
    rows = ["| kind | simulator | designs | steps | cycles | values | different | CPU, s | of these simulating |"]
    rows.append("|---|---|---|---|---|---|---|---|---|")
    found = list(results)
    for simulator in (*dict.fromkeys(each.simulator for each in found), ""):
        within = [each for each in found if simulator in ("", each.simulator)]
        kinds = [kind for kind in KINDS if simulator and any(each.kind == kind for each in within)]
        for kind in (*kinds, *(["all"] if len(kinds) != 1 else [])):
            mine = [each for each in within if kind in ("all", each.kind)]
            sums = [len(mine), *(sum(getattr(each, name) for each in mine) for name in ("steps", "cycles", "values", "differences"))]
            spent = sum(sum(each.cpu.values()) for each in mine)
            running = sum(each.cpu.get("simulation", 0.0) for each in mine)
            cells = [f"{number:,}" for number in (*sums, round(spent), round(running))]
            rows.append(f"| {kind} | {simulator} | {' | '.join(cells)} |")
    return "\n".join(rows)


def with_table(page: str, rows: str) -> str:
    """The text of a page, with this table in the place of the one that it has.

    Raises
    ------
    ValueError
        If the page does not have exactly one.
    """
    places = list(re.finditer(rf"^{re.escape(rows.splitlines()[0])}\n(\|.*\n)*", page, re.MULTILINE))
    if len(places) != 1:
        raise ValueError(f"the page has {len(places)} tables of a soak, and must have one")
    return f"{page[: places[0].start()]}{rows}\n{page[places[0].end() :]}"


def _reported(work: Path, page: Path | None) -> int:
    """Print the table of all logs in a directory and put it into a page; the exit code."""
    logs = [Log(path) for path in sorted(work.glob("*.jsonl"))]
    if not logs:
        print(f"{work} has no log. Name the directory that the soak was given with --work.", file=sys.stderr)
        return 2
    rows = table(each for log in logs for each in log.results.values())
    print(rows)
    if page is not None:
        try:
            page.write_text(with_table(page.read_text(encoding="utf-8"), rows), encoding="utf-8")
        except (OSError, ValueError) as error:
            print(f"{page}: {error}", file=sys.stderr)
            return 2
    differing = [(log, each) for log in logs for each in log.results.values() if each.differences]
    for log, each in differing:
        _differs(each, repeating(each, log.path.stem.rpartition("-")[0], None))
    return int(bool(differing))


def _differs(result: Result, command: str) -> None:
    """Print that a design differs, and how to repeat it."""
    print(f"DIFFERENT: {result.kind} {result.design}: {result.why}\nRepeat it with: {command}")


def _said(result: Result, total: int, aim: int) -> None:
    """Print what came of a design."""
    lives = f"; {', '.join(result.lives)}" if result.lives else ""
    line = f"{result.number} {result.kind}: {result.design}: {result.values:,} values, {result.differences:,} different, "
    print(f"{line}{result.seconds:.0f} s{lives}; {total:,} of {aim:,} values", flush=True)


def _run(options: argparse.Namespace, log: Log, aim: int) -> list[tuple[Result, str]]:
    """Run designs until ``aim`` values are compared or one differs; return those that differ, with their commands."""
    numbers = iter([options.only]) if options.only is not None else (number for number in count() if not log.is_done(number))
    running: set[Future[Result]] = set()
    differing: list[tuple[Result, str]] = []
    before = log.values(options.simulator) if options.only is not None else 0

    def place(number: int) -> Path:
        return Path(options.work) / "designs" / f"{options.simulator}-{options.seed}-{number}"

    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        while True:
            while len(running) < options.jobs and not differing and log.values(options.simulator) < aim + before:
                number = next(numbers, None)
                if number is None:
                    break
                case = case_of(options.simulator, options.seed, number)
                running.add(pool.submit(attempt, case, place(number), options.most))
            if not running:
                return differing
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for each in ended:
                result = each.result()
                log.add(result)
                _said(result, log.values(options.simulator), aim)
                if result.differences:
                    differing.append((result, repeating(result, options.simulator, options.most)))
                else:
                    shutil.rmtree(place(result.number), ignore_errors=True)  # one that differs keeps its files


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Compare random designs of every kind with their models.")
    parser.add_argument("--values", type=float, default=1e6, help="values to compare, those of the log included (default 1e6)")
    parser.add_argument("--simulator", choices=SIMULATORS, default="cxxrtl", help="what runs the cores (default cxxrtl)")
    parser.add_argument("--work", type=Path, required=True, help="directory of the log, with which a run goes on, and of what differs")
    parser.add_argument("--seed", type=int, default=1, help="seed of the designs (default 1)")
    parser.add_argument("--jobs", type=int, default=1, help="designs that run at a time (default 1)")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="run this design alone")
    parser.add_argument("--most", type=float, metavar="VALUES", help="most values of the long run of a design")
    parser.add_argument("--report", action="store_true", help="print the table of all logs of the directory, and run nothing")
    parser.add_argument("--page", type=Path, help="page whose table --report replaces")
    options = parser.parse_args(arguments)
    for name in ("jobs", "values", "most"):
        if getattr(options, name) is not None and not getattr(options, name) >= 1:
            parser.error(f"--{name} must be at least 1, not {getattr(options, name):g}")
    if options.page is not None and not options.report:
        parser.error("--page needs --report")
    options.most = None if options.most is None else int(options.most)
    if options.report:
        return _reported(options.work, options.page)
    options.work.mkdir(parents=True, exist_ok=True)
    options.work = options.work.resolve()
    log = Log(options.work / f"{options.simulator}-{options.seed}.jsonl")
    try:
        differing = _run(options, log, int(options.values))
    except KeyboardInterrupt:
        print(f"{table(log.results.values())}\nInterrupted; the same command goes on behind the last design of {log.path}")
        return INTERRUPTED
    print(table(log.results.values()))
    known = [(each, repeating(each, options.simulator, options.most)) for each in log.results.values() if each.differences]
    for result, command in differing or known:
        _differs(result, command)
    return int(bool(differing or known))


if __name__ == "__main__":
    sys.exit(main())
