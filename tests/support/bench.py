"""One clocked block under test: inputs of every cycle in, outputs of every cycle out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Value
from amaranth.sim import Simulator

__all__ = ["cycles", "settled"]


def cycles(block: Any, inputs: Sequence[dict[str, Any]], outputs: Sequence[str], *, extra: int = 0) -> list[dict[str, Any]]:
    """Outputs in every cycle, before its edge: cycle n has ``inputs[n]``; an input that is not named keeps its value.

    Parameters
    ----------
    block : Component
        The block.
    inputs : sequence of dict
        Values by port; dotted names reach into a layout.
    outputs : sequence of str
        Ports to note, the same way.
    extra : int
        Cycles after the last inputs.
    """
    found: list[dict[str, Any]] = []

    async def bench(ctx):
        for given in [*inputs, *[{}] * extra]:
            for name, value in given.items():
                ctx.set(_port(block, name), value)
            found.append({name: ctx.get(_port(block, name)) for name in outputs})
            await ctx.tick()

    simulator = Simulator(block)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def settled(module: Any, value: Value, stimuli: Sequence[int], results: Sequence[Value], other: tuple[Value, Sequence[int]] | None = None):
    """Combinational results for every stimulus, and every value of another input if there is one: rows of integers."""
    rows = []

    async def bench(ctx):
        for stimulus in stimuli:
            ctx.set(value, stimulus)
            for more in other[1] if other else (0,):
                if other:
                    ctx.set(other[0], more)
                await ctx.delay(1e-9)
                rows.append([ctx.get(result) for result in results])

    simulator = Simulator(module)
    simulator.add_testbench(bench)
    simulator.run()
    return rows


def _port(block: Any, name: str) -> Any:
    for part in name.split("."):
        block = getattr(block, part)
    return block
