"""A tally counts what is set, and stops at its end."""

import random

import pytest

from rtl_gen.counter import Tally
from tests.rtl_gen.bench import cycles


@pytest.mark.parametrize(("inputs", "width"), [(1, 32), (1, 3), (5, 5), (8, 4), (13, 7)])
def test_a_tally_counts_and_saturates(inputs, width):
    rng = random.Random(inputs)
    steps = [{"i": rng.getrandbits(inputs), "clear": int(rng.random() < 0.02)} for _ in range(300)]
    found = cycles(Tally(inputs, width), steps, ("o",))
    count, counts = 0, [0] * Tally.latency
    for n in range(len(steps)):
        # A clear acts at once, on what was taken two cycles before.
        taken = bin(steps[n - Tally.latency + 1]["i"]).count("1") if n >= Tally.latency - 1 else 0
        count = 0 if steps[n]["clear"] else min(count + taken, (1 << width) - 1)
        counts.append(count)
    assert [row["o"] for row in found] == counts[Tally.latency - 1 : Tally.latency - 1 + len(steps)]
    assert width > 8 or max(row["o"] for row in found) == (1 << width) - 1
