"""Figures at the papers' scale, each a run that prints one JSON object: ``python -m mgd_hw.figures fashion --width 4``. Minutes to hours.

Counted in *sample evaluations*, forward passes of one sample. Images come from MGD_DATA, or from what `mgd-hw fetch` has downloaded.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click
import numpy as np

from mgd_hw.data import DataSpec, load
from python_ref.datasets import Samples

__all__ = ["main"]


def _images(task: str) -> tuple[Samples, Samples]:
    data = load(DataSpec(task, 784, 10, Path("figures"), test_fraction=None))
    return data.train, data.test


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """Reproduce a figure."""


@main.command()
@click.option("--width", default=4, help="n of the network, with 439n² + 71n + 10 parameters.")
@click.option("--kind", type=click.Choice(("node", "weight")), default="node", help="What is perturbed.")
@click.option("--seed", default=1, help="Of parameters, signs and order.")
@click.option("--batch", default=100, help="Samples of a step.")
@click.option("--repeats", default=1, help="Perturbations of each.")
@click.option("--groups", default=0, help="Weight only: perturbations of a batch; 0: one for each sample.")
@click.option("--delta", default=0.01, help="Amplitude.")
@click.option("--rate", default=0.002, help="Of Adam.")
@click.option("--apart", is_flag=True, help="Perturb each layer in a pass of its own.")
@click.option("--two-sided", is_flag=True, help="Two-sided differences.")
@click.option("--steps", default=20_000, help="At most.")
@click.option("--every", default=200, help="Steps between evaluations of all test images; these are not counted.")
@click.option("--until", default=0.8, help="Test accuracy to reach.")
def fashion(
    width: int, kind: str, seed: int, batch: int, repeats: int, groups: int, delta: float, rate: float, apart: bool, two_sided: bool,
    steps: int, every: int, until: float,
) -> None:  # fmt: skip
    """Fashion-MNIST, network of 2025: sample evaluations to an accuracy. Published, node: 277 k (n = 4), 210 k (n = 8) batches of 100."""
    from python_ref.learning.codes import RandomCode
    from python_ref.learning.estimators import Estimator, NodePerturbation, WeightPerturbation
    from python_ref.learning.networks import fashion_2025
    from python_ref.learning.objectives import CrossEntropy
    from python_ref.learning.passes import Measured

    network, cost, code = fashion_2025(width), CrossEntropy(0.1), RandomCode(seed)
    estimator: Estimator
    if kind == "node":
        estimator = NodePerturbation(network, cost, code, delta, two_sided, apart, repeats)
    else:
        estimator = WeightPerturbation(Measured(network, cost), code, delta, two_sided, apart, repeats, groups or None)
    _run("fashion-mnist", network, estimator, seed, batch, rate, steps, every, until, decay=False)


@main.command()
@click.option("--seed", default=1, help="Of parameters, signs and order.")
@click.option("--batch", default=1000, help="Samples of a step.")
@click.option("--repeats", default=16, help="Perturbations of each.")
@click.option("--delta", default=0.01, help="Amplitude.")
@click.option("--rate", default=0.002, help="Of Adam, at the start; it falls to zero along half a cosine.")
@click.option("--steps", default=1600, help="Steps.")
@click.option("--every", default=100, help="Steps between evaluations of all test images; these are not counted.")
def mnist(seed: int, batch: int, repeats: int, delta: float, rate: float, steps: int, every: int) -> None:
    """MNIST by node perturbation of 784-1024-256-10: 1,068,810 parameters."""
    from python_ref.learning.codes import RandomCode
    from python_ref.learning.estimators import NodePerturbation
    from python_ref.learning.networks import dense
    from python_ref.learning.objectives import CrossEntropy
    from python_ref.spec.network import Activation

    network = dense((784, 1024, 256, 10), Activation.RELU)
    estimator = NodePerturbation(network, CrossEntropy(0.1), RandomCode(seed), delta, repeats=repeats)
    _run("mnist", network, estimator, seed, batch, rate, steps, every, None, decay=True)


def _run(task, network, estimator, seed, batch, rate, steps, every, until, *, decay) -> None:
    """Train, print progress on standard error and the result on standard output."""
    from python_ref.datasets import SampleOrder
    from python_ref.learning.learner import Constant, HalfCosine, Learner, evaluate, train
    from python_ref.learning.optimizers import Adam

    learning, test = _images(task)
    mean = learning.inputs.mean(axis=0)
    inputs, judged = learning.inputs - mean, test.inputs - mean
    began, spent = time.perf_counter(), time.process_time()
    result = train(
        Learner(estimator, Adam(rate), batch, decay=HalfCosine(steps) if decay else Constant()),
        network.initial(seed, kind=np.float32),
        inputs,
        learning.targets,
        SampleOrder(len(inputs), True, seed),
        steps,
        evaluation=lambda theta: evaluate(network, theta, judged, test.targets)[0],
        record_every=every,
        until=until,
        progress=lambda n, accuracy: print(
            f"step {n:,}: {100 * accuracy:.2f} %, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True
        ),
    )
    told = {
        "arguments": sys.argv[1:],
        "parameters": network.n_parameters,
        "quantities": estimator.quantities,
        "steps": result.state.steps,
        "evaluations": result.state.evaluations,
        "accuracy": result.curve.accuracy[-1],
        "best": result.curve.accuracy.max(),
        "seconds": round(time.perf_counter() - began, 1),
        "processor_seconds": round(time.process_time() - spent, 1),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
