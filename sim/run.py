"""Inputs and results that all simulators have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from sim.program import Op, Program

__all__ = ["RESET_CYCLES", "Outcome", "Stalls"]

RESET_CYCLES = 2
"""Cycles for which a simulation resets a core whose registers and memories begin with the values that the Verilog gives them."""


@dataclass(frozen=True)
class Stalls:
    """Random stalls on the host's side of every stream; no result may depend on them.

    Parameters
    ----------
    seed : int
        Seed of the random generator, from 1 to 2³² − 1.
    share : float
        Fraction of the cycles in which a stream stalls, from 0 to below 1.
    """

    seed: int
    share: float

    def __post_init__(self) -> None:
        if not 1 <= self.seed < 1 << 32:
            raise ValueError(f"Seed of stalls must be 1 to 2^32 - 1, not {self.seed!r}")
        if not 0 <= self.share < 1:
            raise ValueError(f"Share of stalls must be from 0 to below 1, not {self.share!r}")


@dataclass
class Outcome:
    """Result of a run apart from its events.

    Attributes
    ----------
    cycles : int
        Number of clock cycles, set-up and read-back included.
    busy_cycles : int
        Number of cycles in which the core was busy.
    samples : int
        Number of words that the core took from the sample stream.
    responses : list of int
        Values that the core returned to the reads, in order.
    """

    cycles: int = 0
    busy_cycles: int = 0
    samples: int = 0
    responses: list[int] = field(default_factory=list)

    def stuck(self, program: Program, index: int, patience: int) -> str:
        """Error message for a run that made no progress for ``patience`` cycles in operation ``index``."""
        kind, address, data = (int(value) for value in program.ops[index])
        doing = {
            Op.WRITE: f"to accept the write of 0x{data:x} to register 0x{address:02x}",
            Op.READ: f"to answer the read of register 0x{address:02x}",
            Op.WAIT: "to become idle",
            Op.RESET: "to be reset",
            Op.PRESET: f"to have row {address} of a memory set",
            Op.STREAM: f"to take sample {data}",
            Op.CUT: f"to be asked for register {address & 0xFF:#04x}",
        }[Op(kind)]
        words = len(program.order) * program.table.shape[1]
        return (
            f"The core made no progress for {patience} cycles: in cycle {self.cycles} the host waits for it {doing} "
            f"(operation {index} of {len(program.ops)}; {self.samples} of {words} sample words taken)"
        )
