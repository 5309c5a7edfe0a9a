"""Highest clock frequency of a placed design and its critical path, read from the tools' reports."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["SOURCES", "Timing", "component", "of_icetime", "of_nextpnr"]

SOURCES = {
    "icetime": "icetime (Project IceStorm), which knows what the path through a DSP block takes",
    "ice40": (
        "nextpnr-ice40, UNVERIFIED: it takes every DSP block for registered, and can tell of three times what is true. "
        "Install icetime ('apt install fpga-icestorm' on Debian)."
    ),
    "ecp5": "nextpnr-ecp5, whose delays Project Trellis took from Lattice's own tools; not verified on a device",
    "gowin": "nextpnr-himbaechel, whose delays of Gowin's multipliers are not physical; not verified on a device",
    "xc7": "none: synthesis only",
}
"""Tool that reports a frequency, with what is known of its error, by tool or family."""


@dataclass(frozen=True)
class Timing:
    """Result of a timing analysis.

    Attributes
    ----------
    mhz : float
        Highest frequency of the core's clock, in MHz.
    start, end : str
        Components in which the critical path starts and ends.
    """

    mhz: float
    start: str
    end: str


def component(cell: str) -> str:
    """Component that a cell or net of a flat netlist belongs to: a block of the core, "lanes", "link", "pins", "clock and reset", "player",
    "reader" and "press" of a board that learns alone, or "place and route" for cells that nextpnr adds."""
    name = re.sub(r"\$\d+", "", cell).removeprefix("$gbuf_")  # a buffer belongs to the component that drives it
    if re.match(r"\$nextpnr|\$PACKER|GSR$", name):
        return "place and route"
    if re.search(r"\$(sb|tr)_io$|_[IO]BUF_[IO]$", name):
        return "pins"
    inside_link = name.startswith("linked.") or re.match(r"[rt]x(_|$)", name) is not None
    alone = re.match(r"alone\.(player|reader|press)\b", name)
    if alone:
        return alone[1]
    name = name.removeprefix("linked.").removeprefix("alone.")
    if not name.startswith("core."):
        return "link" if inside_link or name.startswith(("uart.", "framing.", "synchronizer.")) else "clock and reset"
    inside = name.removeprefix("core.")
    if re.match(r"array\.lane\d+", inside):
        return "lanes"
    return inside.split(".")[0] if "." in inside else "core"


def of_nextpnr(report: Mapping[str, Any]) -> Timing:
    """Extract the timing from a JSON report of nextpnr.

    Raises
    ------
    ValueError
        If the report has no clock frequency.
    """
    if not report.get("fmax"):
        raise ValueError("Report must have a clock's frequency")
    clock, found = min(report["fmax"].items(), key=lambda item: item[1]["achieved"])
    edge = f"posedge {clock}"
    ends = [path["path"] for path in report.get("critical_paths", ()) if path["from"] == edge and path["to"] == edge and path["path"]]
    if not ends:
        return Timing(float(found["achieved"]), "", "")
    return Timing(float(found["achieved"]), component(ends[0][0]["from"]["cell"]), component(ends[0][-1]["to"]["cell"]))


def of_icetime(text: str) -> Timing:
    """Extract the timing from the text that icetime prints.

    Raises
    ------
    ValueError
        If the text has no total path delay.
    """
    found = re.search(r"Total path delay: [\d.]+ ns \(([\d.]+) MHz\)", text)
    if found is None:
        raise ValueError("Report must have a total path delay")
    nets = re.findall(r"net_\d+ \((.*)\)$", text, re.MULTILINE)
    return Timing(float(found[1]), component(nets[0]) if nets else "", component(nets[-1]) if nets else "")


def read_report(text: str) -> tuple[Timing, dict[str, tuple[int, int]]]:
    """Timing and utilisation in the text of a JSON report of nextpnr: numbers of sites used and available, by kind."""
    report = json.loads(text)
    used = {kind: (count["used"], count["available"]) for kind, count in report["utilization"].items() if count["used"]}
    return of_nextpnr(report), used
