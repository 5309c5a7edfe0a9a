"""The machine equals an oracle of exact fractions that knows only what the design file says."""

import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_ref.fixed.machine import initial_state, sample_number, step
from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec, Hardware
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed
from python_ref.spec.optimizer import OPTIMIZERS
from python_ref.spec.perturbation import CODES, Kind, LfsrCode, Perturbation
from python_ref.spec.probes import COUNTERS, probes
from python_ref.spec.schedule import Difference, Schedule
from tests.designs import random_design, random_parameters, random_samples
from tests.oracle import Oracle


def check(spec: DesignSpec, rng: random.Random, steps: int) -> None:
    parameters, seed = random_parameters(rng, spec), rng.randrange(1 << 63)
    inputs, targets = random_samples(rng, spec, 7)
    state, oracle = initial_state(spec, parameters, seed=seed), Oracle(spec, parameters.tolist(), seed)
    for n in range(steps):
        number = sample_number(spec, n) % len(inputs)
        state, observed = step(spec, state, (inputs[number], targets[number]))
        expected = oracle.step(inputs[number].tolist(), targets[number].tolist())
        for probe in probes(spec):
            shown = [raw / Fraction(2) ** probe.format_at(i).fraction_bits for i, raw in enumerate(observed[probe.name].ravel().tolist())]
            wanted = expected[probe.name]
            wrong = [(i, str(a), str(b)) for i, (a, b) in enumerate(zip(shown, wanted, strict=True)) if a != b]
            assert not wrong, f"step {n}, {probe.name}: (index, machine, oracle) {wrong[:4]} in {spec}"


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_every_observable_equals_the_oracle(seed):
    rng = random.Random(seed)
    check(random_design(rng, max_size=5), rng, 16)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("lanes", [62, 63, 126, 127, 200, 253])
def test_wide_arrays_equal_the_oracle(kind, lanes):
    rng = random.Random(lanes)
    spec = random_design(rng, kinds=[kind], max_size=4, max_layers=2, codes=[LfsrCode], activations=[Activation.RELU, Activation.IDENTITY])
    formats = replace(spec.formats, input=Fixed(False, 0, 8), activation=Fixed(True, 4, 6))
    spec = replace(spec, network=replace(spec.network, sizes=(2, lanes + 3, 2)), formats=formats)
    spec = replace(spec, hardware=replace(spec.hardware, lanes=lanes))
    check(spec, rng, 3)


def test_the_random_designs_reach_every_counter_and_every_choice():
    """The comparison above proves little where nothing happens. Designs are drawn until all was seen; a choice that never comes ends it."""
    reached, seen = np.zeros(len(COUNTERS), dtype=int), set()
    choices = 2 + len(CODES) + 2 + len(OPTIMIZERS) + 3 + 4 * 2 + 2 * 3 * 2 + len(Activation) + 3 + 2 + 2 + 2
    for seed in range(3_000):
        rng = random.Random(seed)
        spec = random_design(rng)
        state, (inputs, targets) = initial_state(spec, random_parameters(rng, spec)), random_samples(rng, spec, 7)
        for n in range(12):
            number = sample_number(spec, n) % 7
            state, _ = step(spec, state, (inputs[number], targets[number]))
        reached += state.counters > 0
        form, code = spec.formats, spec.perturbation.code.name
        seen |= {spec.perturbation.kind, code, spec.schedule.difference, spec.optimizer.name, (spec.plain, spec.gradient_memory)}
        seen |= {("weight", form.weight_cast), ("activation", form.activation_cast), ("gradient", form.gradient_cast)}
        seen |= {spec.network.output, spec.network.hidden, ("layers", len(spec.network.layers))}
        seen |= {("idle lanes", spec.hardware.lanes > max(spec.network.sizes[1:]))}
        seen |= {("fan-in of one", 1 in spec.network.sizes[:-1]), ("one neuron", spec.network.n_neurons == 1)}
        if len(seen) == choices and (reached >= 5).all():
            break
    assert dict(zip(COUNTERS, reached >= 5, strict=True)) == dict.fromkeys(COUNTERS, True)
    assert len(seen) == choices


def test_a_load_makes_sample_and_baseline_due():
    """A step in the middle of τ_x judges and measures anew after a load, and not without one."""
    rng = random.Random(5)
    spec = random_design(rng, kinds=[Kind.NODE], differences=[Difference.ONE_SIDED])
    spec = replace(spec, schedule=Schedule(spec.schedule.learning_rate, 1, 100, 100), hardware=Hardware(2, True))
    state, (inputs, targets) = initial_state(spec, random_parameters(rng, spec)), random_samples(rng, spec, 1)
    sample = inputs[0], targets[0]
    for _ in range(3):
        state, _ = step(spec, state, sample)
    other = state.parameters // 2
    kept, _ = step(spec, replace(state, parameters=other), sample)
    assert kept.baseline.cost == state.baseline.cost
    loaded, _ = step(spec, state.with_load(other), sample)
    fresh, _ = step(spec, initial_state(spec, other), sample)
    assert loaded.baseline.cost == fresh.baseline.cost != state.baseline.cost
    assert not loaded.due


def test_a_step_leaves_its_state_alone():
    rng = random.Random(6)
    spec = random_design(rng)
    state, (inputs, targets) = initial_state(spec, random_parameters(rng, spec)), random_samples(rng, spec, 1)
    before = state.parameters.copy(), state.counters.copy()
    once, _ = step(spec, state, (inputs[0], targets[0]))
    again, _ = step(spec, state, (inputs[0], targets[0]))
    np.testing.assert_array_equal(once.parameters, again.parameters)
    np.testing.assert_array_equal(state.parameters, before[0])
    np.testing.assert_array_equal(state.counters, before[1])


def test_counters_stop_and_clear():
    rng = random.Random(7)
    spec = random_design(rng)
    state, (inputs, targets) = initial_state(spec, random_parameters(rng, spec)), random_samples(rng, spec, 1)
    full = replace(state, counters=state.counters + [2**48 - 1 if name in ("writes", "changed") else 2**32 - 1 for name in COUNTERS])
    after, _ = step(spec, full, (inputs[0], targets[0]))
    np.testing.assert_array_equal(after.counters, full.counters)
    assert dict(zip(COUNTERS, after.with_clear().counters > 0, strict=True)) == {name: name in ("steps", "updates") for name in COUNTERS}


def test_parameters_that_cannot_be_are_refused():
    spec = DesignSpec("small", Network((2, 1)), Perturbation(Kind.WEIGHT), Schedule(((0, -8),)))
    with pytest.raises(ValueError, match=r"^Parameters must be of shape \(3,\), not \(2,\)$"):
        initial_state(spec, np.zeros(2))
    low, high = spec.parameter_limits
    initial_state(spec, np.array([low, high, 0]))
    for raw in (low - 1, high + 1):
        with pytest.raises(ValueError, match=r"^Raw parameters must lie between "):
            initial_state(spec, np.array([raw, 0, 0]))
