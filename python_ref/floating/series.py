"""Networks with state, over the frames of a sample: forward and perturbed passes, and back-propagation through time.

The layers up to the last one with state are *framed*: they are evaluated in every frame. Those behind it form the *tail*, which is
evaluated once, after the last frame. A perturbation lasts for a number of frames, so that a neuron has a perturbable quantity in each
segment of so many frames. Quantities count segment by segment, in each the framed neurons, and then the neurons of the tail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from python_ref.floating.passes import Block, of_all_nodes, total
from python_ref.floating.stateful import FramedLayer

__all__ = ["Series", "Unrolled"]

COLUMNS = 64
"""Samples that are evaluated at once: more leave the cache, and their products are so large that BLAS starts threads for each of them."""


class _Record(NamedTuple):
    """Values of a layer in all frames (shapes (T', n_out, B)): f(z) or spikes, and states, of which the first is that before frame 0."""

    y: np.ndarray
    states: np.ndarray


class Unrolled(NamedTuple):
    """Values of a pass over the frames of a batch, of which the longest sample has T'.

    Attributes
    ----------
    inputs : array, shape (T', n_in, B), or (1, n_in, B) if the inputs are held
        Inputs of each frame.
    fed : array, shape (T', n_out, B), or (1, n_out, B) if the inputs are held
        W·x + b of layer 0, without its own outputs.
    frames : list of records
        Values of each framed layer.
    read : array, shape (n_out, B)
        What the tail receives.
    tail : list of arrays, shape (n_out, B)
        Outputs of each layer of the tail.
    lengths : array of int64, shape (B,), or None
        Number of frames of each sample; None if it is T' for all.
    """

    inputs: np.ndarray
    fed: np.ndarray
    frames: list[_Record]
    read: np.ndarray
    tail: list[np.ndarray]
    lengths: np.ndarray | None

    @property
    def stop(self) -> int:
        """T'."""
        return len(self.frames[0].y)

    @property
    def active(self) -> np.ndarray | None:
        """Which frames each sample has (bool, shape (T', B)); None if each has all."""
        return None if self.lengths is None else np.arange(self.stop)[:, None] < self.lengths


@dataclass(frozen=True)
class Series:
    """A network with state: a :class:`~python_ref.floating.passes.NodePass` for which back-propagation is defined as well.

    θ is ordered layer by layer, neuron by neuron, the bias and then the weights: those of the inputs, then those of the layer's own
    outputs where it is recurrent. This is the project's canonical order.

    Parameters
    ----------
    inputs : int
        Number of inputs of a frame.
    layers : tuple of FramedLayer
        Layers in the order in which a frame passes through them; at least one has state.
    frames : int
        T, the largest number of frames of a sample. The inputs of a sample are those of all frames, frame by frame; or the number of its
        frames and then those, of which the frames behind its end do not matter.
    held : bool
        Whether all frames of a sample have the same inputs, which it then has once.
    summed : bool
        Whether the tail receives the sum of the outputs over the frames, rather than the outputs of the last frame.
    hold : int
        Number of frames that a perturbation lasts.

    Raises
    ------
    ValueError
        If no layer has state, or a number is out of range.
    """

    inputs: int
    layers: tuple[FramedLayer, ...]
    frames: int = 1
    held: bool = False
    summed: bool = False
    hold: int = 1

    def __post_init__(self) -> None:
        if not any(layer.stateful for layer in self.layers):
            raise ValueError("A network of frames must have a layer with state")
        if self.frames < 1 or not 1 <= self.hold <= self.frames:
            raise ValueError(f"A perturbation must last 1 to {self.frames!r} frames, not {self.hold!r}")

    @cached_property
    def framed(self) -> int:
        """Number of layers that are evaluated in every frame."""
        return max(number for number, layer in enumerate(self.layers, 1) if layer.stateful)

    @cached_property
    def _framed_neurons(self) -> int:
        """Number of neurons of the framed layers."""
        return sum(layer.n_out for layer in self.layers[: self.framed])

    @cached_property
    def segments(self) -> int:
        """Number of perturbations of a framed neuron."""
        return -(-self.frames // self.hold)

    @cached_property
    def parameters(self) -> tuple[Block, ...]:
        """Blocks of θ: (n_out, 1 + k) of each layer."""
        found, n_in = [], self.inputs
        for number, layer in enumerate(self.layers):
            found.append(Block(f"{layer.kind}{number}", (layer.n_out, 1 + n_in + layer.recurrent * layer.n_out)))
            n_in = layer.n_out
        return tuple(found)

    @cached_property
    def nodes(self) -> tuple[Block, ...]:
        """Blocks of the perturbable pre-activations of a sample: the framed layers of each segment, then the layers of the tail."""
        blocks = [Block(block.name, (layer.n_out,)) for block, layer in zip(self.parameters, self.layers, strict=True)]
        framed = [Block(f"{block.name}.{segment}", block.shape) for segment in range(self.segments) for block in blocks[: self.framed]]
        return (*framed, *blocks[self.framed :])

    @cached_property
    def n_parameters(self) -> int:
        """Number P of parameters."""
        return total(self.parameters)

    @cached_property
    def n_nodes(self) -> int:
        """Number N of perturbable quantities."""
        return total(self.nodes)

    @cached_property
    def evaluations(self) -> tuple[int, ...]:
        """Number of evaluations of each layer in a pass."""
        return tuple(self.frames if number < self.framed else 1 for number in range(len(self.layers)))

    @property
    def differentiable(self) -> bool:
        """Whether back-propagation is defined, which requires that every activation has a slope."""
        return all(layer.differentiable for layer in self.layers)

    def initial(self, seed: int, scale: float = 1.0, *, kind: type = np.float64) -> np.ndarray:
        """Return initial θ (shape (P,)): weights uniform in ±scale·√(6/(k + n_out)) (Glorot & Bengio 2010), biases zero."""
        random, parts = np.random.Generator(np.random.PCG64(seed)), []
        for block in self.parameters:
            weights = np.zeros(block.shape)
            n_out, k = weights.shape[0], weights.shape[1] - 1
            weights[:, 1:] = scale * np.sqrt(6.0 / (k + n_out)) * random.uniform(-1, 1, (n_out, k))
            parts.append(weights.ravel())
        return np.concatenate(parts).astype(kind)

    # -- Passes -----------------------------------------------------------------------------------------------------

    def _weights(self, theta: np.ndarray) -> list[np.ndarray]:
        """Return the weights of each layer, as views (shape (n_out, 1 + k))."""
        found, first = [], 0
        for block in self.parameters:
            found.append(theta[first : first + block.size].reshape(block.shape))
            first += block.size
        return found

    def _by_frame(self, inputs: np.ndarray, kind: np.dtype) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the inputs of each frame (shape (T', n_in, B), or (1, n_in, B)), and the lengths of the samples unless all are T'."""
        given = np.asarray(inputs, dtype=kind)
        if self.held:
            return np.ascontiguousarray(given.T)[None], None
        stop, lengths = self.frames, None
        if given.shape[1] == 1 + self.frames * self.inputs:
            each = given[:, 0].astype(np.int64)
            each = np.where((each >= 1) & (each <= self.frames), each, self.frames)
            stop, given = int(each.max()), given[:, 1:]
            lengths = None if (each == stop).all() else each
        return np.ascontiguousarray(given[:, : stop * self.inputs].T).reshape(stop, self.inputs, -1), lengths

    def forward(self, theta: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Return the outputs (shape (B, n_out)) of a batch (shape (B, T·n_in), (B, 1 + T·n_in), or (B, n_in) if the inputs are held)."""
        parts = [inputs[first : first + COLUMNS] for first in range(0, len(inputs), COLUMNS)]
        return np.concatenate([self.trace(theta, part)[0] for part in parts]) if len(parts) > 1 else self.trace(theta, inputs)[0]

    def trace(
        self, theta: np.ndarray, inputs: np.ndarray, shift: np.ndarray | None = None, base: Unrolled | None = None
    ) -> tuple[np.ndarray, Unrolled]:
        """Return the outputs and the values of the pass; see :class:`~python_ref.floating.passes.NodePass`."""
        weights, moved = self._weights(theta), None if shift is None else of_all_nodes(shift, self.n_nodes).T
        if base is not None:
            given, fed, lengths, stop = base.inputs, base.fed, base.lengths, base.stop
        else:
            given, lengths = self._by_frame(inputs, theta.dtype)
            fed = weights[0][:, 1 : 1 + self.inputs] @ given + weights[0][:, :1]
            stop = self.frames if self.held else len(given)
        batch = given.shape[2] if moved is None else moved.shape[1]
        frames = self._frames(weights, fed, moved, stop, batch)
        last = self.layers[self.framed - 1].output(frames[-1].y, frames[-1].states[1:])
        found = read = self._read(last, lengths)
        tail, at = list[np.ndarray](), self.segments * self._framed_neurons
        for layer, rows in zip(self.layers[self.framed :], weights[self.framed :], strict=True):
            z, y = rows[:, 1:] @ found + rows[:, :1], np.empty((layer.n_out, batch), theta.dtype)
            if moved is not None:
                z += moved[at : at + layer.n_out]
            layer.evaluate(z, y[:0], y, y[:0])
            tail.append(y)
            found, at = y, at + layer.n_out
        return found.T, Unrolled(given, fed, frames, read, tail, lengths)

    def _frames(self, weights: list[np.ndarray], fed: np.ndarray, moved: np.ndarray | None, stop: int, batch: int) -> list[_Record]:
        """Evaluate the framed layers in ``stop`` frames, with the quantities ``moved`` (shape (N, B)); ``fed`` is W·x + b of layer 0.

        The loop over the frames is what a pass takes longest for, so it computes in place, for all perturbations at once.
        """
        steps = list[_Step]()
        for number, layer in enumerate(self.layers[: self.framed]):
            rows, n_in = weights[number], weights[number].shape[1] - 1 - layer.recurrent * layer.n_out
            own = None if moved is None else self._by_segment(moved, number)
            drive = self._by_frames(fed if number == 0 else rows[None, :, :1], own, stop)
            below = None if number == 0 else np.ascontiguousarray(rows[:, 1 : 1 + n_in])
            back = np.ascontiguousarray(rows[:, 1 + n_in :]) if layer.recurrent else None
            shape, kind = (stop, layer.n_out, batch), rows.dtype
            y, states = np.empty(shape, kind), np.empty((stop + 1, *shape[1:]) if layer.stateful else (stop + 1, 0, 0), kind)
            states[0] = 0
            steps.append(_Step(layer, below, back, drive, y, states, list(y), list(states), *np.empty((2, *shape[1:]), kind)))
        x = np.empty(0)  # layer 0 takes none: its products are in what drives it
        for t in range(stop):
            for step in steps:
                z = step.drive[t]
                if step.below is not None:
                    z = _plus(step.below, x, z, step.room)
                if step.back is not None and t:
                    z = _plus(step.back, step.before[t], z, step.more)
                step.layer.evaluate(z, step.before[t], step.each[t], step.before[t + 1])
                x = step.layer.output(step.each[t], step.before[t + 1])
        return [_Record(step.y, step.states) for step in steps]

    def _by_segment(self, values: np.ndarray, number: int) -> np.ndarray:
        """Return the values of the quantities of a framed layer (shape (S, n_out, B)), of those of all quantities (shape (N, B))."""
        first = sum(layer.n_out for layer in self.layers[:number])
        framed = values[: self.segments * self._framed_neurons].reshape(self.segments, self._framed_neurons, -1)
        return framed[:, first : first + self.layers[number].n_out]

    def _by_frames(self, fixed: np.ndarray, moved: np.ndarray | None, stop: int) -> list[np.ndarray]:
        """Return for each frame the sum of what is fixed (shape (T', n_out, B) or (1, n_out, B)) and the moves of its segment."""
        if moved is None:
            return list(fixed) * (stop if len(fixed) == 1 else 1)
        if len(fixed) == 1:
            each = list(fixed + moved[: -(-stop // self.hold)])
            return [each[t // self.hold] for t in range(stop)]
        return list(fixed + (moved[:stop] if self.hold == 1 else moved[np.arange(stop) // self.hold]))

    def _read(self, outputs: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
        """Return what the tail receives (shape (n_out, B)) of the outputs in all frames (shape (T', n_out, B))."""
        if lengths is None:
            return outputs.sum(axis=0) if self.summed else outputs[-1]
        if self.summed:
            return (outputs * (np.arange(len(outputs))[:, None] < lengths)[:, None]).sum(axis=0)
        return outputs[lengths - 1, :, np.arange(len(lengths))].T

    def correlate(self, trace: Unrolled, errors: np.ndarray) -> np.ndarray:
        """Return the sum over samples and frames of error times operand (shape (P,))."""
        wanted, active = of_all_nodes(errors, self.n_nodes).T, trace.active
        in_frames, segment = list[np.ndarray](), np.arange(trace.stop) // self.hold
        for number in range(self.framed):
            own = self._by_segment(wanted, number)[segment]
            in_frames.append(own if active is None else own * active[:, None])
        at, tail = self.segments * self._framed_neurons, list[np.ndarray]()
        for layer in self.layers[self.framed :]:
            tail.append(wanted[at : at + layer.n_out])
            at += layer.n_out
        return self._collect(trace, in_frames, tail)

    def _collect(self, trace: Unrolled, in_frames: list[np.ndarray], tail: list[np.ndarray]) -> np.ndarray:
        """Return the sum of error times operand (shape (P,)), of errors of each framed layer in all frames, and of each of the tail."""
        found = np.empty(self.n_parameters, in_frames[0].dtype)
        weights, x = self._weights(found), trace.inputs
        for number, (error, made) in enumerate(zip(in_frames, trace.frames, strict=True)):
            layer, rows, n_in = self.layers[number], weights[number], x.shape[1]
            rows[:, 0] = error.sum(axis=(0, 2))
            rows[:, 1 : 1 + n_in] = _product(error if len(x) == len(error) else error.sum(axis=0)[None], x)
            if layer.recurrent:
                rows[:, 1 + n_in :] = _product(error, made.states[:-1])
            x = layer.output(made.y, made.states[1:])
        for error, rows, below in zip(tail, weights[self.framed :], (trace.read, *trace.tail), strict=False):
            rows[:, 0], rows[:, 1:] = error.sum(axis=1), error @ below.T
        return found

    # -- True gradient, for baselines and diagnosis -----------------------------------------------------------------

    def gradient(self, theta: np.ndarray, inputs: np.ndarray, slopes: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return ∂/∂θ of ΣC over the samples (shape (P,)) by back-propagation through time, and the outputs.

        ``slopes`` returns ∂C/∂y of outputs. The gradient of a spiking layer is a surrogate; see :class:`~python_ref.floating.stateful.Lif`.

        Raises
        ------
        ValueError
            If an activation has no slope.
        """
        outputs, trace = self.trace(theta, inputs)
        weights, tail = self._weights(theta), list[np.ndarray]()
        error, none = np.ascontiguousarray(slopes(outputs).T), np.zeros((), theta.dtype)
        for layer, rows, y in zip(self.layers[: self.framed - 1 : -1], weights[: self.framed - 1 : -1], trace.tail[::-1], strict=True):
            z, _ = layer.backward(y, none, error, none)
            tail.insert(0, z)
            error = rows[:, 1:].T @ z
        own = [rows[:, 1:].T.copy() for rows in weights[: self.framed]]
        in_frames, later = [np.empty_like(made.y) for made in trace.frames], [none] * self.framed
        shown = self._shown(trace, theta.dtype)
        for t in range(trace.stop - 1, -1, -1):
            output = error * shown[t]
            for number in range(self.framed - 1, -1, -1):
                layer, made = self.layers[number], trace.frames[number]
                z, state = layer.backward(made.y[t], made.states[t + 1], output, later[number])
                in_frames[number][t] = z
                n_in = len(own[number]) - layer.recurrent * layer.n_out
                later[number] = state + own[number][n_in:] @ z if layer.recurrent and t else state
                if number:
                    output = own[number][:n_in] @ z
        return self._collect(trace, in_frames, tail), outputs

    def _shown(self, trace: Unrolled, kind: np.dtype) -> np.ndarray:
        """Return whether the tail receives the outputs of a frame (0 or 1, shape (T', B) or (T', 1))."""
        lengths = np.array([trace.stop]) if trace.lengths is None else trace.lengths
        frame = np.arange(trace.stop)[:, None]
        return (frame < lengths if self.summed else frame == lengths - 1).astype(kind)


class _Step(NamedTuple):
    """A framed layer in the loop over the frames.

    Attributes
    ----------
    layer : FramedLayer
        Layer that every frame passes through, in the order of the network.
    below, back : array, shape (n_out, k), or None
        Weights of the outputs of the layer before, and of its own states, if there are such.
    drive : list of arrays, shape (n_out, B)
        What adds to the products in each frame.
    y, states : arrays
        Those of :class:`_Record`.
    each, before : lists of arrays
        The same by frame, of which ``before[t]`` is the state before frame t.
    room, more : arrays, shape (n_out, B)
        Pre-activations of a frame, without and with the products of the states.
    """

    layer: FramedLayer
    below: np.ndarray | None
    back: np.ndarray | None
    drive: list[np.ndarray]
    y: np.ndarray
    states: np.ndarray
    each: list[np.ndarray]
    before: list[np.ndarray]
    room: np.ndarray
    more: np.ndarray


def _plus(weights: np.ndarray, x: np.ndarray, z: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return W·x + z, in ``out``, which is not z."""
    np.matmul(weights, x, out=out)
    out += z
    return out


def _product(error: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the sum over frames and samples of error times operand (shape (n_out, k), of shapes (T', n_out, B) and (T', k, B))."""
    if x.shape[2] == 1:
        return error[:, :, 0].T @ x[:, :, 0]
    return (error @ x.transpose(0, 2, 1)).sum(axis=0)  # one product of all frames is so large that BLAS would start threads for it
