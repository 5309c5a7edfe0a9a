"""The verb ``serve``: run a virtual board behind a pseudo-terminal until a signal ends it."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mgd_hw.common import style
from mgd_hw.common.files import results_directory
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result
from mgd_hw.design.argument import built, read_any
from mgd_hw.design.description import Design
from mgd_hw.design.external import ExternalDesign
from mgd_hw.hardware.tools import naming_verilog, verilog_file
from rtl_gen.toolchain.child import ENDING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from sim.virtual import VirtualBoard

__all__ = ["VIRTUAL", "Served", "ending_signals", "serve", "virtual_board"]

VIRTUAL = "virtual"
"""Name of the link to a virtual board that the command itself runs; also the name of the board's folder."""


@dataclass(frozen=True)
class Served(Result):
    """Running virtual board, as ``serve`` reports it.

    Attributes
    ----------
    design, digest : str
        Name of the design; digest of its specification.
    port : str
        Path of the pseudo-terminal that stands for the board's serial port.
    link : str
        Link to that port, in the form that ``mgd-hw train --link`` takes.
    divisor : int
        Clock cycles per bit of the board's serial line.
    """

    design: str
    digest: str
    port: str
    link: str
    divisor: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"[bold]{style.escape(self.design)}[/bold] listens at {style.escape(self.port)}; Ctrl-C ends it."
        yield f"mgd-hw train {style.escape(self.design)} --link {style.escape(self.link)} --steps 1000"


def serve(
    design: str | Path | Design | ExternalDesign,
    ready: Callable[[Served], None],
    *,
    divisor: int = 4,
    verilog: Path | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Run a virtual board until a signal ends it.

    Parameters
    ----------
    design : path, name or Design
        Path of a design file, name of a shipped design, or a design that was read before.
    ready : callable
        Function that receives a ``Served`` once the board runs.
    divisor : int
        Clock cycles per bit of the board's serial line.
    verilog : path or None
        Verilog file to run instead of the generated one.
    out : path or None
        Directory in which the board is compiled; None for one named after the design.
    progress : Progress or None
        Receives progress reports; None discards them.
    """
    progress, design = progress or NullProgress(), read_any(design)
    design = design if isinstance(design, ExternalDesign) else built(design)
    given = None if verilog is None else verilog_file(Path(verilog))
    directory = results_directory(out, design.name)
    with (
        naming_verilog(given),
        virtual_board(design, divisor, directory, progress, given) as board,
        ending_signals() as asked,
    ):
        ready(Served(design.name, design.spec.digest, board.port, f"serial:{board.port}", divisor))
        while not asked.wait(0.2):
            board.check()


@contextmanager
def virtual_board(
    design: Design | ExternalDesign, divisor: int, directory: Path, progress: Progress, verilog: Path | None = None
) -> Iterator[VirtualBoard]:
    """Run a virtual board of a design within a block; its program is compiled in ``directory``/virtual, and reused by the next call.

    Parameters
    ----------
    design : Design or ExternalDesign
        Design whose core the board runs; the outside of a learner is the host.
    divisor : int
        Clock cycles per bit of the board's serial line.
    directory : Path
        Directory in which the subdirectory ``virtual`` holds the compiled board.
    progress : Progress
        Receives messages about the progress of generating and compiling.
    verilog : Path or None
        Verilog file to run instead of the generated one; its module and ports must have the same names.
    """
    from rtl_gen.serial.linked import emit_linked
    from sim.virtual import VirtualBoard, build_virtual

    place = directory / VIRTUAL
    existed = (place / "build.sha256").exists()
    place.mkdir(parents=True, exist_ok=True)
    try:
        if verilog is None:
            progress.status(f"Generating {design.name}, with its serial line.")
            verilog = place / "linked.v"
            verilog.write_text(emit_linked(design.spec, divisor), encoding="utf-8")
        progress.status("Compiling the virtual board, unless it is compiled already.")
        program = build_virtual(verilog, f"{design.spec.module}_linked", place, notify=progress.status)
    except BaseException:
        if not existed:
            shutil.rmtree(place, ignore_errors=True)
        raise
    with VirtualBoard(program, divisor) as board:
        yield board


@contextmanager
def ending_signals() -> Iterator[threading.Event]:
    """Yield an event that the first ending signal sets (:data:`rtl_gen.toolchain.child.ENDING`); a second one raises KeyboardInterrupt.

    Outside of the main thread, which alone receives signals, the event is never set.
    """
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
