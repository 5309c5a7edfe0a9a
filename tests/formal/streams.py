# amaranth: UnusedElaboratable=no
"""Streams: whatever stalls, no word is lost, doubled, changed or overtaken, and what is offered stays until it is taken.

The words of a stream are numbered as they enter and as they leave. One number is free, so that it stands for each of them: the value with
which that word entered is kept, and it must have that value wherever it is, and when it leaves.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from amaranth.hdl import Assume, Cat, Module, Mux, Signal
from amaranth.lib.wiring import In

from python_ref.spec.hardware import Hardware
from python_ref.spec.learner import LearnerSpec
from rtl_gen.bus.frames import FrameBuffer
from rtl_gen.learner.sending import WordQueue
from rtl_gen.learner.streams import PassEnd, StreamMerger
from rtl_gen.operands import SampleLoader
from tests.formal.harness import Bench, Induction, Opened, Property, always, control, opened, whichever
from tests.formal.signs import ROUNDED
from tests.support.faults import DESIGNS

__all__ = ["PROPERTIES"]


def stays(m: Module, name: str, valid: Any, ready: Any, payload: Any, *, unless: Any = 0) -> None:
    """What is offered and not taken is offered in the next cycle as well, with the same payload."""
    waited, before = Signal(name=f"{name}_waited"), Signal.like(payload, name=f"{name}_before", reset_less=True)
    m.d.sync += [waited.eq(valid & ~ready & ~unless), before.eq(payload)]
    always(m, ~waited | (valid & (payload == before)))


class Numbered:
    """The words of a stream, numbered where they enter and where they leave, modulo 2^bits, and the value of the one with a free number.

    Attributes
    ----------
    inside : Value
        Number of words that have entered and not left.
    behind : Value
        Number of words that leave before the free one.
    present : Value
        The free one has entered and not left.
    value : Signal
        Its value.
    """

    def __init__(self, m: Module, bits: int, enters: Any, value: Any, leaves: Any):
        entered, left, number = Signal(bits, name="entered"), Signal(bits, name="left"), whichever(m, "number", bits)
        self.value = Signal(len(value), name="of_number", reset_less=True)
        m.d.sync += [entered.eq(entered + enters), left.eq(left + leaves)]
        with m.If(enters & (entered == number)):
            m.d.sync += self.value.eq(value)
        self.inside, self.behind = (entered - left)[:bits], (number - left)[:bits]
        self.present = self.behind < self.inside
        self.leaves = leaves & (left == number)
        self.left = left


class Queue(Bench):
    """The queue of a learner's words, into which the array puts words without asking, as many as there is room for."""

    def __init__(self, spec: LearnerSpec, depth: int):
        self.spec, self.depth = spec, depth
        self.queue = WordQueue(spec, depth=depth)
        super().__init__({"stb": In(1), "value": In(self.queue.value.shape()), "ready": In(1)})

    def state(self, m: Module) -> None:
        queue, depth = self.queue, self.depth
        inner = opened(queue)
        store = inner.names["store"]
        look = store.read_port(domain="comb")
        m.submodules.queue = inner.module
        head, tail, fetched = (inner.names[name] for name in ("head", "tail", "fetched"))
        out = queue.o
        m.d.comb += [queue.stb.eq(self.stb), queue.value.eq(self.value), out.ready.eq(self.ready)]
        words = Numbered(m, depth.bit_length() + 1, self.stb, self.value, out.valid & self.ready)
        m.d.comb += Assume(~self.stb | (words.inside < depth))
        stored, offered = (tail - head)[: len(tail)], out.valid
        place = (words.behind - fetched - offered)[: len(words.behind)]
        m.d.comb += look.addr.eq((head + place)[: len(look.addr)])
        at_read = fetched & (words.behind == offered)
        held = Mux(offered & (words.behind == 0), out.payload.value, Mux(at_read, store.read_ports[0].data, look.data))
        stays(m, "o", out.valid, self.ready, out.payload)
        always(m, stored <= depth, words.inside == (stored + fetched + offered)[: len(words.inside)], words.inside <= depth)
        always(m, ~words.present | (held.as_unsigned() == words.value), ~words.leaves | (out.payload.value.as_unsigned() == words.value))
        # The numbers of the quantities, and the end of a pass.
        index = Signal(range(self.spec.quantities))
        last = index == self.spec.quantities - 1
        with m.If(queue.taken):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
        applied = Signal()
        m.d.sync += applied.eq(queue.taken & last)
        always(m, out.payload.index == index, out.payload.last == last, queue.apply_stb == applied, queue.taken == (out.valid & self.ready))
        self.reach(m, words.leaves & words.value.any() & (words.left == depth + 1))


class Buffer(Bench):
    """The buffer of samples from a bus, whose words come one after the other; each two samples are whole before the first one leaves."""

    def __init__(self, words: int):
        self.words = words
        self.buffer = FrameBuffer(3, words, framed=False)
        super().__init__({"valid": In(1), "word": In(3), "ready": In(1)})

    def state(self, m: Module) -> None:
        buffer, words = self.buffer, self.words
        inner = opened(buffer)
        store = inner.names["store"]
        look = store.read_port(domain="comb")
        m.submodules.buffer = inner.module
        full, filled, emptied, index, place = (inner.names[name] for name in ("full", "filled", "emptied", "index", "place"))
        sample = buffer.sample
        m.d.comb += [buffer.i.valid.eq(self.valid), buffer.i.payload.word.eq(self.word), sample.ready.eq(self.ready)]
        enters, leaves = self.valid & buffer.i.ready, sample.valid & self.ready
        numbered = Numbered(m, (2 * words + 1).bit_length() + 1, enters, self.word, leaves)
        stays(m, "sample", sample.valid, self.ready, sample.payload)
        # Words in the store: what is left of the oldest sample, whole samples behind it, and what has come of the next one.
        stored = (full * words - place + index)[: len(numbered.inside)]
        always(m, index < words, place < words, (full != 0) | (place == 0), full <= 2, (full != 2) | (index == 0))
        always(m, emptied == filled ^ full[0], numbered.inside == (stored + sample.valid)[: len(numbered.inside)])
        # The place of the word with the free number, counted from the beginning of the oldest sample.
        ahead = (numbered.behind - sample.valid + place)[: len(numbered.behind)]
        second = ahead >= words
        within = Mux(second, ahead - words, ahead)[: len(index)]
        m.d.comb += look.addr.eq(Cat(within, emptied ^ second))
        offered = sample.valid & (numbered.behind == 0)
        always(m, ~numbered.present | (Mux(offered, sample.payload, look.data) == numbered.value))
        always(m, ~numbered.leaves | (sample.payload == numbered.value))
        always(
            m, buffer.room == 2 * words - Mux(full == 2, 2 * words, Mux(full == 1, words, 0)) - index, (buffer.room != 0) == buffer.i.ready
        )
        always(m, buffer.empty == ((full == 0) & ~sample.valid))
        self.reach(m, numbered.leaves & numbered.value.all() & (numbered.left == 2 * words))


class Frames(Bench):
    """The buffer of samples in frames: right frames leave whole, in order, with their words; wrong ones and those discarded never do."""

    def __init__(self, words: int):
        self.words = words
        self.buffer = FrameBuffer(2, words, framed=True)
        super().__init__({"word": In(2), **{name: In(1) for name in ("valid", "last", "ready", "discard")}})

    def state(self, m: Module) -> None:
        buffer, words = self.buffer, self.words
        inner = opened(buffer)
        m.submodules.buffer = inner.module
        sample = buffer.sample
        m.d.comb += [
            *(buffer.i.valid.eq(self.valid), buffer.i.payload.word.eq(self.word), buffer.i.payload.last.eq(self.last)),
            *(sample.ready.eq(self.ready), buffer.discard.eq(self.discard)),
        ]
        taken, leaves = self.valid & buffer.i.ready, sample.valid & self.ready
        # One word of one right frame, whose numbers are free, must leave as that word of that sample.
        frame, place = whichever(m, "frame", 3), whichever(m, "word_of_frame", range(words))
        m.d.comb += Assume(place < words)
        inside, skipped, frames_in, words_out, frames_out = Signal(4), Signal(), Signal(3), Signal(range(words)), Signal(3)
        candidate, kept = Signal(2), Signal(2)
        value = Mux(inside == place, self.word, candidate)
        right = taken & self.last & (inside == words - 1) & ~skipped & ~self.discard
        with m.If(taken):
            m.d.sync += [
                candidate.eq(value),
                inside.eq(Mux(self.last, 0, Mux(inside == 15, 15, inside + 1))),
                skipped.eq(skipped & ~self.last),
            ]
        with m.If(right):
            m.d.sync += frames_in.eq(frames_in + 1)
            with m.If(frames_in == frame):
                m.d.sync += kept.eq(value)
        with m.If(leaves):
            m.d.sync += words_out.eq(Mux(words_out == words - 1, 0, words_out + 1))
            with m.If(words_out == words - 1):
                m.d.sync += frames_out.eq(frames_out + 1)
        with m.If(self.discard):
            m.d.sync += [frames_out.eq(frames_in), words_out.eq(0), skipped.eq(((inside != 0) | taken) & ~(taken & self.last))]
        stays(m, "sample", sample.valid, self.ready, sample.payload, unless=self.discard)
        always(m, ~sample.valid | (frames_in != frames_out), ~buffer.empty | (frames_in == frames_out))
        always(m, buffer.dropped == (taken & self.last & (inside != words - 1) & ~skipped & ~self.discard))
        always(m, ~(leaves & (frames_out == frame) & (words_out == place)) | (sample.payload == kept))
        self._coming(m, inner, inside, skipped, place, candidate)
        self._stored(m, inner, frames_in, frames_out, words_out, frame, place, kept)
        self.reach(m, leaves & (frames_out == 1) & (words_out == words - 1) & sample.payload.any())

    def _coming(self, m: Module, inner: Opened, inside: Signal, skipped: Signal, place: Signal, candidate: Signal) -> None:
        """Assert what the buffer knows of the frame that is coming, which induction needs: its length, and its word in the store."""
        index, long, filled = (inner.names[name] for name in ("index", "long", "filled"))
        look = inner.names["store"].read_port(domain="comb")
        m.d.comb += look.addr.eq(Cat(place, filled))
        whole = inside >= self.words
        always(m, skipped == inner.names["skipped"], ~skipped | (inside != 0), index < self.words)
        always(m, skipped | ((index == Mux(whole, self.words - 1, inside)) & (long == whole)))
        always(m, skipped | whole | (inside <= place) | (look.data == candidate))

    def _stored(self, m: Module, inner: Opened, frames_in: Signal, frames_out: Signal, words_out: Signal, *one: Signal) -> None:
        """Assert where the words of right frames are until they leave, which induction needs."""
        frame, place, kept = one
        full, filled, emptied, fetched = (inner.names[name] for name in ("full", "filled", "emptied", "place"))
        offered, payload = self.buffer.sample.valid, self.buffer.sample.payload
        # The next word that is read from the store, and the frame that it belongs to.
        ahead = words_out + offered
        next_frame = (frames_out + (ahead == self.words))[: len(frames_out)]
        always(m, fetched == Mux(ahead == self.words, 0, ahead), full == (frames_in - next_frame)[: len(frames_in)])
        always(m, full <= 2, emptied == filled ^ full[0], (full != 0) | (fetched == 0), words_out < self.words)
        behind = (frame - next_frame)[: len(frame)]
        look = inner.names["store"].read_port(domain="comb")
        m.d.comb += look.addr.eq(Cat(place, emptied ^ behind[0]))
        in_store = (behind < full) & ((behind != 0) | (place >= fetched))
        always(m, ~in_store | (look.data == kept))
        always(m, ~(offered & (frame == frames_out) & (place == words_out)) | (payload == kept))


class Loader(Bench):
    """The loader of samples: each word goes to its own place, and never into a buffer that is in use or full."""

    def __init__(self, spec: Any):
        self.spec = spec
        self.loader = SampleLoader(spec)
        super().__init__({"valid": In(1), "word": In(spec.sample_width), "take": In(1), "discard": In(1)})

    def state(self, m: Module) -> None:
        spec, loader = self.spec, self.loader
        inner = opened(loader)
        m.submodules.loader = inner.module
        n_in, n_out, buffers = spec.network.record_inputs, spec.network.n_out, spec.sample_buffers
        m.d.comb += [loader.sample.valid.eq(self.valid), loader.sample.payload.eq(self.word)]
        m.d.comb += [loader.take.eq(self.take), loader.discard.eq(self.discard)]
        m.d.comb += [Assume(~self.take | loader.available), Assume(~(self.take & self.discard))]
        transfer = self.valid & loader.sample.ready
        # Words of the sample so far, the buffers that are full, and those whose last word has just come.
        place, full, current, fresh = (
            Signal(range(n_in + n_out)),
            Signal(range(buffers + 1)),
            Signal(range(buffers), init=buffers - 1),
            Signal(),
        )
        completes = transfer & (place == n_in + n_out - 1)
        m.d.sync += [fresh.eq(completes & ~self.discard), full.eq(full + fresh - self.take)]
        with m.If(transfer):
            m.d.sync += place.eq(Mux(completes, 0, place + 1))
        with m.If(self.take):
            m.d.sync += current.eq(Mux(current == buffers - 1, 0, current + 1))
        with m.If(self.discard):
            m.d.sync += [place.eq(0), full.eq(0)]
        whole = Signal(range(2 * buffers + 2))
        m.d.comb += whole.eq(current + 1 + full + fresh)
        here = Mux(whole >= buffers, whole - buffers, whole)
        is_input = place < n_in
        always(m, loader.available == (full != 0), loader.buffer == current)
        always(
            m, loader.input_en == (transfer & is_input), loader.target_en == (transfer & ~is_input), ~transfer | (loader.data == self.word)
        )
        always(m, ~transfer | (loader.address == Mux(is_input, here * n_in + place, here * n_out + place - n_in)))
        always(m, ~transfer | (full + fresh < buffers - 1), ~transfer | (here != current), full + fresh <= buffers - 1)
        self._inside(m, inner, place, current, full, fresh, buffers)
        self.reach(m, completes & (current == 0) & (full == buffers - 2 - spec.kept_samples))

    def _inside(self, m: Module, inner: Opened, place: Any, current: Any, full: Any, fresh: Any, buffers: int) -> None:
        """Assert what the loader's own registers have to do with these counts, which induction needs."""
        n_in, n_out = self.spec.network.record_inputs, self.spec.network.n_out
        names = ("filling", "full", "index", "targets", "is_open", "ends")
        filling, inner_full, index, targets, is_open, ends = (inner.names[name] for name in names)
        begun = Signal(range(2 * buffers + 2))
        m.d.comb += begun.eq(current + 1 + full)
        before = Mux(begun >= buffers, begun - buffers, begun)
        always(m, inner_full == full, targets == (place >= n_in), index == Mux(targets, place - n_in, place), filling == before)
        always(m, ends == (place == Mux(targets, n_in + n_out, n_in) - 1), current < buffers, place < n_in + n_out)
        always(m, ~is_open | (full + fresh < buffers - 1), ~(is_open & fresh))


class Merger(Bench):
    """The words of all lanes in one stream: each lane in its turn, and no word without its transfer."""

    def __init__(self, spec: LearnerSpec):
        self.spec = spec
        self.merger = StreamMerger(spec)
        lanes, word = range(spec.hardware.lanes), self.merger.o.payload.shape()
        super().__init__({f"word{lane}": In(word) for lane in lanes} | {f"valid{lane}": In(1) for lane in lanes} | {"ready": In(1)})

    def state(self, m: Module) -> None:
        spec, merger, lanes = self.spec, self.merger, self.spec.hardware.lanes
        inner = opened(merger)
        m.submodules.merger = inner.module
        ins = [getattr(merger, f"i{lane}") for lane in range(lanes)]
        m.d.comb += merger.o.ready.eq(self.ready)
        number = Signal(range(spec.quantities))  # of the word that is due
        transfer = merger.o.valid & self.ready
        for lane, each in enumerate(ins):
            m.d.comb += [each.valid.eq(getattr(self, f"valid{lane}")), each.payload.eq(getattr(self, f"word{lane}"))]
            due = Signal(name=f"due{lane}")
            m.d.comb += due.eq(Cat(number == place for place in range(lane, spec.quantities, lanes)).any())
            # A lane gives its words in their order.
            m.d.comb += Assume(~(due & each.valid) | (each.payload.index == number))
            given = each.valid & each.ready
            always(m, given == (transfer & due), ~given | (merger.o.payload.value == each.payload.value))
        always(m, ~transfer | (merger.o.payload.index == number), ~transfer | (merger.o.payload.last == (number == spec.quantities - 1)))
        with m.If(transfer):
            m.d.sync += number.eq(Mux(number == spec.quantities - 1, 0, number + 1))
        turn = inner.names["turn"]
        always(m, number < spec.quantities, *(~(number == place) | (turn == place % lanes) for place in range(spec.quantities)))
        self.reach(m, transfer & merger.o.payload.last)


class Ends(Bench):
    """The end of a pass whose streams end at their own pace: once, in the cycle of the last of them."""

    def __init__(self, count: int):
        self.count = count
        self.end = PassEnd(count)
        super().__init__({"ends": In(count)})

    def state(self, m: Module) -> None:
        inner = opened(self.end)
        m.submodules.end = inner.module
        m.d.comb += self.end.ends.eq(self.ends)
        # Each stream ends once in a pass, and a pass begins when the one before has ended.
        ended = [Signal(2, name=f"passes{lane}") for lane in range(self.count)]
        done = Signal(2)
        m.d.sync += done.eq(done + self.end.o)
        has_ended = inner.names["ended"]
        for lane, passes in enumerate(ended):
            m.d.sync += passes.eq(passes + self.ends[lane])
            m.d.comb += Assume(~self.ends[lane] | (passes == done))
            always(m, has_ended[lane] == (passes != done), (passes == done) | (passes == (done + 1)[:2]))
        always(m, self.end.o == Cat((passes + self.ends[lane])[:2] == (done + 1)[:2] for lane, passes in enumerate(ended)).all())
        self.reach(m, self.end.o & (done == 1))


QUEUED = replace(ROUNDED, hardware=Hardware(1))
"""A learner of one lane, whose queue is proved at a small depth."""

_QUEUE, _MERGER, _BUFFER, _LOADER = (
    "learner.sending:WordQueue.elaborate",
    "learner.streams:StreamMerger.elaborate",
    "bus.frames:FrameBuffer",
    "operands:SampleLoader.elaborate",
)
_QUEUES = (
    control("a word is lost in a stall", _QUEUE, "fetched & (~self.o.valid | self.o.ready)", "fetched", 12),
    control("a word comes twice", _QUEUE, "head.eq(head + fetches)", "head.eq(head + (fetches & self.o.ready))", 12),
    control("a word changes places with its neighbour", _QUEUE, "read.addr.eq(head)", "read.addr.eq(head ^ 1)", 12),
    control("a word is withdrawn", _QUEUE, "moves | (self.o.valid & ~self.o.ready)", "moves", 12),
)
_WITHDRAWN = control("a word is withdrawn", f"{_BUFFER}.elaborate", "fetch | (self.sample.valid & ~self.sample.ready)", "fetch", 16)
_ONE_FULL = control("a third sample over the first", f"{_BUFFER}.elaborate", "full != BUFFERED_SAMPLES)", "full != 3)", 16)

PROPERTIES = (
    *(
        Property(f"queue of {depth} words", "learner.sending.WordQueue", partial(Queue, QUEUED, depth), Induction(2), 20, _QUEUES)
        for depth in (2, 4)
    ),
    *(
        Property(
            f"buffer of 2 samples of {words} words",
            "bus.frames.FrameBuffer",
            partial(Buffer, words),
            Induction(2),
            20,
            (
                _WITHDRAWN,
                _ONE_FULL,
                control("the samples change places", f"{_BUFFER}.elaborate", "emptied.eq(emptied ^ release)", "emptied.eq(emptied)", 16),
            ),
        )
        for words in (2, 3)
    ),
    *(
        Property(
            f"frames of {words} words of an AXI4-Stream",
            "bus.frames.FrameBuffer",
            partial(Frames, words),
            Induction(2),
            16,
            (
                _WITHDRAWN,
                control("a frame one word short", f"{_BUFFER}._end", "right & whole & ~long", "right & ~long", 16),
                control("the rest of a discarded frame", f"{_BUFFER}._end", "~(taken & ends))]", "0)]", 16),
                control("a discarded half is read", f"{_BUFFER}.elaborate", "index.eq(0), emptied.eq(filled)]", "index.eq(0)]", 16),
            ),
        )
        for words in (2, 3)
    ),
    *(
        Property(
            f"loads of samples, {spec.network.n_in} + {spec.network.n_out} words, {spec.sample_buffers} buffers",
            "operands.SampleLoader",
            partial(Loader, spec),
            Induction(3),
            24,
            (
                control("a word too early for a free buffer", _LOADER, " & ~complete & ~completed", " & ~completed", 24),
                control("a discarded sample goes on", _LOADER, "[index.eq(0), targets.eq(0), ends", "[targets.eq(0), ends", 24),
            ),
        )
        for spec in (DESIGNS["weight"], DESIGNS["in_time_deep"])
    ),
    Property(
        "three streams in one",
        "learner.streams.StreamMerger",
        partial(Merger, ROUNDED),
        Induction(2),
        10,
        (
            control("turns go on without a transfer", _MERGER, "self.o.valid & self.o.ready", "self.o.ready", 10),
            control("a pass goes on with the next lane", _MERGER, "here.last | (turn == lanes - 1)", "turn == lanes - 1", 10),
        ),
    ),
    Property(
        "end of all streams",
        "learner.streams.PassEnd",
        partial(Ends, 3),
        Induction(2),
        8,
        (
            control(
                "what has ended ends the next pass",
                "learner.streams:PassEnd.elaborate",
                "Mux(self.o, 0, ended | self.ends)",
                "ended | self.ends",
                8,
            ),
            control(
                "the first stream ends the pass", "learner.streams:PassEnd.elaborate", "(ended | self.ends).all()", "self.ends.any()", 8
            ),
        ),
    ),
)
