"""The verb ``fit``: predict, without synthesis, which parts a design fits."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.common import figures, style
from mgd_hw.common.results import Result, flat, plain
from mgd_hw.design.argument import built, read_any
from mgd_hw.design.description import Design
from mgd_hw.design.external import ExternalDesign

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Fitted", "fit"]


@dataclass(frozen=True)
class Fitted(Result):
    """Prediction which parts a design fits.

    Attributes
    ----------
    design, digest : str
        Name of the design, and digest of its structure.
    lanes : int
        Number of lanes that work in parallel, L.
    cycles_per_step : float
        Exact number of clock cycles of a training step, averaged over the schedule; of a learner, those of its contract, without the
        outside's own time.
    memory_bits : int
        Number of bits in all memories.
    parts : dict of str to dict
        Prediction for each part, by its name: ``fits`` (even with as much more logic than predicted as a design ever took), ``over``,
        ``close`` (only synthesis can decide), ``surely_over`` (so much too large that synthesis is refused), ``most_lanes``, the
        resources needed of each kind, ``limits``, the ``error`` of predictions against synthesis, and ``designs``, the number of
        synthesised designs behind it.
    boards : dict of str to str
        Part of each board that comes with the package, by the board's name.
    calibrated : str
        Date on which the model was fitted to runs of synthesis.
    current : bool
        Whether the installed Yosys, if there is one, is of the version that the model was fitted to.
    seconds : float
        Wall-clock time of the prediction, in seconds.
    """

    design: str
    digest: str
    lanes: int
    cycles_per_step: float
    memory_bits: int
    parts: dict[str, dict[str, Any]]
    boards: dict[str, str]
    calibrated: str
    current: bool
    seconds: float

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the table "parts", one row per part."""
        return {"parts": [{"design": self.design, "part": name, **flat(part)} for name, part in self.parts.items()]}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lanes = f"{self.lanes} {'lane' if self.lanes == 1 else 'lanes'}"
        yield style.wrapped(f"[bold]{style.escape(self.design)}[/bold], {lanes}, with its serial line; predicted, nothing was synthesised")
        table = style.table("part", "fits", "most lanes", "LUTs", "± mean, worst", "flip-flops", "DSPs", "block RAMs")
        for name, part in self.parts.items():
            error = part["error"]["lut"]
            table.add_row(
                name,
                "perhaps" if part["close"] else "[bold green]yes[/bold green]" if part["fits"] else "[bold red]no[/bold red]",
                str(part["most_lanes"]),
                f"{part['lut']:,} / {part['limits']['lut']:,}",
                f"{100 * error['mean']:.0f} %, {100 * error['worst']:.0f} %",
                *(f"{part[kind]:,} / {part['limits'].get(kind, 0):,}" for kind in ("ff", "dsp", "bram")),
            )
        yield table
        for name, part in self.parts.items():
            if part["over"]:
                excess = ", ".join(f"{count:,} {kind}" for kind, count in part["over"].items())
                way_out = f"; hardware.lanes = {part['most_lanes']} would fit" if part["most_lanes"] else ""
                yield f"{name}: {excess} too many{', within the error' if part['close'] else ''}{way_out}."
        yield "Boards: " + ", ".join(f"{style.escape(board)} ({part})" for board, part in self.boards.items())
        yield f"{self.memory_bits:,} memory bits; {self.cycles_per_step:,.1f} cycles per step, exactly"
        builds = min(part["designs"] for part in self.parts.values())
        changed = " Another version of Yosys is installed, so errors may be larger: run python -m mgd_hw.hardware.calibrate."
        stale = "" if self.current else changed
        yield (f"Errors are those for designs the model had not seen, {builds} or more per part, {self.calibrated}.{stale}")

    def plot(self) -> Figure:
        rows = {name: 100 * part["lut"] / part["limits"]["lut"] for name, part in self.parts.items()}
        return figures.bars(rows, f"{self.design}, {self.lanes} lanes", "LUTs of the part, predicted (%)")


def fit(design: str | Path | Design | ExternalDesign) -> Fitted:
    """Predict which parts a design fits, with how many lanes, and which resources it needs of each.

    Raises
    ------
    Refusal
        If the design requests something that has no hardware.
    """
    from boards.board import board_files, read_board
    from boards.parts.fit import calibration, parts
    from boards.parts.fit import fit as predict

    began = time.perf_counter()
    design = read_any(design)
    design = design if isinstance(design, ExternalDesign) else built(design)
    found = {name: predict(design.spec, name) for name in parts()}
    calibrated, current = calibration()
    one = next(iter(found.values()))
    return Fitted(
        design=design.name,
        digest=design.spec.digest,
        lanes=design.spec.hardware.lanes,
        cycles_per_step=one.cycles_per_step,
        memory_bits=one.memory_bits,
        parts={name: plain(each.to_json()) for name, each in found.items()},  # type: ignore[misc]
        boards={name: read_board(path).part.name for name, path in sorted(board_files().items())},
        calibrated=calibrated,
        current=current,
        seconds=time.perf_counter() - began,
    )
