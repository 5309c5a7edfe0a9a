"""Float MGD and a learner's bits on the same chip."""

import numpy as np
import pytest

import mgd_hw
from mgd_hw.design.reader import parse_any
from mgd_hw.learn.compare_learner import LearnerComparison
from mgd_hw.learn.parameters import read_parameters, write_parameters
from python_ref.spec.error import Refusal

CHIP = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    (k, *_), *_ = asked["inputs"]
    cost = sum((value - (0.25 if k else 0.75)) ** 2 for value in asked["parameters"])
    print(json.dumps({"costs": [cost] * len(asked["inputs"])}), flush=True)
"""
"""A cost with its least mean at 1/2 for each of two parameters, where it is 1/8 for either sample."""

DESIGN = """
name = "bowl"
[network]
external = 2
[perturbation]
amplitude = "2^-4"
[schedule]
learning_rate = -5
difference = "two-sided"
[external]
command = "python bowl.py"
samples = 2
average = 1
right_below = 0.3
"""


@pytest.fixture
def design(tmp_path):
    (tmp_path / "bowl.py").write_text(CHIP, encoding="utf-8")
    return parse_any(DESIGN, tmp_path / "bowl.toml")


def test_both_reach_the_minimum(design, tmp_path):
    found = mgd_hw.compare(design, steps=200, seeds=2, out=tmp_path / "out", save=tmp_path / "learned.npz")
    assert isinstance(found, LearnerComparison)
    for runs in (found.float_mgd, found.fixed):
        assert len(runs.costs) == len(runs.curves) == 2
        assert max(runs.costs) < 0.16 < runs.curves[0][0] and runs.accuracy == 1.0
    assert found.float_mgd.costs != found.fixed.costs
    assert (tmp_path / "out" / "compare.json").exists() and (tmp_path / "out" / "learning.png").exists()
    learned = read_parameters(design.spec, tmp_path / "learned.npz")
    assert abs(learned - 0.5).max() < 0.15


def test_both_start_where_they_are_told(design, tmp_path):
    write_parameters(design.spec, np.array([3.0, 3.0]), tmp_path / "start.npz")
    found = mgd_hw.compare(design, steps=1, seeds=1, start=tmp_path / "start.npz", out=tmp_path)
    assert found.float_mgd.cost > 5 < found.fixed.cost


@pytest.mark.parametrize("option", [{"validate": True}, {"board": "icebreaker"}, {"until": 0.9}])
def test_what_a_learner_has_not_is_refused(design, option):
    with pytest.raises(Refusal, match="has no samples of its own") as caught:
        mgd_hw.compare(design, **option)
    assert caught.value.key == f"--{next(iter(option))}"
