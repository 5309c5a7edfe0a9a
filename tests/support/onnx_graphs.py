"""ONNX graphs made by hand, networks made by scikit-learn's exporter, and what ONNX's own evaluator says of both."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Node = tuple[str, Sequence[str], str, dict[str, Any]]
"""Operator, inputs, output and attributes of a node."""


def graph(
    nodes: Sequence[Node],
    constants: Mapping[str, Any] | None = None,
    *,
    inputs: Mapping[str, Sequence[int | str | None]] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
    element: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model of these nodes; constants keep the type of their arrays, and numbers in lists become float32."""
    shapes = {"x": ["batch", 4]} if inputs is None else inputs
    arrays = {name: value if isinstance(value, np.ndarray) else np.asarray(value, np.float32) for name, value in (constants or {}).items()}
    made = [
        helper.make_node(
            operator.rpartition(".")[2], list(names), [output], name=f"{output}_node", domain=operator.rpartition(".")[0], **more
        )
        for operator, names, output, more in nodes
    ]
    of_graph = helper.make_graph(
        made,
        "network",
        [helper.make_tensor_value_info(name, element, list(shape)) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(name, element, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in (("", opset), ("ai.onnx.ml", 3), ("com.microsoft", 1))]
    return helper.make_model(of_graph, opset_imports=opsets, ir_version=8)


def saved(model: onnx.ModelProto, folder: Path, name: str = "net.onnx") -> Path:
    """Write a model, and return its path."""
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def exported(estimator: Any, x: np.ndarray, y: np.ndarray, folder: Path, name: str = "net.onnx", **options: Any) -> Path:
    """Train an estimator of scikit-learn, export it by skl2onnx, and return the path of the file."""
    from skl2onnx import to_onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that few iterations do not converge, and what skl2onnx says of numpy
        return saved(to_onnx(estimator.fit(x, y), x[:1], **options), folder, name)


def evaluated(path: Path, x: np.ndarray, tensor: str) -> np.ndarray:
    """Value of a tensor of a model for these inputs, by ONNX's reference evaluator."""
    model = onnx.load(path)
    kept = [node for node in model.graph.node if "ZipMap" not in node.op_type]  # which the evaluator lacks
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend(kept)
    model.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
    return np.asarray(ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x})[0])
