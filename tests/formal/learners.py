# amaranth: UnusedElaboratable=no
"""The memories of a learner's lanes: what is read is what was written last, so that no update is lost, however its passes stall."""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth.hdl import Assume, Cat, Module, Mux, ResetSignal, Signal
from amaranth.lib.wiring import In

from python_ref.spec.design import Cast
from python_ref.spec.formats import LearnerFormats
from python_ref.spec.hardware import Hardware
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.perturbation import Kind, Perturbation
from python_ref.spec.schedule import Schedule
from rtl_gen.learner.array import LearnerArray
from rtl_gen.learner.core import LearnerCore
from rtl_gen.learner.sending import PASS_KINDS, PassSequencer
from tests.formal.harness import Induction, Opened, Property, always, control, opened, whichever
from tests.formal.memories import Passes, kept

__all__ = ["PROPERTIES"]


class LearnerPasses(Passes):
    """The sequencer and the array of a learner, pass after pass: no update of a word is lost, whichever word of whichever lane.

    Slots wait as long as the queues behind the array are full, at any place of a pass. A pass begins when all words of the one before
    have left the array, or later; whether it correlates and updates, the broadcast and the signs are free. The rest is as in
    :class:`~tests.formal.memories.Passes`.
    """

    spec: LearnerSpec  # type: ignore[assignment]  # the steps and the words are those of a learner

    def __init__(self, spec: LearnerSpec):
        self.spec = spec
        self.array = LearnerArray(spec)
        self.sequencer = PassSequencer(spec, room=LearnerCore(spec).room)
        free = {name: In(1) for name in ("start", "update", *PASS_KINDS)}
        given = {name: In(getattr(self.array, name).shape()) for name in ("broadcast", "replay")}
        super(Passes, self).__init__({**free, **given, "taken": In(spec.hardware.lanes)})

    def state(self, m: Module) -> None:
        sequencer, array, timing = self.sequencer, self.array, self.array.timing
        m.d.comb += Assume(~ResetSignal())  # which loses the write of a word that was read
        counts, inner = opened(sequencer), opened(array)
        m.submodules.sequencer, m.submodules.array = counts.module, inner.module
        lanes = [inner.within(f"lane{number}") for number in range(len(array.lanes))]
        m.d.sync += array.slot.eq(sequencer.slot)
        m.d.comb += [array.broadcast.eq(self.broadcast), array.replay.eq(self.replay)]
        update = self._begin(m, counts)
        words = self._words(m, counts, inner)
        slots, own = inner.names["slots"][: array.latency + 1], whichever(m, "word", range(self.spec.layout.words))
        m.d.comb += Assume(own < self.spec.layout.words)
        here = [slot.real & (word == own) for slot, word in zip(slots, words, strict=True)]
        visited = [each & slot.correlate for each, slot in zip(here, slots, strict=True)]
        for name, read, write, when in self._memories(update):
            reads = (here if name == "parameter" else visited)[read]
            always(m, ~(reads & Cat(visited[read + 1 : write + 1]).any() & when))
            for lane, block in zip(lanes, array.lanes, strict=True):
                always(m, getattr(block, f"{name}_read") == words[read], getattr(block, f"{name}_write") == words[write])
                always(m, getattr(block, f"{name}_en") == (slots[write].real & slots[write].correlate & when))
                kept(m, lane, name, own, reads, visited[write] & when)
        for number, lane in enumerate(lanes):
            self._summed(m, lane, number, visited, update)
        rounds = Signal(2)
        m.d.sync += rounds.eq(rounds + (visited[timing.parameter] & update))
        self.reach(m, here[0] & (rounds == 2))

    def _begin(self, m: Module, counts: Opened) -> Signal:
        """Begin passes; return whether the present one updates."""
        sequencer, running, frees = self.sequencer, counts.names["running"], counts.names["frees"]
        flight = self.array.latency + 2  # of the last word, to the array and through it
        since, update = Signal(range(flight + 1), init=flight), Signal()
        m.d.comb += [
            Assume(~self.start | (~running & (since == flight))),
            *(Assume(~taken | (free != sequencer.room)) for taken, free in zip(self.taken, frees, strict=True)),
            *(getattr(sequencer, name).eq(getattr(self, name)) for name in ("start", *PASS_KINDS, "taken")),
            self.array.update.eq(update),
        ]
        m.d.sync += since.eq(Mux(running | self.start, 0, Mux(since == flight, since, since + 1)))
        with m.If(self.start):
            m.d.sync += update.eq(self.update)
        self._since = since
        return update

    def _given(self, number: int) -> Any:
        several = len(self.array.lanes) > 1 and self.spec.direct_update  # a lane of several has an update of its own
        return self.broadcast.word_select(number, self.spec.broadcast_format.width).as_signed() if several else self.broadcast

    def _words(self, m: Module, counts: Opened, inner: Opened, since: Any = None) -> list[Any]:
        """The word that the slot at each stage of the array is for, or the next one, from the sequencer's count."""
        words, index = self.spec.layout.words, counts.names["index"]
        always(m, index < words, counts.names["running"] | (index == 0))
        numbers: list[Any] = [index]
        before: Any = counts.names["running"]  # no pass follows on the last slot
        for place, slot in enumerate((self.sequencer.slot, *inner.names["slots"][: self.array.latency + 1])):
            later = Signal(range(words + 1), name=f"word{place}")
            m.d.sync += later.eq(numbers[-1])
            always(m, numbers[-1] == Mux(slot.real, Mux(slot.last, 0, later + 1), later), later < words)
            always(m, ~slot.real | (self._since <= place), ~slot.real | (slot.last == (later == words - 1)))
            always(m, ~(slot.real & slot.last) | ~before)
            numbers.append(later)
            before |= slot.real
        return numbers[2:]


def learner(lanes: int, update_period: int) -> LearnerSpec:
    """A learner with narrow formats, and on several lanes a last slot with fewer quantities."""
    return LearnerSpec(
        "narrow",
        3 if lanes == 1 else 5,
        Perturbation(Kind.WEIGHT, amplitude_log2=-2),
        Schedule(((0, -1),), update_period=update_period),
        formats=LearnerFormats(
            Fixed(True, 1, 4), Fixed(True, 1, 4), Fixed(True, 0, 4), Fixed(True, 0, 4), weight_cast=Cast(Rounding.FLOOR, Overflow.SATURATE)
        ),
        hardware=Hardware(lanes),
    )


_MEMORIES, _ADDRESS = "array:CorrelatingArray.memories", "array:CorrelatingArray._address"

PROPERTIES = (
    *(
        Property(
            f"updates of a learner's {kind} on {lanes} lanes",
            "learner.array.LearnerArray, learner.sending.PassSequencer",
            partial(LearnerPasses, learner(lanes, period)),
            Induction(8),
            50,
            (
                control("written one word too far", _MEMORIES, '("write", write)', '("write", write - 1)', 30),
                control("the address goes on in a stall", _ADDRESS, "with m.If(slot.real):", "with m.If(slot.real | slot.correlate):", 30),
                *faults,
            ),
        )
        for kind, lanes, period, faults in (
            ("θ", 1, 1, ()),
            (
                "θ",
                2,
                1,
                (
                    control(
                        "every lane has the first one's update",
                        "learner.array:LearnerArray._each",
                        "width * lane : width * (lane + 1)",
                        "0:width",
                        30,
                    ),
                ),
            ),
            ("G", 1, 2, ()),
        )
    ),
)
