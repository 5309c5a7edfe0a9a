# amaranth: UnusedElaboratable=no
"""A core at the end of a serial line: what a board, real or virtual, has inside."""

from __future__ import annotations

from amaranth.hdl import DomainRenamer, Module, ResetInserter, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from rtl_gen.core import Core
from rtl_gen.emit import cleaned
from rtl_gen.serial.framing import Framing
from rtl_gen.serial.uart import Receiver
from rtl_gen.toolchain.verilog import component_verilog

__all__ = ["LinkedCore", "emit_linked"]


class LinkedCore(wiring.Component):
    """A core whose registers and samples come in frames over a serial line; see :mod:`python_ref.spec.frames`.

    Parameters
    ----------
    spec : DesignSpec
        The design.
    divisor : int
        Cycles per bit of the line: at least 4 where the host has a clock of its own.
    core_domain : str
        Domain of the core: ``sync``, or one with the same clock and no reset, so that all of the core's registers hang on one register
        that resets them. It is held for a cycle more than ``sync`` is.

    Members
    -------
    rx, tx : In(1), Out(1)
        The line: 8 bits, no parity, one stop bit, high while idle. ``rx`` need not be in step with the clock.
    busy : Out(1)
        A run is under way.

    Attributes
    ----------
    core : Core
        The core; a frame RESET resets it.
    uart : Receiver
        Bytes off the line. What is sent goes through the one in ``framing``.
    framing : Framing
        Frames to the core's streams, and back.
    """

    def __init__(self, spec: DesignSpec, *, divisor: int, core_domain: str = "sync"):
        self.spec = spec
        self.divisor = divisor
        self.core_domain = core_domain
        self.core = Core(spec)
        self.uart = Receiver(divisor)
        self.framing = Framing(spec, divisor)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        core, uart, framing = self.core, self.uart, self.framing
        m.submodules.uart, m.submodules.framing = uart, framing
        # A cycle later, so that no logic stands in front of the reset of all registers.
        reset = Signal(reset_less=True)
        m.d.sync += reset.eq(framing.reset | ResetSignal())
        m.submodules.core = DomainRenamer(self.core_domain)(ResetInserter(reset)(core))
        m.submodules.synchronizer = FFSynchronizer(self.rx, uart.i, init=1)
        m.d.comb += [getattr(framing, name).eq(getattr(uart, name)) for name in ("data", "stb", "error")]
        for name in ("request", "response", "sample"):
            wiring.connect(m, getattr(framing, name), getattr(core, name))
        m.d.comb += [self.tx.eq(framing.tx), self.busy.eq(core.busy)]
        return m


def emit_linked(spec: DesignSpec, divisor: int) -> str:
    """The Verilog of a core at the end of a line: module ``mgd_<name>_linked``. Same design and divisor, same text."""
    linked = LinkedCore(spec, divisor=divisor)
    text = component_verilog(linked, f"{spec.module}_linked")
    header = f"// {spec.name}, a core and its serial line of {divisor} cycles per bit, written by mgd-hw.\n// Structure {spec.digest}.\n"
    return header + cleaned(text)
