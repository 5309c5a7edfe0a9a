"""What one run of a figure is, and how it is done; nothing here knows who asks, or where it runs.

*Iterations* are those of the paper: a batch of 100 images without and with a perturbation, 200 forward passes of an image. A step that
perturbs the same images several times counts as several. Of back-propagation an iteration is an update.
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
"""The kind of the jobs that perform a run of a figure."""
COSINE = 0.95
"""Of the mean estimate to the true gradient: where a gradient counts as known."""
GOAL = 0.80
"""Test accuracy to reach."""
PAPER_BATCH = 100
"""Images of an iteration."""
FINEST, SHARE = 8, 128
"""Perturbations between two looks at the cosine, at first; later one part in so many of those made, or twice that."""
TIMED_STEPS, TIMED_SECONDS, TIMED_IMAGES = 16, 0.5, 500
"""What is timed of a run: so many steps, or as many as take so long; so many test images."""
NAMED = {"exact": "backprop"}


@dataclass(frozen=True)
class Task:
    """One run.

    Attributes
    ----------
    measure : str
        "cosine": perturbations of one image until the mean estimate has cosine 0.95 to its gradient, at the initial parameters, every
        layer perturbed apart; "goal": iterations to a test accuracy; "best": the best test accuracy in all iterations.
    series : str
        What it is one of, in the figure.
    n : int
        Width of the network.
    seed : int
        Of parameters, signs, order of images.
    iterations : int
        Largest number of iterations that the run may take.
    settings : Settings
        How the network learns: perturbations, batch, optimiser and rate.
    every : int
        Steps between looks at the test images.
    """

    measure: str
    series: str
    n: int
    seed: int
    iterations: int
    settings: Settings
    every: int = 50

    def passes(self) -> int:
        """Forward passes of an image in a step: of each image one without a perturbation, and those with."""
        often = self.settings.parts or ((1, 1),)
        return self.settings.batch * (1 if self.settings.kind == "exact" else 1 + sum(count for _, count in often))

    def of_steps(self, steps: int) -> float:
        """Iterations that so many steps are."""
        return float(steps) if self.settings.kind == "exact" else steps * self.passes() / (2 * PAPER_BATCH)

    def steps(self) -> int:
        """Steps that its iterations are, at least 1."""
        return max(1, int(self.iterations / self.of_steps(1)))


def identity(task: Task, data: str, version: str, *, limited: bool = True) -> str:
    """Who a run is: all that it depends on; without ``limited``, but for the iterations that it was limited to."""
    said = asdict(task if limited else replace(task, iterations=0)) | {"data": data, "version": version}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def perform(task: Task) -> dict[str, Any]:
    """Do a run: whether it reached what it was to, after what; and the processor's seconds."""
    spent = time.process_time()
    found = _cosine(task) if task.measure == "cosine" else _train(task)
    return found | {"processor_seconds": time.process_time() - spent}


def _cosine(task: Task) -> dict[str, Any]:
    network, theta, x, y = _start(task)
    true = estimator_of(replace(task.settings, kind="exact"), network, task.seed).estimate(theta, x, y, 0).gradient
    estimate = estimator_of(task.settings, network, task.seed)
    done, cosine = first_crossing(lambda p, count: _mean(estimate, theta, x, y, p, count), true, task.iterations)
    return {"reached": cosine >= COSINE, "iterations": done, "cosine": cosine, "expected": _by_theory(task, network, theta, x, y)}


def _start(task: Task) -> tuple[Sequential, np.ndarray, np.ndarray, np.ndarray]:
    """Network, initial parameters, the image and its target, of a run to a gradient."""
    from python_ref.datasets import SampleOrder
    from python_ref.floating.networks import fashion_2025

    data, network = centred(os.environ.get("MGD_DATA", "")), fashion_2025(task.n)
    image = SampleOrder(len(data.inputs), True, task.seed).indices(0, 1)
    return network, network.initial(task.seed), data.inputs[image].astype(np.float64), data.targets[image].astype(np.float64)


def expected(task: Task) -> float:
    """Perturbations that a run to a gradient takes by theory."""
    return _by_theory(task, *_start(task))


def _by_theory(task: Task, network: Sequential, theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    from mgd_hw.replication.theory import perturbations_expected

    return perturbations_expected(task.settings.kind, network, theta, x, lambda outputs: cost_of_figures().slopes(outputs, y), COSINE)


def _mean(estimator: Estimator, theta: np.ndarray, x: np.ndarray, y: np.ndarray, p: int, count: int) -> np.ndarray:
    """Mean estimate of perturbations p·count … of one image: as a batch of its copies, each with a perturbation of its own."""
    return estimator.estimate(theta, np.repeat(x, count, axis=0), np.repeat(y, count, axis=0), p).gradient


def first_crossing(mean: Callable[[int, int], np.ndarray], true: np.ndarray, most: int) -> tuple[int, float]:
    """Perturbations until the mean estimate has the cosine to the true gradient, or ``most`` of them, and the cosine there.

    Looked at as often as is worth it, so that the number is right within one part in 64. ``mean(p, count)`` is the mean estimate of
    perturbations p·count … (p + 1)·count − 1.
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
    """How fast a run goes.

    Attributes
    ----------
    step, look : float
        Seconds of a step, and of a look at all test images.
    """

    step: float
    look: float


def pace(task: Task) -> Pace:
    """Time a few steps and the judgement of a few test images, each apart, once what is compiled is compiled."""
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
    return evaluate(network, theta, inputs, targets)[0]


def _perform(job: Job) -> dict[str, Any]:
    return perform(pickle.loads(job.design))


register(PAPER, _perform)
