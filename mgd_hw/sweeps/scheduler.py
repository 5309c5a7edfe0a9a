"""Scheduler of a sweep: it assigns jobs to workers, writes their rows to the journal, and estimates the remaining time."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from mgd_hw.common.progress import Progress
from mgd_hw.sweeps.estimate import START, shown
from mgd_hw.sweeps.executors import PATIENCE, Executor, WorkerLost
from mgd_hw.sweeps.jobs import DONE, FAILED, REFUSED, Job, Row
from mgd_hw.sweeps.journal import SHARED, Journal
from mgd_hw.sweeps.plan import REFUSAL, Plan
from python_ref.spec.error import Refusal

__all__ = ["Estimates", "Outcome", "Planned", "drive", "pending", "run"]

CHUNK_SECONDS = 0.3
"""Target duration of a chunk, which is the list of jobs that a worker receives at once, in seconds."""
MAX_CHUNK = 200
"""Maximum number of jobs in a chunk."""
PRIOR = 0.1
"""Weight of the predicted pace in the estimate of the remaining time, as a share of all work."""
LEAST_LEFT = 0.1
"""Minimum share of the work ahead that counts as remaining, no matter how long the running jobs have taken."""
MAX_WORKER_DEATHS = 3
"""Worker deaths after which a job is marked failed. The last attempt runs alone, to rule out its neighbours."""

Planned = tuple[Any, Job]
"""A job, preceded by the object that it belongs to, such as a combination."""


class Jobs(Protocol):
    """Interface of a plan with jobs, such as :class:`~mgd_hw.sweeps.plan.Plan`."""

    @property
    def version(self) -> str:
        """Version of the package that every worker must have."""
        ...

    def jobs(self) -> Iterator[Planned]:
        """Yield all jobs; the same job may occur several times."""
        ...

    def about(self, each: Any, number: int | None = None) -> dict[str, Any]:
        """Return the columns of a row that are known before its job runs."""
        ...


class Estimates(Protocol):
    """Interface of a prediction of the time that jobs take."""

    def seconds(self, each: Any, job: Job) -> float:
        """Return the predicted time of a job on one worker, in seconds."""
        ...


@dataclass
class Outcome:
    """Summary of one call of :func:`drive`.

    Attributes
    ----------
    rows : Counter
        Number of finished jobs, by the status of their row.
    seconds : float
        Wall-clock time from the first job to the last, in seconds.
    worked : float
        Total time of all jobs on all workers, in seconds.
    interrupted : bool
        Whether Ctrl-C ended the sweep early.
    lost : int
        Number of jobs that were submitted again after the death of their worker.
    """

    rows: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    worked: float = 0.0
    interrupted: bool = False
    lost: int = 0


def pending(plan: Jobs, finished: set[str]) -> Iterator[Planned]:
    """Yield the jobs of a plan that are not finished, each once."""
    seen: set[str] = set()
    for combination, job in plan.jobs():
        if job.key not in finished and job.key not in seen:
            seen.add(job.key)
            yield combination, job


def begin(plan: Plan, journal: Journal) -> None:
    """Write the plan of a sweep and the rows of its refused combinations to the journal."""

    def entries() -> Iterator[tuple[str, int]]:
        for each in plan.refused:
            yield plan.refusal_key(each), each.number
        for combination, job in plan.jobs():
            yield job.key, combination.number

    request = plan.request
    notes: dict[str, Any] = {"text": request.design.text, "path": str(request.design.path), "keys": [axis.key for axis in request.axes]}
    notes["places"] = [[place.target, place.board, place.clock_mhz, place.synthesise] for place in request.places]
    notes |= {"combinations": len(plan.combinations), "refused": len(plan.refused), SHARED: plan.shared()}
    journal.plan(entries(), notes)
    journal.add((Row(plan.refusal_key(each), REFUSED, str(each.refused), 0.0, {}), REFUSAL, plan.about(each)) for each in plan.refused)


def run(
    plan: Jobs,
    executor: Executor,
    journal: Journal,
    prepare: Callable[[set[str], int], tuple[Estimates, Iterable[str]]],
    progress: Progress,
    task: str = "Sweep",
) -> Outcome:
    """Report the plan, and run all jobs that are not finished.

    ``prepare`` receives the keys of the finished jobs and the number of workers. It returns a prediction of the time that the other jobs
    take, and sentences that describe the plan.
    """
    finished = journal.finished()
    if next(pending(plan, finished), None) is None:
        progress.status("Everything is done already.")
        return Outcome()
    try:
        expected, sentences = prepare(finished, executor.size())
    except KeyboardInterrupt:
        return Outcome(interrupted=True)
    for sentence in sentences:
        progress.status(sentence)
    return drive(plan, executor, journal, expected, finished, progress, task)


class _Queue:
    """Queue of jobs, first in, first out. The jobs of a dead worker are tried again one by one, the last time with no other job running.

    Parameters
    ----------
    jobs : iterator of (Combination, Job)
        Pending jobs, in the order in which workers receive them.
    """

    def __init__(self, jobs: Iterator[Planned]) -> None:
        self._fresh = jobs
        self._retries: deque[Planned] = deque()
        self._last_attempts: deque[Planned] = deque()
        self._deaths: Counter[str] = Counter()

    def take(self, count: int, idle: bool) -> list[Planned]:
        """Take up to ``count`` jobs from the queue; a job due for its last attempt is taken only while no other is running (``idle``)."""
        if self._retries:
            return [self._retries.popleft()]
        if taken := list(islice(self._fresh, count)):
            return taken
        return [self._last_attempts.popleft()] if self._last_attempts and idle else []

    def lost(self, chunk: list[Planned]) -> list[Planned]:
        """Put the jobs of a dead worker back into the queue, and return those that have reached ``MAX_WORKER_DEATHS``."""
        failed = []
        for planned in chunk:
            key = planned[1].key
            self._deaths[key] += 1
            if self._deaths[key] >= MAX_WORKER_DEATHS:
                failed.append(planned)
            else:
                (self._retries if self._deaths[key] < MAX_WORKER_DEATHS - 1 else self._last_attempts).append(planned)
        return failed


def drive(
    plan: Jobs, executor: Executor, journal: Journal, estimate: Estimates, finished: set[str], progress: Progress, task: str = "Sweep"
) -> Outcome:
    """Run all jobs that are not finished, and write each row as soon as its job ends; ``task`` is the name in the progress display.

    Raises
    ------
    Refusal
        If the journal cannot be written, or if no worker can run a job.
    """
    outcome, begun = Outcome(), time.perf_counter()
    queue = _Queue(pending(plan, finished))
    running: dict[Future[list[Row]], list[Planned]] = {}
    remaining, no_workers_since = _RemainingTime(plan, estimate, finished, progress, task), 0.0

    def write(chunk: list[Planned], rows: list[Row]) -> None:
        named = [(row, job.kind, plan.about(each, job.number if job.steps else None)) for (each, job), row in zip(chunk, rows, strict=True)]
        journal.add(named)
        for (each, job), row in zip(chunk, rows, strict=True):
            outcome.rows[row.status] += 1
            outcome.worked += row.seconds
            remaining.finished(each, job, row.seconds)

    try:
        while True:
            _submit(queue, executor, running, remaining.chunk, plan.version)
            if not running:
                break
            done, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
            no_workers_since = _check_any_worker(executor, no_workers_since, progress) if not done else 0.0
            for future in done:
                chunk = running.pop(future)
                try:
                    write(chunk, executor.result(future))
                except WorkerLost as lost:
                    failed = queue.lost(chunk)
                    outcome.lost += len(chunk) - len(failed)
                    write(failed, [Row(job.key, FAILED, f"{lost}, {MAX_WORKER_DEATHS} times", 0.0, {}) for _, job in failed])
                    _check_alive(outcome, executor.size())
            remaining.report(executor.size())
    except KeyboardInterrupt:
        outcome.interrupted = True
    outcome.seconds = time.perf_counter() - begun
    return outcome


def _submit(
    queue: _Queue, executor: Executor, running: dict[Future[list[Row]], list[Planned]], chunk: Callable[[], int], version: str
) -> None:
    """Submit chunks until each worker has one to run and one that waits."""
    most = 2 * max(1, executor.size())
    while len(running) < most and (taken := queue.take(chunk(), idle=not running)):
        running[executor.submit([job for _, job in taken], version)] = taken


def _check_any_worker(executor: Executor, since: float, progress: Progress) -> float:
    """Return the time since when there has been no worker, 0 if there is one; refuse to go on after ``PATIENCE`` seconds."""
    if executor.size():
        return 0.0
    if not since:
        progress.status(f"All workers are gone; waiting {PATIENCE} s for others.")
    elif time.monotonic() - since > PATIENCE:
        reason = "all workers are gone; finished jobs are kept"
        raise Refusal(reason, "Start some, and give the same command again.", key="--scheduler")
    return since or time.monotonic()


def _check_alive(outcome: Outcome, size: int) -> None:
    """Refuse to go on if each worker has died several times and none has finished a job."""
    if not outcome.rows[DONE] and outcome.lost > 2 * MAX_WORKER_DEATHS * size:
        raise Refusal(
            "workers die before they finish a run",
            'Give them more memory, or take fewer with --workers. A script needs `if __name__ == "__main__":` around the call.',
            key="--workers",
        )


class _RemainingTime:
    """Estimate of the remaining time and of the size of a chunk, from the predicted and the measured times of the jobs."""

    def __init__(self, plan: Jobs, estimate: Estimates, finished: set[str], progress: Progress, task: str) -> None:
        self.progress, self.estimate, self.task = progress, estimate, task
        left = [estimate.seconds(each, job) for each, job in pending(plan, finished)]
        self.count, self.done = len(left), 0
        self.total, self.spent = sum(left), 0.0
        self.worked, self.begun = 0.0, time.perf_counter()

    def finished(self, combination: Any, job: Job, seconds: float) -> None:
        self.done += 1
        self.spent += self.estimate.seconds(combination, job)
        self.worked += seconds

    def chunk(self) -> int:
        """Return the number of jobs to submit to a worker at once."""
        if not self.done:
            return 1
        mean = max(self.worked / self.done, 1e-6)
        return max(1, min(MAX_CHUNK, int(CHUNK_SECONDS / mean)))

    def left(self, workers: int, elapsed: float) -> float:
        """Return the estimated remaining time, in seconds.

        The predicted time of the unfinished jobs is scaled by the ratio of measured to predicted time so far, which ``PRIOR`` keeps near 1
        while few jobs are done. The time that workers have already spent on running jobs is subtracted. Until the first job is done, the
        start of the workers is included.
        """
        prior = PRIOR * self.total
        ahead = (self.total - self.spent) * (self.worked + prior) / (self.spent + prior)
        under_way = max(0.0, (elapsed - START) * workers - self.worked)
        return (0.0 if self.done else max(0.0, START - elapsed)) + max(ahead - under_way, LEAST_LEFT * ahead) / workers

    def report(self, workers: int) -> None:
        """Report the finished jobs and the remaining time to the progress display."""
        note = f"{self.done:,} of {self.count:,} jobs"
        if self.total and self.done < self.count:
            at_once = max(1, min(workers, self.count - self.done))
            note += f", about {shown(self.left(at_once, time.perf_counter() - self.begun))} left"
        self.progress.update(self.task, self.spent, self.total, note)
