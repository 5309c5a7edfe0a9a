"""Designs for the float side, with samples and parameters for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from python_ref.parameters import initial_parameters
from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec, Formats
from python_ref.spec.network import Initialization, Network, Scheme
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import Optimizer, Sgd
from python_ref.spec.perturbation import Code, Kind, LfsrCode, Perturbation
from python_ref.spec.schedule import MAX_PERIOD, Difference, Schedule

__all__ = ["FINE", "HELD", "design", "problem"]

FINE = Formats(weight=Fixed(True, 4, 20), table=Fixed(True, 1, 13))
"""Formats that refuse none of the amplitudes and rates of the tests; the float side knows no format."""
HELD = MAX_PERIOD
"""A period that no run of the tests reaches: θ, or the sample, stays."""


def design(
    kind: Kind = Kind.WEIGHT,
    difference: Difference = Difference.ONE_SIDED,
    code: Code = LfsrCode(),  # noqa: B008
    sizes: tuple[int, ...] = (3, 4, 2),
    hidden: Activation = Activation.TANH,
    output: Activation = Activation.IDENTITY,
    amplitude_log2: int = -10,
    rate: int | tuple[tuple[int, int], ...] = 0,
    periods: tuple[int, int, int] = (1, 1, 1),
    optimizer: Optimizer = Sgd(),
) -> DesignSpec:
    """A design of these; ``rate`` is log₂ η, or its pairs of step and log₂ η, and the periods are τ_p, τ_x and τ_θ."""
    spec = DesignSpec(
        "net",
        Network(sizes, hidden, output, Initialization(Scheme.UNIFORM)),
        Perturbation(kind, LfsrCode(), amplitude_log2),
        Schedule(((0, rate),) if isinstance(rate, int) else rate, *periods, difference),
        optimizer,
        FINE,
    )
    return replace(spec, perturbation=replace(spec.perturbation, code=code))


def problem(spec: DesignSpec, n: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters, and ``n`` samples: inputs and targets."""
    generator = np.random.default_rng(3)
    return initial_parameters(spec, 5), generator.normal(size=(n, spec.network.n_in)), generator.normal(size=(n, spec.network.n_out))
