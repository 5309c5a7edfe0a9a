"""Host side of the serial link: a core's registers and sample stream in frames that are repeated until they have arrived.

Outgoing data waits in a queue, and as many frames are in flight as the device can buffer. Each frame is executed once and in order,
whatever errors the line makes (:mod:`python_ref.spec.frames`): a frame that the device refuses, or whose answer does not come, is sent
again with the same number. A read whose answer is lost is sent again with a new number, together with the writes it depends on.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from boards.link.port import BAUD, Port
from boards.link.traffic import Pace, Question, Sent, Statistics
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
from python_ref.spec.learning import LearningSpec
from python_ref.spec.registers import MAGIC, Status, register_map

__all__ = ["LinkLost", "SerialLink"]

_ROOM = RING_BYTES - 1 - 64
"""Most bytes of frames in flight: the size of the device's buffer, less a reserve for frames that only query its state."""

_ANSWER_ROOM = 2048
"""Most bytes of answers in flight."""

_EMPTY = HEAD_BYTES + CHECK_BYTES
"""Bytes of a frame without a payload."""

_NO_FRAME = stuffed([b"\0"])
"""Bytes that no device accepts as a frame, and answers with the number of the frame it expects."""

_LONG = (17, 17, 17, 7, 7, 7)
"""Numbers of words read by the long queries that measure the line's speed; the last ones suit a line that damages longer frames."""

_SMALLEST, _WRITE_BYTES, _READ_BYTES = 24, 5, 1
"""Bytes: smallest limit of a payload, on a line that damages most longer ones; payload of one write; payload of one read."""


class LinkLost(Refusal):
    """The line or the device at its other end is gone or was reset.

    Parameters
    ----------
    reason : str
        How it was lost, as a sentence without its full stop.
    remedy : str
        What the user can do about it, as a full sentence.
    """


class SerialLink:
    """A core behind a serial line, as the :class:`~python_ref.spec.registers.Link` that host procedures use.

    Writes are collected and sent with the next read, sample or :meth:`wait_idle`. Samples are queued until :meth:`wait_idle` and then
    sent as the core takes them, so the samples queued before a run must be those of that run.

    Parameters
    ----------
    port : Port
        The open port of the line; :meth:`close` closes it.
    spec : LearningSpec
        Design of the core at the other end.
    baud : int
        Bits per second, as a first estimate of the line's speed.
    silence : float
        Seconds without any answer after which :class:`LinkLost` is raised.
    patience : float
        Seconds without progress after which a :class:`~python_ref.spec.error.Refusal` is raised.
    statistics : Statistics or None
        Counts to continue, those of an earlier link; None starts from 0.

    Attributes
    ----------
    statistics : Statistics
        Counts of frames, errors and bytes so far.

    Raises
    ------
    LinkLost
        If the device does not answer.
    """

    def __init__(
        self,
        port: Port,
        spec: LearningSpec,
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
        self._pace = Pace(10 / baud)
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
        """Write a 32-bit word to a register; it is sent before the next read or :meth:`wait_idle`."""
        self._writes.append((address, data))

    def read(self, address: int) -> int:
        """Read a register that reading does not change."""
        return self.ask([((), (address,))])[0][0]

    def send(self, words: Sequence[int]) -> None:
        """Queue words for the sample stream, which a learner does not have."""
        assert isinstance(self.spec, DesignSpec)
        self._words += words
        row = self.spec.network.record_inputs + self.spec.network.n_out
        whole = len(self._words) // row * row
        if whole:
            self.send_packed(pack_samples(self.spec, np.array(self._words[:whole], dtype=np.int64).reshape(-1, row)))
            del self._words[:whole]

    def wait_idle(self) -> None:
        """Send all queued data; return when the core is idle.

        Raises
        ------
        Refusal
            If the core takes no samples, or completes no step, for ``patience`` seconds.
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
        """Queue samples in the format of :func:`~python_ref.spec.frames.pack_samples`."""
        if data:
            self._samples.append(data)

    def flush(self) -> None:
        """Send all queued data, writes first, then samples; return when the device has executed it."""
        self._put_writes()
        while self._samples:
            data = memoryview(self._samples.popleft())
            while data:
                size = self._payload
                self._put(Kind.SAMPLES, bytes(data[:size]))
                data = data[size:]
        self._settle()

    def ask(self, questions: Iterable[tuple[Sequence[tuple[int, int]], Sequence[int]]]) -> list[tuple[int, ...]]:
        """Return the answers to questions. Each is a pair of writes (address, data) and of the addresses read after them.

        A question is repeated as a whole when its answer is lost, so what it reads may depend only on what it writes: to read a word
        of a memory, write ``select`` and ``address`` first.

        Raises
        ------
        LinkLost
            If the device is gone.
        """
        self._put_writes()
        asked = [Question(tuple(writes), tuple(addresses)) for writes, addresses in questions]
        for question in asked:
            self._put_question(question)
        while any(question.words is None for question in asked):
            self._settle()
        return [question.words or () for question in asked]

    def read_run(self, position: Callable[[int], Sequence[tuple[int, int]]], address: int, count: int) -> np.ndarray:
        """Read a run of words from a register that advances to the next word of a memory with each read.

        Parameters
        ----------
        position : callable
            Function that returns, for the index of a word, the writes after which the register reads that word.
        address : int
            Address of the register that is read.
        count : int
            Number of words to read.

        Returns
        -------
        array of int64, shape (count,)
            The words in order, each unsigned.
        """
        self._put_writes()
        found = np.zeros(count, dtype=np.int64)
        missing = [(0, count)]
        while missing:
            parts = []
            for first, end in missing:
                # An answer has four bytes for each byte of its question.
                step = max(_SMALLEST // 4, self._payload // 4)
                parts += [(start, min(start + step, end)) for start in range(first, end, step)]
            asked = [(part, Question(position(part[0]), (address,) * (part[1] - part[0]))) for part in parts]
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
        """Close the port, ignoring errors."""
        with contextlib.suppress(OSError):
            self.port.close()

    # -- frames out ----------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Reset the state of the protocol: no frame is in flight."""
        self._decoder = Decoder()
        self._damaged = 0
        self._under_way: deque[Sent] = deque()
        self._again: deque[Question] = deque()
        self._next = 0
        self._doubt: Sent | None = None
        self._checks: deque[Sent] = deque(maxlen=2)
        self._received = self._progressed = self._asked = time.monotonic()
        self._wait = 0.0

    def _put_writes(self) -> None:
        writes, self._writes = self._writes, []
        while writes:
            count = max(1, self._payload // _WRITE_BYTES)
            self._put(Kind.WRITE, write_payload(writes[:count]))
            del writes[:count]

    def _put_question(self, question: Question) -> None:
        if question.writes:
            self._put(Kind.WRITE, write_payload(question.writes))
        self._put(Kind.READ, read_payload(question.addresses), question)

    def _put(self, kind: Kind, payload: bytes, question: Question | None = None) -> None:
        """Send a new frame as soon as the device has room for it."""
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

    def _launch(self, kind: Kind, payload: bytes, question: Question | None = None) -> None:
        content = Frame(kind, self._next, payload).content()
        answer = 4 * len(payload) if kind is Kind.READ else 0
        sent = Sent(self._next, len(content), stuffed([content]), question, answer)
        self._next = (self._next + 1) % SEQUENCE
        self._under_way.append(sent)
        self._transmit([sent])

    def _transmit(self, frames: Sequence[Sent]) -> None:
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
        """Wait until all frames in flight are executed; with ``again``, repeat questions whose answers were lost."""
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
        """Receive for a moment; query the device and repeat frames when an answer is overdue."""
        self._wait = max(self._wait, min(1.0, 4 * self._pace.turn + 0.005))
        late = max(self._asked, self._progressed, self._pace.free) + self._wait
        wake = late if self._doubt is None else min(late, self._doubt.due)
        if self._take(wake - time.monotonic()):
            return
        now = time.monotonic()
        if now - self._received > self.silence:
            raise self.lost(f"Nothing has answered for {self.silence:g} s")
        if self._doubt is not None and now >= self._doubt.due:
            self._doubt = None
            self._check()
        elif now >= late:
            # Rarely while the device has all frames and is slow; soon where the query or its answer may have been lost.
            self._wait = min(2 * self._wait, 1.0 if self._received > self._asked and self._under_way[-1].received else 0.1)
            self._probe()

    def _take(self, seconds: float) -> bool:
        """Process the answers that arrive within about ``seconds``; return whether any did."""
        try:
            waiting = self.port.in_waiting
            if not waiting and seconds <= 0:
                return False
            if not waiting:
                # One of a few values, since changing the timeout is slow.
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
            self._received = time.monotonic()
            with contextlib.suppress(ValueError):
                self._receive(Reply.of(content))
        if self._decoder.damaged != self._damaged:
            self.statistics.damaged += self._decoder.damaged - self._damaged
            self._damaged = self._decoder.damaged
            self._shorten()
        return any_came

    def _receive(self, reply: Reply) -> None:
        if reply.answer is Answer.RESET:
            raise self.lost("The device was reset")
        if not self._under_way:
            return
        ahead = (reply.number - self._under_way[0].number) % SEQUENCE
        if reply.answer is Answer.DONE and ahead < len(self._under_way):
            for _ in range(ahead):
                self._executed(self._under_way.popleft(), None)
            self._executed(self._under_way.popleft(), reply)
            self._progressed, self._wait = self._received, 0.0
        elif reply.answer is Answer.EXPECT:
            if ahead > len(self._under_way):
                raise self.lost("The device has lost count of the frames: it was reset, or switched off and on")
            self._refused(ahead)

    def _refused(self, ahead: int) -> None:
        """Handle a refusal: the device has the first ``ahead`` frames in flight, and received something other than the next."""
        for sent in list(self._under_way)[:ahead]:
            sent.received = True
        # If two checks were sent, this may be the answer to the first.
        checked = self._checks.popleft() if self._checks else None
        if ahead == len(self._under_way):
            self._doubt = None
        elif any(sent is checked for sent in list(self._under_way)[ahead:]):
            self._go_back()
        else:
            # Either the frame had not arrived yet, or it was lost: a check decides, once the frame must have arrived.
            self._doubt = self._under_way[ahead]

    def _executed(self, sent: Sent, reply: Reply | None) -> None:
        """Record that the device executed a frame; ``reply`` is the frame's own answer, None if that did not arrive."""
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
        """Send all frames again that the device does not have."""
        missing = [sent for sent in self._under_way if not sent.received]
        self.statistics.refused += 1
        self.statistics.repeated += len(missing)
        self._doubt = None
        self._checks.clear()
        self._shorten()
        self._transmit(missing)

    def _shorten(self) -> None:
        """Shorten the next frames, so that more of them arrive intact."""
        self._payload = max(_SMALLEST, self._payload * 3 // 4)

    def _probe(self) -> None:
        """Provoke an answer: by an empty frame, whose answer also confirms those before it, or by bytes that the device refuses."""
        held, last = sum(sent.size for sent in self._under_way), self._under_way[-1]
        if (last.size > _EMPTY or last.received) and len(self._under_way) < WINDOW and held + _EMPTY < RING_BYTES:
            self._launch(Kind.WRITE, b"")
        else:
            self._check()

    def _check(self) -> None:
        """Query which frame the device expects, by sending bytes that are not a frame."""
        now = time.monotonic()
        self._pace.due(now, len(_NO_FRAME))
        self._out(_NO_FRAME)
        self._asked = now
        self._checks.append(self._under_way[-1])

    # -- the beginning -------------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        """Reset the device, whatever its state, and measure the speed of the line."""
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
        # A second answer may still be in flight, and must not be taken for a reset of what starts now.
        until = time.monotonic() + (pause if asked > answers else 0.0)
        while asked > answers and time.monotonic() < until:
            answers += self._resets(0.02)
        self._forget()
        self._measure()

    def _resets(self, seconds: float) -> int:
        """Number of resets that the device confirms within about ``seconds``."""
        data = self._drain(seconds)
        return sum(content[0] >> 6 == Answer.RESET and len(content) == 5 for content in self._decoder.feed(data))

    def _drain(self, seconds: float) -> bytes:
        """Return the bytes that arrive within ``seconds``."""
        try:
            self.port.timeout = max(seconds, 0.0)
            return self.port.read(max(1, self.port.in_waiting))
        except OSError as error:
            raise self.lost(f"The port is gone ({_said(error)})") from error

    def _measure(self) -> None:
        """Measure the seconds per query and per byte with short and long queries; those that had to be repeated do not count."""
        magic = register_map(self.spec)["magic"].address
        turns = [turn for _ in range(3) if (turn := self._timed(magic, 1)) is not None]
        self._pace.turn = max(min(turns, default=self._pace.turn), 0.0005)
        paces = [each for count in _LONG if (each := self._timed(magic, count)) is not None]
        self._pace.byte = max(self._pace.byte, min(paces, default=0.0))

    def _timed(self, magic: int, count: int) -> float | None:
        """Seconds of a query of one word; for more words, seconds per byte by which it is longer. None if an error occurred."""
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
