"""Simulate a core in Amaranth's own simulator, which is slow but needs no build."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rtl_gen.toolchain.collection import collection_paused
from sim.error import CoreError, SimulationError
from sim.events import pack
from sim.ports import Ports
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
        The core, or a component with the ports of one.
    ports : Ports
        Widths of the core's ports, and the layouts of its events.
    program : Program
        Operations of the host, and the sample stream.
    feed : callable
        Called with a kind of event and a block of its payloads (uint32, shape (events, words)).
    outcome : Outcome or None
        Object to fill in while the run proceeds; None takes a new one.
    stalls : Stalls or None
        Random stalls of the streams; None for no stalls.
    patience : int
        Cycles without any progress after which the run is aborted.
    waves : Path or None
        VCD file to write; None for none.
    progress : callable or None
        Called from time to time with the outcome so far.

    Raises
    ------
    CoreError
        If the core makes no progress.
    SimulationError
        If the component lacks a port.
    """
    from amaranth.sim import Simulator

    names = ("request", "response", ports.stream, *ports.taken, "busy", "probe_stb", *(f"probe_{event}" for event in ports.kinds))
    missing = [name for name in names if not hasattr(component, name)]
    if missing:
        reason = f"The component {type(component).__name__} must have the ports of a core, and lacks {', '.join(missing)}"
        raise SimulationError(reason, "Give it the ports of rtl_gen.core.Core.")
    bench = _Bench(component, ports, program, feed, outcome or Outcome(), stalls, patience, progress)
    with collection_paused():
        simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench.run)
    if waves is None:
        simulator.run()
    else:
        with simulator.write_vcd(str(waves)):
            simulator.run()
    return bench.outcome


class _Bench:
    """Test bench that drives the streams of a core and collects its events. The arguments are those of :func:`run_amaranth`."""

    def __init__(
        self,
        component: Any,
        ports: Ports,
        program: Program,
        feed: Callable[[str, np.ndarray], None],
        outcome: Outcome,
        stalls: Stalls | None,
        patience: int,
        progress: Callable[[Outcome], None] | None,
    ) -> None:
        from amaranth.hdl import Cat, Value

        self.ports, self.program, self.feed, self.outcome = ports, program, feed, outcome
        self.patience, self.progress = patience, progress
        request, sample, response = component.request, getattr(component, ports.stream), component.response
        payloads, taken = (Value.cast(request.payload), Value.cast(sample.payload)), [getattr(component, name) for name in ports.taken]
        # The inputs form one value, which is set only when it changes, since the simulator settles the core after every assignment.
        self._inputs = Cat(request.valid, sample.valid, response.ready, *payloads, *(stream.ready for stream in taken))
        self._sample_shift = 3 + len(payloads[0])
        self._taken_shift = self._sample_shift + len(payloads[1])
        self._response = Value.cast(response.payload)
        self._outputs = Cat(component.busy, request.ready, sample.ready, response.valid, component.probe_stb)
        self._payloads = [Value.cast(getattr(component, f"probe_{event}")) for event in ports.kinds]
        self._found: list[list[int]] = [[] for _ in ports.kinds]
        self._chance = random.Random(stalls.seed) if stalls else None
        self._share = stalls.share if stalls else 0.0

    def _stalled(self) -> bool:
        """Draw at random whether a stream stalls in this cycle."""
        return self._chance is not None and self._chance.random() < self._share

    def _flush(self, number: int) -> None:
        """Pass the collected events of one kind to ``feed``."""
        if self._found[number]:
            event = self.ports.kinds[number]
            self.feed(event, pack(self._found[number], self.ports.payload_words(event)))
            self._found[number].clear()

    def _observe(self, ctx: Any, strobes: int) -> bool:
        """Collect the events of a cycle; return whether there were any."""
        for number, payload in enumerate(self._payloads if strobes else ()):
            if strobes >> number & 1:
                self._found[number].append(ctx.get(payload))
                if len(self._found[number]) >= _BLOCK:
                    self._flush(number)
        return strobes != 0

    async def run(self, ctx: Any) -> None:
        """Run the whole program cycle by cycle: drive the inputs, sample the outputs, and record each transfer."""
        outcome, host, words = self.outcome, _Host(self.program), self.program.words()
        word, idle, requesting, offering = next(words, None), 0, False, False
        request = sample = before = 0
        ticks = aiter(ctx.tick())
        while not host.done:
            requesting = requesting or (host.payload is not None and not self._stalled())
            offering = offering or (word is not None and not self._stalled())
            taking = not self._stalled()
            request = host.payload if requesting and host.payload is not None else request
            sample = word if offering and word is not None else sample
            inputs = requesting | offering << 1 | taking << 2 | request << 3 | sample << self._sample_shift
            for place in range(len(self.ports.taken)):
                inputs |= (not self._stalled()) << self._taken_shift + place
            if inputs != before:
                ctx.set(self._inputs, inputs)
                before = inputs
            outputs = ctx.get(self._outputs)
            busy, accepts, fetches, responds = (outputs >> place & 1 for place in range(4))
            progress = self._observe(ctx, outputs >> 4)
            outcome.busy_cycles += busy
            requested = requesting and accepts
            responded = taking and responds
            if responded:
                outcome.responses.append(ctx.get(self._response))
            if offering and fetches:
                word, offering, progress = next(words, None), False, True
                outcome.samples += 1
            await anext(ticks)
            outcome.cycles += 1
            if self.progress is not None and outcome.cycles % _BLOCK == 0:
                self.progress(outcome)
            progress |= host.advance(requested, responded, busy)
            if requested:
                requesting = False
            idle = 0 if progress or host.done else idle + 1
            if idle > self.patience:
                break
        for number in range(len(self._found)):
            self._flush(number)
        if not host.done:
            raise CoreError(outcome.stuck(self.program, host.index, self.patience))


class _Host:
    """Steps through the operations of a program, cycle by cycle."""

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
        """Account for one cycle; return whether an operation made progress."""
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
