"""Benchmark of the overhead of a sweep, per run: ``python -m mgd_hw.sweeps.benchmark``.

Each run is as short as possible, one step of xor, so that most of the time is the sweep's own. Sweeps of three sizes are measured, each in
a separate process; a cost that grows faster than the number of rows shows up as a higher overhead per run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mgd_hw.design.reader import load
from mgd_hw.sweeps.jobs import run_jobs, version
from mgd_hw.sweeps.plan import MODELS, make_plan
from mgd_hw.sweeps.sweep import sweep
from sim.process import child_environment

__all__ = ["Overhead", "measure"]

SHAPES = ("seeds", "combinations")
"""Shapes of sweep to measure: one combination with many seeds, and many combinations with one seed."""
SAMPLED = 300
"""Number of runs over which the time of a run is averaged."""


@dataclass(frozen=True)
class Overhead:
    """Measured overhead of one sweep.

    Attributes
    ----------
    shape : str
        What the runs differ in: "seeds" or "combinations".
    runs, workers : int
        Number of runs; number of worker processes.
    seconds : float
        Wall-clock time of the whole sweep, from reading the design to drawing the picture, in seconds.
    overhead_ms : float
        Processor time of driver and workers per run, in ms, including their start and excluding the run itself.
    driver_ms : float
        Processor time of the driver per run, in ms.
    run_ms : float
        Processor time of the run itself, in ms.
    driver_mb : float
        Peak resident memory of the driver, in MB.
    """

    shape: str
    runs: int
    workers: int
    seconds: float
    overhead_ms: float
    driver_ms: float
    run_ms: float
    driver_mb: float


def _processor_seconds(usage_of: int) -> float:
    used = resource.getrusage(usage_of)
    return used.ru_utime + used.ru_stime


def _run_seconds() -> float:
    """Return the processor time of one run in this process, in seconds, averaged over ``SAMPLED`` runs."""
    plan = make_plan(load("xor"), {}, seeds=SAMPLED + 1, steps=1, models=MODELS[:2], validate=False, places=())
    jobs = [job for _, job in plan.jobs()]
    run_jobs(jobs[:1], version())  # compile the models first, so that the timing does not include it
    begun = time.process_time()
    run_jobs(jobs[1:], version())
    return (time.process_time() - begun) / SAMPLED


def measure(shape: str, runs: int, workers: int) -> Overhead:
    """Run one sweep, with this process as its driver, and return its overhead.

    Processor time and peak memory are those of the process since its start, so call this once per process.
    """
    if shape == "seeds":
        vary, seeds = {}, runs
    else:
        vary, seeds = {"network.scale": [number / runs for number in range(1, runs + 1)]}, 1
    with tempfile.TemporaryDirectory(prefix="mgd-hw-") as folder:
        begun = time.perf_counter()
        found = sweep("xor", vary, seeds=seeds, steps=1, out=Path(folder), workers=workers)
        seconds = time.perf_counter() - begun
    assert getattr(found, "runs", 0) == runs, found
    driver, children = (1000 / runs * _processor_seconds(usage_of) for usage_of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 10 if sys.platform != "darwin" else 1 << 20)
    run = 1000 * _run_seconds()
    return Overhead(shape, runs, workers, seconds, driver + children - run, driver, run, memory)


def _measure_in_new_process(shape: str, runs: int, workers: int) -> Overhead:
    """Call :func:`measure` in a new process, and return its result."""
    command = [sys.executable, "-m", "mgd_hw.sweeps.benchmark", "--once", shape, "--runs", str(runs), "--workers", str(workers)]
    done = subprocess.run(command, env=child_environment(), stdout=subprocess.PIPE, text=True, check=True)
    return Overhead(**json.loads(done.stdout))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mgd_hw.sweeps.benchmark", description="Measure the overhead of a sweep, per run.")
    parser.add_argument("--runs", type=int, default=10_000, help="runs of the largest sweep; the others have a half and a quarter")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="number of worker processes")
    parser.add_argument("--json", action="store_true", help="print one object on standard output, and the table on standard error")
    parser.add_argument("--once", choices=SHAPES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.once:
        print(json.dumps(asdict(measure(options.once, options.runs, options.workers))))
        return 0
    out = sys.stderr if options.json else sys.stdout
    found = []
    head = ("shape", "runs", "seconds", "overhead, ms/run", "driver, ms/run", "run, ms", "driver, MB")
    print("{:14} {:>7} {:>9} {:>17} {:>15} {:>9} {:>11}".format(*head), file=out, flush=True)
    for shape in SHAPES:
        for runs in (options.runs // 4, options.runs // 2, options.runs):
            each = _measure_in_new_process(shape, max(1, runs), options.workers)
            found.append(each)
            line = f"{each.shape:14} {each.runs:7,} {each.seconds:9.1f} {each.overhead_ms:17.2f} {each.driver_ms:15.2f} {each.run_ms:9.2f}"
            print(f"{line} {each.driver_mb:11.0f}", file=out, flush=True)
    print(f"{options.workers} workers, load average {os.getloadavg()[0]:.1f}.", file=out)
    if options.json:
        print(json.dumps([asdict(each) for each in found], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
