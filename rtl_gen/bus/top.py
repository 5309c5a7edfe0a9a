# amaranth: UnusedElaboratable=no
"""A core behind a bus, with the bus's own port names, and its files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
from amaranth.hdl import ClockDomain, ClockSignal, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.bus import (
    ADDRESS_BITS,
    Bus,
    Interrupt,
    SampleSource,
    byte_address,
    sample_words,
    stream_bits,
    wrapper_map,
    wrapper_name,
)
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from rtl_gen.bus.axi4lite import Axi4LitePort
from rtl_gen.bus.bridge import Bridge
from rtl_gen.bus.frames import FrameBuffer
from rtl_gen.bus.fusesoc import core_file
from rtl_gen.bus.litex import litex_file, litex_module
from rtl_gen.bus.systemrdl import systemrdl
from rtl_gen.bus.wishbone import WishbonePort
from rtl_gen.core import core_of
from rtl_gen.emit import CoreWithoutProbes, Wrapper, emit

__all__ = ["REGISTERS", "BusCore", "bus_wrapper", "emit_bus"]

REGISTERS = "registers.rdl"
"""Name of the file with the registers in SystemRDL."""

_PORTS: dict[Bus, type[Axi4LitePort] | type[WishbonePort]] = {Bus.AXI4_LITE: Axi4LitePort, Bus.WISHBONE: WishbonePort}
"""The class of the port of each bus."""


class BusCore(wiring.Component):
    """A core behind a bus, which is instantiated by the name of its module.

    Parameters
    ----------
    spec : DesignSpec
        The design of the core.
    bus : Bus
        Bus of the processor, whose ports the component has.
    samples : SampleSource
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

    def __init__(self, spec: DesignSpec, bus: Bus, samples: SampleSource):
        self.spec = spec
        self.bus = bus
        self.samples = samples
        if bus not in _PORTS:
            raise unknown("Bus", bus, "rtl_gen.bus.top._PORTS")
        self.port = _PORTS[bus]()
        self.core = CoreWithoutProbes(core_of(spec, starved_port=True))
        frames = {"s_axis_tdata": In(stream_bits(spec)), "s_axis_tvalid": In(1), "s_axis_tlast": In(1), "s_axis_tready": Out(1)}
        super().__init__(
            {
                self.port.clock: In(1),
                self.port.reset: In(1),
                **self.port.bus,
                **(frames if self.framed else {}),
                "irq": Out(1),
            }
        )

    @property
    def framed(self) -> bool:
        """Whether samples come in frames of an AXI4-Stream."""
        return self.samples is SampleSource.AXI4_STREAM

    def elaborate(self, platform):
        m = Module()
        port, reset = self.port, getattr(self, self.port.reset)
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(getattr(self, port.clock)), ResetSignal().eq(~reset if port.active_low else reset)]
        m.submodules.port = port
        m.submodules.bridge = bridge = Bridge(self.spec, self.samples)
        m.submodules.buffer = buffer = FrameBuffer(self.spec.sample_width, sample_words(self.spec), framed=self.framed)
        for name, member in port.bus.items():
            mine, its = getattr(self, name), getattr(port, name)
            m.d.comb += its.eq(mine) if member.flow == In else mine.eq(its)
        wiring.connect(m, port.access, bridge.access)
        wiring.connect(m, port.answer, bridge.answer)
        core = self._core(m)
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

    def _core(self, m):
        """The ports of the core, which is instantiated by name."""
        ports = self.core.signature.create(path=("core",))
        connected = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        for path, member, value in self.core.signature.flatten(ports):
            connected[f"{'i' if member.flow == In else 'o'}_{'__'.join(map(str, path))}"] = Value.cast(value)
        m.submodules.core = Instance(self.spec.module, **connected)
        return ports


def bus_wrapper(spec: DesignSpec, bus: Bus, samples: SampleSource) -> Wrapper:
    """The wrapper of a core for a bus, with its part of the manifest."""
    described = {
        "kind": bus.value,
        "samples": samples.value,
        "address_bits": ADDRESS_BITS,
        "data_bits": 32,
        "core_registers": "the word with address a is at byte 4a",
        "registers": [asdict(each) | {"byte_address": byte_address(each)} for each in wrapper_map(spec, samples).values()],
        "interrupts": {(each.name or "").lower(): int(each) for each in Interrupt},
    }
    if samples is SampleSource.AXI4_STREAM:
        described["stream"] = {"tdata_bits": stream_bits(spec), "words": sample_words(spec)}
    return Wrapper(BusCore(spec, bus, samples), wrapper_name(spec, bus), described)


def emit_bus(spec: DesignSpec, bus: Bus, samples: SampleSource, directory: Path, parameters: np.ndarray | None = None) -> dict:
    """Write the files of a core behind a bus: those that :func:`rtl_gen.emit.emit` writes, the registers in SystemRDL, a core file of
    FuseSoC, and behind Wishbone a module of LiteX."""
    described = emit(spec, directory, parameters, wrapper=bus_wrapper(spec, bus, samples))
    (directory / REGISTERS).write_text(systemrdl(spec, bus, samples), encoding="utf-8")
    (directory / f"{wrapper_name(spec, bus)}.core").write_text(core_file(spec, bus), encoding="utf-8")
    if bus is Bus.WISHBONE:
        (directory / litex_file(spec)).write_text(litex_module(spec, samples), encoding="utf-8")
    return described
