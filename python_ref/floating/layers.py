"""Layers, and networks that are a sequence of them: dense, convolution, pooling.

Internally, samples are the *last* axis of an array of a batch: (n, B), or (channels, height, width, B). A row of an image is thus
contiguous over the whole batch, so that the unfolding of a convolution's windows, pooling and activations are long copies and long
vectors even with few channels. BLAS computes products, in the type of θ. Float32 suffices if Δ is 10⁻³ or more: a change of the cost of
order Δ·‖∇C‖ is then well above the last place of C, 2⁻²⁴. In float64 everything is exact to 10⁻¹⁶.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from python_ref.floating.passes import Block, total
from python_ref.spec.activations import Activation

__all__ = ["Convolution", "Dense", "Layer", "Pool", "Sequential", "Shape", "Variation", "Weighted"]

Shape = tuple[int, ...]
"""Shape of the array of a sample: (n,), or (channels, height, width)."""


@dataclass(frozen=True, eq=False)
class Variation:
    """Deviation of each neuron's activation from the ideal f: y = L·f(k·(z − x₀)) + y₀.

    McCaughan et al., APL Machine Learning 1, 026118 (2023), define it for the sigmoid; here f is any activation.

    Attributes
    ----------
    scale, gain, offset, shift : arrays, shape (N,)
        L, k, x₀ and y₀ of every node, in the order of the network's nodes.
    """

    scale: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    shift: np.ndarray

    @classmethod
    def draw(cls, nodes: int, spread: float, seed: int) -> Variation:
        """Draw L, k ~ 1 + a·N(0, 1) and x₀, y₀ ~ a·N(0, 1), where a is ``spread``."""
        normal = np.random.Generator(np.random.PCG64(seed)).standard_normal((4, nodes)) * spread
        return cls(1.0 + normal[0], 1.0 + normal[1], normal[2], normal[3])

    def part(self, first: int, shape: Shape) -> Variation:
        """Return the variation of the nodes from ``first`` on, in the shape of a layer's nodes with an axis for samples."""
        size = prod(shape)
        cut = [each[first : first + size].reshape(*shape, 1) for each in (self.scale, self.gain, self.offset, self.shift)]
        return Variation(*cut)


def _activate(function: Activation, z: np.ndarray, variation: Variation | None, out: np.ndarray | None = None) -> np.ndarray:
    if variation is None:
        return function.activate(z, out)
    kind = z.dtype
    ideal = function.activate(variation.gain.astype(kind) * (z - variation.offset.astype(kind)))
    return variation.scale.astype(kind) * ideal + variation.shift.astype(kind)


def _slope(function: Activation, y: np.ndarray, variation: Variation | None) -> np.ndarray:
    if variation is None:
        return function.slope(y)
    ideal = (y - variation.shift.astype(y.dtype)) / variation.scale.astype(y.dtype)
    return variation.scale.astype(y.dtype) * variation.gain.astype(y.dtype) * function.slope(ideal)


class _Record(NamedTuple):
    """Values of a layer in a pass: its input x (samples last), z before a shift, its output y, and f(z) where y is a count of draws."""

    x: np.ndarray
    z: np.ndarray | None
    y: np.ndarray
    f: np.ndarray | None = None

    @property
    def activation(self) -> np.ndarray:
        """f(z)."""
        return self.y if self.f is None else self.f


class _Scratch(threading.local):
    """Memory for unfolded windows, which is reused, since the allocation of that many pages takes longer than filling them."""

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)

    def array(self, shape: Shape, kind: np.dtype) -> np.ndarray:
        """Return an array whose values are valid until the next call."""
        size = prod(shape) * kind.itemsize
        if size > self._bytes.size:
            self._bytes = np.empty(size, np.uint8)
        return self._bytes[:size].view(kind).reshape(shape)


_scratch = _Scratch()


class Layer(Protocol):
    """A stage of a :class:`Sequential`.

    A layer with weights, (n_out, 1 + k) with the bias first, also has ``activation``, the products of :class:`Weighted`, and ``counts`` if
    its ``thresholds`` are not 0. A layer without weights has ``pool`` and, for back-propagation, ``backward``.
    """

    kind: ClassVar[str]

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of a sample's output for the shape of its input; raise a ValueError if the input is unsuitable."""
        ...

    def weights_shape(self, shape: Shape) -> Shape | None:
        """Return (n_out, 1 + k), or None if the layer has no parameters."""
        ...

    def node_shape(self, shape: Shape) -> Shape | None:
        """Return the shape of a sample's perturbable pre-activations, or None."""
        ...


class Weighted(Protocol):
    """The products of a layer's weights (shape (n_out, k), without biases) and its inputs x (samples last).

    Attributes
    ----------
    thresholds : int
        Number N of thresholds of a neuron with a random output, which ``counts`` compares with its activation; else 0.
    """

    @property
    def thresholds(self) -> int: ...

    def product(self, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return what the inputs contribute to the pre-activations (shape (n_out, columns))."""
        ...

    def outer(self, error: np.ndarray, x: np.ndarray, out: np.ndarray) -> None:
        """Write the sum over the columns of error (shape (n_out, columns)) times operand to ``out`` (shape (n_out, k))."""
        ...

    def back(self, weights: np.ndarray, error: np.ndarray, shape: Shape) -> np.ndarray:
        """Return ∂C/∂x (shape (*shape, B)) from ∂C/∂z (shape (n_out, columns)); for back-propagation only."""
        ...


class _Unfolded:
    """Products of a layer all of whose neurons have the same operands in a column.

    A class that derives from it has ``unfold``, which returns the operands (shape (k, columns), valid until the next call of any layer),
    and its transpose ``fold``.
    """

    unfold: Callable[[np.ndarray], np.ndarray]
    fold: Callable[[np.ndarray, Shape], np.ndarray]

    @property
    def thresholds(self) -> int:
        """See :class:`Weighted`."""
        return 0

    def product(self, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        """See :class:`Weighted`."""
        return weights @ self.unfold(x)

    def outer(self, error: np.ndarray, x: np.ndarray, out: np.ndarray) -> None:
        """See :class:`Weighted`."""
        np.matmul(error, self.unfold(x).T, out=out)

    def back(self, weights: np.ndarray, error: np.ndarray, shape: Shape) -> np.ndarray:
        """See :class:`Weighted`."""
        return self.fold(weights.T @ error, shape)


@dataclass(frozen=True)
class Dense(_Unfolded):
    """y = f(W·x + b); an image as input is flattened, channel by channel.

    Parameters
    ----------
    n_out : int
        Number of neurons, and thus of outputs per sample.
    activation : Activation
        Function f applied to each pre-activation.
    """

    n_out: int
    activation: Activation = Activation.TANH

    kind: ClassVar[str] = "dense"

    def output_shape(self, shape: Shape) -> Shape:
        """Return (n_out,)."""
        return (self.n_out,)

    def weights_shape(self, shape: Shape) -> Shape:
        """Return (n_out, 1 + n_in)."""
        return self.n_out, 1 + prod(shape)

    def node_shape(self, shape: Shape) -> Shape:
        """Return (n_out,)."""
        return (self.n_out,)

    def unfold(self, x: np.ndarray) -> np.ndarray:
        """Return x itself, flattened."""
        return x.reshape(-1, x.shape[-1])

    def fold(self, slopes: np.ndarray, shape: Shape) -> np.ndarray:
        """Return the slopes in the shape of x."""
        return slopes.reshape(*shape, -1)


@dataclass(frozen=True)
class Convolution(_Unfolded):
    """y = f(W ∗ x + b) with square windows and stride 1.

    Parameters
    ----------
    channels : int
        Number of output channels, each with its own kernel and bias.
    activation : Activation
        Function f applied to each pre-activation.
    same : bool
        Whether the image is padded with zeros so that it keeps its size; otherwise it shrinks by ``width`` − 1.
    width : int
        Width of the window in pixels, odd.
    """

    channels: int
    activation: Activation = Activation.TANH
    same: bool = True
    width: int = 3

    kind: ClassVar[str] = "conv"

    def __post_init__(self) -> None:
        if self.width < 1 or self.width % 2 == 0:
            raise ValueError(f"Width of a window must be odd and positive, not {self.width!r}")

    def output_shape(self, shape: Shape) -> Shape:
        """Return (channels, height, width)."""
        lost = 0 if self.same else self.width - 1
        if len(shape) != 3 or min(shape[1:]) <= lost:
            raise ValueError(f"A convolution of width {self.width} takes (channels, height, width) of at least that size, not {shape!r}")
        return self.channels, shape[1] - lost, shape[2] - lost

    def weights_shape(self, shape: Shape) -> Shape:
        """Return (channels, 1 + width²·input channels), ordered by the window's rows, its columns, then the input's channels."""
        return self.channels, 1 + self.width**2 * shape[0]

    def node_shape(self, shape: Shape) -> Shape:
        """Return (channels, height, width), since every pixel of the output is a node."""
        return self.output_shape(shape)

    def unfold(self, x: np.ndarray) -> np.ndarray:
        """Return the windows (shape (width²·input channels, pixels·B)), valid until the next call."""
        channels, height, width, batch = x.shape
        if self.same:
            edge = self.width // 2
            padded = np.zeros((channels, height + 2 * edge, width + 2 * edge, batch), x.dtype)
            padded[:, edge : edge + height, edge : edge + width] = x
            x = padded
        else:
            height, width = height - self.width + 1, width - self.width + 1
        windows = _scratch.array((self.width, self.width, channels, height, width, batch), x.dtype)
        for row in range(self.width):
            for column in range(self.width):
                windows[row, column] = x[:, row : row + height, column : column + width]
        return windows.reshape(self.width**2 * channels, -1)

    def fold(self, slopes: np.ndarray, shape: Shape) -> np.ndarray:
        """Return the slopes of all windows, added up by pixel."""
        channels, height, width = shape
        _, out_height, out_width = self.output_shape(shape)
        edge = self.width // 2 if self.same else 0
        parts = slopes.reshape(self.width, self.width, channels, out_height, out_width, -1)
        folded = np.zeros((channels, height + 2 * edge, width + 2 * edge, parts.shape[-1]), slopes.dtype)
        for row in range(self.width):
            for column in range(self.width):
                folded[:, row : row + out_height, column : column + out_width] += parts[row, column]
        return folded[:, edge : edge + height, edge : edge + width]


@dataclass(frozen=True)
class Pool:
    """Maximum of each 2×2 pixels; an odd row or column at the edge is dropped."""

    kind: ClassVar[str] = "pool"

    def output_shape(self, shape: Shape) -> Shape:
        """Return (channels, ⌊height/2⌋, ⌊width/2⌋)."""
        if len(shape) != 3 or min(shape[1:]) < 2:
            raise ValueError(f"A pool takes (channels, height, width) of at least 2×2, not {shape!r}")
        return shape[0], shape[1] // 2, shape[2] // 2

    def weights_shape(self, shape: Shape) -> None:
        """Return None, since a pool has no parameters."""

    def node_shape(self, shape: Shape) -> None:
        """Return None, since a pool has no nodes."""

    def corners(self, x: np.ndarray) -> list[np.ndarray]:
        """Return the four pixels of each window, as views."""
        height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
        return [x[:, row:height:2, column:width:2] for row in (0, 1) for column in (0, 1)]

    def pool(self, x: np.ndarray) -> np.ndarray:
        """Return the maximum of each window."""
        a, b, c, d = self.corners(x)
        return np.maximum(np.maximum(a, b), np.maximum(c, d))

    def backward(self, x: np.ndarray, y: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Return each window's slope at the pixel that has the maximum, the first of several, and 0 at the other pixels."""
        found = np.zeros(x.shape, slopes.dtype)
        free = np.ones(y.shape, dtype=bool)
        for pixel, place in zip(self.corners(x), self.corners(found), strict=True):
            taken = free & (pixel == y)
            place[...] = np.where(taken, slopes, 0)
            free &= ~taken
        return found


@dataclass(frozen=True)
class _Place:
    """A layer in its network, with the shape of its input, its name, and the positions of its parameters and nodes."""

    layer: Any
    name: str
    shape: Shape
    weights: Shape | None
    nodes: Shape | None
    parameter: int
    node: int


@dataclass(frozen=True)
class Sequential:
    """A network of consecutive layers: a :class:`~python_ref.floating.passes.NodePass` for which back-propagation is defined as well.

    θ is ordered layer by layer, neuron by neuron, the bias and then the weights; for dense layers this is the project's canonical order.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of a sample: (n,), or (channels, height, width). Samples are rows, ordered channel by channel.
    layers : tuple of Layer
        Layers in the order in which a sample passes through them; at least one has parameters.
    variation : Variation or None
        Deviation of the neurons from the ideal; None for ideal neurons.

    Raises
    ------
    ValueError
        If a layer does not accept the output of the previous one.
    """

    input_shape: Shape
    layers: tuple[Layer, ...]
    variation: Variation | None = None

    def __post_init__(self) -> None:
        if not self.layers or not self.nodes:
            raise ValueError("A network must have at least one layer with parameters")
        if self.variation is not None and self.variation.scale.shape != (total(self.nodes),):
            raise ValueError(f"Variation must be of {total(self.nodes)} nodes, not of shape {self.variation.scale.shape!r}")

    @cached_property
    def _places(self) -> tuple[_Place, ...]:
        places, shape, parameter, node = [], self.input_shape, 0, 0
        for number, layer in enumerate(self.layers):
            following = layer.output_shape(shape)
            weights, nodes = layer.weights_shape(shape), layer.node_shape(shape)
            places.append(_Place(layer, f"{layer.kind}{number}", shape, weights, nodes, parameter, node))
            parameter += 0 if weights is None else prod(weights)
            node += 0 if nodes is None else prod(nodes)
            shape = following
        return tuple(places)

    @cached_property
    def parameters(self) -> tuple[Block, ...]:
        """Blocks of θ: (n_out, 1 + k) of each layer that has parameters."""
        return tuple(Block(place.name, place.weights) for place in self._places if place.weights is not None)

    @cached_property
    def nodes(self) -> tuple[Block, ...]:
        """Blocks of the pre-activations of one sample."""
        return tuple(Block(place.name, place.nodes) for place in self._places if place.nodes is not None)

    @cached_property
    def differentiable(self) -> bool:
        """Whether back-propagation is defined, which requires that every activation has a slope."""
        return all(place.layer.activation.differentiable for place in self._places if place.weights is not None)

    @cached_property
    def n_in(self) -> int:
        """Number of inputs of a sample."""
        return prod(self.input_shape)

    @cached_property
    def n_parameters(self) -> int:
        """Number P of parameters."""
        return total(self.parameters)

    @cached_property
    def n_nodes(self) -> int:
        """Number N of nodes."""
        return total(self.nodes)

    def initial(self, seed: int, scale: float = 1.0, *, he: bool | None = None, kind: type = np.float64) -> np.ndarray:
        """Return initial θ (shape (P,)): weights uniform in ±scale·√(6/(k + n_out)), or ±scale·√(6/k) before a ReLU; biases zero.

        The ranges are those of Glorot & Bengio, AISTATS 2010, equation 16, but with a fan-out that excludes the area of the windows, and
        of He et al., ICCV 2015, section 2.2.
        """
        random, parts = np.random.Generator(np.random.PCG64(seed)), []
        for place in self._places:
            if place.weights is not None:
                n_out, k = place.weights[0], place.weights[1] - 1
                relu = place.layer.activation.rectifies if he is None else he
                weights = np.zeros(place.weights)
                weights[:, 1:] = scale * np.sqrt(6.0 / (k if relu else k + n_out)) * random.uniform(-1, 1, (n_out, k))
                parts.append(weights.ravel())
        return np.concatenate(parts).astype(kind)

    # -- Forward pass -----------------------------------------------------------------------------------------------

    def forward(self, theta: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Return the outputs (shape (B, n_out)) of a batch (shape (B, n_in))."""
        return self.trace(theta, inputs)[0]

    def trace(
        self,
        theta: np.ndarray,
        inputs: np.ndarray,
        shift: np.ndarray | None = None,
        base: list[_Record] | None = None,
        thresholds: np.ndarray | None = None,
    ) -> tuple[np.ndarray, list[_Record]]:
        """Return the outputs and a record per layer; see :class:`~python_ref.floating.passes.NodePass`.

        ``shift`` may also contain the nodes of the last layers only, (B, n) with n < N. The layers before are then not perturbed, and with
        a ``base`` they are not computed again either. ``thresholds`` (shape (N, draws, B)) are those of the nodes with random outputs; None
        takes the fixed ones of an inference.
        """
        x = base[0].x if base is not None else np.asarray(inputs, dtype=theta.dtype).T.reshape(*self.input_shape, -1)
        first = self.n_nodes if shift is None else self.n_nodes - shift.shape[1]
        moved, records = False, []
        for number, place in enumerate(self._places):
            same = base is not None and not moved
            if place.nodes is None or place.weights is None:
                record = base[number] if same else _Record(x, None, place.layer.pool(x))  # type: ignore[index]
            else:
                shifted = shift is not None and place.node >= first
                if same and not shifted:
                    record = base[number]  # type: ignore[index]
                else:
                    record = self._pass(place, theta, x, base[number] if same else None)  # type: ignore[index]
                    z, own, size = record.z, None, prod(place.nodes)
                    assert z is not None
                    if shifted:
                        assert shift is not None
                        z = own = z + shift.T[place.node - first : place.node - first + size].reshape(*place.nodes, -1)
                        moved = True
                    record = self._answer(place, record, _activate(place.layer.activation, z, self._part(place), own), thresholds)
            records.append(record)
            x = record.y
        return x.reshape(-1, x.shape[-1]).T, records

    def _answer(self, place: _Place, record: _Record, f: np.ndarray, thresholds: np.ndarray | None) -> _Record:
        """Return a record with the outputs of a layer, its activations or counts of them."""
        if not place.layer.thresholds:
            return record._replace(y=f)
        own = None if thresholds is None else thresholds[place.node : place.node + len(f)]
        return record._replace(y=place.layer.counts(f, own), f=f)

    def _part(self, place: _Place) -> Variation | None:
        return None if self.variation is None or place.nodes is None else self.variation.part(place.node, place.nodes)

    def _weights(self, place: _Place, theta: np.ndarray) -> np.ndarray:
        assert place.weights is not None
        return theta[place.parameter : place.parameter + prod(place.weights)].reshape(place.weights)

    def _pass(self, place: _Place, theta: np.ndarray, x: np.ndarray, base: _Record | None) -> _Record:
        """Return a record with z of a layer, taken from ``base`` if its input is the same."""
        if base is not None:
            return base
        weights = self._weights(place, theta)
        z = place.layer.product(weights[:, 1:], x)
        z += weights[:, :1]
        assert place.nodes is not None
        return _Record(x, z.reshape(*place.nodes, -1), z)

    def correlate(self, trace: list[_Record], errors: np.ndarray) -> np.ndarray:
        """Return the sum over samples of error times input (shape (P,)).

        ``errors`` may have the shape (B, n) with n < N, for the last layers only; all other errors are then zero.
        """
        found = np.zeros(self.n_parameters, errors.dtype)
        first = self.n_nodes - errors.shape[1]
        for place, record in zip(self._places, trace, strict=True):
            if place.nodes is None or place.node < first:
                continue
            start = place.node - first
            error = errors.T[start : start + prod(place.nodes)]
            weights = self._weights(place, found)
            error = error.reshape(weights.shape[0], -1)
            place.layer.outer(error, record.x, weights[:, 1:])
            weights[:, 0] = error.sum(axis=1)
        return found

    def awake(self, trace: list[_Record]) -> np.ndarray:
        """Return which nodes can change the output (bool, shape (B, N)).

        These are the nodes whose activation has a nonzero slope, except those that a pool does not select.
        """
        found = np.ones((self.n_nodes, trace[0].x.shape[-1]), dtype=bool)
        for place, record, after in zip(self._places, trace, [*trace[1:], None], strict=True):
            if place.nodes is None:
                continue
            own = found[place.node : place.node + prod(place.nodes)].reshape(record.y.shape)
            if place.layer.activation.differentiable:
                own &= _slope(place.layer.activation, record.activation, self._part(place)) != 0
            following = self._places[self._places.index(place) + 1].layer if after is not None else None
            if after is not None and isinstance(following, Pool):
                own &= following.backward(after.x, after.y, np.ones(after.y.shape, np.float32)) != 0
        return found.T

    # -- True gradient, for baselines and diagnosis -----------------------------------------------------------------

    def gradient(self, theta: np.ndarray, inputs: np.ndarray, slopes: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return ∂/∂θ of ΣC over the samples (shape (P,)) by back-propagation, and the outputs; ``slopes`` returns ∂C/∂y of outputs.

        Raises
        ------
        ValueError
            If an activation has no slope.
        """
        outputs, records = self.trace(theta, inputs)
        return self._gradient(theta, records, slopes(outputs))[0], outputs

    def backward(self, theta: np.ndarray, trace: list[_Record], slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ∂/∂θ of ΣC over the samples (shape (P,)), and ∂C/∂x of the inputs (shape (B, n_in)), from ∂C/∂y (shape (B, n_out)).

        Raises
        ------
        ValueError
            If an activation has no slope, or the first layer no parameters.
        """
        first = self._places[0]
        if first.weights is None:
            raise ValueError("The first layer must have parameters, for slopes of the inputs")
        found, error = self._gradient(theta, trace, slopes)
        inputs = first.layer.back(self._weights(first, theta)[:, 1:], error, first.shape)
        return found, inputs.reshape(-1, inputs.shape[-1]).T

    def _gradient(self, theta: np.ndarray, records: list[_Record], slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ∂/∂θ of ΣC, and ∂C/∂z of the first layer with parameters (shape (neurons, positions·B))."""
        found, error = np.zeros(self.n_parameters, theta.dtype), slopes
        for place, error, x in self._backward(theta, records, slopes):
            own = self._weights(place, found)
            place.layer.outer(error, x, own[:, 1:])
            own[:, 0] = error.sum(axis=1)
        return found, error

    def errors(
        self, theta: np.ndarray, inputs: np.ndarray, slopes: Callable[[np.ndarray], np.ndarray]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield for each layer with parameters, last to first, ∂C/∂z and the inputs of its neurons.

        The shapes are (neurons, positions·B) and (k, positions·B); the arrays are valid until the next iteration. All neurons of a layer
        must have the same inputs.
        """
        outputs, records = self.trace(theta, inputs)
        for place, error, x in self._backward(theta, records, slopes(outputs)):
            yield error, place.layer.unfold(x)

    def _backward(self, theta: np.ndarray, records: list[_Record], slopes: np.ndarray) -> Iterator[tuple[_Place, np.ndarray, np.ndarray]]:
        last = records[-1].y
        error = np.ascontiguousarray(slopes.T).reshape(last.shape)
        for place, record in reversed(list(zip(self._places, records, strict=True))):
            if place.nodes is None:
                error = place.layer.backward(record.x, record.y, error.reshape(record.y.shape))
                continue
            error = error.reshape(record.y.shape) * _slope(place.layer.activation, record.activation, self._part(place))
            weights = self._weights(place, theta)
            flat = error.reshape(weights.shape[0], -1)
            yield place, flat, record.x
            if place.parameter:
                error = place.layer.back(weights[:, 1:], flat, place.shape)
