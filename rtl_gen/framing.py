"""The device's side of the frames of :mod:`python_ref.spec.frames`: receive, check, execute once and in order, answer.

Everything behind the received byte goes bit by bit, since the line is that slow: one checksum a direction, one word that is at once a
request, a sample word and an answer.
"""

from __future__ import annotations

import zlib

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, unsigned
from amaranth.lib import enum, memory, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import DesignSpec
from python_ref.spec.frames import CHECK_BYTES, ESCAPE, FLAG, INVERTED, MAX_PAYLOAD, RING_BYTES, SALT, SEQUENCE, Kind, checked
from rtl_gen.host import request_layout
from rtl_gen.slot import NEVER_COLLIDES
from rtl_gen.uart import Transmitter

__all__ = ["Checksum", "Executor", "FrameReceiver", "FrameSender", "Framing"]

BITS = 8


class Part(enum.Enum, shape=2):  # type: ignore[call-arg]
    """Of an answer."""

    HEADER = 0
    DATA = 1
    CHECKSUM = 2


class Checksum(wiring.Component):
    """The checksum of a frame, bit by bit.

    Members
    -------
    clear : In(1)
        Begin a frame.
    en, bit : In(1)
        Take a bit.
    o : Out(1)
        Complement of the lowest bit: fed back as ``bit``, its complement, the checksum comes out bit by bit.
    right : Out(1)
        What was taken ends with its checksum.
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
    """What the register holds after some bytes."""
    return zlib.crc32(data) ^ ((1 << CRC32_ISO_HDLC.crc_width) - 1)


class FrameReceiver(wiring.Component):
    """Keeps the contents of good frames, in order, each once.

    What comes is written into a ring at once, and counts only when its frame has proven good; else its place is used again. A frame for
    which there is no place is no good frame.

    Members
    -------
    data, stb, error : In
        From the line, as :class:`~rtl_gen.uart.Receiver` gives it; at most one byte in 10 cycles.
    expected : Out
        Number of the next frame.
    refused : Out(1)
        Something came that is not it.
    reset : Out(1)
        A frame RESET came: the ring is empty, number 0 is next.
    content : Out(stream)
        Bytes of the good frames, checksums included.
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
        m.submodules.ring = ring = memory.Memory(shape=unsigned(BITS), depth=RING_BYTES, init=[], attrs=NEVER_COLLIDES)
        m.submodules.checksum = checksum = Checksum()
        put, get = ring.write_port(), ring.read_port()
        write, after, start, read = (Signal(range(RING_BYTES), name=name) for name in ("write", "after", "start", "read"))
        flag, escape, escaped, taken, full = (Signal(name=name) for name in ("flag", "escape", "escaped", "taken", "full"))
        some, bad, is_next, is_reset = (Signal(name=name) for name in ("some", "bad", "is_next", "is_reset"))
        good, accept, right, overflown = Signal(), Signal(), Signal(), Signal()
        byte = Signal(BITS)
        m.d.comb += [
            byte.eq(self.data ^ Mux(escaped, INVERTED, 0)),
            put.addr.eq(write),
            put.data.eq(byte),
            put.en.eq(taken),
            good.eq(flag & right),
            # A reset needs no room: it is what frees a device whose ring is full for good.
            accept.eq(good & is_next & ~is_reset & ~overflown),
            self.reset.eq(good & is_reset),
            self.refused.eq(flag & some & ~accept & ~self.reset),
        ]
        # A byte, and what there is to compare, is looked at in the cycle after it came; the next comes much later.
        is_flag, is_escape = self.data == FLAG, self.data == ESCAPE
        m.d.sync += [
            flag.eq(self.stb & is_flag),
            escape.eq(self.stb & is_escape),
            taken.eq(self.stb & ~is_flag & ~is_escape),
            right.eq(checksum.right & ~bad),
            after.eq(write + 1),
            full.eq(after == read),
        ]
        m.d.comb += checksum.clear.eq(flag)
        self._check(m, checksum, taken, byte)
        with m.If(flag | escape | taken):
            m.d.sync += escaped.eq(escape)
        with m.If(taken):
            m.d.sync += some.eq(1)
            with m.If(full):
                m.d.sync += overflown.eq(1)
            with m.Else():
                m.d.sync += write.eq(after)
            with m.If(~some):
                m.d.sync += [is_next.eq(byte[: len(self.expected)] == self.expected), is_reset.eq(byte[len(self.expected) :] == Kind.RESET)]
        with m.If(self.error):
            m.d.sync += [some.eq(1), bad.eq(1)]
        with m.If(flag):
            m.d.sync += [some.eq(0), bad.eq(0), overflown.eq(0)]
            with m.If(accept):
                m.d.sync += [start.eq(write), self.expected.eq(self.expected + 1)]
            with m.Else():
                m.d.sync += write.eq(start)
        self._offer(m, get, start, read)
        with m.If(self.reset):
            m.d.sync += [write.eq(0), start.eq(0), read.eq(0), self.expected.eq(0), self.content.valid.eq(0)]
        return m

    @staticmethod
    def _check(m, checksum, taken, byte):
        """Bits of each byte into the checksum."""
        shifted, left = Signal(BITS, reset_less=True), Signal(range(BITS + 1))
        m.d.comb += [checksum.en.eq(left != 0), checksum.bit.eq(shifted[0])]
        with m.If(taken):
            m.d.sync += [shifted.eq(byte), left.eq(BITS)]
        with m.Elif(left != 0):
            m.d.sync += [shifted.eq(shifted[1:]), left.eq(left - 1)]

    def _offer(self, m, get, start, read):
        """Bytes of good frames out of the ring, each at most every other cycle."""
        content = self.content
        m.d.comb += [get.addr.eq(read), content.payload.eq(get.data)]
        m.d.sync += content.valid.eq((read != start) & ~(content.valid & content.ready))
        with m.If(content.valid & content.ready):
            m.d.sync += read.eq(read + 1)


class Executor(wiring.Component):
    """Does what the frames say.

    Parameters
    ----------
    spec : DesignSpec
        The design.

    Members
    -------
    content : In(stream)
        Bytes of frames, as :class:`FrameReceiver` offers them.
    request, response, sample : Out, In, Out of streams
        The core's. Bits of a sample's word beyond its own format are not defined.
    number : Out
        Of the frame being executed.
    answer, close : Out(1)
        Let the answer to it begin; let it end.
    data, bit : Out(1)
        There is a byte to answer with; its next bit.
    shift : In(1)
        That bit was taken.
    answering : In(1)
        The answer has begun, and waits for a byte or its end.
    closed : In(1)
        It has been sent.
    """

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        super().__init__(
            {
                "content": In(stream.Signature(BITS)),
                "request": Out(stream.Signature(request_layout)),
                "response": In(stream.Signature(32)),
                "sample": Out(stream.Signature(spec.sample_width)),
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
        payload, content = self.request.payload, self.content
        address, data = len(payload.address), len(payload.data)
        word = Signal(max(address + data, self.spec.sample_width), reset_less=True)
        kind, rest, place, count = Signal(2), Signal(range(MAX_PAYLOAD + 1)), Signal(range(BITS)), Signal(range(len(word)))
        byte, before_last, ends, single, empty = Signal(BITS, reset_less=True), Signal.like(count), Signal(), Signal(), Signal()
        target, padded = self._sample_words(m, kind)
        widths = {"input": self.spec.formats.input.width, "target": self.spec.formats.activation.width}
        bits = Mux(kind == Kind.WRITE, address + data, Mux(kind == Kind.READ, address, Mux(target, widths["target"], widths["input"])))
        entries = {address + data - 1: ~kind[1], widths["input"] - 1: kind[1] & ~target}
        entries[widths["target"] - 1] = entries.get(widths["target"] - 1, 0) | kind[1] & target
        shift, whole, done_byte, take = Signal(), Signal(), Signal(), Signal()
        # What the sender says is heard a cycle later; it waits for that.
        shifted, answering, closed = Signal(), Signal(), Signal()
        m.d.sync += [shifted.eq(self.shift), answering.eq(self.answering), closed.eq(self.closed)]
        m.d.sync += [before_last.eq(bits - 2), single.eq(bits == 1), empty.eq(rest == 0)]
        with m.If(shift):
            m.d.sync += ends.eq(count == before_last)
        m.d.comb += [
            payload.address.eq(word[data : data + address]),
            payload.data.eq(word[:data]),
            payload.write.eq(kind == Kind.WRITE),
            self.sample.payload.eq(word),
            self.bit.eq(word[0]),
            whole.eq(ends | single),
            # What follows the last word of a sample in its byte is padding.
            done_byte.eq((place == BITS - 1) | (whole & padded)),
            content.ready.eq(take),
        ]
        with m.If(shift | shifted):
            above = [*word[1:], byte[0]]
            m.d.sync += word.eq(Cat(Mux(entries[i], byte[0], bit) if i in entries else bit for i, bit in enumerate(above)))

        m.d.sync += [self.answer.eq(0), self.close.eq(0), self.data.eq(0)]
        with m.FSM():
            with m.State("Header"):
                m.d.comb += take.eq(1)
                m.d.sync += Cat(self.number, kind).eq(content.payload)
                with m.If(content.valid):
                    m.next = "Count"
            with m.State("Count"):
                m.d.comb += take.eq(1)
                m.d.sync += rest.eq(content.payload)
                with m.If(content.valid):
                    m.next = "Begin"
            with m.State("Begin"):
                m.d.sync += self.answer.eq((kind == Kind.READ) & ~answering)
                with m.If((kind != Kind.READ) | answering):
                    m.next = "Fetch"
            with m.State("Fetch"):
                m.d.comb += take.eq(~empty)
                m.d.sync += byte.eq(content.payload)
                with m.If(empty):
                    m.next = "Skip"
                with m.Elif(content.valid):
                    m.d.sync += rest.eq(rest - 1)
                    m.next = "Shift"
            with m.State("Shift"):
                m.d.comb += shift.eq(1)
                m.d.sync += [place.eq(Mux(done_byte, 0, place + 1)), count.eq(Mux(whole, 0, count + 1)), byte.eq(byte[1:])]
                with m.If(whole):
                    m.d.sync += [self.sample.valid.eq(kind[1]), self.request.valid.eq(~kind[1])]
                    m.next = "Offer"
                with m.Elif(done_byte):
                    m.next = "Fetch"
            with m.State("Offer"), m.If((self.sample.valid & self.sample.ready) | (self.request.valid & self.request.ready)):
                m.d.sync += [self.sample.valid.eq(0), self.request.valid.eq(0)]
                m.next = "Resume"
                with m.If(kind == Kind.READ):
                    m.next = "Response"
            with m.State("Resume"):
                m.next = "Fetch"
                with m.If(place != 0):
                    m.next = "Shift"
            with m.State("Response"):
                m.d.comb += self.response.ready.eq(1)
                with m.If(self.response.valid):
                    m.d.sync += word[: len(self.response.payload)].eq(self.response.payload)
                    m.next = "Answer"
            with m.State("Answer"):
                m.d.sync += self.data.eq(1)
                with m.If(shifted):
                    last = count == len(self.response.payload) - 1
                    m.d.sync += count.eq(Mux(last, 0, count + 1))
                    with m.If(last):
                        m.next = "Fetch"
            with m.State("Skip"):
                m.d.comb += take.eq(1)
                with m.If(content.valid):
                    m.d.sync += place.eq(Mux(place == CHECK_BYTES - 1, 0, place + 1))
                    with m.If(place == CHECK_BYTES - 1):
                        m.next = "Close"
            with m.State("Close"):
                m.d.sync += [self.answer.eq(~closed), self.close.eq(~closed)]
                with m.If(closed):
                    m.next = "Header"
        return m

    def _sample_words(self, m, kind):
        """Whether the next word of the sample stream is a target, and the last of its sample."""
        n_in, n_out = self.spec.network.n_in, self.spec.network.n_out
        index, target, last = Signal(range(max(2, n_in, n_out))), Signal(), Signal()
        m.d.comb += last.eq(target & (index == n_out - 1) & kind[1])
        with m.If(self.sample.valid & self.sample.ready):
            m.d.sync += index.eq(index + 1)
            with m.If(Mux(target, index == n_out - 1, index == n_in - 1)):
                m.d.sync += [index.eq(0), target.eq(~target)]
        return target, last


class FrameSender(wiring.Component):
    """Sends what the receiver and the executor have to say.

    Parameters
    ----------
    divisor : int
        Cycles per bit of the line.

    Members
    -------
    refused, reset : In(1)
        Send an answer EXPECT, or RESET, as soon as may be. A reset ends what is being sent.
    expected, number : In
        Numbers: of the next frame, for these, and of the one being executed.
    answer, close, data, bit, shift, answering, closed
        The executor's, see there.
    o : Out(1)
        The line.
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
        refused, reset, own, asked = (Signal(name=name) for name in ("refused", "reset", "own", "asked"))
        part = Signal(Part)
        place, count = Signal(range(BITS)), Signal(range(CHECK_BYTES))
        header = Signal(BITS, reset_less=True)
        m.d.comb += [
            self.o.eq(line.o),
            line.bit.eq(Mux(part == Part.HEADER, header[0], Mux(part == Part.DATA, self.bit, checksum.o))),
            checksum.bit.eq(line.bit ^ (part == Part.CHECKSUM)),
            checksum.en.eq(line.shift),
            self.shift.eq(line.shift & (part == Part.DATA)),
        ]
        m.d.sync += [asked.eq(0), line.flag.eq(0), line.send.eq(0)]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += checksum.clear.eq(1)
                m.d.sync += asked.eq(refused | reset | self.answer)
                # Kept, since the next frame may come while its number is being sent.
                m.d.sync += [own.eq(refused | reset), part.eq(Part.HEADER), count.eq(0)]
                m.d.sync += header.eq(Cat(Mux(refused | reset, self.expected, self.number), refused | reset, reset))
                with m.If(line.ready & asked):
                    m.d.sync += [line.flag.eq(1), refused.eq(0), reset.eq(0)]
                    m.next = "Fill"
            with m.State("Fill"):
                m.d.sync += line.shift.eq(line.ready & ~line.flag & ~line.shift)
                with m.If(line.shift):
                    m.d.sync += [place.eq(place + 1), header.eq(header[1:])]
                    with m.If(place == BITS - 1):
                        m.next = "Send"
            with m.State("Send"):
                m.d.sync += line.send.eq(1)
                m.next = "Settle"
            with m.State("Settle"):  # until the executor has heard of the byte's last bit
                m.next = "Next"
            with m.State("Next"):
                m.d.comb += self.answering.eq((part == Part.DATA) & ~own & ~reset)
                with m.If(reset):
                    m.next = "Idle"
                with m.Elif(part == Part.HEADER):
                    m.d.sync += part.eq(Part.DATA)
                with m.Elif(part == Part.DATA):
                    with m.If(~own & self.data):
                        m.next = "Fill"
                    with m.Elif(own | self.close):
                        m.d.sync += part.eq(Part.CHECKSUM)
                        m.next = "Fill"
                with m.Else():
                    m.d.sync += count.eq(count + 1)
                    m.next = "Fill"
                    with m.If(count == CHECK_BYTES - 1):
                        m.next = "End"
            with m.State("End"), m.If(line.ready):
                m.d.sync += line.flag.eq(1)
                m.d.comb += self.closed.eq(~own)
                m.next = "Leave"
            with m.State("Leave"):  # until it has heard of the end
                m.next = "Idle"
        with m.If(self.refused):
            m.d.sync += refused.eq(1)
        with m.If(self.reset):
            m.d.sync += reset.eq(1)
        return m


class Framing(wiring.Component):
    """Frames on a line, a core's streams behind them.

    Parameters
    ----------
    spec : DesignSpec
        The design.
    divisor : int
        Cycles per bit of the line.

    Members
    -------
    data, stb, error : In
        Bytes, as :class:`~rtl_gen.uart.Receiver` gives them.
    tx : Out(1)
        The line to the host.
    request, response, sample : Out, In, Out of streams
        The core's.
    reset : Out(1)
        Reset the core.
    """

    def __init__(self, spec: DesignSpec, divisor: int):
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
                "sample": Out(stream.Signature(spec.sample_width)),
                "reset": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        receiver, executor, sender = FrameReceiver(), Executor(self.spec), FrameSender(self.divisor)
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
