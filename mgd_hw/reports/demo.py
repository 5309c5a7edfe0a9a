"""The verb ``demo``: generate, co-simulate, compare and synthesise two of the shipped designs, and report on both."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.common import style
from mgd_hw.common.files import atomic_directory, results_directory
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result
from mgd_hw.design.argument import read
from mgd_hw.reports.chapter import Chapter, Plan, chapter_of
from mgd_hw.reports.page import write

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Demonstrated", "demo"]

DEMONSTRATED = {"xor": ("XOR", 1000, 3, 10_000), "digits": ("Handwritten digits", 100, 2, 300_000)}
"""Designs of the demonstration: title, steps of the co-simulation, and seeds and steps of the comparison."""


@dataclass(frozen=True)
class Demonstrated(Result):
    """Results of a demonstration.

    Attributes
    ----------
    directory : Path
        Directory that holds report.html and report.json.
    designs : tuple of Chapter
        Results of the verbs for each design.
    seconds : float
        Wall-clock time of the whole demonstration, in seconds.
    """

    directory: Path
    designs: tuple[Chapter, ...]
    seconds: float

    ALSO = ("good",)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the table "designs", one row of results per design."""
        parts = ("cosimulated", "compared", "synthesised")
        rows = []
        for chapter in self.designs:
            row: dict[str, Any] = {"design": chapter.generated.design, "digest": chapter.generated.digest}
            for name in parts:
                part = getattr(chapter, name)
                row |= {} if part is None else {f"{name}.{key}": value for key, value in Result.tables(part)["result"][0].items()}
            rows.append(row)
        return {"designs": rows}

    @property
    def good(self) -> bool:
        """Whether no co-simulation found a difference, and no compared run diverged."""
        return all(chapter.good for chapter in self.designs)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for chapter in self.designs:
            yield style.wrapped(f"\n[bold]— {style.escape(chapter.title)} —[/bold]")
            for part in (chapter.cosimulated, chapter.compared, chapter.synthesised):
                if part is not None:
                    yield part
        yield f"\nWrote {style.escape(str(self.directory / 'report.html'))} and report.json in {self.seconds:.0f} s"

    def plot(self) -> Figure:
        return next(chapter.compared for chapter in reversed(self.designs) if chapter.compared).plot()


def demo(out: Path | None = None, *, progress: Progress | None = None) -> Demonstrated:
    """Generate, co-simulate, compare and synthesise the designs xor and digits; write report.html and report.json.

    Parameters
    ----------
    out : path or None
        Directory for the report, with a subdirectory for each design; None takes mgd-hw-out/demo.
    progress : Progress or None
        Receives status messages and the progress of long tasks; None discards them.
    """
    progress = progress or NullProgress()
    directory = results_directory(out, "demo")
    began = time.perf_counter()
    chapters = []
    for number, (name, (title, cosim_steps, seeds, steps)) in enumerate(DEMONSTRATED.items(), 1):
        progress.status(f"[{number} of {len(DEMONSTRATED)}] {title}")
        plan = Plan(cosim_steps, seeds, steps, "ice40-up5k", "icebreaker")
        chapters.append(chapter_of(read(name), name, title, plan, directory / name, progress))
    with atomic_directory(directory) as folder:
        write(folder, "mgd-hw demo", tuple(chapters))
    return Demonstrated(directory, tuple(chapters), time.perf_counter() - began)
