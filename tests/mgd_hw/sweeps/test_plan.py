"""The plan checks all combinations before the first run, and the key of a job depends on everything that its result depends on."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from mgd_hw.design.description import Design
from mgd_hw.design.reader import load, parse
from mgd_hw.sweeps.plan import MODELS, Place, Plan, make_plan
from python_ref.spec.error import Refusal

PLACE = Place("ice40-up5k", "icebreaker", 30.0, False)


def plan(vary: dict[str, list[Any]], design: Design | str = "xor", **options: Any) -> Plan:
    given = {"seeds": 1, "steps": 10, "models": MODELS[:2], "validate": False, "places": (PLACE,)} | options
    return make_plan(load(design) if isinstance(design, str) else design, vary, **given)


def keys(of: Plan) -> set[str]:
    return {job.key for _, job in of.jobs()}


def test_every_combination_is_a_design() -> None:
    made = plan({"formats.weight": ["SQ4.10", "SQ4.12"], "hardware.lanes": [1, 2, 4]}, seeds=2)
    assert (len(made.combinations), made.runs, made.refused) == (6, 12, ())
    designs = [pickle.loads(each.design) for each in made.combinations]
    assert [str(each.spec.formats.weight) for each in designs] == ["SQ4.10"] * 3 + ["SQ4.12"] * 3
    assert [each.spec.hardware.lanes for each in designs] == [1, 2, 4, 1, 2, 4]
    kinds = [(job.kind, each.number, job.number) for each, job in made.jobs()]
    assert kinds[:12] == [("train", number, seed) for seed in range(2) for number in range(6)]
    assert kinds[12:] == [("fit", number, 0) for number in range(6)]
    assert len(keys(made)) == 18


def test_what_a_design_refuses_is_told_and_the_rest_runs() -> None:
    made = plan({"formats.weight": ["SQ4.4", "SQ4.12"], "perturbation.amplitude": ["2^-5", "2^-4"]})
    assert [each.values for each in made.refused] == [("SQ4.4", "2^-5")]
    assert "below the last place of formats.weight" in str(made.refused[0].refused)
    assert (len(made.allowed), made.runs) == (3, 3)
    with pytest.raises(Refusal, match=r"below the last place of formats\.weight"):
        plan({"formats.weight": ["SQ4.4"]})


def test_data_that_do_not_fit_are_found_before(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n % 7},{n % 2}\n" for n in range(20))
    (tmp_path / "mine.csv").write_text("a,b,class\n" + rows, encoding="utf-8")
    design = parse('[data]\npath = "mine.csv"\n[network]\nlayers = [2, 3, 1]\n', tmp_path / "d.toml")
    made = plan({"network.layers": [[2, 3, 1], [3, 3, 1]]}, design)
    assert [each.values for each in made.refused] == [([3, 3, 1],)]
    before = keys(made)
    assert keys(plan({"network.layers": [[2, 3, 1], [3, 3, 1]]}, design)) == before
    (tmp_path / "mine.csv").write_text("a,b,class\n" + rows + "9,9,1\n", encoding="utf-8")
    after = keys(plan({"network.layers": [[2, 3, 1], [3, 3, 1]]}, design))
    assert len(before & after) == 1, "with other data, only the job of the core keeps its key"


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 11},
        {"models": ("fixed",)},
        {"validate": True},
        {"vary": {"network.scale": [2.0]}},
        {"vary": {"schedule.learning_rate": [-6]}},
        {"vary": {"data.shuffle": [True]}},
        {"vary": {"optimizer.name": ["adam"]}},
    ],
)
def test_a_run_that_is_another_has_another_key(change: dict[str, Any]) -> None:
    text = load("digits").text.replace("learning_rate = [[0, -5], [420_000, -6], [630_000, -7]]", "learning_rate = -5")
    design = parse(text, load("digits").path)
    options = {name: value for name, value in change.items() if name != "vary"}
    train = {job.key for _, job in plan({"network.scale": [1.0]}, design).jobs() if job.kind == "train"}
    other = {job.key for _, job in plan(change.get("vary", {"network.scale": [1.0]}), design, **options).jobs() if job.kind == "train"}
    assert len(train) == len(other) == 1
    assert not train & other


def test_other_comments_and_more_seeds_change_no_key() -> None:
    design = load("xor")
    few, commented = plan({}, seeds=2), plan({}, parse("# more\n" + design.text, design.path), seeds=2)
    assert keys(few) == keys(commented)
    assert keys(few) < keys(plan({}, seeds=3))


def test_rows_of_another_version_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(plan({}))
    monkeypatch.setattr("mgd_hw.sweeps.jobs.version_of", lambda _: "9.9")
    assert keys(plan({})).isdisjoint(before)


def test_a_core_that_several_share_is_one_job() -> None:
    made = plan({"network.seed": [1, 2], "schedule.update_period": [1, 4]}, seeds=3)
    cores = [job.key for _, job in made.jobs() if job.kind == "fit"]
    assert (len(cores), len(set(cores))) == (4, 2)


def test_node_perturbation_is_trained_once_for_all_lanes() -> None:
    """Its runs do not depend on the lanes; their costs do, and so do the runs of weight perturbation."""
    node = parse('data.task = "xor"\nperturbation.kind = "node"\n', "node.toml")
    weight = parse('data.task = "xor"\nperturbation.kind = "weight"\n', "weight.toml")
    vary = {"hardware.lanes": [1, 2, 4], "network.scale": [0.5, 1.0]}

    def trained(design: Design, **options: Any) -> int:
        return len({job.key for _, job in plan(vary, design, seeds=2, **options).jobs() if job.kind == "train"})

    assert (trained(node), trained(weight)) == (2 * 2, 2 * 6)
    assert trained(node, models=MODELS) == 2 * 6, "the energy of back-propagation depends on the lanes"
    assert trained(parse(node.text + 'optimizer.name = "adam"\n', "node.toml"), models=("float",)) == 2 * 6, "software only"
    made = plan(vary, node)
    assert len({job.key for _, job in made.jobs() if job.kind == "fit"}) == 3
    shared = made.shared()
    assert set(shared) == {str(each.number) for each in made.allowed}
    assert [shared[str(each.number)]["about"]["vary"]["hardware.lanes"] for each in made.allowed] == [1, 1, 2, 2, 4, 4]
    cycles = [shared[str(each.number)]["columns"]["fixed_cycles"] for each in made.allowed]
    assert cycles == sorted(cycles, reverse=True) and len(set(cycles)) == 3
    assert not plan({"network.scale": [0.5, 1.0]}, node).shared() and not plan(vary, weight).shared()


@pytest.mark.parametrize(
    ("vary", "options", "said"),
    [
        ({"compare.seeds": [1, 2]}, {}, "all combinations have the same number of runs"),
        ({"compare.steps": [1, 2]}, {}, "--steps sets the same number for all runs"),
        ({"perturbation.seed": [1, 2]}, {"seeds": 2}, "--seeds sets it for all runs but the first"),
        ({"compare.backprop_rate": [0.1, 0.2]}, {}, "it affects back-propagation alone"),
        ({"data.validation_fraction": [0.1, 0.2]}, {}, "no validation samples are kept"),
        ({}, {"seeds": 0}, "it must be from 1 to"),
    ],
)
def test_rows_that_would_say_nothing_are_refused(vary: dict[str, list[Any]], options: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal, match=said):
        plan(vary, **options)


def test_the_same_keys_run_where_they_mean_something() -> None:
    assert {each.steps for each in plan({"compare.steps": [1, 2]}, steps=None).allowed} == {1, 2}
    assert len(plan({"perturbation.seed": [1, 2]}).allowed) == 2
    assert len(plan({"compare.backprop_rate": [0.1, 0.2]}, models=MODELS).allowed) == 2
    assert len(plan({"data.validation_fraction": [0.1, 0.2]}, "digits", validate=True).allowed) == 2
