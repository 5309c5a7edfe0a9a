# amaranth: UnusedElaboratable=no
"""A core with its serial link, as real and virtual boards contain it."""

from __future__ import annotations

from amaranth.hdl import DomainRenamer, Module, ResetInserter, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec
from rtl_gen.core import Core, core_of
from rtl_gen.emit import cleaned
from rtl_gen.learner.relay import RelayedLearner
from rtl_gen.presentation.core import NodeCore
from rtl_gen.serial.framing import Framing
from rtl_gen.serial.uart import Receiver
from rtl_gen.toolchain.verilog import component_verilog

__all__ = ["LinkedCore", "emit_linked"]

RESET_CYCLES = 32
"""Cycles for which a frame RESET resets the core. Registers of pipelines have no reset: a word that is in flight has to leave them, in up
to 16 cycles, or the next run counts it, adds it to its signature, or waits for ever."""


def _behind_a_line(spec: LearningSpec) -> Core | NodeCore | RelayedLearner:
    """Return the core of a design; a learner has the registers of its outside, since the host is that."""
    match spec:
        case LearnerSpec():
            return RelayedLearner(spec)
        case DesignSpec():
            return core_of(spec)
        case _:
            raise unknown("Design", spec, "rtl_gen.serial.linked")


class LinkedCore(wiring.Component):
    """A core that a host controls by frames over a serial line; see :mod:`python_ref.spec.frames`.

    Parameters
    ----------
    spec : LearningSpec
        The design of the core.
    divisor : int
        Clock cycles per bit of the line, at least 4 where the host has its own clock.
    core_domain : str
        Clock domain of the core: ``sync``, or one with the same clock and no reset, so that a single register resets all registers of
        the core. That reset lasts some cycles longer than the reset of ``sync``.

    Members
    -------
    rx, tx : In(1), Out(1)
        The line: 8 bits, no parity, one stop bit, high while idle. ``rx`` may be asynchronous to the clock.
    busy : Out(1)
        A run is in progress.

    Attributes
    ----------
    core : Core, NodeCore or RelayedLearner
        The core, which a frame RESET resets.
    uart : Receiver
        Receiver of bytes from the line; the transmitter is part of ``framing``.
    framing : Framing
        Protocol engine between the bytes and the core's streams.
    """

    def __init__(self, spec: LearningSpec, *, divisor: int, core_domain: str = "sync"):
        self.spec = spec
        self.divisor = divisor
        self.core_domain = core_domain
        self.core = _behind_a_line(spec)
        self.uart = Receiver(divisor)
        self.framing = Framing(spec, divisor)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        core, uart, framing = self.core, self.uart, self.framing
        m.submodules.uart, m.submodules.framing = uart, framing
        # The reset is registered, so that no logic precedes the reset of all registers.
        reset, left = Signal(reset_less=True), Signal(range(RESET_CYCLES))
        m.d.sync += [reset.eq(framing.reset | (left != 0) | ResetSignal()), left.eq(left - (left != 0))]
        with m.If(framing.reset):
            m.d.sync += left.eq(RESET_CYCLES - 1)
        m.submodules.core = DomainRenamer(self.core_domain)(ResetInserter(reset)(core))
        m.submodules.synchronizer = FFSynchronizer(self.rx, uart.i, init=1)
        m.d.comb += [getattr(framing, name).eq(getattr(uart, name)) for name in ("data", "stb", "error")]
        for name in ("request", "response", "sample"):
            wiring.connect(m, getattr(framing, name), getattr(core, name))
        m.d.comb += [self.tx.eq(framing.tx), self.busy.eq(core.busy)]
        return m


def emit_linked(spec: LearningSpec, divisor: int) -> str:
    """Verilog of a core with its serial link, module ``mgd_<name>_linked``. The same design and divisor always give the same text."""
    linked = LinkedCore(spec, divisor=divisor)
    text = component_verilog(linked, f"{spec.module}_linked")
    header = f"// {spec.name}, a core and its serial line of {divisor} cycles per bit, written by mgd-hw.\n// Structure {spec.digest}.\n"
    return header + cleaned(text)
