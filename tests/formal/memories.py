# amaranth: UnusedElaboratable=no
"""The memories of the lanes: what is read is what was written last, so that no update is lost, for whichever word of whichever lane."""

from __future__ import annotations

from functools import partial

from amaranth.hdl import Assume, Cat, Module, Mux, ResetSignal, Signal
from amaranth.lib.wiring import In

from python_ref.spec.design import DesignSpec
from python_ref.spec.registers import Memory
from rtl_gen.weight_core import Core
from tests.formal.harness import Bench, Bounded, Property, always, control, opened, whichever
from tests.formal.signs import weights

__all__ = ["PROPERTIES"]


class Passes(Bench):
    """The sequencer and the array of lanes, step after step: a word that is read by a pass is written before it is read again.

    The steps are those of a controller, which may begin the next one six cycles after the outputs of the one before have left, or later;
    here, six cycles after its last slot. Each pass reads every word once; a pass that correlates writes it so many cycles later. What
    is read must be what was written last: no write of the word is on its way then, and every read that correlates is followed by its write
    and by no other before.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.core = Core(spec)
        super().__init__({name: In(1) for name in ("start", "again", "correlate", "second", "both")})

    def state(self, m: Module) -> None:
        sequencer, array, timing = self.core.sequencer, self.core.array, self.core.array.timing
        m.d.comb += Assume(~ResetSignal())  # which loses the write of a word that was read
        m.submodules.sequencer = sequencer
        lane = opened(array.lanes[0])
        inner = opened(array)
        inner.module._named_submodules["lane0"] = (lane.module, None)
        m.submodules.array = inner.module
        m.d.sync += array.slot.eq(sequencer.slot)
        m.d.comb += [array.slot_ahead.eq(sequencer.slot), array.update.eq(1)]
        pair = self._steps(m)
        address, written, enable = (getattr(array.lanes[0], f"parameter_{name}") for name in ("read", "write", "en"))
        # The word that each slot of a pass is for, by counting its slots from the pass's first.
        slots = [array.slot]
        for _ in range(timing.parameter):
            later = Signal.like(array.slot)
            m.d.sync += later.eq(slots[-1])
            slots.append(later)
        words = self.spec.layout.words
        number, first = Signal(range(words + 1)), Signal(range(words + 1))
        reads, own = slots[timing.parameter_read], whichever(m, "word", range(words))
        behind = self.spec.layout.layers[1].first_word if len(self.spec.layout.layers) > 1 else 0
        m.d.comb += first.eq(Mux(reads.begin, 0, Mux(reads.branch & reads.second, behind, number)))
        with m.If(reads.real):
            m.d.sync += number.eq(first + 1)
        here = reads.real & (first == own)
        always(m, ~reads.real | (address == first))
        # Writes of the word that are on their way, by the number of cycles since its read.
        length = timing.parameter - timing.parameter_read
        waiting = Signal(length)
        m.d.sync += waiting.eq(Cat(here & reads.correlate, waiting)[:length])
        writes = enable & (written == own)
        always(m, ~(here & waiting.any()), writes == waiting[-1])
        rounds = Signal(2)
        m.d.sync += rounds.eq(rounds + writes)
        self.reach(m, here & (rounds == 2) & (pair if len(self.spec.layout.layers) > 1 else 1))

    def _steps(self, m: Module) -> Signal:
        """Begin steps: of one pass, or of two; a correlating pass is the first of its step. Whether a step of two passes has ended."""
        sequencer = self.core.sequencer
        busy, kept, since = Signal(), Signal(), Signal(range(8), init=7)
        ends = sequencer.done & ~kept
        twice = self.both if len(self.spec.layout.layers) > 1 else 0
        m.d.comb += [
            Assume(~self.start | (~busy & (since >= 6))),
            *(Assume(~self.start | ~getattr(self, name) | ~self.second) for name in ("both", "correlate")),
            sequencer.start.eq(self.start),
            sequencer.again.eq(kept),
            sequencer.correlate.eq(self.start & self.correlate),
            sequencer.both.eq(self.start & self.both),
            sequencer.second.eq(Mux(self.start, ~self.both, 1)),
            sequencer.perturb.eq(sequencer.second),
            sequencer.forward.eq(1),
        ]
        m.d.sync += [
            busy.eq(self.start | (busy & ~ends)),
            kept.eq(Mux(self.start, twice, kept & ~sequencer.done)),
            since.eq(Mux(ends | busy, 0, Mux(since == 7, 7, since + 1))),
        ]
        ended = Signal()
        m.d.sync += ended.eq(ended | (sequencer.done & kept))
        return ended


class Host(Bench):
    """The host at the memories of the lanes, in any order: a word that is read is the one that was written last at its place."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.array = Core(spec).array
        array = self.array
        names = ("host_lane", "host_memory", "host_address", "host_data")
        super().__init__({"moves": In(1), "write": In(1), **{name: In(getattr(array, name).shape()) for name in names}})

    def state(self, m: Module) -> None:
        spec, array = self.spec, self.array
        m.submodules.array = array
        m.d.comb += [array.host_mode.eq(1), Assume(~ResetSignal())]
        # The host's position and word stay for some cycles; a write comes two cycles after a move or later, and a read needs its time.
        latency = array.host_latency
        age, place = Signal(range(latency + 3)), {}
        m.d.sync += age.eq(Mux(self.moves, 0, Mux(age == latency + 2, age, age + 1)))
        for name in ("host_lane", "host_memory", "host_address", "host_data"):
            place[name] = Signal.like(getattr(self, name), name=name)
            with m.If(self.moves):
                m.d.sync += place[name].eq(getattr(self, name))
            m.d.comb += getattr(array, name).eq(place[name])
        wrote = Signal(range(8), init=7)
        m.d.sync += wrote.eq(Mux(self.write, 0, Mux(wrote == 7, wrote, wrote + 1)))
        stored = spec.formats.weight.width
        lanes, words = spec.hardware.lanes, spec.layout.words
        m.d.comb += [
            Assume(~self.write | ((age >= 2) & ~self.moves)),
            Assume(~self.moves | (wrote >= 2)),
            Assume(place["host_lane"] < lanes),
            Assume(place["host_address"] < words),
            Assume(place["host_memory"] == Memory.PARAMETER),
            array.host_write.eq(self.write),
        ]
        lane, word = whichever(m, "lane", range(lanes)), whichever(m, "word", range(max(2, words)))
        kept, own = Signal(stored), (place["host_lane"] == lane) & (place["host_address"] == word)
        with m.If(self.write & own):
            m.d.sync += kept.eq(place["host_data"])
        shown = own & (age >= latency) & (wrote >= 4 + latency - 3)
        always(m, ~shown | (array.host_read_data[:stored] == kept))
        self.reach(m, shown & (kept == 5))


_GAP = control("no cycles between two passes", "weight_core:Core._gap", "return max(0, written", "return min(0, written", 60)
_MEMORIES, _ADDRESS = "array:CorrelatingArray.memories", "array:CorrelatingArray._address"

PROPERTIES = (
    *(
        Property(
            f"updates of {'-'.join(map(str, spec.network.sizes))} on {spec.hardware.lanes} lanes",
            "array.LaneArray, sequencer.Sequencer",
            partial(Passes, spec),
            Bounded(cycles),
            cycles,
            (
                *faults,
                control("written one word too far", _MEMORIES, '("write", write)', '("write", write - 1)', cycles),
                control(
                    "the next pass goes on behind the last word",
                    _ADDRESS,
                    "Mux(ends_pass(self.spec, slot), first, address + 1)",
                    "address + 1",
                    cycles,
                ),
            ),
        )
        for spec, cycles, faults in (
            (weights((2, 1, 1), 1), 60, (_GAP,)),
            (weights((2, 3), 2), 50, ()),
        )
    ),
    Property(
        "the host at the lanes' memories",
        "array.LaneArray",
        partial(Host, weights((2, 3), 2)),
        Bounded(12),
        12,
        (
            control(
                "written in the other lane",
                _MEMORIES,
                "self.host_write & chosen & (self.host_lane == number)",
                "self.host_write & chosen & (self.host_lane != number)",
                12,
            ),
            control(
                "read at the slot's address",
                _MEMORIES,
                "Mux(self.host_mode, self.host_address, address)",
                "Mux(self.host_mode & self.host_write, self.host_address, address)",
                12,
            ),
        ),
    ),
)
