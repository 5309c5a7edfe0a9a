"""Framing of register accesses and samples for a serial line that may lose, duplicate or corrupt bytes.

A frame is a *content* between two flags. Within it, a byte that equals a flag or an escape is replaced by an escape and that byte with
bit 5 inverted, so that a flag on the line always ends a frame, whatever precedes it. The content ends with its checksum:
CRC-32 (ISO-HDLC, as in zlib) of :data:`SALT` and all preceding bytes, low byte first.

======== ======================================================================================
content  bytes
======== ======================================================================================
to the   header: sequence number (bits 0 to 5), :class:`Kind` (bits 6 and 7);
device   number of bytes of the payload; payload; checksum
from the header: sequence number (bits 0 to 5), :class:`Answer` (bits 6 and 7);
device   answers to the reads, 4 bytes each, low byte first; checksum
======== ======================================================================================

The device executes a frame once it has received it whole, if its checksum is right and its number is the next one; then it answers
DONE with that number. To any other content that is not empty it answers EXPECT with the number of the next frame. RESET is executed
whatever its number.

A word of a sample may continue in the next frame of samples. Frames without a payload may come between the two; reads and writes may
not.
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import LearningSpec

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
    "SampleWords",
    "checked",
    "pack_samples",
    "read_payload",
    "sample_bytes",
    "stuffed",
    "unpack_samples",
    "words_of_sample",
    "write_payload",
]

FLAG = 0x7E
"""Byte that ends a frame."""
ESCAPE = 0x7D
"""Byte after which bit 5 of the next byte is inverted."""

INVERTED = 0x20
"""Mask that is XORed with an escaped byte."""

SALT = b"MGD1"
"""Bytes that precede the content in the computation of its checksum, so that no run of equal bytes is a valid frame."""

CHECK_BYTES = 4
"""Size of a checksum, in bytes."""

HEAD_BYTES = 2
"""Size of the header of a frame to the device, in bytes."""

MAX_PAYLOAD = 255
"""Maximum size of a payload, in bytes."""

SEQUENCE = 64
"""Modulus of the sequence numbers."""

WINDOW = SEQUENCE // 2 - 1
"""Maximum number of frames in flight."""

RING_BYTES = 1024
"""Size of the device's buffer for contents received but not yet executed, in bytes; one byte of it stays empty."""


class Kind(enum.IntEnum):
    """Operation of a frame to the device."""

    WRITE = 0
    """Write registers; the payload has 4 bytes of data, low byte first, and the address, for each."""
    READ = 1
    """Read registers; the payload has the address of each."""
    SAMPLES = 2
    """Queue samples; the payload is the next bytes of the packed samples, cut anywhere."""
    RESET = 3
    """Drop all frames not yet executed, reset the core, expect number 0. It has no payload and is accepted whatever its number."""


class Answer(enum.IntEnum):
    """Meaning of a frame from the device."""

    DONE = 0
    """The frame of this number, and therefore every frame before it, has been executed."""
    EXPECT = 1
    """The device received something other than the next frame; the number is that of the next frame. All frames before it have been
    received, but perhaps not executed."""
    RESET = 3
    """The device has been reset; the number is 0."""


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
        Data of the operation, at most :data:`MAX_PAYLOAD` bytes.
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
        """Return the bytes of the frame, including its checksum."""
        return checked(bytes((self.number | self.kind << 6, len(self.payload))) + self.payload)

    @classmethod
    def of(cls, content: bytes) -> Frame:
        """Return the frame of a content whose checksum is right.

        Raises
        ------
        ValueError
            If the content does not have the length that its header states.
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
        Data of the answered reads, 32 bits each.
    """

    answer: Answer
    number: int
    words: tuple[int, ...] = ()

    def content(self) -> bytes:
        """Return the bytes of the reply, including its checksum."""
        return checked(bytes((self.number | self.answer << 6,)) + b"".join(word.to_bytes(4, "little") for word in self.words))

    @classmethod
    def of(cls, content: bytes) -> Reply:
        """Return the reply of a content whose checksum is right.

        Raises
        ------
        ValueError
            If the content is not a header, whole words and a checksum.
        """
        data = content[1:-CHECK_BYTES]
        if len(content) < 1 + CHECK_BYTES or len(data) % 4:
            raise ValueError(f"Content must be a header, whole words and a checksum, not {len(content)} bytes")
        words = tuple(int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4))
        return cls(Answer(content[0] >> 6), content[0] % SEQUENCE, words)


def checked(data: bytes) -> bytes:
    """Return bytes followed by their checksum."""
    return data + zlib.crc32(SALT + data).to_bytes(CHECK_BYTES, "little")


def _is_right(content: bytes) -> bool:
    return len(content) > CHECK_BYTES and checked(content[:-CHECK_BYTES]) == content


def stuffed(contents: Iterable[bytes]) -> bytes:
    """Return contents as they are sent over the line: a flag, then each content, escaped and followed by a flag."""
    out = bytearray((FLAG,))
    for content in contents:
        # Escapes are replaced first; otherwise the escapes that replace flags would be escaped again.
        for special in (ESCAPE, FLAG):
            content = content.replace(bytes((special,)), bytes((ESCAPE, special ^ INVERTED)))
        out += content
        out.append(FLAG)
    return bytes(out)


class Decoder:
    """Decoder of the contents in a stream of bytes from a line.

    Attributes
    ----------
    damaged : int
        Number of contents whose checksum was wrong, except one that is cut short before the first flag.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self._stuffed = b""
        self._synchronised = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take more bytes, and yield the contents that they complete and whose checksum is right."""
        *ended, self._stuffed = (self._stuffed + data).split(bytes((FLAG,)))
        for each in ended:
            content = _unescaped(each)
            if _is_right(content):
                yield content
            elif content and self._synchronised:
                self.damaged += 1
            self._synchronised = True


def _unescaped(data: bytes) -> bytes:
    """Return the content of the bytes between two flags."""
    plain, *escaped = data.split(bytes((ESCAPE,)))
    return plain + b"".join(bytes((part[0] ^ INVERTED,)) + part[1:] for part in escaped if part)


@dataclass(frozen=True)
class SampleWords:
    """Words of a sample on the line.

    Attributes
    ----------
    inputs, targets : int
        Numbers of words that are inputs, and of those that are targets.
    input_width, target_width : int
        Width of either kind of word, in bits.
    """

    inputs: int
    input_width: int
    targets: int
    target_width: int


def words_of_sample(spec: LearningSpec) -> SampleWords:
    """Return the words of a sample; a learner, whose samples are outside, takes bytes and drops them."""
    match spec:
        case LearnerSpec():
            return SampleWords(1, 8, 1, 8)
        case DesignSpec():
            network, formats = spec.network, spec.formats
            # A length that the inputs of a series begin with needs all bits of a word of the stream.
            width = formats.input.width if network.record_inputs == network.n_in else spec.sample_width
            return SampleWords(network.record_inputs, width, network.n_out, formats.activation.width)
        case _:
            raise unknown("Design", spec, "python_ref.spec.frames.words_of_sample")


def write_payload(writes: Sequence[tuple[int, int]]) -> bytes:
    """Return the payload of WRITE for pairs (address, 32 bits of data)."""
    return b"".join(data.to_bytes(4, "little") + bytes((address,)) for address, data in writes)


def read_payload(addresses: Sequence[int]) -> bytes:
    """Return the payload of READ for addresses."""
    return bytes(addresses)


def sample_bytes(spec: DesignSpec) -> int:
    """Return the size of a packed sample in bytes: its words without gaps, padded to whole bytes."""
    sample = words_of_sample(spec)
    return -(-(sample.inputs * sample.input_width + sample.targets * sample.target_width) // 8)


def pack_samples(spec: DesignSpec, words: np.ndarray) -> bytes:
    """Pack samples as they are sent: the words of each sample one after the other, lowest bit first, padded to whole bytes.

    Parameters
    ----------
    spec : DesignSpec
        Design that determines the numbers of inputs and outputs and their formats.
    words : array of integers, shape (samples, record_inputs + n_out)
        Raw input words and raw targets of each sample; only as many low bits as :func:`words_of_sample` says are sent.
    """
    sample = words_of_sample(spec)
    rows, count = np.asarray(words), sample.inputs + sample.targets
    if rows.ndim != 2 or rows.shape[1] != count or rows.dtype.kind not in "iu":
        raise ValueError(f"Words must be integers of shape (samples, {count}), not {rows.dtype} of shape {rows.shape}")
    raw, parts = rows.astype(np.uint64) if rows.dtype.kind == "u" else rows.astype(np.int64).view(np.uint64), []
    for columns, width in ((raw[:, : sample.inputs], sample.input_width), (raw[:, sample.inputs :], sample.target_width)):
        bits = columns[:, :, None] >> np.arange(width, dtype=np.uint64) & np.uint64(1)
        parts.append(bits.astype(np.uint8).reshape(len(rows), -1))
    return np.packbits(np.concatenate(parts, axis=1), axis=1, bitorder="little").tobytes()


def unpack_samples(spec: DesignSpec, data: bytes) -> np.ndarray:
    """Return the words of samples that :func:`pack_samples` packed.

    The words are of the width that :func:`words_of_sample` says, and unsigned (int64, shape (samples, record_inputs + n_out)).
    """
    rows = np.frombuffer(data, dtype=np.uint8).reshape(-1, sample_bytes(spec))
    bits = np.unpackbits(rows, axis=1, bitorder="little").astype(np.int64)
    sample, first, parts = words_of_sample(spec), 0, []
    for count, width in ((sample.inputs, sample.input_width), (sample.targets, sample.target_width)):
        parts.append(bits[:, first : first + count * width].reshape(len(rows), count, width) @ (1 << np.arange(width, dtype=np.int64)))
        first += count * width
    return np.concatenate(parts, axis=1)
