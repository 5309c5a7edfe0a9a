"""The device's side of the frames, block by block, in the corners that a whole core comes to too seldom."""

import pytest

from python_ref.spec.frames import FLAG, RING_BYTES, Answer, Decoder, Frame, Kind, Reply, stuffed
from rtl_gen.framing import FrameReceiver, FrameSender
from tests.rtl_gen.bench import cycles

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


@pytest.mark.parametrize(("before", "after"), [(7, 8), (63, 0), (31, 32)])
def test_a_number_is_told_whole_though_it_changes_meanwhile(before, after):
    told = set()
    for change in range(10, 22):
        inputs = [{"refused": 1, "expected": before}, {"refused": 0}]
        inputs += [{} for _ in range(change - 1)] + [{"expected": after}]
        line = [row["o"] for row in cycles(FrameSender(1), inputs, ("o",), extra=160)]
        (reply,) = [Reply.of(content) for content in Decoder().feed(bytes_of(line))]
        assert reply.answer is Answer.EXPECT
        told.add(reply.number)
    assert told <= {before, after} and before in told


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
