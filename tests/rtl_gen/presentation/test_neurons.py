"""The stream of neurons: those that leave the lanes and those that are replayed come each once, in order, with their perturbations."""

import random

import pytest

from rtl_gen.presentation.neurons import NeuronStream
from tests.rtl_gen.presentation.slots import IDLE, drive, pass_slots
from tests.support.node_designs import SHAPES


def sign_of(index: int, bank: int) -> int:
    """A sign for each neuron and bank: −1, 0 or 1."""
    return (index * 7 + bank * 5 + index * bank) % 3 - 1


def rows_of(spec, wait):
    """Slots of an unperturbed pass, a pause, and the passes of three probes; where to begin the replay of each probe, by cycle."""
    size = max(spec.hardware.lanes, 3) + wait
    pause = [IDLE] * (spec.network.n_neurons + 14)
    rows, replays = [IDLE, *pass_slots(spec, bank=2, wait=size), *pause], {}
    replays[len(rows)] = (0, 0)
    rows += pause
    passes = ((0, 0), (1, 1), (0, 1))
    for number, (bank, minus) in enumerate(passes):
        mine = pass_slots(spec, probe=1, bank=bank, minus=minus, wait=size)
        if number + 1 < len(passes):
            replays[len(rows) + len(mine) // 2] = passes[number + 1]  # while the neurons of this probe leave the lanes
        rows += [*mine, *pause]
    return rows, replays, passes


@pytest.mark.parametrize("wait", [0, 2, 9])
@pytest.mark.parametrize("name", ["plain", "deep", "one-lane", "wide-hidden", "wide-output", "more-lanes-than-neurons"])
def test_neurons_leave_and_are_replayed_with_their_perturbations(name, wait):
    spec, rng = SHAPES[name], random.Random(f"{name} {wait}")
    stream, lanes, width = NeuronStream(spec), spec.hardware.lanes, spec.accumulator_width
    rows, replays, passes = rows_of(spec, wait)
    found, asked = {0: [], 1: [], 2: []}, [(0, 0)]
    kept, done = [], []
    accumulators = []

    def each(ctx, cycle):
        row = rows[cycle]
        for field, value in row.items():
            ctx.set(stream.slot[field], value)
        if cycle and rows[cycle - 1]["last"]:
            values = [rng.randrange(-(1 << width - 3), 1 << width - 3) for _ in range(lanes)]
            accumulators.append(values)
            ctx.set(stream.accumulators, sum((value & (1 << width) - 1) << width * lane for lane, value in enumerate(values)))
        ctx.set(stream.replay, cycle in replays)
        if cycle in replays:
            ctx.set(stream.replay_bank, replays[cycle][0])
            ctx.set(stream.replay_minus, replays[cycle][1])
        sign = sign_of(*asked[-1])
        ctx.set(stream.sign.negative, sign < 0)
        ctx.set(stream.sign.active, sign != 0)
        asked.append((ctx.get(stream.sign_index), ctx.get(stream.sign_bank)))
        kept.append(ctx.get(stream.kept))
        done.append(ctx.get(stream.replay_done))
        neuron = ctx.get(stream.neuron)
        if neuron.valid:
            found[neuron.bank].append((neuron.index, neuron.layer, neuron.minus, neuron.last, ctx.get(stream.z)))

    drive(stream, len(rows), each)
    assert sum(kept) == 1
    assert sum(done) == len(passes)
    # z of the neurons as they left the lanes, by pass.
    layers, places = spec.layout.layers, iter(accumulators)
    z = []
    for first in (0, *[1] * len(passes)):
        taken = []
        for placed in layers[first:]:
            for group in range(placed.groups):
                taken += next(places)[: placed.lanes_of(group)]
        z.append(taken)
    assert next(places, None) is None
    n, inner = spec.network.n_neurons, layers[0].layer.n_out
    numbers = [number for number, placed in enumerate(layers) for _ in range(placed.layer.n_out)]

    def shifted(index, value, bank, minus):
        fraction = spec.preactivation_format(numbers[index]).fraction_bits
        delta = 1 << fraction + spec.perturbation.amplitude_log2
        return value + (-1 if minus else 1) * sign_of(index, bank) * delta

    def shown(values, bank=None, minus=0):
        return [
            (i, numbers[i], minus, int(i == n - 1), value if bank is None else shifted(i, value, bank, minus))
            for i, value in enumerate(values)
        ]

    assert found[2] == shown(z[0])
    expected = {0: [], 1: []}
    for number, (bank, minus) in enumerate(passes):
        expected[bank] += shown([*z[0][:inner], *z[number + 1]], bank, minus)
    assert {bank: found[bank] for bank in (0, 1)} == expected


def test_replays_of_one_layer_follow_each_other_and_end_their_passes():
    spec = SHAPES["one-layer"]
    stream, count = NeuronStream(spec), spec.network.n_neurons
    rows = [IDLE, *pass_slots(spec, wait=6), *[IDLE] * 12]
    start = len(rows)
    rows += [IDLE] * (4 * (count + 4))
    valid = []

    def each(ctx, cycle):
        for field, value in rows[cycle].items():
            ctx.set(stream.slot[field], value)
        ctx.set(stream.accumulators, (1 << spec.accumulator_width + 3) | 5)
        ctx.set(stream.replay, cycle >= start and (cycle - start) % (count + 2) == 0)
        neuron = ctx.get(stream.neuron)
        if cycle > start:
            valid.append((neuron.valid, neuron.valid and neuron.index, neuron.valid and neuron.last))

    drive(stream, len(rows), each)
    first = next(place for place, row in enumerate(valid) if row[0])
    assert first == NeuronStream.replay_latency
    one = [*((1, index, int(index == count - 1)) for index in range(count)), (0, 0, 0), (0, 0, 0)]
    assert valid[first : first + 3 * len(one)] == 3 * one
