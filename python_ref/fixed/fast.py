"""The machine at speed: the same integers as :mod:`~python_ref.fixed.machine`, computed by compiled loops.

Import this module only where it is used, since it imports numba. Signs and random words are computed in blocks. The result of every design
has the same bits as that of the one-page model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from python_ref.curve import Curve
from python_ref.datasets import SampleOrder
from python_ref.fixed.cost import correct, cost
from python_ref.fixed.kernels import Shown, rule_of, run_steps
from python_ref.fixed.machine import COUNTER_LIMITS, Pass, State
from python_ref.fixed.network import activate
from python_ref.fixed.perturbation import SignSource, StochasticSource
from python_ref.fixed.plan import describe
from python_ref.fixed.signature import INITIAL
from python_ref.parameters import split_parameters
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.probes import COUNTERS, probes, values_per_step
from python_ref.trace import Header, Run, TraceWriter

__all__ = ["Result", "evaluate", "exact_matmul", "measures", "outputs", "train", "write_trace"]

BLOCK_BYTES = 1 << 22
"""Approximate maximum size in bytes of the signs, the random words or the observables of a block of steps."""


@dataclass(frozen=True, eq=False)
class Result:
    """Result of a training run.

    Attributes
    ----------
    state : State
        State after the last step, equal to that after as many calls of ``machine.step``.
    evaluations : int
        Number of passes of one sample through the network.
    curve : Curve
        Learning curve, with one row per record.
    signatures : array of int64, shape (steps, 2)
        Forward and learned running signature after each step; no rows if they were not requested or the design has none.
    """

    state: State
    evaluations: int
    curve: Curve
    signatures: np.ndarray


def outputs(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the raw outputs of the unperturbed network.

    BLAS computes the sums that are exact in float64.

    Parameters
    ----------
    spec : DesignSpec
        Design that gives the network, its number formats and its casts.
    parameters : array of int64, shape (P,)
        Parameters θ, raw, in canonical order.
    inputs : array of int64, shape (n, n_in)
        Raw integers x in ``spec.formats.input``, a row per sample.

    Returns
    -------
    (array of int64, shape (n, n_out); array of float64, shape (layers,))
        Raw outputs, and the fraction of each layer's activations whose cast was out of range.
    """
    found = [np.empty((0, spec.network.n_out), dtype=np.int64)]
    outside = np.zeros(len(spec.network.layers))
    for first in range(0, len(inputs), 4096):
        x = inputs[first : first + 4096]
        for number, (weights, biases) in enumerate(split_parameters(spec, parameters)):
            z = exact_matmul(x, weights.T, spec.preactivation_format(number).width) + (
                biases << np.int64(spec.operand_format(number).fraction_bits)
            )
            x, saturated = activate(spec, spec.network.layers[number].activation, z, spec.preactivation_format(number))
            outside[number] += np.count_nonzero(saturated)
        found.append(x)
    neurons = np.array([layer.n_out for layer in spec.network.layers])
    return np.concatenate(found), outside / (neurons * max(1, len(inputs)))


def evaluate(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Return accuracy and mean cost, both real numbers, of the unperturbed network on raw samples (shapes (n, n_in), (n, n_out))."""
    return measures(spec, outputs(spec, parameters, inputs)[0], targets)


def measures(spec: DesignSpec, found: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Return accuracy and mean cost, both real numbers, of raw outputs for samples with raw targets (both of shape (n, n_out))."""
    right, total = int(np.count_nonzero(correct(spec, found, targets))), int(np.sum(cost(found, targets)))
    return right / len(found), math.ldexp(total / len(found), -spec.cost_format.fraction_bits)


def exact_matmul(a: np.ndarray, b: np.ndarray, width: int) -> np.ndarray:
    """Return the product of integer matrices for which every sum of |a·b| is below 2^(width − 1).

    It is computed in float64, by BLAS, if that is exact, which is up to 2⁵³.
    """
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64) if width <= 54 else a @ b


def train(
    spec: DesignSpec,
    state: State,
    inputs: np.ndarray,
    targets: np.ndarray,
    order: SampleOrder | np.ndarray,
    steps: int,
    *,
    evaluation: tuple[np.ndarray, np.ndarray] | None = None,
    record_every: int | None = None,
    until: float | None = None,
    progress: Callable[[int], None] | None = None,
    observe: Callable[[dict[str, np.ndarray]], None] | None = None,
    signatures: bool = False,
) -> Result:
    """Train for ``steps`` steps, starting from a state.

    Parameters
    ----------
    spec : DesignSpec
        Design being trained, with its network, schedule and formats.
    state : State
        Start of the run, from :func:`python_ref.fixed.machine.initial_state` or from an earlier run.
    inputs, targets : arrays of int64, shapes (samples, n_in) and (samples, n_out)
        Data set in raw integers, a row per sample; ``order`` refers to its rows.
    order : SampleOrder or array of int64
        Row of sample number ⌊n/τ_x⌋, for every step n.
    steps : int
        Number of training steps to take, counted from ``state``.
    evaluation : (inputs, targets) or None
        Raw samples to evaluate at every record.
    record_every : int or None
        Steps between records; None chooses it so that there are 50. The last step is always recorded.
    until : float or None
        Evaluated accuracy at which the run stops, at the first record that reaches it.
    progress : callable or None
        Called with the number of steps done, at every record.
    observe : callable or None
        Called with a block of observables of ``probes(spec)``, each with a leading axis of consecutive steps.
    signatures : bool
        Whether to compute the running signatures, if the design has them; they take longer than the rest. Implied by
        ``observe``.

    Raises
    ------
    ValueError
        If an array does not fit the network, or if signatures are requested from a state without them.
    """
    if spec.node:
        raise unknown("Kind", spec.perturbation.kind, "python_ref.fixed.fast.train")
    machine = _Machine(spec, state, inputs, targets, order, signatures, observe)
    last = state.steps + steps
    record_every = max(1, steps // 50) if record_every is None else record_every
    rows: list[tuple[float, ...]] = []
    history: list[np.ndarray] = []
    evaluations, judged, right, total = 0, 0, 0, 0
    while machine.n < last:
        block = machine.run(min(last, (machine.n // record_every + 1) * record_every))
        history.append(block.signatures)
        fresh = block.judged >= 0
        evaluations += block.passes
        judged, right = judged + int(np.count_nonzero(fresh)), right + int(np.count_nonzero(block.judged == 1))
        total += int(block.costs[fresh, 0].sum())
        if machine.n % record_every == 0 or machine.n == last:
            online = (right / judged, math.ldexp(total / judged, -spec.cost_format.fraction_bits)) if judged else (math.nan, math.nan)
            judged, right, total = 0, 0, 0
            evaluated = evaluate(spec, machine.theta.astype(np.int64), *evaluation) if evaluation is not None else (math.nan, math.nan)
            rows.append((machine.n, evaluations, machine.updates * spec.network.n_parameters, *online, *evaluated))
            if progress is not None:
                progress(machine.n)
            if until is not None and evaluated[0] >= until:
                break
    signed = np.concatenate(history) if history else np.empty((0, 2), dtype=np.int64)
    return Result(machine.state(), evaluations, Curve.of_rows(rows), signed)


class _Block(NamedTuple):
    """Result of a block of steps: C of pass 0 and 1, correctness of new samples, signatures (if computed), number of passes."""

    costs: np.ndarray
    judged: np.ndarray
    signatures: np.ndarray
    passes: int


class _Machine:
    """A machine during a run, with the arrays that the compiled loop modifies in place and the sources of its random words."""

    def __init__(
        self,
        spec: DesignSpec,
        state: State,
        inputs: np.ndarray,
        targets: np.ndarray,
        order: SampleOrder | np.ndarray,
        signatures: bool,
        observe: Callable[[dict[str, np.ndarray]], None] | None,
    ) -> None:
        self.signing = spec.hardware.signature and (signatures or observe is not None)
        if self.signing and state.signature is None:
            raise ValueError("Signatures of the state must be known, not left out earlier; clear them, or train with signatures throughout")
        count = len(inputs)
        for name, array, size in (("Inputs", inputs, spec.network.n_in), ("Targets", targets, spec.network.n_out)):
            if np.shape(array) != (count, size):
                raise ValueError(f"{name} must be of shape ({count}, {size}), not {np.shape(array)!r}")
        forms = spec.formats
        kind = np.int32 if max(form.width for form in (forms.weight, forms.input, forms.activation)) < 32 else np.int64
        self.spec, self.start, self.order, self.observe = spec, state, order, observe
        self.net, self.plan = describe(spec, rule_of(spec.optimizer))
        self.inputs, self.targets = np.ascontiguousarray(inputs, dtype=kind), np.ascontiguousarray(targets, dtype=kind)
        self.signs, self.words = SignSource(spec, state.seed), StochasticSource(spec, state.seed)
        self.theta, self.gradient = state.parameters.astype(kind), state.gradient.copy()
        kept = [state.optimizer[variable.name] for variable in spec.optimizer_state]
        self.kept = np.array(kept, dtype=np.int64).reshape(len(kept), len(self.theta))
        self.z = np.stack((state.baseline.preactivation,) * 2)
        self.y = np.stack((state.baseline.activation,) * 2).astype(kind)
        self.in_force, self.counters = np.array([state.baseline.cost, 0]), state.counters.copy()
        self.registers = np.array(state.signature or INITIAL, dtype=np.int64) ^ 0xFFFFFFFF
        self.n, self.updates, self.due = state.steps, state.updates, state.due
        self.changes = [step for step, _ in spec.schedule.learning_rate]
        shown = 8 * values_per_step(spec) if observe else 0
        bytes_per_step = max(40 + shown, spec.quantities / self.plan.tau_p, self.plan.slots * self.plan.word_bits / self.plan.tau_t / 8)
        self.block_steps = max(1, min(1 << 16, int(BLOCK_BYTES / bytes_per_step)))

    def run(self, limit: int) -> _Block:
        """Run the next steps, at most up to step ``limit``."""
        return self._run(min(limit, self.n + self.block_steps, *(change for change in self.changes if change > self.n)))

    def _samples_and_signs(self, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of the samples and the sign vectors of the steps up to ``stop``.

        Both are in order of their numbers, starting with those of the current step.
        """
        tau_x, tau_p = self.plan.tau_x, self.plan.tau_p
        first, count = self.n // tau_x, (stop - 1) // tau_x + 1 - self.n // tau_x
        order = self.order
        indices = (
            order.indices(first, count) if isinstance(order, SampleOrder) else np.asarray(order[first : first + count], dtype=np.int64)
        )
        if len(indices) < count or indices.min() < 0 or indices.max() >= len(self.inputs):
            raise ValueError(
                f"Order must name a sample from 0 to {len(self.inputs) - 1} for each of the numbers {first} to {first + count - 1}"
            )
        return indices, self.signs.block(self.n // tau_p, (stop - 1) // tau_p + 1 - self.n // tau_p)

    def _run(self, stop: int) -> _Block:
        n, plan, spec, length = self.n, self.plan, self.spec, stop - self.n
        indices, signs = self._samples_and_signs(stop)
        packed = self.words.packed(self.updates, stop // plan.tau_t - n // plan.tau_t)
        costs, changes, judged = np.empty((length, 2), dtype=np.int64), np.empty(length, dtype=np.int64), np.empty(length, dtype=np.int64)
        signed = np.empty((length if self.signing else 0, 2), dtype=np.int64)
        shown = _buffers(spec, length if self.observe else 0, self.theta.dtype)
        self.updates += run_steps(
            self.net, plan, self.theta, self.gradient, self.kept, self.z, self.y, self.in_force, self.due, self.inputs, self.targets,
            indices, signs, spec.exponent_at(n), packed, n, self.counters, COUNTER_LIMITS, costs, changes, judged, self.registers, signed,
            shown,
        )  # fmt: skip
        steps = np.arange(n, stop)
        if self.observe:
            self.observe(_observables(spec, shown, costs, changes, signs[steps // plan.tau_p - n // plan.tau_p], signed))
        self.n, self.due = stop, False
        baselines = (judged >= 0) | (steps % plan.tau_t == 0) | spec.two_sided
        return _Block(costs, judged, signed, length + int(np.count_nonzero(baselines)))

    def state(self) -> State:
        """Return the state between two steps, as in the one-page model."""
        kept = self.signing or not self.spec.hardware.signature or self.n == self.start.steps
        forward, learned = (int(register) ^ 0xFFFFFFFF for register in self.registers)
        return State(
            self.start.seed,
            self.n,
            self.updates,
            self.due,
            self.theta.astype(np.int64),
            self.gradient.copy(),
            {variable.name: row.copy() for variable, row in zip(self.spec.optimizer_state, self.kept, strict=True)},
            Pass(self.z[0].copy(), self.y[0].astype(np.int64), int(self.in_force[0]), 0),
            self.start.error_sum,
            self.counters.copy(),
            ((forward, learned) if self.signing else self.start.signature) if kept else None,
        )


def _buffers(spec: DesignSpec, steps: int, kind: np.dtype) -> Shown:
    neurons, parameters = spec.network.n_neurons, spec.network.n_parameters
    return Shown(
        np.empty((steps, 2, neurons), dtype=np.int64),
        np.empty((steps, 2, neurons), dtype=kind),
        np.zeros((steps, spec.layout.words), dtype=np.int64),
        np.empty((steps, parameters), dtype=np.int64),
        np.empty((steps, len(spec.optimizer_state), parameters), dtype=np.int64),
        np.empty((steps, parameters), dtype=kind),
        np.empty((steps, len(COUNTERS)), dtype=np.int64),
    )


def _observables(
    spec: DesignSpec, shown: Shown, costs: np.ndarray, changes: np.ndarray, signs: np.ndarray, signed: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the observables of a block as ``probes(spec)`` defines them, each with a leading axis of steps."""
    found = {
        "preactivation": shown.preactivation,
        "activation": shown.activation.astype(np.int64),
        "cost": costs,
        "cost_change": changes[:, None],
        "broadcast": shown.broadcast,
        "sign": (signs[:, spec.layout.parameter_neuron] if spec.node else signs).astype(np.int64),
        "gradient": shown.gradient,
        **{variable.name: shown.optimizer[:, number] for number, variable in enumerate(spec.optimizer_state)},
        "parameter": shown.parameter.astype(np.int64),
        "counter": shown.counter,
        "signature": signed,
    }
    return {probe.name: found[probe.name] for probe in probes(spec)}


def write_trace(run: Run, directory: Path, *, first: int = 0) -> State:
    """Compute a run, write its trace from step ``first`` on, and return the state after the last step."""
    with TraceWriter(directory, Header.of(run, "python_ref.fixed.fast", first=first), run.spec) as writer:
        before = train(run.spec, run.initial_state(), run.inputs, run.targets, run.order, min(first, run.steps), signatures=True)
        state = before.state
        writer.skip(before.signatures)
        return train(
            run.spec, state, run.inputs, run.targets, run.order, run.steps - state.steps, record_every=run.steps + 1, observe=writer.extend
        ).state
