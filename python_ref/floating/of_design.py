"""The float side of a design: its network, code, estimator, optimiser and learner, built from the :class:`DesignSpec` alone.

The learner of a design takes the same steps as the fixed model would without number formats, with two exceptions. Random signs are drawn
from another stream. And a two-sided difference of node perturbation judges an answer, and takes the inputs of synapses, in the + pass, not
in an unperturbed one. :mod:`~python_ref.floating.online` takes them faster, one sample at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from python_ref.floating import learner as learner_
from python_ref.floating.codes import Code, DesignCode, RandomCode
from python_ref.floating.estimators import Estimator, Exact, NodePerturbation, WeightPerturbation
from python_ref.floating.layers import Dense, Sequential
from python_ref.floating.learner import Constant, Decay, Learner, Listed
from python_ref.floating.objectives import SquaredError
from python_ref.floating.optimizers import OPTIMIZERS, Optimizer
from python_ref.floating.passes import Measured
from python_ref.spec import optimizer as optimizers
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import DesignError, unknown
from python_ref.spec.layers import DENSE
from python_ref.spec.learning import LearningSpec
from python_ref.spec.network import Network
from python_ref.spec.perturbation import LfsrCode

__all__ = [
    "check_kinds", "code", "costs", "decay", "estimator", "evaluate", "gradient", "in_turn", "learner",
    "missing_kind", "network", "outputs", "rule",
]  # fmt: skip

BATCH = 4096
"""Samples that pass through the network at once where a design is evaluated."""


# -- How a design learns ----------------------------------------------------------------------------------------------


def missing_kind(network: Network) -> str:
    """Name of the first kind of layer of a network that the float side has not; "" if it has all."""
    return next((layer.kind.name for layer in network.layers if layer.kind != DENSE), "")


def check_kinds(network: Network) -> None:
    """Refuse a network with a kind of layer that the float side has not.

    Raises
    ------
    DesignError
        If there is one. The key is ``network.layers``.
    """
    if kind := missing_kind(network):
        raise DesignError("network.layers", list(network.sizes), f"the float model has no {kind} layers", "Take dense layers here.")


def network(spec: DesignSpec) -> Sequential:
    """The dense network of a design, with θ in the canonical order.

    Raises
    ------
    DesignError
        If it has other layers.
    """
    check_kinds(spec.network)
    return Sequential((spec.network.n_in,), tuple(Dense(layer.n_out, layer.activation) for layer in spec.network.layers))


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
    """How a design measures a gradient: node or weight perturbation, one-sided or two-sided; ``seed`` in place of the design's own."""
    more = code(spec, seed), 2.0**spec.perturbation.amplitude_log2, spec.two_sided
    if spec.node:
        parts = spec.perturbation.parts if spec.in_parts else None
        return NodePerturbation(network(spec), SquaredError(), *more, parts=parts, in_turn=in_turn(spec))
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
