"""The schedule of a design: the three periods, the difference, and the learning rate over time."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from math import lcm

from python_ref.spec.error import DesignError, check_member, unknown

__all__ = ["MAX_PERIOD", "Difference", "Schedule"]

MAX_PERIOD = (1 << 24) - 1
"""Maximum length of a period, in steps."""


class Difference(enum.Enum):
    """Method by which the change of the cost is measured."""

    ONE_SIDED = "one-sided"
    """C̃ = C₊ − C₀; the baseline C₀ takes a pass of its own in the steps in which it is due."""
    TWO_SIDED = "two-sided"
    """C̃ = C₊ − C₋, two passes in every step; this cancels every error of even order."""


@dataclass(frozen=True)
class Schedule:
    """Periods, difference and learning rate.

    Parameters
    ----------
    perturbation_period, sample_period, update_period : int
        τ_p, τ_x and τ_θ in steps, each 1 to 2^24 − 1.
    difference : Difference
        Whether the cost change C̃ is one-sided, C₊ − C₀, or two-sided, C₊ − C₋.
    learning_rate : tuple of (int, int)
        Pairs (step, log₂ η): from that step on, η is the rate of the unbiased estimator s·C̃/Δ. The steps start at 0 and rise.

    Raises
    ------
    TypeError
        If ``difference`` is not a :class:`Difference`.
    DesignError
        If a number is out of bounds, or the steps of the learning rate do not start at 0 and rise.
    """

    learning_rate: tuple[tuple[int, int], ...]
    perturbation_period: int = 1
    sample_period: int = 1
    update_period: int = 1
    difference: Difference = Difference.ONE_SIDED

    def __post_init__(self) -> None:
        check_member("Difference", self.difference, Difference)
        for name in ("perturbation_period", "sample_period", "update_period"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_PERIOD:
                raise DesignError(f"schedule.{name}", value, f"it must be a whole number of steps from 1 to {MAX_PERIOD}", "Take 1, say.")
        steps = [step for step, _ in self.learning_rate]
        shown = [list(pair) for pair in self.learning_rate]
        if not steps or steps[0] != 0 or steps != sorted(set(steps)):
            raise DesignError(
                "schedule.learning_rate",
                shown,
                "the steps must start at 0 and rise",
                "Write [[0, -8], [100000, -10]], or one whole number.",
            )
        for _, rate in self.learning_rate:
            if not -48 <= rate <= 16:
                raise DesignError("schedule.learning_rate", shown, "log2 of the learning rate must lie between -48 and 16", "Take -8, say.")

    def passes(self, steps: int) -> tuple[int, int]:
        """Return how many of the first ``steps`` steps of a run take one pass, and how many take two.

        Every two-sided step takes two passes; a one-sided step takes two where the baseline is due: with a new sample and after an update.
        """
        match self.difference:
            case Difference.TWO_SIDED:
                return 0, steps
            case Difference.ONE_SIDED:
                pass
            case _:
                raise unknown("Difference", self.difference, "python_ref.spec.schedule.Schedule.passes")
        two = self.presentations(steps)
        return steps - two, two

    def begins(self, step: int) -> bool:
        """Return whether a presentation begins at a step by the schedule: with a new sample, or after an update.

        One that is open at the step before ends there.
        """
        return step % self.sample_period == 0 or step % self.update_period == 0

    def presentations(self, steps: int) -> int:
        """Return how many presentations begin in the first ``steps`` steps of a run."""
        sample, update = self.sample_period, self.update_period
        return -(-steps // sample) - (-steps // update) - -(-steps // lcm(sample, update))

    def presentations_ended(self, steps: int) -> int:
        """Return how many presentations end in the first ``steps`` steps of a run; one may be open after them."""
        return self.presentations(steps + 1) - 1

    def rate_at(self, step: int) -> int:
        """Return log₂ η at a step."""
        return next(rate for start, rate in reversed(self.learning_rate) if start <= step)
