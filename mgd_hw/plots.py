"""Pictures, drawn without a display and without global state; legible in grey, and at the width of a column."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mgd_hw.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from boards.flow.build import Placed
    from mgd_hw.building import Build
    from mgd_hw.comparison import Comparison, Model
    from mgd_hw.diagnosis import Diagnosis
    from mgd_hw.fitting import Fitted
    from mgd_hw.flow import Cosimulated, Demonstrated, Generated, Synthesised
    from mgd_hw.observation import Observed, Values
    from mgd_hw.paper.run import PaperFigure
    from mgd_hw.results import Result
    from mgd_hw.sweep.run import Swept
    from mgd_hw.timeline import Timeline
    from mgd_hw.training import Trained

__all__ = [
    "directions",
    "energies",
    "figure_of",
    "histogram",
    "learning",
    "panel",
    "placement",
    "quantities",
    "resources",
    "saved",
    "timeline",
]

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"  # Okabe & Ito's, told apart by the colour-blind
_STYLES = {  # dashes for print
    "float": ("float MGD", BLUE, "-"),
    "fixed": ("fixed MGD (the hardware's bits)", ORANGE, "--"),
    "backprop": ("back-propagation", GREEN, ":"),
}
COLUMN = 4.4
"""Inches: the width of a column, at which a label of 9 points is read as it is."""


@contextmanager
def _style(size: float = 9) -> Iterator[None]:
    import matplotlib

    settings: dict[Any, object] = {"font.size": size, "svg.fonttype": "path", "axes.titlesize": size + 1, "hatch.linewidth": 0.6}
    with matplotlib.rc_context(settings):
        yield


def _figure(width: float, height: float) -> Figure:
    """An empty figure that no global state knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain_axes(figure: Figure, **settings: object) -> Axes:
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(**settings)
    return axes


def saved(figure: Figure, form: str, salt: str, dpi: int = 150) -> bytes:
    """A figure as "png" or "svg", the same bytes for the same figure and ``salt``."""
    import matplotlib

    with _style(), matplotlib.rc_context({"svg.hashsalt": salt}):
        content = io.BytesIO()
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        figure.savefig(content, format=form, dpi=dpi, metadata=metadata)
    return content.getvalue()


# -- Learning ---------------------------------------------------------------------------------------------------------


def _draw(axes: Axes, model: Model, quantity: str, label: str, colour: str, dashes: str, scale: float) -> None:
    """Mean over seeds, and the range of the seeds as a band."""
    length = min(len(run.curve[quantity]) for run in model.runs)
    x = model.runs[0].curve["evaluations"][:length]
    values = scale * np.array([run.curve[quantity][:length] for run in model.runs])
    axes.plot(x, values.mean(axis=0), dashes, color=colour, label=label, linewidth=1.8)
    if len(values) > 1:
        axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.18, linewidth=0)


def _learning_axes(axes: Axes, result: Comparison, quantity: str) -> None:
    for name, style in _STYLES.items():
        model = getattr(result, name)
        if model.runs and not np.isnan(model.runs[0].curve[quantity]).all():  # a forward pass outside tells no accuracy
            _draw(axes, model, quantity, *style, scale=100.0 if quantity == "accuracy" else 1.0)
    if quantity == "accuracy":
        level = 100.0 * result.kind.baseline["accuracy"]
        axes.axhline(level, color=GREY, linewidth=1.0, linestyle=(0, (1, 3)), label=result.kind.baseline_title)
    axes.set(xlabel="samples evaluated (forward passes)")
    if axes.lines:
        axes.set_xscale("log")
    if quantity == "accuracy":
        axes.set(ylabel=f"{result.judged_by} accuracy (%)", title="Accuracy")
    else:
        axes.set(ylabel="C / outputs", title=f"Cost on the {result.judged_by} samples")
        costs = [run.curve["cost"] for name in _STYLES for run in getattr(result, name).runs]
        if costs and all((values > 0).all() for values in costs) and max(map(np.max, costs)) < math.inf:
            axes.set_yscale("log")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def quantities(result: Comparison) -> tuple[str, ...]:
    """What the learning curves of a comparison have: "accuracy" where there are classes, and "cost"."""
    return ("accuracy", "cost") if result.classes else ("cost",)


def _learning(result: Comparison) -> Figure:
    shown = quantities(result)
    with _style(10):
        figure = _figure(4.8 * len(shown), 4.1)
        panels = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, quantity in zip(panels, shown, strict=True):
            _learning_axes(axes, result, quantity)
        columns = 2 * len(shown)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize=9, frameon=False)
    return figure


def learning(result: Comparison, form: str) -> bytes:
    """The learning curves of every model over sample evaluations, as "png" or "svg"."""
    return saved(_learning(result), form, f"{result.design}-{result.digest}")


def panel(result: Comparison, quantity: str) -> Figure:
    """The "accuracy" or the "cost" alone, as wide as a column."""
    with _style():
        figure = _figure(COLUMN, 3.3)
        axes = figure.subplots()
        _learning_axes(axes, result, quantity)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def directions(result: Observed) -> Figure:
    """The cosine of the mean gradient estimate to the true gradient, over the steps of a run."""
    with _style():
        figure = _figure(COLUMN, 3.0)
        axes = _plain_axes(figure, xlabel="steps", ylabel="cosine to the true gradient", title="Direction of the gradient")
        steps = [each.step for each in result.directions]
        for label, colour, dashes, marker, values in (
            ("estimates in real numbers", BLUE, "-", "o", [each.cosine_float for each in result.directions]),
            ("estimates in the hardware's bits", ORANGE, "--", "s", [each.cosine_fixed for each in result.directions]),
        ):
            axes.plot(steps, values, dashes, color=colour, marker=marker, markersize=3.5, label=label)
        axes.set_xscale("symlog", linthresh=max(1, steps[1] if len(steps) > 1 else 1))
        axes.set_ylim(min(0.0, *axes.get_ylim()), 1.0)
        axes.grid(color="#dddddd", linewidth=0.6)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def histogram(values: Values) -> Figure:
    """How large values are, in powers of two, against what their format holds."""
    bits, first = len(values.leading), round(math.log2(values.resolution))
    places = first + np.arange(bits)
    shares = 100.0 * np.array(values.leading) / max(1, values.count)
    with _style():
        figure = _figure(COLUMN, 2.5)
        axes = _plain_axes(
            figure,
            xlabel="magnitude, by its highest bit",
            ylabel="values (%)",
            title=f"{values.name[:1].upper()}{values.name[1:]}: {values.format}",
        )
        for left, width in ((first, values.idle_low), (first + bits - values.idle_high, values.idle_high)):
            if width:
                axes.axvspan(left - 0.5, left + width - 0.5, facecolor="#eeeeee", edgecolor=GREY, hatch="////", linewidth=0)
        axes.bar(places, shares, width=0.85, color=BLUE)
        axes.bar([first - 1.5], [100.0 * values.zero / max(1, values.count)], width=0.85, color=GREY)
        every = max(1, -(-bits // 6))
        ticks = [first - 1.5, *places[::every]]
        axes.set_xticks(ticks, ["0", *(f"$2^{{{place}}}$" for place in places[::every])])
        axes.set_xlim(first - 2.2, first + bits - 0.5 + 0.05)
        axes.axvline(first + bits - 0.5, color=ORANGE, linewidth=2)
    return figure


def energies(result: Comparison) -> Figure:
    """The estimated energy of a run of each model, arithmetic and memory."""
    found = [(name, getattr(result, name).costs) for name in _STYLES if getattr(result, name).costs is not None]
    most = max((costs.energy.joules for _, costs in found), default=0.0)
    scale, unit = next(((scale, unit) for scale, unit in ((1.0, "J"), (1e3, "mJ"), (1e6, "µJ")) if most * scale >= 1), (1e9, "nJ"))
    with _style():
        figure = _figure(COLUMN, 2.4)
        axes = _plain_axes(figure, xlabel=f"energy of a run, estimated ({unit})", title="Energy of the operations, 45 nm")
        labels = [f"{_STYLES[name][0].partition(' (')[0]}, {costs.energy.numbers}" for name, costs in found]
        arithmetic = np.array([scale * costs.energy.arithmetic_joules for _, costs in found])
        memory = np.array([scale * costs.energy.memory_joules for _, costs in found])
        axes.barh(labels, arithmetic, color=BLUE, label="arithmetic")
        axes.barh(labels, memory, left=arithmetic, color="white", hatch="////", edgecolor=BLUE, label="memory")
        axes.invert_yaxis()
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


# -- Hardware ---------------------------------------------------------------------------------------------------------


def timeline(result: Timeline) -> Figure:
    """The cycles of one step."""
    from mgd_hw.timeline import COST, FORWARD, LEARN

    rows = {FORWARD: (2, BLUE, ""), LEARN: (1, ORANGE, "////"), COST: (0, GREEN, "....")}
    with _style():
        figure = _figure(COLUMN, 2.5)
        axes = _plain_axes(figure, xlabel="cycle", title=f"One step of two passes: {result.cycles:,} cycles")
        for span in result.spans:
            row, colour, hatch = rows[span.what]
            axes.broken_barh([(span.first, span.cycles)], (row - 0.38, 0.76), facecolor=colour, hatch=hatch, edgecolor="white")
        axes.set_yticks([2, 1, 0], ["network", "learning\nof step n − 1", "cost"])
        axes.set_xlim(0, result.cycles)
        half = max((span.first for span in result.spans if span.what == FORWARD and span.name.endswith("layer 1")), default=0)
        axes.axvline(half, color="black", linewidth=0.8, linestyle=":")
    return figure


_RESOURCES = {"lut": "LUTs", "ff": "flip-flops"}


def resources(components: Mapping[str, Mapping[str, int]], title: str) -> Figure:
    """LUTs and flip-flops of each component."""
    names = [name.replace("_", " ") for name in components]
    with _style():
        figure = _figure(COLUMN, 1.3 + 0.24 * len(names))
        axes = _plain_axes(figure, title=title, xlabel="cells")
        place = np.arange(len(names))
        for offset, kind, colour, hatch in ((-0.2, "lut", BLUE, ""), (0.2, "ff", "white", "////")):
            counts = [counted.get(kind, 0) for counted in components.values()]
            axes.barh(place + offset, counts, height=0.38, color=colour, hatch=hatch, edgecolor=BLUE, label=_RESOURCES[kind])
        axes.set_yticks(place, names)
        axes.invert_yaxis()
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def _bars(rows: Mapping[str, float], title: str, unit: str, colours: Sequence[str] | str = BLUE) -> Figure:
    """One horizontal bar for each name."""
    with _style():
        figure = _figure(COLUMN, 1.1 + 0.3 * max(1, len(rows)))
        axes = _plain_axes(figure, title=title, xlabel=unit)
        axes.barh(list(rows), list(rows.values()), color=colours)
        axes.invert_yaxis()
    return figure


def placement(cells: Sequence[Placed], title: str) -> bytes:
    """The cells of a placed design, each in the colour of its component, as "svg"."""
    import matplotlib

    sizes = Counter(cell.component for cell in cells)
    with _style():
        figure = _figure(9.6, 7.2)
        axes = figure.subplots()
        colours = matplotlib.colormaps["tab20"].colors  # type: ignore[attr-defined]
        for number, (name, size) in enumerate(sizes.most_common()):
            x, y, z = np.array([(cell.x, cell.y, cell.z) for cell in cells if cell.component == name]).T
            label = f"{name.replace('_', ' ')}, {size:,}"
            axes.scatter(x + z % 4 / 5, y + z // 4 % 4 / 5, s=3, color=colours[number % 20], label=label, linewidths=0, rasterized=True)
        axes.set(title=title, xlabel="column", ylabel="row", aspect="equal")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right upper", frameon=False, markerscale=3)
    return saved(figure, "svg", title, dpi=200)


# -- What a result draws of itself ------------------------------------------------------------------------------------


def _of_generated(result: Generated) -> Figure:
    assert result.timeline is not None
    return timeline(result.timeline)


def _of_cosimulated(result: Cosimulated) -> Figure:
    if result.by_observable:
        return _bars(result.by_observable, f"{result.design}: values that differ", "values", ORANGE)
    rows = {"compared": result.compared, "different": result.mismatches}
    return _bars(rows, f"{result.design}: {result.steps:,} steps, {result.simulator}", "values", [BLUE, ORANGE])


def _of_synthesised(result: Synthesised) -> Figure:
    return resources(result.components or {"core": {"lut": result.lut, "ff": result.ff}}, f"{result.design} for {result.target}")


def _of_build(result: Build) -> Figure:
    rows = {kind: 100 * each["used"] / max(1, each["available"]) for kind, each in result.utilisation.items()}
    return _bars(rows, f"{result.design} on {result.board}", "places used (%)")


def _of_fitted(result: Fitted) -> Figure:
    rows = {name: 100 * part["lut"] / part["limits"]["lut"] for name, part in result.parts.items()}
    return _bars(rows, f"{result.design}, {result.lanes} lanes", "LUTs of the part, predicted (%)")


def _of_trained(result: Trained) -> Figure:
    rows = {"through the link": result.steps_per_second, "the core alone": result.core_steps_per_second}
    known = {name: value for name, value in rows.items() if not math.isnan(value)}
    return _bars(known, f"{result.design} over {result.link}", "steps per second")


def _of_diagnosed(result: Diagnosis) -> Figure:
    rows = {"gain by slope": result.gain, "loss by curvature and noise": result.loss}
    return _bars(rows, f"{result.design}: an update, at the initial parameters", "mean cost")


def _of_demonstrated(result: Demonstrated) -> Figure:
    return _learning(next(chapter.compared for chapter in reversed(result.designs) if chapter.compared))


def _of_swept(result: Swept) -> Figure:
    from mgd_hw.sweep.picture import pareto

    if not result.found:
        raise UserError("there is nothing to draw: no run is finished", "Give the sweep's command again.", key="plot")
    return pareto(result.found)


def _of_paper(result: PaperFigure) -> Figure:
    from mgd_hw.paper.picture import draw

    if not result.points:
        raise UserError("there is nothing to draw: no run is finished", "Give the same command again.", key="plot")
    return draw(result)


_DRAWN: dict[str, Callable[[Any], Figure]] = {
    "Build": _of_build,
    "Comparison": _learning,
    "Cosimulated": _of_cosimulated,
    "Demonstrated": _of_demonstrated,
    "Diagnosis": _of_diagnosed,
    "Fitted": _of_fitted,
    "Generated": _of_generated,
    "Observed": directions,
    "PaperFigure": _of_paper,
    "Swept": _of_swept,
    "Synthesised": _of_synthesised,
    "Timeline": timeline,
    "Trained": _of_trained,
    "Values": histogram,
}


def figure_of(result: Result) -> Figure:
    """What a result draws of itself.

    Raises
    ------
    UserError
        If there is nothing to draw.
    """
    kind = type(result).__name__
    if kind not in _DRAWN:
        raise UserError(f"there is nothing to draw of {kind}", f"Those that draw themselves: {', '.join(_DRAWN)}.", key="plot")
    return _DRAWN[kind](result)
