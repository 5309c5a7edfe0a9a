"""The observables of a step, with their names, shapes and formats, as they appear in every trace."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from python_ref.spec.design import SATURATION_KINDS, DesignSpec
from python_ref.spec.number import Fixed

__all__ = ["COUNTERS", "Probe", "probes", "values_per_step"]

COUNTERS = ("steps", "updates", "correct", "writes", "changed", *(f"saturated_{kind}" for kind in SATURATION_KINDS))
"""Labels of the values of the probe ``counter``, in order."""


@dataclass(frozen=True)
class Probe:
    """An observable of a step.
    Attributes
    ----------
    name : str
        Identifier of the observable, such as ``"preactivation"``; its key in traces.
    shape : tuple of int
        Shape of its values in one step.
    formats : tuple of Fixed
        One format, or one for each index of the last axis.
    meaning : str
        Description of the values and of their order.
    labels : tuple of str
        Names of the indices of the last axis; empty if they have none.
    """

    name: str
    shape: tuple[int, ...]
    formats: tuple[Fixed, ...]
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of values per step."""
        return prod(self.shape)

    def format_at(self, index: int) -> Fixed:
        """Return the format of the value at a flat index within the step."""
        return self.formats[index % self.shape[-1]] if len(self.formats) > 1 else self.formats[0]


def probes(spec: DesignSpec) -> tuple[Probe, ...]:
    """Return the observables of a design.

    Pass 0 is the one whose inputs are correlated (the baseline, or the + pass of a two-sided difference); pass 1 is the
    other (+, or −). In a step that needs no new baseline, pass 0 shows the current one. Parameters, gradients and signs
    are in the canonical order of :class:`~python_ref.spec.layout.Layout`.
    """
    n, p = spec.network.n_neurons, spec.network.n_parameters
    z = tuple(spec.preactivation_format(number) for number, layer in enumerate(spec.network.layers) for _ in range(layer.n_out))
    count = Fixed(False, 48, 0)
    found = [
        Probe("preactivation", (2, n), z, "z of pass 0 and 1, exact, by neuron"),
        Probe("activation", (2, n), (spec.formats.activation,), "y of pass 0 and 1, by neuron"),
        Probe("cost", (2,), (spec.cost_format,), "C of pass 0 and 1"),
        Probe("cost_change", (1,), (spec.cost_change_format,), "C̃"),
        Probe(
            "broadcast",
            (spec.layout.words,),
            (spec.broadcast_format,),
            "u, rounded before the sign, by word of a pass" if spec.direct_update else "g, by word of a pass",
        ),
        Probe("sign", (p,), (Fixed(True, 2, 0),), "s, by parameter (in node perturbation that of its neuron)"),
    ]
    if not spec.direct_update:
        found.append(
            Probe("gradient", (p,), (spec.gradient_format,), "G after this step's correlation, before an update clears it, by parameter")
        )
    for variable in spec.optimizer_state:
        found.append(Probe(variable.name, (p,), (variable.format,), f"{variable.symbol}, by parameter"))
    found.append(Probe("parameter", (p,), (spec.formats.weight,), "θ after this step, by parameter"))
    found.append(Probe("counter", (len(COUNTERS),), (count,), "counters after this step", COUNTERS))
    if spec.hardware.signature:
        meaning = "running signature of neurons and costs, and of the words of correlating passes, after this step"
        found.append(Probe("signature", (2,), (Fixed(False, 32, 0),), meaning, ("forward", "learned")))
    return tuple(found)


def values_per_step(spec: DesignSpec) -> int:
    """Return the number of values of all observables in one step."""
    return sum(probe.size for probe in probes(spec))
