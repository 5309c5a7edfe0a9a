"""A point of a figure: what the seeds of one setting came to."""

from __future__ import annotations

from dataclasses import dataclass

from mgd_hw.common.results import Result

__all__ = ["Point"]


@dataclass(frozen=True)
class Point(Result):
    """What the seeds of one setting came to.

    Attributes
    ----------
    series, quantity : str
        As in the figure.
    n, parameters, period : int
        Width of the network and its parameters; τ_θ.
    seeds, reached : int
        Runs that are there, and those of them that reached what they were to.
    values : tuple of float
        Of those that reached it, in ascending order.
    median, low, high : float or None
        Of these values; None if there are none.
    beyond : float or None
        A lower bound of the runs that did not reach it: what they had taken when they ended. None if there are none.
    expected : float or None
        By theory, median of the seeds; None where there is none.
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
        """Whether no run reached it, so that ``beyond`` is all there is."""
        return self.reached == 0
