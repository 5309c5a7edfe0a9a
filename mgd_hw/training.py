"""Training on a core at the end of a link: from a design and the name of a link to a result."""

from __future__ import annotations

import math
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.costs import Costs, costs_of_mgd
from mgd_hw.data.kinds import Judged, Kind
from mgd_hw.divergence import failure, layer_shares, saturation_shares
from mgd_hw.listener import Listener
from mgd_hw.results import Result, plain
from python_ref.spec.error import naming
from rtl_gen.child import ENDING

if TYPE_CHECKING:
    from boards.board import Board
    from boards.link import SerialLink
    from mgd_hw.checkpoint import Checkpoint, RunDigest
    from mgd_hw.config import Design
    from mgd_hw.session import Session
    from sim.virtual import VirtualBoard

__all__ = ["DIVISOR", "Served", "Trained", "serve", "train_over_link", "virtual_board"]

DIVISOR = 4
"""Cycles per bit of a virtual board's line: as few as a real one bears."""

VIRTUAL = "virtual"


@dataclass(frozen=True)
class Trained(Judged, Result):
    """What came of a training over a link.

    Attributes
    ----------
    design, digest : str
        Name of the design, digest of its structure.
    link : str
        Which.
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
        Over the line.
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
        Bytes of a sample.
    counters : dict of str to int
        The core's, since step 0.
    advice : str
        What would make the training faster; "" if the link is not what limits it.
    interrupted : bool
        It was ended before its last step.
    checkpoint : Path
        Where it goes on with --resume.
    checkpoint_step : int
        At which step.
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


@dataclass(frozen=True)
class Served(Result):
    """A virtual board that runs.

    Attributes
    ----------
    design, digest : str
        Name of the design, digest of its structure.
    port : str
        The pseudo-terminal.
    link : str
        The same as ``mgd-hw train --link`` takes it.
    divisor : int
        Cycles per bit of its line.
    """

    design: str
    digest: str
    port: str
    link: str
    divisor: int


@contextmanager
def virtual_board(design: Design, divisor: int, directory: Path, listener: Listener, verilog: Path | None = None) -> Iterator[VirtualBoard]:
    """A virtual board of a design, built in ``directory``/virtual, where it is found the next time.

    Parameters
    ----------
    design : Design
        Design.
    divisor : int
        Cycles per bit of its line.
    directory : Path
        Where to build.
    listener : Listener
        Told of progress.
    verilog : Path or None
        A file to run in place of the Verilog just generated; its module and ports must have the same names.
    """
    from rtl_gen.linked import emit_linked
    from sim.virtual import VirtualBoard, build_virtual

    place = directory / VIRTUAL
    existed = (place / "build.sha256").exists()
    place.mkdir(parents=True, exist_ok=True)
    try:
        if verilog is None:
            listener.say(f"Generating {design.name}, with its serial line.")
            verilog = place / "linked.v"
            verilog.write_text(emit_linked(design.spec, divisor), encoding="utf-8")
        listener.say("Compiling the virtual board, unless that is done.")
        program = build_virtual(verilog, f"{design.spec.module}_linked", place, notify=listener.say)
    except BaseException:
        if not existed:
            shutil.rmtree(place, ignore_errors=True)
        raise
    with VirtualBoard(program, divisor) as board:
        yield board


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that what asks to end sets (:data:`rtl_gen.child.ENDING`); the second of them interrupts at once."""
    asked = threading.Event()

    def handle(number: int, frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve(
    design: Design, *, divisor: int, directory: Path, listener: Listener, verilog: Path | None, ready: Callable[[Served], None]
) -> None:
    """Build a virtual board, start it, tell of it, and return when a signal ends it.

    Raises
    ------
    SimulationError
        If it breaks down.
    """
    with virtual_board(design, divisor, directory, listener, verilog) as board, _signals() as asked:
        ready(Served(design.name, design.spec.digest, board.port, f"serial:{board.port}", divisor))
        while not asked.wait(0.2):
            board.check()


def train_over_link(
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
    listener: Listener,
) -> tuple[Trained, Any]:
    """Train, and read everything back.

    Returns
    -------
    (Trained, array of int64, shape (P,))
        What came of it, and the raw parameters.

    Raises
    ------
    UserError
        If the link cannot be used, or leads to another core; or there is no checkpoint of this run to go on from.
    """
    from boards.link import Statistics
    from mgd_hw.checkpoint import CHECKPOINT, Checkpoint, RunDigest
    from mgd_hw.session import Model

    path, statistics, hertz = directory / CHECKPOINT, Statistics(), clock or math.nan
    classes = bool(data.kind.classes)
    digests = RunDigest(run)
    begun = Checkpoint.read(path, digests) if resume else None
    _check_port(link, baud)
    if verify:
        listener.say("Compiling the model, unless that is done.")
    model = Model(run) if verify else None
    try:
        with _signals() as asked:
            if link == VIRTUAL:
                with virtual_board(design, divisor, directory, listener, verilog) as virtual:
                    connect = _connector(f"serial:{virtual.port}", baud, design, statistics)
                    session = _session(run, connect, path, begun, digests, model, listener, asked, reconnect=0.0, classes=classes)
                    _trained(session, link)
                    cycles, seconds = virtual.close()
                    hertz = cycles / seconds if seconds else math.nan
            else:
                connect = _connector(link, baud, design, statistics)
                session = _session(run, connect, path, begun, digests, model, listener, asked, reconnect=60.0, classes=classes)
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
    listener: Listener,
    asked: threading.Event,
    *,
    reconnect: float,
    classes: bool,
) -> Session:
    from mgd_hw.session import Session

    if path.exists() and begun is None:
        listener.say(f"Note: {path} is replaced; --resume would go on from it. It is kept as {path.stem}.previous.npz.")
        path.replace(path.with_name(f"{path.stem}.previous.npz"))
    return Session(run, connect, path, begun, model, listener, asked.is_set, reconnect, classes=classes, digests=digests)


def _trained(session: Session, link: str) -> None:
    """Run a session; a refusal of what is at the other end of the link names the link."""
    from boards.link import LinkLost, PortError
    from sim.error import WrongCore

    with naming(key="--link", value=link, of=(PortError, LinkLost, WrongCore)):
        session.train()


def _result(
    session: Session, design: Design, data: Any, link: str, statistics: Any, hertz: float, divisor: float, board: Board | None
) -> Trained:
    from python_ref.datasets import quantise
    from python_ref.fast import evaluate, outputs
    from python_ref.spec.frames import sample_bytes

    spec = design.spec
    test = quantise(spec, data.test)
    final, n_out = session.final["parameter"], spec.network.n_out
    cost, start = (evaluate(spec, parameters, *test)[1] / n_out for parameters in (final, session.run.parameters))
    found, layers = outputs(spec, final, test[0])
    answers = spec.formats.activation.to_real(found)
    per_step = session.cycles / session.trained if session.trained else math.nan
    on_line = session.sent / session.samples if session.samples else math.nan
    counters = session.totals()
    saturations = sum(count for name, count in counters.items() if name.startswith("saturated_"))
    costs = costs_of_mgd(design, session.done, fixed=True, writes=counters["writes"], saturations=saturations, board=board)
    shares = saturation_shares(spec, counters, costs.evaluations) | layer_shares(layers)
    return Trained(
        design=design.name,
        digest=spec.digest,
        link=link,
        steps=session.done,
        resumed_from=session.resumed_from,
        seconds=session.mark.seconds if session.done == session.mark.step else session._earlier + session.active,
        scores=data.kind.scores(answers),
        cost=cost,
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
        failure=failure(data, cost, start, shares),
    )


def _advice(period: int, line: float, core: float) -> str:
    """What would make link and core equally fast: ``line`` cycles for a sample, ``core`` cycles for a step."""
    if math.isnan(line) or math.isnan(core) or line <= 1.1 * core * period:
        return ""
    return (
        f"The link is the limit: a sample takes {line:,.0f} cycles on the line, and its training {core * period:,.0f}. "
        f"schedule.sample_period = {math.ceil(line / core)} would let the core train on each sample for as long as the next one takes."
    )
