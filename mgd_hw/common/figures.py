"""The look of pictures, drawn without a display and without global state; legible in grey, and at the width of a column."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BLUE", "COLUMN", "GREEN", "GREY", "ORANGE", "bars", "empty_figure", "legend", "plain_axes", "saved", "style"]

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"  # Okabe & Ito's, told apart by the colour-blind
COLUMN = 4.4
"""Inches: the width of a column, at which a label of 9 points is read as it is."""


@contextmanager
def style(size: float = 9) -> Iterator[None]:
    """The settings of matplotlib within which a figure is drawn; ``size`` in points."""
    import matplotlib

    settings: dict[Any, object] = {"font.size": size, "svg.fonttype": "path", "axes.titlesize": size + 1, "hatch.linewidth": 0.6}
    with matplotlib.rc_context(settings):
        yield


def empty_figure(width: float, height: float) -> Figure:
    """An empty figure, its size in inches, that no global state knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain_axes(figure: Figure, **settings: object) -> Axes:
    """The only axes of a figure, without a frame at the top and on the right."""
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(**settings)
    return axes


def legend(figure: Figure, axes: Axes, columns: int = 2, size: float = 8) -> None:
    """A legend of what the axes show, below them."""
    found = axes.get_legend_handles_labels()
    figure.legend(*found, loc="outside lower center", ncols=columns, fontsize=size, frameon=False)


def bars(rows: Mapping[str, float], title: str, unit: str, colours: Sequence[str] | str = BLUE) -> Figure:
    """A figure with one horizontal bar for each name."""
    with style():
        figure = empty_figure(COLUMN, 1.1 + 0.3 * max(1, len(rows)))
        axes = plain_axes(figure, title=title, xlabel=unit)
        axes.barh(list(rows), list(rows.values()), color=colours)
        axes.invert_yaxis()
    return figure


def saved(figure: Figure, form: str, salt: str, dpi: int = 150) -> bytes:
    """A figure as "png" or "svg", the same bytes for the same figure and ``salt``."""
    import matplotlib

    with style(), matplotlib.rc_context({"svg.hashsalt": salt}):
        content = io.BytesIO()
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        figure.savefig(content, format=form, dpi=dpi, metadata=metadata)
    return content.getvalue()
