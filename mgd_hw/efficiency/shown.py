"""Tables of a comparison of efficiency on the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from mgd_hw.common import style
from mgd_hw.efficiency.counts import ENDURANCES

if TYPE_CHECKING:
    from rich.console import RenderableType, RenderResult

    from mgd_hw.data.kinds import Measure
    from mgd_hw.efficiency.counts import Counts
    from mgd_hw.efficiency.results import BoardColumn, VariantResult

__all__ = ["tables_shown"]

REASONS = {
    "error": "error 0",
    "unperturbed": "not perturbed",
    "input": "input 0",
    "gradient": "gradient 0",
    "rounded": "rounded to 0",
}
"""Titles of the reasons why an update leaves a parameter as it is."""


_LEGEND = (
    "* as the design file has it; other amplitudes, periods and rates are derived. Counts are means of the runs that reached the "
    "accuracy, or of all whole runs where none did (>). Passes are of any length, full ones as many multiplications as one through the "
    "whole network. Trainings: if every update writes every parameter / if only changes are written. ! does not fit the board, ? may "
    "not fit, as predicted."
)


def tables_shown(variants: Sequence[VariantResult], until: float | None, measure: Measure, boards: Sequence[BoardColumn]) -> RenderResult:
    """Yield the tables of a comparison: the way to an accuracy, writes, endurance and seconds; then what was not trained, or failed.

    Parameters
    ----------
    variants : sequence of VariantResult
        Results in the order of the rows.
    until : float or None
        Accuracy up to which everything is counted; None counts whole runs.
    measure : Measure
        Measure of the end of a run.
    boards : sequence of BoardColumn
        Boards in the order of the columns.
    """
    rows = [_Row(each, each.counts, ">" if until is not None and not each.reached else "") for each in variants if each.counts is not None]
    yield from (_work(rows, until, measure), _writes(rows), _endurance(rows))
    if boards and any(row.counts.seconds for row in rows):
        yield _seconds(rows, boards)
    yield style.wrapped(_LEGEND)
    for each in variants:
        if each.refused:
            yield style.wrapped(f"Not trained: {style.escape(each.title)}. {style.escape(each.refused)}")
        for run in each.runs:
            if run.failure:
                yield style.wrapped(f"[bold red]{style.escape(each.title)}, seed {run.seed}: {style.escape(run.failure)}.[/bold red]")


class _Row(NamedTuple):
    """A variant that was trained, its counts, and ">" if these are of whole runs that did not reach the accuracy, otherwise ""."""

    of: VariantResult
    counts: Counts
    more: str

    @property
    def title(self) -> str:
        """Title of the variant, as markup."""
        return style.escape(self.of.title)

    def whole(self, value: float) -> str:
        """Format a count as a whole number; a dash for NaN."""
        return "–" if math.isnan(value) else f"{self.more}{value:,.0f}"

    def joules(self, value: float) -> str:
        """Format an energy; a dash for NaN."""
        return "–" if math.isnan(value) else self.more + style.scaled(value, "J")


def _work(rows: Sequence[_Row], until: float | None, measure: Measure) -> RenderableType:
    to = "whole runs" if until is None else f"to {100 * until:g} %"
    table = style.table(to, f"{measure.title} at the end", "reached", "passes", "full", "cycles", "energy", "from", "to")
    for row in rows:
        each, counts, energy = row.of, row.counts, row.counts.energy
        half = "" if math.isnan(each.score_interval) else f" ± {measure.text(each.score_interval).removesuffix(' %')}"
        table.add_row(
            row.title + (" *" if each.written and each.model != "backprop-adam" else ""),
            f"{measure.text(each.score_mean).removesuffix(' %')}{half}{' %' if measure.share else ''}",
            "–" if until is None else f"{each.reached} of {len(each.runs)}",
            *(row.whole(value) for value in (counts.evaluations, counts.full_evaluations, counts.cycles)),
            *(row.joules(value) for value in (energy.joules, energy.low, energy.high)),
        )
    return table


def _writes(rows: Sequence[_Row]) -> RenderableType:
    met = [reason for reason in REASONS if any(row.counts.unchanged[reason] > 0 for row in rows)]
    table = style.table("writes", "written", "changed", *(REASONS[reason] for reason in met), "most of a cell", "changes")
    for row in rows:
        counts = row.counts
        table.add_row(
            row.title,
            *(row.whole(value) for value in (counts.writes, counts.changed)),
            *(_share(counts.unchanged[reason], counts.writes) for reason in met),
            *(row.whole(value) for value in (counts.most_written, counts.most_changed)),
        )
    return table


def _endurance(rows: Sequence[_Row]) -> RenderableType:
    table = style.table("trainings of a cell", *(f"10^{round(math.log10(endurance))} writes" for endurance in ENDURANCES))
    for row in rows:
        texts = [" / ".join(_trainings(count, bool(row.more)) for count in (wear.always, wear.if_changed)) for wear in row.of.wear]
        table.add_row(row.title, *texts)
    return table


def _seconds(rows: Sequence[_Row], boards: Sequence[BoardColumn]) -> RenderableType:
    table = style.table("seconds, core / line", *(style.escape(board.name) for board in boards))
    notes = {"no": " !", "perhaps": " ?", "yes": ""}
    table.add_row("clock, MHz", *(f"{board.clock_mhz:g}" for board in boards))
    for row in rows:
        seconds = row.counts.seconds
        if seconds:
            fits = [notes[row.of.fits.get(board.name, "yes")] for board in boards]
            times = [" / ".join(f"{row.more}{time:.3g}" for time in vars(seconds[board.name]).values()) for board in boards]
            table.add_row(row.title, *(time + fit for time, fit in zip(times, fits, strict=True)))
    return table


def _share(part: float, whole: float) -> str:
    """Format a part of a whole in per cent; a dash where one is not known, or the whole is 0."""
    return "–" if not whole or math.isnan(part) else f"{100 * part / whole:.1f} %"


def _trainings(count: int | None, less: bool) -> str:
    """Format a number of trainings with three digits, "<" before it if it is a bound; a dash where it is not known."""
    if count is None:
        return "–"
    for scale, unit in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if count >= 10 * scale:
            return f"{'<' if less else ''}{count / scale:,.0f}{unit}"
    return f"{'<' if less and count else ''}{count:,}"
