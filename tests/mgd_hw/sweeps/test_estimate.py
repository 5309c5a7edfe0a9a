"""Estimates are extrapolated by size and steps from short runs; no run of full length is timed."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import pytest

from mgd_hw.common.progress import NullProgress
from mgd_hw.design.reader import load
from mgd_hw.sweeps import estimate as module
from mgd_hw.sweeps.estimate import Estimate, estimate, shown
from mgd_hw.sweeps.jobs import DONE, FAILED, Job, Row
from mgd_hw.sweeps.plan import Plan, make_plan


def plan(models: Sequence[str] = ("fixed", "float"), steps: int = 1_000_000) -> Plan:
    vary = {"network.layers": [[2, 2, 1], [2, 8, 1], [2, 20, 1], [2, 40, 1]]}
    return make_plan(load("xor"), vary, seeds=2, steps=steps, models=models, validate=False, places=())


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Simulate a machine on which a run takes 1 s, plus 1 ms per step and 10 parameters, and an epoch 2 s; return the timed jobs."""
    now, asked = [0.0], []

    def run_jobs(jobs: Sequence[Job], version: str) -> list[Row]:
        (job,) = jobs
        asked.append(job)
        design = pickle.loads(job.design)
        if "backprop" in job.models:
            now[0] += 2.0 * design.compare.backprop_epochs
        else:
            now[0] += 1.0 + 1e-4 * design.spec.network.n_parameters * job.steps
        return [Row("", DONE, "", 0.0, {})]

    monkeypatch.setattr(module, "run_jobs", run_jobs)
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return asked


def test_runs_follow_from_short_ones(timed: list[Job]) -> None:
    made = plan()
    expected = estimate(made, NullProgress())
    assert max(job.steps for job in timed) <= 400, "no run of a million steps is timed"
    for each, job in made.jobs():
        size = pickle.loads(job.design).spec.network.n_parameters
        assert expected.seconds(each, job) == pytest.approx(1.0 + 1e-4 * size * 1_000_000, rel=0.01)


def test_epochs_follow_from_one(timed: list[Job]) -> None:
    made = plan(("fixed", "float", "backprop"), steps=1)
    epochs = pickle.loads(made.combinations[0].design).compare.backprop_epochs
    combination, job = next(made.jobs())
    assert estimate(made, NullProgress()).seconds(combination, job) == pytest.approx(2.0 * epochs + 1.0, rel=0.01)


def test_runs_that_break_are_taken_for_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_jobs", lambda jobs, _: [Row("", FAILED, "why", 0.0, {})])
    made = plan()
    expected = estimate(made, NullProgress())
    assert {expected.seconds(each, job) for each, job in made.jobs()} == {1.0}


def test_cores_take_what_they_usually_take() -> None:
    combination = plan().combinations[0]
    assert Estimate().seconds(combination, Job("", "synth", b"")) > Estimate().seconds(combination, Job("", "fit", b"")) > 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "1 s"), (42.4, "42 s"), (600, "10 min"), (7200, "2 h"), (360_000, "4 days"), (5999, "100 min")],
)
def test_times_are_said_as_one_says_them(seconds: float, said: str) -> None:
    assert shown(seconds) == said
