"""Linear attention: the last frame of a sample asks, the frames before answer; no exponential, no division.

A query q = W·x + b of the last frame; a key k and a value v, likewise, of each frame before. The result is o = Σ A_t·v_t over these
frames with A_t = q·k_t, as in Katharopoulos et al., ICML 2020, without a feature map and without its normalisation. Dense layers may
follow. Pre-activations are perturbed: those of the query, of each key and value, and of the dense layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from python_ref.floating.layers import Sequential
from python_ref.floating.passes import Block, of_all_nodes, total

__all__ = ["Attended", "Attention"]


class Attended(NamedTuple):
    """Values of a pass; T is the number of frames.

    Attributes
    ----------
    asking : array, shape (n_in, B)
        Inputs of the last frame.
    answering : array, shape (n_in, T − 1, B)
        Inputs of the frames before.
    query, keys, values : arrays, shapes (d, B), (d, T − 1, B) and (n, T − 1, B)
        q, k and v, perturbed.
    products : tuple of arrays
        q, k and v, unperturbed.
    weights : array, shape (T − 1, B)
        A of each frame that answers, how well its key meets the query.
    tail : trace or None
        Values of the dense layers.
    """

    asking: np.ndarray
    answering: np.ndarray
    query: np.ndarray
    keys: np.ndarray
    values: np.ndarray
    products: tuple[np.ndarray, np.ndarray, np.ndarray]
    weights: np.ndarray
    tail: Any


@dataclass(frozen=True)
class Attention:
    """A network of linear attention: a :class:`~python_ref.floating.passes.NodePass` for which back-propagation is defined as well.

    θ is ordered by neurons, the bias and then the weights of each: those of the query, of the key, of the value, and of the dense layers.

    Parameters
    ----------
    inputs : int
        Number of inputs of a frame.
    frames : int
        T, the number of frames of a sample, at least 2; a sample has their inputs frame by frame.
    keys, values : int
        Numbers d of entries of a query and of a key, and n of a value.
    tail : Sequential or None
        Dense layers of n inputs that follow; None if o is the output.

    Raises
    ------
    ValueError
        If there are fewer than two frames, or the dense layers do not have n inputs.
    """

    inputs: int
    frames: int
    keys: int
    values: int
    tail: Sequential | None = None

    def __post_init__(self) -> None:
        if self.frames < 2:
            raise ValueError(f"A sample must have at least 2 frames, one that asks and one that answers, not {self.frames!r}")
        if self.tail is not None and self.tail.input_shape != (self.values,):
            raise ValueError(f"Dense layers must have {self.values} inputs, not {self.tail.input_shape!r}")

    @cached_property
    def _sizes(self) -> tuple[int, int, int]:
        return self.keys, self.keys, self.values

    @cached_property
    def parameters(self) -> tuple[Block, ...]:
        """Blocks of θ: (neurons, 1 + inputs) of the query, the key and the value, and those of the dense layers."""
        own = [Block(name, (size, 1 + self.inputs)) for name, size in zip(("query", "key", "value"), self._sizes, strict=True)]
        return (*own, *(self.tail.parameters if self.tail else ()))

    @cached_property
    def nodes(self) -> tuple[Block, ...]:
        """Blocks of the pre-activations of a sample: the query, the keys and the values of all frames, and those of the dense layers."""
        pairs = self.frames - 1
        own = Block("query", (self.keys,)), Block("key", (self.keys, pairs)), Block("value", (self.values, pairs))
        return (*own, *(self.tail.nodes if self.tail else ()))

    @property
    def n_parameters(self) -> int:
        """Number P of parameters."""
        return total(self.parameters)

    @property
    def n_nodes(self) -> int:
        """Number N of pre-activations."""
        return total(self.nodes)

    @property
    def differentiable(self) -> bool:
        """Whether back-propagation is defined, which requires that every activation of the dense layers has a slope."""
        return self.tail is None or self.tail.differentiable

    def initial(self, seed: int, scale: float = 1.0, *, kind: type = np.float64) -> np.ndarray:
        """Return initial θ (shape (P,)): weights uniform in ±scale·√(6/(inputs + neurons)) (Glorot & Bengio 2010), biases zero."""
        random, parts = np.random.Generator(np.random.PCG64(seed)), []
        for size in self._sizes:
            weights = np.zeros((size, 1 + self.inputs))
            weights[:, 1:] = scale * np.sqrt(6.0 / (self.inputs + size)) * random.uniform(-1, 1, (size, self.inputs))
            parts.append(weights.ravel())
        if self.tail is not None:
            parts.append(self.tail.initial(int(random.integers(1 << 62)), scale))
        return np.concatenate(parts).astype(kind)

    # -- Passes -----------------------------------------------------------------------------------------------------

    def _weights(self, theta: np.ndarray) -> list[np.ndarray]:
        """Return the weights of the query, the key and the value, as views, and θ of the dense layers."""
        found, first = [], 0
        for block in self.parameters[:3]:
            found.append(theta[first : first + block.size].reshape(block.shape))
            first += block.size
        return [*found, theta[first:]]

    def _shifts(self, shift: np.ndarray) -> list[np.ndarray]:
        """Return the perturbations of the query, the keys and the values, a column per sample, and those of the dense layers."""
        shift, found, first = of_all_nodes(shift, self.n_nodes), [], 0
        for block in self.nodes[:3]:
            found.append(shift[:, first : first + block.size].T.reshape(*block.shape, -1))
            first += block.size
        return [*found, shift[:, first:]]

    def forward(self, theta: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Return the outputs (shape (B, n_out)) of a batch (shape (B, T·inputs))."""
        return self.trace(theta, inputs)[0]

    def trace(
        self, theta: np.ndarray, inputs: np.ndarray, shift: np.ndarray | None = None, base: Attended | None = None
    ) -> tuple[np.ndarray, Attended]:
        """Return the outputs and the values of the pass; see :class:`~python_ref.floating.passes.NodePass`."""
        *own, behind = self._weights(theta)
        if base is not None:
            asking, answering, products = base.asking, base.answering, base.products
        else:
            x = np.asarray(inputs, dtype=theta.dtype).T.reshape(self.frames, self.inputs, -1)
            asking, answering = x[-1], np.ascontiguousarray(x[:-1].transpose(1, 0, 2))
            flat = answering.reshape(self.inputs, -1)
            key, value = ((each[:, 1:] @ flat + each[:, :1]).reshape(len(each), self.frames - 1, -1) for each in own[1:])
            products = own[0][:, 1:] @ asking + own[0][:, :1], key, value
        query, keys, values = products
        moved = None
        if shift is not None:
            to_query, to_keys, to_values, moved = self._shifts(shift)
            query, keys, values = query + to_query, keys + to_keys, values + to_values
        weights = np.einsum("db,dtb->tb", query, keys)
        outputs, tail = np.einsum("tb,ntb->nb", weights, values).T, None
        if self.tail is not None:
            outputs, tail = self.tail.trace(behind, outputs, moved)
        return outputs, Attended(asking, answering, query, keys, values, products, weights, tail)

    def correlate(self, trace: Attended, errors: np.ndarray) -> np.ndarray:
        """Return the sum over samples and frames of error times input (shape (P,))."""
        found = np.zeros(self.n_parameters, errors.dtype)
        query, keys, values, behind = self._shifts(errors)
        self._collect(found, trace, query, keys, values)
        if self.tail is not None:
            self._weights(found)[-1][:] = self.tail.correlate(trace.tail, behind)
        return found

    def _collect(self, found: np.ndarray, trace: Attended, query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> None:
        """Write the sum of error times input of the query, the key and the value to ``found``."""
        answering = trace.answering.reshape(self.inputs, -1)
        pairs = ((query, trace.asking), (keys.reshape(self.keys, -1), answering), (values.reshape(self.values, -1), answering))
        for weights, (error, x) in zip(self._weights(found), pairs, strict=False):
            weights[:, 1:], weights[:, 0] = error @ x.T, error.sum(axis=1)

    # -- True gradient, for baselines and diagnosis -----------------------------------------------------------------

    def gradient(self, theta: np.ndarray, inputs: np.ndarray, slopes: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return ∂/∂θ of ΣC over the samples (shape (P,)) by back-propagation, and the outputs; ``slopes`` returns ∂C/∂y of outputs.

        Raises
        ------
        ValueError
            If an activation of the dense layers has no slope.
        """
        outputs, trace = self.trace(theta, inputs)
        found, error = np.zeros(self.n_parameters, theta.dtype), slopes(outputs)
        if self.tail is not None:
            behind, own = self._weights(theta)[-1], self._weights(found)[-1]
            own[:], error = self.tail.backward(behind, trace.tail, error)
        result = error.T
        weights = np.einsum("nb,ntb->tb", result, trace.values)
        query = np.einsum("tb,dtb->db", weights, trace.keys)
        keys = weights[None] * trace.query[:, None]
        self._collect(found, trace, query, keys, result[:, None] * trace.weights[None])
        return found, outputs
