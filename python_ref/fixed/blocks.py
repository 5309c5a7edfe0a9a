"""The compiled machine of each kind of perturbation, which takes the steps of a run block by block.

Import this module only where it is used, since it imports numba. Signs and random words are computed in blocks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from python_ref.datasets import SampleOrder
from python_ref.fixed.kernels import Shown, rule_of, run_steps
from python_ref.fixed.node_kernels import Chance, ShownProbes, run_probes
from python_ref.fixed.perturbation import SignSource, StochasticSource
from python_ref.fixed.plan import Net, Plan, Rule, describe, working_type
from python_ref.fixed.series_kernels import Room, ShownSeries, outputs_of, run_series
from python_ref.fixed.series_plan import SeriesNet, describe_series, operand_type
from python_ref.fixed.series_weight_kernels import ShownSeriesWeight, run_series_weight
from python_ref.fixed.signature import INITIAL
from python_ref.fixed.state import COUNTER_LIMITS, Pass, State, known_signature
from python_ref.fixed.tally import Tally
from python_ref.fixed.thresholds import threshold_source
from python_ref.spec.design import DesignSpec, MachineKind
from python_ref.spec.error import unknown
from python_ref.spec.probes import COUNTERS, probes, values_per_step

__all__ = ["Block", "Machine", "machine_of", "series_outputs"]

BLOCK_BYTES = 1 << 22
"""Approximate maximum size in bytes of the signs, the random words or the observables of a block of steps."""


AnyShown = Shown | ShownProbes | ShownSeries | ShownSeriesWeight
"""Buffers for the observables of a block of steps, of any machine."""


class Block(NamedTuple):
    """Result of a block of steps.

    Attributes
    ----------
    costs : array of int64, shape (steps, passes)
        C of each pass that a step shows.
    changes : array of int64, shape (steps,)
        Change of the cost, C̃, in each step.
    judged : array of int64, shape (steps,)
        1 or 0 for a right or wrong answer to a new sample, otherwise −1.
    signatures : array of int64, shape (steps, 2)
        Signatures after each step; no rows if they are not computed.
    passes : int
        Number of passes of one sample through the network.
    """

    costs: np.ndarray
    changes: np.ndarray
    judged: np.ndarray
    signatures: np.ndarray
    passes: int


class Machine(ABC):
    """A machine during a run, with the arrays that the compiled loop modifies in place and the sources of its random words.

    Parameters
    ----------
    spec, state, inputs, targets, order, observe
        Arguments of :func:`python_ref.fixed.fast.train` with these names.
    signatures : bool
        Whether to compute the running signatures.
    tally : Tally or None
        Count of the changes of each parameter, continued in place; None counts nothing.

    Raises
    ------
    ValueError
        If an array does not fit the network, or if signatures are requested from a state without them.
    """

    def __init__(
        self,
        spec: DesignSpec,
        state: State,
        inputs: np.ndarray,
        targets: np.ndarray,
        order: SampleOrder | np.ndarray,
        signatures: bool,
        observe: Callable[[dict[str, np.ndarray]], None] | None,
        tally: Tally | None = None,
    ) -> None:
        self.signing = spec.hardware.signature and (signatures or observe is not None)
        if self.signing:
            known_signature(state.signature)
        count = len(inputs)
        for name, array, size in (("Inputs", inputs, spec.network.record_inputs), ("Targets", targets, spec.network.n_out)):
            if np.shape(array) != (count, size):
                raise ValueError(f"{name} must be of shape ({count}, {size}), not {np.shape(array)!r}")
        self.kind = kind = working_type(spec)
        self.spec, self.start, self.order, self.observe = spec, state, order, observe
        self.tally = tally or Tally.empty(spec)
        self.net, self.plan, self.rule = self._describe()
        self.inputs, self.targets = np.ascontiguousarray(inputs, dtype=kind), np.ascontiguousarray(targets, dtype=kind)
        self.signs, self.words = SignSource(spec, state.seed), StochasticSource(spec, state.seed)
        self.theta, self.gradient, self.error_sum = state.parameters.astype(kind), state.gradient.copy(), state.error_sum.copy()
        self.turn = np.array([state.probes])
        kept = [state.optimizer[variable.name] for variable in spec.optimizer_state]
        self.kept = np.array(kept, dtype=np.int64).reshape(len(kept), len(self.theta))
        self.z = np.stack((state.baseline.preactivation,) * spec.passes)
        self.y = np.stack((state.baseline.activation,) * spec.passes).astype(kind)
        self.in_force, self.counters = np.array([state.baseline.cost, *[0] * (spec.passes - 1)]), state.counters.copy()
        self.registers = np.array(state.signature or INITIAL, dtype=np.int64) ^ 0xFFFFFFFF
        self.n, self.updates, self.due = state.steps, state.updates, state.due
        self.rate_changes = spec.exponent_changes
        shown = 8 * values_per_step(spec) if observe else 0
        plan, random = self.plan, spec.thresholds
        bytes_per_step = max(40 + shown, spec.quantities / plan.tau_p, plan.update_words * plan.word_bits / plan.tau_t / 8)
        bytes_per_step = max(bytes_per_step, spec.passes * random.per_pass * random.word_bits / 8 if random else 0)
        self.block_steps = max(1, min(1 << 16, int(BLOCK_BYTES / bytes_per_step)))

    def _describe(self) -> tuple[Net | SeriesNet, Plan, Rule]:
        """Return the description of the design in plain integers."""
        return describe(self.spec, rule_of(self.spec.optimizer))

    @abstractmethod
    def passes_of(self, steps: np.ndarray, judged: np.ndarray) -> int:
        """Return the number of passes of the steps with these numbers, in those of which ``judged`` ≥ 0 a new sample is due."""

    @abstractmethod
    def _run(self, arguments: tuple, results: tuple, shown: AnyShown) -> int:
        """Run the compiled loop on the arrays of this machine; return the number of updates."""

    @abstractmethod
    def _buffers(self, steps: int) -> AnyShown:
        """Return buffers for the observables of so many steps."""

    def run(self, limit: int) -> Block:
        """Run the next steps, at most up to step ``limit``."""
        n, plan, spec = self.n, self.plan, self.spec
        stop = min(limit, n + self.block_steps, *(change for change in self.rate_changes if change > n))
        self.rule = self.rule._replace(exponent=spec.exponent_at(n))
        length, steps = stop - n, np.arange(n, stop)
        indices, signs = self._samples_and_signs(stop)
        packed = self.words.packed(self.updates, stop // plan.tau_t - n // plan.tau_t)
        costs, changes, judged = (np.empty(shape, dtype=np.int64) for shape in ((length, spec.passes), length, length))
        signed = np.empty((length if self.signing else 0, 2), dtype=np.int64)
        shown = self._buffers(length if self.observe else 0)
        arguments = self.inputs, self.targets, indices, signs, spec.gradient_exponent_at(n), packed, n, self.counters, COUNTER_LIMITS
        self.updates += self._run(arguments, (costs, changes, judged, self.registers, signed), shown)
        self.n, self.due = stop, False
        block = Block(costs, changes, judged, signed, self.passes_of(steps, judged))
        if self.observe:
            self.observe(self._observables(shown, block, self._shown_signs(shown, signs[steps // plan.tau_p - n // plan.tau_p])))
        return block

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

    def _shown_signs(self, shown: AnyShown, signs: np.ndarray) -> np.ndarray:
        """Return the signs of each step of a block, from the sign vector of each."""
        return signs

    def _observables(self, shown: AnyShown, block: Block, signs: np.ndarray) -> dict[str, np.ndarray]:
        """Return the observables of a block as ``probes(spec)`` defines them, each with a leading axis of steps."""
        found = {
            **shown._asdict(),
            "activation": shown.activation.astype(np.int64),
            "cost": block.costs,
            "cost_change": block.changes[:, None],
            "sign": signs.astype(np.int64),
            **{variable.name: shown.optimizer[:, number] for number, variable in enumerate(self.spec.optimizer_state)},
            "parameter": shown.parameter.astype(np.int64),
            "signature": block.signatures,
        }
        return {probe.name: found[probe.name] for probe in probes(self.spec)}

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
            self._baseline(),
            self.error_sum.copy(),
            int(self.turn[0]),
            self.counters.copy(),
            ((forward, learned) if self.signing else self.start.signature) if kept else None,
        )

    def _baseline(self) -> Pass:
        """Return the unperturbed pass in force, or the first one of weight perturbation."""
        return Pass(self.z[0].copy(), self.y[0].astype(np.int64), int(self.in_force[0]), 0)


class WeightMachine(Machine):
    """A machine that perturbs weights."""

    def passes_of(self, steps: np.ndarray, judged: np.ndarray) -> int:
        """Return two passes of each step, or one if the baseline is not due; see :class:`Machine`."""
        return len(steps) + int(np.count_nonzero((judged >= 0) | (steps % self.plan.tau_t == 0) | self.spec.two_sided))

    def _run(self, arguments: tuple, results: tuple, shown: AnyShown) -> int:
        state = self.theta, self.gradient, self.kept, self.z, self.y, self.in_force, self.due
        return run_steps(self.net, self.plan, self.rule, *state, *arguments, *results, shown, self.tally)

    def _buffers(self, steps: int) -> AnyShown:
        passes, neurons, parameters = self.spec.passes, self.spec.network.n_neurons, self.spec.network.n_parameters
        return Shown(
            np.empty((steps, passes, neurons), dtype=np.int64),
            np.empty((steps, passes, neurons), dtype=self.kind),
            np.empty((steps, self.spec.layout.words), dtype=np.int64),
            np.empty((steps, parameters), dtype=np.int64),
            np.empty((steps, len(self.kept), parameters), dtype=np.int64),
            np.empty((steps, parameters), dtype=self.kind),
            np.empty((steps, len(COUNTERS)), dtype=np.int64),
        )


class NodeMachine(Machine):
    """A machine that perturbs neurons."""

    def __init__(self, spec: DesignSpec, state: State, *arguments: Any) -> None:
        super().__init__(spec, state, *arguments)
        self.source = threshold_source(spec, state.seed)
        kept = state.baseline.thresholds if spec.thresholds else self.source.none()
        self.drawn, self.thresholds = state.drawn, kept.astype(self.kind)

    def state(self) -> State:
        """Return the state between two steps, as in the one-page model."""
        return replace(super().state(), drawn=self.drawn)

    def _baseline(self) -> Pass:
        kept = super()._baseline()
        return replace(kept, thresholds=self.thresholds.astype(np.int64)) if self.spec.thresholds else kept

    def passes_of(self, steps: np.ndarray, judged: np.ndarray) -> int:
        """Return one pass of each presentation, and one or two of each probe; see :class:`Machine`."""
        return (self.spec.passes - 1) * len(steps) + int(np.count_nonzero((judged >= 0) | (steps % self.plan.tau_t == 0)))

    def _run(self, arguments: tuple, results: tuple, shown: AnyShown) -> int:
        steps = len(results[0])
        chance = Chance(self.source.packed(self.drawn, self._most_words(steps)), np.zeros(1, dtype=np.int64), self.thresholds)
        state = self.theta, self.gradient, self.kept, self.z, self.y, self.in_force, self.error_sum, self.turn, chance, self.due
        updates = run_probes(self.net, self.plan, self.rule, *state, *arguments, *results, shown, self.tally)
        self.drawn += int(chance.taken[0])
        return updates

    def _most_words(self, steps: int) -> int:
        """Return a number of words of thresholds that the next ``steps`` steps do not exceed."""
        spec = self.spec
        if spec.thresholds is None:
            return 0
        presentations = 2 + steps // spec.schedule.sample_period + steps // spec.schedule.update_period
        redrawn = 1 if spec.code.single else spec.thresholds.per_pass
        return presentations * spec.thresholds.per_pass + (spec.passes - 1) * steps * redrawn

    def _buffers(self, steps: int) -> ShownProbes | ShownSeries:
        passes, neurons, parameters = self.spec.passes, self.spec.network.n_neurons, self.spec.network.n_parameters
        return ShownProbes(
            np.empty((steps, passes, neurons), dtype=np.int64),
            np.empty((steps, passes, neurons), dtype=self.kind),
            np.empty((steps, neurons), dtype=np.int64),
            np.empty((steps, neurons), dtype=np.int64),
            np.empty((steps, parameters), dtype=np.int64),
            np.empty((steps, len(self.kept), parameters), dtype=np.int64),
            np.empty((steps, parameters), dtype=self.kind),
            np.empty((steps, len(COUNTERS)), dtype=np.int64),
            np.empty(steps, dtype=np.int64),
            np.empty((steps if self.spec.network.random else 0, neurons), dtype=np.int64),
        )

    def _shown_signs(self, shown: AnyShown, signs: np.ndarray) -> np.ndarray:
        """Return the signs of each step of a block, which are 0 outside of the part that the step perturbs, or the factors of C̃."""
        assert isinstance(shown, ShownProbes)
        assert isinstance(self.net, Net)
        if self.spec.network.random:
            return shown.factor
        parts, neurons = self.net.parts[shown.part], np.arange(signs.shape[1])
        return np.where((parts.begin[:, None] <= neurons) & (neurons < parts.end[:, None]), signs, 0)


class FramedMachine(Machine):
    """A machine whose network has state, so that its passes have the frames of a sample; a base beside that of the kind of perturbation."""

    def __init__(self, spec: DesignSpec, state: State, *arguments: Any) -> None:
        super().__init__(spec, state, *arguments)
        self.states = np.stack((state.baseline.state,) * spec.passes).astype(self.kind)
        self.room = _room(spec)
        self.room.kept[:] = state.baseline.outputs

    def _describe(self) -> tuple[Net | SeriesNet, Plan, Rule]:
        return describe_series(self.spec, rule_of(self.spec.optimizer))

    def _observables(self, shown: AnyShown, block: Block, signs: np.ndarray) -> dict[str, np.ndarray]:
        found = super()._observables(shown, block, signs)
        return {**found, "state": found["state"].astype(np.int64)}

    def _baseline(self) -> Pass:
        return replace(super()._baseline(), state=self.states[0].astype(np.int64), outputs=self.room.kept.copy())


class SeriesMachine(FramedMachine, NodeMachine):
    """A machine that perturbs the neurons of a network with state."""

    def _run(self, arguments: tuple, results: tuple, shown: AnyShown) -> int:
        state = self.theta, self.gradient, self.kept, self.z, self.y, self.states, self.in_force, self.error_sum, self.turn, self.due
        return run_series(self.net, self.plan, self.rule, *state, self.room, *arguments, *results, shown, self.tally)

    def _buffers(self, steps: int) -> ShownSeries:
        shape, parameters = (steps, self.spec.passes, self.spec.evaluations), self.spec.network.n_parameters
        return ShownSeries(
            np.empty(shape, dtype=np.int64),
            np.empty(shape, dtype=self.kind),
            np.empty(shape, dtype=self.kind),
            np.empty((steps, self.spec.quantities), dtype=np.int64),
            np.empty((steps, self.spec.quantities), dtype=np.int64),
            np.empty((steps, parameters), dtype=np.int64),
            np.empty((steps, len(self.kept), parameters), dtype=np.int64),
            np.empty((steps, parameters), dtype=self.kind),
            np.empty((steps, len(COUNTERS)), dtype=np.int64),
            np.empty((steps, self.spec.quantities), dtype=np.int64),
        )

    def _shown_signs(self, shown: AnyShown, signs: np.ndarray) -> np.ndarray:
        """Return the signs of each step of a block, which are 0 in segments of which the sample has no frame."""
        assert isinstance(shown, ShownSeries)
        return shown.sign


class SeriesWeightMachine(FramedMachine, WeightMachine):
    """A machine that perturbs the weights of a network with state."""

    def _run(self, arguments: tuple, results: tuple, shown: AnyShown) -> int:
        state = self.theta, self.gradient, self.kept, self.z, self.y, self.states, self.in_force, self.due
        return run_series_weight(self.net, self.plan, self.rule, *state, self.room, *arguments, *results, shown, self.tally)

    def _buffers(self, steps: int) -> ShownSeriesWeight:
        shape, parameters = (steps, self.spec.passes, self.spec.evaluations), self.spec.network.n_parameters
        return ShownSeriesWeight(
            np.empty(shape, dtype=np.int64),
            np.empty(shape, dtype=self.kind),
            np.empty(shape, dtype=self.kind),
            np.empty((steps, self.spec.layout.words), dtype=np.int64),
            np.empty((steps, parameters), dtype=np.int64),
            np.empty((steps, len(self.kept), parameters), dtype=np.int64),
            np.empty((steps, parameters), dtype=self.kind),
            np.empty((steps, len(COUNTERS)), dtype=np.int64),
        )


def _room(spec: DesignSpec) -> Room:
    """Return the buffers of a run of a network with state."""
    layers, network = spec.network.layers, spec.network
    widest = 1 + max(layer.fan_in for layer in layers)
    return Room(
        np.zeros(widest, dtype=operand_type(spec)),
        np.zeros((1 if network.held else network.frames, layers[0].n_out), dtype=np.int64),
        *(
            np.zeros(size, dtype=np.int64)
            for size in (layers[network.framed - 1].n_out, *[network.n_out] * 3, widest, widest, spec.quantities)
        ),
    )


def series_outputs(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the raw outputs of a network with state, and the fraction of each layer's activations or states that were out of range.

    The arguments are those of :func:`python_ref.fixed.fast.outputs`.
    """
    net, plan, _ = describe_series(spec, rule_of(spec.optimizer))
    kind = working_type(spec)
    shape = spec.evaluations
    z, y, state = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=kind), np.zeros(shape, dtype=kind)
    found, outside = np.empty((len(inputs), spec.network.n_out), dtype=np.int64), np.zeros(len(net.layers), dtype=np.int64)
    values = np.ascontiguousarray(inputs, dtype=kind)
    evaluated = outputs_of(net, plan, parameters.astype(kind), values, z, y, state, _room(spec), found, outside)
    return found, outside / np.maximum(1, evaluated)


_MACHINES: dict[MachineKind, type[Machine]] = {
    MachineKind.WEIGHT: WeightMachine,
    MachineKind.NODE: NodeMachine,
    MachineKind.SERIES: SeriesMachine,
    MachineKind.SERIES_WEIGHT: SeriesWeightMachine,
}
"""Class of the machines of each kind of design."""


def machine_of(spec: DesignSpec) -> type[Machine]:
    """Return the class of the machines of a design."""
    if spec.machine not in _MACHINES:
        raise unknown("Machine", spec.machine, "python_ref.fixed.blocks._MACHINES")
    return _MACHINES[spec.machine]
