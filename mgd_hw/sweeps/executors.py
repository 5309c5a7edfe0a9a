"""Executors of jobs: processes on this machine, or the workers of a Dask cluster, both with futures of :mod:`concurrent.futures`."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor as FuturesExecutor
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Protocol

from mgd_hw.common.progress import Progress
from mgd_hw.sweeps.jobs import Job, Row, run_jobs, single_threaded
from python_ref.spec.error import Refusal, ToolError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["PATIENCE", "DaskExecutor", "Executor", "LocalExecutor", "WorkerLost", "executor_for"]

TIMEOUT = 10
"""Time to wait for a Dask scheduler to answer, in seconds."""
PATIENCE = 30
"""Time to wait for a worker of a cluster while there is none, in seconds."""


class WorkerLost(Exception):
    """The worker of a job died. The job is not necessarily the cause, and may be submitted again."""


class Executor(Protocol):
    """Interface of an executor that runs jobs on its workers."""

    def size(self) -> int:
        """Return the number of jobs that the executor can run at the same time; it may change."""

    def submit(self, jobs: Sequence[Job], version: str) -> Future[list[Row]]:
        """Submit jobs to one worker, which runs them one after the other."""

    def result(self, future: Future[list[Row]]) -> list[Row]:
        """Return the rows of a finished future, one per job.

        Raises
        ------
        WorkerLost
            If the worker died.
        """

    def close(self) -> None:
        """Release all workers without waiting for the jobs that are still running."""


def executor_for(scheduler: str | None, workers: int | None, progress: Progress) -> Executor:
    """Return the executor of a Dask scheduler, or else one with ``workers`` local processes, by default one per CPU core.

    Raises
    ------
    Refusal
        If the scheduler cannot be reached or has no workers, or if both a scheduler and a number of workers are given.
    """
    if scheduler is None:
        return LocalExecutor(workers or os.cpu_count() or 1)
    if workers is not None:
        raise Refusal("a Dask cluster has its own workers", "Leave it out, or leave out --scheduler.", key="--workers", value=workers)
    return DaskExecutor(scheduler, progress)


# -- This machine -----------------------------------------------------------------------------------------------------


def _initialise(pipe: Connection) -> None:
    """Initialise a local worker: limit numpy to one thread, ignore Ctrl-C, and exit when the driver closes its end of the pipe."""
    single_threaded()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        with suppress(EOFError, OSError):
            pipe.recv_bytes()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class LocalExecutor:
    """Executor that runs jobs in processes of this machine. The processes end with the driver, even if the driver is killed.

    Parameters
    ----------
    workers : int
        Number of worker processes to start.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        read_end, self._write_end = context.Pipe(duplex=False)
        self._pool: FuturesExecutor = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_initialise, initargs=(read_end,))
        self._read_end = read_end

    def size(self) -> int:
        """Return the number of worker processes."""
        return self.workers

    def submit(self, jobs: Sequence[Job], version: str) -> Future[list[Row]]:
        """Submit jobs to one process; if the pool is broken, start a new pool first."""
        from concurrent.futures import BrokenExecutor

        try:
            return self._pool.submit(run_jobs, jobs, version)
        except BrokenExecutor:
            self.close()
            self._start()
            return self._pool.submit(run_jobs, jobs, version)

    def result(self, future: Future[list[Row]]) -> list[Row]:
        """Return the rows of a finished future; raise ``WorkerLost`` if its process died."""
        from concurrent.futures import BrokenExecutor

        try:
            return future.result()
        except BrokenExecutor as error:
            raise WorkerLost("its worker process died") from error

    def close(self) -> None:
        """End the worker processes, and discard what they have not finished."""
        self._write_end.close()
        self._read_end.close()
        self._pool.shutdown(wait=True, cancel_futures=True)


# -- Dask cluster -----------------------------------------------------------------------------------------------------


class DaskExecutor:
    """Executor that runs jobs on the workers of a Dask scheduler, which reassigns the jobs of a worker that disappears.

    Parameters
    ----------
    address : str
        Address of the scheduler, such as tcp://127.0.0.1:8786.
    progress : Progress
        Receives a status line while the executor waits for workers.

    Raises
    ------
    ToolError
        If Dask is not installed.
    Refusal
        If the scheduler cannot be reached, or has no workers.
    """

    def __init__(self, address: str, progress: Progress) -> None:
        try:
            import distributed
            from distributed.comm import parse_address, registry
        except ImportError:
            reason, remedy = "Dask is not installed", "pip install 'mgd-hw[sweep]' brings it; without --scheduler it is not needed."
            raise ToolError(reason, remedy, key="--scheduler", value=address) from None
        self.address = address
        for name in list(logging.root.manager.loggerDict):
            if name.split(".")[0] == "distributed":
                logging.getLogger(name).setLevel(logging.CRITICAL)  # this class reports all failures itself
        try:
            registry.get_backend(parse_address(address)[0])  # refuses an unknown protocol before Client starts a thread
            self._client: Client = distributed.Client(address, timeout=TIMEOUT, set_as_default=False)
        except (OSError, ValueError, TypeError, ImportError) as error:
            said = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
            reason = f"no Dask scheduler can be reached there ({said})"
            raise Refusal(reason, "Start one with `dask scheduler`, which prints its address.", key="--scheduler", value=address) from None
        try:
            if not self.size():
                progress.status(f"Waiting for workers of {address}.")
                self._client.wait_for_workers(1, timeout=PATIENCE)
        except (TimeoutError, distributed.TimeoutError):
            self.close()
            reason, remedy = "the scheduler has no workers", f"Start one with `dask worker {address}`."
            raise Refusal(reason, remedy, key="--scheduler", value=address) from None
        self._pool = self._client.get_executor(pure=False, retries=0)

    def size(self) -> int:
        """Return the number of threads of all current workers."""
        with self._reached():
            return sum(self._client.nthreads().values())

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Raise a refusal if the connection to the scheduler is lost within the block."""
        from concurrent.futures import CancelledError

        try:
            yield
        except (CancelledError, OSError, TimeoutError, RuntimeError) as error:
            if "deserializ" in str(error):
                raise self._cannot(error) from error
            reason = f"the connection to the scheduler was lost; finished jobs are kept ({type(error).__name__})"
            raise Refusal(reason, "Start it, and give the same command again.", key="--scheduler", value=self.address) from error

    def submit(self, jobs: Sequence[Job], version: str) -> Future[list[Row]]:
        """Submit jobs to one worker."""
        with self._reached():
            return self._pool.submit(run_jobs, jobs, version)

    def result(self, future: Future[list[Row]]) -> list[Row]:
        """Return the rows of a finished future; raise ``WorkerLost`` if every worker that tried the jobs died."""
        from distributed import KilledWorker

        try:
            with self._reached():
                return future.result()
        except KilledWorker as error:
            raise WorkerLost("every worker that ran it died") from error
        except (ImportError, AttributeError) as error:
            raise self._cannot(error) from error

    def _cannot(self, error: BaseException) -> Refusal:
        reason = f"its workers cannot run a job ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        return Refusal(reason, "Install mgd-hw on every worker.", key="--scheduler", value=self.address)

    def close(self) -> None:
        """Discard unfinished jobs, and disconnect from the cluster."""
        pool: Any = getattr(self, "_pool", None)
        with suppress(Exception):  # nothing depends on the pool any more
            if pool is not None:
                pool.shutdown(wait=False)
        with suppress(Exception):
            self._client.close(timeout=2)
