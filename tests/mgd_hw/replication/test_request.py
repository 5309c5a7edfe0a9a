"""The time that runs are told to take, before they start."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mgd_hw.replication import request
from mgd_hw.replication.paper import _planned
from mgd_hw.replication.request import PaperJobs, calibrate, tasks_of
from mgd_hw.replication.tasks import Pace, Task
from mgd_hw.sweeps.estimate import START


def test_a_run_is_its_steps_its_looks_and_the_look_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: Counter[tuple[str, int]] = Counter()

    def pace(task: Task) -> Pace:
        timed[task.series, task.n] += 1
        return Pace(0.5, 3.0)

    monkeypatch.setattr(request, "pace", pace)
    _, tasks = tasks_of("fig5", (1, 2), 2, 2100)
    found = calibrate(tasks, {})
    assert timed == {("node", 1): 1, ("node", 2): 1}, "once for each kind, whatever τ_θ is"
    for task in tasks:
        assert found.seconds(task) == pytest.approx(0.5 * task.steps() + 3.0 * task.steps() / task.every + 3.0)


def test_a_gradient_takes_what_theory_says_or_all_that_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "perform", lambda task: {"iterations": task.iterations})
    monkeypatch.setattr(request, "expected", lambda task: 100.0 * task.seed)
    _, tasks = tasks_of("fig3", (1,), 3, 250)
    found = calibrate(tasks, {})
    found.paces = dict.fromkeys(found.paces, Pace(2.0, 0.0))
    assert {task.seed: found.seconds(task) for task in tasks} == {1: 200, 2: 400, 3: 500}


def test_what_such_runs_took_before_is_expected_and_all_that_they_may_is_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "pace", lambda task: Pace(2.0 * task.of_steps(1), 0.0))
    _, tasks = tasks_of("fig4", (1,), 1, 1000)
    found = calibrate(tasks, {("node", 1, 1): 300, ("backprop", 1, 1): 5000})
    assert {task.series: found.seconds(task) for task in tasks} == {"weight": 2000, "node": 600, "backprop": 2000}
    assert {found.most(task) for task in tasks} == {2000}


def test_a_plan_counts_the_workers_start_and_divides_no_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(request, "pace", lambda task: Pace(2.0 * task.of_steps(1), 0.0))
    figure, tasks = tasks_of("fig4", (1,), 1, 1000)
    expected = calibrate(tasks, {})
    jobs = PaperJobs(tasks, "data", "version", {})
    for workers, seconds in ((1, 6000.0), (2, 3000.0), (8, 2000.0)):
        planned = _planned(figure, jobs, set(), tmp_path, workers, expected)
        assert planned.at_most == START + seconds
    done = _planned(figure, jobs, {job.key for _, job in jobs.jobs()}, tmp_path, 2, expected)
    assert (done.jobs, done.seconds, done.at_most) == (0, 0.0, 0.0), "nothing is started for nothing"
