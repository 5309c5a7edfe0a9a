"""Rounding noise: a word for each update, layer and input, the same for every group of a layer."""

import random
from dataclasses import replace

import pytest

from python_ref.fixed.perturbation import StochasticSource
from python_ref.spec.registers import stream_widths
from rtl_gen.presentation.noise import InputNoise
from tests.rtl_gen.presentation.slots import IDLE, drive, pass_slots
from tests.rtl_gen.test_perturbation import beats
from tests.support.node_designs import SHAPES


@pytest.mark.parametrize("lanes", [1, 2, 20])
@pytest.mark.parametrize("name", ["stochastic", "momentum"])
def test_every_group_of_a_layer_takes_the_words_of_its_inputs(name, lanes):
    base = SHAPES[name]
    spec = replace(base, hardware=replace(base.hardware, lanes=lanes))
    noise, rng, reference = InputNoise(spec), random.Random(lanes), StochasticSource(spec)
    place = sum(stream_widths(spec)) - noise.load_width
    rows = [row for beat in beats(spec) for row in ({"load_en": 1, "load": beat >> place}, {"load_en": 0})]
    rows, expected, updates = [(IDLE, row) for row in rows], {}, 0
    passes = [pair for _ in range(9) for pair in ((0, rng.randrange(2)), (1, rng.randrange(2)))]
    for apply, update in (*passes, (0, 1), (0, 0), (1, 1)):
        words = reference.words(updates).tolist()
        starts = [sum(layer.n_in + 1 for layer in spec.network.layers[:number]) for number in range(len(spec.network.layers))]
        k = 0
        for slot in pass_slots(spec, apply=apply, wait=rng.randrange(3)):
            k = 0 if slot["first"] else k + 1
            if slot["real"] and apply and update:
                expected[len(rows) + InputNoise.latency] = words[starts[slot["layer"]] + k]
            rows.append((slot, {"update": update}))
        updates += apply and update
    rows += [(IDLE, {})] * 3
    found = []

    def each(ctx, cycle):
        slot, inputs = rows[cycle]
        for field, value in slot.items():
            ctx.set(noise.slot[field], value)
        for field, value in inputs.items():
            ctx.set(getattr(noise, field), value)
        found.append(ctx.get(noise.o))

    drive(noise, len(rows), each)
    assert updates > 1
    assert {cycle: found[cycle] for cycle in expected} == expected
