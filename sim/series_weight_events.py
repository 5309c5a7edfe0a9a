"""Decode the events of weight perturbation in a network with state, whose passes have as many frames as their sample."""

from __future__ import annotations

import numpy as np

from python_ref.spec.design import DesignSpec
from python_ref.spec.probes import COUNTERS
from sim.events import EventDecoder, baseline_due
from sim.ports import Ports

__all__ = ["SeriesWeightEventDecoder"]

_OUTSIDE = {"saturated_activation": "outside", "saturated_state": "state_outside"}
"""Fields of a neuron that a counter counts."""


class SeriesWeightEventDecoder(EventDecoder):
    """Collects the events of a run from step 0, and returns the observables of complete steps.

    Parameters
    ----------
    spec : DesignSpec
        The design of the core that runs.
    ports : Ports
        Layouts of the core's events.
    lengths : array of int64
        Number of frames of each sample of the run, in the order in which the core takes them.
    """

    spec: DesignSpec

    def __init__(self, spec: DesignSpec, ports: Ports, lengths: np.ndarray) -> None:
        super().__init__(spec, ports)
        self._shown = {name: name for name in ("preactivation", "activation", "state")}
        self._lengths = lengths
        self._outside = dict.fromkeys(_OUTSIDE, 0)
        self._counted: dict[str, np.ndarray] = {}

    def _evaluations(self, due: np.ndarray) -> np.ndarray:
        """Number of evaluations in each pass of the next steps (int64, shape (passes,))."""
        unrolled, period = self.spec.unrolled, self.spec.schedule.sample_period
        lengths = self._lengths[np.arange(self.steps, self.steps + len(due)) // period]
        return np.repeat(lengths * unrolled.framed_neurons + unrolled.tail_neurons, 1 + due)

    @property
    def ready(self) -> int:
        """Number of complete steps not yet taken."""
        bound = min(self._counts["step"], self._counts["learned"], self._counts["word"] // self.spec.layout.words)
        bound = min(bound, len(self._lengths) * self.spec.schedule.sample_period - self.steps)
        if bound <= 0:
            return 0
        due = baseline_due(self.spec, np.arange(self.steps, self.steps + bound))
        complete = int(np.searchsorted(np.cumsum(self._evaluations(due)), self._counts[self._each], side="right"))
        return int(np.searchsorted(np.cumsum(1 + due), min(complete, self._counts["cost"]), side="right"))

    def skip(self, limit: int) -> np.ndarray:
        """Drop at most ``limit`` complete steps; see :class:`~sim.events.EventDecoder`."""
        found = self.take(limit)
        return found.get("signature", np.empty((len(found["cost_change"]), 0), dtype=np.int64))

    def _strays(self, event: str, due: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """See :class:`~sim.events.EventDecoder`."""
        if event != self._each:
            return super()._strays(event, due, expected)
        counts = self._evaluations(due)
        numbers = self._values(event, self._joined(event)[: int(counts.sum())], "pass")[:, 0]
        of_pass = np.repeat(np.arange(len(counts)), counts)
        return np.bincount(of_pass, numbers != expected[of_pass, 0], len(counts)) > 0

    def _measured(self, due: np.ndarray) -> dict[str, np.ndarray]:
        """See :class:`~sim.events.EventDecoder`. Evaluations of frames that a sample does not have are 0."""
        unrolled, counts = self.spec.unrolled, self._evaluations(due)
        rows, costs = self._take(self._each, int(counts.sum())), self._take("cost", len(counts))
        of_pass = np.repeat(np.arange(len(counts)), counts)
        # The place of each event among the evaluations of its pass: those of the tail are the last ones.
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        beyond = np.repeat(counts - unrolled.tail_neurons, counts)
        place = np.where(within < beyond, within, within - beyond + unrolled.frames * unrolled.framed_neurons)
        found = {"cost": self._values("cost", costs, "cost")[:, 0]}
        for field, name in self._shown.items():
            found[name] = np.zeros((len(counts), unrolled.evaluations), dtype=np.int64)
            found[name][of_pass, place] = self._values(self._each, rows, field)[:, 0]
        of_step = np.repeat(np.arange(len(due)), 1 + due)[of_pass]
        for label, field in _OUTSIDE.items():
            added = np.bincount(of_step, self._values(self._each, rows, field)[:, 0], len(due)).astype(np.int64)
            self._counted[label] = np.minimum(self._outside[label] + np.cumsum(added), 2**32 - 1)
            if len(due):
                self._outside[label] = int(self._counted[label][-1])
        return found

    def _counters(self, steps: int) -> dict[str, np.ndarray]:
        """See :class:`~sim.events.EventDecoder`: the neurons show which activations and states were out of range."""
        result = super()._counters(steps)
        for label, counted in self._counted.items():
            result["counter"][:, COUNTERS.index(label)] = counted
        return result
