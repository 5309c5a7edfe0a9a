"""Weight perturbation with state over the life of a core: loads, inferences, restarts and cleared counters, against the oracle."""

import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from python_ref.fixed.cost import correct
from python_ref.fixed.machine import initial_state, step
from python_ref.fixed.series import unroll
from python_ref.fixed.state import State
from python_ref.spec.design import DesignSpec
from python_ref.spec.layers import DENSE, Leaky
from python_ref.spec.optimizer import ShiftAdam
from python_ref.spec.perturbation import Kind
from python_ref.spec.probes import COUNTERS, probes
from tests.support.designs import random_parameters
from tests.support.marks import slow_unless
from tests.support.series_designs import random_series, random_series_samples
from tests.support.series_shapes import SERIES_SHAPES, series_design
from tests.support.weight_series_oracle import WeightSeriesOracle

QUICK = ("leaky", "two-lif", "stochastic", "no-tail", "adam", "padded")


def weighted(spec: DesignSpec) -> DesignSpec:
    """A design of node perturbation with its weights perturbed instead, and without a gradient memory where it had none."""
    memory = spec.hardware.gradient_memory
    schedule = replace(spec.schedule, update_period=1) if memory is False else spec.schedule
    return replace(
        spec,
        perturbation=replace(spec.perturbation, kind=Kind.WEIGHT, hold=None),
        schedule=schedule,
        hardware=replace(spec.hardware, single_port=False),
    )


SHAPES = {name: weighted(spec) for name, spec in SERIES_SHAPES.items()}
SHAPES["padded"] = weighted(series_design((1, 5, 2), (DENSE, Leaky(1)), 2, lanes=4))
SHAPES["adam"] = replace(SHAPES["leaky"], optimizer=ShiftAdam())
SHAPES["adam-direct"] = replace(SHAPES["by-group"], optimizer=ShiftAdam(k1=0))


class Life:
    """Model and oracle side by side, led by the same events.

    Parameters
    ----------
    rng : random.Random
        Source of parameters, samples and events.
    spec : DesignSpec
        Design of weight perturbation, with state.
    """

    def __init__(self, rng: random.Random, spec: DesignSpec) -> None:
        self.rng, self.spec = rng, spec
        self.state: State = initial_state(spec, random_parameters(rng, spec), seed=rng.randrange(1 << 63))
        self.oracle = WeightSeriesOracle(spec, self.state.parameters.tolist(), self.state.seed)
        self.samples = random_series_samples(rng, spec, 9)
        self.sample = 0

    def words(self, number: int) -> tuple[list[int], list[int], int | None]:
        """Inputs, targets and length of a sample, as the oracle takes them."""
        inputs, targets = (part[number].tolist() for part in self.samples)
        held = self.samples[0].shape[1] == self.spec.network.n_in
        return (inputs, targets, None) if held else (inputs[1:], targets, inputs[0])

    def step(self) -> None:
        """A step of both, whose observables must be equal, but for the signature."""
        if self.state.due or self.state.steps % self.spec.schedule.sample_period == 0:
            self.sample = self.rng.randrange(9)
        number = self.state.steps
        self.state, observed = step(self.spec, self.state, tuple(part[self.sample] for part in self.samples))
        found = self.oracle.step(*self.words(self.sample))
        for probe in probes(self.spec):
            if probe.name != "signature":
                raw = observed[probe.name].ravel().tolist()
                shown = [value / Fraction(2) ** probe.format_at(i).fraction_bits for i, value in enumerate(raw)]
                assert shown == found[probe.name], (number, probe.name, self.spec)

    def load(self) -> None:
        """Write other parameters."""
        parameters = random_parameters(self.rng, self.spec)
        self.state = self.state.with_load(parameters)
        self.oracle.load(parameters.tolist())

    def infer(self) -> None:
        """Judge a sample, which changes no parameter."""
        number = self.rng.randrange(9)
        sample = tuple(part[number] for part in self.samples)
        outputs = unroll(self.spec, self.state.parameters, sample).outputs
        judged = correct(self.spec, outputs, sample[1])
        counters = self.state.counters.copy()
        counters[COUNTERS.index("correct")] += judged
        self.state = replace(self.state.with_load(), counters=counters)
        found = self.oracle.infer(*self.words(number))
        fraction = self.spec.outputs_format.fraction_bits
        assert [value / Fraction(2) ** fraction for value in outputs.tolist()] == found["outputs"]
        assert judged == found["judged"]

    def restart(self) -> None:
        """Begin all periods and streams anew, from another seed."""
        seed = self.rng.randrange(1 << 63)
        counters = np.where(np.isin(COUNTERS, ("steps", "updates")), 0, self.state.counters)
        self.state = replace(self.state.with_load(), seed=seed, drawn=0, steps=0, updates=0, counters=counters)
        self.oracle.restart(seed)

    def clear(self) -> None:
        """Clear the counters."""
        self.state = self.state.with_clear()
        self.oracle.clear()

    def stop(self) -> None:
        """End a run, which the model does between any two steps."""
        self.oracle.stop()


def lead(spec: DesignSpec, rng: random.Random, runs: int = 8) -> None:
    """Some runs, each of some steps, with an event between every two."""
    life = Life(rng, spec)
    for number in range(runs):
        for _ in range(rng.randint(1, 5)):
            life.step()
        (life.load, life.infer, life.restart, life.clear, life.stop)[number % 5 if number < 5 else rng.randrange(5)]()
    life.step()


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow_unless(name in QUICK)) for name in SHAPES])
def test_every_shape_lives_as_the_oracle_says(name: str) -> None:
    lead(SHAPES[name], random.Random(name))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=() if seed < 330 else pytest.mark.long) for seed in range(300, 420)])
def test_random_designs_live_as_the_oracle_says(seed: int) -> None:
    rng = random.Random(seed)
    lead(random_series(rng, kind=Kind.WEIGHT, max_frames=5, max_lanes=5), rng)
