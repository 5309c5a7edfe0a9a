"""Executes the accesses of a bus: those to the core's registers, and those to the registers of the wrapper."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import ClassVar

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Member, Out

from python_ref.spec.bus import (
    ADDRESS_BITS,
    BUFFERED_SAMPLES,
    DROPPED_BITS,
    FIRST,
    Feeding,
    Interrupt,
    SampleSource,
    bus_commands,
    core_map,
    sample_words,
    wrapper_map,
)
from python_ref.spec.design import DesignSpec
from python_ref.spec.learning import LearningSpec
from python_ref.spec.registers import Command, Register
from rtl_gen.bus.frames import word_layout
from rtl_gen.host import request_layout
from rtl_gen.slot import delayed

__all__ = ["STARVATION_CYCLES", "Bridge", "access_layout", "answer_layout"]

access_layout = data.StructLayout({"write": unsigned(1), "address": unsigned(ADDRESS_BITS), "strobes": unsigned(4), "data": unsigned(32)})
"""Layout of an access of the bus: a read or a write, its byte address, the bytes that a write strobes, and its data."""

answer_layout = data.StructLayout({"data": unsigned(32), "error": unsigned(1)})
"""Layout of the answer to an access: the word that was read, and whether the access was refused."""

STARVATION_CYCLES = 4
"""Number of cycles for which a step must wait for a sample before the core counts as starved: a whole sample takes 2 cycles to be seen."""


class Bridge(wiring.Component):
    """Executes one access at a time, and refuses those that would do nothing or half of what they say.

    Refused are reads of what cannot be read and writes of what cannot be written, reserved and unaligned addresses, writes that do not
    strobe all four bytes, values of ``command`` that are no command, a word of a sample for which there is no room, and while the core
    is busy accesses that need an idle core: all writes to the core, except the command STOP, and reads of ``data``. A refused access
    does nothing.

    Parameters
    ----------
    spec : LearningSpec
        The design of the core.
    samples : SampleSource or OutsidePorts
        Where samples come from.

    Members
    -------
    access, answer : In(stream), Out(stream)
        Accesses of the bus, and one answer to each, in order. ``access`` is ready unless an access is being executed.
    request, response : Out(stream), In(stream)
        Register requests to the core, and its responses.
    busy, starved : In(1)
        A run of the core is in progress; one of its steps waits for a sample.
    empty : In(1)
        The buffer of samples holds none.
    discard : Out(1)
        The core executes the command DISCARD, so that the buffer must be emptied as well.
    word, room : Out(stream), In
        Words of samples, and the number of words that there is room for; only where samples come from the bus.
    dropped : In(1)
        Strobe: a frame was dropped; only where samples come as an AXI4-Stream.
    irq : Out(1)
        An interrupt is raised and enabled, until it is cleared or disabled.
    """

    def __init__(self, spec: LearningSpec, samples: Feeding):
        self.spec = spec
        self.samples = samples
        self.own = wrapper_map(spec, samples)
        super().__init__(
            {
                "access": In(stream.Signature(access_layout)),
                "answer": Out(stream.Signature(answer_layout)),
                "request": Out(stream.Signature(request_layout)),
                "response": In(stream.Signature(32)),
                **{name: In(1) for name in self.told},
                **{name: Out(1) for name in ("discard", "irq")},
                **self.feeding(),
            }
        )

    told: ClassVar[tuple[str, ...]] = ("busy", "starved", "empty")
    """Names of the flags that the bridge is told."""

    def feeding(self) -> dict[str, Member]:
        """Return the ports of the samples."""
        if self.samples is not SampleSource.BUS:
            return {"dropped": In(1)}
        assert isinstance(self.spec, DesignSpec), "a learner has no samples"
        return {
            "word": Out(stream.Signature(word_layout(self.spec.sample_width))),
            "room": In(range(BUFFERED_SAMPLES * sample_words(self.spec) + 1)),
        }

    def elaborate(self, platform):
        m = Module()
        access, request, response, answer = Signal(access_layout), self.request, self.response, self.answer
        checks, executes, core = Signal(), Signal(), Signal()
        own = {name: Signal(name=f"at_{name}") for name in self.own}
        refused, discards = self._check(m, access, checks, core, own)
        written = executes & ~refused & access.write
        shown = self._execute(m, access, own, written)
        m.d.comb += [
            request.payload.write.eq(access.write),
            request.payload.address.eq(access.address[2:]),
            request.payload.data.eq(access.data),
        ]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.access.ready.eq(1)
                m.d.sync += access.eq(self.access.payload)
                with m.If(self.access.valid):
                    m.next = "Check"
            with m.State("Check"):
                m.d.comb += checks.eq(1)
                m.next = "Execute"
            with m.State("Execute"):
                m.d.comb += executes.eq(1)
                m.d.sync += [answer.payload.error.eq(refused), answer.payload.data.eq(0)]
                with m.If(~refused & ~access.write):
                    m.d.sync += answer.payload.data.eq(shown)
                with m.If(core & ~refused):
                    m.next = "Request"
                with m.Else():
                    m.next = "Answer"
            with m.State("Request"):
                m.d.comb += [request.valid.eq(1), self.discard.eq(discards)]
                with m.If(request.ready & access.write):
                    m.next = "Answer"
                with m.Elif(request.ready):
                    m.next = "Response"
            with m.State("Response"):
                m.d.comb += response.ready.eq(1)
                m.d.sync += answer.payload.data.eq(response.payload)
                with m.If(response.valid):
                    m.next = "Answer"
            with m.State("Answer"):
                m.d.comb += answer.valid.eq(1)
                with m.If(answer.ready):
                    m.next = "Idle"
        return m

    def _check(self, m, access, checks, core, own) -> tuple[Signal, Signal]:
        """Decode the address of the access into registers; whether it is refused, and whether it is the command DISCARD.

        A core that is idle at that time is still idle when the access is executed, since only an access starts a run.
        """
        registers = core_map(self.spec, self.samples)
        words = access.address[2:]
        at = {name: Signal(name=f"checks_{name}") for name in ("command", "data", "sample")}
        is_core, readable, writable, command = (Signal(name=name) for name in ("is_core", "readable", "writable", "is_command"))
        refused, discards = Signal(), Signal()
        m.d.comb += [
            is_core.eq(words < FIRST),
            readable.eq(_lies_in(words, [each for each in (*registers.values(), *self.own.values()) if "r" in each.access])),
            writable.eq(_lies_in(words, [each for each in (*registers.values(), *self.own.values()) if "w" in each.access])),
            at["command"].eq(words == registers["command"].address),
            at["data"].eq(words == registers["data"].address),
            command.eq(Cat(access.data == each for each in bus_commands(self.spec)).any()),
        ]
        partial, unaligned = ~access.strobes.all(), access.address[:2].any()
        stops = at["command"] & (access.data == Command.STOP)
        wrong_write = ~writable | partial | (at["command"] & ~command) | (is_core & self.busy & ~self.always(words, stops))
        wrong_write = self.without_room(m, words, at["sample"], wrong_write)
        wrong_read = ~readable | (at["data"] & self.busy)
        with m.If(checks):
            m.d.sync += [
                core.eq(is_core),
                refused.eq(unaligned | Mux(access.write, wrong_write, wrong_read)),
                discards.eq(access.write & at["command"] & (access.data == Command.DISCARD)),
                *(own[name].eq(words == register.address) for name, register in self.own.items()),
            ]
        return refused, discards

    def always(self, words, stops) -> Value:
        """Whether a write to a word address of the core is allowed during a run, other than all others."""
        return stops

    def without_room(self, m, words, sample, wrong) -> Value:
        """Whether a write is ``wrong``, or writes a word of a sample without room; ``sample`` is high where it writes one."""
        if self.samples is not SampleSource.BUS:
            return wrong
        m.d.comb += sample.eq(words == self.own["sample"].address)
        return wrong | (sample & (self.room == 0))

    def _execute(self, m, access, own, written) -> Value:
        """Write a register of the wrapper while ``written``; the word of the one that is addressed."""
        status, enable = Signal(len(Interrupt)), Signal(len(Interrupt))
        raised = self.raised(m)
        # What is raised in the cycle in which it is cleared stays.
        cleared = access.data[: len(status)] & (written & own["interrupt_status"]).replicate(len(status))
        m.d.sync += [status.eq((status & ~cleared) | raised), self.irq.eq((status & enable).any())]
        with m.If(written & own["interrupt_enable"]):
            m.d.sync += enable.eq(access.data)
        shown: dict[str, Value] = {"interrupt_status": status, "interrupt_enable": enable}
        shown |= self.of_samples(m, access, own, written)
        return reduce(or_, (Mux(own[name], value, 0) for name, value in shown.items()))

    def of_samples(self, m, access, own, written) -> dict[str, Value]:
        """Write the register of samples; the values of the registers that tell of them."""
        if self.samples is SampleSource.BUS:
            m.d.comb += [self.word.valid.eq(written & own["sample"]), self.word.payload.word.eq(access.data)]
            return {"sample_room": self.room}
        count = Signal(DROPPED_BITS)
        with m.If(self.dropped & ~count.all()):
            m.d.sync += count.eq(count + 1)
        return {"frames_dropped": count}

    def raised(self, m) -> Value:
        """Strobes of the interrupts, in the order of their bits."""
        waits = self.starved & self.empty
        waited = Signal(range(STARVATION_CYCLES + 1))
        ended, starved = Signal(), Signal()
        was_busy = delayed(m, self.busy, 1, "was_busy", reset_less=False)
        m.d.comb += [ended.eq(was_busy & ~self.busy), starved.eq(waits & (waited == STARVATION_CYCLES - 1))]
        m.d.sync += waited.eq(Mux(waits, Mux(waited == STARVATION_CYCLES, waited, waited + 1), 0))
        strobes = {Interrupt.RUN_ENDED: ended, Interrupt.STARVED: starved}
        strobes[Interrupt.FRAME_ERROR] = Const(0, 1) if self.samples is SampleSource.BUS else self.dropped
        return Cat(strobes[each] for each in Interrupt)


def _lies_in(words: Value, registers: Iterable[Register]) -> Value:
    """Whether a word address is one of those of ``registers``."""
    return Cat(words == register.address + word for register in registers for word in range(register.words)).any()
