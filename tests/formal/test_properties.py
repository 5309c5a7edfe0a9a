"""Each property holds, is not vacuous, and is broken by each of its planted faults; and what is said of one that is not so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In

from tests.formal import __main__ as command
from tests.formal.harness import Bench, Bounded, Induction, Property, always, control, examine, proved, reachable
from tests.formal.properties import PROPERTIES
from tests.support.marks import LONG, slow_unless

QUICK = ("end of all streams", "buffer of 2 samples of 2 words")
"""Properties that are proved every day."""
SLOWEST = (
    *("bytes on a line of 4 cycles a bit", "bytes on a line of 5 cycles a bit", "signs, 130 lanes"),
    *("vectors, one-sided and held", "updates of m and v, 2-1-1 on 1 lanes", "steps of presentations, probes"),
    *("vectors, two-sided and held", "updates of m, 2-1-1 on 1 lanes", "steps of presentations, two_sided_probes"),
    *("applied errors, θ, 2-3-1 on 2 lanes", "applied errors, G, 2-2-1 on 1 lanes", "applied errors, m, 2-2-1 on 1 lanes"),
    *("applied errors, θ just in time, 2-3-1 on 2 lanes", "applied errors, G just in time, 2-2-1 on 1 lanes"),
)
"""Properties whose like is proved for fewer cycles or lanes, or for another design, as well."""


class Ring(Bench):
    """A count from 3 to 9 and back to 3, which never has the value ``never``."""

    def __init__(self, never: int):
        self.never = never
        super().__init__({"i": In(1)})

    def state(self, m: Module) -> None:
        count = Signal(4, init=3)
        with m.If(self.i):
            m.d.sync += count.eq(Mux(count == 9, 3, count + 1))
        always(m, count != self.never)
        self.reach(m, count == 5)


def ring(never: int, how: Induction | Bounded, reach: int = 3) -> Property:
    return Property("ring", "none", lambda: Ring(never), how, reach, ())


def test_names_are_unique_and_each_property_has_controls():
    assert len({each.name for each in PROPERTIES}) == len(PROPERTIES) > 25
    assert all(len(each.controls) > 1 for each in PROPERTIES)
    assert not any(isinstance(each.how, Bounded) for each in PROPERTIES), "all are proved for any number of cycles"
    assert set(QUICK) < {each.name for each in PROPERTIES}


def test_the_page_has_the_blocks_of_every_property_and_how_each_is_proved():
    """A bounded property is never said to be proved by induction."""
    page = (Path(__file__).parents[2] / "docs/design/verification.md").read_text(encoding="utf-8")
    section = page.partition("## Properties by proof\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")]
    written = {row[0].strip("`"): set(row[2].split(", ")) for row in rows}
    kinds: dict[str, set[str]] = {}
    for each in PROPERTIES:
        kinds.setdefault(each.block, set()).add(str(each.how).partition(",")[0])
    assert written == kinds


@pytest.mark.parametrize(
    "given",
    [pytest.param(each, id=each.name, marks=LONG if each.name in SLOWEST else slow_unless(each.name in QUICK)) for each in PROPERTIES],
)
def test_a_property_holds_and_its_faults_break_it(given):
    outcome = examine(given)
    assert outcome.holds, "not proved"
    assert outcome.reached, f"vacuous within {given.reach} cycles"
    assert not outcome.missed and len(outcome.refuted) == len(given.controls), outcome.missed
    assert outcome.good


def test_the_solver_is_asked_what_the_table_says(tmp_path: Path):
    """A count that is never 11: not within one step of induction, since from 10 on there is one, but within more; a bound proves less."""
    assert proved(ring(11, Induction(3)), tmp_path)
    assert not proved(ring(11, Induction(1)), tmp_path)
    assert not proved(ring(3, Induction(8)), tmp_path), "a value at the start"
    assert proved(ring(6, Bounded(3)), tmp_path) and not proved(ring(6, Bounded(4)), tmp_path)
    assert not proved(ring(6, Induction(8)), tmp_path)
    assert reachable(ring(11, Induction(3), 3), tmp_path) and not reachable(ring(11, Induction(3), 2), tmp_path)


def test_a_fault_that_breaks_nothing_is_named():
    """The rest of the property stays as it is, and the source is as before."""
    given = next(each for each in PROPERTIES if each.name == QUICK[0])
    harmless = control("nothing", "learner.streams:PassEnd.elaborate", "ended | self.ends).all()", "self.ends | ended).all()", 4)
    outcome = examine(replace(given, controls=(harmless,)))
    assert outcome.holds and outcome.missed == ("nothing",) and not outcome.good
    assert "NOT BROKEN by nothing" in command.described(given, outcome)


def test_the_command_fails_where_a_property_does(monkeypatch, capsys):
    given = next(each for each in PROPERTIES if each.name == QUICK[0])
    monkeypatch.setattr(command, "PROPERTIES", (replace(given, reach=1, name="too early"), ring(5, Induction(3))))
    assert command.main([]) == 1
    table = capsys.readouterr().out
    assert "VACUOUS within 1 cycles" in table and "NOT PROVED" in table and "2 of 2 FAILED" in table
    assert command.main(["ring", "--list"]) == 0 and "0 controls" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        command.main(["nothing of that name"])
    assert ended.value.code == 2
