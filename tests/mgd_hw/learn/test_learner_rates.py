"""Runs of a learner that tell whether its rate is too large, on chips in this process, and on those of design files."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mgd_hw
from mgd_hw.chip import AnalogChip
from mgd_hw.design.external import ExternalDesign
from mgd_hw.design.reader import load_any, parse_any
from mgd_hw.hardware.outside import learner_run
from mgd_hw.learn import learner_rates
from mgd_hw.learn.diagnose_learner import LearnerDiagnosis
from mgd_hw.learn.learner_rates import RateRuns, rate_runs

NODES = """
name = "nodes"
network = {external = 5}
perturbation = {kind = "node", code = "sequential", amplitude = "2^-5"}
schedule = {difference = "two-sided", learning_rate = -3, sample_period = 5, update_period = 5}
[external]
command = "python -m mgd_hw.chip --nodes --hidden 4 --gain 0.1 --noise 0.01"
samples = 4
"""
FLAT = np.zeros(8)


@pytest.mark.parametrize(
    ("ends", "too_large"),
    [
        ({}, None),
        ({-3: FLAT}, None),
        ({-3: FLAT + 0.5, -5: FLAT + 0.1}, True),
        ({-3: FLAT + 0.11, -5: FLAT + 0.1}, False),  # by less than a tenth of what the better one has changed
        ({-3: FLAT - 4.8, -5: FLAT - 5.0}, False),  # the same, of a cost with another offset
        ({-3: FLAT - 3.0, -5: FLAT - 5.0}, True),
        ({-3: np.array([9.0, 0, 0, 0, 0, 0, 0, 0]), -5: FLAT}, False),  # a mean of 1.1 that a single part makes
        ({-3: FLAT + 0.1, -5: FLAT + 0.5, -7: FLAT + 0.9}, False),
        ({-3: FLAT + 1, -5: FLAT + 1, -7: FLAT + 0.1}, True),
    ],
)
def test_ends_of_runs_are_judged(ends: dict[int, np.ndarray], too_large: bool | None) -> None:
    assert RateRuns(1.0, ends).too_large is too_large


class Bits:
    """A virtual chip in this process, which takes raw words."""

    def __init__(self, design: ExternalDesign, **given: Any) -> None:
        self.spec, self.chip = design.spec, AnalogChip(hidden=4, noise=0.01, **given)

    def __call__(self, words: np.ndarray, sample: int, count: int) -> list[int]:
        form = self.spec.formats.cost
        found = np.rint(self.chip.costs(self.spec.formats.weight.to_real(words), sample, count) * 2.0**form.fraction_bits)
        return [int(value) for value in np.clip(found, form.min, form.max)]

    def apply(self, errors: np.ndarray) -> None:
        self.chip.apply(self.spec.node_error_format.to_real(errors))


def test_a_chip_that_keeps_its_weights_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run would begin where the first has ended."""
    monkeypatch.setattr(learner_rates, "RATE_STEPS", 400)
    design = parse_any(NODES, "nodes.toml")
    assert isinstance(design, ExternalDesign)
    start, kept, noted = learner_run(design, 1).parameters, Bits(design, nodes=True), list[int]()
    opened: Any = lambda: nullcontext(kept)  # noqa: E731
    assert rate_runs(design.spec, start, opened, noted.append).ends == {} and noted == [-3, -5]
    opened = lambda: nullcontext(Bits(design, nodes=True))  # noqa: E731
    assert sorted(rate_runs(design.spec, start, opened, noted.append).ends, reverse=True)[:3] == [-3, -5, -7]


def test_long_updates_are_not_judged() -> None:
    design = load_any("chip")
    assert isinstance(design, ExternalDesign)
    spec = replace(design.spec, schedule=replace(design.spec.schedule, update_period=1_000))
    assert rate_runs(spec, learner_run(design, 1).parameters, pytest.fail, pytest.fail).ends == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "rate", "runs", "good"),
    [
        ("chip", -6, 0, True),
        ("chip", -4, 3, True),
        pytest.param("chip", 0, 4, False, marks=pytest.mark.long),
        pytest.param(NODES, -3, 3, True, marks=pytest.mark.long),
        pytest.param(NODES, 2, 3, False, marks=pytest.mark.long),
    ],
    ids=["the shipped chip", "single updates raise its cost", "far too high", "node currents", "node currents, far too high"],
)
def test_a_rate_is_judged_by_runs(text: str, rate: int, runs: int, good: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 2^-4 an update of `chip` raises the mean cost by 0.11 at first, and a run learns faster than at any lower rate."""
    monkeypatch.setattr(learner_rates, "RATE_STEPS", 1_500)
    design = load_any("chip") if text == "chip" else parse_any(text, tmp_path / "nodes.toml")
    assert isinstance(design, ExternalDesign)
    schedule = replace(design.spec.schedule, learning_rate=((0, rate),))
    found = mgd_hw.diagnose(replace(design, spec=replace(design.spec, schedule=schedule)), out=tmp_path)
    assert isinstance(found, LearnerDiagnosis)
    assert len(found.run_costs) >= runs and (max(found.run_costs, default=rate) == rate)
    about = [finding for finding in found.findings if finding.key == "schedule.learning_rate"]
    assert not about if good else "is too large: " in about[0].message and "a short run ends at a mean cost of" in about[0].message
    if text == "chip" and rate == -4:
        assert found.loss > 0.05 > found.gain and found.good
