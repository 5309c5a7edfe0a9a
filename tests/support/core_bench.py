"""A host that drives a core cycle by cycle in Amaranth's simulator, for whatever depends on the cycle in which it happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
from amaranth.hdl import Value
from amaranth.sim import Simulator

from python_ref.spec.design import DesignSpec
from python_ref.spec.registers import Command, register_map
from rtl_gen.core import core_of
from sim.events import pack
from sim.ports import Ports
from sim.program import Op, ProgramLink, ReplayLink
from tests.support.lockstep import Lockstep, fields_of

__all__ = ["CoreBench", "run_bench"]

PATIENCE = 60_000
"""Number of cycles after which a core that is still busy hangs."""


class CoreBench:
    """A host of a core, whose actions take exactly the cycles that they need.

    Parameters
    ----------
    spec : DesignSpec
        Design of the core.
    core : Component
        The core.
    words : iterator of int
        Words of the sample stream.
    offers : callable
        Whether the host may offer the word with this number in this cycle; a word that has been offered stays.

    Attributes
    ----------
    cycle : int
        Number of cycles so far.
    watch : list of callable
        Called in every cycle with the simulator's context.
    """

    def __init__(self, spec: DesignSpec, core: Any, words: Iterator[int], offers: Callable[[int, int], bool] = lambda word, cycle: True):
        self.spec, self.core, self.words, self.offers = spec, core, words, offers
        self.ports, self.registers = Ports.of(spec), register_map(spec)
        self.cycle, self.taken = 0, 0
        self.watch: list[Callable[[Any], None]] = []
        self._offering, self._word = False, next(words, None)
        self._found: dict[str, list[int]] = {event: [] for event in self.ports.kinds}
        self._payloads = {event: Value.cast(getattr(core, f"probe_{event}")) for event in self.ports.kinds}

    def shown(self) -> dict[str, dict[str, np.ndarray]]:
        """Fields of all events so far, as :func:`tests.support.lockstep.fields_of` gives them."""
        return fields_of(self.ports, {event: pack(found, self.ports.payload_words(event)) for event, found in self._found.items()})

    async def tick(self) -> None:
        """Let a cycle pass."""
        ctx, core = self.ctx, self.core
        self._offering = self._offering or (self._word is not None and self.offers(self.taken, self.cycle))
        ctx.set(core.sample.valid, self._offering)
        if self._offering:
            ctx.set(core.sample.payload, self._word)
        strobes = ctx.get(core.probe_stb)
        for number, (event, payload) in enumerate(self._payloads.items()):
            if strobes >> number & 1:
                self._found[event].append(ctx.get(payload))
        for watch in self.watch:
            watch(ctx)
        if self._offering and ctx.get(core.sample.ready):
            self._offering, self._word, self.taken = False, next(self.words, None), self.taken + 1
        await ctx.tick()
        self.cycle += 1

    async def ticks(self, count: int) -> None:
        """Let cycles pass."""
        for _ in range(count):
            await self.tick()

    async def _request(self, write: int, address: int, data: int) -> None:
        ctx, request = self.ctx, self.core.request
        ctx.set(request.payload, {"write": write, "address": address, "data": data & 0xFFFFFFFF})
        ctx.set(request.valid, 1)
        while not ctx.get(request.ready):
            await self.tick()
        await self.tick()
        ctx.set(request.valid, 0)

    async def write(self, name: str, value: int) -> None:
        """Write a register of one word."""
        await self._request(1, self.registers[name].address, value)

    async def read_word(self, address: int, wait: int = 0) -> int:
        """Read a word, and take the answer some cycles after it has come."""
        ctx, response = self.ctx, self.core.response
        ctx.set(response.ready, 0)
        await self._request(0, address, 0)
        while not ctx.get(response.valid):
            await self.tick()
        await self.ticks(wait)
        value = ctx.get(response.payload)
        ctx.set(response.ready, 1)
        await self.tick()
        ctx.set(response.ready, 0)
        return value

    async def read(self, name: str, wait: int = 0) -> int:
        """Read a register of one word."""
        return await self.read_word(self.registers[name].address, wait)

    async def start(self, command: Command, count: int) -> None:
        """Begin a run."""
        await self.write("count", count)
        await self.write("command", command)

    async def idle(self) -> None:
        """Wait until the core is idle."""
        await self.ticks(4)
        waited = 0
        while self.ctx.get(self.core.busy):
            await self.tick()
            waited += 1
            assert waited < PATIENCE, "the core hangs"

    async def act(self, model: Lockstep, action: Callable[[Lockstep], None]) -> None:
        """Do an action of a model to the core as well: record what its host sends, send it, and let the model compare the answers."""
        link, before = ProgramLink(), (model.spec, model.state, model.steps)
        model.link, model.comparing = link, False
        action(model)
        responses = []
        for kind, address, data in link.program().ops.tolist():
            if kind == Op.WAIT:
                await self.idle()
            elif kind == Op.WRITE:
                await self._request(1, address, data)
            else:
                responses.append(await self.read_word(address))
        model.link, model.comparing = ReplayLink(responses), True
        model.spec, model.state, model.steps = before
        action(model)


def run_bench(
    spec: DesignSpec,
    scenario: Callable[[CoreBench], Awaitable[None]],
    words: Iterator[int],
    *,
    core: Any = None,
    offers: Callable[[int, int], bool] = lambda word, cycle: True,
) -> CoreBench:
    """Run a scenario of a host on a core of a design; return its bench."""
    bench = CoreBench(spec, core or core_of(spec), words, offers)

    async def testbench(ctx: Any) -> None:
        bench.ctx = ctx
        await scenario(bench)

    simulator = Simulator(bench.core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return bench
