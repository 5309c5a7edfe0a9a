"""Decode the events of a core of node perturbation into the observables of each step.

The hardware overlaps probes, and applies errors only at the end of a presentation. The decoder sorts the neurons by pass, and repeats
what a step does not change.
"""

from __future__ import annotations

import numpy as np

from python_ref.spec.design import DesignSpec
from python_ref.spec.parts import Part
from python_ref.spec.probes import COUNTERS
from sim.error import CoreError
from sim.events import unpack
from sim.ports import Ports

__all__ = ["IncrementalEventDecoder", "NodeEventDecoder", "PartEventDecoder", "Rows", "node_decoder"]

_UNPERTURBED = 2


class Rows:
    """Rows of one kind of event that have not been taken."""

    def __init__(self, words: int) -> None:
        self._blocks = [np.empty((0, words), dtype=np.uint32)]
        self.count = 0

    def add(self, rows: np.ndarray) -> None:
        """Add rows at the end."""
        self._blocks.append(rows)
        self.count += len(rows)

    def peek(self) -> np.ndarray:
        """Return all rows."""
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks)]
        return self._blocks[0]

    def take(self, count: int) -> np.ndarray:
        """Remove the first rows, and return them."""
        rows = self.peek()
        self._blocks = [rows[count:]]
        self.count -= count
        return rows[:count]


class NodeEventDecoder:
    """Collects the events of a run from step 0, and returns the observables of complete steps.

    Parameters
    ----------
    spec : DesignSpec
        The design of the core that runs.
    ports : Ports
        Layouts of the core's events.
    parameters : array of int64, shape (P,)
        Raw parameters at the start of the run, which the steps of the first presentation show.

    Attributes
    ----------
    steps : int
        Number of steps returned or skipped so far.
    """

    def __init__(self, spec: DesignSpec, ports: Ports, parameters: np.ndarray) -> None:
        self.spec = spec
        self.ports = ports
        self.steps = 0
        self._rows = {event: Rows(ports.payload_words(event)) for event in ports.kinds if event != "neuron"}
        # The neurons by bank, each with its number among all neurons.
        self._banks = [Rows(ports.payload_words("neuron") + 2) for _ in range(3)]
        self._neurons = 0
        self._fields = {event: {field.name: field for field in ports.events[event]} for event in ports.kinds}
        n, zero = spec.network.n_neurons, np.zeros(spec.network.n_parameters, dtype=np.int64)
        sizes = {"preactivation": n, "activation": n, "cost": 1}
        self._pass0 = {name: np.zeros(size, dtype=np.int64) for name, size in sizes.items()}
        self._kept = {variable.name: zero for variable in spec.optimizer_state} | {"parameter": np.array(parameters, dtype=np.int64)}
        self._gradient = zero
        self._counted: dict[str, np.ndarray] = {}
        self._learned = dict.fromkeys((*COUNTERS, "signature"), 0)

    def feed(self, event: str, rows: np.ndarray) -> None:
        """Add payloads of one kind of event (uint32, shape (events, words)), in the order of the events."""
        if rows.ndim != 2 or rows.shape[1] != self.ports.payload_words(event):
            raise ValueError(f"Payloads of {event} must have {self.ports.payload_words(event)} words, not shape {rows.shape}")
        if event != "neuron":
            self._rows[event].add(rows)
            return
        numbers = np.arange(self._neurons, self._neurons + len(rows), dtype=np.uint64)
        numbered = np.concatenate([rows, numbers.view(np.uint32).reshape(-1, 2)], axis=1)
        self._neurons += len(rows)
        banks = self._values("neuron", rows, "bank")[:, 0]
        for bank, found in enumerate(self._banks):
            found.add(numbered[banks == bank])
        if len(rows) and banks.max() > _UNPERTURBED:
            raise CoreError(f"A neuron's bank must be 0, 1 or {_UNPERTURBED}, not {banks.max()}")

    @property
    def pending(self) -> int:
        """Number of 32-bit words not yet taken."""
        neurons = sum(found.count for found in self._banks) * self.ports.payload_words("neuron")
        return neurons + sum(rows.count * self.ports.payload_words(event) for event, rows in self._rows.items())

    def _probes(self) -> int:
        """Number of probes of a step."""
        return self.spec.passes - 1

    def _begins(self, first: int, steps: int) -> np.ndarray:
        return np.array([self.spec.schedule.begins(n) for n in range(first, first + steps)], dtype=bool)

    @property
    def ready(self) -> int:
        """Number of complete steps not yet taken."""
        n, count = self.spec.network.n_neurons, {event: rows.count for event, rows in self._rows.items()}
        bound = self._correlated_steps(count["correlation"], count["step"])
        if bound == 0:
            return 0
        begins = self._begins(self.steps, bound + 1)
        passes, ended = np.cumsum(begins[:-1] + self._probes()), np.cumsum(begins[1:])
        complete = passes <= count["cost"]
        applied = min(count["error"] // n, count["word"] // self.spec.layout.words, count["learned"])
        complete &= ended <= applied
        complete &= np.cumsum(begins[:-1]) <= self._banks[_UNPERTURBED].count // n
        complete &= self._complete_probes(bound)
        return int(np.logical_and.accumulate(complete).sum())

    @property
    def _correlations(self) -> int:
        """Number of events ``correlation`` of a step."""
        return self.spec.network.n_neurons

    def _correlated_steps(self, correlations: int, steps: int) -> int:
        """Number of the next steps, at most ``steps``, whose events ``correlation`` are all there."""
        return min(steps, correlations // self._correlations)

    def _take_correlations(self, steps: int) -> np.ndarray:
        """Take the events ``correlation`` of the next steps (uint32)."""
        return self._rows["correlation"].take(steps * self._correlations)

    def _complete_probes(self, bound: int) -> np.ndarray:
        """Whether the neurons of each of the next steps are all there (bool)."""
        n = self.spec.network.n_neurons
        return self._probes() * np.arange(1, bound + 1) <= sum(found.count // n for found in self._banks[:_UNPERTURBED])

    def _probe_rows(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Take the neurons of the next steps' probes (uint32), and the place of each among steps × probes × neurons (int64)."""
        passes = steps * self._probes()
        return self._sorted_probes(passes), np.arange(passes * self.spec.network.n_neurons)

    def leftover(self) -> str:
        """Describe the events beyond the complete steps as text; empty if there are none."""
        if self.ready:
            raise ValueError("Complete steps must be taken first")
        counts = {"neuron": sum(found.count for found in self._banks)} | {event: rows.count for event, rows in self._rows.items()}
        return ", ".join(f"{count} of {event}" for event, count in counts.items() if count)

    def skip(self, limit: int) -> np.ndarray:
        """Drop at most ``limit`` complete steps.

        Returns
        -------
        array of int64, shape (steps, 2)
            Running signatures of these steps; no columns if the core has no signatures.
        """
        found = self.take(limit)
        return found.get("signature", np.empty((len(found["cost_change"]), 0), dtype=np.int64))

    def take(self, limit: int | None = None) -> dict[str, np.ndarray]:
        """Return the observables of at most ``limit`` complete steps.

        Returns
        -------
        dict of str to array of int64
            Observables by name, as :func:`python_ref.spec.probes.probes` describes them, with a leading axis of steps.

        Raises
        ------
        CoreError
            If an event belongs to another pass than the one that was due.
        """
        steps = self.ready if limit is None else min(limit, self.ready)
        begins = self._begins(self.steps, steps + 1)
        result = {**self._passes(begins[:-1]), **self._sums(begins[:-1]), **self._applied(begins[1:])}
        self.steps += steps
        return result

    def _values(self, event: str, rows: np.ndarray, name: str) -> np.ndarray:
        return unpack(rows, self._fields[event][name])

    def _sorted_probes(self, passes: int) -> np.ndarray:
        """Neurons of the next probes (uint32, shape (passes·n, words)), in the order in which the probes begin."""
        n = self.spec.network.n_neurons
        probing = self._banks[:_UNPERTURBED]
        first = [np.ascontiguousarray(found.peek()[: found.count // n * n : n, -2:]) for found in probing]
        numbers = [each.view(np.uint64)[:, 0] for each in first]
        bank = np.repeat([0, 1], [len(each) for each in numbers])
        bank = bank[np.argsort(np.concatenate(numbers))][:passes]
        words = probing[0].peek().shape[1]
        taken = [found.take(int((bank == which).sum()) * n).reshape(-1, n, words) for which, found in enumerate(probing)]
        rows = np.empty((passes, *taken[0].shape[1:]), dtype=np.uint32)
        for which, each in enumerate(taken):
            rows[bank == which] = each
        return rows.reshape(passes * n, -1)[:, :-2]

    def _passes(self, begins: np.ndarray) -> dict[str, np.ndarray]:
        """Observables of the passes; for a step without an unperturbed pass, those of the last one."""
        n, steps, probes = self.spec.network.n_neurons, len(begins), self._probes()
        measured = int(begins.sum())
        probed_rows, place = self._probe_rows(steps)
        rows = {0: self._banks[_UNPERTURBED].take(measured * n)[:, :-2], 1: probed_rows}
        costs = self._rows["cost"].take(measured + steps * probes)
        first = np.cumsum(begins + probes) - probes  # index of each step's first probe among all passes
        is_first = np.zeros(len(costs), dtype=bool)
        is_first[first[begins] - 1] = True
        expected = np.where(is_first, 0, 1)
        if probes == 2:
            expected[first + 1] = 2
        self._check("cost", self._values("cost", costs, "pass")[:, 0], expected)
        self._check("neuron", self._values("neuron", rows[0], "pass")[:, 0], np.zeros(measured * n))
        self._check("neuron", self._values("neuron", rows[1], "pass")[:, 0], place // n % probes + 1)
        cost = self._values("cost", costs, "cost")[:, 0]
        result = {}
        latest = np.cumsum(begins) - 1  # index of the unperturbed pass in force; −1 for that of an earlier block
        for name in ("preactivation", "activation", "cost"):
            if name == "cost":
                unperturbed, probed = cost[is_first].reshape(measured, 1), cost[~is_first].reshape(steps, probes, 1)
            else:
                unperturbed = self._values("neuron", rows[0], name).reshape(measured, n)
            in_force = np.concatenate([self._pass0[name][None], unperturbed])[latest + 1]
            if name != "cost":
                probed = np.repeat(in_force, probes, axis=0)
                probed.reshape(-1)[place] = self._values("neuron", rows[1], name)[:, 0]
                probed = probed.reshape(steps, probes, n)
            if steps:
                self._pass0[name] = in_force[-1].copy()
            result[name] = np.concatenate([in_force[:, None], probed], axis=1)
        result["cost"] = result["cost"][..., 0]
        outside = [self._values("neuron", rows[which], "outside")[:, 0] for which in (0, 1)]
        counted = self._count(begins, outside[0], np.bincount(place // (probes * n), outside[1], steps).astype(np.int64))
        self._counted = {"saturated_activation": counted}
        return result

    def _count(self, begins: np.ndarray, unperturbed: np.ndarray, probed: np.ndarray) -> np.ndarray:
        """Saturations of activations since the start of the run, after each step; those of its probes are in ``probed``."""
        n, added = self.spec.network.n_neurons, probed
        added[begins] += unperturbed.reshape(int(begins.sum()), n).sum(axis=1)
        return self._since("saturated_activation", added)

    def _since(self, label: str, added: np.ndarray) -> np.ndarray:
        """A counter since the start of the run after each step, to which each step has added so many."""
        found = np.minimum(self._learned[label] + np.cumsum(added), 2**32 - 1)
        if len(added):
            self._learned[label] = int(found[-1])
        return found

    def _check(self, event: str, numbers: np.ndarray, expected: np.ndarray) -> None:
        wrong = np.flatnonzero(numbers != expected)
        if len(wrong):
            raise CoreError(
                f"From step {self.steps} on, the core's {event} events must belong to pass {int(expected[wrong[0]])}, and do not: "
                "a pass is missing, or one too many"
            )

    def _sums(self, begins: np.ndarray) -> dict[str, np.ndarray]:
        """Observables of the steps and of the sums of errors."""
        steps = len(begins)
        rows = self._take_correlations(steps)
        self._step = self._rows["step"].take(steps)
        shown = {name: self._values("correlation", rows, name)[:, 0] for name in ("sign", "error_sum")}
        return {**self._correlated(begins, **shown), "cost_change": self._values("step", self._step, "cost_change")}

    def _correlated(self, begins: np.ndarray, sign: np.ndarray, error_sum: np.ndarray) -> dict[str, np.ndarray]:
        """Signs and error sums of all neurons in each step, from those that the core shows."""
        steps = len(begins)
        return {"sign": sign.reshape(steps, -1), "error_sum": error_sum.reshape(steps, -1)}

    def _applied(self, ends: np.ndarray) -> dict[str, np.ndarray]:
        """Observables that change where a presentation ends, and the counters and signatures."""
        spec, layout, steps = self.spec, self.spec.layout, len(ends)
        ended = int(ends.sum())
        result = {"error": self._errors(ends)}

        words, learned = self._rows["word"].take(ended * layout.words), self._rows["learned"].take(ended)
        place = layout.parameter_word * spec.hardware.lanes + layout.parameter_lane
        latest = np.cumsum(ends) - 1
        for name in self._kept:
            values = self._values("word", words, name).reshape(ended, layout.words * spec.hardware.lanes)[:, place]
            found = np.concatenate([self._kept[name][None], values])[latest + 1]
            result[name] = found
            if steps:
                self._kept[name] = found[-1].copy()
        if not spec.direct_update:
            values = self._values("word", words, "gradient").reshape(ended, layout.words * spec.hardware.lanes)[:, place]
            updates = np.array([(n + 1) % spec.schedule.update_period == 0 for n in range(self.steps, self.steps + steps)])
            gradient = np.empty((steps, spec.network.n_parameters), dtype=np.int64)
            row = 0
            for step in range(steps):
                if ends[step]:
                    gradient[step], row = values[row], row + 1
                    cleared = updates[step] or not spec.gradient_memory
                    self._gradient = np.zeros_like(self._gradient) if cleared else values[row - 1]
                else:
                    gradient[step] = self._gradient
            result["gradient"] = gradient
        return {**result, **self._counters(ends, learned)}

    def _errors(self, ends: np.ndarray) -> np.ndarray:
        """Errors of each step, which are 0 where no presentation ends."""
        n, ended = self.spec.network.n_neurons, int(ends.sum())
        errors = np.zeros((len(ends), n), dtype=np.int64)
        errors[ends] = self._values("error", self._rows["error"].take(ended * n), "error").reshape(ended, n)
        return errors

    def _counters(self, ends: np.ndarray, learned: np.ndarray) -> dict[str, np.ndarray]:
        steps, latest = len(ends), np.cumsum(ends) - 1

        def since(label: str) -> np.ndarray:
            """Value of a field of ``learned`` in each step, as of the last presentation that ended."""
            values = np.concatenate([[self._learned[label]], self._values("learned", learned, label)[:, 0]])[latest + 1]
            if steps:
                self._learned[label] = int(values[-1])
            return values

        columns = []
        for label in COUNTERS:
            if label in self._counted:
                columns.append(self._counted[label])
            elif label in self._fields["step"]:
                columns.append(self._values("step", self._step, label)[:, 0])
            elif label in self._fields["learned"]:
                columns.append(since(label))
            else:  # of a cast that the design does not have
                columns.append(np.zeros(steps, dtype=np.int64))
        result = {"counter": np.stack(columns, axis=1)}
        if self.spec.hardware.signature:
            result["signature"] = np.stack([self._values("step", self._step, "signature")[:, 0], since("signature")], axis=1)
        return result


class IncrementalEventDecoder(NodeEventDecoder):
    """Collects the events of a core whose probes are incremental: each shows its one perturbed neuron and the layers behind it, or all
    outputs if it is one of them."""

    _BEHIND, _HIDDEN = 0, 1

    def __init__(self, spec: DesignSpec, ports: Ports, parameters: np.ndarray) -> None:
        super().__init__(spec, ports, parameters)
        self._error_sum = np.zeros(spec.network.n_neurons, dtype=np.int64)
        # Of each neuron, the first one behind its layer, or the first output.
        self._first_behind = np.array([spec.network.first_behind(neuron) for neuron in range(spec.network.n_neurons)])

    def _perturbed(self, steps: int) -> np.ndarray:
        """Number of the neuron that each of the next steps perturbs (int64)."""
        p = np.arange(self.steps, self.steps + steps) // self.spec.schedule.perturbation_period
        return self.spec.code.phase(p, self.spec.network.n_neurons)

    @property
    def _correlations(self) -> int:
        """Number of events ``correlation`` of a step."""
        return 1

    def _complete_probes(self, bound: int) -> np.ndarray:
        """Whether the neurons of each of the next steps are all there (bool)."""
        network, probes = self.spec.network, self._probes()
        perturbed = self._perturbed(bound)
        hidden = np.cumsum(perturbed < network.n_hidden) * probes
        behind = np.cumsum(network.n_neurons - self._first_behind[perturbed]) * probes
        return (hidden <= self._banks[self._HIDDEN].count) & (behind <= self._banks[self._BEHIND].count)

    def _probe_rows(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Take the neurons of the next steps' probes (uint32), and the place of each among steps × probes × neurons (int64)."""
        network, probes = self.spec.network, self._probes()
        perturbed, first = np.repeat(self._perturbed(steps), probes), np.arange(steps * probes) * network.n_neurons
        is_hidden = perturbed < network.n_hidden
        places = first[:, None] + np.arange(network.n_neurons)
        behind = places[np.arange(network.n_neurons) >= self._first_behind[perturbed][:, None]]
        rows = [self._banks[self._HIDDEN].take(int(is_hidden.sum())), self._banks[self._BEHIND].take(behind.size)]
        return np.concatenate(rows)[:, :-2], np.concatenate([(first + perturbed)[is_hidden], behind])

    def _correlated(self, begins: np.ndarray, sign: np.ndarray, error_sum: np.ndarray) -> dict[str, np.ndarray]:
        """Signs and error sums of all neurons in each step, from those of the perturbed one."""
        steps, n = len(begins), self.spec.network.n_neurons
        perturbed = self._perturbed(steps)
        signs, sums = np.zeros((steps, n), dtype=np.int64), np.zeros((steps, n), dtype=np.int64)
        signs[np.arange(steps), perturbed] = sign
        for step in range(steps):
            if begins[step]:
                self._error_sum[:] = 0
            self._error_sum[perturbed[step]] = error_sum[step]
            sums[step] = self._error_sum
        return {"sign": signs, "error_sum": sums}


class PartEventDecoder(NodeEventDecoder):
    """Collects the events of a core whose probes perturb parts of the network in turn: each shows the layers from the part's first one on,
    and the correlation of the part's neurons."""

    def __init__(self, spec: DesignSpec, ports: Ports, parameters: np.ndarray) -> None:
        super().__init__(spec, ports, parameters)
        self._error_sum = np.zeros(spec.network.n_neurons, dtype=np.int64)

    def _parts(self, steps: int) -> list[Part]:
        """Part that each of the next steps perturbs. A run begins at step 0, so that every presentation begins with a round."""
        return [self.spec.round.part_at(step) for step in range(self.steps, self.steps + steps)]

    def _correlated_steps(self, correlations: int, steps: int) -> int:
        """Number of the next steps, at most ``steps``, whose events ``correlation`` are all there."""
        return int(np.count_nonzero(np.cumsum([part.neurons for part in self._parts(steps)]) <= correlations))

    def _take_correlations(self, steps: int) -> np.ndarray:
        """Take the events ``correlation`` of the next steps (uint32)."""
        return self._rows["correlation"].take(sum(part.neurons for part in self._parts(steps)))

    def _banks_of(self, begins: list[int]) -> list[int]:
        """Bank of each of the next probes whose neurons are all there; ``begins`` are the numbers of their first neurons.

        The neurons of a probe come in order, and its first one before that of the next probe, which is in the other bank.
        """
        n, probing = self.spec.network.n_neurons, self._banks[:_UNPERTURBED]
        numbers = [np.ascontiguousarray(found.peek()[:, -2:]).view(np.uint64)[:, 0] for found in probing]
        taken, found = [0, 0], list[int]()
        for begin in begins:
            waiting = [int(each[at]) if at < len(each) else None for each, at in zip(numbers, taken, strict=True)]
            known = [(number, bank) for bank, number in enumerate(waiting) if number is not None]
            if not known:
                break
            _, bank = min(known)
            taken[bank] += n - begin
            if taken[bank] > len(numbers[bank]):
                break
            found.append(bank)
        return found

    def _complete_probes(self, bound: int) -> np.ndarray:
        """Whether the neurons of each of the next steps are all there (bool)."""
        begins = [part.begin for part in self._parts(bound) for _ in range(self._probes())]
        return self._probes() * np.arange(1, bound + 1) <= len(self._banks_of(begins))

    def _probe_rows(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Take the neurons of the next steps' probes (uint32), and the place of each among steps × probes × neurons (int64)."""
        n = self.spec.network.n_neurons
        begins = [part.begin for part in self._parts(steps) for _ in range(self._probes())]
        rows = [self._banks[bank].take(n - begin) for begin, bank in zip(begins, self._banks_of(begins), strict=True)]
        places = [number * n + np.arange(begin, n) for number, begin in enumerate(begins)]
        if not rows:
            return self._banks[0].take(0)[:, :-2], np.empty(0, dtype=np.int64)
        return np.concatenate(rows)[:, :-2], np.concatenate(places)

    def _correlated(self, begins: np.ndarray, sign: np.ndarray, error_sum: np.ndarray) -> dict[str, np.ndarray]:
        """Signs and error sums of all neurons in each step, from those of the part's neurons."""
        steps, n, at = len(begins), self.spec.network.n_neurons, 0
        signs, sums = np.zeros((steps, n), dtype=np.int64), np.zeros((steps, n), dtype=np.int64)
        for step, part in enumerate(self._parts(steps)):
            own, shown = slice(part.begin, part.end), slice(at, at + part.neurons)
            if begins[step]:
                self._error_sum[:] = 0
            signs[step, own], self._error_sum[own], at = sign[shown], error_sum[shown], shown.stop
            sums[step] = self._error_sum
        return {"sign": signs, "error_sum": sums}


def node_decoder(spec: DesignSpec, ports: Ports, parameters: np.ndarray) -> NodeEventDecoder:
    """Return the decoder of the events of a core of node perturbation."""
    if spec.in_parts:
        return PartEventDecoder(spec, ports, parameters)
    return (IncrementalEventDecoder if spec.incremental else NodeEventDecoder)(spec, ports, parameters)
