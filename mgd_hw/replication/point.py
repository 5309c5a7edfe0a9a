"""Point of a figure: the results of all runs of one setting, one run per seed."""

from __future__ import annotations

from dataclasses import dataclass

from mgd_hw.common.results import Result

__all__ = ["Point"]


@dataclass(frozen=True)
class Point(Result):
    """Results of the runs of one setting, one run per seed.

    Attributes
    ----------
    series, quantity : str
        Training method of the runs, and the measured quantity.
    n, parameters, period : int
        Width of the network, number of its parameters, and update period τ_θ.
    seeds, reached : int
        Number of finished runs, and number of those that reached the goal.
    values : tuple of float
        Quantity of each run that reached the goal, in ascending order.
    median, low, high : float or None
        Median, least and greatest of these values; None if there are none.
    beyond : float or None
        Lower bound for the runs that did not reach the goal: the least that one of them had used at its end. None if all reached it.
    expected : float or None
        Median over the seeds of the value that theory predicts; None where theory predicts none.
    """

    series: str
    quantity: str
    n: int
    parameters: int
    period: int
    seeds: int
    reached: int
    values: tuple[float, ...]
    median: float | None
    low: float | None
    high: float | None
    beyond: float | None
    expected: float | None = None

    ALSO = ("lower_bound",)

    @property
    def lower_bound(self) -> bool:
        """Whether no run reached the goal, so that only the bound ``beyond`` is known."""
        return self.reached == 0
