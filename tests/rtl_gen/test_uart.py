"""Bytes on a line: received from a sender with another clock, and sent with escapes where they must be."""

import random

import pytest
from amaranth.sim import Simulator

from rtl_gen.serial.uart import Receiver, Transmitter
from tests.support.bench import cycles

FLAG, ESCAPE = 0x7E, 0x7D


def a_line(frames, bit, phase):
    """Levels, cycle by cycle: bytes, what takes the place of stop bits, pauses; a bit is ``bit`` cycles long, not a whole number."""
    levels, end = [1] * 8, 8 + phase
    for byte, stop, pause in frames:
        for level in (0, *(byte >> place & 1 for place in range(8)), stop, *[1] * pause):
            end += bit
            levels += [level] * (int(end) - len(levels))
    return [*levels, *[1] * int(12 * bit)]


def heard(divisor, levels):
    """What a receiver makes of a line: bytes, and None for each that is no byte."""
    rows = cycles(Receiver(divisor), [{"i": level} for level in levels], ("stb", "data", "error"))
    assert not any(row["stb"] and row["error"] for row in rows)
    return [row["data"] if row["stb"] else None for row in rows if row["stb"] or row["error"]]


@pytest.mark.parametrize("divisor", [4, 5, 12])
@pytest.mark.parametrize("difference", [-0.02, 0.0, 0.02])
def test_bytes_from_another_clock(divisor, difference):
    rng = random.Random(f"{divisor} {difference}")
    for phase in (0.1, 0.6):
        sent = [0x00, 0xFF, 0x55, 0xAA, *rng.randbytes(16)]
        frames = [(byte, 1, rng.choice((0, 0, 1, 3))) for byte in sent]
        assert heard(divisor, a_line(frames, divisor * (1 + difference), phase)) == sent


def test_a_bit_is_taken_from_its_middle():
    """A line that rises late and falls late, by a third of a bit: both ends of every bit are wrong, its middle is not."""
    divisor, sent = 12, [0x55, 0xA7, 0x00, 0xFF]
    clean = a_line([(byte, 1, 1) for byte in sent], divisor, 0)
    slow = [*clean[:4], *clean[:-4]]
    for levels in ([min(pair) for pair in zip(clean, slow, strict=True)], [max(pair) for pair in zip(clean, slow, strict=True)]):
        assert heard(divisor, levels) == sent


def test_a_byte_without_its_stop_bit_is_an_error():
    frames = [(0x41, 1, 2), (0x42, 0, 3), (0x43, 1, 2), (0x00, 0, 12), (0x44, 1, 2)]
    assert heard(4, a_line(frames, 4, 0)) == [0x41, None, 0x43, None, 0x44]


@pytest.mark.parametrize("divisor", [1, 3])
def test_what_is_sent_is_escaped(divisor):
    sent = [0x00, FLAG, ESCAPE, FLAG ^ 0x20, 0xFF, *random.Random(divisor).randbytes(10)]
    transmitter = Transmitter(divisor)
    line = []

    async def send(ctx):
        for byte in [None, *sent, None]:
            while not ctx.get(transmitter.ready):
                await ctx.tick()
            strobe = transmitter.flag if byte is None else transmitter.send
            for place in range(0 if byte is None else 8):
                ctx.set(transmitter.bit, byte >> place & 1)
                ctx.set(transmitter.shift, 1)
                await ctx.tick()
            ctx.set(transmitter.shift, 0)
            ctx.set(strobe, 1)
            await ctx.tick()
            ctx.set(strobe, 0)
        await ctx.tick().repeat(24 * divisor)

    async def listen(ctx):
        async for _, _, level in ctx.tick().sample(transmitter.o):
            line.append(level)

    simulator = Simulator(transmitter)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send)
    simulator.add_process(listen)
    simulator.run()
    escaped = [part for byte in sent for part in ((ESCAPE, byte ^ 0x20) if byte in (FLAG, ESCAPE) else (byte,))]
    found, place = [], 0
    while 0 in line[place:]:
        start = line.index(0, place)
        bits = [set(line[start + divisor * number : start + divisor * (number + 1)]) for number in range(10)]
        assert all(len(bit) == 1 for bit in bits) and bits[9] == {1}, "each bit lasts as long as it should"
        found.append(sum(min(bit) << number for number, bit in enumerate(bits[1:9])))
        place = start + 10 * divisor
    assert found == [FLAG, *escaped, FLAG]
