"""What a run costs: operations against numbers that count what is done to them, passes against the model, energies against the source."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mgd_hw
from mgd_hw.data import load as load_data
from mgd_hw.design.description import Design
from mgd_hw.design.reader import parse
from mgd_hw.hardware.boards import board_of
from mgd_hw.hardware.timeline import step_contract
from mgd_hw.learn.costs import _Work, costs_of_backprop, costs_of_mgd
from mgd_hw.learn.runs import Model, Training
from python_ref.datasets import quantise
from python_ref.fixed.machine import initial_state, sample_number, step
from python_ref.parameters import initial_parameters, quantise_parameters

pytestmark = pytest.mark.usefixtures("without_pictures")

BASE = 'network.layers = [3, 5, 4]\ndata.task = "npz"\ndata.path = "x.npz"\nperturbation.amplitude = "2^-4"\n'
CASES = {
    "node": 'perturbation.kind = "node"\nperturbation.code = "lfsr"\nhardware.lanes = 2\n',
    "one at a time": 'perturbation.kind = "node"\nperturbation.code = "sequential"\nhardware.lanes = 2\n',
    "one, two-sided": (
        'perturbation.kind = "node"\nperturbation.code = "sequential"\nschedule.difference = "two-sided"\nschedule.sample_period = 3\n'
    ),
    "one of several layers": (
        'perturbation.kind = "node"\nperturbation.code = "sequential"\nschedule.sample_period = 13\nschedule.update_period = 13\n'
    ),
    "weight": 'perturbation.kind = "weight"\nhardware.lanes = 3\n',
    "two-sided": 'perturbation.kind = "node"\nperturbation.code = "lfsr"\nschedule.difference = "two-sided"\n',
    "periods": 'perturbation.kind = "weight"\nschedule.sample_period = 3\nschedule.update_period = 4\n',
    "memory": 'perturbation.kind = "node"\nschedule.update_period = 2\nhardware.lanes = 4\n',
    "probes": 'perturbation.kind = "node"\nschedule.update_period = 4\nschedule.sample_period = 4\nperturbation.code = "walsh"\n',
    "presentations": (
        'perturbation.kind = "node"\nperturbation.code = "lfsr"\nschedule.difference = "two-sided"\n'
        "schedule.update_period = 5\nschedule.sample_period = 3\n"
    ),
    "parts": (
        'perturbation.kind = "node"\nschedule.difference = "two-sided"\nschedule.sample_period = 3\nschedule.update_period = 6\n'
        "learning.parts = [[1, 1], [1, 2]]\n"
    ),
    "weight momentum": 'perturbation.kind = "weight"\noptimizer.name = "momentum"\noptimizer.k = 2\n',
    "momentum": 'perturbation.kind = "node"\noptimizer.name = "momentum"\noptimizer.k = 2\n',
}
STEPS = 14


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    np.savez("x.npz", x=random.random((20, 3)), y=np.arange(20) % 4)


def design_of(case: str) -> Design:
    base = BASE.replace("[3, 5, 4]", "[3, 4, 2, 3, 4]") if "several" in case else BASE
    return parse(base + CASES[case], "x.toml")


@dataclass
class Tally:
    """What was done."""

    multiplications: int = 0
    additions: int = 0


class Number:
    """Counts what is done to it; a shift is a wire."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    def __mul__(self, other: Number) -> Number:
        self.tally.multiplications += 1
        return self

    def __add__(self, other: Number) -> Number:
        self.tally.additions += 1
        return self

    __sub__ = __add__

    def __rshift__(self, k: int) -> Number:
        return self


def forward(design: Design, number: Number, *, perturbed: bool, first: int = 0, last: int = 99) -> None:
    """One pass, written as loops; a probe of node perturbation knows the pre-activations of the first layer that it perturbs."""
    for place, layer in enumerate(design.spec.network.layers):
        if perturbed and place < first:
            continue
        for _ in range(layer.n_out):
            theta = [number] * (layer.n_in + 1)
            if perturbed and not design.spec.node:
                theta = [value + number for value in theta]
            z = theta[0]
            if place > first or not (perturbed and design.spec.node):
                for weight in theta[1:]:
                    z = z + weight * number
            if perturbed and design.spec.node and place <= last:
                z = z + number
    cost_of_outputs(design, number)


def probe_of_one_neuron(design: Design, number: Number, neuron: int) -> None:
    """A probe that perturbs one neuron, written as loops: it knows all pre-activations and activations of the unperturbed pass."""
    sizes = list(design.spec.network.sizes[1:])
    while len(sizes) > 1 and neuron >= sizes[0]:
        neuron -= sizes.pop(0)
    changed, *behind = sizes[1:] or sizes
    z = number + number
    difference = z - number
    for _ in range(changed):
        number + number * difference
    for n_in, n_out in pairwise([changed, *behind]):
        for _ in range(n_out):
            z = number
            for _ in range(n_in):
                z = z + number * number
    cost_of_outputs(design, number)


def cost_of_outputs(design: Design, number: Number) -> None:
    """C of a pass, written as a loop."""
    total = number
    for _ in range(design.spec.network.n_out):
        error = number - number
        total = total + error * error


def learn(design: Design, number: Number) -> None:
    """Steps of the machine, as docs/design/machine.md has them."""
    (learn_by_nodes if design.spec.node else learn_by_weights)(design, number)


def learn_by_weights(design: Design, number: Number) -> None:
    spec = design.spec
    for n in range(STEPS):
        fresh = n % spec.schedule.sample_period == 0 or n % spec.schedule.update_period == 0
        if fresh or spec.two_sided:
            forward(design, number, perturbed=spec.two_sided)
        forward(design, number, perturbed=True)
        change = number - number
        for _ in range(spec.network.n_parameters):
            correlate(design, number, change, due=(n + 1) % spec.schedule.update_period == 0)


def learn_by_nodes(design: Design, number: Number) -> None:
    spec = design.spec
    for n in range(STEPS):
        if n % spec.schedule.sample_period == 0 or n % spec.schedule.update_period == 0:
            forward(design, number, perturbed=False)
            error_sum = [number] * spec.network.n_neurons
        one, parts = spec.perturbation.code.name == "sequential", spec.perturbation.parts is not None
        first, last = ((0, 0), (1, 1), (1, 1))[n % 3] if parts else (0, 99)
        for _ in range(2 if spec.two_sided else 1):
            if one:
                probe_of_one_neuron(design, number, n // spec.schedule.perturbation_period % spec.network.n_neurons)
            else:
                forward(design, number, perturbed=True, first=first, last=last)
        change = number - number
        moved = 1 if one else sum(layer.n_out for layer in spec.network.layers[first : last + 1])
        error_sum = [value + change for value in error_sum[:moved]] + error_sum[moved:]
        due = (n + 1) % spec.schedule.update_period == 0
        if due or (n + 1) % spec.schedule.sample_period == 0:
            for layer in spec.network.layers:
                for _ in range(layer.n_out):
                    correlate(design, number, number, due=due)  # err·1, of the bias
                    for _ in range(layer.n_in):
                        correlate(design, number, number * number, due=due)


def correlate(design: Design, number: Number, g: Number, *, due: bool) -> None:
    """The correlation of one parameter, and its update if it is due."""
    if design.spec.gradient_memory:
        g = number + g
    if due:
        if design.text.find("momentum") >= 0:
            g = number - (number >> 2) + g
        number - g


def learn_by_backprop(design: Design, number: Number) -> None:
    """One sample of back-propagation, without its update."""
    layers = design.spec.network.layers
    for layer in layers:
        for _ in range(layer.n_out):
            z = number
            for _ in range(layer.n_in):
                z = z + number * number
    for _ in range(layers[-1].n_out):
        number - number
    for layer in reversed(layers):
        for _ in range(layer.n_out):
            slope = number * number
            number + slope
            for _ in range(layer.n_in):
                number + slope * number
        if layer is not layers[0]:
            for _ in range(layer.n_in):
                error = number
                for _ in range(layer.n_out):
                    error = error + number * number


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("case", CASES)
def test_operations_are_those_of_the_loops(case: str) -> None:
    design, tally = design_of(case), Tally()
    learn(design, Number(tally))
    for fixed in (True, False):
        energy = costs_of_mgd(design, STEPS, fixed=fixed).energy
        assert (energy.multiplications, energy.additions) == (tally.multiplications, tally.additions)


@pytest.mark.usefixtures("data")
def test_operations_of_backprop_are_those_of_the_loops() -> None:
    design, tally = design_of("node"), Tally()
    learn_by_backprop(design, Number(tally))
    parameters = design.spec.network.n_parameters
    energy = costs_of_backprop(design, 1, 0).energy
    assert (energy.multiplications, energy.additions) == (tally.multiplications, tally.additions)
    updated = costs_of_backprop(design, 0, 3 * parameters)
    assert (updated.steps, updated.energy.multiplications, updated.energy.additions) == (3, 27 * parameters, 12 * parameters)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("case", CASES)
def test_passes_and_writes_are_those_of_the_model(case: str) -> None:
    design = design_of(case)
    spec, found = design.spec, load_data(design.data)
    inputs, targets = quantise(spec, found.train)
    state, observed = initial_state(spec, quantise_parameters(spec, initial_parameters(spec))), {}
    for n in range(STEPS):
        chosen = sample_number(spec, n) % len(inputs)
        state, observed = step(spec, state, (inputs[chosen], targets[chosen]))
    costs = costs_of_mgd(design, STEPS, fixed=True)
    assert costs.writes == observed["counter"][3]
    due = [n % spec.schedule.sample_period == 0 or n % spec.schedule.update_period == 0 for n in range(STEPS)]
    contract: Any = step_contract(spec)
    if spec.node:
        edges = [*(n for n in range(STEPS) if due[n]), STEPS]
        assert costs.evaluations == due.count(True) + STEPS * (2 if spec.two_sided else 1)
        assert costs.cycles == sum(contract.presentation_cycles(last - first, first) for first, last in pairwise(edges))
    else:
        assert spec.schedule.passes(STEPS) == ((0, STEPS) if spec.two_sided else (due.count(False), due.count(True)))
        assert costs.evaluations == sum(1 + (each or spec.two_sided) for each in due)
        assert costs.cycles == sum(contract.step_cycles(1 + (each or spec.two_sided)) for each in due)


@pytest.mark.usefixtures("data")
def test_multiplications_at_synapses_are_the_visits_of_the_contract() -> None:
    """A lane visits biases as well, and multiplies there only by 1."""
    design = design_of("probes")
    sizes, steps = (3, 5, 4), 12
    synapses, behind, biases = 3 * 5 + 5 * 4, 5 * 4, 5 + 4
    found = costs_of_mgd(design, steps, fixed=True)
    presentations = steps // 4
    assert design.spec.network.sizes == sizes
    assert found.multiply_accumulates == 2 * presentations * synapses + steps * behind
    contract: Any = step_contract(design.spec)
    assert contract.first_visits(design.spec, steps) == found.multiply_accumulates + 2 * presentations * biases + steps * 4
    with_open = costs_of_mgd(design, steps + 1, fixed=True).multiply_accumulates
    assert with_open == found.multiply_accumulates + synapses + behind  # measured, and not applied yet
    one_at_a_time = parse(design.text.replace('code = "walsh"', 'code = "sequential"'), "x.toml")
    assert one_at_a_time.spec.incremental
    assert costs_of_mgd(one_at_a_time, steps, fixed=True).multiply_accumulates == 2 * presentations * synapses + steps * 4
    assert step_contract(one_at_a_time.spec).first_visits(one_at_a_time.spec, steps) == 2 * presentations * (synapses + biases) + steps * 4
    two_sided = parse(design.text + 'schedule.difference = "two-sided"\n', "x.toml")
    twice = costs_of_mgd(two_sided, steps, fixed=True).multiply_accumulates
    contract = step_contract(two_sided.spec)
    assert twice == 2 * presentations * synapses + 2 * steps * behind
    assert contract.first_visits(two_sided.spec, steps) == twice + 2 * presentations * biases + 2 * steps * 4


@pytest.mark.usefixtures("data")
def test_a_probe_of_the_last_part_multiplies_nothing() -> None:
    design = design_of("parts")
    synapses, behind, biases, steps = 3 * 5 + 5 * 4, 5 * 4, 5 + 4, 12
    found, contract = costs_of_mgd(design, steps, fixed=True), step_contract(design.spec)
    # Four presentations of three steps, each with two probes of the first layer.
    assert found.multiply_accumulates == 2 * 4 * synapses + 4 * 2 * behind
    assert contract.first_visits(design.spec, steps) == found.multiply_accumulates + 2 * 4 * biases + 4 * 2 * 4


def test_energies_are_those_published() -> None:
    """Horowitz, ISSCC 2014, figure 1.1.9."""
    for kind, bits, published, numbers in (
        ("add", 8, 0.03, "fixed"),
        ("add", 32, 0.1, "fixed"),
        ("multiply", 8, 0.2, "fixed"),
        ("multiply", 32, 3.1, "fixed"),
        ("add", 32, 0.9, "float32"),
        ("multiply", 32, 3.7, "float32"),
        ("memory", 64, 10.0, "fixed"),
    ):
        work = _Work()
        work.do(kind, 1, bits, bits)
        assert work.energy(numbers).joules == pytest.approx(published * 1e-12, rel=0.05), (kind, bits)
    work = _Work()
    work.do("memory", 2, 16)
    assert work.energy("float32").memory_bits == 64  # a word of the real model has 32


def test_of_a_network_that_no_hardware_does() -> None:
    text = 'network.architecture = "fashion-2025"\ndata.task = "fashion-mnist"\nlearning.batch = 10\n[optimizer]\nname = "adam"\n'
    design = parse(text, "x.toml")
    costs, other = costs_of_mgd(design, 10, fixed=False, evaluations=300), costs_of_backprop(design, 300, 0)
    assert costs.cycles is None and costs.energy_fixed is None and costs.energy.joules > 0
    assert 2 * costs.multiply_accumulates < other.multiply_accumulates < 3 * costs.multiply_accumulates


@pytest.mark.parametrize("asked", ['learning.form = "analog"\n', 'external.command = "chip"\nexternal.parameters = 25\n'])
def test_what_nobody_counts_is_left_open(asked: str) -> None:
    """Neither an analog core nor a forward pass outside has operations that we know."""
    design = parse(f'data.task = "xor"\nperturbation.kind = "weight"\n{asked}', "x.toml")
    costs = costs_of_mgd(design, 10, fixed=False, evaluations=20, writes=7)
    assert (costs.steps, costs.evaluations, costs.writes) == (10, 20, 7)
    assert costs.multiply_accumulates is None and math.isnan(costs.energy.joules)
    assert costs.to_json()["energy"]["joules"] is None
    shown = str(Model((Training(1, {}, 0.5, 1.0, 20, 7),), costs=costs))
    assert "costs.energy.joules" in shown


def test_seconds_of_a_board() -> None:
    design, board = mgd_hw.read("digits"), board_of("icebreaker")
    costs = costs_of_mgd(design, 1000, fixed=True, board=board)
    assert costs.core_seconds == pytest.approx(costs.cycles / (1e6 * float(board.core_mhz)))
    assert costs.line_seconds == pytest.approx(24 * (64 * 4 + 10 * 14 + 7) // 8 * 10 / 3e6, rel=0.5), "a sample every 42 steps"
    assert costs.hardware_seconds == max(costs.core_seconds, costs.line_seconds)
    assert math.isnan(costs_of_mgd(design, 1000, fixed=True).hardware_seconds)


def test_rows_have_their_costs(tmp_path: Path) -> None:
    result = mgd_hw.compare("xor", seeds=2, steps=60, board="icebreaker", out=tmp_path)
    found = json.loads((tmp_path / "compare.json").read_text())
    keys = {"steps", "evaluations", "cycles", "hardware_seconds", "writes", "saturations", "energy", "energy_fixed", "energy_source"}
    for name in ("float", "fixed", "backprop"):
        assert keys <= found[name]["costs"].keys()
    assert result.fixed.costs.evaluations == result.fixed.evaluations_mean == 120
    assert result.fixed.costs.saturations == sum(result.fixed.saturations.values()) / 2
    assert (found["fixed"]["costs"]["board"], found["backprop"]["costs"]["hardware_seconds"]) == ("icebreaker", None)
