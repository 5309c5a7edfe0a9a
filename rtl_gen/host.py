"""The host's side of the core: requests on a stream, registers, access to the lanes' memories."""

from __future__ import annotations

from functools import reduce
from itertools import zip_longest
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from python_ref.spec.design import SATURATION_KINDS, DesignSpec
from python_ref.spec.optimizer import Momentum
from python_ref.spec.registers import MAGIC, Command, Memory, register_map
from python_ref.spec.schedule import MAX_PERIOD

__all__ = ["HostPort", "request_layout"]

request_layout = data.StructLayout({"write": unsigned(1), "address": unsigned(8), "data": unsigned(32)})
"""A request: write or read a 32-bit word of a register. A read is answered by one word, in order."""


class HostPort(wiring.Component):
    """Registers and commands; see :mod:`python_ref.spec.registers` for what each means.

    A request must stand until it is taken, ``request_cycles`` cycles after it came. Writes while the core is busy are dropped, but for the
    command STOP.

    Members
    -------
    request, response : In, Out of stream.Signature
        From and to the host.
    train, infer, stop, restart, clear, load : Out(1)
        Commands; a parameter was written.
    count, exponent, *_period : Out
        Settings.
    data : Out(32)
        The request's word.
    stream_en : Out(1)
        It is the next of the seeded states.
    lane, memory, address, write_en, read_data : Out but the last
        Access to the lanes' memories, where it is written; ``read_data`` two cycles after the address.
    busy : In(1)
        The core runs.
    status, steps, cost, … : In
        Values of the read-only registers, by name.
    """

    request_cycles = 6

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.read_only = {
            "status": 2,
            "steps": 32,
            "updates": 32,
            "correct": 32,
            "writes": 48,
            "changed": 48,
            "cycles": 48,
            **{f"saturated_{kind}": 32 for kind in SATURATION_KINDS},
            "cost": 128,
            "cost_change": 64,
            "signatures": 64,
        }
        period = range(MAX_PERIOD + 1)
        super().__init__(
            {
                "request": In(stream.Signature(request_layout)),
                "response": Out(stream.Signature(32)),
                **{name: Out(1) for name in ("train", "infer", "stop", "restart", "clear", "load", "stream_en", "write_en")},
                "count": Out(32),
                "exponent": Out(signed(8), init=spec.exponent_at(0)),
                "perturbation_period": Out(period, init=spec.schedule.perturbation_period),
                "sample_period": Out(period, init=spec.schedule.sample_period),
                "update_period": Out(period, init=spec.schedule.update_period),
                "busy": In(1),
                "lane": Out(range(max(2, spec.hardware.lanes))),
                "memory": Out(2),
                "address": Out(range(max(2, spec.layout.words))),
                "data": Out(32),
                "read_data": In(32),
                **{name: In(width) for name, width in self.read_only.items()},
            }
        )

    def elaborate(self, platform):
        m = Module()
        registers = register_map(self.spec)
        # A request stands until it is taken, in its last cycle, so that it need not be kept.
        held = self.request.payload
        age = Signal(range(self.request_cycles))
        writing, writable = Signal(), Signal()
        at = {name: held.address == register.address for name, register in registers.items()}
        last = age == self.request_cycles - 1
        with m.If(age.any()):
            m.d.sync += age.eq(Mux(last, 0, age + 1))
        with m.Elif(self.request.valid & ~self.response.valid):
            m.d.sync += age.eq(1)
        m.d.comb += [
            self.request.ready.eq(last),
            writing.eq((age == 1) & held.write),
            writable.eq(writing & ~self.busy),
            self.data.eq(held.data),
            self.write_en.eq(writable & at["data"]),
            self.load.eq(self.write_en & (self.memory == Memory.PARAMETER)),
            self.stream_en.eq(writable & at["stream"]),
        ]
        self._command(m, writing, writable, at["command"], held.data)

        settings = {
            "count": self.count,
            "exponent": self.exponent,
            "perturbation_period": self.perturbation_period,
            "sample_period": self.sample_period,
            "update_period": self.update_period,
            "address": self.address,
        }
        for name, setting in settings.items():
            with m.If(writable & at[name]):
                m.d.sync += setting.eq(held.data)
        with m.If(writable & at["select"]):
            m.d.sync += [self.lane.eq(held.data[:16]), self.memory.eq(held.data[16:18])]
        last_use = last & at["data"] & ~self.busy
        with m.If(last_use):
            m.d.sync += self.address.eq(self.address + 1)

        self._answer(m, registers, settings, held.address, last & ~held.write)
        return m

    def _command(self, m, writing, writable, addressed, value):
        for command, strobe in (
            (Command.TRAIN, self.train),
            (Command.INFER, self.infer),
            (Command.RESTART, self.restart),
            (Command.CLEAR, self.clear),
        ):
            m.d.comb += strobe.eq(writable & addressed & (value == command))
        m.d.comb += self.stop.eq(writing & addressed & (value == Command.STOP))

    def _answer(self, m, registers, settings, address, when):
        """Answer a read with the word at its address; 0 where there is none."""
        digest = int(self.spec.digest, 16)
        values: dict[str, Value] = {
            "magic": Const(MAGIC, 32),
            "digest": Const(digest, 64),
            "select": Cat(self.lane, Const(0, 16 - len(self.lane)), self.memory),
            "data": self.read_data,
            **settings,
            **{name: getattr(self, name) for name in self.read_only},
            "signature": self.signatures,
        }
        words: dict[int, Value] = {}
        for name, register in registers.items():
            if "r" in register.access:
                value = Value.cast(values[name])
                for word in range(register.words):
                    words[register.address + word] = value if register.words == 1 else value[32 * word : 32 * word + 32]
        for name, word in self._zeros:
            del words[registers[name].address + word]
        word = self._chosen(m, words, address)
        with m.If(self.response.valid & self.response.ready):
            m.d.sync += self.response.valid.eq(0)
        with m.If(when):
            m.d.sync += [self.response.valid.eq(1), self.response.payload.eq(word)]

    @property
    def _zeros(self) -> list[tuple[str, int]]:
        """Words of registers that are 0 in every core of this design."""
        built = {"gradient": not self.spec.plain, "momentum": isinstance(self.spec.optimizer, Momentum)}
        zeros = [(f"saturated_{kind}", 0) for kind, is_built in built.items() if not is_built]
        return zeros + ([("cost", 1), ("cost", 3)] if self.spec.cost_format.width <= 32 else [])

    @staticmethod
    def _chosen(m, words, address):
        """The word at an address, 0 where there is none, a cycle later.

        Words are chosen from by pairs into registers that are cleared unless theirs is the address, which takes no logic.
        """
        # Words of like length go together, so that few bits of a pair have nothing to be chosen from.
        order = sorted(words, key=lambda number: (-len(words[number]), number))
        pairs = []
        for one, other in zip_longest(order[::2], order[1::2]):
            pair = Signal(32, name=f"pair{one}")
            value, mine = words[one], address == one
            if other is not None:
                place = ((one ^ other) & -(one ^ other)).bit_length() - 1
                zero, unit = (one, other) if other >> place & 1 else (other, one)
                value, mine = Mux(address[place], words[unit], words[zero]), mine | (address == other)
            m.d.sync += pair.eq(Mux(mine, value, 0))
            pairs.append(pair)
        return reduce(or_, pairs)
