"""The observables of a step, with their names, shapes and formats, as they appear in every trace."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from python_ref.spec.design import DesignSpec
from python_ref.spec.error import unknown
from python_ref.spec.learner import LearnerSpec
from python_ref.spec.learning import SATURATION_KINDS, LearningSpec
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


def probes(spec: LearningSpec) -> tuple[Probe, ...]:
    """Return the observables of a step of a design.

    Parameters, gradients and the signs of weight perturbation are in the canonical order of :class:`~python_ref.spec.layout.Layout`,
    neurons in the order of the layers. ``spec.passes`` says which passes a step shows; a step that does not run pass 0 repeats the one in
    force. A learner shows the words that it sent instead of neurons; its parameters are the quantities.
    """
    match spec:
        case LearnerSpec():
            found, p = [*_sent(spec), *_broadcast(spec), *_errors(spec)], spec.quantities
        case DesignSpec():
            found, p = [*_measured(spec), *(_presented(spec) if spec.node else _broadcast(spec))], spec.network.n_parameters
        case _:
            raise unknown("Design", spec, "python_ref.spec.probes.probes")
    if not spec.direct_update:
        when = "where the presentation ends after its correlation," if spec.node else "after this step's correlation,"
        found.append(Probe("gradient", (p,), (spec.gradient_format,), f"G {when} before an update clears it, by parameter"))
    for variable in spec.optimizer_state:
        found.append(Probe(variable.name, (p,), (variable.format,), f"{variable.symbol}, by parameter"))
    found.append(Probe("parameter", (p,), (spec.formats.weight,), "θ after this step, by parameter"))
    found.append(Probe("counter", (len(COUNTERS),), (Fixed(False, 48, 0),), "counters after this step", COUNTERS))
    if spec.hardware.signature:
        applied = "of the presentations that have ended" if spec.node else "of correlating passes"
        measured = "words and costs" if isinstance(spec, LearnerSpec) else "neurons and costs"
        meaning = f"running signature of {measured}, and of the words {applied}, after this step"
        found.append(Probe("signature", (2,), (Fixed(False, 32, 0),), meaning, ("forward", "learned")))
    return tuple(found)


def _measured(spec: DesignSpec) -> list[Probe]:
    """Return the observables of the passes of a step."""
    passes = spec.passes
    which = "pass 0, 1 and 2" if passes == 3 else "pass 0 and 1"
    neurons = _evaluated(spec, which) if spec.series else _once(spec, which)
    return [
        *neurons,
        Probe("cost", (passes,), (spec.cost_format,), f"C of {which}"),
        Probe("cost_change", (1,), (spec.cost_change_format,), "C̃"),
    ]


def _once(spec: DesignSpec, which: str) -> list[Probe]:
    """Return the observables of neurons that a pass evaluates once."""
    shape = spec.passes, spec.network.n_neurons
    z = tuple(spec.preactivation_format(number) for number, layer in enumerate(spec.network.layers) for _ in range(layer.n_out))
    y = tuple(spec.output_format(number) for number, layer in enumerate(spec.network.layers) for _ in range(layer.n_out))
    shown = "y, or the count of a stochastic neuron," if spec.network.random else "y"
    return [
        Probe("preactivation", shape, z, f"z of {which}, exact, by neuron"),
        Probe("activation", shape, y if spec.network.random else y[:1], f"{shown} of {which}, by neuron"),
    ]


def _evaluated(spec: DesignSpec, which: str) -> list[Probe]:
    """Return the observables of neurons that a pass evaluates in every frame, and of those that it evaluates after the last one."""
    shape, order = (spec.passes, spec.evaluations), f"of {which}, by evaluation, 0 in frames that the sample does not have"
    z, y, state = [], [], []
    for number in spec.unrolled.visits:
        neurons = spec.network.layers[number].n_out
        z += [spec.preactivation_format(number)] * neurons
        y += [spec.output_format(number)] * neurons
        state += [spec.state_format(number) or spec.output_format(number)] * neurons
    return [
        Probe("preactivation", shape, tuple(z), f"z {order}"),
        Probe("activation", shape, tuple(y), f"y, or the spike of a lif neuron, {order}"),
        Probe("state", shape, tuple(state), f"state after the frame {order}, and 0 of a neuron without state"),
    ]


def _sent(spec: LearnerSpec) -> list[Probe]:
    """Return the observables of the passes of a step of a learner."""
    return [
        Probe("presented", (2, spec.quantities), (spec.formats.weight,), "words of pass 0 and 1, by quantity"),
        Probe("cost", (2,), (spec.cost_format,), "C of pass 0 and 1"),
        Probe("cost_change", (1,), (spec.cost_change_format,), "C̃"),
    ]


def _presented(spec: DesignSpec) -> list[Probe]:
    """Return the observables that only node perturbation has, one value per neuron, or per neuron and segment of the frames."""
    n, order = spec.quantities, "by neuron"
    if spec.series:
        order = "by quantity, 0 in segments of which the sample has no frame"
    factor = "s, or m of a stochastic neuron" if spec.network.random else "s"
    return [
        Probe("sign", (n,), (spec.factor_format,), f"{factor}, {order}"),
        Probe("error_sum", (n,), (spec.error_sum_format,), f"E after this step, before the end of a presentation clears it, {order}"),
        Probe("error", (n,), (spec.error_format,), f"err where the presentation ends, otherwise 0, {order}"),
    ]


def _broadcast(spec: DesignSpec | LearnerSpec) -> list[Probe]:
    """Return the observables that only a perturbation of parameters has."""
    meaning = "u, rounded before the sign, by word of a pass" if spec.direct_update else "g, by word of a pass"
    words = spec.quantities if isinstance(spec, LearnerSpec) else spec.layout.words
    return [
        Probe("broadcast", (words,), (spec.broadcast_format,), meaning),
        Probe("sign", (spec.quantities,), (Fixed(True, 2, 0),), "s, by parameter"),
    ]


def _errors(spec: LearnerSpec) -> list[Probe]:
    """Return the observable that only a learner of node currents has."""
    if not spec.sends_errors:
        return []
    return [
        Probe("error", (spec.quantities,), (spec.node_error_format,), "err where this step's correlation updates, otherwise 0, by quantity")
    ]


def values_per_step(spec: LearningSpec) -> int:
    """Return the number of values of all observables in one step."""
    return sum(probe.size for probe in probes(spec))
