"""Faults planted in what only cores with stochastic layers have, and the designs in which they are planted."""

from __future__ import annotations

from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec
from python_ref.spec.layers import DENSE, Stochastic
from python_ref.spec.perturbation import SequentialCode
from tests.support.faults import Fault
from tests.support.node_designs import node_design

__all__ = ["STOCHASTIC_DESIGNS", "STOCHASTIC_FAULTS", "STOCHASTIC_RUN_FAULTS"]

_SIGMOID = {"hidden": Activation.SIGMOID, "output": Activation.SIGMOID, "rates": ((0, -3),)}

STOCHASTIC_DESIGNS: dict[str, DesignSpec] = {
    "both": node_design(sizes=(3, 4, 2), kinds=(Stochastic(2), Stochastic(4)), **_SIGMOID),
    "first": node_design(sizes=(3, 4, 2), kinds=(Stochastic(4), DENSE), **_SIGMOID),
    "sequential": node_design(sizes=(3, 3, 2), kinds=(Stochastic(4), Stochastic(4)), code=SequentialCode(), periods=(1, 5, 5), **_SIGMOID),
    "three": node_design(sizes=(3, 4, 3, 2), kinds=(Stochastic(4), DENSE, DENSE), **_SIGMOID),
    "runs": node_design(sizes=(2, 3, 2), kinds=(Stochastic(2), Stochastic(4)), periods=(1, 9, 9), **_SIGMOID),
    "runs, sequential": node_design(
        sizes=(2, 2, 2), kinds=(Stochastic(1), Stochastic(4)), code=SequentialCode(), periods=(1, 8, 8), two_sided=True, **_SIGMOID
    ),
}

_UNIT, _ERRORS = "presentation.draws:DrawUnit", "presentation.factors:FactorErrorUnit"

STOCHASTIC_FAULTS = (
    Fault(
        "a threshold that equals the activation counts",
        "presentation.draws:Counts.elaborate",
        "activation > self",
        "activation >= self",
        "first",
    ),
    Fault("a neuron of few draws takes all of a word", "presentation.draws:Counts.elaborate", "used & (", "1 & (", "both"),
    Fault("the stream of thresholds is not loaded", f"{_UNIT}.elaborate", "load_en.eq(self.load_en)", "load_en.eq(0)", "first"),
    Fault(
        "a probe's thresholds replace those of the unperturbed pass",
        f"{_UNIT}._thresholds",
        "delayed(m, takes & unperturbed, 1",
        "delayed(m, takes, 1",
        "sequential",
    ),
    Fault("a neuron with sign 0 draws", f"{_UNIT}._thresholds", "self.draws, next_one.active", "self.draws, 1", "sequential"),
    Fault(
        "probes have the thresholds of the unperturbed pass",
        f"{_UNIT}._thresholds",
        "self.draws, next_one.active",
        "self.draws, 0",
        "first",
    ),
    Fault(
        "thresholds are kept of all neurons but the first",
        f"{_UNIT}._thresholds",
        "takes & unperturbed, 1",
        "takes & unperturbed & (next_one.index != 3), 1",
        "sequential",
    ),
    Fault("m with the wrong sign", f"{_UNIT}._follow_changes", "else new - old", "else old - new", "first"),
    Fault(
        "both banks share their changes",
        f"{_UNIT}._follow_changes",
        "Cat(self.sweep_index[:places], swept)",
        "Cat(self.sweep_index[:places], 0)",
        "first",
    ),
    Fault(
        "m is not 0 where the sign is 0",
        f"{_ERRORS}._add",
        "Mux(active, Mux(is_noisy, self.change, sign), 0)",
        "Mux(is_noisy, self.change, Mux(active, sign, 0))",
        "sequential",
    ),
    Fault("the highest bit of m is added", f"{_ERRORS}._times", "terms[0] - highest", "terms[0] + highest", "first"),
    Fault("the offset is one too large", f"{_ERRORS}._scale", "- offset - self", "- offset - 1 - self", "first"),
    Fault("the offset of another neuron", f"{_ERRORS}._scale", "self.sum_latency, ", "self.sum_latency + 1, ", "first"),
    Fault(
        "stochastic neurons are shifted, too",
        "presentation.neurons:NeuronStream._perturbed_by_layer",
        "self.spec.delta(number)",
        "self.spec.amplitude_raw(self.spec.preactivation_format(number).fraction_bits)",
        "first",
    ),
    Fault(
        "a replay overtakes the pass before",
        "presentation.controller:PresentationController._in_order",
        "~replays | (undrawn == 0)",
        "Const(1, 1)",
        "both",
    ),
    Fault(
        "the operands behind a stochastic layer are those of activations",
        "presentation.operands:hidden_operands",
        "not spec.network.random",
        "True",
        "three",
    ),
)
"""Faults that a run shows."""

STOCHASTIC_RUN_FAULTS = (
    Fault("a repeated unperturbed pass draws again", f"{_UNIT}._thresholds", "Mux(unperturbed, self.draws,", "Mux(unperturbed, 1,", "runs"),
    Fault("an inference has random thresholds", f"{_UNIT}._thresholds", "word.eq(Mux(self.training, ", "word.eq(Mux(1, ", "runs"),
    Fault("an inference draws", f"{_UNIT}._thresholds", " & self.training & ", " & ", "runs"),
    Fault("a repeated unperturbed pass counts again", f"{_UNIT}.elaborate", "self.training & ~takes, 1", "0, 1", "runs"),
)
"""Faults that only an interrupted run shows."""
