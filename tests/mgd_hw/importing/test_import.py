"""The verb: files, scaling, formats and balance, each by what the network answers before and after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from sklearn.datasets import load_diabetes, load_wine
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mgd_hw
from mgd_hw.cli import main
from mgd_hw.data.kinds import Regression
from mgd_hw.design.reader import parse
from mgd_hw.design.samples import load_design
from mgd_hw.importing.import_network import Imported
from mgd_hw.importing.network import TrainedNetwork, read_network
from mgd_hw.importing.precision import weight_format
from mgd_hw.importing.signal import DenseLayer
from mgd_hw.learn.parameters import read_parameters
from mgd_hw.learn.start import judge_start
from python_ref.floating import of_design
from python_ref.parameters import split_parameters
from python_ref.spec.activations import Activation
from python_ref.spec.error import Refusal
from tests.support.onnx_graphs import exported, graph, saved

RNG = np.random.default_rng(5)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def small(folder: Path, scale: float = 1.0, name: str = "net.onnx") -> Path:
    """A file with a network of sizes 2-3-2."""
    constants = {"W": scale * RNG.normal(size=(2, 3)), "B": [0.1, 0.2, 0.3], "V": RNG.normal(size=(3, 2))}
    nodes = [("Gemm", ("x", "W", "B"), "z", {}), ("Relu", ("z",), "h", {}), ("MatMul", ("h", "V"), "y", {})]
    return saved(graph(nodes, constants, inputs={"x": ["n", 2]}), folder, name)


def outputs(found: Imported, data: Any) -> np.ndarray:
    """Outputs of the design that was written, with the parameters that were written, for the test samples."""
    design = mgd_hw.read(found.files[0])
    return of_design.outputs(design.spec, read_parameters(design.spec, found.files[1]), data.test.inputs)


# -- Files ------------------------------------------------------------------------------------------------------------


def test_design_and_parameters_are_written(folder: Path) -> None:
    network = read_network(small(folder))
    found = mgd_hw.import_network("net.onnx")
    assert found.files == (Path("net.toml"), Path("net.npz"))
    design = mgd_hw.read("net.toml")
    assert design.spec.network.sizes == (2, 3, 2) and design.spec.network.hidden is Activation.RELU
    with np.load("net.npz") as arrays:
        assert np.array_equal(arrays["layer1.weight"], network.layers[0].weight)
        assert np.array_equal(arrays["layer2.bias"], network.layers[1].bias)
    assert not found.scores and "data.path" in found.to_fill[0]
    assert "To fill in: data.path" in str(found) and "--start net.npz" in str(found)
    assert [row["neurons"] for row in found.rows()] == [3, 2]


def test_names_and_folders(folder: Path) -> None:
    (folder / "sub").mkdir()
    assert mgd_hw.import_network(small(folder, name="my-net v2.onnx")).files[0] == Path("my_net_v2.toml")
    assert mgd_hw.import_network("my-net v2.onnx", "sub/other.toml").files == (Path("sub/other.toml"), Path("sub/other.npz"))
    with pytest.raises(Refusal, match=r'^NAME = "a-b": it becomes part of a Verilog module'):
        mgd_hw.import_network("my-net v2.onnx", "a-b")


def test_existing_files_stay(folder: Path) -> None:
    small(folder)
    (folder / "net.npz").write_bytes(b"mine")
    with pytest.raises(Refusal, match=r'^NAME = "net.npz": it is there already\. .*--force'):
        mgd_hw.import_network("net.onnx")
    assert (folder / "net.npz").read_bytes() == b"mine" and not (folder / "net.toml").exists()
    mgd_hw.import_network("net.onnx", force=True)
    assert (folder / "net.npz").read_bytes() != b"mine"


def test_nothing_is_written_of_what_is_refused(folder: Path) -> None:
    nodes = [("Gemm", ("x", "W"), "z", {}), ("Elu", ("z",), "y", {})]
    saved(graph(nodes, {"W": np.ones((4, 3))}), folder)
    before = sorted(folder.iterdir())
    with pytest.raises(Refusal, match=r"^net\.onnx: node y_node \(Elu\)"):
        mgd_hw.import_network("net.onnx")
    assert sorted(folder.iterdir()) == before


def test_neither_file_is_written_if_one_cannot_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mgd_hw.importing import import_network

    def full(*_: object) -> None:
        raise Refusal("writing failed (No space left on device)", "Free some space.")

    small(folder)
    monkeypatch.setattr(import_network, "write_file", full)
    with pytest.raises(Refusal, match="No space left"):
        mgd_hw.import_network("net.onnx")
    assert [path.name for path in folder.iterdir()] == ["net.onnx"]


def test_inputs_are_never_overwritten(folder: Path) -> None:
    small(folder)
    np.savez(folder / "net.npz", x=RNG.random((20, 2)), y=np.arange(20) % 2)
    for force in (False, True):
        with pytest.raises(Refusal, match=r'^NAME = "net.npz": it is the file of --data, .* mgd-hw import net\.onnx adapted\.$'):
            mgd_hw.import_network("net.onnx", data=Path("net.npz"), force=force)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "letters"}, r'^--task = "letters": there is no such task\. Take one of: xor'),
        ({"data": Path("gone.csv")}, r'^--data = "gone\.csv": there is no such file'),
        ({"data": Path("net.onnx")}, r"^--data = .*its ending does not say what it is\. Give a file that ends in \.csv or \.npz"),
        ({"task": "csv"}, r'^--task = "csv": no file is named\. Write --data FILE as well'),
        ({"task": "xor", "data": Path("net.onnx")}, r"^--data = .*the task xor takes none"),
        ({"label": "y"}, r'^--label = "y": only a csv file has columns'),
        ({"task": "xor", "drop": (1,)}, r"^--drop = \[1\]: only a csv file has columns"),
        ({"task": "digits"}, r'^--task = "digits": it has 64 inputs and 10 outputs, and the network 2 inputs and 2 outputs\.'),
    ],
)
def test_options_that_are_refused(options: Any, message: str, folder: Path) -> None:
    small(folder)
    with pytest.raises(Refusal, match=message):
        mgd_hw.import_network("net.onnx", **options)
    assert not (folder / "net.toml").exists()


def test_samples_of_another_network_are_refused(folder: Path) -> None:
    small(folder)
    np.savez(folder / "samples.npz", x=RNG.random((20, 3)), y=np.arange(20) % 2)
    with pytest.raises(Refusal, match=r"samples\.npz has 3 inputs per sample, the network 2\. Give samples as the network was"):
        mgd_hw.import_network("net.onnx", data=Path("samples.npz"))


def test_the_command_line(folder: Path, capsys: Any) -> None:
    small(folder)
    main_code = _exit(["import", "net.onnx", "mine", "--task", "xor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert main_code == 0 and found["design"] == "mine" and found["files"] == ["mine.toml", "mine.npz"]
    assert found["layers"][0]["neurons"] == 3 and found["rounded"]["saturated"] == 0 and found["data"]["kind"] == "classification"
    assert _exit(["import", "net.onnx", "mine"]) == 2
    assert "it is there already" in capsys.readouterr().err


def _exit(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return int(end.value.code or 0)


# -- Samples ----------------------------------------------------------------------------------------------------------


def table(folder: Path, x: np.ndarray, y: np.ndarray) -> Path:
    """A csv file of samples, whose last column has the answers."""
    path = folder / "samples.csv"
    lines = [",".join([*(f"input{column}" for column in range(x.shape[1])), "target"])]
    lines += [",".join(map(repr, map(float, row))) + f",{answer}" for row, answer in zip(x, y.tolist(), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_classifier_of_raw_inputs_keeps_its_answers(folder: Path) -> None:
    """Inputs of different ranges are scaled, hidden activations balanced, outputs brought to the targets: no answer changes."""
    x, y = load_wine(return_X_y=True)
    model = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=200, random_state=1))
    exported(model, x.astype(np.float32), y + 1, folder)
    found = mgd_hw.import_network("net.onnx", data=table(folder, x, y + 1))
    data = load_design(mgd_hw.read("net.toml"))
    original = data.offset + data.factor * data.test.inputs
    answers = model.predict(original) - 1
    assert (outputs(found, data).argmax(axis=1) == answers).mean() > 0.97  # but for inputs beyond the range of training
    assert found.scores["accuracy"] == pytest.approx(np.mean(answers == data.kind.answers(data.test.targets)), abs=0.03)
    assert 'scaling = "column"' in Path("net.toml").read_text()
    text = " ".join(found.notes)
    for part in ('Chosen: scaling = "none"', "each by its own range", "Outputs are scaled by", "classes 1, 2, 3", "Softmax"):
        assert part in text, part
    assert np.abs(outputs(found, data)).max() < 4  # near the targets 0 and 1, where logits are not


def test_a_leaky_relu_of_another_slope_is_judged_with_both(folder: Path) -> None:
    """With the slope of the file, as onnx's own evaluator has it, and with that of the hardware, as the written design has it."""
    x, y = load_wine(return_X_y=True)
    trained = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=200, random_state=1))
    model = onnx.load(exported(trained, x.astype(np.float32), y, folder, options={"zipmap": False}))
    (relu,) = (node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type = "LeakyRelu"
    relu.attribute.append(onnx.helper.make_attribute("alpha", 0.25))
    onnx.save(model, "leaky.onnx")
    found = mgd_hw.import_network("leaky.onnx", data=table(folder, x, y))
    assert "is 0.25, and 0.125 in the hardware (leaky-relu)." in str(found)
    assert mgd_hw.read("leaky.toml").spec.network.hidden is Activation.LEAKY_RELU
    data = load_design(mgd_hw.read("leaky.toml"))
    original = (data.offset + data.factor * data.test.inputs).astype(np.float32)
    (answers,) = ReferenceEvaluator(model).run([model.graph.output[0].name], {model.graph.input[0].name: original})
    assert found.scores["accuracy"] == pytest.approx(np.mean(answers == data.kind.answers(data.test.targets)))
    assert found.scores_taken == pytest.approx(data.kind.scores(outputs(found, data)))
    assert "With the hardware's slopes, in real numbers, on the test samples: accuracy" in str(found).replace("\n", " ")
    assert mgd_hw.import_network(small(folder)).scores_taken == {}


def test_a_regression_keeps_its_errors(folder: Path) -> None:
    """Targets are scaled to [0, 1], and errors stay those of the unit of the file."""
    x, y = load_diabetes(return_X_y=True)
    model = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(8,), max_iter=300, random_state=1, learning_rate_init=0.05))
    exported(model, x.astype(np.float32), y, folder)
    found = mgd_hw.import_network("net.onnx", data=table(folder, x, y))
    data = load_design(mgd_hw.read("net.toml"))
    inputs = data.offset + data.factor * data.test.inputs
    predicted = model.predict(inputs)
    rmse = np.sqrt(np.mean((predicted - y[_rows(x, inputs)]) ** 2))
    assert found.scores["rmse"] == pytest.approx(rmse, rel=0.01)
    assert data.kind.scores(outputs(found, data))["rmse"] == pytest.approx(rmse, rel=0.01)
    assert data.train.targets.min() == 0 and data.train.targets.max() == 1
    assert any("The weights of the layers are multiplied" in note for note in found.notes)


def _rows(table_: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Number of the row of a table that is nearest to each of some rows."""
    return np.array([int(np.abs(table_ - row).max(axis=1).argmin()) for row in rows])


@pytest.mark.parametrize(("factor", "scaling"), [(1.0, "none"), (200.0, "range")])
def test_the_scaling_is_the_one_that_the_network_was_trained_with(factor: float, scaling: str, folder: Path) -> None:
    """A network of inputs from 0 to 1, and samples that have that range, or 200 times as much."""
    x = RNG.random((200, 4))
    y = (x[:, 0] + x[:, 1] > x[:, 2] + x[:, 3]).astype(int)
    exported(MLPClassifier((6,), solver="lbfgs", max_iter=60, random_state=1), x.astype(np.float32), y, folder)
    np.savez(folder / "samples.npz", x=factor * x, y=y)
    found = mgd_hw.import_network("net.onnx", data=Path("samples.npz"))
    assert mgd_hw.read("net.toml").data.scaling.value == scaling
    assert found.scores["accuracy"] > 0.9


def test_a_logit_is_shifted_to_one_half(folder: Path) -> None:
    """A network with one output that says the second class above 0, as with torch.nn.BCEWithLogitsLoss."""
    saved(graph([("Gemm", ("x", "W"), "y", {})], {"W": [[3.0], [-3.0]]}, inputs={"x": ["n", 2]}), folder)
    x = RNG.random((100, 2))
    np.savez(folder / "samples.npz", x=x, y=(x[:, 0] > x[:, 1]).astype(int))
    found = mgd_hw.import_network("net.onnx", data=Path("samples.npz"))
    data = load_design(mgd_hw.read("net.toml"))
    assert found.scores["accuracy"] == data.kind.scores(outputs(found, data))["accuracy"] == 1.0
    assert any("shifted by 0.5 " in note for note in found.notes)


def test_layers_are_balanced(folder: Path) -> None:
    """The weights of all layers get the same norm, and the outputs stay those of the file, but for their scale."""
    saved(
        graph(
            [
                *(("Gemm", ("x", "W", "B"), "z", {}), ("Relu", ("z",), "h", {})),
                *(("Gemm", ("h", "V", "B"), "k", {}), ("Relu", ("k",), "g", {}), ("MatMul", ("g", "U"), "y", {})),
            ],
            {"W": 50 * RNG.random((2, 3)), "B": RNG.random(3), "V": RNG.random((3, 3)), "U": 0.01 * RNG.random((3, 3))},
            inputs={"x": ["n", 2]},
        ),
        folder,
    )
    x = RNG.random((60, 2))
    np.savez(folder / "samples.npz", x=x, y=read_network("net.onnx").outputs(x), n_train=40)
    found = mgd_hw.import_network("net.onnx", data=Path("samples.npz"))
    design = mgd_hw.read("net.toml")
    parameters = read_parameters(design.spec, found.files[1])
    norms = [np.linalg.norm(weight) for weight, _ in split_parameters(design.spec, parameters)]
    assert max(norms) < 1.01 * min(norms)
    data = load_design(design)
    expected = read_network("net.onnx").outputs(x[40:])
    assert isinstance(data.kind, Regression)
    assert np.allclose(data.kind.offset + data.kind.factor * outputs(found, data), expected, rtol=1e-4, atol=1e-5)


# -- Formats ----------------------------------------------------------------------------------------------------------


def network(*weights: np.ndarray) -> TrainedNetwork:
    layers = tuple(DenseLayer(weight, np.zeros(len(weight)), Activation.RELU, "") for weight in weights)
    return TrainedNetwork(layers, "", 17, (), False, ())


@pytest.mark.parametrize(
    ("scale", "format_"),
    [(1.0, "SQ4.12"), (5.0, "SQ4.12"), (7.0, "SQ5.11"), (100.0, "SQ8.8"), (0.001, "SQ1.15"), (0.0, "SQ4.12")],
)
def test_the_format_of_weights(scale: float, format_: str) -> None:
    found, rounded = weight_format(network(scale * np.array([[1.0, -0.5], [0.25, 0.125]])))
    assert str(found) == rounded.format == format_
    assert rounded.saturated == 0 and rounded.largest == scale
    assert rounded.error < 0.02


def test_weights_of_very_different_sizes() -> None:
    """One layer needs the integer bits, the other the fraction bits: the format has two more bits, and the rest is said."""
    found, rounded = weight_format(network(np.full((2, 2), 100.0), np.full((2, 2), 0.01)))
    assert found.width == 18 and rounded.saturated == 0 and rounded.error > 0.02


def test_weights_that_saturate_are_counted() -> None:
    found, rounded = weight_format(network(np.array([[5000.0, -5000.0], [1.0, 0.5]])))
    assert found.integer_bits == 10 and rounded.saturated == 2
    assert "2 of 6 saturate" in rounded.sentence()


def test_activations_that_are_large_get_integer_bits(folder: Path) -> None:
    found = mgd_hw.import_network(small(folder, scale=40.0))
    design = mgd_hw.read("net.toml")
    data = load_design(design)
    largest = max(np.abs(layer).max() for layer in read_network("net.onnx").activations(data.train.inputs))
    assert largest > 8 and design.spec.formats.activation.max * 2.0**-design.spec.formats.activation.fraction_bits >= largest
    assert design.spec.formats.activation.width <= 16 and found.activation == str(design.spec.formats.activation)


# -- The start of a comparison ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_compare_shows_the_network_as_it_was_given(folder: Path) -> None:
    """In real numbers and in the hardware's, before it trains: by the classifier's own answers, and by a format that is too coarse."""
    x = RNG.random((120, 2))
    y = (x[:, 0] > x[:, 1]).astype(int)
    model = MLPClassifier((4,), solver="lbfgs", max_iter=100, random_state=1)
    exported(model, x.astype(np.float32), y, folder)
    np.savez(folder / "samples.npz", x=x, y=y, n_train=80)
    mgd_hw.import_network("net.onnx", data=Path("samples.npz"))
    text = Path("net.toml").read_text() + "backprop_epochs = 1\n"
    Path("net.toml").write_text(text)
    found = mgd_hw.compare("net.toml", start=Path("net.npz"), seeds=1, steps=10)
    assert found.start is not None
    assert found.start.real["accuracy"] == pytest.approx(np.mean(model.predict(x[80:]) == y[80:]))
    assert found.start.fixed["accuracy"] > 0.9 and found.to_json()["start"]["cost_real"] == found.start.cost_real
    assert "at the start, real numbers" in str(found)
    coarse = parse(text.replace('weight = "', 'weight = "SQ4.0" # "'), "coarse.toml")
    worse = judge_start(coarse, load_design(coarse), read_parameters(coarse.spec, Path("net.npz")))
    assert worse is not None and worse.real == found.start.real
    assert worse.cost_fixed > 2 * worse.cost_real
