"""Counters and status registers in one memory, updated in turn by one narrow adder.

A counter made of flip-flops takes one logic cell per bit, and more to read it. Here a counter is a word of memory, and logic holds only
its increments between two updates. Words are processed in halves of 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.slot import NO_READ_WRITE_CHECK, delayed

__all__ = ["Capture", "Counter", "RegisterFile", "count_lanes", "count_latency", "count_ones"]


BITS_A_CYCLE, SUMS_A_CYCLE = 8, 4
"""Number of bits counted per adder in the first cycle, and number of sums added per adder in each later one."""


def count_latency(number: int) -> int:
    """Cycles that :func:`count_ones` needs for ``number`` bits."""
    sums, cycles = -(-number // BITS_A_CYCLE), 1
    while sums > 1:
        sums, cycles = -(-sums // SUMS_A_CYCLE), cycles + 1
    return cycles


def count_ones(m: Module, bits: list[Value], name: str) -> Value:
    """Number of set bits, ``count_latency`` cycles later, by a pipelined tree of adders."""
    values, fan_in = bits, BITS_A_CYCLE
    for cycle in range(count_latency(len(bits))):
        sums = [_total(values[first : first + fan_in]) for first in range(0, len(values), fan_in)]
        registers = [Signal(each.shape(), name=f"{name}_{cycle}_{number}", reset_less=True) for number, each in enumerate(sums)]
        m.d.sync += [register.eq(each) for register, each in zip(registers, sums, strict=True)]
        values, fan_in = registers, SUMS_A_CYCLE
    return values[0]


def count_lanes(m: Module, which: Value | None, when: ValueLike, name: str, *, lanes: int, every: Value) -> Value:
    """Number of lanes in which something happens, ``count_latency(lanes)`` cycles later.

    Parameters
    ----------
    m : Module
        Module to which the registers are added.
    which : Value or None
        A bit for each lane, set where it happens; None if it happens in every lane that has a neuron.
    when : ValueLike
        Whether it may happen in this cycle at all.
    name : str
        Name of the count, with which the names of the signals begin.
    lanes : int
        Number of lanes L.
    every : Value
        Number of lanes that have a neuron in this cycle.
    """
    if which is None:
        return delayed(m, Mux(when, every, 0), count_latency(lanes), name)
    taken = Signal(lanes, name=f"{name}_taken")
    m.d.comb += taken.eq(Mux(when, which, 0))
    return count_ones(m, list(taken), name)


def _total(values: list[Value]) -> Value:
    middle = len(values) // 2
    return values[0] if len(values) == 1 else _total(values[:middle]) + _total(values[middle:])


def _chosen(values: list[int], index: Signal) -> Value:
    """The constant at an index, built from logic, since Yosys would turn an array into a memory."""
    return reduce(or_, (Mux(index == number, value, 0) for number, value in enumerate(values)))


HALF = 16
"""Number of bits that are read, added and written per cycle."""

SLOTS = 4
"""Cycles of one update: the four halves of 64 bits; or the two halves of 32 bits, and both again to saturate a full counter."""

RARE = 7
"""Most events of a rare counter between two updates."""


@dataclass(frozen=True)
class Counter:
    """A counter of 32 bits that saturates, or of 64 bits.

    Attributes
    ----------
    name : str
        Name of the counter, and suffix of its ports.
    address : int
        Address of its word; of the low word if it has two.
    most : int
        Largest increment in one cycle.
    rare : bool
        Whether it counts at most :data:`RARE` times ``most`` between two updates.
    wide : bool
        Whether it has 64 bits, with its low word at an even address and its high word at the next.
    restarts : bool
        Whether the strobe ``restart`` clears it, instead of ``clear``.
    """

    name: str
    address: int
    most: int = 1
    rare: bool = False
    wide: bool = False
    restarts: bool = False


@dataclass(frozen=True)
class Capture:
    """A register that shows a value held in logic, copied at each update.

    Attributes
    ----------
    name : str
        Name of the register, and suffix of its port.
    address : int
        Address of its first word, which is even if it has two.
    width : int
        Number of bits, up to 64, with the low 32 in the first word.
    complement : bool
        Whether the port has the complement of the value.
    """

    name: str
    address: int
    width: int = 32
    complement: bool = False

    @property
    def wide(self) -> bool:
        return self.width > 32


class RegisterFile(wiring.Component):
    """Counters and captures in a memory of 32-bit words.

    They are updated in turn, each for :data:`SLOTS` cycles. In each of these cycles one half is read. One cycle later it is registered
    together with its increment, then both are added with the carry of the previous half, and then the sum is written. The host's reads
    use the free cycles of updates that need only two.

    Parameters
    ----------
    counters : iterable of Counter
        The counters in the order of their updates.
    captures : iterable of Capture
        The captures, which are updated after the counters.
    contents : mapping of int to int
        Constant words of the memory, by address.
    depth : int
        Number of words in the memory.

    Members
    -------
    i_<counter> : In
        Increment of the counter in this cycle.
    i_<capture> : In
        Value that the capture shows, or its complement.
    clear, restart : In(1)
        Strobes that clear the counters, which takes until ``settled`` is high again; nothing may be counted meanwhile.
    running : In(1)
        Counters may have increments; high during a run.
    settled : Out(1)
        All increments are in the memory.
    en, address : In
        Strobe and address of a read; the address must be stable until the word is output.
    o : Out(16)
        One half of the word that was read.
    low, high : Out(1)
        ``o`` is the low half; in the next cycle, ``o`` is the high half.
    count_<counter> : Out
        Current count, one cycle after the last increment: the memory's word plus all pending increments. It is meant for simulation,
        and would cost a whole counter if a device used it.

    Raises
    ------
    ValueError
        If there are fewer than two registers, if all have 64 bits so that no cycle is free for the host's reads, if a 64-bit register has
        an odd address, or if the increments between two updates can exceed 32 bits.
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
        """Cycles between two updates of the same register."""
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

        # The half that was read is registered with its increment; a capture starts from 0, and its value is the increment.
        old, grown, kept = Signal(HALF, reset_less=True), Signal(HALF, reset_less=True), Signal()
        ahead = {each: SLOTS - 1 if isinstance(each, Capture) else 0 for each in self.visits}
        taken = {each: delayed(m, turn & (slot == ahead[each]), 1, f"{each.name}_taken", reset_less=False) for each, turn in coming.items()}
        waiting = self._count(m, taken)
        drops = self._drop(m, slot, coming, *self._settle(m, taken[self.visits[0]]))
        m.d.sync += [kept.eq(reads), old.eq(read.data), grown.eq(self._growth(m, slot, turns, taken, waiting))]
        with m.If(drops & ~kept):
            m.d.sync += old.eq(0)
        m.d.comb += self.o.eq(old)

        # Both are added, and the sum is written three cycles after the half was read. After an overflow, all ones are written instead.
        total, carry = Signal(HALF + 1, reset_less=True), Signal()
        written, written_wide, begun, ended = Signal.like(base), Signal(), Signal(), Signal()
        summed = old + grown + carry
        # The low half of a word has no carry input, which is decided one cycle ahead.
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
        """Address of the register being updated, and whether it has two words; one-hot flags of the register whose half was read,
        and of the next one."""
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
        """Whether a half is read for the host, which happens in the last cycles of updates that need only the first ones."""
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
        """Whether the counters of ``clear``, and those of ``restart``, are being cleared."""
        rotations, ended, again = Signal(2), Signal(), Signal()
        clearing, restarting = Signal(init=1), Signal(init=1)
        begin = self.running | self.clear | self.restart
        # After two whole rotations, all pending increments have been added, and then cleared.
        m.d.comb += ended.eq((rotations == 3) & ~again)
        m.d.sync += [
            again.eq(begin),
            self.settled.eq(ended & ~begin),
            # Ends one cycle before anything may be counted.
            clearing.eq(self.clear | (clearing & ~ended)),
            restarting.eq(self.restart | (restarting & ~ended)),
            rotations.eq(Mux(again, 0, rotations + (turned & (rotations != 3)))),
        ]
        return clearing, restarting

    def _drop(self, m, slot, coming, clearing, restarting) -> Value:
        """Whether the memory's old word is replaced by 0."""
        shown, restarts = Signal(), Signal()
        with m.If(slot == 0):
            m.d.sync += [
                shown.eq(Cat(coming[each] for each in self.captures).any()),
                restarts.eq(Cat(coming[each] for each in self.counters if each.restarts).any()),
            ]
        return shown | Mux(restarts, restarting, clearing)

    def _count(self, m, taken) -> dict[Counter, Signal]:
        """Pending increments of each counter since its last update."""
        waiting = {}
        for each in self.counters:
            most = RARE * each.most if each.rare else each.most * self.rotation
            waiting[each] = Signal(range(most + 1), name=f"{each.name}_waiting")
            counted = getattr(self, f"i_{each.name}")
            m.d.sync += waiting[each].eq(Mux(taken[each], counted, waiting[each] + counted))
        return waiting

    def _growth(self, m, slot, turns, taken, waiting) -> Value:
        """Increment of the half in this cycle. A whole word is sampled at once, a capture one cycle ahead, and its high half is kept
        for the next cycle."""
        shown, kept = Signal(2 * HALF, reset_less=True), Signal(HALF, reset_less=True)
        ports = {each: getattr(self, f"i_{each.name}") for each in self.captures}
        values = {each: ~port if each.complement else port for each, port in ports.items()}
        words = [Mux(taken[each], value[: 2 * HALF], 0) for each, value in values.items()]
        for each, value in values.items():
            if each.wide:
                again = delayed(m, turns[each] & (slot == 1), 1, f"{each.name}_again", reset_less=False)
                words.append(Mux(again, value[2 * HALF :], 0))
        low, high = ([Mux(taken[each], count[first : first + HALF], 0) for each, count in waiting.items()] for first in (0, HALF))
        m.d.sync += [shown.eq(reduce(or_, words, 0)), kept.eq(reduce(or_, high, shown[HALF:]))]
        return reduce(or_, low, shown[:HALF] | kept)

    def _show(self, m, write, taken, waiting):
        """Connect the current counts: the word in the memory, plus increments in the pipeline and pending ones."""
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
    """Memory address of a half word; a register of 32 bits repeats its two halves."""
    return Cat(number[0], address[0] | (wide & number[1]), address[1:])
