"""What is refused of an ONNX file: each with one message that names the file, the node, and what to do."""

from __future__ import annotations

import builtins
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import mgd_hw
from mgd_hw.cli import main
from mgd_hw.importing.network import read_network
from python_ref.spec.error import Refusal, ToolError
from tests.support.onnx_graphs import Node, graph, saved

W, B, V = np.ones((4, 3), np.float32), np.zeros(3, np.float32), np.ones((3, 2), np.float32)
DENSE: Node = ("Gemm", ("x", "W", "B"), "z", {})
LAST: Node = ("Gemm", ("t", "V"), "y", {"transB": 1})
GIVEN = {"W": W, "B": B, "V": V}
ONE = {"axis": 1}


def then(operator: str, *more: str, **attributes: Any) -> list[Node]:
    """A dense layer, and an operator after it."""
    return [DENSE, (operator, ("z", *more), "y", attributes)]


REFUSED: dict[str, tuple[list[Node], dict[str, Any], str]] = {
    "elu": (then("Elu"), {}, r"node y_node \(Elu\): the operator is not supported\. Train the network with another activation: .*ReLU\(\)"),
    "gelu by onnxruntime": (then("com.microsoft.FastGelu"), {}, r"\(com\.microsoft\.FastGelu\): .* before onnxruntime optimised it\."),
    "convolution": ([("Conv", ("x", "W"), "y", {})], {}, r"node y_node \(Conv\): .* Only dense layers are taken over"),
    "layer normalisation": (then("LayerNormalization", "B"), {}, r"\(LayerNormalization\): .*BatchNorm1d"),
    "quantised": ([("DynamicQuantizeLinear", ("x",), "y", {})], {}, r"Export the network before it is quantised"),
    "unknown": (then("Multinomial"), {}, r"\(Multinomial\): the operator is not supported\. Export the network alone"),
    "after the answer": (
        [DENSE, ("Softmax", ("z",), "p", {}), ("Relu", ("p",), "y", {})],
        {},
        r"\(Relu\): the operator is not supported after the network's answer",
    ),
    "slope": (then("LeakyRelu", alpha=0.3), {}, r"slope below 0 is 0\.3, .*are 0 and 0\.125, .*\. Write torch\.nn\.LeakyReLU\(0\.125\)"),
    "negative slope": (then("LeakyRelu", alpha=-0.2), {}, r"slope below 0 is -0\.2, .*are 0 and 0\.125, "),
    "slope above 1": (then("LeakyRelu", alpha=1.01), {}, r"slope below 0 is 1\.01, .*are 0 and 0\.125, "),
    "slopes": (then("PRelu", "a"), {"a": [0.1, 0.2, 0.3]}, r"slope below 0 is one for each neuron"),
    "hard sigmoid that falls": (then("HardSigmoid", alpha=-1.0), {}, r"slope is -1, .*Write torch\.nn\.Hardsigmoid\(\)"),
    "clipped above": (then("Clip", "", "high"), {"high": np.float32(6)}, r"cuts values off at one end only\. Write torch\.nn\.ReLU\(\)"),
    "clipped to nothing": (then("Clip", "low", "low"), {"low": np.float32(1)}, r"its limits are 1 and 1\. Write torch\.nn\.Hardtanh"),
    "largest of it and 1": (then("Max", "one"), {"one": np.float32(1)}, r"\(Max\): it takes the largest of several numbers"),
    "chosen columns": (
        [("ai.onnx.ml.ArrayFeatureExtractor", ("x", "c"), "a", {}), ("MatMul", ("a", "W"), "y", {})],
        {"c": np.array([0, 1])},
        r"\(ai\.onnx\.ml\.ArrayFeatureExtractor\): the operator is not supported\. Export the last step alone",
    ),
    "activation of inputs": ([("Relu", ("x",), "y", {})], {}, r"\(Relu\): no dense layer stands between it and the inputs"),
    "two activations": (
        [DENSE, ("Relu", ("z",), "h", {}), ("Tanh", ("h",), "y", {})],
        {},
        r"\(Tanh\): no dense layer stands between it and an activation before it",
    ),
    "gate": ([DENSE, ("Sigmoid", ("z",), "s", {}), ("Mul", ("z", "s"), "y", {})], {}, r"\(Mul\): it joins two results of the network"),
    "divided by a result": (
        [DENSE, ("Exp", ("B",), "e", {}), ("Div", ("e", "z"), "y", {})],
        {},
        r"\(Div\): it divides by a result of the network",
    ),
    "divided by zero": (
        [("Div", ("x", "d"), "s", {}), ("MatMul", ("s", "W"), "y", {})],
        {"d": [1, 1, 0, 1]},
        r"\(Div\): it divides by zero",
    ),
    "weights that are computed": ([("MatMul", ("x", "x"), "y", {})], {}, r"its weights are computed from the inputs"),
    "weights of another rank": ([("MatMul", ("x", "T"), "y", {})], {"T": np.ones((2, 4, 3))}, r"its weights have the shape \(2, 4, 3\)"),
    "weights that are text": ([("MatMul", ("x", "T"), "y", {})], {"T": np.array([["a"]], object)}, r"its weights have the type"),
    "weights for other inputs": ([("MatMul", ("x", "V"), "y", {})], {}, r"its weights take 3 numbers, and the layer before gives 4"),
    "samples as columns": ([("Gemm", ("x", "W"), "y", {"transA": 1})], {}, r"multiplies the samples from the left"),
    "weights on the left": ([("MatMul", ("W", "x"), "y", {})], {}, r"multiplies the samples from the left"),
    "not a number": (
        then("Relu"),
        {"W": np.where(np.eye(4, 3) > 0, np.nan, 1)},
        r"node z_node \(Gemm\): 3 of the 12 numbers of its weights are",
    ),
    "a signalling NaN": (
        then("Relu"),
        {"B": np.array([0, 0x7F800001, 0], np.uint32).view(np.float32)},
        r"1 of the 3 numbers of its biases is missing or infinite",
    ),
    "infinite": (then("Relu"), {"B": [0, np.inf, 0]}, r"1 of the 3 numbers of its biases is missing or infinite\. The training .*diverged"),
    "too wide": (
        [("MatMul", ("x", "U"), "y", {})],
        {"U": np.ones((4, 5000))},
        r"has 4 inputs and 5,000 neurons, .*at most 4,096",
    ),
    "training mode": (then("Dropout", "", "t"), {"t": np.array(True)}, r"\(Dropout\): it is in training mode\. Call model\.eval\(\)"),
    "whole numbers": ([("Cast", ("x",), "i", {"to": 7}), ("MatMul", ("i", "W"), "y", {})], {}, r"\(Cast\): it makes whole numbers"),
    "samples that run together": (
        [("Reshape", ("x", "s"), "r", {}), ("MatMul", ("r", "V"), "y", {})],
        {"s": np.array([-1, 3])},
        r"\(Reshape\): it makes 3 values of the 4 of a sample",
    ),
    "all samples in a row": (
        [("Reshape", ("x", "s"), "r", {}), ("MatMul", ("r", "W"), "y", {})],
        {"s": np.array([-1])},
        r"\(Reshape\): it puts all samples into one row\. Write torch\.nn\.Flatten\(\)",
    ),
    "flattened with the samples": (
        [("Flatten", ("x",), "f", {"axis": 0}), ("MatMul", ("f", "W"), "y", {})],
        {},
        r"\(Flatten\): its axis is 0",
    ),
    "softmax over samples": (then("Softmax", axis=0), {}, r"\(Softmax\): it is not over the outputs .*Softmax\(dim=1\)"),
    "joined": ([DENSE, ("Concat", ("z", "z"), "y", ONE)], {}, r"\(Concat\): it joins results of the network"),
    "scaled at the end": (
        [DENSE, ("Tanh", ("z",), "h", {}), ("Mul", ("h", "B"), "y", {})],
        {},
        r"net\.onnx: its outputs are scaled after the activation tanh",
    ),
    "two activations of hidden layers": (
        [
            DENSE,
            ("Relu", ("z",), "h", {}),
            ("MatMul", ("h", "V"), "k", {}),
            ("Tanh", ("k",), "t", {}),
            ("Gemm", ("t", "V"), "y", {"transB": 1}),
        ],
        {},
        r"hidden layers have different activations \(relu after node z_node, tanh after node k_node\)",
    ),
    "no dense layer": ([("Identity", ("x",), "y", {})], {}, r"net\.onnx: it has no dense layer"),
    "an output that is a constant": ([DENSE, ("Identity", ("B",), "y", {})], {}, r"its output y does not depend on its input"),
    "an output that nothing computes": ([("Gemm", ("x", "W"), "z", {})], {}, r"no node computes its output y\. The file is cut off"),
    "an input that nothing computes": ([("MatMul", ("x", "gone"), "y", {})], {}, r"no node before it computes its input gone"),
    "too deep": (
        [
            node
            for k in range(17)
            for node in (("MatMul", (f"h{k}" if k else "x", "U"), f"z{k}", {}), ("Relu", (f"z{k}",), f"h{k + 1}" if k < 16 else "y", {}))
        ],
        {"U": np.eye(4)},
        r"it has 17 dense layers, and a design has at most 16",
    ),
}
"""Nodes of a graph with the input x, shape (batch, 4), its constants beside W, B and V, and what the message says."""


@pytest.mark.parametrize("name", REFUSED)
def test_graphs_that_are_refused(name: str, tmp_path: Path) -> None:
    nodes, constants, message = REFUSED[name]
    path = saved(graph(nodes, {**GIVEN, **constants}, opset=20), tmp_path)
    with pytest.raises(Refusal) as caught:
        read_network(path)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "outputs", "nodes", "message"),
    [
        ({"x": ["n", 4], "w": ["n", 4]}, ("y",), [("Add", ("x", "w"), "y", {})], r"it has 2 inputs \(x, w\), and a design has one"),
        ({}, ("y",), [("Identity", ("B",), "y", {})], r"it has 0 inputs"),
        ({"x": ["n", 5, 4]}, ("y",), [("MatMul", ("x", "W"), "y", {})], r"samples of 5 × 4, .*torch\.nn\.Flatten\(\)"),
        ({"x": ["n", None, 4]}, ("y",), [("MatMul", ("x", "W"), "y", {})], r"samples of \? × 4, "),
        ({"x": ["n", None]}, ("y",), [("Mul", ("x", "one"), "s", {}), ("MatMul", ("s", "W"), "y", {})], r"number of inputs is not known"),
        (
            {"x": ["n", 4]},
            ("h", "y"),
            [DENSE, ("Relu", ("z",), "h", {}), ("MatMul", ("h", "V"), "y", {})],
            r"its outputs h, y are of different layers, .*extract_model\('net\.onnx', 'one\.onnx', \['x'\], \['y'\]\)\.",
        ),
    ],
    ids=["two inputs", "no input", "another rank", "another rank, open", "open length", "two outputs"],
)
def test_inputs_and_outputs(inputs: Any, outputs: Any, nodes: Any, message: str, tmp_path: Path) -> None:
    path = saved(graph(nodes, {**GIVEN, "one": np.float32(1)}, inputs=inputs, outputs=outputs), tmp_path)
    with pytest.raises(Refusal, match=message):
        read_network(path)


def good() -> onnx.ModelProto:
    return graph([DENSE, ("Relu", ("z",), "h", {}), ("MatMul", ("h", "V"), "y", {})], GIVEN)


def changed(**fields: int) -> bytes:
    model = good()
    if "opset" in fields:
        model.opset_import[0].version = fields["opset"]
    if "ir" in fields:
        model.ir_version = fields["ir"]
    return model.SerializeToString()


def without_opset() -> bytes:
    model = good()
    del model.opset_import[:]
    return model.SerializeToString()


def short_tensor() -> bytes:
    model = good()
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: b"", r": it is empty\. Export the network again"),
        (lambda: b"no model\n", r": it is not an ONNX file, or it is cut off\. Export"),
        (lambda: b"\x89PNG\r\n\x1a\n" + bytes(64), r": it is not an ONNX file, or it is cut off\. Export"),
        (lambda: good().SerializeToString()[:200], r": it is not an ONNX file, or it is cut off\. Export"),
        (lambda: b"\x08\x08", r": it holds no ONNX model, or it is cut off\. Export"),
        (without_opset, r": it does not say which version of ONNX's operators it uses"),
        (short_tensor, r": the tensor W has other numbers than its shape and type say"),
        (
            lambda: changed(opset=10_000),
            r": it uses opset 10000, and .* up to opset \d+\. Run `pip install --upgrade onnx`",
        ),
        (lambda: changed(ir=10_000), r": it uses version 10000 of the file format"),
        (lambda: changed(opset=6), r": it uses opset 6, and opsets from 7 on are read\. Export .*opset_version=17\)"),
    ],
    ids=[
        "empty",
        "text",
        "picture",
        "cut off",
        "only a version",
        "no opset",
        "short tensor",
        "opset too new",
        "format too new",
        "opset too old",
    ],
)
def test_files_that_are_refused(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content())
    with pytest.raises(Refusal, match=message):
        read_network(path)


def test_every_cut_is_refused_or_harmless(tmp_path: Path) -> None:
    """Wherever a file ends too early: never another network."""
    whole = good().SerializeToString()
    path = saved(good(), tmp_path)
    expected = [layer.weight.tolist() for layer in read_network(path).layers]
    refused = 0
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        try:
            assert [layer.weight.tolist() for layer in read_network(path).layers] == expected
        except Refusal:
            refused += 1
    assert refused > len(whole) // 4


def test_one_output_is_kept_as_the_message_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = graph([DENSE, ("Relu", ("z",), "h", {}), ("MatMul", ("h", "V"), "y", {})], GIVEN)
    model.graph.output.insert(0, onnx.helper.make_tensor_value_info("h", 1, ["batch", 3]))
    model.graph.output[1].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, ["batch", 2]))
    saved(model, tmp_path)
    with pytest.raises(Refusal) as caught:
        read_network("net.onnx")
    line = re.search(r"Keep one: (.*)\.$", str(caught.value))
    assert line
    exec(line[1], {"onnx": onnx})
    assert read_network("one.onnx").sizes == (4, 3, 2)


def test_weights_in_a_file_that_is_missing_or_short(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(good(), path, save_as_external_data=True, location="net.data", size_threshold=0)
    (tmp_path / "net.data").write_bytes(b"123")
    with pytest.raises(Refusal, match=r"the tensor \w cannot be read from the file net\.data \(.*external_data=False"):
        read_network(path)
    (tmp_path / "net.data").unlink()
    with pytest.raises(Refusal, match=r"the tensor W is in the file net\.data, which is not beside it\. Copy that file there"):
        read_network(path)


def test_paths_that_are_refused(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path, "it is a directory"),
        (tmp_path / "no.onnx", "there is no such file"),
        (Path("a\0b"), "not a path|no such"),
    ):
        with pytest.raises(Refusal, match=message):
            read_network(path)


def test_without_the_package_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    path, own = saved(good(), tmp_path), builtins.__import__

    def lacking(name: str, *more: Any, **options: Any) -> Any:
        if name.split(".")[0] == "onnx":
            raise ImportError(name)
        return own(name, *more, **options)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(ToolError, match=r"^the Python package onnx is not installed\. Run: pip install 'mgd-hw\[onnx\]'\.$"):
        mgd_hw.import_network(path, str(tmp_path / "net"))
    with pytest.raises(SystemExit) as end:
        main(["import", str(path), str(tmp_path / "net")])
    assert end.value.code == 2
    assert capsys.readouterr().err == "mgd-hw: the Python package onnx is not installed. Run: pip install 'mgd-hw[onnx]'.\n"
    assert not (tmp_path / "net.toml").exists()
