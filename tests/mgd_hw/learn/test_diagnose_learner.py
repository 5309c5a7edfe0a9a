"""Diagnosis of a learner, on a chip whose slope, curvature and noise are known."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import mgd_hw
from mgd_hw.design.external import ExternalDesign
from mgd_hw.design.reader import parse_any
from mgd_hw.learn import learner_rates
from mgd_hw.learn.diagnose_learner import RUN, LearnerDiagnosis
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.error import Refusal

CHIP = """
import json, random, sys
noise, drawn = float(sys.argv[1]), random.Random(4)
for line in sys.stdin:
    asked = json.loads(line)
    (k, *_), *_ = asked["inputs"]
    cost = sum((value - (0.25 if k else 0.75)) ** 2 for value in asked["parameters"])
    print(json.dumps({"costs": [cost + drawn.gauss(0, noise) for _ in asked["inputs"]]}), flush=True)
"""
"""A bowl for each of two samples: its gradient is 2·(θ − centre), and a perturbation of N quantities by Δ adds N·Δ² of curvature."""

DESIGN = """
name = "bowl"
[network]
external = {quantities}
[perturbation]
amplitude = "{amplitude}"
[schedule]
learning_rate = {rate}
update_period = {period}
difference = "two-sided"
[formats]
weight = "{weight}"
cost = "{cost}"
rounding.weight = "{rounding}"
[external]
command = "python bowl.py {noise}"
samples = 2
"""


def diagnosed(folder: Path, **given: object) -> tuple[ExternalDesign, LearnerDiagnosis]:
    """The design with these settings, and its diagnosis."""
    (folder / "bowl.py").write_text(CHIP, encoding="utf-8")
    values = {
        "quantities": 3,
        "amplitude": "2^-4",
        "rate": -5,
        "period": 1,
        "cost": "SQ4.16",
        "noise": 0.0,
        "rounding": "stochastic",
        "weight": "SQ4.12",
    } | given
    design = parse_any(DESIGN.format(**values), folder / "bowl.toml")
    assert isinstance(design, ExternalDesign)
    found = mgd_hw.diagnose(design, out=folder / "out")
    assert isinstance(found, LearnerDiagnosis)
    return design, found


def keys(found: LearnerDiagnosis) -> list[str]:
    return [finding.key for finding in found.findings]


@pytest.mark.parametrize("rate", [-5, -10])
def test_slope_and_curvature_are_those_of_the_chip(tmp_path, rate):
    design, found = diagnosed(tmp_path, rate=rate, weight="SQ4.18")
    spec = design.spec
    theta = spec.formats.weight.to_real(quantise_parameters(spec, initial_parameters(spec)))
    costs = [np.sum((theta - centre) ** 2) for centre in (0.75, 0.25)]
    assert found.cost == pytest.approx(np.mean(costs), abs=1e-4) and found.noise == 0 and math.isnan(found.signal_to_noise)
    # The mean square of Σ sⱼ·gⱼ·Δ over random signs is Δ²·Σ gⱼ², about as much over 256 of them.
    expected = 2**-4 * math.sqrt(np.mean([np.sum((2 * (theta - centre)) ** 2) for centre in (0.75, 0.25)]))
    assert found.signal == pytest.approx(expected, rel=0.3)
    assert found.curvature * found.signal == pytest.approx(3 * 2**-8, abs=1e-4)
    # Descent by one sign vector: with u the move, the loss is |u|², and |u|² is about η²·N·Σ gⱼ².
    assert found.loss == pytest.approx(4.0**rate * 3 * (expected * 16) ** 2, rel=0.5)
    assert found.gain > 2 * found.loss and found.good and found.cost_after < found.cost
    written = json.loads((tmp_path / "out" / "diagnose.json").read_text(encoding="utf-8"))
    assert written["quantities"] == 3 and written["steps"] == RUN and written["good"] is True
    assert "Nothing stands in the way" in str(found)


def test_noise_is_measured(tmp_path):
    _, found = diagnosed(tmp_path, noise=0.02)
    assert found.noise == pytest.approx(0.02 / math.sqrt(2), rel=0.3)
    assert found.signal == pytest.approx(diagnosed(tmp_path)[1].signal, rel=0.2)


@pytest.mark.parametrize(
    ("given", "key", "words"),
    [
        ({"amplitude": "2^0"}, "perturbation.amplitude", "is too large: the part of C̃ that is curvature"),
        ({"rate": 1}, "schedule.learning_rate", "; a short run ends at a mean cost of"),
        ({"rate": -19, "weight": "SQ4.20"}, "schedule.learning_rate", "is too small: at the initial slope"),
        ({"cost": "SQ1.12"}, "formats.cost", "of the cost words are beyond formats.cost"),
        ({"noise": 0.33}, "external.average", "C̃ is buried"),
        ({"noise": 3.0, "cost": "SQ8.16"}, "perturbation.amplitude", "it drowns in the noise"),
        ({"cost": "SQ8.0", "amplitude": "2^-10"}, "perturbation.amplitude", "it is zero whatever is perturbed"),
        ({"rate": -18, "rounding": "half-even"}, "formats.weight", "of the writes change a quantity"),
    ],
)
def test_what_stands_in_the_way_is_found(tmp_path, given, key, words, monkeypatch):
    monkeypatch.setattr(learner_rates, "RATE_STEPS", 160)
    _, found = diagnosed(tmp_path, **given)
    assert key in keys(found) and not found.good
    assert any(finding.key == key and words in finding.message for finding in found.findings), found.findings


def test_a_long_update_is_not_tried(tmp_path):
    _, found = diagnosed(tmp_path, period=1_000)
    assert math.isnan(found.gain) and "schedule.learning_rate" not in keys(found) and found.perturbations == 1_000


def test_without_a_chip_there_is_nothing_to_measure(tmp_path):
    text = DESIGN.format(quantities=3, amplitude="2^-4", rate=-5, period=1, cost="SQ4.16", noise=0, rounding="floor", weight="SQ4.12")
    with pytest.raises(Refusal, match="nothing that answers the learner with costs"):
        mgd_hw.diagnose(parse_any(text.replace("command =", "# "), tmp_path / "bowl.toml"))
