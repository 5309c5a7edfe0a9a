"""The machine at speed: the same integers as :mod:`~python_ref.fixed.machine`, computed by compiled loops.

Import this module only where it is used, since it imports numba. The result of every design has the same bits as that of the plain model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from python_ref.curve import Curve
from python_ref.datasets import SampleOrder
from python_ref.fixed.blocks import machine_of, series_outputs
from python_ref.fixed.cost import aligned, correct, cost
from python_ref.fixed.network import activate, output
from python_ref.fixed.state import State
from python_ref.fixed.tally import Tally
from python_ref.fixed.thresholds import fixed_thresholds
from python_ref.parameters import split_parameters
from python_ref.spec.design import DesignSpec
from python_ref.trace import Header, Run, TraceWriter

__all__ = ["Result", "evaluate", "exact_matmul", "measures", "outputs", "train", "write_trace"]


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
    inputs : array of int64, shape (n, record_inputs)
        Raw integers x in ``spec.formats.input``, a row per sample; of a series that is not held, its length first.

    Returns
    -------
    (array of int64, shape (n, n_out); array of float64, shape (layers,))
        Raw outputs, and the fraction of each layer's activations whose cast was out of range, or of its states if it spikes.
    """
    if spec.series:
        return series_outputs(spec, parameters, inputs)
    found = [np.empty((0, spec.network.n_out), dtype=np.int64)]
    outside = np.zeros(len(spec.network.layers))
    for first in range(0, len(inputs), 4096):
        x = inputs[first : first + 4096]
        for number, (weights, biases) in enumerate(split_parameters(spec, parameters)):
            layer, source = spec.network.layers[number], spec.preactivation_format(number)
            z = exact_matmul(x, layer.matrix(weights).T, source.width) + (biases << np.int64(spec.operand_format(number).fraction_bits))
            f, saturated = activate(spec, layer.activation, z, source)
            x = output(spec, number, f, fixed_thresholds(spec, number))
            outside[number] += np.count_nonzero(saturated)
        found.append(x)
    neurons = np.array([layer.n_out for layer in spec.network.layers])
    return np.concatenate(found), outside / (neurons * max(1, len(inputs)))


def evaluate(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Return accuracy and mean cost, both real numbers, of the unperturbed network on raw samples (shapes (n, n_in), (n, n_out))."""
    return measures(spec, outputs(spec, parameters, inputs)[0], targets)


def measures(spec: DesignSpec, found: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Return accuracy and mean cost, both real numbers, of raw outputs for samples with raw targets (both of shape (n, n_out))."""
    right, total = int(np.count_nonzero(correct(spec, found, targets))), int(np.sum(cost(*aligned(spec, found, targets))))
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
    tally: Tally | None = None,
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
    tally : Tally or None
        Count of the updates that change each parameter, begun with the parameters of ``state`` or left by the run before it; the run
        continues it in place. None counts nothing.

    Raises
    ------
    ValueError
        If an array does not fit the network, or if signatures are requested from a state without them.
    """
    machine = machine_of(spec)(spec, state, inputs, targets, order, signatures, observe, tally)
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


def write_trace(run: Run, directory: Path, *, first: int = 0) -> State:
    """Compute a run, write its trace from step ``first`` on, and return the state after the last step."""
    with TraceWriter(directory, Header.of(run, "python_ref.fixed.fast", first=first), run.spec) as writer:
        before = train(run.spec, run.initial_state(), run.inputs, run.targets, run.order, min(first, run.steps), signatures=True)
        state = before.state
        writer.skip(before.signatures)
        return train(
            run.spec, state, run.inputs, run.targets, run.order, run.steps - state.steps, record_every=run.steps + 1, observe=writer.extend
        ).state
