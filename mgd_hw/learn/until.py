"""What each model takes to an accuracy, read from the recorded curves of its runs: steps, evaluations, cycles and seconds on a board."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from mgd_hw.common import style
from mgd_hw.common.results import Result
from mgd_hw.data.kinds import Kind
from mgd_hw.learn.costs import BACKPROP_PASSES, counted, cycles_of_backprop, cycles_of_mgd, seconds_on
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import Refusal

if TYPE_CHECKING:
    from rich.console import RenderResult

    from boards.board import Board
    from mgd_hw.design.description import Design

__all__ = ["FirstReached", "Until", "check_kind", "check_until", "curve_cycles", "until_of", "until_shown"]

Curve = Mapping[str, np.ndarray]
"""The learning curve of a run: ``steps``, ``evaluations`` and ``accuracy`` at each record."""


@dataclass(frozen=True)
class FirstReached(Result):
    """The first record of one run with the accuracy; its figures count from the beginning of the run.

    Attributes
    ----------
    seed : int
        Seed from which the parameters, signs and samples of the run follow.
    reached : bool
        Whether any record of the run has the accuracy; all figures are None or NaN where none has.
    steps : int or None
        Steps of MGD; of back-propagation, updates.
    evaluations : int or None
        Samples propagated forward; by back-propagation, each of them back as well.
    cycles : int or None
        Clock cycles, see :class:`Until`; None for a design that no hardware does.
    seconds : float
        Seconds on the board, of the core or of its line, whichever is slower; NaN without a board or without cycles.
    """

    seed: int
    reached: bool
    steps: int | None = None
    evaluations: int | None = None
    cycles: int | None = None
    seconds: float = math.nan


@dataclass(frozen=True)
class Until(Result):
    """What the runs of one model took to an accuracy. The means are of the runs that reached it, and NaN if there are none.

    Attributes
    ----------
    accuracy : float
        The accuracy that was asked for, as a share from 0 to 1.
    interval : int
        Most steps between two records of a run, in the unit of ``steps``: the figures are late by at most this.
    runs : tuple of FirstReached
        The first record with the accuracy, one per seed.
    cycles_note : str
        What the cycles are of, as a sentence; "" for a design that no hardware does.
    board : str
        Name of the board that the seconds are of; "" without a board.
    """

    accuracy: float
    interval: int
    runs: tuple[FirstReached, ...]
    cycles_note: str = ""
    board: str = ""

    ALSO = ("reached", "steps_mean", "evaluations_mean", "cycles_mean", "seconds_mean")

    def _mean(self, name: str) -> float:
        """Mean of a figure over the runs that reached the accuracy; NaN where it is missing, or where no run did."""
        values = [getattr(run, name) for run in self.runs if run.reached]
        return float(np.mean(values)) if values and None not in values else math.nan

    @property
    def reached(self) -> int:
        """Number of runs that reached the accuracy."""
        return sum(run.reached for run in self.runs)

    @property
    def steps_mean(self) -> float:
        """Mean steps of MGD to the accuracy; of back-propagation, updates."""
        return self._mean("steps")

    @property
    def evaluations_mean(self) -> float:
        """Mean number of samples propagated forward before the accuracy is reached."""
        return self._mean("evaluations")

    @property
    def cycles_mean(self) -> float:
        """Mean clock cycles to the accuracy."""
        return self._mean("cycles")

    @property
    def seconds_mean(self) -> float:
        """Mean seconds to the accuracy on the board."""
        return self._mean("seconds")


# -- What is asked for ------------------------------------------------------------------------------------------------


def check_until(design: Design, until: float | None) -> None:
    """Refuse what is no accuracy, and any accuracy of a design whose curves record none.

    Parameters
    ----------
    design : Design
        Design that is to be trained.
    until : float or None
        Accuracy that is asked for; None asks for nothing, and is never refused.

    Raises
    ------
    Refusal
        If it is not a number above 0 and at most 1, or if the forward pass of the design is in another process.
    """
    if until is None:
        return
    if not isinstance(until, Real) or isinstance(until, bool) or not 0 < until <= 1:
        raise Refusal("an accuracy is a share above 0 and at most 1", "Write 0.95 for 95 %.", key="--until", value=until)
    if not counted(design):
        reason = "the cycles of a network with state are not counted yet"
        raise Refusal(reason, _WITHOUT, key="--until", value=until, file=design.path)
    if design.float_only.external is not None:
        reason = "the forward pass is in another process, which tells its cost and no accuracy"
        raise Refusal(reason, _WITHOUT, key="--until", value=until, file=design.path)


def check_kind(design: Design, kind: Kind, until: float | None) -> None:
    """Refuse an accuracy of a task without classes: the curves of a regression record its cost, and neither RMSE nor R².

    Raises
    ------
    Refusal
        If there are no classes, and an accuracy is asked for.
    """
    if until is not None and not kind.classes:
        reason = f"the task is a {kind.name}, whose learning curves record the cost and no accuracy"
        raise Refusal(reason, _WITHOUT, key="--until", value=until, file=design.path)


_WITHOUT = "Leave --until out; the curves of the cost are in compare.json."


# -- What the curves say ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Clocked:
    """How the steps and evaluations of a model become samples and cycles.

    Attributes
    ----------
    samples, cycles : callable
        From the spec, the steps and the evaluations: samples that come over the line, and clock cycles.
    note : callable
        From the spec: what the cycles are of, as a sentence.
    """

    samples: Callable[[DesignSpec, int, int], int]
    cycles: Callable[[DesignSpec, int, int], int]
    note: Callable[[DesignSpec], str]


def _mgd(note: str) -> _Clocked:
    """MGD, whose cycles follow from its steps by the cycle contract of the core."""
    return _Clocked(
        lambda spec, steps, evaluations: -(-steps // spec.schedule.sample_period),
        lambda spec, steps, evaluations: cycles_of_mgd(spec, steps),
        lambda spec: note,
    )


def _backprop_note(spec: DesignSpec) -> str:
    lanes = f"{spec.hardware.lanes} {'lane' if spec.hardware.lanes == 1 else 'lanes'}"
    return (
        f"Cycles of back-propagation are hypothetical, since no such core exists: {BACKPROP_PASSES} passes (forward, backward, update) "
        f"of {spec.layout.slots:,} slots for each sample on the same {lanes}, without any wait."
    )


_CLOCKED = {
    "float": _mgd("Cycles of float MGD are those that the core takes for as many steps."),
    "fixed": _mgd("Cycles of fixed MGD are those of the core, by its cycle contract."),
    "backprop": _Clocked(
        lambda spec, steps, evaluations: evaluations,
        lambda spec, steps, evaluations: cycles_of_backprop(spec, evaluations),
        _backprop_note,
    ),
}


def curve_cycles(design: Design, name: str, curve: Curve) -> np.ndarray | None:
    """Return the clock cycles at each record of a learning curve (int64), or None for a design that no hardware does.

    Parameters
    ----------
    design : Design
        Design that was trained.
    name : str
        Model that was trained: "float", "fixed" or "backprop"; its cycles are defined in :class:`Until`.
    curve : mapping of str to array
        Learning curve of a run.
    """
    if design.float_only.requests:
        return None
    records = zip(curve["steps"], curve["evaluations"], strict=True)
    cycles = [_CLOCKED[name].cycles(design.spec, int(steps), int(evaluations)) for steps, evaluations in records]
    return np.array(cycles, dtype=np.int64)


def until_of(design: Design, name: str, curves: Mapping[int, Curve], accuracy: float, board: Board | None = None) -> Until:
    """What the runs of a model took to an accuracy.

    Parameters
    ----------
    design : Design
        Design that was trained.
    name : str
        Name of the model: "float", "fixed" or "backprop".
    curves : dict of int to dict of str to array
        The recorded curves of the runs, by their seeds.
    accuracy : float
        The accuracy that is asked for, as a share from 0 to 1.
    board : Board or None
        The board that the seconds are of; None gives no seconds.
    """
    spec, core = design.spec, not design.float_only.requests
    clocked = _CLOCKED[name]
    runs = []
    for seed, curve in curves.items():
        records = np.flatnonzero(curve["accuracy"] >= accuracy)
        if not len(records):
            runs.append(FirstReached(seed, False))
            continue
        steps, evaluations = (int(curve[column][records[0]]) for column in ("steps", "evaluations"))
        if not core:
            runs.append(FirstReached(seed, True, steps, evaluations))
            continue
        cycles = clocked.cycles(spec, steps, evaluations)
        seconds = seconds_on(spec, clocked.samples(spec, steps, evaluations), cycles, board)
        runs.append(FirstReached(seed, True, steps, evaluations, cycles, seconds))
    interval = max((int(np.diff(curve["steps"], prepend=0).max()) for curve in curves.values()), default=0)
    return Until(accuracy, interval, tuple(runs), clocked.note(spec) if core else "", board.name if board and core else "")


# -- The terminal -----------------------------------------------------------------------------------------------------


def until_shown(rows: Sequence[tuple[str, Until | None]], judged_by: str) -> RenderResult:
    """A line for each model with what its runs took to the accuracy, and below what the figures are worth.

    Parameters
    ----------
    rows : sequence of (str, Until or None)
        Title of each model, and what its runs took; those with None are left out.
    judged_by : str
        What the samples that the accuracy is of are: "test" or "validation".
    """
    found = [(title, until) for title, until in rows if until is not None]
    if not found:
        return
    boards = sorted({until.board for _, until in found if until.board})
    heads = ("reached by", "steps", "evaluations", "cycles", *(f"on {board}" for board in boards))
    table = style.table(f"to {100 * found[0][1].accuracy:g} %", *heads)
    for title, until in found:
        if not until.reached:
            table.add_row(title, "not reached", *("–" for _ in heads[1:]))
            continue
        table.add_row(
            title,
            f"{until.reached} of {len(until.runs)}",
            *(_whole(value) for value in (until.steps_mean, until.evaluations_mean, until.cycles_mean)),
            *(style.scaled(until.seconds_mean, "s") for _ in boards),
        )
    yield table
    late = ", ".join(f"{title} {until.interval:,}" for title, until in found)
    yield style.wrapped(
        f"Means of the runs that reached it, at the first record of their curves with that accuracy on the {judged_by} samples: "
        f"at most one recording interval late (steps, or updates of back-propagation: {late})."
    )
    notes = " ".join(until.cycles_note for _, until in found if until.cycles_note and until.reached)
    if notes:
        yield style.wrapped(notes)


def _whole(value: float) -> str:
    """A mean count, rounded to a whole number; a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:,.0f}"
