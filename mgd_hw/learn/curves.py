"""Plots of a comparison: the learning curves of the models, and the energy of their runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mgd_hw.common.figures import BLUE, COLUMN, GREEN, GREY, ORANGE, empty_figure, legend, plain_axes, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mgd_hw.data.kinds import Kind
    from mgd_hw.learn.runs import Model

__all__ = ["abscissa_of", "alone", "energies", "side_by_side"]

LOOKS = {
    "float": ("float MGD", BLUE, "-"),
    "fixed": ("fixed MGD (the hardware's bits)", ORANGE, "--"),
    "backprop": ("back-propagation", GREEN, ":"),
}
"""Title, colour and line style of each model; the line style tells them apart in black-and-white print."""

X_TITLES = {
    "cycles": "core cycles (back-propagation on the same lanes)",
    "evaluations": "samples evaluated (forward passes)",
}
"""Title of the horizontal axis, by the column of the curves over which they are drawn."""


def abscissa_of(models: Mapping[str, Model]) -> str:
    """Return over what the learning curves of models are drawn, as words."""
    return {"cycles": "core cycles", "evaluations": "the samples evaluated"}[_abscissa(models)]


def side_by_side(models: Mapping[str, Model], quantities: Sequence[str], kind: Kind, judged_by: str) -> Figure:
    """Draw the learning curves of all models, with one panel per quantity: "accuracy" or "cost"."""
    with style(10):
        figure = empty_figure(4.8 * len(quantities), 4.1)
        panels = figure.subplots(1, len(quantities), squeeze=False)[0]
        for axes, quantity in zip(panels, quantities, strict=True):
            _panel(axes, models, quantity, kind, judged_by)
        legend(figure, panels[0], columns=2 * len(quantities), size=9)
    return figure


def alone(models: Mapping[str, Model], quantity: str, kind: Kind, judged_by: str) -> Figure:
    """Draw the learning curves of one quantity, as wide as a column of text."""
    with style():
        figure = empty_figure(COLUMN, 3.3)
        axes = figure.subplots()
        _panel(axes, models, quantity, kind, judged_by)
        legend(figure, axes)
    return figure


def energies(models: Mapping[str, Model]) -> Figure:
    """Draw the estimated energy of a run of each model, divided into arithmetic and memory."""
    found = [(LOOKS[name][0], model.costs.energy) for name, model in models.items() if model.costs is not None]
    most = max((energy.joules for _, energy in found), default=0.0)
    scale, unit = next(((scale, unit) for scale, unit in ((1.0, "J"), (1e3, "mJ"), (1e6, "µJ")) if most * scale >= 1), (1e9, "nJ"))
    with style():
        figure = empty_figure(COLUMN, 2.4)
        axes = plain_axes(figure, xlabel=f"energy of a run, estimated ({unit})", title="Energy of the operations, 45 nm")
        labels = [f"{title.partition(' (')[0]}, {energy.numbers}" for title, energy in found]
        arithmetic = np.array([scale * energy.arithmetic_joules for _, energy in found])
        memory = np.array([scale * energy.memory_joules for _, energy in found])
        axes.barh(labels, arithmetic, color=BLUE, label="arithmetic")
        axes.barh(labels, memory, left=arithmetic, color="white", hatch="////", edgecolor=BLUE, label="memory")
        axes.invert_yaxis()
        legend(figure, axes)
    return figure


def _panel(axes: Axes, models: Mapping[str, Model], quantity: str, kind: Kind, judged_by: str) -> None:
    """Draw the learning curves of one quantity into the axes, and the baseline of the accuracy."""
    share, abscissa = quantity == "accuracy", _abscissa(models)
    for name, (title, colour, dashes) in LOOKS.items():
        runs = models[name].runs
        if runs and not np.isnan(runs[0].curve[quantity]).all():  # an external forward pass has no accuracy
            _draw(axes, models[name], quantity, abscissa, title, colour, dashes, 100.0 if share else 1.0)
    if share:
        level = 100.0 * kind.baseline["accuracy"]
        axes.axhline(level, color=GREY, linewidth=1.0, linestyle=(0, (1, 3)), label=kind.baseline_title)
    axes.set(xlabel=X_TITLES[abscissa])
    if axes.lines:
        axes.set_xscale("log")
    if share:
        axes.set(ylabel=f"{judged_by} accuracy (%)", title="Accuracy")
    else:
        axes.set(ylabel="C / outputs", title=f"Cost on the {judged_by} samples")
        costs = [run.curve["cost"] for model in models.values() for run in model.runs]
        if costs and all((values > 0).all() for values in costs) and max(map(np.max, costs)) < math.inf:
            axes.set_yscale("log")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _abscissa(models: Mapping[str, Model]) -> str:
    """Column of the curves over which they are drawn: what every run has."""
    return "cycles" if all("cycles" in run.curve for model in models.values() for run in model.runs) else "evaluations"


def _draw(axes: Axes, model: Model, quantity: str, abscissa: str, title: str, colour: str, dashes: str, scale: float) -> None:
    """Draw the mean over the seeds as a line, and their range as a band."""
    length = min(len(run.curve[quantity]) for run in model.runs)
    x = model.runs[0].curve[abscissa][:length]
    values = scale * np.array([run.curve[quantity][:length] for run in model.runs])
    axes.plot(x, values.mean(axis=0), dashes, color=colour, label=title, linewidth=1.8)
    if len(values) > 1:
        axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.18, linewidth=0)
