"""What a tensor of an ONNX graph is in terms of dense layers: the activations of a layer, scaled, or an answer read from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mgd_hw.importing.onnx_file import Dimensions
from python_ref.spec.activations import Activation

__all__ = ["Answer", "DenseLayer", "Lengths", "Signal", "Value"]


@dataclass(frozen=True, eq=False)
class DenseLayer:
    """A dense layer: y = activation(W·x + b).

    Attributes
    ----------
    weight : array of float64, shape (n_out, n_in)
        Weights W, one row for each neuron.
    bias : array of float64, shape (n_out,)
        Biases b, one for each neuron.
    activation : Activation or None
        Activation; None while none has followed in the graph.
    node : str
        Name of the node that multiplies by the weights.
    slope : float or None
        Slope below 0 of the leaky ReLU in the file, where ``activation`` has another; None where it has that of the file.
    """

    weight: np.ndarray
    bias: np.ndarray
    activation: Activation | None
    node: str
    slope: float | None = None

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Return the layer's outputs (float64, shape (n, n_out)) for inputs x (float64, shape (n, n_in))."""
        z = x @ self.weight.T + self.bias
        if self.slope is not None:
            return np.where(z > 0, z, self.slope * z)
        return z if self.activation is None else self.activation.activate(z)


@dataclass(frozen=True, eq=False)
class Signal:
    """A tensor of the graph that holds, for each sample, scale·a + shift, with a the outputs of the last dense layer or the inputs.

    Attributes
    ----------
    layers : tuple of DenseLayer
        Dense layers so far.
    features : tuple of (int or None)
        Shape of the tensor without the axis of the samples.
    batched : bool
        Whether the first axis of the tensor counts samples.
    scale, shift : array of float64, shape (n,), or None
        Factor and summand of each output a in row-major order; None stands for 1 and for 0.
    """

    layers: tuple[DenseLayer, ...]
    features: Dimensions
    batched: bool = True
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None

    @property
    def size(self) -> int | None:
        """Number of values of a sample; None if the file leaves it open."""
        known = [each for each in self.features if each is not None]
        return math.prod(known) if len(known) == len(self.features) else None

    @property
    def plain(self) -> bool:
        """Whether the values are those of the last layer, neither scaled nor shifted."""
        return self.scale is None and self.shift is None

    @property
    def open(self) -> bool:
        """Whether the last layer has no activation yet, so that what scales the tensor scales its weights."""
        return bool(self.layers) and self.layers[-1].activation is None

    def affine(self, factor: np.ndarray, summand: np.ndarray) -> Signal:
        """Return factor·tensor + summand, both of float64 and shape (n,); an open layer takes them into its weights."""
        if self.open:
            last = self.layers[-1]
            grown = replace(last, weight=last.weight * factor[:, None], bias=last.bias * factor + summand)
            return replace(self, layers=(*self.layers[:-1], grown))
        scale = factor if self.scale is None else self.scale * factor
        shift = summand if self.shift is None else self.shift * factor + summand
        return replace(self, scale=scale, shift=shift)

    def activated(self, activation: Activation, slope: float | None = None) -> Signal:
        """Return the tensor after the activation of its open layer, which stands for a leaky ReLU of another slope if one is given."""
        return replace(self, layers=(*self.layers[:-1], replace(self.layers[-1], activation=activation, slope=slope)))

    def dense(self, weight: np.ndarray, bias: np.ndarray, node: str) -> Signal:
        """Return the outputs of a dense layer with W (shape (n_out, n_in)) and b (shape (n_out,)) that this tensor enters."""
        closed = self.activated(Activation.IDENTITY) if self.open else self
        if self.shift is not None:
            bias = bias + weight @ self.shift
        if self.scale is not None:
            weight = weight * self.scale
        layers = (*closed.layers, DenseLayer(weight, bias, None, node))
        return Signal(layers, (*self.features[:-1], len(weight)), self.batched)


@dataclass(frozen=True, eq=False)
class Answer:
    """A tensor that is read from the network's outputs without changing which of them is the largest: shares of classes, or a class.

    Attributes
    ----------
    signal : Signal
        Outputs from which it is read.
    """

    signal: Signal


@dataclass(frozen=True, eq=False)
class Lengths:
    """A tensor computed from the lengths of the axes of another, as exporters do before they flatten that."""


Value = np.ndarray | Signal | Answer | Lengths
"""Type of what the walk knows of a tensor; an array is a constant."""


def same_layers(signals: Sequence[Signal]) -> bool:
    """Return whether tensors hold the outputs of the same layers."""
    return len({tuple(id(layer.weight) for layer in signal.layers) for signal in signals}) <= 1
