"""Single changes of a module of the sources: each changes one place, and those that matter are seen."""

import ast
from pathlib import Path

import pytest

from tests.mutate.source import ROOT, SourceCampaign, changes, main

MODULE = '''\
"""Docstring 1."""

LIMIT = 3


def scaled(value: int, places: int = 2) -> int:
    """Docstring 2."""
    if places < 0:
        raise ValueError(f"{0} or more")
    m.d.sync += [a.eq(1), b.eq(0)]
    return value << places
'''


def test_each_change_is_in_one_place_of_a_function():
    found = changes(MODULE)
    places = [change.place for change in found]
    assert places == [
        "line 10: 0 -> 1",
        "line 10: 1 -> 0",
        "line 10: 1 -> 2",
        "line 10: [a.eq(1), b.eq(0)] -> [a.eq(1)]",
        "line 10: [a.eq(1), b.eq(0)] -> [b.eq(0)]",
        "line 10: m.d.sync += [a.eq(1), b.eq(0)] -> pass",
        "line 11: value << places -> value >> places",
        "line 8: 0 -> 1",
        "line 8: if places < 0: raise ValueError(f'{0} or more') -> if not places < 0: raise ValueError(f'{0} or more')",
        "line 8: places < 0 -> places <= 0",
    ]
    before = ast.unparse(ast.parse(MODULE)).splitlines()
    for change in found:
        assert 1 <= sum(line not in before for line in change.text.splitlines()) + (len(change.text.splitlines()) < len(before)) <= 2


def test_a_module_that_is_not_there_is_refused(capsys):
    assert main(["rtl_gen/nothing.py"]) == 2
    assert main(["sim/ports.py"]) == 2
    assert capsys.readouterr().err.count("Module must be a file of rtl_gen or python_ref") == 2


def outcomes(module: str, wanted: dict[str, str], tests: list[str], directory: Path) -> None:
    """Fail unless each change of a module, named by its place without the line, ends as it should."""
    campaign = SourceCampaign(Path(module), ["node"], tests, directory)
    every = {change.place.split(": ", 1)[1]: change for change in changes((ROOT / module).read_text(encoding="utf-8"))}
    for place, outcome in wanted.items():
        result = campaign.result(1, every[place])
        assert f"{result.outcome} {result.by}".strip() == outcome, result


@pytest.mark.slow
def test_changes_of_the_hardware(tmp_path):
    wanted = {
        "slot != 1 -> slot == 1": "killed node: plain",
        "counter.most * self.rotation >= 1 << 32 -> counter.most * self.rotation > 1 << 32": "no change",
    }
    outcomes("rtl_gen/registers.py", wanted, [], tmp_path)


@pytest.mark.long
@pytest.mark.slow
def test_a_change_that_costs_cycles_alone(tmp_path):
    """All values are the same; the core is busy for longer, since it takes a cycle more to say that a pass has ended."""
    module = Path("rtl_gen/presentation/array.py")
    every = changes((ROOT / module).read_text(encoding="utf-8"))
    (change,) = (each for each in every if "slots[self.learned_latency - 0]" in each.text)
    result = SourceCampaign(module, ["node"], [], tmp_path).result(1, change)
    assert (result.outcome, result.by) == ("killed", "node: plain")
    assert "busy cycles, not" in result.why


@pytest.mark.slow
def test_changes_of_what_the_model_shares(tmp_path):
    """Model and hardware agree; a test with an oracle of its own sees the change."""
    wanted = {"rest >= half -> rest > half": "killed tests"}
    outcomes("python_ref/spec/number.py", wanted, ["tests/python_ref/test_number.py"], tmp_path)
