"""Pictures, drawn without a display and without global state."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from boards.build import Placed
    from mgd_hw.comparison import Comparison, Model

__all__ = ["learning", "placement"]

_STYLES = {  # Okabe & Ito's colours, told apart by the colour-blind; dashes for print
    "float": ("float MGD", "#0072B2", "-"),
    "fixed": ("fixed MGD (the hardware's bits)", "#D55E00", "--"),
    "backprop": ("back-propagation", "#009E73", ":"),
}


def _draw(axes, model: Model, quantity: str, label: str, colour: str, dashes: str, scale: float) -> None:
    """Mean over seeds, and the range of the seeds as a band."""
    length = min(len(run.curve[quantity]) for run in model.runs)
    x = model.runs[0].curve["evaluations"][:length]
    values = scale * np.array([run.curve[quantity][:length] for run in model.runs])
    axes.plot(x, values.mean(axis=0), dashes, color=colour, label=label, linewidth=1.8)
    if len(values) > 1:
        axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.18, linewidth=0)


def learning(result: Comparison, form: str) -> bytes:
    """Accuracy and cost over sample evaluations, for every model, as "png" or "svg"."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: dict[Any, object] = {"svg.hashsalt": f"{result.design}-{result.digest}", "svg.fonttype": "path", "font.size": 10}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(9.6, 4.1), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        for name, style in _STYLES.items():
            model = getattr(result, name)
            if model.runs:
                _draw(left, model, "accuracy", *style, scale=100.0)
                _draw(right, model, "cost", *style, scale=1.0)
        left.set(xlabel="samples evaluated (forward passes)", ylabel=f"{result.judged_by} accuracy (%)", title="Accuracy")
        right.set(xlabel="samples evaluated (forward passes)", ylabel="C / outputs", title=f"Cost on the {result.judged_by} samples")
        costs = [run.curve["cost"] for name in _STYLES for run in getattr(result, name).runs]
        if costs and all((values > 0).all() for values in costs) and max(map(np.max, costs)) < math.inf:
            right.set_yscale("log")
        for axes in (left, right):
            axes.grid(color="#dddddd", linewidth=0.6)
            axes.set_xscale("log")
            axes.spines[["top", "right"]].set_visible(False)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9, frameon=False)
        content = io.BytesIO()
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        figure.savefig(content, format=form, dpi=150, metadata=metadata)
    return content.getvalue()


def placement(cells: Sequence[Placed], title: str) -> bytes:
    """The cells of a placed design, each in the colour of its component, as "svg"."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sizes = Counter(cell.component for cell in cells)
    settings: dict[Any, object] = {"svg.hashsalt": title, "svg.fonttype": "path", "font.size": 9}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(9.6, 7.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        colours = matplotlib.colormaps["tab20"].colors  # type: ignore[attr-defined]
        for number, (name, size) in enumerate(sizes.most_common()):
            x, y, z = np.array([(cell.x, cell.y, cell.z) for cell in cells if cell.component == name]).T
            label = f"{name.replace('_', ' ')}, {size:,}"
            axes.scatter(x + z % 4 / 5, y + z // 4 % 4 / 5, s=3, color=colours[number % 20], label=label, linewidths=0, rasterized=True)
        axes.set(title=title, xlabel="column", ylabel="row", aspect="equal")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right upper", frameon=False, markerscale=3)
        content = io.BytesIO()
        figure.savefig(content, format="svg", dpi=200, metadata={"Date": None})
    return content.getvalue()
