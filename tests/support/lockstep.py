"""A core and its model in lockstep: one scenario of a host runs on both, and every event of the core must equal the model's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from python_ref.fixed.cost import aligned, correct, cost
from python_ref.fixed.machine import State, initial_state, step
from python_ref.fixed.network import forward
from python_ref.fixed.series import unroll
from python_ref.spec.design import DesignSpec
from python_ref.spec.events import event_kinds
from python_ref.spec.perturbation import Kind
from python_ref.spec.probes import COUNTERS
from python_ref.spec.registers import Memory, register_map
from rtl_gen.core import core_of
from rtl_gen.emit import emit_verilog
from sim import host
from sim.events import unpack
from sim.ports import Ports
from sim.program import Op, Program, ProgramLink, ReplayLink, sample_table
from sim.run import Outcome, Stalls
from sim.simulators import Options, simulate
from tests.support.designs import random_parameters, random_samples
from tests.support.hosted import HostedCore
from tests.support.series_designs import random_series_samples

__all__ = [
    "BenchLink",
    "BenchReplay",
    "Lockstep",
    "Rehearsal",
    "Samples",
    "ShownStep",
    "compare_events",
    "expected_events",
    "fields_of",
    "neurons_in_order",
    "run_lockstep",
    "samples_of",
    "shown_events",
    "stream_table",
]

SAMPLES = 6
"""Number of different samples of a scenario."""
NEAR_SAMPLES = 72
"""The same, where targets are near each other, so that each of their bits decides an order."""


class ShownStep(NamedTuple):
    """A step of the model, and what a core shows of it.

    Attributes
    ----------
    observed : dict of str to array
        Observables of the step.
    passes : tuple of int
        Numbers of the passes that the core shows in this step.
    ends : bool
        Whether the core shows the words that the step has changed; in node perturbation, where a presentation ends.
    restarts : bool
        Whether the step is the first one of a run, or of a presentation, so that its first probe uses bank 0.
    saturated : int
        Number of activations out of range in these passes.
    state_saturated : int
        Number of states out of range in these passes, in a network with state.
    length, hold : int
        Number of frames of the sample, and number of frames that a sign lasts.
    """

    observed: dict[str, np.ndarray]
    passes: tuple[int, ...]
    ends: bool
    restarts: bool
    saturated: int
    state_saturated: int = 0
    length: int = 1
    hold: int = 1


SHOWN_COUNTS = np.uint64((1 << 48) - 1)
"""Bits of a counter that the events of a step show."""

RESET_CYCLES = 32
"""Cycles for which a core is reset."""


class BenchLink(ProgramLink):
    """A link that also records what a test bench does, and no host can do."""

    def reset(self, sample: int) -> None:
        """Record a reset, after which the stream goes on with this sample."""
        self._ops.append((Op.RESET, RESET_CYCLES, sample))

    def cut(self, address: int, data: int | None, cycles: int) -> None:
        """Record a read, or a write of ``data``, that is offered for so many cycles; a reset follows."""
        self._ops.append((Op.CUT, address | (data is not None) << 8 | cycles << 9, data or 0))

    def preset(self, row: int, value: int) -> None:
        """Record a new value of a row of the memory that holds the registers."""
        self._ops.append((Op.PRESET, row, value))

    def seek(self, sample: int, words: int) -> None:
        """Record that the stream goes on with this sample, and ends after so many words, or does not with 0."""
        self._ops.append((Op.STREAM, words, sample))


class BenchReplay(ReplayLink):
    """The counterpart of a :class:`BenchLink`."""

    def reset(self, sample: int) -> None:
        """Do nothing, since the run has already done it."""

    def cut(self, address: int, data: int | None, cycles: int) -> None:
        """Do nothing, since the run has already done it."""

    def preset(self, row: int, value: int) -> None:
        """Do nothing, since the run has already done it."""

    def seek(self, sample: int, words: int) -> None:
        """Do nothing, since the run has already done it."""


class Samples:
    """The samples of a stream, of which a test bench can leave out some.

    Parameters
    ----------
    inputs, targets : array of int64
        Raw samples.
    order : array of int64
        Their numbers in the order of the stream.
    """

    def __init__(self, inputs: np.ndarray, targets: np.ndarray, order: np.ndarray) -> None:
        self._inputs, self._targets, self._order = inputs, targets, order.tolist()
        self.position = 0

    def __iter__(self) -> Samples:
        return self

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        if self.position == len(self._order):
            raise StopIteration
        number = self._order[self.position]
        self.position += 1
        return self._inputs[number], self._targets[number]


class Lockstep(HostedCore):
    """A host whose every action is done to a core and to its model.

    A scenario runs twice. The first run records what the host sends to the core: reads return 0, and the model stands
    still. The second run replays the answers of the core: the model follows, and reads are compared with it.

    Attributes
    ----------
    comparing : bool
        Whether this is the second run, which follows the model and compares.
    state : State
        Present state of the model.
    history : list of ShownStep
        Steps of the model.
    """

    def __init__(self, spec: DesignSpec, link: Any, stream: Iterator[tuple[np.ndarray, np.ndarray]], parameters: np.ndarray):
        self.spec = spec
        self.link = link
        self.comparing = isinstance(link, ReplayLink)
        self.stream = stream
        self.steps = 0
        self.state: State = initial_state(spec, parameters)
        self.history: list[ShownStep] = []
        self.costs = [0, 0]
        self.presets = np.zeros(len(COUNTERS), dtype=np.uint64)
        self.cycles: int | None = None

    def prepare(self, seed: int | None = None) -> None:
        """Set both up for step 0."""
        host.prepare(self.spec, self.link, self.state.parameters, seed)
        self.state = initial_state(self.spec, self.state.parameters, seed=seed)

    def train(self, steps: int) -> None:
        """Run steps."""
        host.train(self.spec, self.link, self.steps, steps)
        for _, count in host.runs(self.spec, self.steps, steps):
            self.follow(count)

    def follow(self, steps: int) -> None:
        """Let the model do the steps of a run of the core."""
        self.steps += steps
        for number in range(steps if self.comparing else 0):
            schedule, n = self.spec.schedule, self.state.steps
            due = self.state.due or n % schedule.sample_period == 0
            if due:
                self.sample = next(self.stream)
            unperturbed = due or n % schedule.update_period == 0 or (self.spec.two_sided and not self.spec.node)
            passes = tuple(range(0 if unperturbed else 1, self.spec.passes))
            ends = schedule.begins(n + 1) or not self.spec.node
            places, before = [COUNTERS.index(f"saturated_{kind}") for kind in ("activation", "state")], self.state.counters
            self.state, observed = step(self.spec, self.state, self.sample)
            saturated = (observed["counter"] - before)[places].tolist()
            frames = self.spec.unrolled.length_of(self.sample[0]), self.spec.unrolled.hold
            observed["counter"] = (self.counters() & SHOWN_COUNTS).astype(np.int64)
            self.history.append(ShownStep(observed, passes, ends, unperturbed or number == 0, *saturated, *frames))
            self.costs = [int(value) for value in observed["cost"][-2:]]

    def infer(self, samples: int) -> None:
        """Judge samples."""
        host.infer(self.spec, self.link, samples)
        for _ in range(samples if self.comparing else 0):
            inputs, targets = next(self.stream)
            if self.spec.series:
                outputs = unroll(self.spec, self.state.parameters, (inputs, targets)).outputs
            else:
                outputs = forward(self.spec, self.state.parameters, inputs)[1][-self.spec.network.n_out :]
            right = correct(self.spec, outputs, targets)
            if self.spec.passes == 2:
                self.costs[0] = int(cost(*aligned(self.spec, outputs, targets)))
            counters = self.state.counters.copy()
            counters[COUNTERS.index("correct")] += right
            self.state = replace(self.state.with_load(), counters=counters)

    def clear(self) -> None:
        """Clear the counters."""
        host.clear_counters(self.spec, self.link)
        self.state = self.state.with_clear()
        self.presets = np.zeros(len(COUNTERS), dtype=np.uint64)

    def restart(self, seed: int | None = None, spec: DesignSpec | None = None) -> None:
        """Back to step 0 with another seed and, with ``spec``, other periods and rates."""
        self.spec = spec or self.spec
        host.set_periods(self.spec, self.link)
        host.set_hold(self.spec, self.link)
        host.restart(self.spec, self.link, seed)
        self.steps = 0
        counters = np.where(np.isin(COUNTERS, ("steps", "updates")), 0, self.state.counters)
        seed = self.spec.perturbation.seed if seed is None else seed
        self.state = replace(self.state.with_load(), seed=seed, drawn=0, steps=0, updates=0, counters=counters)

    def reset(self, sample: int, parameters: np.ndarray) -> None:
        """Reset the core, which the host then does not set up: it loads the memories and the streams, and goes on with this sample."""
        self.link.reset(sample)
        self.stream.position = sample
        self.steps = 0
        self.history.clear()
        self.costs, self.presets = [0, 0], np.zeros(len(COUNTERS), dtype=np.uint64)
        self.state = initial_state(self.spec, parameters)
        status, counters = self.read("status"), host.read_counters(self.spec, self.link)
        if self.comparing:
            assert status == 0, f"status {status:#x} behind a reset"
            assert not any(counters.values()), f"behind a reset, counters are {counters}"
        host.load_parameters(self.spec, self.link, parameters)
        for memory in self.spec.memories:
            if memory is not Memory.PARAMETER:
                host.clear_memory(self.spec, self.link, memory)
        host.restart(self.spec, self.link)

    def seek(self, sample: int, words: int = 0) -> None:
        """Let the stream go on with this sample, and with ``words`` end after so many, which are dropped before a step needs them."""
        self.link.seek(sample, words)
        self.stream.position = sample

    def resume(self) -> None:
        """Let the core forget where the run is, and tell it: the model goes on as if nothing had happened."""
        host.restart(self.spec, self.link, 0)
        host.restart(self.spec, self.link, step=self.steps)
        self.link.wait_idle()
        counters = np.where(np.isin(COUNTERS, ("steps", "updates")), 0, self.state.counters)
        self.state = replace(self.state, counters=counters)

    def check_cycles(self) -> None:
        """Read the cycles, which are those in which the core was busy, if it never waited for a sample and was cleared before its runs."""
        self.cycles = self.read("cycles")

    def check_registers(self) -> None:
        """Read all that the core has learned and counted: it is what the model has."""
        built = register_map(self.spec)
        counters = {name: self.read(name) if name in built else 0 for name in COUNTERS}
        contents = {memory: host.read_memory(self.spec, self.link, memory) for memory in self.spec.memories}
        costs = self.read("cost"), self.read("cost_change"), self.read("signature")
        sums = host.read_error_sums(self.spec, self.link) if self.spec.node else np.zeros(self.spec.network.n_neurons, dtype=np.int64)
        if not self.comparing:
            return
        model = dict(zip(COUNTERS, self.counters().tolist(), strict=True))
        assert counters == model, {name: (counters[name], model[name]) for name in model if counters[name] != model[name]}
        learned = {Memory.PARAMETER: self.state.parameters, Memory.GRADIENT: self.state.gradient}
        learned |= {variable.memory: self.state.optimizer[variable.name] for variable in self.spec.optimizer_state}
        np.testing.assert_array_equal(sums, self.state.error_sum, err_msg="E")
        for memory, values in contents.items():
            np.testing.assert_array_equal(values, learned[memory], err_msg=memory.name)
        assert costs[0] == self.costs[0] | self.costs[1] << 64
        width = 32 * built["cost_change"].words
        assert costs[1] == (int(self.history[-1].observed["cost_change"][0]) & (1 << width) - 1 if self.history else 0)
        forward_signature, learned_signature = self.state.signature
        assert costs[2] == forward_signature | learned_signature << 32


class Rehearsal:
    """A scenario whose actions are recorded as a program, which a core runs before its model is compared with it.

    Only CXXRTL runs a program that resets the core, or presets its counters.

    Parameters
    ----------
    spec : DesignSpec
        Design of both.
    scenario : callable
        Actions of the host, on the :class:`Lockstep` that it is given; it is called once to record, and once for each comparison.
    rng : random.Random
        Source of the initial parameters, the samples and their order.
    samples : int
        Length of the sample stream, in samples.
    near : bool
        Whether the targets of a sample are equal or differ by a bit, and are near the half at which a single one is judged.

    Attributes
    ----------
    program : Program
        Operations of the host and sample stream.
    ports : Ports
        Ports of the core.
    presets : (str, str)
        Name of the memory that the program may preset, in Verilog of Amaranth, and in that of Yosys.
    """

    presets = "registers words", "registers.words"

    def __init__(
        self, spec: DesignSpec, scenario: Callable[[Lockstep], None], rng: random.Random, samples: int = 400, *, near: bool = False
    ):
        self._spec, self._scenario = spec, scenario
        self.ports = Ports.of(spec)
        self._parameters = random_parameters(rng, spec)
        different = NEAR_SAMPLES if near else SAMPLES
        self._inputs, self._targets = samples_of(rng, spec, different)
        if near:
            self._targets = near_targets(rng, spec, different)
        self._order = np.array([rng.randrange(different) for _ in range(samples)])
        recorder = BenchLink()
        scenario(self._attempt(recorder))
        self.program = recorder.program(stream_table(spec, self._inputs, self._targets), self._order)

    def _attempt(self, link: Any) -> Lockstep:
        return Lockstep(self._spec, link, Samples(self._inputs, self._targets, self._order), self._parameters)

    def follow(self, responses: Sequence[int]) -> Lockstep:
        """Let the model follow a core that gave these responses, and fail where one of them is not the model's; return the model."""
        second = self._attempt(BenchReplay(responses))
        self._scenario(second)
        return second

    def judge(self, rows: dict[str, np.ndarray], outcome: Outcome) -> None:
        """Fail where the model differs from a core that ran the program, and showed these payloads of events."""
        self.compare(fields_of(self.ports, rows), outcome)

    def compare(self, shown: dict[str, dict[str, np.ndarray]], outcome: Outcome) -> None:
        """Fail where the model differs from a core that ran the program; ``shown`` is what :func:`fields_of` makes of its events."""
        second = self.follow(outcome.responses)
        compare_events(self._spec, second.history, shown)
        if second.cycles is not None:
            assert second.cycles == outcome.busy_cycles, f"{second.cycles} cycles, and {outcome.busy_cycles} in which the core was busy"


def run_lockstep(
    spec: DesignSpec,
    scenario: Callable[[Lockstep], None],
    rng: random.Random,
    *,
    core: Any = None,
    simulator: str = "amaranth",
    directory: Path | None = None,
    samples: int = 400,
    stalls: Stalls | None = None,
) -> Outcome:
    """Run one scenario on a core and on its model; fail where they differ.

    Parameters
    ----------
    spec, scenario, rng, samples
        As in :class:`Rehearsal`.
    core : Component or None
        A core of the design for Amaranth's simulator; None builds one.
    simulator : str
        Name of the simulator.
    directory : Path or None
        Folder in which a simulator of Verilog builds.
    stalls : Stalls or None
        Random stalls of all streams.
    """
    rehearsal = Rehearsal(spec, scenario, rng, samples)
    shown, outcome = shown_events(spec, rehearsal.program, core=core, simulator=simulator, directory=directory, stalls=stalls)
    rehearsal.compare(shown, outcome)
    return outcome


def samples_of(rng: random.Random, spec: DesignSpec, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Raw input words (int64, shape (count, record_inputs)) and targets (shape (count, n_out)) of random samples."""
    return (random_series_samples if spec.series else random_samples)(rng, spec, count)


def near_targets(rng: random.Random, spec: DesignSpec, count: int) -> np.ndarray:
    """Targets (int64, shape (count, n_out)) that differ by one or by a bit, around the half, the ends, zero, and anything else."""
    form, outputs = spec.formats.activation, spec.network.n_out
    middles = [1 << max(form.fraction_bits - 1, 0), form.min, form.max, 0, rng.randint(form.min, form.max), rng.randint(form.min, form.max)]
    places = [0 if number % 2 else rng.randrange(form.width) for number in range(count)]
    rows = [
        [middles[number % len(middles)] + (rng.choice((-1, 0, 0, 1)) << place) for _ in range(outputs)]
        for number, place in enumerate(places)
    ]
    return np.clip(np.array(rows, dtype=np.int64), form.min, form.max)


def stream_table(spec: DesignSpec, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Words of the sample stream, also of a series with a length that a host refuses to send: 0, or above T."""
    if spec.network.record_inputs == spec.network.n_in:
        return sample_table(spec, inputs, targets)
    sent = inputs.copy()
    sent[:, 0] = [spec.unrolled.length_of(each) for each in inputs]
    table = sample_table(spec, sent, targets)
    table[:, 0] = inputs[:, 0]
    return table


def compare_events(spec: DesignSpec, history: list[ShownStep], shown: dict[str, dict[str, np.ndarray]]) -> None:
    """Fail where the events of a core, as :func:`fields_of` gives them, differ from the history of a :class:`Lockstep`."""
    expected = expected_events(spec, history)
    outside = shown["neuron"].pop("outside", None)
    states_outside = shown["neuron"].pop("state_outside", None)
    for event in event_kinds(spec):
        assert expected[event].keys() == shown[event].keys()
        for name, values in expected[event].items():
            found = shown[event][name]
            assert found.shape == values.shape, f"{len(found)} events of {event} rather than {len(values)}"
            np.testing.assert_array_equal(found, values, err_msg=f"{event}.{name}")
    if outside is None:
        return
    if spec.series:
        firsts = np.cumsum([0, *(len(each.passes) * len(_shown_evaluations(spec, each.length)) for each in history)])
        for found, name in ((outside, "saturated"), (states_outside, "state_saturated")):
            counts = [int(found[first:last].sum()) for first, last in pairwise(firsts)]
            assert counts == [getattr(each, name) for each in history], name
        return
    in_time = np.empty(len(outside), dtype=np.int64)
    in_time[np.argsort(_banks(spec, history), kind="stable")] = outside[:, 0]
    shown_in_step = [sum(len(shown_neurons(spec, each.observed["sign"], number)) for number in each.passes) for each in history]
    firsts = np.cumsum([0, *shown_in_step])
    counts = [int(in_time[first:last].sum()) for first, last in pairwise(firsts)]
    assert counts == [each.saturated for each in history], "activations out of range"


def shown_events(
    spec: DesignSpec, program: Program, *, core: Any = None, simulator: str = "amaranth", directory: Path | None = None, stalls=None
) -> tuple[dict[str, dict[str, np.ndarray]], Outcome]:
    """Run a program on a core: the fields of its events, by event and field, shape (events, elements), and the outcome."""
    ports = Ports.of(spec)
    rows: dict[str, list[np.ndarray]] = {event: [np.empty((0, ports.payload_words(event)), dtype=np.uint32)] for event in ports.kinds}
    if simulator == "amaranth":
        hardware = core or core_of(spec)
    else:
        hardware = directory / "design.v"
        hardware.write_text(emit_verilog(spec), encoding="utf-8")
    options = Options(stalls=stalls, patience=5_000)
    outcome = simulate(
        hardware, ports, program, lambda event, new: rows[event].append(new), directory, simulator=simulator, options=options
    )
    return fields_of(ports, {event: np.concatenate(blocks) for event, blocks in rows.items()}), outcome


def neurons_in_order(spec: DesignSpec, observed: dict[str, np.ndarray], passes: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Pass, z and y of a step's neurons, as they leave the core: those of a first layer that is visited once for both passes leave group by
    group, for pass 0 and then for pass 1."""
    n, lanes = spec.network.n_neurons, spec.hardware.lanes
    shared = spec.network.sizes[1] if len(passes) == 2 and spec.perturbation.kind is Kind.WEIGHT else 0
    groups = [range(first, min(first + lanes, shared)) for first in range(0, shared, lanes)]
    for group in (*groups, range(shared, n)):
        for number in passes:
            for neuron in group if shared or not spec.node else shown_neurons(spec, observed["sign"], number):
                yield number, observed["preactivation"][number][neuron], observed["activation"][number][neuron]


def shown_neurons(spec: DesignSpec, signs: np.ndarray, number: int) -> list[int]:
    """Neurons that a pass of node perturbation shows: an incremental probe, the one that is perturbed and the layers behind it, or all
    outputs; a probe of a part, those from the first perturbed one on; others, all."""
    n = len(signs)
    if number > 0 and _in_parts(spec):
        return list(range(next(j for j in range(n) if signs[j] != 0), n))
    if number == 0 or not spec.incremental:
        return list(range(n))
    (perturbed,) = (j for j in range(n) if signs[j] != 0)
    behind = next(first for first in _firsts(spec) if first > perturbed or first == _firsts(spec)[-1])
    return [j for j in range(n) if j == perturbed or j >= behind]


def _firsts(spec: DesignSpec) -> list[int]:
    """Numbers of the first neurons of all layers."""
    return [0, *accumulate(spec.network.sizes[1:-1])]


def fields_of(ports: Ports, rows: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """The fields of payloads, by event and field; neurons are sorted by their bank, if they have one, and otherwise in their order."""
    found = {event: {field.name: unpack(rows[event], field) for field in ports.events[event]} for event in ports.kinds}
    return found | {"neuron": _by_bank(found["neuron"])}


def _by_bank(neurons: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Neurons sorted by their bank, in the order in which they were within each bank."""
    if "bank" not in neurons:
        return neurons
    order = np.argsort(neurons["bank"][:, 0], kind="stable")
    return {name: values[order] for name, values in neurons.items()}


def _banks(spec: DesignSpec, history: list[ShownStep]) -> list[int]:
    """Bank of each neuron that the passes show.

    It is 2 in the unperturbed pass; for the probes 0 and 1 in turn, starting with 0; or in incremental probes 1 for the perturbed neuron,
    if it is a hidden one, and 0 for others.
    """
    found, bank = [], 0
    for shown in history:
        bank = 0 if shown.restarts else bank
        for number in shown.passes:
            for neuron in shown_neurons(spec, shown.observed["sign"], number):
                alone = int(neuron < spec.network.n_hidden and shown.observed["sign"][neuron] != 0)
                of_probe = alone if spec.incremental else bank
                found.append(of_probe if number else 2)
            bank ^= number > 0
    return found


def _shown_evaluations(spec: DesignSpec, length: int) -> np.ndarray:
    """Numbers of the evaluations of a pass of so many frames, in their order."""
    behind = spec.network.frames * spec.unrolled.framed_neurons
    return np.array([*range(length * spec.unrolled.framed_neurons), *range(behind, behind + spec.unrolled.tail_neurons)])


def _shown_quantities(spec: DesignSpec, shown: ShownStep) -> np.ndarray:
    """Numbers of the quantities of the sample of a step, in their order."""
    behind, used = spec.unrolled.segments * spec.unrolled.framed_neurons, -(-shown.length // shown.hold)
    return np.array([*range(used * spec.unrolled.framed_neurons), *range(behind, behind + spec.unrolled.tail_neurons)])


def _correlated(spec: DesignSpec, shown: ShownStep, name: str) -> np.ndarray:
    """Values of the neurons that a step correlates: of all, or in incremental probes and in those of parts of the perturbed ones; in a
    network with state of the quantities that the sample has."""
    observed = shown.observed
    if spec.series:
        return observed[name][_shown_quantities(spec, shown)]
    return observed[name][observed["sign"] != 0] if spec.incremental or _in_parts(spec) else observed[name]


def _in_parts(spec: DesignSpec) -> bool:
    """Whether a probe perturbs a part of the network."""
    return spec.perturbation.parts is not None and len(spec.perturbation.parts) > 1


def _evaluations(spec: DesignSpec, history: list[ShownStep]) -> dict[str, list[int]]:
    """Fields of the neurons of a network with state, in their order."""
    names = ("preactivation", "activation", "state")
    found: dict[str, list[int]] = {name: [] for name in ("pass", *names)}
    for shown in history:
        which = _shown_evaluations(spec, shown.length)
        for number in shown.passes:
            found["pass"] += [number] * len(which)
            for name in names:
                found[name] += shown.observed[name][number][which].tolist()
    return found


def _errors_in_order(spec: DesignSpec, shown: ShownStep) -> np.ndarray:
    """Errors of the quantities that a sample has, in the order in which the core casts them: quantity by quantity, or without a memory
    for G, which lasts for a group of neurons then, group by group."""
    if spec.hardware.gradient_memory is not False:
        return _correlated(spec, shown, "error")
    unrolled, sizes, found, first = spec.unrolled, spec.network.sizes[1:], [], 0
    for layer, size in enumerate(sizes):
        for begin in range(0, size, spec.hardware.lanes):
            group = [first + each for each in range(begin, min(size, begin + spec.hardware.lanes))]
            segments = range(-(-shown.length // unrolled.hold)) if layer < spec.network.framed else [unrolled.segments - 1]
            found += [segment * unrolled.framed_neurons + neuron for segment in segments for neuron in group]
        first += size
    return shown.observed["error"][found]


def expected_events(spec: DesignSpec, history: list[ShownStep]) -> dict[str, dict[str, np.ndarray]]:
    """The events, by event and field, that a core must show for the history of a :class:`Lockstep`, as :func:`fields_of` gives them."""
    layout, lanes = spec.layout, spec.hardware.lanes

    def placed(values: np.ndarray) -> np.ndarray:
        words = np.zeros((layout.words, lanes), dtype=np.int64)
        words[layout.parameter_word, layout.parameter_lane] = values
        return words

    def rows(parts: list, columns: int) -> np.ndarray:
        return np.array(parts, dtype=np.int64).reshape(-1, columns)

    passes = [(shown.observed, number) for shown in history for number in shown.passes]
    every, ended = [shown.observed for shown in history], [shown.observed for shown in history if shown.ends]
    found: dict[str, dict[str, np.ndarray]] = {event: {} for event in event_kinds(spec)}
    if spec.series:
        found["neuron"] = {name: rows(values, 1) for name, values in _evaluations(spec, history).items()}
    else:
        ordered = [each for shown in history for each in neurons_in_order(spec, shown.observed, shown.passes)]
        for column, name in enumerate(("pass", "preactivation", "activation")):
            found["neuron"][name] = rows([each[column] for each in ordered], 1)
    found["cost"]["pass"] = rows([number for _, number in passes], 1)
    found["cost"]["cost"] = rows([observed["cost"][number] for observed, number in passes], 1)
    found["step"]["cost_change"] = rows([observed["cost_change"] for observed in every], 1)
    if spec.node:
        if not spec.series:
            found["neuron"]["bank"] = rows(_banks(spec, history), 1)
            found["neuron"] = _by_bank(found["neuron"])
        for name in ("sign", "error_sum"):
            found["correlation"][name] = rows([value for shown in history for value in _correlated(spec, shown, name).tolist()], 1)
        errors = [_errors_in_order(spec, shown) if spec.series else shown.observed["error"] for shown in history if shown.ends]
        found["error"]["error"] = rows([value for each in errors for value in each.tolist()], 1)
    else:
        found["word"]["broadcast"] = rows([observed["broadcast"] for observed in every], 1)
        found["word"]["sign"] = rows([placed(observed["sign"]) for observed in every], lanes)
    stored = ["gradient"] if not spec.direct_update else []
    for name in (*stored, *(variable.name for variable in spec.optimizer_state), "parameter"):
        found["word"][name] = rows([placed(observed[name]) for observed in ended], lanes)
    shown_at_steps = ("steps" if spec.node else "saturated_activation", "correct", "saturated_cost_change")
    shown_kinds = {f"saturated_{kind}" for kind in spec.shown_saturations}
    for column, name in enumerate(COUNTERS):
        if name.startswith("saturated_") and name not in shown_kinds:
            continue
        if (spec.node or spec.series) and name in ("saturated_activation", "saturated_state"):  # which the neurons show
            continue
        at_step = name in shown_at_steps
        found["step" if at_step else "learned"][name] = rows([each["counter"][column] for each in (every if at_step else ended)], 1)
    if spec.hardware.signature:
        for column, (event, steps) in enumerate((("step", every), ("learned", ended))):
            found[event]["signature"] = rows([observed["signature"][column] for observed in steps], 1)
    return found
