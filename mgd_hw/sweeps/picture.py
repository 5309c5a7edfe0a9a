"""Plot of the designs of a sweep: accuracy or error against size, with the speed as a colour that is legible in greyscale too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mgd_hw.sweeps.choice import Found, measures_of, size_of, unbeaten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mgd_hw.data.kinds import Measure

__all__ = ["pareto"]

MOST_VECTORS = 2000
"""Maximum number of points that are drawn as vector graphics; with more, the points are rasterised."""
MOST_NAMES = 12
"""Maximum number of points of the front that are labelled."""


def pareto(found: Sequence[Found]) -> Figure:
    """Plot the mean of the first measure against LUTs, or bits of memory, with its range over the seeds and the speed as a colour.

    A ring marks each design that is Pareto-optimal in measure, size and speed. A step line connects those that are Pareto-optimal in
    measure and size alone; the first ``MOST_NAMES`` of them are labelled. Designs with a diverged run are left out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    measure = measures_of(found)[0]
    sized = [each for each in found if size_of(each) is not None and not each.figures.get("diverged")]
    drawn = [each for each in sized if each.figures.get(measure.name) is not None]
    by_lut = all(each.figures.get("lut") is not None for each in drawn)
    sizes = [float(each.figures["lut"] if by_lut else each.figures["memory_bits"]) for each in drawn]
    figure = Drawing(figsize=(5.6, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    _draw(figure, axes, drawn, sizes, measure)
    predicted = any(each.figures.get("area_by") == "prediction" for each in drawn)
    what = "LUTs" + (" (predicted, serial line included)" if predicted else "") if by_lut else "bits of memory"
    axes.set(xlabel=what, ylabel=f"{measure.title} (%)" if measure.share else measure.title)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.3)
    return figure


def _draw(figure: Figure, axes: Axes, drawn: Sequence[Found], sizes: Sequence[float], measure: Measure) -> None:
    scale = 100 if measure.share else 1
    values, least, most = ([scale * each.figures[measure.name + end] for each in drawn] for end in ("", "_min", "_max"))
    below = [value - low for value, low in zip(values, least, strict=True)]
    above = [high - value for value, high in zip(values, most, strict=True)]
    many = len(drawn) > MOST_VECTORS
    axes.errorbar(sizes, values, [below, above], fmt="none", ecolor="0.7", elinewidth=0.9, rasterized=many)
    speeds = [each.figures.get("steps_per_second") or 0.0 for each in drawn]
    points = axes.scatter(sizes, values, c=speeds, cmap="viridis", s=30, zorder=3, rasterized=many)
    if len(set(speeds)) > 1:
        figure.colorbar(points, ax=axes, label="steps per second", format="{x:,.0f}")
    ringed = [index for index, each in enumerate(drawn) if each.unbeaten]
    axes.scatter([sizes[n] for n in ringed], [values[n] for n in ringed], s=90, facecolors="none", edgecolors="0.2", zorder=4)
    sign = 1.0 if measure.larger_is_better else -1.0
    flat = unbeaten([(sign * value, -size, 0.0) for value, size in zip(values, sizes, strict=True)])
    front = sorted((index for index, alone in enumerate(flat) if alone), key=sizes.__getitem__)
    axes.step([sizes[n] for n in front], [values[n] for n in front], "--", where="post", color="0.4", linewidth=1)
    for index in front[:MOST_NAMES]:
        name = ", ".join(str(value) for value in drawn[index].vary.values())
        axes.annotate(name, (sizes[index], values[index]), textcoords="offset points", xytext=(6, 7), fontsize=7)
