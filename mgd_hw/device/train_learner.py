"""Training of a learner over a link, with the process of its design file as the outside."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mgd_hw.common import figures, style
from mgd_hw.common.files import atomic_directory, results_directory, write_json
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result
from mgd_hw.design.external import ExternalDesign
from mgd_hw.device.links import check_port, connector, keep_former, run_session
from mgd_hw.device.serve import VIRTUAL, ending_signals, virtual_board
from mgd_hw.hardware.outside import ChipProcess, learner_run, opened_chip
from mgd_hw.hardware.tools import naming_verilog, verilog_file
from mgd_hw.learn.parameters import read_parameters, write_parameters
from python_ref.spec.error import Refusal

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

    from mgd_hw.device.learner_session import LearnerSession
    from python_ref.trace import LearnerRun

__all__ = ["MOST_SHOWN", "TrainedLearner", "train_learner"]

DIVISOR = 2
"""Clock cycles per bit of a virtual board's line, half of those of a real board, since every pass goes over it."""
MOST_SHOWN = 1_000
"""Largest number of samples whose costs are measured before and after a training."""


@dataclass(frozen=True)
class TrainedLearner(Result):
    """Result of the training of a learner over a link.

    Attributes
    ----------
    design, digest : str
        Name of the design; digest of its specification.
    link, chip : str
        Link to the core, as the user named it; command of the process that is the outside.
    steps, resumed_from : int
        Number of steps trained since step 0; step at which this session began.
    seconds : float
        Time spent training, including earlier sessions, in seconds.
    cost_before, cost : float
        Mean of the cost over the samples, measured with the initial parameters and with those that were read back.
    accuracy_before, accuracy : float
        Share of the samples whose cost is below ``external.right_below``, before and after; NaN where the design file does not give that.
    costs : tuple of float
        Cost of each sample at the end, the first ones where there are many.
    verify : bool
        Whether the model computed the same steps from the same costs.
    verified, mismatches : int
        Number of values compared with the model's, and number of those that differ.
    first_difference_text : str
        Description of the first difference; "" if there is none.
    measurements : int
        Number of passes whose cost was measured in this session.
    clipped : int
        Number of cost words that ``formats.cost`` could not hold.
    link_errors : int
        Number of line errors that were detected and repaired.
    frames, bytes_sent, bytes_received, outages : int
        Frames that the device executed; bytes in either direction; number of times that the link was lost and opened again.
    steps_per_second : float
        Training steps per second over the link, in this session.
    cycles_per_step : float
        Clock cycles of the core per step, the wait for the outside included.
    clock_hz : float
        Clock frequency of the core in Hz, NaN if unknown; for a virtual board, the cycles that it simulates per second.
    counters : dict of str to int
        Counters of the core since step 0, including its cycles.
    interrupted : bool
        Whether the training was ended before its last step.
    checkpoint : Path
        Checkpoint file from which ``--resume`` continues.
    checkpoint_step : int
        Number of training steps completed when the checkpoint was written.
    """

    design: str
    digest: str
    link: str
    chip: str
    steps: int
    resumed_from: int
    seconds: float
    cost_before: float
    cost: float
    accuracy_before: float
    accuracy: float
    costs: tuple[float, ...]
    verify: bool
    verified: int
    mismatches: int
    first_difference_text: str
    measurements: int
    clipped: int
    link_errors: int
    frames: int
    bytes_sent: int
    bytes_received: int
    outages: int
    steps_per_second: float
    cycles_per_step: float
    clock_hz: float
    counters: dict[str, int]
    interrupted: bool
    checkpoint: Path
    checkpoint_step: int

    ALSO = ("equal",)

    @property
    def equal(self) -> bool:
        """Whether every value that was compared equals the model's."""
        return not self.mismatches

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"[bold]{style.escape(self.design)}[/bold], {self.steps:,} steps over {style.escape(self.link)}"
        if self.verify and self.equal:
            yield style.wrapped(f"[bold green]Equal[/bold green]: {self.verified:,} values compared with the model, bit for bit.")
        elif self.verify:
            yield style.wrapped(f"[bold red]Different[/bold red]: {self.mismatches:,} of {self.verified:,} values compared with the model.")
            yield f"First: {style.escape(self.first_difference_text)}"
        table = style.table("", "before", "after")
        table.add_row("mean cost of a sample", style.number(self.cost_before), style.number(self.cost))
        if not math.isnan(self.accuracy):
            table.add_row("samples right", f"{100 * self.accuracy_before:.1f} %", f"{100 * self.accuracy:.1f} %")
        yield table
        yield style.wrapped(f"Chip: {style.escape(self.chip)}; {self.measurements:,} measurements.")
        cycles = style.number(self.cycles_per_step, 6)
        yield f"{style.number(self.steps_per_second)} steps per second; {cycles} cycles per step, waits included"
        if self.clipped:
            yield style.wrapped(f"Note: {self.clipped:,} cost words were beyond formats.cost, and were sent as its nearest value.")
        errors = f"{self.link_errors:,} errors, all detected and repeated" if self.link_errors else "no errors"
        yield f"Line: {self.bytes_sent:,} bytes out, {self.bytes_received:,} in; {self.frames:,} frames; {errors}"
        yield f"Checkpoint: {style.escape(str(self.checkpoint))}, step {self.checkpoint_step:,}"

    def plot(self) -> Figure:
        rows = {"before": self.cost_before, "after": self.cost}
        return figures.bars(rows, f"{self.design}: mean cost over {self.link}", "cost")


def train_learner(
    design: ExternalDesign,
    *,
    link: str,
    steps: int,
    verify: bool = False,
    resume: bool = False,
    seed: int | None = None,
    start: Path | None = None,
    save: Path | None = None,
    baud: int = 3_000_000,
    divisor: int | None = None,
    clock: float | None = None,
    verilog: Path | None = None,
    board: str | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> TrainedLearner:
    """Train a learner over a link, and read its parameters and counters back.

    The arguments are those of :func:`mgd_hw.device.train.train`, but for ``board``, which is refused.

    Raises
    ------
    Refusal
        If the design, a file or the link cannot be used, or if the process of the outside does not answer.
    """
    progress = progress or NullProgress()
    design.outside()
    if board is not None:
        reason = "the time of a step depends on the outside, which no board has"
        raise Refusal(reason, "Leave --board out.", file=design.path, key="--board", value=board)
    design = design if seed is None else design.with_seed(seed)
    directory = results_directory(out, design.name)
    given = None if verilog is None else verilog_file(Path(verilog))
    run = learner_run(design, steps)
    if start is not None:
        from python_ref.parameters import quantise_parameters

        run = replace(run, parameters=quantise_parameters(design.spec, read_parameters(design.spec, Path(start))))
    check_port(link, baud, design.name)
    more: dict[str, Any] = {"directory": directory, "verify": verify, "resume": resume, "baud": baud, "verilog": given}
    more["divisor"] = divisor or DIVISOR
    real = design.spec.formats.weight.to_real
    with naming_verilog(given), opened_chip(design) as chip:
        before = chip.sample_costs(real(run.parameters), MOST_SHOWN)
        session, statistics, hertz = _train(design, run, chip, link, progress=progress, **more)
        after = chip.sample_costs(real(session.final["parameter"]), MOST_SHOWN)
    result = _result(design, link, session, chip, statistics, hertz if clock is None else 1e6 * clock, (before, after))
    with atomic_directory(directory) as folder:
        write_json(folder / "train.json", result)
    if save is not None:
        write_parameters(design.spec, design.spec.formats.weight.to_real(session.final["parameter"]), Path(save))
    return result


def _result(
    design: ExternalDesign,
    link: str,
    session: LearnerSession,
    chip: ChipProcess,
    statistics: Any,
    hertz: float,
    costs: tuple[list[float], list[float]],
) -> TrainedLearner:
    """Combine what came of a session; ``costs`` are those of the samples before and after it."""
    before, after = costs
    return TrainedLearner(
        design=design.name,
        digest=design.spec.digest,
        link=link,
        chip=" ".join(design.outside().command),
        steps=session.done,
        resumed_from=session.resumed_from,
        seconds=session.seconds,
        cost_before=float(np.mean(before)),
        cost=float(np.mean(after)),
        accuracy_before=design.share_right(before),
        accuracy=design.share_right(after),
        costs=tuple(after),
        verify=session.model is not None,
        verified=session.verified,
        mismatches=session.mismatches,
        first_difference_text=session.difference,
        measurements=session.measurements,
        clipped=chip.clipped,
        link_errors=statistics.errors,
        frames=statistics.frames,
        bytes_sent=statistics.sent,
        bytes_received=statistics.received,
        outages=session.outages,
        steps_per_second=session.trained / session.active if session.active else math.nan,
        cycles_per_step=session.cycles / session.trained if session.trained else math.nan,
        clock_hz=hertz,
        counters=session.totals(),
        interrupted=session.interrupted,
        checkpoint=session.path,
        checkpoint_step=session.mark.step,
    )


def _train(
    design: ExternalDesign,
    run: LearnerRun,
    chip: ChipProcess,
    link: str,
    *,
    directory: Path,
    verify: bool,
    resume: bool,
    baud: int,
    divisor: int,
    verilog: Path | None,
    progress: Progress,
) -> tuple[LearnerSession, Any, float]:
    """Train over a link.

    Returns
    -------
    (LearnerSession, Statistics, float)
        The session at its end, the counts of the link, and the clock frequency of a virtual board, in Hz; NaN for another.
    """
    from boards.link import Statistics
    from mgd_hw.device.checkpoint import CHECKPOINT, Checkpoint, RunDigest
    from mgd_hw.device.learner_session import LearnerModel, LearnerSession

    statistics, digests, path, hertz = Statistics(), RunDigest(run), directory / CHECKPOINT, math.nan
    begun = Checkpoint.read(path, digests) if resume else None
    model = LearnerModel(run, begun) if verify else None
    with ending_signals() as asked:

        def session_over(name: str, reconnect: float) -> LearnerSession:
            keep_former(path, begun, progress)
            connect = connector(name, baud, run.spec, statistics)
            session = LearnerSession(
                run, connect, path, begun, model, progress, asked.is_set, reconnect, classes=False, digests=digests, chip=chip
            )
            run_session(session, link)
            return session

        if link != VIRTUAL:
            return session_over(link, 60.0), statistics, hertz
        with virtual_board(design, divisor, directory, progress, verilog) as virtual:
            session = session_over(f"serial:{virtual.port}", 0.0)
            cycles, seconds = virtual.close()
            return session, statistics, cycles / seconds if seconds else hertz
