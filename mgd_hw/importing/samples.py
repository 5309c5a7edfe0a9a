"""How samples have to be scaled for a network that was trained elsewhere, and what its first and last layer take over of that."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mgd_hw.data import Data, load
from mgd_hw.data.kinds import Classification, Regression
from mgd_hw.data.loading import read_raw
from mgd_hw.data.tasks import TASKS, DataSpec, Scaling
from mgd_hw.importing.network import TrainedNetwork
from python_ref.spec.activations import Activation
from python_ref.spec.error import Refusal

__all__ = ["Adapted", "adapt"]

NEAREST, FARTHEST = 0.5, 8.0
"""Least and greatest of the largest magnitude of inputs that a network takes as they are; others are scaled."""
UNEVEN = 16.0
"""Ratio of the ranges of two inputs above which each is scaled by its own."""

CLEAR_SHARE, CLEAR_RMSE = 0.05, 1.25
"""Difference of shares of right answers, and ratio of errors, from which on another scaling than the usual one is chosen."""


@dataclass(frozen=True, eq=False)
class Adapted:
    """A network as a design runs it on its samples, and the scaling of these samples.

    Attributes
    ----------
    network : TrainedNetwork
        Network that gives the same answers to the scaled samples.
    data : Data
        Samples under the scaling that the design file says.
    notes : tuple of str
        Sentences on what was chosen, and on what the layers take over.
    """

    network: TrainedNetwork
    data: Data
    scaling: Scaling
    target_scaling: Scaling
    notes: tuple[str, ...]


def adapt(network: TrainedNetwork, spec: DataSpec) -> Adapted:
    """Choose the scaling under which a network answers best, and move scaling and costs into its first and last layer.

    Parameters
    ----------
    network : TrainedNetwork
        Network as the exporter wrote it.
    spec : DataSpec
        Section [data] of its design; the scaling in it does not matter.

    Raises
    ------
    Refusal
        If the samples cannot be read, or do not fit the network.
    """
    try:
        loaded = _Loader(spec)
    except Refusal as error:
        if error.key == "network.layers":
            n_in, n_out = network.sizes[0], network.sizes[-1]
            error.key, error.file = None, None if spec.path is None else str(spec.path)
            error.remedy = (
                f"Give samples as the network was trained with: {n_in} inputs, and answers for {n_out} output{'s' if n_out > 1 else ''}; "
                "--label and --drop choose the columns of a csv file."
            )
        raise
    scaling, target_scaling, notes = _best(network, loaded)
    data = loaded.load(scaling, target_scaling)
    if scaling is Scaling.NONE and (scaled := _better_scaling(data)) is not None:
        scaling, data = scaled, loaded.load(scaled, target_scaling)
        network = network.with_inputs(data.offset, data.factor)
        how = "by the range of all" if scaled is Scaling.RANGE else "each by its own range"
        notes.append(
            f"Inputs are scaled to [0, 1], {how} over the training samples, and the first layer takes that into its weights: for samples "
            "with other ranges, import the network again."
        )
    if network.output is Activation.IDENTITY:
        if isinstance(data.kind, Regression) and target_scaling is Scaling.NONE:
            target_scaling, data = Scaling.COLUMN, loaded.load(scaling, Scaling.COLUMN)
            network = _with_targets(network, data)
            notes.append(
                "Outputs are scaled as the targets of the training samples are, to [0, 1]; the last layer takes that into its weights."
            )
        elif isinstance(data.kind, Classification):
            network, note = _with_costs(network, data)
            notes += [note] if note else []
    network, note = _balanced(network)
    notes += [note] if note else []
    return Adapted(network, data, scaling, target_scaling, tuple(notes))


class _Loader:
    """Loads the samples of a design under several scalings, after reading them once."""

    def __init__(self, spec: DataSpec) -> None:
        self.spec, self.raw = spec, read_raw(spec)
        self.load(Scaling.NONE, Scaling.COLUMN)

    def load(self, scaling: Scaling, target_scaling: Scaling) -> Data:
        return load(replace(self.spec, scaling=scaling, target_scaling=target_scaling), raw=self.raw)


def _best(network: TrainedNetwork, loaded: _Loader) -> tuple[Scaling, Scaling, list[str]]:
    """Return the scalings of inputs and targets under which the network answers the training samples best, and the reason."""
    own = TASKS[loaded.spec.task]
    first = Scaling.NONE if own.any_answers else own.scaling
    inputs = (first, *(each for each in (Scaling.NONE, Scaling.RANGE, Scaling.COLUMN) if each is not first))
    regression = isinstance(loaded.load(first, Scaling.NONE).kind, Regression)
    targets = (Scaling.NONE, Scaling.COLUMN) if regression and own.any_answers else (Scaling.COLUMN,)
    found: dict[tuple[Scaling, Scaling], float] = {}
    for scaling in inputs:
        for target_scaling in targets:
            found[scaling, target_scaling] = _merit(network, loaded.load(scaling, target_scaling))
    best = max(found, key=lambda each: found[each])
    default = max((each for each in found if each[0] is first), key=lambda each: found[each])
    if found[default] > (CLEAR_RMSE * found[best] if regression else found[best] - CLEAR_SHARE):
        best = default
    others = [each for each in inputs if each is not best[0]]
    worse = ", ".join(f'{_shown(max(found[each, target] for target in targets), regression)} with "{each.value}"' for each in others)
    what = "RMSE" if regression else "share of right answers"
    reason = f"{what} over the training samples {_shown(found[best], regression)}, against {worse}"
    return *best, [f"Chosen: {_named(best, regression)}: {reason}."]


def _merit(network: TrainedNetwork, data: Data) -> float:
    """Return the share of right answers to the training samples, or of a regression the RMSE, negative, in the unit of the file."""
    with np.errstate(all="ignore"):
        outputs = network.outputs(data.train.inputs)
        if isinstance(data.kind, Regression):
            error = (outputs - data.train.targets) * data.kind.factor
            return -float(np.sqrt(np.mean(np.square(error)))) if np.isfinite(error).all() else -np.inf
        shifts = (0.0, 0.5) if _single(network) else (0.0,)
        return max(_right(data, outputs + shift) for shift in shifts)


def _right(data: Data, outputs: np.ndarray) -> float:
    """Return the share of training samples whose class the outputs give."""
    assert isinstance(data.kind, Classification)
    return float(np.mean(data.kind.answers(outputs) == data.kind.answers(data.train.targets)))


def _single(network: TrainedNetwork) -> bool:
    """Whether the network tells two classes apart by one number, which may be a logit."""
    return network.sizes[-1] == 1 and network.output is Activation.IDENTITY


def _shown(merit: float, regression: bool) -> str:
    return f"{abs(merit):.4g}" if regression else f"{100 * merit:.1f} %"


def _named(scalings: tuple[Scaling, Scaling], regression: bool) -> str:
    inputs, targets = (each.value for each in scalings)
    return f'scaling = "{inputs}"' + (f' and target_scaling = "{targets}"' if regression else "")


def _better_scaling(data: Data) -> Scaling | None:
    """Return how inputs that a network takes as they are should be scaled for the hardware; None if they are of a good size."""
    inputs = data.train.inputs
    spans = np.ptp(inputs, axis=0)
    spans = spans[spans > 0]
    largest = float(np.abs(inputs).max())
    if not len(spans) or (NEAREST <= largest <= FARTHEST and spans.max() <= UNEVEN * spans.min()):
        return None
    return Scaling.RANGE if spans.max() <= UNEVEN * spans.min() and inputs.min() >= 0 else Scaling.COLUMN


def _with_targets(network: TrainedNetwork, data: Data) -> TrainedNetwork:
    """Return a network whose outputs are scaled like the targets of a regression."""
    assert isinstance(data.kind, Regression)
    return network.with_outputs(1.0 / data.kind.factor, -data.kind.offset / data.kind.factor)


def _balanced(network: TrainedNetwork) -> tuple[TrainedNetwork, str]:
    """Return the same function with weights of the same norm in all layers, and a sentence on it.

    A layer whose activation is straight on both sides of 0 may be divided by any positive number if the next is multiplied by it.
    Descent keeps the differences of the squared norms (Du, Hu and Lee, NeurIPS 2018), so that a layer that starts with far smaller
    weights than the others leaves those before it nearly as they are.
    """
    norms = np.array([np.linalg.norm(layer.weight) for layer in network.layers])
    if network.hidden not in (Activation.RELU, Activation.LEAKY_RELU, Activation.IDENTITY) or not norms.all():
        return network, ""
    factors = np.exp(np.log(norms).mean()) / norms
    if np.abs(np.log2(factors)).max() < 0.5:
        return network, ""
    scales = np.cumprod(factors)  # of the outputs of each layer; that of the last is 1
    layers = tuple(
        replace(layer, weight=layer.weight * factor, bias=layer.bias * scale)
        for layer, factor, scale in zip(network.layers, factors, scales, strict=True)
    )
    listed = ", ".join(f"{factor:.3g}" for factor in factors)
    return replace(network, layers=layers), f"The weights of the layers are multiplied by {listed}, which changes no output."


def _with_costs(network: TrainedNetwork, data: Data) -> tuple[TrainedNetwork, str]:
    """Return a network with the same answers whose outputs are as near to the targets of the training samples as one straight line takes
    them, which is where training by the squared error begins, and a sentence on it."""
    outputs, targets = network.outputs(data.train.inputs), data.train.targets.astype(np.float64)
    if _single(network):
        if _right(data, outputs) >= _right(data, outputs + 0.5):
            return network, ""
        factor, summand = float(np.sum(outputs * (targets - 0.5)) / (np.sum(np.square(outputs)) or 1.0)), 0.5
    else:
        spread = float(np.mean(np.square(outputs - outputs.mean())))
        factor = float(np.mean((outputs - outputs.mean()) * targets)) / (spread or 1.0)
        summand = float(targets.mean() - factor * outputs.mean())
    if factor <= 0 or abs(factor - 1) + abs(summand) < 0.05:
        return network, ""
    scaled = network.with_outputs(np.full(network.sizes[-1], factor), np.full(network.sizes[-1], summand))
    ends = f"{data.train.targets.min():g} and {data.train.targets.max():g}"
    return scaled, f"Outputs are scaled by {factor:.4g} and shifted by {summand:.4g} towards the targets {ends}, which changes no answer."
