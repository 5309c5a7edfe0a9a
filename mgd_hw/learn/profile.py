"""Profile of the numbers in a run: the values compared with the ranges of their formats, and the direction of the gradient over time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mgd_hw.common import figures
from mgd_hw.common.progress import NullProgress, Progress
from mgd_hw.common.results import Result
from mgd_hw.data import Data
from mgd_hw.design.description import Design
from mgd_hw.design.float_model import has_slopes
from mgd_hw.learn.agreement import agreement
from python_ref.datasets import quantise
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.design import DesignSpec
from python_ref.spec.network import Layer
from python_ref.spec.number import Fixed
from python_ref.spec.probes import COUNTERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Direction", "NumericProfile", "Values", "profile_numbers", "values_of"]

POINTS = 10
"""Number of moments of a run at which values are observed, in addition to its start."""
WINDOW = 32
"""Number of consecutive steps that are observed from each moment."""


@dataclass(frozen=True)
class Values(Result):
    """Statistics of the values of one kind, compared with the range of their format.

    Attributes
    ----------
    name, key : str
        Description of the kind, and the key of the design file that chooses the format; the latter is "" if the format is derived.
    format : str
        Number format, as a design file writes it.
    count, zero : int
        Number of values observed, and number of those that are 0.
    least, greatest : float
        Smallest and largest value that occurred.
    lowest, highest, resolution : float
        Smallest and largest value of the format, and its last place.
    leading : tuple of int
        Histogram of the values by the position of the highest bit of their magnitude, lowest position first.
    idle_high, idle_low : int
        Number of high bits below the sign that always equalled it (0 if unsigned), and number of low bits that were always 0.
    at_limits : int
        Number of values equal to the largest value of the format, or to the smallest if it is signed.
    saturated : int or None
        Number of casts into the format that saturated in the whole run; None where casts are exact and none are counted.
    """

    name: str
    key: str
    format: str
    count: int
    zero: int
    least: float
    greatest: float
    lowest: float
    highest: float
    resolution: float
    leading: tuple[int, ...]
    idle_high: int
    idle_low: int
    at_limits: int
    saturated: int | None = None

    def plot(self) -> Figure:
        """Draw a histogram of the magnitudes in powers of two, with the unused bits of the format."""
        bits, first = len(self.leading), round(math.log2(self.resolution))
        places = first + np.arange(bits)
        shares = 100.0 * np.array(self.leading) / max(1, self.count)
        with figures.style():
            figure = figures.empty_figure(figures.COLUMN, 2.5)
            axes = figures.plain_axes(
                figure,
                xlabel="magnitude, by its highest bit",
                ylabel="values (%)",
                title=f"{self.name[:1].upper()}{self.name[1:]}: {self.format}",
            )
            for left, width in ((first, self.idle_low), (first + bits - self.idle_high, self.idle_high)):
                if width:
                    axes.axvspan(left - 0.5, left + width - 0.5, facecolor="#eeeeee", edgecolor=figures.GREY, hatch="////", linewidth=0)
            axes.bar(places, shares, width=0.85, color=figures.BLUE)
            axes.bar([first - 1.5], [100.0 * self.zero / max(1, self.count)], width=0.85, color=figures.GREY)
            every = max(1, -(-bits // 6))
            ticks = [first - 1.5, *places[::every]]
            axes.set_xticks(ticks, ["0", *(f"$2^{{{place}}}$" for place in places[::every])])
            axes.set_xlim(first - 2.2, first + bits - 0.5 + 0.05)
            axes.axvline(first + bits - 0.5, color=figures.ORANGE, linewidth=2)
        return figure


@dataclass(frozen=True)
class Direction(Result):
    """Cosine between the mean of gradient estimates and the true gradient, at one moment of a run.

    Attributes
    ----------
    step : int
        Number of training steps completed before this moment.
    cosine_float, cosine_fixed : float
        Cosine of estimates in real numbers, and in the hardware's numbers; NaN where a gradient is zero.
    """

    step: int
    cosine_float: float
    cosine_fixed: float


@dataclass(frozen=True)
class NumericProfile(Result):
    """Statistics of the numbers in one run of the fixed model.

    Attributes
    ----------
    design, digest : str
        Name of the design, and digest of its structure.
    seed, steps : int
        Seed of the run, and the number of its training steps.
    moments : tuple of int
        Number of steps completed at each moment, from which the next ``window`` steps were observed.
    window : int
        Number of consecutive training steps observed from each moment.
    values : tuple of Values
        Statistics of the observed values, one entry per kind of value.
    directions : tuple of Direction
        Direction of the gradient estimates at each moment; empty where there is no true gradient.
    estimates, quantities : int
        Number of estimates in each mean, and number of perturbed quantities.
    """

    design: str
    digest: str
    seed: int
    steps: int
    moments: tuple[int, ...]
    window: int
    values: tuple[Values, ...]
    directions: tuple[Direction, ...]
    estimates: int
    quantities: int

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the tables "values", one row per kind of value, and "directions", one row per moment."""
        return {"values": [each.rows()[0] for each in self.values], "directions": [each.to_json() for each in self.directions]}

    def plot(self) -> Figure:
        """Draw the cosine of the mean gradient estimate to the true gradient over the steps of the run."""
        with figures.style():
            figure = figures.empty_figure(figures.COLUMN, 3.0)
            axes = figures.plain_axes(figure, xlabel="steps", ylabel="cosine to the true gradient", title="Direction of the gradient")
            steps = [each.step for each in self.directions]
            for label, colour, dashes, marker, values in (
                ("estimates in real numbers", figures.BLUE, "-", "o", [each.cosine_float for each in self.directions]),
                ("estimates in the hardware's bits", figures.ORANGE, "--", "s", [each.cosine_fixed for each in self.directions]),
            ):
                axes.plot(steps, values, dashes, color=colour, marker=marker, markersize=3.5, label=label)
            axes.set_xscale("symlog", linthresh=max(1, steps[1] if len(steps) > 1 else 1))
            axes.set_ylim(min(0.0, *axes.get_ylim()), 1.0)
            axes.grid(color="#dddddd", linewidth=0.6)
            figures.legend(figure, axes)
        return figure


class _Gatherer:
    """Accumulator of the statistics of one kind of value.

    Parameters
    ----------
    format : Fixed
        Fixed-point format of the values to count.
    """

    def __init__(self, format: Fixed) -> None:
        self.format = format
        self.count = self.zero = self.at_limits = self.used = self.ones = 0
        self.least, self.greatest = math.inf, -math.inf
        self.leading = np.zeros(max(1, format.width - format.signed), dtype=np.int64)

    def take(self, raw: np.ndarray) -> None:
        """Add raw values, an array of any shape."""
        raw, form = np.asarray(raw, dtype=np.int64).ravel(), self.format
        if not len(raw):
            return
        self.count += len(raw)
        self.zero += int(np.count_nonzero(raw == 0))
        self.at_limits += int(np.count_nonzero(raw == form.max)) + int(form.signed and np.count_nonzero(raw == form.min))
        self.used |= int(np.bitwise_or.reduce(np.where(raw < 0, ~raw, raw)))
        self.ones |= int(np.bitwise_or.reduce(raw))
        self.least, self.greatest = min(self.least, int(raw.min())), max(self.greatest, int(raw.max()))
        places = np.frexp(np.abs(raw[raw != 0]).astype(np.float64))[1] - 1
        self.leading += np.bincount(np.minimum(places, len(self.leading) - 1), minlength=len(self.leading))

    def values(self, name: str, key: str, saturated: int | None) -> Values:
        """Return the statistics of all values added so far."""
        form, last = self.format, 2.0**-self.format.fraction_bits
        low = (self.ones & -self.ones).bit_length() - 1 if self.ones else len(self.leading)
        return Values(
            name, key, str(form), self.count, self.zero, self.least * last, self.greatest * last, form.min * last, form.max * last, last,
            tuple(self.leading.tolist()), len(self.leading) - self.used.bit_length(), low, self.at_limits, saturated,
        )  # fmt: skip


def values_of(raw: np.ndarray, format: Fixed, name: str = "", key: str = "") -> Values:
    """Return the statistics of an array of raw values of one format."""
    gatherer = _Gatherer(format)
    gatherer.take(raw)
    return gatherer.values(name, key, None)


_KINDS: dict[str, tuple[str, str, tuple[str, ...] | None]] = {
    "input": ("inputs x", "formats.input", None),
    "parameter": ("weights and biases θ", "formats.weight", ("update", "weight")),
    "preactivation": ("pre-activations z of layer {}", "", None),
    "activation": ("activations y", "formats.activation", ("activation",)),
    "spike": ("spikes of layer {}", "", None),
    "potential": ("states v of layer {}", "formats.state", ("state",)),
    "state": ("states h of layer {}", "formats.activation", None),
    "cost": ("costs C", "", None),
    "cost_change": ("cost changes C̃", "formats.cost_change", ("cost_change",)),
    "error_sum": ("sums E of cost changes at the neurons", "", None),
    "error": ("errors of neurons", "formats.error", ("error",)),
    "broadcast": ("updates u before their sign", "formats.weight", ("broadcast",)),
    "gradient": ("sums of gradients G", "formats.gradient", ("broadcast", "gradient")),
}
"""Description, key of the format, and counted kinds of saturation of each observable, in the order in which a step computes them."""


def _kinds(spec: DesignSpec) -> dict[str, tuple[str, str, tuple[str, ...] | None]]:
    """Return the rows of :data:`_KINDS`, and a row for each state variable of the optimiser."""
    return _KINDS | {each.name: (f"{each.name} {each.symbol}", each.key, (each.name,)) for each in spec.optimizer_state}


def _formats(spec: DesignSpec) -> dict[str, Fixed]:
    """Return the format of each observed kind of value; pre-activations, spikes and states have one entry per layer."""
    found = {"input": spec.formats.input, "parameter": spec.formats.weight}
    found |= {f"preactivation {number + 1}": spec.preactivation_format(number) for number in range(len(spec.network.layers))}
    found["activation"] = spec.formats.activation
    for number, layer in enumerate(spec.network.layers):
        state = spec.state_format(number)
        found |= {} if layer.kind.activated else {f"spike {number + 1}": spec.output_format(number)}
        found |= {} if state is None else {_state_of(number, layer): state}
    found |= {"cost": spec.cost_format, "cost_change": spec.cost_change_format}
    if spec.node:
        found |= {"error_sum": spec.error_sum_format, "error": spec.error_format}
    elif spec.direct_update:
        found["broadcast"] = spec.update_format
    if not spec.direct_update:
        found["gradient"] = spec.gradient_format
    return found | {variable.name: variable.format for variable in spec.optimizer_state}


def _state_of(number: int, layer: Layer) -> str:
    """Return the name of the kind of value that the states of a layer are; those of spiking neurons have a format of their own."""
    return f"{'state' if layer.kind.activated else 'potential'} {number + 1}"


def _of_layers(spec: DesignSpec) -> dict[str, tuple[str, np.ndarray]]:
    """Return, for each kind of value that only some layers have, the observable and which of a pass's evaluations they are."""
    layers, visits = spec.network.layers, spec.unrolled.visits
    evaluated = np.repeat(visits, [layers[number].n_out for number in visits])
    activated = np.isin(evaluated, [number for number, layer in enumerate(layers) if layer.kind.activated])
    found = {"activation": ("activation", activated)}
    for number, layer in enumerate(layers):
        mine = evaluated == number
        found[f"preactivation {number + 1}"] = "preactivation", mine
        found |= {} if layer.kind.activated else {f"spike {number + 1}": ("activation", mine)}
        found |= {_state_of(number, layer): ("state", mine)} if layer.kind.stateful else {}
    return found


def _given(spec: DesignSpec, inputs: np.ndarray) -> np.ndarray:
    """Return the inputs of all frames that samples have, from their input words (shape (n, record_inputs))."""
    if not spec.series or spec.network.held:
        return inputs
    lengths, frames = np.array([spec.unrolled.length_of(row) for row in inputs]), inputs[:, 1:]
    return frames[np.arange(frames.shape[1]) < spec.network.n_in * lengths[:, None]]


_AT_ENDS = ("error", "gradient")
"""Observables that a step of node perturbation computes only where a presentation ends."""
_OF_QUANTITIES = ("error_sum", "error")
"""Observables with a value for each perturbed quantity, 0 for those that a sample does not have."""


def _take(gatherers: dict[str, _Gatherer], spec: DesignSpec, first: int, seen: dict[str, np.ndarray], lengths: np.ndarray) -> None:
    """Add the observables of a block of consecutive steps, which begins at step ``first`` and whose samples have so many frames."""
    evaluated = np.stack([spec.unrolled.evaluated(length) for length in lengths.tolist()])
    perturbed = np.stack([spec.unrolled.perturbed(length) for length in lengths.tolist()]) if spec.node else evaluated
    of_layers = _of_layers(spec)
    for name, (observable, chosen) in of_layers.items():
        values = seen[observable][..., chosen]
        gatherers[name].take(values[np.broadcast_to(evaluated[:, None, chosen], values.shape)])
    ends = np.array([spec.schedule.begins(n + 1) for n in range(first, first + len(seen["cost"]))], dtype=bool)
    for name in gatherers.keys() & (_KINDS.keys() - {"input", "parameter", *of_layers}):
        chosen = ends if spec.node and name in _AT_ENDS else np.ones_like(ends)
        gatherers[name].take(seen[name][chosen][perturbed[chosen]] if name in _OF_QUANTITIES else seen[name][chosen])
    for name in ("parameter", *(variable.name for variable in spec.optimizer_state)):  # they hardly change within a block
        gatherers[name].take(seen[name][-1])


def _moments(steps: int, points: int, window: int) -> list[int]:
    """Return the moments to observe, from step 0 to the last, spaced geometrically: a run changes fastest at its start."""
    return sorted({0, *np.geomspace(min(4 * window, steps), steps, points).round().astype(int).tolist()})


def profile_numbers(
    design: Design, data: Data, *, steps: int, points: int = POINTS, window: int = WINDOW, progress: Progress | None = None
) -> NumericProfile:
    """Train the fixed model once, as ``compare`` does with its first seed, and collect statistics of its numbers.

    Parameters
    ----------
    design : Design
        Design to train, which must be one that hardware can run.
    data : Data
        Samples, and the order in which the run takes them.
    steps : int
        Number of training steps in the run.
    points, window : int
        Number of moments besides the start, and number of steps observed from each.
    progress : Progress or None
        Receives messages about the progress of the run; None discards them.
    """
    from python_ref.fixed.fast import train
    from python_ref.fixed.machine import initial_state

    progress = progress or NullProgress()
    spec = replace(design.spec, hardware=replace(design.spec.hardware, signature=False))  # it takes long, and changes no value
    raw = quantise_parameters(spec, initial_parameters(spec))
    samples, state = quantise(spec, data.train), initial_state(spec, raw)
    gatherers = {name: _Gatherer(format) for name, format in _formats(spec).items()}
    gatherers["input"].take(_given(spec, samples[0]))
    directions, found, moments = [], None, list[int]()
    for moment in _moments(steps, points, window):
        progress.update("Profiling the numbers", moment, steps, f"step {moment:,}")
        if moment > state.steps:
            state = train(spec, state, *samples, data.order, moment - state.steps).state
        moments.append(state.steps)
        found = agreement(design, data, state.parameters) if has_slopes(design) else None
        if found is not None:
            directions.append(Direction(state.steps, found.cosine_float, found.cosine_fixed))
        ahead, first = min(window, steps - state.steps), [state.steps]

        def take(seen: dict[str, np.ndarray], first: list[int] = first) -> None:
            count = len(seen["cost"])
            shown = [data.order.indices(n // spec.schedule.sample_period, 1)[0] for n in range(first[0], first[0] + count)]
            _take(gatherers, spec, first[0], seen, np.array([spec.unrolled.length_of(samples[0][row]) for row in shown]))
            first[0] += count

        if ahead > 0:
            state = train(spec, state, *samples, data.order, ahead, observe=take).state
    gatherers["parameter"].take(state.parameters)
    counters = dict(zip(COUNTERS, state.counters.tolist(), strict=True))
    values = tuple(_reported(spec, name, gatherer, counters) for name, gatherer in gatherers.items() if gatherer.count)
    estimates = found.steps if found else 0
    seed = design.spec.network.initial.seed
    return NumericProfile(
        spec.name, design.spec.digest, seed, steps, tuple(moments), window, values, tuple(directions), estimates, design.spec.quantities
    )


def _reported(spec: DesignSpec, name: str, gatherer: _Gatherer, counters: dict[str, int]) -> Values:
    """Return the statistics of one kind with its title, its key, and the saturations that the run counted."""
    kind, _, layer = name.partition(" ")
    title, key, casts = _kinds(spec)[kind]
    saturated = None if casts is None else sum(counters[f"saturated_{cast}"] for cast in casts)
    return gatherer.values(title.format(layer), key, saturated)
