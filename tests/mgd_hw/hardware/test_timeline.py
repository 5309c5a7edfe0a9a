"""The timeline of a step is its cycle contract, which simulation holds the core to."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from mgd_hw.hardware.timeline import step_contract, timeline_of
from tests.support.designs import random_design


@pytest.mark.parametrize("seed", range(12))
def test_spans_add_up_to_the_contract(seed: int) -> None:
    spec = random_design(random.Random(seed))
    contract, timeline = step_contract(spec), timeline_of(spec)
    assert timeline.cycles == contract.step_cycles(2)
    forward = [span for span in timeline.spans if span.what == "network"]
    assert sum(span.cycles for span in forward) == 2 * contract.slots
    assert forward[len(forward) // 2].first == contract.pass_cycles + contract.gap
    busy = sorted((span.first, span.first + span.cycles) for span in timeline.spans if span.what != "learning")
    assert all(end <= start for (_, end), (start, _) in pairwise(busy))
    assert busy[-1][1] == timeline.cycles
