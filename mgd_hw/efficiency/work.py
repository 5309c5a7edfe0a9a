"""Runs of all variants, on the processes of this machine; what is finished when the user interrupts them is kept."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from typing import Any

import numpy as np

from mgd_hw.common.progress import Progress
from mgd_hw.efficiency.training import KIND, Task
from mgd_hw.efficiency.variants import FIXED, Variant
from mgd_hw.sweeps.estimate import shown
from mgd_hw.sweeps.executors import executor_for
from mgd_hw.sweeps.jobs import DONE, REFUSED, Job, Row, run_jobs, version
from python_ref.spec.error import Refusal

__all__ = ["Finished", "train_all"]

Finished = dict[str, list[dict[str, Any]]]
"""Finished runs of each variant, by its name, in the order of their seeds; see :func:`mgd_hw.efficiency.training.run_task`."""

COMPILED = 20.0
"""How many times as fast as numpy, sample by sample, the compiled models are, roughly: to foretell the time that is left."""

FORETOLD = 0.05
"""Share of the work after which the time that is left is foretold: before, the start of the processes counts too much."""


def train_all(
    variants: Sequence[Variant], seeds: int, validate: bool, start: np.ndarray | None, workers: int | None, progress: Progress
) -> tuple[Finished, bool]:
    """Train every variant that is not refused from every seed.

    Parameters
    ----------
    variants : sequence of Variant
        Ways to learn; those that are refused are left out.
    seeds : int
        Number of runs of each.
    validate : bool
        Whether the validation samples judge the runs.
    start : array of float64, shape (P,), or None
        Initial parameters of every run, in place of random ones.
    workers : int or None
        Number of processes; 1 trains in this process, and None takes one process per processor core.
    progress : Progress
        Receives the share of the work that is done.

    Returns
    -------
    (Finished, bool)
        Finished runs, and whether the user interrupted the others.

    Raises
    ------
    Refusal
        If a worker refuses a run.
    KeyboardInterrupt
        If no run was finished before the interrupt.
    """
    jobs = {job.key: (variant, job) for job, variant in _jobs(variants, seeds, validate, start)}
    work, done, begun = {key: _work(variant) for key, (variant, _) in jobs.items()}, dict[str, Row](), time.perf_counter()
    count = min(workers or os.cpu_count() or 1, len(jobs))
    progress.status(f"{len(jobs)} runs on {count} {'process' if count == 1 else 'processes'}.")
    interrupted = False
    try:
        for row in _rows([job for _, job in jobs.values()], count, progress):
            done[row.key] = row
            finished, total = sum(work[key] for key in done), sum(work.values())
            spent = time.perf_counter() - begun
            known = FORETOLD * total < finished < total
            left = f", about {shown(spent * (total - finished) / finished)} left" if known else ""
            progress.update("Efficiency", finished, total, f"{len(done)} of {len(jobs)} runs{left}")
    except KeyboardInterrupt:
        if not done:
            raise
        interrupted = True
    found: Finished = {variant.name: [] for variant in variants}
    for key, (variant, _) in jobs.items():
        if key in done:
            found[variant.name].append(_columns(done[key]))
    return found, interrupted


def _jobs(variants: Sequence[Variant], seeds: int, validate: bool, start: np.ndarray | None) -> Iterator[tuple[Job, Variant]]:
    """Yield the jobs, all variants of one seed before the next, so that an interrupt leaves runs of each."""
    for number in range(seeds):
        for variant in variants:
            if not variant.refused:
                task = Task(variant.model, replace(variant.design, raw=None), number, variant.steps, validate, start)
                yield Job(f"{variant.name}-{number}", KIND, pickle.dumps(task), module="mgd_hw.efficiency.training"), variant


def _work(variant: Variant) -> float:
    """Return the work of a run in arbitrary units, for the estimate of the time that is left."""
    spec = variant.design.spec
    behind = sum(layer.n_parameters for layer in spec.network.layers[1:]) if variant.mgd and spec.node else spec.network.n_parameters
    return variant.steps * (200.0 + behind) / (COMPILED if variant.model == FIXED else 1.0)


def _rows(jobs: Sequence[Job], workers: int, progress: Progress) -> Iterator[Row]:
    """Yield the rows of jobs as they finish."""
    if workers <= 1:
        for job in jobs:
            yield from run_jobs([job], version())
        return
    executor = executor_for(None, workers, progress)
    try:
        running: set[Future[list[Row]]] = {executor.submit([job], version()) for job in jobs}
        while running:
            finished, running = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in finished:
                yield from executor.result(future)
    finally:
        executor.close()


def _columns(row: Row) -> dict[str, Any]:
    """Return what a job found.

    Raises
    ------
    Refusal
        If the job was refused.
    RuntimeError
        If it ended with an unexpected error.
    """
    if row.status == REFUSED:
        raise Refusal(row.message, "Change the design file.")
    if row.status != DONE:
        raise RuntimeError(f"A run of {row.key} failed: {row.message}")
    return row.columns
