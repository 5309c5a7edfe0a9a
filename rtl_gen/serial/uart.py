"""Receiver and transmitter of a serial line with 8 bits, no parity, one stop bit, lowest bit first."""

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
    """Receives bytes from a line.

    A falling edge starts a byte, and each bit is sampled once, in the cycle nearest to its middle. With 4 cycles per bit, the sender's
    clock may differ by 2 %.

    Parameters
    ----------
    divisor : int
        Clock cycles per bit; below 4 only if the sender has the same clock.

    Members
    -------
    i : In(1)
        The receive line, synchronous to the clock.
    data : Out(8)
        The received byte, valid with ``stb`` and in the cycle after.
    stb : Out(1)
        Strobe: a byte has been received.
    error : Out(1)
        Strobe: a byte was received without its stop bit.
    """

    def __init__(self, divisor: int):
        self.divisor = _check_divisor(divisor)
        super().__init__({"i": In(1, init=1), "data": Out(BITS), "stb": Out(1), "error": Out(1)})

    def elaborate(self, platform):
        m = Module()
        first = self.divisor + (self.divisor - 1) // 2 - 1
        wait = Signal(range(first + 1))
        # A one precedes the bits in the shift register, and reaches its end when the stop bit is next.
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
    """Sends bytes on a line, with the byte stuffing of frames.

    A byte is shifted in bit by bit, lowest first, while the transmitter is ready, and then sent, preceded by an escape if it is a flag or
    an escape itself.

    Parameters
    ----------
    divisor : int
        Clock cycles per bit of the line.

    Members
    -------
    shift, bit : In(1)
        Strobe and value of the next bit of a byte.
    send : In(1)
        Strobe that sends the byte.
    flag : In(1)
        Strobe that sends a flag.
    ready : Out(1)
        The transmitter is idle, and accepts bits and strobes.
    o : Out(1)
        The transmit line, registered, high while idle.
    """

    def __init__(self, divisor: int):
        self.divisor = _check_divisor(divisor)
        super().__init__({"shift": In(1), "bit": In(1), "send": In(1), "flag": In(1), "ready": Out(1), "o": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        byte = Signal(BITS, reset_less=True)
        # One-hot position of the next bit on the line: those of the byte, the stop bit, and the end of it.
        place = Signal(BITS + 2)
        wait = Signal(range(self.divisor))
        # ``literal``: a flag or an escape is sent, not the byte.
        sending, flag, literal, escaped, due = Signal(), Signal(), Signal(), Signal(), Signal()
        special, escape = Signal(), literal & ~flag
        # The next level of the line is computed in one cycle, and output in the next.
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
    """The bit of a constant at a one-hot position; 1 at the position of the stop bit."""
    zeros, ones = ([place[number] for number in range(BITS) if byte >> number & 1 == bit] for bit in range(2))
    return ~Cat(zeros).any() if len(zeros) < len(ones) else Cat(ones).any()
