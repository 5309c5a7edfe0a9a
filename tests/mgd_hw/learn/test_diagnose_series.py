"""Diagnosis of networks with state, and the warning of outputs that never spike."""

from dataclasses import replace

import numpy as np
import pytest

from mgd_hw.common.progress import NullProgress
from mgd_hw.design.reader import parse
from mgd_hw.design.samples import load_design
from mgd_hw.learn.compare import compare_models
from mgd_hw.learn.diagnose_series import SAMPLES, _probes, diagnose_series, silent_advice, silent_outputs
from python_ref.datasets import quantise
from python_ref.fixed import blocks
from python_ref.fixed.machine import initial_state, step
from python_ref.parameters import initial_parameters, quantise_parameters
from python_ref.spec.layers import DENSE, Lif

ROWS = """
data.task = "random"
formats.error = "SQ0.8"
[network]
layers = [2, {neurons = 3, kind = "leaky", leak = 1}, 2]
frames = 3
[schedule]
sample_period = 3
update_period = 6
learning_rate = -6
"""
SPIKING = """
data.task = "random"
[network]
layers = [2, {{neurons = 4, kind = "lif", leak = 1}}, {{neurons = 2, kind = "lif", leak = 1}}]
frames = 3
held = true
scheme = "glorot"
scale = {scale}
"""

MEMORY = """
[network]
layers = [2, {{neurons = 6, kind = "leaky", leak = 1}}, 1]
frames = 2
[perturbation]
code = "sequential"
[data]
task = "temporal-xor"
[schedule]
learning_rate = {rate}
[compare]
steps = 12_000
"""


@pytest.mark.slow
def test_errors_that_round_to_zero_are_counted_where_presentations_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step, though the run records its steps in blocks that begin in the middle of a presentation."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1 << 14)
    design = parse(ROWS, "a.toml")
    data, raw = load_design(design), quantise_parameters(design.spec, initial_parameters(design.spec))
    inputs, targets = quantise(design.spec, data.train)
    steps, state = SAMPLES * 3, initial_state(design.spec, raw)
    order, still, there, gone = data.order.indices(0, SAMPLES), 0, 0, 0
    for n in range(steps):
        row = order[n // 3]
        state, seen = step(design.spec, state, (inputs[row], targets[row]))
        still += int(seen["cost_change"][0] == 0)
        if n % 3 == 2:
            there += np.count_nonzero(seen["error_sum"])
            gone += np.count_nonzero((seen["error_sum"] != 0) & (seen["error"] == 0))
    assert 0.1 < gone / there < 0.8
    assert _probes(design, raw, data) == (still / steps, gone / there)


def test_outputs_that_never_spike_are_named() -> None:
    """By number, whether they are silent in all samples or in some, and only where the outputs are spikes."""
    spec = parse(SPIKING.format(scale=1.0), "a.toml").spec
    assert silent_outputs(spec, np.array([[0, 1], [0, 0]])) == [0]
    assert silent_outputs(spec, np.array([[0, 1], [1, 0]])) == []
    assert silent_outputs(spec, np.zeros((3, 2), int)) == [0, 1]
    dense = replace(spec, network=replace(spec.network, kinds=(Lif(1), DENSE)))
    assert silent_outputs(dense, np.zeros((3, 2), int)) == []
    assert silent_advice([4])[0].startswith("output 4 never spikes")
    assert silent_advice(list(range(14)))[0].startswith("outputs 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … never spike")


@pytest.mark.slow
def test_outputs_that_never_spike_are_told() -> None:
    """By ``compare``, of the fixed model's run, and by ``diagnose``, each with the remedy."""
    design = parse(SPIKING.format(scale=0.1), "a.toml")
    data = load_design(design)
    compared = compare_models(design, data, seeds=1, steps=40)
    assert compared.fixed.runs[0].silent == (0, 1)
    told = [note for note in compared.notes() if "never spike" in note]
    assert told == [f"fixed MGD: {silent_advice([0, 1])[0]} (seed 1). {silent_advice([0, 1])[1]}"]
    found = diagnose_series(design, data, NullProgress())
    assert not found.good and found.silent == {"layer 1": 1.0, "layer 2": 1.0}
    named = {finding.key: finding for finding in found.findings}
    assert (named["network.layers"].message, named["network.layers"].remedy) == silent_advice([0, 1])
    assert "layer 2" in named["network.scale"].message or "layer 1" in named["network.scale"].message


@pytest.mark.parametrize(("rate", "named"), [(-6, False), (-1, True)])
def test_a_rate_that_learns_less_than_a_lower_one_is_named(rate: int, named: bool) -> None:
    """By a run at a quarter of it, and the remedy is the best rate of those that were tried."""
    design = parse(MEMORY.format(rate=rate), "a.toml")
    found = diagnose_series(design, load_design(design), NullProgress())
    costs = found.run_costs
    assert max(costs) == rate and len(costs) > 1
    told = [finding for finding in found.findings if finding.what == "learning rate"]
    assert bool(told) == named, found.findings
    if named:
        best = min(costs, key=lambda log2: costs[log2])
        assert costs[rate] > 1.1 * costs[best]
        assert found.findings[0] == told[0], "the cause comes before its effects"
        assert told[0].remedy == f"Take learning_rate = {best}." and f"2^{rate} is too large" in told[0].message


def test_outputs_that_spike_are_not_told_of() -> None:
    design = parse(SPIKING.format(scale=8.0).replace("held", 'readout = "sum"\nheld'), "a.toml")
    data = load_design(design)
    compared = compare_models(design, data, seeds=1, steps=2)
    assert compared.fixed.runs[0].silent == ()
    assert not [note for note in compared.notes() if "never spike" in note]
