"""The lane and the stream of evaluations of weight perturbation with state, each alone."""

import random

import pytest

from python_ref.spec.layers import DENSE, Leaky
from rtl_gen.series.frames import first_probed, stored_outputs
from rtl_gen.series.weight_array import FramedLane
from rtl_gen.series.weight_blocks import WeightEvaluationStream, WeightOperands
from tests.rtl_gen.series.weight_slots import framed_slots
from tests.support.bench import cycles
from tests.support.series_weight_shapes import WEIGHT_SERIES_SHAPES, weight_series


def in_two_s_complement(value, width):
    return (value + (1 << width - 1)) % (1 << width) - (1 << width - 1)


@pytest.mark.parametrize("name", ["leaky", "direct", "adam", "pipelined"])
def test_a_lane_sums_what_its_perturbed_parameters_weigh(name):
    """z = Σ(θ + s·Δ)·x of neuron after neuron, biases among them, of parameters that the host has written."""
    spec, rng = WEIGHT_SERIES_SHAPES[name], random.Random(name)
    lane, weight = FramedLane(spec), spec.formats.weight
    timing, delta, words = lane.timing, spec.amplitude_raw(weight.fraction_bits), spec.layout.words
    low, high = spec.parameter_limits
    theta = [low, high, *(rng.randint(low, high) for _ in range(words - 2))]
    rows = []

    def at(cycle, **values):
        rows.extend({} for _ in range(cycle + 1 - len(rows)))
        rows[cycle] |= values

    for word, value in enumerate(theta):  # the host's word is written two cycles later
        at(3 * word, host_mode=1, host_word=value & 0xFFFFFFFF, parameter_write=word, parameter_en=0)
        at(3 * word + 2, parameter_en=1)
    at(3 * words, parameter_en=0, host_mode=0, host_word=0)
    start, total, expected = 3 * words + 4, 0, {}
    shape = WeightOperands.shape(spec)
    for slot in range(3 * words):
        word, sign, first = slot % words, rng.choice((-1, 0, 1)), slot % 5 == 0
        x = rng.randint(-(1 << shape.width - 1), (1 << shape.width - 1) - 1) // 4
        begin = start + slot
        at(begin + timing.parameter_read, parameter_read=word)
        at(begin + timing.parameter, live_negative=int(sign < 0), live_active=int(sign != 0))
        at(begin + timing.weight, x=x)
        at(begin + timing.accumulator - 1, accumulates=int(not first))
        product = (theta[word] + sign * delta) * x
        total = product if first else total + product
        expected[begin + timing.accumulator] = in_two_s_complement(total, spec.accumulator_width)
    found = cycles(lane, rows, ("accumulator",), extra=6)
    assert {cycle: found[cycle]["accumulator"] for cycle in expected} == expected


@pytest.mark.parametrize("name", ["leaky", "two-lif", "behind-a-dense-layer"])
def test_evaluations_leave_one_by_one_with_their_places(name):
    """Frame by frame, and the tail in the end; odd frames and even ones store their outputs in places of their own."""
    spec, rng = WEIGHT_SERIES_SHAPES[name], random.Random(name)
    stream, width, frames = WeightEvaluationStream(spec), spec.accumulator_width, 3
    framed, lanes, rows, expected = spec.unrolled.framed_neurons, spec.hardware.lanes, [], []
    starts = [sum(spec.network.sizes[1 : 1 + layer]) for layer in range(len(spec.network.layers))]
    names = ("last", "tail", "begin", "initial", "final", "layer")
    idle = {f"slot.{each}": 0 for each in names} | {"slot.forward": 1, "length": frames}
    for second in (0, 1, None):  # the last pass is a flushing one, of which no neuron leaves
        for slot in framed_slots(spec, frames):
            rows.append(
                idle
                | {f"slot.{each}": slot[each] for each in names}
                | {"slot.second": int(bool(second)), "slot.forward": int(second is not None)}
            )
            if not slot["last"]:
                continue
            layer = slot["layer"]
            group = (slot["slot"] - spec.layout.layers[layer].first_slot) // spec.layout.layers[layer].group_slots
            neurons = range(group * lanes, min((group + 1) * lanes, spec.network.sizes[layer + 1]))
            values = [rng.randint(-(1 << width - 1), (1 << width - 1) - 1) for _ in range(lanes)]
            rows.append(idle | {"accumulators": sum((value & (1 << width) - 1) << width * lane for lane, value in enumerate(values))})
            rows += [idle] * (lanes + 2)
            for lane, neuron in enumerate(neurons if second is not None else ()):
                index = starts[layer] + neuron
                base = first_probed(spec) + framed * (slot["frame"] % 2 if layer < spec.network.framed else 1)
                last = layer == len(starts) - 1 and slot["final"] and neuron == spec.network.n_out - 1
                shown = {"second": second, "layer": layer, "index": index, "place": base + index, "last": int(last)}
                expected.append(shown | {"initial": slot["initial"], "final": slot["final"], "z": values[lane]})
    fields = [f"neuron.{each}" for each in ("valid", "second", "layer", "index", "place", "last", "initial", "final")]
    found = cycles(stream, rows, [*fields, "z"], extra=4)
    shown = [
        {key.removeprefix("neuron."): value for key, value in row.items() if key != "neuron.valid"} for row in found if row["neuron.valid"]
    ]
    assert shown == expected
    assert max(each["place"] for each in expected if each["layer"] < len(starts) - 1) < stored_outputs(spec)


def test_no_pass_keeps_more_than_two_frames():
    for frames in (2, 8):
        spec = weight_series((2, 3, 2), frames=frames)
        assert stored_outputs(spec) == 2 * 3
    spec = weight_series((2, 3, 4, 2), (Leaky(1), DENSE, DENSE), 1)
    assert stored_outputs(spec) == 3 + 4
