"""The page of networks with state, against the oracle in exact fractions, which was written from the description alone."""

import random
from fractions import Fraction

import pytest

from python_ref.fixed.machine import initial_state, step
from python_ref.spec.design import DesignSpec
from python_ref.spec.probes import COUNTERS, probes
from tests.support.designs import random_parameters
from tests.support.series_designs import random_series, random_series_samples
from tests.support.series_oracle import SeriesOracle


def compare(spec: DesignSpec, rng: random.Random, steps: int) -> None:
    """Run the page and the oracle side by side, and compare every observable but the signature."""
    state = initial_state(spec, random_parameters(rng, spec), seed=rng.randrange(1 << 63))
    oracle = SeriesOracle(spec, state.parameters.tolist(), state.seed, error=spec.error_format, error_cast=spec.formats.error_cast)
    inputs, targets = random_series_samples(rng, spec, steps)
    held = inputs.shape[1] == spec.network.n_in
    sample = 0
    for n in range(steps):
        sample = n if n % spec.schedule.sample_period == 0 else sample
        words = inputs[sample].tolist()
        before = oracle.state()
        state, observed = step(spec, state, (inputs[sample], targets[sample]))
        found = oracle.step(words if held else words[1:], targets[sample].tolist(), None if held else words[0])
        found["gradient"] = found["gradient"] if found["ends"] else before["gradient"]
        found["error"] = found["error"] or [0] * spec.quantities
        found["cost_change"] = [found["cost_change"]]
        found["counter"] = [found["counter"].get(name.removeprefix("saturated_"), 0) for name in COUNTERS]
        for probe in probes(spec):
            if probe.name == "signature":
                continue
            expected = found[probe.name]
            if probe.name in ("preactivation", "activation", "state"):
                expected = [value for each in expected for value in each]
            formats = list(probe.formats) * (observed[probe.name].size // len(probe.formats))  # the same in each pass
            real = [Fraction(int(raw), 2**form.fraction_bits) for raw, form in zip(observed[probe.name].ravel(), formats, strict=True)]
            assert real == expected, (n, probe.name, spec)


@pytest.mark.parametrize("seed", range(12))
def test_the_page_equals_the_oracle(seed: int) -> None:
    rng = random.Random(seed)
    compare(random_series(rng, max_frames=4, max_size=4, max_layers=3), rng, 12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
def test_the_page_equals_the_oracle_for_more_designs(seed: int) -> None:
    rng = random.Random(seed)
    compare(random_series(rng), rng, 20)
