"""The verb ``train``: a core at the end of a link, from a design and the name of the link to a result."""

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
from mgd_hw.design.argument import built
from mgd_hw.design.description import Design
from mgd_hw.design.run import run_of
from mgd_hw.design.samples import load_design
from mgd_hw.device.serve import VIRTUAL, ending_signals, virtual_board
from mgd_hw.hardware.boards import optional_board
from mgd_hw.hardware.tools import naming_verilog, verilog_file
from mgd_hw.learn.costs import Costs, costs_of_mgd, costs_shown
from mgd_hw.learn.divergence import failure, saturation_shares
from mgd_hw.learn.parameters import read_parameters, write_parameters
from python_ref.parameters import quantise_parameters
from python_ref.spec.error import naming

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

    from boards.board import Board
    from boards.link import SerialLink
    from mgd_hw.device.checkpoint import Checkpoint, RunDigest
    from mgd_hw.device.session import Session

__all__ = ["Trained", "train"]


@dataclass(frozen=True)
class Trained(Judged, Result):
    """What came of a training over a link.

    Attributes
    ----------
    design, digest : str
        Name of the design, digest of its structure.
    link : str
        Link to the core, as the user named it: "virtual", "serial:DEVICE" or "tcp:HOST:PORT".
    steps, resumed_from : int
        Steps trained in all, and where this session began.
    seconds : float
        Spent training, earlier sessions included.
    scores : dict of str to float
        The measures of the kind of task, by name, of the parameters read back, on the test samples.
    cost : float
        Mean of C/n_out over the test samples.
    verify : bool
        Whether the model ran beside the core.
    verified, mismatches : int
        Values compared, and those that differ.
    first_difference_text : str
        The first of them in words.
    link_errors : int
        Errors of the line that were detected, and mended.
    frames, frames_repeated, damaged, refused, lost_answers : int
        Frames executed and sent again; answers damaged; frames refused; answers that did not come.
    bytes_sent, bytes_received : int
        Number of bytes that went to the device, and that came from it, over the line.
    outages : int
        Times that the link was lost, and came back.
    steps_per_second : float
        Through the link, in this session.
    cycles_per_step : float
        Of the core, waits for samples excepted.
    clock_hz : float
        Of the core, if it is known; of a virtual board, the cycles it runs in a second.
    core_steps_per_second : float
        What the core could do at that clock.
    sample_line_bytes : float
        Bytes on the line for each sample, frames included.
    sample_bytes : int
        Length of one packed sample, in bytes, without its frame.
    counters : dict of str to int
        The core's, since step 0.
    advice : str
        What would make the training faster; "" if the link is not what limits it.
    interrupted : bool
        It was ended before its last step.
    checkpoint : Path
        Where it goes on with --resume.
    checkpoint_step : int
        Number of training steps completed when the checkpoint was written.
    costs : Costs
        Of all steps so far.
    kind : Kind
        How answers are judged; in JSON its name.
    failure : str
        Why the run says nothing, as a clause: it diverged, or its numbers saturated throughout; "" where it does.
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
        """Its fields as plain data, the scores and their baselines among them by their names."""
        found = super().to_json()
        scores = found.pop("scores")
        baselines = {f"{name}_baseline": plain(value) for name, value in self.kind.baseline.items()}
        return {**found, "kind": self.kind.name, **scores, **baselines}

    def told(self) -> str:
        """The measures and the baseline, in a sentence."""
        values, baseline = self.kind.told(self.scores)
        found = f"{values[:1].upper()}{values[1:]} on the test samples ({baseline})"
        return f"The run diverged: {self.failure}. {found}" if self.failure else found

    @property
    def equal(self) -> bool:
        """Whether nothing that was compared differs."""
        return not self.mismatches

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"[bold]{style.escape(self.design)}[/bold], {self.steps:,} steps over {style.escape(self.link)}"
        if self.verify and self.equal:
            yield style.wrapped(f"[bold green]Equal[/bold green]: {self.verified:,} values compared with the model, bit for bit.")
        elif self.verify:
            yield style.wrapped(f"[bold red]Different[/bold red]: {self.mismatches:,} of {self.verified:,} values compared with the model.")
            yield f"First: {style.escape(self.first_difference_text)}"
        yield f"{self.told()}, cost C/n {style.number(self.cost)}"
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
    design: str | Path | Design,
    *,
    link: str,
    steps: int,
    verify: bool = False,
    resume: bool = False,
    seed: int | None = None,
    start: Path | None = None,
    save: Path | None = None,
    baud: int = 3_000_000,
    divisor: int = 4,
    clock: float | None = None,
    verilog: Path | None = None,
    board: str | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train a core at the end of a link, and read everything back.

    Parameters
    ----------
    design : path, name or Design
        Path of a design file, name of a shipped design, or a design that was read before.
    link : str
        Link to the core: "virtual", "serial:DEVICE" or "tcp:HOST:PORT".
    steps : int
        Number of training steps, those before a checkpoint included.
    verify : bool
        Whether the fixed model runs beside the core, and is compared with it.
    resume : bool
        Whether to continue from the checkpoint of an earlier run.
    seed : int or None
        Seed of the parameters, signs and order of samples; None takes the design's own.
    start, save : path or None
        npz file of the initial parameters; npz file to write the learned parameters to.
    baud : int
        Bits per second of a serial line.
    divisor : int
        Cycles per bit of a virtual board's line.
    clock : float or None
        Clock of the board's core, in MHz, by which the result says what limits the rate.
    verilog : path or None
        A file for the virtual board, in place of the Verilog just generated.
    board : str or None
        Name of a board, or path of a board file, for which the result gives the seconds of a run.
    out : path or None
        Directory for train.json and the checkpoint.
    progress : Progress or None
        Receives what the verb says of its progress; None discards it.
    """
    progress = progress or NullProgress()
    design = built(design) if seed is None else built(design).with_seed(seed)
    directory = results_directory(out, design.name)
    if save is not None:
        check_file(Path(save), "--save")
    given, on = None if verilog is None else verilog_file(Path(verilog)), optional_board(board)
    parameters = None if start is None else read_parameters(design.spec, Path(start))
    data = load_design(design, progress=progress)
    run = run_of(design, data, steps)
    if parameters is not None:
        run = replace(run, parameters=quantise_parameters(design.spec, parameters))
    with naming_verilog(given):
        result, learned = _train_over_link(
            design, run, data, link, directory=directory, verify=verify, resume=resume, baud=baud, divisor=divisor, clock=clock,
            verilog=given, board=on, progress=progress,
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
    """Train, and read everything back.

    Returns
    -------
    (Trained, array of int64, shape (P,))
        What came of it, and the raw parameters.

    Raises
    ------
    Refusal
        If the link cannot be used, or leads to another core; or there is no checkpoint of this run to go on from.
    """
    from boards.link import Statistics
    from mgd_hw.device.checkpoint import CHECKPOINT, Checkpoint, RunDigest
    from mgd_hw.device.session import Model

    path, statistics, hertz = directory / CHECKPOINT, Statistics(), math.nan if clock is None else 1e6 * clock
    classes = bool(data.kind.classes)
    digests = RunDigest(run)
    begun = Checkpoint.read(path, digests) if resume else None
    _check_port(link, baud)
    if verify:
        progress.status("Compiling the model, unless that is done.")
    model = Model(run) if verify else None
    try:
        with ending_signals() as asked:
            if link == VIRTUAL:
                with virtual_board(design, divisor, directory, progress, verilog) as virtual:
                    connect = _connector(f"serial:{virtual.port}", baud, design, statistics)
                    session = _session(run, connect, path, begun, digests, model, progress, asked, reconnect=0.0, classes=classes)
                    _trained(session, link)
                    cycles, seconds = virtual.close()
                    hertz = cycles / seconds if seconds else math.nan
            else:
                connect = _connector(link, baud, design, statistics)
                session = _session(run, connect, path, begun, digests, model, progress, asked, reconnect=60.0, classes=classes)
                _trained(session, link)
    finally:
        if model is not None:
            model.close()
    cycles_per_bit = divisor if link == VIRTUAL else hertz / baud
    return _result(session, design, data, link, statistics, hertz, cycles_per_bit, board), session.final["parameter"]


def _check_port(link: str, baud: int) -> None:
    """Refuse a port that cannot be opened before anything is compiled for it; a server may take one connection only, and is left alone."""
    from boards.link import open_port, require_pyserial

    with naming(key="--link", value=link):
        if link == VIRTUAL:
            require_pyserial()
        elif not link.startswith("tcp:"):
            open_port(link, baud).close()


def _connector(link: str, baud: int, design: Design, statistics: Any) -> Callable[[], SerialLink]:
    from boards.link import SerialLink, open_port

    def connect() -> SerialLink:
        port = open_port(link, baud)
        try:
            return SerialLink(port, design.spec, baud=baud, statistics=statistics)
        except BaseException:
            port.close()
            raise

    return connect


def _session(
    run: Any,
    connect: Callable[[], SerialLink],
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

    if path.exists() and begun is None:
        progress.status(f"Note: {path} is replaced; --resume would go on from it. It is kept as {path.stem}.previous.npz.")
        path.replace(path.with_name(f"{path.stem}.previous.npz"))
    return Session(run, connect, path, begun, model, progress, asked.is_set, reconnect, classes=classes, digests=digests)


def _trained(session: Session, link: str) -> None:
    """Run a session; a refusal of what is at the other end of the link names the link."""
    from boards.link import LinkLost, PortError
    from sim.error import WrongCore

    with naming(key="--link", value=link, of=(PortError, LinkLost, WrongCore)):
        session.train()


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
        seconds=session.mark.seconds if session.done == session.mark.step else session._earlier + session.active,
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
    """What would make link and core equally fast: ``line`` cycles for a sample, ``core`` cycles for a step."""
    if math.isnan(line) or math.isnan(core) or line <= 1.1 * core * period:
        return ""
    return (
        f"The link is the limit: a sample takes {line:,.0f} cycles on the line, and its training {core * period:,.0f}. "
        f"schedule.sample_period = {math.ceil(line / core)} would let the core train on each sample for as long as the next one takes."
    )
