"""The activation unit equals the reference for every pre-activation of a small format."""

from dataclasses import replace

import numpy as np
import pytest

from python_ref.fixed.network import activate
from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, Formats
from python_ref.spec.number import Fixed, Overflow, Rounding
from rtl_gen.activation import ActivationUnit, NeuronSerializer
from tests.support.bench import cycles
from tests.support.faults import DESIGNS


@pytest.mark.parametrize("rounding", [Rounding.FLOOR, Rounding.HALF_UP, Rounding.HALF_EVEN])
@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("hidden", Activation)
def test_every_preactivation_equals_the_reference(hidden, overflow, rounding):
    base = DESIGNS["weight"]
    formats = Formats(Fixed(False, 0, 1), Fixed(True, 1, 2), Fixed(True, 2, 2), Fixed(True, 2, 1), activation_cast=Cast(rounding, overflow))
    output = Activation.IDENTITY if hidden is not Activation.IDENTITY else Activation.TANH
    spec = replace(
        base,
        network=replace(base.network, sizes=(2, 2, 1), hidden=hidden, output=output),
        perturbation=replace(base.perturbation, amplitude_log2=-2),
        formats=formats,
    )
    stimuli = []
    for number in (0, 1):
        form = spec.preactivation_format(number)
        stimuli += [(number, raw) for raw in range(form.min, form.max + 1)]
    inputs = [{"neuron.valid": 1, "neuron.layer": number, "neuron.second": raw & 1, "z": raw} for number, raw in stimuli]
    outputs = ("y", "outside", "z_o", "neuron_o.layer", "neuron_o.second")
    found = cycles(ActivationUnit(spec), inputs, outputs, extra=ActivationUnit.latency)[ActivationUnit.latency :]
    for number, layer in enumerate(spec.network.layers):
        raws = np.array([raw for which, raw in stimuli if which == number])
        y, outside = activate(spec, layer.activation, raws, spec.preactivation_format(number))
        mine = [row for row, (which, _) in zip(found, stimuli, strict=True) if which == number]
        assert [row["y"] for row in mine] == y.tolist()
        assert [row["outside"] for row in mine] == outside.tolist()
        assert [row["z_o"] for row in mine] == raws.tolist()
        assert {row["neuron_o.layer"] for row in mine} == {number}
        assert [row["neuron_o.second"] for row in mine] == (raws & 1).tolist()


def test_a_group_leaves_the_lanes_one_by_one():
    base = DESIGNS["weight"]
    spec = replace(base, network=replace(base.network, sizes=(3, 4, 2)), hardware=replace(base.hardware, lanes=5))
    width, values = spec.accumulator_width, [7, -3, 2, -1, 9]
    packed = sum((value & (1 << width) - 1) << width * lane for lane, value in enumerate(values))
    # The hidden layer's 4 neurons, then 4 cycles later the output layer's 2, then a flushing pass's none.
    group = {"accumulators": packed, "slot.last": 1, "slot.tail": 1, "slot.forward": 1, "slot.second": 1}
    stimuli = [group | {"slot.layer": 0}, *[{"slot.last": 0}] * 3, group | {"slot.layer": 1}, *[{"slot.last": 0}] * 4]
    stimuli += [group | {"slot.forward": 0}, {"slot.last": 0}]
    found = cycles(NeuronSerializer(spec), stimuli, ("neuron.valid", "neuron.last", "neuron.layer", "z"), extra=6)
    shown = [
        (n - NeuronSerializer.latency, row["z"], row["neuron.layer"], row["neuron.last"])
        for n, row in enumerate(found)
        if row["neuron.valid"]
    ]
    assert shown == [(0, 7, 0, 0), (1, -3, 0, 0), (2, 2, 0, 0), (3, -1, 0, 0), (4, 7, 1, 0), (5, -3, 1, 1)]
