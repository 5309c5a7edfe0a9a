"""Faults planted in the core of weight perturbation with state, which its comparison with the model must see."""

from __future__ import annotations

from python_ref.spec.layers import DENSE, Lif
from python_ref.spec.number import Fixed
from tests.support.faults import Fault
from tests.support.series_weight_shapes import WEIGHT_SERIES_SHAPES, weight_series

__all__ = ["INTERRUPTED_WEIGHT_SERIES_FAULTS", "WEIGHT_SERIES_DESIGNS", "WEIGHT_SERIES_FAULTS"]

WEIGHT_SERIES_DESIGNS = WEIGHT_SERIES_SHAPES | {
    "leaves later": weight_series((1, 2, 12), (Lif(1), DENSE), 2, lanes=12),
    "saturating": weight_series(
        kinds=(Lif(1), DENSE), input=Fixed(False, 3, 4), state=Fixed(True, 2, 6), activation=Fixed(True, 0, 7), periods=(1, 1, 1)
    ),
}
"""Designs by name."""


def _fault(name: str, where: str, right: str, wrong: str, design: str = "leaky") -> Fault:
    return Fault(name, f"series.weight_{where}", right, wrong, design)


def _without_sign(name: str, slots: str) -> Fault:
    """The parameters of these slots are not perturbed."""
    mask = f"~arriving[timing.parameter].{slots}.replicate(len(self.lanes))"
    signs = f'self.signs(m, arriving) | {{"live_active": self.signs(m, arriving)["live_active"] & {mask}}}'
    return Fault(name, "array:MeasuringArray.elaborate", "per_lane |= self.signs(m, arriving)", f"per_lane |= {signs}", "leaky")


WEIGHT_SERIES_FAULTS = (
    _fault("a frame begins another vector", "signs:FramedRandomSigns.begin_vector", "fresh.eq(0)", "fresh.eq(1)"),
    Fault(
        "the signs of the last frame go on",
        "perturbation:RandomSigns._states",
        "If(begin & ~fresh)",
        "If(begin & ~fresh & ~slot.final)",
        "leaky",
    ),
    Fault(
        "signs are counted from frame to frame", "perturbation:CountedSigns.elaborate", "Mux(slot.begin, 0, again)", "again", "held-walsh"
    ),
    _fault("a parameter correlates in every frame", "sequencer:WeightSequencer._of_kind", "(frame.first | in_tail(self.spec, layer))", "1"),
    _fault("a parameter correlates in the last frame", "sequencer:WeightSequencer._of_kind", "frame.first |", "frame.last |"),
    _fault("padding draws no signs", "sequencer:WeightSequencer._of_kind", "placed.group_slots for", "placed.group_words for", "padded"),
    _fault("a pass has the length of the sample before", "sequencer:WeightSequencer.elaborate", "self.START, ", "0, "),
    _fault("a frame too many", "sequencer:WeightSequencer.elaborate", "Mux(forward, self.length, 1)", "Mux(forward, self.length | 1, 1)"),
    _fault(
        "neurons of the next pass take the place of others",
        "sequencer:WeightSequencer._waits",
        "last.last_lanes - placed[0]",
        "0 - placed[0]",
        "leaves later",
    ),
    _fault("the tail has the parameters of the frames", "array:FramedArray._address", " & ~slot.final", ""),
    _fault("a frame has the parameters of the tail", "array:FramedArray._address", "ends_frame | ends_pass", "ends_pass"),
    _fault("a sum goes on from neuron to neuron", "array:FramedArray.data", "~slots[self.timing.accumulator - 2].first", "~Signal()"),
    _without_sign("the sign of a bias is left out", "first"),
    _without_sign("a recurrent weight is not perturbed", "recurrent"),
    _fault("the inputs of the frame before", "core:SeriesWeightCore._connect_lanes", "array.operand_latency - 2", "array.operand_latency"),
    _fault(
        "the neurons of a pass leave without their place",
        "blocks:WeightEvaluationStream.elaborate",
        "base + leaving.index",
        "leaving.index",
    ),
    _fault("outputs in the place of the other frame", "blocks:WeightEvaluationStream.elaborate", "frame.odd", "~frame.odd"),
    _fault("every pass is pass 1", "core:SeriesWeightCore._connect_neurons", "cost.first.eq(~neuron.second)", "cost.first.eq(0)"),
    _fault("an output of every frame costs", "core:SeriesWeightCore._connect_neurons", " & neuron.final", "", "no-tail"),
)
"""Faults that some steps show."""

INTERRUPTED_WEIGHT_SERIES_FAULTS = (
    _fault(
        "states are shown as in range", "core:SeriesWeightCore._connect_probes", '"outside", "state_outside"', '"outside"', "saturating"
    ),
    _fault(
        "an inference counts what is out of range",
        "core:SeriesWeightCore._connect_neurons",
        "neuron.valid & controller.training",
        "neuron.valid",
        "saturating",
    ),
    _fault("a restart goes on in its vector", "signs:FramedRandomSigns.begin_vector", "drawing.slot.begin & drawing.signs", "1"),
    Fault(
        "a stop loses what is pending",
        "controller:StepController._decide",
        "(first & flags.pending) | run.flush",
        "first & flags.pending",
        "leaky",
    ),
    Fault("a load leaves the baseline", "controller:StepController._settle", 'commands["loaded"] | ', "", "leaky"),
)
"""Faults that a short run without a break does not show."""
