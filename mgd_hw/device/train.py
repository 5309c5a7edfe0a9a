"""The verb ``train``: train a core over a link, and read its parameters back."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.common import figures, style
from mgd_hw.common.files import atomic_directory, check_file, results_directory, write_json
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result, plain
from mgd_hw.data.kinds import Judged, Kind
from mgd_hw.design.argument import built, read_any
from mgd_hw.design.description import Design
from mgd_hw.design.external import ExternalDesign
from mgd_hw.design.run import run_of
from mgd_hw.design.samples import load_design
from mgd_hw.device.links import LITEX, MEMORY, check_port, connector, keep_former, run_session
from mgd_hw.device.serve import VIRTUAL, ending_signals, virtual_board
from mgd_hw.device.train_learner import TrainedLearner, train_learner
from mgd_hw.hardware.boards import optional_board
from mgd_hw.hardware.tools import naming_verilog, verilog_file
from mgd_hw.learn.costs import Costs, costs_of_mgd, costs_shown
from mgd_hw.learn.divergence import failure, saturation_shares
from mgd_hw.learn.parameters import read_parameters, write_parameters
from python_ref.parameters import quantise_parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

    from boards.board import Board
    from mgd_hw.device.checkpoint import Checkpoint, RunDigest
    from mgd_hw.device.session import AnyLink, Session

__all__ = ["Trained", "train"]

DIVISOR = 4
"""Clock cycles per bit of a virtual board's line, as on a real board."""


@dataclass(frozen=True)
class Trained(Judged, Result):
    """Result of a training over a link.

    Attributes
    ----------
    design, digest : str
        Name of the design; digest of its specification.
    link : str
        Link to the core, as the user named it: "virtual", "serial:DEVICE", "tcp:HOST:PORT", "litex:HOST:PORT" or
        "mmio:ADDRESS".
    steps, resumed_from : int
        Number of steps trained since step 0; step at which this session began.
    seconds : float
        Time spent training, including earlier sessions, in seconds.
    scores : dict of str to float
        Measures of the kind of task, by name, of the parameters read back, on the test samples.
    cost : float
        Mean of C/n_out over the test samples.
    verify : bool
        Whether the model ran beside the core.
    verified, mismatches : int
        Number of values compared with the model's, and number of those that differ.
    first_difference_text : str
        Description of the first difference; "" if there is none.
    link_errors : int
        Number of line errors that were detected and repaired.
    frames, frames_repeated, damaged, refused, lost_answers : int
        Frames that the device executed; frames sent again; damaged answers; frames refused by the device; answers that did not arrive.
    bytes_sent, bytes_received : int
        Number of bytes sent to the device and received from it.
    outages : int
        Number of times that the link was lost and opened again.
    steps_per_second : float
        Training steps per second over the link, in this session.
    cycles_per_step : float
        Clock cycles of the core per step, without those it waits for samples.
    clock_hz : float
        Clock frequency of the core in Hz, NaN if unknown; for a virtual board, the cycles that it simulates per second.
    core_steps_per_second : float
        Training steps per second of the core at that clock, if it never waits for the link.
    sample_line_bytes : float
        Bytes sent over the line per sample, including frames.
    sample_bytes : int
        Length of one packed sample, in bytes, without its frame.
    counters : dict of str to int
        Counters of the core since step 0, including its cycles.
    advice : str
        Advice on how to train faster; "" if the link does not limit the rate.
    interrupted : bool
        Whether the training was ended before its last step.
    checkpoint : Path
        Checkpoint file from which ``--resume`` continues.
    checkpoint_step : int
        Number of training steps completed when the checkpoint was written.
    costs : Costs
        Costs of all steps since step 0.
    kind : Kind
        Kind of task, which judges the answers; its name in JSON.
    failure : str
        Reason why the run tells nothing, as a clause: it diverged, or its numbers saturated throughout. "" for a valid run.
    """

    design: str
    digest: str
    link: str
    steps: int
    resumed_from: int
    seconds: float
    scores: dict[str, float]
    cost: float
    verify: bool
    verified: int
    mismatches: int
    first_difference_text: str
    link_errors: int
    frames: int
    frames_repeated: int
    damaged: int
    refused: int
    lost_answers: int
    bytes_sent: int
    bytes_received: int
    outages: int
    steps_per_second: float
    cycles_per_step: float
    clock_hz: float
    core_steps_per_second: float
    sample_bytes: int
    sample_line_bytes: float
    counters: dict[str, int]
    advice: str
    interrupted: bool
    checkpoint: Path
    checkpoint_step: int
    costs: Costs
    kind: Kind = field(repr=False)
    failure: str = ""

    ALSO = ("equal", "diverged")

    def to_json(self) -> dict:
        """Return the fields as plain data, with the scores and their baselines as fields of their own."""
        found = super().to_json()
        scores = found.pop("scores")
        baselines = {f"{name}_baseline": plain(value) for name, value in self.kind.baseline.items()}
        return {**found, "kind": self.kind.name, **scores, **baselines}

    def describe(self) -> str:
        """Return a sentence with the scores and their baseline, and the failure if there is one."""
        values, baseline = self.kind.describe(self.scores)
        found = f"{values[:1].upper()}{values[1:]} on the test samples ({baseline})"
        return f"The run diverged: {self.failure}. {found}" if self.failure else found

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
        yield f"{self.describe()}, cost C/n {style.number(self.cost)}"
        table = style.table("", "steps/s", "")
        earlier = f", the {self.resumed_from:,} steps before it was resumed included" if self.resumed_from else ""
        table.add_row("through the link", style.number(self.steps_per_second), f"{self.seconds:,.1f} s{earlier}")
        clock = "" if math.isnan(self.clock_hz) else f" at {self.clock_hz / 1e6:.3g} MHz"
        table.add_row(
            "the core alone", style.number(self.core_steps_per_second), f"{style.number(self.cycles_per_step, 6)} cycles per step{clock}"
        )
        yield table
        yield from costs_shown([("the core", self.costs)])
        yield (
            f"Line: {self.bytes_sent:,} bytes out, {self.bytes_received:,} in; {self.frames:,} frames, {self.frames_repeated:,} "
            f"repeated; {f'{self.link_errors:,} errors, all detected and repeated' if self.link_errors else 'no errors'}"
        )
        if self.advice:
            yield f"Note: {style.escape(self.advice)}"
        yield f"Checkpoint: {style.escape(str(self.checkpoint))}, step {self.checkpoint_step:,}"

    def plot(self) -> Figure:
        rows = {"through the link": self.steps_per_second, "the core alone": self.core_steps_per_second}
        known = {name: value for name, value in rows.items() if not math.isnan(value)}
        return figures.bars(known, f"{self.design} over {self.link}", "steps per second")


def train(
    design: str | Path | Design | ExternalDesign,
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
) -> Trained | TrainedLearner:
    """Train a core over a link, and read its parameters and counters back.

    Parameters
    ----------
    design : path, name or Design
        Path of a design file, name of a shipped design, or a design that was read before; its network may be outside.
    link : str
        Link to the core: "virtual", "serial:DEVICE", "tcp:HOST:PORT" or, behind a bus, "mmio:ADDRESS" or "litex:HOST:PORT".
    steps : int
        Number of training steps since step 0, including those before a checkpoint.
    verify : bool
        Whether to run the fixed model at the same time, and compare the core with it.
    resume : bool
        Whether to continue from the checkpoint of an earlier run.
    seed : int or None
        Seed of the parameters, signs and order of samples; None takes the design's own.
    start, save : path or None
        npz file of the initial parameters; npz file to write the learned parameters to.
    baud : int
        Rate of a serial line, in bits per second.
    divisor : int or None
        Clock cycles per bit of a virtual board's serial line; None takes 4, or 2 for a learner, whose every pass goes over it.
    clock : float or None
        Clock frequency of the board's core in MHz, from which the result derives what limits the rate; None if unknown.
    verilog : path or None
        Verilog file for the virtual board, instead of the generated one.
    board : str or None
        Name of a board, or path of a board file, for which the result includes the time of a run.
    out : path or None
        Directory for train.json and the checkpoint; None for one named after the design.
    progress : Progress or None
        Receives progress reports; None discards them.

    Raises
    ------
    Refusal
        If the design, a file or the link cannot be used.
    """
    progress, found = progress or NullProgress(), read_any(design)
    if save is not None:
        check_file(Path(save), "--save")
    if isinstance(found, ExternalDesign):
        shared: dict[str, Any] = {"link": link, "steps": steps, "verify": verify, "resume": resume, "seed": seed, "start": start}
        shared |= {"save": save, "baud": baud, "divisor": divisor, "clock": clock, "verilog": verilog, "board": board, "out": out}
        return train_learner(found, progress=progress, **shared)
    design = built(found) if seed is None else built(found).with_seed(seed)
    directory = results_directory(out, design.name)
    given, on = None if verilog is None else verilog_file(Path(verilog)), optional_board(board)
    parameters = None if start is None else read_parameters(design.spec, Path(start))
    data = load_design(design, progress=progress)
    run = run_of(design, data, steps)
    run = run if parameters is None else replace(run, parameters=quantise_parameters(design.spec, parameters))
    with naming_verilog(given):
        result, learned = _train_over_link(
            design, run, data, link, directory=directory, verify=verify, resume=resume, baud=baud, divisor=divisor or DIVISOR,
            clock=clock, verilog=given, board=on, progress=progress,
        )  # fmt: skip
    with atomic_directory(directory) as folder:
        write_json(folder / "train.json", result)
    if save is not None:
        write_parameters(design.spec, learned / 2.0**design.spec.formats.weight.fraction_bits, Path(save))
    return result


def _train_over_link(
    design: Design,
    run: Any,
    data: Any,
    link: str,
    *,
    directory: Path,
    verify: bool,
    resume: bool,
    baud: int,
    divisor: int,
    clock: float | None,
    verilog: Path | None,
    board: Board | None = None,
    progress: Progress,
) -> tuple[Trained, Any]:
    """Train over a link, and read the parameters and counters back.

    Returns
    -------
    (Trained, array of int64, shape (P,))
        Result of the training, and the raw learned parameters.

    Raises
    ------
    Refusal
        If the link cannot be used or leads to another core, or if there is no checkpoint of this run to resume from.
    """
    from boards.link import Statistics
    from mgd_hw.device.checkpoint import CHECKPOINT, Checkpoint, RunDigest
    from mgd_hw.device.session import Model

    path, statistics, hertz = directory / CHECKPOINT, Statistics(), math.nan if clock is None else 1e6 * clock
    classes = bool(data.kind.classes)
    digests = RunDigest(run)
    begun = Checkpoint.read(path, digests) if resume else None
    check_port(link, baud, design.name)
    if verify:
        progress.status("Compiling the model, unless it is compiled already.")
    model = Model(run) if verify else None
    try:
        with ending_signals() as asked:
            if link == VIRTUAL:
                with virtual_board(design, divisor, directory, progress, verilog) as virtual:
                    connect = connector(f"serial:{virtual.port}", baud, design.spec, statistics)
                    session = _session(run, connect, path, begun, digests, model, progress, asked, reconnect=0.0, classes=classes)
                    run_session(session, link)
                    cycles, seconds = virtual.close()
                    hertz = cycles / seconds if seconds else math.nan
            else:
                connect = connector(link, baud, design.spec, statistics)
                session = _session(run, connect, path, begun, digests, model, progress, asked, reconnect=60.0, classes=classes)
                run_session(session, link)
    finally:
        if model is not None:
            model.close()
    cycles_per_bit = divisor if link == VIRTUAL else math.nan if link.startswith((MEMORY, LITEX)) else hertz / baud
    return _result(session, design, data, link, statistics, hertz, cycles_per_bit, board), session.final["parameter"]


def _session(
    run: Any,
    connect: Callable[[], AnyLink],
    path: Path,
    begun: Checkpoint | None,
    digests: RunDigest,
    model: Any,
    progress: Progress,
    asked: threading.Event,
    *,
    reconnect: float,
    classes: bool,
) -> Session:
    from mgd_hw.device.session import Session

    keep_former(path, begun, progress)
    return Session(run, connect, path, begun, model, progress, asked.is_set, reconnect, classes=classes, digests=digests)


def _result(
    session: Session, design: Design, data: Any, link: str, statistics: Any, hertz: float, divisor: float, board: Board | None
) -> Trained:
    from mgd_hw.learn.judging import judge_fixed
    from python_ref.spec.frames import sample_bytes

    spec = design.spec
    final, start = (judge_fixed(spec, parameters, data) for parameters in (session.final["parameter"], session.run.parameters))
    per_step = session.cycles / session.trained if session.trained else math.nan
    on_line = session.sent / session.samples if session.samples else math.nan
    counters = session.totals()
    saturations = sum(count for name, count in counters.items() if name.startswith("saturated_"))
    costs = costs_of_mgd(design, session.done, fixed=True, writes=counters["writes"], saturations=saturations, board=board)
    shares = saturation_shares(spec, counters, costs.evaluations) | final.saturated
    return Trained(
        design=design.name,
        digest=spec.digest,
        link=link,
        steps=session.done,
        resumed_from=session.resumed_from,
        seconds=session.seconds,
        scores=data.kind.scores(final.answers),
        cost=final.cost,
        verify=session.model is not None,
        verified=session.verified,
        mismatches=session.mismatches,
        first_difference_text=session.difference,
        link_errors=statistics.errors,
        frames=statistics.frames,
        frames_repeated=statistics.repeated,
        damaged=statistics.damaged,
        refused=statistics.refused,
        lost_answers=statistics.lost,
        bytes_sent=statistics.sent,
        bytes_received=statistics.received,
        outages=session.outages,
        steps_per_second=session.trained / session.active if session.active else math.nan,
        cycles_per_step=per_step,
        clock_hz=hertz,
        core_steps_per_second=hertz / per_step,
        sample_bytes=sample_bytes(spec),
        sample_line_bytes=on_line,
        counters=counters,
        advice=_advice(spec.schedule.sample_period, on_line * 10 * divisor, per_step),
        interrupted=session.interrupted,
        checkpoint=session.path,
        checkpoint_step=session.mark.step,
        costs=costs,
        kind=data.kind,
        failure=failure(data, final.cost, start.cost, shares),
    )


def _advice(period: int, line: float, core: float) -> str:
    """Return advice that makes link and core equally fast; "" if the link is not slower.

    A sample takes ``line`` cycles on the line, and a step ``core`` cycles; a sample is used for ``period`` steps.
    """
    if math.isnan(line) or math.isnan(core) or line <= 1.1 * core * period:
        return ""
    return (
        f"The link is the limit: a sample takes {line:,.0f} cycles on the line, and its training {core * period:,.0f}. "
        f"schedule.sample_period = {math.ceil(line / core)} would let the core train on each sample for as long as the next one takes."
    )
