"""Plots of our points and the published ones on the same axes, as wide as a column, distinguished by markers and lines besides colour."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mgd_hw.replication.published import parameters_of
from mgd_hw.replication.tasks import COSINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mgd_hw.replication.point import Point
    from mgd_hw.replication.published import Published

__all__ = ["COLUMN", "FORMATS", "draw", "saved"]

COLUMN = 3.4
"""Width of a column of the journal, in inches."""
POINTS = 7.5
"""Font size of a figure, in points."""
FORMATS = ("svg", "pdf")
"""File formats in which a figure is written."""
LOOKS = {
    "weight": ("weight", "#0072B2", "o", "-"),
    "node": ("node", "#D55E00", "s", "--"),
    "backprop": ("back-propagation", "#009E73", "^", ":"),
    "plain": ("plain", "#0072B2", "o", "-"),
    "adam": ("Adam", "#D55E00", "s", "--"),
}
"""Title, colour (Okabe & Ito), marker and line style of each series."""
BOUND: dict[str, Any] = {"marker": "_", "markersize": 7, "markeredgewidth": 1.4, "linestyle": "none"}
"""Marker of a lower bound, as keyword arguments of ``plot``."""
LABELS = {
    ("fig3", "iterations"): f"iterations to cosine {COSINE:g}",
    ("fig4", "iterations"): "iterations to 80 %",
    ("fig5", "iterations"): "iterations to 80 %",
    ("fig5", "writes"): "writes of each parameter to 80 %",
    ("fig6", "updates"): "updates to 80 % (ours: exact)",
    ("table2", "accuracy"): "best test accuracy (%)",
}
"""Label of the vertical axis, by figure and quantity."""


def draw(name: str, points: Sequence[Point], published: Sequence[Published]) -> Figure:
    """Draw a figure, with one panel per quantity.

    Filled markers are our medians, with a line over the range of the seeds and a dot for each run. Hollow markers are published points.
    An upward arrow marks a lower bound from runs that ended before the goal, with the number of runs that reached it if some did.

    Parameters
    ----------
    name : str
        Name of the figure, which selects the labels of the axes.
    points : sequence of Point
        Our points; their quantities determine the panels.
    published : sequence of Published
        Published points of the same figure.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    quantities = list(dict.fromkeys(each.quantity for each in points))
    settings: dict[Any, object] = {"font.size": POINTS, "svg.fonttype": "path", "pdf.fonttype": 42, "axes.linewidth": 0.6}
    with matplotlib.rc_context(settings):
        figure = Drawing(figsize=(COLUMN, 0.5 + 2.3 * len(quantities)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(quantities), 1, squeeze=False, sharex=True)[:, 0]
        for axes, quantity in zip(panels, quantities, strict=True):
            _panel(axes, name, points, published, quantity)
        panels[-1].set_xlabel("τ_θ (iterations; ours: batches)" if name == "fig5" else "parameters of the network")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=POINTS - 0.5, frameon=False, columnspacing=1.2)
        figure.canvas.draw()
    return figure


def _panel(axes: Axes, figure: str, points: Sequence[Point], published: Sequence[Published], quantity: str) -> None:
    """Draw our points and the published points of one quantity into the axes."""
    share = quantity == "accuracy"
    axes.set_xscale("log")
    if not share and quantity != "updates":
        axes.set_yscale("log")
    axes.set_ylabel(LABELS[figure, quantity])
    axes.grid(alpha=0.3, linewidth=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    series = list(dict.fromkeys([*(each.series for each in points), *(each.series for each in published)]))
    for shift, name in enumerate(series):
        ours = [each for each in points if (each.series, each.quantity) == (name, quantity)]
        _ours(axes, ours, name, figure == "fig5", 100.0 if share else 1.0, 1 + 0.12 * (shift - (len(series) - 1) / 2))
        label, colour, marker, line = LOOKS[name]
        theirs = [each for each in published if (each.series, each.quantity) == (name, quantity)]
        if theirs:
            axes.plot(
                [each.period if figure == "fig5" else each.parameters for each in theirs],
                [each.value * (100.0 if share else 1.0) for each in theirs],
                line, marker=marker, color=colour, markerfacecolor="white", markersize=4, linewidth=0.8, alpha=0.9,
                label=f"{label}, paper" + (f" (n = {theirs[0].n})" if len({each.n for each in theirs}) == 1 else ""),
                gid=f"paper-{name}",
            )  # fmt: skip
    if figure == "fig3":
        _theory(axes, points, published)
    if any(each.beyond is not None for each in points):
        axes.plot([], [], color="black", label="ours: more than", **BOUND)


def _ours(axes: Axes, points: list[Point], name: str, by_period: bool, scale: float, shift: float) -> None:
    """Draw our points of one series; ``shift`` is a factor on x that separates series with the same x."""
    label, colour, marker, _ = LOOKS[name]
    look: dict[str, Any] = {
        "marker": marker,
        "color": colour,
        "markeredgecolor": "black",
        "markeredgewidth": 0.5,
        "markersize": 5,
        "linestyle": "none",
    }
    for named in dict.fromkeys(f"{label}, ours" + (f" (n = {each.n})" if by_period else "") for each in points):
        axes.plot([], [], label=named, **look)
    for each in points:
        x = (each.period if by_period else each.parameters) * shift
        if each.median is not None and each.low is not None and each.high is not None:
            values = [value * scale for value in each.values]
            axes.plot([x, x], [each.low * scale, each.high * scale], "-", color="black", linewidth=0.9, zorder=3, gid="spread")
            axes.plot([x] * len(values), values, ".", color="black", markersize=2, zorder=5, gid="seeds")
            axes.plot(x, each.median * scale, zorder=4, gid="median", **look)
        if each.beyond is not None:
            _arrow(axes, x, each.beyond * scale, name)
            if each.reached:
                place: dict[str, Any] = {"textcoords": "offset points", "xytext": (4, 1), "fontsize": 7}
                axes.annotate(f"{each.reached}/{each.seeds}", (x, each.beyond * scale), **place)


def _arrow(axes: Axes, x: float, y: float, name: str) -> None:
    """Draw a lower bound: a flat bar with an upward arrow."""
    _, colour, _, _ = LOOKS[name]
    axes.plot(x, y, color=colour, zorder=4, gid="bound", **BOUND)
    arrow = {"arrowstyle": "<|-", "color": colour, "linewidth": 0.9}
    axes.annotate("", (x, y), xytext=(0, 14), textcoords="offset points", arrowprops=arrow)


def _theory(axes: Axes, points: Sequence[Point], published: Sequence[Published]) -> None:
    """Draw the perturbations that theory predicts.

    If all weights are perturbed at once, the cosine is √(K/(K + D − 1)), so K = (D − 1)·c²/(1 − c²). For layers that are perturbed
    separately, the prediction is that of our runs.
    """
    factor = COSINE**2 / (1 - COSINE**2)
    widths = [*(each.n for each in points), *(each.n for each in published)]
    sizes = [parameters_of(n) for n in sorted({min(widths), *range(min(widths), max(widths) + 1)})]
    axes.plot(sizes, [(size - 1) * factor for size in sizes], "-", color="0.6", linewidth=1.2, zorder=1, label="theory, weights at once")
    for series in dict.fromkeys(each.series for each in points):
        label, colour, _, _ = LOOKS[series]
        own = sorted((each.parameters, each.expected) for each in points if each.series == series and each.expected is not None)
        look: dict[str, Any] = {"color": colour, "linewidth": 1.0, "zorder": 1, "marker": "x", "markersize": 4}
        if own:
            axes.plot(*zip(*own, strict=True), "-.", label=f"{label}, theory", gid=f"theory-{series}", **look)


def saved(figure: Figure) -> dict[str, bytes]:
    """Return the bytes of a figure's SVG and PDF files, by format; equal figures give equal bytes."""
    import matplotlib

    found = {}
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "mgd-hw", "pdf.fonttype": 42}):
        for kind in FORMATS:
            content = io.BytesIO()
            figure.savefig(content, format=kind, metadata={"Date": None} if kind == "svg" else {"CreationDate": None})
            found[kind] = content.getvalue()
    return found
