"""Picture of a comparison of efficiency: accuracy over clock cycles, and over the wear of one cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mgd_hw.common import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mgd_hw.efficiency.results import VariantResult

__all__ = ["draw"]

COLOURS = {"weight": figures.BLUE, "node": figures.ORANGE, "as": figures.ORANGE, "backprop": figures.GREEN}
"""Colour of the variants, by the first word of their names."""
DASHES = ("-", "--", ":", "-.")
"""Line styles of the variants of one colour, in their order."""

PANELS = (("cycles", "clock cycles of the lanes"), ("most_changed", "changes of the parameter that changes most"))
"""Columns of the curves that the panels are drawn over, and their titles."""


def draw(variants: Sequence[VariantResult], until: float | None, classes: bool, judged_by: str) -> Figure:
    """Draw the mean accuracy of each variant, or the cost of a regression, with one panel per column of :data:`PANELS`.

    Parameters
    ----------
    variants : sequence of VariantResult
        Results to draw, of which each family has its colour.
    until : float or None
        Accuracy that a dotted line marks; None draws none.
    classes : bool
        Whether the task is a classification, so that there is an accuracy.
    judged_by : str
        What the samples that the accuracy is of are: "test" or "validation".
    """
    with figures.style(10):
        figure = figures.empty_figure(4.8 * len(PANELS), 4.6)
        panels = figure.subplots(1, len(PANELS), squeeze=False)[0]
        for axes, (column, title) in zip(panels, PANELS, strict=True):
            drawn = dict[str, int]()
            for each in variants:
                family = each.name.partition("-")[0]
                dashes = DASHES[drawn.get(family, 0) % len(DASHES)]
                drawn[family] = drawn.get(family, 0) + 1
                curve = _mean(each, column, "accuracy" if classes else "cost")
                if curve is not None:
                    axes.plot(*curve, dashes, color=COLOURS[family], label=each.title, linewidth=1.6)
            if until is not None:
                level = 100 * until
                axes.axhline(level, color=figures.GREY, linewidth=1.0, linestyle=(0, (1, 3)), label=f"{level:g} %")
            axes.set(xlabel=title, ylabel=f"{judged_by} accuracy (%)" if classes else "C / outputs")
            if axes.lines:
                axes.set_xscale("log")
            axes.grid(color="#dddddd", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        figures.legend(figure, panels[0], columns=3, size=9)
    return figure


def _mean(variant: VariantResult, column: str, quantity: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the mean of a column over the runs and that of the quantity at each record; None where the column is not known."""
    curves = [run.curve for run in variant.runs]
    x = np.array([curve[column] for curve in curves], dtype=np.float64)
    if not x.size or np.isnan(x).all():
        return None
    y = np.array([curve[quantity] for curve in curves], dtype=np.float64)
    return x.mean(axis=0), y.mean(axis=0) * (100 if quantity == "accuracy" else 1)
