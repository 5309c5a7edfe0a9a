"""A serial line: 8 bits, no parity, one stop bit, lowest bit first."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.frames import ESCAPE, FLAG, INVERTED
from rtl_gen.slot import and_or_mux

__all__ = ["Receiver", "Transmitter"]

BITS = 8


def _check_divisor(divisor: int) -> int:
    if not isinstance(divisor, int) or isinstance(divisor, bool) or divisor < 1:
        raise ValueError(f"Divisor must be a whole number of cycles per bit, from 1 (4 on a real line), not {divisor!r}")
    return divisor


class Receiver(wiring.Component):
    """Takes bytes off a line.

    A start is a fall of the line; each bit is sampled once, in the cycle nearest to its middle. Where the sender has another clock, 4
    cycles per bit bear a difference of 2 % between both.

    Parameters
    ----------
    divisor : int
        Cycles per bit; below 4 only where the sender has the same clock.

    Members
    -------
    i : In(1)
        The line, in step with the clock.
    data : Out(8)
        A byte, while ``stb`` and in the cycle after.
    stb : Out(1)
        It came.
    error : Out(1)
        A byte came without its stop bit.
    """

    def __init__(self, divisor: int):
        self.divisor = _check_divisor(divisor)
        super().__init__({"i": In(1, init=1), "data": Out(BITS), "stb": Out(1), "error": Out(1)})

    def elaborate(self, platform):
        m = Module()
        first = self.divisor + (self.divisor - 1) // 2 - 1
        wait = Signal(range(first + 1))
        # A one goes ahead of the bits, and has come through when the stop bit is next.
        shifted = Signal(BITS + 1, reset_less=True)
        receiving, due, before = Signal(), Signal(), Signal(init=1)
        m.d.sync += before.eq(self.i)
        m.d.comb += self.data.eq(shifted[1:])
        with m.If(~receiving):
            m.d.sync += [wait.eq(first), due.eq(first == 0), receiving.eq(before & ~self.i)]
            with m.If(before & ~self.i):
                m.d.sync += shifted.eq(1 << BITS)
        with m.Elif(~due):
            m.d.sync += [wait.eq(wait - 1), due.eq(wait == 1)]
        with m.Else():
            m.d.sync += [wait.eq(self.divisor - 1), due.eq(self.divisor == 1)]
            with m.If(shifted[0]):
                m.d.sync += receiving.eq(0)
                m.d.comb += [self.stb.eq(self.i), self.error.eq(~self.i)]
            with m.Else():
                m.d.sync += shifted.eq(Cat(shifted[1:], self.i))
        return m


class Transmitter(wiring.Component):
    """Puts bytes on a line, stuffed as frames are.

    A byte is shifted in bit by bit, lowest first, while the transmitter is ready, and then sent; an escape goes ahead of it where it
    must.

    Parameters
    ----------
    divisor : int
        Cycles per bit.

    Members
    -------
    shift, bit : In(1)
        Take a bit of the next byte.
    send : In(1)
        Send the byte.
    flag : In(1)
        Send a flag.
    ready : Out(1)
        Nothing is being sent.
    o : Out(1)
        The line, a cycle later.
    """

    def __init__(self, divisor: int):
        self.divisor = _check_divisor(divisor)
        super().__init__({"shift": In(1), "bit": In(1), "send": In(1), "flag": In(1), "ready": Out(1), "o": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        byte = Signal(BITS, reset_less=True)
        # A bit that stands where the next bit of the line does: those of the byte, the stop bit, and its end.
        place = Signal(BITS + 2)
        wait = Signal(range(self.divisor))
        # Literal is a flag or an escape: not of the byte.
        sending, flag, literal, escaped, due = Signal(), Signal(), Signal(), Signal(), Signal()
        special, escape = Signal(), literal & ~flag
        # What the line does is chosen in one cycle, and done in the next.
        moves, falls, constant, variable = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [self.ready.eq(~sending), special.eq((byte == FLAG) | (byte == ESCAPE))]
        m.d.sync += [
            moves.eq(0),
            falls.eq(0),
            constant.eq(
                Mux(literal, Mux(flag, _bit_of(FLAG, place), _bit_of(ESCAPE, place)), place[BITS] | (escaped & _bit_of(INVERTED, place)))
            ),
            variable.eq(byte[0] & ~literal & ~place[BITS]),
        ]
        with m.If(moves):
            m.d.sync += self.o.eq(~falls & (constant ^ variable))

        steps = sending & due
        begins = Mux(sending, steps & place[-1] & escape, self.send | self.flag)
        m.d.sync += place.eq(and_or_mux(begins, C(1, len(place)), and_or_mux(steps, Cat(C(0, 1), place[:-1]), place)))

        def begin():
            return [wait.eq(self.divisor - 1), due.eq(self.divisor == 1), moves.eq(1), falls.eq(1)]

        with m.If(self.shift):
            m.d.sync += byte.eq(Cat(byte[1:], self.bit))
        with m.If(~sending), m.If(self.send | self.flag):
            m.d.sync += [sending.eq(1), flag.eq(self.flag), literal.eq(self.flag | special), escaped.eq(0), *begin()]
        with m.Elif(~due):
            m.d.sync += [wait.eq(wait - 1), due.eq(wait == 1)]
        with m.Else():
            m.d.sync += [wait.eq(self.divisor - 1), due.eq(self.divisor == 1)]
            with m.If(~literal):
                m.d.sync += byte.eq(byte[1:])
            with m.If(~place[-1]):
                m.d.sync += moves.eq(1)
            with m.Elif(escape):
                m.d.sync += [literal.eq(0), escaped.eq(1), *begin()]
            with m.Else():
                m.d.sync += sending.eq(0)
        return m


def _bit_of(byte, place):
    """The bit of a constant at its place; behind it, as a stop bit has it."""
    zeros, ones = ([place[number] for number in range(BITS) if byte >> number & 1 == bit] for bit in range(2))
    return ~Cat(zeros).any() if len(zeros) < len(ones) else Cat(ones).any()
