"""Training of a learner whose outside is the host: the model that is replayed, and the whole way over a virtual board."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from mgd_hw.cli import commands
from mgd_hw.design.external import ExternalDesign
from mgd_hw.design.reader import load_any
from mgd_hw.device.learner_session import LearnerModel
from mgd_hw.device.train import train
from mgd_hw.device.train_learner import DIVISOR, TrainedLearner
from mgd_hw.learn.parameters import read_parameters, write_parameters
from python_ref.fixed.learner import step
from python_ref.spec.error import Refusal
from python_ref.spec.learner import LearnerSpec
from python_ref.trace import LearnerRun
from rtl_gen.serial.linked import emit_linked
from tests.support.learner_designs import random_chip, random_learner, random_quantities

STEPS = 6


@pytest.fixture
def measured():
    """A run, its state at the end, and what a core has measured in it."""
    rng = random.Random(3)
    spec = random_learner(rng)
    spec = replace(spec, hardware=replace(spec.hardware, signature=True))
    run, chip = LearnerRun(spec, np.array(random_quantities(rng, spec)), STEPS, 5), random_chip(rng, spec)
    state, log = run.initial_state(), []

    def logged(words, sample, count):
        log.append((words, sample, chip(words, sample, count)))
        return log[-1][2]

    for _ in range(STEPS):
        state, _ = step(spec, state, logged)
    return run, state, log


def replayed(run, log, count=STEPS):
    model = LearnerModel(run)
    model.begin(None, 0)
    model.advance(count)
    model.measured += log
    return model, model.state()


def test_the_model_computes_the_steps_of_the_core(measured):
    run, state, log = measured
    model, found = replayed(run, log)
    assert found.parameters.tolist() == state.parameters.tolist()
    assert found.counters.tolist() == state.counters.tolist() and found.signature == state.signature
    assert (model.mismatches, model.difference, model.measured) == (0, "", [])
    assert model.compared == len(log) * (run.spec.quantities + 1)


def test_what_the_core_did_otherwise_is_seen(measured):
    run, _, log = measured
    words, sample, costs = log[2]
    cases = {
        "word 0: the model has raw": [*log[:2], (words + 1, sample, costs), *log[3:]],
        "the model shows sample": [*log[:2], (words, sample + 1, costs), *log[3:]],
        "the core measured fewer passes than the model": log[:-1],
        "the core measured 1 passes more than the model": [*log, log[0]],
    }
    for said, changed in cases.items():
        model, _ = replayed(run, changed)
        assert model.mismatches and said in model.difference, said
    model, found = replayed(run, [*log[:2], (words, sample, [cost ^ 1 for cost in costs]), *log[3:]])
    assert found.signature != measured[1].signature, "another cost is another signature"


def test_a_model_begins_at_its_state(measured):
    model = LearnerModel(measured[0])
    with pytest.raises(ValueError, match=r"^Step must be that of the state, 0, not 3$"):
        model.begin(None, 3)


def test_files_of_quantities(measured, tmp_path):
    spec = measured[0].spec
    values = np.arange(spec.quantities) / 8
    write_parameters(spec, values, tmp_path / "start.npz")
    assert read_parameters(spec, tmp_path / "start.npz").tolist() == values.tolist()
    with pytest.raises(Refusal, match="quantities has shape"):
        read_parameters(replace(spec, external=spec.quantities + 1), tmp_path / "start.npz")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"link": "mmio:43c0g"}, "it is not a link to a window of memory"),
        ({"link": "virtual", "board": "icebreaker"}, "no board has"),
    ],
)
def test_what_a_learner_cannot_do_is_refused(options, said, tmp_path):
    with pytest.raises(Refusal, match=said):
        train("chip", steps=4, out=tmp_path, **options)


@pytest.mark.slow
def test_a_chip_is_trained_over_a_virtual_board(tmp_path, monkeypatch):
    """In one go, and interrupted; then a chip that falls silent, and a core that computes something else."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(commands, ["train", "chip", "--link", "virtual", "--steps", "48", "--verify", "--save", "q.npz", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["equal"] and found["verified"] > 48 * 2 * 18 and found["measurements"] == 96
    assert found["counters"]["steps"] == 48 and found["clipped"] == 0
    assert len(found["costs"]) == 4 and found["accuracy"] in (0, 0.25, 0.5, 0.75, 1)
    design = load_any("chip")
    assert isinstance(design, ExternalDesign)
    assert len(read_parameters(design.spec, tmp_path / "q.npz")) == 17

    more = train("chip", link="virtual", steps=64, verify=True, resume=True)
    assert isinstance(more, TrainedLearner)
    assert (more.resumed_from, more.equal, more.counters["steps"], more.measurements) == (48, True, 64, 32)

    (tmp_path / "tired.py").write_text(TIRED, encoding="utf-8")
    tired = replace(design, chip=replace(design.outside(), command=("python", str(tmp_path / "tired.py")), timeout=0.3))
    with pytest.raises(Refusal) as caught:
        train(tired, link="virtual", steps=96, resume=True)
    assert caught.value.key == "external.command" and "did not answer within 0.3 s" in caught.value.reason
    assert "steps up to 64 are kept, and --resume continues from there" in caught.value.remedy
    assert train("chip", link="virtual", steps=68, resume=True).resumed_from == 64


TIRED = """
import json, sys, time
for number, line in enumerate(sys.stdin):
    if number == 20:
        time.sleep(60)
    print(json.dumps({"costs": [0.5 + number / 64] * len(json.loads(line)["inputs"])}), flush=True)
"""


@pytest.mark.slow
@pytest.mark.long
def test_a_core_that_computes_something_else_is_seen(tmp_path, monkeypatch):
    """It perturbs by twice the amplitude, and claims to be the design's."""
    spec = load_any("chip").spec
    with monkeypatch.context() as patch:
        patch.setattr(LearnerSpec, "digest", spec.digest)
        other = replace(spec, perturbation=replace(spec.perturbation, amplitude_log2=spec.perturbation.amplitude_log2 + 1))
        (tmp_path / "other.v").write_text(emit_linked(other, DIVISOR), encoding="utf-8")
    found = train("chip", link="virtual", steps=16, verify=True, verilog=tmp_path / "other.v", out=tmp_path)
    assert not found.equal and re.search(r"in step 0, word \d+: the model has raw", found.first_difference_text)
