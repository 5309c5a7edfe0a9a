"""One run of a figure: its description, its execution and its timing, independent of the process that runs it.

*Iterations* are those of the paper: a batch of 100 images without and with a perturbation, which is 200 forward passes of an image. A
step that perturbs the same images several times counts as several iterations. An iteration of back-propagation is an update.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mgd_hw.replication.fashion import Settings, centred, cost_of_figures, estimator_of, learner_of
from mgd_hw.sweeps.jobs import Job, register

if TYPE_CHECKING:
    from python_ref.floating.estimators import Estimator
    from python_ref.floating.layers import Sequential

__all__ = ["COSINE", "GOAL", "PAPER", "PAPER_BATCH", "Pace", "Task", "expected", "identity", "pace", "perform"]

PAPER = "paper"
"""Kind of the jobs that perform a run of a figure."""
COSINE = 0.95
"""Cosine of the mean estimate to the true gradient at which the gradient counts as known."""
GOAL = 0.80
"""Test accuracy that a run has to reach."""
PAPER_BATCH = 100
"""Number of images of an iteration."""
FINEST, SHARE = 8, 128
"""Perturbations between two computations of the cosine: the first at start; later between 1/SHARE and 2/SHARE of those made so far."""
TIMED_STEPS, TIMED_SECONDS, TIMED_IMAGES = 16, 0.5, 500
"""Limits of a timing: the number of steps, their time in seconds, and the number of test images."""
NAMED = {"exact": "backprop"}
"""Name of a series in the published points, where it differs from ours."""


@dataclass(frozen=True)
class Task:
    """Description of one run of a figure.

    Attributes
    ----------
    measure : str
        Result of the run. "cosine": perturbations of one image, at the initial parameters and each layer separately, until the mean
        estimate has cosine 0.95 to its gradient. "goal": iterations until a test accuracy. "best": best test accuracy.
    series : str
        Training method that the run belongs to in the figure.
    n : int
        Width of the network, with 439n² + 71n + 10 parameters.
    seed : int
        Seed of the parameters, the signs and the order of images.
    iterations : int
        Largest number of iterations that the run may take.
    settings : Settings
        Settings of the training: perturbations, batch, optimiser and rate.
    every : int
        Number of steps between evaluations of the test images.
    """

    measure: str
    series: str
    n: int
    seed: int
    iterations: int
    settings: Settings
    every: int = 50

    def passes(self) -> int:
        """Return the number of forward passes in a step: for each image of the batch, one unperturbed and all perturbed passes."""
        often = self.settings.parts or ((1, 1),)
        return self.settings.batch * (1 if self.settings.kind == "exact" else 1 + sum(count for _, count in often))

    def of_steps(self, steps: int) -> float:
        """Convert a number of steps to iterations of the paper."""
        return float(steps) if self.settings.kind == "exact" else steps * self.passes() / (2 * PAPER_BATCH)

    def steps(self) -> int:
        """Return the number of steps in the largest number of iterations, at least 1."""
        return max(1, int(self.iterations / self.of_steps(1)))


def identity(task: Task, data: str, version: str, *, limited: bool = True) -> str:
    """Return a digest of everything that a run depends on.

    Parameters
    ----------
    task : Task
        Description of the run.
    data : str
        Digest of the images.
    version : str
        Version of this package that performs the run.
    limited : bool
        Whether the digest includes the largest number of iterations; without it, runs that differ only in that have the same digest.

    Returns
    -------
    str
        First 32 hexadecimal digits of a SHA-256.
    """
    fields = asdict(task if limited else replace(task, iterations=0)) | {"data": data, "version": version}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:32]


def perform(task: Task) -> dict[str, Any]:
    """Perform a run; return its results by name, among them "reached", whether it reached its goal, and "processor_seconds"."""
    spent = time.process_time()
    found = _cosine(task) if task.measure == "cosine" else _train(task)
    return found | {"processor_seconds": time.process_time() - spent}


def _cosine(task: Task) -> dict[str, Any]:
    """Perform a run that estimates a gradient until its mean has the cosine :data:`COSINE`."""
    network, theta, x, y = _start(task)
    true = estimator_of(replace(task.settings, kind="exact"), network, task.seed).estimate(theta, x, y, 0).gradient
    estimate = estimator_of(task.settings, network, task.seed)
    done, cosine = first_crossing(lambda p, count: _mean(estimate, theta, x, y, p, count), true, task.iterations)
    return {"reached": cosine >= COSINE, "iterations": done, "cosine": cosine, "expected": _by_theory(task, network, theta, x, y)}


def _start(task: Task) -> tuple[Sequential, np.ndarray, np.ndarray, np.ndarray]:
    """Return the network, its initial parameters, the image and its target, for a run that estimates a gradient."""
    from python_ref.datasets import SampleOrder
    from python_ref.floating.networks import fashion_2025

    data, network = centred(os.environ.get("MGD_DATA", "")), fashion_2025(task.n)
    image = SampleOrder(len(data.inputs), True, task.seed).indices(0, 1)
    return network, network.initial(task.seed), data.inputs[image].astype(np.float64), data.targets[image].astype(np.float64)


def expected(task: Task) -> float:
    """Return the number of perturbations that theory predicts for a run that estimates a gradient."""
    return _by_theory(task, *_start(task))


def _by_theory(task: Task, network: Sequential, theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Return the predicted number of perturbations for an image x with target y; see :mod:`mgd_hw.replication.theory`."""
    from mgd_hw.replication.theory import perturbations_expected

    return perturbations_expected(task.settings.kind, network, theta, x, lambda outputs: cost_of_figures().slopes(outputs, y), COSINE)


def _mean(estimator: Estimator, theta: np.ndarray, x: np.ndarray, y: np.ndarray, p: int, count: int) -> np.ndarray:
    """Return the mean estimate over perturbations p·count … (p + 1)·count − 1 of one image.

    The image is repeated in a batch, each copy with its own perturbation.
    """
    return estimator.estimate(theta, np.repeat(x, count, axis=0), np.repeat(y, count, axis=0), p).gradient


def first_crossing(mean: Callable[[int, int], np.ndarray], true: np.ndarray, most: int) -> tuple[int, float]:
    """Add estimates until their mean has the cosine :data:`COSINE` to the true gradient.

    The cosine is computed at intervals that grow with the number of perturbations, which is therefore exact to within one part in 64.

    Parameters
    ----------
    mean : callable
        Function of p and count that returns the mean estimate over perturbations p·count … (p + 1)·count − 1.
    true : array, shape (P,)
        True gradient that the mean is compared with.
    most : int
        Number of perturbations at which to stop in any case.

    Returns
    -------
    (int, float)
        Number of perturbations made, and the cosine that their mean reached.
    """
    total, done, cosine, count = np.zeros_like(true), 0, 0.0, FINEST
    while done < most:
        if done >= SHARE * count:
            count *= 2
        total += mean(done // count, count) * count
        done += count
        cosine = float(total @ true / (np.linalg.norm(total) * np.linalg.norm(true)))
        if cosine >= COSINE:
            break
    return done, cosine


def _train(task: Task) -> dict[str, Any]:
    """Perform a run that trains the network until a test accuracy, or for all its iterations."""
    from python_ref.datasets import SampleOrder
    from python_ref.floating.learner import evaluate, train
    from python_ref.floating.networks import fashion_2025

    data, network, steps = centred(os.environ.get("MGD_DATA", "")), fashion_2025(task.n), task.steps()
    result = train(
        learner_of(task.settings, network, task.seed),
        network.initial(task.seed, kind=np.float32),
        data.inputs,
        data.targets,
        SampleOrder(len(data.inputs), True, task.seed),
        steps,
        evaluation=partial(_accuracy, evaluate, network, data.judged, data.answers),
        record_every=min(task.every, steps),
        until=GOAL if task.measure == "goal" else None,
    )
    state, accuracy = result.state, result.curve.accuracy
    return {
        "reached": bool(accuracy[-1] >= GOAL) if task.measure == "goal" else True,
        "iterations": round(task.of_steps(state.steps)),
        "updates": state.updates,
        "writes": state.updates,
        "evaluations": state.evaluations,
        "accuracy": float(accuracy.max()),
    }


@dataclass(frozen=True)
class Pace:
    """Times that make up the duration of a run.

    Attributes
    ----------
    step, look : float
        Time of a training step, and of an evaluation of all test images, in seconds.
    """

    step: float
    look: float


def pace(task: Task) -> Pace:
    """Time a few training steps, the first of which does not count since it compiles, and an evaluation of a few test images."""
    from python_ref.floating.learner import evaluate, initial_state, step
    from python_ref.floating.networks import fashion_2025

    data, network, batch = centred(os.environ.get("MGD_DATA", "")), fashion_2025(task.n), task.settings.batch
    learner = learner_of(task.settings, network, task.seed)
    state = initial_state(learner, network.initial(task.seed, kind=np.float32))
    taken: list[float] = []
    while len(taken) <= TIMED_STEPS and sum(taken[1:]) < TIMED_SECONDS:
        begun = time.perf_counter()
        state, _ = step(learner, state, data.inputs[:batch], data.targets[:batch])
        taken.append(time.perf_counter() - begun)
    few = data.judged[:TIMED_IMAGES]
    begun = time.perf_counter()
    evaluate(network, state.theta, few, data.answers[: len(few)])
    look = (time.perf_counter() - begun) * len(data.judged) / len(few)
    return Pace(sum(taken[1:]) / len(taken[1:]), look)


def _accuracy(evaluate: Callable, network: Any, inputs: np.ndarray, targets: np.ndarray, theta: np.ndarray) -> float:
    """Return the accuracy of the network at ``theta``."""
    return evaluate(network, theta, inputs, targets)[0]


def _perform(job: Job) -> dict[str, Any]:
    """Perform the run that a job of the kind :data:`PAPER` describes."""
    return perform(pickle.loads(job.design))


register(PAPER, _perform)
