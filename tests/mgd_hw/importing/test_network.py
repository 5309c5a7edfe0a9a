"""The dense layers of a graph give what ONNX's own evaluator gives for the file, whoever wrote it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from mgd_hw.importing.network import network_of, read_network
from mgd_hw.importing.onnx_file import parse_onnx
from python_ref.spec.activations import Activation
from tests.support.onnx_graphs import Node, evaluated, exported, graph, saved

NETWORKS = Path(__file__).parent / "networks"


def agree(path: Path, tensor: str, x: np.ndarray, tolerance: float = 1e-5) -> None:
    """Hold the network of a file to ONNX's evaluator, at the tensor that has its outputs."""
    found = read_network(path).outputs(x.reshape(len(x), -1))
    expected = evaluated(path, x, tensor).reshape(found.shape)
    assert np.abs(found - expected).max() <= tolerance * max(1.0, np.abs(expected).max())
    assert np.ptp(expected) > 0


# -- scikit-learn -----------------------------------------------------------------------------------------------------


def classes(count: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = make_classification(120, 6, n_informative=4, n_classes=count, random_state=1)
    return 3 * x + 5, y


EXPORTED: dict[str, tuple[Callable[[], Any], Callable[[], tuple[np.ndarray, np.ndarray]], type, str]] = {
    "relu": (lambda: MLPClassifier((5,), max_iter=3, random_state=1), lambda: classes(3), np.float32, "add_result1"),
    "tanh, scaled, two hidden": (
        lambda: make_pipeline(StandardScaler(), MLPClassifier((5, 4), activation="tanh", max_iter=3, random_state=1)),
        lambda: classes(3),
        np.float32,
        "add_result2",
    ),
    "double": (
        lambda: make_pipeline(StandardScaler(), MLPClassifier((5,), activation="identity", max_iter=3, random_state=1)),
        lambda: classes(4),
        np.float64,
        "add_result1",
    ),
    "logistic, two classes, scaled": (
        lambda: make_pipeline(MinMaxScaler(), MLPClassifier((5,), activation="logistic", max_iter=3, random_state=1)),
        lambda: classes(2),
        np.float32,
        "out_activations_result",
    ),
    "regression, scaled": (
        lambda: make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(5,), max_iter=3, random_state=1)),
        lambda: make_regression(120, 6, random_state=1),
        np.float32,
        "variable",
    ),
    "regression of two targets": (
        lambda: MLPRegressor(hidden_layer_sizes=(5,), max_iter=3, random_state=1),
        lambda: make_regression(120, 6, n_targets=2, random_state=1),
        np.float32,
        "variable",
    ),
    "several labels": (
        lambda: MLPClassifier((5,), max_iter=3, random_state=1),
        lambda: make_multilabel_classification(120, 6, n_classes=3, random_state=1),
        np.float32,
        "out_activations_result",
    ),
    "linear": (LinearRegression, lambda: make_regression(120, 6, random_state=1), np.float32, "variable"),
}
"""Estimator, samples, type of the inputs, and the tensor of the exported graph that has the outputs of the last layer."""


@pytest.mark.parametrize("name", EXPORTED)
def test_networks_of_scikit_learn(name: str, tmp_path: Path) -> None:
    estimator, samples, kind, tensor = EXPORTED[name]
    x, y = samples()
    path = exported(estimator(), x.astype(kind), y, tmp_path)
    agree(path, tensor, np.random.default_rng(1).normal(3, 5, (50, 6)).astype(kind))


def test_a_logistic_regression_is_one_layer(tmp_path: Path) -> None:
    """Whose shares the exporter computes in one operator: the network gives what is before the softmax."""
    x, y = classes(3)
    model = LogisticRegression()
    path = exported(model, x.astype(np.float32), y, tmp_path)
    network = read_network(path)
    assert network.sizes == (6, 3) and network.classes == ("0", "1", "2")
    assert np.allclose(network.outputs(x), model.decision_function(x), atol=1e-4)


CURVES = {
    ("Tanh", "Sigmoid", "Tanh"): Activation.TANH,
    ("Sigmoid", "Tanh", "Sigmoid"): Activation.SIGMOID,
    ("Sigmoid", "Tanh"): Activation.TANH,
    ("Tanh", "Sigmoid", "Sigmoid", "Tanh", "Tanh"): Activation.TANH,
}
"""Activations of hidden layers of 5 neurons each, and the one that all of them get."""


@pytest.mark.parametrize("kinds", CURVES, ids="-".join)
@pytest.mark.parametrize("end", ["Identity", "Sigmoid"])
def test_tanh_and_sigmoid_become_one(kinds: tuple[str, ...], end: str, tmp_path: Path) -> None:
    rng, sizes, nodes, constants = np.random.default_rng(len(kinds)), (4, *(5 for _ in kinds), 2), [], {}
    for place, kind in enumerate((*kinds, end)):
        ins, outs = sizes[place : place + 2]
        constants |= {f"W{place}": rng.normal(size=(outs, ins)), f"B{place}": rng.normal(size=outs)}
        nodes.append(("Gemm", (f"h{place}" if place else "x", f"W{place}", f"B{place}"), f"z{place}", {"transB": 1}))
        nodes.append((kind, (f"z{place}",), f"h{place + 1}" if place < len(kinds) else "y", {}))
    path = saved(graph(nodes, constants), tmp_path)
    network = read_network(path)
    assert {layer.activation for layer in network.layers[:-1]} == {CURVES[kinds]} and network.exact
    assert network.output is (Activation.SIGMOID if end == "Sigmoid" else Activation.IDENTITY), "the outputs keep theirs"
    agree(path, "y", rng.normal(size=(50, 4)).astype(np.float32))
    changed = [kind for kind in kinds if kind.lower() != CURVES[kinds].value]
    assert sum("since all hidden layers have one activation" in note for note in network.notes) == len(changed)


def test_shares_in_columns_are_one_answer(tmp_path: Path) -> None:
    x, y = classes(3)
    model = MLPClassifier((5,), max_iter=3, random_state=1)
    path = exported(model, x.astype(np.float32), y, tmp_path, options={"zipmap": "columns"})
    assert len(onnx.load(path).graph.output) == 4
    network = read_network(path)
    assert network.classifies and (network.outputs(x).argmax(axis=1) == model.predict(x)).all()


def test_classes_are_named_in_the_order_of_the_outputs(tmp_path: Path) -> None:
    x, y = classes(3)
    model = MLPClassifier((5,), max_iter=3, random_state=1)
    path = exported(model, x.astype(np.float32), np.array(["pear", "fig", "lime"])[y], tmp_path)
    network = read_network(path)
    assert network.classes == tuple(model.classes_) == ("fig", "lime", "pear")
    assert (np.array(network.classes)[network.outputs(x).argmax(axis=1)] == model.predict(x)).all()
    assert network.classifies and any("Softmax" in note for note in network.notes)


# -- PyTorch ----------------------------------------------------------------------------------------------------------


TORCH = {
    "view": ((1, 2, 3), Activation.RELU, Activation.IDENTITY),
    "sigmoid": ((6,), Activation.HARD_SIGMOID, Activation.SIGMOID),
    "leaky": ((1, 2, 3), Activation.LEAKY_RELU, Activation.IDENTITY),
    "tanh": ((6,), Activation.TANH, Activation.IDENTITY),
}
"""Shape of a sample, hidden activation and output activation of the networks that make_torch.py wrote."""


@pytest.mark.parametrize("exporter", ["script", "dynamo"])
@pytest.mark.parametrize("name", TORCH)
def test_networks_of_pytorch(name: str, exporter: str) -> None:
    path = NETWORKS / f"torch_{name}_{exporter}.onnx"
    shape, hidden, output = TORCH[name]
    network, model = read_network(path), onnx.load(path)
    assert (network.hidden, network.output) == (hidden, output) and network.producer.startswith("pytorch")
    last = model.graph.node[-1]
    tensor = last.input[0] if "Softmax" in last.op_type else last.output[0]
    agree(path, tensor, np.random.default_rng(2).normal(0, 2, (40, *shape)).astype(np.float32))


@pytest.mark.parametrize(("slope", "taken"), [(0.01, Activation.RELU), (0.1, Activation.LEAKY_RELU), (0.25, Activation.LEAKY_RELU)])
def test_another_slope_of_pytorch_is_kept_beside_the_one_of_the_hardware(slope: float, taken: Activation, tmp_path: Path) -> None:
    """0.01 is what torch.nn.LeakyReLU has by default: the network as exported and the one in hardware differ by it alone."""
    model = onnx.load(NETWORKS / "torch_leaky_dynamo.onnx")
    (leaky,) = (node for node in model.graph.node if node.op_type == "LeakyRelu")
    leaky.attribute[0].f = slope
    path = tmp_path / "leaky.onnx"
    onnx.save(model, path)
    x = np.random.default_rng(2).normal(0, 2, (40, 1, 2, 3)).astype(np.float32)
    agree(path, model.graph.node[-1].input[0], x)
    network = read_network(path)
    assert not network.exact and network.hidden is taken
    assert any(note.startswith("The slope below 0 of node ") and f" is {slope:.4g}, and " in note for note in network.notes)
    first, second = network.layers
    z = x.reshape(40, 6) @ first.weight.T + first.bias
    assert (z < 0).any()
    hidden = np.where(z > 0, z, z * (0 if taken is Activation.RELU else 0.125))
    assert np.allclose(network.in_hardware().outputs(x.reshape(40, 6)), hidden @ second.weight.T + second.bias)
    assert network.in_hardware().exact and read_network(NETWORKS / "torch_leaky_dynamo.onnx").exact


# -- Graphs made by hand ----------------------------------------------------------------------------------------------

RNG = np.random.default_rng(3)
W, V, B, C = (RNG.normal(size=size).astype(np.float32) for size in ((4, 3), (3, 2), (3,), (2,)))
SECOND: tuple[Node, ...] = (("MatMul", ("h", "V"), "k", {}), ("Add", ("k", "C"), "y", {}))
FIRST, BOTH = {"W": W, "B": B}, {"W": W, "B": B, "V": V, "C": C}
FLAT: list[Node] = [("MatMul", ("f", "W"), "y", {})]
DENSE: Node = ("Gemm", ("x", "W", "B"), "z", {})


def limits(*values: float) -> dict[str, np.ndarray]:
    """The limits of a Clip: the lower one, and the upper one if there is one."""
    return {name: np.float32(value).reshape(()) for name, value in zip(("low", "high"), values, strict=False)}


GRAPHS: dict[str, tuple[list[Node], dict[str, Any]]] = {
    "gemm transposed and scaled": (
        [("Gemm", ("x", "Wt", "B"), "y", {"transB": 1, "alpha": 0.5, "beta": -2.0})],
        {"Wt": W.T.copy(), "B": B},
    ),
    "gemm without biases": ([("Gemm", ("x", "W"), "y", {})], {"W": W}),
    "gemm, one bias for all": ([("Gemm", ("x", "W", "b"), "y", {})], {"W": W, "b": [0.5]}),
    "constant transposed in the graph": (
        [("Transpose", ("Wt",), "W", {"perm": [1, 0]}), ("MatMul", ("x", "W"), "y", {})],
        {"Wt": W.T.copy()},
    ),
    "constant on the left": ([("MatMul", ("x", "W"), "z", {}), ("Add", ("B", "z"), "y", {})], {"W": W, "B": B}),
    "inputs scaled and shifted": (
        [("Sub", ("x", "m"), "s", {}), ("Div", ("s", "d"), "t", {}), ("Gemm", ("t", "W", "B"), "y", {})],
        {"m": [1, 2, 3, 4], "d": [[2, 4, 8, 16]], "W": W, "B": B},
    ),
    "inputs taken from a constant": (
        [("Sub", ("m", "x"), "s", {}), ("Neg", ("s",), "t", {}), ("MatMul", ("t", "W"), "y", {})],
        {"m": np.float32(3), "W": W},
    ),
    "scaler": (
        [("ai.onnx.ml.Scaler", ("x",), "s", {"offset": [1.0, 2.0, 3.0, 4.0], "scale": [0.5]}), ("MatMul", ("s", "W"), "y", {})],
        {"W": W},
    ),
    "hidden layer scaled before and after": (
        [DENSE, ("Mul", ("z", "m"), "s", {}), ("Relu", ("s",), "r", {}), ("Mul", ("r", "m"), "h", {}), *SECOND],
        {**BOTH, "m": [2, -1, 0.5]},
    ),
    "normalised in a batch": (
        [DENSE, ("BatchNormalization", ("z", "s", "B", "m", "v"), "n", {"epsilon": 0.1}), ("Tanh", ("n",), "h", {}), *SECOND],
        {**BOTH, "s": [1, 2, 3], "m": [1, 0, -1], "v": [1, 4, 9]},
    ),
    "two layers without an activation between": (
        [DENSE, ("Gemm", ("z", "U", "B"), "t", {}), ("Relu", ("t",), "h", {}), *SECOND],
        {**BOTH, "U": RNG.normal(size=(3, 3)).astype(np.float32)},
    ),
    "relu6": (
        [DENSE, ("Clip", ("z", "low", "high"), "h", {}), *SECOND],
        {"W": 4 * W, "B": B, "V": V, "C": C, **limits(0, 6)},
    ),
    "hardtanh": (
        [DENSE, ("Clip", ("z", "low", "high"), "h", {}), *SECOND],
        {**BOTH, **limits(-1, 1)},
    ),
    "largest of it and 0": ([DENSE, ("Max", ("zero", "z"), "h", {}), *SECOND], {**BOTH, "zero": np.float32(0)}),
    "clipped at 0 only": ([DENSE, ("Clip", ("z", "low"), "h", {}), *SECOND], {**BOTH, **limits(0)}),
    "hard sigmoid of its own slope": (
        [DENSE, ("HardSigmoid", ("z",), "h", {"alpha": 0.3, "beta": 0.4}), *SECOND],
        BOTH,
    ),
    "slopes in a tensor": ([DENSE, ("PRelu", ("z", "a"), "h", {}), *SECOND], {**BOTH, "a": [0.125, 0.125, 0.125]}),
    "sign": ([DENSE, ("Sign", ("z",), "h", {}), *SECOND], BOTH),
    "identities": (
        [("Identity", ("x",), "i", {}), ("Dropout", ("i",), "d", {}), ("Cast", ("d",), "c", {"to": 1}), ("MatMul", ("c", "W"), "y", {})],
        {"W": W},
    ),
}
"""Nodes and constants of graphs with the inputs x, shape (batch, 4), and the outputs y."""


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name: str, tmp_path: Path) -> None:
    nodes, constants = GRAPHS[name]
    path = saved(graph(nodes, constants), tmp_path)
    agree(path, "y", RNG.normal(size=(60, 4)).astype(np.float32))


SHAPES: dict[str, tuple[list[Node], dict[str, Any], list[int | str | None], tuple[int, ...]]] = {
    "flattened": ([("Flatten", ("x",), "f", {"axis": 1}), *FLAT], {"W": W}, ["batch", 2, 2], (2, 2)),
    "reshaped": (
        [("Reshape", ("x", "s"), "f", {}), *FLAT],
        {"W": W, "s": np.array([-1, 4])},
        ["batch", 1, 2, 2],
        (1, 2, 2),
    ),
    "reshaped, batch kept": (
        [("Reshape", ("x", "s"), "f", {}), *FLAT],
        {"W": W, "s": np.array([0, -1])},
        [None, 2, 2],
        (2, 2),
    ),
    "squeezed": (
        [("Squeeze", ("x", "a"), "f", {}), *FLAT],
        {"W": W, "a": np.array([1])},
        ["batch", 1, 4],
        (1, 4),
    ),
    "unsqueezed": ([("Unsqueeze", ("x", "a"), "f", {}), *FLAT], {"W": W, "a": np.array([1])}, ["batch", 4], (4,)),
    "scaled by channel": (
        [("Mul", ("x", "m"), "s", {}), ("Flatten", ("s",), "f", {}), *FLAT],
        {"W": W, "m": np.array([[[2]], [[3]]], np.float32)},
        ["batch", 2, 1, 2],
        (2, 1, 2),
    ),
    "lengths left open": ([("Flatten", ("x",), "f", {}), *FLAT], {"W": W}, ["batch", None, None], (2, 2)),
}
"""Nodes, constants, shape of the input in the file, and shape of a sample."""


@pytest.mark.parametrize("name", SHAPES)
def test_samples_of_other_shapes(name: str, tmp_path: Path) -> None:
    nodes, constants, declared, shape = SHAPES[name]
    path = saved(graph(nodes, constants, inputs={"x": declared}), tmp_path)
    agree(path, "y", RNG.normal(size=(20, *shape)).astype(np.float32))


def test_a_sample_without_a_batch(tmp_path: Path) -> None:
    path = saved(graph([("MatMul", ("Wt", "x"), "y", {})], {"Wt": W.T.copy()}, inputs={"x": [4]}), tmp_path)
    x = RNG.normal(size=4).astype(np.float32)
    assert np.allclose(read_network(path).outputs(x[None])[0], evaluated(path, x, "y"), atol=1e-6)


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_weights_of_other_types(kind: type, tmp_path: Path) -> None:
    element = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    path = saved(graph([("MatMul", ("x", "W"), "y", {})], {"W": W.astype(kind)}, element=element), tmp_path)
    assert (read_network(path).layers[0].weight == W.T.astype(kind)).all()


def test_weights_in_a_file_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    model = graph([("MatMul", ("x", "W"), "y", {})], {"W": W})
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    assert (tmp_path / "net.data").stat().st_size == W.nbytes
    agree(path, "y", RNG.normal(size=(5, 4)).astype(np.float32))


ACTIVATIONS = ("Relu", "Tanh", "Sigmoid", "HardSigmoid", "Sign")


@given(st.integers(0, 10**6), st.integers(0, 3), st.sampled_from(ACTIVATIONS), st.booleans(), st.booleans())
def test_random_networks(seed: int, hidden: int, activation: str, gemm: bool, scaled: bool) -> None:
    """Of up to four layers, of MatMul and Add or of Gemm, with constants between them."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, hidden + 2)
    nodes: list[Node] = []
    constants: dict[str, Any] = {}
    last = "x"
    for layer in range(hidden + 1):
        constants |= {f"W{layer}": rng.normal(size=sizes[layer : layer + 2]), f"b{layer}": rng.normal(size=sizes[layer + 1])}
        constants |= {f"m{layer}": rng.normal(size=(1, sizes[layer])), f"a{layer}": rng.normal()}
        if scaled:
            nodes += [("Mul", (last, f"m{layer}"), f"s{layer}", {}), ("Add", (f"a{layer}", f"s{layer}"), f"t{layer}", {})]
            last = f"t{layer}"
        if gemm:
            nodes.append(("Gemm", (last, f"W{layer}", f"b{layer}"), f"z{layer}", {}))
        else:
            nodes += [("MatMul", (last, f"W{layer}"), f"p{layer}", {}), ("Add", (f"p{layer}", f"b{layer}"), f"z{layer}", {})]
        nodes += [(activation, (f"z{layer}",), f"h{layer}", {})] if layer < hidden else []
        last = f"h{layer}" if layer < hidden else f"z{layer}"
    model = graph(
        nodes,
        {name: np.asarray(value, np.float64) for name, value in constants.items()},
        inputs={"x": ["n", int(sizes[0])]},
        outputs=(last,),
        element=11,
    )
    x = rng.normal(size=(7, sizes[0]))

    network = network_of(parse_onnx(model.SerializeToString(), Path("net.onnx")))
    assert network.sizes == tuple(sizes)
    assert np.allclose(network.outputs(x), ReferenceEvaluator(model).run(None, {"x": x})[0], rtol=1e-6, atol=1e-6)
