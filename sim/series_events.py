"""Decode the events of a core of a network with state, whose passes follow one another, and whose samples have lengths of their own."""

from __future__ import annotations

import numpy as np

from python_ref.spec.design import DesignSpec
from sim.node_events import NodeEventDecoder, Rows
from sim.ports import Ports

__all__ = ["SeriesEventDecoder"]

_EVALUATED = ("preactivation", "activation", "state")


class SeriesEventDecoder(NodeEventDecoder):
    """Collects the events of a run from step 0, and returns the observables of complete steps.

    Parameters
    ----------
    spec : DesignSpec
        The design of the core that runs.
    ports : Ports
        Layouts of the core's events.
    parameters : array of int64, shape (P,)
        Raw parameters at the start of the run, which the steps of the first presentation show.
    lengths : array of int64
        Number of frames of each sample of the run, in the order in which the core takes them.
    """

    def __init__(self, spec: DesignSpec, ports: Ports, parameters: np.ndarray, lengths: np.ndarray) -> None:
        super().__init__(spec, ports, parameters)
        self._lengths = lengths
        self._rows["neuron"] = Rows(ports.payload_words("neuron"))
        self._pass0 = {name: np.zeros(spec.evaluations, dtype=np.int64) for name in _EVALUATED} | {"cost": np.zeros((), dtype=np.int64)}

    def feed(self, event: str, rows: np.ndarray) -> None:
        """Add payloads of one kind of event (uint32, shape (events, words)), in the order of the events."""
        if rows.ndim != 2 or rows.shape[1] != self.ports.payload_words(event):
            raise ValueError(f"Payloads of {event} must have {self.ports.payload_words(event)} words, not shape {rows.shape}")
        self._rows[event].add(rows)

    def _counts(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of evaluations of a pass and of quantities in each of the next steps, those of frames that its sample has."""
        unrolled = self.spec.unrolled
        lengths = self._lengths[np.arange(self.steps, self.steps + steps) // self.spec.schedule.sample_period]
        segments = -(-lengths // unrolled.hold)
        return lengths * unrolled.framed_neurons + unrolled.tail_neurons, segments * unrolled.framed_neurons + unrolled.tail_neurons

    @property
    def ready(self) -> int:
        """Number of complete steps not yet taken."""
        count = {event: rows.count for event, rows in self._rows.items()}
        bound = min(count["step"], len(self._lengths) * self.spec.schedule.sample_period - self.steps)
        if bound == 0:
            return 0
        begins = self._begins(self.steps, bound + 1)
        passes, ends = begins[:-1] + self._probes(), begins[1:]
        evaluations, quantities = self._counts(bound)
        needed = {
            "neuron": passes * evaluations,
            "cost": passes,
            "correlation": quantities,
            "error": ends * quantities,
            "word": ends * self.spec.layout.words,
            "learned": ends,
        }
        complete = np.logical_and.reduce([np.cumsum(each) <= count[event] for event, each in needed.items()])
        return int(np.logical_and.accumulate(complete).sum())

    def _passes(self, begins: np.ndarray) -> dict[str, np.ndarray]:
        """Observables of the passes; for a step without an unperturbed pass, those of the last one."""
        spec, steps, most = self.spec, len(begins), self.spec.passes
        framed = spec.unrolled.framed_neurons * spec.unrolled.frames
        evaluations, _ = self._counts(steps)
        ran = np.ones((steps, most), dtype=bool)
        ran[:, 0] = begins
        number = np.broadcast_to(np.arange(most), ran.shape)[ran]
        of_step = np.broadcast_to(np.arange(steps)[:, None], ran.shape)[ran]
        counts = evaluations[of_step]
        rows, costs = self._rows["neuron"].take(int(counts.sum())), self._rows["cost"].take(len(counts))
        self._check("cost", self._values("cost", costs, "pass")[:, 0], number)
        self._check("neuron", self._values("neuron", rows, "pass")[:, 0], np.repeat(number, counts))
        # The place of each event among the evaluations of its pass: those of the tail are the last ones.
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        beyond = np.repeat(counts - spec.unrolled.tail_neurons, counts)
        place = np.where(within < beyond, within, within - beyond + framed)
        step, of_pass = np.repeat(of_step, counts), np.repeat(number, counts)
        result = {"cost": np.zeros((steps, most), dtype=np.int64)}
        result["cost"][of_step, number] = self._values("cost", costs, "cost")[:, 0]
        for name in _EVALUATED:
            result[name] = np.zeros((steps, most, spec.evaluations), dtype=np.int64)
            result[name][step, of_pass, place] = self._values("neuron", rows, name)[:, 0]
        latest = np.cumsum(begins)
        for name, values in result.items():
            in_force = np.concatenate([self._pass0[name][None], values[begins, 0]])[latest]
            values[:, 0] = in_force
            if steps:
                self._pass0[name] = in_force[-1].copy()
        outside = {"saturated_activation": "outside", "saturated_state": "state_outside"}
        added = {label: np.bincount(step, self._values("neuron", rows, name)[:, 0], steps) for label, name in outside.items()}
        self._counted = {label: self._since(label, each.astype(np.int64)) for label, each in added.items()}
        return result

    def _quantities(self, quantities: np.ndarray, event: str, *names: str) -> list[np.ndarray]:
        """Fields of an event that comes once for each of so many quantities of each step, 0 for those that do not exist."""
        unrolled, steps = self.spec.unrolled, len(quantities)
        rows, step = self._rows[event].take(int(quantities.sum())), np.repeat(np.arange(steps), quantities)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(quantities) - quantities, quantities)
        beyond = (quantities - unrolled.tail_neurons)[step]
        place = np.where(within < beyond, within, within - beyond + unrolled.segments * unrolled.framed_neurons)
        found = []
        for name in names:
            values = np.zeros((steps, unrolled.quantities), dtype=np.int64)
            values[step, place] = self._values(event, rows, name)[:, 0]
            found.append(values)
        return found

    def _sums(self, begins: np.ndarray) -> dict[str, np.ndarray]:
        """Observables of the steps and of the sums of errors."""
        steps = len(begins)
        self._step = self._rows["step"].take(steps)
        sign, error_sum = self._quantities(self._counts(steps)[1], "correlation", "sign", "error_sum")
        return {"sign": sign, "error_sum": error_sum, "cost_change": self._values("step", self._step, "cost_change")}

    def _errors(self, ends: np.ndarray) -> np.ndarray:
        """Errors of each step, which are 0 where no presentation ends."""
        found = self._quantities(self._counts(len(ends))[1] * ends, "error", "error")[0]
        if self.spec.sums_by_group:
            period = self.spec.schedule.sample_period
            for row, step in enumerate(range(self.steps, self.steps + len(ends))):
                if ends[row]:
                    shown = self.spec.shown_errors(int(self._lengths[step // period]))
                    # Those that came first are in the places of the lowest numbers.
                    found[row, shown] = found[row, np.sort(shown)]
        return found

    def leftover(self) -> str:
        """Describe the events beyond the complete steps as text; empty if there are none."""
        if self.ready:
            raise ValueError("Complete steps must be taken first")
        return ", ".join(f"{rows.count} of {event}" for event, rows in self._rows.items() if rows.count)
