"""The slots of a pass, written down from the layout rather than by the sequencer, and a bench that answers a block in every cycle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.sim import Simulator

from python_ref.spec.design import DesignSpec

__all__ = ["FLAGS", "IDLE", "drive", "pass_slots"]

FLAGS = ("real", "first", "last", "tail", "begin", "apply", "minus")
IDLE = {**dict.fromkeys(FLAGS, 0), "bank": 0, "layer": 0}
"""Fields of a cycle without a slot."""


def pass_slots(spec: DesignSpec, *, probe: int = 0, apply: int = 0, minus: int = 0, bank: int = 2, wait: int = 0) -> list[dict[str, int]]:
    """Slots of a pass; ``wait`` cycles without a slot follow each group."""
    found = []
    for number, placed in enumerate(spec.layout.layers):
        if number < probe:
            continue
        for group in range(placed.groups):
            for k in range(placed.group_words):
                found.append(
                    {
                        "real": 1,
                        "first": int(k == 0),
                        "last": int(k == placed.group_words - 1),
                        "tail": int(group == placed.groups - 1),
                        "begin": int(number == probe and group == k == 0),
                        "apply": apply,
                        "minus": minus,
                        "bank": bank,
                        "layer": number,
                    }
                )
            found += [IDLE | {"layer": number, "bank": bank, "apply": apply, "minus": minus}] * wait
    return found


def drive(block: Any, count: int, each: Callable[[Any, int], object]) -> None:
    """Simulate a block for ``count`` cycles, or until ``each`` returns true.

    ``each`` sets the block's inputs in a cycle and looks at its outputs, given the cycle's number.
    """

    async def bench(ctx: Any) -> None:
        for number in range(count):
            if each(ctx, number):
                break
            await ctx.tick()

    simulator = Simulator(block)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
