"""Executors: local processes that are replaced when they die and end with their driver, and a real Dask cluster that loses a worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import mgd_hw
from mgd_hw.common.progress import NullProgress
from mgd_hw.sweeps import executors
from mgd_hw.sweeps.executors import DaskExecutor, LocalExecutor, WorkerLost, executor_for
from mgd_hw.sweeps.jobs import FAILED, Job, run_jobs, version
from mgd_hw.sweeps.journal import Journal
from mgd_hw.sweeps.sweep import Swept
from python_ref.spec.error import Refusal, ToolError
from rtl_gen.toolchain.child import end
from sim.process import child_environment

NOTHING = Job("key", "nothing", b"")
"""Job of an unknown kind, which fails at once without importing a large library."""


def until(holds: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"the condition does not hold after {seconds} s"
        time.sleep(0.02)


def alive(process: int) -> bool:
    """Return whether a process is running; a zombie, which has ended but has not been waited for, is not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_processes_are_replaced_when_they_die() -> None:
    local = LocalExecutor(1)
    try:
        assert local.size() == 1
        (row,) = local.result(local.submit([NOTHING], version()))
        assert (row.status, row.message) == (FAILED, "KeyError: 'nothing'")
        (process,) = local._pool._processes  # type: ignore[attr-defined]
        future = local._pool.submit(time.sleep, 60)
        os.kill(process, signal.SIGKILL)
        with pytest.raises(WorkerLost, match="its worker process died"):
            local.result(future)
        assert local.result(local.submit([NOTHING], version()))[0].status == FAILED
        (process,) = local._pool._processes  # type: ignore[attr-defined]
        local._pool.submit(time.sleep, 60)
    finally:
        local.close()
    until(lambda: not alive(process))


def test_workers_have_one_thread_each_for_numpy_and_ignore_an_interrupt() -> None:
    local = LocalExecutor(1)
    try:
        assert local._pool.submit(os.getenv, "OPENBLAS_NUM_THREADS").result() == os.environ.get("OPENBLAS_NUM_THREADS", "1")
        assert local._pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN
    finally:
        local.close()


DRIVER = """
    import os, signal, time
    from mgd_hw.sweeps.executors import LocalExecutor
    if __name__ == "__main__":
        local = LocalExecutor(1)
        print(local._pool.submit(os.getpid).result(), flush=True)
        local._pool.submit(time.sleep, 600)
        time.sleep(600)
"""


def test_processes_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(textwrap.dedent(DRIVER), encoding="utf-8")
    command = [sys.executable, str(tmp_path / "driver.py")]
    with subprocess.Popen(command, env=child_environment(), stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout
        worker = int(driver.stdout.readline())
        assert alive(worker)
        driver.kill()
    until(lambda: not alive(worker))


def test_a_cluster_has_its_own_workers() -> None:
    with pytest.raises(Refusal, match="a Dask cluster has its own workers"):
        executor_for("tcp://127.0.0.1:1", 2, NullProgress())


def test_without_dask_a_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ToolError, match=r"Dask is not installed\. pip install 'mgd-hw\[sweep\]'"):
        DaskExecutor("tcp://127.0.0.1:1", NullProgress())


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "udp://127.0.0.1:1"])
def test_a_scheduler_that_is_not_there_is_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "TIMEOUT", 0.5)
    with pytest.raises(Refusal, match="no Dask scheduler can be reached there") as caught:
        DaskExecutor(address, NullProgress())
    assert caught.value.value == address
    assert "\n" not in str(caught.value)


# -- Dask cluster -----------------------------------------------------------------------------------------------------


class Dask:
    """Dask cluster whose scheduler and workers are separate processes.

    Parameters
    ----------
    folder : Path
        Directory for the file with the scheduler's address, and for the logs of all processes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.processes: dict[str, subprocess.Popen] = {}
        options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(self.file))
        self._start("scheduler", "dask_scheduler", *options)
        until(lambda: self._address() is not None)
        self.address = str(self._address())

    def _address(self) -> str | None:
        """Address of the scheduler; None until its file is there and complete."""
        with suppress(FileNotFoundError, json.JSONDecodeError):
            return str(json.loads(self.file.read_text(encoding="utf-8"))["address"])
        return None

    def _start(self, name: str, module: str, *options: str) -> None:
        command = [sys.executable, "-W", "ignore", "-m", f"distributed.cli.{module}", *options]
        with (self.folder / f"{name}.log").open("w", encoding="utf-8") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=self.folder, env=child_environment(), stdout=log, stderr=log, start_new_session=True
            )

    def worker(self, name: str) -> None:
        """Start a worker with one thread, and without a nanny process that would restart it."""
        self._start(name, "dask_worker", self.address, "--name", name, "--nthreads", "1", "--no-nanny", "--no-dashboard")

    def kill(self, name: str) -> None:
        """Kill a process with SIGKILL."""
        end(self.processes.pop(name))


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    (tmp_path / "dask").mkdir()
    found = Dask(tmp_path / "dask")
    yield found
    for name in list(found.processes):
        found.kill(name)


class AfterJobs(NullProgress):
    """Progress display that calls a function once a given number of jobs is done."""

    def __init__(self, jobs: int, then: Callable[[], None]) -> None:
        self.jobs, self.then, self.observed = jobs, then, ""

    def update(self, task: str, done: float, total: float, note: str = "") -> None:
        if task == "Sweep" and self.jobs and int(note.split()[0]) >= self.jobs:
            self.jobs = 0
            self.then()

    def status(self, text: str) -> None:
        self.observed += text + "\n"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_does_every_run_once(dask: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "PATIENCE", 1)
    with pytest.raises(Refusal, match="the scheduler has no workers"):
        DaskExecutor(dask.address, NullProgress())
    monkeypatch.setattr(executors, "PATIENCE", 60)
    dask.worker("one")
    dask.worker("two")
    progress = AfterJobs(3, lambda: dask.kill("one"))
    vary = {"formats.weight": ["SQ4.6", "SQ4.8", "SQ4.12"]}
    found = mgd_hw.sweep("xor", vary, seeds=4, steps=20_000, scheduler=dask.address, out=tmp_path / "out", progress=progress)
    assert isinstance(found, Swept)
    assert progress.jobs == 0, "the worker was not killed"
    assert (found.runs, found.failed, found.interrupted) == (12, 0, False)
    with Journal(tmp_path / "out", write=False) as journal:
        rows = {(about["vary"]["formats.weight"], about["seed"]): row for _, row, about in journal.planned("train")}
    assert len(rows) == 12
    some = [("SQ4.6", 1), ("SQ4.12", 4)]
    assert [_without_time(rows[each].columns) for each in some] == [_without_time(_run_here(*each)) for each in some]
    dask.kill("two")
    dask.kill("scheduler")
    monkeypatch.setattr(executors, "TIMEOUT", 0.5)
    with pytest.raises(Refusal, match="no Dask scheduler can be reached there"):
        mgd_hw.sweep("xor", vary, seeds=5, steps=20_000, scheduler=dask.address, out=tmp_path / "out")


def _run_here(weight: str, seed: int) -> dict:
    """Run a job in this process, and return the columns of its row."""
    from mgd_hw.design.reader import load
    from mgd_hw.sweeps.plan import make_plan

    plan = make_plan(
        load("xor"), {"formats.weight": [weight]}, seeds=seed, steps=20_000, models=("fixed", "float"), validate=False, places=()
    )
    job = [job for _, job in plan.jobs()][-1]
    return run_jobs([job], version())[0].columns


def _without_time(columns: dict) -> dict:
    return {name: value for name, value in columns.items() if not name.endswith("_seconds")}
