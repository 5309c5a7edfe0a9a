"""Program that runs figures at the papers' scale: each command takes minutes to hours, and prints one JSON object.

``python -m mgd_hw.replication.figures fashion --width 4`` is an example. Costs are counted in *sample evaluations*, which are forward
passes of one sample. Images come from MGD_DATA, or from the files that `mgd-hw fetch` downloaded.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import click
import numpy as np

from mgd_hw.replication.fashion import centred

if TYPE_CHECKING:
    from mgd_hw.replication.fashion import Images
    from python_ref.floating.learner import Result
    from python_ref.floating.passes import ForwardPass

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """Reproduce a figure."""


class _Parts(click.ParamType):
    """Partition of the layers, such as 6x1,3x12: the number of layers perturbed together, and how often."""

    name = "parts"

    def convert(self, value, param, ctx):
        try:
            return value if value is None or isinstance(value, tuple) else tuple(_pair(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of layers perturbed together and how often, such as 6x1,3x12.", param, ctx)


def _pair(text: str) -> tuple[int, int]:
    """Parse one part of a partition, such as 3x12."""
    layers, often = text.split("x")
    return int(layers), int(often)


@main.command()
@click.option("--width", default=4, help="Width n of the network, which has 439n² + 71n + 10 parameters.")
@click.option("--kind", type=click.Choice(("node", "weight")), default="node", help="Perturbed quantities.")
@click.option("--seed", default=1, help="Seed of parameters, signs and sample order.")
@click.option("--batch", default=100, help="Samples per step.")
@click.option("--parts", type=_Parts(), default="6x1,3x12", help="Layers perturbed together, and how often in a step.")
@click.option("--skip-dead-nodes/--all-nodes", default=True, help="Node only: do not perturb pixels that a pooling layer discards.")
@click.option("--groups", default=10, help="Weight only: perturbations of a batch; 0 takes one per sample.")
@click.option("--delta", default=0.01, help="Amplitude of the perturbations.")
@click.option("--rule", type=click.Choice(("adam", "plain")), default="adam", help="Optimiser.")
@click.option("--rate", default=0.002, help="Learning rate of the optimiser.")
@click.option("--ease", default=0.1, help="Factor on the learning rate of the convolutions.")
@click.option("--two-sided", is_flag=True, help="Use two-sided differences.")
@click.option("--decay", is_flag=True, help="Let the rate fall to zero along half a cosine, over all steps.")
@click.option("--steps", default=20_000, help="Largest number of steps.")
@click.option("--every", default=100, help="Steps between evaluations of all test images, which are not counted.")
@click.option("--until", default=0.8, help="Test accuracy to reach.")
def fashion(
    width: int, kind: str, seed: int, batch: int, parts: tuple, skip_dead_nodes: bool, groups: int, delta: float, rule: str, rate: float,
    ease: float, two_sided: bool, decay: bool, steps: int, every: int, until: float,
) -> None:  # fmt: skip
    """Train the 2025 network on Fashion-MNIST to an accuracy. Published, node: 277 k (n = 4), 210 k (n = 8) batches of 100."""
    from dataclasses import replace

    from mgd_hw.replication.fashion import Settings, learner_of
    from python_ref.floating.learner import HalfCosine
    from python_ref.floating.networks import fashion_2025

    network, settings = fashion_2025(width), Settings(kind, batch, parts, skip_dead_nodes, groups, delta, rule, rate, ease, two_sided)
    learner = learner_of(settings, network, seed)
    _run("fashion-mnist", network, replace(learner, decay=HalfCosine(steps)) if decay else learner, seed, steps, every, until)


@main.command()
@click.option("--seed", default=1, help="Seed of parameters, signs and sample order.")
@click.option("--batch", default=1000, help="Samples per step.")
@click.option("--parts", type=_Parts(), default="1x8,2x8", help="Layers perturbed together, and how often in a step.")
@click.option("--skip-dead-nodes/--all-nodes", default=True, help="Do not perturb neurons that are below zero.")
@click.option("--delta", default=0.01, help="Amplitude of the perturbations.")
@click.option("--rate", default=0.002, help="Initial learning rate of Adam, which falls to zero along half a cosine.")
@click.option("--steps", default=1500, help="Number of steps.")
@click.option("--every", default=100, help="Steps between evaluations of all test images, which are not counted.")
@click.option("--exact", is_flag=True, help="Use back-propagation instead, with the same network, cost, batches, optimiser and steps.")
def mnist(
    seed: int, batch: int, parts: tuple, skip_dead_nodes: bool, delta: float, rate: float, steps: int, every: int, exact: bool
) -> None:
    """Train 784-1024-256-10, which has 1,068,810 parameters, on MNIST by node perturbation."""
    from python_ref.floating.codes import RandomCode
    from python_ref.floating.estimators import Estimator, Exact, NodePerturbation
    from python_ref.floating.learner import HalfCosine, Learner
    from python_ref.floating.networks import dense
    from python_ref.floating.objectives import CrossEntropy
    from python_ref.floating.optimizers import Adam
    from python_ref.spec.activations import Activation

    network, cost = dense((784, 1024, 256, 10), Activation.RELU), CrossEntropy(0.1)
    estimator: Estimator = NodePerturbation(network, cost, RandomCode(seed), delta, skip_dead_nodes=skip_dead_nodes, parts=parts)
    learner = Learner(Exact(network, cost) if exact else estimator, Adam(rate), batch, decay=HalfCosine(steps))
    _run("mnist", network, learner, seed, steps, every, None)


@main.command()
@click.option("--kind", type=click.Choice(("node", "weight")), default="node", help="Perturbed quantities.")
@click.option("--seeds", default=11, help="Number of runs.")
@click.option("--batch", default=1, help="Samples per step.")
@click.option("--delta", default=0.01, help="Amplitude of the perturbations.")
@click.option("--rule", type=click.Choice(("adam", "plain")), default="adam", help="Optimiser.")
@click.option("--rate", default=0.01, help="Learning rate of the optimiser.")
@click.option("--two-sided", is_flag=True, help="Use two-sided differences.")
@click.option("--variation", default=0.0, help="Spread a of the neurons' sigmoids.")
@click.option("--centred/--plain-inputs", default=True, help="Subtract the mean image from each image.")
@click.option("--steps", default=100_000, help="Largest number of steps.")
@click.option("--every", default=500, help="Steps between evaluations of all images.")
@click.option("--until", default=0.95, help="Accuracy to reach.")
def nist(
    kind: str, seeds: int, batch: int, delta: float, rule: str, rate: float, two_sided: bool, variation: float,
    centred: bool, steps: int, every: int, until: float,
) -> None:  # fmt: skip
    """Train 49-4-4 sigmoids on NIST7x7 with the mean squared error; print the median number of steps to an accuracy."""
    from dataclasses import replace

    from python_ref.datasets import SampleOrder, nist7x7
    from python_ref.floating.codes import RandomCode
    from python_ref.floating.estimators import Estimator, NodePerturbation, WeightPerturbation
    from python_ref.floating.layers import Variation
    from python_ref.floating.learner import Learner, train
    from python_ref.floating.networks import dense
    from python_ref.floating.objectives import SquaredError
    from python_ref.floating.optimizers import Adam, Plain
    from python_ref.floating.passes import Measured
    from python_ref.spec.activations import Activation

    data, found, evaluations, began = nist7x7(), [], [], time.process_time()
    inputs = data.inputs - data.inputs.mean(axis=0) if centred else data.inputs
    for seed in range(1, seeds + 1):
        network = dense((49, 4, 4), Activation.SIGMOID, Activation.SIGMOID)
        if variation:
            network = replace(network, variation=Variation.draw(network.n_nodes, variation, seed))
        cost, code = SquaredError(mean=True), RandomCode(seed)
        estimator: Estimator = NodePerturbation(network, cost, code, delta, two_sided)
        if kind == "weight":
            estimator = WeightPerturbation(Measured(network, cost), code, delta, two_sided, groups=None)
        result = train(
            Learner(estimator, {"adam": Adam, "plain": Plain}[rule](rate), batch),
            network.initial(seed),
            inputs,
            data.targets,
            SampleOrder(len(data), True, seed),
            steps,
            evaluation=partial(_accuracy, network, inputs, data.targets),
            record_every=every,
            until=until,
        )
        found.append(_reached(result, until, seed))
        evaluations.append(result.state.evaluations)
    _print_median(found, evaluations, steps, began)


@main.command()
@click.option("--layers", default="784-32-10", help="Layer sizes of the dense network; hidden neurons are ReLU.")
@click.option("--seeds", default=5, help="Number of runs.")
@click.option("--batch", default=1000, help="Samples per step.")
@click.option("--parts", type=_Parts(), default="1x8,1x8", help="Layers perturbed together, and how often in a step.")
@click.option("--rule", type=click.Choice(("adam", "plain")), default="adam", help="Optimiser.")
@click.option("--rate", default=0.02, help="Learning rate of the optimiser.")
@click.option("--steps", default=150, help="Largest number of steps.")
@click.option("--every", default=2, help="Steps between evaluations of all test images.")
@click.option("--until", default=0.8, help="Test accuracy to reach.")
def updates(layers: str, seeds: int, batch: int, parts: tuple, rule: str, rate: float, steps: int, every: int, until: float) -> None:
    """Train a dense network on Fashion-MNIST by node perturbation; print the median number of updates to an accuracy.

    Published: 127 plain, 80 Adam (n = 24).
    """
    from python_ref.floating.codes import RandomCode
    from python_ref.floating.estimators import NodePerturbation
    from python_ref.floating.learner import Learner
    from python_ref.floating.networks import dense
    from python_ref.floating.objectives import CrossEntropy
    from python_ref.floating.optimizers import Adam, Plain
    from python_ref.spec.activations import Activation

    data, found, evaluations, began = centred(os.environ.get("MGD_DATA", ""), "fashion-mnist"), [], [], time.process_time()
    network, cost = dense(tuple(int(each) for each in layers.split("-")), Activation.RELU), CrossEntropy(0.1)
    for seed in range(1, seeds + 1):
        estimator = NodePerturbation(network, cost, RandomCode(seed), 0.01, skip_dead_nodes=True, parts=parts)
        learner = Learner(estimator, {"adam": Adam, "plain": Plain}[rule](rate), batch)
        result = _trained(learner, network, data, seed, steps, every, until)
        found.append(_reached(result, until, seed))
        evaluations.append(result.state.evaluations)
    _print_median(found, evaluations, steps, began)


def _reached(result: Result, until: float, seed: int) -> int | None:
    """Return the number of steps that a run took to an accuracy, None if it did not reach it; print it on standard error."""
    steps = result.state.steps if result.curve.accuracy[-1] >= until else None
    print(f"seed {seed}: {steps}, {100 * result.curve.accuracy[-1]:.1f} %", file=sys.stderr, flush=True)
    return steps


def _print_median(found: list[int | None], evaluations: list[int], most: int, began: float) -> None:
    """Print the results of runs from several seeds; a run that did not reach the accuracy counts with its largest number of steps."""
    known = sorted(most if each is None else each for each in found)
    report = {
        "arguments": sys.argv[1:],
        "steps": found,
        "median_steps": known[len(known) // 2],
        "median_evaluations": sorted(evaluations)[len(evaluations) // 2],
        "processor_seconds": round(time.process_time() - began, 1),
    }
    print(json.dumps(report))


@main.command()
@click.option("--width", default=4, help="Width n of the 2025 network.")
@click.option("--updates", default=40, help="Updates of back-propagation (Adam, 0.002, batches of 100) before the measurement.")
@click.option("--seed", default=1, help="Seed of parameters and signs.")
def signal(width: int, updates: int, seed: int) -> None:
    """Measure |gradient|² over the mean |estimate|² per million evaluations on Fashion-MNIST, layer by layer, for each estimator."""
    from python_ref.floating.codes import RandomCode
    from python_ref.floating.estimators import Estimator, Exact, NodePerturbation, WeightPerturbation
    from python_ref.floating.networks import fashion_2025
    from python_ref.floating.objectives import CrossEntropy
    from python_ref.floating.optimizers import Adam
    from python_ref.floating.passes import Measured

    network, cost, code = fashion_2025(width), CrossEntropy(0.1), RandomCode(seed)
    data = centred(os.environ.get("MGD_DATA", ""))
    inputs, targets = data.inputs, data.targets
    exact, rule, random = Exact(network, cost), Adam(0.002), np.random.default_rng(0)
    theta = network.initial(seed, kind=np.float32)
    memory = rule.initial(theta)
    for update in range(updates):
        chosen = random.integers(len(inputs), size=100)
        move, memory = rule.step(memory, exact.estimate(theta, inputs[chosen], targets[chosen], 0).gradient, update, rule.rate)
        theta = theta - move
    parts = [slice(first, first + 500) for first in range(0, 5000, 500)]
    true = np.mean([exact.estimate(theta, inputs[part], targets[part], 0).gradient for part in parts], axis=0)
    ends = [0, *np.cumsum([block.size for block in network.parameters]).tolist()]
    layers = {block.name: slice(*ends[n : n + 2]) for n, block in enumerate(network.parameters)}
    estimators: dict[str, Estimator] = {
        "node": NodePerturbation(network, cost, code, repeats=8),
        "node, dead nodes skipped": NodePerturbation(network, cost, code, repeats=8, skip_dead_nodes=True),
        "node, parts": NodePerturbation(network, cost, code, skip_dead_nodes=True, parts=((6, 1), (3, 12))),
        "weight, groups of 10": WeightPerturbation(Measured(network, cost), code, 0.001, repeats=8, groups=10),
    }
    ratios: dict[str, dict[str, float]] = {}
    for name, estimator in estimators.items():
        found = [estimator.estimate(theta, inputs[:100], targets[:100], p) for p in range(4)]
        share = {
            layer: np.sum(true[own] ** 2) / np.mean([np.sum(each.gradient[own] ** 2) for each in found]) for layer, own in layers.items()
        }
        ratios[name] = {layer: round(float(value) * 1e6 / found[0].evaluations, 2) for layer, value in share.items()}
    print(json.dumps({"arguments": sys.argv[1:], "per_million_evaluations": ratios}))


@main.command()
@click.option("--batch", default=1000, help="Samples per step.")
@click.option("--rounds", default=10, help="Timed rounds, of which the fastest counts.")
def speed(batch: int, rounds: int) -> None:
    """Compare the processor time of a step of 784-1024-256-10 with a forward pass, its products alone, and PyTorch."""
    from mgd_hw.replication.speed import compare_speed

    print(json.dumps(compare_speed(batch, rounds)))


def _accuracy(network: ForwardPass, inputs: np.ndarray, targets: np.ndarray, theta: np.ndarray) -> float:
    """Return the accuracy of the network at ``theta``."""
    from python_ref.floating.learner import evaluate

    return evaluate(network, theta, inputs, targets, batch=4000)[0]


def _trained(learner, network, data: Images, seed, steps, every, until, progress=None) -> Result:
    """Train in float32 on all training images, and evaluate on all test images."""
    from python_ref.datasets import SampleOrder
    from python_ref.floating.learner import evaluate, train

    return train(
        learner,
        network.initial(seed, kind=np.float32),
        data.inputs,
        data.targets,
        SampleOrder(len(data.inputs), True, seed),
        steps,
        evaluation=lambda theta: evaluate(network, theta, data.judged, data.answers)[0],
        record_every=every,
        until=until,
        progress=progress,
    )


def _run(task, network, learner, seed, steps, every, until) -> None:
    """Train, and print the progress on standard error and the result on standard output."""
    data = centred(os.environ.get("MGD_DATA", ""), task)
    began, spent = time.perf_counter(), time.process_time()

    def report(n: int, accuracy: float) -> None:
        times = f"{time.perf_counter() - began:.0f} s, {time.process_time() - spent:.0f} s of processor"
        print(f"step {n:,}: {100 * accuracy:.2f} %, {times}", file=sys.stderr, flush=True)

    result = _trained(learner, network, data, seed, steps, every, until, report)
    found = {
        "arguments": sys.argv[1:],
        "parameters": network.n_parameters,
        "quantities": learner.estimator.quantities,
        "steps": result.state.steps,
        "evaluations": result.state.evaluations,
        "accuracy": result.curve.accuracy[-1],
        "best": result.curve.accuracy.max(),
        "seconds": round(time.perf_counter() - began, 1),
        "processor_seconds": round(time.process_time() - spent, 1),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
