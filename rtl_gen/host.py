"""The core's interface to the host: a stream of requests, settings, commands, and registers to read."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Member, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.learner import MAX_CYCLES, LearnerSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.registers import MAGIC, Command, Memory, Status, address_range, adjustable_periods, memory_number_bits, register_map
from python_ref.spec.schedule import MAX_PERIOD
from rtl_gen.registers import HALF, Capture, Counter, RegisterFile
from rtl_gen.slot import delayed

__all__ = ["HostPort", "file_depth", "gradient_exponent", "register_file", "request_layout"]

request_layout = data.StructLayout({"write": unsigned(1), "address": unsigned(8), "data": unsigned(32)})
"""Layout of a request that writes or reads a 32-bit word of a register. Each read is answered by one word, in order."""


def file_depth(spec: LearningSpec) -> int:
    """Number of words of the memory that holds a core's registers."""
    return 1 << max(register.address + register.words - 1 for register in register_map(spec).values()).bit_length()


def register_file(spec: LearningSpec) -> RegisterFile:
    """Return the register file of a design's core, with all readable registers except ``status`` and ``data``."""
    at = {name: register.address for name, register in register_map(spec).items()}
    lanes = spec.hardware.lanes
    counters = [
        Counter("steps", at["steps"], rare=True, restarts=True),
        Counter("updates", at["updates"], rare=True, restarts=True),
        *([Counter("correct", at["correct"], rare=True)] if "correct" in at else []),
        Counter("writes", at["writes"], most=lanes, wide=True),
        Counter("changed", at["changed"], most=lanes, wide=True),
        Counter("cycles", at["cycles"], wide=True),
    ]
    # Saturations of activations, states, cost changes and errors count once; those of all other casts count per lane, also where lanes
    # share the cast.
    once = {"activation": False, "state": False, "cost_change": True, "error": False}
    every_state = {memory.name.lower() for memory in Memory} - {"parameter", "gradient"}
    absent = every_state - {variable.name for variable in spec.optimizer_state} | ({"gradient"} if spec.direct_update else set())
    for kind in spec.shown_saturations:
        name = f"saturated_{kind}"
        if kind not in absent:
            counters.append(Counter(name, at[name], most=1 if kind in once else lanes, rare=once.get(kind, False)))
    # The costs of a learner are signed, and sign-extended to two words.
    cost, change = 64 if isinstance(spec, LearnerSpec) else spec.cost_format.width, spec.cost_change_format.width
    captures = [
        Capture("cost0", at["cost"], cost, complement=True),
        Capture("cost1", at["cost"] + 2, cost),
        Capture("cost_change", at["cost_change"], 32 if change <= 32 else 64),
    ]
    if spec.hardware.signature:
        captures += [Capture("forward_signature", at["signature"]), Capture("learned_signature", at["signature"] + 1)]
    digest = int(spec.digest, 16)
    contents = {at["magic"]: MAGIC, at["digest"]: digest & 0xFFFFFFFF, at["digest"] + 1: digest >> 32}
    return RegisterFile(counters, captures, contents, depth=file_depth(spec))


def gradient_exponent(spec: LearningSpec, exponent: Value, scaler, array) -> list:
    """Return the statements that give the host's ``exponent`` to the block that scales the gradient; or, where the rate scales the update,
    to the ``array``, and to that block the exponent that is fixed in the core."""
    if not spec.optimizer.scales_update:
        return [scaler.exponent.eq(exponent)]
    return [scaler.exponent.eq(spec.gradient_exponents[1]), array.exponent.eq(exponent)]


def _more_settings(spec: LearningSpec) -> dict[str, Member]:
    """Members of the host port for settings that not every core has: what a learner is told of the outside, and how many frames a sign
    lasts in a network with state."""
    if isinstance(spec, DesignSpec) and spec.segmented:
        return {"hold": Out(range(spec.network.frames + 1), init=spec.unrolled.hold)}
    if not isinstance(spec, LearnerSpec):
        return {}
    outside = spec.outside
    return {
        "settle": Out(range(MAX_CYCLES + 1), init=outside.settle),
        "timeout": Out(range(MAX_CYCLES + 1), init=outside.timeout_cycles),
        "average": Out(range(max(2, outside.average + 1)), init=outside.average),
        "samples": Out(range(MAX_PERIOD + 1), init=outside.samples),
    }


class HostPort(wiring.Component):
    """Executes requests: commands, settings, and accesses to registers and memories (:mod:`python_ref.spec.registers`).

    A request must be stable until it is accepted. A write is accepted ``request_cycles`` cycles after its start, but not before
    the register file has settled after a run; a read is accepted when the register file has its word. A request takes effect three cycles
    after its start, a setting one cycle later. Writes while the core is busy are ignored, except for the command STOP.

    Parameters
    ----------
    spec : LearningSpec
        The design whose registers are accessed.
    read_latency : int
        Cycles from a change of the position in the lanes' memories until ``read_data`` is the word there. A read waits for those beyond
        :attr:`read_cycles`.

    Members
    -------
    request, response : In, Out of stream.Signature
        Requests from the host, and the words that answer its reads.
    train, infer, stop, restart, clear, discard : Out(1)
        Strobes of the commands with these names.
    load : Out(1)
        Strobe: the host writes a parameter.
    count_en : Out(1)
        Strobe: ``data`` is the number of steps of the next run.
    exponent : Out(signed(8))
        Exponent of the learning rate, a setting of the host (``LearningSpec.exponent_at``).
    perturbation_period, sample_period, update_period : Out
        Lengths of the three periods in steps, settings of the host.
    settle, timeout, average, samples : Out
        What a learner is told of the outside, settings of the host (only in a learner).
    hold : Out
        Number of frames that a sign lasts, a setting of the host (only in a network with state).
    data : Out(32)
        Data word of the current request.
    stream_en : Out(1)
        Strobe: ``data`` is the next word of the streams' states.
    lane, memory, address : Out
        Position in the lanes' memories that the host accesses.
    write_en : Out(1)
        Strobe that writes ``data`` to this position.
    read_data : In(32)
        Word at this position, ``read_latency`` cycles after a change of it.
    file_en, file_address : Out
        Strobe and address of a read from the register file.
    file_data, file_low, file_high : In
        Half a word from the register file, with strobes for its low and its high half.
    settled : In(1)
        The register file contains everything that a run counted.
    busy, status : In
        Whether a run is in progress, and the value of register ``status``.
    """

    request_cycles = 6

    read_cycles = 6
    """Least number of cycles from a change of the position, at the end of a request, until a read that follows at once takes its word."""

    def __init__(self, spec: LearningSpec, read_latency: int = read_cycles):
        self.spec = spec
        self.read_latency = read_latency
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
                **_more_settings(spec),
                "busy": In(1),
                "status": In(max(Status).bit_length() if isinstance(spec, LearnerSpec) else 2),
                "lane": Out(range(max(2, spec.hardware.lanes))),
                "memory": Out(memory_number_bits(spec)),
                "address": Out(address_range(spec)),
                "data": Out(32),
                "read_data": In(32),
                "file_address": Out(range(self.file_depth)),
                "file_data": In(HALF),
                "file_low": In(1),
                "file_high": In(1),
                "settled": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # A request is stable until it is accepted in its last cycle, so it need not be stored.
        held, response = self.request.payload, self.response
        begin, standing, last = Signal(), Signal(), Signal()
        m.d.comb += begin.eq(self.request.valid & ~standing & ~response.valid & (self.settled | self.busy))
        first = delayed(m, begin, 1, "first", reset_less=False)
        writing, writable = Signal(), Signal()
        reads = delayed(m, first & ~held.write, max(0, self.read_latency - self.read_cycles), "reads", reset_less=False)
        m.d.sync += [
            standing.eq(begin | standing & ~last),
            self.file_en.eq(reads),
            writing.eq(first & held.write),
            writable.eq(first & held.write & ~self.busy),
        ]
        registers, outside = register_map(self.spec), Signal()
        at = {name: Signal(name=f"at_{name}") for name in registers}
        m.d.sync += [at[name].eq(held.address == register.address) for name, register in registers.items()]
        m.d.sync += outside.eq(held.address >= self.file_depth)
        self._write(m, writing, writable, at, held.data)

        # A write is accepted some cycles after it has taken effect, a read together with its answer.
        written = delayed(m, writing, self.request_cycles - 3, "written", reset_less=False)
        ends, counts = written | self.file_low, Signal()
        m.d.sync += [last.eq(ends), counts.eq(ends & at["data"] & ~self.busy)]
        with m.If(counts):
            m.d.sync += self.address.eq(self.address + 1)
        m.d.comb += [self.request.ready.eq(last), self.data.eq(held.data), self.file_address.eq(held.address)]
        halves = [response.payload[:HALF], response.payload[HALF:]]
        read = [Mux(at["data"], self.read_data[:HALF], 0) | Mux(at["status"], self.status, 0), Mux(at["data"], self.read_data[HALF:], 0)]
        for there, half, value in zip((self.file_low, self.file_high), halves, read, strict=True):
            with m.If(there):
                m.d.sync += half.eq(Mux(outside, 0, self.file_data) | value)
        m.d.sync += response.valid.eq(self.file_high | (response.valid & ~response.ready))
        return m

    def _write(self, m, writing, writable, at, value):
        """Strobes one cycle after ``writable``, and settings another cycle later."""
        short, bits = Signal(2), max(Command).bit_length()
        m.d.sync += [
            short.eq(Cat(value[bits:HALF] == 0, value[HALF:] == 0)),
            self.write_en.eq(writable & at["data"]),
            self.load.eq(writable & at["data"] & (self.memory == Memory.PARAMETER)),
            self.stream_en.eq(writable & at["stream"]),
            self.count_en.eq(writable & at["count"]),
        ]
        for command in Command:
            when = writing if command is Command.STOP else writable
            m.d.sync += getattr(self, command.name.lower()).eq(when & at["command"] & short.all() & (value[:bits] == command))
        names = ("exponent", "address", *sorted(adjustable_periods(self.spec)), *_more_settings(self.spec))
        settings = {name: [(name, value)] for name in names}
        settings["select"] = [("lane", value[:16]), ("memory", value[16 : 16 + len(self.memory)])]
        for register, parts in settings.items():
            with m.If(delayed(m, writable & at[register], 1, f"sets_{register}")):
                m.d.sync += [getattr(self, name).eq(part) for name, part in parts]
