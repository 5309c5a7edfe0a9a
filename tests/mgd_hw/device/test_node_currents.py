"""A learner of node currents with a chip that keeps its weights: it learns by the errors, and the host sees what the core did otherwise."""

from __future__ import annotations

import io
import json
import random
import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest

import mgd_hw
from mgd_hw import chip as chip_program
from mgd_hw.chip import AnalogChip
from mgd_hw.design.reader import parse_any
from mgd_hw.device.checkpoint import CHECKPOINT, Checkpoint, RunDigest
from mgd_hw.device.learner_session import LearnerModel
from mgd_hw.device.train import train
from mgd_hw.hardware import simulation
from mgd_hw.hardware.outside import ChipProcess, learner_run, opened_chip
from python_ref.fixed import learner as model
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.trace import LearnerRun
from tests.support.learner_designs import random_chip, random_node_learner, random_quantities

DESIGN = """
network = {external = 7}
perturbation = {kind = "node", code = "sequential", amplitude = "2^-5"}
schedule = {difference = "two-sided", learning_rate = -3, sample_period = 7, update_period = 7}
[external]
command = "python -m mgd_hw.chip --nodes --hidden 6 --gain 0.1 --offset 0.1 --dac-step 0.0078125 --noise 0.01"
samples = 4
average = 1
right_below = 1.0
"""


class InProcess:
    """The chip of the design without its process, which applies errors before it measures."""

    def __init__(self) -> None:
        self.chip = AnalogChip(2, 6, 1, 0.1, 0.1, 2.0**-7, 0.01, nodes=True)

    def costs(self, parameters, inputs, targets, errors=None):
        if errors is not None:
            self.chip.apply(errors)
        return self.chip.costs(parameters, round(inputs[0, 0]), len(inputs))


def test_a_chip_that_keeps_its_weights_learns_by_the_errors():
    """Without its errors it learns nothing, since biases alone do not make an exclusive or."""
    spec = parse_any(DESIGN, "nodes.toml").spec
    ends = []
    for deaf in (False, True):
        process = InProcess()
        chip = ChipProcess(spec, process)
        if deaf:
            process.chip.apply = lambda errors: None
        state = model.initial_learner(spec, quantise_parameters(spec, initial_parameters(spec)))
        for _ in range(1_050):
            state, _ = model.step(spec, state, chip)
        ends.append(float(np.mean(chip.sample_costs(spec.formats.weight.to_real(state.parameters), 4))))
    print(f"mean cost {ends[0]:.3f}, and without errors {ends[1]:.3f}")
    assert ends[0] < 0.1 and ends[1] > 0.8


def test_the_weights_of_the_chip_change_by_error_times_input():
    chip = AnalogChip(nodes=True, seed=3)
    before, biases = chip.weights.copy(), np.array([0.1, -0.2, 0.3, 0.0, 0.5])
    chip.costs(biases, 2)
    hidden = np.tanh([bias + before[3 * j + 1] * -1 + before[3 * j + 2] * 1 for j, bias in enumerate(biases[:4])])
    assert chip.output(biases, 2) == pytest.approx(np.tanh(biases[4] + before[13:] @ hidden))
    errors = np.array([0.5, 0.0, -0.25, 0.0, 1.0])
    chip.apply(errors)
    moved = before.copy()
    for j, error in enumerate(errors[:4]):
        moved[3 * j + 1 : 3 * j + 3] -= error * np.array([-1, 1])
    moved[13:] -= 1.0 * hidden
    assert chip.weights == pytest.approx(moved)


def test_the_process_applies_errors_before_it_measures(monkeypatch, capsys):
    asked = {"parameters": [0.0] * 5, "inputs": [[1.0]], "targets": [[]]}
    lines = [asked, asked | {"errors": [0.0, 0.0, 0.0, 0.0, 0.5]}]
    said = {}
    for nodes in (True, False):
        count = 5 if nodes else 17
        text = "".join(json.dumps(line | {"parameters": [0.0] * count}) + "\n" for line in lines)
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        assert chip_program.main(["--nodes"] if nodes else []) == 0
        said[nodes] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    first, second = (line["costs"][0] for line in said[True])
    assert first != second
    assert "costs" in said[False][0] and "give --nodes" in said[False][1]["error"]


def test_the_process_tells_and_sets_its_weights(monkeypatch, capsys):
    """It sets them before anything else, and tells them after the errors."""
    asked, begun = {"parameters": [0.0] * 5, "inputs": [[1.0]], "targets": [[]]}, AnalogChip(nodes=True).weights.tolist()
    lines = [
        asked | {"keep": True},
        asked | {"errors": [0.0, 0.0, 0.0, 0.0, 0.5]},
        asked | {"keep": True},
        asked | {"weights": begun, "keep": True},
        asked | {"weights": begun[1:]},
        asked | {"weights": "none"},
        asked,
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(json.dumps(line) + "\n" for line in lines)))
    assert chip_program.main(["--nodes"]) == 0
    first, second, third, fourth, short, none, last = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["weights"] == begun != third["weights"] and fourth == first != third
    assert "weights" not in second and second["costs"] == third["costs"] != first["costs"]
    assert "the chip has 17 weights and biases, not" in short["error"] and "must be numbers" in none["error"]
    assert last == {"costs": first["costs"]}


def test_weights_are_kept_and_restored_by_way_of_the_process(tmp_path):
    """A program that does not tell them is asked like any other."""
    design, silent = parse_any(DESIGN, tmp_path / "nodes.toml"), DESIGN.replace("python -m mgd_hw.chip", "python mute.py")
    words = quantise_parameters(design.spec, initial_parameters(design.spec))
    (tmp_path / "mute.py").write_text("for _ in iter(input, ''): print('{\"costs\": [1]}', flush=True)\n")
    with opened_chip(design) as chip, opened_chip(parse_any(silent, tmp_path / "mute.toml")) as mute:
        begun = chip.keep(words)
        chip.apply(np.full(7, 100))
        changed = chip.keep(words)
        chip.apply(np.full(7, 100))
        chip.restore(begun)  # the last errors are void
        assert len(json.loads(begun)) == 25 and changed != begun == chip.keep(words)
        assert mute.keep(words) == ""


def test_errors_that_the_core_sent_otherwise_are_seen():
    rng = random.Random(8)
    spec = random_node_learner(rng)
    run, chip, log, sent = LearnerRun(spec, np.array(random_quantities(rng, spec)), 9, 5), random_chip(rng, spec), [], []

    class Logged:
        def __call__(self, words, sample, count):
            log.append((words, sample, chip(words, sample, count)))
            return log[-1][2]

        def apply(self, errors):
            chip.apply(errors)
            sent.extend([errors] if errors.any() else [])

    state = run.initial_state()
    for _ in range(run.steps):
        state, _ = model.step(spec, state, Logged())
    assert len(sent) > 2

    def replayed(errors):
        found = LearnerModel(run)
        found.begin(None, 0)
        found.advance(run.steps)
        found.measured += log
        found.errors += errors
        found.state()
        return found

    right = replayed(sent)
    assert (right.mismatches, right.difference) == (0, "")
    assert right.compared == len(log) * (spec.quantities + 1) + len(sent) * spec.quantities
    other = replayed([*sent[:-1], sent[-1] + (np.arange(spec.quantities) == 0)])
    assert other.mismatches == 1 and re.search(r"the error of current 0: the model has raw -?\d+, the core", other.difference)
    assert "the core has sent the errors of" in replayed(sent[1:]).difference


@pytest.mark.slow
def test_it_is_trained_over_a_virtual_board(tmp_path):
    found = train(parse_any(DESIGN, tmp_path / "nodes.toml"), link="virtual", steps=70, verify=True, out=tmp_path / "out")
    assert found.equal and found.verified > 70 * 2 * 8 + 10 * 7 and found.counters["updates"] == 10
    assert mgd_hw.cosim(parse_any(DESIGN, tmp_path / "nodes.toml"), steps=30, out=tmp_path / "cosim").equal


@pytest.mark.slow
def test_a_resumed_training_has_the_weights_of_the_checkpoint(tmp_path):
    """A chip without noise goes on as if it had not been interrupted; a checkpoint without its weights has it begin with fresh ones."""
    design = parse_any(DESIGN.replace(" --noise 0.01", ""), tmp_path / "nodes.toml")
    path, ends = tmp_path / CHECKPOINT, []

    def trained(steps, **more):
        assert train(design, link="virtual", steps=steps, verify=True, out=tmp_path, **more).equal
        found = Checkpoint.read(path, RunDigest(learner_run(design, steps)))
        return found, (found.memories["parameter"].tolist(), found.outside)

    ends.append(trained(56)[1])
    half, _ = trained(28)
    for kept in (half, replace(half, outside="")):
        kept.write(path)
        ends.append(trained(56, resume=True)[1])
    assert half.outside and ends[1] == ends[0] and ends[2] != ends[0]


@pytest.mark.slow
def test_float_mgd_learns_on_the_same_chip(tmp_path):
    design = parse_any(DESIGN, tmp_path / "nodes.toml")
    found = mgd_hw.compare(design, steps=1_050, seeds=1, out=tmp_path / "out")
    assert found.float_mgd.cost < 0.1 and found.fixed.cost < 0.1


@pytest.mark.slow
def test_the_verilog_runs_beside_a_virtual_chip(tmp_path, monkeypatch):
    monkeypatch.setattr(simulation, "STEPS", 21)
    mgd_hw.generate(parse_any(DESIGN, "nodes.toml"), tmp_path / "out")
    folder = tmp_path / "out" / "simulation"
    build = ["iverilog", "-g2012", "-o", "simulation.vvp", "../design.v", "chip_bench.v", "virtual_chip.v"]
    subprocess.run(build, cwd=folder, check=True, capture_output=True, text=True)
    said = subprocess.run(["vvp", "-n", "simulation.vvp"], cwd=folder, check=True, capture_output=True, text=True).stdout
    assert "register 0x10 reads 0x00000015" in said and "marked" not in said
