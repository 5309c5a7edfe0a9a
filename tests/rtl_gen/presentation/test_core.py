"""The core of node perturbation shows what an oracle that shares nothing with it computes in exact fractions, whatever its shape."""

import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from python_ref.spec.activations import Activation
from python_ref.spec.design import DesignSpec
from python_ref.spec.perturbation import Kind, SequentialCode
from python_ref.spec.probes import probes
from rtl_gen.core import core_of
from rtl_gen.emit import emit_verilog
from rtl_gen.fanout import MAX_DIRECT_LANES
from sim.cosim import cosim
from sim.engines.amaranth_sim import run_amaranth
from sim.node_events import node_decoder
from sim.ports import Ports
from sim.program import training_program
from sim.run import Stalls
from sim.simulators import Options
from tests.rtl_gen.test_faults import a_run
from tests.support.designs import random_design, random_samples
from tests.support.marks import LONG, SLOW, long_unless, slow_unless
from tests.support.node_designs import DEEP_SHAPES, PART_SHAPES, QUICK_SHAPES, SHAPES, node_design, single_port, two_multipliers
from tests.support.oracles import oracle_of

STEPS, SAMPLES = 13, 4
QUICK_DEEP = ("two-hidden",)
SLOW_DEEP = ("three-hidden", "one-output", "wide-inside", "narrow", "momentum")
QUICK_PARTS = ("last-layer-thrice", "stochastic-momentum")


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


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=SLOW if name in SLOW_DEEP else long_unless(name in QUICK_DEEP)) for name in DEEP_SHAPES],
)
def test_every_observable_of_deep_incremental_probes_is_the_oracles(name):
    spec = DEEP_SHAPES[name]
    check(spec, steps=max(2 * max(spec.schedule.sample_period, spec.schedule.update_period), spec.network.n_neurons) + 3)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 2, 4, 9])
@pytest.mark.parametrize("name", ["two-hidden", "three-hidden", "five-hidden", "wide-inside", "updates-within-a-sample"])
def test_deep_incremental_probes_are_the_oracles_on_any_number_of_lanes(name, lanes):
    spec = replace(DEEP_SHAPES[name], hardware=replace(DEEP_SHAPES[name].hardware, lanes=lanes))
    check(spec, steps=2 * max(spec.schedule.sample_period, spec.schedule.update_period) + 5)


EVERY = SHAPES | {f"{name}, parts": spec for name, spec in PART_SHAPES.items()}
EVERY |= {f"one at a time, {name}": spec for name, spec in DEEP_SHAPES.items()}
QUICK_ON_TWO = ("sequential", "memory", "one-layer")
SLOW_ON_TWO = (
    *("deep", "stochastic", "two-sided-sequential", "momentum-and-memory", "layer-by-layer, parts", "sequential-pipelined"),
    *("one at a time, two-hidden", "one at a time, wide-inside"),
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=SLOW if name in SLOW_ON_TWO else long_unless(name in QUICK_ON_TWO)) for name in EVERY],
)
def test_every_observable_of_lanes_with_two_multipliers_is_the_oracles(name):
    schedule = EVERY[name].schedule
    check(two_multipliers(EVERY[name]), steps=2 * max(schedule.sample_period, schedule.update_period) + 5)


GATHERED = ("pipelined", "wide-output", "sequential-pipelined", "pipelined, parts", "one at a time, pipelined")
MANY = {name: EVERY[name] for name in GATHERED}
MANY |= {
    name: replace(SHAPES[name], hardware=replace(SHAPES[name].hardware, lanes=9)) for name in ("momentum-and-memory", "half-even", "walsh")
}


@pytest.mark.parametrize("multipliers", [1, pytest.param(2, marks=LONG)])
@pytest.mark.parametrize("name", [pytest.param(name, marks=slow_unless(name == "pipelined")) for name in MANY])
def test_every_observable_is_the_oracles_where_lanes_are_many(name, multipliers, monkeypatch):
    """Groups of lanes keep their sums and decide what the host accesses, behind two stages of registers."""
    monkeypatch.setattr("rtl_gen.presentation.neurons.MAX_SHIFTED_LANES", MAX_DIRECT_LANES)
    monkeypatch.setattr("rtl_gen.fanout.MAX_NEAR_LANES", MAX_DIRECT_LANES)
    spec = MANY[name] if multipliers == 1 else two_multipliers(MANY[name])
    check(spec, steps=2 * max(spec.schedule.sample_period, spec.schedule.update_period) + 5)


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
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=() if seed < 2 else pytest.mark.long) for seed in range(24)])
def test_random_deep_designs_with_incremental_probes_are_the_oracles(seed):
    rng, spec = random.Random(f"deep {seed}"), SHAPES["plain"]
    while len(spec.network.layers) < 3 or not spec.incremental or spec.longest_presentation > 40:
        spec = random_design(rng, max_size=9, max_layers=6, max_period=9, max_lanes=16, kinds=[Kind.NODE], codes=[SequentialCode])
    longest = max(spec.schedule.sample_period, spec.schedule.update_period)
    check(spec, seed, max(2 * longest, min(spec.network.n_neurons * spec.schedule.perturbation_period, 60)) + 3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=() if seed < 2 else pytest.mark.long) for seed in range(24)])
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
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=() if seed < 3 else pytest.mark.long) for seed in range(24)])
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


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [(1, 3, 8), pytest.param((1, 6, 64), marks=LONG)], ids=str)
@pytest.mark.parametrize("name", ["stochastic", "momentum", "deep"])
def test_results_do_not_depend_on_the_number_of_lanes(name, lanes):
    first, *others = (observed_with(SHAPES[name], number) for number in lanes)
    assert np.any(first["parameter"][0] != first["parameter"][-1])
    for other in others:
        assert other.keys() == first.keys()
        for key, values in first.items():
            np.testing.assert_array_equal(other[key], values, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [3, pytest.param(9, marks=pytest.mark.long)])
def test_deep_incremental_probes_in_verilog_are_the_model(lanes, tmp_path):
    """Ten presentations of three layers through cxxrtl, from Verilog, with samples and answers that stall."""
    spec = node_design((12, 10, 8, 4), SequentialCode(), lanes, (1, 22, 22), hidden=Activation.SIGMOID, name="three_layers")
    path = tmp_path / "design.v"
    path.write_text(emit_verilog(spec), encoding="utf-8")
    options = Options(stalls=Stalls(1, 0.3), patience=5_000)
    assert cosim(a_run(spec, 220), path, tmp_path, simulator="cxxrtl", options=options).equal
