"""The port of a Wishbone bus, for classic standard cycles of revision B4."""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.bus import ADDRESS_BITS
from rtl_gen.bus.bridge import access_layout, answer_layout

__all__ = ["WishbonePort"]


class WishbonePort(wiring.Component):
    """Turns the cycles of a Wishbone bus into accesses. A cycle ends with ``ack``, or with ``err`` if its access was refused.

    A cycle that the other end gives up is executed all the same, and its answer is dropped.

    Members
    -------
    wb_adr_i, wb_dat_i, wb_sel_i, wb_we_i, wb_cyc_i, wb_stb_i : In
        The bus; ``wb_adr_i`` addresses bytes, and ``wb_sel_i`` matters only in writes.
    wb_dat_o, wb_ack_o, wb_err_o : Out
        The answer, for one cycle.
    access, answer : Out(stream), In(stream)
        Accesses and their answers, as for :class:`~rtl_gen.bus.bridge.Bridge`.
    """

    clock, reset, active_low = "wb_clk_i", "wb_rst_i", False
    """Names of the clock and of the reset beside this port, and whether the reset is active low."""

    bus: ClassVar[dict[str, wiring.Member]] = {
        "wb_adr_i": In(ADDRESS_BITS),
        "wb_dat_i": In(32),
        "wb_sel_i": In(4),
        "wb_we_i": In(1),
        "wb_cyc_i": In(1),
        "wb_stb_i": In(1),
        "wb_dat_o": Out(32),
        "wb_ack_o": Out(1),
        "wb_err_o": Out(1),
    }
    """Members of the bus, by the names of the ports."""

    def __init__(self):
        super().__init__({**self.bus, "access": Out(stream.Signature(access_layout)), "answer": In(stream.Signature(answer_layout))})

    def elaborate(self, platform):
        m = Module()
        access, answer = self.access, self.answer
        names = ("selected", "open", "given_up", "answers", "error", "begins", "ended")
        selected, open_, given_up, answers, error, begins, ended = (Signal(name=name) for name in names)
        m.d.comb += [
            selected.eq(self.wb_cyc_i & self.wb_stb_i),
            access.valid.eq(selected & ~open_ & ~answers),
            access.payload.write.eq(self.wb_we_i),
            access.payload.address.eq(self.wb_adr_i),
            access.payload.strobes.eq(self.wb_sel_i),
            access.payload.data.eq(self.wb_dat_i),
            answer.ready.eq(open_),
            begins.eq(access.valid & access.ready),
            ended.eq(answer.valid & answer.ready),
            self.wb_ack_o.eq(answers & ~error & selected),
            self.wb_err_o.eq(answers & error & selected),
        ]
        m.d.sync += [
            open_.eq(begins | (open_ & ~ended)),
            given_up.eq(open_ & (given_up | ~selected)),
            answers.eq(ended & ~given_up & selected),
        ]
        with m.If(ended):
            m.d.sync += [error.eq(answer.payload.error), self.wb_dat_o.eq(answer.payload.data)]
        return m
