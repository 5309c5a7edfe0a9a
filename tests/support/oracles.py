"""The oracle of a design of either kind of perturbation, which shows the observables of a step by their names."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from python_ref.spec.design import DesignSpec
from python_ref.spec.probes import COUNTERS
from tests.support.oracle import Oracle
from tests.support.probe_oracle import ProbeOracle
from tests.support.probe_signature import ProbeSignature
from tests.support.stochastic_oracle import StochasticOracle

__all__ = ["DrawingOracle", "NodeOracle", "oracle_of", "signs_of"]


class NodeOracle(ProbeOracle):
    """The oracle of probes, with observables as lists of real numbers, and signatures.

    Parameters
    ----------
    spec : DesignSpec
        Design, of node perturbation.
    parameters : sequence of int
        Raw parameters at the start.
    seed : int
        Seed of the random streams.
    """

    def __init__(self, spec: DesignSpec, parameters: Sequence[int], seed: int) -> None:
        super().__init__(spec, parameters, seed, error=spec.error_format, error_cast=spec.formats.error_cast)
        self.signature = ProbeSignature(spec)

    def observed(self, inputs: Sequence[int], targets: Sequence[int]) -> dict[str, list[Fraction]]:
        """Take a step; return its observables, flat, by name."""
        n, p = self.spec.network.n_neurons, self.spec.network.n_parameters
        before = self.state()
        found = self.step(inputs, targets)
        gradient = found["gradient"] if found["ends"] else before["gradient"]
        shown = {
            "preactivation": [value for one in found["preactivation"] for value in one],
            "activation": [value for one in found["activation"] for value in one],
            "cost": found["cost"],
            "cost_change": [found["cost_change"]],
            "sign": found["sign"],
            "error_sum": found["error_sum"],
            "error": found["error"] or [0] * n,
            "gradient": gradient or [0] * p,
            "momentum": found["momentum"] or [0] * p,
            "square": found["square"] or [0] * p,
            "parameter": found["parameter"],
            "counter": [found["counter"].get(name.removeprefix("saturated_"), 0) for name in COUNTERS],
            "signature": self.signature.step(found),
        }
        return {name: [Fraction(value) for value in values] for name, values in shown.items()}


class DrawingOracle(NodeOracle, StochasticOracle):
    """The oracle of networks with stochastic layers, with observables and signatures as :class:`NodeOracle`."""


def oracle_of(spec: DesignSpec, parameters: Sequence[int] | None = None, seed: int = 1) -> Oracle | NodeOracle:
    """The oracle of a design; its parameters are 0 if none are given."""
    start = [0] * spec.network.n_parameters if parameters is None else list(parameters)
    if not spec.node:
        return Oracle(spec, start, seed)
    drawing = any(kind.name == "stochastic" for kind in spec.network.kinds)
    return (DrawingOracle if drawing else NodeOracle)(spec, start, seed)


def signs_of(oracle: Oracle | NodeOracle, p: int) -> list[int]:
    """Sign vector number p, by neuron or by parameter."""
    keys = range(len(oracle.neurons)) if isinstance(oracle, NodeOracle) else oracle.keys
    return [oracle.sign(key, p) for key in keys]
