"""The buffer of samples in front of a core: a sample reaches the core once all its words are there, and a broken one never does."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.bus import BUFFERED_SAMPLES
from rtl_gen.slot import NO_READ_WRITE_CHECK

__all__ = ["FrameBuffer", "word_layout"]


def word_layout(width: int) -> data.StructLayout:
    """Layout of a word of a sample, and whether the sender says that it is the last of its sample."""
    return data.StructLayout({"word": unsigned(width), "last": unsigned(1)})


class FrameBuffer(wiring.Component):
    """Buffers two samples, stored and then forwarded, one word in and one word out per cycle.

    A sample counts from the cycle after its last word on. With ``framed``, ``last`` must mark the last word of each sample: a frame of
    another length is dropped as a whole. Without, every ``words`` words are a sample, and ``last`` is ignored.

    Parameters
    ----------
    width : int
        Width of a word, in bits.
    words : int
        Number of words of a sample, at least 2.
    framed : bool
        Whether ``last`` separates the samples.

    Members
    -------
    i : In(stream)
        Words of the samples. It is ready unless two whole samples are buffered.
    sample : Out(stream)
        Words of whole samples. ``discard`` withdraws a word that is offered.
    discard : In(1)
        Empty the buffer, for as long as it is high. The rest of a frame that has begun is skipped.
    room : Out
        Number of words that are taken without waiting.
    empty : Out(1)
        No whole sample is buffered, and ``sample`` offers no word.
    dropped : Out(1)
        Strobe: a frame was too short or too long.
    """

    def __init__(self, width: int, words: int, *, framed: bool):
        if words < 2:
            raise ValueError(f"A sample must have 2 words or more, not {words}")
        self.width = width
        self.words = words
        self.framed = framed
        super().__init__(
            {
                "i": In(stream.Signature(word_layout(width))),
                "sample": Out(stream.Signature(width)),
                "discard": In(1),
                "room": Out(range(BUFFERED_SAMPLES * words + 1)),
                "empty": Out(1),
                "dropped": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        places = range(self.words)
        m.submodules.store = store = memory.Memory(
            shape=unsigned(self.width), depth=BUFFERED_SAMPLES << places[-1].bit_length(), init=[], attrs=NO_READ_WRITE_CHECK
        )
        write, read = store.write_port(), store.read_port()
        full, filled, emptied = Signal(range(BUFFERED_SAMPLES + 1)), Signal(), Signal()
        taken, ends, commit, fetch, release = (Signal(name=name) for name in ("taken", "ends", "commit", "fetch", "release"))
        index, place = Signal(places), Signal(places)

        m.d.comb += [
            self.i.ready.eq(full != BUFFERED_SAMPLES),
            taken.eq(self.i.valid & self.i.ready),
            write.addr.eq(Cat(index, filled)),
            write.data.eq(self.i.payload.word),
            self.room.eq(Mux(full == BUFFERED_SAMPLES, 0, Mux(full == 0, BUFFERED_SAMPLES, 1) * self.words - index)),
        ]
        self._end(m, taken, ends, commit, index, write)
        with m.If(taken):
            m.d.sync += index.eq(Mux(ends, 0, Mux(index == places[-1], index, index + 1)))

        # The memory's output register holds the word that is offered.
        m.d.comb += [
            fetch.eq((full != 0) & (~self.sample.valid | self.sample.ready) & ~self.discard),
            release.eq(fetch & (place == places[-1])),
            read.en.eq(fetch),
            read.addr.eq(Cat(place, emptied)),
            self.sample.payload.eq(read.data),
            self.empty.eq((full == 0) & ~self.sample.valid),
        ]
        m.d.sync += [
            self.sample.valid.eq(fetch | (self.sample.valid & ~self.sample.ready)),
            full.eq(full + commit - release),
            filled.eq(filled ^ commit),
            emptied.eq(emptied ^ release),
        ]
        with m.If(fetch):
            m.d.sync += place.eq(Mux(release, 0, place + 1))
        with m.If(self.discard):
            m.d.sync += [self.sample.valid.eq(0), full.eq(0), place.eq(0), index.eq(0), emptied.eq(filled)]
        return m

    def _end(self, m, taken, ends, commit, index, write):
        """Whether the word taken is the last of its frame, and whether it completes a sample."""
        whole = index == self.words - 1
        if not self.framed:
            m.d.comb += [ends.eq(whole), commit.eq(taken & whole & ~self.discard), write.en.eq(taken)]
            return
        long, skipped, right = Signal(), Signal(), Signal()
        m.d.comb += [
            ends.eq(self.i.payload.last),
            right.eq(taken & ends & ~skipped & ~self.discard),
            commit.eq(right & whole & ~long),
            self.dropped.eq(right & ~(whole & ~long)),
            write.en.eq(taken & ~long),
        ]
        with m.If(taken):
            m.d.sync += [long.eq(~ends & (long | whole)), skipped.eq(~ends & skipped)]
        with m.If(self.discard):
            begun = (index != 0) | long | skipped | taken
            m.d.sync += [long.eq(0), skipped.eq(begun & ~(taken & ends))]
