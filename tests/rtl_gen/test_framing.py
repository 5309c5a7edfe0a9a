"""The device's side of the frames, block by block, in the corners that a whole core comes to too seldom."""

import random
import zlib

import numpy as np
import pytest
from amaranth.sim import Simulator

from python_ref.spec.frames import (
    ESCAPE,
    FLAG,
    RING_BYTES,
    SEQUENCE,
    Answer,
    Decoder,
    Frame,
    Kind,
    Reply,
    pack_samples,
    sample_bytes,
    stuffed,
    write_payload,
)
from rtl_gen.serial.framing import FrameExecutor, FrameReceiver, FrameSender
from tests.support.bench import cycles
from tests.support.faults import DESIGNS

BYTE_CYCLES = 10


def received(frames):
    """What a receiver says, cycle by cycle, to frames that nobody takes out of its ring."""
    line = stuffed(frame.content() for frame in frames)
    inputs = [given for byte in line for given in ({"stb": 1, "data": byte}, *[{"stb": 0}] * (BYTE_CYCLES - 1))]
    return cycles(FrameReceiver(), inputs, ("reset", "refused", "expected"), extra=2)


def test_a_reset_is_heard_by_a_device_that_is_full():
    whole = [Frame(Kind.SAMPLES, number, bytes(range(128, 255)) + bytes(128)) for number in range(3)]
    rest = RING_BYTES - 1 - sum(len(frame.content()) for frame in whole)
    for missing in (0, 5):
        last = Frame(Kind.SAMPLES, 3, bytes(rest - 6 - missing))
        found = received([*whole, last, Frame(Kind.RESET, 0)])
        assert max(row["expected"] for row in found) == 4, "all of these find room"
        assert [row["reset"] for row in found].count(1) == 1
        assert found[-1]["expected"] == 0
        assert not any(row["refused"] for row in found)


def test_a_frame_without_room_is_refused():
    frames = [Frame(Kind.SAMPLES, number, bytes(255)) for number in range(4)]
    found = received(frames)
    assert found[-1]["expected"] == 3
    assert [row["refused"] for row in found].count(1) == 1


def test_damaged_doubled_and_skipped_frames_are_refused():
    """What a receiver says to each of a line's faults, in the midst of good frames: only these come out, each once, in order."""
    rng = random.Random(7)

    def flip(content, place):
        return bytes(byte ^ (1 << rng.randrange(8)) * (number == place) for number, byte in enumerate(content))

    good = [Frame(Kind.WRITE, number, bytes((FLAG, ESCAPE, number, FLAG ^ 0x20, number * 9))) for number in range(5)]
    contents = [frame.content() for frame in good]
    script = [
        (contents[0], True),
        *[(flip(contents[1], place), False) for place in range(len(contents[1]))],
        (contents[0], False),  # doubled
        (contents[2], False),  # number 1 was lost
        (contents[1][:-1], False),
        (contents[1][:3] + contents[1][4:], False),
        (contents[1] + b"\0", False),
        (contents[1], True),
        (contents[1][1:], False),
        (zlib.crc32(b"").to_bytes(4, "little"), False),  # its checksum would be right, but for the salt
        (flip(Frame(Kind.RESET, 0).content(), 2), False),
        (contents[2], True),
        (contents[3], None),  # whole, but between two of its bytes came one without its stop bit
        (contents[3], True),
        (contents[4], True),
    ]
    inputs, said = [{"content.ready": 1}], []
    for content, kept in script:
        line = stuffed([content])
        for number, byte in enumerate(line):
            wait = [{"stb": 0, "error": 0}] * (BYTE_CYCLES - 1)
            inputs += [{"error": 1}, *wait] if kept is None and number == 4 else []
            inputs += [{"data": byte, "stb": 1}, *wait]
        inputs += [{}] * 20
        said.append((len(inputs), kept))
    rows = cycles(FrameReceiver(), inputs, ("content.valid", "content.payload", "refused", "reset", "expected"), extra=200)
    assert not any(row["reset"] for row in rows)
    begin, expected = 0, 0
    for end, kept in said:
        expected += kept is True
        assert sum(row["refused"] for row in rows[begin:end]) == (kept is not True), (begin, kept)
        assert rows[end]["expected"] == expected
        begin = end
    assert bytes(row["content.payload"] for row in rows if row["content.valid"]) == b"".join(contents)


@pytest.mark.parametrize(("before", "after"), [(7, 8), (63, 0), (31, 32)])
def test_a_number_is_told_whole_though_it_changes_meanwhile(before, after):
    observed = set()
    for change in range(10, 22):
        inputs = [{"refused": 1, "expected": before}, {"refused": 0}]
        inputs += [{} for _ in range(change - 1)] + [{"expected": after}]
        line = [row["o"] for row in cycles(FrameSender(1), inputs, ("o",), extra=160)]
        (reply,) = [Reply.of(content) for content in Decoder().feed(bytes_of(line))]
        assert reply.answer is Answer.EXPECT
        observed.add(reply.number)
    assert observed <= {before, after} and before in observed


def test_an_answer_begins_only_after_what_the_device_says_of_itself():
    inputs = [{"refused": 1, "expected": 5, "answer": 0}, {"refused": 0}, {"answer": 1}]
    rows = cycles(FrameSender(1), inputs, ("answering",), extra=200)
    begun = next(number for number, row in enumerate(rows) if row["answering"])
    assert begun >= BYTE_CYCLES * len(stuffed([Reply(Answer.EXPECT, 5).content()])), "that was sent whole before"


def test_a_reset_is_answered_whole_whatever_it_cuts_short():
    for when in range(1, 120, 3):
        inputs = [{"refused": 1, "expected": 5}, {"refused": 0}, *[{}] * when, {"reset": 1, "expected": 0}, {"reset": 0}]
        line = [row["o"] for row in cycles(FrameSender(1), inputs, ("o",), extra=240)]
        assert [Reply.of(content) for content in Decoder().feed(bytes_of(line))][-1] == Reply(Answer.RESET, 0), when


def bytes_of(line):
    """Bytes on a line of one cycle per bit."""
    found, place = bytearray(), 0
    while 0 in line[place:]:
        start = line.index(0, place)
        found.append(sum(bit << number for number, bit in enumerate(line[start + 1 : start + 9])))
        assert line[start + 9] == 1, "a byte must have a stop bit"
        place = start + 10
    assert found[0] == FLAG
    return bytes(found)


@pytest.mark.parametrize("patience", [1, 3, 8])
def test_what_comes_out_of_the_ring_is_what_was_sent(patience):
    rng = random.Random(patience)
    frames = [Frame(Kind.SAMPLES, number, rng.randbytes(rng.randint(0, 9))) for number in range(12)]
    line = stuffed(frame.content() for frame in frames)
    inputs = [given for byte in line for given in ({"stb": 1, "data": byte}, *[{"stb": 0}] * (BYTE_CYCLES - 1))]
    inputs += [{}] * 150 * patience
    inputs = [given | {"content.ready": rng.randrange(patience) == 0} for given in inputs]
    rows = cycles(FrameReceiver(), inputs, ("content.valid", "content.payload"))
    taken = [row["content.payload"] for row, given in zip(rows, inputs, strict=True) if row["content.valid"] and given["content.ready"]]
    assert bytes(taken) == b"".join(frame.content() for frame in frames)


@pytest.mark.parametrize("name", ["weight", "long"])
def test_samples_are_cut_anywhere_and_requests_come_between(name):
    """Words that are no bytes, and samples that are no whole bytes, in frames of any length; requests where a word is whole, and frames
    that do nothing, with which a host asks where the device stands, anywhere."""
    spec, rng = DESIGNS[name], random.Random(name)
    executor, samples = FrameExecutor(spec), 6
    row = spec.network.n_in + spec.network.n_out
    words = np.array([[rng.getrandbits(spec.sample_width) for _ in range(row)] for _ in range(samples)])
    packed, size = pack_samples(spec, words), sample_bytes(spec)
    frames, at, writes = [], 0, []
    while at < len(packed):
        if at % size == 0:
            writes.append((rng.randrange(256), rng.getrandbits(32)))
            frames.append(Frame(Kind.WRITE, len(frames), write_payload(writes[-1:])))
        end = min(at + rng.randint(1, size), len(packed), at - at % size + size)
        frames.append(Frame(Kind.SAMPLES, len(frames), packed[at:end]))
        at = end
        frames += [Frame(rng.choice((Kind.WRITE, Kind.READ, Kind.SAMPLES)), len(frames), b"") for _ in range(rng.randrange(3))]
    assert len(frames) < SEQUENCE
    found_words, found_writes = [], []

    async def send(ctx):
        for byte in b"".join(frame.content() for frame in frames):
            ctx.set(executor.content.payload, byte)
            ctx.set(executor.content.valid, 1)
            await ctx.tick().until(executor.content.ready)
            ctx.set(executor.content.valid, 0)
            await ctx.tick().repeat(rng.randint(1, 3))

    async def take(ctx):
        async for _, _, close, *streams in ctx.tick().sample(
            executor.close, *(part for port in (executor.sample, executor.request) for part in (port.valid & port.ready, port.payload))
        ):
            ctx.set(executor.closed, close and rng.randrange(2))
            ctx.set(executor.answering, rng.randrange(2))
            ctx.set(executor.sample.ready, rng.randrange(2))
            ctx.set(executor.request.ready, rng.randrange(2))
            if streams[0]:
                found_words.append(streams[1])
            if streams[2]:
                found_writes.append((streams[3].address, streams[3].data))

    simulator = Simulator(executor)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send)
    simulator.add_testbench(take, background=True)
    simulator.run()
    widths = [spec.formats.input.width] * spec.network.n_in + [spec.formats.activation.width] * spec.network.n_out
    masks = np.array([(1 << width) - 1 for width in widths] * samples)
    assert found_writes == writes
    assert len(found_words) == words.size
    assert np.array_equal(np.array(found_words) & masks, words.ravel() & masks)
