# amaranth: UnusedElaboratable=no
"""Reader of a serial flash memory, which gives words of any number of bits."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.flash import ADDRESS_BITS, READ, RELEASE

__all__ = ["FlashReader"]

WORD = 32
"""Most bits of a word."""


class FlashReader(wiring.Component):
    """Reads a serial flash memory from an address on, one bit in two cycles and one more for a word, and pauses while nobody takes it.

    After a reset it wakes the memory up. Data go out when ``sck`` falls, and what the memory sends is sampled one falling edge after
    the one at which the memory sent it, so that it has two cycles to arrive.

    Parameters
    ----------
    wake_cycles : int
        Cycles that the memory takes to wake up, from 1.
    select_cycles : int
        Cycles for which ``cs`` is high between two commands, from 1.

    Members
    -------
    seek : In(1)
        Strobe: read from ``address`` on; what has not been taken is dropped. Only while ``awake``.
    address : In(24)
        Address of the first byte to read.
    bits : In(range(WORD + 1))
        Number of bits of the word that comes, from 1; stable from the cycle after the word before was taken until this one is.
    awake : Out(1)
        The memory has woken up.
    o : Out(stream.Signature(WORD))
        The word in its low ``bits`` bits, the bit that was read first highest. The bits above are arbitrary.
    cs, sck, mosi, miso : Out(1), Out(1), Out(1), In(1)
        Pins of the memory, in mode 0; ``cs`` is active low.
    """

    def __init__(self, *, wake_cycles: int, select_cycles: int = 4):
        for name, value in (("Wake cycles", wake_cycles), ("Select cycles", select_cycles)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, not {value!r}")
        self.wake_cycles = wake_cycles
        self.select_cycles = select_cycles
        super().__init__(
            {
                "seek": In(1),
                "address": In(ADDRESS_BITS),
                "bits": In(range(WORD + 1)),
                "awake": Out(1),
                "o": Out(stream.Signature(WORD)),
                "cs": Out(1, init=1),
                "sck": Out(1),
                "mosi": Out(1),
                "miso": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # One register shifts a command out and words in. The first command, which wakes the memory up, has 8 bits.
        word, count, last = Signal(WORD, init=RELEASE << WORD - 8), Signal(range(WORD)), Signal()
        wait, pending = Signal(range(max(self.wake_cycles, self.select_cycles)), init=self.select_cycles - 1), Signal(init=1)
        commanding, reading, final = Signal(), Signal(), Signal(range(WORD), reset_less=True)
        m.d.sync += final.eq((Mux(commanding, Mux(self.awake, WORD, 8), self.bits) - 1)[: len(final)])
        m.d.comb += [
            self.mosi.eq(word[-1]),
            self.o.payload.eq(word),
            last.eq(count == final),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.sck):
            m.d.sync += [self.sck.eq(0), word.eq(Cat(self.miso, word)), count.eq(Mux(last, 0, count + 1))]
            with m.If(last):
                m.d.sync += [commanding.eq(0), reading.eq(self.awake), self.o.valid.eq(reading)]
                with m.If(~self.awake):
                    m.d.sync += [self.cs.eq(1), wait.eq(self.wake_cycles - 1)]
        with m.Elif(commanding | (reading & ~self.o.valid)):
            m.d.sync += self.sck.eq(1)
        with m.If(self.cs & (wait != 0)):
            m.d.sync += wait.eq(wait - 1)
        with m.Elif(self.cs & pending):
            m.d.sync += [pending.eq(0), self.cs.eq(0), commanding.eq(1)]
        with m.Elif(self.cs):
            m.d.sync += self.awake.eq(1)
        with m.If(self.seek):
            m.d.sync += [
                *(each.eq(0) for each in (self.sck, self.o.valid, count, commanding, reading)),
                *(each.eq(1) for each in (self.cs, pending)),
                wait.eq(self.select_cycles - 1),
                word.eq(Cat(self.address, Const(READ, 8))),
            ]
        return m
