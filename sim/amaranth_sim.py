"""A core in Amaranth's own simulator: slow, but nothing to build."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sim.error import CoreError, SimulationError
from sim.events import pack
from sim.ports import EVENTS, Ports
from sim.program import Op, Program
from sim.run import Outcome, Stalls

__all__ = ["run_amaranth"]

_BLOCK = 4096


def run_amaranth(
    component: Any,
    ports: Ports,
    program: Program,
    feed: Callable[[str, np.ndarray], None],
    *,
    outcome: Outcome | None = None,
    stalls: Stalls | None = None,
    patience: int = 100_000,
    waves: Path | None = None,
    progress: Callable[[Outcome], None] | None = None,
) -> Outcome:
    """Run a program on a component with the ports of a core.

    Parameters
    ----------
    component : amaranth.lib.wiring.Component
        The core.
    ports : Ports
        Its ports.
    program : Program
        What the host does.
    feed : callable
        Takes the kind of event and payloads (uint32, shape (events, words)), in blocks.
    outcome : Outcome or None
        To fill in.
    stalls : Stalls or None
        Random stalls of the streams.
    patience : int
        Cycles without any progress after which the run is given up.
    waves : Path or None
        VCD file to write.
    progress : callable or None
        Is told now and then how far the run is.

    Raises
    ------
    CoreError
        If the core makes no progress.
    SimulationError
        If it lacks a port.
    """
    from amaranth.hdl import Value
    from amaranth.sim import Simulator

    names = ("request", "response", "sample", "busy", "probe_stb", *(f"probe_{event}" for event in EVENTS))
    missing = [name for name in names if not hasattr(component, name)]
    if missing:
        raise SimulationError(f"The component {type(component).__name__} must have the ports of a core, and lacks {', '.join(missing)}")
    request, response, sample = component.request, component.response, component.sample
    request_payload = Value.cast(request.payload)
    sample_payload = Value.cast(sample.payload)
    response_payload = Value.cast(response.payload)
    payloads = [Value.cast(getattr(component, f"probe_{event}")) for event in EVENTS]
    stb = Value.cast(component.probe_stb)
    words = program.words()
    told = progress
    outcome = outcome or Outcome()
    found: list[list[int]] = [[] for _ in EVENTS]

    def flush(number: int) -> None:
        if found[number]:
            event = EVENTS[number]
            feed(event, pack(found[number], ports.payload_words(event)))
            found[number].clear()

    async def bench(ctx: Any) -> None:
        chance = random.Random(stalls.seed) if stalls else None
        word, idle, ops = next(words, None), 0, _Host(program)
        requesting, offering = False, False
        while True:
            if not requesting:
                requesting = ops.payload is not None and not (chance and chance.random() < stalls.share)  # type: ignore[union-attr]
            if not offering:
                offering = word is not None and not (chance and chance.random() < stalls.share)  # type: ignore[union-attr]
            taking = not (chance and chance.random() < stalls.share)  # type: ignore[union-attr]
            ctx.set(request.valid, requesting)
            if requesting:
                ctx.set(request_payload, ops.payload)
            ctx.set(sample.valid, offering)
            if offering:
                ctx.set(sample_payload, word)
            ctx.set(response.ready, taking)
            progress = False
            if strobes := ctx.get(stb):
                progress = True
                for number, payload in enumerate(payloads):
                    if strobes >> number & 1:
                        found[number].append(ctx.get(payload))
                        if len(found[number]) >= _BLOCK:
                            flush(number)
            busy = ctx.get(component.busy)
            outcome.busy_cycles += busy
            requested = requesting and ctx.get(request.ready)
            responded = taking and ctx.get(response.valid)
            if responded:
                outcome.responses.append(ctx.get(response_payload))
            if offering and ctx.get(sample.ready):
                word, offering, progress = next(words, None), False, True
                outcome.samples += 1
            await ctx.tick()
            outcome.cycles += 1
            if told is not None and outcome.cycles % _BLOCK == 0:
                told(outcome)
            progress |= ops.advance(requested, responded, busy)
            if requested:
                requesting = False
            if ops.done:
                break
            idle = 0 if progress else idle + 1
            if idle > patience:
                for number in range(len(EVENTS)):
                    flush(number)
                raise CoreError(outcome.stuck(program, ops.index, patience))
        for number in range(len(EVENTS)):
            flush(number)

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    if waves is None:
        simulator.run()
    else:
        with simulator.write_vcd(str(waves)):
            simulator.run()
    return outcome


class _Host:
    """Goes through the operations of a program, one event of a cycle at a time."""

    def __init__(self, program: Program) -> None:
        self._ops: Iterator[list[int]] = iter(program.ops.tolist())
        self.index = -1
        self.done = False
        self._responding = False
        self._next()

    def _next(self) -> None:
        row = next(self._ops, None)
        self.index += 1
        self._grace = 4
        self.payload: int | None = None
        if row is None:
            self.done = True
            self._kind = -1
            return
        self._kind, address, data = row
        if self._kind != Op.WAIT:
            self.payload = (self._kind == Op.WRITE) | address << 1 | data << 9

    def advance(self, requested: bool, responded: bool, busy: int) -> bool:
        """Take note of a cycle; return whether an operation came further."""
        if self._kind == Op.WAIT:
            if self._grace:
                self._grace -= 1
            elif not busy:
                self._next()
                return True
            return False
        if requested:
            self.payload = None
            if self._kind == Op.WRITE:
                self._next()
                return True
            self._responding = True
        if responded and self._responding:
            self._responding = False
            self._next()
            return True
        return bool(requested)
