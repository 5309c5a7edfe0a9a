"""The picture to choose from: accuracy over size, the speed in grey."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from mgd_hw.sweep.choice import Found, size_of

__all__ = ["pareto"]

MOST_VECTORS = 2000
"""Points that are drawn as such; more become a raster in the picture."""
MOST_NAMES = 12
"""Points that are named."""


def pareto(found: Sequence[Found]) -> bytes:
    """Mean accuracy (its 95 % interval as a bar) over LUTs, or bits of memory; what no other design beats is joined by a line; as SVG."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: dict[Any, object] = {"svg.hashsalt": "mgd-hw-sweep", "svg.fonttype": "path", "font.size": 10}
    drawn = [each for each in found if size_of(each) is not None and each.figures.get("accuracy") is not None]
    by_lut = all(each.figures.get("lut") is not None for each in drawn)
    sizes = [float(each.figures["lut"] if by_lut else each.figures["memory_bits"]) for each in drawn]
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        _draw(figure, axes, drawn, sizes)
        predicted = any(each.figures.get("area_by") == "prediction" for each in drawn)
        what = "LUTs" + (" (predicted, serial line included)" if predicted else "") if by_lut else "bits of memory"
        axes.set(xlabel=what, ylabel="accuracy (%)")
        axes.grid(alpha=0.3)
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


def _draw(figure: Any, axes: Any, drawn: Sequence[Found], sizes: Sequence[float]) -> None:
    accuracy = [100 * each.figures["accuracy"] for each in drawn]
    bars = [100 * (each.figures.get("accuracy_interval") or 0.0) for each in drawn]
    many = len(drawn) > MOST_VECTORS
    axes.errorbar(sizes, accuracy, bars, fmt="none", ecolor="0.6", elinewidth=0.8, rasterized=many)
    speeds = [each.figures.get("steps_per_second") or 0.0 for each in drawn]
    points = axes.scatter(sizes, accuracy, c=speeds, cmap="viridis", s=36, zorder=3, rasterized=many)
    if len(set(speeds)) > 1:
        figure.colorbar(points, ax=axes, label="steps per second")
    joined = [point for point in zip(sizes, accuracy, drawn, strict=True) if point[2].unbeaten]
    front = sorted(joined, key=lambda point: point[:2])
    axes.plot([size for size, _, _ in front], [share for _, share, _ in front], "o-", color="0.2", markerfacecolor="none", markersize=9)
    for size, share, each in front[:MOST_NAMES]:
        name = "\n".join(str(value) for value in each.vary.values())
        axes.annotate(name, (size, share), textcoords="offset points", xytext=(7, -12), fontsize=7)
