"""Benchmark of a training step: ours, its matrix products alone, a forward pass, and a plain implementation of the same algorithm in
PyTorch if that is installed. PyTorch is used only here, as a reference for speed.

Times are processor times of one thread. The contenders take turns, and the fastest round of each counts, so that other load on the
machine affects all of them alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["compare_speed"]

Work = Callable[[], object]
SIZES = (784, 1024, 256, 10)
"""Layer sizes of the network that learns in batches."""
SMALL = (64, 32, 10)
"""Layer sizes of the network that learns online, one sample at a time, as the hardware does."""
AMPLITUDE, SMOOTHING, RATE = 0.01, 0.1, 0.001
ONLINE = 2_000
"""Number of online steps that are timed together."""
KINDS = ("node", "node x8", "weight", "online")
"""Contenders that are compared with their counterparts in PyTorch."""


def _fastest(contenders: dict[str, Work], rounds: int) -> dict[str, float]:
    """Run the contenders in turns, and return the least processor time of each in seconds, without the first round, which compiles."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, work in contenders.items():
            began = time.process_time()
            work()
            found[name].append(time.process_time() - began)
    return {name: min(times[1:]) for name, times in found.items()}


def compare_speed(batch: int, rounds: int) -> dict[str, Any]:
    """Measure the time of a step of each contender.

    Parameters
    ----------
    batch : int
        Number of samples of a step.
    rounds : int
        Number of timed rounds of each contender.

    Returns
    -------
    dict of str to Any
        Processor time of each contender in seconds, ratios between contenders, and the version of PyTorch, None if it is missing.
    """
    random = np.random.default_rng(0)
    x = random.random((batch, SIZES[0]), dtype=np.float32)
    labels = random.integers(SIZES[-1], size=batch)
    contenders = _ours(x, np.eye(SIZES[-1], dtype=np.float32)[labels])
    try:
        torch = import_module("torch")
    except ImportError:
        torch = None
    if torch is not None:
        torch.set_num_threads(1)
        contenders |= _torch(torch, x, labels)
    seconds = _fastest(contenders, rounds)
    report: dict[str, Any] = {"batch": batch, "type": "float32", "seconds": {name: round(value, 5) for name, value in seconds.items()}}
    report["node_over_forward"] = round(seconds["node"] / seconds["forward"], 3)
    report["products_over_node"] = round(seconds["node products"] / seconds["node"], 3)
    report["weight_over_forward"] = round(seconds["weight"] / seconds["forward"], 3)
    report["online_steps_per_second"] = round(ONLINE / seconds["online"])
    report["torch"] = None if torch is None else torch.__version__
    for kind in KINDS:
        if torch is not None:
            report[f"torch_{kind}_over_ours"] = round(seconds[f"torch {kind}"] / seconds[kind], 3)
    return report


def _ours(x: np.ndarray, t: np.ndarray) -> dict[str, Work]:
    """Return our contenders, by name, for a batch of inputs x and targets t."""
    from python_ref.floating.codes import RandomCode
    from python_ref.floating.estimators import NodePerturbation, WeightPerturbation
    from python_ref.floating.networks import dense
    from python_ref.floating.objectives import CrossEntropy
    from python_ref.floating.passes import Measured
    from python_ref.spec.activations import Activation

    network, cost, steps = dense(SIZES, Activation.RELU), CrossEntropy(SMOOTHING), iter(range(1 << 30))
    theta = network.initial(1, kind=np.float32)
    node, eight = (NodePerturbation(network, cost, RandomCode(1), AMPLITUDE, repeats=repeats) for repeats in (1, 8))
    weight = WeightPerturbation(Measured(network, cost), RandomCode(1), AMPLITUDE)
    w = [np.ones(block.shape, np.float32)[:, 1:] for block in network.parameters]
    values = [x.T]
    for each in w:
        values.append(each @ values[-1])

    def products() -> None:
        """Compute the products of a step of node perturbation: all layers, all but the first again, and all correlations."""
        for each, value in zip((*w, *w[1:]), (*values[:-1], *values[1:-1]), strict=True):
            each @ value
        for error, value in zip(values[1:], values, strict=False):
            error @ value.T

    return {
        "forward": lambda: network.forward(theta, x),
        "node": lambda: node.estimate(theta, x, t, next(steps)),
        "node products": products,
        "node x8": lambda: eight.estimate(theta, x, t, next(steps)),
        "weight": lambda: weight.estimate(theta, x, t, next(steps)),
        "online": _online(),
    }


def _online() -> Work:
    """Return :data:`ONLINE` steps of the compiled float model of "digits", with one sample, perturbation and update per step."""
    from mgd_hw.design.reader import load
    from python_ref.datasets import SampleOrder
    from python_ref.floating.online import train

    spec, random = load("digits").spec, np.random.default_rng(0)
    x, t = random.random((ONLINE, SMALL[0])), np.eye(SMALL[-1])[random.integers(SMALL[-1], size=ONLINE)]
    theta = random.standard_normal(spec.network.n_parameters) * 0.1
    return lambda: train(spec, theta, x, t, SampleOrder(ONLINE, False), ONLINE, record_every=ONLINE)


def _torch(torch: Any, x: np.ndarray, labels: np.ndarray) -> dict[str, Work]:
    """Return the contenders in PyTorch, by name: the same networks, costs and estimates, in plain code."""
    given, wanted = torch.from_numpy(x), torch.from_numpy(labels)
    sizes = list(pairwise(SIZES))
    w = [torch.randn(n_out, n_in) * (2.0 / n_in) ** 0.5 for n_in, n_out in sizes]
    b = [torch.zeros(n_out) for _, n_out in sizes]
    functional = torch.nn.functional

    def signs(*shape: int) -> Any:
        return torch.randint(0, 2, shape, dtype=torch.float32).mul_(2).sub_(1)

    def forward(w: list, b: list, shifts: list | None = None) -> tuple[Any, list]:
        """Return the costs of the samples, and the inputs of all layers followed by the outputs."""
        values = [given]
        for number, (weights, bias) in enumerate(zip(w, b, strict=True)):
            z = functional.linear(values[-1], weights, bias)
            if shifts is not None:
                z = z + AMPLITUDE * shifts[number]
            values.append(torch.relu(z) if number < len(w) - 1 else z)
        return functional.cross_entropy(values[-1], wanted, reduction="none", label_smoothing=SMOOTHING), values

    def node(repeats: int = 1) -> list:
        costs, values = forward(w, b)
        errors = [torch.zeros(len(x), n_out) for _, n_out in sizes]
        for _ in range(repeats):
            s = [signs(len(x), n_out) for _, n_out in sizes]
            slopes = (forward(w, b, s)[0] - costs) / (AMPLITUDE * len(x) * repeats)
            errors = [error + slopes[:, None] * each for error, each in zip(errors, s, strict=True)]
        return [(error.T @ value, error.sum(0)) for error, value in zip(errors, values, strict=False)]

    def weight() -> list:
        s, r = [signs(*each.shape) for each in w], [signs(*each.shape) for each in b]
        moved = [each + AMPLITUDE * sign for each, sign in zip(w, s, strict=True)]
        moved_b = [each + AMPLITUDE * sign for each, sign in zip(b, r, strict=True)]
        slope = (forward(moved, moved_b)[0].mean() - forward(w, b)[0].mean()) / AMPLITUDE
        return [slope * each for each in (*s, *r)]

    def without_gradients(work: Work) -> Work:
        def run() -> None:
            with torch.no_grad():
                work()

        return run

    return {
        "torch forward": without_gradients(lambda: forward(w, b)),
        "torch node": without_gradients(node),
        "torch node x8": without_gradients(lambda: node(8)),
        "torch weight": without_gradients(weight),
        "torch online": without_gradients(_torch_online(torch)),
    }


def _torch_online(torch: Any) -> Work:
    """Return the counterpart of :func:`_online` in PyTorch."""
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.random((ONLINE, SMALL[0]), dtype=np.float32))
    t = torch.from_numpy(np.eye(SMALL[-1], dtype=np.float32)[random.integers(SMALL[-1], size=ONLINE)])
    sizes = list(pairwise(SMALL))
    w = [torch.randn(n_out, n_in) * 0.1 for n_in, n_out in sizes]
    b = [torch.zeros(n_out) for _, n_out in sizes]

    def forward(sample: Any, shifts: list | None = None) -> list:
        values = [sample]
        for number in range(len(w)):
            z = w[number] @ values[-1] + b[number]
            z = z if shifts is None else z + AMPLITUDE * shifts[number]
            values.append(torch.relu(z) if number == 0 else z)
        return values

    def learn() -> None:
        for sample, target in zip(x, t, strict=True):
            s = [torch.randint(0, 2, (n_out,), dtype=torch.float32).mul_(2).sub_(1) for _, n_out in sizes]
            values = forward(sample)
            change = (forward(sample, s)[-1] - target).square().sum() - (values[-1] - target).square().sum()
            for number, sign in enumerate(s):
                error = sign * (change * (RATE / AMPLITUDE))
                w[number] -= torch.outer(error, values[number])
                b[number] -= error

    return learn
