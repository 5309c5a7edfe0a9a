"""The network of dense layers in an ONNX graph."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mgd_hw.importing.onnx_file import OnnxFile, read_onnx
from mgd_hw.importing.operators import Walk, apply
from mgd_hw.importing.signal import Answer, DenseLayer, Signal, Value, same_layers
from python_ref.spec.activations import Activation
from python_ref.spec.error import Refusal, naming
from python_ref.spec.network import MAX_LAYERS, MAX_PARAMETERS

__all__ = ["TrainedNetwork", "network_of", "read_network"]


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network of dense layers as an ONNX file describes it, in real numbers.

    Attributes
    ----------
    layers : tuple of DenseLayer
        The layers; all but the last have the same activation.
    producer : str
        Program that wrote the file; "" if the file does not say it.
    opset : int
        Version of ONNX's operators that the file uses.
    classes : tuple of str
        Names of the classes in the order of the outputs; empty where the file has none.
    classifies : bool
        Whether the file ends by choosing a class, as after a softmax.
    notes : tuple of str
        Sentences on what was taken over in another form, or left out.
    """

    layers: tuple[DenseLayer, ...]
    producer: str
    opset: int
    classes: tuple[str, ...]
    classifies: bool
    notes: tuple[str, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of inputs, and of neurons of each layer."""
        return (self.layers[0].weight.shape[1], *(len(layer.weight) for layer in self.layers))

    @property
    def hidden(self) -> Activation | None:
        """Activation of every layer but the last; None for a network of one layer."""
        return self.layers[0].activation if len(self.layers) > 1 else None

    @property
    def output(self) -> Activation:
        """Activation of the last layer."""
        return self.layers[-1].activation or Activation.IDENTITY

    def activations(self, inputs: np.ndarray) -> list[np.ndarray]:
        """Return the outputs of each layer (float64, shape (n, n_out)) for inputs of shape (n, n_in)."""
        found = [inputs.astype(np.float64)]
        for layer in self.layers:
            found.append(layer.outputs(found[-1]))
        return found[1:]

    def outputs(self, inputs: np.ndarray) -> np.ndarray:
        """Return the network's outputs (float64, shape (n, n_out)) for inputs of shape (n, n_in)."""
        return self.activations(inputs)[-1]

    @property
    def exact(self) -> bool:
        """Whether all activations are those of the file."""
        return all(layer.slope is None for layer in self.layers)

    def in_hardware(self) -> TrainedNetwork:
        """Return the network with the activations of the hardware where they differ from the file's."""
        return replace(self, layers=tuple(replace(layer, slope=None) for layer in self.layers))

    def with_inputs(self, offset: np.ndarray, factor: np.ndarray) -> TrainedNetwork:
        """Return the same function of inputs x' that are scaled, x = offset + factor·x', both of shape (n_in,)."""
        first = self.layers[0]
        moved = replace(first, weight=first.weight * factor, bias=first.bias + first.weight @ offset)
        return replace(self, layers=(moved, *self.layers[1:]))

    def with_outputs(self, factor: np.ndarray, summand: np.ndarray) -> TrainedNetwork:
        """Return the network whose outputs are factor·y + summand, both of shape (n_out,); its output activation must be the identity."""
        last = self.layers[-1]
        moved = replace(last, weight=last.weight * factor[:, None], bias=last.bias * factor + summand)
        return replace(self, layers=(*self.layers[:-1], moved))


def read_network(path: str | Path) -> TrainedNetwork:
    """Read the network of dense layers in an ONNX file.

    Raises
    ------
    Refusal
        If the file cannot be read, or holds anything else than dense layers with supported activations.
    ToolError
        If the package ``onnx`` is not installed.
    """
    return network_of(read_onnx(Path(path)))


def network_of(file: OnnxFile) -> TrainedNetwork:
    """Return the network of dense layers in the graph of an ONNX file.

    Raises
    ------
    Refusal
        If the graph is anything else than dense layers with supported activations.
    """
    with naming(file.path):
        walk = Walk(file)
        name = _input(file)
        walk.values[name] = Signal((), *_samples(file.inputs[name]))
        for node in file.nodes:
            apply(walk, node)
        missing = [name for name in file.outputs if name not in walk.values]
        if missing or not file.outputs:
            what = f"no node computes its output {missing[0]}" if missing else "it has no output"
            raise Refusal(what, "The file is cut off: export the network again.")
        value = _output(file, [(name, walk.values[name]) for name in file.outputs])
        layers = _closed(value.signal if isinstance(value, Answer) else value, walk)
        if not layers:
            raise Refusal("it has no dense layer", "Export a network of dense layers, torch.nn.Linear or scikit-learn's MLPClassifier.")
        _check_size(layers)
        return TrainedNetwork(layers, file.producer, file.opset, walk.classes, isinstance(value, Answer), tuple(walk.notes))


def _input(file: OnnxFile) -> str:
    names = tuple(file.inputs)
    if len(names) != 1:
        reason = f"it has {len(names)} inputs" + (f" ({', '.join(names[:6])}{', …' if len(names) > 6 else ''})" if names else "")
        remedy = "Export the network with one input, a row of numbers a sample: skl2onnx.to_onnx(model, X[:1].astype(numpy.float32))."
        raise Refusal(f"{reason}, and a design has one", remedy)
    return names[0]


def _samples(shape: tuple[int | None, ...]) -> tuple[tuple[int | None, ...], bool]:
    """Return the shape of one sample, and whether an axis of samples stands before it."""
    return (shape, False) if len(shape) == 1 else (shape[1:], True)


def _output(file: OnnxFile, found: list[tuple[str, Value]]) -> Signal | Answer:
    """Return the one result that the outputs of the graph hold: an answer if there is one, otherwise the outputs themselves."""
    values = [(name, value) for name, value in found if isinstance(value, (Signal, Answer))]
    if len(values) < len(found):
        name = next(name for name, value in found if not isinstance(value, (Signal, Answer)))
        raise Refusal(f"its output {name} does not depend on its input", "Export the network with the outputs of its last layer only.")
    answers = [value for _, value in values if isinstance(value, Answer)]
    signals = [value.signal if isinstance(value, Answer) else value for _, value in values]
    if not same_layers(signals):
        names = [name for name, _ in values]
        keep = names[-1]
        source = next(iter(file.inputs))
        remedy = f"Keep one: onnx.utils.extract_model({file.path.name!r}, 'one.onnx', [{source!r}], [{keep!r}])."
        raise Refusal(f"its outputs {', '.join(names)} are of different layers, and a design has those of its last layer", remedy)
    return answers[0] if answers else signals[0]


def _closed(signal: Signal, walk: Walk) -> tuple[DenseLayer, ...]:
    """Return the layers of a result, the last of them with an activation, and all hidden ones with the same."""
    if not signal.plain and signal.layers:
        last = signal.layers[-1]
        named = last.activation.value if last.activation else ""
        reason = f"its outputs are scaled after the activation {named}, and a design ends with its activation"
        raise Refusal(reason, "Export the network without what follows its last activation.")
    layers = signal.activated(Activation.IDENTITY).layers if signal.open else signal.layers
    if {layer.activation for layer in layers[:-1]} != {Activation.IDENTITY}:
        layers = tuple(_merged(layers, walk))
    layers = _of_one_curve(layers, walk)
    kinds = {layer.activation: layer.node for layer in layers[:-1]}
    if len(kinds) > 1:
        shown = ", ".join(f"{kind.value} after node {node}" for kind, node in kinds.items() if kind)
        remedy = "Train the network with one activation in all its hidden layers."
        reason = f"its hidden layers have different activations ({shown}), and a core has one unit for all neurons, with one activation for"
        raise Refusal(f"{reason} hidden layers and one for the outputs", remedy)
    return layers


_CURVES = {Activation.TANH: (2.0, 2.0, -1.0), Activation.SIGMOID: (0.5, 0.5, 0.5)}
"""Of each curve f the numbers (a, b, c) with which the other one, g, takes its place: f(z) = b·g(a·z) + c."""
_INSTEAD = {Activation.TANH: "2·sigmoid(2·z) - 1", Activation.SIGMOID: "(tanh(z/2) + 1)/2"}
"""The same as text."""


def _of_one_curve(layers: tuple[DenseLayer, ...], walk: Walk) -> tuple[DenseLayer, ...]:
    """Return the same function where hidden layers have both curves, tanh and sigmoid: that of more neurons, scaled, is both."""
    neurons = {kind: sum(len(layer.weight) for layer in layers[:-1] if layer.activation is kind) for kind in _CURVES}
    if not all(neurons.values()):
        return layers
    taken = max(neurons, key=neurons.__getitem__)  # tanh, of as many
    found = list(layers)
    for place, layer in enumerate(layers[:-1]):
        kind = layer.activation
        if kind not in _CURVES or kind is taken:
            continue
        before, factor, summand = _CURVES[kind]
        own, after = found[place], found[place + 1]
        found[place] = replace(own, weight=before * own.weight, bias=before * own.bias, activation=taken)
        found[place + 1] = replace(after, weight=factor * after.weight, bias=after.bias + summand * after.weight.sum(axis=1))
        walk.note(f"The {kind.value} after node {layer.node} is {_INSTEAD[kind]}, since all hidden layers have one activation.")
    return tuple(found)


def _merged(layers: tuple[DenseLayer, ...], walk: Walk) -> Iterator[DenseLayer]:
    """Yield the layers, with a hidden one without an activation multiplied into the next."""
    waiting: DenseLayer | None = None
    for place, layer in enumerate(layers):
        if waiting is not None:
            walk.note(f"Node {waiting.node} and node {layer.node} are one layer, since no activation stands between them.")
            layer = replace(layer, weight=layer.weight @ waiting.weight, bias=layer.bias + layer.weight @ waiting.bias)
            waiting = None
        if layer.activation is Activation.IDENTITY and place < len(layers) - 1:
            waiting = layer
        else:
            yield layer


def _check_size(layers: tuple[DenseLayer, ...]) -> None:
    if len(layers) > MAX_LAYERS:
        raise Refusal(f"it has {len(layers)} dense layers, and a design has at most {MAX_LAYERS}", "Train a network of fewer layers.")
    count = sum(math.prod(layer.weight.shape) + len(layer.bias) for layer in layers)
    if count > MAX_PARAMETERS:
        raise Refusal(f"it has {count:,} weights and biases, and a design has at most {MAX_PARAMETERS:,}", "Train a smaller network.")
