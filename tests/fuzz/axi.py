"""A compiled core behind AXI4-Lite and AXI4-Stream, to which anything is done: wrong accesses, broken frames, offers that are withdrawn.

No access and no stream may wait for ever, what must be refused is refused, the registers tell of the frames that were dropped, and what is
learned, during it or after it, is what the fixed model learns from the whole frames.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from python_ref.fixed.machine import initial_state, step
from python_ref.spec.bus import (
    Bus,
    Interrupt,
    SampleSource,
    bus_commands,
    byte_address,
    sample_words,
    stream_bits,
    window_map,
    wrapper_name,
)
from python_ref.spec.error import Refusal
from python_ref.spec.registers import Command
from rtl_gen.bus.axi4lite import OKAY, SLVERR
from rtl_gen.bus.top import bus_wrapper
from rtl_gen.emit import emit_verilog
from sim import host
from sim.engines.cxxrtl import build_model
from sim.program import Op, ProgramLink
from tests.support.faults import DESIGNS

__all__ = ["Board", "Driver", "Job", "board", "end_board", "jobs", "take_axi"]

RESET, AW, W, AR, T, SYNC, STREAM, PACE, POLL, FORGET = range(10)
"""Operations of the driver."""
PATIENCE = 20_000
"""Cycles after which a run, or what is left of one, hangs."""
ACCESS = 2_000
"""Cycles after which the accesses of a phase hang; each takes some tens, and the first one behind a run some hundreds."""
SPEC = DESIGNS["node"]
"""Design of the core."""
SAMPLES = 3
"""Number of samples of a run."""
STEPS = (SAMPLES - 1) * SPEC.schedule.sample_period + 1
"""Steps of a run."""


@dataclass(frozen=True)
class Phase:
    """What happens at the same time.

    Attributes
    ----------
    writes : list of (address, data, strobes, delay of the address, delay of the data, hold)
        Writes; an offer that has not been taken after ``hold`` cycles is withdrawn, unless that is 0.
    reads : list of (address, delay, hold)
        Reads.
    words : list of (word, last, delay)
        Words of the stream.
    """

    writes: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)
    reads: list[tuple[int, int, int]] = field(default_factory=list)
    words: list[tuple[int, bool, int]] = field(default_factory=list)

    @property
    def withdraws(self) -> bool:
        """Whether an offer may be withdrawn."""
        return any(each[-1] for each in (*self.writes, *self.reads))


@dataclass(frozen=True)
class Job:
    """What is done to a core.

    Attributes
    ----------
    during : bool
        Whether it is done during a run, and nothing of it may change what the run learns; otherwise anything is done to an idle core.
    pace, share : int
        Seed of the pauses of the responses, and their share in 2³².
    phases : list of Phase
        What happens, one after the other.
    """

    during: bool
    pace: int
    share: int
    phases: list[Phase]


class Driver:
    """The compiled core in a child process; ``optimize`` is an option of the compiler, which takes longer for a quicker simulation."""

    def __init__(self, optimize: str = "-O1") -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        (folder / "core.v").write_text(emit_verilog(SPEC, bus_wrapper(SPEC, Bus.AXI4_LITE, SampleSource.AXI4_STREAM)), encoding="utf-8")
        driver = Path(__file__).with_name("axi_driver.cc")
        model = build_model(folder / "core.v", wrapper_name(SPEC, Bus.AXI4_LITE), driver, folder / "build", optimize=optimize)
        self._child = subprocess.Popen([model], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        """End the process, and remove its files."""
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.close()
        self._child.stdout.close()
        self._child.wait()
        self._folder.cleanup()

    def run(self, ops: Sequence[tuple[int, ...]]) -> list[Answer]:
        """Run operations; return what those that wait answer."""
        assert self._child.stdin is not None and self._child.stdout is not None
        rows = np.zeros((len(ops), 4), dtype="<u4")
        for row, op in zip(rows, ops, strict=True):
            row[: len(op)] = op
        self._child.stdin.write(np.uint32(len(ops)).tobytes() + rows.tobytes())
        self._child.stdin.flush()
        return [self._answer() for op in ops if op[0] in (SYNC, STREAM, POLL)]

    def _words(self, count: int) -> list[int]:
        assert self._child.stdout is not None
        data = self._child.stdout.read(4 * count)
        assert len(data) == 4 * count, "the simulator has ended"
        return np.frombuffer(data, "<u4").tolist()

    def _answer(self) -> Answer:
        ended, cycles, aw, w, ar, taken, irq, writes, reads = self._words(9)
        responses, read = self._words(writes), np.array(self._words(2 * reads)).reshape(-1, 2).tolist()
        return Answer(bool(ended), cycles, (aw, w, ar), taken, irq, responses, read)


@dataclass(frozen=True)
class Answer:
    """What the driver answers: see ``axi_driver.cc``."""

    ended: bool
    cycles: int
    accepted: tuple[int, int, int]
    taken: int
    irq: int
    writes: list[int]
    reads: list[list[int]]


class Board:
    """A compiled core, and what is known of it.

    Parameters
    ----------
    driver : Driver
        The core in its process.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.at = {name: byte_address(register) for name, register in window_map(SPEC, SampleSource.AXI4_STREAM).items()}
        registers = window_map(SPEC, SampleSource.AXI4_STREAM).values()
        self.readable, self.writable = (
            {byte_address(each, word) for each in registers if way in each.access for word in range(each.words)} for way in "rw"
        )
        rng = np.random.default_rng(5)
        forms = [SPEC.formats.input] * SPEC.network.n_in + [SPEC.formats.activation] * SPEC.network.n_out
        self.samples = [[int(rng.integers(form.min, form.max + 1)) for form in forms] for _ in range(4)]
        self.parameters = rng.integers(-9, 9, SPEC.n_parameters)
        self._learned: dict[tuple[int, ...], tuple[int, int]] = {}

    @cached_property
    def setup(self) -> list[tuple[int, ...]]:
        """Operations that set the core up for step 0."""
        link = ProgramLink()
        host.prepare(SPEC, link, self.parameters)
        ops: list[tuple[int, ...]] = []
        for kind, address, data in link.program().ops.tolist():
            assert kind == Op.WRITE
            ops += [*_written(4 * address, data), (SYNC, ACCESS)]
        return ops

    def signature(self, order: tuple[int, ...]) -> tuple[int, int]:
        """Return the signatures of the model after a run on samples in this order."""
        if order not in self._learned:
            state, samples = initial_state(SPEC, self.parameters), iter(order)
            sample = None
            for number in range(STEPS):
                if number % SPEC.schedule.sample_period == 0:
                    words = np.array(self.samples[next(samples)], dtype=np.int64)
                    sample = words[: SPEC.network.n_in], words[SPEC.network.n_in :]
                state, _ = step(SPEC, state, sample)
            self._learned[order] = state.signature
        return self._learned[order]

    def read(self, *names: str) -> list[tuple[int, ...]]:
        """Operations that read registers; those of two words take two."""
        registers = window_map(SPEC, SampleSource.AXI4_STREAM)
        addresses = [byte_address(registers[name], word) for name in names for word in range(registers[name].words)]
        return [op for address in addresses for op in ((AR, address, 0, 0), (SYNC, ACCESS))]

    def refused_write(self, address: int, data: int, strobes: int) -> bool:
        """Whether a write is refused at any time."""
        wrong = address & 3 or strobes != 15 or address not in self.writable
        return bool(wrong or (address == self.at["command"] and data not in bus_commands(SPEC)))

    def refused_in_runs(self, address: int, data: int) -> bool:
        """Whether a write that is refused at no time because of its address is refused during a run."""
        own = address in (self.at["interrupt_status"], self.at["interrupt_enable"])
        return not own and not (address == self.at["command"] and data == Command.STOP)


def _whole(words: Sequence[tuple[int, bool, int]]) -> int:
    """Number of frames among words that are samples; the words end with a frame."""
    count = length = 0
    for _, last, _ in words:
        length += 1
        if last:
            count, length = count + (length == sample_words(SPEC)), 0
    return count


def _written(address: int, data: int) -> list[tuple[int, ...]]:
    return [(AW, address, 0, 0), (W, data & 0xFFFFFFFF, 15, 0)]


@cache
def board() -> Board:
    """The board, which is built once."""
    return Board(Driver())


def end_board() -> None:
    """End the board, if there is one: the next one is built anew."""
    if board.cache_info().currsize:
        board().driver.close()
        board.cache_clear()


def _frame(sample: Sequence[int]) -> list[tuple[int, bool, int]]:
    mask = (1 << stream_bits(SPEC)) - 1
    return [(word & mask, number == len(sample) - 1, 0) for number, word in enumerate(sample)]


def take_axi(job: Job, folder: Path) -> None:
    """Do to a core what a job says, and judge it; a job of which it has refused or dropped something ends in a Refusal that says so."""
    found = (_during if job.during else _anything)(board(), job)
    folder.mkdir()
    if any(found):
        accesses, frames = found
        raise Refusal(f"the core has refused {accesses} accesses, and dropped {frames} frames", "Keep to the map.", key="bus")


def _ops(phase: Phase) -> list[tuple[int, ...]]:
    ops: list[tuple[int, ...]] = []
    for address, data, strobes, first, second, hold in phase.writes:
        ops += [(AW, address, first, hold), (W, data, strobes | second << 4, hold)]
    ops += [(AR, *each) for each in phase.reads]
    ops += [(T, word, last, delay) for word, last, delay in phase.words]
    return [*ops, (SYNC, ACCESS)]


def _judge_accesses(of: Board, phase: Phase, answer: Answer, *, busy: bool, running: bool = False) -> int:
    """Judge the responses of a phase without withdrawn offers, in which the core may be ``busy``, or is certainly ``running``; the number
    of refused accesses."""
    assert answer.ended, f"accesses have not ended after {answer.cycles} cycles: {phase}"
    assert len(answer.writes) == len(phase.writes) and len(answer.reads) == len(phase.reads)
    for (address, data, strobes, *_), response in zip(phase.writes, answer.writes, strict=True):
        assert response in (OKAY, SLVERR)
        refused = of.refused_write(address, data, strobes) or (running and of.refused_in_runs(address, data))
        assert response == SLVERR or not refused, f"a write of {data:#x} to {address:#x} with strobes {strobes:#x} is not refused"
        assert response == OKAY or refused or (busy and of.refused_in_runs(address, data)), (
            f"a write of {data:#x} to {address:#x} is refused"
        )
    for (address, *_), (response, data) in zip(phase.reads, answer.reads, strict=True):
        refused = address not in of.readable or (running and address == of.at["data"])
        assert (response, data) == (SLVERR, 0) or not refused, f"a read of {address:#x} answers {response}, {data:#x}"
        assert response == OKAY or refused or (busy and address == of.at["data"]), f"a read of {address:#x} is refused"
    return answer.writes.count(SLVERR) + sum(response == SLVERR for response, _ in answer.reads)


def _anything(of: Board, job: Job) -> tuple[int, int]:
    """Anything is done to an idle core, which then is stopped and set up, and learns as the model does."""
    ops: list[tuple[int, ...]] = [(RESET, 32), (PACE, job.pace, job.share)]
    for phase in job.phases:
        ops += _ops(phase)
    answers = of.driver.run(ops)
    refused, busy = 0, False
    broken = any(phase.withdraws for phase in job.phases)
    for phase, answer in zip(job.phases, answers, strict=True):
        starts = any(each[0] == of.at["command"] and each[1] in (Command.TRAIN, Command.INFER) for each in phase.writes)
        busy |= starts
        if not broken:
            refused += _judge_accesses(of, phase, answer, busy=busy)
        assert answer.ended, "accesses have not ended, though each has what it needs"
    ops = [(FORGET,)]
    ops += [(RESET, 32)] if broken else [*_written(of.at["command"], Command.STOP), (SYNC, ACCESS)]
    sent = [word for phase in job.phases for word in phase.words][: answers[-1].taken]
    begun = bool(sent) and not sent[-1][1] and not broken
    # What is left of a frame is as long as a sample, and skipped behind the command DISCARD.
    closing = [(T, number, number == sample_words(SPEC) - 1, 0) for number in range(sample_words(SPEC))] if begun else []
    ops += [(POLL, of.at["status"], 1, PATIENCE), *_written(of.at["command"], Command.DISCARD), (SYNC, ACCESS), *of.read("frames_dropped")]
    ops += [*closing, (STREAM, ACCESS), *of.read("frames_dropped")]
    found = of.driver.run(ops)
    assert all(answer.ended for answer in found), "a core that is stopped, or reset, becomes idle and takes accesses and words"
    dropped = found[-1].reads[0][1]
    assert found[-3].reads[0][1] == dropped, "the rest of a frame behind DISCARD is not counted"
    _learns(of, tuple(range(SAMPLES)), dropped)
    return refused, dropped


def _learns(of: Board, order: tuple[int, ...], dropped: int) -> None:
    """Set the core up, and let it learn from whole frames: its signatures are those of the model."""
    ops = list(of.setup)
    ops += [(T, *word) for number in order for word in _frame(of.samples[number])]
    ops += [*_written(of.at["count"], STEPS), (SYNC, ACCESS), *_written(of.at["command"], Command.TRAIN), (SYNC, ACCESS)]
    ops += [(POLL, of.at["status"], 1, PATIENCE), *of.read("steps", "signature", "frames_dropped")]
    found = of.driver.run(ops)
    assert all(answer.ended for answer in found), "a run of sound samples ends"
    steps, forward, learned, now = (answer.reads[0][1] for answer in found[-4:])
    assert (steps, now) == (STEPS, dropped)
    assert (forward, learned) == of.signature(order), "what is learned afterwards is not what the model learns"


def _during(of: Board, job: Job) -> tuple[int, int]:
    """Frames of any length come during a run, and accesses that change nothing: the core learns from the whole frames alone."""
    words = sample_words(SPEC)
    ops: list[tuple[int, ...]] = [(RESET, 32), (PACE, job.pace, job.share), *of.setup, *_written(of.at["count"], STEPS), (SYNC, ACCESS)]
    ops += [*_written(of.at["command"], Command.TRAIN), (SYNC, ACCESS)]
    before = len([op for op in ops if op[0] == SYNC])
    for phase in job.phases:
        ops += _ops(phase)
    sent = [(word, last) for phase in job.phases for word, last, _ in phase.words]
    if sent and not sent[-1][1]:
        sent.append((0, True))
        ops.append((T, 0, 1, 0))
    more = [word for number in range(SAMPLES) for word in _frame(of.samples[number])]
    sent += [(word, last) for word, last, _ in more]
    ops += [(T, *word) for word in more]
    ops += [(POLL, of.at["status"], 1, PATIENCE), *of.read("steps", "signature", "interrupt_status", "frames_dropped")]
    found = of.driver.run(ops)
    refused = given = 0
    for phase, answer in zip(job.phases, found[before:], strict=False):
        given += _whole(phase.words)
        refused += _judge_accesses(of, phase, answer, busy=True, running=given < SAMPLES)
    assert all(answer.ended for answer in found), "a run that gets whole frames ends"
    *_, steps, forward, learned, raised, dropped = (answer.reads[0][1] if answer.reads else 0 for answer in found)
    frames: list[list[int]] = [[]]
    for word, last in sent[: found[-1].taken]:
        frames[-1].append(word)
        if last:
            frames.append([])
    by_words = {tuple(word for word, *_ in _frame(sample)): number for number, sample in enumerate(of.samples)}
    whole = [by_words[tuple(each)] for each in frames[:-1] if len(each) == words]
    wrong = sum(len(each) != words for each in frames[:-1])
    assert steps == STEPS
    assert (forward, learned) == of.signature(tuple(whole[:SAMPLES])), f"learned from something else than the samples {whole}"
    # A frame may end between the two reads, so that it is counted and not yet told.
    assert dropped == wrong, f"{dropped} frames are counted as dropped, and {wrong} were wrong"
    assert raised & Interrupt.RUN_ENDED
    assert bool(raised & Interrupt.FRAME_ERROR) <= (dropped > 0)
    return refused, dropped


@st.composite
def jobs(draw: Callable[..., Any]) -> Job:
    """Jobs of both kinds."""
    of, during = board(), draw(st.booleans())
    known = sorted(of.at.values())
    mask = (1 << stream_bits(SPEC)) - 1
    delay = st.sampled_from((0, 0, 0, 1, 2, 7, 30))
    near = st.tuples(st.sampled_from(known), st.integers(1, 4)).map(sum)
    any_address = st.one_of(st.sampled_from(known), st.sampled_from(known), st.integers(0, 4095), near)
    any_data = st.one_of(st.integers(0, 8), st.sampled_from(list(Command)), st.integers(0, (1 << 32) - 1), st.just((1 << 32) - 1))

    @st.composite
    def write(pick: Callable[..., Any], hold: int, running: bool) -> tuple[int, int, int, int, int, int]:
        address, data, strobes = pick(any_address), pick(any_data), pick(st.sampled_from((15, 15, 15, 0, 1, 7, 8, 12, 14)))
        if during and not of.refused_write(address, data, strobes) and not (running and of.refused_in_runs(address, data)):
            address = of.at["interrupt_enable"]
        return address, data, strobes, pick(delay), pick(delay), hold

    @st.composite
    def frame(pick: Callable[..., Any]) -> list[tuple[int, bool, int]]:
        kind = pick(st.integers(0, 4))
        if kind < 2 or (during and kind == 4):
            given = _frame(of.samples[pick(st.integers(0, len(of.samples) - 1))])
        elif kind < 4:
            lengths = [n for n in (1, 2, 3, 4, 6, 7, 9, 10, 11, 15, 40) if n != sample_words(SPEC)]
            length = pick(st.sampled_from(lengths))
            ends = during or pick(st.integers(0, 2)) > 0
            given = [(pick(st.integers(0, mask)), ends and number == length - 1, 0) for number in range(length)]
        else:
            given = [(pick(st.integers(0, mask)), pick(st.booleans()), 0) for _ in range(pick(st.integers(1, 9)))]
        late = pick(delay)
        return [(word, last, late if number == len(given) // 2 else 0) for number, (word, last, _) in enumerate(given)]

    phases, given, withdraws = [], 0, not during and draw(st.integers(0, 2)) == 0
    for _ in range(draw(st.integers(1, 5))):
        hold = draw(st.sampled_from((0, 1, 3))) if withdraws else 0
        words = [word for _ in range(draw(st.integers(0, 3))) for word in draw(frame())]
        given += _whole(words) if during else 0
        writes = [draw(write(hold, given < SAMPLES)) for _ in range(draw(st.integers(0, 4)))]
        reads = [(draw(any_address), draw(delay), hold) for _ in range(draw(st.integers(0, 4)))]
        phases.append(Phase(writes, reads, words))
    return Job(during, draw(st.integers(1, 1 << 20)), draw(st.sampled_from((0, 0, 1 << 30, 3 << 30))), phases)
