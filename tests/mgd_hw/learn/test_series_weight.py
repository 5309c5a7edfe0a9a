"""Comparison and diagnosis of networks with state whose weights are perturbed."""

import numpy as np
import pytest

from mgd_hw.common.progress import NullProgress
from mgd_hw.design.reader import parse
from mgd_hw.design.samples import load_design
from mgd_hw.learn.agreement import agreement
from mgd_hw.learn.compare import compare_models
from mgd_hw.learn.diagnose_series import SAMPLES, _probes, diagnose_series
from mgd_hw.learn.divergence import saturation_shares
from python_ref.datasets import quantise
from python_ref.fixed import blocks
from python_ref.fixed.machine import initial_state, step
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.learning import SATURATION_KINDS

TEXT = """
data.task = "random"
formats.cost_change = "SQ4.14"
formats.gradient = "SQ4.6"
perturbation.kind = "weight"
[network]
layers = [2, {neurons = 3, kind = "leaky", leak = 1}, 2]
hidden = "tanh"
frames = 3
[schedule]
sample_period = 2
update_period = 3
learning_rate = -8
"""


@pytest.mark.slow
def test_gradients_that_round_to_zero_are_counted_in_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step on the page, though the run records its steps in blocks: a step adds s·g to G, so that |G| shows g."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1 << 14)
    design = parse(TEXT, "a.toml")
    data, raw = load_design(design), quantise_parameters(design.spec, initial_parameters(design.spec))
    inputs, targets = quantise(design.spec, data.train)
    state, order, still, gone = initial_state(design.spec, raw), data.order.indices(0, SAMPLES), 0, 0
    for n in range(2 * SAMPLES):
        row, before = order[n // 2], state.gradient
        state, seen = step(design.spec, state, (inputs[row], targets[row]))
        still += int(seen["cost_change"][0] == 0)
        gone += int(seen["cost_change"][0] != 0 and (seen["gradient"] == before).all())
    assert 0.1 < gone / (2 * SAMPLES - still) < 0.9
    assert _probes(design, raw, data) == (still / (2 * SAMPLES), gone / (2 * SAMPLES - still))


def test_a_diagnosis_names_the_format_of_the_gradient() -> None:
    nearest = 'formats.gradient = "SQ4.2"\nformats.rounding.gradient = "half-even"'
    design = parse(TEXT.replace('formats.gradient = "SQ4.6"', nearest), "a.toml")
    found = diagnose_series(design, load_design(design), NullProgress())
    assert (found.quantities, found.perturbations) == (3 * 6 + 2 * 4, 2)
    assert found.lost > 0.9
    named = {finding.key: finding for finding in found.findings}
    assert "of the gradients round to zero" in named["formats.gradient"].message
    assert "formats.gradient" in named["formats.gradient"].remedy and "formats.error" not in named


def test_every_model_runs_and_measures_the_same_gradient() -> None:
    """At the start, 20 estimates of each of the 26 parameters, with exact formats: close to back-propagation's."""
    design = parse(TEXT.replace('formats.gradient = "SQ4.6"\n', "").replace('formats.cost_change = "SQ4.14"\n', ""), "a.toml")
    data = load_design(design)
    compared = compare_models(design, data, seeds=1, steps=60)
    assert compared.fixed.runs[0].evaluations == 60 + 40  # a baseline at 30 samples, and at 20 updates of which 10 begin with a sample
    assert np.isfinite([compared.float.runs[0].cost, compared.fixed.runs[0].cost, compared.backprop.runs[0].cost]).all()
    found = agreement(design, data, quantise_parameters(design.spec, initial_parameters(design.spec)))
    assert found is not None and found.quantities == 26 and found.single_sample is not None
    assert found.cosine_float > 0.75 and found.cosine_fixed > 0.75


def test_shares_of_saturated_casts_count_a_parameter_once_in_a_step() -> None:
    """Ten steps of 26 parameters and three updates; 16 passes of three frames of three neurons, and of two of the tail."""
    spec = parse(TEXT, "a.toml").spec
    casts = {"activation": 16 * 11, "state": 16 * 11, "cost_change": 10, "broadcast": 260, "gradient": 260, "update": 78, "weight": 78}
    counters = {"steps": 10, "updates": 3, **{f"saturated_{kind}": 7 for kind in SATURATION_KINDS}}
    shares = saturation_shares(spec, counters, evaluations=16)
    assert {kind: shares[kind] for kind in casts} == {kind: pytest.approx(7 / count) for kind, count in casts.items()}
