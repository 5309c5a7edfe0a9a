"""Image of a flash memory from which a board learns alone: what the host would do, as a program, and the samples in their order."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from math import ceil, lcm
from typing import TYPE_CHECKING

import numpy as np

from mgd_hw.data import Data
from mgd_hw.design.description import Design
from mgd_hw.design.run import run_of
from python_ref.spec.error import Refusal
from python_ref.spec.flash import HEADER, LIGHTS, MAGIC, Operation, SampleLayout, pack
from python_ref.spec.registers import Command, register_map

if TYPE_CHECKING:
    from python_ref.spec.design import DesignSpec
    from python_ref.trace import Run
    from sim.program import ProgramLink

__all__ = ["EVALUATIONS", "SHARES", "Image", "flash_image"]

SHARES = (0.5, 0.7, 0.8, 0.9, 0.95)
"""Shares of correct answers from which the lights are on, the first light first."""

EVALUATIONS = 20
"""Number of times that a run judges the held-out samples, the last time at its end."""

HELD_OUT = 1000
"""Most held-out samples of an image, unless the user asks for more."""

_ALIGNED = 4
"""Bytes to which the parts of an image are aligned."""

_LONGEST_WRITE = 0xFFFF
"""Most words of one instruction."""


@dataclass(frozen=True)
class Image:
    """Image of a flash memory, and the run that it describes.

    Attributes
    ----------
    data : bytes
        Header, program and samples; they stand at ``base``.
    base : int
        Address of the image in the flash.
    run : Run
        The run, with the order in which the samples come from the flash.
    samples, held_out : int
        Number of stored samples to train on, and of those to judge by.
    held_out_address : int
        Address of the latter in the flash.
    needed : int
        Number of samples that the run takes; where it is more than ``samples``, they come again from the first on.
    evaluations : tuple of int
        Steps after which the held-out samples are judged.
    thresholds : tuple of int
        Least number of correct answers for each light, the first light first.
    judged : (array of int64, array of int64)
        Raw inputs and targets of the held-out samples.
    """

    data: bytes
    base: int
    run: Run
    samples: int
    held_out: int
    held_out_address: int
    needed: int
    evaluations: tuple[int, ...]
    thresholds: tuple[int, ...]
    judged: tuple[np.ndarray, np.ndarray]

    def lights(self, correct: int) -> int:
        """Return the lights that are on for a number of correct answers, the first light in bit 0."""
        return sum(1 << number for number, least in enumerate(self.thresholds) if correct >= least)


def flash_image(
    design: Design, data: Data, steps: int, *, base: int, size: int, samples: int | None = None, held_out: int | None = None
) -> Image:
    """Return the image from which a core of a design learns alone.

    Parameters
    ----------
    design : Design
        Design whose core learns, with its settings.
    data : Data
        Its samples; those held out are its test samples.
    steps : int
        Number of training steps.
    base, size : int
        Address of the image in the flash, and size of the whole flash, in bytes.
    samples : int or None
        Number of samples to train on that the image stores; None takes as many as the run needs, or as fit.
    held_out : int or None
        Number of samples to judge by; None takes all, but at most :data:`HELD_OUT`.

    Raises
    ------
    Refusal
        If the samples do not fit the flash, or no share of correct answers can be told of them.
    """
    spec = design.spec
    if not data.kind.classes:
        reason = "the lights of a board show the share of correct answers, and a regression has none"
        raise Refusal(reason, "Take a task with classes.", file=design.path, key="data.task", value=design.data.task)
    run = run_of(design, data, steps)
    layout = SampleLayout.of(spec)
    judged = min(len(data.test), HELD_OUT) if held_out is None else held_out
    if not 1 <= judged <= len(data.test):
        reason = f"there are {len(data.test):,} test samples"
        raise Refusal(reason, "Take fewer.", key="--held-out", value=judged)
    evaluated = _evaluations(spec, steps)
    needed = len(run.order)
    stored, room = needed, size
    while True:  # fewer samples make the program longer, since a run ends where they begin again
        length = len(_program(spec, run, evaluated, stored, layout, (0,) * LIGHTS, 0, 0, judged))
        room = min(room, (size - base - 4 * len(HEADER) - length - _ALIGNED) // layout.size - judged)
        stored, before = _stored(design, layout, needed, len(data.train), room, samples), stored
        if stored == before:
            break
    thresholds = tuple(max(1, ceil(share * judged - 1e-9)) for share in SHARES)
    run = replace(run, order=run.order[np.arange(needed) % stored])

    def program(first: int, test: int) -> bytes:
        return _program(spec, run, evaluated, stored, layout, thresholds, first, test, judged)

    first = base + 4 * len(HEADER) + len(program(0, 0))
    test = first + _aligned(stored * layout.size)
    from python_ref.datasets import quantise

    inputs, targets = (table[:judged] for table in quantise(spec, data.test))
    rows = run.order[:stored]
    tables = pack(layout, run.inputs[rows], run.targets[rows]), pack(layout, inputs, targets)
    body = program(first, test) + tables[0].ljust(_aligned(len(tables[0])), b"\0") + tables[1]
    digest = int(spec.digest, 16)
    length = 4 * len(HEADER) + len(body)
    header = _words(MAGIC, digest >> 32, digest & 0xFFFFFFFF, stored, first, judged, test, length)
    return Image(header + body, base, run, stored, judged, test, needed, evaluated, thresholds, (inputs, targets))


def _aligned(length: int) -> int:
    return -(-length // _ALIGNED) * _ALIGNED


def _words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def _stored(design: Design, layout: SampleLayout, needed: int, trained: int, room: int, samples: int | None) -> int:
    """Number of samples to store: what the run needs, whole epochs of it, or as many as there is room for."""
    if samples is not None:
        if samples > room:
            raise _too_large(design, samples, layout, room)
        if samples > needed:
            raise Refusal(f"the run takes {needed:,} samples", "Take fewer.", key="--samples", value=samples)
        return samples
    if room < 1:
        raise _too_large(design, 1, layout, room)
    if needed <= room:
        return needed
    return room // trained * trained or room


def _too_large(design: Design, samples: int, layout: SampleLayout, room: int) -> Refusal:
    """The refusal of samples that do not fit a flash."""
    what = f"{samples:,} samples of {layout.size:,} bytes do not fit the flash"
    if room < 1:
        return Refusal(f"{what} beside the bitstream, the program and the held-out samples", "Take fewer --held-out.", file=design.path)
    return Refusal(f"{what}: there is room for {room:,}", f"Take --samples {room}, or fewer --held-out.", key="--samples", value=samples)


def _evaluations(spec: DesignSpec, steps: int) -> tuple[int, ...]:
    """Steps after which the held-out samples are judged: where all periods begin anew, so that judging changes nothing, and the last."""
    schedule = spec.schedule
    period = lcm(schedule.perturbation_period, schedule.sample_period, schedule.update_period)
    places = {round(steps * number / EVALUATIONS / period) * period for number in range(1, EVALUATIONS)}
    return tuple(sorted({step for step in places if 0 < step < steps} | {steps}))


# -- The program ------------------------------------------------------------------------------------------------------


def _instructions(link: ProgramLink) -> bytes:
    """What a link recorded, all of them writes, as instructions."""
    found = b""
    for address, group in groupby(link.program().ops.tolist(), key=lambda op: op[1]):
        values = [value for _, _, value in group]
        for first in range(0, len(values), _LONGEST_WRITE):
            some = values[first : first + _LONGEST_WRITE]
            found += _words(Operation.WRITE << 28 | address << 16 | len(some), *some)
    return found


def _program(
    spec: DesignSpec,
    run: Run,
    evaluated: Sequence[int],
    stored: int,
    layout: SampleLayout,
    thresholds: Sequence[int],
    first: int,
    test: int,
    judged: int,
) -> bytes:
    """The program of a run whose samples begin at address ``first``, and the held-out ones at ``test``."""
    from sim import host
    from sim.program import ProgramLink

    link = ProgramLink()
    link.write(register_map(spec)["command"].address, Command.DISCARD)
    host.prepare(spec, link, run.parameters, run.seed)
    found = _instructions(link)
    judge = _words(Operation.INFER << 28 | test, judged, judged, *reversed(thresholds))
    period = spec.schedule.sample_period
    for begin, end in _pieces(spec, run.steps, evaluated, stored):
        link = ProgramLink()
        host.set_rate(spec, link, begin)
        taken, until = -(-begin // period), (end - 1) // period + 1
        place = first + taken % stored * layout.size
        found += _instructions(link) + _words(Operation.TRAIN << 28 | place, end - begin, until - taken)
        if end in evaluated:
            link = ProgramLink()
            host.clear_counters(spec, link)
            found += _instructions(link) + judge
    return found + _words(Operation.END << 28)


def _pieces(spec: DesignSpec, steps: int, evaluated: Sequence[int], stored: int) -> Iterator[tuple[int, int]]:
    """First step and end of each run: they end where the rate changes, where samples are judged, and where the samples begin again."""
    again = stored * spec.schedule.sample_period
    ends = {0, steps, *evaluated, *range(again, steps, again), *(step for step in spec.exponent_changes if step < steps)}
    return pairwise(sorted(ends))
