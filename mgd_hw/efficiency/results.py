"""Parts of the result of a comparison of efficiency: a run, all runs of a variant, and a board."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mgd_hw.common.results import Result
from mgd_hw.efficiency.counts import Counts, Wear
from mgd_hw.learn.runs import interval

__all__ = ["BoardColumn", "EfficiencyRun", "VariantResult"]


@dataclass(frozen=True)
class EfficiencyRun(Result):
    """One run of a variant.

    Attributes
    ----------
    seed : int
        Seed from which parameters, signs and samples follow.
    score : float
        First measure of the kind of task at the end, such as the accuracy.
    reached : bool
        Whether a record of the run has the accuracy that is compared; False where none is compared.
    counts : Counts
        What it cost up to the first record with that accuracy, or up to its end if it was not reached.
    late : float
        Share of the counts by which the accuracy may have been reached earlier, since no record lies between.
    failure : str
        Reason why the run failed, as a clause; "" if it did not.
    curve : dict of str to list of float or None
        ``steps``, ``cycles``, ``accuracy``, ``cost`` and ``most_changed`` at each record; None where there is none.
    """

    seed: int
    score: float
    reached: bool
    counts: Counts
    late: float
    failure: str
    curve: dict[str, list[float | None]]


@dataclass(frozen=True)
class VariantResult(Result):
    """What one way to learn took.

    Attributes
    ----------
    name, title : str
        Name, such as "node-sequential" or "backprop-plain", and title.
    model : str
        "fixed", the bits of the hardware; "float", MGD of a design without hardware; "backprop-adam" or "backprop-plain".
    written : bool
        Whether its schedule and amplitude are those of the design file; otherwise they are derived.
    settings : dict
        Amplitude, periods, learning rate and difference; of back-propagation, its rate, batch and optimiser.
    budget_steps : int
        Steps of each run; of back-propagation, updates.
    budget_cycles : int or None
        Clock cycles that these take; None for a design that no hardware does.
    runs : tuple of EfficiencyRun
        Finished runs, by their seeds.
    counts : Counts or None
        Means over the runs that reached the accuracy, or over all if none did; None without runs.
    wear : tuple of Wear
        Trainings that the parameters' memory survives, by the same runs.
    fits : dict of str to str
        Whether the core fits each board, as predicted: "yes", "perhaps" or "no"; empty where there is no core.
    refused : str
        Reason why it was not trained, as a sentence; "" if it was.
    """

    name: str
    title: str
    model: str
    written: bool
    settings: dict[str, Any]
    budget_steps: int
    budget_cycles: int | None
    runs: tuple[EfficiencyRun, ...]
    counts: Counts | None
    wear: tuple[Wear, ...]
    fits: dict[str, str]
    refused: str = ""

    ALSO = ("reached", "score_mean", "score_interval", "late", "diverged")

    @property
    def reached(self) -> int:
        """Number of runs that reached the accuracy."""
        return sum(run.reached for run in self.runs)

    @property
    def score_mean(self) -> float:
        """Mean over the seeds of the first measure at the end."""
        return float(np.mean([run.score for run in self.runs])) if self.runs else math.nan

    @property
    def score_interval(self) -> float:
        """Half the width of the 95 % confidence interval of this mean; NaN for one seed."""
        return interval(np.array([run.score for run in self.runs]))

    @property
    def late(self) -> float:
        """Largest share of the counts by which a run may have reached the accuracy earlier; 0 where none did."""
        return max((run.late for run in self.runs if run.reached), default=0.0)

    @property
    def diverged(self) -> bool:
        """Whether any run failed."""
        return any(run.failure for run in self.runs)


@dataclass(frozen=True)
class BoardColumn(Result):
    """A board for which times are given.

    Attributes
    ----------
    name, part : str
        Name of the board, and its FPGA.
    clock_mhz : float
        Clock that builds for the board aim at, in MHz; it is not measured on these cores.
    baud : int
        Rate of its serial line, in bits per second.
    """

    name: str
    part: str
    clock_mhz: float
    baud: int
