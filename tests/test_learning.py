"""It learns: the shipped designs reach what they promise, from random starts, over paired seeds.

The slow tests are the promises, and print their figures (``pytest -m slow -n 0 -s tests/test_learning.py``); the others are
a short look at each of the same runs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
import pytest

from mgd_hw.data import load as load_data
from mgd_hw.design.description import Design
from mgd_hw.design.reader import load
from mgd_hw.learn.compare import Comparison, compare_models
from python_ref.datasets import SampleOrder, nist7x7, quantise
from python_ref.fixed.fast import evaluate, train
from python_ref.fixed.machine import initial_state, sample_number
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.design import DesignSpec
from python_ref.spec.error import Refusal
from python_ref.spec.perturbation import Kind, LfsrCode, Perturbation
from python_ref.spec.registers import Memory
from python_ref.spec.schedule import Difference, Schedule
from rtl_gen import emit
from sim import host
from sim.ports import Ports
from sim.program import ProgramLink, ReplayLink, sample_table
from sim.simulators import simulate

SEEDS = 10


def compared(name: str, seeds: int, steps: int) -> Comparison:
    design = load(name)
    result = compare_models(design, load_data(design.data), seeds=seeds, steps=steps)
    report(result)
    return result


def report(result: Comparison) -> None:
    """Print a row per seed, then means and 95 % intervals."""
    models = {"back-propagation": result.backprop, "float MGD": result.float, "fixed MGD": result.fixed}
    print(f"\n{result.design}, {result.steps:,} steps; {result.source}")
    print("seed", *(f"{title:>18}" for title in models))
    for runs in zip(*(model.runs for model in models.values()), strict=True):
        print(f"{runs[0].seed:4}", *(f"{100 * run.accuracy:16.2f} %" for run in runs))
    print("mean", *(f"{100 * model.accuracy_mean:9.2f} ± {100 * model.accuracy_interval:4.2f} %" for model in models.values()))
    for title, paired in (("float − back-propagation", result.float_less_backprop), ("fixed − float", result.fixed_less_float)):
        print(f"{title}: {100 * paired.mean:+.2f} ± {100 * paired.interval:.2f} points (95 %, Student's t on paired differences)")


# -- Real digits: float, fixed, back-propagation ----------------------------------------------------------------------


def test_digits_begin_to_be_told_apart():
    result = compared("digits", 1, 100_000)
    assert result.fixed.accuracy_mean >= 0.85
    assert abs(result.fixed_less_float.mean) <= 0.05


@pytest.mark.long
@pytest.mark.slow
def test_digits_are_learned_as_well_as_by_back_propagation():
    result = compared("digits", SEEDS, load("digits").compare.steps)
    assert result.backprop.accuracy_mean >= 0.96
    assert result.float_less_backprop.mean >= -0.02
    assert abs(result.fixed_less_float.mean) <= 0.01


# -- Exclusive or: the Verilog alone ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Learned:
    """What a core was left with: answers it got right after training, and its θ (raw, shape (P,)) as the host reads it."""

    correct: int
    parameters: np.ndarray


@pytest.fixture
def xor_core(tmp_path):
    """A function that trains the emitted Verilog of ``xor`` in CXXRTL, and then asks it for all four answers."""
    directory, spec = tmp_path, load("xor").spec
    verilog = directory / "design.v"
    verilog.write_text(emit.emit_verilog(spec))

    def run(seed: int, steps: int) -> Learned:
        design = load("xor").with_seed(seed)
        spec, data = design.spec, load_data(design.data)
        inputs, targets = quantise(spec, data.train)
        trained = data.order.indices(0, sample_number(spec, steps - 1) + 1)

        def scenario(link) -> Learned:
            host.prepare(spec, link, quantise_parameters(spec, initial_parameters(spec)), seed)
            host.train(spec, link, 0, steps)
            host.clear_counters(spec, link)
            host.infer(spec, link, len(inputs))
            return Learned(host.read_register(spec, link, "correct"), host.read_memory(spec, link, Memory.PARAMETER))

        link = ProgramLink()
        scenario(link)
        program = link.program(sample_table(spec, inputs, targets), np.concatenate([trained, np.arange(len(inputs))]))
        outcome = simulate(verilog, Ports.of(spec), program, lambda *_: None, directory / "build", simulator="cxxrtl")
        return scenario(ReplayLink(outcome.responses))

    return run


def solved(run, seeds: int, steps: int) -> int:
    """In how many runs the core answers all four patterns, and the model does with the core's parameters."""
    count = 0
    for seed in range(1, 1 + seeds):
        design = load("xor").with_seed(seed)
        samples = quantise(design.spec, load_data(design.data).test)
        learned = run(seed, steps)
        before, _ = evaluate(design.spec, quantise_parameters(design.spec, initial_parameters(design.spec)), *samples)
        after, cost = evaluate(design.spec, learned.parameters, *samples)
        print(f"xor, seed {seed:2}: {4 * before:.0f} of 4 before, {learned.correct} of 4 after {steps:,} steps, mean cost {cost:.4f}")
        assert learned.correct == 4 * after, "the core's own answers are those of the parameters it hands out"
        count += learned.correct == 4 and before < 1
    return count


@pytest.mark.usefixtures("quick_builds", "shared_verilog")
def test_xor_is_solved_by_the_verilog_alone(xor_core):
    assert solved(xor_core, 1, 2_000) == 1


@pytest.mark.long
@pytest.mark.slow
def test_xor_is_solved_by_the_verilog_alone_from_nearly_every_start(xor_core):
    assert solved(xor_core, SEEDS, load("xor").compare.steps) >= 9


# -- Letters: steps to 95 % -------------------------------------------------------------------------------------------


def by_weights(design: Design) -> DesignSpec:
    """The design with every weight perturbed by random signs instead of one neuron at a time, at the amplitude and rate that suit it."""
    spec = design.spec
    perturbation = Perturbation(Kind.WEIGHT, LfsrCode(), -5, spec.perturbation.seed)
    return replace(spec, perturbation=perturbation, schedule=Schedule(((0, -8),), difference=Difference.TWO_SIDED))


def steps_to_95(specs: list[DesignSpec], limit: int, every: int) -> np.ndarray:
    """Steps until the fixed model tells 95 % of all images, looked at so often; infinite where it does not (shape (specs,))."""
    found = []
    for spec in specs:
        inputs, targets = quantise(spec, nist7x7())
        state = initial_state(spec, quantise_parameters(spec, initial_parameters(spec)))
        order = SampleOrder(len(inputs), True, spec.perturbation.seed)
        curve = train(spec, state, inputs, targets, order, limit, evaluation=(inputs, targets), record_every=every, until=0.95).curve
        found.append(curve.steps[-1] if curve.accuracy[-1] >= 0.95 else np.inf)
    steps = np.array(found)
    kind = specs[0].perturbation.kind.value
    print(f"\nnist7x7, {kind} perturbation, steps to 95 %: median {np.median(steps):,.0f}, most {steps.max():,.0f}; {steps.tolist()}")
    return steps


def test_letters_are_learned():
    design = load("nist7x7")
    assert np.all(steps_to_95([design.with_seed(seed).spec for seed in (1, 2)], 90_000, 5_000) <= 90_000)


@pytest.mark.long
@pytest.mark.slow
def test_letters_are_learned_in_time_by_perturbing_neurons():
    design = load("nist7x7")
    steps = steps_to_95([design.with_seed(seed).spec for seed in range(1, 1 + SEEDS)], 200_000, 1_000)
    assert np.median(steps) <= 9e4
    assert np.isfinite(steps).all()


@pytest.mark.long
@pytest.mark.slow
def test_letters_are_learned_in_time_by_perturbing_weights():
    design = load("nist7x7")
    steps = steps_to_95([by_weights(design.with_seed(seed)) for seed in range(1, 1 + SEEDS)], 1_500_000, 10_000)
    assert np.median(steps) <= 1e6


# -- MNIST: the user's images -----------------------------------------------------------------------------------------


def test_mnist_says_where_its_images_come_from(monkeypatch):
    monkeypatch.delenv("MGD_DATA", raising=False)
    with pytest.raises(Refusal, match="MGD_DATA"):
        load_data(load("mnist").data)


@pytest.mark.long
@pytest.mark.slow
def test_mnist_begins_to_be_told_apart():
    if "MGD_DATA" not in os.environ:
        with pytest.raises(Refusal, match="MGD_DATA"):
            load_data(load("mnist").data)
        return
    result = compared("mnist", 1, 300_000)
    assert result.fixed.accuracy_mean >= 0.8
    assert result.fixed_less_float.mean >= -0.03, "one seed, early: the formats' limits rather help at so high a rate"
