"""What no hardware does: refused by name by what builds, run by compare, and without effect on what is built."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import mgd_hw
from mgd_hw.data import load as load_data
from mgd_hw.design.float_model import learner, network, opened, start
from mgd_hw.design.float_only import CLASHES, FLOAT_ONLY_KEYS
from mgd_hw.design.reader import load, parse
from mgd_hw.hardware.fit import fit
from mgd_hw.learn.compare import compare_models
from mgd_hw.learn.diagnose import diagnosis_of
from mgd_hw.learn.learners import train_mgd
from python_ref.datasets import SampleOrder
from python_ref.floating.attention import Attention
from python_ref.floating.devices import CostNoise, Drift, Endurance, Quantisation, UpdateNoise
from python_ref.floating.learner import train
from python_ref.spec.activations import Activation
from python_ref.spec.error import Refusal

DIGITS = '[data]\ntask = "digits"\ntest_samples = 200\n'
ASKS = {
    "perturbation.code": '"sinusoidal"',
    "perturbation.layerwise": "true",
    "optimizer.name": '"adam"',
    "learning.batch": "8",
    "learning.repeats": "2",
    "learning.cost": '"mean-squared-error"',
    "learning.normalise": "true",
    "learning.decay": '"cosine"',
    "learning.skip_dead_nodes": "true",
    "learning.parts": "[[1, 2], [1, 1]]",
    "learning.groups": "1",
    "learning.layer_factors": "[0.5, 1]",
    "device.activation_variation": "0.1",
    "device.cost_noise": "0.001",
    "device.update_noise": "0.001",
    "device.weight_step": "0.01",
    "device.endurance": "50",
    "device.fading": "1e-6",
    "device.wander": "1e-6",
}


def text_of(key: str, value: str, more: str = "") -> str:
    more += 'perturbation.kind = "weight"\n' if key in ("learning.groups", "learning.parts") else ""
    return f"{key} = {value}\n{more}{DIGITS}"


def test_every_ask_is_tried() -> None:
    assert set(ASKS) | {"network.architecture", "learning.form", "external.command"} == set(FLOAT_ONLY_KEYS)


@pytest.mark.parametrize("key", ASKS)
def test_refused_by_name_and_compared(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    design = parse(text_of(key, ASKS[key]), "a.toml")
    on_a_board = [partial(verb, board="icebreaker") for verb in (mgd_hw.generate, mgd_hw.build)]
    for command in (mgd_hw.generate, mgd_hw.cosim, mgd_hw.synth, fit, *on_a_board):
        with pytest.raises(Refusal, match=r"^a\.toml: .* has no hardware yet\. `mgd-hw compare` and `mgd-hw diagnose` run it\.") as caught:
            command(design)  # type: ignore[operator]
        assert caught.value.key == key
    assert not list(tmp_path.iterdir()), "nothing was written"
    quick = parse(text_of(key, ASKS[key]) + "[compare]\nbackprop_epochs = 1\nbackprop_batch = 4096\n", "a.toml")
    result = compare_models(quick, load_data(quick.data), seeds=1, steps=30)
    assert result.float.runs
    assert result.backprop.runs
    assert not result.fixed.runs
    assert key in result.fixed.note


@pytest.mark.parametrize("name", ["nesterov", "adam", "sign", "shift-adam"])
def test_every_optimiser_learns(name: str) -> None:
    design = parse(text_of("optimizer.name", f'"{name}"', "learning.batch = 50\n"), "a.toml")
    quick = parse(design.text + "[compare]\nbackprop_epochs = 1\nbackprop_batch = 4096\n", "a.toml")
    result = compare_models(quick, load_data(quick.data), seeds=1, steps=500)
    assert result.float.accuracy_mean > 0.6
    assert result.float.evaluations_mean == 500 * 50 * 2


ATTENTION = '[network]\narchitecture = "attention"\nlayers = {}\nframes = 7\n[data]\ntask = "recall"\n'


def test_attention_is_compared_and_refused_by_name() -> None:
    design = parse(ATTENTION.format([12, 5, 6, 3, 4]) + "[compare]\nbackprop_epochs = 1\n", "a.toml")
    net = network(design)
    assert isinstance(net, Attention)
    assert (net.inputs, net.frames, net.keys, net.values, net.n_nodes) == (12, 7, 5, 6, 5 + 6 * 11 + 3 + 4)
    assert net.tail is not None
    assert [layer.activation for layer in net.tail.layers] == [Activation.RELU, Activation.IDENTITY]
    with pytest.raises(Refusal, match=r'network\.architecture = "attention": this network has no hardware yet'):
        mgd_hw.generate(design)
    result = compare_models(design, load_data(design.data), seeds=1, steps=20)
    assert result.float.runs and result.backprop.runs and not result.fixed.runs
    assert "network.architecture = attention" in result.fixed.note
    assert result.float.evaluations_mean == 40
    assert len(result.float.runs[0].parameters) == 13 * (5 + 5 + 6) + 7 * 3 + 4 * 4


@pytest.mark.parametrize(
    "more",
    [
        "perturbation.kind = 'weight'",
        "perturbation.layerwise = true",
        "learning.parts = [[3, 1], [2, 4]]",
        "learning.layer_factors = [1, 1, 1, 1, 0]",
    ],
)
def test_attention_learns_as_asked(more: str) -> None:
    design = parse(f"{more}\nlearning.batch = 32\n{ATTENTION.format([12, 5, 6, 3, 4])}", "a.toml")
    data = load_data(design.data)
    with opened(design) as problem:
        machine, theta = learner(design, 200, problem), start(design, 1)
        found = train(machine, theta, data.train.inputs, data.train.targets, data.order, 200).state.theta
        before, after = (problem.costs(each, data.test.inputs, data.test.targets).mean() for each in (theta, found))
    assert after < before
    assert (found[-16:] == theta[-16:]).all() == ("factors" in more)


def test_recall_learns() -> None:
    """The shipped design, for an eighth of its steps at twice the rate."""
    design = load("recall")
    assert design.float_only.requests[0][0] == "network.architecture"
    quick = parse(
        design.text.replace("learning_rate = -8", "learning_rate = -7").replace("backprop_epochs = 60", "backprop_epochs = 8"), "a.toml"
    )
    result = compare_models(quick, load_data(quick.data), seeds=1, steps=1_500)
    assert result.float.accuracy_mean > 0.4
    assert result.backprop.accuracy_mean > 0.7


@pytest.mark.slow
def test_recall_is_solved() -> None:
    design = load("recall")
    result = compare_models(design, load_data(design.data), seeds=2, steps=design.compare.steps)
    assert result.float.accuracy_mean >= 0.98
    assert result.backprop.accuracy_mean == 1


def test_shipped_designs_ask_for_nothing() -> None:
    for name in ("xor", "digits", "nist7x7", "parity", "mnist", "fashion"):
        assert load(name).float_only.requests == ()


def test_defaults_written_out_are_the_same_design() -> None:
    plain = parse(DIGITS, "a.toml")
    written = parse(
        'network.architecture = "dense"\noptimizer.name = "sgd"\nlearning.batch = 1\nperturbation.layerwise = false\n' + DIGITS, "a.toml"
    )
    assert (written.spec, written.spec.digest, written.float_only.requests) == (plain.spec, plain.spec.digest, ())


def test_the_pieces_are_those_asked_for() -> None:
    text = (
        "[network]\nlayers = [64, 8, 10]\n[learning]\nbatch = 7\n[device]\nactivation_variation = 0.25\ncost_noise = 0.1\n"
        "update_noise = 0.2\n"
        "weight_step = 0.5\nweight_limit = 2\nstochastic = true\nendurance = 9\nfading = 0.01\nwander = 0.02\nseed = 3\n"
    )
    design = parse(text + DIGITS, "a.toml")
    with opened(design) as problem:
        machine = learner(design, 100, problem)
    wanted = (CostNoise(0.1, 3), UpdateNoise(0.2, 3), Quantisation(0.5, 2.0, True, 3), Endurance(9), Drift(0.01, 0.02, 3))
    assert machine.devices == wanted
    assert machine.batch == 7
    variation = network(design).variation
    assert variation is not None
    assert 0.1 < np.std(variation.gain) < 0.5


def test_parts_and_a_rate_for_each_layer() -> None:
    """As the estimator and the optimiser have them: evaluations are counted by parts, and a layer of factor 0 stays."""
    more = "learning.parts = [[1, 3], [1, 5]]\nlearning.layer_factors = [0, 1]\nlearning.batch = 4\n"
    for kind, groups in (("node", ""), ("weight", "learning.groups = 2\n")):
        design = parse(f'perturbation.kind = "{kind}"\n{groups}{more}{DIGITS}', "a.toml")
        data = load_data(design.data).train
        with opened(design) as problem:
            machine = learner(design, 10, problem)
            assert getattr(machine.estimator, "parts", None) == ((1, 3), (1, 5))
            theta = start(design, 1)
            result = train(machine, theta, data.inputs, data.targets, SampleOrder(len(data), True, 1), 10)
            moved = result.state.theta != theta
            first = problem.parameters[0].size
        assert result.state.evaluations == 10 * 4 * (1 + 3 + 5), kind
        assert not moved[:first].any() and moved[first:].mean() > 0.5, kind
        assert getattr(machine.estimator, "groups", 2) == 2, kind


def test_parts_of_node_perturbation_have_hardware() -> None:
    """Where nothing else asks for the float model, which then perturbs all parts in every step."""
    parts = "learning.parts = [[1, 1], [1, 2]]\n"
    design = parse(parts + DIGITS, "a.toml")
    assert design.float_only.requests == ()
    assert design.spec.perturbation.parts == ((1, 1), (1, 2))
    batches = parse("learning.batch = 4\n" + parts + DIGITS, "a.toml")
    assert [key for key, _ in batches.float_only.requests] == ["learning.batch"]
    assert (batches.spec.perturbation.parts, batches.float_only.parts) == (None, ((1, 1), (1, 2)))
    weight = parse(f'perturbation.kind = "weight"\n{parts}{DIGITS}', "a.toml")
    assert [key for key, _ in weight.float_only.requests] == ["learning.parts"]


@pytest.mark.parametrize(
    ("text", "times", "period", "reason"),
    [
        ("", 1, 3 * 12, "12 rounds of 3 probes: of each part as many as it has neurons"),
        ('perturbation.code = "walsh"\n', 1, 3 * 32, "a whole period of the walsh code for each part"),
        ('perturbation.code = "walsh"\nschedule.perturbation_period = 3\n', 3, 3 * 32, "a whole period of the walsh code for each part"),
        ('formats.cost_change = "SQ40.20"\n', 1, 3 * 3, "the sum of cost changes in SQ40.20 leaves room for no more"),
    ],
)
def test_presentations_of_parts_are_whole_rounds(text: str, times: int, period: int, reason: str) -> None:
    design = parse(f"learning.parts = [[1, 1], [1, 2]]\nnetwork.layers = [64, 12, 10]\n{text}{DIGITS}", "a.toml")
    schedule = design.spec.schedule
    assert (schedule.perturbation_period, schedule.sample_period, schedule.update_period) == (times, period, period)
    assert {row.key: row.why for row in design.derived}["schedule.sample_period"] == reason


def test_walsh_codes_of_an_even_round_have_a_vector_for_each_round() -> None:
    design = parse(f'learning.parts = [[1, 1], [1, 1]]\nperturbation.code = "walsh"\n{DIGITS}', "a.toml")
    assert design.spec.schedule.perturbation_period == 2
    assert {row.key: row.why for row in design.derived}["schedule.perturbation_period"].startswith("a round of parts, so that each part")


def test_a_convolutional_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=random.integers(0, 256, (40, 784), dtype=np.uint8), y=np.arange(40) % 10)
    file = tmp_path / "c.toml"
    file.write_text(
        '[network]\narchitecture = "fashion-2025"\nwidth = 1\n[learning]\ncost = "cross-entropy"\nsmoothing = 0.1\nbatch = 4\n'
        'precision = "float32"\n[optimizer]\nname = "adam"\n[data]\ntask = "npz"\npath = "x.npz"\n[compare]\nbackprop_epochs = 2\n'
    )
    monkeypatch.chdir(tmp_path)
    result = mgd_hw.compare(file, seeds=1, steps=5)
    assert result.float.writes_mean == 5 * 520
    with pytest.raises(Refusal, match=r'network\.architecture = "fashion-2025": this network has no hardware yet'):
        mgd_hw.generate(file)


CHIP = """
import json, math, sys
for line in sys.stdin:
    asked = json.loads(line)
    w, answer = asked["parameters"], []
    for x, t in zip(asked["inputs"], asked["targets"]):
        h = [math.tanh(w[3 * i] + w[3 * i + 1] * x[0] + w[3 * i + 2] * x[1]) for i in range(2)]
        answer.append((math.tanh(w[6] + w[7] * h[0] + w[8] * h[1]) - t[0]) ** 2)
    print(json.dumps({"costs": answer}), flush=True)
"""
LOOP = (
    'perturbation.kind = "weight"\nexternal.command = "python chip.py"\nexternal.parameters = 9\nlearning.batch = 4\n'
    'schedule.learning_rate = -2\n[data]\ntask = "xor"\n'
)


def test_a_chip_in_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a command runs it, from another folder: it learns, judged by its cost; nothing else is known of it, nor built."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "chip.py").write_text(CHIP, encoding="utf-8")
    (tmp_path / "there" / "a.toml").write_text(LOOP.replace('"python ', f'"{sys.executable} '), encoding="utf-8")
    result = mgd_hw.compare("there/a.toml", seeds=1, steps=300)
    run = result.float.runs[0]
    assert np.isnan(run.accuracy)
    assert run.curve["cost"][-1] < 0.8 * run.curve["cost"][0]
    assert result.float.evaluations_mean == 300 * 4 * 2
    assert not result.backprop.runs
    assert "a forward pass outside" in result.backprop.note and "a forward pass outside" in result.fixed.note
    found = mgd_hw.diagnose("there/a.toml")
    assert found.quantities == 9 and np.isnan(found.cosine) and found.signal > 0
    with pytest.raises(Refusal, match=r"external\.command = .*: a forward pass outside has no hardware yet"):
        mgd_hw.generate("there/a.toml")


def test_a_chip_that_fails_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chip.py").write_text("raise SystemExit('no chip there')", encoding="utf-8")
    design = parse(LOOP.replace('"python ', f'"{sys.executable} '), tmp_path / "a.toml")
    data = load_data(design.data)
    for work in (lambda: compare_models(design, data, seeds=1, steps=3), lambda: diagnosis_of(design, data)):
        with pytest.raises(Refusal, match=r"a\.toml: external\.command = .*ended with exit code 1: no chip there\. Fix it") as caught:
            work()
        assert caught.value.key == "external.command"


def test_the_analog_form(tmp_path: Path) -> None:
    text = (
        'perturbation.kind = "weight"\nperturbation.code = "sinusoidal"\nlearning.form = "analog"\nlearning.lowpass = 20\n'
        'learning.batch = 4\nschedule.learning_rate = -2\n[network]\nlayers = [2, 4, 1]\nhidden = "tanh"\noutput = "sigmoid"\n'
        '[data]\ntask = "xor"\n'
    )
    design = parse(text + "[compare]\nbackprop_epochs = 1\n", tmp_path / "a.toml")
    result = compare_models(design, load_data(design.data), seeds=1, steps=2_000)
    assert result.float.accuracy_mean == 1.0
    assert result.float.evaluations_mean == 2_000 * 4
    assert result.float.writes_mean == 2_000 * 17
    slow = parse(text.replace("= 20", "= 1e9"), tmp_path / "a.toml")
    result = compare_models(slow, load_data(slow.data), seeds=1, steps=300)
    assert result.float.accuracy_mean < 1.0, "a low-pass so slow lets nothing through"
    assert diagnosis_of(design, load_data(design.data)).quantities == 17


@pytest.mark.parametrize(("key", "other", "shown"), [clash[:3] for clash in CLASHES])
def test_what_does_not_go_together(key: str, other: str, shown: str) -> None:
    value = {
        "schedule.difference": '"two-sided"', "schedule.update_period": "2", "network.architecture": '"fashion-2025"',
        "network.hidden": '"tanh"', "network.output": '"tanh"', "network.scheme": '"he"', "device.endurance": "5",
    } | ASKS  # fmt: skip
    text = {
        "external.command": LOOP,
        "learning.form": 'perturbation.kind = "weight"\nlearning.form = "analog"\n[data]\ntask = "xor"\n',
        "learning.parts": f"learning.parts = [[1, 2]]\n{DIGITS}",
    }[other]
    with pytest.raises(Refusal, match=r"it does not go with .*: .*\. Remove it, or ") as caught:
        parse(f"{key} = {value[key]}\n{text}", "a.toml")
    assert (caught.value.key, shown in str(caught.value)) == (key, True)


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ('learning.form = "analog"', "learning.form", "only parameters can be perturbed there"),
        ("learning.highpass = 5", "learning.highpass", 'only learning.form = "analog" has it'),
        ('learning.skip_dead_nodes = true\nperturbation.kind = "weight"', "learning.skip_dead_nodes", "only nodes can be skipped"),
        ("learning.parts = [[1, 1], [2, 4]]", "learning.parts", r"= \[\[1, 1\], \[2, 4\]\]: it is for 3 layers, and the network has 2"),
        ("learning.parts = [[2, 0]]", "learning.parts", "it must be a list of pairs of whole numbers from 1"),
        ("learning.layer_factors = [1]", "learning.layer_factors", r"= \[1\.0\]: it is for 1 layers, and the network has 2"),
        ("learning.layer_factors = 1", "learning.layer_factors", "it must be a list of numbers, one for each layer"),
        ('learning.layer_factors = [1, 1]\noptimizer.name = "shift-adam"', "learning.layer_factors", "the rate of shift-adam is a shift"),
        ("learning.groups = 1", "learning.groups", "each sample has a perturbation of its own"),
        ('learning.groups = 3\nlearning.batch = 2\nperturbation.kind = "weight"', "learning.groups", "a batch has 2 samples"),
        ("external.parameters = 5", "external.parameters", "only external.command has it"),
        ('external.command = "x"\nperturbation.kind = "weight"', "external.parameters", "it was left out"),
        ('external.command = "x \'y"\nperturbation.kind = "weight"', "external.command", "its quotation marks do not match"),
        ('external.command = "x"\nexternal.parameters = 5', "external.command", "only parameters can be perturbed there"),
    ],
)
def test_what_is_missing_or_too_much(text: str, key: str, reason: str) -> None:
    with pytest.raises(Refusal, match=reason) as caught:
        parse(f'{text}\n[data]\ntask = "xor"\n', "a.toml")
    assert caught.value.key == key


@pytest.mark.parametrize(("steps", "batch", "records"), [(40, 1, 10), (40, 100, 20), (40, 1000, 40), (100, 1000, 50), (3, 1, 3)])
def test_judging_takes_no_longer_than_learning(steps: int, batch: int, records: int) -> None:
    """But for ten records; 200 test samples are judged each time."""
    design = parse(f'learning.batch = {batch}\nlearning.cost = "mean-squared-error"\n{DIGITS}', "a.toml")
    run = train_mgd(design, load_data(design.data), 1, SampleOrder(1437, True, 1), steps, None, lambda _: None)
    assert len(run.curve["steps"]) == records
    assert run.curve["steps"][-1] == steps
