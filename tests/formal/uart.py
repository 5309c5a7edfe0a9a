# amaranth: UnusedElaboratable=no
"""The serial line: each byte that is sent is received once, as it is, and a receiver that heard noise waits for a byte again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from amaranth.hdl import Array, Assume, Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import In

from python_ref.spec.frames import ESCAPE, FLAG
from rtl_gen.serial.uart import Receiver, Transmitter
from tests.formal.harness import Bench, Induction, Property, always, control, opened

__all__ = ["PROPERTIES"]

OTHER = 0x20
"""Bit by which a byte after an escape differs."""


class Line(Bench):
    """A transmitter on the line of a receiver, whatever is sent.

    The age of a byte on the line counts cycles from the first one in which the transmitter sends it; every register of both ends is a
    function of the age and of the byte, and that makes the induction close.
    """

    def __init__(self, divisor: int):
        self.divisor = divisor
        self.sender, self.receiver = Transmitter(divisor), Receiver(divisor)
        super().__init__({name: In(1) for name in ("shift", "bit", "send", "flag")})

    def by_age(self, age: Signal, value: Callable[[int], int]) -> Any:
        """A number that depends on the age."""
        return Array(value(each) for each in range(10 * self.divisor + 1))[age]

    def state(self, m: Module) -> None:
        sender, receiver, divisor = self.sender, self.receiver, self.divisor
        sends, hears = opened(sender), opened(receiver)
        m.submodules.sender, m.submodules.receiver = sends.module, hears.module
        m.d.comb += [getattr(sender, name).eq(getattr(self, name)) for name in ("shift", "bit", "send", "flag")]
        m.d.comb += receiver.i.eq(sender.o)
        # The transmitter is asked for one thing at a time, while it is ready.
        asked = Cat(self.shift, self.send, self.flag)
        m.d.comb += [Assume(~asked.any() | sender.ready), Assume((asked == 0) | (asked == 1) | (asked == 2) | (asked == 4))]
        idle, last = 10 * divisor, 10 * divisor - 1
        age, byte, now = Signal(range(idle + 1), init=idle), Signal(8, reset_less=True), Signal(8)
        flagged, twice, second = Signal(), Signal(), Signal()  # a flag is sent; an escape comes first; the byte behind it is being sent
        special = (byte == FLAG) | (byte == ESCAPE)
        # A byte is shifted in as a whole before it is sent.
        bits = Signal(range(9))
        with m.If(self.shift):
            m.d.sync += [byte.eq(Cat(byte[1:], self.bit)), bits.eq(Mux(bits == 8, 8, bits + 1))]
        with m.If(self.send):
            m.d.sync += bits.eq(0)
        m.d.comb += Assume(~self.send | (bits == 8))
        always(m, *((bits <= 7 - place) | (sends.names["byte"][place] == byte[place]) for place in range(8)))
        always(m, (age == idle) | flagged | (bits == 0))
        m.d.sync += age.eq(Mux(age == idle, idle, age + 1))
        with m.If(self.send | self.flag):
            m.d.sync += [age.eq(0), now.eq(Mux(self.flag, FLAG, Mux(special, ESCAPE, byte))), twice.eq(self.send & special), second.eq(0)]
            m.d.sync += flagged.eq(self.flag)
        with m.Elif((age == last) & twice & ~second):
            m.d.sync += [age.eq(0), now.eq(byte ^ OTHER), second.eq(1)]
        # The stop bit is sampled, and with it the byte is received, at this age alone.
        received = 1 + 9 * divisor + (divisor - 1) // 2
        always(m, receiver.stb == (age == received), ~receiver.stb | (receiver.data == now), ~receiver.error, sender.ready == (age == idle))
        self._sender(m, sends.names, age, byte, now, twice, second, flagged)
        self._receiver(m, hears.names, age, now)
        self.reach(m, receiver.stb & second & (byte == ESCAPE))

    def _line(self, age: int, now: Signal) -> Any:
        """Level of the line at an age."""
        place = (age - 1) // self.divisor
        return 0 if age > 0 and place == 0 else now[place - 1] if age > 0 and place <= 8 else 1

    def _sender(self, m: Module, names: dict[str, Any], age: Signal, byte: Signal, now: Signal, *kinds: Signal) -> None:
        """Assert what the transmitter's registers are at each age."""
        divisor, idle = self.divisor, 10 * self.divisor
        twice, second, flagged = kinds
        sending, place = age != idle, self.by_age(age, lambda each: each // divisor)
        always(m, names["sending"] == sending, names["place"] == Mux(sending, (Const(1, 10) << place)[:10], 0))
        always(m, ~sending | (names["wait"] == self.by_age(age, lambda each: divisor - 1 - each % divisor)))
        always(m, ~sending | (names["due"] == self.by_age(age, lambda each: each % divisor == divisor - 1)))
        always(m, names["moves"] == self.by_age(age, lambda each: each % divisor == 0 and each < idle), names["falls"] == (age == 0))
        # What is sent, and what is left of the byte.
        literal, is_flag = names["literal"], names["flag"]
        special = (byte == FLAG) | (byte == ESCAPE)
        always(m, ~sending | (literal == (((now == FLAG) | (now == ESCAPE)) & ~second)), ~(sending & twice) | special, ~second | twice)
        always(m, ~(sending & literal) | (now == Mux(is_flag, FLAG, ESCAPE)), ~(sending & literal) | (twice == ~is_flag))
        always(m, ~(sending & ~literal) | (now == Mux(twice, byte ^ OTHER, byte)), ~(sending & ~literal) | (twice == second))
        always(m, ~(sending & ~literal) | (names["escaped"] == second), ~(sending & ~literal) | second | ~special)
        always(m, ~sending | flagged | (names["byte"] == Mux(literal, byte, byte >> place)), ~sending | (flagged == (literal & is_flag)))
        # The next level is computed one cycle before the line has it.
        steps = names["moves"] & ~names["falls"]
        level = Array(now[number] if number < 8 else Const(1, 1) for number in range(9))[place - 1]
        always(m, ~steps | (names["constant"] ^ names["variable"] == level))
        always(m, self.sender.o == Array(self._line(each, now) for each in range(idle + 1))[age])

    def _receiver(self, m: Module, names: dict[str, Any], age: Signal, now: Signal) -> None:
        """Assert what the receiver's registers are at each age."""
        divisor, idle = self.divisor, 10 * self.divisor
        first = 1 + divisor + (divisor - 1) // 2
        stop = first + 8 * divisor
        receiving = (age >= 2) & (age <= stop)
        always(m, names["receiving"] == receiving)
        always(m, names["before"] == Array(self._line(each - 1, now) if each > 1 else 1 for each in range(idle + 1))[age])
        always(
            m,
            ~receiving
            | (names["wait"] == self.by_age(age, lambda each: max(first - each, 0) if each <= first else -(each - first) % divisor)),
        )
        always(m, ~receiving | (names["due"] == self.by_age(age, lambda each: each >= first and (each - first) % divisor == 0)))
        count = self.by_age(age, lambda each: min(8, max(0, -(-(each - first) // divisor))))
        always(m, ~receiving | (names["shifted"] == Array(Cat(Const(1 << 8 - n, 9 - n), now[:n]) for n in range(9))[count]))


class Noise(Bench):
    """A receiver on a line with anything on it: once the line has been idle for as long as a byte, it waits for the next one."""

    def __init__(self, divisor: int):
        self.divisor = divisor
        self.receiver = Receiver(divisor)
        super().__init__({"i": In(1)})

    def state(self, m: Module) -> None:
        receiver, divisor = self.receiver, self.divisor
        hears = opened(receiver)
        m.submodules.receiver = hears.module
        m.d.comb += receiver.i.eq(self.i)
        receiving, wait, shifted, due = (hears.names[name] for name in ("receiving", "wait", "shifted", "due"))
        longest = divisor + (divisor - 1) // 2 - 1 + 8 * divisor
        idle, since = Signal(range(longest + 4)), Signal(range(longest + 4))
        m.d.sync += [idle.eq(Mux(self.i, Mux(idle == longest + 2, idle, idle + 1), 0)), since.eq(Mux(receiving, since + 1, 0))]
        # Bits that are still to come: a one marks their number in the shift register.
        left = Signal(range(9))
        for number in reversed(range(9)):
            with m.If(shifted[number]):
                m.d.comb += left.eq(number)
        always(m, ~receiving | shifted.any(), ~receiving | (since + wait + divisor * left == longest))
        always(m, ~receiving | (due == (wait == 0)), ~receiving | (idle <= since + 1), (idle < longest + 2) | ~receiving)
        ends = receiver.stb | receiver.error
        always(m, ends == (receiving & (since == longest)), receiver.stb == (ends & self.i), ~(receiver.stb & receiver.error))
        self.reach(m, receiver.stb & (receiver.data == 0x5A))


_RECEIVER, _TRANSMITTER = "serial.uart:Receiver.elaborate", "serial.uart:Transmitter.elaborate"


def line(divisor: int) -> Property:
    """The property of a line with so many cycles a bit."""
    frame = 20 * divisor + 16
    return Property(
        f"bytes on a line of {divisor} cycles a bit",
        "serial.uart.Transmitter, Receiver",
        partial(Line, divisor),
        Induction(2),
        frame,
        (
            control(
                "sampled a bit too late",
                _RECEIVER,
                "first = self.divisor + (self.divisor - 1) // 2 - 1",
                "first = 2 * self.divisor - 1 + (self.divisor - 1) // 2",
                frame,
            ),
            control("no stop bit", _TRANSMITTER, "place[BITS] | (escaped", "(escaped", frame),
            control(
                "a flag in a byte is not escaped",
                _TRANSMITTER,
                "special.eq((byte == FLAG) | (byte == ESCAPE))",
                "special.eq(byte == ESCAPE)",
                frame,
            ),
            control("the byte behind an escape is the byte", _TRANSMITTER, "literal.eq(0), escaped.eq(1)", "literal.eq(0)", frame),
        ),
    )


PROPERTIES = (
    *(line(divisor) for divisor in (2, 4, 5)),
    *(
        Property(
            f"receiver after noise, {divisor} cycles a bit",
            "serial.uart.Receiver",
            partial(Noise, divisor),
            Induction(2),
            12 * divisor + 8,
            (
                control("begins without an edge", _RECEIVER, "receiving.eq(before & ~self.i)", "receiving.eq(~before)", 24 * divisor),
                control("nine bits", _RECEIVER, "shifted.eq(1 << BITS)", "shifted.eq(1 << BITS - 1)", 24 * divisor),
            ),
        )
        for divisor in (1, 4, 7)
    ),
)
