"""Results that mean nothing are told as that: runs that diverged or saturated, answers no better than a constant one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import mgd_hw
from mgd_hw.cli import commands
from mgd_hw.data import load
from mgd_hw.design.reader import parse
from mgd_hw.learn.divergence import DIVERGED, SATURATED, STUCK, constant_cost, failure, saturation_shares
from python_ref.spec.design import SATURATION_KINDS

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with 200 samples of a line, and 1,000 samples of two uneven classes that inputs tell nothing of."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    x = random.random((200, 3))
    np.savez("line.npz", x=x, y=100 + 50 * x @ np.array([1.0, -2.0, 0.5]) + random.standard_normal(200))
    np.savez("uneven.npz", x=random.random((1000, 3)), y=(np.arange(1000) % 50 == 0).astype(int))
    return tmp_path


def compare(text: str, *options: str) -> tuple[int, dict, str]:
    Path("d.toml").write_text(text)
    done = CliRunner().invoke(commands, ["compare", "d.toml", "--json", "--seeds", "2", *options])
    assert done.stdout, done.stderr
    shown = CliRunner().invoke(commands, ["compare", "d.toml", "--seeds", "2", *options])
    assert shown.exit_code == done.exit_code
    return done.exit_code, json.loads(done.stdout), shown.stdout


LINE = '[network]\nlayers = [3, 4, 1]\n[data]\npath = "line.npz"\n'


def test_a_regression_is_judged_by_its_errors(folder: Path) -> None:
    code, found, shown = compare(LINE, "--steps", "20000")
    assert (code, found["kind"], found["diverged"], found["classes"]) == (0, "regression", False, [])
    for name in ("float", "fixed", "backprop"):
        model = found[name]
        assert not [key for key in model if "accuracy" in key]
        assert model["rmse_mean"] < model["rmse_baseline"] / 2
        assert 0.7 < model["r2_mean"] < 1.0
        assert model["rmse_mean"] == pytest.approx(np.mean([run["rmse"] for run in model["runs"]]))
        assert all(run["diverged"] is False and "accuracy" not in run["curve"] for run in model["runs"])
    y = np.load("line.npz")["y"]
    assert found["fixed"]["rmse_baseline"] == pytest.approx(y.std(), rel=0.2), "in the unit of the file"
    assert "always the mean" in shown and "R²" in shown and "accuracy" not in shown
    assert "no better than" not in shown
    assert found["data"]["target_range"] == pytest.approx([y.min(), y.max()])


def test_a_run_that_diverges_is_told(folder: Path) -> None:
    code, found, shown = compare(LINE + "[schedule]\nlearning_rate = 4\n", "--steps", "2000")
    assert (code, found["diverged"]) == (1, True)
    assert found["float"]["diverged"] and found["fixed"]["diverged"] and not found["backprop"]["diverged"]
    assert all(run["failure"] for run in found["float"]["runs"])
    assert found["fixed_less_float"] == found["float_less_backprop"] == {"mean": None, "interval": None}
    assert "float MGD (diverged)" in shown
    assert "Float MGD: 2 of 2 runs diverged; " in shown
    assert "fixed less float" not in shown


def test_uneven_classes_have_a_baseline_beside_them(folder: Path) -> None:
    code, found, shown = compare('[network]\nlayers = [3, 4, 1]\n[data]\npath = "uneven.npz"\nstratify = true\n', "--steps", "2000")
    assert code == 0
    fixed = found["fixed"]
    assert fixed["accuracy_baseline"] == pytest.approx(0.98, abs=0.005)
    assert fixed["balanced_accuracy_mean"] == pytest.approx(0.5, abs=0.1)
    assert found["kind"] == "classification"
    assert np.array(fixed["confusion"]).sum() == 2 * found["data"]["test"]
    assert 'always "0"' in shown and "balanced" in shown
    assert 'Fixed MGD answers "0" to every sample in 2 of 2 runs: it takes no notice of the inputs.' in shown


def test_even_classes_are_told_without_a_balance(folder: Path) -> None:
    code, found, shown = compare('[data]\ntask = "xor"\n', "--steps", "3000")
    assert code == 0
    assert {"accuracy_mean", "accuracy_std", "accuracy_interval", "accuracy_baseline", "balanced_accuracy_mean"} <= found["fixed"].keys()
    assert found["fixed"]["accuracy_baseline"] == 0.5
    assert "balanced" not in shown
    assert np.array(found["float"]["confusion"]).sum() == 2 * 4


def test_training_and_diagnosis_use_the_same_measures(folder: Path) -> None:
    Path("d.toml").write_text(LINE)
    result = mgd_hw.diagnose("d.toml", out=folder)
    assert set(result.scores) == set(result.kind.baseline) == {"rmse", "r2"}
    observed = json.loads((folder / "diagnose.json").read_text())
    assert (observed["kind"], observed["baseline"]["rmse"]) == ("regression", pytest.approx(result.kind.baseline["rmse"]))
    assert f"RMSE {result.scores['rmse']:.4g}" in str(result) and "always the mean" in str(result)
    Path("d.toml").write_text(LINE + "[schedule]\nlearning_rate = 4\n")
    assert not mgd_hw.diagnose("d.toml", out=folder).good


@pytest.mark.slow
def test_a_sweep_chooses_by_the_same_measures(folder: Path) -> None:
    Path("d.toml").write_text(LINE)
    swept = mgd_hw.sweep("d.toml", {"schedule.learning_rate": [-7, -14, 4]}, steps=2000, workers=1, best="", out=folder / "sweep")
    assert swept.best.key == "rmse" and swept.best.largest is False
    assert swept.best.found.vary == {"schedule.learning_rate": -7}
    by_rate = {each.vary["schedule.learning_rate"]: each.figures for each in swept.found}
    assert by_rate[4]["diverged"] == 1.0 and by_rate[-7]["diverged"] == 0.0
    assert by_rate[-7]["rmse"] < by_rate[-14]["rmse"]
    assert "accuracy" not in by_rate[-7]
    shown = str(mgd_hw.sweep("d.toml", {"schedule.learning_rate": [-7, -14, 4]}, steps=2000, workers=1, out=folder / "sweep"))
    assert "RMSE" in shown and "diverged" in shown


def test_a_layer_that_is_stuck_is_told(folder: Path) -> None:
    """One sigmoid behind four neurons, driven to its end: a fifth of all activations, and every answer."""
    random = np.random.default_rng(3)
    np.savez("two.npz", x=random.random((300, 4)), y=random.integers(0, 2, 300))
    text = '[network]\nlayers = [4, 4, 1]\noutput = "sigmoid"\n[data]\npath = "two.npz"\n[schedule]\nlearning_rate = 5\nupdate_period = 1\n'
    code, found, shown = compare(text, "--steps", "2000")
    assert code == 1 and found["fixed"]["diverged"]
    assert "of the activations of layer 2 saturate at the end" in shown


# -- What counts as that ------------------------------------------------------------------------------------------------


def test_limits_of_divergence() -> None:
    data = load(parse('[data]\ntask = "xor"\n', "x.toml").data)
    assert constant_cost(data) == 0.25
    limit = DIVERGED * 0.25
    assert failure(data, limit, 0.1) == "" and failure(data, limit * 1.01, 0.1) == "its cost went from 0.1 to 2.52"
    assert failure(data, DIVERGED * 3.0, DIVERGED * 3.0) == "", "it began there: bad, but no worse than before"
    assert failure(data, DIVERGED * 3.0, DIVERGED * 2.9)
    for cost in (np.inf, np.nan):
        assert failure(data, cost, 0.1) == "its cost is no longer a finite number"
    shares = dict.fromkeys(SATURATION_KINDS, SATURATED)
    assert failure(data, 0.1, 0.1, shares) == ""
    assert failure(data, 0.1, 0.1, {**shares, "weight": 0.51}) == "51 % of its casts of the kind weight saturated"
    assert failure(data, 0.1, 0.1, {**shares, "layer 2": STUCK}) == ""
    assert failure(data, 0.1, 0.1, {**shares, "layer 2": 0.91}) == "91 % of the activations of layer 2 saturate at the end"


def test_the_constant_answer_is_that_of_the_training_samples(tmp_path: Path) -> None:
    """Trained on targets of mean 0.75, judged by targets of mean 0.25: the constant answer is 0.75."""
    targets = {"train": [0.5, 1.0], "test": [0.0, 0.5]}
    arrays = {f"{letter}_{part}": np.array(values)[:, None] for part, values in targets.items() for letter in "xy"}
    np.savez(tmp_path / "d.npz", **arrays)
    text = f'[network]\nlayers = [1, 1]\n[data]\npath = "{tmp_path / "d.npz"}"\nkind = "regression"\ntarget_scaling = "none"\n'
    data = load(parse(text, "x.toml").data)
    assert constant_cost(data) == pytest.approx((0.75**2 + 0.25**2) / 2)


@pytest.mark.parametrize("kind, estimates", [("weight", 10), ("node", 7)])
def test_shares_of_saturated_casts_by_hand(kind: str, estimates: int) -> None:
    """A network 4-3-2 has 23 parameters and 5 neurons; each of the counts below is a different share of its casts.

    Ten steps have ten estimates of the gradient in weight perturbation, and in node perturbation one per presentation: steps 0-1, 2, 3,
    4-5, 6-7, 8 and 9; after eleven steps another one is open.
    """
    text = f'perturbation.kind = "{kind}"\nschedule.update_period = 3\nschedule.sample_period = 2\n'
    spec = parse(f'network.layers = [4, 3, 2]\ndata.task = "parity"\n{text}', "x.toml").spec
    casts = {
        "activation": 30 * 5,  # every neuron in every evaluation
        "cost_change": 10,  # one per step
        "broadcast": estimates * 23,  # every parameter in every estimate
        "gradient": estimates * 23,
        "momentum": 4 * 23,  # every parameter in every update
        "square": 4 * 23,
        "error": estimates * 5,  # every neuron in every estimate
        "update": 4 * 23,
        "weight": 4 * 23,
        "state": 30 * 5,  # every neuron in every evaluation; none of them spikes
    }
    assert set(casts) == set(SATURATION_KINDS)
    saturated = {kind: 1 + number for number, kind in enumerate(casts)}
    counters = {"steps": 10, "updates": 4, **{f"saturated_{kind}": count for kind, count in saturated.items()}}
    found = saturation_shares(spec, counters, evaluations=30)
    assert found == {kind: pytest.approx(saturated[kind] / casts[kind]) for kind in casts}
    assert saturation_shares(spec, dict.fromkeys(counters, 0), 0) == dict.fromkeys(casts, 0.0)
    later = saturation_shares(spec, counters | {"steps": 11}, evaluations=30)
    assert later["error"] == pytest.approx(saturated["error"] / (5 * (11 if kind == "weight" else 7)))


def test_shares_of_saturated_casts_are_counted_from_the_run() -> None:
    """Every cast of a kind that can saturate is counted once: where all saturate, the share is 1."""
    from python_ref.datasets import SampleOrder, quantise
    from python_ref.fixed.fast import train
    from python_ref.fixed.machine import initial_state
    from python_ref.spec.probes import COUNTERS

    text = (
        '[network]\nlayers = [4, 3, 2]\nhidden = "identity"\n[data]\ntask = "parity"\n[formats]\nactivation = "SQ0.10"\n'
        'weight = "SQ6.8"\n[schedule]\nlearning_rate = 0\nsample_period = 2\n'
    )
    spec = parse(text, "x.toml").spec
    data = load(parse(text, "x.toml").data)
    raw = np.full(spec.network.n_parameters, spec.formats.weight.max)
    inputs, targets = quantise(spec, data.train)
    found = train(spec, initial_state(spec, raw), inputs[15:], targets[15:], SampleOrder(1, False), 40)
    shares = saturation_shares(spec, dict(zip(COUNTERS, found.state.counters.tolist(), strict=True)), found.evaluations)
    assert shares["activation"] == pytest.approx(1.0, abs=0.35) and shares["activation"] <= 1.0
    assert all(0.0 <= share <= 1.0 for share in shares.values())
