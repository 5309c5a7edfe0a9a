"""Style of the matplotlib figures: drawn without a display or global state, legible in greyscale and at column width."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BLUE", "COLUMN", "GREEN", "GREY", "ORANGE", "bars", "empty_figure", "legend", "plain_axes", "saved", "style"]

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"  # from Okabe and Ito, safe for colour blindness
COLUMN = 4.4
"""Width of a figure that fills one column, in inches, so that 9-point labels appear in their nominal size."""


@contextmanager
def style(size: float = 9) -> Iterator[None]:
    """Apply the project's matplotlib settings until the block ends; ``size`` is the font size in points."""
    import matplotlib

    settings: dict[Any, object] = {"font.size": size, "svg.fonttype": "path", "axes.titlesize": size + 1, "hatch.linewidth": 0.6}
    with matplotlib.rc_context(settings):
        yield


def empty_figure(width: float, height: float) -> Figure:
    """Return an empty figure of the given size in inches, which is not registered with pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain_axes(figure: Figure, **settings: object) -> Axes:
    """Add the only axes of a figure, without the top and right spines; ``settings`` are passed to ``Axes.set``."""
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(**settings)
    return axes


def legend(figure: Figure, axes: Axes, columns: int = 2, size: float = 8) -> None:
    """Add a legend of the labelled artists below the axes; ``size`` is the font size in points."""
    found = axes.get_legend_handles_labels()
    figure.legend(*found, loc="outside lower center", ncols=columns, fontsize=size, frameon=False)


def bars(rows: Mapping[str, float], title: str, unit: str, colours: Sequence[str] | str = BLUE) -> Figure:
    """Return a figure with one horizontal bar per row, the first at the top; ``unit`` labels the x axis."""
    with style():
        figure = empty_figure(COLUMN, 1.1 + 0.3 * max(1, len(rows)))
        axes = plain_axes(figure, title=title, xlabel=unit)
        axes.barh(list(rows), list(rows.values()), color=colours)
        axes.invert_yaxis()
    return figure


def saved(figure: Figure, form: str, salt: str, dpi: int = 150) -> bytes:
    """Return a figure encoded as "png" or "svg"; the same figure and ``salt`` give the same bytes."""
    import matplotlib

    with style(), matplotlib.rc_context({"svg.hashsalt": salt}):
        content = io.BytesIO()
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        figure.savefig(content, format=form, dpi=dpi, metadata=metadata)
    return content.getvalue()
