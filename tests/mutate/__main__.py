"""Change a core in one place after the other, and tell which changes the comparison with the model does not see.

    python -m tests.mutate DESIGN [--count 200] [--seed 1] [--jobs 2] [--work DIR] [--json FILE]

DESIGN is a shipped design, a design file, or a small design of the tests, such as node, series:leaky or
learner, which has a chip beside it. Scenarios of a host run on every mutant until the
comparison of one of them fails; Yosys tries to prove the others equivalent to the core. What is left are the survivors. With ``--work``,
results are kept, and a run that was interrupted goes on. The exit code is 1 if there are survivors, 2 if there is no such
design, and 130 behind an interrupt.
"""

from __future__ import annotations

import argparse
import difflib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import lcm
from pathlib import Path

from mgd_hw.design.reader import load_any
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import Refusal, unknown
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec
from rtl_gen.core import contract
from rtl_gen.emit import emit_verilog
from sim.engines.cxxrtl import build_cxxrtl
from sim.ports import Ports
from sim.run import Stalls
from tests.mutate.equivalence import equal_by_induction, equal_from_state_to_state
from tests.mutate.learner import LEARNERS, rehearsed_learner
from tests.mutate.netlist import SELECT, SELECT_BITS, Mutant, draw, unread, with_all
from tests.mutate.reachable import equal_from_power_up, find_abc
from tests.mutate.runs import Rehearsed, run, verdict
from tests.support.bench_scenarios import counting_to_the_end, cutting, dropping, resetting
from tests.support.designs import random_parameters
from tests.support.faults import DESIGNS
from tests.support.learner_host import with_chip
from tests.support.lockstep import Rehearsal
from tests.support.node_designs import SHAPES, SPARSE_SHAPES
from tests.support.scenarios import (
    Scenario,
    discarding,
    extremes,
    host_access,
    large_counts,
    long_periods,
    near_limits,
    no_commands,
    other_periods,
    other_rates,
    plain,
    random_scenario,
    resuming,
    starving,
    stopping,
    ties,
    writes_while_busy,
)
from tests.support.series_shapes import SERIES_SHAPES
from tests.support.stochastic_designs import STOCHASTIC_SHAPES

__all__ = ["Campaign", "Result", "main", "rehearsed", "simulated", "spec_of"]

READ_CYCLES = 8
"""A read of a host lasts at least so many cycles of a core."""
STEPS = 60
"""Steps of a plain run."""
QUICK = 2
"""Number of scenarios that run before the first attempt of a proof."""

SMALL: dict[str, LearningSpec] = {**DESIGNS, **LEARNERS} | {
    f"{family}:{name}": spec
    for family, shapes in (("node", SHAPES), ("series", SERIES_SHAPES), ("sparse", SPARSE_SHAPES), ("stochastic", STOCHASTIC_SHAPES))
    for name, spec in shapes.items()
}
"""Small designs of the tests, by name; those of a table of shapes are named by their family as well, such as ``series:leaky``."""


@dataclass(frozen=True)
class Result:
    """What became of a mutant.

    Attributes
    ----------
    number : int
        Number of the mutant.
    place : str
        What is changed, and where.
    outcome : str
        "killed", "equivalent", "unseen" if the core shows something else and no comparison fails, or "undecided" if it shows the same.
    by : str
        Scenario whose comparison fails, or in which the core shows something else; or how the mutant was proved equivalent.
    why : str
        What the comparison says.
    """

    number: int
    place: str
    outcome: str
    by: str = ""
    why: str = ""


def spec_of(design: str) -> LearningSpec:
    """Return a design of the tests, a shipped one or that of a file."""
    return SMALL[design] if design in SMALL else load_any(design).spec


def rehearsed(spec: LearningSpec, seed: int = 1) -> list[Rehearsed]:
    """Return all scenarios of a design, the quickest to kill first."""
    match spec:
        case LearnerSpec():
            return rehearsed_learner(spec, seed)
        case DesignSpec():
            return _rehearsed_core(spec, seed)
        case _:
            raise unknown("Design", spec, "tests.mutate.rehearsed")


def simulated(spec: LearningSpec, verilog: Path, selects: str = "") -> Path:
    """Return the Verilog that is simulated: a core is alone, and a learner has a chip beside it, in a file of its own.

    Parameters
    ----------
    spec : LearningSpec
        The design.
    verilog : Path
        Verilog of its core.
    selects : str
        A further input of the core, with its range.
    """
    match spec:
        case LearnerSpec():
            beside = verilog.with_name(f"{verilog.stem}_chip.v")
            beside.write_text(verilog.read_text(encoding="utf-8") + with_chip(spec, selects), encoding="utf-8")
            return beside
        case DesignSpec():
            return verilog
        case _:
            raise unknown("Design", spec, "tests.mutate.simulated")


def _reads(spec: DesignSpec, steps: int) -> int:
    """Number of reads that last longer than so many steps of a design's core."""
    return -(-contract(spec).first_steps(spec, steps) // READ_CYCLES)


def _rehearsed_core(spec: DesignSpec, seed: int) -> list[Rehearsed]:
    rng = random.Random(f"scenarios {seed}")
    schedule = spec.schedule
    block = lcm(schedule.perturbation_period, schedule.sample_period, schedule.update_period)
    constant = len(spec.exponent_changes) == 1
    found: list[tuple[str, DesignSpec, Scenario, Stalls | None]] = [("plain", spec, plain(max(STEPS, 3 * block)), None)]
    found.append(("host access", spec, host_access(rng, spec), Stalls(5, 0.3)))
    found += [(f"random {number}", spec, random_scenario(rng, spec), Stalls(number, 0.3)) for number in range(1, 6)]
    found.append(("no commands", spec, no_commands(), None))
    found.append(("ties", spec, ties(rng, spec), None))
    found.append(("extremes", spec, extremes(rng, spec), None))
    found.append(("near limits", spec, near_limits(random.Random(f"near limits {seed}"), spec), None))
    found.append(("counters", spec, counting_to_the_end(spec), None))
    found += [(f"reset {number}", spec, resetting(rng, spec), stalls) for number, stalls in ((1, None), (2, Stalls(9, 0.3)))]
    found.append(("cut", spec, cutting(rng, spec), None))
    found.append(("discard", spec, discarding(spec), None))
    found.append(("drop a part", spec, dropping(spec), None))
    parameters = random_parameters(rng, spec)
    behind = None if constant else lambda lockstep: lockstep.reset(400, parameters)
    found.append(("large counts", spec, large_counts(behind, max(12, _reads(spec, 2))), None))
    if constant:
        found += [(f"stop {number}", spec, stopping([rng.randint(0, 60) for _ in range(3)]), None) for number in (1, 2)]
        found.append(("resume", spec, resuming((2, 2), block), None))
        reads = max(60, _reads(spec, 2)), max(150, _reads(spec, 9))
        found.append(("writes while busy", spec, writes_while_busy(spec, random_parameters(rng, spec), reads), None))
    others_of = {"other periods": other_periods(rng, spec), "long periods": long_periods(spec), "other rates": other_rates(spec)}
    for name, others in others_of.items():
        if others is not None:
            found.append((name, *others, Stalls(7, 0.3)))
    samples = 500 + 3 * block
    ready = [
        Rehearsed(name, Rehearsal(each, scenario, rng, samples, near=name == "ties"), stalls) for name, each, scenario, stalls in found
    ]
    return [*ready, Rehearsed("starving", Rehearsal(spec, starving(spec, 3), rng, 3), None)]


class Campaign:
    """Mutants of a design, the compiled core that has them all, and what became of them.

    Parameters
    ----------
    spec : LearningSpec
        The design.
    count, seed : int
        Number of mutants, and seed of their choice.
    work : Path
        Directory to work in, which keeps the results.
    induction : bool
        Whether a proof of the whole device is tried for a mutant that survives, which takes up to a minute for each.
    again : tuple of str
        Outcomes of an earlier run in the same directory that are not kept: those mutants run again.
    """

    def __init__(
        self, spec: LearningSpec, count: int, seed: int, work: Path, *, induction: bool = True, again: tuple[str, ...] = ()
    ) -> None:
        self.spec, self.work, self.top, self.induction, self.again = spec, work, Ports.of(spec).top, induction, again
        work.mkdir(parents=True, exist_ok=True)
        self._results = work / "results.jsonl"
        (work / "design.v").write_text(emit_verilog(spec), encoding="utf-8")
        self.mutants = draw(work / "design.v", self.top, count, seed, work)
        self.scenarios = rehearsed(spec)
        whole = simulated(spec, with_all(self.mutants, work), f"[{SELECT_BITS - 1}:0] {SELECT}")
        self.model = build_cxxrtl(whole, self.scenarios[0].rehearsal.ports, work / "build")
        self.unread, self.simulated_alone = (unread(self.mutants, work, probes=probes) for probes in (True, False))
        self.unchanged = [run(self.model, scenario, self._place(0, number), 0) for number, scenario in enumerate(self.scenarios)]
        for scenario, shown in zip(self.scenarios, self.unchanged, strict=True):
            wrong = verdict(scenario, shown, None)
            if wrong:
                raise AssertionError(f"{scenario.name}: without a change, the comparison must not fail: {wrong}")

    def _place(self, mutant: int, scenario: int) -> Path:
        return self.work / "runs" / f"{mutant}-{scenario}"

    def _proofs(self, mutant: Mutant) -> Path:
        return self.work / "equivalence" / str(mutant.number)

    def done(self) -> dict[int, Result]:
        """Return the results of an earlier run, by mutant; those that ``again`` names are left out."""
        lines = self._results.read_text(encoding="utf-8").splitlines() if self._results.exists() else []
        found = (Result(**json.loads(line)) for line in lines)
        return {each.number: each for each in found if self._is_known(each)}

    def _is_known(self, result: Result) -> bool:
        there = result.number <= len(self.mutants) and self.mutants[result.number - 1].place == result.place
        return there and result.outcome not in self.again

    def result(self, mutant: Mutant) -> Result:
        """Run the scenarios on a mutant until one kills it, unless nothing reads what it changes; try to prove it equivalent if none does.

        A proof that takes a second is tried after the first scenarios, which kill most mutants, and before the others.
        """
        if mutant.number in self.unread:
            return Result(mutant.number, mutant.place, "equivalent", "not read")
        differs = ""
        for number, (scenario, unchanged) in enumerate(zip(self.scenarios, self.unchanged, strict=True)):
            if number == QUICK and not differs and equal_from_state_to_state(mutant, self.work / "base.il", self._proofs(mutant)):
                return Result(mutant.number, mutant.place, "equivalent", "the logic of a cycle")
            place = self._place(mutant.number, number)
            why = verdict(scenario, run(self.model, scenario, place, mutant.number, unchanged), unchanged)
            for file in place.iterdir():
                file.unlink()
            place.rmdir()
            if why:
                return Result(mutant.number, mutant.place, "killed", scenario.name, why)
            differs = differs or (scenario.name if why == "" else "")
        if differs:
            return Result(mutant.number, mutant.place, "unseen", differs)
        by = self._proof(mutant)
        return Result(mutant.number, mutant.place, "equivalent" if by else "undecided", by)

    def _proof(self, mutant: Mutant) -> str:
        """How a mutant that shows nothing else is proved equivalent, or an empty string."""
        if mutant.number in self.simulated_alone:
            return "the probes alone read it"
        base, directory = self.work / "base.il", self._proofs(mutant)
        block = equal_from_power_up(mutant, base, directory, whole=self.induction)
        if block:
            return f"{block}, from power-up on"
        without = self.induction and find_abc() is None  # the slower proof, which knows less of what a device reaches
        return "induction" if without and equal_by_induction(mutant, self.top, base, directory) else ""

    def run(self, jobs: int, notify: Callable[[list[Result]], None] = lambda results: None) -> list[Result]:
        """Return the results of all mutants, in their order; ``jobs`` of them are run at a time.

        ``notify`` is called with the results so far, after each. An interrupt ends the run behind the mutants that are running.
        """
        known = self.done()
        left = [mutant for mutant in self.mutants if mutant.number not in known]
        with ThreadPoolExecutor(jobs) as pool, self._results.open("a", encoding="utf-8") as kept:
            try:
                for result in pool.map(self.result, left):
                    known[result.number] = result
                    print(json.dumps(vars(result)), file=kept, flush=True)
                    notify(list(known.values()))
            finally:
                pool.shutdown(cancel_futures=True)
        return [known[mutant.number] for mutant in self.mutants]


class Progress:
    """Tells on the standard error how far a campaign is: in one line of a terminal, or in a new line now and then.

    Parameters
    ----------
    total : int
        Number of mutants.
    seconds : float
        Least time between two new lines.
    """

    def __init__(self, total: int, seconds: float = 20.0) -> None:
        self._total, self._seconds, self._began = total, seconds, time.monotonic()
        self._last = self._began

    def __call__(self, results: list[Result]) -> None:
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if not terminal and now - self._last < self._seconds and len(results) < self._total:
            return
        self._last = now
        counted = Counter(result.outcome for result in results)
        outcomes = ", ".join(f"{number} {outcome}" for outcome, number in counted.items())
        line = f"{len(results)} of {self._total} mutants after {now - self._began:.0f} s: {outcomes}"
        end = "\n" if not terminal or len(results) == self._total else ""
        print(f"\r{line}" if terminal else line, end=end, file=sys.stderr, flush=True)


def _whole(least: int, most: int) -> Callable[[str], int]:
    """Reader of a number of the command line that is within limits."""

    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"it must be a whole number from {least} to {most}, not {text}")
        return int(text)

    return number


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description="Which single changes of a core does the comparison see?")
    parser.add_argument("design", help="shipped design, design file, or a small design of the tests (node, series:leaky)")
    parser.add_argument("--count", type=_whole(1, (1 << SELECT_BITS) - 1), default=200, help="number of mutants (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the choice of mutants (default 1)")
    parser.add_argument("--jobs", type=_whole(1, 64), default=2, help="mutants that run at a time (default 2)")
    parser.add_argument("--work", type=Path, help="directory that keeps the results, so that a run can go on")
    parser.add_argument("--again", action="store_true", help="with --work, run the survivors of an earlier run again")
    parser.add_argument("--quick", action="store_true", help="leave out proofs of the whole device, which take up to a minute each")
    parser.add_argument("--json", type=Path, help="file for all results")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        spec = spec_of(given.design)
    except Refusal as error:
        near = difflib.get_close_matches(given.design, SMALL, 5)
        known = f"did you mean {' or '.join(near)}?" if near else "such as node, adam, series:leaky, sparse:plain or learner."
        known = f"A small design of the tests has a name as well ({len(SMALL)} of them): {known}"
        print(f"{error}\n{known}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        again = ("unseen", "undecided") if given.again else ()
        work = given.work or Path(temporary)
        print(f"{given.design}: the scenarios are prepared, and a simulator of all mutants is compiled", file=sys.stderr, flush=True)
        campaign = Campaign(spec, given.count, given.seed, work, induction=not given.quick, again=again)
        print(f"{given.design}: {len(campaign.mutants)} mutants, {len(campaign.scenarios)} scenarios, seed {given.seed}", flush=True)
        try:
            results = campaign.run(given.jobs, Progress(len(campaign.mutants)))
        except KeyboardInterrupt:
            kept = f"The same command goes on behind the {len(campaign.done())} mutants that {work} keeps."
            lost = "Nothing is kept without --work DIR."
            print(f"\n{given.design}: interrupted. {kept if given.work else lost}", file=sys.stderr)
            return 130
    counted = Counter(result.outcome for result in results)
    for result in results:
        if result.outcome in ("unseen", "undecided"):
            print(f"{result.outcome} {result.number}: {result.place}" + (f" [{result.by}]" if result.by else ""))
    by = Counter(result.by for result in results if result.outcome == "killed")
    print(f"killed {counted['killed']} ({', '.join(f'{name} {number}' for name, number in by.most_common())})")
    print(f"equivalent {counted['equivalent']}, not decided {counted['undecided']}, shown and not seen {counted['unseen']}")
    print(f"{time.monotonic() - began:.0f} s")
    if given.json is not None:
        given.json.write_text(json.dumps([vars(result) for result in results], indent=1), encoding="utf-8")
    return int(counted["unseen"] + counted["undecided"] > 0)


if __name__ == "__main__":
    sys.exit(main())
