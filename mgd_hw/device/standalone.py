"""The verb ``virtual --standalone``: the top level of a board that learns alone, simulated beside its flash."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.common import figures, style
from mgd_hw.common.files import results_directory, write_json
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result
from mgd_hw.design.argument import built
from mgd_hw.design.description import Design
from mgd_hw.hardware.flash_image import SHARES, Image
from mgd_hw.hardware.standalone import adapted, board_alone, fitted, image_for
from python_ref.spec.error import Refusal

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, ConsoleOptions, RenderResult

    from boards.plan import Plan
    from sim.alone import AlonePins, AloneRun

__all__ = ["Standalone", "run_standalone"]


@dataclass(frozen=True)
class Standalone(Result):
    """What a virtual board learned alone, and whether it is what the fixed model learns.

    Attributes
    ----------
    design, board, digest : str
        Names of the design and the board, and digest of the design's structure.
    adapted : dict of str to str
        Keys of the design whose values were replaced so that it fits the board, with the new values.
    steps : int
        Number of steps trained.
    samples, samples_needed, held_out : int
        Number of samples to train on in the flash, number that the run takes, and number to judge by.
    lights : tuple of int
        Number of lights that were on after each judgement.
    evaluations : tuple of int
        Steps after which the held-out samples were judged.
    accuracy : float
        Share of the held-out samples that the learned parameters answer correctly.
    equal : bool
        Whether the parameters and the lights at the end are those of the fixed model.
    differences : int
        Number of parameters that differ.
    cycles : int
        Clock cycles from the end of the reset to the end of the program.
    seconds : float
        Wall-clock time of the simulation, in seconds.
    clock_mhz : float
        Clock of the core for which the top level was written, in MHz.
    directory : Path
        Directory that the files were written to.
    """

    design: str
    board: str
    digest: str
    adapted: dict[str, str]
    steps: int
    samples: int
    samples_needed: int
    held_out: int
    lights: tuple[int, ...]
    evaluations: tuple[int, ...]
    accuracy: float
    equal: bool
    differences: int
    cycles: int
    seconds: float
    clock_mhz: float
    directory: Path = field(default=Path())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"[bold]{style.escape(self.design)}[/bold] learned alone on a virtual {self.board}, {self.steps:,} steps"
        yield from adapted(self.adapted, self.board)
        again = "" if self.samples == self.samples_needed else f", again and again for {self.samples_needed:,}"
        yield f"From {self.samples:,} samples in its flash{again}; {self.held_out:,} held-out ones are judged"
        table = style.table("step", "lights", f"correct, from {', '.join(f'{100 * share:g}' for share in SHARES)} %")
        for step, number in zip(self.evaluations, self.lights, strict=True):
            table.add_row(f"{step:,}", str(number), "●" * number + "○" * (len(SHARES) - number))
        yield table
        yield f"Accuracy on the held-out samples at the end: {100 * self.accuracy:.2f} %"
        if self.equal:
            yield "[bold green]Equal[/bold green]: parameters and lights are those of the fixed model, bit for bit."
        else:
            yield f"[bold red]Different[/bold red]: {self.differences:,} parameters differ from the fixed model's, or the lights do."
        rate = self.cycles / self.seconds if self.seconds else 0.0
        yield (
            f"{self.cycles:,} cycles, which take {self.cycles / self.clock_mhz / 1e6:,.2f} s at {self.clock_mhz:g} MHz; "
            f"simulated in {self.seconds:,.1f} s, {rate:,.0f} per second"
        )

    def plot(self) -> Figure:
        rows = {f"{step:,}": float(number) for step, number in zip(self.evaluations, self.lights, strict=True)}
        return figures.bars(rows, f"{self.design} alone on {self.board}", "lights that are on")


def run_standalone(
    design: str | Path | Design,
    *,
    board: str = "icebreaker",
    steps: int | None = None,
    samples: int | None = None,
    held_out: int | None = None,
    image: Path | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Standalone:
    """Simulate a board that learns alone, from the press of its button to the end of its program, and compare it with the fixed model.

    Parameters
    ----------
    design : path, name or Design
        Path of a design file, name of a shipped design, or a design that was read before.
    board : str
        Name of a board, or path of the user's own board file.
    steps, samples, held_out : int or None
        As for :func:`mgd_hw.hardware.standalone.build_standalone`.
    image : path or None
        File flash.bin of a build whose image the board finds in its flash; None takes that of this design.
    out : path or None
        Directory for standalone.json and the simulation; None takes mgd-hw-out/DESIGN.
    progress : Progress or None
        Receives status messages and the progress of long tasks; None discards them.

    Raises
    ------
    Refusal
        If the board cannot learn alone, the samples do not fit its flash, or the image is of another design.
    """
    from boards.alone import emit_alone_top, wake_cycles
    from boards.plan import plan_for
    from boards.top import top_module
    from sim.alone import build_alone_board, run_alone, top_with_pll

    progress = progress or NullProgress()
    design, (on, flash) = built(design), board_alone(board)
    design, changed = fitted(design, on)
    directory = results_directory(out, design.name)
    planned, own = plan_for(design.spec, on), image_for(design, flash, steps, samples, held_out, progress)
    contents = own.data if image is None else _read(image, flash.image)
    place = directory / "standalone"
    place.mkdir(parents=True, exist_ok=True)
    verilog = place / "top.v"
    progress.status(f"Generating {design.name}, alone on {on.name}.")
    verilog.write_text(top_with_pll(emit_alone_top(design.spec, planned)), encoding="utf-8")
    progress.status("Compiling the virtual board, unless it is compiled already.")
    program = build_alone_board(verilog, top_module(design.spec), place, notify=progress.status)
    seen: list[int] = []

    def judged(cycle: int, lights: int) -> None:
        seen.append(lights)
        progress.update("Judged", len(seen), len(own.evaluations))

    found = run_alone(
        program,
        contents,
        base=own.base,
        held_out=own.held_out_address,
        wake=wake_cycles(planned) - 1,
        patience=_patience(own),
        pins=_pins(planned),
        judged=judged,
    )
    if found.wrong:
        reason = f"the board refused it, since it does not have the digest {design.spec.digest} of {design.name}"
        raise Refusal(reason, "Build it from this design.", key="--image", value=str(image))
    result = _compared(design, changed, own, found, on.name, float(planned.clock.mhz), directory)
    write_json(directory / "standalone.json", result)
    return result


def _read(path: Path, base: int) -> bytes:
    """The image in a file with the contents of a flash."""
    try:
        return Path(path).read_bytes()[base:]
    except OSError as error:
        raise Refusal(f"it cannot be read ({error.strerror})", "Name the flash.bin of a build.", key="--image", value=str(path)) from None


def _pins(planned: Plan) -> AlonePins:
    """Names of the ports of the top level, with what is active low."""
    from sim.alone import AlonePins

    pins = planned.board.pins

    def name(port: str) -> str:
        return f"{'!' if pins[port].inverted else ''}{port}"

    lights = tuple(name(port) for port in pins if port.startswith("light"))
    return AlonePins(rst="-", button=name("button"), running=name("led"), wrong=name("wrong"), lights=lights)


def _patience(image: Image) -> int:
    """Cycles after which the board must have ended: four times those that its core or its flash takes, and what the rest takes."""
    from boards.parts.synth import cycles_per_step

    spec, run = image.run.spec, image.run
    judged = image.held_out * len(image.evaluations) * (cycles_per_step(spec) * spec.schedule.sample_period + 16 * spec.network.n_in)
    return int(4 * (run.steps * cycles_per_step(spec) + 16 * len(image.data) * (1 + image.needed / image.samples) + judged)) + 10_000_000


def _compared(
    design: Design, changed: dict[str, str], image: Image, found: AloneRun, board: str, mhz: float, directory: Path
) -> Standalone:
    """Compare what the board learned with the fixed model, in its parameters and in the lights at the end."""
    import numpy as np

    from python_ref.fixed.fast import evaluate, train

    spec, run = design.spec, image.run
    if not found.ended:
        reason = f"the board did not end within {found.cycles:,} cycles"
        raise Refusal(reason, "Report this as a fault of mgd-hw.", file=design.path)
    learned = found.parameters(spec)
    wanted = train(spec, run.initial_state(), run.inputs, run.targets, run.order, run.steps).state.parameters
    differences = int(np.count_nonzero(learned != wanted))
    accuracy = evaluate(spec, learned, *image.judged)[0]
    shown: Any = [lights for _, lights in found.lights]
    equal = not differences and bool(shown) and shown[-1] == image.lights(round(accuracy * image.held_out))
    return Standalone(
        design=design.name,
        board=board,
        digest=spec.digest,
        adapted=changed,
        steps=run.steps,
        samples=image.samples,
        samples_needed=image.needed,
        held_out=image.held_out,
        lights=tuple(lights.bit_count() for lights in shown),
        evaluations=image.evaluations,
        accuracy=accuracy,
        equal=equal,
        differences=differences,
        cycles=found.cycles,
        seconds=found.seconds,
        clock_mhz=mhz,
        directory=directory,
    )
