"""The timeline of a step is its cycle contract, which simulation holds the core to."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from mgd_hw.hardware.timeline import step_contract, timeline_of
from python_ref.spec.perturbation import Kind
from tests.support.designs import random_design


@pytest.mark.parametrize("seed", range(12))
def test_spans_add_up_to_the_contract(seed: int) -> None:
    spec = random_design(random.Random(seed))
    contract, timeline = step_contract(spec), timeline_of(spec)
    assert timeline.cycles == contract.step_cycles(2)
    forward = [span for span in timeline.spans if span.what == "network"]
    layers = spec.layout.layers
    if spec.perturbation.kind is Kind.NODE:
        assert sum(span.cycles for span in forward) == 2 * contract.slots
        assert timeline.second_pass == contract.pass_cycles + contract.gap
    elif len(layers) == 1:
        assert [(span.name, span.cycles) for span in forward] == [("both passes, layer 1", contract.pair_cycles - layers[0].last_lanes)]
        assert timeline.second_pass == contract.pair_cycles
    else:
        assert [span.name for span in forward].count("both passes, layer 1") == 1
        assert sum(span.cycles for span in forward[1:]) == 2 * (contract.slots - layers[1].first_slot)
        assert timeline.second_pass == forward[len(layers)].first
        assert timeline.second_pass - contract.gap == forward[len(layers) - 1].first + forward[len(layers) - 1].cycles
    busy = sorted((span.first, span.first + span.cycles) for span in timeline.spans if span.what != "learning")
    assert all(end <= start for (_, end), (start, _) in pairwise(busy))
    assert busy[-1][1] == timeline.cycles
