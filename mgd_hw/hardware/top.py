"""Manifest and clock of the top level for a board, as used by ``generate --board`` and ``build``."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from mgd_hw.common.results import plain

if TYPE_CHECKING:
    from boards.plan import Plan
    from python_ref.spec.design import DesignSpec

__all__ = ["megahertz", "top_manifest"]


def megahertz(clock: float | None) -> Fraction | None:
    """Convert a clock in MHz to the fraction with the same decimals; return None for None."""
    return None if clock is None else Fraction(str(clock))


def top_manifest(spec: DesignSpec, planned: Plan) -> dict[str, Any]:
    """Return the manifest of a core as plain data, with the name of its top level and the clock and link of its board."""
    from rtl_gen.emit import manifest

    found = plain(manifest(spec))
    assert isinstance(found, dict)
    on = {"name": planned.board.name, "clock_mhz": float(planned.clock.mhz), "baud": planned.baud, "divisor": planned.divisor}
    return {**found, "top": f"{spec.module}_top", "board": on}
