"""The core of weight perturbation with state shows what its model and the oracle compute, in every event and register."""

import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from python_ref.spec.design import DesignSpec
from python_ref.spec.layers import DENSE, Leaky
from python_ref.spec.network import Readout
from python_ref.spec.perturbation import Kind
from python_ref.spec.probes import probes
from python_ref.trace import Run
from rtl_gen.core import core_of
from sim.cosim import cosim, event_decoder
from sim.ports import Ports
from sim.program import training_program
from sim.run import Outcome, Stalls
from sim.simulators import Options, simulate
from tests.support.designs import random_parameters
from tests.support.lockstep import run_lockstep, samples_of
from tests.support.marks import LONG, slow_unless
from tests.support.scenarios import constant_rate, plain, random_scenario, resuming, stopping
from tests.support.series_designs import random_series
from tests.support.series_weight_shapes import QUICK_WEIGHT_SHAPES, WEIGHT_SERIES_SHAPES, weight_series
from tests.support.weight_series_oracle import WeightSeriesOracle

STEPS = 11
SCENARIOS = {
    "host": random_scenario,
    "stops": lambda rng, spec: stopping([rng.randint(0, 60) for _ in range(3)]),
    "run": lambda rng, spec: plain(STEPS),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow_unless(name in QUICK_WEIGHT_SHAPES)) for name in WEIGHT_SERIES_SHAPES])
def test_every_observable_is_the_model_s(name):
    run_lockstep(WEIGHT_SERIES_SHAPES[name], plain(STEPS), random.Random(1), samples=STEPS + 2)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(seed, marks=LONG) for seed in range(2, 20))])
def test_random_networks_are_the_model_s_whatever_the_host_does(seed, scenario):
    rng = random.Random(f"{scenario} {seed}")
    spec = constant_rate(random_series(rng, max_layers=3, max_size=4, max_frames=4, kind=Kind.WEIGHT))
    run_lockstep(spec, SCENARIOS[scenario](rng, spec), rng, stalls=rng.choice((None, Stalls(rng.randrange(1, 1 << 32), 0.3))))


@pytest.mark.slow
def test_a_run_goes_on_where_a_checkpoint_was():
    run_lockstep(weight_series(periods=(1, 2, 2)), resuming((2, 2), 2), random.Random(2))


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 3, pytest.param(8, marks=LONG), pytest.param(9, marks=LONG)])
def test_any_number_of_lanes_is_the_model_s(lanes):
    spec = weight_series((2, 9, 3), (Leaky(1), DENSE), 3, readout=Readout.SUM)
    run_lockstep(replace(spec, hardware=replace(spec.hardware, lanes=lanes)), plain(6), random.Random(1), samples=8)


def run_of(spec: DesignSpec, steps: int, seed: int) -> Run:
    """A run of a design on random samples."""
    rng = random.Random(seed)
    start, (inputs, targets) = random_parameters(rng, spec), samples_of(rng, spec, 4)
    if inputs.shape[1] > spec.network.n_in:
        inputs[:, 0] = [spec.unrolled.length_of(each) for each in inputs]
    return Run(spec, start, inputs, targets, np.arange(steps) % 4, steps, 11)


def oracle_equals_the_core(spec: DesignSpec, steps: int, seed: int) -> None:
    """Every observable that the core shows, but the signature, is that of the oracle in exact fractions."""
    run, ports = run_of(spec, steps, seed), Ports.of(spec)
    decoder = event_decoder(run, ports)
    program = training_program(spec, run.parameters, run.inputs, run.targets, run.order, steps, seed=run.seed)
    simulate(core_of(spec), ports, program, decoder.feed, None, Outcome(), simulator="amaranth", options=Options())
    shown = decoder.take()
    assert decoder.steps == steps
    oracle = WeightSeriesOracle(spec, run.parameters.tolist(), run.seed)
    for n in range(steps):
        words = run.inputs[run.order[n // spec.schedule.sample_period]].tolist()
        held = len(words) == spec.network.n_in
        targets = run.targets[run.order[n // spec.schedule.sample_period]].tolist()
        found = oracle.step(words if held else words[1:], targets, None if held else words[0])
        for probe in probes(spec):
            if probe.name == "signature":
                continue
            raw = shown[probe.name][n]
            formats = list(probe.formats) * (raw.size // len(probe.formats))  # the same in each pass
            real = [Fraction(int(each), 2**form.fraction_bits) for each, form in zip(raw.ravel(), formats, strict=True)]
            assert real == found[probe.name], (n, probe.name)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=slow_unless(name == "leaky")) for name in ("leaky", "two-lif", "no-tail", "adam")]
)
def test_the_core_is_the_oracle_s(name):
    oracle_equals_the_core(WEIGHT_SERIES_SHAPES[name], 7, 3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=LONG) for seed in range(3, 40))])
def test_random_networks_are_the_oracle_s(seed):
    oracle_equals_the_core(random_series(random.Random(seed), max_layers=3, max_size=4, max_frames=4, kind=Kind.WEIGHT), 8, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["leaky", "lif", "one-frame", "behind-a-dense-layer"])
def test_cosimulation_finds_no_difference(name, tmp_path):
    spec = WEIGHT_SERIES_SHAPES[name]
    result = cosim(run_of(spec, 40, 5), core_of(spec), tmp_path, simulator="amaranth")
    assert result.equal and result.compared, result
