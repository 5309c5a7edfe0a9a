"""The verb ``build --standalone``: a bitstream and a flash image with which a board learns alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mgd_hw.common import style
from mgd_hw.common.files import atomic_directory, results_directory, write_json
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result
from mgd_hw.design.argument import built
from mgd_hw.design.description import Design
from mgd_hw.design.samples import load_design
from mgd_hw.hardware.boards import board_of
from mgd_hw.hardware.flash_image import Image, flash_image
from mgd_hw.hardware.top import megahertz, top_manifest
from python_ref.spec.error import DesignError, Refusal, naming
from python_ref.spec.flash import SampleLayout

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from boards.board import Board
    from boards.description import Flash
    from boards.flow.build import Built
    from python_ref.spec.design import DesignSpec

__all__ = ["FLASH", "StandaloneBuild", "adapted", "board_alone", "build_standalone", "fitted", "image_for"]

FLASH = "flash.bin"
"""Name of the file with the whole contents of the flash, from address 0 on."""


@dataclass(frozen=True)
class StandaloneBuild(Result):
    """Contents of a board's flash, with which it learns alone; the content of build.json.

    Attributes
    ----------
    design, board, digest : str
        Names of the design and the board, and digest of the design's structure.
    flash : Path
        File with the contents of the flash: the bitstream at 0, and the image behind it.
    program : str
        Shell command that writes the file to the board's flash; "" where the board file names none.
    flash_bytes, image_address : int
        Length of that file, and address at which the image begins.
    steps : int
        Number of steps that the board trains.
    samples, samples_needed : int
        Number of samples to train on in the flash, and number that the run takes; where that is more, they come again.
    held_out : int
        Number of samples by which the lights show the accuracy.
    thresholds : tuple of int
        Least number of correct answers for each light, the first light first.
    sample_bytes, sample_cycles : int
        Bytes of a sample in the flash, and clock cycles that reading one takes.
    adapted : dict of str to str
        Keys of the design whose values were replaced so that it fits, with the new values.
    lanes : int
        Number of lanes that work in parallel, L.
    lut, ff, dsp, bram, spram : int
        Look-up tables, flip-flops, multipliers, block memories and large single-port memories of the whole design, after synthesis.
    utilisation : dict of str to dict
        Sites ``used`` and sites ``available`` by kind, as place and route counts them.
    clock_mhz : float
        Clock of the core in the bitstream, in MHz.
    frequency_mhz : float
        Highest clock that timing analysis allows, the median over the seeds, in MHz.
    frequencies_mhz : tuple of float
        Highest clock that timing analysis allows, in MHz, one per seed in the order of the seeds.
    frequency_source : str
        Tool that reported the frequencies, with what is known of its error.
    limited_by : str
        Start and end of the longest path.
    cycles_per_step, steps_per_second : float
        Clock cycles of a training step, averaged over the schedule, of the core or of reading its sample, whichever takes longer; and
        steps per second at ``clock_mhz``.
    run_seconds : float
        Time that the board trains for, in seconds.
    stages : dict of str to float
        Wall-clock time of each stage of the build, in seconds.
    history : tuple of str
        Builds at higher clocks that failed before this one, one sentence each.
    seconds : float
        Wall-clock time of the whole build, in seconds.
    directory : Path
        Directory that the files were written to.
    """

    design: str
    board: str
    digest: str
    flash: Path
    program: str
    flash_bytes: int
    image_address: int
    steps: int
    samples: int
    samples_needed: int
    held_out: int
    thresholds: tuple[int, ...]
    sample_bytes: int
    sample_cycles: int
    adapted: dict[str, str]
    lanes: int
    lut: int
    ff: int
    dsp: int
    bram: int
    spram: int
    utilisation: dict[str, dict[str, int]]
    clock_mhz: float
    frequency_mhz: float
    frequencies_mhz: tuple[float, ...]
    frequency_source: str
    limited_by: str
    cycles_per_step: float
    steps_per_second: float
    run_seconds: float
    stages: dict[str, float]
    history: tuple[str, ...]
    seconds: float
    directory: Path = field(default=Path())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield style.wrapped(f"[bold]{style.escape(self.design)}[/bold] alone on {self.board}, {self.lanes} lanes, digest {self.digest}")
        yield from adapted(self.adapted, self.board)
        table = style.table("", "used", "available")
        for kind, count in self.utilisation.items():
            table.add_row(kind, f"{count['used']:,}", f"{count['available']:,}")
        yield table
        yield from self.history
        yield (
            f"{self.frequency_mhz:.2f} MHz, median of {len(self.frequencies_mhz)}, limited {self.limited_by}; "
            f"by {style.escape(self.frequency_source)}"
        )
        again = "" if self.samples == self.samples_needed else f" of the {self.samples_needed:,} that the run takes, so they come again"
        yield f"The flash has {self.samples:,} samples{again}, and {self.held_out:,} held-out ones for the lights."
        yield (
            f"At {self.clock_mhz:g} MHz: {self.cycles_per_step:,.1f} cycles per step, {self.steps_per_second:,.0f} steps per second; "
            f"the run of {self.steps:,} steps takes {self.run_seconds:,.1f} s"
        )
        yield f"Wrote {style.escape(str(self.flash))}.{f' Write it to the flash: {style.escape(self.program)}' if self.program else ''}"


def board_alone(name: str) -> tuple[Board, Flash]:
    """Return the board of a name, or of a file, as one that learns alone, and its flash.

    Raises
    ------
    Refusal
        If there is no such board, or its file describes no flash or no button, or nothing here builds its bitstream.
    """
    found = board_of(name)
    if found.flash is None or "button" not in found.pins or found.family != "ice40":
        reason = "a board learns alone from its flash when its button is pressed, and its file has no [flash] or no [button]"
        if found.family != "ice40":
            reason = "only boards with an iCE40 learn alone so far"
        raise Refusal(reason, "Take icebreaker, or leave --standalone out.", key="--board", value=name)
    return found.learning_alone(), found.flash


def fitted(design: Design, board: Board) -> tuple[Design, dict[str, str]]:
    """Return a design with lanes and memories that fit a board, and the keys whose values were replaced, with the new ones.

    In node perturbation no result depends on them. What fits as it is, and what fits in no way, stays as it is.

    Raises
    ------
    Refusal
        If the network has state.
    """
    from boards.parts.fit import predicted
    from boards.parts.synth import cycles_per_step, over

    spec = design.spec
    if spec.series:
        reason = "the image of a flash has no series of frames yet, so a network with state does not learn alone"
        raise Refusal(reason, "Leave --standalone out.", file=design.path, key="network.layers", value=list(spec.network.sizes))
    if not spec.node or not over(predicted(spec, board.part), board.part):
        return design, {}
    found: list[tuple[float, DesignSpec]] = []
    for lanes in range(1, spec.hardware.lanes + 1):
        for multipliers in (1, 2):
            hardware = replace(spec.hardware, lanes=lanes, multipliers_per_lane=multipliers, single_port=True)
            other = replace(spec, hardware=hardware)
            if not over(predicted(other, board.part), board.part):
                found.append((cycles_per_step(other), other))
    if not found:
        return design, {}
    _, chosen = min(found, key=lambda each: each[0])
    rows = [("lanes", "hardware.lanes"), ("multipliers_per_lane", "hardware.multipliers_per_lane"), ("single_port", "hardware.memory")]
    changed = [(name, key) for name, key in rows if getattr(chosen.hardware, name) != getattr(spec.hardware, name)]
    values = {key: "single-port" if name == "single_port" else str(getattr(chosen.hardware, name)) for name, key in changed}
    return replace(design, spec=chosen), values


def adapted(changed: dict[str, str], board: str) -> Iterator[str]:
    """Yield the sentence that tells the user of replaced values, if there are any."""
    if changed:
        shown = ", ".join(f"{key} = {value}" for key, value in changed.items())
        yield f"To fit {board}, with the same results: {shown}."


def image_for(design: Design, flash: Flash, steps: int | None, samples: int | None, held_out: int | None, progress: Progress) -> Image:
    """Return the image of a design for a flash; ``steps`` of None takes the number in the section [compare] of the design."""
    data = load_design(design, progress=progress)
    number = design.compare.steps if steps is None else steps
    return flash_image(design, data, number, base=flash.image, size=flash.size, samples=samples, held_out=held_out)


def build_standalone(
    design: str | Path | Design,
    board: str,
    *,
    steps: int | None = None,
    samples: int | None = None,
    held_out: int | None = None,
    seeds: int = 3,
    clock: float | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> StandaloneBuild:
    """Build the bitstream and the flash image with which a board learns alone, and write them with build.json and the tools' logs.

    Parameters
    ----------
    design : path, name or Design
        Path of a design file, name of a shipped design, or a design that was read before.
    board : str
        Name of a board, or path of the user's own board file.
    steps : int or None
        Number of steps that the board trains; None takes ``compare.steps`` of the design.
    samples, held_out : int or None
        Numbers of samples in the flash to train on, and to judge by; None takes those that the run needs, or as many as fit, and all test
        samples, but at most 1,000.
    seeds : int
        Number of runs of place and route. The bitstream is that of the fastest.
    clock : float or None
        Clock of the core that timing must meet, in MHz; None takes the board's, or the highest that the design meets.
    out : path or None
        Directory for all files; None takes mgd-hw-out/DESIGN/BOARD-standalone.
    progress : Progress or None
        Receives status messages and the progress of long tasks; None discards them.

    Raises
    ------
    Refusal
        If the board cannot learn alone, the samples do not fit its flash, or the design does not fit or misses the clock.
    """
    progress = progress or NullProgress()
    design, (on, flash) = built(design), board_alone(board)
    design, changed = fitted(design, on)
    directory = results_directory(out, design.name, f"{on.name}-standalone")
    began = time.perf_counter()
    image = image_for(design, flash, steps, samples, held_out, progress)
    for note in adapted(changed, on.name):
        progress.status(note)
    with atomic_directory(directory) as folder, naming(design.path, of=DesignError):
        from boards.flow.build import build_board
        from boards.flow.too_large import check_fit

        check_fit(design.spec, on.part)
        made = build_board(design.spec, on, folder, seeds=seeds, mhz=megahertz(clock), say=progress.status, progress=progress.update)
        for name in ["top.json", *(f"seed{seed}.{ending}" for seed in range(1, seeds + 1) for ending in ("asc", "placed.json"))]:
            (folder / name).unlink(missing_ok=True)
        contents = _contents((folder / made.bitstream).read_bytes(), image, on)
        (folder / FLASH).write_bytes(contents)
        described = top_manifest(design.spec, made.plan)
        (folder / "manifest.json").write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        result = _result(design.spec, changed, made, image, directory, len(contents), time.perf_counter() - began)
        write_json(folder / "build.json", result)
    return result


def _contents(bitstream: bytes, image: Image, board: Board) -> bytes:
    """The contents of the flash: the bitstream at 0, and the image where the board file says."""
    if len(bitstream) > image.base:
        reason = f"the bitstream has {len(bitstream):,} bytes, and would reach into the image"
        raise DesignError("flash.image", image.base, reason, f"Take a larger one in the file of {board.name}.")
    return bitstream.ljust(image.base, b"\xff") + image.data


def _result(
    spec: DesignSpec, changed: dict[str, str], made: Built, image: Image, directory: Path, size: int, seconds: float
) -> StandaloneBuild:
    from boards.parts.synth import cycles_per_step

    layout, board = SampleLayout.of(spec), made.plan.board
    reading = layout.cycles
    cycles = max(cycles_per_step(spec), reading / spec.schedule.sample_period)
    hertz, longest = 1e6 * float(made.plan.clock.mhz), made.timings[made.best]
    path = directory / FLASH
    used: dict[str, Any] = {kind: {"used": count, "available": there} for kind, (count, there) in made.used.items()}
    assert made.frequency_mhz is not None
    return StandaloneBuild(
        design=spec.name,
        board=board.name,
        digest=spec.digest,
        flash=path,
        program=board.flash_program.format(image=path) if board.flash_program else "",
        flash_bytes=size,
        image_address=image.base,
        steps=image.run.steps,
        samples=image.samples,
        samples_needed=image.needed,
        held_out=image.held_out,
        thresholds=image.thresholds,
        sample_bytes=layout.size,
        sample_cycles=reading,
        adapted=changed,
        lanes=spec.hardware.lanes,
        lut=made.total.lut,
        ff=made.total.ff,
        dsp=made.total.dsp,
        bram=made.total.bram,
        spram=made.total.spram,
        utilisation=used,
        clock_mhz=float(made.plan.clock.mhz),
        frequency_mhz=made.frequency_mhz,
        frequencies_mhz=tuple(timing.mhz for timing in made.timings),
        frequency_source=made.source,
        limited_by=f"from {longest.start} to {longest.end}" if longest.start else "",
        cycles_per_step=cycles,
        steps_per_second=hertz / cycles,
        run_seconds=image.run.steps * cycles / hertz,
        stages=dict(made.seconds),
        history=made.history,
        seconds=seconds,
        directory=directory,
    )
