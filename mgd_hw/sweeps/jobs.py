"""Jobs and the functions that run them in a worker: training runs of a design, and the area of its core on an FPGA part.

This module depends neither on the scheduler nor on the kind of executor.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.design.external import ExternalDesign
from mgd_hw.sweeps.learner import train_learner
from python_ref.spec.error import Refusal

if TYPE_CHECKING:
    from mgd_hw.data import Data, DataSpec
    from mgd_hw.design.description import Design
    from mgd_hw.learn.runs import Training

__all__ = ["DONE", "FAILED", "REFUSED", "Job", "Row", "cost_columns", "register", "run_jobs", "single_threaded", "version"]

DONE = "done"
"""Status of a job whose row has results."""
REFUSED = "refused"
"""Status of a job whose combination of values is refused."""
FAILED = "failed"
"""Status of a job that raised an unexpected error; the next sweep tries it again."""
TRAIN = "train"
"""Kind of the jobs that train a design."""
FIT = "fit"
"""Kind of the jobs that predict the area of a core on a part."""
SYNTH = "synth"
"""Kind of the jobs that determine the area of a core by synthesis with Yosys."""


def version() -> str:
    """Return the version of this package, which is part of each job key, so that versions do not share rows."""
    return version_of("mgd-hw")


def single_threaded() -> None:
    """Limit numpy to one thread in this process, because there is one process per CPU core. Call it before numpy is imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


@dataclass(frozen=True)
class Job:
    """One unit of work, which a worker can run without any other information.

    Attributes
    ----------
    key : str
        Identity of the job, which is the same in every sweep that contains it.
    kind : str
        "train", "fit" or "synth", or a registered kind.
    design : bytes
        Design, pickled once for all its jobs. For a registered kind, the argument of its function.
    number : int
        Seed number k. The seed of the run is the design's own seed plus k.
    steps : int
        Number of MGD steps in the run; 0 for a job that is not a run.
    models : tuple of str
        Models to train, a subset of "float", "fixed" and "backprop".
    validate : bool
        Whether the validation samples judge the run, instead of the test samples.
    target : str
        Name of the FPGA part; "" for a run.
    module : str
        Module that registers the kind on import; the worker imports it. "" for the kinds of this module.
    """

    key: str
    kind: str
    design: bytes
    number: int = 0
    steps: int = 0
    models: tuple[str, ...] = ()
    validate: bool = False
    target: str = ""
    module: str = ""


@dataclass(frozen=True)
class Row:
    """Result of a job, as the journal stores it.

    Attributes
    ----------
    key : str
        Key of the job that the row describes.
    status : str
        "done", "refused" or "failed".
    message : str
        Reason why the job is not done; "" if it is.
    seconds : float
        Wall-clock time that the job took, in seconds.
    columns : dict
        Results by name, as values that JSON can hold.
    """

    key: str
    status: str
    message: str
    seconds: float
    columns: dict[str, Any]


def run_jobs(jobs: Sequence[Job], expected: str) -> list[Row]:
    """Run jobs one after the other, and return their rows; a job that fails does not stop the others.

    Raises
    ------
    Refusal
        If this worker has another version of the package than ``expected``, the driver's.
    """
    if version() != expected:
        reason = f"a worker has version {version()} of mgd-hw, and this is {expected}"
        raise Refusal(reason, "Install the same on every worker.", key="--scheduler")
    return [_run(job) for job in jobs]


def _run(job: Job) -> Row:
    begun = time.perf_counter()
    status, message, columns = DONE, "", {}
    try:
        if job.module:
            import_module(job.module)
        columns = _KINDS[job.kind](job)
    except Refusal as error:
        status, message = REFUSED, str(error)
    except Exception as error:  # the row reports the error, and the other jobs go on
        said = " ".join(str(error).split())[:300]
        status, message = FAILED, f"{type(error).__name__}: {said}"
    return Row(job.key, status, message, time.perf_counter() - begun, columns)


@lru_cache(maxsize=64)
def _design(pickled: bytes) -> Any:
    design = pickle.loads(pickled)
    assert design.spec is not None
    return design


@lru_cache(maxsize=4)
def _data(spec: DataSpec, validate: bool) -> Data:
    from mgd_hw.data import load

    return load(spec, validate=validate)


@lru_cache(maxsize=1)
def _compiled() -> None:
    """Compile the fast models on a small design, once per process, so that the time of no run includes it."""
    from mgd_hw.design.reader import load as load_design
    from mgd_hw.learn.trainers import warm_up

    design = load_design("xor")
    warm_up(design, _data(design.data, False))


def _ignore_progress(_: float) -> None:
    """Discard the progress of a run."""


def _train(job: Job) -> dict[str, Any]:
    from mgd_hw.common.results import plain
    from mgd_hw.learn.trainers import trainers_of

    design = _design(job.design)
    if isinstance(design, ExternalDesign):
        return train_learner(design, job.models, job.number, job.steps)
    _compiled()
    data = _data(design.data, job.validate)
    trainers = trainers_of(design, data, job.number, job.steps)
    head: dict[str, Any] = {}
    columns: dict[str, Any] = {}
    for model in job.models:
        if model not in trainers:
            continue
        found = trainers[model](_ignore_progress)
        scores = {measure.name: plain(found.scores.get(measure.name)) for measure in data.kind.measures}
        judged = {**scores, "cost": plain(found.cost), "diverged": found.diverged}
        values = {**judged, "evaluations": found.evaluations, "writes": found.writes}
        if not head or model == "fixed":
            head = {"model": model, "kind": data.kind.name, **judged}
        columns |= {f"{model}_{name}": value for name, value in values.items()} | {f"{model}_seconds": found.seconds}
        columns |= {f"{model}_{name}": value for name, value in _costs(design, job.steps, model, found).items()}
        columns |= {f"saturated_{kind}": count for kind, count in found.saturations.items()}
    return head | columns


def _costs(design: Design, steps: int, model: str, found: Training) -> dict[str, Any]:
    """Return the cost of a run: cycles of the core, if known, and energy in joules, by counting operations (:mod:`mgd_hw.learn.costs`)."""
    from mgd_hw.learn.costs import costs_of_backprop, costs_of_mgd

    if model == "backprop":
        return {"joules": costs_of_backprop(design, found.evaluations, found.writes).energy.joules}
    costs = costs_of_mgd(design, steps, fixed=model == "fixed", evaluations=found.evaluations, writes=found.writes)
    return ({} if costs.cycles is None else {"cycles": costs.cycles}) | {"joules": costs.energy.joules}


def cost_columns(design: bytes, steps: int, models: Sequence[str]) -> dict[str, Any]:
    """Return the columns of the costs of MGD in a run of a pickled design, which is not trained."""
    from mgd_hw.learn.costs import costs_of_mgd

    found: dict[str, Any] = {}
    if isinstance(_design(design), ExternalDesign):  # its time and its energy are the outside's
        return found
    for model in (model for model in models if model != "backprop"):
        costs = costs_of_mgd(_design(design), steps, fixed=model == "fixed")
        found |= {} if costs.cycles is None else {f"{model}_cycles": costs.cycles}
        found[f"{model}_joules"] = costs.energy.joules
    return found


def _fit(job: Job) -> dict[str, Any]:
    from boards.parts.fit import fit
    from mgd_hw.design.description import check_hardware

    design = _design(job.design)
    if not isinstance(design, ExternalDesign):
        check_hardware(design)
    found = fit(design.spec, job.target)
    kinds = {kind: getattr(found.taken, kind) for kind in ("lut", "ff", "dsp", "bram")}
    return {"target": job.target, "area_by": "prediction", **kinds, **_common(found)}


def _synth(job: Job) -> dict[str, Any]:
    from mgd_hw.hardware.synth import synth

    design = _design(job.design)
    with tempfile.TemporaryDirectory(prefix="mgd-hw-") as folder:
        found = synth(design, target=job.target, out=Path(folder))
    kinds = {kind: getattr(found, kind) for kind in ("lut", "ff", "dsp", "bram")}
    return {"target": job.target, "area_by": "synthesis", **kinds, **_common(found), "synth_seconds": found.seconds}


def _common(found: Any) -> dict[str, Any]:
    return {"memory_bits": found.memory_bits, "fits": found.fits, "cycles_per_step": found.cycles_per_step}


_KINDS: dict[str, Callable[[Job], dict[str, Any]]] = {TRAIN: _train, FIT: _fit, SYNTH: _synth}


def register(kind: str, do: Callable[[Job], dict[str, Any]]) -> None:
    """Register a function that runs jobs of another kind and returns the columns of their rows.

    Call it when a module is imported, and name that module in the jobs, so that workers import it.
    """
    _KINDS[kind] = do
