"""A stand-in for a core: the same ports, but it plays events from a table. And the designs and observables it is tried with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from python_ref.spec.activations import Activation
from python_ref.spec.design import SATURATION_KINDS, DesignSpec, Formats, Hardware
from python_ref.spec.events import event_kinds
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import Momentum, Sgd
from python_ref.spec.perturbation import Kind, Perturbation, SequentialCode
from python_ref.spec.probes import COUNTERS, probes
from python_ref.spec.registers import Command, register_map
from python_ref.spec.registers import Memory as Place
from python_ref.spec.schedule import Difference, Schedule
from rtl_gen.probe import event_layouts
from sim.events import EventDecoder, baseline_due
from sim.node_events import NodeEventDecoder, node_decoder
from sim.ports import Ports
from sim.program import read_results
from tests.support.lockstep import neurons_in_order, shown_neurons


def design(name: str = "mock", sizes=(3, 5, 2), lanes: int = 2, kind: Kind = Kind.NODE, momentum: bool = False, **periods) -> DesignSpec:
    """A small design."""
    return DesignSpec(
        name=name,
        network=Network(sizes, Activation.RELU, Activation.IDENTITY),
        perturbation=Perturbation(kind),
        schedule=Schedule(((0, -6),) if "learning_rate" not in periods else periods.pop("learning_rate"), **periods),
        optimizer=Momentum() if momentum else Sgd(),
        formats=Formats(),
        hardware=Hardware(lanes),
    )


DESIGNS = {
    "one-sided": design(sample_period=3),
    "two-sided": design(difference=Difference.TWO_SIDED, lanes=3, kind=Kind.WEIGHT),
    "momentum": design(momentum=True, sample_period=4, update_period=6, lanes=4),
    "one-neuron": design(sizes=(1, 1), lanes=1),
    "more-lanes-than-neurons": design(sizes=(2, 3), lanes=7, update_period=2),
    "sequential": dataclasses.replace(design(kind=Kind.WEIGHT), perturbation=Perturbation(Kind.WEIGHT, SequentialCode())),
    "wide": dataclasses.replace(design(lanes=256), formats=Formats(weight=Fixed(True, 10, 17), gradient=Fixed(True, 12, 31))),
    "rates": design(learning_rate=((0, -6), (2, -7), (5, -8))),
    "rates-inside": design(learning_rate=((0, -6), (2, -7), (3, -8)), sample_period=4, update_period=4),
    "one-at-a-time": dataclasses.replace(
        design(difference=Difference.TWO_SIDED, sample_period=3),
        perturbation=Perturbation(Kind.NODE, SequentialCode()),
    ),
    "two-probes": design(difference=Difference.TWO_SIDED, sample_period=3),
    "weight-momentum": design(momentum=True, sample_period=4, update_period=6, lanes=4, kind=Kind.WEIGHT),
}


def observables(spec: DesignSpec, steps: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Random observables of a run, but pass 0 stays where no baseline is due, and what a step of a presentation does not change."""
    random = np.random.default_rng(seed)
    found = {}
    for probe in probes(spec):
        low = np.array([probe.format_at(i).min for i in range(probe.size)])
        high = np.array([probe.format_at(i).max for i in range(probe.size)])
        if probe.name == "counter":
            high = np.array([(1 << (48 if label in ("writes", "changed") else 32)) - 1 for label in COUNTERS])
        if probe.name == "sign":
            low = low + 1
        found[probe.name] = random.integers(low, high, size=(steps, probe.size), endpoint=True).reshape(steps, *probe.shape)
    due = [spec.schedule.begins(step) for step in range(steps)] if spec.node else baseline_due(spec, np.arange(steps))
    for step in range(1, steps):
        if not due[step]:
            for name in ("preactivation", "activation", "cost"):
                found[name][step, 0] = found[name][step - 1, 0]
    absent = [COUNTERS.index(f"saturated_{kind}") for kind in SATURATION_KINDS if kind not in spec.shown_saturations]
    found["counter"][:, absent] = 0
    if spec.node:
        _hold(spec, found)
    return found


def _hold(spec: DesignSpec, found: dict[str, np.ndarray]) -> None:
    """Let what only the end of a presentation changes stay in the other steps; before the first end, all of it but θ is 0."""
    if spec.incremental:
        _perturb_one(spec, found)
    held = [variable.name for variable in spec.optimizer_state]
    learned = [COUNTERS.index(name) for name in event_layouts(spec)["learned"].members if name in COUNTERS]
    for step in range(len(found["cost"])):
        if spec.schedule.begins(step + 1):
            continue
        found["error"][step] = 0
        if step and not spec.direct_update:
            cleared = step % spec.schedule.update_period == 0 or not spec.gradient_memory
            found["gradient"][step] = 0 if cleared else found["gradient"][step - 1]
        elif not spec.direct_update:
            found["gradient"][step] = 0
        for name in (*held, "parameter") if step else held:
            found[name][step] = found[name][step - 1] if step else 0
        found["counter"][step, learned] = found["counter"][step - 1, learned] if step else 0
        if spec.hardware.signature:
            found["signature"][step, 1] = found["signature"][step - 1, 1] if step else 0
    numbers = [range(not spec.schedule.begins(step), spec.passes) for step in range(len(found["cost"]))]
    most = np.array([sum(len(shown_neurons(spec, found["sign"][step], number)) for number in each) for step, each in enumerate(numbers)])
    found["counter"][:, COUNTERS.index("saturated_activation")] = np.cumsum(np.random.default_rng(2).integers(0, most + 1))


def _perturb_one(spec: DesignSpec, found: dict[str, np.ndarray]) -> None:
    """Let a probe of step n perturb neuron n alone: the other neurons before the layers behind it stay, and so does E of all others."""
    n = spec.network.n_neurons
    for step in range(len(found["cost"])):
        perturbed, kept = step // spec.schedule.perturbation_period % n, found["error_sum"][step].copy()
        found["sign"][step] = np.arange(n) == perturbed
        for name in ("preactivation", "activation"):
            for number in range(1, spec.passes):
                same = [j for j in range(n) if j not in shown_neurons(spec, found["sign"][step], number)]
                found[name][step, number, same] = found[name][step, 0, same]
        found["error_sum"][step] = 0 if spec.schedule.begins(step) else found["error_sum"][step - 1]
        found["error_sum"][step, perturbed] = kept[perturbed]


def decoder_of(spec: DesignSpec, found: dict[str, np.ndarray]) -> EventDecoder | NodeEventDecoder:
    """The decoder of the events of a design, for a run that shows these observables."""
    return node_decoder(spec, Ports.of(spec), found["parameter"][0]) if spec.node else EventDecoder(spec, Ports.of(spec))


class _Shower:
    """Collects the events of observables, one by one through Amaranth's layouts.

    Attributes
    ----------
    events : list of (str, int)
        Kind and payload of each event so far.
    """

    def __init__(self, spec: DesignSpec, found: dict[str, np.ndarray]):
        self.spec, self.found = spec, found
        self.layouts = event_layouts(spec)
        self.events: list[tuple[str, int]] = []
        self._idle = np.random.default_rng(7)
        self._outside = [0] * len(found["cost"])  # neurons of each step that may still show an activation out of range
        if spec.node:
            column = found["counter"][:, COUNTERS.index("saturated_activation")]
            self._outside = np.diff(column, prepend=0).tolist()

    def show(self, event: str, **values) -> None:
        """Add an event."""
        self.events.append((event, self.layouts[event].const(values).as_value().value))

    def neurons(self, step: int, number: int, neurons: Iterable[int], **more: int) -> None:
        """Add neurons of a pass; in node perturbation, the first ones of a step are those whose activations are out of range."""
        for neuron in neurons:
            if self.spec.node:
                more["outside"] = int(self._outside[step] > 0)
                self._outside[step] -= more["outside"]
            values = {name: int(self.found[name][step, number, neuron]) for name in ("preactivation", "activation")}
            self.show("neuron", **{"pass": number}, **values, **more)

    def cost(self, step: int, number: int) -> None:
        """Add the cost of a pass."""
        self.show("cost", **{"pass": number, "cost": int(self.found["cost"][step, number])})

    def counted(self, event: str, step: int, column: int, **more: int) -> None:
        """Add an event with counters and a signature."""
        values = dict(zip(COUNTERS, self.found["counter"][step].tolist(), strict=True)) | more
        if self.spec.hardware.signature:
            values["signature"] = int(self.found["signature"][step, column])
        self.show(event, **{name: values[name] for name in self.layouts[event].members})

    def step(self, step: int) -> None:
        """Add the event of a step."""
        self.counted("step", step, 0, cost_change=int(self.found["cost_change"][step, 0]))

    def end(self, step: int, correlated: Iterable[int]) -> None:
        """Add the end of a step of node perturbation, which correlates these neurons, and of its presentation."""
        self.step(step)
        for neuron in correlated:
            self.show("correlation", **{name: int(self.found[name][step, neuron]) for name in ("sign", "error_sum")})
        if self.spec.schedule.begins(step + 1):
            for neuron in range(self.spec.network.n_neurons):
                self.show("error", error=int(self.found["error"][step, neuron]))
            self.words(step)

    def words(self, step: int) -> None:
        """Add all words, and what they have changed."""
        layout = self.spec.layout
        for word in range(layout.words):
            values: dict = {}
            for name in self.layouts["word"].members:
                if name == "broadcast":
                    values[name] = int(self.found["broadcast"][step, word])
                    continue
                row = [int(x) for x in self._idle.integers(-1, 1, size=self.spec.hardware.lanes)]  # what idle lanes show does not matter
                for p in np.flatnonzero(layout.parameter_word == word):
                    row[layout.parameter_lane[p]] = int(self.found[name][step, p])
                values[name] = row
            self.show("word", **values)
        self.counted("learned", step, 1)


def events(spec: DesignSpec, found: dict[str, np.ndarray]) -> list[tuple[str, int]]:
    """The events (kind, payload) that a core shows for observables, in an order in which passes overlap as they do in the hardware."""
    shower = _Shower(spec, found)
    (_show_presentations if spec.node else _show_steps)(spec, shower, len(found["cost"]))
    return shower.events


def _show_steps(spec: DesignSpec, shower: _Shower, steps: int) -> None:
    """Show a run of weight perturbation: each step's words come after the next pass's neurons."""
    due = baseline_due(spec, np.arange(steps))
    learning: list[int] = []
    for step in range(steps):
        observed = {name: shower.found[name][step] for name in ("preactivation", "activation")}
        numbers = (0, 1) if due[step] else (1,)
        left = dict.fromkeys(numbers, spec.network.n_neurons)
        for number, z, y in neurons_in_order(spec, observed, numbers):
            shower.show("neuron", **{"pass": number, "preactivation": int(z), "activation": int(y)})
            left[number] -= 1
            if left[number] == 0:
                shower.cost(step, number)
                if learning:
                    shower.words(learning.pop())
        shower.step(step)
        learning.append(step)
    shower.words(learning.pop())


def _show_presentations(spec: DesignSpec, shower: _Shower, steps: int) -> None:
    """Show a run of node perturbation: the first layer of a probe comes among the later layers of the one before, in another bank."""
    if spec.incremental:
        _show_incremental_probes(spec, shower, steps)
        return
    n, first = spec.network.n_neurons, spec.network.layers[0].n_out
    edges = {start for start, _ in spec.schedule.learning_rate}  # where a run ends and the next one begins
    probes = [(step, number) for step in range(steps) for number in range(1, spec.passes)]
    middle, bank, early = (first + n) // 2, 0, False
    for (step, number), after in zip(probes, [*probes[1:], None], strict=True):
        begins = number == 1 and spec.schedule.begins(step)
        if begins:
            shower.neurons(step, 0, range(n), bank=2)
            shower.cost(step, 0)
        if begins or (number == 1 and step in edges):
            bank = 0
        if not early:
            shower.neurons(step, number, range(first), bank=bank)
        shower.neurons(step, number, range(first, middle), bank=bank)
        early = after is not None and (after[0] == step or not (spec.schedule.begins(after[0]) or after[0] in edges))
        if early:
            shower.neurons(*after, range(first), bank=1 - bank)
        shower.neurons(step, number, range(middle, n), bank=bank)
        shower.cost(step, number)
        bank = 1 - bank
        if number < spec.passes - 1:
            continue
        shower.end(step, range(n))


def _show_incremental_probes(spec: DesignSpec, shower: _Shower, steps: int) -> None:
    """Show a run whose probes are incremental: the perturbed neuron of a probe comes among the neurons behind that of the one before."""
    n, hidden = spec.network.n_neurons, spec.network.n_hidden
    perturbed = [int(np.flatnonzero(signs)[0]) for signs in shower.found["sign"]]
    probes = [(step, number) for step in range(steps) for number in range(1, spec.passes)]
    shown_early = False
    for (step, number), after in zip(probes, [*probes[1:], None], strict=True):
        if number == 1 and spec.schedule.begins(step):
            shower.neurons(step, 0, range(n), bank=2)
            shower.cost(step, 0)
        if not shown_early and perturbed[step] < hidden:
            shower.neurons(step, number, [perturbed[step]], bank=1)
        behind = [j for j in shown_neurons(spec, shower.found["sign"][step], number) if j != perturbed[step] or j >= hidden]
        shower.neurons(step, number, behind[:-1], bank=0)
        shown_early = after is not None and (after[0] == step or not spec.schedule.begins(after[0]))
        if shown_early and perturbed[after[0]] < hidden:
            shower.neurons(*after, [perturbed[after[0]]], bank=1)
        shower.neurons(step, number, [n - 1], bank=0)
        shower.cost(step, number)
        if number == spec.passes - 1:
            shower.end(step, [perturbed[step]])


def _closings(spec: DesignSpec, played: list[tuple[str, int]]) -> list[int]:
    """For each event, whether a run can end after it: everything of a step has been shown."""
    found, correlated = [], 0
    for event, _ in played:
        correlated += event == "correlation"
        step, more = divmod(correlated, 1 if spec.incremental else spec.network.n_neurons)
        open_one = event == "correlation" and more == 0 and not spec.schedule.begins(step)
        found.append(int(event == "learned" or open_one))
    return found


class MockCore(wiring.Component):
    """Plays events when told to train: as many steps as ``count`` says, flushed, then idles.

    A read returns the next of ``answers``; or, without any, a checksum of all writes so far at an even address, of the
    sample words taken at an odd one.

    Parameters
    ----------
    spec : DesignSpec
        Whose ports.
    played : list of (str, int)
        Events.
    hang : bool
        Whether it stays busy for ever after its last event.
    answers : list of int
        To reads.
    """

    def __init__(self, spec: DesignSpec, played: list[tuple[str, int]], *, hang: bool = False, answers: list[int] | None = None):
        self.spec = spec
        self.played = played
        self.hang = hang
        self.answers = answers or []
        self.layouts = event_layouts(spec)
        super().__init__(
            {
                "request": In(stream.Signature(data.StructLayout({"write": 1, "address": 8, "data": 32}))),
                "response": Out(stream.Signature(unsigned(32))),
                "sample": In(stream.Signature(unsigned(Ports.of(spec).sample_width))),
                "busy": Out(1),
                "probe_stb": Out(len(self.layouts)),
                **{f"probe_{event}": Out(layout) for event, layout in self.layouts.items()},
            }
        )

    def elaborate(self, platform):
        m = Module()
        registers = register_map(self.spec)
        kinds = event_kinds(self.spec)
        widest = max(Value.cast(getattr(self, f"probe_{event}")).shape().width for event in kinds)
        closings = _closings(self.spec, self.played)
        init = [kinds.index(event) | closes << 3 | payload << 4 for (event, payload), closes in zip(self.played, closings, strict=True)]
        m.submodules.table = table = Memory(shape=unsigned(widest + 4), depth=len(init), init=init)
        port = table.read_port(domain="comb")
        m.submodules.answers = answers = Memory(shape=unsigned(32), depth=max(1, len(self.answers)), init=self.answers)
        answer = answers.read_port(domain="comb")
        asked = Signal(32)
        position = Signal(range(len(init) + 1))
        left = Signal(32)
        count = Signal(32)
        writes = Signal(32)
        samples = Signal(32)
        kind = Signal(3)
        m.d.comb += [
            port.addr.eq(position),
            kind.eq(port.data[:3]),
            self.request.ready.eq(~self.response.valid),
            self.sample.ready.eq(position[0] | ~self.busy),
            *(Value.cast(getattr(self, f"probe_{event}")).eq(port.data[4:]) for event in kinds),
        ]
        with m.If(self.sample.valid & self.sample.ready):
            m.d.sync += samples.eq((samples << 5) - samples + self.sample.payload)
        with m.If(self.response.valid & self.response.ready):
            m.d.sync += self.response.valid.eq(0)
        payload = self.request.payload
        with m.If(self.request.valid & self.request.ready):
            with m.If(payload.write):
                m.d.sync += writes.eq((writes << 5) - writes + Cat(payload.data ^ payload.address))
                with m.If(payload.address == registers["count"].address):
                    m.d.sync += count.eq(payload.data)
                with m.If((payload.address == registers["command"].address) & (payload.data == Command.TRAIN)):
                    m.d.sync += [self.busy.eq(1), left.eq(count)]
            with m.Else():
                m.d.sync += self.response.valid.eq(1)
                m.d.sync += self.response.payload.eq(samples)
                with m.If(~payload.address[0]):
                    m.d.sync += self.response.payload.eq(writes)
                if self.answers:
                    m.d.comb += answer.addr.eq(asked)
                    m.d.sync += [self.response.payload.eq(answer.data), asked.eq(asked + 1)]
        with m.If(self.busy & (position != len(init))):
            m.d.comb += self.probe_stb.eq(1 << kind)
            m.d.sync += position.eq(position + 1)
            with m.If(port.data[3]):
                m.d.sync += left.eq(left - 1)
                if not self.hang:
                    m.d.sync += self.busy.eq(left != 1)
        return m


class StoredLink:
    """A link to a core that only stores: its counters and memories are given."""

    def __init__(self, spec: DesignSpec, last: dict[str, np.ndarray], cleared: bool):
        self.registers = {register.address + i: 0 for register in register_map(spec).values() for i in range(register.words)}
        for name, value in zip(COUNTERS, last["counter"].tolist(), strict=True):
            for i in range(register_map(spec)[name].words if name in register_map(spec) else 0):
                self.registers[register_map(spec)[name].address + i] = value >> 32 * i & 0xFFFFFFFF
        for i, word in enumerate(last["signature"].tolist()):
            self.registers[register_map(spec)["signature"].address + i] = word
        self.names = {register.address: name for name, register in register_map(spec).items()}
        self.spec = spec
        self.answers: list[int] = []
        self.memories = {}
        for memory in spec.memories:
            words = np.zeros((spec.hardware.lanes, spec.layout.words), dtype=np.int64)
            if not (memory is Place.GRADIENT and cleared):
                words[spec.layout.parameter_lane, spec.layout.parameter_word] = last[memory.name.lower()]
            self.memories[memory] = words

    def write(self, address: int, data: int) -> None:
        self.registers[address] = data

    def read(self, address: int) -> int:
        if self.names.get(address) == "data":
            select, place = register_map(self.spec)["select"].address, register_map(self.spec)["address"].address
            chosen = self.registers[select]
            value = int(self.memories[Place(chosen >> 16)][chosen & 0xFFFF, self.registers[place]]) & 0xFFFFFFFF
            self.registers[place] += 1
        else:
            value = self.registers[address]
        self.answers.append(value)
        return value


def stored_answers(spec: DesignSpec, found: dict[str, np.ndarray]) -> list[int]:
    """What a core that showed these observables answers when it is read back."""
    steps = len(found["counter"])
    link = StoredLink(spec, {name: values[-1] for name, values in found.items()}, steps % spec.schedule.update_period == 0)
    read_results(spec, link)
    return link.answers


def checksum(values) -> int:
    """What the mock makes of writes or sample words."""
    total = 0
    for value in values:
        total = (total * 31 + value) & 0xFFFFFFFF
    return total
