"""The model of the learner equals the oracle in exact fractions, whatever the design, the chip, and what the host does."""

import random
from copy import deepcopy
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from python_ref.fixed import learner as model
from python_ref.spec.learner import LearnerSpec, Outside
from python_ref.spec.optimizer import OPTIMIZERS
from python_ref.spec.perturbation import CODES, Kind, Perturbation
from python_ref.spec.probes import COUNTERS, probes
from python_ref.spec.schedule import Schedule
from tests.support.learner_designs import random_chip, random_learner, random_node_learner, random_quantities
from tests.support.learner_oracle import LearnerOracle
from tests.support.virtual_chip import VirtualChip

STEPS = 12


def real(spec: LearnerSpec, observed: dict[str, np.ndarray]) -> dict[str, list]:
    """The observables of the model in the numbers of the oracle."""
    found = {}
    for probe in probes(spec):
        values = observed[probe.name].ravel().tolist()
        scale = Fraction(2) ** probe.format_at(0).fraction_bits
        found[probe.name] = values if probe.name in ("presented", "sign", "signature") else [value / scale for value in values]
    found["counter"] = dict(zip(COUNTERS, observed["counter"].tolist(), strict=True))
    return found


def compare(spec: LearnerSpec, observed: dict[str, np.ndarray], expected: dict[str, list]) -> None:
    found = real(spec, observed)
    counted = {"steps": 0, "updates": 0, "writes": 0, "changed": 0}
    named = {name if name in counted else f"saturated_{name}": value for name, value in expected["counter"].items()}
    assert found.pop("counter") == {name: named.get(name, 0) for name in COUNTERS}
    for name, values in found.items():
        assert values == expected[name], name


def lockstep(rng: random.Random, spec: LearnerSpec, steps: int = STEPS, silence: float = 0.1) -> int:
    """Run both on chips of the same figures; the number of abandoned steps."""
    start, chip = random_quantities(rng, spec), random_chip(rng, spec)
    chip.silent = {call for call in range(4 * steps) if rng.random() < silence}
    other, seed = deepcopy(chip), rng.randrange(1 << 63)
    state, oracle = model.initial_learner(spec, start, seed=seed), LearnerOracle(spec, start, seed)
    abandoned = 0
    for _ in range(steps):
        if rng.random() < 0.1:  # the host writes parameters, or another average
            state, oracle.loaded = state.with_load(), True
        if rng.random() < 0.2:
            oracle.average = rng.randint(0, spec.outside.average)
            state = replace(state, average=oracle.average)
        state, observed = model.step(spec, state, chip)
        expected = oracle.step(lambda words, sample, count: other(np.array(words), sample, count))
        assert (observed is None) == (expected is None)
        abandoned += observed is None
        if observed is not None:
            compare(spec, observed, expected)
            if spec.sends_errors:
                other.apply(np.array([int(error * 2**spec.formats.weight.fraction_bits) for error in expected["error"]]))
        assert chip.calls == other.calls
    return abandoned


@pytest.mark.parametrize("part", range(20))
def test_the_model_equals_the_oracle(part):
    rng = random.Random(f"learner {part}")
    for _ in range(3):
        spec = random_learner(rng)
        print(spec)
        lockstep(rng, spec)


@pytest.mark.parametrize("part", range(8))
def test_the_model_of_node_currents_equals_the_oracle(part):
    """Both chips change their weights by the errors, and give other costs as soon as these differ."""
    rng = random.Random(f"node currents {part}")
    for _ in range(3):
        spec = random_node_learner(rng)
        print(spec)
        lockstep(rng, spec)


def test_it_learns_on_a_chip_with_flaws():
    """Twelve quantities fit eight numbers, although gains and offsets are unknown, converters are coarse, and costs are noisy."""
    outside = Outside(average=2, samples=4)
    spec = LearnerSpec("chip", 12, Perturbation(Kind.WEIGHT, amplitude_log2=-5), Schedule(((0, -5),), sample_period=4), outside=outside)
    for seed in range(2):
        chip = VirtualChip(spec, seed, gain=0.2, offset=0.1, noise=0.01, dac_step=2.0**-6, units=2)
        state = model.initial_learner(spec, np.zeros(12, dtype=np.int64))
        start = np.mean([chip.mean_cost(state.parameters, sample) for sample in range(4)])
        for _ in range(1_000):
            state, _ = model.step(spec, state, chip)
        end = np.mean([chip.mean_cost(state.parameters, sample) for sample in range(4)])
        print(f"cost {start:.3f} at the start, {end:.3f} after 1,000 steps")
        assert end < start / 3


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_code_and_optimiser(code, optimizer):
    rng = random.Random(f"{code} {optimizer}")
    spec = random_learner(rng)
    perturbation = replace(spec.perturbation, code=CODES[code]())
    lockstep(rng, replace(spec, external=5, perturbation=perturbation, optimizer=OPTIMIZERS[optimizer]()), 40)


def test_steps_are_abandoned_in_these_tests():
    rng = random.Random(1)
    assert lockstep(rng, random_learner(rng), 40, 0.2) > 3
