"""What no hardware does: refused by name by what builds, run by compare, and without effect on what is built."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mgd_hw import flow
from mgd_hw.comparison import compare
from mgd_hw.config import load, parse
from mgd_hw.data import load as load_data
from mgd_hw.errors import UserError
from mgd_hw.fitting import fit
from mgd_hw.software import ONLY_SOFTWARE, learner, network
from python_ref.learning.devices import CostNoise, Drift, Endurance, Quantisation, UpdateNoise

DIGITS = '[data]\ntask = "digits"\ntest_samples = 200\n'
ASKS = {
    "perturbation.code": '"sinusoidal"',
    "perturbation.apart": "true",
    "optimizer.name": '"adam"',
    "learning.batch": "8",
    "learning.repeats": "2",
    "learning.cost": '"mean-squared-error"',
    "learning.normalise": "true",
    "learning.decay": '"cosine"',
    "device.activation_variation": "0.1",
    "device.cost_noise": "0.001",
    "device.update_noise": "0.001",
    "device.weight_step": "0.01",
    "device.endurance": "50",
    "device.fading": "1e-6",
    "device.wander": "1e-6",
}


def text_of(key: str, value: str, more: str = "") -> str:
    return f"{key} = {value}\n{more}{DIGITS}"


def test_every_ask_is_tried() -> None:
    assert set(ASKS) | {"network.architecture"} == set(ONLY_SOFTWARE)


@pytest.mark.parametrize("key", ASKS)
def test_refused_by_name_and_compared(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    design = parse(text_of(key, ASKS[key]), "a.toml")
    for command in (flow.generate, flow.cosim, flow.synth, fit):
        with pytest.raises(
            UserError, match=r"^a\.toml: .* has no hardware yet\. `mgd-hw compare` and `mgd-hw diagnose` run it\."
        ) as caught:
            command(design)  # type: ignore[operator]
        assert caught.value.key == key
    assert not list(tmp_path.iterdir()), "nothing was written"
    quick = parse(text_of(key, ASKS[key]) + "[compare]\nbackprop_epochs = 1\nbackprop_batch = 4096\n", "a.toml")
    result = compare(quick, load_data(quick.data), seeds=1, steps=30)
    assert result.float.runs
    assert result.backprop.runs
    assert not result.fixed.runs
    assert key in result.fixed.note


@pytest.mark.parametrize("name", ["nesterov", "adam", "sign", "shift-adam"])
def test_every_optimiser_learns(name: str) -> None:
    design = parse(text_of("optimizer.name", f'"{name}"', "learning.batch = 50\n"), "a.toml")
    quick = parse(design.text + "[compare]\nbackprop_epochs = 1\nbackprop_batch = 4096\n", "a.toml")
    result = compare(quick, load_data(quick.data), seeds=1, steps=500)
    assert result.float.accuracy_mean > 0.6
    assert result.float.evaluations_mean == 500 * 50 * 2


def test_shipped_designs_ask_for_nothing() -> None:
    for name in ("xor", "digits", "nist7x7", "parity", "mnist"):
        assert load(name).software.asks == ()


def test_defaults_written_out_are_the_same_design() -> None:
    plain = parse(DIGITS, "a.toml")
    written = parse(
        'network.architecture = "dense"\noptimizer.name = "sgd"\nlearning.batch = 1\nperturbation.apart = false\n' + DIGITS, "a.toml"
    )
    assert (written.spec, written.spec.digest, written.software.asks) == (plain.spec, plain.spec.digest, ())


def test_the_pieces_are_those_asked_for() -> None:
    text = (
        "[network]\nlayers = [64, 8, 10]\n[learning]\nbatch = 7\n[device]\nactivation_variation = 0.25\ncost_noise = 0.1\n"
        "update_noise = 0.2\n"
        "weight_step = 0.5\nweight_limit = 2\nstochastic = true\nendurance = 9\nfading = 0.01\nwander = 0.02\nseed = 3\n"
    )
    design = parse(text + DIGITS, "a.toml")
    machine = learner(design, 100)
    wanted = (CostNoise(0.1, 3), UpdateNoise(0.2, 3), Quantisation(0.5, 2.0, True, 3), Endurance(9), Drift(0.01, 0.02, 3))
    assert machine.devices == wanted
    assert machine.batch == 7
    variation = network(design).variation
    assert variation is not None
    assert 0.1 < np.std(variation.gain) < 0.5


def test_a_convolutional_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=random.integers(0, 256, (40, 784), dtype=np.uint8), y=np.arange(40) % 10)
    file = tmp_path / "c.toml"
    file.write_text(
        '[network]\narchitecture = "fashion-2025"\nwidth = 1\n[learning]\ncost = "cross-entropy"\nsmoothing = 0.1\nbatch = 4\n'
        'precision = "float32"\n[optimizer]\nname = "adam"\n[data]\ntask = "npz"\npath = "x.npz"\n[compare]\nbackprop_epochs = 2\n'
    )
    monkeypatch.chdir(tmp_path)
    result = flow.compare(file, seeds=1, steps=5)
    assert result.float.writes_mean == 5 * 520
    with pytest.raises(UserError, match=r'network\.architecture = "fashion-2025": this network has no hardware yet'):
        flow.generate(file)
