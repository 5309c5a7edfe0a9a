"""A core and its model in lockstep: one scenario of a host runs on both, and every event of the core must equal the model's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from python_ref.fixed.cost import correct, cost
from python_ref.fixed.machine import State, initial_state, step
from python_ref.fixed.network import forward
from python_ref.spec.design import DesignSpec
from python_ref.spec.perturbation import Kind
from python_ref.spec.probes import COUNTERS
from python_ref.spec.registers import Command, Memory, register_map
from rtl_gen.core import Core
from rtl_gen.emit import emit_verilog
from sim import host
from sim.events import unpack
from sim.ports import EVENTS, Ports
from sim.program import Program, ProgramLink, ReplayLink, sample_table
from sim.run import Outcome, Stalls
from sim.simulators import Options, simulate
from tests.support.designs import random_parameters, random_samples

__all__ = ["Lockstep", "expected_events", "neurons_in_order", "run_lockstep", "shown_events"]

SAMPLES = 6


class Lockstep:
    """A host whose every action is done to a core and to its model.

    A scenario runs twice. The first run records what the host sends to the core: reads return 0, and the model stands
    still. The second run replays the answers of the core: the model follows, and reads are compared with it.

    Attributes
    ----------
    comparing : bool
        Whether this is the second run, which follows the model and compares.
    state : State
        Present state of the model.
    history : list of (dict, tuple of int)
        Observables of each step of the model, and the numbers of the passes that the core runs in it.
    """

    def __init__(self, spec: DesignSpec, link: Any, stream: Iterator[tuple[np.ndarray, np.ndarray]], parameters: np.ndarray):
        self.spec = spec
        self.link = link
        self.comparing = isinstance(link, ReplayLink)
        self.stream = stream
        self.steps = 0
        self.state: State = initial_state(spec, parameters)
        self.history: list[tuple[dict[str, np.ndarray], tuple[int, ...]]] = []
        self.costs = [0, 0]

    def prepare(self, seed: int | None = None) -> None:
        """Set both up for step 0."""
        host.prepare(self.spec, self.link, self.state.parameters, seed)
        self.state = initial_state(self.spec, self.state.parameters, seed=seed)

    def train(self, steps: int) -> None:
        """Run steps."""
        host.train(self.spec, self.link, self.steps, steps)
        self.follow(steps)

    def follow(self, steps: int) -> None:
        """Let the model do steps that the core does."""
        self.steps += steps
        for _ in range(steps if self.comparing else 0):
            schedule, n = self.spec.schedule, self.state.steps
            due = self.state.due or n % schedule.sample_period == 0
            if due:
                self.sample = next(self.stream)
            both = due or self.spec.two_sided or n % schedule.update_period == 0
            self.state, observed = step(self.spec, self.state, self.sample)
            self.history.append((observed, (0, 1) if both else (1,)))
            self.costs = [int(value) for value in observed["cost"]]

    def infer(self, samples: int) -> None:
        """Judge samples."""
        host.infer(self.spec, self.link, samples)
        for _ in range(samples if self.comparing else 0):
            inputs, targets = next(self.stream)
            _, y, _ = forward(self.spec, self.state.parameters, inputs)
            outputs = y[-self.spec.network.n_out :]
            right, self.costs[0] = correct(self.spec, outputs, targets), int(cost(outputs, targets))
            counters = self.state.counters.copy()
            counters[COUNTERS.index("correct")] += right
            self.state = replace(self.state.with_load(), counters=counters)

    def load(self, parameters: np.ndarray) -> None:
        """Write all parameters."""
        host.load_parameters(self.spec, self.link, parameters)
        self.state = self.state.with_load(parameters)

    def load_learned(self, memory: Memory, values: np.ndarray) -> None:
        """Write G or the optimiser's state."""
        host.load_memory(self.spec, self.link, memory, values)
        name, values = memory.name.lower(), values.astype(np.int64)
        changed = {"gradient": values} if memory is Memory.GRADIENT else {"optimizer": self.state.optimizer | {name: values}}
        self.state = replace(self.state, **changed)

    def clear(self) -> None:
        """Clear the counters."""
        host.clear_counters(self.spec, self.link)
        self.state = self.state.with_clear()

    def restart(self, seed: int | None = None, spec: DesignSpec | None = None) -> None:
        """Back to step 0 with another seed and, with ``spec``, other periods and rates."""
        self.spec = spec or self.spec
        host.set_periods(self.spec, self.link)
        host.restart(self.spec, self.link, seed)
        self.steps = 0
        counters = np.where(np.isin(COUNTERS, ("steps", "updates")), 0, self.state.counters)
        seed = self.spec.perturbation.seed if seed is None else seed
        self.state = replace(self.state, seed=seed, steps=0, updates=0, due=True, counters=counters)

    def resume(self) -> None:
        """Let the core forget where the run is, and tell it: the model goes on as if nothing had happened."""
        host.restart(self.spec, self.link, 0)
        host.restart(self.spec, self.link, step=self.steps)
        self.link.wait_idle()
        counters = np.where(np.isin(COUNTERS, ("steps", "updates")), 0, self.state.counters)
        self.state = replace(self.state, counters=counters)

    def read(self, name: str) -> int:
        """Read a register."""
        return host.read_register(self.spec, self.link, name)

    def write(self, name: str, value: int) -> None:
        """Write a register."""
        host.write_register(self.spec, self.link, name, value)

    def command(self, command: Command) -> None:
        """Give a command."""
        self.write("command", command)

    def check_registers(self) -> None:
        """Read all that the core has learned and counted: it is what the model has."""
        counters = {name: self.read(name) for name in COUNTERS}
        contents = {memory: host.read_memory(self.spec, self.link, memory) for memory in self.spec.memories}
        costs = self.read("cost"), self.read("cost_change"), self.read("signature")
        if not self.comparing:
            return
        assert counters == dict(zip(COUNTERS, self.state.counters.tolist(), strict=True))
        learned = {Memory.PARAMETER: self.state.parameters, Memory.GRADIENT: self.state.gradient}
        learned |= {variable.memory: self.state.optimizer[variable.name] for variable in self.spec.optimizer_state}
        for memory, values in contents.items():
            np.testing.assert_array_equal(values, learned[memory], err_msg=memory.name)
        if self.history:
            assert costs[0] == self.costs[0] | self.costs[1] << 64
            width = 32 * register_map(self.spec)["cost_change"].words
            assert costs[1] == int(self.history[-1][0]["cost_change"][0]) & (1 << width) - 1
        forward_signature, learned_signature = self.state.signature
        assert costs[2] == forward_signature | learned_signature << 32


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
    spec : DesignSpec
        Design of both.
    scenario : callable
        Actions of the host, on the :class:`Lockstep` that it is given; it is called twice.
    rng : random.Random
        Source of the initial parameters, the samples and their order.
    core : Component or None
        A core of the design for Amaranth's simulator; None builds one.
    simulator : str
        Name of the simulator.
    directory : Path or None
        Folder in which a simulator of Verilog builds.
    samples : int
        Length of the sample stream, in samples.
    stalls : Stalls or None
        Random stalls of all streams.
    """
    parameters = random_parameters(rng, spec)
    inputs, targets = random_samples(rng, spec, SAMPLES)
    order = np.array([rng.randrange(SAMPLES) for _ in range(samples)])

    def attempt(link: Any) -> Lockstep:
        return Lockstep(spec, link, ((inputs[k], targets[k]) for k in order), parameters)

    recorder = ProgramLink()
    scenario(attempt(recorder))
    program = recorder.program(sample_table(spec, inputs, targets), order)
    shown, outcome = shown_events(spec, program, core=core, simulator=simulator, directory=directory, stalls=stalls)
    second = attempt(ReplayLink(outcome.responses))
    scenario(second)
    expected = expected_events(spec, second.history)
    for event in EVENTS:
        for name, values in expected[event].items():
            found = shown[event][name]
            assert found.shape == values.shape, f"{len(found)} events of {event} rather than {len(values)}"
            np.testing.assert_array_equal(found, values, err_msg=f"{event}.{name}")
    return outcome


def shown_events(
    spec: DesignSpec, program: Program, *, core: Any = None, simulator: str = "amaranth", directory: Path | None = None, stalls=None
) -> tuple[dict[str, dict[str, np.ndarray]], Outcome]:
    """Run a program on a core: the fields of its events, by event and field, shape (events, elements), and the outcome."""
    ports = Ports.of(spec)
    rows: dict[str, list[np.ndarray]] = {event: [np.empty((0, ports.payload_words(event)), dtype=np.uint32)] for event in EVENTS}
    if simulator == "amaranth":
        hardware = core or Core(spec)
    else:
        hardware = directory / "design.v"
        hardware.write_text(emit_verilog(spec), encoding="utf-8")
    options = Options(stalls=stalls, patience=5_000)
    outcome = simulate(
        hardware, ports, program, lambda event, new: rows[event].append(new), directory, simulator=simulator, options=options
    )
    return (
        {event: {field.name: unpack(np.concatenate(rows[event]), field) for field in ports.events[event]} for event in EVENTS},
        outcome,
    )


def neurons_in_order(spec: DesignSpec, observed: dict[str, np.ndarray], passes: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Pass, z and y of a step's neurons, as they leave the core: those of a first layer that is visited once for both passes leave group by
    group, for pass 0 and then for pass 1."""
    n, lanes = spec.network.n_neurons, spec.hardware.lanes
    shared = spec.network.sizes[1] if len(passes) == 2 and spec.perturbation.kind is Kind.WEIGHT else 0
    groups = [range(first, min(first + lanes, shared)) for first in range(0, shared, lanes)]
    for group in (*groups, range(shared, n)):
        for number in passes:
            for neuron in group:
                yield number, observed["preactivation"][number][neuron], observed["activation"][number][neuron]


def expected_events(spec: DesignSpec, history: list[tuple[dict[str, np.ndarray], tuple[int, ...]]]) -> dict[str, dict[str, np.ndarray]]:
    """The events, by event and field, that a core must show for the history of a :class:`Lockstep`."""
    layout, lanes = spec.layout, spec.hardware.lanes

    def placed(values: np.ndarray) -> np.ndarray:
        words = np.zeros((layout.words, lanes), dtype=np.int64)
        words[layout.parameter_word, layout.parameter_lane] = values
        return words

    def rows(parts: list, columns: int) -> np.ndarray:
        return np.array(parts, dtype=np.int64).reshape(-1, columns)

    passes = [(observed, number) for observed, numbers in history for number in numbers]
    found: dict[str, dict[str, np.ndarray]] = {event: {} for event in EVENTS}
    neurons = [each for observed, numbers in history for each in neurons_in_order(spec, observed, numbers)]
    for column, name in enumerate(("pass", "preactivation", "activation")):
        found["neuron"][name] = rows([each[column] for each in neurons], 1)
    found["cost"]["pass"] = rows([number for _, number in passes], 1)
    found["cost"]["cost"] = rows([observed["cost"][number] for observed, number in passes], 1)
    found["step"]["cost_change"] = rows([observed["cost_change"] for observed, _ in history], 1)
    found["word"]["broadcast"] = rows([observed["broadcast"] for observed, _ in history], 1)
    for name in ("sign", "gradient", *(variable.name for variable in spec.optimizer_state), "parameter"):
        if history and name in history[0][0]:
            found["word"][name] = rows([placed(observed[name]) for observed, _ in history], lanes)
    for column, name in enumerate(COUNTERS):
        event = "step" if name in ("correct", "saturated_activation", "saturated_cost_change") else "learned"
        found[event][name] = rows([observed["counter"][column] for observed, _ in history], 1)
    if spec.hardware.signature:
        for column, event in enumerate(("step", "learned")):
            found[event]["signature"] = rows([observed["signature"][column] for observed, _ in history], 1)
    return found
