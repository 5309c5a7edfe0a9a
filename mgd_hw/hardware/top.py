"""Manifest and clock of the top level for a board, as used by ``generate --board`` and ``build``."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from mgd_hw.common.results import plain

if TYPE_CHECKING:
    from boards.plan import Plan
    from python_ref.spec.learning import LearningSpec

__all__ = ["megahertz", "top_manifest"]


def megahertz(clock: float | None) -> Fraction | None:
    """Convert a clock in MHz to the fraction with the same decimals; return None for None."""
    return None if clock is None else Fraction(str(clock))


def top_manifest(spec: LearningSpec, planned: Plan) -> dict[str, Any]:
    """Return the manifest of a core as plain data, with the name of its top level and the clock and link of its board.

    That of a learner has the registers of its outside as well.
    """
    from python_ref.spec.learner import LearnerSpec
    from python_ref.spec.relay import relay_map
    from rtl_gen.emit import manifest

    found = plain(manifest(spec))
    assert isinstance(found, dict)
    if isinstance(spec, LearnerSpec):
        found["outside_registers"] = plain([asdict(register) for register in relay_map(spec).values()])
    on = {"name": planned.board.name, "clock_mhz": float(planned.clock.mhz), "baud": planned.baud, "divisor": planned.divisor}
    return {**found, "top": f"{spec.module}_top", "board": on}
