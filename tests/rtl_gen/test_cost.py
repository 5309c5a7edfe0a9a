"""The cost unit and the answer check equal the reference over random passes."""

import random
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from python_ref.fixed.cost import correct, cost
from python_ref.spec.design import Cast
from python_ref.spec.number import Fixed, Overflow, Rounding, cast_raw
from python_ref.spec.schedule import Difference
from rtl_gen.cost import AnswerCheck, CostUnit
from rtl_gen.slot import delayed
from tests.support.bench import cycles
from tests.support.faults import DESIGNS


def design(n_out, two_sided=False, fraction=4):
    base = DESIGNS["node"]
    formats = replace(
        base.formats,
        activation=Fixed(True, 3, fraction),
        cost_change=Fixed(True, 3, 5),
        cost_change_cast=Cast(Rounding.HALF_EVEN, Overflow.SATURATE),
    )
    schedule = replace(base.schedule, difference=Difference.TWO_SIDED if two_sided else Difference.ONE_SIDED)
    return replace(base, network=replace(base.network, sizes=(3, n_out)), formats=formats, schedule=schedule)


class Squared(wiring.Component):
    """A cost unit with a multiplier of two cycles."""

    def __init__(self, spec):
        self.unit = CostUnit(spec)
        ports = ("stb", "last", "first", "second", "y", "target", "cost0_complement", "cost1", "cost_change", "outside", "cost_stb")
        super().__init__({name: self.unit.signature.members[name] for name in ports})

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        m.d.comb += unit.square.eq(delayed(m, unit.error * unit.error, 2, "square"))
        for name, member in self.signature.members.items():
            mine, its = getattr(self, name), getattr(unit, name)
            m.d.comb += its.eq(mine) if member.flow == In else mine.eq(its)
            assert member.flow in (In, Out)
        return m


def test_one_first_pass_serves_many_second_ones():
    """In a presentation of node perturbation, C₀ is measured once, and each probe has a C̃ of its own."""
    spec, rng = design(3), random.Random(7)
    form, latency = spec.formats.activation, CostUnit.latency(spec)
    stimuli, ends, costs = [], [], []
    for number in range(12):
        outputs, targets = (np.array([rng.randint(form.min, form.max) >> 3 for _ in range(3)]) for _ in range(2))
        costs.append(int(cost(outputs, targets)))
        for k in range(3):
            which = {"first": int(number % 4 == 0), "second": int(number % 4 > 0)}
            stimuli.append({"stb": 1, "last": int(k == 2), **which, "y": int(outputs[k]), "target": int(targets[k])})
        ends.append(len(stimuli) - 1)
    found = cycles(Squared(spec), [*stimuli, {"stb": 0}], ("cost_change",), extra=latency)
    source = spec.cost_difference_format
    for number in range(12):
        if number % 4:
            difference = costs[number] - costs[number - number % 4]
            expected, _ = cast_raw(difference, source, spec.cost_change_format, Rounding.HALF_EVEN, Overflow.SATURATE)
            assert found[ends[number] + latency]["cost_change"] == int(expected)


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("n_out", [1, 2, 5])
def test_costs_and_their_change_equal_the_reference(n_out, two_sided):
    spec, rng = design(n_out, two_sided), random.Random(n_out)
    form = spec.formats.activation
    stimuli, ends, costs = [], [], []
    for number in range(60):
        outputs, targets = (np.array([rng.randint(form.min, form.max) >> rng.randrange(6) for _ in range(n_out)]) for _ in range(2))
        costs.append(int(cost(outputs, targets)))
        for k in range(n_out):
            stimuli += [{"stb": 0}] * rng.choice((0, 0, 2))
            stimuli.append(
                {
                    "stb": 1,
                    "last": int(k == n_out - 1),
                    "first": 1 - number % 2,
                    "second": number % 2,
                    "y": int(outputs[k]),
                    "target": int(targets[k]),
                }
            )
        ends.append(len(stimuli) - 1)
        stimuli += [{"stb": 0}] * CostUnit.latency(spec)
    names = ("cost0_complement", "cost1", "cost_change", "outside", "cost_stb")
    found = cycles(Squared(spec), stimuli, names, extra=CostUnit.latency(spec))
    assert [n - CostUnit.cost_latency(spec) for n, row in enumerate(found) if row["cost_stb"]] == ends
    everything = (1 << spec.cost_format.width) - 1
    for number in range(0, 60, 2):
        row = found[ends[number + 1] + CostUnit.latency(spec)]
        first, second = costs[number : number + 2]
        assert (row["cost0_complement"], row["cost1"]) == (first ^ everything, second)
        change, outside = cast_raw(
            first - second if two_sided else second - first,
            spec.cost_difference_format,
            spec.cost_change_format,
            Rounding.HALF_EVEN,
            Overflow.SATURATE,
        )
        assert (row["cost_change"], row["outside"]) == (int(change), bool(outside))


@pytest.mark.parametrize("fraction", [1, 4])
@pytest.mark.parametrize("n_out", [1, 2, 4])
def test_the_judge_equals_the_reference_ties_included(n_out, fraction):
    """Over all outputs and all targets out of a few values around one half, and so over every tie."""
    spec, rng = design(n_out, fraction=fraction), random.Random(n_out)
    half = 1 << fraction - 1
    near = range(half - 2, half + 3) if n_out == 1 else range(half - 1, half + 2) if n_out == 2 else range(half - 1, half + 1)
    pairs = list(product(product(near, repeat=n_out), repeat=2))
    stimuli, right = [], 0
    for outputs, targets in map(np.array, pairs):
        right += int(correct(spec, outputs, targets))
        for k in range(n_out):
            stimuli.append({"stb": 1, "last": int(k == n_out - 1), "y": int(outputs[k]), "target": int(targets[k])})
            stimuli += [{"stb": 0, "last": 1, "y": 3}] * rng.choice((0, 0, 1))
    stimuli.append({"stb": 0})
    assert sum(row["correct"] for row in cycles(AnswerCheck(spec), stimuli, ("correct",), extra=AnswerCheck.latency)) == right
    assert 0 < right < len(pairs), "some answers are right, and some are wrong"
