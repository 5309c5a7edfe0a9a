"""The machine at speed: the same integers as :mod:`~python_ref.fixed.machine`, its hot loop compiled.

Import this module where it is needed, since it imports numba. Signs and random words come in blocks, and long runs of steps without an
update are exact matrix products. Every design gives the same bits as the plain page.
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
from python_ref.fixed.batch import accumulate, batchable
from python_ref.fixed.cost import correct, cost
from python_ref.fixed.kernels import Shown, rule_of, run_steps
from python_ref.fixed.machine import COUNTER_LIMITS, Pass, State
from python_ref.fixed.network import activate
from python_ref.fixed.perturbation import SignSource, StochasticSource
from python_ref.fixed.plan import describe
from python_ref.fixed.signature import INITIAL
from python_ref.parameters import split_parameters
from python_ref.spec.design import DesignSpec
from python_ref.spec.probes import COUNTERS, probes, values_per_step
from python_ref.trace import Header, Run, TraceWriter

__all__ = ["Result", "evaluate", "exact_matmul", "measures", "outputs", "train", "write_trace"]

BLOCK_BYTES = 1 << 22
"""About as large as the signs, the random words or the observables of a block of steps get."""

QUIET_STEPS, MOST_AT_ONCE = 100, 512
"""Steps without an update that are worth taking at once, and as many as are: below, the compiled loop is faster."""


@dataclass(frozen=True, eq=False)
class Result:
    """A run.

    Attributes
    ----------
    state : State
        The machine after the last step, the same as after that many of ``machine.step``.
    evaluations : int
        Passes of one sample through the network.
    curve : Curve
        A row per record.
    signatures : array of int64, shape (steps, 2)
        The running signatures after each step, forward and learned; no rows where they were not wanted or are not kept.
    """

    state: State
    evaluations: int
    curve: Curve
    signatures: np.ndarray


def outputs(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pass raw inputs through the unperturbed network.

    Sums that float64 holds exactly are left to BLAS.

    Parameters
    ----------
    spec : DesignSpec
        Design that gives the network, its number formats and its casts.
    parameters : array of int64, shape (P,)
        θ, raw, in canonical order.
    inputs : array of int64, shape (n, n_in)
        Raw integers x in ``spec.formats.input``, a row per sample.

    Returns
    -------
    (array of int64, shape (n, n_out); array of float64, shape (layers,))
        Raw outputs, and the share of each layer's activations whose cast was out of range.
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
    """Accuracy, and mean cost as a real number, of the unperturbed network over raw samples (shapes (n, n_in), (n, n_out))."""
    return measures(spec, outputs(spec, parameters, inputs)[0], targets)


def measures(spec: DesignSpec, found: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Accuracy, and mean cost as a real number, of raw outputs to samples with raw targets (both of shape (n, n_out))."""
    right, total = int(np.count_nonzero(correct(spec, found, targets))), int(np.sum(cost(found, targets)))
    return right / len(found), math.ldexp(total / len(found), -spec.cost_format.fraction_bits)


def exact_matmul(a: np.ndarray, b: np.ndarray, width: int) -> np.ndarray:
    """The product of integer matrices whose every sum of |a·b| is below 2^(width − 1); exact in float64 up to 2⁵³."""
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
    """Train for ``steps`` steps from a state on.

    Parameters
    ----------
    spec : DesignSpec
        Design being trained, with its network, schedule and formats.
    state : State
        Of :func:`python_ref.fixed.machine.initial_state`, or of an earlier run.
    inputs, targets : arrays of int64, shapes (samples, n_in) and (samples, n_out)
        Data set in raw integers, a row per sample; ``order`` refers to its rows.
    order : SampleOrder or array of int64
        Which of them is sample number ⌊n/τ_x⌋.
    steps : int
        Number of training steps to take, counted from ``state``.
    evaluation : (inputs, targets) or None
        Raw samples to evaluate at every record.
    record_every : int or None
        Steps between records; None makes 50 of them. The last step is always recorded.
    until : float or None
        Stop at the first record whose evaluated accuracy is at least this.
    progress : callable or None
        Called with the number of steps done, at every record.
    observe : callable or None
        Called with the observables of ``probes(spec)``, a leading axis of consecutive steps before each shape, block by block.
    signatures : bool
        Whether to compute the running signatures, if the design keeps them: they cost more than the rest. Implied by
        ``observe``.

    Raises
    ------
    ValueError
        If an array does not fit the network, or if signatures are wanted of a state that lost them.
    """
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
    """What a block of steps found: C of pass 0 and 1, who was judged, signatures (if kept), passes run."""

    costs: np.ndarray
    judged: np.ndarray
    signatures: np.ndarray
    passes: int


class _Machine:
    """A machine in motion: the arrays that the compiled loop changes in place, and the streams that feed it."""

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
        self.at_once = batchable(spec) and not self.signing and observe is None
        shown = 8 * values_per_step(spec) if observe else 0
        bytes_per_step = max(40 + shown, spec.quantities / self.plan.tau_p, self.plan.slots * self.plan.word_bits / self.plan.tau_t / 8)
        self.block_steps = max(1, min(1 << 16, int(BLOCK_BYTES / bytes_per_step)))

    def run(self, limit: int) -> _Block:
        """The next steps, at most to step ``limit``."""
        n, tau_t = self.n, self.plan.tau_t
        stop = min(limit, n + self.block_steps, *(change for change in self.changes if change > n))
        quiet = n // tau_t * tau_t + tau_t - 1 - n  # steps before the next with an update
        block = None
        if self.at_once and quiet >= QUIET_STEPS:
            stop = min(stop, n + quiet, n + MOST_AT_ONCE)
            block = self._run_at_once(stop)
        elif self.at_once and tau_t > QUIET_STEPS:
            stop = min(stop, n + quiet + 1)
        return block or self._run_one_by_one(stop)

    def _fed(self, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples, by their number from that of this step on, and sign vectors likewise."""
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

    def _run_one_by_one(self, stop: int) -> _Block:
        n, plan, spec, length = self.n, self.plan, self.spec, stop - self.n
        indices, signs = self._fed(stop)
        packed = self.words.packed(self.updates, stop // plan.tau_t - n // plan.tau_t)
        costs, changes, judged = np.empty((length, 2), dtype=np.int64), np.empty(length, dtype=np.int64), np.empty(length, dtype=np.int64)
        signed = np.empty((length if self.signing else 0, 2), dtype=np.int64)
        shown = _room(spec, length if self.observe else 0, self.theta.dtype)
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

    def _run_at_once(self, stop: int) -> _Block | None:
        steps = np.arange(self.n, stop)
        indices, signs = self._fed(stop)
        indices, signs = (
            indices[steps // self.plan.tau_x - self.n // self.plan.tau_x],
            signs[steps // self.plan.tau_p - self.n // self.plan.tau_p],
        )
        found = accumulate(self.spec, self.state(), self.inputs, self.targets, indices, signs)
        if found is None:
            return None
        after, costs, judged = found
        self.gradient, self.counters = after.gradient, after.counters
        self.z[0], self.y[0], self.in_force[0] = after.baseline.preactivation, after.baseline.activation, after.baseline.cost
        baselines = (judged >= 0) | (steps % self.plan.tau_t == 0) | self.spec.two_sided
        self.n, self.due = stop, False
        return _Block(costs, judged, np.empty((0, 2), dtype=np.int64), len(steps) + int(np.count_nonzero(baselines)))

    def state(self) -> State:
        """The machine at rest, as the plain page has it."""
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
            self.counters.copy(),
            ((forward, learned) if self.signing else self.start.signature) if kept else None,
        )


def _room(spec: DesignSpec, steps: int, kind: np.dtype) -> Shown:
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
    """The observables of a block, as ``probes(spec)`` says, a leading axis of steps before each shape."""
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
    """Compute a run and write its trace from step ``first`` on; the state after the last step."""
    with TraceWriter(directory, Header.of(run, "python_ref.fixed.fast", first=first), run.spec) as writer:
        before = train(run.spec, run.initial_state(), run.inputs, run.targets, run.order, min(first, run.steps), signatures=True)
        state = before.state
        writer.skip(before.signatures)
        return train(
            run.spec, state, run.inputs, run.targets, run.order, run.steps - state.steps, record_every=run.steps + 1, observe=writer.extend
        ).state
