"""The host's end of a serial line: a core's registers and sample stream in frames that are repeated until they have arrived.

What is sent waits in a queue; as many frames are under way as the device has room for. Each is executed once and in order, whatever
the line does (:mod:`python_ref.spec.frames`): a frame that the device refuses, or whose answer does not come, is sent again under its
own number. Reads whose answers are lost are asked again under a new one, together with the writes that they depend on.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import Refusal
from python_ref.spec.frames import (
    CHECK_BYTES,
    HEAD_BYTES,
    MAX_PAYLOAD,
    RING_BYTES,
    SEQUENCE,
    WINDOW,
    Answer,
    Decoder,
    Frame,
    Kind,
    Reply,
    pack_samples,
    read_payload,
    stuffed,
    write_payload,
)
from python_ref.spec.registers import MAGIC, Status, register_map

__all__ = ["BAUD", "LinkLost", "Port", "PortError", "SerialLink", "Statistics", "TcpPort", "open_port"]

BAUD = 3_000_000
"""Bits per second of a line, where nothing else is said."""

_ROOM = RING_BYTES - 1 - 64
"""Bytes of frames that may be under way: what the device can keep, less some for frames that only ask where it stands."""

_ANSWER_ROOM = 2048
"""Bytes of answers that may be under way."""

_EMPTY = HEAD_BYTES + CHECK_BYTES
"""Bytes of a frame without a payload."""

_NO_FRAME = stuffed([b"\0"])
"""What no device takes for a frame, and answers by telling which it expects."""

_LONG = (17, 17, 17, 7, 7, 7)
"""Words of long questions that tell how fast the line is; the last are for a line that lets nothing longer through."""

_SMALLEST, _WRITE_BYTES, _READ_BYTES = 24, 5, 1
"""Bytes of a payload, on a line that damages most of what is longer; of a write and of a read."""


class LinkLost(Refusal):
    """A line, or a device at its other end, that is gone or has been reset.

    Parameters
    ----------
    reason : str
        How it was lost, as a sentence without its full stop.
    remedy : str
        What the user can do about it, as a full sentence.
    """


class PortError(Refusal):
    """A port that cannot be opened.

    Parameters
    ----------
    reason : str
        Why it cannot be opened, as a clause.
    remedy : str
        What the user can do about it, as a full sentence.
    """


class Port(Protocol):
    """What is needed of a port; those of pyserial have it."""

    timeout: float | None
    """Seconds that :meth:`read` waits."""

    @property
    def in_waiting(self) -> int:
        """Bytes that have come."""

    def read(self, size: int = 1) -> bytes:
        """As many bytes, or fewer when the time is over."""

    def write(self, data: bytes) -> int | None:
        """Send bytes."""

    def close(self) -> None:
        """Let go of it."""


def require_pyserial() -> None:
    """See that pyserial is there.

    Raises
    ------
    PortError
        If it is not installed.
    """
    try:
        import serial  # noqa: F401
    except ImportError:
        raise PortError("pyserial is not installed", "Run: pip install 'mgd-hw[boards]'.") from None


def open_port(name: str, baud: int = BAUD) -> Port:
    """The port of a link: ``serial:DEVICE`` or ``tcp:HOST:PORT``.

    Parameters
    ----------
    name : str
        The link; a device may have ``@BAUD`` behind it.
    baud : int
        Bits per second where it has not; of no meaning for tcp.

    Raises
    ------
    PortError
        If there is no such port, it is in use, or may not be opened; or pyserial is not installed.
    """
    scheme, _, place = name.partition(":")
    try:
        if scheme == "serial" and place:
            require_pyserial()
            import serial

            device, _, rate = place.partition("@")
            if rate and not rate.isdecimal():
                raise PortError(
                    f"{rate} is not a number of bits per second", "Write serial:DEVICE@BAUD, such as serial:/dev/ttyUSB1@3000000."
                )
            port = serial.Serial(device, int(rate) if rate else baud, timeout=0.0, write_timeout=2.0, exclusive=True)
            _hurry(port)
            return port
        if scheme == "tcp" and place.rpartition(":")[2].isdecimal():
            return TcpPort(place.rpartition(":")[0].strip("[]"), int(place.rpartition(":")[2]))
    except (OSError, ValueError, OverflowError) as error:  # SerialException is an OSError
        raise _port_error(place.partition("@")[0], error) from None
    raise PortError("it is not a link", "Name virtual, serial:DEVICE such as serial:/dev/ttyUSB1, or tcp:HOST:PORT.")


class TcpPort:
    """A port at the other end of a TCP connection.

    Parameters
    ----------
    host : str
        Name or address.
    number : int
        Of the port there.
    """

    def __init__(self, host: str, number: int) -> None:
        self.timeout: float | None = 0.0
        self._socket = socket.create_connection((host, number), timeout=5.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def in_waiting(self) -> int:
        """Bytes that have come."""
        if not select.select([self._socket], [], [], 0)[0]:
            return 0
        return len(self._socket.recv(1 << 16, socket.MSG_PEEK)) or 1  # 1: the next read says that it is closed

    def read(self, size: int = 1) -> bytes:
        """As many bytes as have come, at most ``size``; none when the time is over."""
        if not select.select([self._socket], [], [], self.timeout)[0]:
            return b""
        data = self._socket.recv(size)
        if not data:
            raise ConnectionResetError("the other end has closed the connection")
        return data

    def write(self, data: bytes) -> int:
        """Send bytes."""
        self._socket.sendall(data)
        return len(data)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def _hurry(port: Any) -> None:
    """Ask a USB adapter to pass on what comes within a millisecond, not sixteen; not all can."""
    with contextlib.suppress(AttributeError, NotImplementedError, OSError, ValueError):
        port.set_low_latency_mode(True)


def _port_error(place: str, error: Exception) -> PortError:
    said = str(error)
    if "lock" in said or "Resource temporarily unavailable" in said or getattr(error, "errno", None) == 16:
        return PortError(f"{place} is in use by another program", "End that program, or name another port.")
    if getattr(error, "errno", None) == 13 or "Permission denied" in said:
        return PortError(f"you may not open {place}", "Join the group that owns it (often dialout or uucp), and log in again.")
    if getattr(error, "errno", None) == 2 or "No such file" in said:
        return PortError(f"there is no port {place}", f"Plug the board in, or name one of these: {_ports()}.")
    reason = said.split("\n")[0].rstrip(".")
    return PortError(f"{place} cannot be opened ({reason})", "Name a port that is there and free.")


def _ports() -> str:
    from serial.tools import list_ports

    return ", ".join(sorted(f"serial:{port.device}" for port in list_ports.comports())) or "(no serial port was found)"


@dataclass
class Statistics:
    """What a link has seen so far.

    Attributes
    ----------
    frames : int
        Frames executed.
    repeated : int
        Frames sent more than once, or asked again.
    refused : int
        Times that the device told of a frame that it did not get.
    damaged : int
        Answers that came damaged.
    lost : int
        Answers that did not come.
    sent, received : int
        Bytes.
    """

    frames: int = 0
    repeated: int = 0
    refused: int = 0
    damaged: int = 0
    lost: int = 0
    sent: int = 0
    received: int = 0

    @property
    def errors(self) -> int:
        """Errors of the line that were detected, and mended."""
        return self.refused + self.damaged + self.lost


@dataclass
class _Question:
    """Writes and reads that belong together: asked again as a whole."""

    writes: Sequence[tuple[int, int]]
    addresses: Sequence[int]
    words: tuple[int, ...] | None = None


@dataclass
class _Sent:
    """A frame under way."""

    number: int
    size: int
    line: bytes
    question: _Question | None = None
    answer_size: int = 0
    due: float = 0.0
    received: bool = False


@dataclass
class _Pace:
    """How fast the line is: seconds for a byte, and for a question and its answer beside those of their bytes."""

    byte: float
    turn: float = 0.05
    free: float = field(default=0.0)

    def due(self, now: float, size: int) -> float:
        """When an answer to bytes sent now should have come."""
        self.free = max(now, self.free) + size * self.byte
        return self.free + 1.5 * self.turn + 0.001


class SerialLink:
    """A core at the end of a line, as the :class:`~python_ref.spec.registers.Link` that procedures are written for.

    Writes are gathered, and go with the next read, sample or :meth:`wait_idle`; samples wait for :meth:`wait_idle`, and go while the
    core takes them. So the samples sent before a run must be those of that run.

    Parameters
    ----------
    port : Port
        The line; closed by :meth:`close`.
    spec : DesignSpec
        The core's design.
    baud : int
        Bits per second, as a first guess of its pace.
    silence : float
        Seconds without any answer after which the device is given up.
    patience : float
        Seconds without progress after which its core is.

    Attributes
    ----------
    statistics : Statistics
        What it has seen.

    Raises
    ------
    LinkLost
        If nothing answers.
    """

    def __init__(
        self,
        port: Port,
        spec: DesignSpec,
        *,
        baud: int = BAUD,
        silence: float = 5.0,
        patience: float = 60.0,
        statistics: Statistics | None = None,
    ) -> None:
        self.port = port
        self.spec = spec
        self.silence = silence
        self.patience = patience
        self.statistics = statistics or Statistics()
        self._pace = _Pace(10 / baud)
        self._payload = MAX_PAYLOAD
        self._writes: list[tuple[int, int]] = []
        self._words: list[int] = []
        self._samples: deque[bytes] = deque()
        self._forget()
        self._reset()

    # -- what can go wrong ---------------------------------------------------------------------------------------------

    def lost(self, reason: str) -> LinkLost:
        """The error of a device that does not answer, or not as it should; ``reason`` says how, without its full stop."""
        remedy = (
            f"Load the bitstream of {self.spec.name} into the board, and see that it is built for this --baud and that rx and tx are not "
            "exchanged."
        )
        return LinkLost(reason, remedy)

    @staticmethod
    def _stuck(reason: str) -> Refusal:
        return Refusal(reason, "That is a fault of the core or of its bitstream: `mgd-hw cosim` looks for it.")

    # -- the Link protocol ---------------------------------------------------------------------------------------------

    def write(self, address: int, data: int) -> None:
        """Write a 32-bit word to a register, before the next read or :meth:`wait_idle`."""
        self._writes.append((address, data))

    def read(self, address: int) -> int:
        """Read a register whose reading changes nothing."""
        return self.ask([((), (address,))])[0][0]

    def send(self, words: Sequence[int]) -> None:
        """Queue words for the sample stream."""
        self._words += words
        row = self.spec.network.n_in + self.spec.network.n_out
        whole = len(self._words) // row * row
        if whole:
            self.send_packed(pack_samples(self.spec, np.array(self._words[:whole], dtype=np.int64).reshape(-1, row)))
            del self._words[:whole]

    def wait_idle(self) -> None:
        """Send all that is queued; return when the core is idle.

        Raises
        ------
        Refusal
            If it takes no samples, or ends no step, for too long.
        LinkLost
            If the device is gone.
        """
        self.flush()
        registers = register_map(self.spec)
        status, steps = registers["status"].address, registers["steps"].address
        pause, before, since = 0.0005, -1, time.monotonic()
        while True:
            ((state, done),) = self.ask([((), (status, steps))])
            if not state & Status.BUSY:
                return
            now = time.monotonic()
            if done != before:
                before, since = done, now
            elif now - since > self.patience:
                raise self._stuck(f"The core is busy, and for {self.patience:g} s has ended no step after {done:,}")
            time.sleep(pause)
            pause = min(2 * pause, 0.05)

    # -- and what goes beyond it ---------------------------------------------------------------------------------------

    def send_packed(self, data: bytes) -> None:
        """Queue samples as :func:`~python_ref.spec.frames.pack_samples` gives them."""
        if data:
            self._samples.append(data)

    def flush(self) -> None:
        """Send all that is queued: writes first, then samples; return when they are executed."""
        self._put_writes()
        while self._samples:
            data = memoryview(self._samples.popleft())
            while data:
                size = self._payload
                self._put(Kind.SAMPLES, bytes(data[:size]))
                data = data[size:]
        self._settle()

    def ask(self, questions: Iterable[tuple[Sequence[tuple[int, int]], Sequence[int]]]) -> list[tuple[int, ...]]:
        """Answers to questions: pairs of writes (address, data) and of addresses then read.

        All that belongs to a question is asked again when its answer is lost, so that what is read may depend on what is written,
        and on nothing else: to read a word of a memory, write ``select`` and ``address`` first.

        Raises
        ------
        LinkLost
            If the device is gone.
        """
        self._put_writes()
        asked = [_Question(tuple(writes), tuple(addresses)) for writes, addresses in questions]
        for question in asked:
            self._put_question(question)
        while any(question.words is None for question in asked):
            self._settle()
        return [question.words or () for question in asked]

    def read_run(self, position: Callable[[int], Sequence[tuple[int, int]]], address: int, count: int) -> np.ndarray:
        """Read a register whose reading goes on to the next word of a memory.

        Parameters
        ----------
        position : callable
            Writes after which the register reads as word number so and so.
        address : int
            Of the register.
        count : int
            Words.

        Returns
        -------
        array of int64, shape (count,)
            The words.
        """
        self._put_writes()
        found = np.zeros(count, dtype=np.int64)
        missing = [(0, count)]
        while missing:
            parts = []
            for first, end in missing:
                # An answer has four bytes for each that its question has.
                step = max(_SMALLEST // 4, self._payload // 4)
                parts += [(start, min(start + step, end)) for start in range(first, end, step)]
            asked = [(part, _Question(position(part[0]), (address,) * (part[1] - part[0]))) for part in parts]
            for _, question in asked:
                self._put_question(question)
            self._settle(again=False)
            missing = []
            for (first, end), question in asked:
                if question.words is None:
                    missing.append((first, end))
                else:
                    found[first:end] = question.words
        return found

    def close(self) -> None:
        """Let go of the port."""
        with contextlib.suppress(OSError):
            self.port.close()

    # -- frames out ----------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Nothing is under way."""
        self._decoder = Decoder()
        self._damaged = 0
        self._under_way: deque[_Sent] = deque()
        self._again: deque[_Question] = deque()
        self._next = 0
        self._doubt: _Sent | None = None
        self._checks: deque[_Sent] = deque(maxlen=2)
        self._heard = self._moved = self._asked = time.monotonic()
        self._wait = 0.0

    def _put_writes(self) -> None:
        writes, self._writes = self._writes, []
        while writes:
            count = max(1, self._payload // _WRITE_BYTES)
            self._put(Kind.WRITE, write_payload(writes[:count]))
            del writes[:count]

    def _put_question(self, question: _Question) -> None:
        if question.writes:
            self._put(Kind.WRITE, write_payload(question.writes))
        self._put(Kind.READ, read_payload(question.addresses), question)

    def _put(self, kind: Kind, payload: bytes, question: _Question | None = None) -> None:
        """Send a new frame, once there is room for it."""
        size = len(payload) + _EMPTY
        answer = 4 * len(payload) if kind is Kind.READ else 0
        patient = time.monotonic()
        while not self._room(size, answer):
            first = self._under_way[0].number
            self._pump()
            if not self._under_way or self._under_way[0].number != first:
                patient = time.monotonic()
            elif time.monotonic() - patient > self.patience:
                raise self._stuck(f"The device answers, and for {self.patience:g} s its core has taken nothing")
        self._launch(kind, payload, question)
        self._take(0.0)

    def _room(self, size: int, answer: int) -> bool:
        if not self._under_way:
            return True
        held, answers = sum(sent.size for sent in self._under_way), sum(sent.answer_size for sent in self._under_way)
        return len(self._under_way) < WINDOW - 3 and held + size <= _ROOM and answers + answer <= _ANSWER_ROOM

    def _launch(self, kind: Kind, payload: bytes, question: _Question | None = None) -> None:
        content = Frame(kind, self._next, payload).content()
        answer = 4 * len(payload) if kind is Kind.READ else 0
        sent = _Sent(self._next, len(content), stuffed([content]), question, answer)
        self._next = (self._next + 1) % SEQUENCE
        self._under_way.append(sent)
        self._transmit([sent])

    def _transmit(self, frames: Sequence[_Sent]) -> None:
        now = time.monotonic()
        for sent in frames:
            sent.due = self._pace.due(now, len(sent.line) + sent.answer_size)
        self._out(b"".join(sent.line for sent in frames))
        self._asked = now

    def _out(self, data: bytes) -> None:
        try:
            self.port.write(data)
        except OSError as error:
            raise self.lost(f"The port is gone ({_said(error)})") from error
        self.statistics.sent += len(data)

    def _settle(self, *, again: bool = True) -> None:
        """Wait until all that was sent is executed; ask ``again`` what was lost."""
        patient, first = time.monotonic(), -1
        while self._under_way or self._again:
            while self._again:
                self.statistics.repeated += 1
                question = self._again.popleft()
                if again:
                    self._put_question(question)
            if not self._under_way:
                break
            self._pump()
            now = self._under_way[0].number if self._under_way else -1
            if now != first:
                first, patient = now, time.monotonic()
            elif time.monotonic() - patient > self.patience:
                raise self._stuck(f"The device answers, and for {self.patience:g} s its core has taken nothing")

    # -- answers in ----------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Take what comes, for a moment; ask and repeat when that has been waited for long enough."""
        self._wait = max(self._wait, min(1.0, 4 * self._pace.turn + 0.005))
        late = max(self._asked, self._moved, self._pace.free) + self._wait
        wake = late if self._doubt is None else min(late, self._doubt.due)
        if self._take(wake - time.monotonic()):
            return
        now = time.monotonic()
        if now - self._heard > self.silence:
            raise self.lost(f"Nothing has answered for {self.silence:g} s")
        if self._doubt is not None and now >= self._doubt.due:
            self._doubt = None
            self._check()
        elif now >= late:
            # Seldom where it has all and is slow; again soon where the question or its answer may have been lost.
            self._wait = min(2 * self._wait, 1.0 if self._heard > self._asked and self._under_way[-1].received else 0.1)
            self._probe()

    def _take(self, seconds: float) -> bool:
        """Take the answers that come within about so many seconds; whether any did."""
        try:
            waiting = self.port.in_waiting
            if not waiting and seconds <= 0:
                return False
            if not waiting:
                # One of few values, since setting it takes long.
                limit = next(each for each in (0.1, 0.02, 0.004, 0.001) if each <= seconds or each == 0.001)
                if self.port.timeout != limit:
                    self.port.timeout = limit
            data = self.port.read(max(1, waiting))
        except OSError as error:
            raise self.lost(f"The port is gone ({_said(error)})") from error
        self.statistics.received += len(data)
        any_came = False
        for content in self._decoder.feed(data):
            any_came = True
            self._heard = time.monotonic()
            with contextlib.suppress(ValueError):
                self._hear(Reply.of(content))
        if self._decoder.damaged != self._damaged:
            self.statistics.damaged += self._decoder.damaged - self._damaged
            self._damaged = self._decoder.damaged
            self._shorten()
        return any_came

    def _hear(self, reply: Reply) -> None:
        if reply.answer is Answer.RESET:
            raise self.lost("The device was reset")
        if not self._under_way:
            return
        ahead = (reply.number - self._under_way[0].number) % SEQUENCE
        if reply.answer is Answer.DONE and ahead < len(self._under_way):
            for _ in range(ahead):
                self._executed(self._under_way.popleft(), None)
            self._executed(self._under_way.popleft(), reply)
            self._moved, self._wait = self._heard, 0.0
        elif reply.answer is Answer.EXPECT:
            if ahead > len(self._under_way):
                raise self.lost("The device has lost count of the frames: it was reset, or switched off and on")
            self._refused(ahead)

    def _refused(self, ahead: int) -> None:
        """The device has the first so many frames under way, and something came that is not the next."""
        for sent in list(self._under_way)[:ahead]:
            sent.received = True
        # Of two checks, this may be the answer to the first.
        checked = self._checks.popleft() if self._checks else None
        if ahead == len(self._under_way):
            self._doubt = None
        elif any(sent is checked for sent in list(self._under_way)[ahead:]):
            self._go_back()
        else:
            # Told before the frame can have come there, or because it did not: that is asked once it must have.
            self._doubt = self._under_way[ahead]

    def _executed(self, sent: _Sent, reply: Reply | None) -> None:
        """The device has executed a frame; ``reply`` is its own answer, None if that did not come."""
        if sent is self._doubt:
            self._doubt = None
        self.statistics.frames += 1
        self._payload = min(MAX_PAYLOAD, self._payload + 1)
        question = sent.question
        if question is None:
            return
        if reply is not None and len(reply.words) == len(question.addresses):
            question.words = reply.words
        else:
            self.statistics.lost += 1
            self._again.append(question)

    def _go_back(self) -> None:
        """Send again all that the device has not got."""
        missing = [sent for sent in self._under_way if not sent.received]
        self.statistics.refused += 1
        self.statistics.repeated += len(missing)
        self._doubt = None
        self._checks.clear()
        self._shorten()
        self._transmit(missing)

    def _shorten(self) -> None:
        """Let the next frames be shorter, so that more of them arrive whole."""
        self._payload = max(_SMALLEST, self._payload * 3 // 4)

    def _probe(self) -> None:
        """Provoke an answer: by a frame that does nothing, whose answer tells of those before it, or by what is refused."""
        held, last = sum(sent.size for sent in self._under_way), self._under_way[-1]
        if (last.size > _EMPTY or last.received) and len(self._under_way) < WINDOW and held + _EMPTY < RING_BYTES:
            self._launch(Kind.WRITE, b"")
        else:
            self._check()

    def _check(self) -> None:
        """Ask which frame the device expects, by something that is none."""
        now = time.monotonic()
        self._pace.due(now, len(_NO_FRAME))
        self._out(_NO_FRAME)
        self._asked = now
        self._checks.append(self._under_way[-1])

    # -- the beginning -------------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        """Reset the device, whatever it is doing, and learn how fast the line is."""
        self._drain(0.0)
        asked, pause, began = 0, 0.1, time.monotonic()
        line = stuffed([Frame(Kind.RESET, 0).content()])
        answers, until = 0, 0.0
        while not answers:
            now = time.monotonic()
            if now - began > self.silence:
                raise self.lost(f"Nothing has answered for {self.silence:g} s")
            if now >= until:
                self._out(line)
                asked, until, pause, sent = asked + 1, now + pause, min(1.0, 2 * pause), now
            answers += self._resets(min(0.05, until - now))
        self._pace.turn = max(time.monotonic() - sent, 0.0005)
        # A second answer may still be on its way, and must not end what begins now.
        until = time.monotonic() + (pause if asked > answers else 0.0)
        while asked > answers and time.monotonic() < until:
            answers += self._resets(0.02)
        self._forget()
        self._measure()

    def _resets(self, seconds: float) -> int:
        """Resets answered within so many seconds."""
        data = self._drain(seconds)
        return sum(content[0] >> 6 == Answer.RESET and len(content) == 5 for content in self._decoder.feed(data))

    def _drain(self, seconds: float) -> bytes:
        """What has come within so many seconds."""
        try:
            self.port.timeout = max(seconds, 0.0)
            return self.port.read(max(1, self.port.in_waiting))
        except OSError as error:
            raise self.lost(f"The port is gone ({_said(error)})") from error

    def _measure(self) -> None:
        """Seconds for a turn and for a byte, from short questions and long ones; of those that had to be repeated, nothing is learned."""
        magic = register_map(self.spec)["magic"].address
        turns = [turn for _ in range(3) if (turn := self._timed(magic, 1)) is not None]
        self._pace.turn = max(min(turns, default=self._pace.turn), 0.0005)
        paces = [each for count in _LONG if (each := self._timed(magic, count)) is not None]
        self._pace.byte = max(self._pace.byte, min(paces, default=0.0))

    def _timed(self, magic: int, count: int) -> float | None:
        """Seconds of a question of so many words, or for each byte that it is longer than one of a single word."""
        began, before = time.monotonic(), self.statistics.errors
        ((found, *_),) = self.ask([((), (magic,) * count)])
        if found != MAGIC:
            raise self.lost(f"Register magic must read 0x{MAGIC:08x}, not 0x{found:08x}: there is no core at the other end")
        seconds = time.monotonic() - began
        if self.statistics.errors != before:
            return None
        return seconds if count == 1 else max(0.0, seconds - self._pace.turn) / (5 * (count - 1))


def _said(error: OSError) -> str:
    return (error.strerror or str(error)).split("\n")[0].rstrip(".")
