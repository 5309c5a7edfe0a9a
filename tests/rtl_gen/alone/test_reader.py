# amaranth: UnusedElaboratable=no
"""Words of any width come from a serial flash in order, however long they wait; and a button is pressed once, however it bounces."""

from __future__ import annotations

import random

import pytest
from amaranth.sim import Simulator

from rtl_gen.alone.button import Button
from rtl_gen.alone.player import Player
from rtl_gen.alone.reader import FlashReader
from tests.support.bench import cycles
from tests.support.virtual_board import node_design

WAKE = 20


class Flash:
    """A serial flash that answers the command to read once it was woken up."""

    def __init__(self, contents: bytes) -> None:
        self.contents = contents
        self.awake_at: int | None = None
        self.bits: list[int] = []
        self.clock = self.out = 0

    def step(self, cycle: int, cs: int, sck: int, mosi: int) -> int:
        """Level of ``miso`` after a cycle with these levels."""
        if cs:
            if len(self.bits) == 8 and self.number(0, 8) == 0xAB and self.awake_at is None:
                self.awake_at = cycle + WAKE - 2
            self.bits = []
        elif sck and not self.clock:
            assert self.bits or self.awake_at is None or cycle > self.awake_at, "the command comes too early"
            self.bits.append(mosi)
        elif not sck and self.clock and len(self.bits) >= 32:
            assert self.awake_at is not None and cycle > self.awake_at and self.number(0, 8) == 0x03
            place = 8 * self.number(8, 32) + len(self.bits) - 32
            self.out = self.contents[place // 8] >> 7 - place % 8 & 1
        self.clock = sck
        return self.out

    def number(self, first: int, end: int) -> int:
        return int("".join(map(str, self.bits[first:end])), 2)


@pytest.mark.parametrize("patient", [False, True])
def test_words_of_any_width_come_in_order(patient: bool) -> None:
    rng = random.Random(f"reader {patient}")
    contents, dut = rng.randbytes(64), FlashReader(wake_cycles=WAKE)
    text = "".join(f"{byte:08b}" for byte in contents)
    flash, found, expected = Flash(contents), list[int](), list[int]()
    plan = [(rng.randrange(0, 30), [rng.choice((1, 2, 3, 5, 8, 13, 32)) for _ in range(8)]) for _ in range(4)]
    used = [0]

    async def bench(ctx):
        async def tick():
            ctx.set(dut.miso, flash.step(used[0], ctx.get(dut.cs), ctx.get(dut.sck), ctx.get(dut.mosi)))
            used[0] += 1
            await ctx.tick()

        while not ctx.get(dut.awake):
            await tick()
        for address, widths in plan:
            ctx.set(dut.address, address)
            ctx.set(dut.seek, 1)
            await tick()
            ctx.set(dut.seek, 0)
            place = 8 * address
            for width in widths:
                ctx.set(dut.bits, width)
                while not ctx.get(dut.o.valid) or (patient and rng.random() < 0.9):
                    await tick()
                found.append(ctx.get(dut.o.payload) & (1 << width) - 1)
                expected.append(int(text[place : place + width], 2))
                place += width
                ctx.set(dut.o.ready, 1)
                await tick()
                ctx.set(dut.o.ready, 0)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == expected and len(found) == 32


def test_a_button_is_pressed_once_however_it_bounces() -> None:
    bouncing = [1, 0, 1, 1, 0, 1, 0]
    levels = [*[0] * 10, *bouncing, *[1] * 20, *bouncing, *[0] * 20, *[1] * 7, *[0] * 10, *[1] * 20]
    rows = cycles(Button(8), [{"i": level} for level in levels], ("press",), extra=2)
    presses = [number for number, row in enumerate(rows) if row["press"]]
    assert len(presses) == 2  # the third time it was down for too short
    assert presses[0] == 10 + 7 + 8


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FlashReader(wake_cycles=0), r"^Wake cycles must be 1 or more, not 0$"),
        (lambda: FlashReader(wake_cycles=1, select_cycles=0), r"^Select cycles must be 1 or more, not 0$"),
        (lambda: Button(12), r"^Cycles must be a power of two from 2, not 12$"),
        (lambda: Player(node_design().spec, 6), r"^Base must be a multiple of 4 below 16,777,216, not 6$"),
    ],
)
def test_parameters_that_cannot_be_are_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
