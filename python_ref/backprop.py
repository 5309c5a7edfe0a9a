"""Back-propagation: the true gradient, and the baseline that MGD is compared with. The same network, the same cost, float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from python_ref.float_machine import correct, evaluate, forward
from python_ref.parameters import join_parameters, split_parameters
from python_ref.spec.design import DesignSpec

__all__ = ["Options", "Result", "defined", "train", "true_gradient"]


def defined(spec: DesignSpec) -> bool:
    """Whether the network has a gradient: not with sign, whose slope is zero wherever it exists."""
    return all(layer.activation.differentiable for layer in spec.network.layers)


def true_gradient(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """∂C/∂θ, the mean over samples, by back-propagation.

    Parameters
    ----------
    spec : DesignSpec
        Design.
    parameters : array of float64, shape (P,)
        θ in canonical order.
    inputs, targets : arrays, shapes (n, n_in) and (n, n_out)
        Samples.

    Returns
    -------
    array of float64, shape (P,)
        In canonical order.

    Raises
    ------
    ValueError
        If a layer's activation is sign: surrogate slopes would be another algorithm, so there is nothing to compare with.
    """
    return _gradient(spec, parameters, np.asarray(inputs, dtype=np.float64), targets)[0]


def _gradient(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean gradient, and the outputs it was taken at."""
    values = forward(spec, parameters, inputs)
    parts, error = [], 2.0 * (values[-1] - targets) / len(inputs)  # ∂C/∂y of C = Σ(y − y*)²
    layers = list(zip(spec.network.layers, split_parameters(spec, parameters), values, values[1:], strict=False))
    for layer, (weights, _), x, y in reversed(layers):
        change = error * layer.activation.slope(y)
        parts.append((change.T @ x, change.sum(axis=0)))
        error = change @ weights
    return join_parameters(parts[::-1]), values[-1]


@dataclass(frozen=True)
class Options:
    """How the baseline is trained.

    The defaults serve any task: on validation images of digits, 64-32-10, mean of five seeds, Adam at 0.001, 0.002, 0.003 and 0.005
    reaches 94.2, 95.6, 95.7 and 95.4 % with them. A design file can say what suits it better (docs/results/tuning.md).

    Parameters
    ----------
    optimizer : str
        ``"adam"`` (Kingma & Ba, ICLR 2015, algorithm 1, β₁ 0.9, β₂ 0.999, ε 1e-8, bias-corrected) or ``"momentum"``
        (SGD, v ← 0.9·v + ∇C, θ ← θ − η·v).
    epochs : int or None
        Passes through the samples. None takes 60, or as many more as make 3,000 updates, or as many fewer as make 20,000.
    batch : int
        Samples per update; all of them, if there are fewer.
    rate : float or None
        η at the start; it falls to zero along half a cosine. None takes 0.003 for Adam and 0.005 for momentum.
    """

    optimizer: str = "adam"
    epochs: int | None = None
    batch: int = 32
    rate: float | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in ("adam", "momentum"):
            raise ValueError(f"Optimizer must be 'adam' or 'momentum', not {self.optimizer!r}")
        if self.batch < 1:
            raise ValueError(f"Size of a batch must be positive, not {self.batch!r}")
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"Number of epochs must be positive, not {self.epochs!r}")
        if self.rate is not None and not self.rate > 0:
            raise ValueError(f"Rate must be positive, not {self.rate!r}")

    def epochs_for(self, n_samples: int) -> int:
        """Epochs, also where they are left open."""
        updates = -(-n_samples // self.batch)
        return self.epochs or math.ceil(min(max(60 * updates, 3_000), 20_000) / updates)

    @property
    def starting_rate(self) -> float:
        """η at the start, also where it is left open."""
        return self.rate or {"adam": 0.003, "momentum": 0.005}[self.optimizer]


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes
    ----------
    parameters : array of float64, shape (P,)
        θ in canonical order.
    updates, evaluations, writes : int
        Updates; samples propagated forward *and back*; parameter writes.
    curve : dict of arrays of shape (epochs,)
        ``evaluations`` so far, ``online_accuracy`` and ``online_cost`` over the epoch's samples as they came, ``accuracy``
        and ``cost`` on the samples for evaluation (NaN where none were given).
    """

    parameters: np.ndarray
    updates: int
    evaluations: int
    writes: int
    curve: dict[str, np.ndarray]


def train(
    spec: DesignSpec,
    parameters: np.ndarray,
    inputs: np.ndarray,
    targets: np.ndarray,
    seed: int,
    options: Options | None = None,
    *,
    evaluation: tuple[np.ndarray, np.ndarray] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Result:
    """Train by mini-batch gradient descent, the samples shuffled every epoch.

    Parameters
    ----------
    spec : DesignSpec
        Its network alone matters.
    parameters : array of float64, shape (P,)
        θ at the start, in canonical order.
    inputs, targets : arrays, shapes (n, n_in) and (n, n_out)
        Samples.
    seed : int
        Of the shuffles.
    options : Options or None
        The defaults, if None.
    evaluation : (inputs, targets) or None
        Samples to evaluate after every epoch.
    progress : callable or None
        Called with the number of epochs done.

    Raises
    ------
    ValueError
        If the network has no gradient.
    """
    options = options or Options()
    random = np.random.Generator(np.random.PCG64(seed))
    inputs, targets = np.asarray(inputs, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    theta = np.array(parameters, dtype=np.float64)
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    epochs, batch = options.epochs_for(len(inputs)), min(options.batch, len(inputs))
    total, update, rows = epochs * -(-len(inputs) // batch), 0, []
    for epoch in range(epochs):
        order, right, cost = random.permutation(len(inputs)), 0, 0.0
        for first in range(0, len(inputs), batch):
            chosen = order[first : first + batch]
            gradient, outputs = _gradient(spec, theta, inputs[chosen], targets[chosen])
            right += int(np.count_nonzero(correct(outputs, targets[chosen])))
            cost += float(np.sum((outputs - targets[chosen]) ** 2))
            rate = options.starting_rate * 0.5 * (1.0 + math.cos(math.pi * update / total))
            update += 1
            if options.optimizer == "adam":
                mean += 0.1 * (gradient - mean)
                square += 0.001 * (gradient * gradient - square)
                theta -= rate / (1 - 0.9**update) * mean / (np.sqrt(square / (1 - 0.999**update)) + 1e-8)
            else:
                mean = 0.9 * mean + gradient
                theta -= rate * mean
        evaluated = evaluate(spec, theta, *evaluation) if evaluation is not None else (math.nan, math.nan)
        rows.append(((epoch + 1) * len(inputs), right / len(inputs), cost / len(inputs), *evaluated))
        if progress is not None:
            progress(epoch + 1)
    names = ("evaluations", "online_accuracy", "online_cost", "accuracy", "cost")
    curve = dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))
    return Result(theta, update, epochs * len(inputs), update * len(theta), curve)
