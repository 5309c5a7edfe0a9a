"""Decode the events of a core into the observables of each step.

A payload is a row of 32-bit words (uint32, low word first). All values of a block are unpacked by array operations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from python_ref.spec.design import DesignSpec
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.probes import COUNTERS
from sim.error import CoreError
from sim.ports import Field, Ports

__all__ = ["EventDecoder", "baseline_due", "neuron_order", "pack", "unpack"]


def pack(payloads: Sequence[int], words: int) -> np.ndarray:
    """Convert payloads from Python integers to rows of ``words`` 32-bit words (uint32)."""
    data = b"".join(payload.to_bytes(4 * words, "little") for payload in payloads)
    return np.frombuffer(data, dtype="<u4").reshape(len(payloads), words)


def unpack(rows: np.ndarray, field: Field) -> np.ndarray:
    """Extract the elements of a field from payloads.

    Parameters
    ----------
    rows : array of uint32, shape (events, words)
        Payloads of one kind of event, one per row.
    field : Field
        The field to extract, with elements of 1 to 63 bits at any offset.

    Returns
    -------
    array of int64, shape (events, field.count)
        Elements of the field, sign-extended if they are signed.
    """
    if not 1 <= field.width <= 63:
        raise ValueError(f"Width of a field must be 1 to 63 bits, not {field.width}")
    first, bit = np.divmod(field.offset + field.width * np.arange(field.count), 32)
    last = rows.shape[1] - 1
    if (first[-1] * 32 + bit[-1] + field.width - 1) // 32 > last:
        raise ValueError(f"Field {field.name} must lie within {last + 1} words, not end at bit {field.offset + field.width * field.count}")
    shift = bit.astype(np.uint64)
    value = rows[:, first].astype(np.uint64) >> shift
    for more in (1, 2):
        used = np.flatnonzero(bit + field.width > 32 * more)  # elements that extend into the next word
        if len(used) == field.count:
            value |= rows[:, first + more].astype(np.uint64) << (np.uint64(32 * more) - shift)
        elif len(used):
            value[:, used] |= rows[:, first[used] + more].astype(np.uint64) << (np.uint64(32 * more) - shift[used])
    spare = np.uint64(64 - field.width)
    value <<= spare
    return value.view(np.int64) >> np.int64(spare) if field.signed else (value >> spare).view(np.int64)


def baseline_due(spec: LearningSpec, steps: np.ndarray) -> np.ndarray:
    """Whether each of these steps of a run from step 0 has a pass 0 (bool): always if two-sided, else by the schedule."""
    due = (steps % spec.schedule.sample_period == 0) | (steps % spec.schedule.update_period == 0)
    return due | spec.two_sided


def neuron_order(spec: DesignSpec | LearnerSpec) -> np.ndarray:
    """Order in which the neurons of a step of two passes leave the core, or the slots of a learner.

    Returns
    -------
    array of int64, shape (2·neurons,)
        Positions within a step's neuron events, those of pass 0 in the order of its neurons, then those of pass 1. Where one visit of the
        first layer serves both passes, each of its groups comes for pass 0 and then for pass 1.
    """
    if isinstance(spec, LearnerSpec):
        return np.arange(2 * spec.layout.slots)
    layout, n = spec.layout, spec.network.n_neurons
    if not spec.one_visit:
        return np.arange(2 * n)
    group = np.where(layout.neuron_group < layout.layers[0].groups, layout.neuron_group, layout.groups)
    # By group of the first layer, then by pass, then by neuron; the neurons behind the first layer have one group.
    sequence = np.lexsort((np.tile(np.arange(n), 2), np.repeat((0, 1), n), np.tile(group, 2)))
    position = np.empty(2 * n, dtype=np.int64)
    position[sequence] = np.arange(2 * n)
    return position


class EventDecoder:
    """Collects the events of a run from step 0, and returns the observables of complete steps.

    Parameters
    ----------
    spec : DesignSpec or LearnerSpec
        The design of the core that runs: weight perturbation, or a learner, whose words take the place of neurons.
    ports : Ports
        Layouts of the core's events.

    Attributes
    ----------
    steps : int
        Number of steps returned or skipped so far.
    """

    def __init__(self, spec: DesignSpec | LearnerSpec, ports: Ports) -> None:
        self.spec = spec
        self.ports = ports
        # The event of which a pass has several, how many, and its observables by the field that shows each.
        learner = isinstance(spec, LearnerSpec)
        self._each = "presented" if learner else "neuron"
        self._n = spec.layout.slots if isinstance(spec, LearnerSpec) else spec.network.n_neurons
        self._size = spec.quantities if learner else self._n  # the last slot of a learner may have lanes without a quantity
        self._shown = {"value": "presented"} if learner else {name: name for name in ("preactivation", "activation")}
        self.steps = 0
        self._rows = {event: [np.empty((0, ports.payload_words(event)), dtype=np.uint32)] for event in ports.events}
        self._counts = dict.fromkeys(ports.events, 0)
        self._fields = {event: {field.name: field for field in fields} for event, fields in ports.events.items()}
        self._held: dict[str, np.ndarray] = {}
        self._order = neuron_order(spec)

    def feed(self, event: str, rows: np.ndarray) -> None:
        """Add payloads of one kind of event (uint32, shape (events, words)), in the order of the events."""
        if rows.ndim != 2 or rows.shape[1] != self.ports.payload_words(event):
            raise ValueError(f"Payloads of {event} must have {self.ports.payload_words(event)} words, not shape {rows.shape}")
        self._rows[event].append(rows)
        self._counts[event] += len(rows)

    @property
    def pending(self) -> int:
        """Number of 32-bit words not yet taken."""
        return sum(count * self.ports.payload_words(event) for event, count in self._counts.items())

    @property
    def ready(self) -> int:
        """Number of complete steps not yet taken."""
        bound = min(self._counts["step"], self._counts["learned"], self._counts["word"] // self.spec.layout.words)
        if bound == 0:
            return 0
        passes = np.cumsum(1 + baseline_due(self.spec, np.arange(self.steps, self.steps + bound)))
        return int(np.searchsorted(passes, min(self._counts[self._each] // self._n, self._counts["cost"]), side="right"))

    def leftover(self) -> str:
        """Describe the events beyond the complete steps as text; empty if there are none."""
        if self.ready:
            raise ValueError("Complete steps must be taken first")
        return ", ".join(f"{count} of {event}" for event, count in self._counts.items() if count)

    def skip(self, limit: int) -> np.ndarray:
        """Drop at most ``limit`` complete steps, without unpacking their correlated words.

        Returns
        -------
        array of int64, shape (steps, 2)
            Running signatures of these steps; no columns if the core has no signatures.
        """
        steps = self._sound(min(limit, self.ready))
        self._passes(baseline_due(self.spec, np.arange(self.steps, self.steps + steps)))
        self._take("word", steps * self.spec.layout.words)
        rows = {event: self._take(event, steps) for event in ("step", "learned")}
        self.steps += steps
        return self._signatures(rows) if self.spec.hardware.signature else np.empty((steps, 0), dtype=np.int64)

    def take(self, limit: int | None = None) -> dict[str, np.ndarray]:
        """Return the observables of at most ``limit`` complete steps.

        Returns
        -------
        dict of str to array of int64
            Observables by name, as :func:`python_ref.spec.probes.probes` describes them, with a leading axis of steps.

        Raises
        ------
        CoreError
            If a pass ran that was not due, or one that was due did not; correct steps before it are returned first.
        """
        steps = self._sound(self.ready if limit is None else min(limit, self.ready))
        due = baseline_due(self.spec, np.arange(self.steps, self.steps + steps))
        result = {**self._passes(due), **self._words(steps), **self._counters(steps)}
        self.steps += steps
        return result

    def _joined(self, event: str) -> np.ndarray:
        if len(self._rows[event]) > 1:
            self._rows[event] = [np.concatenate(self._rows[event])]
        return self._rows[event][0]

    def _take(self, event: str, count: int) -> np.ndarray:
        rows = self._joined(event)
        self._rows[event] = [rows[count:]]
        self._counts[event] -= count
        return rows[:count]

    def _sound(self, steps: int) -> int:
        """Number of the next steps that ran exactly the passes that were due."""
        due = baseline_due(self.spec, np.arange(self.steps, self.steps + steps))
        passes = int(steps + due.sum())
        second = np.cumsum(1 + due) - 1
        expected = np.zeros((passes, 1), dtype=np.int64)
        expected[second] = 1
        for event in (self._each, "cost"):
            wrong = np.flatnonzero(self._strays(event, due, expected))
            if len(wrong):
                steps = min(steps, int(np.searchsorted(second, wrong[0])))
            if len(wrong) and steps == 0:
                raise CoreError(
                    f"Step {self.steps}: the core's {event} events must belong to pass {expected[wrong[0], 0]}, and do not: "
                    "a pass is missing, or one too many"
                )
        return steps

    def _strays(self, event: str, due: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Whether each pass of the next steps has an event that does not belong to the ``expected`` one (bool, shape (passes,))."""
        each = self._n if event == self._each else 1
        rows = self._joined(event)[: len(expected) * each]
        numbers = self._values(event, self._by_pass(rows, due) if event == self._each else rows, "pass").reshape(len(expected), each)
        return (numbers != expected).any(axis=1)

    def _by_pass(self, rows: np.ndarray, due: np.ndarray) -> np.ndarray:
        """Neuron events of steps in the order of passes and their neurons; ``due`` tells which steps have two passes."""
        n = self._n
        first = n * (np.cumsum(1 + due) - 1 - due)  # each step's first event
        within = [self._order if both else np.arange(n) for both in due]
        return rows[np.concatenate([np.empty(0, dtype=np.int64), *(start + each for start, each in zip(first, within, strict=True))])]

    def _values(self, event: str, rows: np.ndarray, name: str) -> np.ndarray:
        return unpack(rows, self._fields[event][name])

    def _passes(self, due: np.ndarray) -> dict[str, np.ndarray]:
        """Observables of the forward passes; for a step without a baseline, pass 0 has the values of the last baseline."""
        steps, found, result = len(due), self._measured(due), {}
        second = np.cumsum(1 + due) - 1  # index of each step's pass 1 among all passes
        latest = np.maximum.accumulate(np.where(due, np.arange(steps), -1))  # last step with a baseline; −1 for one of an earlier block
        for name, values in found.items():
            first = np.empty((steps, *values.shape[1:]), dtype=np.int64)
            now = latest >= 0
            first[now] = values[second[latest[now]] - 1]
            if not now.all():
                first[~now] = self._held[name]
            if steps:
                self._held[name] = first[-1].copy()
            result[name] = np.stack([first, values[second]], axis=1)
        return result

    def _measured(self, due: np.ndarray) -> dict[str, np.ndarray]:
        """Take what the passes of steps have measured, by observable, with a leading axis of passes."""
        passes = int(len(due) + due.sum())
        rows, costs = self._by_pass(self._take(self._each, passes * self._n), due), self._take("cost", passes)
        found: dict[str, np.ndarray] = {}
        for field, name in self._shown.items():
            found[name] = self._values(self._each, rows, field).reshape(passes, -1)[:, : self._size]
        found["cost"] = self._values("cost", costs, "cost").reshape(passes)
        return found

    def _words(self, steps: int) -> dict[str, np.ndarray]:
        """Observables of the correlating passes, one value per parameter."""
        layout = self.spec.layout
        rows = self._take("word", steps * layout.words)
        names = [field.name for field in self._fields["word"].values() if field.name != "broadcast"]
        place = layout.parameter_word * self.spec.hardware.lanes + layout.parameter_lane
        result = {"broadcast": self._values("word", rows, "broadcast").reshape(steps, -1)}
        if isinstance(self.spec, LearnerSpec):
            result["broadcast"] = result["broadcast"][:, place]
        for name in names:
            result[name] = self._values("word", rows, name).reshape(steps, -1)[:, place]
        return result

    def _counters(self, steps: int) -> dict[str, np.ndarray]:
        rows = {event: self._take(event, steps) for event in ("step", "learned")}
        columns = []
        for label in COUNTERS:
            shown = [event for event in rows if label in self._fields[event]]  # none for the state of another design's optimiser
            columns.append(self._values(shown[0], rows[shown[0]], label)[:, 0] if shown else np.zeros(steps, dtype=np.int64))
        cost_change = self._values("step", rows["step"], "cost_change")
        result = {"cost_change": cost_change, "counter": np.stack(columns, axis=1)}
        if self.spec.hardware.signature:
            result["signature"] = self._signatures(rows)
        return result

    def _signatures(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        return np.concatenate([self._values(event, rows[event], "signature") for event in ("step", "learned")], axis=1)
