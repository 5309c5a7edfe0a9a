"""Who does the jobs: processes on this machine, or the workers of a Dask cluster, both as an executor of :mod:`concurrent.futures`."""

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
"""Time to wait for the answer of a scheduler, in seconds."""
PATIENCE = 30
"""Time to wait for a worker while a scheduler has none, in seconds."""


class WorkerLost(Exception):
    """A worker died of a job, or beside it: nobody knows, and the job may be given again."""


class Executor(Protocol):
    """Does jobs."""

    def size(self) -> int:
        """How many jobs it does at a time, at present."""

    def submit(self, jobs: Sequence[Job], version: str) -> Future[list[Row]]:
        """Have jobs done, one after the other, by one of its workers."""

    def result(self, future: Future[list[Row]]) -> list[Row]:
        """What came of them; raises :class:`WorkerLost`."""

    def close(self) -> None:
        """Stop at once, whatever is being done."""


def executor_for(scheduler: str | None, workers: int | None, progress: Progress) -> Executor:
    """The cluster of a scheduler, or so many processes here: one for each core unless told.

    Raises
    ------
    Refusal
        If the scheduler cannot be reached, or has no workers.
    """
    if scheduler is None:
        return LocalExecutor(workers or os.cpu_count() or 1)
    if workers is not None:
        raise Refusal("a cluster has the workers that it has", "Leave it out.", key="--workers", value=workers)
    return DaskExecutor(scheduler, progress)


# -- Here -------------------------------------------------------------------------------------------------------------


def _begin(line: Connection) -> None:
    """What a worker here does first: one thread for numpy, no ear for Ctrl-C, and an end when the driver's end of the line closes."""
    single_threaded()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        with suppress(EOFError, OSError):
            line.recv_bytes()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class LocalExecutor:
    """Processes on this machine, which end when the driver does, however it ends.

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
        theirs, self._line = context.Pipe(duplex=False)
        self._pool: FuturesExecutor = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_begin, initargs=(theirs,))
        self._theirs = theirs

    def size(self) -> int:
        """Processes."""
        return self.workers

    def submit(self, jobs: Sequence[Job], version: str) -> Future[list[Row]]:
        """By a process; in place of a pool that broke comes a new one."""
        from concurrent.futures import BrokenExecutor

        try:
            return self._pool.submit(run_jobs, jobs, version)
        except BrokenExecutor:
            self.close()
            self._start()
            return self._pool.submit(run_jobs, jobs, version)

    def result(self, future: Future[list[Row]]) -> list[Row]:
        """What came of jobs."""
        from concurrent.futures import BrokenExecutor

        try:
            return future.result()
        except BrokenExecutor as error:
            raise WorkerLost("the process that did it died") from error

    def close(self) -> None:
        """End the processes."""
        self._line.close()
        self._theirs.close()
        self._pool.shutdown(wait=True, cancel_futures=True)


# -- A cluster --------------------------------------------------------------------------------------------------------


class DaskExecutor:
    """The workers of a Dask scheduler; what a worker that vanished was doing, the scheduler gives to another.

    Parameters
    ----------
    address : str
        Of the scheduler, such as tcp://127.0.0.1:8786.
    progress : Progress
        Told what is waited for.
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
                logging.getLogger(name).setLevel(logging.CRITICAL)  # what there is to say, we say
        try:
            registry.get_backend(parse_address(address)[0])  # before a thread is started for an address of no known kind
            self._client: Client = distributed.Client(address, timeout=TIMEOUT, set_as_default=False)
        except (OSError, ValueError, TypeError, ImportError) as error:
            said = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
            reason = f"there is no Dask scheduler to be reached ({said})"
            raise Refusal(reason, "`dask scheduler` starts one, and says its address.", key="--scheduler", value=address) from None
        try:
            if not self.size():
                progress.status(f"Waiting for workers of {address}.")
                self._client.wait_for_workers(1, timeout=PATIENCE)
        except (TimeoutError, distributed.TimeoutError):
            self.close()
            reason, remedy = "the scheduler has no workers", f"`dask worker {address}` starts one."
            raise Refusal(reason, remedy, key="--scheduler", value=address) from None
        self._pool = self._client.get_executor(pure=False, retries=0)

    def size(self) -> int:
        """Threads of all workers there are at present."""
        with self._reached():
            return sum(self._client.nthreads().values())

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn a scheduler that went away into a message."""
        from concurrent.futures import CancelledError

        try:
            yield
        except (CancelledError, OSError, TimeoutError, RuntimeError) as error:
            if "deserializ" in str(error):
                raise self._cannot(error) from error
            reason = f"the scheduler went away; what was finished is kept ({type(error).__name__})"
            raise Refusal(reason, "Start it, and give the same command again.", key="--scheduler", value=self.address) from error

    def submit(self, jobs: Sequence[Job], version: str) -> Future[list[Row]]:
        """By a worker."""
        with self._reached():
            return self._pool.submit(run_jobs, jobs, version)

    def result(self, future: Future[list[Row]]) -> list[Row]:
        """What came of jobs."""
        from distributed import KilledWorker

        try:
            with self._reached():
                return future.result()
        except KilledWorker as error:
            raise WorkerLost("every worker that did it died") from error
        except (ImportError, AttributeError) as error:
            raise self._cannot(error) from error

    def _cannot(self, error: BaseException) -> Refusal:
        reason = f"its workers cannot do a run ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        return Refusal(reason, "Install mgd-hw on every worker.", key="--scheduler", value=self.address)

    def close(self) -> None:
        """Forget what was not finished, and leave the cluster."""
        pool: Any = getattr(self, "_pool", None)
        with suppress(Exception):  # whatever it has to say, we are leaving
            if pool is not None:
                pool.shutdown(wait=False)
        with suppress(Exception):
            self._client.close(timeout=2)
