"""Fashion-MNIST as the network of 2025 learns it: the images, and a learner of some settings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from python_ref.datasets import Samples

if TYPE_CHECKING:
    from python_ref.floating.estimators import Estimator, Parts
    from python_ref.floating.layers import Sequential
    from python_ref.floating.learner import Learner
    from python_ref.floating.objectives import CrossEntropy

__all__ = ["TOGETHER_OF_NODES", "Images", "Settings", "centred", "cost_of_figures", "estimator_of", "images", "learner_of"]

TOGETHER_OF_NODES = ((6, 1), (3, 12))
"""The six convolutions perturbed together once per sample and step, and the three dense layers twelve times (docs/results/scale.md)."""


@dataclass(frozen=True)
class Settings:
    """How the network learns; all that a run depends on but its data, seed and length.

    Attributes
    ----------
    kind : str
        What is perturbed, "node" or "weight"; "exact": nothing, by back-propagation.
    batch : int
        Samples of a step.
    parts : Parts or None
        Layers perturbed together, and how often in a step.
    sparing : bool
        Of nodes: whether pixels are left alone that pools pass over.
    groups : int
        Of weights: perturbations of a batch; 0: one for each sample.
    delta : float
        Amplitude of the perturbations of nodes or weights.
    rule, rate : str, float
        Optimiser, "adam" or "plain", and its rate.
    ease : float
        Factor on the rate of the convolutions.
    two_sided : bool
        Whether differences are two-sided.
    update_period : int
        Number of steps from one parameter update to the next, τ_θ.
    normalise : bool
        Whether an update is as long as the true gradient (2025).
    """

    kind: str = "node"
    batch: int = 100
    parts: Parts | None = TOGETHER_OF_NODES
    sparing: bool = True
    groups: int = 10
    delta: float = 0.01
    rule: str = "adam"
    rate: float = 0.002
    ease: float = 0.1
    two_sided: bool = False
    update_period: int = 1
    normalise: bool = False


def images(task: str) -> tuple[Samples, Samples]:
    """The training and the test images, from MGD_DATA or from what `mgd-hw fetch` has downloaded.

    Raises
    ------
    Refusal
        If they are in neither.
    """
    from mgd_hw.data import DataSpec, load

    data = load(DataSpec(task, 784, 10, Path("figures"), test_fraction=None))
    return data.train, data.test


@dataclass(frozen=True, eq=False)
class Images:
    """Fashion-MNIST, or what else is asked for, without the mean training image (float32).

    Attributes
    ----------
    inputs, targets, judged, answers : arrays
        Training images and their targets; test images and theirs.
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
    """The images, kept by the process; ``where`` is the value of MGD_DATA, so that other images are not taken for them."""
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
    """Cross-entropy, a tenth of each target spread over all answers."""
    from python_ref.floating.objectives import CrossEntropy

    return CrossEntropy(0.1)


def estimator_of(settings: Settings, network: Sequential, seed: int) -> Estimator:
    """What measures its gradient."""
    from python_ref.floating.codes import RandomCode
    from python_ref.floating.estimators import Exact, NodePerturbation, WeightPerturbation
    from python_ref.floating.passes import Measured

    cost, code, each = cost_of_figures(), RandomCode(seed), settings
    if each.kind == "exact":
        return Exact(network, cost)
    if each.kind == "node":
        return NodePerturbation(network, cost, code, each.delta, each.two_sided, sparing=each.sparing, parts=each.parts)
    return WeightPerturbation(Measured(network, cost), code, each.delta, each.two_sided, groups=each.groups or None, parts=each.parts)


def learner_of(settings: Settings, network: Sequential, seed: int) -> Learner:
    """The learner of some settings."""
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
