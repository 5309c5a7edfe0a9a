"""A step of the learner on one page, bit for bit what the hardware computes. The outside is a function, from words to costs.

docs/design/learner.md defines the step; :mod:`~python_ref.fixed.machine` explains the symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from python_ref.fixed.correlation import Learned, correlate
from python_ref.fixed.narrowing import narrow
from python_ref.fixed.signature import INITIAL, event_words, register_of, signed
from python_ref.fixed.state import add_counts, checked_parameters, cleared, sign_source
from python_ref.spec.events import event_fields
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.probes import COUNTERS, probes

__all__ = ["Chip", "LearnerState", "Measured", "NodeChip", "initial_learner", "step"]

Chip = Callable[[np.ndarray, int, int], Sequence[int]]
"""The outside: from the raw words of a pass (int64, shape (N,)), the index of the sample, and the number of cost words that are taken, to
the raw cost words that come in time. Fewer than that number mean that a cost did not come."""


@runtime_checkable
class NodeChip(Protocol):
    """The outside of a learner of node currents: a :data:`Chip` with weights of its own, which it changes by the errors of its nodes."""

    def __call__(self, words: np.ndarray, sample: int, count: int) -> Sequence[int]:
        """Return the raw cost words of a measurement."""

    def apply(self, errors: np.ndarray) -> None:
        """Subtract err_j·x_i from every weight, x_i of the sample that was measured last; raw errors (int64, shape (N,))."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A pass and its cost.

    Attributes
    ----------
    words : array of int64, shape (N,)
        Raw words that were sent, by quantity.
    cost : int
        C, the mean of the cost words, raw in the design's ``cost_format``.
    """

    words: np.ndarray
    cost: int


@dataclass(frozen=True, eq=False)
class LearnerState:
    """State of a learner between two steps.

    Attributes
    ----------
    seed : int
        Seed of the random streams.
    steps, updates, taken : int
        Numbers of steps, updates and samples since the streams started.
    due : bool
        Whether the next step takes a new sample and a new baseline, regardless of the schedule.
    late : bool
        Whether the last step was abandoned, so that the next one takes a new baseline.
    average, samples : int
        The host's settings of these names.
    parameters, gradient : array of int64, shape (N,)
        θ and G, raw; G stays zero in a design without it.
    optimizer : dict of str to array of int64, shape (N,)
        Values of the optimiser's state variables, raw, by their names in ``spec.optimizer_state``.
    baseline : Measured or None
        Current unperturbed pass, if the difference is one-sided; None before the first one.
    counters : array of int64, shape (len(COUNTERS),)
        Values of the counters, in the order of ``COUNTERS``; those that a learner lacks stay zero.
    signature : (int, int)
        Forward and learned running signatures; they stay at their start in a design without them.
    """

    seed: int
    steps: int
    updates: int
    taken: int
    due: bool
    late: bool
    average: int
    samples: int
    parameters: np.ndarray
    gradient: np.ndarray
    optimizer: dict[str, np.ndarray]
    baseline: Measured | None
    counters: np.ndarray
    signature: tuple[int, int] = INITIAL

    def with_load(self, parameters: np.ndarray | None = None) -> LearnerState:
        """Return the state after the host has written parameters: a sample and a baseline are due."""
        return replace(self, due=True, parameters=self.parameters if parameters is None else np.array(parameters, dtype=np.int64))

    def with_clear(self) -> LearnerState:
        """Return the state after the host has cleared the counters; the counts of steps and updates continue."""
        return replace(self, counters=cleared(self.counters), signature=INITIAL)


def initial_learner(spec: LearnerSpec, parameters: np.ndarray, *, seed: int | None = None) -> LearnerState:
    """Return the state before step 0.

    Parameters
    ----------
    spec : LearnerSpec
        Learner that starts: it determines limits, settings and the default seed.
    parameters : array of int64, shape (N,)
        Initial θ, raw, by quantity.
    seed : int or None
        Seed of the random streams; None takes the design's own.

    Raises
    ------
    ValueError
        If the parameters do not have that shape, or one is outside ``spec.parameter_limits``.
    """
    parameters = checked_parameters(spec, parameters, spec.quantities)
    zero, counters = np.zeros_like(parameters), np.zeros(len(COUNTERS), dtype=np.int64)
    kept = {variable.name: zero for variable in spec.optimizer_state}
    seed, outside = spec.perturbation.seed if seed is None else seed, spec.outside
    return LearnerState(seed, 0, 0, 0, True, False, outside.average, outside.samples, parameters, zero, kept, None, counters)


def step(spec: LearnerSpec, state: LearnerState, chip: Chip) -> tuple[LearnerState, dict[str, np.ndarray] | None]:
    """Compute one training step.

    Parameters
    ----------
    spec : LearnerSpec
        Design that sets the formats, the periods and the code of the learner.
    state : LearnerState
        State before the step; it is not modified.
    chip : callable
        The outside, which is called once for each pass that is measured, in order; with node currents a :class:`NodeChip`.

    Returns
    -------
    (LearnerState, dict of arrays or None)
        The state after the step, and its observables, with the names, shapes and formats of ``probes(spec)``; None for a step that was
        abandoned because a cost did not come in time.
    """
    full, spec = spec, spec.serial  # the number of lanes changes no value but the signatures
    n, schedule = state.steps, spec.schedule
    new_sample = state.due or n % schedule.sample_period == 0
    update_due = (n + 1) % schedule.update_period == 0
    sample = (state.taken - (not new_sample)) % state.samples
    s = sign_source(spec, state.seed).signs(n // schedule.perturbation_period).astype(np.int64)

    # The measurement: two passes, or one if the current baseline is still valid.
    amplitude = s * spec.amplitude_raw(spec.formats.weight.fraction_bits)
    first: Measured | None
    if spec.two_sided:
        first_due, directions = True, (+1, -1)
    else:
        first_due, directions = new_sample or state.late or n % schedule.update_period == 0, (0, +1)
    first = _measure(spec, state, chip, state.parameters + directions[0] * amplitude, sample) if first_due else state.baseline
    second = _measure(spec, state, chip, state.parameters + directions[1] * amplitude, sample) if first else None
    if first is None or second is None:
        return replace(state, late=True), None
    difference = first.cost - second.cost if spec.two_sided else second.cost - first.cost
    change, outside = narrow(difference, spec.cost_difference_format, spec.cost_change_format, spec.formats.cost_change_cast)
    counted = {"cost_change": int(outside)}
    # The broadcast: scaled and narrowed once; then the correlation, and the update if it is due.
    scaled = spec.cost_change_format.scaled(spec.gradient_exponent_at(n))
    g, outside = narrow(change, scaled, spec.gradient_format, spec.formats.gradient_cast)
    counted["broadcast"] = int(outside) * spec.quantities
    learned = correlate(spec, state, s, np.full(spec.quantities, g), update_due)
    counted |= learned.saturated
    added = {
        "steps": 1,
        "updates": int(update_due),
        "writes": update_due * spec.quantities,
        "changed": int(np.count_nonzero(learned.parameters != state.parameters)),
    }
    observed = {
        "presented": np.stack((first.words, second.words)),
        "cost": np.array((first.cost, second.cost)),
        "cost_change": np.array((int(change),)),
        "broadcast": learned.broadcast,
        "sign": s,
        **_send_errors(spec, learned, chip, update_due),
        "gradient": learned.gradient,
        **learned.optimizer,
        "parameter": learned.parameters,
        "counter": add_counts(state.counters, added, counted),
    }
    after = replace(
        state,
        steps=n + 1,
        updates=state.updates + update_due,
        taken=state.taken + new_sample,
        due=False,
        late=False,
        parameters=learned.parameters,
        gradient=np.zeros_like(learned.gradient) if update_due else learned.gradient,
        optimizer=learned.optimizer,
        baseline=first,
        counters=observed["counter"],
    )
    if spec.hardware.signature:
        signature = _extend(full, state.signature, observed, (0, 1) if first_due else (1,))
        after, observed["signature"] = replace(after, signature=signature), np.array(signature)
    return after, {probe.name: observed[probe.name] for probe in probes(spec)}


def _measure(spec: LearnerSpec, state: LearnerState, chip: Chip, words: np.ndarray, sample: int) -> Measured | None:
    """Return a pass and its cost, the mean of 2ᵃ words; None if one does not come in time."""
    wanted = 1 << state.average
    costs = chip(words, sample, wanted)
    if len(costs) < wanted:
        return None
    return Measured(words, sum(int(cost) for cost in costs) << (spec.outside.average - state.average))


def _send_errors(spec: LearnerSpec, learned: Learned, chip: Chip, update_due: bool) -> dict[str, np.ndarray]:
    """Give the errors of node currents to the chip where an update is due; return them as an observable, nothing of other quantities."""
    if not spec.sends_errors:
        return {}
    if not isinstance(chip, NodeChip):
        raise TypeError("Chip of a learner of node currents must have a method apply")
    assert learned.update is not None
    if update_due:
        chip.apply(learned.update)
    return {"error": learned.update}


def _extend(spec: LearnerSpec, signature: tuple[int, int], observed: Mapping[str, np.ndarray], passes: tuple[int, ...]) -> tuple[int, int]:
    """Return the signatures extended by one step, which measured these passes."""
    fields, forward = event_fields(spec), []
    for number in passes:
        rows = {"pass": np.full(spec.layout.slots, number), "value": _by_lane(spec, observed["presented"][number])}
        (cost,) = event_words(fields["cost"], {"pass": np.array([number]), "cost": observed["cost"][number : number + 1]})
        forward.append(register_of(event_words(fields["presented"], rows)) ^ int(cost))
    forward += event_words(fields["step"][:1], observed).tolist()  # C̃ is the first field of the step event
    words = event_words(fields["word"], {field.name: _by_lane(spec, observed[field.name]) for field in fields["word"]})
    return signed(signature[0], np.array(forward, dtype=np.uint32)), signed(signature[1], words)


def _by_lane(spec: LearnerSpec, values: np.ndarray) -> np.ndarray:
    """Return values of the quantities as the lanes show them (shape (slots, lanes)), 0 for a lane without a quantity."""
    layout = spec.layout
    rows = np.zeros((layout.slots, spec.hardware.lanes), dtype=np.int64)
    rows[layout.parameter_slot, layout.parameter_lane] = values
    return rows
