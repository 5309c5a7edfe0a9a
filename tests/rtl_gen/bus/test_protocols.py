# amaranth: UnusedElaboratable=no
"""The rules of the buses, proven by induction with Yosys's solver for every behaviour of the other end, and not just those simulated."""

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, Cat, ClockDomain, ClockSignal, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.bus import SampleSource
from rtl_gen.bus import axi4lite, bridge, frames, wishbone
from rtl_gen.toolchain.yosys import YosysError, run_yosys
from tests.support.faults import Fault, planted
from tests.support.marks import slow_unless
from tests.support.node_designs import SHAPES

SPEC = SHAPES["one-of-each"]
CORE_CYCLES = 1
"""Longest wait of the core in the proofs, for a request to be taken and for its response; it is free to be shorter."""
LONGEST = 3 + 2 * (1 + CORE_CYCLES)
"""Cycles of the longest access: check, execute, request, response, answer."""


class Bounded(wiring.Component):
    """A core that takes any request, and answers reads, after at most so many cycles; everything else about it is free."""

    def __init__(self, between):
        self.between = between
        super().__init__({"taking": In(1), "answering": In(1)})

    def elaborate(self, platform):
        m = Module()
        request, response = self.between.request, self.between.response
        waited, owed, waits = Signal(range(CORE_CYCLES + 1)), Signal(), Signal(range(CORE_CYCLES + 1))
        m.d.comb += [
            request.ready.eq(request.valid & (self.taking | (waited == CORE_CYCLES))),
            response.valid.eq(owed & (self.answering | (waits == CORE_CYCLES))),
        ]
        m.d.sync += [
            waited.eq(Mux(request.valid & ~request.ready, waited + 1, 0)),
            waits.eq(Mux(owed & ~response.valid, waits + 1, 0)),
            owed.eq((request.valid & request.ready & ~request.payload.write) | (owed & ~(response.valid & response.ready))),
            Assert((waited <= CORE_CYCLES) & (waits <= CORE_CYCLES)),
            Assert(response.ready == owed),
        ]
        return m


class Proof(wiring.Component):
    """The port of a bus, the bridge, and a core that is free; the inputs of the bus are free, but for what its rules forbid."""

    def __init__(self, port, samples):
        self.port, self.samples = port, samples
        self.between = bridge.Bridge(SPEC, samples)
        self.core = Bounded(self.between)
        free = {name: member for name, member in port.bus.items() if member.flow is In}
        given = {"response": In(32), **{name: In(1) for name in ("taking", "answering", "busy", "starved", "empty", "free")}}
        super().__init__({"clk": In(1), **free, **given})

    def elaborate(self, platform):
        m = Module()
        port, between, core = self.port, self.between, self.core
        m.domains.sync = ClockDomain(reset_less=True)
        m.d.comb += ClockSignal().eq(self.clk)
        m.submodules.port, m.submodules.bridge, m.submodules.core = port, between, core
        wiring.connect(m, port.access, between.access)
        wiring.connect(m, port.answer, between.answer)
        m.d.comb += [
            core.taking.eq(self.taking),
            core.answering.eq(self.answering),
            between.response.payload.eq(self.response),
            *(getattr(between, name).eq(getattr(self, name)) for name in ("busy", "starved", "empty")),
            *(getattr(port, name).eq(getattr(self, name)) for name, member in port.bus.items() if member.flow is In),
            between.room.eq(self.free) if self.samples is SampleSource.BUS else between.dropped.eq(self.free),
        ]
        # An access of any kind ends after so many cycles.
        idle, executes = between.access.ready, Signal(range(2 * LONGEST))
        m.d.sync += [executes.eq(Mux(idle, 0, executes + 1)), Assert(executes <= LONGEST)]
        m.d.sync += [Assert(port.answer.ready == ~idle), Assert(idle | ~port.access.valid)]
        self._stays(m, "request", between.request.valid, between.request.ready, between.request.payload)
        self._rules(m)
        return m

    def _stays(self, m, name, valid, ready, payload, *, rule=Assert):
        """What is offered stays the same until it is taken."""
        waited, before = Signal(name=f"{name}_waited"), Signal.like(payload, name=f"{name}_before")
        m.d.sync += [waited.eq(valid & ~ready), before.eq(payload), rule(~waited | (valid & (payload == before)))]

    def _rules(self, m):
        raise NotImplementedError


class AxiProof(Proof):
    """The rules of AXI4-Lite."""

    def __init__(self, samples):
        super().__init__(axi4lite.Axi4LitePort(), samples)

    def _rules(self, m):
        port = self.port

        def channel(name, *payload):
            items = Cat(getattr(port, f"s_axi_{name}{each}") for each in payload)
            return getattr(port, f"s_axi_{name}valid"), getattr(port, f"s_axi_{name}ready"), items

        asks = {"aw": channel("aw", "addr", "prot"), "w": channel("w", "data", "strb"), "ar": channel("ar", "addr", "prot")}
        answers = {"b": channel("b", "resp"), "r": channel("r", "resp", "data")}
        for name, given in asks.items():
            self._stays(m, name, *given, rule=Assume)
        for name, given in answers.items():
            self._stays(m, name, *given)
        # Requests of each kind that are not answered: those held, the one being executed, and the one whose answer is offered.
        open_ = {name: Signal(range(4), name=f"{name}_open") for name in asks}
        writes = Signal()
        with m.If(port.access.valid & port.access.ready):
            m.d.sync += writes.eq(port.access.payload.write)
        for name, (valid, ready, _) in asks.items():
            answer = answers["r" if name == "ar" else "b"]
            m.d.sync += open_[name].eq(open_[name] + (valid & ready) - (answer[0] & answer[1]))
            mine = port.answer.ready & (~writes if name == "ar" else writes)
            m.d.sync += [Assert(open_[name] == (~ready).as_unsigned() + mine + answer[0]), Assert(~answer[0] | (open_[name] != 0))]
        m.d.sync += [Assert((each == axi4lite.OKAY) | (each == axi4lite.SLVERR)) for each in (port.s_axi_bresp, port.s_axi_rresp)]
        # What waits begins as soon as nothing is being executed, and after the other kind has had its turn.
        idle = self.between.access.ready
        write_waits = ~asks["aw"][1] & ~asks["w"][1] & ~answers["b"][0]
        read_waits = ~asks["ar"][1] & ~answers["r"][0]
        m.d.sync += [
            Assert(~idle | (port.access.valid == (write_waits | read_waits))),
            Assert(~(port.access.valid & write_waits & read_waits) | (port.access.payload.write != writes)),
        ]


class WishboneProof(Proof):
    """The rules of Wishbone's classic cycles."""

    def __init__(self, samples):
        super().__init__(wishbone.WishbonePort(), samples)

    def _rules(self, m):
        port = self.port
        selected, answered = port.wb_cyc_i & port.wb_stb_i, port.wb_ack_o | port.wb_err_o
        asked, ends = Signal(), Signal()
        before, held = Signal(49), Signal()
        cycle = Cat(port.wb_adr_i, port.wb_dat_i, port.wb_sel_i, port.wb_we_i)
        begins = port.access.valid & port.access.ready
        m.d.sync += [
            before.eq(cycle),
            held.eq(selected & ~answered),
            Assume(~(held & selected) | (cycle == before)),
            Assert(~(port.wb_ack_o & port.wb_err_o)),
            # Each answer is to the access that this cycle has begun, and each access is answered as soon as it has ended.
            asked.eq(selected & ~answered & (begins | asked)),
            ends.eq(port.answer.valid & port.answer.ready & selected & asked),
            Assert(answered == (selected & ends)),
            # A cycle begins an access as soon as none is being executed.
            Assert(~(selected & self.between.access.ready & ~answered) | begins),
        ]


class BufferProof(wiring.Component):
    """The stream of samples out of the buffer, with a free one into it."""

    def __init__(self, framed):
        self.buffer = frames.FrameBuffer(2, 3, framed=framed)
        super().__init__({"clk": In(1), "word": In(2), **{name: In(1) for name in ("valid", "last", "ready")}, "o": Out(2)})

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.d.comb += ClockSignal().eq(self.clk)
        m.submodules.buffer = buffer = self.buffer
        sample = buffer.sample
        m.d.comb += [
            *(buffer.i.valid.eq(self.valid), buffer.i.payload.word.eq(self.word), buffer.i.payload.last.eq(self.last)),
            *(sample.ready.eq(self.ready), self.o.eq(sample.payload)),
        ]
        waited, before = Signal(), Signal(2)
        # Words that must still leave: of each whole sample all, and none of any other.
        owed, inside = Signal(range(8)), Signal(range(5))
        taken, gone = buffer.i.valid & buffer.i.ready, sample.valid & sample.ready
        ends = self.last if buffer.framed else inside == 2
        right = taken & ends & (inside == 2)
        m.d.sync += [
            waited.eq(sample.valid & ~sample.ready),
            before.eq(sample.payload),
            Assert(~waited | (sample.valid & (sample.payload == before))),
            Assert(~sample.valid | (owed != 0)),
            owed.eq(owed + Mux(right, 3, 0) - gone),
            Assert((buffer.room != 0) == buffer.i.ready),
        ]
        with m.If(taken):
            m.d.sync += inside.eq(Mux(ends, 0, Mux(inside == 4, 4, inside + 1)))
        return m


def prove(top, directory) -> None:
    """Yosys refuses, if an assertion can fail in any number of cycles: none does in the first cycles, nor after as many without."""
    _solve(top, directory, f"-seq 1 -tempinduct -maxsteps {2 * LONGEST}")


def prove_bounded(top, directory, *, cycles: int) -> None:
    """Yosys refuses, if an assertion can fail in the first cycles."""
    _solve(top, directory, f"-seq {cycles}")


def _solve(top, directory, how) -> None:
    (directory / "top.il").write_text(rtlil.convert(top, name="top", emit_src=False), encoding="utf-8")
    prepare = ["read_rtlil top.il", "hierarchy -top top", "proc", "flatten", "memory_map", "async2sync", "chformal -lower", "opt -full"]
    run_yosys([*prepare, f"sat -verify -prove-asserts -set-assumes -set-init-zero {how} top"], directory)


@pytest.mark.parametrize("samples", [pytest.param(each, marks=slow_unless(each is SampleSource.BUS)) for each in SampleSource])
@pytest.mark.parametrize("proof", [WishboneProof, pytest.param(AxiProof, marks=pytest.mark.slow)])
def test_the_rules_of_the_bus(proof, samples, tmp_path):
    prove(proof(samples), tmp_path)


@pytest.mark.parametrize("framed", [False, True])
def test_only_whole_samples_leave_the_buffer(framed, tmp_path):
    """In every behaviour of the first cycles, which are enough for four samples of three words."""
    prove_bounded(BufferProof(framed), tmp_path, cycles=16)


FAULTS = [
    Fault("response dropped before it is taken", "bus.axi4lite:Axi4LitePort.elaborate", "bvalid & ~self.s_axi_bready", "bvalid & 0", "axi"),
    Fault("read data that changes", "bus.axi4lite:Axi4LitePort.elaborate", "with m.If(ended & ~wrote):", "with m.If(ended):", "axi"),
    Fault("reads never have their turn", "bus.axi4lite:Axi4LitePort.elaborate", "~(read_waits & wrote)", "1", "axi"),
    Fault("one response too many", "bus.axi4lite:Axi4LitePort.elaborate", "(each & ~ends)", "each", "axi"),
    Fault("a write that waits for no data", "bus.axi4lite:Axi4LitePort.elaborate", 'held["aw"] & held["w"] &', 'held["aw"] &', "axi"),
    Fault("EXOKAY", "bus.axi4lite:Axi4LitePort.elaborate", "Cat(0, answer.payload.error)", "Cat(answer.payload.error, 0)", "axi"),
    Fault(
        "answer to a cycle given up", "bus.wishbone:WishbonePort.elaborate", "ended & ~given_up & selected", "ended & selected", "wishbone"
    ),
    Fault("answer without a cycle", "bus.wishbone:WishbonePort.elaborate", "answers & ~error & selected", "answers & ~error", "wishbone"),
    Fault("both answers", "bus.wishbone:WishbonePort.elaborate", "answers & ~error & selected", "answers & selected", "wishbone"),
    Fault("a second access", "bus.wishbone:WishbonePort.elaborate", "selected & ~open_ & ~answers", "selected & ~open_", "wishbone"),
    Fault("a hang", "bus.bridge:Bridge.elaborate", "with m.Elif(request.ready):", "with m.Elif(request.ready & self.busy):", "wishbone"),
    Fault("a frame one word short", "bus.frames:FrameBuffer._end", "right & whole & ~long", "right & ~long", "buffer"),
    Fault("a frame one word long", "bus.frames:FrameBuffer._end", "right & whole & ~long", "right & whole", "buffer"),
    Fault("a word withdrawn", "bus.frames:FrameBuffer.elaborate", "fetch | (self.sample.valid & ~self.sample.ready)", "fetch", "buffer"),
    Fault(
        "an early word", "bus.frames:FrameBuffer.elaborate", "fetch.eq((full != 0) &", "fetch.eq(((full != 0) | (index == 2)) &", "buffer"
    ),
]
QUICK_FAULTS = ("response dropped before it is taken", "answer to a cycle given up", "a frame one word short")


@pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.name, marks=slow_unless(fault.name in QUICK_FAULTS)) for fault in FAULTS])
def test_a_planted_fault_breaks_a_rule(fault, tmp_path, monkeypatch):
    planted(fault, monkeypatch.setattr)
    tops = {"axi": AxiProof, "wishbone": WishboneProof}
    top = BufferProof(True) if fault.design == "buffer" else tops[fault.design](SampleSource.BUS)
    with pytest.raises(YosysError, match="proof did fail"):
        prove_bounded(top, tmp_path, cycles=16)
