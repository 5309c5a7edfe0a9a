"""Faults planted in what only cores with sparse layers have, and the designs in which they are planted."""

from __future__ import annotations

from dataclasses import replace

from python_ref.spec.design import Cast, DesignSpec
from python_ref.spec.layers import DENSE, Sparse
from python_ref.spec.number import Rounding
from python_ref.spec.perturbation import Kind
from tests.support.faults import Fault
from tests.support.node_designs import node_design, two_multipliers

__all__ = ["SPARSE_DESIGNS", "SPARSE_FAULTS"]

_EVERY = (Sparse(3, 4), Sparse(4, 2))


def _weight(spec: DesignSpec) -> DesignSpec:
    """The design with perturbed weights."""
    return replace(spec, perturbation=replace(spec.perturbation, kind=Kind.WEIGHT))


_LATE = Sparse(1, 2, inputs=((8,), (8,)))
_EARLY = (Sparse(7, 8), Sparse(1, 8, inputs=((0,), (1,))))

SPARSE_DESIGNS: dict[str, DesignSpec] = {
    "every": node_design(sizes=(6, 9, 3), kinds=_EVERY),
    "stochastic": node_design(sizes=(6, 9, 3), kinds=_EVERY, weight_cast=Cast(Rounding.STOCHASTIC)),
    "dense_last": node_design(sizes=(6, 9, 3), kinds=(Sparse(3, 2), DENSE)),
    "late": node_design(sizes=(6, 9, 3), kinds=(DENSE, _LATE)),
    "early": node_design(sizes=(9, 16, 9), kinds=_EARLY, lanes=8),
    "in_time": two_multipliers(node_design(sizes=(6, 9, 3), kinds=(Sparse(3, 2), DENSE))),
    "weight": _weight(node_design(sizes=(6, 9, 3), kinds=_EVERY, periods=(1, 1, 1))),
    "weight_late": _weight(node_design(sizes=(6, 9, 3), kinds=(DENSE, _LATE), periods=(1, 1, 1))),
    "weight_early": _weight(node_design(sizes=(9, 16, 9), kinds=_EARLY, lanes=8, periods=(1, 1, 1))),
}
"""The layers of "late" read the last activation first, those of "early" have so few inputs that neurons of two layers could meet."""

_MEMORY = "indices:IndexMemory.elaborate"
_BUBBLE = "written_before(placed, following), "

SPARSE_FAULTS = (
    Fault(
        "the input of the neighbouring slot",
        _MEMORY,
        "by_layer(starts, self.layer), place)",
        "by_layer(starts, self.layer), place + 1)",
        "every",
    ),
    Fault("a list begins a slot late", _MEMORY, "place.eq(read.addr + reads)", "place.eq(place + reads)", "every"),
    Fault("a probe begins with the lists of the first layer", _MEMORY, "starts.append(start % len(rows))", "starts.append(0)", "every"),
    Fault("dense layers take lists too", _MEMORY, "int(each.layer.lists is not None) for", "1 for", "dense_last"),
    Fault("the list of the wrong block", "indices:index_rows", "group * placed.lanes // placed.layer.block", "group % len(lists)", "every"),
    Fault("a list in the opposite order", "indices:index_rows", ".tolist()", ".tolist()[::-1]", "every"),
    Fault(
        "errors are applied to the inputs in their order",
        "presentation.operands:Operands._listed",
        "ahead.real & ~ahead.last",
        "ahead.real & ~ahead.last & ~ahead.apply",
        "dense_last",
    ),
    Fault("the bias has an index", "presentation.operands:Operands._listed", "ahead.real & ~ahead.last", "ahead.real", "every"),
    Fault(
        "the operand behind the one that is listed",
        "indices:next_operand",
        "Mux(listed, index, ~loads)",
        "Mux(listed, index + 1, ~loads)",
        "dense_last",
    ),
    Fault(
        "the first group takes the first input",
        "indices:next_operand",
        "Mux(loads | listed, base",
        "Mux(listed & ~loads, base",
        "dense_last",
    ),
    Fault(
        "an activation is read before it is written",
        "presentation.sequencer:PassSequencer.bubble",
        _BUBBLE,
        "(placed.groups - 1) * placed.lanes, ",
        "late",
    ),
    Fault("neurons of two layers meet", "presentation.sequencer:PassSequencer.bubble", "leaving(placed, following)", "0", "early"),
    Fault(
        "a replayed activation is read before it is written",
        "presentation.applying:ApplyingAlone._wait",
        "replayed_before(layers[number], *layers[number + 1 : number + 2])",
        "layers[number].layer.n_out",
        "late",
    ),
    Fault(
        "as many words in a group as there are inputs",
        "presentation.sequencer:PassSequencer._count",
        "p.layer.fan_in - 1",
        "p.layer.n_in - 1",
        "every",
    ),
    Fault(
        "rounding words of inputs that a neuron lacks",
        "presentation.noise:InputNoise.elaborate",
        "sum(layer.fan_in + 1 for layer in layers[:number])",
        "sum(layer.n_in for layer in layers[:number])",
        "stochastic",
    ),
    Fault(
        "the list of a measuring pass a cycle late",
        "presentation.just_in_time:JustInTimeOperands._fetch_measured",
        "delayed(m, each, self.delay, f",
        "delayed(m, each, self.delay + 1, f",
        "in_time",
    ),
    Fault(
        "errors take the next sample's lists as they come",
        "presentation.just_in_time:JustInTimeOperands._fetch_applied",
        "next_operand(spec, address, base, slot.first, *self._taken)",
        "next_operand(spec, address, base, slot.first, Const(0, 1), self._taken[1])",
        "in_time",
    ),
    Fault(
        "the second pass begins with the first layer's lists",
        "operands:Operands._fetch",
        "ahead.begin | ahead.branch",
        "ahead.begin",
        "weight",
    ),
    Fault(
        "weights: an activation is read early", "sequencer:Sequencer.bubble", _BUBBLE, "(placed.groups - 1) * placed.lanes, ", "weight_late"
    ),
    Fault("weights: neurons of two layers meet", "sequencer:Sequencer.bubble", "times=2 if both else 1", "times=1", "weight_early"),
)
