"""What ``generate --board`` and ``build`` share: the manifest of a top level, and its clock."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from mgd_hw.common.results import plain

if TYPE_CHECKING:
    from boards.plan import Plan
    from python_ref.spec.design import DesignSpec

__all__ = ["megahertz", "top_manifest"]


def megahertz(clock: float | None) -> Fraction | None:
    return None if clock is None else Fraction(str(clock))


def top_manifest(spec: DesignSpec, planned: Plan) -> dict[str, Any]:
    from rtl_gen.emit import manifest

    found = plain(manifest(spec))
    assert isinstance(found, dict)
    on = {"name": planned.board.name, "clock_mhz": float(planned.clock.mhz), "baud": planned.baud, "divisor": planned.divisor}
    return {**found, "top": f"{spec.module}_top", "board": on}
