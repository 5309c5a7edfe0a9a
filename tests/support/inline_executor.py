"""An executor without processes: it does each job at once, in the caller's process."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from mgd_hw.sweeps.jobs import Job, Row, run_jobs

__all__ = ["InlineExecutor"]


class InlineExecutor:
    """Does jobs in this process."""

    def size(self) -> int:
        """One at a time."""
        return 1

    def submit(self, jobs: Sequence[Job], version: str) -> Future[list[Row]]:
        """Done when it returns."""
        future: Future[list[Row]] = Future()
        future.set_result(run_jobs(jobs, version))
        return future

    def result(self, future: Future[list[Row]]) -> list[Row]:
        """What came of jobs."""
        return future.result()

    def close(self) -> None:
        """Nothing is left."""
