"""A host and an outside that drive the core of a learner cycle by cycle in Amaranth's simulator."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from amaranth.hdl import Value
from amaranth.sim import Simulator

from python_ref.fixed.learner import Chip
from python_ref.spec.events import event_fields
from python_ref.spec.learner import LearnerSpec, stream_names
from rtl_gen.learner.core import LearnerCore
from sim.events import pack, unpack
from sim.ports import Field
from sim.program import Op, ProgramLink, ReplayLink

__all__ = ["LearnerBench", "run_learner"]

PATIENCE = 30_000
"""Number of cycles after which a core that is still busy hangs."""


class LearnerBench:
    """The host, the outside, and a recorder of a learner.

    Parameters
    ----------
    spec : LearnerSpec
        Learner that is simulated.
    chip : callable
        The outside, as the model takes it.
    stalls : float
        Share of the cycles in which the outside does not take or offer what it could.
    pace : int
        Seed of these cycles. A cost word is never so late that the measurement is given up.
    core : LearnerCore or None
        Core to drive; None builds one.

    Attributes
    ----------
    measured : list of (array, int, int)
        Words, index and number of cost words of each measurement.
    shown : list of int
        Indices of samples that were taken.
    held : array of int64
        The words that were applied last.
    errors : list of list of int
        Errors of node currents that were applied, one list for each pass in which one was not 0.
    working : int
        Number of cycles of runs in which the core did not wait for an index to be taken.
    marks : dict of str to list of int
        Cycles in which things happened: "start", "apply", "ready" (the rise of measure_ready), "cost" (a cost word).
    """

    def __init__(self, spec: LearnerSpec, chip: Chip, *, stalls: float = 0.0, pace: int = 1, core: Any = None) -> None:
        self.spec, self.chip, self.core = spec, chip, core or LearnerCore(spec)
        self.rng, self.stalls = random.Random(pace), stalls
        self.cycle = 0
        self.measured: list[tuple[np.ndarray, int, int]] = []
        self.shown: list[int] = []
        self.held = np.zeros(0, dtype=np.int64)
        self.marks: dict[str, list[int]] = {"apply": [], "ready": [], "cost": []}
        self.average, self.takes_samples = spec.outside.average, True
        self._fields = event_fields(spec)
        self._rows: dict[str, list[int]] = {event: [] for event in self._fields}
        self._payloads = {event: Value.cast(getattr(self.core, f"probe_{event}")) for event in self._fields}
        self.errors: list[list[int]] = []
        self._words: list[int] = []
        self._failed: dict[int, int] = {}
        self._taken: dict[int, int] = {}
        self._streams = [getattr(self.core, name) for name in stream_names(spec)]
        self._costs: list[int] = []
        self.working = 0
        self._whole = self._was_ready = self._offering = False
        self._idle = 0

    def take_events(self) -> dict[str, dict[str, np.ndarray]]:
        """Return the fields of all events since the last call (int64, shape (events, count)), by event and by name."""
        found = {}
        for event, fields in self._fields.items():
            width = max(field.offset + field.width * field.count for field in fields)
            rows = pack(self._rows[event], -(-width // 32))
            found[event] = {f.name: unpack(rows, Field(f.name, f.offset, f.width, f.signed, f.count)) for f in fields}
            self._rows[event] = []
        return found

    def _goes(self) -> bool:
        return self.rng.random() >= self.stalls

    async def tick(self) -> None:
        """Let a cycle pass, in which the outside does its part."""
        ctx, core = self.ctx, self.core
        for each in self._streams:
            ctx.set(each.ready, self._goes())
        ctx.set(core.sample.ready, self.takes_samples and self._goes())
        ready = bool(ctx.get(core.measure_ready))
        if ready and not self._was_ready:
            self.marks["ready"].append(self.cycle)
            assert self._whole, "the cost is measured before all words are applied"
            words, index = np.array(self._words, dtype=np.int64), self.shown[-1]
            self.measured.append((words, index, 1 << self.average))
            self._costs = list(self.chip(words, index, 1 << self.average))
        if not ready:
            self._costs = []  # of a measurement that was given up
            self._offering = False
        self._idle = self._idle + 1 if ready and self._was_ready else 0
        self._was_ready = ready
        self._offering = bool(self._costs) and (self._offering or self._goes() or self._idle >= self.spec.outside.timeout_cycles - 1)
        ctx.set(core.cost.valid, self._offering)
        if self._offering:
            ctx.set(core.cost.payload, self._costs[0])
        self.working += bool(ctx.get(core.busy)) and not ctx.get(core.sample.valid)
        if strobes := ctx.get(core.probe_stb):
            for number, (event, payload) in enumerate(self._payloads.items()):
                if strobes >> number & 1:
                    self._rows[event].append(ctx.get(payload))
        if ctx.get(core.apply_stb):
            self.marks["apply"].append(self.cycle)
            assert len(self._taken) == self.spec.quantities
            self._words = [self._taken[index] for index in range(self.spec.quantities)]
            self._whole, self.held, self._taken = True, np.array(self._words, dtype=np.int64), {}
            if any(self._failed.values()):
                self.errors.append([self._failed[index] for index in range(self.spec.quantities)])
                self.chip.apply(np.array(self.errors[-1]))  # type: ignore[attr-defined]  # only node currents have errors
        for lane, each in enumerate(self._streams):
            if ctx.get(each.valid) and ctx.get(each.ready):
                self._whole = False
                index, lanes = ctx.get(each.payload.index), len(self._streams)
                assert index % lanes == lane and index not in self._taken and (index < lanes or index - lanes in self._taken)
                self._taken[index] = ctx.get(each.payload.value)
                if self.spec.sends_errors:
                    self._failed[index] = ctx.get(each.payload.error)
                assert ctx.get(each.payload.last) == (index + lanes >= self.spec.quantities)
        if ctx.get(core.sample.valid) and ctx.get(core.sample.ready):
            self.shown.append(ctx.get(core.sample.payload))
        if self._offering and ctx.get(core.cost.ready):
            self._costs, self._offering, self._idle = self._costs[1:], False, -1
            self.marks["cost"].append(self.cycle)
        await ctx.tick()
        self.cycle += 1

    async def _request(self, write: int, address: int, data: int) -> None:
        ctx, request = self.ctx, self.core.request
        ctx.set(request.payload, {"write": write, "address": address, "data": data & 0xFFFFFFFF})
        ctx.set(request.valid, 1)
        while not ctx.get(request.ready):
            await self.tick()
        await self.tick()
        ctx.set(request.valid, 0)

    async def _answer(self, address: int) -> int:
        ctx, response = self.ctx, self.core.response
        ctx.set(response.ready, 1)
        await self._request(0, address, 0)
        while not ctx.get(response.valid):
            await self.tick()
        value = ctx.get(response.payload)
        await self.tick()
        return value

    async def idle(self) -> None:
        """Wait until the core is idle."""
        for waited in range(PATIENCE):
            await self.tick()
            if waited > 4 and not self.ctx.get(self.core.busy):
                return
        raise AssertionError("the core hangs")

    async def host(self, action: Callable[[Any], Any]) -> Any:
        """Run a procedure of the host, which takes a link; return what it returns."""
        link, responses = ProgramLink(), []
        action(link)
        for kind, address, data in link.program().ops.tolist():
            if kind == Op.WAIT:
                await self.idle()
            elif kind == Op.WRITE:
                await self._request(1, address, data)
            else:
                responses.append(await self._answer(address))
        return action(ReplayLink(responses))


def run_learner(bench: LearnerBench, scenario: Callable[[LearnerBench], Awaitable[None]]) -> LearnerBench:
    """Run a scenario of a host on a bench; return the bench."""

    async def testbench(ctx: Any) -> None:
        bench.ctx = ctx
        await scenario(bench)

    simulator = Simulator(bench.core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return bench
