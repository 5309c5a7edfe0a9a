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


class _Parts(click.ParamType):
    """Such as 6x1,3x12: layers perturbed together, and how often."""

    name = "parts"

    def convert(self, value, param, ctx):
        try:
            return value if value is None or isinstance(value, tuple) else tuple(_pair(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not like 6x1,3x12: layers perturbed together, and how often.", param, ctx)


def _pair(text: str) -> tuple[int, int]:
    layers, often = text.split("x")
    return int(layers), int(often)


@main.command()
@click.option("--width", default=4, help="n of the network, with 439n² + 71n + 10 parameters.")
@click.option("--kind", type=click.Choice(("node", "weight")), default="node", help="What is perturbed.")
@click.option("--seed", default=1, help="Of parameters, signs and order.")
@click.option("--batch", default=100, help="Samples of a step.")
@click.option("--parts", type=_Parts(), default="6x1,3x12", help="Layers perturbed together, and how often in a step.")
@click.option("--sparing/--all-nodes", default=True, help="Node only: leave pixels alone that pools pass over.")
@click.option("--groups", default=10, help="Weight only: perturbations of a batch; 0: one for each sample.")
@click.option("--delta", default=0.01, help="Amplitude.")
@click.option("--rule", type=click.Choice(("adam", "plain")), default="adam", help="Optimiser.")
@click.option("--rate", default=0.002, help="Its rate.")
@click.option("--ease", default=0.1, help="Factor on the rate of the convolutions.")
@click.option("--two-sided", is_flag=True, help="Two-sided differences.")
@click.option("--steps", default=20_000, help="At most.")
@click.option("--every", default=100, help="Steps between evaluations of all test images; these are not counted.")
@click.option("--until", default=0.8, help="Test accuracy to reach.")
def fashion(
    width: int, kind: str, seed: int, batch: int, parts: tuple, sparing: bool, groups: int, delta: float, rule: str, rate: float,
    ease: float, two_sided: bool, steps: int, every: int, until: float,
) -> None:  # fmt: skip
    """Fashion-MNIST, network of 2025: sample evaluations to an accuracy. Published, node: 277 k (n = 4), 210 k (n = 8) batches of 100."""
    from python_ref.learning.codes import RandomCode
    from python_ref.learning.estimators import Estimator, NodePerturbation, WeightPerturbation
    from python_ref.learning.networks import fashion_2025
    from python_ref.learning.objectives import CrossEntropy
    from python_ref.learning.optimizers import Adam, Layered, Plain
    from python_ref.learning.passes import Measured

    network, cost, code = fashion_2025(width), CrossEntropy(0.1), RandomCode(seed)
    estimator: Estimator
    if kind == "node":
        estimator = NodePerturbation(network, cost, code, delta, two_sided, sparing=sparing, parts=parts)
    else:
        estimator = WeightPerturbation(Measured(network, cost), code, delta, two_sided, groups=groups or None, parts=parts)
    factors = tuple((block.size, ease if block.name.startswith("conv") else 1.0) for block in network.parameters)
    optimizer = Layered({"adam": Adam, "plain": Plain}[rule](rate), factors)
    _run("fashion-mnist", network, estimator, optimizer, seed, batch, steps, every, until, decay=False)


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
    from python_ref.learning.optimizers import Adam
    from python_ref.spec.network import Activation

    network = dense((784, 1024, 256, 10), Activation.RELU)
    estimator = NodePerturbation(network, CrossEntropy(0.1), RandomCode(seed), delta, repeats=repeats)
    _run("mnist", network, estimator, Adam(rate), seed, batch, steps, every, None, decay=True)


@main.command()
@click.option("--batch", default=1000, help="Samples of a step.")
@click.option("--rounds", default=10, help="Times that each is done; the fastest counts.")
def speed(batch: int, rounds: int) -> None:
    """Node perturbation of 784-1024-256-10: processor time of a step against a forward pass, and against its products alone."""
    from python_ref.learning.codes import RandomCode
    from python_ref.learning.estimators import NodePerturbation
    from python_ref.learning.networks import dense
    from python_ref.learning.objectives import CrossEntropy
    from python_ref.spec.network import Activation

    network, random = dense((784, 1024, 256, 10), Activation.RELU), np.random.default_rng(0)
    theta, x = network.initial(1, kind=np.float32), random.random((batch, 784), dtype=np.float32)
    t = np.eye(10, dtype=np.float32)[random.integers(10, size=batch)]
    estimator = NodePerturbation(network, CrossEntropy(0.1), RandomCode(1))
    w, values = [random.random(block.shape, dtype=np.float32)[:, 1:] for block in network.parameters], [x.T]
    for each in w:
        values.append(each @ values[-1])

    def products() -> None:
        """As many as a step needs: all layers, all but the first again, and all correlations."""
        for each, value in zip((*w, *w[1:]), (*values[:-1], *values[1:-1]), strict=True):
            each @ value
        for error, value in zip(values[1:], values, strict=False):
            error @ value.T

    def fastest(work) -> float:
        found = []
        for _ in range(rounds):
            began = time.process_time()
            work()
            found.append(time.process_time() - began)
        return min(found)

    steps = iter(range(1 << 30))
    forward = fastest(lambda: network.forward(theta, x))
    step, alone = fastest(lambda: estimator.estimate(theta, x, t, next(steps))), fastest(products)
    told = {"forward": forward, "step": step, "products": alone, "step_over_forward": step / forward, "products_over_step": alone / step}
    print(json.dumps({name: round(value, 4) for name, value in told.items()}))


def _run(task, network, estimator, optimizer, seed, batch, steps, every, until, *, decay) -> None:
    """Train, print progress on standard error and the result on standard output."""
    from python_ref.datasets import SampleOrder
    from python_ref.learning.learner import Constant, HalfCosine, Learner, evaluate, train

    learning, test = _images(task)
    mean = learning.inputs.mean(axis=0)
    inputs, judged = learning.inputs - mean, test.inputs - mean
    began, spent = time.perf_counter(), time.process_time()
    result = train(
        Learner(estimator, optimizer, batch, decay=HalfCosine(steps) if decay else Constant()),
        network.initial(seed, kind=np.float32),
        inputs,
        learning.targets,
        SampleOrder(len(inputs), True, seed),
        steps,
        evaluation=lambda theta: evaluate(network, theta, judged, test.targets)[0],
        record_every=every,
        until=until,
        progress=lambda n, accuracy: print(
            f"step {n:,}: {100 * accuracy:.2f} %, {time.perf_counter() - began:.0f} s, {time.process_time() - spent:.0f} s of processor",
            file=sys.stderr,
            flush=True,
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
