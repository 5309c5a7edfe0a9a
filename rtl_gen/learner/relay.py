# amaranth: UnusedElaboratable=no
"""A learner whose outside is the host: the words of a pass and their costs pass through registers."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.learner import LearnerSpec, stream_names
from python_ref.spec.relay import ERRORS_BIT, FIRST_SAMPLE_BIT, RELAY_ADDRESSES, packed_words, relay_map
from python_ref.spec.schedule import MAX_PERIOD
from rtl_gen.host import request_layout
from rtl_gen.learner.core import LearnerCore
from rtl_gen.learner.sending import word_layout
from rtl_gen.learner.streams import StreamMerger
from rtl_gen.probe import shape_of
from rtl_gen.slot import NO_READ_WRITE_CHECK

__all__ = ["OutsideRegisters", "RelayedLearner", "connect_outside"]

_QUIET = 16
"""Cycles without a request and without a run after which the core is idle: more than a command takes to begin a run."""


class OutsideRegisters(wiring.Component):
    """The registers of a learner's outside (:mod:`python_ref.spec.relay`), between the host and the core.

    Requests are carried out one after the other: the next one waits until a read is answered. A read of ``outside`` is answered once a
    cost is awaited, or when there is no run.

    Parameters
    ----------
    spec : LearnerSpec
        The learner whose outside the host is.
    polled : bool
        Whether a read of ``outside`` is answered at once.

    Members
    -------
    request, response : In(stream), Out(stream)
        Accesses of the host to all registers, and their answers.
    core_request, core_response : Out(stream), In(stream)
        Those that are meant for the core.
    perturbed, sample : In(stream), In(stream)
        Words and indices from the core, which are taken at once.
    cost : Out(stream)
        Cost words for the core.
    measure_ready, busy : In(1), In(1)
        A cost may be measured; a run is in progress.
    """

    def __init__(self, spec: LearnerSpec, *, polled: bool = False):
        self.spec = spec
        self.polled = polled
        super().__init__(
            {
                "request": In(stream.Signature(request_layout)),
                "response": Out(stream.Signature(32)),
                "core_request": Out(stream.Signature(request_layout)),
                "core_response": In(stream.Signature(32)),
                "perturbed": In(stream.Signature(word_layout(spec))),
                "sample": In(stream.Signature(range(MAX_PERIOD))),
                "cost": Out(stream.Signature(shape_of(spec.formats.cost))),
                "measure_ready": In(1),
                "busy": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        at = {name: register.address for name, register in relay_map(self.spec).items()}
        request, answer, idle = self.request, Signal(32, reset_less=True), 1 if self.polled else self._idle(m)
        asked, words = request.payload, self._words(m)
        row, wrote, found = (words.addr, Const(0, 1), words.data) if not self.spec.sends_errors else self._errors(m, words, at["errors"])
        shown = Signal.like(self.sample.payload)
        own = Signal()
        m.d.comb += [
            own.eq(asked.address[4:] == RELAY_ADDRESSES.start >> 4),
            self.core_request.payload.eq(asked),
            self.sample.ready.eq(1),
        ]
        with m.If(self.sample.valid):
            m.d.sync += shown.eq(self.sample.payload)
        with m.FSM(name="relay"):
            with m.State("Take request"):
                m.d.comb += [self.core_request.valid.eq(request.valid & ~own), request.ready.eq(own | self.core_request.ready)]
                with m.If(request.valid & ~own & self.core_request.ready & ~asked.write):
                    m.next = "Pass answer"
                with m.If(request.valid & own & asked.write & (asked.address == at["row"])):
                    m.d.sync += row.eq(asked.data)
                with m.If(request.valid & own & asked.write & (asked.address == at["cost_word"])):
                    m.d.sync += self.cost.payload.eq(asked.data)
                    m.next = "Give cost"
                with m.If(request.valid & own & ~asked.write):
                    m.next = "Fetch row"
                    with m.If(asked.address == at["outside"]):
                        m.next = "Await pass"
            with m.State("Pass answer"):
                m.d.comb += [self.response.valid.eq(self.core_response.valid), self.core_response.ready.eq(self.response.ready)]
                m.d.comb += self.response.payload.eq(self.core_response.payload)
                with m.If(self.core_response.valid & self.response.ready):
                    m.next = "Take request"
            with m.State("Give cost"):
                m.d.comb += self.cost.valid.eq(self.measure_ready)
                with m.If(self.cost.ready | ~self.measure_ready):
                    m.next = "Take request"
            with m.State("Await pass"):
                flags = Cat(self.measure_ready, self.busy, Const(0, ERRORS_BIT - 2), wrote, Const(0, FIRST_SAMPLE_BIT - ERRORS_BIT - 1))
                m.d.sync += [answer.eq(Cat(flags, shown)), row.eq(0)]
                with m.If(1 if self.polled else self.measure_ready | idle):
                    m.next = "Answer"
            with m.State("Fetch row"):
                m.next = "Register row"
            with m.State("Register row"):
                m.d.sync += [answer.eq(found), row.eq(row + 1)]
                m.next = "Answer"
            with m.State("Answer"):
                m.d.comb += self.response.valid.eq(1)
                m.d.comb += self.response.payload.eq(answer)
                with m.If(self.response.ready):
                    m.next = "Take request"
        return m

    def _idle(self, m):
        """Whether there is no run, and none begins."""
        quiet = Signal(range(_QUIET))
        with m.If(self.busy | self.core_request.valid):
            m.d.sync += quiet.eq(0)
        with m.Elif(quiet != _QUIET - 1):
            m.d.sync += quiet.eq(quiet + 1)
        return quiet == _QUIET - 1

    def _words(self, m):
        """Keep the words of a pass in rows; return the port that reads them."""
        word, packed = self.perturbed.payload, packed_words(self.spec)
        width, depth = len(word.value), -(-self.spec.quantities // packed)
        m.submodules.words = store = memory.Memory(shape=unsigned(packed * width), depth=depth, init=[], attrs=NO_READ_WRITE_CHECK)
        write, read = store.write_port(), store.read_port()
        place, row = Signal(range(packed)), Signal(range(depth))
        ends = word.last | (place == packed - 1)
        # A row is written with each of its words, one cycle later.
        m.d.comb += [self.perturbed.ready.eq(1)]
        m.d.sync += [write.en.eq(self.perturbed.valid), write.addr.eq(row)]
        with m.If(self.perturbed.valid):
            m.d.sync += [
                write.data.word_select(place, width).eq(word.value),
                place.eq(Mux(ends, 0, place + 1)),
                row.eq(Mux(word.last, 0, row + ends)),
            ]
        return read

    def _errors(self, m, words, address: int):
        """Keep the errors of a pass; return the row that is read next, whether an error is not 0, and what is read: words or errors."""
        word = self.perturbed.payload
        m.submodules.errors = store = memory.Memory(
            shape=word.error.shape(), depth=max(2, self.spec.quantities), init=[], attrs=NO_READ_WRITE_CHECK
        )
        write, read = store.write_port(), store.read_port()
        row, wrote, of_errors = Signal(range(self.spec.quantities + 1)), Signal(), Signal()
        m.d.comb += [
            words.addr.eq(row),
            read.addr.eq(row),
            write.addr.eq(word.index),
            write.data.eq(word.error),
            write.en.eq(self.perturbed.valid),
        ]
        with m.If(self.perturbed.valid):
            m.d.sync += wrote.eq((wrote & (word.index != 0)) | word.error.any())
        with m.If(self.request.valid & self.request.ready):
            m.d.sync += of_errors.eq(self.request.payload.address == address)
        return row, wrote, Mux(of_errors, read.data, words.data)


def connect_outside(m: Module, spec: LearnerSpec, learner: Any, *, polled: bool = False) -> OutsideRegisters:
    """Add the registers of a learner's outside to a module, and connect all ports of the learner with them.

    Parameters
    ----------
    m : Module
        Module of the learner's surroundings.
    spec : LearnerSpec
        The learner whose ports are connected.
    learner : interface
        The learner, or the ports by which it is instantiated.
    polled : bool
        Whether a read of ``outside`` is answered at once.
    """
    m.submodules.outside = outside = OutsideRegisters(spec, polled=polled)
    wiring.connect(m, outside.core_request, learner.request)
    wiring.connect(m, learner.response, outside.core_response)
    wiring.connect(m, learner.sample, outside.sample)
    names = stream_names(spec)
    if len(names) == 1:
        wiring.connect(m, learner.perturbed, outside.perturbed)
    else:
        m.submodules.merger = merger = StreamMerger(spec)
        for lane, name in enumerate(names):
            wiring.connect(m, getattr(learner, name), getattr(merger, f"i{lane}"))
        wiring.connect(m, merger.o, outside.perturbed)
    wiring.connect(m, outside.cost, learner.cost)
    m.d.comb += [outside.measure_ready.eq(learner.measure_ready), outside.busy.eq(learner.busy)]
    return outside


class RelayedLearner(wiring.Component):
    """A learner with the registers of its outside, as it stands behind a serial line.

    Parameters
    ----------
    spec : LearnerSpec
        The learner that the core implements.

    Members
    -------
    request, response : In(stream), Out(stream)
        Accesses of the host to the registers of the core and of the outside, and their answers.
    sample : In(stream)
        Bytes of samples, which are dropped: the samples are outside.
    busy : Out(1)
        A run is in progress.

    Attributes
    ----------
    learner : LearnerCore
        The core, whose streams to the outside end in the registers.
    """

    def __init__(self, spec: LearnerSpec):
        self.spec = spec
        self.learner = LearnerCore(spec)
        super().__init__(
            {
                "request": In(stream.Signature(request_layout)),
                "response": Out(stream.Signature(32)),
                "sample": In(stream.Signature(unsigned(8))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.learner = learner = self.learner
        outside = connect_outside(m, self.spec, learner)
        wiring.connect(m, wiring.flipped(self.request), outside.request)
        wiring.connect(m, wiring.flipped(self.response), outside.response)
        m.d.comb += [self.busy.eq(learner.busy), self.sample.ready.eq(1)]
        return m
