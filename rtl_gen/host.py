"""The host's side of the core: requests on a stream, settings, commands, and the registers that are read."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import SATURATION_KINDS, DesignSpec
from python_ref.spec.optimizer import Momentum
from python_ref.spec.registers import MAGIC, Command, Memory, adjustable_periods, register_map
from python_ref.spec.schedule import MAX_PERIOD
from rtl_gen.registers import Capture, Counter, RegisterFile

__all__ = ["HostPort", "file_depth", "register_file", "request_layout"]

request_layout = data.StructLayout({"write": unsigned(1), "address": unsigned(8), "data": unsigned(32)})
"""A request: write or read a 32-bit word of a register. A read is answered by one word, in order."""


def file_depth(spec: DesignSpec) -> int:
    """Words of the memory that holds a core's registers."""
    return 1 << max(register.address + register.words - 1 for register in register_map(spec).values()).bit_length()


def register_file(spec: DesignSpec) -> RegisterFile:
    """The registers of a design's core that count or show: all that can be read, but for ``status`` and ``data``."""
    at = {name: register.address for name, register in register_map(spec).items()}
    lanes = spec.hardware.lanes
    counters = [
        Counter("steps", at["steps"], rare=True, restarts=True),
        Counter("updates", at["updates"], rare=True, restarts=True),
        Counter("correct", at["correct"], rare=True),
        Counter("writes", at["writes"], most=lanes, wide=True),
        Counter("changed", at["changed"], most=lanes, wide=True),
        Counter("cycles", at["cycles"], wide=True),
    ]
    # A saturation of a cast that all lanes share counts for each of them.
    once = {"activation": False, "cost_change": True}
    built = {"gradient": not spec.plain, "momentum": isinstance(spec.optimizer, Momentum)}
    for kind in SATURATION_KINDS:
        name = f"saturated_{kind}"
        if built.get(kind, True):
            counters.append(Counter(name, at[name], most=1 if kind in once else lanes, rare=once.get(kind, False)))
    cost, change = spec.cost_format.width, spec.cost_change_format.width
    captures = [
        Capture("cost0", at["cost"], cost),
        Capture("cost1", at["cost"] + 2, cost),
        Capture("cost_change", at["cost_change"], 32 if change <= 32 else 64),
    ]
    if spec.hardware.signature:
        captures += [Capture("forward_signature", at["signature"]), Capture("learned_signature", at["signature"] + 1)]
    digest = int(spec.digest, 16)
    contents = {at["magic"]: MAGIC, at["digest"]: digest & 0xFFFFFFFF, at["digest"] + 1: digest >> 32}
    return RegisterFile(counters, captures, contents, depth=file_depth(spec))


class HostPort(wiring.Component):
    """Registers and commands; see :mod:`python_ref.spec.registers` for what each means.

    A request must stand until it is taken, ``request_cycles`` cycles after it came, or after all that a run counted is in the register
    file. It is decoded while it stands, and acts two cycles after it came. Writes while the core is busy are dropped, but for the command
    STOP.

    Parameters
    ----------
    spec : DesignSpec
        The design.

    Members
    -------
    request, response : In, Out of stream.Signature
        From and to the host.
    train, infer, stop, restart, clear, discard, load : Out(1)
        Commands; a parameter was written.
    count_en : Out(1)
        ``data`` is the number of steps of the next run.
    exponent, *_period : Out
        Settings.
    data : Out(32)
        The request's word.
    stream_en : Out(1)
        It is the next of the streams' states.
    lane, memory, address, write_en, read_data : Out but the last
        Access to the lanes' memories, where it is written; ``read_data`` two cycles after the address.
    file_en, file_address, file_data, settled : Out, Out, In, In
        The register file.
    busy, status : In
        The core runs; its status.
    """

    request_cycles = 2 + RegisterFile.latency

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        period = range(MAX_PERIOD + 1)
        strobes = ("train", "infer", "stop", "restart", "clear", "discard", "load", "count_en", "stream_en", "write_en", "file_en")
        self.file_depth = file_depth(spec)
        super().__init__(
            {
                "request": In(stream.Signature(request_layout)),
                "response": Out(stream.Signature(32)),
                **{name: Out(1) for name in strobes},
                "exponent": Out(signed(8), init=spec.exponent_at(0)),
                "perturbation_period": Out(period, init=spec.schedule.perturbation_period),
                "sample_period": Out(period, init=spec.schedule.sample_period),
                "update_period": Out(period, init=spec.schedule.update_period),
                "busy": In(1),
                "status": In(2),
                "lane": Out(range(max(2, spec.hardware.lanes))),
                "memory": Out(2),
                "address": Out(range(max(2, spec.layout.words))),
                "data": Out(32),
                "read_data": In(32),
                "file_address": Out(range(self.file_depth)),
                "file_data": In(32),
                "settled": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        registers = register_map(self.spec)
        # A request stands until it is taken, in its last cycle, so that it need not be kept.
        held = self.request.payload
        age = Signal(range(self.request_cycles + 1))
        first, last = age == 1, age == self.request_cycles
        writing, writable = Signal(), Signal()
        at = {name: Signal(name=f"at_{name}") for name in registers}
        m.d.sync += [at[name].eq(held.address == register.address) for name, register in registers.items()]
        with m.If(age.any()):
            m.d.sync += age.eq(Mux(last, 0, age + 1))
        with m.Elif(self.request.valid & ~self.response.valid & (self.settled | self.busy)):
            m.d.sync += age.eq(1)
        m.d.comb += [
            self.request.ready.eq(last),
            self.data.eq(held.data),
            self.write_en.eq(writable & at["data"]),
            self.load.eq(self.write_en & (self.memory == Memory.PARAMETER)),
            self.stream_en.eq(writable & at["stream"]),
            self.count_en.eq(writable & at["count"]),
            self.file_address.eq(held.address),
        ]
        m.d.sync += [
            self.file_en.eq(first & ~held.write),
            writing.eq(first & held.write),
            writable.eq(first & held.write & ~self.busy),
        ]
        self._command(m, writing, writable, at["command"], held.data)
        for name in ("exponent", "address", *sorted(adjustable_periods(self.spec))):
            with m.If(writable & at[name]):
                m.d.sync += getattr(self, name).eq(held.data)
        with m.If(writable & at["select"]):
            m.d.sync += [self.lane.eq(held.data[:16]), self.memory.eq(held.data[16:18])]
        with m.If(last & at["data"] & ~self.busy):
            m.d.sync += self.address.eq(self.address + 1)

        with m.If(self.response.valid & self.response.ready):
            m.d.sync += self.response.valid.eq(0)
        with m.If(last & ~held.write):
            m.d.sync += [self.response.valid.eq(1), self.response.payload.eq(self._answer(at, held.address))]
        return m

    def _command(self, m, writing, writable, addressed, value):
        short, bits = Signal(), max(Command).bit_length()
        m.d.sync += short.eq(value[bits:] == 0)
        for command in Command:
            when = writing if command is Command.STOP else writable
            given = Signal(name=f"is_{command.name.lower()}")
            m.d.sync += given.eq(short & (value[:bits] == command))
            m.d.comb += getattr(self, command.name.lower()).eq(when & addressed & given)

    def _answer(self, at, address):
        """The word at an address; 0 where there is none."""
        in_file = Mux(address >= self.file_depth, 0, self.file_data)
        return Mux(at["data"], self.read_data, Mux(at["status"], self.status, in_file))
