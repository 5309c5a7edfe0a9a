# amaranth: UnusedElaboratable=no
"""The bridge behind the port of a bus: one answer to each access, an error exactly where the access is refused, and then no request.

The rules of AXI4-Lite and of Wishbone at the ports are proved by ``tests/rtl_gen/bus/test_protocols.py``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.wiring import In

from python_ref.spec.bus import FIRST, SampleSource, bus_commands, core_map, wrapper_map
from python_ref.spec.registers import Command
from rtl_gen.bus.bridge import Bridge, access_layout
from tests.formal.harness import Bench, Induction, Property, always, control, opened
from tests.support.faults import DESIGNS

__all__ = ["PROPERTIES"]


class Accesses(Bench):
    """The bridge among a bus and a core that are free."""

    def __init__(self, spec: Any, samples: SampleSource):
        self.spec, self.samples = spec, samples
        self.bridge = Bridge(spec, samples)
        names = ("valid", "takes_answer", "takes_request", "responds", "busy", "starved", "empty")
        more = {"room": In(self.bridge.room.shape())} if samples is SampleSource.BUS else {"dropped": In(1)}
        super().__init__({"access": In(access_layout), "response": In(32), **more, **{name: In(1) for name in names}})

    def state(self, m: Module) -> None:
        bridge = self.bridge
        inner = opened(bridge)
        m.submodules.bridge = inner.module
        request, response, answer = bridge.request, bridge.response, bridge.answer
        m.d.comb += [
            *(bridge.access.payload.eq(self.access), bridge.access.valid.eq(self.valid), answer.ready.eq(self.takes_answer)),
            *(request.ready.eq(self.takes_request), response.valid.eq(self.responds), response.payload.eq(self.response)),
            *(getattr(bridge, name).eq(getattr(self, name)) for name in ("busy", "starved", "empty")),
            bridge.room.eq(self.room) if self.samples is SampleSource.BUS else bridge.dropped.eq(self.dropped),
        ]
        # The access that is open, what became of it so far, and how old it is.
        access, open_, age = Signal(access_layout), Signal(), Signal(2)
        asked, responded, word = Signal(), Signal(), Signal(32)
        refused, is_refused = Signal(), self._refused(access)
        begins, ends = self.valid & bridge.access.ready, answer.valid & self.takes_answer
        asks, responds = request.valid & self.takes_request, response.ready & self.responds
        m.d.sync += [age.eq(Mux(begins, 1, Mux((age == 0) | (age == 3), age, age + 1))), open_.eq(begins | (open_ & ~ends))]
        with m.If(begins):
            m.d.sync += [access.eq(self.access), asked.eq(0), responded.eq(0), word.eq(0)]
        with m.If(age == 1):  # it is judged in the cycle after it was taken
            m.d.sync += refused.eq(is_refused)
        with m.If(asks):
            m.d.sync += asked.eq(1)
        with m.If(responds):
            m.d.sync += [responded.eq(1), word.eq(self.response)]
        always(m, bridge.access.ready == ~open_, ~answer.valid | open_)
        to_core = access.address[2:] < FIRST
        checked = open_ & (age > 1)
        # A request is made once for each access to the core that is not refused, and says what the access says.
        always(m, ~request.valid | (checked & to_core & ~refused & ~asked), ~response.ready | (open_ & asked & ~access.write & ~responded))
        same = Cat(request.payload.write, request.payload.address, request.payload.data) == Cat(
            access.write, access.address[2:10], access.data
        )
        always(m, ~request.valid | same)
        complete = Mux(to_core & ~refused, asked & (access.write | responded), ~asked)
        always(
            m,
            ~answer.valid | (checked & (answer.payload.error == refused) & complete),
            ~answer.valid | ~refused | (answer.payload.data == 0),
        )
        always(
            m, ~(answer.valid & asked & ~access.write) | (answer.payload.data == word), ~responded | asked, ~asked | (to_core & ~refused)
        )
        discards = (
            access.write & (access.address[2:] == core_map(self.spec, self.samples)["command"].address) & (access.data == Command.DISCARD)
        )
        always(m, bridge.discard == (request.valid & discards))
        always(m, inner.module._generated["fsm"]._data["signal"] < 6)
        self._inside(m, inner.names, access, open_, age, refused, asked, responded)
        self.reach(m, answer.valid & asked & responded & (word == 7))

    def _refused(self, access: Any) -> Any:
        """Whether an access does nothing, from the list of the registers: what may be read or written, and what only when idle."""
        core, own = core_map(self.spec, self.samples), wrapper_map(self.spec, self.samples)
        word = access.address[2:]

        def at(name: str) -> Any:
            return word == (core | own)[name].address

        reads, writes = (
            Cat(
                word == each.address + place
                for each in (*core.values(), *own.values())
                if letter in each.access
                for place in range(each.words)
            ).any()
            for letter in "rw"
        )
        known = Cat(access.data == int(each) for each in bus_commands(self.spec)).any()
        wrong = ~writes | (access.strobes != 15) | (at("command") & ~known)
        wrong |= (word < FIRST) & self.busy & ~(at("command") & (access.data == Command.STOP))
        if self.samples is SampleSource.BUS:
            wrong |= at("sample") & (self.room == 0)
        return (access.address[:2] != 0) | Mux(access.write, wrong, ~reads | (at("data") & self.busy))

    def _inside(
        self, m: Module, names: dict[str, Any], access: Signal, open_: Any, age: Any, refused: Any, asked: Any, responded: Any
    ) -> None:
        """Assert what the bridge's registers have to do with these, which induction needs."""
        bridge = self.bridge
        held, checks, executes = names["access"], names["checks"], names["executes"]
        always(m, ~open_ | (held == access), checks == (open_ & (age == 1)), executes == (open_ & (age == 2)))
        to_core = access.address[2:] < FIRST
        always(m, ~(open_ & (age > 1)) | ((names["refused"] == refused) & (names["core"] == to_core)), ~open_ | (age != 0))
        waits = checks | executes | bridge.request.valid | bridge.response.ready | bridge.answer.valid
        always(m, open_ == waits, ~(checks | executes) | ~(asked | responded), ~(bridge.response.ready & responded))
        discards = (
            access.write & (access.address[2:] == core_map(self.spec, self.samples)["command"].address) & (access.data == Command.DISCARD)
        )
        always(m, ~(open_ & (age > 1)) | (names["discards"] == discards))
        error, data = bridge.answer.payload.error, bridge.answer.payload.data
        always(m, ~(open_ & (age > 2)) | (error == refused), ~(open_ & (age > 2) & refused) | (data == 0))
        always(
            m, ~bridge.request.valid | ~asked, ~bridge.response.ready | asked, ~(bridge.request.valid | bridge.response.ready) | (age > 2)
        )


_BRIDGE, _CHECK = "bus.bridge:Bridge.elaborate", "bus.bridge:Bridge._check"

PROPERTIES = tuple(
    Property(
        f"accesses of a bus, samples by {samples.value}",
        "bus.bridge.Bridge",
        partial(Accesses, DESIGNS["weight"], samples),
        Induction(2),
        10,
        (
            control("an error that is not told", _BRIDGE, "answer.payload.error.eq(refused)", "answer.payload.error.eq(0)", 10),
            control("a refused access reaches the core", _BRIDGE, "with m.If(core & ~refused):", "with m.If(core):", 10),
            control("an answer before the response", _BRIDGE, "with m.If(request.ready & access.write):", "with m.If(request.ready):", 10),
            control("half a word is written", _CHECK, "~writable | partial |", "~writable |", 10),
            control("no write is refused during a run", _CHECK, "is_core & self.busy &", "is_core & 0 &", 10),
        ),
    )
    for samples in SampleSource
)
