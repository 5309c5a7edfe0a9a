"""Images and learner of the 2025 paper's network, which learns Fashion-MNIST."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from python_ref.datasets import Samples
from python_ref.spec.error import unknown

if TYPE_CHECKING:
    from python_ref.floating.estimators import Estimator, Parts
    from python_ref.floating.layers import Sequential
    from python_ref.floating.learner import Learner
    from python_ref.floating.objectives import CrossEntropy

__all__ = ["TOGETHER_OF_NODES", "Images", "Settings", "centred", "cost_of_figures", "estimator_of", "images", "learner_of"]

TOGETHER_OF_NODES = ((6, 1), (3, 12))
"""Default partition of the layers: per sample and step, the six convolutions are perturbed together once, and the three dense layers
together twelve times (docs/results/scale.md)."""


@dataclass(frozen=True)
class Settings:
    """Settings of a training run: everything that it depends on except its data, seed and length.

    Attributes
    ----------
    kind : str
        Perturbed quantities, "node" or "weight"; "exact" for back-propagation, which perturbs none.
    batch : int
        Number of samples in a training step.
    parts : Parts or None
        Numbers of layers that are perturbed together, and of their perturbations per sample in a step.
    skip_dead_nodes : bool
        For nodes, whether pixels that a pooling layer discards are not perturbed.
    groups : int
        For weights, number of perturbations of a batch, each for a group of its samples; 0 takes one per sample.
    delta : float
        Amplitude of the perturbations of nodes or weights.
    rule, rate : str, float
        Name of the optimiser, "adam" or "plain", and its learning rate.
    ease : float
        Factor on the learning rate of the convolutions.
    two_sided : bool
        Whether cost differences are two-sided rather than one-sided.
    update_period : int
        Number of steps from one parameter update to the next, τ_θ.
    normalise : bool
        Whether an update is scaled to the length of the true gradient, as in the 2025 paper.
    """

    kind: str = "node"
    batch: int = 100
    parts: Parts | None = TOGETHER_OF_NODES
    skip_dead_nodes: bool = True
    groups: int = 10
    delta: float = 0.01
    rule: str = "adam"
    rate: float = 0.002
    ease: float = 0.1
    two_sided: bool = False
    update_period: int = 1
    normalise: bool = False


def images(task: str) -> tuple[Samples, Samples]:
    """Load the training and the test images, from MGD_DATA or from the files that `mgd-hw fetch` downloaded.

    Raises
    ------
    Refusal
        If neither has them.
    """
    from mgd_hw.data import DataSpec, load

    data = load(DataSpec(task, 784, 10, Path("figures"), test_fraction=None))
    return data.train, data.test


@dataclass(frozen=True, eq=False)
class Images:
    """Images of a task less the mean training image, float32.

    Attributes
    ----------
    inputs, targets, judged, answers : arrays
        Training images and their targets, and test images and their targets.
    digest : str
        First 16 hexadecimal digits of the SHA-256 of all four arrays.
    """

    inputs: np.ndarray
    targets: np.ndarray
    judged: np.ndarray
    answers: np.ndarray
    digest: str


@lru_cache(maxsize=1)
def centred(where: str, task: str = "fashion-mnist") -> Images:
    """Load the images of a task less the mean training image; the last call is cached.

    Parameters
    ----------
    where : str
        Value of MGD_DATA, which makes the cache distinguish different sources of images.
    task : str
        Name of the task, such as "fashion-mnist" or "mnist".
    """
    import hashlib

    train, test = images(task)
    mean = train.inputs.mean(axis=0)
    given = train.inputs - mean, train.targets, test.inputs - mean, test.targets
    inputs, targets, judged, answers = (np.ascontiguousarray(table, np.float32) for table in given)
    sha = hashlib.sha256()
    for table in (inputs, targets, judged, answers):
        sha.update(repr(table.shape).encode())
        sha.update(table)
    return Images(inputs, targets, judged, answers, sha.hexdigest()[:16])


def cost_of_figures() -> CrossEntropy:
    """Return the cost of all figures: cross-entropy with label smoothing of 0.1."""
    from python_ref.floating.objectives import CrossEntropy

    return CrossEntropy(0.1)


def estimator_of(settings: Settings, network: Sequential, seed: int) -> Estimator:
    """Return the estimator of the gradient for some settings."""
    from python_ref.floating.codes import RandomCode
    from python_ref.floating.estimators import Exact, NodePerturbation, WeightPerturbation
    from python_ref.floating.passes import Measured

    cost, code, each = cost_of_figures(), RandomCode(seed), settings
    if each.kind == "exact":
        return Exact(network, cost)
    if each.kind == "node":
        return NodePerturbation(network, cost, code, each.delta, each.two_sided, skip_dead_nodes=each.skip_dead_nodes, parts=each.parts)
    if each.kind != "weight":
        raise unknown("Kind", each.kind, "mgd_hw.replication.fashion.estimator_of")
    return WeightPerturbation(Measured(network, cost), code, each.delta, each.two_sided, groups=each.groups or None, parts=each.parts)


def learner_of(settings: Settings, network: Sequential, seed: int) -> Learner:
    """Return the learner for some settings."""
    from python_ref.floating.learner import Learner
    from python_ref.floating.optimizers import Adam, Layered, Plain

    factors = tuple((block.size, settings.ease if block.name.startswith("conv") else 1.0) for block in network.parameters)
    return Learner(
        estimator_of(settings, network, seed),
        Layered({"adam": Adam, "plain": Plain}[settings.rule](settings.rate), factors),
        settings.batch,
        update_period=settings.update_period,
        normalise=settings.normalise,
    )
