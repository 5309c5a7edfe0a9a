"""Parts of a network: the order of a round, which sign vectors each part meets, what is refused, and both models of a probe of a part."""

import random
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_ref.fixed.machine import initial_state, step
from python_ref.spec.error import DesignError
from python_ref.spec.network import Network
from python_ref.spec.parts import Round
from python_ref.spec.perturbation import Kind, SequentialCode, WalshCode
from tests.python_ref.fixed.test_fast import check
from tests.support.designs import random_parameters, random_samples
from tests.support.node_designs import PART_SHAPES, SHAPES, node_design

PARTS = st.lists(st.tuples(st.integers(1, 2), st.integers(1, 4)), min_size=1, max_size=4)


def round_of(parts) -> Round:
    """The round of parts of a network whose layer n has n + 1 neurons."""
    return Round.of(Network((1, *range(1, sum(layers for layers, _ in parts) + 1))), parts)


def test_a_round_takes_all_parts_once_and_then_again_those_with_more_probes():
    found = round_of([(2, 1), (1, 3), (2, 2)])
    assert found.order == (0, 1, 2, 1, 2, 1)
    assert [(part.first, part.last, part.begin, part.end, part.neurons) for part in found.parts] == [
        (0, 1, 0, 3, 3),
        (2, 2, 3, 6, 3),
        (3, 4, 6, 15, 9),
    ]
    assert (found.probes, found.most) == (6, 3)
    assert [found.part_at(probe).first for probe in range(8)] == [0, 2, 3, 2, 3, 2, 0, 2]
    assert [(before.first, after.first) for before, after in found.following()] == [(0, 2), (2, 0), (2, 3), (3, 2)]


@given(PARTS, st.integers(0, 60))
def test_steps_are_shared_between_the_parts(parts, steps):
    found = round_of(parts)
    taken = [found.part_at(n) for n in range(steps)]
    assert found.turns(steps) == [(part, taken.count(part)) for part in found.parts]
    signs = np.arange(1, 1 + found.parts[-1].end)
    assert np.array_equal(sum(part.within(signs) for part in found.parts), signs)


@given(PARTS, st.sampled_from([1, 2, 4, 8]), st.integers(1, 6))
@settings(max_examples=200)
def test_a_code_covers_every_part_if_each_meets_all_phases_equally_often(parts, period, times):
    found = round_of(parts)
    met = np.zeros((len(parts), period), dtype=int)
    for n in range(found.probes * times * period):
        met[found.order[n % found.probes], n // times % period] += 1
    assert found.covers(period, times) == (met == met[:, :1]).all()


@pytest.mark.parametrize(
    ("changes", "key", "reason"),
    [
        ({"parts": ((1, 1),)}, "learning.parts", "have 2 layers together, as the network has. Give each layer its part"),
        ({"parts": ((1, 0), (1, 1))}, "learning.parts", "the parts must be positive"),
        ({"parts": ((1, 1), (1, 1 << 24))}, "learning.parts", "no period has more than 16777215 steps. Take fewer probes of a part"),
        (
            {"parts": ((1, 1), (1, 1)), "code": SequentialCode()},
            "learning.parts",
            'the sequential code perturbs one neuron at a time anyway, so that no part is finer. Remove it, or take code = "lfsr"',
        ),
        ({"parts": ((1, 1), (1, 2))}, "schedule.sample_period", "makes rounds of 3 probes, .* Take 3, or another multiple of 3"),
        ({"parts": ((1, 1), (1, 2)), "periods": (1, 6, 4)}, "schedule.update_period", "Take 3, or another multiple of 3"),
        ({"parts": ((2, 8),)}, "schedule.sample_period", "Take 8, or another multiple of 8"),
        (
            {"parts": ((1, 1), (1, 1)), "code": WalshCode()},
            "schedule.perturbation_period",
            "the same few of the sign vectors of the walsh code. Take 2, so that a round has one sign vector, or an odd sum",
        ),
    ],
)
def test_what_is_refused(changes, key, reason):
    with pytest.raises(DesignError, match=reason) as caught:
        node_design(**changes)
    assert caught.value.key == key


def test_the_ways_out_that_refusals_name_are_taken():
    for periods, parts in (((2, 4, 4), ((1, 1), (1, 1))), ((1, 6, 6), ((1, 1), (1, 2)))):
        assert node_design(code=WalshCode(), periods=periods, parts=parts).in_parts


def test_weight_perturbation_has_no_parts_in_hardware():
    spec = SHAPES["plain"]
    with pytest.raises(DesignError, match=re.escape("only node perturbation has parts in hardware")):
        replace(spec, perturbation=replace(spec.perturbation, kind=Kind.WEIGHT, parts=((1, 1), (1, 1))))


def test_one_part_is_the_whole_network():
    one, none = PART_SHAPES["one-part"], node_design(name="one_part")
    assert not one.in_parts and one.digest == none.digest
    assert one.error_sum_format == none.error_sum_format


def test_e_is_as_wide_as_the_probes_of_a_part_make_it():
    each = node_design(periods=(1, 64, 64), parts=((1, 1), (1, 1)))
    assert node_design(periods=(1, 32, 32)).error_sum_format == each.error_sum_format
    assert each.presentation.measurements == 32
    assert node_design(periods=(1, 64, 64), parts=((1, 1), (1, 3))).presentation.measurements == 48


@pytest.mark.parametrize("name", PART_SHAPES)
def test_the_compiled_model_is_the_plain_machine(name):
    check(PART_SHAPES[name], random.Random(name), 40)


@pytest.mark.parametrize("name", [name for name in PART_SHAPES if PART_SHAPES[name].in_parts])
def test_a_step_perturbs_its_part_alone(name):
    """Layers before the part keep their values, and E of no other neuron changes; a load begins a round anew."""
    spec, rng = PART_SHAPES[name], random.Random(name)
    state = initial_state(spec, random_parameters(rng, spec))
    inputs, targets = random_samples(rng, spec, 1)
    before, turn = np.zeros(spec.network.n_neurons, dtype=np.int64), 0
    for n in range(40):
        if n == 17:
            state = state.with_load()
        if n == 17 or spec.schedule.begins(n):
            before, turn = np.zeros_like(before), 0
        state, observed = step(spec, state, (inputs[0], targets[0]))
        part = spec.round.parts[spec.round.order[turn % spec.round.probes]]
        outside = np.ones(spec.network.n_neurons, dtype=bool)
        outside[part.begin : part.end] = False
        assert np.array_equal(observed["sign"] == 0, outside)
        for shown in ("preactivation", "activation"):
            for number in range(1, spec.passes):
                assert np.array_equal(observed[shown][number][: part.begin], observed[shown][0][: part.begin])
        assert np.array_equal(observed["error_sum"][outside], before[outside])
        before, turn = observed["error_sum"], turn + 1
