"""The page of weight perturbation with state, against the oracle in exact fractions, which was written from the description alone."""

import random
from fractions import Fraction

import pytest

from python_ref.fixed.machine import initial_state, step
from python_ref.spec.design import DesignSpec
from python_ref.spec.perturbation import Kind
from python_ref.spec.probes import probes
from tests.support.designs import random_parameters
from tests.support.series_designs import random_series, random_series_samples
from tests.support.weight_series_oracle import WeightSeriesOracle


def compare(spec: DesignSpec, rng: random.Random, steps: int) -> None:
    """Run the page and the oracle side by side, and compare every observable but the signature; somewhere the host loads parameters."""
    state = initial_state(spec, random_parameters(rng, spec), seed=rng.randrange(1 << 63))
    oracle = WeightSeriesOracle(spec, state.parameters.tolist(), state.seed)
    inputs, targets = random_series_samples(rng, spec, steps)
    held, sample, loads = inputs.shape[1] == spec.network.n_in, 0, rng.randint(1, 2 * steps)
    for n in range(steps):
        if n == loads:
            fresh = random_parameters(rng, spec)
            state = state.with_load(fresh)
            oracle.load(fresh.tolist())
        sample = n if n % spec.schedule.sample_period == 0 or n == loads else sample
        words = inputs[sample].tolist()
        state, observed = step(spec, state, (inputs[sample], targets[sample]))
        found = oracle.step(words if held else words[1:], targets[sample].tolist(), None if held else words[0])
        for probe in probes(spec):
            if probe.name == "signature":
                continue
            expected, raw = found[probe.name], observed[probe.name]
            formats = list(probe.formats) * (raw.size // len(probe.formats))  # the same in each pass
            real = [Fraction(int(each), 2**form.fraction_bits) for each, form in zip(raw.ravel(), formats, strict=True)]
            assert real == expected, (n, probe.name, spec)


@pytest.mark.parametrize("seed", [*range(6), 25, 58, 94, 106])
def test_the_page_equals_the_oracle(seed: int) -> None:
    """Those from 25 on: frames in the scale of shift-Adam's G, and a baseline that holds, whose saturations do not count again."""
    rng = random.Random(seed)
    compare(random_series(rng, kind=Kind.WEIGHT, max_frames=4, max_size=4, max_layers=3), rng, 12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [*range(6, 12), *(pytest.param(seed, marks=() if seed < 130 else pytest.mark.long) for seed in range(100, 200))]
)
def test_the_page_equals_the_oracle_for_more_designs(seed: int) -> None:
    rng = random.Random(seed)
    compare(random_series(rng, kind=Kind.WEIGHT), rng, 20)
