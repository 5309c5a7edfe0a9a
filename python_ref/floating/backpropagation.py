"""Back-propagation, the baseline for MGD: mini-batch descent along the exact gradient, with the samples shuffled in every epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from python_ref.floating.estimators import Differentiable, Exact
from python_ref.floating.learner import HalfCosine, Learner, initial_state, step
from python_ref.floating.optimizers import Adam, Optimizer
from python_ref.floating.passes import Objective

__all__ = ["Options", "Result", "train"]


@dataclass(frozen=True)
class Options:
    """Options of the baseline's training.

    The defaults suit any task: on validation images of digits, 64-32-10, mean of five seeds, Adam with them reaches 94.2, 95.6, 95.7 and
    95.4 % at 0.001, 0.002, 0.003 and 0.005. A design file can choose better ones for its task (docs/results/tuning.md).

    Parameters
    ----------
    optimizer : Optimizer
        Rule that turns a gradient into an update, with the initial rate η, which decreases to zero along half a cosine.
    epochs : int or None
        Passes through the samples. None chooses 60, increased to reach 3,000 updates or decreased to stay at 20,000.
    batch : int
        Samples per update; all samples if there are fewer.

    Raises
    ------
    ValueError
        If a number is not positive.
    """

    optimizer: Optimizer = Adam(0.003)
    epochs: int | None = None
    batch: int = 32

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"Size of a batch must be positive, not {self.batch!r}")
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"Number of epochs must be positive, not {self.epochs!r}")
        if not self.optimizer.rate > 0:
            raise ValueError(f"Rate must be positive, not {self.optimizer.rate!r}")

    def updates_per_epoch(self, n_samples: int) -> int:
        """Return the number of batches of ``n_samples`` samples; the last one may be smaller."""
        return -(-n_samples // self.batch)

    def epochs_for(self, n_samples: int) -> int:
        """Return the number of epochs over ``n_samples`` samples, chosen if ``epochs`` is None."""
        updates = self.updates_per_epoch(n_samples)
        return self.epochs or math.ceil(min(max(60 * updates, 3_000), 20_000) / updates)


@dataclass(frozen=True, eq=False)
class Result:
    """Result of a training run.

    Attributes
    ----------
    parameters : array, shape (P,)
        Parameters θ at the end, in the type of those at the start.
    updates, evaluations, writes : int
        Numbers of updates, of samples propagated forward *and back*, and of parameter writes.
    curve : dict of arrays, shape (records,)
        ``steps``, the updates so far, and ``evaluations`` so far (int64); ``accuracy`` and ``cost`` as evaluated (float64).
    """

    parameters: np.ndarray
    updates: int
    evaluations: int
    writes: int
    curve: dict[str, np.ndarray]


def train(
    network: Differentiable,
    objective: Objective,
    theta: np.ndarray,
    inputs: np.ndarray,
    targets: np.ndarray,
    seed: int,
    options: Options | None = None,
    *,
    evaluation: Callable[[np.ndarray], tuple[float, float]] | None = None,
    records: int = 50,
    record_at: Collection[int] | None = None,
    progress: Callable[[int], None] | None = None,
    watch: Callable[[np.ndarray], None] | None = None,
) -> Result:
    """Train by mini-batch gradient descent, with the samples shuffled in every epoch.

    Parameters
    ----------
    network, objective : Differentiable, Objective
        Network, and the cost of its outputs.
    theta : array, shape (P,)
        Parameters θ at the start; their type is that of the whole run.
    inputs, targets : arrays, shapes (n, n_in) and (n, n_out)
        Training set, a row per sample; converted to the type of ``theta``.
    seed : int
        Seed of the PCG64 generator that shuffles the samples.
    options : Options or None
        Options of the training; None takes the defaults.
    evaluation : callable or None
        Function that returns accuracy and cost of θ, called after some of the epochs; None leaves the curve empty.
    records : int
        Maximum number of evaluations, the last of them after the last epoch; the others are evenly spaced.
    record_at : collection of int or None
        Numbers of updates after which θ is evaluated, in place of the ends of epochs; None evaluates at these.
    progress : callable or None
        Called with the number of epochs done, after each.
    watch : callable or None
        Called with θ after every update.

    Raises
    ------
    ValueError
        If the network has no gradient.
    """
    options = options or Options()
    random = np.random.Generator(np.random.PCG64(seed))
    inputs, targets = (np.asarray(table, dtype=theta.dtype) for table in (inputs, targets))
    epochs = options.epochs_for(len(inputs))
    total = epochs * options.updates_per_epoch(len(inputs))
    learner = Learner(Exact(network, objective), options.optimizer, decay=HalfCosine(total))
    state, rows = initial_state(learner, theta), list[tuple[float, ...]]()
    recorded = set(np.linspace(1, epochs, min(epochs, records)).astype(int).tolist())
    for epoch in range(1, epochs + 1):
        shuffled = random.permutation(len(inputs))
        for first in range(0, len(inputs), options.batch):
            chosen = shuffled[first : first + options.batch]
            state, _ = step(learner, state, inputs[chosen], targets[chosen])
            if watch is not None:
                watch(state.theta)
            if evaluation is not None and record_at is not None and state.updates in record_at:
                rows.append((state.updates, state.evaluations, *evaluation(state.theta)))
        if evaluation is not None and record_at is None and epoch in recorded:
            rows.append((state.updates, state.evaluations, *evaluation(state.theta)))
        if progress is not None:
            progress(epoch)
    updates, evaluations, accuracies, costs = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    curve = {"steps": updates.astype(np.int64), "evaluations": evaluations.astype(np.int64), "accuracy": accuracies, "cost": costs}
    return Result(state.theta, state.updates, state.evaluations, state.writes, curve)
