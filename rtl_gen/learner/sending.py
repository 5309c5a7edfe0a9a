# amaranth: UnusedElaboratable=no
"""The passes of a learner: the slots of a pass, and the queue of its words, which the outside takes at its own pace."""

from __future__ import annotations

from functools import reduce
from operator import and_

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.learner import LearnerSpec
from rtl_gen.probe import shape_of
from rtl_gen.slot import NO_READ_WRITE_CHECK, slot_layout

__all__ = ["PASS_KINDS", "PassSequencer", "WordQueue", "word_layout", "word_stream"]

PASS_KINDS = ("correlate", "perturb", "second", "measured")
"""Fields of a slot that are the same in all slots of a pass."""


def word_layout(spec: LearnerSpec) -> data.StructLayout:
    """Layout of a word on its way to the outside.

    Members
    -------
    value : signed
        Raw θ, θ + sΔ or θ − sΔ.
    index : unsigned
        Number of the quantity, from 0.
    last : unsigned(1)
        The word is the last one of its pass, or of its stream in the pass where there are several.
    error : signed
        Raw err of the node, 0 where the pass updates nothing; only with node currents.
    """
    index = unsigned(max(1, (spec.quantities - 1).bit_length()))
    errors = {"error": shape_of(spec.node_error_format)} if spec.sends_errors else {}
    return data.StructLayout({"value": shape_of(spec.formats.weight), "index": index, "last": unsigned(1), **errors})


def word_stream(spec: LearnerSpec, lane: int) -> stream.Signature:
    """Return the signature of the stream of a lane, whose first index is the lane's number."""
    return stream.Signature(word_layout(spec), payload_init={"index": lane} if lane else None)


class PassSequencer(wiring.Component):
    """Issues the slots of a pass, one in every cycle in which there is room for another word in each queue behind the array.

    Parameters
    ----------
    spec : LearnerSpec
        The learner whose passes are issued.
    room : int
        Number of words of a lane for which there is room in the array and in its queue.

    Members
    -------
    start : In(1)
        Strobe that begins a pass; only when the pass before has ended.
    correlate, perturb, second, measured : In(1)
        Kind of the pass, as in :func:`rtl_gen.slot.slot_layout`, sampled with ``start``.
    taken : In(L)
        Strobe of each lane: a word has left its queue.
    slot : Out(slot_layout(spec))
        The slot; the first one comes ``latency`` cycles after ``start``.
    """

    latency = 2
    """Cycles from ``start`` to the first slot: register the pass, register its slot."""

    def __init__(self, spec: LearnerSpec, *, room: int):
        self.spec = spec
        self.room = room
        strobes = ("start", *PASS_KINDS)
        super().__init__({**{name: In(1) for name in strobes}, "taken": In(spec.hardware.lanes), "slot": Out(slot_layout(spec))})

    def elaborate(self, platform):
        m = Module()
        running, kind = Signal(), Signal(len(PASS_KINDS))
        layout, lanes = self.spec.layout, self.spec.hardware.lanes
        names = ["free"] if lanes == 1 else [f"free{lane}" for lane in range(lanes)]
        index, frees = Signal(range(layout.slots + 1)), [Signal(range(self.room + 1), init=self.room, name=name) for name in names]
        issues, last = Signal(), Signal()
        room = reduce(and_, (free != 0 for free in frees))
        m.d.comb += [issues.eq(running & room), last.eq(index == layout.slots - 1)]
        for lane, free in enumerate(frees):
            has = issues if lane < layout.last_lanes else issues & ~last
            m.d.sync += free.eq(free - has + self.taken[lane])
        with m.If(issues):
            m.d.sync += [index.eq(Mux(last, 0, index + 1)), running.eq(~last)]
        with m.If(self.start):
            m.d.sync += [running.eq(1), kind.eq(Cat(getattr(self, name) for name in PASS_KINDS))]
        m.d.sync += [
            self.slot.valid.eq(issues),
            self.slot.real.eq(issues),
            self.slot.begin.eq(issues & (index == 0)),
            self.slot.last.eq(issues & last),
            Cat(self.slot[name] for name in PASS_KINDS).eq(kind),
        ]
        return m


class WordQueue(wiring.Component):
    """Queue of the words of a lane in a pass, between the array, which never waits, and the outside.

    Parameters
    ----------
    spec : LearnerSpec
        The learner whose words are queued.
    lane : int
        Number l of the lane: its words are those of the quantities l, l + L, l + 2·L, …
    depth : int
        Number of words in the queue, a power of two; the sequencer sees to it that there are never more.

    Members
    -------
    stb, value : In(1), In
        Strobe and raw value of a word.
    error : In
        Raw error of the word, with node currents.
    o : Out(stream.Signature(word_layout(spec)))
        The words for the outside; the first one is valid ``latency`` cycles after ``stb``.
    taken : Out(1)
        Strobe: a word has left the queue.
    apply_stb : Out(1)
        Strobe in the cycle after the transfer of the lane's last word of a pass.
    """

    latency = 3
    """Cycles from ``stb`` to the transfer of a word: write it, read it, register it."""

    def __init__(self, spec: LearnerSpec, lane: int = 0, *, depth: int):
        self.spec = spec
        self.lane = lane
        self.depth = depth
        super().__init__(
            {
                "stb": In(1),
                "value": In(shape_of(spec.formats.weight)),
                **({"error": In(shape_of(spec.node_error_format))} if spec.sends_errors else {}),
                "o": Out(word_stream(spec, lane)),
                "taken": Out(1),
                "apply_stb": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word = self.o.payload
        shape = unsigned(len(word.value) + len(word.error)) if self.spec.sends_errors else word.value.shape()
        m.submodules.words = store = memory.Memory(shape=shape, depth=self.depth, init=[], attrs=NO_READ_WRITE_CHECK)
        write, read = store.write_port(), store.read_port()
        places = range(2 * self.depth)
        tail, head = Signal(places), Signal(places)
        fetches, fetched, moves = Signal(), Signal(), Signal()
        m.d.comb += [
            write.addr.eq(tail),
            write.data.eq(Cat(self.value, self.error) if self.spec.sends_errors else self.value),
            write.en.eq(self.stb),
            read.addr.eq(head),
            read.en.eq(fetches),
            # A word is read once it has been written, and goes on to the output when that is free.
            moves.eq(fetched & (~self.o.valid | self.o.ready)),
            fetches.eq((head != tail) & (~fetched | moves)),
            self.taken.eq(self.o.valid & self.o.ready),
            word.last.eq(word.index == self.lane + (self.spec.layout.words_of(self.lane) - 1) * self.spec.hardware.lanes),
        ]
        m.d.sync += [
            tail.eq(tail + self.stb),
            head.eq(head + fetches),
            fetched.eq(fetches | (fetched & ~moves)),
            self.o.valid.eq(moves | (self.o.valid & ~self.o.ready)),
            self.apply_stb.eq(self.taken & word.last),
        ]
        with m.If(moves):
            m.d.sync += (Cat(word.value, word.error) if self.spec.sends_errors else word.value).eq(read.data)
        with m.If(self.taken):
            m.d.sync += word.index.eq(Mux(word.last, self.lane, word.index + self.spec.hardware.lanes))
        return m
