"""What a worker does: runs of a design, and what its core takes of an FPGA. Nothing here knows who asks, or where it runs."""

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

from python_ref.spec.error import Refusal

if TYPE_CHECKING:
    from mgd_hw.data import Data, DataSpec
    from mgd_hw.design.description import Design
    from mgd_hw.learn.runs import Training

__all__ = ["DONE", "FAILED", "REFUSED", "Job", "Row", "register", "run_jobs", "single_threaded", "version"]

DONE = "done"
"""Status of a job whose row has results."""
REFUSED = "refused"
"""Status of a job whose combination of values is refused."""
FAILED = "failed"
"""Status of a job that broke, and may be tried again."""
TRAIN = "train"
"""Kind of the jobs that train a design."""
FIT = "fit"
"""Kind of the jobs that predict what a core takes of a part."""
SYNTH = "synth"
"""Kind of the jobs that find the same with Yosys."""


def version() -> str:
    """Of this package: rows of another are not taken for ours."""
    return version_of("mgd-hw")


def single_threaded() -> None:
    """Keep numpy of this process to one thread: there is a process for each core. Of use before numpy is imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes
    ----------
    key : str
        Who it is: the same of the same job in any sweep.
    kind : str
        "train", "fit" or "synth", or a kind that was registered.
    design : bytes
        The design, pickled once for all its jobs; of a registered kind, what its function takes.
    number : int
        Seed number k; the seed is the design's own plus k.
    steps : int
        Number of MGD steps in the run; 0 for a job that is not a run.
    models : tuple of str
        Those to train, of "float", "fixed" and "backprop".
    validate : bool
        Whether it is judged by the validation samples.
    target : str
        The part, of a job that is not a run.
    module : str
        Name of the module that registers the kind when it is imported, which a worker does; "" for the kinds of this module.
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
    """What came of a job.

    Attributes
    ----------
    key : str
        Key of the job that the row describes.
    status : str
        "done", "refused" or "failed".
    message : str
        Why, if it is not done.
    seconds : float
        Wall-clock time that the job took, in seconds.
    columns : dict
        What was found, plain.
    """

    key: str
    status: str
    message: str
    seconds: float
    columns: dict[str, Any]


def run_jobs(jobs: Sequence[Job], expected: str) -> list[Row]:
    """Do some jobs, one after the other; one that breaks does not keep the others from being done.

    Raises
    ------
    Refusal
        If this worker's package is of another version than the driver's.
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
    except Exception as error:  # whatever it is, the other runs go on, and it is told of
        said = " ".join(str(error).split())[:300]
        status, message = FAILED, f"{type(error).__name__}: {said}"
    return Row(job.key, status, message, time.perf_counter() - begun, columns)


@lru_cache(maxsize=64)
def _design(pickled: bytes) -> Design:
    design = pickle.loads(pickled)
    assert design.spec is not None
    return design


@lru_cache(maxsize=4)
def _data(spec: DataSpec, validate: bool) -> Data:
    from mgd_hw.data import load

    return load(spec, validate=validate)


@lru_cache(maxsize=1)
def _compiled() -> None:
    """Have the fast models compiled, on the smallest design there is: once in a process, so that no run's time includes it."""
    from mgd_hw.design.reader import load as load_design
    from mgd_hw.learn.trainers import warm_up

    design = load_design("xor")
    warm_up(design, _data(design.data, False))


def _nothing(_: float) -> None:
    """Nobody is told of the progress within a run."""


def _train(job: Job) -> dict[str, Any]:
    from mgd_hw.common.results import plain
    from mgd_hw.learn.trainers import trainers_of

    design = _design(job.design)
    _compiled()
    data = _data(design.data, job.validate)
    trainers = trainers_of(design, data, job.number, job.steps)
    head: dict[str, Any] = {}
    columns: dict[str, Any] = {}
    for model in job.models:
        if model not in trainers:
            continue
        found = trainers[model](_nothing)
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
    """What the run cost: cycles of the core, and joules by counting operations (:mod:`mgd_hw.learn.costs`)."""
    from mgd_hw.learn.costs import costs_of_backprop, costs_of_mgd

    if model == "backprop":
        return {"joules": costs_of_backprop(design, found.evaluations, found.writes).energy.joules}
    costs = costs_of_mgd(design, steps, fixed=model == "fixed", evaluations=found.evaluations, writes=found.writes)
    return ({} if costs.cycles is None else {"cycles": costs.cycles}) | {"joules": costs.energy.joules}


def _fit(job: Job) -> dict[str, Any]:
    from boards.parts.fit import fit
    from mgd_hw.design.description import check_hardware

    design = _design(job.design)
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
    """Have jobs of another kind done by a function, which returns the columns of their rows; the module that calls this is the job's."""
    _KINDS[kind] = do
