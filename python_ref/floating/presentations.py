"""The learner of a design by whole presentations: all probes of a sample pass through the network at once.

It learns as :mod:`~python_ref.floating.online` does in node perturbation, with the same signs, for every kind of layer and every rule of
the float side: the probes of a presentation have one sample and one θ, so that they are the columns of one matrix. As in hardware, the
errors of a presentation have the rate of its last step, and are multiplied by the operands of its unperturbed pass, also where the
difference is two-sided. Import this module only where it is used, since it imports numba.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from python_ref.curve import Curve
from python_ref.datasets import SampleOrder
from python_ref.floating import online
from python_ref.floating.objectives import SquaredError, correct
from python_ref.floating.of_design import decay, evaluate, network, rule
from python_ref.floating.online import Result, block_length, sign_block
from python_ref.floating.passes import NodePass
from python_ref.floating.stochastic import Random
from python_ref.spec.design import DesignSpec

__all__ = ["SignsOfSteps", "train", "trainer"]

CHUNK_VALUES = 1 << 22
"""Approximate number of signs that pass through the network at once."""


class SignsOfSteps:
    """Signs of the steps of a design, of which it keeps the block that was asked for last.

    Parameters
    ----------
    spec : DesignSpec
        Design, of node perturbation.
    seed : int
        Seed of random signs.
    """

    def __init__(self, spec: DesignSpec, seed: int) -> None:
        self._spec, self._seed = spec, seed
        self._period, self._length = spec.schedule.perturbation_period, block_length(spec)
        self._number, self._block = 0, sign_block(spec, seed, 0)
        self._masks = [part.within(np.ones(spec.quantities)) for part in spec.round.parts] if spec.in_parts else []

    def rows(self, n: int, stop: int) -> np.ndarray:
        """Return the signs of steps n … stop − 1 (float64, shape (stop − n, quantities)), which are 0 outside the part of a step."""
        vectors, found, at = np.arange(n, stop) // self._period, list[np.ndarray](), 0
        while at < len(vectors):
            number = int(vectors[at]) // self._length
            if number != self._number:
                self._number, self._block = number, sign_block(self._spec, self._seed, number)
            upto = int(np.searchsorted(vectors, (number + 1) * self._length))
            first, last = int(vectors[at]) - number * self._length, int(vectors[upto - 1]) - number * self._length
            found.append(self._block[first : last + 1] if self._period == 1 else self._block[vectors[at:upto] - number * self._length])
            at = upto
        rows = found[0] if len(found) == 1 else np.concatenate(found)
        if self._masks:
            order = np.array(self._spec.round.order)[np.arange(n, stop) % self._spec.round.probes]
            rows = rows * np.stack(self._masks)[order]
        return rows


def trainer(spec: DesignSpec) -> Callable[..., Result]:
    """Return the function that trains a design fastest: the compiled loops where these support it, else :func:`train`."""
    return online.train if online.supports(spec) else train


class _Presentation:
    """A sample at one θ: its unperturbed pass, and the sum E of s·C̃ of each quantity.

    Parameters
    ----------
    net : NodePass
        Network of the design, the same one in a whole run.
    sides, delta : tuple of float, float
        Signs of the passes of a difference, and the amplitude Δ.
    theta : array of float64, shape (P,)
        Parameters θ in canonical order.
    x, target : arrays of float64, shapes (1, n_in) and (1, n_out)
        Inputs and targets of the sample that all probes of the presentation measure.
    """

    def __init__(self, net: NodePass, sides: tuple[float, ...], delta: float, theta: np.ndarray, x: np.ndarray, target: np.ndarray) -> None:
        self._net, self._sides, self._delta, self._objective = net, sides, delta, SquaredError()
        self._theta, self._x, self._target = theta, x, target
        outputs, base = self._unperturbed()
        self._base: Any = base
        self.cost, self.correct = float(self._objective.costs(outputs, target)[0]), bool(correct(outputs, target)[0])
        self._sum: np.ndarray = np.zeros(())

    def _unperturbed(self) -> tuple[np.ndarray, Any]:
        return self._net.trace(self._theta, self._x)

    def probe(self, rows: np.ndarray) -> int:
        """Measure the cost with each row of signs, and correlate; return the number of passes."""
        measured = []
        for side in self._sides:
            outputs, _ = self._net.trace(self._theta, self._x, side * self._delta * rows, self._base)
            measured.append(self._objective.costs(outputs, self._target))
        change = measured[0] - (measured[1] if len(measured) == 2 else self.cost)
        self._sum = self._sum + change @ rows
        return len(measured) * len(rows)

    def gradient(self) -> np.ndarray:
        """Return the sum of the estimates of the probes (shape (P,))."""
        return self._net.correlate(self._base, (self._sum / (len(self._sides) * self._delta))[None])


class _RandomPresentation(_Presentation):
    """A sample at one θ in a network with stochastic layers, which draw again what a probe perturbs; the sum of a node is that of m·C̃."""

    _net: Random

    def _unperturbed(self) -> tuple[np.ndarray, Any]:
        self._thresholds = self._net.draw(1)
        return self._net.trace(self._theta, self._x, thresholds=self._thresholds)

    def probe(self, rows: np.ndarray) -> int:
        stochastic, which, measured = self._net.draws > 0, rows.T != 0, []
        shift, counts = np.where(stochastic, 0.0, rows), [self._net.counts(self._base)]
        for side in self._sides:
            thresholds = self._net.redraw(self._thresholds, which)
            outputs, trace = self._net.trace(self._theta, self._x, side * self._delta * shift, self._base, thresholds)
            measured.append(self._objective.costs(outputs, self._target))
            counts.append(self._net.counts(trace))
        two_sided = len(measured) == 2
        change = measured[0] - (measured[1] if two_sided else self.cost)
        own = np.where(which, counts[1] - counts[2 if two_sided else 0], 0.0) * (len(measured) * self._delta / 2)
        self._sum = self._sum + np.where(stochastic[:, None], own, rows.T) @ change
        return len(measured) * len(rows)


def train(
    spec: DesignSpec,
    parameters: np.ndarray,
    inputs: np.ndarray,
    targets: np.ndarray,
    order: SampleOrder,
    steps: int,
    seed: int | None = None,
    *,
    evaluation: tuple[np.ndarray, np.ndarray] | None = None,
    record_every: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Result:
    """Train for ``steps`` steps from step 0; see :func:`python_ref.floating.online.train`.

    Raises
    ------
    ValueError
        If the design perturbs weights, whose steps form no presentations.
    """
    if not spec.node:
        raise ValueError("Kind of perturbation must be node, since only its steps form presentations, not weight")
    schedule, learned, factor = spec.schedule, rule(spec.optimizer, 2.0 ** spec.schedule.rate_at(0)), decay(spec)
    seed = spec.perturbation.seed if seed is None else seed
    periods = (schedule.sample_period, schedule.update_period, record_every or max(1, steps // 50), max(1, CHUNK_VALUES // spec.quantities))
    signs, delta = SignsOfSteps(spec, seed), 2.0**spec.perturbation.amplitude_log2
    sides = (1.0, -1.0) if spec.two_sided else (1.0,)
    theta = np.array(parameters, dtype=np.float64)
    gradient, memory, rows = np.zeros_like(theta), learned.initial(theta), list[tuple[float, ...]]()
    n = updates = evaluations = judged = right = 0
    cost, presented = 0.0, None
    net, begin = network(spec), _Presentation
    if isinstance(net, Random):
        net, begin = replace(net, seed=seed), _RandomPresentation
    while n < steps:
        if presented is None:
            row = order.indices(n // periods[0], 1)
            presented = begin(net, sides, delta, theta, inputs[row].astype(np.float64), targets[row].astype(np.float64))
            evaluations += 1
            if n % periods[0] == 0:
                judged, right, cost = judged + 1, right + presented.correct, cost + presented.cost
        stop = min(steps, *((n // period + 1) * period for period in periods))
        evaluations += presented.probe(signs.rows(n, stop))
        n = stop
        if n % periods[0] == 0 or n % periods[1] == 0:
            gradient += presented.gradient() * factor.at(n - 1)
            presented = None
        if n % periods[1] == 0:
            move, memory = learned.step(memory, gradient, updates, learned.rate)
            theta, gradient, updates = theta - move, np.zeros_like(theta), updates + 1
        if n % periods[2] == 0 or n == steps:
            online = (right / judged, cost / judged) if judged else (math.nan, math.nan)
            evaluated = evaluate(spec, theta, *evaluation) if evaluation is not None else (math.nan, math.nan)
            rows.append((n, evaluations, updates * theta.size, *online, *evaluated))
            judged, right, cost = 0, 0, 0.0
            if progress is not None:
                progress(n)
    return Result(theta, n, evaluations, updates * theta.size, Curve.of_rows(rows))
