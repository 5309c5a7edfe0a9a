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
from mgd_hw.design.float_model import has_fast_learner, has_slopes
from mgd_hw.learn.diagnose_series import silent_outputs
from mgd_hw.learn.divergence import failure, saturation_shares
from mgd_hw.learn.judging import judge_fixed
from mgd_hw.learn.learners import train_backprop, train_mgd
from mgd_hw.learn.runs import RECORDS, FractionCallback, Training, with_accuracy
from python_ref.datasets import SampleOrder, quantise
from python_ref.floating import of_design
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.design import DesignSpec
from python_ref.spec.probes import COUNTERS

if TYPE_CHECKING:
    from python_ref.curve import Curve

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


def _train_float(task: _Task, progress: FractionCallback) -> Training:
    from python_ref.floating.presentations import trainer

    spec, data, n_out = task.spec, task.data, task.spec.network.n_out
    begun = time.perf_counter()
    result = trainer(spec)(
        spec,
        task.parameters,
        data.train.records,
        data.train.targets,
        task.order,
        task.steps,
        evaluation=(data.test.records, data.test.targets),
        record_every=task.record_every,
        progress=lambda done: progress(done / task.steps),
    )
    seconds = time.perf_counter() - begun
    curve = _curve(result.curve, data, n_out)
    with np.errstate(all="ignore"):  # the cost of a run that diverged shows it
        answers = of_design.outputs(spec, result.parameters, data.test.records)
    start = of_design.evaluate(spec, task.parameters, data.test.records, data.test.targets)[1] / n_out
    cost = float(curve["cost"][-1])
    return Training(
        seed=task.seed,
        **data.kind.verdict(answers),
        cost=cost,
        seconds=seconds,
        evaluations=result.evaluations,
        writes=result.writes,
        curve=curve,
        parameters=result.parameters,
        failure=failure(data, cost, start),
    )


def _train_fixed(task: _Task, progress: FractionCallback) -> Training:
    from python_ref.fixed.fast import train
    from python_ref.fixed.machine import initial_state

    spec, data = task.spec, task.data
    inputs, targets = quantise(spec, data.train)
    test, start = quantise(spec, data.test), judge_fixed(spec, task.raw, data)
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
    final = judge_fixed(spec, result.state.parameters, data)
    shares = saturation_shares(spec, counters, result.evaluations) | final.saturated
    return Training(
        seed=task.seed,
        **data.kind.verdict(final.answers),
        cost=final.cost,
        seconds=seconds,
        evaluations=result.evaluations,
        writes=counters["writes"],
        saturations={kind: counters[f"saturated_{kind}"] for kind in spec.counted_saturations},
        curve=curve,
        parameters=spec.formats.weight.to_real(result.state.parameters),
        failure=failure(data, final.cost, start.cost, shares),
        silent=tuple(silent_outputs(spec, final.answers)),
    )


def _train_by_learner(task: _Task, progress: FractionCallback) -> Training:
    """Train the float model of an optimiser whose rule the compiled float model lacks."""
    own = replace(task.design, spec=task.spec)
    return train_mgd(own, task.data, own.spec.perturbation.seed, task.order, task.steps, task.raw, progress)


_TRAINERS: dict[str, Callable[[_Task, FractionCallback], Training]] = {"float": _train_float, "fixed": _train_fixed}


def trainers_of(
    design: Design, data: Data, number: int, steps: int, start: np.ndarray | None = None
) -> dict[str, Callable[[FractionCallback], Training]]:
    """What trains each model that there is of a design, from its seed number ``number``.

    Parameters
    ----------
    design, data : Design, Data
        Design whose models are trained, and the samples that they are trained on and judged by.
    number : int
        Seed number k is the design's own plus k; number 0 leaves everything as the design file says.
    steps : int
        Number of MGD steps in each run.
    start : array of float64, shape (P,), or None
        Initial parameters, in place of random ones.
    """
    seed = design.spec.network.initial.seed + number
    own = design.with_seed(seed) if number else design
    found: dict[str, Callable[[FractionCallback], Training]]
    if design.float_only.requests:
        raw = start_of(own.spec, seed, start) if design.float_only.architecture == "dense" else None
        order = replace(data.order, seed=data.order.seed + number)
        found = {"float": partial(train_mgd, own, data, own.spec.perturbation.seed, order, steps, raw)}
    else:
        raw = start_of(own.spec, seed, start)
        task = _Task(design, own.spec, data, seed, number, steps, raw)
        found = {name: partial(train, task) for name, train in _TRAINERS.items()}
        if not has_fast_learner(own):
            found["float"] = partial(_train_by_learner, task)
    if has_slopes(design):
        found["backprop"] = partial(train_backprop, own, data, seed, raw)
    return found


def warm_up(design: Design, data: Data) -> None:
    """Compile what is compiled, so that no run's time includes it."""
    from python_ref.fixed import fast
    from python_ref.fixed.machine import initial_state
    from python_ref.floating import online

    spec = design.spec
    raw = start_of(spec, spec.network.initial.seed, None)
    one = data.train.take(np.arange(1))
    order = SampleOrder(1, False)
    if online.supports(spec):
        online.train(spec, spec.formats.weight.to_real(raw), one.records, one.targets, order, 1)
    fast.train(spec, initial_state(spec, raw), *quantise(spec, one), order, 1)
