"""Compare two traces of one run, and find their first difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from python_ref.spec.design import DesignSpec
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.probes import Probe, probes, values_per_step
from python_ref.trace import Trace, check_comparable

__all__ = ["TraceComparison", "TraceDifference", "compare", "describe_place"]


@dataclass(frozen=True)
class TraceDifference:
    """One value that differs between two traces.

    Attributes
    ----------
    step : int
        Number of the training step, from 0.
    observable : str
        Name of the observable that differs.
    index : tuple of int
        Index of the value within the observable's shape.
    place : str
        The index as text: pass, layer, neuron, input, or the counter's name.
    expected_raw, found_raw : int
        Raw value of the reference, and raw value of the hardware.
    expected, found : float
        The same two values as real numbers.
    """

    step: int
    observable: str
    index: tuple[int, ...]
    place: str
    expected_raw: int
    found_raw: int
    expected: float
    found: float

    def __str__(self) -> str:
        return (
            f"step {self.step}, {self.observable}[{', '.join(map(str, self.index))}] ({self.place}): "
            f"the reference has {self.expected:.9g} (raw {self.expected_raw}), the hardware {self.found:.9g} (raw {self.found_raw})"
        )


@dataclass(frozen=True)
class TraceComparison:
    """Result of comparing two traces.

    Attributes
    ----------
    steps : int
        Number of steps in the reference.
    compared : int
        Number of values compared: observables × steps, and two signatures for each earlier step.
    mismatches : int
        Number of values that differ, or that the hardware's trace lacks.
    first : TraceDifference or None
        The earliest difference; None if there is none.
    by_observable : dict of str to int
        Number of mismatches of each observable that has any.
    """

    steps: int
    compared: int
    mismatches: int
    first: TraceDifference | None
    by_observable: dict[str, int]

    @property
    def equal(self) -> bool:
        """Whether the two traces are equal."""
        return self.mismatches == 0


_EVALUATED = ("preactivation", "activation", "state")
"""Observables with a value for each evaluation of a neuron in a pass."""


def describe_place(spec: DesignSpec | LearnerSpec, probe: Probe, index: tuple[int, ...]) -> str:
    """Describe an index of an observable as text."""
    if isinstance(spec, LearnerSpec):
        return _place_of_learner(probe, index)
    sizes = [layer.n_out for layer in spec.network.layers]

    def neuron(number: int) -> str:
        layer = int(np.searchsorted(np.cumsum(sizes), number, side="right"))
        return f"layer {layer}, neuron {number - sum(sizes[:layer])}"

    def fed_by(number: int) -> str:
        return "bias" if number < 0 else f"input {number}"

    def evaluated(number: int, turns: int, what: str) -> str:
        """Neuron of an evaluation, or of a quantity, which come in so many turns of the framed neurons, and then the tail."""
        turn, framed = divmod(number, spec.unrolled.framed_neurons)
        return f"{what} {turn}, {neuron(framed)}" if turn < turns else neuron(number - (turns - 1) * spec.unrolled.framed_neurons)

    last = index[-1]
    if probe.labels:
        return probe.labels[last]
    if probe.name in _EVALUATED:
        return f"pass {index[0]}, {evaluated(last, spec.network.frames, 'frame') if spec.series else neuron(last)}"
    if probe.name == "cost":
        return f"pass {last}"
    if probe.name == "cost_change":
        return "C̃"
    if probe.shape == (spec.quantities,) and spec.node and probe.name in ("sign", "error_sum", "error"):
        return evaluated(last, spec.unrolled.segments, "segment") if spec.series else neuron(last)
    layout = spec.layout
    if probe.name == "broadcast":
        layer = int(layout.word_layer[last])
        group = (last - layout.layers[layer].first_word) // layout.layers[layer].group_words
        return f"layer {layer}, group {group}, {fed_by(int(layout.word_input[last]))}"
    return f"{neuron(int(layout.parameter_neuron[last]))}, {fed_by(int(layout.word_input[layout.parameter_word[last]]))}"


def _place_of_learner(probe: Probe, index: tuple[int, ...]) -> str:
    if probe.labels:
        return probe.labels[index[-1]]
    if probe.name == "cost_change":
        return "C̃"
    if probe.name == "cost":
        return f"pass {index[0]}"
    return f"pass {index[0]}, quantity {index[1]}" if probe.name == "presented" else f"quantity {index[0]}"


def _moments(spec: DesignSpec | LearnerSpec, probe: Probe) -> np.ndarray:
    """Rank of each value of an observable in the order in which a step computes them (shape: the observable's)."""
    if isinstance(spec, LearnerSpec):
        names = [other.name for other in probes(spec)]
        rank = {"presented": 0, "cost": 1}.get(probe.name, 2 + names.index(probe.name))
        passes = 2 * np.arange(2).reshape(2, *(1,) * (len(probe.shape) - 1)) if probe.name in ("presented", "cost") else 0
        return np.broadcast_to(rank + passes, probe.shape)
    # The layers in the order of a pass, which visits those of a network with state in each frame.
    visited = spec.unrolled.visits
    layers = len(visited)
    if probe.name in _EVALUATED:
        layer = np.repeat(np.arange(layers), [spec.network.layers[number].n_out for number in visited])
        return np.arange(spec.passes)[:, None] * (2 * layers + 1) + 2 * layer + (probe.name != "preactivation")
    if probe.name == "cost":
        return np.arange(spec.passes) * (2 * layers + 1) + 2 * layers
    names = [other.name for other in probes(spec)]
    return np.full(probe.shape, spec.passes * (2 * layers + 1) + names.index(probe.name))


def _rows(trace: Trace) -> Iterator[dict[str, np.ndarray]]:
    for _, block in trace.blocks():
        if len(block["counter"]):
            yield block


def _aligned(left: Trace, right: Trace) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Yield pairs of blocks of two traces, cut so that both cover the same steps, until one trace ends."""
    mine, theirs = _rows(left), _rows(right)
    a, b = next(mine, None), next(theirs, None)
    while a is not None and b is not None:
        count = min(len(a["counter"]), len(b["counter"]))
        yield {name: values[:count] for name, values in a.items()}, {name: values[:count] for name, values in b.items()}
        a = {name: values[count:] for name, values in a.items()} if count < len(a["counter"]) else next(mine, None)
        b = {name: values[count:] for name, values in b.items()} if count < len(b["counter"]) else next(theirs, None)


def compare(spec: DesignSpec | LearnerSpec, reference: Trace, hardware: Trace) -> TraceComparison:
    """Compare every value of every step, and the running signatures of the steps before the traces' first step, where recorded.

    Parameters
    ----------
    spec : DesignSpec or LearnerSpec
        The design that both traces belong to.
    reference : Trace
        Trace that the reference model wrote.
    hardware : Trace
        Trace of the hardware; it may have fewer steps, but not more.

    Raises
    ------
    ValueError
        If the traces belong to another design, or to different runs.
    """
    if reference.header.digest != spec.digest:
        raise ValueError(f"Traces must be of the design {spec.digest}, not {reference.header.digest}")
    check_comparable(replace(reference.header, steps=0), replace(hardware.header, steps=0))
    if hardware.header.steps > reference.header.steps:
        raise ValueError(f"The hardware's trace must have at most {reference.header.steps} steps, not {hardware.header.steps}")
    found = probes(spec)
    moments = {probe.name: _moments(spec, probe) for probe in found}
    counts = dict.fromkeys((probe.name for probe in found), 0)
    skipped, first = _compare_signatures(reference.signatures(), hardware.signatures())
    step = reference.header.first
    for mine, theirs in _aligned(reference, hardware):
        unequal = {probe.name: mine[probe.name] != theirs[probe.name] for probe in found}
        for name, where in unequal.items():
            counts[name] += int(np.count_nonzero(where))
        if first is None:
            first = _first(spec, found, moments, unequal, mine, theirs, step)
        step += len(mine["counter"])
    missing = reference.header.steps - hardware.header.steps
    for probe in found:
        counts[probe.name] += missing * probe.size
    if skipped:
        counts["signature"] += skipped
    return TraceComparison(
        reference.header.steps,
        reference.header.steps * values_per_step(spec) + reference.signatures().size,
        sum(counts.values()),
        first,
        {name: count for name, count in counts.items() if count},
    )


def _compare_signatures(mine: np.ndarray, theirs: np.ndarray) -> tuple[int, TraceDifference | None]:
    """Number of signatures that differ or that the hardware lacks, and the first difference."""
    common = min(len(mine), len(theirs))
    where = np.argwhere(mine[:common] != theirs[:common])
    mismatches = len(where) + 2 * (len(mine) - common)
    if not len(where):
        return mismatches, None
    step, index = (int(value) for value in where[0])
    expected, found = int(mine[step, index]), int(theirs[step, index])
    place = ("forward", "learned")[index]
    return mismatches, TraceDifference(step, "signature", (index,), place, expected, found, float(expected), float(found))


def _first(
    spec: DesignSpec | LearnerSpec,
    found: tuple[Probe, ...],
    moments: dict[str, np.ndarray],
    unequal: dict[str, np.ndarray],
    mine: dict[str, np.ndarray],
    theirs: dict[str, np.ndarray],
    step: int,
) -> TraceDifference | None:
    """The first difference of a block: that of the earliest step, in it the one computed first, of these the one with the lowest index."""
    candidates = []
    for probe in found:
        where = unequal[probe.name]
        rows = np.flatnonzero(where.reshape(len(where), -1).any(axis=1))
        if len(rows):
            flat = np.flatnonzero(where[rows[0]])
            moment = moments[probe.name].ravel()[flat]
            earliest = int(np.argmin(moment))
            candidates.append((int(rows[0]), int(moment[earliest]), int(flat[earliest]), probe))
    if not candidates:
        return None
    row, _, flat_index, probe = min(candidates, key=lambda candidate: candidate[:3])
    index = tuple(int(i) for i in np.unravel_index(flat_index, probe.shape))
    expected, got = int(mine[probe.name][row][index]), int(theirs[probe.name][row][index])
    target = probe.format_at(flat_index)
    return TraceDifference(
        step + row,
        probe.name,
        index,
        describe_place(spec, probe, index),
        expected,
        got,
        float(target.to_real(expected)),
        float(target.to_real(got)),
    )
