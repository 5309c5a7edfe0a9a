"""Sweeps of a learner: each run trains a chip whose process has just begun, and lanes share their runs."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

import mgd_hw
from mgd_hw.sweeps import sweep as sweep_module
from python_ref.spec.error import Refusal
from tests.support.inline_executor import InlineExecutor

CHIP = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"costs": [sum((value - 0.5) ** 2 for value in asked["parameters"])] * len(asked["inputs"])}), flush=True)
"""
"""A process that measures a bowl."""


@pytest.fixture
def design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sweep_module, "executor_for", lambda *_: InlineExecutor())
    (tmp_path / "chip.py").write_text(CHIP, encoding="utf-8")
    path = tmp_path / "bowl.toml"
    command = f"'{sys.executable}' chip.py"
    path.write_text(f'[network]\nexternal = 3\n[schedule]\nlearning_rate = -4\n[external]\ncommand = "{command}"\n', encoding="utf-8")
    return path


def test_runs_are_shared_by_lanes_and_the_cost_chooses(design: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    vary = {"schedule.learning_rate": [-2, -9], "hardware.lanes": [1, 3]}
    found = mgd_hw.sweep(design, vary, seeds=2, steps=60, out=out, best="", minimize="cost")
    assert (found.combinations, found.runs, found.finished_now) == (4, 8, 4)
    costs = {tuple(each.vary.values()): each.figures["cost"] for each in found.found}
    assert costs[-2, 1] == costs[-2, 3] < costs[-9, 1] == costs[-9, 3]
    assert found.best is not None and found.best.found.vary["schedule.learning_rate"] == -2
    alone = mgd_hw.compare(design, seeds=1, steps=60, out=tmp_path / "alone")
    with (out / "rows.csv").open(encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    assert float(first["fixed_cost"]) != float(first["float_cost"]) and first["accuracy"] == ""
    at_file = mgd_hw.sweep(design, {"schedule.learning_rate": [-4]}, steps=60, out=tmp_path / "one")
    (one,) = at_file.found
    assert (one.figures["fixed_cost"], one.figures["float_cost"]) == (alone.fixed.cost, alone.float_mgd.cost)
    assert mgd_hw.sweep(None, out=out, minimize="cost").best.found.vary == found.best.found.vary


@pytest.mark.parametrize(
    ("options", "key", "said"),
    [
        ({"backprop": True}, "--backprop", "nothing is known of a network outside but its cost"),
        ({"validate": True}, "--validate", "has no samples of its own"),
    ],
)
def test_what_a_learner_has_not_is_refused(design: Path, tmp_path: Path, options: dict, key: str, said: str) -> None:
    with pytest.raises(Refusal, match=said) as caught:
        mgd_hw.sweep(design, {"schedule.learning_rate": [-2]}, steps=10, out=tmp_path / "out", **options)
    assert caught.value.key == key and not (tmp_path / "out").exists()


def test_a_learner_without_a_chip_is_refused(design: Path, tmp_path: Path) -> None:
    design.write_text("[network]\nexternal = 3\n[schedule]\nlearning_rate = -4\n", encoding="utf-8")
    with pytest.raises(Refusal, match="nothing that answers the learner with costs"):
        mgd_hw.sweep(design, {"schedule.learning_rate": [-2]}, steps=10, out=tmp_path / "out")
