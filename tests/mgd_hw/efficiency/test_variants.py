"""Which ways to learn are compared, with which settings, and for how long."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

import mgd_hw
from mgd_hw.design.reader import parse
from mgd_hw.efficiency.training import RECORDS, SPAN, record_steps
from mgd_hw.efficiency.variants import WEIGHT_CYCLES, Variant, most_steps, variants_of
from mgd_hw.learn.costs import cycles_of_backprop, cycles_of_mgd
from python_ref.spec.perturbation import CODES

XOR = 'data.task = "xor"\nnetwork.layers = [2, 3, 1]\n'
CONVEX = 'data.task = "xor"\nnetwork.layers = [2, 2]\nlearning.cost = "cross-entropy"\n'


def found_of(text: str, steps: int = 60) -> dict[str, Variant]:
    return {each.name: each for each in variants_of(parse(text, "x.toml"), steps, 4)}


def test_every_kind_and_code_is_there() -> None:
    names = [f"{kind}-{code}" for kind in ("weight", "node") for code in CODES]
    found = variants_of(mgd_hw.read("digits"), 840, 1437)
    assert [each.name for each in found] == [*names, "backprop-adam", "backprop-plain"]
    assert [each.name for each in found if each.written] == ["node-sequential", "backprop-adam"]
    assert not any(each.refused for each in found)


def test_the_design_stays_as_it_is_written_and_the_others_are_derived() -> None:
    design = mgd_hw.read("digits")
    found = {each.name: each for each in variants_of(design, 840, 1437)}
    assert found["node-sequential"].design is design
    assert found["node-sequential"].settings["learning_rate"] == [[0, -5], [420_000, -6], [630_000, -7]]
    walsh, weight = found["node-walsh"].settings, found["weight-lfsr"].settings
    assert (walsh["sample_period"], walsh["update_period"], walsh["amplitude_log2"]) == (64, 64, -6)  # a whole period of 42 neurons
    assert (weight["sample_period"], weight["update_period"], weight["amplitude_log2"]) == (1, 1, -6)
    # log2 of 2·(0.3·64 + 1)·(D + K), rounded up: 42 neurons and 64 probes; an eighth of 2,410 parameters, and 1 step
    assert walsh["learning_rate"] == [[0, -math.ceil(math.log2(2 * 20.2 * (42 + 64)))]]
    assert weight["learning_rate"] == [[0, -math.ceil(math.log2(2 * 20.2 * (2410 / 8 + 1)))]]
    for name in ("node-walsh", "weight-lfsr"):
        own = found[name].design
        assert own.spec.network == design.spec.network and own.spec.hardware == design.spec.hardware and own.data == design.data
        assert own.spec.formats.weight == design.spec.formats.weight and own.spec.formats.cost_change == design.spec.formats.cost_change


def test_plain_back_propagation_has_the_rate_of_exact_gradients_at_each_sample() -> None:
    found = {each.name: each for each in variants_of(mgd_hw.read("digits"), 840, 1437)}
    assert found["backprop-plain"].settings == {"optimizer": "sgd", "learning_rate": [[0, -5], [10_000, -6], [15_000, -7]], "batch": 1}
    momentum = found_of(XOR + 'optimizer.name = "momentum"\n')
    assert momentum["backprop-plain"].settings["learning_rate"] == found_of(XOR)["node-sequential"].settings["learning_rate"]
    assert momentum["node-sequential"].settings["learning_rate"] != momentum["backprop-plain"].settings["learning_rate"]


@pytest.mark.parametrize("kind", ["node", "weight"])
def test_budgets_are_those_of_the_design_as_it_is_written(kind: str) -> None:
    found = found_of(XOR + f'perturbation.kind = "{kind}"\nperturbation.code = "lfsr"\n', 600)
    written = found[f"{kind}-lfsr"]
    assert (written.written, written.steps) == (True, 600)
    assert written.cycles == cycles_of_mgd(written.design.spec, 600)
    for name, each in found.items():
        budget = written.cycles * (WEIGHT_CYCLES if kind == "node" and name.startswith("weight") else 1)
        spec, unit = each.design.spec, each.design.spec.schedule.update_period
        if each.mgd and not each.written:
            assert each.cycles == cycles_of_mgd(spec, each.steps) <= budget < cycles_of_mgd(spec, each.steps + unit)
            assert each.steps % unit == 0
    plain, adam = found["backprop-plain"], found["backprop-adam"]
    assert plain.cycles == cycles_of_backprop(plain.design.spec, plain.steps) <= written.cycles
    assert written.cycles < cycles_of_backprop(plain.design.spec, plain.steps + 1)
    assert adam.cycles == cycles_of_backprop(adam.design.spec, 4 * adam.steps)  # a batch takes all four samples


@pytest.mark.parametrize("budget", [0, 1, 6, 7, 8, 1000])
def test_most_steps(budget: int) -> None:
    steps = most_steps(lambda count: 7 * count, budget)
    assert steps == budget // 7


def test_what_has_no_hardware_is_refused_by_name() -> None:
    found = found_of(CONVEX)
    assert found["as-written"].model == "float" and found["as-written"].cycles is None
    refused = {name: each.refused for name, each in found.items() if each.refused}
    assert set(refused) == {f"{kind}-{code}" for kind in ("weight", "node") for code in CODES} | {"backprop-plain"}
    assert all("learning.cost: this cost has no hardware yet" in why for why in refused.values())
    sign = found_of(XOR + 'network.hidden = "sign"\n')
    assert {name for name, each in sign.items() if each.refused} == {"backprop-adam", "backprop-plain"}
    two = found_of(XOR + "hardware.multipliers_per_lane = 2\n")
    assert {name for name, each in two.items() if each.refused} == {f"weight-{code}" for code in CODES}


@pytest.mark.parametrize(("steps", "unit"), [(840_000, 42), (10, 1), (41, 42), (1, 1), (293_167, 16)])
def test_records_lie_at_even_ratios_and_at_the_end(steps: int, unit: int) -> None:
    found = record_steps(steps, unit)
    assert found[-1] == steps and len(found) <= RECORDS + 1
    assert all(each % unit == 0 for each in found[:-1])
    ratio = SPAN ** (1 / (RECORDS - 1))
    assert all(after <= max(before * ratio + 2 * unit, before + unit) for before, after in pairwise(found))
