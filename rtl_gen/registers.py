"""The registers that count and show: words of one memory, visited in turn, with one narrow adder for all of them.

A counter in flip-flops takes a logic cell for each of its bits, and more to be read. Here it is a word of memory, and in
logic only what it counts between two visits; and of a word, one half is at work at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.slot import NO_READ_WRITE_CHECK, delayed

__all__ = ["Capture", "Counter", "RegisterFile", "count_latency", "count_ones"]


BITS_A_CYCLE, SUMS_A_CYCLE = 8, 4
"""What is counted, and added up, in one cycle."""


def count_latency(number: int) -> int:
    """Cycles that it takes to count so many bits."""
    sums, cycles = -(-number // BITS_A_CYCLE), 1
    while sums > 1:
        sums, cycles = -(-sums // SUMS_A_CYCLE), cycles + 1
    return cycles


def count_ones(m: Module, bits: list[Value], name: str) -> Value:
    """Number of set bits, ``count_latency`` cycles later: by a tree of adders with a register behind every few."""
    values, fan_in = bits, BITS_A_CYCLE
    for cycle in range(count_latency(len(bits))):
        sums = [_total(values[first : first + fan_in]) for first in range(0, len(values), fan_in)]
        registers = [Signal(each.shape(), name=f"{name}_{cycle}_{number}", reset_less=True) for number, each in enumerate(sums)]
        m.d.sync += [register.eq(each) for register, each in zip(registers, sums, strict=True)]
        values, fan_in = registers, SUMS_A_CYCLE
    return values[0]


def _total(values: list[Value]) -> Value:
    middle = len(values) // 2
    return values[0] if len(values) == 1 else _total(values[:middle]) + _total(values[middle:])


def _chosen(values: list[int], index: Signal) -> Value:
    """A constant by its index, as logic: of an array, Yosys would make a memory."""
    return reduce(or_, (Mux(index == number, value, 0) for number, value in enumerate(values)))


HALF = 16
"""Bits of what is read, added to and written in a cycle."""

SLOTS = 4
"""Cycles of a visit: halves of 64 bits; or those of 32, and the same once more if the count is at its end."""

RARE = 7
"""Times that what is rare may come between two visits."""


@dataclass(frozen=True)
class Counter:
    """A count of 32 bits that stops at its end, or of 64 bits.

    Attributes
    ----------
    name : str
        Name.
    address : int
        Of its word, the low one where it has two.
    most : int
        The most that it counts in a cycle.
    rare : bool
        Whether it counts no more than :data:`RARE` times ``most`` between two visits.
    wide : bool
        Whether it has 64 bits, the high word at the address after; the low one's is even.
    restarts : bool
        Whether ``restart`` clears it, rather than ``clear``.
    """

    name: str
    address: int
    most: int = 1
    rare: bool = False
    wide: bool = False
    restarts: bool = False


@dataclass(frozen=True)
class Capture:
    """Words that show what stands in logic, copied at every visit.

    Attributes
    ----------
    name : str
        Name.
    address : int
        Of its first word; even where it has two.
    width : int
        Bits, up to 64; 32 of them to a word, the low ones first.
    """

    name: str
    address: int
    width: int = 32

    @property
    def wide(self) -> bool:
        return self.width > 32


class RegisterFile(wiring.Component):
    """Counters and captures in a memory of 32-bit words.

    Each is visited in turn, for :data:`SLOTS` cycles. In each of them a half of it is read; a cycle later it is registered, with what it
    grows by; then it is added to, with the carry of the half before; then it is written. A word is read for the host while one is visited
    that needs two cycles.

    Parameters
    ----------
    counters : iterable of Counter
        What is counted.
    captures : iterable of Capture
        What is shown.
    contents : mapping of int to int
        Words that never change, by address.
    depth : int
        Words of the memory.

    Members
    -------
    i_<counter> : In
        What it counts in this cycle.
    i_<capture> : In
        What it shows.
    clear, restart : In(1)
        Counts to 0, which takes until ``settled`` is high again; nothing may be counted meanwhile.
    running : In(1)
        Something may be counted.
    settled : Out(1)
        All that was counted is in the memory.
    en, address : In
        Read a word; the address stands until it is there.
    o : Out(16)
        Half of it.
    low, high : Out(1)
        Which half is there: in one cycle the low one, in the next the high one.
    count_<counter> : Out
        The count, one cycle after the last of it: the memory's word and all that is on the way to it. It is there to be observed, and
        takes a counter's worth of logic if anything in a device hangs on it.

    Raises
    ------
    ValueError
        If there is nothing to visit while another is written, if a word of two has an odd address, if a word would never be read, or
        if what comes between two visits can be more than a word.
    """

    def __init__(self, counters: Iterable[Counter], captures: Iterable[Capture], contents: Mapping[int, int], *, depth: int):
        self.counters = tuple(counters)
        self.captures = tuple(captures)
        self.contents = dict(contents)
        self.depth = depth
        self.visits: tuple[Counter | Capture, ...] = (*self.counters, *self.captures)
        self._check()
        super().__init__(
            {
                **{f"i_{counter.name}": In(range(counter.most + 1)) for counter in self.counters},
                **{f"i_{capture.name}": In(capture.width) for capture in self.captures},
                **{name: In(1) for name in ("clear", "restart", "running", "en")},
                "settled": Out(1),
                "address": In(range(depth)),
                "o": Out(HALF),
                "low": Out(1),
                "high": Out(1),
                **{f"count_{counter.name}": Out(64 if counter.wide else 32) for counter in self.counters},
            }
        )

    def _check(self):
        if len(self.visits) < 2 or all(each.wide for each in self.visits):
            raise ValueError("Registers must be two or more, one of them of 32 bits, so that there is time to write and to read")
        for each in self.visits:
            if each.wide and each.address % 2:
                raise ValueError(f"A register of two words must have an even address, not {each.address} ({each.name})")
        for counter in self.counters:
            if counter.most * self.rotation >= 1 << 32:
                most = (1 << 32) // self.rotation
                raise ValueError(f"A counter must count less than {most} a cycle, not {counter.most} ({counter.name})")

    @property
    def rotation(self) -> int:
        """Cycles from a visit to the next of the same."""
        return len(self.visits) * SLOTS

    def elaborate(self, platform):
        m = Module()
        words = [self.contents.get(address, 0) for address in range(self.depth)]
        halves = [word >> HALF * half & (1 << HALF) - 1 for word in words for half in range(2)]
        m.submodules.words = store = memory.Memory(shape=HALF, depth=len(halves), init=halves, attrs=NO_READ_WRITE_CHECK)
        write, read = store.write_port(), store.read_port()
        slot = Signal(range(SLOTS))
        m.d.sync += slot.eq(slot + 1)
        base, wide, turns, coming = self._visit(m, slot)
        reads = self._read(m, slot, wide)
        m.d.comb += read.addr.eq(Mux(reads, Cat(slot[0], self.address), _half(base, wide, slot)))

        # The half that was read is registered, with what it grows by; a capture is all growth.
        old, grown, kept = Signal(HALF, reset_less=True), Signal(HALF, reset_less=True), Signal()
        ahead = {each: SLOTS - 1 if isinstance(each, Capture) else 0 for each in self.visits}
        taken = {each: delayed(m, turn & (slot == ahead[each]), 1, f"{each.name}_taken", reset_less=False) for each, turn in coming.items()}
        waiting = self._count(m, taken)
        drops = self._drop(m, slot, coming, *self._settle(m, taken[self.visits[0]]))
        m.d.sync += [kept.eq(reads), old.eq(read.data), grown.eq(self._growth(m, slot, turns, taken, waiting))]
        with m.If(drops & ~kept):
            m.d.sync += old.eq(0)
        m.d.comb += self.o.eq(old)

        # They are added; then their sum is written: three cycles after the half was read. A count at its end is written again, all ones.
        total, carry = Signal(HALF + 1, reset_less=True), Signal()
        written, written_wide, begun, ended = Signal.like(base), Signal(), Signal(), Signal()
        summed = old + grown + carry
        # The low half of a word takes no carry, which is known a cycle ahead.
        m.d.sync += [total.eq(summed), carry.eq(summed[HALF] & (slot != 1))]
        with m.If(~written_wide & ~slot[1]):
            m.d.sync += [total.eq(-1), carry.eq(slot != 1)]
        with m.If(slot == 2):
            m.d.sync += [written.eq(base), written_wide.eq(wide), begun.eq(1)]
        with m.If(slot == 0):
            m.d.sync += ended.eq(total[HALF] & ~written_wide)
        m.d.comb += [
            write.addr.eq(_half(written, written_wide, (slot + 1)[:2])),
            write.data.eq(total[:HALF]),
            write.en.eq(begun & (ended | written_wide | ~(slot[0] ^ slot[1]))),
        ]
        self._show(m, write, taken, waiting)
        return m

    def _visit(self, m, slot):
        """The address of what is visited, and whether it has two words; whose half has been read, and whose will be next."""
        last = len(self.visits) - 1
        number = Signal(range(last + 1), init=1)
        base, wide = Signal(range(self.depth), init=self.visits[0].address), Signal(init=self.visits[0].wide)
        turns = {each: Signal(name=f"{each.name}_turn", init=each is self.visits[-1]) for each in self.visits}
        with m.If(slot == SLOTS - 1):
            m.d.sync += [
                number.eq(Mux(number == last, 0, number + 1)),
                base.eq(_chosen([each.address for each in self.visits], number)),
                wide.eq(_chosen([each.wide for each in self.visits], number)),
            ]
        with m.If(slot == 0):
            m.d.sync += Cat(turns.values()).eq(Cat(turns.values()).rotate_left(1))
        return base, wide, turns, dict(zip(turns, Cat(turns.values()).rotate_left(1), strict=True))

    def _read(self, m, slot, wide):
        """Whether a half is read for the host, as one is in the last slots of what needs only the first."""
        asked, reads = Signal(), Signal()
        with m.If(slot == SLOTS - 1):
            m.d.sync += reads.eq(0)
        with m.If((slot == 1) & asked & ~wide):
            m.d.sync += [reads.eq(1), asked.eq(0)]
        with m.If(self.en):
            m.d.sync += asked.eq(1)
        m.d.comb += self.low.eq(delayed(m, reads & (slot == 2), 2, "low", reset_less=False))
        m.d.sync += self.high.eq(self.low)
        return reads

    def _settle(self, m, turned):
        """Whether counts are being cleared: those of ``clear``, those of ``restart``."""
        rotations, ended, again = Signal(2), Signal(), Signal()
        clearing, restarting = Signal(init=1), Signal(init=1)
        begin = self.running | self.clear | self.restart
        # Two whole ones: what waits is counted, then it is cleared.
        m.d.comb += ended.eq((rotations == 3) & ~again)
        m.d.sync += [
            again.eq(begin),
            self.settled.eq(ended & ~begin),
            # Until a cycle before anything may be counted.
            clearing.eq(self.clear | (clearing & ~ended)),
            restarting.eq(self.restart | (restarting & ~ended)),
            rotations.eq(Mux(again, 0, rotations + (turned & (rotations != 3)))),
        ]
        return clearing, restarting

    def _drop(self, m, slot, coming, clearing, restarting) -> Value:
        """Whether what was in the memory is not added to."""
        shown, restarts = Signal(), Signal()
        with m.If(slot == 0):
            m.d.sync += [
                shown.eq(Cat(coming[each] for each in self.captures).any()),
                restarts.eq(Cat(coming[each] for each in self.counters if each.restarts).any()),
            ]
        return shown | Mux(restarts, restarting, clearing)

    def _count(self, m, taken) -> dict[Counter, Signal]:
        """What each counter has counted since it was taken."""
        waiting = {}
        for each in self.counters:
            most = RARE * each.most if each.rare else each.most * self.rotation
            waiting[each] = Signal(range(most + 1), name=f"{each.name}_waiting")
            counted = getattr(self, f"i_{each.name}")
            m.d.sync += waiting[each].eq(Mux(taken[each], counted, waiting[each] + counted))
        return waiting

    def _growth(self, m, slot, turns, taken, waiting) -> Value:
        """What the half of this cycle grows by. A word is taken at once, of a capture a cycle ahead: its high half comes a cycle later."""
        shown, kept = Signal(2 * HALF, reset_less=True), Signal(HALF, reset_less=True)
        words = [Mux(taken[each], getattr(self, f"i_{each.name}")[: 2 * HALF], 0) for each in self.captures]
        for each in self.captures:
            if each.wide:
                again = delayed(m, turns[each] & (slot == 1), 1, f"{each.name}_again", reset_less=False)
                words.append(Mux(again, getattr(self, f"i_{each.name}")[2 * HALF :], 0))
        low, high = ([Mux(taken[each], count[first : first + HALF], 0) for each, count in waiting.items()] for first in (0, HALF))
        m.d.sync += [shown.eq(reduce(or_, words, 0)), kept.eq(reduce(or_, high, shown[HALF:]))]
        return reduce(or_, low, shown[:HALF] | kept)

    def _show(self, m, write, taken, waiting):
        """Counts as they are: what was written, what is on its way there, and what waits."""
        for each in self.counters:
            halves, written = (Signal(64 if each.wide else 32, name=f"{each.name}_{name}") for name in ("halves", "written"))
            coming = Signal.like(waiting[each], name=f"{each.name}_coming")
            for half in range(len(halves) // HALF):
                with m.If(write.en & (write.addr == 2 * each.address + half)):
                    m.d.sync += halves[HALF * half : HALF * (half + 1)].eq(write.data)
            with m.If(delayed(m, taken[each], SLOTS + 2, f"{each.name}_shown")):
                m.d.sync += [written.eq(halves), coming.eq(0)]
            with m.If(taken[each]):
                m.d.sync += coming.eq(waiting[each])
            total = written + coming + waiting[each]
            m.d.comb += getattr(self, f"count_{each.name}").eq(total if each.wide else Mux(total[32:].any(), 0xFFFFFFFF, total))


def _half(address: Value, wide: Value, number: Value) -> Value:
    """Address of a half; where there are only two, they come twice."""
    return Cat(number[0], address[0] | (wide & number[1]), address[1:])
