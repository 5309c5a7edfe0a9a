"""A device in plain Python that speaks frames, and a line between it and the host that damages what goes over it."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field

from python_ref.spec.design import DesignSpec
from python_ref.spec.registers import MAGIC, Command, register_map

__all__ = ["FakeDevice", "Noise", "PipePort"]


@dataclass
class Noise:
    """What a line does to bytes: each is lost, doubled, or has a bit flipped, with a probability each; some are lost for certain.

    Attributes
    ----------
    share : float
        Probability of each of the three.
    seed : int
        Seed of the random choice.
    lost : range
        Numbers of the bytes that are lost for certain, counted from 0 over all bytes that pass. No frame is shorter than
        8 bytes with its flags, so that 8 bytes in a row damage at least one.
    """

    share: float = 0.0
    seed: int = 1
    lost: range = range(0)
    random: random.Random = field(init=False)
    passed: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def through(self, data: bytes) -> bytes:
        """Pass bytes through the line: the bytes that come out."""
        first, self.passed = self.passed, self.passed + len(data)
        if not self.share and not self.lost:
            return data
        out = bytearray()
        for number, byte in enumerate(data, first):
            if number in self.lost:
                continue
            if not self.share:
                out.append(byte)
                continue
            drawn = self.random.random() / self.share
            if drawn < 1:
                continue
            if drawn < 2:
                byte ^= 1 << self.random.randrange(8)
            out += bytes((byte,) * (2 if 2 <= drawn < 3 else 1))
        return bytes(out)


class FakeDevice:
    """What is at the other end: written from the description of the frames, and sharing no code with either side.

    A core of registers: reads give what was written, but for ``magic``, ``status`` and ``data``, whose address counts up.

    Parameters
    ----------
    spec : DesignSpec
        The design.
    ring : int
        Bytes of frames that it keeps.
    appetite : int
        Frames that it executes each time it is asked; 0: none, until somebody raises it.

    Attributes
    ----------
    writes : list of (int, int)
        Addresses and data, in the order in which they were executed.
    samples : bytearray
        Likewise.
    busy : int
        Times that ``status`` still reads busy.
    """

    def __init__(self, spec: DesignSpec, ring: int = 1024, appetite: int = 100) -> None:
        self.registers = {name: register.address for name, register in register_map(spec).items()}
        self.ring, self.appetite = ring, appetite
        self.writes: list[tuple[int, int]] = []
        self.samples = bytearray()
        self.memory: dict[tuple[int, int], int] = {}
        self.resets = 0
        self.busy = 0
        self.steps = 0
        self.values: dict[int, int] = {self.registers["magic"]: MAGIC}
        self.expected = 0
        self.frames: list[bytes] = []
        self._open = bytearray()
        self._escaped = False
        self.overflowed = 0

    def receive(self, data: bytes) -> bytes:
        """Take bytes; what it says."""
        out = bytearray()
        for byte in data:
            if byte == 0x7E:
                out += self._end(bytes(self._open))
                self._open.clear()
                self._escaped = False
            elif byte == 0x7D:
                self._escaped = True
            else:
                self._open.append(byte ^ 0x20 if self._escaped else byte)
                self._escaped = False
        for _ in range(min(self.appetite, len(self.frames))):
            out += self._execute(self.frames.pop(0))
        return bytes(out)

    def _end(self, content: bytes) -> bytes:
        if not content:
            return b""
        right = len(content) >= 6 and zlib.crc32(b"MGD1" + content[:-4]) == int.from_bytes(content[-4:], "little")
        if right and content[0] >> 6 == 3:
            self.frames, self.expected = [], 0
            self.resets += 1
            self.busy = 0
            return self._say(3, 0)
        room = sum(map(len, self.frames)) + len(content) < self.ring
        self.overflowed += right and not room
        if right and room and content[0] & 63 == self.expected:
            self.frames.append(content)
            self.expected = (self.expected + 1) % 64
            return b""
        return self._say(1, self.expected)

    def _execute(self, content: bytes) -> bytes:
        kind, payload, answer = content[0] >> 6, content[2:-4], b""
        assert content[1] == len(payload)
        if kind == 0:
            for place in range(0, len(payload), 5):
                self._write(payload[place + 4], int.from_bytes(payload[place : place + 4], "little"))
        elif kind == 1:
            answer = b"".join(self._read(address).to_bytes(4, "little") for address in payload)
        else:
            self.samples += payload
        return self._say(0, content[0] & 63, answer)

    def _write(self, address: int, data: int) -> None:
        self.writes.append((address, data))
        self.values[address] = data
        if address == self.registers["command"] and data == Command.TRAIN:
            self.busy = 3
        if address == self.registers["data"]:
            self.memory[self._place()] = data

    def _read(self, address: int) -> int:
        if address == self.registers["data"]:
            return self.memory.get(self._place(), 0)
        if address == self.registers["status"]:
            self.busy = max(0, self.busy - 1)
            return int(self.busy > 0)
        return self.values.get(address, 0)

    def _place(self) -> tuple[int, int]:
        """The addressed word; the next is addressed then."""
        word = self.values.get(self.registers["address"], 0)
        self.values[self.registers["address"]] = word + 1
        return self.values.get(self.registers["select"], 0), word

    @staticmethod
    def _say(answer: int, number: int, data: bytes = b"") -> bytes:
        content = bytes((answer << 6 | number,)) + data
        content += zlib.crc32(b"MGD1" + content).to_bytes(4, "little")
        out = bytearray(b"~")
        for byte in content:
            out += bytes((0x7D, byte ^ 0x20)) if byte in (0x7D, 0x7E) else bytes((byte,))
        return bytes(out) + b"~"


class PipePort:
    """A port whose other end is a device in the same process, with noise both ways, and noise on the answers alone.

    Attributes
    ----------
    gone : bool
        Somebody has pulled the plug.
    """

    def __init__(self, device: FakeDevice, noise: Noise | None = None, answers: Noise | None = None) -> None:
        self.device, self.noise, self.answers = device, noise or Noise(), answers or Noise()
        self.timeout: float | None = 0.0
        self.gone = False
        self.closed = False
        self._came = bytearray()

    @property
    def in_waiting(self) -> int:
        """Bytes that have come."""
        self._check()
        self._receive(b"")
        return len(self._came)

    def read(self, size: int = 1) -> bytes:
        """At most so many bytes; nothing is ever waited for, so that a test takes no longer than it must."""
        self._check()
        data = bytes(self._came[:size])
        del self._came[:size]
        return data

    def write(self, data: bytes) -> int:
        """Send bytes."""
        self._check()
        self._receive(self.noise.through(data))
        return len(data)

    def _receive(self, data: bytes) -> None:
        self._came += self.answers.through(self.noise.through(self.device.receive(data)))

    def close(self) -> None:
        """Let go of it."""
        self.closed = True

    def _check(self) -> None:
        if self.gone:
            raise OSError(5, "Input/output error")
