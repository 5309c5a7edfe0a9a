"""Networks with state, over the frames of a sample: forward and perturbed passes, and back-propagation through time.

The layers up to the last one with state are *framed*: they are evaluated in every frame. Those behind it form the *tail*, which is
evaluated once, after the last frame. A perturbation lasts for a number of frames, so that a neuron has a perturbable quantity in each
segment of so many frames. Quantities count segment by segment, in each the framed neurons, and then the neurons of the tail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from python_ref.floating.passes import Block, of_all_nodes, total
from python_ref.floating.stateful import Evaluation, FramedLayer

__all__ = ["Series", "Unrolled"]


class _Record(NamedTuple):
    """Evaluation of a layer: its operands (shape (k, B)), and its values."""

    operands: np.ndarray
    made: Evaluation


class Unrolled(NamedTuple):
    """Values of a pass over the frames of a batch.

    Attributes
    ----------
    frames : list of lists of records
        Evaluations of the framed layers, by frame and layer.
    tail : list of records
        Evaluations of the layers of the tail.
    fed : list of arrays, shape (n_out, B)
        What the inputs of each frame contribute to the pre-activations of layer 0.
    active : array of bool, shape (T, B), or None
        Which frames each sample has; None if every sample has all.
    """

    frames: list[list[_Record]]
    tail: list[_Record]
    fed: list[np.ndarray]
    active: np.ndarray | None


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

    def _by_frame(self, inputs: np.ndarray, kind: np.dtype) -> tuple[list[np.ndarray], np.ndarray | None]:
        """Return the inputs of each frame (shape (n_in, B)), and which frames each sample has."""
        given = np.asarray(inputs, dtype=kind).T
        if self.held:
            return [np.ascontiguousarray(given)] * self.frames, None
        active = None
        if len(given) == 1 + self.frames * self.inputs:
            lengths = given[0].astype(np.int64)
            lengths = np.where((lengths >= 1) & (lengths <= self.frames), lengths, self.frames)
            if (lengths < self.frames).any():
                active = np.arange(self.frames)[:, None] < lengths
            given = given[1:]
        return list(np.ascontiguousarray(given).reshape(self.frames, self.inputs, -1)), active

    def forward(self, theta: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Return the outputs (shape (B, n_out)) of a batch (shape (B, T·n_in), (B, 1 + T·n_in), or (B, n_in) if the inputs are held)."""
        return self.trace(theta, inputs)[0]

    def trace(
        self, theta: np.ndarray, inputs: np.ndarray, shift: np.ndarray | None = None, base: Unrolled | None = None
    ) -> tuple[np.ndarray, Unrolled]:
        """Return the outputs and the values of the pass; see :class:`~python_ref.floating.passes.NodePass`."""
        weights, moved = self._weights(theta), None if shift is None else of_all_nodes(shift, self.n_nodes).T
        if base is not None:
            fed, active = base.fed, base.active
            frames = [records[0].operands[: self.inputs] for records in base.frames]
        else:
            frames, active = self._by_frame(inputs, theta.dtype)
            fed = self._fed(weights[0], frames)
        batch = frames[0].shape[1] if moved is None else moved.shape[1]
        states = [np.zeros((layer.n_out, batch), theta.dtype) for layer in self.layers]
        made, read = list[list[_Record]](), np.zeros((self.layers[self.framed - 1].n_out, batch), theta.dtype)
        for t, x in enumerate(frames):
            records, at = list[_Record](), t // self.hold * sum(layer.n_out for layer in self.layers[: self.framed])
            for number in range(self.framed):
                record = self._evaluate(number, weights[number], x, states[number], moved, at, fed[t] if number == 0 else None)
                at += self.layers[number].n_out
                states[number], x = record.made.state, record.made.output
                records.append(record)
            made.append(records)
            read = self._read(read, x, None if active is None else active[t])
        tail, at = list[_Record](), self.n_nodes - sum(layer.n_out for layer in self.layers[self.framed :])
        for number in range(self.framed, len(self.layers)):
            tail.append(self._evaluate(number, weights[number], read, states[number], moved, at, None))
            at += self.layers[number].n_out
            read = tail[-1].made.output
        return read.T, Unrolled(made, tail, fed, active)

    def _fed(self, weights: np.ndarray, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return W·x + b of layer 0 for each frame, without its own outputs."""
        bias, own = weights[:, :1], weights[:, 1 : 1 + self.inputs]
        return [bias + own @ frames[0]] * self.frames if self.held else [bias + own @ x for x in frames]

    def _evaluate(
        self, number: int, weights: np.ndarray, x: np.ndarray, state: np.ndarray, moved: np.ndarray | None, at: int, fed: np.ndarray | None
    ) -> _Record:
        """Evaluate a layer, whose quantities begin at ``at``; ``fed`` is what its inputs contribute, if it is known."""
        layer, n_in = self.layers[number], len(x)
        if fed is None:
            fed = weights[:, :1] + weights[:, 1 : 1 + n_in] @ x
        z = fed + weights[:, 1 + n_in :] @ state if layer.recurrent else fed
        if moved is not None:
            z = z + moved[at : at + layer.n_out]
        operands = x
        if layer.recurrent:
            wide = np.broadcast_to(x, (n_in, state.shape[1])) if x.shape[1] != state.shape[1] else x
            operands = np.concatenate((wide, state))
        return _Record(operands, layer.evaluate(z, state))

    def _read(self, read: np.ndarray, outputs: np.ndarray, active: np.ndarray | None) -> np.ndarray:
        """Return what the tail receives after a frame."""
        if self.summed:
            return read + (outputs if active is None else outputs * active)
        return outputs if active is None else np.where(active, outputs, read)

    def correlate(self, trace: Unrolled, errors: np.ndarray) -> np.ndarray:
        """Return the sum over samples and frames of error times operand (shape (P,))."""
        found, wanted = np.zeros(self.n_parameters, errors.dtype), of_all_nodes(errors, self.n_nodes).T
        weights, at = self._weights(found), 0
        for segment in range(self.segments):
            frames = range(segment * self.hold, min(self.frames, (segment + 1) * self.hold))
            for number in range(self.framed):
                n_out = self.layers[number].n_out
                operands, count = self._summed(trace, frames, number)
                error = wanted[at : at + n_out]
                weights[number][:, 1:] += error @ operands.T
                weights[number][:, 0] += error @ count if isinstance(count, np.ndarray) else error.sum(axis=1) * count
                at += n_out
        for number, record in enumerate(trace.tail, self.framed):
            error = wanted[at : at + self.layers[number].n_out]
            weights[number][:, 1:], weights[number][:, 0] = error @ record.operands.T, error.sum(axis=1)
            at += self.layers[number].n_out
        return found

    def _summed(self, trace: Unrolled, frames: range, number: int) -> tuple[np.ndarray, np.ndarray | int]:
        """Return the sum of a layer's operands over the frames that a sample has, and the number of these."""
        each = [trace.frames[t][number].operands for t in frames]
        if trace.active is None:
            return (each[0] if len(each) == 1 else np.sum(each, axis=0)), len(each)
        active = trace.active[frames.start : frames.stop]
        summed = sum((x * own for x, own in zip(each[1:], active[1:], strict=True)), each[0] * active[0])
        return summed, active.sum(axis=0).astype(each[0].dtype)

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
        found = np.zeros(self.n_parameters, theta.dtype)
        weights, own = self._weights(theta), self._weights(found)
        error = np.ascontiguousarray(slopes(outputs).T)
        for number in range(len(self.layers) - 1, self.framed - 1, -1):
            record = trace.tail[number - self.framed]
            z, _ = self.layers[number].backward(record.made, error, np.zeros_like(record.made.state))
            error = self._collect(own[number], weights[number], z, record)
        later = [np.zeros((layer.n_out, error.shape[1]), theta.dtype) for layer in self.layers[: self.framed]]
        reached = np.zeros(error.shape[1], bool)
        for t in range(self.frames - 1, -1, -1):
            active = np.ones_like(reached) if trace.active is None else trace.active[t]
            output = error * (active if self.summed else active & ~reached)
            reached = reached | active
            for number in range(self.framed - 1, -1, -1):
                layer, record = self.layers[number], trace.frames[t][number]
                z, state = layer.backward(record.made, output, later[number])
                operands = self._collect(own[number], weights[number], z, record)
                n_in = len(operands) - layer.n_out if layer.recurrent else len(operands)
                later[number] = state + operands[n_in:] if layer.recurrent else state
                output = operands[:n_in]
        return found, outputs

    @staticmethod
    def _collect(found: np.ndarray, weights: np.ndarray, z: np.ndarray, record: _Record) -> np.ndarray:
        """Add what ∂C/∂z of an evaluation gives a layer's parameters to ``found``; return ∂C/∂ operands."""
        found[:, 1:] += z @ record.operands.T
        found[:, 0] += z.sum(axis=1)
        return weights[:, 1:].T @ z
