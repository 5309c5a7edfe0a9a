# amaranth: UnusedElaboratable=no
"""A core behind a bus, with the bus's own port names, and its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from python_ref.spec.bus import (
    ADDRESS_BITS,
    Bus,
    Feeding,
    Interrupt,
    OutsidePorts,
    SampleSource,
    beside_core,
    byte_address,
    sample_words,
    stream_bits,
    wrapper_name,
)
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.learner import LearnerSpec, stream_names
from python_ref.spec.learning import LearningSpec
from python_ref.spec.relay import RELAY_ADDRESSES
from rtl_gen.bus.axi4lite import Axi4LitePort
from rtl_gen.bus.bridge import Bridge
from rtl_gen.bus.frames import FrameBuffer
from rtl_gen.bus.fusesoc import core_file
from rtl_gen.bus.litex import litex_file, litex_module
from rtl_gen.bus.systemrdl import systemrdl
from rtl_gen.bus.wishbone import WishbonePort
from rtl_gen.core import core_of
from rtl_gen.emit import CoreWithoutProbes, Wrapper, emit
from rtl_gen.learner.core import LearnerCore
from rtl_gen.learner.relay import connect_outside
from rtl_gen.slot import delayed

__all__ = ["REGISTERS", "BusBase", "BusCore", "BusLearner", "BusLearnerPorts", "LearnerBridge", "bus_component", "bus_wrapper", "emit_bus"]

REGISTERS = "registers.rdl"
"""Name of the file with the registers in SystemRDL."""

_PORTS: dict[Bus, type[Axi4LitePort] | type[WishbonePort]] = {Bus.AXI4_LITE: Axi4LitePort, Bus.WISHBONE: WishbonePort}
"""The class of the port of each bus."""


class BusBase(wiring.Component):
    """What all cores behind a bus share: the bus, its port and its bridge, and the core, which is instantiated by the name of its module.

    Parameters
    ----------
    spec : LearningSpec
        The design of the core.
    bus : Bus
        Bus of the processor, whose ports the component has.
    samples : SampleSource or OutsidePorts
        Where samples come from.
    core : Component
        The core, whose ports without its probes are connected.
    ports : mapping of str to Member
        Members that the component has beside those of the bus, and ``irq``.
    """

    def __init__(self, spec: LearningSpec, bus: Bus, samples: Feeding, core: wiring.Component, ports: Mapping[str, Member]):
        self.spec = spec
        self.bus = bus
        self.samples = samples
        if bus not in _PORTS:
            raise unknown("Bus", bus, "rtl_gen.bus.top._PORTS")
        self.port = _PORTS[bus]()
        self.core = CoreWithoutProbes(core)
        super().__init__({self.port.clock: In(1), self.port.reset: In(1), **self.port.bus, **ports, "irq": Out(1)})

    def connect_bus(self, m, bridge):
        """Add the clock, the port of the bus and the bridge to the module."""
        port, reset = self.port, getattr(self, self.port.reset)
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(getattr(self, port.clock)), ResetSignal().eq(~reset if port.active_low else reset)]
        m.submodules.port = port
        m.submodules.bridge = bridge
        return port

    def connect_port(self, m, port, bridge):
        """Connect the port to the bus and to the bridge."""
        for name, member in port.bus.items():
            mine, its = getattr(self, name), getattr(port, name)
            m.d.comb += its.eq(mine) if member.flow == In else mine.eq(its)
        wiring.connect(m, port.access, bridge.access)
        wiring.connect(m, port.answer, bridge.answer)

    def instantiated(self, m):
        """The ports of the core, which is instantiated by name."""
        ports = self.core.signature.create(path=("core",))
        connected = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        for path, member, value in self.core.signature.flatten(ports):
            connected[f"{'i' if member.flow == In else 'o'}_{'__'.join(map(str, path))}"] = Value.cast(value)
        m.submodules.core = Instance(self.spec.module, **connected)
        return ports


class BusCore(BusBase):
    """A core behind a bus, to which the wrapper gives samples.

    Parameters
    ----------
    spec : DesignSpec
        The design of the core.
    bus : Bus
        Bus of the processor, whose ports the component has.
    samples : SampleSource or OutsidePorts
        Where samples come from.

    Members
    -------
    aclk, aresetn or wb_clk_i, wb_rst_i : In(1)
        Clock, and synchronous reset, of everything.
    s_axi_… or wb_… : In, Out
        The bus, see :class:`~rtl_gen.bus.axi4lite.Axi4LitePort` and :class:`~rtl_gen.bus.wishbone.WishbonePort`.
    s_axis_tdata, s_axis_tvalid, s_axis_tlast, s_axis_tready : In, In, In, Out
        Frames of samples, only where they come as an AXI4-Stream.
    irq : Out(1)
        An interrupt is raised and enabled.
    """

    spec: DesignSpec

    def __init__(self, spec: DesignSpec, bus: Bus, samples: Feeding):
        frames = {"s_axis_tdata": In(stream_bits(spec)), "s_axis_tvalid": In(1), "s_axis_tlast": In(1), "s_axis_tready": Out(1)}
        framed = samples is SampleSource.AXI4_STREAM
        super().__init__(spec, bus, samples, core_of(spec, starved_port=True), frames if framed else {})

    @property
    def framed(self) -> bool:
        """Whether samples come in frames of an AXI4-Stream."""
        return self.samples is SampleSource.AXI4_STREAM

    def elaborate(self, platform):
        m = Module()
        bridge = Bridge(self.spec, self.samples)
        port = self.connect_bus(m, bridge)
        m.submodules.buffer = buffer = FrameBuffer(self.spec.sample_width, sample_words(self.spec), framed=self.framed)
        self.connect_port(m, port, bridge)
        core = self.instantiated(m)
        wiring.connect(m, bridge.request, core.request)
        wiring.connect(m, bridge.response, core.response)
        wiring.connect(m, buffer.sample, core.sample)
        m.d.comb += [
            bridge.busy.eq(core.busy),
            bridge.starved.eq(core.starved),
            bridge.empty.eq(buffer.empty),
            buffer.discard.eq(bridge.discard),
            self.irq.eq(bridge.irq),
        ]
        if self.framed:
            m.d.comb += [
                buffer.i.valid.eq(self.s_axis_tvalid),
                buffer.i.payload.word.eq(self.s_axis_tdata),
                buffer.i.payload.last.eq(self.s_axis_tlast),
                self.s_axis_tready.eq(buffer.i.ready),
                bridge.dropped.eq(buffer.dropped),
            ]
        else:
            wiring.connect(m, bridge.word, buffer.i)
            m.d.comb += bridge.room.eq(buffer.room)
        return m


class LearnerBridge(Bridge):
    """The bridge of a learner: it gives no samples, it may write the registers of the outside during a run, and tells by the second
    interrupt that a cost is awaited.

    Members
    -------
    awaits : In(1)
        A cost may be measured.
    """

    told = ("busy", "awaits")

    def feeding(self):
        """See :class:`~rtl_gen.bus.bridge.Bridge`."""
        return {}

    def always(self, words, stops):
        """See :class:`~rtl_gen.bus.bridge.Bridge`: the outside is there for runs."""
        return stops | (words[4:] == RELAY_ADDRESSES.start >> 4)

    def without_room(self, m, words, sample, wrong):
        """See :class:`~rtl_gen.bus.bridge.Bridge`."""
        return wrong

    def of_samples(self, m, access, own, written):
        """See :class:`~rtl_gen.bus.bridge.Bridge`."""
        return {}

    def raised(self, m):
        """See :class:`~rtl_gen.bus.bridge.Bridge`: each by the edge of a flag."""
        before = {name: delayed(m, getattr(self, name), 1, f"was_{name}", reset_less=False) for name in self.told}
        strobes = {Interrupt.RUN_ENDED: before["busy"] & ~self.busy, Interrupt.STARVED: self.awaits & ~before["awaits"]}
        return Cat(strobes.get(each, Const(0, 1)) for each in Interrupt)


class BusLearner(BusBase):
    """A learner behind a bus, whose outside is the processor: words and costs go through registers (:mod:`python_ref.spec.relay`).

    Parameters
    ----------
    spec : LearnerSpec
        The learner whose core is instantiated.
    bus : Bus
        Bus of the processor, whose ports the component has.

    Members
    -------
    aclk, aresetn or wb_clk_i, wb_rst_i : In(1)
        Clock, and synchronous reset, of everything.
    s_axi_… or wb_… : In, Out
        The bus, see :class:`~rtl_gen.bus.axi4lite.Axi4LitePort` and :class:`~rtl_gen.bus.wishbone.WishbonePort`.
    irq : Out(1)
        An interrupt is raised and enabled.
    """

    spec: LearnerSpec

    def __init__(self, spec: LearnerSpec, bus: Bus):
        super().__init__(spec, bus, SampleSource.BUS, LearnerCore(spec), {})

    def elaborate(self, platform):
        m = Module()
        bridge = LearnerBridge(self.spec, self.samples)
        self.connect_port(m, self.connect_bus(m, bridge), bridge)
        learner = self.instantiated(m)
        outside = connect_outside(m, self.spec, learner, polled=True)
        wiring.connect(m, bridge.request, outside.request)
        wiring.connect(m, bridge.response, outside.response)
        m.d.comb += [bridge.busy.eq(learner.busy), bridge.awaits.eq(learner.measure_ready), self.irq.eq(bridge.irq)]
        return m


class BusLearnerPorts(BusBase):
    """A learner behind a bus whose streams to the outside are ports, for a chip that is faster than a processor.

    Parameters
    ----------
    spec : LearnerSpec
        The learner whose core is instantiated.
    bus : Bus
        Bus of the processor, whose ports the component has.

    Members
    -------
    aclk, aresetn or wb_clk_i, wb_rst_i : In(1)
        Clock, and synchronous reset, of everything.
    s_axi_… or wb_… : In, Out
        The bus, see :class:`~rtl_gen.bus.axi4lite.Axi4LitePort` and :class:`~rtl_gen.bus.wishbone.WishbonePort`.
    sample, perturbed or perturbed0, …, apply_stb, measure_ready, cost
        The ports of the learner with these names, see :class:`~rtl_gen.learner.core.LearnerCore`.
    irq : Out(1)
        An interrupt is raised and enabled.
    """

    spec: LearnerSpec

    def __init__(self, spec: LearnerSpec, bus: Bus):
        core = LearnerCore(spec)
        self.streams = ("sample", *stream_names(spec), "cost")
        names = (*self.streams, "apply_stb", "measure_ready")
        super().__init__(spec, bus, OutsidePorts.PORTS, core, {name: core.signature.members[name] for name in names})

    def elaborate(self, platform):
        m = Module()
        bridge = LearnerBridge(self.spec, self.samples)
        self.connect_port(m, self.connect_bus(m, bridge), bridge)
        learner = self.instantiated(m)
        wiring.connect(m, bridge.request, learner.request)
        wiring.connect(m, bridge.response, learner.response)
        for name in self.streams:
            mine, its = wiring.flipped(getattr(self, name)), getattr(learner, name)
            wiring.connect(m, mine, its)
        m.d.comb += [
            self.apply_stb.eq(learner.apply_stb),
            self.measure_ready.eq(learner.measure_ready),
            bridge.busy.eq(learner.busy),
            bridge.awaits.eq(learner.measure_ready),
            self.irq.eq(bridge.irq),
        ]
        return m


def bus_component(spec: LearningSpec, bus: Bus, samples: Feeding) -> BusBase:
    """The core of a design behind a bus."""
    match spec:
        case LearnerSpec():
            return BusLearnerPorts(spec, bus) if samples is OutsidePorts.PORTS else BusLearner(spec, bus)
        case DesignSpec():
            assert isinstance(samples, SampleSource), "only a learner has an outside"
            return BusCore(spec, bus, samples)
        case _:
            raise unknown("Design", spec, "rtl_gen.bus.top")


def bus_wrapper(spec: LearningSpec, bus: Bus, samples: Feeding) -> Wrapper:
    """The wrapper of a core for a bus, with its part of the manifest; a learner has no samples."""
    described = {
        "kind": bus.value,
        "samples": samples.value,
        "address_bits": ADDRESS_BITS,
        "data_bits": 32,
        "core_registers": "the word with address a is at byte 4a",
        "registers": [asdict(each) | {"byte_address": byte_address(each)} for each in beside_core(spec, samples)],
        "interrupts": {(each.name or "").lower(): int(each) for each in Interrupt},
    }
    if samples is SampleSource.AXI4_STREAM:
        assert isinstance(spec, DesignSpec), "a learner has no samples"
        described["stream"] = {"tdata_bits": stream_bits(spec), "words": sample_words(spec)}
    return Wrapper(bus_component(spec, bus, samples), wrapper_name(spec, bus), described)


def emit_bus(spec: LearningSpec, bus: Bus, samples: Feeding, directory: Path, parameters: np.ndarray | None = None) -> dict:
    """Write the files of a core behind a bus: those that :func:`rtl_gen.emit.emit` writes, the registers in SystemRDL, a core file of
    FuseSoC, and behind Wishbone a module of LiteX."""
    described = emit(spec, directory, parameters, wrapper=bus_wrapper(spec, bus, samples))
    (directory / REGISTERS).write_text(systemrdl(spec, bus, samples), encoding="utf-8")
    (directory / f"{wrapper_name(spec, bus)}.core").write_text(core_file(spec, bus), encoding="utf-8")
    if bus is Bus.WISHBONE and isinstance(samples, SampleSource):  # a module of LiteX has no ports but those of the bus
        (directory / litex_file(spec)).write_text(litex_module(spec, samples), encoding="utf-8")
    return described
