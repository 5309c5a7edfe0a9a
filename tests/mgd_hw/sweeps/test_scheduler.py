"""The scheduler runs every job once even if workers die, finds the jobs that kill workers, and repeats no finished job."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from mgd_hw.common.progress import NullProgress
from mgd_hw.design.reader import load
from mgd_hw.sweeps import scheduler
from mgd_hw.sweeps.estimate import START, Estimate
from mgd_hw.sweeps.executors import WorkerLost
from mgd_hw.sweeps.jobs import DONE, FAILED, Job, Row
from mgd_hw.sweeps.journal import Journal
from mgd_hw.sweeps.plan import Plan, make_plan
from mgd_hw.sweeps.scheduler import MAX_WORKER_DEATHS, Outcome, begin, drive, pending
from python_ref.spec.error import Refusal


class Threads:
    """Executor with threads as workers that do no work; a worker dies of the jobs for which ``dies`` returns true."""

    def __init__(self, dies: Callable[[Job], bool] = lambda _: False, workers: int = 3) -> None:
        self.dies, self.workers = dies, workers
        self.did: Counter[str] = Counter()
        self.together: list[int] = []
        self.beside: dict[str, list[int]] = {}
        self._busy, self._lock = 0, threading.Lock()
        self._pool = ThreadPoolExecutor(workers)

    def size(self) -> int:
        return self.workers

    def submit(self, jobs: Sequence[Job], version: str) -> Future[list[Row]]:
        with self._lock:
            self._busy += 1
        return self._pool.submit(self._do, jobs)

    def _do(self, jobs: Sequence[Job]) -> list[Row]:
        try:
            self.together.append(self._busy)
            for job in jobs:
                self.beside.setdefault(job.key, []).append(self._busy)
            if sum(self.dies(job) for job in jobs):
                raise WorkerLost("it died")
            self.did.update(job.key for job in jobs)
            return [Row(job.key, DONE, "", 1e-4, {"accuracy": 1.0, "seed": job.number}) for job in jobs]
        finally:
            with self._lock:
                self._busy -= 1

    def result(self, future: Future[list[Row]]) -> list[Row]:
        return future.result()

    def close(self) -> None:
        self._pool.shutdown()


def plan(seeds: int = 200) -> Plan:
    return make_plan(load("xor"), {"network.scale": [1.0, 2.0]}, seeds=seeds, steps=1, models=("fixed",), validate=False, places=())


def run(directory: Path, executor: Threads, of: Plan) -> tuple[Outcome, dict[str, Row]]:
    with Journal(directory, write=True) as journal:
        begin(of, journal)
        outcome = drive(of, executor, journal, Estimate(), journal.finished(), NullProgress())
        rows = {row.key: row for _, row, _ in journal.planned("train")}
    executor.close()
    return outcome, rows


def test_every_job_is_done_once(tmp_path: Path) -> None:
    made, executor = plan(), Threads()
    outcome, rows = run(tmp_path, executor, made)
    assert set(rows) == {job.key for _, job in made.jobs()}
    assert set(executor.did.values()) == {1}
    assert outcome.rows == {DONE: 400}
    again = Threads()
    assert run(tmp_path, again, made)[0].rows == {}
    assert not again.did
    more = Threads()
    assert run(tmp_path, more, plan(201))[0].rows == {DONE: 2}


def test_what_a_dead_worker_had_is_done_again(tmp_path: Path) -> None:
    deaths = iter([False] * 5 + [True] + [False] * 20 + [True, True])
    executor, made = Threads(lambda _: next(deaths, False)), plan()
    outcome, rows = run(tmp_path, executor, made)
    assert {row.status for row in rows.values()} == {DONE}
    assert len(rows) == 400
    assert outcome.lost > 0


def test_jobs_that_kill_are_found_out_and_the_others_are_done(tmp_path: Path) -> None:
    made = plan(20)
    killers = {job.key for _, job in list(made.jobs())[7:10]}
    executor = Threads(lambda job: job.key in killers)
    outcome, rows = run(tmp_path, executor, made)
    assert {key for key, row in rows.items() if row.status == FAILED} == killers
    assert len(rows) == 40
    assert outcome.rows == {DONE: 37, FAILED: 3}
    assert [len(executor.beside[key]) for key in killers] == [MAX_WORKER_DEATHS] * 3
    assert [executor.beside[key][-1] for key in killers] == [1] * 3, "the last attempt of each runs alone"
    outcome, rows = run(tmp_path, Threads(), made)
    assert outcome.rows == {DONE: 3}, "the next sweep tries them again"
    assert {row.status for row in rows.values()} == {DONE}


def test_workers_that_all_die_end_it(tmp_path: Path) -> None:
    made, executor = plan(50), Threads(lambda _: True)
    with pytest.raises(Refusal, match="workers die before they finish a run"):
        run(tmp_path, executor, made)
    assert len(executor.together) <= 2 * (MAX_WORKER_DEATHS + 1) * executor.workers


def test_workers_that_are_gone_are_waited_for_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Deserted(Threads):
        def size(self) -> int:
            return 0

        def submit(self, jobs: Sequence[Job], version: str) -> Future[list[Row]]:
            return Future()

    monkeypatch.setattr(scheduler, "PATIENCE", 0)
    with pytest.raises(Refusal, match="all workers are gone"):
        run(tmp_path, Deserted(), plan())


def test_an_interrupt_keeps_what_is_finished(tmp_path: Path) -> None:
    class Interrupted(Threads):
        def result(self, future: Future[list[Row]]) -> list[Row]:
            if sum(self.did.values()) > 20:
                raise KeyboardInterrupt
            return future.result()

    made = plan()
    outcome, rows = run(tmp_path, Interrupted(), made)
    assert outcome.interrupted
    assert 0 < len(rows) == outcome.rows[DONE] < 400
    outcome, rows = run(tmp_path, Threads(), made)
    assert len(rows) == 400


def test_jobs_are_handed_out_in_pieces_that_take_a_while(tmp_path: Path) -> None:
    executor = Threads()
    run(tmp_path, executor, plan(2000))
    assert len(executor.together) < 4000 / 20
    assert max(executor.together) <= 2 * executor.workers


def test_pending_names_a_shared_job_once() -> None:
    made = plan(2)
    every = [job.key for _, job in made.jobs()]
    assert [job.key for _, job in pending(made, {every[1]})] == [every[0], *every[2:]]


def test_progress_is_told_with_the_time_left(tmp_path: Path) -> None:
    observed = []

    class Recorder(NullProgress):
        def update(self, task: str, done: float, total: float, note: str = "") -> None:
            observed.append((task, done / total, note))

    with Journal(tmp_path, write=True) as journal:
        made = plan(2000)
        begin(made, journal)
        drive(made, Threads(), journal, Estimate(), set(), Recorder())
    shares = [share for task, share, _ in observed if task == "Sweep"]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert observed[-1][2] == "4,000 of 4,000 jobs"
    assert any("left" in note for _, _, note in observed)


def test_the_time_left_follows_what_was_predicted_and_then_what_came_to_pass() -> None:
    plan = make_plan(load("xor"), {}, seeds=10, steps=1, models=("fixed",), validate=False, places=())

    class TenSeconds:
        def seconds(self, each: object, job: Job) -> float:
            return 10.0

    def clock(done: int, seconds: float) -> scheduler._RemainingTime:
        found = scheduler._RemainingTime(plan, TenSeconds(), set(), NullProgress(), "Sweep")
        for each, job in list(plan.jobs())[:done]:
            found.finished(each, job, seconds)
        return found

    assert clock(0, 0.0).left(2, 0.0) == START + 50.0
    assert clock(0, 0.0).left(2, START) == 50.0, "the workers have started"
    assert clock(0, 0.0).left(2, START + 10.0) == 40.0, "two jobs are under way"
    assert clock(5, 10.0).left(1, 50.0) == 50.0
    assert 90.0 < clock(5, 20.0).left(1, 100.0) < 100.0, "twice as long as predicted"
    assert clock(9, 10.0).left(1, 1e6) == 1.0, "a job that takes long is never over"
