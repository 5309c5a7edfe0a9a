"""A stand-in for a core: the same ports, but it plays events from a table. And the designs and observables it is tried with."""

from __future__ import annotations

import dataclasses

import numpy as np
from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec, Formats, Hardware
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import Momentum, Sgd
from python_ref.spec.perturbation import Kind, Perturbation, SequentialCode
from python_ref.spec.probes import COUNTERS, probes
from python_ref.spec.registers import Command, register_map
from python_ref.spec.registers import Memory as Place
from python_ref.spec.schedule import Difference, Schedule
from rtl_gen.probe import EVENTS, event_layouts
from sim.events import baseline_due
from sim.ports import Ports
from sim.program import read_results
from tests.support.lockstep import neurons_in_order


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
}


def observables(spec: DesignSpec, steps: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Random observables of a run, but pass 0 stays where no baseline is due."""
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
    due = baseline_due(spec, np.arange(steps))
    for step in range(1, steps):
        if not due[step]:
            for name in ("preactivation", "activation", "cost"):
                found[name][step, 0] = found[name][step - 1, 0]
    return found


def events(spec: DesignSpec, found: dict[str, np.ndarray]) -> list[tuple[str, int]]:
    """The events (kind, payload) that a core shows for observables, one by one through Amaranth's layouts."""
    layouts, layout, lanes = event_layouts(spec), spec.layout, spec.hardware.lanes
    result: list[tuple[str, int]] = []

    def show(event: str, values: dict) -> None:
        result.append((event, layouts[event].const(values).as_value().value))

    steps = len(found["cost"])
    due = baseline_due(spec, np.arange(steps))
    random = np.random.default_rng(7)
    learning: list[int] = []

    def correlate(step: int) -> None:
        for word in range(layout.words):
            values: dict = {"broadcast": int(found["broadcast"][step, word])}
            for name in layouts["word"].members:
                if name == "broadcast":
                    continue
                row = [int(x) for x in random.integers(-1, 1, size=lanes)]  # what idle lanes show does not matter
                for p in np.flatnonzero(layout.parameter_word == word):
                    row[layout.parameter_lane[p]] = int(found[name][step, p])
                values[name] = row
            show("word", values)
        counter = dict(zip(COUNTERS, found["counter"][step].tolist(), strict=True)) | {"signature": int(found["signature"][step, 1])}
        show("learned", {name: counter[name] for name in layouts["learned"].members})

    for step in range(steps):
        observed = {name: found[name][step] for name in ("preactivation", "activation")}
        numbers = (0, 1) if due[step] else (1,)
        left = dict.fromkeys(numbers, spec.network.n_neurons)
        for number, z, y in neurons_in_order(spec, observed, numbers):
            show("neuron", {"pass": number, "preactivation": int(z), "activation": int(y)})
            left[number] -= 1
            if left[number] == 0:
                show("cost", {"pass": number, "cost": int(found["cost"][step, number])})
                if learning:
                    correlate(learning.pop())
        counter = dict(zip(COUNTERS, found["counter"][step].tolist(), strict=True)) | {"signature": int(found["signature"][step, 0])}
        values = {name: counter[name] for name in layouts["step"].members if name != "cost_change"}
        show("step", {"cost_change": int(found["cost_change"][step, 0]), **values})
        learning.append(step)
    correlate(learning.pop())
    return result


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
                "probe_stb": Out(len(EVENTS)),
                **{f"probe_{event}": Out(layout) for event, layout in self.layouts.items()},
            }
        )

    def elaborate(self, platform):
        m = Module()
        registers = register_map(self.spec)
        widths = {event: Value.cast(getattr(self, f"probe_{event}")).shape().width for event in EVENTS}
        widest = max(widths.values())
        init = [table_row(event, payload) for event, payload in self.played]
        m.submodules.table = table = Memory(shape=unsigned(widest + 3), depth=len(init), init=init)
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
        steps = len([1 for event, _ in self.played if event == "step"])
        starts = [i + 1 for i, (event, _) in enumerate(self.played) if event == "learned"]
        m.d.comb += [
            port.addr.eq(position),
            kind.eq(port.data[:3]),
            self.request.ready.eq(~self.response.valid),
            self.sample.ready.eq(position[0] | ~self.busy),
            *(Value.cast(getattr(self, f"probe_{event}")).eq(port.data[3:]) for event in EVENTS),
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
            with m.If(kind == EVENTS.index("learned")):
                m.d.sync += left.eq(left - 1)
                if not self.hang:
                    m.d.sync += self.busy.eq(left != 1)
        assert len(starts) == steps
        return m


class StoredLink:
    """A link to a core that only stores: its counters and memories are given."""

    def __init__(self, spec: DesignSpec, last: dict[str, np.ndarray], cleared: bool):
        self.registers = {register.address + i: 0 for register in register_map(spec).values() for i in range(register.words)}
        for name, value in zip(COUNTERS, last["counter"].tolist(), strict=True):
            for i in range(register_map(spec)[name].words):
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


def table_row(event: str, payload: int) -> int:
    """A row of the table."""
    return EVENTS.index(event) | payload << 3


def checksum(values) -> int:
    """What the mock makes of writes or sample words."""
    total = 0
    for value in values:
        total = (total * 31 + value) & 0xFFFFFFFF
    return total
