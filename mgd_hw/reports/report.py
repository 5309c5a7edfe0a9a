"""The verb ``report``: run all verbs that assess a design, and present their results on one page."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mgd_hw.common import style
from mgd_hw.common.files import atomic_directory, results_directory
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result
from mgd_hw.design.argument import built, read_any
from mgd_hw.design.description import Design
from mgd_hw.design.external import ExternalDesign
from mgd_hw.design.run import check_length
from mgd_hw.hardware.boards import board_of
from mgd_hw.hardware.outside import learner_run
from mgd_hw.learn import compare_learner
from mgd_hw.reports.chapter import Chapter, Plan, chapter_of, chapter_of_learner
from mgd_hw.reports.page import write
from python_ref.spec.error import DesignError, naming

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Reported", "report"]


@dataclass(frozen=True)
class Reported(Result):
    """Report on one design.

    Attributes
    ----------
    directory : Path
        Directory that holds report.html and report.json.
    chapter : Chapter
        Results that both files of the report present.
    seconds : float
        Wall-clock time of producing the whole report, in seconds.
    """

    directory: Path
    chapter: Chapter
    seconds: float

    ALSO = ("good",)

    @property
    def good(self) -> bool:
        """Whether the co-simulation, if there was one, found no difference, and no compared run diverged."""
        return self.chapter.good

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        chapter = self.chapter
        for part in (chapter.cosimulated, chapter.compared, chapter.chip_diagnosed, chapter.chip_compared, chapter.synthesised):
            if part is not None:
                yield part
        yield f"\nWrote {style.escape(str(self.directory / 'report.html'))} and report.json in {self.seconds:.0f} s"


def report(
    design: str | Path | Design | ExternalDesign,
    *,
    proof: int = 200,
    seeds: int | None = None,
    steps: int | None = None,
    target: str = "ice40-up5k",
    board: str = "icebreaker",
    out: Path | None = None,
    progress: Progress | None = None,
) -> Reported:
    """Generate, co-simulate, compare, profile the numbers and synthesise; write report.html and report.json.

    Where the network is outside, its process answers the co-simulation, a diagnosis and the comparison, and no numbers are profiled.

    Parameters
    ----------
    design : path, name or Design
        Path of a design file, name of a shipped design, or a design that was read before; its network may be outside.
    proof : int
        Number of steps that are co-simulated.
    seeds, steps : int or None
        Number of runs of the comparison, and of steps in each; None takes the design file's, or those of ``compare``.
    target : str
        Name of the part that the core is synthesised for.
    board : str
        Name of the board for which the time of a run is given; that of a network outside is not known.
    out : path or None
        Directory for all files; None takes mgd-hw-out/DESIGN. The report includes the latest bitstream of the same design that
        `mgd-hw build` wrote there or to its default directory.
    progress : Progress or None
        Receives status messages and the progress of long tasks; None discards them.

    Raises
    ------
    Refusal
        If the design cannot be built, or one of the verbs refuses it.
    """
    from boards.parts.synth import check_memory
    from boards.parts.target import target as part

    progress, found, began = progress or NullProgress(), read_any(design), time.perf_counter()
    called = str(found.path if isinstance(design, (Design, ExternalDesign)) else design)
    directory, _ = results_directory(out, found.name), board_of(board)
    if isinstance(found, ExternalDesign):
        found.outside()
        plan = Plan(proof, seeds or compare_learner.SEEDS, steps or compare_learner.STEPS, target, board)
        learner_run(found, plan.steps)
        chapter = chapter_of_learner(found, called, found.name, plan, directory, progress)
    else:
        inside = built(found)
        plan = Plan(proof, seeds or inside.compare.seeds, steps or inside.compare.steps, target, board)
        check_length(inside, plan.steps)
        with naming(inside.path, of=DesignError):
            check_memory(inside.spec, part(target))  # synthesis comes last, and would refuse it after all else has run
        chapter = chapter_of(inside, called, inside.name, plan, directory, progress)
    with atomic_directory(directory) as folder:
        write(folder, f"mgd-hw report: {found.name}", (chapter,))
    return Reported(directory, chapter, time.perf_counter() - began)
