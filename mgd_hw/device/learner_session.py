"""Training of a learner over a link, with a process as its outside: the host reads the words of each pass, and writes their costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from boards.link import MemoryLink
from mgd_hw.device.checkpoint import Checkpoint, RunDigest
from mgd_hw.device.session import AnyLink, Session
from python_ref.fixed.learner import LearnerState, step
from python_ref.floating.outside import OutsideError
from python_ref.spec.error import Refusal
from python_ref.spec.learner import MAX_CYCLES
from python_ref.spec.registers import Command, Status
from python_ref.spec.relay import ERRORS_BIT, FIRST_SAMPLE_BIT, packed_words, relay_map, unpacked
from python_ref.trace import LearnerRun
from sim import host

__all__ = ["LearnerModel", "LearnerSession", "Outside"]

_FIRST_ROWS = 48
"""Number of rows of words that are read together with the register ``outside``; the others are read in pieces after them."""


class Outside(Protocol):
    """The outside of a learner."""

    def __call__(self, words: np.ndarray, sample: int, count: int) -> list[int]:
        """Return the raw cost words of a measurement, as :data:`python_ref.fixed.learner.Chip` does."""

    def apply(self, errors: np.ndarray) -> None:
        """Take the errors of node currents, as :class:`python_ref.fixed.learner.NodeChip` does; others have none."""

    def keep(self, words: np.ndarray) -> str:
        """Return the weights of the chip, as :meth:`mgd_hw.hardware.outside.ChipProcess.keep` does; asked of node currents alone."""

    def restore(self, weights: str) -> None:
        """Set weights that :meth:`keep` returned."""


class _Replay:
    """The outside of a model that computes steps again."""

    def __init__(self, model: LearnerModel) -> None:
        self.model = model

    def __call__(self, words: np.ndarray, sample: int, count: int) -> list[int]:
        return self.model.replayed(words, sample, count)

    def apply(self, errors: np.ndarray) -> None:
        if errors.any():
            self.model.expected.append(errors)


class LearnerModel:
    """The fixed model of a learner, which computes the steps of a core again from the costs that the core was given.

    Parameters
    ----------
    run : LearnerRun
        Training run that the model computes.
    begun : Checkpoint or None
        Checkpoint from which the session resumes; None starts at the first step.

    Attributes
    ----------
    measured : list of (array, int, list of int)
        Words, index of the sample and raw costs of each measurement that the model has not seen yet.
    errors, expected : list of array
        Errors of node currents that the core has sent since, and those of the model, one array for each update with one that is not 0.
    compared, mismatches : int
        Number of words and indices compared with the core's, and number of those that differ.
    difference : str
        Description of the first difference; "" if there is none.
    """

    def __init__(self, run: LearnerRun, begun: Checkpoint | None = None) -> None:
        self.run = run
        self.measured: list[tuple[np.ndarray, int, list[int]]] = []
        self.errors: list[np.ndarray] = []
        self.expected: list[np.ndarray] = []
        self.compared = self.mismatches = 0
        self.difference = ""
        self._state = self._begun = run.initial_state() if begun is None else self._resumed(begun)
        self._count = 0

    def _resumed(self, begun: Checkpoint) -> LearnerState:
        """Return the state before the step of a checkpoint, where all periods and the samples begin anew."""
        schedule, memories = self.run.spec.schedule, begun.memories
        return replace(
            self.run.initial_state(),
            steps=begun.step,
            updates=begun.step // schedule.update_period,
            taken=begun.step // schedule.sample_period,
            parameters=memories["parameter"],
            gradient=memories.get("gradient", np.zeros_like(memories["parameter"])),
            optimizer={variable.name: memories[variable.name] for variable in self.run.spec.optimizer_state},
        )

    def begin(self, state: LearnerState | None, step: int) -> LearnerState:
        """See :class:`~mgd_hw.device.session.Beside`; the step is that of the state, since the costs of earlier steps are gone."""
        before = self._begun if state is None else state
        if before.steps != step:
            raise ValueError(f"Step must be that of the state, {before.steps}, not {step}")
        self._state, self._count = before.with_clear().with_load(), 0
        self._forget()
        return self._state

    def advance(self, count: int) -> None:
        """See :class:`~mgd_hw.device.session.Beside`; the steps are computed when their costs are known."""
        self._count += count

    def state(self) -> LearnerState:
        """Compute the steps whose costs the core has been given, and return the state after them."""
        while self._count:
            self._count -= 1
            self._state, observed = step(self.run.spec, self._state, _Replay(self))
            if observed is None:
                self._count = 0
        if self.measured:
            self._differs(f"the core measured {len(self.measured)} passes more than the model")
        self._compare_errors()
        self._forget()
        return self._state

    def _forget(self) -> None:
        for found in (self.measured, self.errors, self.expected):
            found.clear()

    def _compare_errors(self) -> None:
        """Compare the errors that the core has sent with those of the steps."""
        if len(self.errors) != len(self.expected):
            self._differs(f"the core has sent the errors of {len(self.errors)} updates, and the model has {len(self.expected)}")
        for sent, errors in zip(self.errors, self.expected, strict=False):
            self.compared += len(errors)
            wrong = np.flatnonzero(sent != errors)
            self.mismatches += len(wrong)
            if len(wrong) and not self.difference:
                place, values = wrong[0], (errors[wrong[0]], sent[wrong[0]])
                self.difference = (
                    f"by step {self._state.steps:,}, the error of current {place}: the model has raw {values[0]}, the core {values[1]}"
                )

    def replayed(self, words: np.ndarray, sample: int, count: int) -> list[int]:
        """The costs that the core was given for a pass of the model."""
        if not self.measured:
            self._differs("the core measured fewer passes than the model")
            return []
        sent, shown, costs = self.measured.pop(0)
        self.compared += len(words) + 1
        wrong = np.flatnonzero(sent != words)
        self.mismatches += len(wrong) + (shown != sample)
        if len(wrong) and not self.difference:
            first = wrong[0]
            self.difference = f"in step {self._state.steps:,}, word {first}: the model has raw {words[first]}, the core {sent[first]}"
        if shown != sample and not self.difference:
            self.difference = f"in step {self._state.steps:,}: the model shows sample {sample}, the core {shown}"
        return costs

    def _differs(self, how: str) -> None:
        self.mismatches += 1
        self.difference = self.difference or f"in step {self._state.steps:,}, {how}"

    def close(self) -> None:
        """See :class:`~mgd_hw.device.session.Beside`; nothing runs beside the main thread."""


@dataclass
class LearnerSession(Session):
    """One training of a learner over a link; the host is its outside.

    Parameters
    ----------
    chip : callable
        The outside of the learner.
    run, connect, path, begun, model, progress, stopping, reconnect, block_steps, classes, digests
        As for :class:`~mgd_hw.device.session.Session`; the model is a :class:`LearnerModel`.

    Attributes
    ----------
    measurements : int
        Number of passes whose cost was measured in this session.
    """

    run: LearnerRun
    chip: Outside = field(kw_only=True)

    def __post_init__(self, digests: RunDigest | None) -> None:
        super().__post_init__(digests)
        self.measurements = 0
        self._moved = False  # whether the chip may have changed its weights since the checkpoint
        if self.run.spec.sends_errors and self.begun is None:
            self.mark = replace(self.mark, outside=self._outside(self.mark.memories))

    @property
    def period(self) -> int:
        """As for :class:`~mgd_hw.device.session.Session`; the samples begin anew there as well."""
        schedule, samples = self.run.spec.schedule, self.run.spec.outside.samples
        return math.lcm(schedule.perturbation_period, schedule.sample_period * samples, schedule.update_period)

    def train(self) -> None:
        """See :class:`~mgd_hw.device.session.Session`; a process that gives no cost ends the training, with nothing trained on that step.

        Raises
        ------
        OutsideError
            If the process does not answer with costs.
        """
        try:
            super().train()
        except OutsideError as error:
            kept = f"steps up to {self.mark.step:,} are kept, and --resume continues from there" if self.mark.step else "no step is kept"
            error.remedy += f" Nothing was trained without a cost: {kept}."
            raise

    def _set_up(self, link: AnyLink) -> None:
        """See :class:`~mgd_hw.device.session.Session`; the host itself sees to it that a cost comes in time, not the core."""
        host.set_outside(self.run.spec, link)
        host.write_register(self.run.spec, link, "timeout", MAX_CYCLES)
        if self.run.spec.sends_errors and (self._moved or self.begun is not None):
            if self.mark.outside:
                self.chip.restore(self.mark.outside)
            else:
                self.progress.status("Note: the program of the chip tells no weights; it goes on with those that the chip has.")
        self._moved = True
        super()._set_up(link)

    def _outside(self, memories: Mapping[str, np.ndarray]) -> str:
        """See :class:`~mgd_hw.device.session.Session`: the weights behind node currents."""
        return self.chip.keep(memories["parameter"]) if self.run.spec.sends_errors else ""

    def _run_steps(self, link: AnyLink, start: int, steps: int) -> None:
        spec, registers = self.run.spec, relay_map(self.run.spec)
        host.set_rate(spec, link, start)
        if isinstance(link, MemoryLink):
            link.forget_end()
        host.write_register(spec, link, "count", steps)
        host.write_register(spec, link, "command", Command.TRAIN)
        wanted = 1 << spec.outside.average
        while True:
            awaited, sample, words, errors = self._pass(link)
            if errors.any():
                self.chip.apply(errors)
                if isinstance(self.model, LearnerModel):
                    self.model.errors.append(errors)
            if not awaited:
                break
            costs = self.chip(words, sample, wanted)
            if isinstance(self.model, LearnerModel):
                self.model.measured.append((words, sample, costs))
            self.measurements += 1
            for cost in costs:
                link.write(registers["cost_word"].address, cost & 0xFFFFFFFF)
        if host.read_register(spec, link, "status") & Status.LATE:
            reason = f"the core waited for a cost in vain after step {self.done:,}, and has abandoned that step"
            raise Refusal(reason, "The cost did not reach it: see that nothing else uses the line.")

    def _pass(self, link: AnyLink) -> tuple[bool, int, np.ndarray, np.ndarray]:
        """Wait for a pass or the end of the run; return whether a cost is awaited, the index of the sample, the raw words, and the raw
        errors of node currents, none where all are 0."""
        spec, at = self.run.spec, {name: register.address for name, register in relay_map(self.run.spec).items()}
        rows = -(-spec.n_parameters // packed_words(spec))
        if isinstance(link, MemoryLink):  # a read of ``outside`` over a bus is answered at once
            link.await_pass()
        ((flags, *words),) = link.ask([((), (at["outside"], *(at["words"],) * min(rows, _FIRST_ROWS)))])
        found = np.array(words, dtype=np.int64)
        if rows > _FIRST_ROWS:
            more = link.read_run(lambda row: ((at["row"], _FIRST_ROWS + row),), at["words"], rows - _FIRST_ROWS)
            found = np.concatenate([found, more])
        errors = np.empty(0, dtype=np.int64)
        if spec.sends_errors and flags >> ERRORS_BIT & 1:
            raw = np.asarray(link.read_run(lambda row: ((at["row"], row),), at["errors"], spec.quantities), dtype=np.int64)
            errors = raw - (raw >> 31 << 32)
        return bool(flags & 1), flags >> FIRST_SAMPLE_BIT, unpacked(spec, found), errors

    def _update_scores(self, found: Mapping[str, int], before: Mapping[str, int]) -> None:
        cost = found["cost"] >> (64 if self.run.spec.two_sided else 0) & (1 << 64) - 1
        self.cost = math.ldexp(cost - (cost >> 63 << 64), -self.run.spec.cost_format.fraction_bits)

    def _compare_block(self, found: Mapping[str, int]) -> None:
        """See :class:`~mgd_hw.device.session.Session`; the words of every pass are compared as well."""
        model = self.model
        if not isinstance(model, LearnerModel):
            return
        before = model.compared, model.mismatches
        model.state()
        self.verified += model.compared - before[0]
        self.mismatches += model.mismatches - before[1]
        self.difference = self.difference or model.difference
        super()._compare_block(found)
