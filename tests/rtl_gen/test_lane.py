"""The multiplier of a lane equals a sum of products, narrow and wide."""

import random

import pytest
from amaranth.hdl import signed, unsigned

from rtl_gen.lane import MultiplyAccumulate
from tests.support.bench import cycles


@pytest.mark.parametrize(
    ("a", "b", "width"),
    [(signed(16), unsigned(8), 32), (signed(5), signed(4), 14), (signed(20), signed(14), 45), (signed(16), unsigned(16), 40)],
)
def test_sums_of_products(a, b, width):
    rng, stimuli, expected = random.Random(width), [], []
    for _ in range(20):
        preload, total = rng.randint(-1000, 1000), 0
        for k in range(rng.randint(1, 6)):
            first = rng.randint(-(1 << a.width - 1), (1 << a.width - 1) - 1)
            second = rng.randint(-(1 << b.width - 1), (1 << b.width - 1) - 1) if b.signed else rng.getrandbits(b.width)
            total = preload if k == 0 else total + first * second
            stimuli.append((first, second, preload, int(k == 0)))
            expected.append((total + (1 << width - 1)) % (1 << width) - (1 << width - 1))
    # What loads comes a cycle after the rest.
    rows = [{"a": row[0], "b": row[1], "c": row[2]} for row in stimuli] + [{}]
    for place, row in enumerate(stimuli):
        rows[place + 1] |= {"load": row[3]}
    for pipelined in (False, True):
        mac = MultiplyAccumulate(a, b, width, pipelined=pipelined)
        found = cycles(mac, rows, ("o",), extra=1 + 2 * pipelined)
        assert [row["o"] for row in found[mac.latency :]] == expected
