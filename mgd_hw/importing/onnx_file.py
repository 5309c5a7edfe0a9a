"""Reader of ONNX files: nodes, constants, inputs and outputs, checked before anything is made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from python_ref.spec.error import Refusal, ToolError

__all__ = ["Dimensions", "OnnxFile", "OnnxNode", "parse_onnx", "read_onnx"]

LARGEST_FILE = 1 << 29
"""Size limit of an ONNX file, in bytes; the largest network of a design has 2^24 parameters of at most 8 bytes."""
OLDEST_OPSET = 7
"""First version of ONNX's own operators whose elementwise operators broadcast as numpy does."""

Dimensions = tuple[int | None, ...]
"""Shape of a tensor; None stands for a length that the file leaves open."""


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """A node of the graph.

    Attributes
    ----------
    operator : str
        Name of the operator, with its domain where that is not ONNX's own, such as "com.microsoft.FusedGemm".
    name : str
        Name of the node, or its number in the file if it has none.
    inputs, outputs : tuple of str
        Names of the tensors; "" for an optional one that is left out.
    attributes : mapping of str to object
        Attributes by name; tensors are arrays, texts are str.
    """

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"node {self.name} ({self.operator})"

    def refuse(self, reason: str, remedy: str) -> Refusal:
        """Return the refusal of this node; whoever knows the file adds it."""
        return Refusal(reason, remedy, key=str(self))


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """Contents of an ONNX file.

    Attributes
    ----------
    path : Path
        Path of the file, for refusals.
    producer : str
        Program that wrote the file, with its version; "" if the file does not say it.
    opset : int
        Version of ONNX's own operators.
    inputs : mapping of str to tuple
        Shape of each input by its name, without inputs that only give a constant its name.
    outputs : tuple of str
        Names of the outputs, in the order of the file.
    nodes : tuple of OnnxNode
        Nodes in an order in which every tensor is computed before it is used.
    constants : mapping of str to array
        Tensors that the file holds, by name.
    shapes : mapping of str to tuple
        Shapes of the tensors between the nodes, as far as ONNX derives them.
    """

    path: Path
    producer: str
    opset: int
    inputs: Mapping[str, Dimensions]
    outputs: tuple[str, ...]
    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, np.ndarray]
    shapes: Mapping[str, Dimensions]


def require_onnx() -> ModuleType:
    """Return the package ``onnx``.

    Raises
    ------
    ToolError
        If it is not installed.
    """
    try:
        import onnx
        import onnx.checker
        import onnx.external_data_helper
        import onnx.inliner
        import onnx.numpy_helper
        import onnx.shape_inference
    except ImportError:
        raise ToolError("the Python package onnx is not installed", "Run: pip install 'mgd-hw[onnx]'.") from None
    module: ModuleType = onnx
    return module


def read_onnx(path: Path) -> OnnxFile:
    """Read an ONNX file, with the weights that it keeps in a file beside it.

    Parameters
    ----------
    path : Path
        Path of the file, beside which files with its weights may lie.

    Raises
    ------
    Refusal
        If it cannot be read, is not a valid ONNX model, or has operators of a version that the installed package does not know.
    ToolError
        If the package ``onnx`` is not installed.
    """
    require_onnx()
    return parse_onnx(_content(path), path)


def parse_onnx(content: bytes, path: Path) -> OnnxFile:
    """Read the bytes of an ONNX file; ``path`` appears in messages, and its folder is searched for files with weights.

    Raises
    ------
    Refusal
        If the bytes are not a valid ONNX model, or have operators of a version that the installed package does not know.
    ToolError
        If the package ``onnx`` is not installed.
    """
    onnx = require_onnx()
    model = _parsed(onnx, content, path)
    opset = _opset(onnx, model, path)
    _load_external(onnx, model, path)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    graph = model.graph
    constants = {tensor.name: _array(onnx, tensor, path) for tensor in graph.initializer}
    if graph.sparse_initializer:
        raise Refusal("it has sparse weights", "Export the network with dense weights.", file=path)
    return OnnxFile(
        path=path,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        opset=opset,
        inputs={each.name: _dimensions(each) for each in graph.input if each.name not in constants},
        outputs=tuple(each.name for each in graph.output),
        nodes=tuple(_nodes(onnx, graph, path)),
        constants=constants,
        shapes=_shapes(onnx, model),
    )


def _content(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise Refusal("it is a directory", "Give the path of an ONNX file.", file=path)
        if not path.is_file():
            raise Refusal("there is no such file", "Give the path of an ONNX file.", file=path)
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise Refusal(f"it has {size:,} bytes, more than {LARGEST_FILE:,}", "Give the file of a smaller network.", file=path)
        return path.read_bytes()
    except OSError as error:
        raise Refusal(f"it cannot be read ({error.strerror})", "Check the path and its permissions.", file=path) from None
    except ValueError:
        raise Refusal("it is not a path", "Give the path of an ONNX file.", file=repr(str(path))) from None


_EXPORT = "Export the network again, with skl2onnx.to_onnx or torch.onnx.export."


def _parsed(onnx: ModuleType, content: bytes, path: Path) -> Any:
    """Return the model in a file's bytes."""
    from google.protobuf.message import DecodeError

    if not content:
        raise Refusal("it is empty", _EXPORT, file=path)
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        raise Refusal("it is not an ONNX file, or it is cut off", _EXPORT, file=path) from None
    if not model.ir_version or not model.graph.node:
        raise Refusal("it holds no ONNX model, or it is cut off", _EXPORT, file=path)
    return model


def _opset(onnx: ModuleType, model: Any, path: Path) -> int:
    """Return the version of ONNX's own operators, after checking that the installed package knows it."""
    versions = {each.domain: each.version for each in model.opset_import}
    newest = onnx.defs.onnx_opset_version()
    version = versions.get("", versions.get("ai.onnx", 0))
    if not version:
        raise Refusal("it does not say which version of ONNX's operators it uses, or it is cut off", _EXPORT, file=path)
    if version > newest or model.ir_version > onnx.IR_VERSION:
        what = f"opset {version}" if version > newest else f"version {model.ir_version} of the file format"
        known = f"opset {newest}" if version > newest else f"version {onnx.IR_VERSION}"
        remedy = f"Run `pip install --upgrade onnx`, or export the network with opset_version={min(newest, 20)}."
        raise Refusal(f"it uses {what}, and the installed package onnx knows up to {known}", remedy, file=path)
    if version < OLDEST_OPSET:
        reason = f"it uses opset {version}, and opsets from {OLDEST_OPSET} on are read"
        remedy = "Export the network again: torch.onnx.export(…, opset_version=17), or skl2onnx.to_onnx(…, target_opset=17)."
        raise Refusal(reason, remedy, file=path)
    return int(version)


def _load_external(onnx: ModuleType, model: Any, path: Path) -> None:
    """Load the weights that are in other files, which must lie beside the model."""
    tensors = [tensor for tensor in model.graph.initializer if onnx.external_data_helper.uses_external_data(tensor)]
    for tensor in tensors:
        location = onnx.external_data_helper.ExternalDataInfo(tensor).location
        if not (path.parent / location).is_file():
            reason = f"the tensor {tensor.name} is in the file {location}, which is not beside it"
            remedy = "Copy that file there, or export the network into one file: torch.onnx.export(…, external_data=False)."
            raise Refusal(reason, remedy, file=path)
        try:
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent.absolute()))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            reason = f"the tensor {tensor.name} cannot be read from the file {location} ({_first_line(error)})"
            raise Refusal(reason, "Export the network into one file: torch.onnx.export(…, external_data=False).", file=path) from None
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _array(onnx: ModuleType, tensor: Any, path: Path) -> np.ndarray:
    """Return the numbers of a tensor."""
    try:
        found: np.ndarray = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        reason = f"the tensor {tensor.name} has other numbers than its shape and type say, or the file is cut off ({_first_line(error)})"
        raise Refusal(reason, _EXPORT, file=path) from None
    return found


def _dimensions(value: Any) -> Dimensions:
    """Return the shape of an input; one that is no tensor, or of which nothing is known, has the shape of a batch of rows."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return (None, None)
    return tuple(each.dim_value if each.HasField("dim_value") and each.dim_value > 0 else None for each in kind.shape.dim)


def _shapes(onnx: ModuleType, model: Any) -> dict[str, Dimensions]:
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        return {}
    values = (*inferred.graph.value_info, *inferred.graph.output)
    return {each.name: _dimensions(each) for each in values if each.type.tensor_type.HasField("shape")}


def _nodes(onnx: ModuleType, graph: Any, path: Path) -> Iterator[OnnxNode]:
    for number, node in enumerate(graph.node, 1):
        domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
        attributes = {}
        for attribute in node.attribute:
            value = onnx.helper.get_attribute_value(attribute)
            if isinstance(value, onnx.TensorProto):
                value = _array(onnx, value, path)
            attributes[attribute.name] = value.decode(errors="replace") if isinstance(value, bytes) else value
        yield OnnxNode(f"{domain}{node.op_type}", node.name or str(number), tuple(node.input), tuple(node.output), attributes)
