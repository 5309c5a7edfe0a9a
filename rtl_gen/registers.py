"""The registers that count and show: words of one memory, visited in turn, with one adder for all of them.

A counter in flip-flops takes a logic cell for each of its bits, and more to be read. Here it is a word of memory, and in
logic only what it counts between two visits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.slot import delayed

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
        Whether it counts no more than three times ``most`` between two visits.
    wide : bool
        Whether it has 64 bits, the high word at the address after.
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
        Of its first word.
    width : int
        Bits; 32 of them to a word, the low ones first.
    """

    name: str
    address: int
    width: int = 32


@dataclass(frozen=True)
class _Visit:
    """A word, and which word of a counter or a capture it is."""

    of: Counter | Capture
    word: int

    @property
    def address(self) -> int:
        return self.of.address + self.word

    @property
    def wraps(self) -> bool:
        """Whether it is a low word, whose carry goes to the high one."""
        return isinstance(self.of, Counter) and self.of.wide and not self.word


class RegisterFile(wiring.Component):
    """Counters and captures in a memory of 32-bit words.

    In each cycle a visit starts: its address is registered, the word is read, what it grows by is added in two halves, and it is written.
    To read a word takes the place of a visit.

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
        Read a word.
    o : Out(32)
        The word, ``latency`` cycles after ``en``.
    count_<counter> : Out
        The count, one cycle after the last of it: the memory's word and all that is on the way to it. It is there to be observed, and
        takes a counter's worth of logic if anything in a device hangs on it.

    Raises
    ------
    ValueError
        If the words are so few that the carry of a low word would be late for its high word, or what comes between two visits can
        be more than a word.
    """

    latency = 3

    _carry_latency = 4
    """Visits from that of a low word to the first that finds its carry."""

    def __init__(self, counters: Iterable[Counter], captures: Iterable[Capture], contents: Mapping[int, int], *, depth: int):
        self.counters = tuple(counters)
        self.captures = tuple(captures)
        self.contents = dict(contents)
        self.depth = depth
        self.visits = self._order()
        self._check()
        super().__init__(
            {
                **{f"i_{counter.name}": In(range(counter.most + 1)) for counter in self.counters},
                **{f"i_{capture.name}": In(capture.width) for capture in self.captures},
                **{name: In(1) for name in ("clear", "restart", "running", "en")},
                "settled": Out(1),
                "address": In(range(depth)),
                "o": Out(32),
                **{f"count_{counter.name}": Out(64 if counter.wide else 32) for counter in self.counters},
            }
        )

    def _order(self) -> tuple[_Visit, ...]:
        """Low words, those of wide counters first, then captures, then high words."""
        low = [_Visit(counter, 0) for counter in sorted(self.counters, key=lambda counter: not counter.wide)]
        shown = [_Visit(capture, word) for capture in self.captures for word in range(-(-capture.width // 32))]
        high = [_Visit(counter, 1) for counter in self.counters if counter.wide]
        if len(low) + len(shown) < self._carry_latency:
            raise ValueError(f"Words must be at least {self._carry_latency} besides high words, not {len(low) + len(shown)}")
        return (*low, *shown, *high)

    def _check(self):
        for counter in self.counters:
            if counter.most * self.rotation >= 1 << 32:
                most = (1 << 32) // self.rotation
                raise ValueError(f"A counter must count less than {most} a cycle, not {counter.most} ({counter.name})")

    @property
    def rotation(self) -> int:
        """The most cycles from a visit of a word to the next, where no more than every fourth cycle reads a word."""
        return len(self.visits) * 4 // 3 + 2

    def elaborate(self, platform):
        m = Module()
        words = [self.contents.get(address, 0) for address in range(self.depth)]
        m.submodules.words = store = memory.Memory(shape=32, depth=self.depth, init=words)
        write, read = store.write_port(), store.read_port()
        clearing, restarting = self._settle(m)

        # A word is read.
        visit, place = Signal(range(len(self.visits))), Signal.like(read.addr)
        m.d.sync += place.eq(Mux(self.en, self.address, _chosen([each.address for each in self.visits], visit)))
        m.d.comb += read.addr.eq(place)
        with m.If(~self.en):
            m.d.sync += visit.eq(Mux(visit == len(self.visits) - 1, 0, visit + 1))
        turns, drops, voids = self._turns(m, delayed(m, visit, 1, "visited"), delayed(m, self.en, 1, "reads"), clearing, restarting)

        # It is registered, with what it grows by; a capture is all growth.
        old, grown = Signal(32, reset_less=True), Signal(32, reset_less=True)
        waiting = self._count(m, turns)
        m.d.sync += [old.eq(read.data), grown.eq(reduce(or_, self._growth(turns, waiting)))]
        with m.If(drops):
            m.d.sync += old.eq(0)
        with m.If(voids):
            m.d.sync += grown.eq(0)
        m.d.comb += self.o.eq(old)

        # Its low half grows, then its high half; then it is written. A count of one word stops at its end.
        low, high, total = Signal(17, reset_less=True), Signal(32, reset_less=True), Signal(33, reset_less=True)
        wraps = {each: delayed(m, turns[each], 3, f"{each.of.name}_wraps") for each in self.visits if each.wraps}
        m.d.sync += [
            low.eq(old[:16] + grown[:16]),
            high.eq(Cat(old[16:], grown[16:])),
            total.eq(Cat(low[:16], high[:16] + high[16:] + low[16])),
        ]
        m.d.comb += [
            write.addr.eq(delayed(m, place, 4, "place")),
            write.data.eq(total[:32] | (total[32] & ~Cat(wraps.values()).any()).replicate(32)),
            write.en.eq(delayed(m, ~self.en, 5, "written", reset_less=False)),
        ]
        for each, now in wraps.items():
            with m.If(now & total[32]):
                m.d.sync += waiting[_Visit(each.of, 1)].eq(1)
        taken = {each: Mux(turns[each] & ~voids, count, 0) for each, count in waiting.items()}
        self._show(m, write, waiting, taken)
        return m

    def _turns(self, m, visit, reads, clearing, restarting) -> tuple[dict[_Visit, Signal], Signal, Signal]:
        """Whose word has been read, one cycle later; whether it is dropped, and whether what it would grow by is as well."""
        turns = {each: Signal(name=f"{each.of.name}_turn{each.word}") for each in self.visits}
        drops, voids = Signal(), Signal()
        shown = _chosen([isinstance(each.of, Capture) for each in self.visits], visit)
        restarts = _chosen([isinstance(each.of, Counter) and each.of.restarts for each in self.visits], visit)
        cleared = Mux(restarts, restarting, clearing)
        m.d.sync += [
            *(turn.eq(~reads & (visit == number)) for number, turn in enumerate(turns.values())),
            drops.eq(~reads & (shown | cleared)),
            voids.eq(~reads & ~shown & cleared),
        ]
        return turns, drops, voids

    def _settle(self, m):
        """Whether counts are being cleared: those of ``clear``, those of ``restart``."""
        enough = 2 * self.rotation
        waited, ended = Signal(range(enough + 1)), Signal()
        clearing, restarting = Signal(init=1), Signal(init=1)
        m.d.comb += ended.eq(waited == enough)
        m.d.sync += self.settled.eq(ended)
        with m.If(~ended):
            m.d.sync += waited.eq(waited + 1)
        with m.If(ended):  # a cycle before anything may be counted
            m.d.sync += [clearing.eq(0), restarting.eq(0)]
        with m.If(self.clear):
            m.d.sync += clearing.eq(1)
        with m.If(self.restart):
            m.d.sync += restarting.eq(1)
        with m.If(self.running | self.clear | self.restart):
            m.d.sync += [waited.eq(0), self.settled.eq(0)]
        return clearing, restarting

    def _count(self, m, turns) -> dict[_Visit, Signal]:
        """What waits for the next visit of each counter's words: counts, and carries."""
        waiting = {}
        for each in self.visits:
            if isinstance(each.of, Counter):
                counter = each.of
                most = 1 if each.word else 3 * counter.most if counter.rare else counter.most * self.rotation
                waiting[each] = Signal(range(most + 1), name=f"{counter.name}_waiting{each.word}")
                left = Mux(turns[each], 0, waiting[each])
                m.d.sync += waiting[each].eq(left if each.word else left + getattr(self, f"i_{counter.name}"))
        return waiting

    def _growth(self, turns, waiting) -> list[Value]:
        """What each visited word grows by; 0 for all that are not."""
        grown = []
        for each, turn in turns.items():
            first = 32 * each.word
            value = waiting[each] if isinstance(each.of, Counter) else getattr(self, f"i_{each.of.name}")[first : first + 32]
            grown.append(Mux(turn, value, 0))
        return grown

    def _show(self, m, write, waiting, taken):
        """Counts as they are: what was written, what is on its way there, and what waits."""
        parts: dict[_Visit, Value] = {}
        for each, count in waiting.items():
            written = Signal(32, name=f"{each.of.name}_written{each.word}")
            coming = Signal.like(taken[each], name=f"{each.of.name}_coming{each.word}")
            with m.If(write.en & (write.addr == each.address)):
                m.d.sync += [written.eq(write.data), coming.eq(0)]
            with m.If(taken[each].any()):
                m.d.sync += coming.eq(taken[each])
            parts[each] = written + coming + count
        for counter in self.counters:
            low = parts[_Visit(counter, 0)]
            total = low + (parts[_Visit(counter, 1)] << 32) if counter.wide else Mux(low[32:].any(), 0xFFFFFFFF, low)
            m.d.comb += getattr(self, f"count_{counter.name}").eq(total)
