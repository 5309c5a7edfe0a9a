"""The soak: a share of it in the slow suite, an hour of it by itself; and that it stops at a difference, and goes on after an interrupt."""

from __future__ import annotations

import itertools
import json
import random
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from python_ref.spec.learner import LearnerSpec
from python_ref.spec.perturbation import LfsrCode
from sim.error import SimulationError
from tests.soak import __main__ as soak_command
from tests.soak import runs
from tests.soak.__main__ import Log, case_of, main, table, with_table
from tests.soak.designs import KINDS, Limits, draw
from tests.soak.runs import SIMULATORS, Case, Result, attempt, soak
from tests.support.faults import FAULTS, planted
from tests.support.marks import long_unless

HOUR = 3600.0
QUICK = ("node", "learner")
"""Kinds of which the slow suite runs a design."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_design_follows_from_its_seed_and_keeps_the_limits(kind: str) -> None:
    limits = Limits(6, 3)
    one, again = (draw(random.Random(f"{kind} 1"), kind, limits) for _ in range(2))
    assert one == again and one.digest == again.digest
    others = [draw(random.Random(f"{kind} {number}"), kind, limits) for number in range(2, 6)]
    assert any(other != one for other in others)
    for spec in (one, *others):
        assert spec.hardware.lanes <= limits.lanes
        sizes = (spec.quantities // 4,) if isinstance(spec, LearnerSpec) else spec.network.sizes
        assert max(sizes) <= limits.size


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_the_kinds_take_turns(simulator: str) -> None:
    count = len(KINDS) - (simulator != "cxxrtl")
    drawn = Counter(case_of(simulator, 1, number).kind for number in range(2 * count))
    assert drawn == dict.fromkeys(drawn, 2) and len(drawn) == count


def result(number: int, values: int = 1000, why: str = "") -> Result:
    found = Result("node", "cxxrtl", number, 4, "1-1, 1 lanes", steps=3, cycles=50, cpu={"build": 2.0, "simulation": 3.0})
    found.differ(values, 0, why)
    return found


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Designs that the command runs, which are stand-ins: number 2 differs if it runs for the first time."""
    ran: list[int] = []

    def stand_in(case: Case, directory: Path, values: int | None) -> Result:
        directory.mkdir(parents=True, exist_ok=True)
        ran.append(case.number)
        return result(case.number, why="a value differs" if case.number == 2 and ran.count(2) == 1 else "")

    monkeypatch.setattr(soak_command, "attempt", stand_in)
    monkeypatch.setattr(soak_command, "ProcessPoolExecutor", lambda jobs, mp_context: ThreadPoolExecutor(jobs))
    return ran


def test_it_ends_at_a_difference_and_says_how_to_repeat_it(attempts: list[int], tmp_path: Path, capsys) -> None:
    given = ["--values", "5000", "--most", "2e3", "--seed", "4", "--work", str(tmp_path)]
    assert main(given) == 1
    shown = capsys.readouterr().out
    assert attempts == [0, 1, 2] and "DIFFERENT: node 1-1, 1 lanes: a value differs" in shown
    command = re.search(r"Repeat it with: python -m tests\.soak (.*)", shown)
    assert command is not None and command[1] == "--simulator cxxrtl --seed 4 --only 2 --most 2000 --work DIR"
    assert [path.name for path in (tmp_path / "designs").iterdir()] == ["cxxrtl-4-2"], "the files of the design that differs are kept"
    assert main(["--report", *given]) == 1 and attempts == [0, 1, 2]


def test_it_goes_on_where_it_was_interrupted(attempts: list[int], tmp_path: Path, capsys) -> None:
    log = tmp_path / "cxxrtl-4.jsonl"
    whole = "".join(json.dumps(vars(result(number))) + "\n" for number in range(3))
    log.write_text(whole[:-20], encoding="utf-8")
    assert sorted(Log(log).results) == [0, 1], "a line that was cut is none"
    assert main(["--values", "5000", "--seed", "4", "--work", str(tmp_path)]) == 1
    assert attempts == [2]
    assert main(["--values", "5000", "--seed", "4", "--work", str(tmp_path)]) == 0
    assert attempts == [2, 2, 3, 4], "what differed runs again"
    assert "| all |  | 5 | 15 | 250 | 5,000 | 0 | 25 | 15 |" in capsys.readouterr().out
    assert main(["--only", "7", "--seed", "4", "--work", str(tmp_path)]) == 0 and attempts[-1] == 7


def test_an_interrupt_leaves_what_was_done(attempts: list[int], tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = soak_command.attempt

    def interrupted(case: Case, directory: Path, values: int | None) -> Result:
        if case.number == 1:
            raise KeyboardInterrupt
        return stand_in(case, directory, values)

    monkeypatch.setattr(soak_command, "attempt", interrupted)
    assert main(["--values", "5000", "--seed", "4", "--work", str(tmp_path)]) == 130
    assert list(Log(tmp_path / "cxxrtl-4.jsonl").results) == [0]
    assert "Interrupted" in capsys.readouterr().out


def test_the_table_counts_by_kind_and_simulator() -> None:
    found = [result(0), result(1), Result("weight", "cxxrtl", 3, 4, values=5), Result("bus", "icarus", 2, 4, values=30)]
    rows = [row.strip("| ").split(" | ") for row in table(found).splitlines()]
    assert [row[:6] for row in rows[2:]] == [
        ["node", "cxxrtl", "2", "6", "100", "2,000"],
        ["weight", "cxxrtl", "1", "0", "0", "5"],
        ["all", "cxxrtl", "3", "6", "100", "2,005"],
        ["bus", "icarus", "1", "0", "0", "30"],
        ["all", "", "4", "6", "100", "2,035"],
    ]


def test_a_report_of_all_logs_goes_into_a_page(tmp_path: Path, capsys) -> None:
    for simulator, seed, values in (("cxxrtl", 4, 1000), ("verilator", 5, 70)):
        Log(tmp_path / f"{simulator}-{seed}.jsonl").add(Result("node", simulator, 0, seed, values=values))
    page = tmp_path / "page.md"
    given = ["--report", "--work", str(tmp_path), "--page", str(page)]
    page.write_text("no table\n", encoding="utf-8")
    assert main(given) == 2 and page.read_text(encoding="utf-8") == "no table\n"
    around = "# Soak\n\n| other | table |\n|---|---|\n\n{}\n\nThe end\n"
    page.write_text(around.format(table([result(0)])), encoding="utf-8")
    capsys.readouterr()
    assert main(given) == 0
    rows = capsys.readouterr().out.strip()
    assert "| node | cxxrtl | 1 | 0 | 0 | 1,000 |" in rows and "| node | verilator | 1 | 0 | 0 | 70 |" in rows
    assert page.read_text(encoding="utf-8") == around.format(rows)
    Log(tmp_path / "netlist-6.jsonl").add(Result("node", "netlist", 9, 6, differences=1, why="a value differs"))
    assert main(given) == 1
    assert "Repeat it with: python -m tests.soak --simulator netlist --seed 6 --only 9 --work DIR" in capsys.readouterr().out
    assert main(["--report", "--work", str(tmp_path / "nothing")]) == 2 and not (tmp_path / "nothing").exists()
    assert "has no log" in capsys.readouterr().err


def test_the_page_of_results_has_a_table_that_a_report_replaces() -> None:
    page = Path(__file__).parents[1].joinpath("docs", "results", "soak.md").read_text(encoding="utf-8")
    assert table([result(0)]) in with_table(page, table([result(0)]))


@pytest.mark.parametrize("given", [["--values", "0"], ["--jobs", "0"], ["--most", "nan"], ["--simulator", "icarus"], ["--page", "page.md"]])
def test_what_cannot_be_is_refused(given: list[str], tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*given, "--work", str(tmp_path / "new")])
    assert given[0] in capsys.readouterr().err and not (tmp_path / "new").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=long_unless(kind in QUICK)) for kind in KINDS])
def test_a_share_of_a_soak(kind: str, tmp_path: Path) -> None:
    found = soak(Case("cxxrtl", kind, 5, 0), tmp_path / "design", 100_000)
    assert found.differences == 0, found.why
    assert found.values > (100 if kind == "bus" else 5_000)


@pytest.mark.slow
@pytest.mark.parametrize("simulator", [pytest.param(name, marks=long_unless(name == "verilator")) for name in ("verilator", "netlist")])
def test_a_share_of_a_soak_in_verilator(simulator: str, tmp_path: Path) -> None:
    found = soak(Case(simulator, "recurrent, weight", 5, 0), tmp_path / "design", 50_000)
    assert found.differences == 0, found.why
    assert found.values > 40_000 and found.simulator == simulator


@pytest.mark.slow
@pytest.mark.parametrize("simulator", [pytest.param(name, marks=long_unless(name == "cxxrtl")) for name in SIMULATORS])
def test_a_fault_of_the_hardware_is_seen(simulator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the generator of random signs, so that the design has to have one."""
    planted(next(fault for fault in FAULTS if fault.name == "another trinomial"), monkeypatch.setattr)
    cases = (Case(simulator, "weight", 5, number) for number in itertools.count())
    case = next(each for each in cases if isinstance(draw(each.rng, each.kind, SIMULATORS[simulator].limits).code, LfsrCode))
    found = attempt(case, tmp_path / "design", 50_000)
    assert found.differences > 0 and re.match(r"step \d+, \w+\[", found.why), found.why


def test_an_error_of_a_tool_is_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise SimulationError("the compiler refused it", "Look at its log.")

    monkeypatch.setattr(runs, "_soak_network", fails)
    found = attempt(Case("cxxrtl", "node", 5, 0), tmp_path / "design", 1)
    assert found.differences == 1 and "the compiler refused it" in found.why


@pytest.mark.long
@pytest.mark.slow
def test_an_hour_of_a_soak(tmp_path: Path) -> None:
    """Designs of one seed after the other, for an hour; the command ``python -m tests.soak`` repeats one that differs."""
    until, log = time.monotonic() + HOUR, Log(tmp_path / "log.jsonl")
    for number in itertools.count():
        if time.monotonic() > until:
            break
        found = soak(case_of("cxxrtl", 18, number), tmp_path / "design")
        log.add(found)
        assert found.differences == 0, f"{found.why}: repeat it with --simulator cxxrtl --seed 18 --only {number}"
    print(table(log.results.values()))
