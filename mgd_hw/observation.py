"""What the numbers of a run look like: values against what their formats can hold, and the gradient's direction over time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mgd_hw.comparison import agreement
from mgd_hw.config import Design
from mgd_hw.data import Data
from mgd_hw.listener import Listener, Silent
from mgd_hw.results import Result
from python_ref.backprop import defined
from python_ref.datasets import quantise
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.design import DesignSpec
from python_ref.spec.number import Fixed
from python_ref.spec.probes import COUNTERS

__all__ = ["Direction", "Observed", "Values", "observe", "values_of"]

POINTS = 10
"""Moments of a run that are looked at, beside its start."""
WINDOW = 32
"""Steps that are looked at from each moment on."""


@dataclass(frozen=True)
class Values(Result):
    """Values of one kind, against their format.

    Attributes
    ----------
    name, key : str
        What they are; the key of the design file that chooses the format, "" where it follows from others.
    format : str
        Format.
    count, zero : int
        Values looked at; those that are 0.
    least, greatest : float
        Of them.
    lowest, highest, resolution : float
        Of the format: its range, and its last place.
    leading : tuple of int
        Values by the place of the highest bit of their magnitude, lowest place first.
    idle_high, idle_low : int
        Highest bits, below the sign, that only ever repeated it (or, unsigned, were 0); lowest bits that were always 0.
    at_limits : int
        Values that are the lowest (if signed) or the highest.
    saturated : int or None
        Casts into it, in the whole run, that did not fit; None where none are counted, since it is exact.
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


@dataclass(frozen=True)
class Direction(Result):
    """How well the mean of gradient estimates points along the true gradient, at one moment of a run.

    Attributes
    ----------
    step : int
        Steps done.
    cosine_float, cosine_fixed : float
        Of estimates in real numbers, and in the hardware's; NaN where there is no gradient.
    """

    step: int
    cosine_float: float
    cosine_fixed: float


@dataclass(frozen=True)
class Observed(Result):
    """What was seen of one run of the fixed model.

    Attributes
    ----------
    design, digest : str
        Name of the design, digest of its structure.
    seed, steps : int
        The run.
    moments : tuple of int
        Steps from which on ``window`` steps were looked at.
    window : int
        So many.
    values : tuple of Values
        By kind.
    directions : tuple of Direction
        Over time; empty where there is no gradient.
    estimates, quantities : int
        Estimates in each mean; perturbed quantities.
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
        """ "values", by kind; "directions", over time."""
        return {"values": [each.rows()[0] for each in self.values], "directions": [each.to_json() for each in self.directions]}


class _Gatherer:
    """Counts values of one kind as they come.

    Parameters
    ----------
    format : Fixed
        Theirs.
    """

    def __init__(self, format: Fixed) -> None:
        self.format = format
        self.count = self.zero = self.at_limits = self.used = self.ones = 0
        self.least, self.greatest = math.inf, -math.inf
        self.leading = np.zeros(max(1, format.width - format.signed), dtype=np.int64)

    def take(self, raw: np.ndarray) -> None:
        """Raw values of any shape."""
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
        """What was gathered."""
        form, last = self.format, 2.0**-self.format.fraction_bits
        low = (self.ones & -self.ones).bit_length() - 1 if self.ones else len(self.leading)
        return Values(
            name, key, str(form), self.count, self.zero, self.least * last, self.greatest * last, form.min * last, form.max * last, last,
            tuple(self.leading.tolist()), len(self.leading) - self.used.bit_length(), low, self.at_limits, saturated,
        )  # fmt: skip


def values_of(raw: np.ndarray, format: Fixed, name: str = "", key: str = "") -> Values:
    """Raw values of one format, as :class:`Values`."""
    gatherer = _Gatherer(format)
    gatherer.take(raw)
    return gatherer.values(name, key, None)


_KINDS: dict[str, tuple[str, str, tuple[str, ...] | None]] = {
    "input": ("inputs x", "formats.input", None),
    "parameter": ("weights and biases θ", "formats.weight", ("update", "weight")),
    "preactivation": ("pre-activations z of layer {}", "", None),
    "activation": ("activations y", "formats.activation", ("activation",)),
    "cost": ("costs C", "", None),
    "cost_change": ("cost changes C̃", "formats.cost_change", ("cost_change",)),
    "broadcast": ("updates u before their sign", "formats.weight", ("broadcast",)),
    "gradient": ("sums of gradients G", "formats.gradient", ("broadcast", "gradient")),
}
"""By observable: what its values are, the key of their format, and the saturations that are counted of it; in the order of a step."""


def _kinds(spec: DesignSpec) -> dict[str, tuple[str, str, tuple[str, ...] | None]]:
    """The rows of :data:`_KINDS`, and those of the optimiser's state."""
    return _KINDS | {each.name: (f"{each.name} {each.symbol}", each.key, (each.name,)) for each in spec.optimizer_state}


def _formats(spec: DesignSpec) -> dict[str, Fixed]:
    """Of what is looked at; pre-activations by layer."""
    found = {"input": spec.formats.input, "parameter": spec.formats.weight}
    found |= {f"preactivation {number + 1}": spec.preactivation_format(number) for number in range(len(spec.network.layers))}
    found |= {"activation": spec.formats.activation, "cost": spec.cost_format, "cost_change": spec.cost_change_format}
    found |= {"broadcast": spec.update_format} if spec.plain else {"gradient": spec.gradient_format}
    return found | {variable.name: variable.format for variable in spec.optimizer_state}


def _take(gatherers: dict[str, _Gatherer], spec: DesignSpec, seen: dict[str, np.ndarray]) -> None:
    """A block of consecutive steps."""
    layers = np.split(seen["preactivation"], np.cumsum(spec.network.sizes[1:-1]), axis=-1)
    for number, values in enumerate(layers, 1):
        gatherers[f"preactivation {number}"].take(values)
    for name in gatherers.keys() & (_KINDS.keys() - {"input", "parameter"}):
        gatherers[name].take(seen[name])
    for name in ("parameter", *(variable.name for variable in spec.optimizer_state)):  # they hardly move within a block
        gatherers[name].take(seen[name][-1])


def _moments(steps: int, points: int, window: int) -> list[int]:
    """Steps of a run, the first and the last among them, and more where it moves faster: at its start."""
    return sorted({0, *np.geomspace(min(4 * window, steps), steps, points).round().astype(int).tolist()})


def observe(
    design: Design, data: Data, *, steps: int, points: int = POINTS, window: int = WINDOW, listener: Listener | None = None
) -> Observed:
    """Train the fixed model once, as ``compare`` does with its first seed, and look at it on the way.

    Parameters
    ----------
    design : Design
        Design; one that hardware does.
    data : Data
        Its samples.
    steps : int
        Steps of the run.
    points, window : int
        Moments to look at, and steps to look at from each on.
    listener : Listener or None
        Told of progress.
    """
    from python_ref.fast import train
    from python_ref.machine import initial_state

    listener = listener or Silent()
    spec = replace(design.spec, hardware=replace(design.spec.hardware, signature=False))  # which takes long, and changes nothing
    raw = quantise_parameters(spec, initial_parameters(spec))
    samples, state = quantise(spec, data.train), initial_state(spec, raw)
    gatherers = {name: _Gatherer(format) for name, format in _formats(spec).items()}
    gatherers["input"].take(samples[0])
    directions, found, moments = [], None, list[int]()
    for moment in _moments(steps, points, window):
        listener.progress("Looking at the numbers", moment, steps, f"step {moment:,}")
        if moment > state.steps:
            state = train(spec, state, *samples, data.order, moment - state.steps).state
        moments.append(state.steps)
        found = agreement(design, data, state.parameters) if defined(spec) else None
        if found is not None:
            directions.append(Direction(state.steps, found.cosine_float, found.cosine_fixed))
        ahead = min(window, steps - state.steps)
        if ahead > 0:
            state = train(spec, state, *samples, data.order, ahead, observe=lambda seen: _take(gatherers, spec, seen)).state
    gatherers["parameter"].take(state.parameters)
    counters = dict(zip(COUNTERS, state.counters.tolist(), strict=True))
    values = tuple(_reported(spec, name, gatherer, counters) for name, gatherer in gatherers.items() if gatherer.count)
    estimates = found.steps if found else 0
    seed = design.spec.network.initial.seed
    return Observed(
        spec.name, design.spec.digest, seed, steps, tuple(moments), window, values, tuple(directions), estimates, design.spec.quantities
    )


def _reported(spec: DesignSpec, name: str, gatherer: _Gatherer, counters: dict[str, int]) -> Values:
    kind, _, layer = name.partition(" ")
    title, key, casts = _kinds(spec)[kind]
    saturated = None if casts is None else sum(counters[f"saturated_{cast}"] for cast in casts)
    return gatherer.values(title.format(layer), key, saturated)
