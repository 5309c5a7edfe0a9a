"""Weight perturbation equals an oracle of exact fractions that knows only what the design file says; and what all machines do."""

import random
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_ref.fixed.machine import initial_state, sample_number, step
from python_ref.spec.activations import Activation
from python_ref.spec.design import Cast, DesignSpec, Formats, Hardware
from python_ref.spec.network import Network
from python_ref.spec.number import Fixed, Overflow, Rounding
from python_ref.spec.optimizer import OPTIMIZERS
from python_ref.spec.perturbation import CODES, Kind, LfsrCode, Perturbation
from python_ref.spec.probes import COUNTERS, probes
from python_ref.spec.schedule import Difference, Schedule
from tests.support.designs import random_design, random_parameters, random_samples
from tests.support.oracle import Oracle
from tests.support.rare_events import RARE_EVENTS, RareEvent


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


@settings(max_examples=75)
@given(st.integers(0, 2**32))
def test_every_observable_equals_the_oracle(seed):
    rng = random.Random(seed)
    check(random_design(rng, max_size=5, kinds=[Kind.WEIGHT]), rng, 16)


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_every_observable_of_sparse_layers_equals_the_oracle(seed):
    rng = random.Random(seed)
    check(random_design(rng, max_size=6, max_lanes=4, kinds=[Kind.WEIGHT], sparse=1.0), rng, 12)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_every_observable_of_many_more_equals_the_oracle(seed):
    rng = random.Random(seed)
    check(random_design(rng, max_size=5, kinds=[Kind.WEIGHT]), rng, 24)


@pytest.mark.parametrize("lanes", [62, 63, 127, *(pytest.param(lanes, marks=pytest.mark.slow) for lanes in (126, 200, 253))])
def test_wide_arrays_equal_the_oracle(lanes):
    rng = random.Random(lanes)
    spec = random_design(
        rng, kinds=[Kind.WEIGHT], max_size=4, max_layers=2, codes=[LfsrCode], activations=[Activation.RELU, Activation.IDENTITY]
    )
    formats = replace(spec.formats, input=Fixed(False, 0, 8), activation=Fixed(True, 4, 6))
    spec = replace(spec, network=replace(spec.network, sizes=(2, lanes + 3, 2)), formats=formats)
    spec = replace(spec, hardware=replace(spec.hardware, lanes=lanes))
    check(spec, rng, 3)


# What random designs seldom reach is constructed.


@pytest.mark.parametrize("name", [name for name in COUNTERS if name not in ("saturated_error", "saturated_state")])
def test_every_counter_rises_as_the_oracle_says(name):
    event, place = replace(RARE_EVENTS[name], kind=Kind.WEIGHT), COUNTERS.index(name)
    spec, sample = event.spec, event.sample
    state, oracle, counts = initial_state(spec, event.start), Oracle(spec, event.start.tolist(), spec.perturbation.seed), []
    for _ in range(event.steps):
        counts.append(state.counters[place])
        state, observed = step(spec, state, sample)
        assert observed["counter"].tolist() == oracle.step(*(part.tolist() for part in sample))["counter"]
    assert max(counts) < state.counters[place], "the last step must be the one that counts"


BASE = DesignSpec(
    "base",
    Network((2, 3, 2), Activation.RELU, Activation.IDENTITY),
    Perturbation(Kind.WEIGHT, amplitude_log2=-3),
    Schedule(((0, -5), (7, -6)), 2, 3, 2),
    formats=Formats(Fixed(False, 0, 4), Fixed(True, 2, 8), Fixed(True, 3, 7), Fixed(True, 3, 4), Fixed(True, 2, 9), Fixed(True, 2, 12)),
    hardware=Hardware(2),
)


def with_cast(name: str, cast: Cast) -> DesignSpec:
    """The base with another cast."""
    return replace(BASE, formats=replace(BASE.formats, **{f"{name}_cast": cast}))


def with_sizes(*sizes: int, lanes: int = 2) -> DesignSpec:
    """The base with other layers."""
    return replace(BASE, network=replace(BASE.network, sizes=sizes), hardware=Hardware(lanes))


KINDS = {
    f"{code}-{difference.value}-{optimizer}": replace(
        BASE,
        perturbation=Perturbation(Kind.WEIGHT, CODES[code](), -3),
        schedule=replace(BASE.schedule, difference=difference),
        optimizer=OPTIMIZERS[optimizer](),
    )
    for code, difference, optimizer in product(CODES, Difference, OPTIMIZERS)
}
CASTS = {
    f"{name}-{rounding.value}-{overflow.value}": with_cast(name, Cast(rounding, overflow))
    for name, rounding, overflow in product(("activation", "cost_change", "gradient", "weight"), Rounding, Overflow)
    if name == "weight" or rounding is not Rounding.STOCHASTIC
}
ACTIVATIONS = {
    f"{place}-{activation.value}": replace(BASE, network=replace(BASE.network, **{place: activation}))
    for place, activation in product(("hidden", "output"), Activation)
}
SHAPES = {
    "one layer": with_sizes(3, 4),
    "three layers": with_sizes(2, 3, 2, 3),
    "one neuron": with_sizes(2, 1),
    "a layer of one input": with_sizes(1, 3, 2),
    "more lanes than neurons": with_sizes(2, 3, 2, lanes=5),
    "no signature": replace(BASE, hardware=Hardware(2, signature=False)),
    "no memory of gradients": replace(BASE, schedule=replace(BASE.schedule, update_period=1), hardware=Hardware(2, gradient_memory=False)),
    "a memory of gradients all the same": replace(BASE, schedule=replace(BASE.schedule, update_period=1), hardware=Hardware(2, True)),
}
CHOICES = KINDS | CASTS | ACTIVATIONS | SHAPES
"""Designs that, together, make every choice that a design file has."""


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_equals_the_oracle(name):
    check(CHOICES[name], random.Random(name), 12)


def test_a_load_makes_sample_and_baseline_due():
    """A step in the middle of τ_x judges and measures anew after a load, and not without one."""
    event = RareEvent(update_period=100)
    spec, sample, state = event.spec, event.sample, initial_state(event.spec, event.start)
    for _ in range(3):
        state, _ = step(spec, state, sample)
    other = state.parameters + 4  # y = 0.25 + 0.25 rather than 0, and so another cost
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
