"""Frames: how the registers and the sample stream of a core travel over a line that may lose, double or change bytes.

A frame is a *content* between two flags. Within it, a byte that is a flag or an escape is replaced by an escape and that byte with
bit 5 inverted, so that a flag on the line always ends a frame, whatever came before. The content ends with its checksum:
CRC-32 (ISO-HDLC, as in zlib) of :data:`SALT` and all bytes before it, low byte first.

======== ======================================================================================
content  bytes
======== ======================================================================================
to the   header: sequence number (bits 0 to 5), :class:`Kind` (bits 6 and 7);
device   number of bytes of the payload; payload; checksum
from the header: sequence number (bits 0 to 5), :class:`Answer` (bits 6 and 7);
device   answers of the reads, 4 bytes each, low byte first; checksum
======== ======================================================================================

The device executes a frame when its checksum is right and its number the next one, once it has been received whole; then it answers
DONE with that number. Anything else that is not empty it answers by EXPECT with the number it waits for. RESET needs no number.

A word of a sample may go on in the next frame of samples. Frames without a payload may come between; reads and writes come where none
is cut.
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from python_ref.spec.design import DesignSpec

__all__ = [
    "CHECK_BYTES",
    "ESCAPE",
    "FLAG",
    "HEAD_BYTES",
    "INVERTED",
    "MAX_PAYLOAD",
    "RING_BYTES",
    "SALT",
    "SEQUENCE",
    "WINDOW",
    "Answer",
    "Decoder",
    "Frame",
    "Kind",
    "Reply",
    "checked",
    "pack_samples",
    "read_payload",
    "sample_bytes",
    "stuffed",
    "write_payload",
]

FLAG = 0x7E
"""The byte that ends a frame."""
ESCAPE = 0x7D
"""The byte after which bit 5 of the next one is inverted."""

INVERTED = 0x20
"""What an escaped byte is XORed with."""

SALT = b"MGD1"
"""Stands in front of what a checksum is taken of, so that no run of equal bytes is a frame."""

CHECK_BYTES = 4
"""Of a checksum."""

HEAD_BYTES = 2
"""Of a frame to the device, in front of its payload."""

MAX_PAYLOAD = 255
"""Bytes."""

SEQUENCE = 64
"""Sequence numbers count modulo this."""

WINDOW = SEQUENCE // 2 - 1
"""Most frames that may be under way at a time."""

RING_BYTES = 1024
"""Memory of the device for contents received but not yet executed; a byte of it stays empty."""


class Kind(enum.IntEnum):
    """What a frame to the device does."""

    WRITE = 0
    """Registers: 4 bytes of data, low byte first, and the address, for each."""
    READ = 1
    """Registers: the address of each."""
    SAMPLES = 2
    """The next bytes of the packed samples, cut anywhere."""
    RESET = 3
    """Drop all frames not yet executed, reset the core, expect number 0. No payload; whatever its number, it is taken."""


class Answer(enum.IntEnum):
    """What the device says."""

    DONE = 0
    """The frame of this number, and so all before it, is executed."""
    EXPECT = 1
    """Something came that is not the next frame; this is the number of the next. All before it were received, if not executed."""
    RESET = 3
    """After a reset; the number is 0."""


@dataclass(frozen=True)
class Frame:
    """A frame to the device.

    Attributes
    ----------
    kind : Kind
        Operation that the device performs with the payload.
    number : int
        Sequence number of the frame, 0 to ``SEQUENCE`` − 1.
    payload : bytes
        At most :data:`MAX_PAYLOAD`.
    """

    kind: Kind
    number: int
    payload: bytes = b""

    def __post_init__(self) -> None:
        if not 0 <= self.number < SEQUENCE:
            raise ValueError(f"Number must be from 0 to {SEQUENCE - 1}, not {self.number!r}")
        if len(self.payload) > MAX_PAYLOAD:
            raise ValueError(f"Payload must have at most {MAX_PAYLOAD} bytes, not {len(self.payload)}")

    def content(self) -> bytes:
        """Its bytes, checksum included."""
        return checked(bytes((self.number | self.kind << 6, len(self.payload))) + self.payload)

    @classmethod
    def of(cls, content: bytes) -> Frame:
        """The frame of a content whose checksum is right.

        Raises
        ------
        ValueError
            If its length is not what it says.
        """
        if len(content) < HEAD_BYTES + CHECK_BYTES or content[1] != len(content) - HEAD_BYTES - CHECK_BYTES:
            raise ValueError(f"Content must be as long as it says, not {len(content)} bytes")
        return cls(Kind(content[0] >> 6), content[0] % SEQUENCE, content[HEAD_BYTES:-CHECK_BYTES])


@dataclass(frozen=True)
class Reply:
    """A frame from the device.

    Attributes
    ----------
    answer : Answer
        Meaning of the reply: a frame is done, another is expected, or the device was reset.
    number : int
        Sequence number to which ``answer`` refers, 0 to ``SEQUENCE`` − 1.
    words : tuple of int
        Answers of the reads.
    """

    answer: Answer
    number: int
    words: tuple[int, ...] = ()

    def content(self) -> bytes:
        """Its bytes, checksum included."""
        return checked(bytes((self.number | self.answer << 6,)) + b"".join(word.to_bytes(4, "little") for word in self.words))

    @classmethod
    def of(cls, content: bytes) -> Reply:
        """The reply of a content whose checksum is right.

        Raises
        ------
        ValueError
            If it is none.
        """
        data = content[1:-CHECK_BYTES]
        if len(content) < 1 + CHECK_BYTES or len(data) % 4:
            raise ValueError(f"Content must be a header, whole words and a checksum, not {len(content)} bytes")
        words = tuple(int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4))
        return cls(Answer(content[0] >> 6), content[0] % SEQUENCE, words)


def checked(data: bytes) -> bytes:
    """Bytes, and their checksum."""
    return data + zlib.crc32(SALT + data).to_bytes(CHECK_BYTES, "little")


def _is_right(content: bytes) -> bool:
    return len(content) > CHECK_BYTES and checked(content[:-CHECK_BYTES]) == content


def stuffed(contents: Iterable[bytes]) -> bytes:
    """Contents as they go over the line: a flag, and each of them, escaped, with a flag behind it."""
    out = bytearray((FLAG,))
    for content in contents:
        # Escapes first, or those that flags become would be escaped again.
        for special in (ESCAPE, FLAG):
            content = content.replace(bytes((special,)), bytes((ESCAPE, special ^ INVERTED)))
        out += content
        out.append(FLAG)
    return bytes(out)


class Decoder:
    """Finds the contents in what comes over a line.

    Attributes
    ----------
    damaged : int
        Contents so far whose checksum was wrong, those cut short at the first flag not counted.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self._stuffed = b""
        self._synchronised = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take more bytes; yield the contents, complete with these, whose checksum is right."""
        *ended, self._stuffed = (self._stuffed + data).split(bytes((FLAG,)))
        for each in ended:
            content = _unescaped(each)
            if _is_right(content):
                yield content
            elif content and self._synchronised:
                self.damaged += 1
            self._synchronised = True


def _unescaped(data: bytes) -> bytes:
    """What stood between two flags, without its escapes."""
    plain, *escaped = data.split(bytes((ESCAPE,)))
    return plain + b"".join(bytes((part[0] ^ INVERTED,)) + part[1:] for part in escaped if part)


def write_payload(writes: Sequence[tuple[int, int]]) -> bytes:
    """Payload of WRITE for pairs (address, 32 bits of data)."""
    return b"".join(data.to_bytes(4, "little") + bytes((address,)) for address, data in writes)


def read_payload(addresses: Sequence[int]) -> bytes:
    """Payload of READ."""
    return bytes(addresses)


def sample_bytes(spec: DesignSpec) -> int:
    """Bytes of a packed sample: its words without a bit between them, and less than a byte behind the last."""
    network, formats = spec.network, spec.formats
    return -(-(network.n_in * formats.input.width + network.n_out * formats.activation.width) // 8)


def pack_samples(spec: DesignSpec, words: np.ndarray) -> bytes:
    """Samples as they are sent: the bits of each word of a sample, lowest first, one word after the other, up to a whole byte.

    Parameters
    ----------
    spec : DesignSpec
        Design that determines the numbers of inputs and outputs and their formats.
    words : array of integers, shape (samples, n_in + n_out)
        Raw inputs and raw targets of each; only the low bits that their formats have are sent.
    """
    n_in, n_out = spec.network.n_in, spec.network.n_out
    rows = np.asarray(words)
    if rows.ndim != 2 or rows.shape[1] != n_in + n_out or rows.dtype.kind not in "iu":
        raise ValueError(f"Words must be integers of shape (samples, {n_in + n_out}), not {rows.dtype} of shape {rows.shape}")
    raw, parts = rows.astype(np.uint64) if rows.dtype.kind == "u" else rows.astype(np.int64).view(np.uint64), []
    for columns, form in ((raw[:, :n_in], spec.formats.input), (raw[:, n_in:], spec.formats.activation)):
        bits = columns[:, :, None] >> np.arange(form.width, dtype=np.uint64) & np.uint64(1)
        parts.append(bits.astype(np.uint8).reshape(len(rows), -1))
    return np.packbits(np.concatenate(parts, axis=1), axis=1, bitorder="little").tobytes()
