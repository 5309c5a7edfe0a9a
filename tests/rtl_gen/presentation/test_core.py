"""The core of node perturbation shows what an oracle that shares nothing with it computes in exact fractions, whatever its shape."""

import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from python_ref.spec.design import DesignSpec
from python_ref.spec.perturbation import Kind
from python_ref.spec.probes import probes
from rtl_gen.core import core_of
from sim.engines.amaranth_sim import run_amaranth
from sim.node_events import node_decoder
from sim.ports import Ports
from sim.program import training_program
from tests.support.designs import random_design, random_samples
from tests.support.marks import LONG, SLOW, long_unless, slow_unless
from tests.support.node_designs import PART_SHAPES, QUICK_SHAPES, SHAPES, single_port, two_multipliers
from tests.support.oracles import oracle_of

STEPS, SAMPLES = 13, 4
QUICK_PARTS = ("first-layer-twice", "last-layer-thrice", "stochastic-momentum")


def start_of(spec: DesignSpec, seed: int):
    """Raw parameters, inputs and targets of a run."""
    rng = random.Random(seed)
    low, high = spec.parameter_limits
    reach = 1 << spec.formats.weight.fraction_bits
    parameters = np.array([rng.randint(max(low, -reach), min(high, reach)) for _ in range(spec.network.n_parameters)])
    return parameters, *random_samples(rng, spec, SAMPLES)


def shown_by_the_core(spec: DesignSpec, seed: int, steps: int) -> dict[str, np.ndarray]:
    """Observables of a run in Amaranth's simulator."""
    parameters, inputs, targets = start_of(spec, seed)
    ports = Ports.of(spec)
    program = training_program(spec, parameters, inputs, targets, np.arange(steps) % SAMPLES, steps, read_back=False)
    decoder = node_decoder(spec, ports, parameters)
    run_amaranth(core_of(spec), ports, program, decoder.feed, patience=3_000)
    return decoder.take()


def check(spec: DesignSpec, seed: int = 3, steps: int = STEPS) -> None:
    """Every observable of every step that has been shown is the oracle's."""
    found = shown_by_the_core(spec, seed, steps)
    last = max(n + 1 for n in range(steps) if spec.schedule.begins(n + 1))  # what is not applied is not complete
    assert len(found["cost"]) >= last > steps // 2
    parameters, inputs, targets = start_of(spec, seed)
    oracle = oracle_of(spec, parameters.tolist(), spec.perturbation.seed)
    for step in range(len(found["cost"])):
        sample = step // spec.schedule.sample_period % SAMPLES
        expected = oracle.observed(inputs[sample].tolist(), targets[sample].tolist())
        for probe in probes(spec):
            values = found[probe.name][step].ravel().tolist()
            real = [Fraction(value, 1) / Fraction(2) ** probe.format_at(i).fraction_bits for i, value in enumerate(values)]
            assert real == expected[probe.name], f"step {step}: {probe.name}"


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow_unless(name in QUICK_SHAPES)) for name in SHAPES])
def test_every_observable_is_the_oracles(name):
    check(SHAPES[name], steps=2 * max(SHAPES[name].schedule.sample_period, SHAPES[name].schedule.update_period) + 5)


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow_unless(name in QUICK_PARTS)) for name in PART_SHAPES])
def test_every_observable_of_probes_of_parts_is_the_oracles(name):
    schedule = PART_SHAPES[name].schedule
    check(PART_SHAPES[name], steps=2 * max(schedule.sample_period, schedule.update_period) + 5)


EVERY = SHAPES | {f"{name}, parts": spec for name, spec in PART_SHAPES.items()}
QUICK_ON_TWO = ("sequential", "memory", "one-layer")
SLOW_ON_TWO = ("deep", "stochastic", "two-sided-sequential", "momentum-and-memory", "layer-by-layer, parts", "sequential-pipelined")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=SLOW if name in SLOW_ON_TWO else long_unless(name in QUICK_ON_TWO)) for name in EVERY],
)
def test_every_observable_of_lanes_with_two_multipliers_is_the_oracles(name):
    schedule = EVERY[name].schedule
    check(two_multipliers(EVERY[name]), steps=2 * max(schedule.sample_period, schedule.update_period) + 5)


SINGLE_PORT = ("plain", "one-lane", "memory", "long", "deep", "sequential", "momentum-and-memory", "pipelined")


@pytest.mark.parametrize("multipliers", [1, 2])
@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW if name in ("plain", "one-lane") else LONG) for name in SINGLE_PORT])
def test_every_observable_of_memories_with_one_port_is_the_oracles(name, multipliers):
    spec = single_port(EVERY[name])
    check(spec if multipliers == 1 else two_multipliers(spec), steps=2 * max(spec.schedule.sample_period, spec.schedule.update_period) + 5)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 2, 9, 12])
@pytest.mark.parametrize(
    "name",
    [
        *("plain", "deep", "sequential", "sequential-twice", "walsh", "walsh-gray", "two-sided-sequential", "periods-that-cross"),
        *("momentum-and-memory", "stochastic", "half-even", "layer-by-layer, parts", "stochastic-momentum, parts", "deep, parts"),
    ],
)
def test_lanes_with_two_multipliers_are_the_oracles_in_any_number(name, lanes):
    schedule = EVERY[name].schedule
    check(two_multipliers(EVERY[name], lanes), steps=2 * max(schedule.sample_period, schedule.update_period) + 5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=() if seed < 4 else pytest.mark.long) for seed in range(24)])
def test_random_designs_with_two_multipliers_are_the_oracles(seed):
    rng = random.Random(f"two {seed}")
    while True:
        spec = random_design(rng, max_size=9, max_layers=4, max_period=4, max_lanes=16, kinds=[Kind.NODE], parts=0.3)
        longest = max(spec.schedule.sample_period, spec.schedule.update_period)
        if longest <= 40:
            break
    check(two_multipliers(spec), seed, 2 * longest + 3)


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW if name == "wide-error" else LONG) for name in EVERY])
def test_a_second_multiplier_changes_no_observable(name):
    schedule = EVERY[name].schedule
    steps = 2 * max(schedule.sample_period, schedule.update_period) + 5
    one, two = (shown_by_the_core(spec, 7, steps) for spec in (EVERY[name], two_multipliers(EVERY[name])))
    assert len(one["cost"]) == len(two["cost"]) > steps // 2
    for key, values in one.items():
        np.testing.assert_array_equal(two[key], values, err_msg=key)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 2, 9])
@pytest.mark.parametrize("name", ["last-layer-thrice", "four-layers", "stochastic-momentum", "narrow", "walsh"])
def test_parts_are_the_oracles_on_any_number_of_lanes(name, lanes):
    spec = replace(PART_SHAPES[name], hardware=replace(PART_SHAPES[name].hardware, lanes=lanes))
    check(spec, steps=2 * max(spec.schedule.sample_period, spec.schedule.update_period) + 5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=() if seed < 6 else pytest.mark.long) for seed in range(24)])
def test_random_designs_with_parts_are_the_oracles(seed):
    rng = random.Random(f"parts {seed}")
    while True:
        spec = random_design(rng, max_size=9, max_layers=4, max_period=3, max_lanes=16, kinds=[Kind.NODE], parts=1.0)
        longest = max(spec.schedule.sample_period, spec.schedule.update_period)
        if spec.in_parts and longest <= 40:
            break
    check(spec, seed, 2 * longest + 3)


def observed_with(spec: DesignSpec, lanes: int) -> dict[str, np.ndarray]:
    """Observables of a run of the design with another number of lanes, without the signature of its words, which have lanes."""
    found = shown_by_the_core(replace(spec, hardware=replace(spec.hardware, lanes=lanes)), 5, 12)
    found["signature"] = found["signature"][:, 0]
    return found


@pytest.mark.parametrize("lanes", [(1, 3, 8), pytest.param((1, 6, 64), marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize("name", ["stochastic", *(pytest.param(name, marks=pytest.mark.slow) for name in ("momentum", "deep"))])
def test_results_do_not_depend_on_the_number_of_lanes(name, lanes):
    first, *others = (observed_with(SHAPES[name], number) for number in lanes)
    assert np.any(first["parameter"][0] != first["parameter"][-1])
    for other in others:
        assert other.keys() == first.keys()
        for key, values in first.items():
            np.testing.assert_array_equal(other[key], values, err_msg=key)
