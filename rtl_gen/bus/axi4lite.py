"""The port of an AXI4-Lite bus, as the AMBA AXI protocol specification (ARM IHI 0022) defines it for a subordinate."""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.bus import ADDRESS_BITS
from rtl_gen.bus.bridge import access_layout, answer_layout

__all__ = ["OKAY", "SLVERR", "Axi4LitePort"]

OKAY, SLVERR = 0, 2
"""Responses: an access that was executed, and one that was refused."""


_CHANNELS = (
    {"awaddr": In(ADDRESS_BITS), "awprot": In(3), "awvalid": In(1), "awready": Out(1)}
    | {"wdata": In(32), "wstrb": In(4), "wvalid": In(1), "wready": Out(1)}
    | {"bresp": Out(2), "bvalid": Out(1), "bready": In(1)}
    | {"araddr": In(ADDRESS_BITS), "arprot": In(3), "arvalid": In(1), "arready": Out(1)}
    | {"rdata": Out(32), "rresp": Out(2), "rvalid": Out(1), "rready": In(1)}
)
"""The signals of the five channels."""


class Axi4LitePort(wiring.Component):
    """Turns the channels of an AXI4-Lite bus into accesses, one at a time; reads and writes that wait take turns.

    Members
    -------
    s_axi_aw…, s_axi_w…, s_axi_b…, s_axi_ar…, s_axi_r… : In, Out
        The channels of the bus. ``prot`` is ignored. ``ready`` of an address or of data is high unless one is held already, and
        depends on no input.
    access, answer : Out(stream), In(stream)
        Accesses and their answers, as for :class:`~rtl_gen.bus.bridge.Bridge`.
    """

    clock, reset, active_low = "aclk", "aresetn", True
    """Names of the clock and of the reset beside this port, and whether the reset is active low."""

    bus: ClassVar[dict[str, wiring.Member]] = {f"s_axi_{name}": member for name, member in _CHANNELS.items()}
    """Members of the bus, by the names of the ports."""

    def __init__(self):
        super().__init__({**self.bus, "access": Out(stream.Signature(access_layout)), "answer": In(stream.Signature(answer_layout))})

    def elaborate(self, platform):
        m = Module()
        access, answer = self.access, self.answer
        write_address, read_address = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        held = {name: Signal(name=f"{name}_held") for name in ("aw", "w", "ar")}
        taken = {name: Signal(name=f"{name}_taken") for name in held}
        data, strobes = Signal(32), Signal(4)
        names = ("write_waits", "read_waits", "writes", "wrote", "open", "begins", "ended")
        write_waits, read_waits, writes, wrote, open_, begins, ended = (Signal(name=name) for name in names)

        # Each channel holds one item until its access begins.
        for name, each in held.items():
            m.d.comb += [getattr(self, f"s_axi_{name}ready").eq(~each), taken[name].eq(getattr(self, f"s_axi_{name}valid") & ~each)]
            ends = begins & (~writes if name == "ar" else writes)
            m.d.sync += each.eq(taken[name] | (each & ~ends))
        with m.If(taken["aw"]):
            m.d.sync += write_address.eq(self.s_axi_awaddr)
        with m.If(taken["w"]):
            m.d.sync += [data.eq(self.s_axi_wdata), strobes.eq(self.s_axi_wstrb)]
        with m.If(taken["ar"]):
            m.d.sync += read_address.eq(self.s_axi_araddr)

        # An access begins once the response before it of its own kind has been taken, so that its answer never waits.
        m.d.comb += [
            write_waits.eq(held["aw"] & held["w"] & ~self.s_axi_bvalid),
            read_waits.eq(held["ar"] & ~self.s_axi_rvalid),
            writes.eq(write_waits & ~(read_waits & wrote)),
            access.valid.eq((write_waits | read_waits) & ~open_),
            begins.eq(access.valid & access.ready),
            access.payload.write.eq(writes),
            access.payload.address.eq(Mux(writes, write_address, read_address)),
            access.payload.strobes.eq(strobes),
            access.payload.data.eq(data),
            answer.ready.eq(open_),
            ended.eq(answer.valid & answer.ready),
        ]
        m.d.sync += [
            open_.eq(begins | (open_ & ~ended)),
            self.s_axi_bvalid.eq((ended & wrote) | (self.s_axi_bvalid & ~self.s_axi_bready)),
            self.s_axi_rvalid.eq((ended & ~wrote) | (self.s_axi_rvalid & ~self.s_axi_rready)),
        ]
        with m.If(begins):
            m.d.sync += wrote.eq(writes)
        response = Cat(0, answer.payload.error)  # OKAY or SLVERR
        with m.If(ended & wrote):
            m.d.sync += self.s_axi_bresp.eq(response)
        with m.If(ended & ~wrote):
            m.d.sync += [self.s_axi_rresp.eq(response), self.s_axi_rdata.eq(answer.payload.data)]
        return m
