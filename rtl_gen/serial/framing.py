"""Device side of the protocol of :mod:`python_ref.spec.frames`: receive frames, check them, execute each once and in order, answer.

Received bytes are processed bit by bit, since the line is slow. So there is one checksum per direction, and one shift register that holds
a request, a sample word or an answer.
"""

from __future__ import annotations

import zlib
from functools import reduce
from operator import or_

from amaranth.hdl import C, Cat, Module, Mux, ResetInserter, Signal, Value, ValueLike, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from python_ref.spec.frames import (
    CHECK_BYTES,
    ESCAPE,
    FLAG,
    INVERTED,
    MAX_PAYLOAD,
    RING_BYTES,
    SALT,
    SEQUENCE,
    Kind,
    checked,
    words_of_sample,
)
from python_ref.spec.learning import LearningSpec
from rtl_gen.host import request_layout
from rtl_gen.serial.uart import Transmitter
from rtl_gen.slot import NO_READ_WRITE_CHECK, and_or_mux, delayed

__all__ = ["Checksum", "FrameExecutor", "FrameReceiver", "FrameSender", "Framing"]

BITS = 8


def _states(first: str, *others: str) -> dict[str, Signal]:
    """One-hot state registers by name, so that no logic is needed to decode the state."""
    return {name: Signal(name=f"at_{name.lower()}", init=name == first) for name in (first, *others)}


def _move(m: Module, at: dict[str, Signal], moves: list[tuple[str, ValueLike, str]]):
    """Add the transitions (source, condition, target) of a one-hot state machine; conditions of the same source exclude each other."""
    for name, here in at.items():
        entered = [at[source] & condition for source, condition, target in moves if target == name]
        left = [condition for source, condition, _ in moves if source == name]
        m.d.sync += here.eq(Cat(entered).any() | here & ~Cat(left).any())


class Checksum(wiring.Component):
    """CRC-32 of a frame, computed bit by bit.

    Members
    -------
    clear : In(1)
        Strobe that starts a new frame.
    en, bit : In(1)
        Strobe and value of the next bit of the frame.
    o : Out(1)
        Complement of the state's lowest bit. To send the checksum bit by bit, feed the complement of ``o`` back as ``bit``.
    right : Out(1)
        The bits since ``clear`` end with their checksum.
    """

    def __init__(self):
        super().__init__({"clear": In(1), "en": In(1), "bit": In(1), "o": Out(1), "right": Out(1)})

    def elaborate(self, platform):
        m = Module()
        width = CRC32_ISO_HDLC.crc_width
        state = Signal(width, init=_register(SALT))
        taps = int(f"{CRC32_ISO_HDLC.polynomial:0{width}b}"[::-1], 2)
        m.d.comb += [self.o.eq(~state[0]), self.right.eq(state == _register(SALT + checked(b"")))]
        with m.If(self.clear):
            m.d.sync += state.eq(state.init)
        with m.Elif(self.en):
            m.d.sync += state.eq(state[1:] ^ ((state[0] ^ self.bit).replicate(width) & taps))
        return m


def _register(data: bytes) -> int:
    """State of the CRC register after these bytes."""
    return zlib.crc32(data) ^ ((1 << CRC32_ISO_HDLC.crc_width) - 1)


class FrameReceiver(wiring.Component):
    """Buffers the contents of valid frames in order, each frame once.

    Bytes are written into a ring buffer as they arrive, and count only once their frame has proved valid; otherwise they are
    overwritten. A frame that does not fit into the buffer is not valid.

    Members
    -------
    data, stb, error : In
        Byte, strobe and error from :class:`~rtl_gen.serial.uart.Receiver`, at most one byte in 10 cycles.
    expected : Out(range(SEQUENCE))
        Sequence number of the next frame.
    refused : Out(1)
        Strobe: something other than the expected frame arrived.
    reset : Out(1)
        Strobe: a frame RESET arrived, so the buffer is empty and number 0 is next.
    content : Out(stream)
        Bytes of the valid frames, checksums included.
    """

    def __init__(self):
        super().__init__(
            {
                "data": In(BITS),
                "stb": In(1),
                "error": In(1),
                "expected": Out(range(SEQUENCE)),
                "refused": Out(1),
                "reset": Out(1),
                "content": Out(stream.Signature(BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.ring = ring = memory.Memory(shape=unsigned(BITS), depth=RING_BYTES, init=[], attrs=NO_READ_WRITE_CHECK)
        m.submodules.checksum = checksum = Checksum()
        put, get = ring.write_port(), ring.read_port()
        write, after, start, read = (Signal(range(RING_BYTES), name=name) for name in ("write", "after", "start", "read"))
        flag, escape, escaped, taken = (Signal(name=name) for name in ("flag", "escape", "escaped", "taken"))
        some, bad, is_next, is_reset, overflown = (Signal(name=name) for name in ("some", "bad", "is_next", "is_reset", "overflown"))
        right, ended, accept, drop, free = Signal(), Signal(), Signal(), Signal(), Signal(2)
        byte = Signal(BITS)
        m.d.comb += [byte.eq(self.data ^ Mux(escaped, INVERTED, 0)), put.addr.eq(write), put.data.eq(byte), put.en.eq(taken)]
        # A byte is classified in the cycle after its arrival, and a frame evaluated one cycle later; the next byte comes much later.
        is_flag, is_escape = self.data == FLAG, self.data == ESCAPE
        # A reset needs no space, since it must also recover a device whose buffer stays full.
        in_order, whole_reset = Signal(), Signal()
        m.d.sync += [
            in_order.eq(is_next & ~is_reset & ~overflown & ~bad),  # known long before the frame's end
            whole_reset.eq(is_reset & ~bad),
            flag.eq(self.stb & is_flag),
            escape.eq(self.stb & is_escape),
            taken.eq(self.stb & ~is_flag & ~is_escape),
            right.eq(checksum.right),
            after.eq(write + 1),
            free.eq(_differ(after, read)),
            ended.eq(flag),
            accept.eq(flag & right & in_order),
            drop.eq(flag & ~(right & in_order)),
            self.reset.eq(flag & right & whole_reset),
            self.refused.eq(flag & some & ~(right & (in_order | whole_reset))),
        ]
        m.d.comb += checksum.clear.eq(flag)
        self._check(m, checksum, taken, byte)
        with m.If(flag | escape | taken):
            m.d.sync += escaped.eq(escape)
        with m.If(taken):
            m.d.sync += some.eq(1)
            with m.If(~free.any()):
                m.d.sync += overflown.eq(1)
            with m.Else():
                m.d.sync += write.eq(after)
            with m.If(~some):
                m.d.sync += [is_next.eq(byte[: len(self.expected)] == self.expected), is_reset.eq(byte[len(self.expected) :] == Kind.RESET)]
        with m.If(self.error):
            m.d.sync += [some.eq(1), bad.eq(1)]
        with m.If(ended):
            m.d.sync += [some.eq(0), bad.eq(0), overflown.eq(0)]
        with m.If(accept):
            m.d.sync += [start.eq(write), self.expected.eq(self.expected + 1)]
        with m.If(drop):
            m.d.sync += write.eq(start)
        self._offer(m, get, start, read)
        with m.If(self.reset):
            m.d.sync += [write.eq(0), start.eq(0), self.expected.eq(0)]
        return m

    @staticmethod
    def _check(m, checksum, taken, byte):
        """Feed the bits of each byte into the checksum."""
        # A shift register with a one per remaining bit replaces a counter.
        shifted, left = Signal(BITS, reset_less=True), Signal(BITS)
        m.d.comb += [checksum.en.eq(left[0]), checksum.bit.eq(shifted[0])]
        m.d.sync += [shifted.eq(Mux(taken, byte, shifted[1:])), left.eq(Mux(taken, (1 << BITS) - 1, left[1:]))]

    def _offer(self, m, get, start, read):
        """Output the bytes of valid frames from the ring buffer, at most one every four cycles."""
        content, taken, moved, left = self.content, Signal(), Signal(), Signal(2)
        takes = content.valid & content.ready
        # Read data is registered once more, so that no logic follows the memory; ``valid`` would not come earlier without it.
        m.d.comb += [get.addr.eq(read), content.payload.eq(delayed(m, get.data, 1, "read_byte"))]
        m.d.sync += [
            taken.eq(takes),
            moved.eq(taken),
            left.eq(_differ(read, start)),
            content.valid.eq(left.any() & ~(takes | taken | moved)),
        ]
        with m.If(taken):
            m.d.sync += read.eq(read + 1)
        with m.If(self.reset):
            m.d.sync += [read.eq(0), left.eq(0), content.valid.eq(0)]


def _differ(first: Signal, second: Signal) -> Value:
    """Two bits: whether the lower halves of two numbers differ, and whether the upper halves do."""
    middle = len(first) // 2
    return Cat(first[:middle] != second[:middle], first[middle:] != second[middle:])


def _sample_width(spec: LearningSpec) -> int:
    """Width of the sample stream, in bits."""
    words = words_of_sample(spec)
    return max(words.input_width, words.target_width)


class FrameExecutor(wiring.Component):
    """Executes the frames: it writes and reads registers, and forwards samples to the core.

    Parameters
    ----------
    spec : LearningSpec
        The design of the core behind the line.

    Members
    -------
    content : In(stream)
        Bytes of valid frames from :class:`FrameReceiver`.
    request, response, sample : Out, In, Out of streams
        Streams of the core. Bits of a sample word beyond its own format are undefined.
    number : Out(range(SEQUENCE))
        Sequence number of the frame being executed.
    answer, close : Out(1)
        Request to start the answer to the frame, and request to end it.
    data, bit : Out(1)
        Whether there is a byte to send in the answer, and its next bit.
    shift : In(1)
        Strobe: the sender has taken ``bit``.
    answering : In(1)
        The answer has started, and the sender waits for a byte or the end.
    closed : In(1)
        Strobe: the answer has been sent completely.
    """

    def __init__(self, spec: LearningSpec):
        self.spec = spec
        super().__init__(
            {
                "content": In(stream.Signature(BITS)),
                "request": Out(stream.Signature(request_layout)),
                "response": In(stream.Signature(32)),
                "sample": Out(stream.Signature(_sample_width(spec))),
                "number": Out(range(SEQUENCE)),
                "answer": Out(1),
                "close": Out(1),
                "data": Out(1),
                "bit": Out(1),
                "shift": In(1),
                "answering": In(1),
                "closed": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        at = _states("Header", "Count", "Begin", "Fetch", "Shift", "Offer", "Resume", "Response", "Answer", "Skip", "Close")
        content, response = self.content, self.response
        kind, rest, empty, fourth = Signal(2), Signal(range(MAX_PAYLOAD + 1)), Signal(), Signal(2)
        place = Signal(BITS, init=1)  # one-hot position within a byte, so that no logic is needed to decode it
        word, byte = self._shift(m, at, kind)
        is_read, idle = kind == Kind.READ, ~(self.sample.valid | self.request.valid)
        target, padded = self._sample_words(m, at["Offer"] & idle & kind[1], kind)
        self._begin_word(m, at, kind, target, word)
        # A one precedes the bits of a word in the shift register.
        whole, end_of_byte = word[0], place[-1]
        answered, fetched = self.shift & end_of_byte, content.valid & ~empty
        m.d.comb += [
            content.ready.eq(at["Header"] | at["Count"] | at["Skip"] | at["Fetch"] & ~empty),
            response.ready.eq(at["Response"]),
            self.answer.eq(at["Begin"] & is_read | at["Close"]),
            self.data.eq(at["Answer"]),
            self.close.eq(at["Close"]),
        ]
        m.d.sync += empty.eq(rest == 0)
        with m.If(at["Header"]):
            m.d.sync += Cat(self.number, kind).eq(content.payload)
        with m.If(at["Count"]):
            m.d.sync += rest.eq(content.payload)
        with m.Elif(at["Fetch"] & fetched):
            m.d.sync += rest.eq(rest - 1)
        with m.If(at["Fetch"]):
            m.d.sync += byte.eq(content.payload)
        m.d.sync += [
            fourth.eq(fourth + (answered | (at["Skip"] & content.valid))),
        ]
        # The rest of the byte after the last word of a sample is padding.
        moved = and_or_mux(at["Shift"] | self.shift, place.rotate_left(1), place)
        m.d.sync += place.eq(and_or_mux(at["Shift"] & whole & padded, C(place.init, BITS), moved))
        self._offer(m, at["Shift"] & whole, kind)
        _move(
            m,
            at,
            [
                ("Header", content.valid, "Count"),
                ("Count", content.valid, "Begin"),
                ("Begin", ~is_read | self.answering, "Fetch"),
                ("Fetch", empty, "Skip"),
                ("Fetch", fetched, "Shift"),
                ("Shift", whole, "Offer"),
                ("Shift", ~whole & end_of_byte, "Fetch"),
                ("Offer", idle & is_read, "Response"),
                ("Offer", idle & ~is_read, "Resume"),
                ("Resume", place[0], "Fetch"),
                ("Resume", ~place[0], "Shift"),
                ("Response", response.valid, "Answer"),
                ("Answer", answered & fourth.all(), "Resume"),
                ("Skip", content.valid & fourth.all(), "Close"),
                ("Close", self.closed, "Header"),
            ],
        )
        return m

    def _shift(self, m, at, kind):
        """The shift register: a word, which is a request, a sample word or the rest of an answer, and the byte that is shifted into it."""
        payload, address, data = self.request.payload, len(self.request.payload.address), len(self.request.payload.data)
        shifted = Signal(max(address + data, _sample_width(self.spec)) + BITS, reset_less=True)
        word, byte = shifted[:-BITS], shifted[-BITS:]
        with m.If(at["Shift"] | self.shift):
            m.d.sync += shifted.eq(shifted[1:])
        with m.If(at["Response"]):
            m.d.sync += word.eq(Cat(self.response.payload, shifted[len(self.response.payload) + 1 :]))
        m.d.comb += [
            Cat(payload.data, payload.address).eq(word[-address - data :]),
            payload.write.eq(kind == Kind.WRITE),
            self.bit.eq(word[0]),
        ]
        return word, byte

    def _begin_word(self, m, at, kind, target, word):
        """Set the word to a single one, as many bits from its end as the word will have; a sample word may continue in the next frame."""
        payload, sample = self.request.payload, words_of_sample(self.spec)
        address, data = len(payload.address), len(payload.data)
        begun = Signal()
        with m.If(at["Shift"]):
            m.d.sync += begun.eq(kind[1] & ~word[0])
        lengths = [
            (kind == Kind.WRITE, address + data),
            (kind == Kind.READ, address),
            (kind[1] & ~target, sample.input_width),
            (kind[1] & target, sample.target_width),
        ]
        # This holds for every kind of frame, since an empty frame that only queries the state may come in between.
        with m.If(at["Resume"] | at["Begin"] & ~begun):
            m.d.sync += word.eq(reduce(or_, (Mux(condition, C(1 << length - 1, len(word)), 0) for condition, length in lengths)))
        bits = [word[-width:] for width in (sample.input_width, sample.target_width)]
        low = min(len(each) for each in bits)
        m.d.comb += self.sample.payload.eq(Cat(Mux(target, bits[1][:low], bits[0][:low]), max(bits, key=len)[low:]))

    def _sample_words(self, m, advance, kind):
        """Whether the next word of the sample stream is a target, and whether it is the last one of its sample."""
        sample = words_of_sample(self.spec)
        n_in, n_out = sample.inputs, sample.targets
        index, target, at_end = Signal(range(max(2, n_in, n_out))), Signal(), Signal()
        m.d.sync += at_end.eq(index == Mux(target, n_out - 1, n_in - 1))
        with m.If(advance):
            m.d.sync += index.eq(index + 1)
            with m.If(at_end):
                m.d.sync += [index.eq(0), target.eq(~target)]
        return target, target & at_end & kind[1]

    def _offer(self, m, whole, kind):
        """Offer a complete word to the core."""
        for port, chosen in ((self.sample, kind[1]), (self.request, ~kind[1])):
            m.d.sync += port.valid.eq((whole & chosen) | (port.valid & ~port.ready))


class FrameSender(wiring.Component):
    """Sends the answers of the receiver and the executor over the line.

    Parameters
    ----------
    divisor : int
        Clock cycles per bit of the line.

    Members
    -------
    refused, reset : In(1)
        Strobes that request an answer EXPECT or RESET as soon as possible; a reset aborts the answer being sent.
    expected, number : In(range(SEQUENCE))
        Sequence number of the next frame, for these answers, and that of the frame being executed.
    answer, close, data, bit, shift, answering, closed
        Connections to :class:`FrameExecutor`, described there.
    o : Out(1)
        The transmit line, high while idle.
    """

    def __init__(self, divisor: int):
        self.divisor = divisor
        super().__init__(
            {
                "refused": In(1),
                "reset": In(1),
                "expected": In(range(SEQUENCE)),
                "number": In(range(SEQUENCE)),
                "answer": In(1),
                "close": In(1),
                "data": In(1),
                "bit": In(1),
                "shift": Out(1),
                "answering": Out(1),
                "closed": Out(1),
                "o": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.line = line = Transmitter(self.divisor)
        m.submodules.checksum = checksum = Checksum()
        at = _states("Idle", "Fill", "Send", "Next", "End")
        refused, reset, own, asked = (Signal(name=name) for name in ("refused", "reset", "own", "asked"))
        # An answer consists of its header, its data and its checksum.
        in_data, checking = Signal(), Signal()
        place, count, full, final = Signal(range(BITS)), Signal(range(CHECK_BYTES)), Signal(), Signal()
        header = Signal(BITS, reset_less=True)
        begin, filled = line.ready & asked, line.shift & full
        takes = at["Fill"] & line.ready & ~line.flag & ~line.shift
        ends_data, last = in_data & (own | self.close), checking & final
        m.d.comb += [
            self.o.eq(line.o),
            # The header register is 0 after the header has been sent.
            line.bit.eq(header[0] | (in_data & self.bit) | (checking & checksum.o)),
            line.send.eq(at["Send"]),
            checksum.bit.eq(line.bit ^ checking),
            checksum.en.eq(line.shift),
            checksum.clear.eq(at["Idle"]),
            self.answering.eq(at["Next"] & in_data & ~own & ~reset),
            self.closed.eq(at["End"] & line.ready & ~own),
        ]
        m.d.sync += [
            asked.eq(at["Idle"] & (refused | reset | self.answer)),
            line.flag.eq((at["Idle"] & begin) | (at["End"] & line.ready)),
            line.shift.eq(takes),
            self.shift.eq(takes & in_data),
            # Both are used no earlier than two cycles after they change.
            full.eq(place == BITS - 1),
            final.eq(count == CHECK_BYTES - 1),
        ]
        with m.If(at["Idle"]):
            # Registered, since the next frame may arrive while its number is being sent.
            m.d.sync += header.eq(Cat(Mux(refused | reset, self.expected, self.number), refused | reset, reset))
            m.d.sync += [own.eq(refused | reset), in_data.eq(0), checking.eq(0), count.eq(0)]
        with m.If(line.shift):
            m.d.sync += [place.eq(place + 1), header.eq(header[1:])]
        with m.If(at["Next"]):
            m.d.sync += [in_data.eq(~checking & ~ends_data), checking.eq(checking | ends_data), count.eq(count + checking)]
        with m.If(at["Idle"] & begin):
            m.d.sync += [refused.eq(0), reset.eq(0)]
        with m.If(self.refused):
            m.d.sync += refused.eq(1)
        with m.If(self.reset):
            m.d.sync += reset.eq(1)
        _move(
            m,
            at,
            [
                ("Idle", begin, "Fill"),
                ("Fill", filled, "Send"),
                ("Send", C(1), "Next"),
                ("Next", (in_data & self.data) | ends_data | (checking & ~last), "Fill"),
                ("Next", last, "End"),
                ("End", line.ready, "Idle"),
            ],
        )
        with m.If(at["Next"] & reset):
            m.d.sync += [here.eq(name == "Idle") for name, here in at.items()]
        return m


class Framing(wiring.Component):
    """Connects a serial line's frames to the streams of a core.

    Parameters
    ----------
    spec : LearningSpec
        The design of the core behind the line.
    divisor : int
        Clock cycles per bit of the line.

    Members
    -------
    data, stb, error : In
        Byte, strobe and error from :class:`~rtl_gen.serial.uart.Receiver`.
    tx : Out(1)
        The line to the host, high while idle.
    request, response, sample : Out, In, Out of streams
        Streams of the core with these names.
    reset : Out(1)
        Strobe that resets the core.
    """

    def __init__(self, spec: LearningSpec, divisor: int):
        self.spec = spec
        self.divisor = divisor
        super().__init__(
            {
                "data": In(BITS),
                "stb": In(1),
                "error": In(1),
                "tx": Out(1, init=1),
                "request": Out(stream.Signature(request_layout)),
                "response": In(stream.Signature(32)),
                "sample": Out(stream.Signature(_sample_width(spec))),
                "reset": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        receiver, executor, sender = FrameReceiver(), FrameExecutor(self.spec), FrameSender(self.divisor)
        m.submodules.receiver, m.submodules.sender = receiver, sender
        reset = Signal()
        m.d.sync += reset.eq(receiver.reset)
        m.submodules.executor = ResetInserter(reset)(executor)
        wiring.connect(m, receiver.content, executor.content)
        for name in ("request", "response", "sample"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(executor, name))
        m.d.comb += [getattr(receiver, name).eq(getattr(self, name)) for name in ("data", "stb", "error")]
        m.d.comb += [getattr(sender, name).eq(getattr(receiver, name)) for name in ("refused", "reset", "expected")]
        m.d.comb += [getattr(sender, name).eq(getattr(executor, name)) for name in ("number", "answer", "close", "data", "bit")]
        m.d.comb += [getattr(executor, name).eq(getattr(sender, name)) for name in ("shift", "answering", "closed")]
        m.d.comb += [self.reset.eq(receiver.reset), self.tx.eq(sender.o)]
        return m
