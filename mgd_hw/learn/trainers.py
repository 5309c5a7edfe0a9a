"""What trains each model of a design, from each of its seeds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mgd_hw.data import Data
from mgd_hw.design.description import Design
from mgd_hw.design.float_model import has_slopes
from mgd_hw.learn.divergence import failure, layer_shares, saturation_shares
from mgd_hw.learn.learners import train_backprop, train_mgd
from mgd_hw.learn.runs import MODELS, RECORDS, Progress, Training, with_accuracy
from python_ref import backprop
from python_ref.datasets import SampleOrder, quantise
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.design import SATURATION_KINDS, DesignSpec
from python_ref.spec.probes import COUNTERS

if TYPE_CHECKING:
    from python_ref.fast_float import Curve

__all__ = ["start_of", "trainers_of", "warm_up"]


def start_of(spec: DesignSpec, seed: int, start: np.ndarray | None) -> np.ndarray:
    """Raw parameters (int64, shape (P,)) that all models start from: the hardware's, so that no model starts elsewhere."""
    return quantise_parameters(spec, initial_parameters(spec, seed) if start is None else start)


@dataclass(frozen=True, eq=False)
class _Task:
    """What one seed trains."""

    design: Design
    spec: DesignSpec
    data: Data
    seed: int
    number: int
    steps: int
    raw: np.ndarray

    @property
    def parameters(self) -> np.ndarray:
        return self.spec.formats.weight.to_real(self.raw)

    @property
    def order(self) -> SampleOrder:
        return replace(self.data.order, seed=self.data.order.seed + self.number)

    @property
    def record_every(self) -> int:
        return max(1, self.steps // RECORDS)


def _curve(found: Curve, data: Data, n_out: int) -> dict[str, np.ndarray]:
    return with_accuracy(data, found.accuracy, {"steps": found.steps, "evaluations": found.evaluations, "cost": found.cost / n_out})


def _train_float(task: _Task, progress: Progress) -> Training:
    from python_ref.fast_float import train

    train_part, test = task.data.train, task.data.test
    begun = time.perf_counter()
    result = train(
        task.spec,
        task.parameters,
        train_part.inputs,
        train_part.targets,
        task.order,
        task.steps,
        evaluation=(test.inputs, test.targets),
        record_every=task.record_every,
        progress=lambda done: progress(done / task.steps),
    )
    seconds = time.perf_counter() - begun
    curve = _curve(result.curve, task.data, task.spec.network.n_out)
    return _real_training(task, result.parameters, seconds, result.evaluations, result.writes, curve)


def _train_backprop(task: _Task, progress: Progress) -> Training:
    train_part, test = task.data.train, task.data.test
    settings = task.design.compare
    options = backprop.Options(epochs=settings.backprop_epochs, batch=settings.backprop_batch, rate=settings.backprop_rate)
    epochs = options.epochs_for(len(train_part))
    begun = time.perf_counter()
    result = backprop.train(
        task.spec,
        task.parameters,
        train_part.inputs,
        train_part.targets,
        task.seed,
        options,
        evaluation=(test.inputs, test.targets),
        progress=lambda done: progress(done / epochs),
    )
    seconds = time.perf_counter() - begun
    kept = np.unique(np.linspace(0, epochs - 1, min(epochs, RECORDS)).astype(int))
    curve = {"evaluations": result.curve["evaluations"][kept], "cost": result.curve["cost"][kept] / task.spec.network.n_out}
    curve = with_accuracy(task.data, result.curve["accuracy"][kept], curve)
    return _real_training(task, result.parameters, seconds, result.evaluations, result.writes, curve)


def _real_training(
    task: _Task, parameters: np.ndarray, seconds: float, evaluations: int, writes: int, curve: dict[str, np.ndarray]
) -> Training:
    """A finished run of a model in real numbers."""
    from python_ref.float_machine import evaluate, outputs

    data, n_out = task.data, task.spec.network.n_out
    with np.errstate(all="ignore"):  # a run that diverged is told by its cost
        answers = outputs(task.spec, parameters, data.test.inputs)
    start = evaluate(task.spec, task.parameters, data.test.inputs, data.test.targets)[1] / n_out
    cost = float(curve["cost"][-1])
    return Training(
        seed=task.seed,
        **data.kind.verdict(answers),
        cost=cost,
        seconds=seconds,
        evaluations=evaluations,
        writes=writes,
        curve=curve,
        parameters=parameters,
        failure=failure(data, cost, start),
    )


def _train_fixed(task: _Task, progress: Progress) -> Training:
    from python_ref.fast import evaluate, outputs, train
    from python_ref.machine import initial_state

    spec, data = task.spec, task.data
    inputs, targets = quantise(spec, data.train)
    test = quantise(spec, data.test)
    begun = time.perf_counter()
    result = train(
        spec,
        initial_state(spec, task.raw),
        inputs,
        targets,
        task.order,
        task.steps,
        evaluation=test,
        record_every=task.record_every,
        progress=lambda done: progress(done / task.steps),
    )
    seconds = time.perf_counter() - begun
    curve = _curve(result.curve, data, spec.network.n_out)
    counters = dict(zip(COUNTERS, result.state.counters.tolist(), strict=True))
    found, layers = outputs(spec, result.state.parameters, test[0])
    answers = spec.formats.activation.to_real(found)
    shares = saturation_shares(spec, counters, result.evaluations) | layer_shares(layers)
    start = evaluate(spec, task.raw, *test)[1] / spec.network.n_out
    cost = float(curve["cost"][-1])
    return Training(
        seed=task.seed,
        **data.kind.verdict(answers),
        cost=cost,
        seconds=seconds,
        evaluations=result.evaluations,
        writes=counters["writes"],
        saturations={kind: counters[f"saturated_{kind}"] for kind in SATURATION_KINDS},
        curve=curve,
        parameters=spec.formats.weight.to_real(result.state.parameters),
        failure=failure(data, cost, start, shares),
    )


_TRAINERS: dict[str, Callable[[_Task, Progress], Training]] = {"float": _train_float, "fixed": _train_fixed, "backprop": _train_backprop}


def trainers_of(
    design: Design, data: Data, number: int, steps: int, start: np.ndarray | None = None
) -> dict[str, Callable[[Progress], Training]]:
    """What trains each model that there is of a design, from its seed number ``number``.

    Parameters
    ----------
    design, data : Design, Data
        What learns what.
    number : int
        Seed number k is the design's own plus k; number 0 leaves everything as the design file says.
    steps : int
        Of MGD.
    start : array of float64, shape (P,), or None
        Initial parameters, in place of random ones.
    """
    spec, seed = design.spec, design.spec.network.initial.seed + number
    own = design.with_seed(seed) if number else design
    if not design.float_only.requests:
        task = _Task(design, own.spec, data, seed, number, steps, start_of(own.spec, seed, start))
        names = MODELS if backprop.defined(spec) else MODELS[:2]
        return {name: partial(_TRAINERS[name], task) for name in names}
    raw = start_of(own.spec, seed, start) if design.float_only.architecture == "dense" else None
    order = replace(data.order, seed=data.order.seed + number)
    found: dict[str, Callable[[Progress], Training]] = {
        "float": partial(train_mgd, own, data, own.spec.perturbation.seed, order, steps, raw)
    }
    if has_slopes(design):
        found["backprop"] = partial(train_backprop, own, data, seed, raw)
    return found


def warm_up(design: Design, data: Data) -> None:
    """Compile what is compiled, so that no run's time includes it."""
    from python_ref import fast, fast_float
    from python_ref.machine import initial_state

    spec = design.spec
    raw = start_of(spec, spec.network.initial.seed, None)
    one = data.train.take(np.arange(1))
    order = SampleOrder(1, False)
    fast_float.train(spec, spec.formats.weight.to_real(raw), one.inputs, one.targets, order, 1)
    fast.train(spec, initial_state(spec, raw), *quantise(spec, one), order, 1)
