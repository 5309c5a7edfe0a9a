"""Training of a core over a link, which is the same for a board and for a virtual board.

A session sets the core up at the first step of the run or at a checkpoint, and then trains it in blocks of steps, streaming samples ahead
of the core. After each block it reads the counters and signatures, and can compare them with the fixed model's. From time to time, and at
the end, it reads the memories and writes a checkpoint. From there the training resumes bit for bit, after an interrupt or when a lost link
is open again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from boards.link import LinkLost, MemoryLink, PortError, SerialLink
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.device.checkpoint import Checkpoint, RunDigest
from python_ref.spec.frames import pack_samples, sample_bytes
from python_ref.spec.probes import COUNTERS
from python_ref.spec.registers import Memory, register_map
from python_ref.trace import LearnerRun, Run
from sim import host

if TYPE_CHECKING:
    from python_ref.fixed.machine import State

__all__ = ["AnyLink", "Beside", "Model", "Session", "read_memories", "read_registers"]

AnyLink = SerialLink | MemoryLink
"""A link that a session can use."""

BLOCK_SECONDS = 1.0
"""Target duration of a block of steps, in seconds."""

MARK_SECONDS = 10.0
"""Minimum time between two checkpoints, except at the end, in seconds; it is longer if reading the memories takes over a tenth of it."""


def read_registers(link: AnyLink, names: tuple[str, ...]) -> dict[str, int]:
    """Read registers in one exchange, and return their values by name, as unsigned numbers; 0 for those that the core lacks."""
    built = register_map(link.spec)
    registers = [built[name] for name in names if name in built]
    (words,) = link.ask([((), [register.address + word for register in registers for word in range(register.words)])])
    found, place = dict.fromkeys(names, 0), 0
    for register in registers:
        found[register.name] = sum(words[place + word] << 32 * word for word in range(register.words))
        place += register.words
    return found


def read_memories(link: AnyLink) -> dict[str, np.ndarray]:
    """Read all memories, and return their raw contents by name (int64, shape (P,), in the canonical order of parameters)."""
    spec, registers = link.spec, register_map(link.spec)
    select, address, data = (registers[name].address for name in ("select", "address", "data"))

    def position(memory: Memory, lane: int) -> Callable[[int], tuple[tuple[int, int], ...]]:
        return lambda word: ((select, memory << 16 | lane), (address, word))

    found = {}
    for memory in spec.memories:
        rows = [link.read_run(position(memory, lane), data, spec.layout.words) for lane in range(spec.hardware.lanes)]
        found[memory.name.lower()] = host.canonical(spec, memory, np.stack(rows))
    return found


class Beside(Protocol):
    """A model that computes the steps of a session beside the core."""

    def begin(self, state: Any, step: int) -> Any:
        """Advance to the state before a step, with counters and signatures cleared, and return it.

        The model starts from ``state``, which must not be later than the step; None stands for the state before the session.
        """

    def advance(self, count: int) -> None:
        """Start to compute the next ``count`` steps."""

    def state(self) -> Any:
        """Return the state after these steps."""

    def close(self) -> None:
        """End what runs beside this process's main thread."""


class Model:
    """Fixed model that runs in a thread at the same time as the core, for the comparison of the two.

    Parameters
    ----------
    run : Run
        Training run that the model computes: design, parameters, samples and their order.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._state = run.initial_state()
        self._pool = ThreadPoolExecutor(1)
        self._future: Future[State] | None = None
        self._steps(self._state, min(1, run.steps), signatures=True)  # compiles the model

    def _steps(self, state: State, count: int, *, signatures: bool) -> State:
        from python_ref.fixed.fast import train

        run = self.run
        return train(run.spec, state, run.inputs, run.targets, run.order, count, signatures=signatures).state

    def begin(self, state: State | None, step: int) -> State:
        """Advance to the state before a step, with counters and signatures cleared, and return it.

        The model starts from ``state``, which must not be later than the step; None stands for the initial state.
        """
        if self._future is not None:
            self._future.exception()
            self._future = None
        before = self.run.initial_state() if state is None else state
        if before.steps < step:
            before = self._steps(before, step - before.steps, signatures=False)
        self._state = before.with_clear()
        return self._state

    def advance(self, count: int) -> None:
        """Start to compute the next ``count`` steps in the thread."""
        self._future = self._pool.submit(self._steps, self._state, count, signatures=True)

    def state(self) -> State:
        """Wait for the thread, and return the state after its steps."""
        if self._future is not None:
            self._state, self._future = self._future.result(), None
        return self._state

    def close(self) -> None:
        """End the thread of the model."""
        self._pool.shutdown(cancel_futures=True)


@dataclass
class Session:
    """One training of a core over a link, with its results so far.

    Parameters
    ----------
    run : Run or LearnerRun
        Training run that the core carries out: design, parameters, and where the network is inside its samples and their order.
    connect : callable
        Function without arguments that opens the link to the core and returns it.
    path : Path
        File that checkpoints are written to.
    begun : Checkpoint or None
        Checkpoint to resume from; None starts at the first step.
    model : Beside or None
        Fixed-point model that the core is compared with; None trains without a comparison.
    progress : Progress
        Receives messages about the progress of the training.
    stopping : callable
        Function that returns true to end the training after the current block.
    reconnect : float
        Time to try to reopen a lost link, in seconds.
    block_steps : int or None
        Number of steps of a block; None for as many as take about a second.
    classes : bool
        Whether answers are classes, so that progress messages include the share of correct ones.
    digests : RunDigest or None
        Digests of the run; None computes them, which takes about a second if there are many samples.

    Attributes
    ----------
    mark : Checkpoint
        Latest checkpoint, from which the training resumes if it is cut off now.
    done : int
        Number of steps trained since step 0, earlier sessions included.
    verified, mismatches : int
        Number of values compared with the model's, and number of those that differ.
    difference : str
        Description of the first difference; "" if there is none.
    outages : int
        Number of times that the link was lost and opened again.
    interrupted : bool
        Whether the training was ended before the last step.
    active : float
        Time spent training blocks in this session, in seconds.
    trained, sent, samples : int
        Steps, bytes sent to the device, and samples during that time.
    cycles : int
        Clock cycles of the core during that time.
    """

    run: Run | LearnerRun
    connect: Callable[[], AnyLink]
    path: Path
    begun: Checkpoint | None = None
    model: Beside | None = None
    progress: Progress = field(default_factory=NullProgress)
    stopping: Callable[[], bool] = lambda: False
    reconnect: float = 60.0
    block_steps: int | None = None
    classes: bool = True
    digests: InitVar[RunDigest | None] = None

    def __post_init__(self, digests: RunDigest | None) -> None:
        spec = self.run.spec
        self._digests = digests or RunDigest(self.run)
        self.verified = self.mismatches = self.outages = 0
        self.difference = ""
        self.interrupted = False
        self.active = 0.0
        self.trained = self.sent = self.samples = self.cycles = 0
        self.cost = math.nan
        self.right = math.nan
        if self.begun is not None:
            self.mark = self.begun
        else:
            zero = np.zeros(spec.n_parameters, dtype=np.int64)
            memories = {memory.name.lower(): zero for memory in spec.memories} | {"parameter": self.run.parameters}
            self.mark = Checkpoint(0, self._digests.origin, self._digests.origin, memories, dict.fromkeys((*COUNTERS, "cycles"), 0))
        self.done = self.resumed_from = self.mark.step
        self._earlier = self.mark.seconds
        self.final = dict(self.mark.memories)
        self._base = self.mark
        self._base_state = self._mark_state = None if self.model is None else self.model.begin(None, self.mark.step)
        self._speed = 0.0  # steps per second
        self._names = (*COUNTERS, "cycles", "cost", *(("signature",) if spec.hardware.signature else ()))

    @cached_property
    def _packed(self) -> np.ndarray:
        """The samples as they are sent over the line (uint8, shape (samples, bytes))."""
        assert isinstance(self.run, Run)
        spec, rows = self.run.spec, np.concatenate([self.run.inputs, self.run.targets], axis=1)
        parts = [pack_samples(spec, rows[first : first + 4096]) for first in range(0, len(rows), 4096)]
        return np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(len(rows), sample_bytes(spec))

    @property
    def period(self) -> int:
        """Least common multiple of the schedule's periods, in steps; a checkpoint is possible after each multiple of it.

        No presentation is open there, whose E would be lost, since a core discards it when its memories are loaded.
        """
        schedule = self.run.spec.schedule
        return math.lcm(schedule.perturbation_period, schedule.sample_period, schedule.update_period)

    @property
    def seconds(self) -> float:
        """Time spent training, earlier sessions included, in seconds."""
        return self.mark.seconds if self.done == self.mark.step else self._earlier + self.active

    @property
    def equal(self) -> bool:
        """Whether every value compared so far equals the model's."""
        return not self.mismatches

    # -- Link ----------------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Train up to the last step, until ``stopping`` returns true, or until a value differs from the model's.

        Raises
        ------
        PortError, LinkLost, WrongCore
            If the link cannot be opened at first, leads to another core, or is lost and cannot be opened again.
        Refusal
            If the core makes no progress.
        """
        try:
            self._train_across_outages()
        except LinkLost as error:
            if self.mark.step:
                error.remedy += f" Steps up to {self.mark.step:,} are kept: --resume continues from there."
            raise

    def _train_across_outages(self) -> None:
        """Train to the end; each time a lost link is open again, resume from the latest checkpoint."""
        link, failures = self.connect(), 0
        while True:
            marked = self.mark.step
            try:
                try:
                    host.check_identity(self.run.spec, link)
                    self._set_up(link)
                    self._train(link)
                    return
                finally:
                    link.close()
            except LinkLost as error:
                failures = 0 if self.mark.step > marked else failures + 1
                if self.stopping():
                    self._end_at_checkpoint()
                    return
                if failures > 5:
                    error.reason += f"; this has happened {failures} times since step {self.mark.step:,}"
                    raise
                self.progress.status(f"{error.reason}. Training resumes from step {self.mark.step:,} when the link is open again.")
            again = self._wait_for_link()
            if again is None:
                self._end_at_checkpoint()
                return
            link = again
            self.outages += 1

    def _end_at_checkpoint(self) -> None:
        """End the training at the latest checkpoint, with the memories that it holds."""
        self.interrupted = True
        self.done = self.mark.step
        self.final = dict(self.mark.memories)

    def _wait_for_link(self) -> AnyLink | None:
        """Open a lost link again, and return it; return None if the training is to stop first."""
        until = time.monotonic() + self.reconnect
        while True:
            try:
                return self.connect()
            except (PortError, LinkLost) as error:
                lost = error
            if self.stopping():
                return None
            if time.monotonic() > until:
                raise LinkLost(f"The link could not be opened again within {self.reconnect:g} s ({lost.reason})", lost.remedy)
            time.sleep(0.5)

    def _set_up(self, link: AnyLink) -> None:
        """Load the latest checkpoint into the core, and set the model to the same step."""
        spec, mark = self.run.spec, self.mark
        host.set_periods(spec, link)
        for memory in spec.memories:
            host.load_memory(spec, link, memory, mark.memories[memory.name.lower()])
        host.clear_counters(spec, link)
        host.restart(spec, link, self.run.seed, mark.step)
        link.flush()
        self.done, self._base, self._base_state = mark.step, mark, self._mark_state
        if self.model is not None:
            self._base_state = self.model.begin(self._mark_state, mark.step)

    # -- Training ------------------------------------------------------------------------------------------------------

    def _train(self, link: AnyLink) -> None:
        """Train blocks until the training ends, and write checkpoints from time to time, and at the last step that permits one."""
        title = f"Training {self.run.spec.name}"
        marked, cost_of_mark = time.monotonic(), 0.0
        while self.done < self.run.steps and self.equal and not self.stopping():
            found = self._block(link, self._block_steps())
            self.progress.update(title, self.done, self.run.steps, self._note(link))
            self._compare_block(found)
            now = time.monotonic()
            due = now - marked > max(MARK_SECONDS, 10 * cost_of_mark) or self.done == self._last_boundary
            if due and self.done % self.period == 0 and self.done < self.run.steps:
                self._write_checkpoint(read_memories(link))
                cost_of_mark = time.monotonic() - now
                marked = time.monotonic()
        self.interrupted = self.done < self.run.steps and self.equal
        if self.done > self.mark.step or not self.trained:
            self._finish(link)

    @property
    def _last_boundary(self) -> int:
        """The last step of the run that permits a checkpoint."""
        return self.run.steps // self.period * self.period

    def _block_steps(self) -> int:
        """Return the number of steps of the next block; a block that crosses a multiple of ``period`` also ends at one.

        In node perturbation a block that is long enough ends with a presentation. One that does not costs time, and no bit: the core
        keeps E, and runs the unperturbed pass once more.
        """
        wanted = self.block_steps or (max(1, int(self._speed * BLOCK_SECONDS)) if self._speed else 16)
        period = self.period
        to_boundary = period - self.done % period
        wanted = to_boundary + (wanted - to_boundary) // period * period if wanted > to_boundary else min(wanted, to_boundary)
        spec, latest = self.run.spec, self.done + wanted
        if spec.node:
            ends = max(latest // each * each for each in (spec.schedule.sample_period, spec.schedule.update_period))
            wanted = ends - self.done if ends > self.done else wanted
        end = self._last_boundary if self.done < self._last_boundary else self.run.steps
        return min(wanted, end - self.done)

    def _block(self, link: AnyLink, count: int) -> dict[str, int]:
        """Train a block of steps, and return the core's registers, which count from its setup."""
        spec, before, began, sent = self.run.spec, self._counts_since_setup(), time.monotonic(), link.statistics.sent
        if self.model is not None:
            self.model.advance(count)
        for start, steps in host.runs(spec, self.done, count):
            self._run_steps(link, start, steps)
        found = read_registers(link, self._names)
        if found["steps"] != self.done + count - self._base.step:
            expected = self.done + count - self._base.step
            raise link.lost(f"The core counts {found['steps']:,} steps, not {expected:,}: it was reset, or switched off and on")
        seconds = time.monotonic() - began
        self._block_start = self.done
        self.done += count
        self.active += seconds
        self.trained += count
        self.sent += link.statistics.sent - sent
        self._last = found
        self.cycles += found["cycles"] - before["cycles"]
        self._update_scores(found, before)
        self._speed = min(8 * self._speed, count / seconds) if self._speed else count / seconds
        return found

    def _run_steps(self, link: AnyLink, start: int, steps: int) -> None:
        """Let the core carry out steps that have one learning rate."""
        samples = self._samples_of(start, steps)
        link.send_packed(self._packed[samples].tobytes())
        self.samples += len(samples)
        host.train(self.run.spec, link, start, steps)

    def _samples_of(self, start: int, steps: int) -> np.ndarray:
        """Return the indices of the samples that ``steps`` steps take, beginning with step ``start``."""
        assert isinstance(self.run, Run)
        period = self.run.spec.schedule.sample_period
        return self.run.order[-(-start // period) : (start + steps - 1) // period + 1]

    def _counts_since_setup(self) -> Mapping[str, int]:
        """Return the registers read after the last block, or zeros if there was none since the core was set up."""
        return self._last if self.done > self._base.step else dict.fromkeys(self._names, 0)

    def _update_scores(self, found: Mapping[str, int], before: Mapping[str, int]) -> None:
        assert isinstance(self.run, Run)
        spec, taken = self.run.spec, len(self._samples_of(self.done - (found["steps"] - before["steps"]), found["steps"] - before["steps"]))
        self.cost = math.ldexp(found["cost"] & (1 << 64) - 1, -spec.cost_format.fraction_bits) / spec.network.n_out
        if taken:
            self.right = (found["correct"] - before["correct"]) / taken

    def _note(self, link: AnyLink) -> str:
        right = "" if math.isnan(self.right) or not self.classes else f", {100 * self.right:.0f} % right"
        errors = link.statistics.errors
        repaired = f", {errors:,} line errors repaired" if errors else ""
        return f"step {self.done:,}, {self._speed:,.0f} steps/s, cost {self.cost:.4f}{right}{repaired}"

    def totals(self) -> dict[str, int]:
        """Return the counters of the core since step 0, including its cycles."""
        counted = self._counts_since_setup()
        return {name: self._base.counters[name] + counted[name] for name in (*COUNTERS, "cycles")}

    # -- Checkpoints and comparison ------------------------------------------------------------------------------------

    def _write_checkpoint(self, memories: dict[str, np.ndarray]) -> None:
        """Write a checkpoint with the given memories, if this step permits one and no value differs from the model's."""
        if self.done % self.period == 0 and self.equal:
            seconds = self._earlier + self.active
            kept = memories, self.totals(), seconds, self._outside(memories)
            self.mark = Checkpoint(self.done, self._digests.origin, self._digests.at(self.done), *kept)
            self.mark.write(self.path)
            self._mark_state = None if self.model is None else self.model.state()

    def _outside(self, memories: Mapping[str, np.ndarray]) -> str:
        """Return what a checkpoint keeps of an outside, as :class:`Checkpoint` has it; nothing where the core computes all itself."""
        return ""

    def _finish(self, link: AnyLink) -> None:
        """Read all memories back, compare them with the model's, and write a checkpoint."""
        memories = read_memories(link)
        self.final = memories
        if self.model is not None:
            state = self.model.state()
            expected = {"parameter": state.parameters, "gradient": state.gradient, **state.optimizer}
            for name, values in memories.items():
                wrong = np.flatnonzero((values ^ expected[name]) & 0xFFFFFFFF)
                self.verified += len(values)
                self.mismatches += len(wrong)
                if len(wrong) and not self.difference:
                    first = wrong[0]
                    raws = f"the model has raw {expected[name][first]}, the core {values[first]}"
                    self.difference = f"after {self.done:,} steps, {name} {first}: {raws}"
        self._write_checkpoint(memories)

    def _compare_block(self, found: Mapping[str, int]) -> None:
        """Compare the counters and signatures of the core after a block with those of the model."""
        if self.model is None:
            return
        state, base = self.model.state(), self._base_state
        assert base is not None
        expected = dict(zip(COUNTERS, state.counters.tolist(), strict=True))
        expected["steps"], expected["updates"] = state.steps - base.steps, state.updates - base.updates
        if "signature" in found:
            assert state.signature is not None
            shown = {"signature, forward": found["signature"] & 0xFFFFFFFF, "signature, learned": found["signature"] >> 32}
            expected |= dict(zip(shown, state.signature, strict=True))
        else:
            shown = {}
        shown |= {name: found[name] for name in COUNTERS}
        wrong = [name for name, value in expected.items() if shown[name] != value]
        self.verified += len(expected)
        self.mismatches += len(wrong)
        if wrong and not self.difference:
            name = max(wrong, key=lambda each: each.startswith("signature"))
            text = (lambda value: f"0x{value:08x}") if name.startswith("signature") else (lambda value: f"{value:,}")
            self.difference = (
                f"in steps {self._block_start:,} to {self.done - 1:,}, {name}: "
                f"the model has {text(expected[name])}, the core {text(shown[name])}"
            )
