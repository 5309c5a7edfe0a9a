"""The float side of a design: its network, code, estimator, optimiser and learner, built from the :class:`DesignSpec` alone.

The learner of a design takes the same steps as the fixed model would without number formats, with two exceptions. Random signs are drawn
from another stream. And a two-sided difference of node perturbation judges an answer, and takes the inputs of synapses, in the + pass, not
in an unperturbed one. :mod:`~python_ref.floating.online` takes them faster, one sample at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from python_ref.floating import learner as learner_
from python_ref.floating.codes import Code, DesignCode, RandomCode
from python_ref.floating.estimators import Estimator, Exact, NodePerturbation, OwnNoise, WeightPerturbation
from python_ref.floating.layers import Dense, Sequential
from python_ref.floating.learner import Constant, Decay, Learner, Listed
from python_ref.floating.objectives import SquaredError
from python_ref.floating.optimizers import OPTIMIZERS, Optimizer
from python_ref.floating.passes import Measured
from python_ref.floating.series import Series
from python_ref.floating.sparse import Sparse
from python_ref.floating.stateful import Leaky, Lif, Memoryless
from python_ref.floating.stochastic import Random, Stochastic
from python_ref.spec import optimizer as optimizers
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.learning import LearningSpec
from python_ref.spec.perturbation import LfsrCode

__all__ = ["LAYERS", "code", "costs", "decay", "estimator", "evaluate", "gradient", "in_turn", "learner", "network", "outputs", "rule"]

BATCH = 4096
"""Samples that pass through the network at once where a design is evaluated."""


# -- How a design learns ----------------------------------------------------------------------------------------------


LAYERS: dict[str, Callable[[Any], Any]] = {
    "dense": lambda layer: Dense(layer.n_out, layer.activation),
    "sparse": lambda layer: Sparse(layer.n_out, layer.activation, layer.lists, layer.block),
    "leaky": lambda layer: Leaky(layer.n_out, layer.activation, layer.kind.leak),
    "lif": lambda layer: Lif(layer.n_out, layer.kind.leak),
    "stochastic": lambda layer: Stochastic(layer.n_out, layer.activation, layer.kind.draws),
}
"""Layers of the float side by the names of their kinds: functions of a layer of the specification."""


def network(spec: DesignSpec) -> Sequential | Series:
    """The network of a design, with θ in the canonical order.

    Raises
    ------
    TypeError
        If the float side does not have a kind of layer.
    """
    for each in spec.network.layers:
        if each.kind.name not in LAYERS:
            raise unknown("Kind of a layer", each.kind, "python_ref.floating.of_design.LAYERS")
    layers = [LAYERS[each.kind.name](each) for each in spec.network.layers]
    if spec.network.random:
        return Random((spec.network.n_in,), tuple(layers), seed=spec.perturbation.seed)
    if not any(each.kind.stateful for each in spec.network.layers):
        return Sequential((spec.network.n_in,), tuple(layers))
    return _series(spec.network, layers, spec.perturbation)


def _series(shape: Any, layers: list[Any], perturbation: Any) -> Series:
    """The network of a design with state: ``shape`` is its network, with its frames."""
    usual = shape.frames if shape.held else 1
    hold = usual if perturbation.hold is None else perturbation.hold
    framed = tuple(Memoryless(layer) if isinstance(layer, Dense) else layer for layer in layers)
    return Series(shape.n_in, framed, shape.frames, shape.held, shape.readout.value == "sum", hold)


def code(spec: LearningSpec, seed: int | None = None) -> Code:
    """The perturbation code of a design; ``seed`` in place of the design's own.

    Signs that are not drawn are those of the hardware, quantity by quantity. Random signs come from the same recurrence, but not from
    the same place in its stream.

    Raises
    ------
    TypeError
        If no hardware has the code.
    """
    seed = spec.perturbation.seed if seed is None else seed
    if type(spec.code) is LfsrCode:  # exactly: a code derived from this one is not this one
        return RandomCode(seed)
    return DesignCode(spec.code, None if spec.node else spec.layout.parameter_order, seed)


def estimator(spec: DesignSpec, seed: int | None = None) -> Estimator:
    """How a design measures a gradient: node or weight perturbation, one-sided or two-sided, or by the own noise of stochastic neurons;
    ``seed`` in place of the design's own."""
    more = code(spec, seed), 2.0**spec.perturbation.amplitude_log2, spec.two_sided
    if spec.node:
        parts, net = spec.perturbation.parts if spec.in_parts else None, network(spec)
        if isinstance(net, Random):
            return OwnNoise(net, SquaredError(), *more, parts=parts, in_turn=in_turn(spec))
        return NodePerturbation(net, SquaredError(), *more, parts=parts, in_turn=in_turn(spec))
    return WeightPerturbation(Measured(network(spec), SquaredError()), *more)


def in_turn(spec: DesignSpec) -> int:
    """Number of steps that take one row of the code where parts of the network take turns; 0 where every step perturbs all layers."""
    return spec.schedule.perturbation_period if spec.in_parts else 0


def held_steps(spec: DesignSpec) -> int:
    """Number of consecutive steps with the same perturbation: τ_p, but 1 where parts of the network take turns, one in each step."""
    return 1 if spec.in_parts else spec.schedule.perturbation_period


def rule(optimizer: optimizers.Optimizer, rate: float) -> Optimizer:
    """An optimiser of the hardware in real numbers, at a rate η.

    Raises
    ------
    TypeError
        If the table of rules lacks the optimiser's.
    """
    name, parameters = optimizer.float_rule()
    if name not in OPTIMIZERS:
        raise unknown("Rule", name, "python_ref.floating.optimizers.OPTIMIZERS")
    made: Callable[..., Optimizer] = OPTIMIZERS[name]
    return made(rate, **parameters)


def decay(spec: LearningSpec) -> Decay:
    """How the learning rate of a design changes over the steps."""
    return Listed(spec.schedule) if len(spec.schedule.learning_rate) > 1 else Constant()


def learner(spec: DesignSpec, seed: int | None = None) -> Learner:
    """How a design learns; ``seed`` in place of the design's own."""
    schedule = spec.schedule
    periods = held_steps(spec), schedule.sample_period, schedule.update_period
    return Learner(estimator(spec, seed), rule(spec.optimizer, 2.0 ** schedule.rate_at(0)), 1, *periods, decay=decay(spec))


# -- Its network at given parameters ----------------------------------------------------------------------------------


def outputs(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Outputs (float64, shape (n, n_out)) of the unperturbed network at θ (shape (P,)) to inputs (shape (n, n_in))."""
    return learner_.outputs(network(spec), parameters, inputs, BATCH)


def evaluate(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Accuracy and mean cost of the unperturbed network at θ (shape (P,)) over samples (shapes (n, n_in), (n, n_out))."""
    return learner_.evaluate(network(spec), parameters, inputs, targets, SquaredError().costs, BATCH)


def costs(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """C of each sample (float64, shape (n,)) with the perturbed quantities shifted.

    Parameters
    ----------
    spec : DesignSpec
        Design; whether parameters or pre-activations are shifted is its kind of perturbation.
    parameters : array of float64, shape (P,)
        θ in canonical order.
    inputs, targets : arrays, shapes (n, n_in) and (n, n_out)
        Real-valued samples to evaluate, one per row.
    shift : array of float64, shape (quantities,)
        What is added to each perturbed quantity, such as sΔ.
    """
    found = network(spec)
    if spec.node:
        answers, _ = found.trace(parameters, inputs, np.broadcast_to(shift, (len(inputs), spec.quantities)))
    else:
        answers = found.forward(parameters + shift, inputs)
    return SquaredError().costs(answers, targets)


def gradient(spec: DesignSpec, parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """∂C/∂θ (float64, shape (P,)), the mean over samples (shapes (n, n_in), (n, n_out)), by back-propagation.

    Raises
    ------
    ValueError
        If an activation has no slope: a slope in its place would be another algorithm, so there is nothing to compare with.
    """
    return Exact(network(spec), SquaredError()).estimate(parameters, inputs, targets, 0).gradient
